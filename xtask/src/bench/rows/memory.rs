//! Memory per entry: what the process grows by, and what it reports, when keys are loaded into an empty server.

use super::Extent;
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::fill;
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row, Table};
use crate::bench::servers::{Group, memcached, redis, repligo};
use crate::run::{Failure, Outcome};

/// Expiry of the keys that have one: far enough that none expires meanwhile.
const EXPIRY_SECONDS: u32 = 100_000;

/// What one loaded server shows, in bytes per entry.
struct PerEntry {
    resident: f64,
    reported: Option<f64>,
}

/// All sizes, with and without expiry, in all three systems.
///
/// # Errors
/// A server failed, or holds another number of keys than were written.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    let keys = extent.pick(1_000_000, 200_000);
    row.method.push(format!(
        "{keys} keys of 16 bytes, each written once into a fresh server over one connection. Resident: growth of VmRSS, \
         which is what the machine pays, and what is judged; reported: growth of `used_memory` in INFO (`bytes` of \
         memcached). Loaded once per cell: it hardly varies. A table that doubles makes the cost depend on the count."
    ));
    let mut table = Table {
        title: "Bytes per entry, resident (reported)".to_owned(),
        header: ["value", "expiry", "Repligo", "Redis", "memcached"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    let cells = [
        (32, false, 75.0),
        (100, false, 140.0),
        (32, true, 80.0),
        (100, true, 146.0),
    ];
    for (value_bytes, expires, bound) in cells {
        let with = if expires { "with" } else { "without" };
        let mut line = vec![
            format!("{value_bytes} B"),
            if expires { "yes" } else { "no" }.to_owned(),
        ];
        for name in ["Repligo", "Redis", "memcached"] {
            note(&format!("loading {name}: {value_bytes} B {with} expiry"));
            let found = load(name, expires, keys, value_bytes)?;
            let reported = found
                .reported
                .map_or_else(String::new, |bytes| format!(" ({bytes:.0})"));
            line.push(format!("{:.0}{reported}", found.resident));
            if name == "Repligo" {
                row.goals.push(Goal::judge(
                    format!("memory per entry, 16 B key, {value_bytes} B value, {with} expiry"),
                    Bound::AtMost(bound),
                    " B",
                    &[found.resident],
                ));
            }
        }
        table.rows.push(line);
    }
    row.tables.push(table);
    row.verified
        .push("after each load the server counted as many keys as were written".to_owned());
    Ok(())
}

fn load(name: &str, expires: bool, keys: u64, value_bytes: usize) -> Outcome<PerEntry> {
    let mut group = match name {
        "Repligo" => repligo::single("none")?,
        "Redis" => redis::single()?,
        _ => memcached::single()?,
    };
    let kind = match (name, expires) {
        ("memcached", true) => Kind::MemcachedSet(EXPIRY_SECONDS),
        ("memcached", false) => Kind::MemcachedSet(0),
        (_, true) => Kind::SetExpiring(EXPIRY_SECONDS),
        (_, false) => Kind::Set,
    };
    let (resident, reported, _) = usage(name, &group)?;
    fill(group.port(), kind, keys, value_bytes)?;
    let (resident_after, reported_after, count) = usage(name, &group)?;
    if count != keys {
        return Err(Failure::new(format!("{name} holds {count} keys, not {keys}")));
    }
    group.stop();
    let per_entry = |before: u64, after: u64| after.saturating_sub(before) as f64 / keys as f64;
    Ok(PerEntry {
        resident: per_entry(resident, resident_after),
        reported: reported
            .zip(reported_after)
            .map(|(before, after)| per_entry(before, after)),
    })
}

/// Resident bytes, reported bytes, keys.
pub(super) fn usage(name: &str, group: &Group) -> Outcome<(u64, Option<u64>, u64)> {
    // What a load leaves behind for a moment (buffers, an unfinished tick) is not the entries'.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let resident = group.server().resident_bytes()?;
    if name == "memcached" {
        let (bytes, count) = memcached::usage(group.port())?;
        return Ok((resident, Some(bytes), count));
    }
    let mut client = Client::connect(group.port())?;
    let reported = client.info_number("used_memory")?;
    Ok((resident, Some(reported), client.key_count()?))
}
