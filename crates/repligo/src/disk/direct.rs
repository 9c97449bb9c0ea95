//! Log writes by the worker itself, where two changes of threads would cost more than the write.
//!
//! In the mode `os` a persist is done once the kernel has its bytes. That takes microseconds as long as the disk
//! is well, but it may wait for as long as the disk likes. So the worker writes only what is short and needs no
//! sync, no new segment and no zero-filling, while no sync is under way and nothing is queued or unreported, so
//! that persists stay in order; and after one slow write it leaves the disk to the thread for a while.
//! Whether it may write at all is the caller's choice: one that others wait for must not wait for a disk.

use std::cell::Cell;
use std::time::{Duration, Instant};

use repligo_core::contract::{Durability, Persist};

use super::error::DiskError;
use super::handle::{DiskHandle, Job};

/// More bytes are a matter of a millisecond, with new pages for the kernel's copy.
const DIRECT_BYTES_MAX: usize = 256 << 10;
/// A write that took this long was not a copy to memory alone.
const SLOW_WRITE: Duration = Duration::from_millis(1);
/// For so long after a slow write, the thread writes.
const SLOW_PAUSE: Duration = Duration::from_secs(1);

/// What the worker knows of its own writes.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// Last persist that went to the thread, and the last that the caller heard of.
    queued: Cell<u64>,
    reported: Cell<u64>,
    slow_until: Cell<Option<Instant>>,
    fill_asked: Cell<bool>,
}

impl Direct {
    /// A persist goes to the thread.
    pub(super) fn queued(&self, number: u64) {
        self.queued.set(number);
    }

    fn is_slow(&self, now: Instant) -> bool {
        self.slow_until.get().is_some_and(|until| now < until)
    }

    fn note(&self, begun: Instant) {
        if begun.elapsed() >= SLOW_WRITE {
            self.slow_until.set(Some(begun + SLOW_PAUSE));
        }
    }
}

impl DiskHandle {
    /// The caller has taken the report of all persists up to `number`.
    pub fn taken(&self, number: u64) {
        self.direct.reported.set(number);
    }

    /// Writes a persist at once if that is a matter of microseconds: true when it is durable by the mode,
    /// so that nothing will be reported. Otherwise nothing has happened, unless the disk has just failed,
    /// which is reported as always; then [`DiskHandle::submit`] it.
    pub fn write_now(&self, persist: &Persist) -> bool {
        let (shared, direct) = (&*self.shared, &self.direct);
        let bytes: usize = persist.entries.iter().map(|entry| entry.data.len()).sum();
        let needs_more = persist.must_sync || persist.install.is_some() || bytes > DIRECT_BYTES_MAX;
        let unreported = direct.queued.get() > direct.reported.get();
        if needs_more || unreported || shared.durability == Durability::Fsync {
            return false;
        }
        let begun = Instant::now();
        if shared.failed() || shared.progress.is_syncing() || direct.is_slow(begun) {
            return false;
        }
        let Ok(mut wal) = shared.wal.try_lock() else {
            return false;
        };
        let Some(wal) = wal.as_mut() else { return false };
        let room = wal.room();
        if !wal.fits(persist) {
            return false;
        }
        shared.counters.begin();
        let written = wal.append(std::slice::from_ref(persist));
        shared.counters.idle();
        direct.note(begun);
        match written {
            Ok(()) => {}
            // The thread takes it from there.
            Err(DiskError::Full { .. }) => return false,
            Err(error) => {
                shared.fail(error);
                return false;
            }
        }
        shared.counters.batch(1);
        if room.is_low() {
            self.fill_ahead();
        } else {
            direct.fill_asked.set(false);
        }
        true
    }

    /// Has the thread fill the segment further; asked once until it is done.
    fn fill_ahead(&self) {
        if !self.direct.fill_asked.replace(true) {
            self.shared.queues().jobs.push(Job::FillAhead);
            self.shared.log_work.notify_one();
        }
    }
}
