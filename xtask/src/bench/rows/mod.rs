//! The rows of the goals table: each starts its servers, measures, checks, and stops them.

pub mod collection_memory;
pub mod collections;
pub mod failover;
pub mod followers;
pub mod memory;
pub mod quorum;
pub mod single;
pub mod snapshot;
pub mod threads;
pub mod tls;

use super::load::{Sample, measure};
use super::process::Server;
use super::progress::note;
use super::results::{Comparison, Row, Side};
use super::servers::Group;
use crate::run::{Failure, Outcome};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Repeats of each pair.
    pub repeats: u32,
    /// Less of everything, to see whether it works; the numbers are rough.
    pub quick: bool,
}

impl Extent {
    /// One number for a whole run and another for a quick one.
    pub fn pick<T>(self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }
}

/// A row: name for `--only`, what it is, seconds that it takes with five repeats and with `--quick` (for
/// the estimate of the time left), and what it does.
pub struct Definition {
    /// Name.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Seconds of a whole run with five repeats.
    pub seconds: f64,
    /// Seconds of a quick run.
    pub seconds_quick: f64,
    /// Fills in what it finds, so that what was found before a failure is kept.
    pub run: fn(Extent, &mut Row) -> Outcome,
}

/// All rows, in the order in which they run.
pub const ROWS: [Definition; 13] = [
    Definition {
        name: "get-set",
        title: "GET and SET on a single node",
        seconds: 150.0,
        seconds_quick: 30.0,
        run: single::get_set,
    },
    Definition {
        name: "memcached",
        title: "GET and SET against memcached",
        seconds: 90.0,
        seconds_quick: 15.0,
        run: single::memcached,
    },
    Definition {
        name: "memory",
        title: "Memory per entry",
        seconds: 60.0,
        seconds_quick: 20.0,
        run: memory::run,
    },
    Definition {
        name: "collections",
        title: "Collections, scripts and messages on a single node",
        seconds: 300.0,
        seconds_quick: 60.0,
        run: collections::run,
    },
    Definition {
        name: "collection-memory",
        title: "Memory per element of collections",
        seconds: 60.0,
        seconds_quick: 30.0,
        run: collection_memory::run,
    },
    Definition {
        name: "quorum-os",
        title: "Quorum SET on three nodes, in memory (durability os)",
        seconds: 75.0,
        seconds_quick: 15.0,
        run: quorum::os,
    },
    Definition {
        name: "quorum-fsync",
        title: "Quorum SET on three nodes, synced to disk (durability fsync)",
        seconds: 105.0,
        seconds_quick: 20.0,
        run: quorum::fsync,
    },
    Definition {
        name: "threads",
        title: "Workers, the executing thread, and a Unix domain socket",
        seconds: 240.0,
        seconds_quick: 60.0,
        run: threads::run,
    },
    Definition {
        name: "tls",
        title: "TLS for clients on a single node",
        seconds: 150.0,
        seconds_quick: 40.0,
        run: tls::clients,
    },
    Definition {
        name: "tls-peers",
        title: "Quorum SET with and without TLS between the nodes",
        seconds: 50.0,
        seconds_quick: 12.0,
        run: tls::peers,
    },
    Definition {
        name: "snapshot",
        title: "A snapshot under load",
        seconds: 110.0,
        seconds_quick: 40.0,
        run: snapshot::run,
    },
    Definition {
        name: "followers",
        title: "Reads on followers",
        seconds: 75.0,
        seconds_quick: 15.0,
        run: followers::run,
    },
    Definition {
        name: "failover",
        title: "When the leader fails",
        seconds: 540.0,
        seconds_quick: 170.0,
        run: failover::run,
    },
];

/// One side of a comparison.
pub struct System<'a> {
    /// What the report calls it.
    pub name: &'static str,
    /// Where the load goes.
    pub port: u16,
    /// The processes whose CPU counts.
    pub spending: Vec<&'a Server>,
}

impl<'a> System<'a> {
    /// Servers that are reached through their entry and whose CPU counts together.
    pub fn of(name: &'static str, group: &'a Group) -> Self {
        Self {
            name,
            port: group.port(),
            spending: group.all(),
        }
    }
}

/// Measures one load on several systems, in alternation; every other repeat goes through them backwards, so
/// that none is always the first after a pause.
/// # Errors
/// The load failed on one of them.
pub fn alternate(
    title: &str,
    repeats: u32,
    systems: &[System<'_>],
    load: impl Fn(&System<'_>) -> Outcome<Sample>,
) -> Outcome<Comparison> {
    let mut sides: Vec<Side> = systems
        .iter()
        .map(|system| Side {
            name: system.name.to_owned(),
            samples: Vec::new(),
        })
        .collect();
    for repeat in 0..repeats {
        let mut order: Vec<usize> = (0..systems.len()).collect();
        if repeat % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let system = &systems[index];
            let name = system.name;
            let measured = measure(&system.spending, || load(system));
            let sample =
                measured.map_err(|failure| Failure::new(format!("{title}, {name}: {}", failure.message)))?;
            note(&format!(
                "{title}, {name}, {} of {repeats}: {:.0}/s, {:.2} µs of CPU each, p99 {:.0} µs",
                repeat + 1,
                sample.throughput(),
                sample.cpu_us(),
                sample.latency.p99
            ));
            sides[index].samples.push(sample);
        }
    }
    Ok(Comparison {
        title: title.to_owned(),
        sides,
    })
}
