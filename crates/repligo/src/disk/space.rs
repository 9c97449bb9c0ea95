//! What happens when there is no room: the log goes on in a reserve, then waits; a snapshot is given up or waits.
//!
//! The reserve is a file of zeros beside the log. When the log cannot grow, segments that wait to be used again are
//! removed, then the reserve: with its room what was proposed before, votes and a few small entries are written, while
//! the core, which is told, takes no writes. Every second the reserve is made again, and something more beside it; when
//! both fit, there is room.
//!
//! Invariants: what waits for room is written before anything that came after it; nothing is reported for it
//! meanwhile. A failed sync is never taken for a lack of room.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::DiskError;
use super::handle::{DiskDone, Mode, Shared};
use super::meta::{self, Meta};
use super::segment::FILL_BYTES;
use super::storage::{Storage, StorageFile};
use super::wal::Wal;

/// The reserve.
pub(super) const RESERVE_FILE: &str = "reserve";
/// What has to fit beside it for a moment before the disk counts as not full.
pub(super) const SLACK_FILE: &str = "reserve.tmp";
/// A reserve of its own for `meta`, without which a node could not start again.
const META_RESERVE_FILE: &str = "reserve.meta";
/// Its size: with all members and their names `meta` has a few kilobytes.
const META_RESERVE_BYTES: u64 = 32 << 10;
/// The reserve has so many steps by which the log grows: 4 MiB.
const RESERVE_STEPS: u64 = 4;
/// Written at once.
const STEP_BYTES: usize = 64 << 10;
/// Whether there is room again is tried so often.
const REGAIN_PERIOD: Duration = Duration::from_secs(1);
/// A write that found none is tried again after this.
const RETRY_PERIOD: Duration = Duration::from_millis(100);

/// The reserve of a directory, and whether it is in use.
pub(super) struct Space {
    storage: Arc<dyn Storage>,
    bytes: u64,
    full: AtomicBool,
    tried: Mutex<Option<Instant>>,
}

impl Space {
    pub(super) fn new(storage: Arc<dyn Storage>, segment_bytes: u64) -> Space {
        Space {
            storage,
            bytes: RESERVE_STEPS * segment_bytes.min(FILL_BYTES),
            full: AtomicBool::new(false),
            tried: Mutex::new(None),
        }
    }

    /// The log lives on its reserve.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Makes the reserves unless they are there.
    fn make_reserve(&self) -> io::Result<()> {
        let reserves = [
            (META_RESERVE_FILE, META_RESERVE_BYTES),
            (RESERVE_FILE, self.bytes),
        ];
        for (name, bytes) in reserves {
            let is_whole = |file: Arc<dyn StorageFile>| Ok(file.len()? == bytes);
            let found = self.storage.open(name).and_then(is_whole);
            if !found.unwrap_or(false) {
                make_file(&*self.storage, name, bytes)?;
            }
        }
        Ok(())
    }

    /// True if the reserve fits, and as much beside it.
    fn fits(&self) -> bool {
        let made = self
            .make_reserve()
            .and_then(|()| make_file(&*self.storage, SLACK_FILE, self.bytes));
        // Made or not, a part of it may be there.
        let _ = self.storage.remove(SLACK_FILE);
        made.is_ok()
    }

    /// At most once in a period, counted from when room was missed last.
    fn is_due(&self) -> bool {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let due = tried.is_none_or(|tried| tried.elapsed() >= REGAIN_PERIOD);
        if due {
            *tried = Some(Instant::now());
        }
        due
    }

    fn missed(&self) {
        *self.tried.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Writes a file of zeros; one that does not fit is removed.
fn make_file(storage: &dyn Storage, name: &str, bytes: u64) -> io::Result<()> {
    let fill = || {
        let file = storage.create(name)?;
        let zeros = vec![0; STEP_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let step = (bytes - offset).min(STEP_BYTES as u64);
            file.write_at(&mut [IoSlice::new(&zeros[..step as usize])], offset)?;
            offset += step;
        }
        // Where room is only found when data leave the memory, this finds it.
        file.sync()
    };
    fill().inspect_err(|_| drop(storage.remove(name)))
}

/// Nothing depends on what was to be written.
pub(super) fn unless_full(result: Result<(), DiskError>) -> Result<(), DiskError> {
    match result {
        Err(DiskError::Full { .. }) => Ok(()),
        result => result,
    }
}

/// Writes the metadata, at the cost of its reserve if need be.
pub(super) fn write_meta(storage: &dyn Storage, meta: &Meta) -> Result<(), DiskError> {
    match meta::write(storage, meta) {
        Err(DiskError::Full { .. }) if storage.remove(META_RESERVE_FILE).is_ok() => {
            meta::write(storage, meta)
        }
        result => result,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Shared {
    /// Makes the reserve at the start. Where it does not fit, the disk is full.
    pub(super) fn begin_space(&self) {
        // Whatever else is wrong is found where it matters.
        if let Err(error) = self.space.make_reserve()
            && is_full(&error)
        {
            self.space.missed();
            self.set_full(true);
        }
    }

    fn set_full(&self, full: bool) {
        if self.space.full.swap(full, Ordering::AcqRel) != full && !self.failed() {
            (self.on_done)(DiskDone::Full(full));
        }
    }

    /// Looks now and then whether a full disk has room again.
    pub(super) fn regain_space(&self, wal: &mut Wal) {
        if !self.space.is_full() || !self.space.is_due() {
            return;
        }
        wal.drop_free();
        if self.space.fits() {
            self.set_full(false);
        }
    }

    /// Writes to the log, and waits for as long as there is no room.
    pub(super) fn when_there_is_room(
        &self,
        wal: &mut Wal,
        mut write: impl FnMut(&mut Wal) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        loop {
            let full = match write(wal) {
                Err(full @ DiskError::Full { .. }) => full,
                result => return result,
            };
            if wal.drop_free() {
                continue;
            }
            self.space.missed();
            let released = self.space.storage.remove(RESERVE_FILE).is_ok();
            self.set_full(true);
            if !released && !self.pause(false) {
                return Err(full);
            }
        }
    }

    /// Waits a little; false if the disk is to end instead.
    pub(super) fn pause(&self, snapshots: bool) -> bool {
        let ends = |mode: Mode| self.failed() || mode != Mode::Run;
        let queues = self.queues();
        let (mode, work) = match snapshots {
            true => (queues.snapshot_mode, &self.snapshot_work),
            false => (queues.log_mode, &self.end),
        };
        if ends(mode) {
            return false;
        }
        let waited = work.wait_timeout(queues, RETRY_PERIOD);
        let queues = waited.unwrap_or_else(PoisonError::into_inner).0;
        let mode = if snapshots {
            queues.snapshot_mode
        } else {
            queues.log_mode
        };
        !ends(mode)
    }
}
