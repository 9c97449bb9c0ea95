//! `repligo secret new`: the secret by which the nodes of a cluster know each other.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::private;
use crate::tls::secret::Secret;

/// The command line.
pub fn command() -> Command {
    Command::new("secret")
        .about("Make the secret by which the nodes of a cluster know each other")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("new")
                .about("Write 32 random bytes as 64 hexadecimal digits to a new file, or to stdout")
                .after_help(
                    "Give every node a copy of the file and --cluster-secret-file. To replace a secret, append the \
                     new one as a second line on every node, then put it first on every node, then remove the old \
                     one: the nodes accept both, and read the file again when it changes.",
                )
                .arg(
                    Arg::new("file")
                        .value_name("FILE")
                        .help("A file that does not exist yet; it is made for its owner alone (mode 600)"),
                ),
        )
}

/// `repligo secret new [FILE]`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let Some(("new", matches)) = matches.subcommand() else {
        unreachable!("clap requires a subcommand and knows only this one");
    };
    let line = Secret::random().to_hex() + "\n";
    let Some(file) = matches.get_one::<String>("file") else {
        if std::io::stdout().is_terminal() {
            let text = "a secret is not for a screen\n  do: repligo secret new FILE";
            return super::fail(super::WRONG_USAGE, text);
        }
        super::print(line);
        return ExitCode::SUCCESS;
    };
    match write_new(Path::new(file), &line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let text = format!("{file} exists\n  do: give another name; a secret is not overwritten");
            super::fail(super::FAILED, text)
        }
        Err(error) => {
            let text = format!(
                "{file} cannot be written: {error}\n  do: give a file in a folder that you may write"
            );
            super::fail(super::FAILED, text)
        }
    }
}

/// Writes a file that did not exist, for everybody to read, as far as the mask of the process lets them.
pub(super) fn write_public(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes a file that did not exist, for its owner alone.
pub(super) fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = private::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
