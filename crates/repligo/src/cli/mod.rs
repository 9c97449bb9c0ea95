//! The command line: parses arguments, runs one subcommand, returns the exit code.
//!
//! Subcommands print results to stdout and everything else to stderr. No subcommand decides anything
//! about data.

pub mod args;
pub mod backup;
pub mod bench;
pub mod cert;
pub mod cluster;
pub mod config_command;
pub mod demo;
pub mod dev;
pub mod failure;
pub mod flags;
pub mod holder;
pub mod link;
pub mod login;
pub mod logs;
pub mod man;
pub mod ports;
pub mod process;
pub mod progress;
pub mod recover;
pub mod secret;
pub mod serve;
pub mod signals;
pub mod status;
pub mod tls;
pub mod transfer;
mod usage;
pub mod version;
pub mod wire;

use std::io::Write as _;
use std::process::ExitCode;

/// It ran and failed, or the answer is no.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const WRONG_USAGE: u8 = 2;

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let matches = match args::parse(std::env::args_os()) {
        Ok(matches) => matches,
        Err(error) => {
            let words: Vec<String> = std::env::args_os()
                .skip(1)
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            if let Some(text) = usage::refusal(&error, &words) {
                return fail(WRONG_USAGE, text);
            }
            // Help and version are "errors" of clap with exit code 0, printed to stdout.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE));
        }
    };
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("dev", matches)) => dev::run(matches),
        Some(("demo", matches)) => demo::run(matches),
        Some(("demo-client", matches)) => demo::client::run(matches),
        Some(("status", matches)) => status::run(matches),
        Some(("cluster", matches)) => cluster::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("export", matches)) => transfer::run_export(matches),
        Some(("import", matches)) => transfer::run_import(matches),
        Some(("backup", matches)) => backup::run_backup(matches),
        Some(("restore", matches)) => backup::run_restore(matches),
        Some(("secret", matches)) => secret::run(matches),
        Some(("cert", matches)) => cert::run(matches),
        Some(("config", matches)) => config_command::run(matches),
        Some(("version", matches)) => version::run(matches),
        Some(("completions", matches)) => version::completions(matches),
        Some(("man", matches)) => man::run(matches),
        _ => unreachable!("clap requires a subcommand and knows only these"),
    }
}

/// Prints an error for people and returns the code.
pub(crate) fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "repligo: {message}");
    ExitCode::from(code)
}

/// Prints a result. A closed pipe (`repligo … | head`) is not an error of ours.
pub(crate) fn print(text: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
}
