//! Tests of the disk: a fake file system that can crash, models, golden files, real directories.

#![allow(clippy::unwrap_used)]

mod backup;
mod crash;
mod damage;
mod directory;
mod fake;
mod golden;
mod recycle;
mod space;
mod speed;
mod threads;

use std::sync::Arc;

use bytes::Bytes;
use repligo_core::contract::{Durability, HardState, LogEntry, Persist};
use repligo_core::membership::Membership;

use super::open::{Disk, OpenOptions, Recovered};
use super::{DiskError, Forming};
use fake::FakeDisk;

/// Small, so that a few persists fill a segment.
const SEGMENT: u64 = 12 << 10;
const CLUSTER: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

/// SplitMix64: all that the tests need of randomness, and seeds mean the same for ever.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn options(durability: Durability, voters: &[&str]) -> OpenOptions {
    let nodes = voters
        .iter()
        .map(|name| ((*name).to_owned(), format!("{name}:1")));
    let mut options = OpenOptions::new("/fake", durability, "n1", Membership::formed(nodes));
    options.key = 0x77;
    options.segment_bytes = SEGMENT;
    options
}

fn single(durability: Durability) -> OpenOptions {
    options(durability, &["n1"])
}

/// Opens and, the first time, forms.
fn open(disk: &FakeDisk, options: &OpenOptions, boot: &str) -> Result<(Disk, Recovered), DiskError> {
    let (mut opened, recovered) = Disk::open_in(Arc::new(disk.mount()), options, boot)?;
    if opened.meta().forming == Forming::Empty {
        opened.set_forming(Forming::Formed { cluster_id: CLUSTER })?;
    }
    Ok((opened, recovered))
}

fn entry(index: u64, term: u64, data: impl Into<Bytes>) -> LogEntry {
    LogEntry {
        index,
        term,
        kind: 0,
        data: data.into(),
    }
}

fn append(entries: Vec<LogEntry>) -> Persist {
    Persist {
        entries,
        ..Persist::default()
    }
}

fn vote(term: u64, vote: u64, commit: u64) -> Persist {
    Persist {
        hard_state: Some(HardState { term, vote, commit }),
        must_sync: true,
        ..Persist::default()
    }
}
