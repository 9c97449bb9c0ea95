//! `repligo backup`: from a node into a file, checked on the way.

use std::io::{self, Read, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ArgMatches;
use serde_json::Value;

use super::output::{Output, STANDARD};
use super::remote::{self, Remote};
use super::{Halt, Meter, Outcome, point, point_json};
use crate::cli::failure::Failure;
use crate::cli::login;
use crate::cli::signals::StopFlag;
use crate::disk::{BackupFlaw, BackupReader};

/// Gives out the preamble and then what the node gives, and writes all of it too.
struct Copying<'a, 'b> {
    preamble: io::Cursor<Vec<u8>>,
    remote: &'a mut Remote<'b>,
    output: &'a mut Output,
}

impl Read for Copying<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.preamble.read(buffer)?;
        if count == 0 {
            count = self.remote.read(buffer)?;
        }
        self.output.write_all(&buffer[..count])?;
        Ok(count)
    }
}

pub fn run(matches: &ArgMatches, stop: &StopFlag) -> Outcome<(String, Value)> {
    let path = matches.get_one::<String>("output").expect("judged before");
    let addresses: Vec<String> = match matches.get_many::<String>("addr") {
        Some(given) => given.cloned().collect(),
        None => vec!["127.0.0.1:6379".to_owned()],
    };
    let login = login::of_node(matches)?;
    let rate = matches.get_one::<u64>("rate").copied();
    let mut output = Output::create(path)?;
    let address = remote::pick(&addresses, &login)?;
    let mut remote = Remote::new(address, &login, (stop, rate));
    if !matches.get_flag("stale") {
        remote.catch_up()?;
    }
    let copied = remote.begin().and_then(|()| copy(&mut remote, &mut output, stop));
    remote.end();
    let bytes = copied?;
    output.finish()?;
    let mut value = point_json(remote.facts());
    value["bytes"] = bytes.into();
    let place = if path == STANDARD { "standard output" } else { path };
    let words = format!("{place}: backup of {}, {bytes} bytes\n", point(remote.facts()));
    Ok((words, value))
}

/// Gives the bytes of the backup.
fn copy(remote: &mut Remote<'_>, output: &mut Output, stop: &StopFlag) -> Outcome<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    remote.stamp(now.map_or(0, |since| since.as_millis() as u64));
    let mut meter = Meter::new("copying: ", Some(remote.facts().snapshot_bytes));
    let mut backup = BackupReader::open(Copying {
        preamble: io::Cursor::new(remote.facts().encode()),
        remote,
        output,
    })
    .map_err(|flaw| failed(&flaw, stop))?;
    while backup.next_chunk().map_err(|flaw| failed(&flaw, stop))?.is_some() {
        meter.show(backup.offset());
    }
    Ok(backup.offset())
}

fn failed(flaw: &BackupFlaw, stop: &StopFlag) -> Halt {
    if stop.is_set() {
        return Halt::Interrupted;
    }
    Failure::new(
        format!("the backup was not taken: {flaw}"),
        "look at the place where it goes and at the node's log, and try again, perhaps with another node",
    )
    .into()
}
