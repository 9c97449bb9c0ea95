//! `version` and `completions`.

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;

/// `repligo version [--json]`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    if matches.get_flag("json") {
        let json = json!({
            "name": "repligo", "version": version, "os": os, "architecture": architecture, "profile": profile,
            "redis_version": crate::cli::version::REDIS_VERSION,
        });
        super::print(format_args!("{json}\n"));
    } else {
        super::print(format_args!(
            "repligo {version} ({profile}, {os} {architecture})\n"
        ));
    }
    ExitCode::SUCCESS
}

/// The Redis version that clients are told, which decides what they expect of us.
pub const REDIS_VERSION: &str = "7.4.2";

/// `repligo completions SHELL`.
pub fn completions(matches: &ArgMatches) -> ExitCode {
    let shell = *matches
        .get_one::<clap_complete::Shell>("shell")
        .expect("clap requires it");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::args::command(), "repligo", &mut script);
    super::print(String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
