//! One run as all threads of the generator share it: what is sent, where, from when to when.
//!
//! Nothing in it changes while the run goes on, except counters and the set of keys known to be written.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::choice::Chooser;
use super::dataset::Dataset;
use super::options::Target;
use super::schedule::Schedule;
use super::tally::Live;
use crate::cli::signals::StopFlag;
use crate::cli::tls::ClientSide;

/// Where a run gets its requests from.
#[derive(Debug)]
pub enum Work {
    /// Every key once, in order: the next one.
    Fill(AtomicU64),
    /// Drawn; a request is a GET if 32 random bits are below this.
    Drawn { reads: u64 },
}

/// What a thread needs to know.
#[derive(Debug)]
pub struct Plan<'a> {
    pub dataset: &'a Dataset,
    pub chooser: &'a Chooser,
    pub written: &'a Written,
    pub addresses: &'a [SocketAddr],
    /// How the server is spoken to, and what its addresses are called.
    pub target: &'a Target,
    pub stop: &'a StopFlag,
    pub work: Work,
    pub pipeline: usize,
    pub seed: u64,
    /// `None` is the closed loop.
    pub schedule: Option<Schedule>,
    /// Sent first on every new connection; this many replies come back.
    pub greeting: Vec<u8>,
    pub greeting_replies: usize,
    /// `u64::MAX`: never.
    pub timeout_ns: u64,
    pub wait_replicas: Option<u32>,
    pub allow_missing: bool,
    /// From here on results count; in nanoseconds since the run began, as all times are.
    pub measure_start_ns: u64,
    /// From here on nothing more is sent (closed) or due (open).
    pub end_ns: u64,
    pub interval_ns: Option<u64>,
    pub live: Live,
}

impl Plan<'_> {
    /// How TLS is spoken with the server at this position, if it is.
    pub fn tls(&self, position: usize) -> Option<(&ClientSide, &str)> {
        let side = self.target.tls.as_ref()?;
        Some((side, &self.target.addresses[position]))
    }
}

/// One bit per key: set once a write of it was acknowledged. From then on `nil` is a loss.
#[derive(Debug)]
pub struct Written {
    keys: u64,
    bits: Vec<AtomicU64>,
}

impl Written {
    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// No key.
    pub fn new(keys: u64) -> Written {
        Written {
            keys,
            bits: (0..keys.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether a write was acknowledged before now.
    pub fn contains(&self, key: u64) -> bool {
        // Acquire and release, so that a thread that sees the bit sends its GET after the other's reply came.
        self.bits[(key / 64) as usize].load(Ordering::Acquire) & (1 << (key % 64)) != 0
    }

    /// A write was acknowledged.
    pub fn insert(&self, key: u64) {
        if !self.contains(key) {
            self.bits[(key / 64) as usize].fetch_or(1 << (key % 64), Ordering::AcqRel);
        }
    }
}
