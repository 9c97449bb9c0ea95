//! Memory as the shell sees it: what its buffers hold, and giving freed memory back to the system.
//!
//! Clients have a budget of their own ([`super::admission`]): what they hold is no part of the limit for data.
//!
//! The core judges and evicts; it is told here what it cannot see. The allocator keeps freed memory for
//! itself, which the operating system still counts, so it is asked to return it while memory is limited.

use repligo_core::contract::{Input, MemoryInput};
use repligo_core::replica::Replica;
use repligo_core::time::Now;

use super::Worker;

/// Distance between two counts of the buffers.
const COUNT_EVERY_US: u64 = 100_000;
/// By this part of the limit the memory of the process may be beyond it before that is corrected.
const TOLERANCE_DIVISOR: u64 = 48;
/// The least that it may be: threads, buffers in use for a moment, and memory kept for the next ones.
const TOLERANCE_BYTES_MIN: u64 = 8 << 20;
/// Ticks in which what is too much would be added once.
const CORRECTION_STEPS: u64 = 4;
/// The largest correction, as a part of the limit: whatever the allocator does, the rest is for data.
const CORRECTION_DIVISOR: u64 = 4;
/// Ticks in which a correction that is not needed any more mostly goes: ten seconds.
const FORGETTING_STEPS: u64 = 400;
/// Distance between two looks at what the allocator keeps, at least.
const TRIM_EVERY_US: u64 = 100_000;
/// A look takes milliseconds for each 100 MiB, so the next one is this many times its duration away.
const TRIM_SHARE: u64 = 20;
/// What is too much by less than this part of the limit is not worth a look, which breaks huge pages up.
const TRIM_DIVISOR: u64 = 256;

/// Ticks in which memory that clients have given up mostly counts as theirs: the allocator gives it back when asked.
const CLIENTS_FORGETTING_STEPS: u64 = 40;

/// Buffers of more bytes are given back in pieces.
const LONG_BYTES: usize = 1 << 20;

/// Buffers of links and disk, as last counted.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    bytes: u64,
    /// What the process itself took when it started, before there was any data.
    startup_bytes: u64,
    /// What the process takes beyond the limit, as far as nothing else explains it: see
    /// [`Worker::correct`].
    correction_bytes: u64,
    /// What clients have held lately.
    clients_bytes: u64,
    counted_us: u64,
    /// When the allocator may be asked again to return memory.
    trim_at_us: u64,
}

impl Buffers {
    /// To be made early, when there is nothing yet but the process.
    pub(super) fn at_start() -> Self {
        Self {
            startup_bytes: crate::telemetry::process::anonymous_bytes(),
            ..Self::default()
        }
    }
}

impl Worker {
    /// True when the replica refuses what would add memory.
    pub fn refuses_growth(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::refuses_growth)
    }

    /// Takes a buffer of a connection back. To free a long one takes long, so the replica does it in pieces.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        match &mut self.replica {
            Some(replica) if buffer.capacity() > LONG_BYTES => {
                replica.give_back(buffer);
                self.request_turn();
            }
            _ => self.pool.give(buffer),
        }
    }

    /// Tells the replica the limit, and what is held outside of it.
    pub(super) fn tell_memory(&mut self) {
        let input = MemoryInput {
            limit: self.parameters.memory(),
            outside_bytes: self.buffers.startup_bytes + self.buffers.bytes + self.buffers.correction_bytes,
        };
        let now = self.clock.now();
        self.step(now, Input::Memory(input));
    }

    /// With every tick: counts now and then, and returns memory where it is limited.
    pub(super) fn look_after_memory(&mut self, now: Now) {
        if now.mono_us.saturating_sub(self.buffers.counted_us) >= COUNT_EVERY_US {
            self.buffers.counted_us = now.mono_us;
            self.buffers.bytes = self.buffer_bytes();
        }
        let (held, lately) = (self.client_memory_bytes(), self.buffers.clients_bytes);
        self.buffers.clients_bytes = held.max(lately - lately.div_ceil(CLIENTS_FORGETTING_STEPS));
        self.correct(now);
        self.tell_memory();
    }

    /// Holds what the process really takes to the limit. Values that come and go in all sizes leave gaps
    /// in the allocator's memory that no count of ours shows, a seventh of it and more. What the system
    /// counts beyond the limit is therefore counted here too, little by little until it is gone, and
    /// forgotten slowly.
    fn correct(&mut self, now: Now) {
        let limit = self.parameters.memory().bytes_max;
        let correction = self.buffers.correction_bytes;
        if limit == 0 {
            self.buffers.correction_bytes = 0;
            return;
        }
        let tolerance = (limit / TOLERANCE_DIVISOR).max(TOLERANCE_BYTES_MIN);
        let anonymous = crate::telemetry::process::anonymous_bytes();
        let allowed = limit.saturating_add(tolerance);
        let over = anonymous.saturating_sub(allowed.saturating_add(self.buffers.clients_bytes));
        self.buffers.correction_bytes = if over > 0 {
            (correction + over / CORRECTION_STEPS).min(limit / CORRECTION_DIVISOR)
        } else {
            correction - correction / FORGETTING_STEPS
        };
        let kept = anonymous.saturating_sub(allowed.saturating_add(self.client_memory_bytes()));
        if kept > limit / TRIM_DIVISOR && now.mono_us >= self.buffers.trim_at_us {
            self.heap.give_back();
            let took_us = self.clock.now().mono_us.saturating_sub(now.mono_us);
            self.buffers.trim_at_us = now.mono_us + TRIM_EVERY_US.max(took_us * TRIM_SHARE);
        }
    }

    /// What the process itself took when it started; part of the memory in use, as in Redis.
    pub fn startup_memory_bytes(&self) -> u64 {
        self.buffers.startup_bytes
    }

    fn buffer_bytes(&self) -> u64 {
        let disk = self.drivers.disk.as_ref();
        let disk = disk.map_or(0, crate::disk::DiskHandle::snapshot_backlog_bytes);
        self.links.queued_bytes() as u64 + self.subscriptions.memory_bytes() as u64 + disk
    }
}
