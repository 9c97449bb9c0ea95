//! `repligo restore`: from a file into the data directory with which a new cluster begins.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use super::{Halt, Meter, Outcome, check, open, point, unfit};
use crate::cli::failure::Failure;
use crate::cli::flags::value;
use crate::cli::signals::StopFlag;
use crate::config::cluster;
use crate::disk::{Founder, RestoreError, restore};
use crate::telemetry::process;

pub fn command() -> Command {
    Command::new("restore")
        .about("Make the first data directory of a new cluster from a backup")
        .after_help(
            "The new cluster has an identity and a generation of its own: nodes and directories of the old one take \
             no part in it. Start the node, and then others with empty directories: they join by themselves.",
        )
        .arg(Arg::new("file").value_name("FILE").required(true).help("A file that `repligo backup` has written"))
        .arg(
            value("data-dir", "DIR", "The directory to make; it is empty, or not there")
                .visible_alias("dir")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(value("name", "NAME", "Name of the node").default_value("n1"))
        .arg(value(
            "cluster",
            "LINE",
            "The --cluster line that the node will be started with, NAME=HOST:PORT,… [default: none, it is alone]",
        ))
        .arg(crate::cli::flags::json())
}

/// The name, and the address for nodes that the line gives it.
fn founder(matches: &ArgMatches) -> Result<(String, String), Failure> {
    let name = matches
        .get_one::<String>("name")
        .expect("clap has a default")
        .clone();
    let line = matches.get_one::<String>("cluster").cloned();
    // Whatever a line may not hold, a name may not either.
    let judged = line.clone().unwrap_or_else(|| format!("{name}=localhost:1"));
    let members = cluster::parse(&judged).map_err(|bad| Failure::new(bad.what, bad.remedy))?;
    let Some(member) = members.iter().find(|member| member.name == name) else {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        return Err(Failure::new(
            format!("{name} is not in the cluster line"),
            format!("give --name one of {}", names.join(", ")),
        ));
    };
    // The line is sorted. Were several directories made for one line, each would be a cluster of its own, and serve.
    if let [first, _, ..] = &members[..]
        && first.name != name
    {
        return Err(Failure::new(
            format!(
                "a new cluster begins with one directory, for which {} is taken of a line of several, and not {name}",
                first.name
            ),
            format!(
                "restore with --name {} on its machine, and start the others with empty directories and the line that is \
                 printed there, or with --join",
                first.name
            ),
        ));
    }
    let address = line.map_or_else(String::new, |_| member.address());
    Ok((name, address))
}

pub fn run(matches: &ArgMatches, stop: &StopFlag) -> Outcome<(String, Value)> {
    let file = matches.get_one::<String>("file").expect("clap demands it");
    let dir = matches.get_one::<PathBuf>("data-dir").expect("clap demands it");
    let (node, address) = founder(matches)?;
    let line = matches.get_one::<String>("cluster");
    // All of it, before anything is made.
    let checked = check(file, stop)?;
    let founder = Founder {
        dir: dir.clone(),
        node,
        address,
        cluster_id: process::random_u128(),
        key: process::random_u128(),
    };
    let backup = open(file)?;
    let mut meter = Meter::new("restoring: ", Some(backup.facts().snapshot_bytes));
    let made = restore(backup, &founder, &mut |offset| {
        meter.show(offset);
        !stop.is_set()
    });
    let generation = made.map_err(|error| match error {
        RestoreError::Interrupted => Halt::Interrupted,
        RestoreError::Flaw(flaw) => unfit(file, &flaw).into(),
        RestoreError::Disk(error) => {
            let remedy = "give another --data-dir, or do what it says; nothing was made";
            Failure::new(error.to_string(), remedy).into()
        }
    })?;
    let Founder { node, cluster_id, .. } = &founder;
    let start = match line {
        Some(line) => format!(
            "repligo serve --name {node} --data-dir {} --cluster {line} --cluster-secret-file FILE",
            dir.display()
        ),
        None => format!("repligo serve --name {node} --data-dir {}", dir.display()),
    };
    let others = match line {
        Some(_) => {
            "Others join when they are started with empty directories, and with the same line and secret or with --join."
        }
        None => {
            "It has no address for other nodes, so none can join: for a cluster of several restore with --cluster."
        }
    };
    let words = format!(
        "{}: {node}, the only member of the new cluster {cluster_id:032x}, generation {generation}\n  from {}\n  \
         all of it but keys that the node's configuration maps: their rows are loaded anew from the database.\n  A \
         database that is still claimed by the cluster that was backed up is not used until that one is gone for good and \
         its claim is deleted there: DELETE FROM repligo_lane WHERE cluster='{:032x}'\nStart it: {start} …\n{others}\n",
        dir.display(),
        point(&checked.facts),
        checked.facts.cluster_id,
    );
    let value = json!({
        "data_dir": dir.display().to_string(),
        "node": node,
        "cluster": format!("{cluster_id:032x}"),
        "generation": generation,
        "from": checked.json(),
    });
    Ok((words, value))
}
