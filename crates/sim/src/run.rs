//! Runs seeds: the door to the simulator for its command line and for tests.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::world::plan::Plan;
use crate::world::{Counts, World};

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What went wrong, if anything did.
    pub failure: Option<String>,
    /// Hash of all that happened.
    pub trace: u64,
    /// Counts.
    pub counts: Counts,
    /// The clients' history, one operation per line.
    pub history: String,
}

thread_local! {
    /// The seed that runs on this thread, with its bug.
    static CURRENT: RefCell<Option<(u64, Option<String>)>> = const { RefCell::new(None) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic inside a seed is kept as the text of its failure. Release builds abort on panics, so there
/// the hook has to print the failure itself.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let Some((seed, bug)) = CURRENT.take() else {
                return print(info);
            };
            if cfg!(panic = "abort") {
                println!(
                    "seed {seed}: panic: {info}\nreproduce: {}",
                    command(seed, bug.as_deref())
                );
                std::process::exit(1);
            }
            PANIC.with_borrow_mut(|text| *text = info.to_string());
        }));
    });
}

/// Runs one seed. A panic of the core (an invariant) is a failure of the seed like any other.
pub fn seed(seed: u64, bug: Option<&str>, verbose: bool) -> Outcome {
    plan(Plan::of_seed(seed), bug, verbose)
}

/// Runs one plan.
pub fn plan(plan: Plan, bug: Option<&str>, verbose: bool) -> Outcome {
    set_bug(bug);
    if verbose {
        println!("{plan:#?}");
    }
    keep_panics();
    CURRENT.set(Some((plan.seed, bug.map(str::to_owned))));
    let result = catch_unwind(AssertUnwindSafe(|| World::new(plan, verbose).run()));
    CURRENT.set(None);
    set_bug(None);
    match result {
        Ok(ending) => Outcome {
            failure: ending.violation.map(|violation| violation.to_string()),
            trace: ending.trace,
            counts: ending.counts,
            history: ending.history,
        },
        Err(_) => Outcome {
            failure: Some(format!("panic: {}", PANIC.with(|text| text.borrow().clone()))),
            ..Outcome::default()
        },
    }
}

/// The command that replays a seed.
pub fn command(seed: u64, bug: Option<&str>) -> String {
    match bug {
        Some(bug) => format!("cargo xtask sim --seed {seed} --bug {bug}"),
        None => format!("cargo xtask sim --seed {seed}"),
    }
}

/// Names of the planted bugs.
pub fn bug_names() -> Vec<&'static str> {
    #[cfg(feature = "bugs")]
    return crate::bugs::names();
    #[cfg(not(feature = "bugs"))]
    Vec::new()
}

/// Whether a planted bug exists in this build.
///
/// # Errors
/// What to do about it if not.
pub fn check_bug(name: &str) -> Result<(), String> {
    if bug_names().contains(&name) {
        return Ok(());
    }
    if bug_names().is_empty() {
        return Err(format!(
            "no planted bug {name} in this build; build with --features bugs"
        ));
    }
    Err(format!(
        "no planted bug {name}; there are: {}",
        bug_names().join(", ")
    ))
}

fn set_bug(_name: Option<&str>) {
    #[cfg(feature = "bugs")]
    crate::bugs::set(_name);
}
