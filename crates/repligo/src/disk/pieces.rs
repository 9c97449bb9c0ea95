//! The snapshot thread: pieces in order, a snapshot that finds no room given up or kept waiting.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use repligo_core::contract::SnapshotIo;

use super::error::DiskError;
use super::handle::{DiskDone, Job, Mode, Shared};
use super::snapshot::{Saved, SnapshotWriter};

impl Shared {
    fn take_piece(&self) -> Option<SnapshotIo> {
        let mut queues = self.queues();
        loop {
            if self.failed() || queues.snapshot_mode == Mode::Abandon {
                return None;
            }
            if let Some(piece) = queues.pieces.pop_front() {
                return Some(piece);
            }
            if queues.snapshot_mode == Mode::Drain {
                return None;
            }
            queues = self
                .snapshot_work
                .wait(queues)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Executes a piece of a snapshot. Where there is no room, the core is told, and the piece waits until
    /// there is, or until the snapshot is aborted.
    pub(super) fn execute_piece(
        &self,
        writer: &mut SnapshotWriter,
        piece: SnapshotIo,
    ) -> Result<Option<Saved>, DiskError> {
        let mut told = false;
        loop {
            let full = match writer.execute(piece.clone()) {
                Err(full @ DiskError::Full { .. }) => full,
                result => return result,
            };
            if !told && !self.failed() {
                (self.on_done)(DiskDone::SnapshotFailed);
                told = true;
            }
            if self.drop_aborted() {
                return Ok(None);
            }
            if !self.pause(true) {
                return Err(full);
            }
            // What was given up during the pause is not written, even if there is room for it by now.
            if self.drop_aborted() {
                return Ok(None);
            }
        }
    }

    /// Drops what is queued of the snapshot in work if it is to be aborted; true if it is.
    fn drop_aborted(&self) -> bool {
        let mut queues = self.queues();
        let of_next = |piece: &SnapshotIo| matches!(piece, SnapshotIo::Begin { .. } | SnapshotIo::Abort);
        let end = queues.pieces.iter().position(of_next);
        let Some(end) = end.filter(|end| matches!(queues.pieces[*end], SnapshotIo::Abort)) else {
            return false;
        };
        let dropped: u64 = queues.pieces.drain(..end).map(|piece| piece_bytes(&piece)).sum();
        self.snapshot_backlog.fetch_sub(dropped, Ordering::Relaxed);
        true
    }
}

pub(super) fn run_snapshots(shared: &Shared, mut writer: SnapshotWriter) {
    while let Some(piece) = shared.take_piece() {
        let bytes = piece_bytes(&piece);
        match shared.execute_piece(&mut writer, piece) {
            Err(error) => return shared.fail(error),
            Ok(None) => {}
            Ok(Some(saved)) => {
                // Before the log thread learns it, so that the report comes before that of an install.
                (shared.on_done)(DiskDone::SnapshotSaved { index: saved.index });
                let mut queues = shared.queues();
                queues.snapshot_saved = saved.index;
                queues.jobs.push(Job::DropLog(saved.drop_log_to));
                drop(queues);
                shared.log_work.notify_one();
            }
        }
        shared.snapshot_backlog.fetch_sub(bytes, Ordering::Relaxed);
    }
}

pub(super) fn piece_bytes(piece: &SnapshotIo) -> u64 {
    match piece {
        SnapshotIo::Chunk(chunk) => chunk.len() as u64,
        _ => 0,
    }
}
