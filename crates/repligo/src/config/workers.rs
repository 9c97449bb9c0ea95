//! How many threads serve clients.

use super::layers::Layered;
use super::value::Value;

/// Threads beyond so many are started only where somebody asks for them: one thread executes, and no more than seven
/// keep it busy.
const DEFAULT_MAX: usize = 8;

/// The cores that this process may use, no more than [`DEFAULT_MAX`].
pub fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(DEFAULT_MAX))
}

/// As many as were asked for.
pub(super) fn settle(layered: &Layered) -> usize {
    match layered.get("workers").value {
        Some(Value::Number(number)) => usize::try_from(number).expect("32 at most are taken"),
        _ => default_workers(),
    }
}
