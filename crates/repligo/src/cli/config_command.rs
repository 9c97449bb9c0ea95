//! `config check FILE` and `config show`.

use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::json;

use super::serve;
use crate::config::error::{Problem, Problems};
use crate::config::{self, NodeSettings, show};
use crate::origin::{self, Finding};

/// `repligo config …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    match matches.subcommand() {
        Some(("check", matches)) => check(matches),
        Some(("show", matches)) => show_settings(matches),
        _ => unreachable!("clap requires a subcommand and knows only these"),
    }
}

fn check(matches: &ArgMatches) -> ExitCode {
    let file = matches.get_one::<String>("file").expect("clap requires it");
    let json = matches.get_flag("json");
    let checked = config::check_file(Path::new(file)).and_then(|settings| {
        if matches.get_flag("file-only") {
            return Ok((settings, Vec::new()));
        }
        check_databases(&settings)?;
        let notes = notes(&settings);
        Ok((settings, notes))
    });
    let (settings, notes) = match checked {
        Ok(checked) => checked,
        Err(problems) => return refuse(&problems, json),
    };
    let (origins, keyspaces) = (settings.origins.origins.len(), settings.origins.keyspaces.len());
    if json {
        super::print(format_args!(
            "{}\n",
            json!({ "ok": true, "origins": origins, "keyspaces": keyspaces, "problems": [], "notes": notes })
        ));
    } else {
        super::print(format_args!(
            "{file}: valid, {}, {}\n",
            counted(origins, "origin"),
            counted(keyspaces, "keyspace")
        ));
        for note in notes {
            super::print(format_args!("note: {note}\n"));
        }
    }
    ExitCode::SUCCESS
}

/// What is no mistake, but would be one for a new cluster: a database that belongs to an older one.
fn notes(settings: &NodeSettings) -> Vec<String> {
    let note = |owned: origin::Owned| {
        format!(
            "origin {}: {} belongs to cluster {}; nodes of any other cluster answer ORIGINDOWN for its keys, so give \
             a new cluster a database of its own",
            owned.origin,
            owned.path.display(),
            owned.clusters.join(", ")
        )
    };
    let owned = origin::owned(&serve::origin_configs(settings));
    owned.into_iter().map(note).collect()
}

fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// Looks into the databases whether tables and columns are there and fit.
fn check_databases(settings: &NodeSettings) -> Result<(), Problems> {
    let findings = origin::check(&settings.origins.map, &serve::origin_configs(settings));
    if findings.is_empty() {
        return Ok(());
    }
    let problem = |finding: Finding| {
        let remedy = format!(
            "{}; with --file-only databases are not looked into",
            finding.remedy
        );
        Problem::new(finding.place, finding.what, remedy)
    };
    Err(Problems(findings.into_iter().map(problem).collect()))
}

fn show_settings(matches: &ArgMatches) -> ExitCode {
    let json = matches.get_flag("json");
    let sources = match super::args::node_sources(matches) {
        Ok(sources) => sources,
        Err(text) => return super::fail(super::WRONG_USAGE, text),
    };
    match config::load(&sources) {
        Ok((settings, layered)) => {
            for warning in &layered.warnings {
                eprintln!("repligo: {warning}");
            }
            if json {
                super::print(format_args!("{}\n", show::json(&layered, &settings)));
            } else {
                super::print(show::text(&layered, &settings));
            }
            ExitCode::SUCCESS
        }
        Err(problems) => refuse(&problems, json),
    }
}

fn refuse(problems: &Problems, json: bool) -> ExitCode {
    if json {
        let list: Vec<_> = problems
            .0
            .iter()
            .map(|problem| json!({ "what": problem.what, "where": problem.place, "do": problem.remedy }))
            .collect();
        super::print(format_args!("{}\n", json!({ "ok": false, "problems": list })));
        return ExitCode::from(super::WRONG_USAGE);
    }
    super::fail(super::WRONG_USAGE, problems)
}
