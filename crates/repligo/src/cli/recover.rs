//! `repligo cluster recover`: after the loss of a majority, goes on with what one directory holds.
//!
//! It looks first and changes something only when told to. It works on directories whose nodes do not run: that the
//! other nodes are stopped is what the operator has to see to.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::disk::{DiskError, Survivor};

/// The subcommand and its arguments.
pub fn command() -> Command {
    Command::new("recover")
        .about("After the loss of a majority, go on with what one data directory holds")
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .required(true)
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .help("Directory of a node that does not run; of several, the one that has most counts"),
        )
        .arg(
            Arg::new("accept-data-loss")
                .long("accept-data-loss")
                .action(ArgAction::SetTrue)
                .help("Do it: what only the other nodes had is given up"),
        )
}

/// `repligo cluster recover …`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let dirs = matches.get_many::<PathBuf>("data-dir").expect("clap demands one");
    match carry_out(
        &dirs.cloned().collect::<Vec<_>>(),
        matches.get_flag("accept-data-loss"),
    ) {
        Ok(text) => {
            super::print(text);
            ExitCode::SUCCESS
        }
        Err(error) => super::fail(super::FAILED, error.to_string()),
    }
}

fn carry_out(dirs: &[PathBuf], accepted: bool) -> Result<String, DiskError> {
    let mut found = Vec::new();
    for dir in dirs {
        found.push((dir, Survivor::open(dir)?));
    }
    let clusters: Vec<_> = found
        .iter()
        .map(|(_, survivor)| survivor.meta().forming)
        .collect();
    if clusters.iter().any(|cluster| *cluster != clusters[0]) {
        let text = "the directories belong to different clusters: give those of one";
        return Err(DiskError::Usage(text.to_owned()));
    }
    let mut text = String::new();
    for (dir, survivor) in &found {
        writeln!(text, "{}", describe(dir, survivor)).expect("a string takes all");
    }
    // An older generation is what a recovery has left behind, however long its log is.
    let rank = |survivor: &Survivor| {
        let (index, term) = survivor.holdings().last;
        (survivor.meta().generation, term, index)
    };
    let best = found.into_iter().max_by_key(|(_, survivor)| rank(survivor));
    let (dir, survivor) = best.expect("clap demands one");
    let node = survivor.meta().node.clone();
    let others = others_of(&survivor);
    if !accepted {
        writeln!(
            text,
            "Nothing was changed. Look at every directory that is left, on every machine, and take the one whose log \
             ends with the highest term, and of those the highest entry. Make sure that no node of this cluster runs \
             (an old majority would go on beside the new cluster). Then run\n  repligo cluster recover \
             --data-dir {} --accept-data-loss",
            dir.display()
        )
        .expect("a string takes all");
        return Ok(text);
    }
    if is_done(&survivor) {
        return Err(DiskError::Usage(format!(
            "{node} is the only member already, in generation {} of the cluster: there is nothing to recover, and \
             nothing was changed. Start it with its --name and --cluster line as before",
            survivor.meta().generation
        )));
    }
    let generation = survivor.recover()?;
    writeln!(
        text,
        "{node} is the only member now, in generation {generation} of the cluster. Start it with its --name and \
         --cluster line as before: it serves alone. {others}"
    )
    .expect("a string takes all");
    Ok(text)
}

/// A recovery has been here, and since then nothing has happened that asks for another one.
fn is_done(survivor: &Survivor) -> bool {
    let (meta, membership) = (survivor.meta(), &survivor.holdings().membership);
    meta.generation > 1 && membership.voters() == [meta.peer] && !survivor.is_forgetful()
}

fn others_of(survivor: &Survivor) -> String {
    let me = survivor.meta().peer;
    let members = survivor.holdings().membership.iter();
    let names: Vec<&str> = members
        .filter(|(number, _)| *number != me)
        .map(|(_, member)| member.name.as_str())
        .collect();
    match names.as_slice() {
        [] => "There were no other members".to_owned(),
        names => format!(
            "Then start {} as before. One that may have forgotten something comes back as a new member by itself, and \
             learns everything from it. One whose directory is whole is refused, and says that it missed a recovery: \
             stop it, move its data directory away and start it again. Nothing of the old generation counts any more",
            names.join(" and ")
        ),
    }
}

/// What there is, and what may be missing.
fn describe(dir: &std::path::Path, survivor: &Survivor) -> String {
    let (meta, holdings) = (survivor.meta(), survivor.holdings());
    let (index, term) = holdings.last;
    let open = index.saturating_sub(holdings.committed);
    let voters = holdings.membership.voters().len();
    let mut text = format!(
        "{}: node {}, generation {}, one of {voters} voters\n  holds: entries up to {index} of term {term}, known to \
         be committed up to {}",
        dir.display(),
        meta.node,
        meta.generation,
        holdings.committed
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_s = now.map_or(0, |since| since.as_secs());
    if holdings.written_ms > 0 {
        let age_s = now_s.saturating_sub(holdings.written_ms / 1000);
        write!(text, "; the last of them is {age_s} s old").expect("a string takes all");
    }
    if open > 0 {
        write!(
            text,
            "\n  counts too: the {open} entries after that, whose clients may or may not have been told"
        )
        .expect("a string takes all");
    }
    let missing = match survivor.is_forgetful() {
        true => {
            "what was acknowledged within the last second before its machine stopped, if its log was not synced in time, \
             and what the others acknowledged while this node was behind them or down"
        }
        false => "what the others acknowledged while this node was behind them or down",
    };
    write!(text, "\n  may be missing: {missing}").expect("a string takes all");
    text
}
