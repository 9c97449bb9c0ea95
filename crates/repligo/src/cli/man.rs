//! `repligo man`: manual pages, made from the command line's own definition so that they cannot drift apart.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use clap_mangen::Man;

/// `repligo man [--dir DIR]`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let done = match matches.get_one::<String>("dir") {
        Some(dir) => write_all(Path::new(dir)),
        None => print_main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => super::fail(super::FAILED, text),
    }
}

/// The page of the program itself.
fn print_main() -> Result<(), String> {
    let mut page = Vec::new();
    Man::new(super::args::command())
        .render(&mut page)
        .map_err(|error| format!("the page cannot be made: {error}"))?;
    super::print(String::from_utf8_lossy(&page));
    Ok(())
}

/// One page per command: `repligo.1`, `repligo-serve.1`, ….
fn write_all(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(super::args::command(), dir))
        .map_err(|error| {
            format!(
                "the pages cannot be written: {error}\n  where: {}\n  do: give a writable --dir",
                dir.display()
            )
        })
}
