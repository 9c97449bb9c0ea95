//! Structured logs on stderr, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging for the process. Only the first call has an effect.
///
/// `level` is one of error, warn, info, debug, trace and holds for our own code; libraries stay at warn,
/// unless they are asked for with `RUST_LOG`, which replaces the filter as a whole.
pub fn start(format: LogFormat, level: &str) {
    let ours = format!("warn,repligo={level},repligo_core={level},repligo_proto={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(ours));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call fails, which is what "only the first" means.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
