//! What carries out the replica's effects besides sockets: the disk and the origin, on their own threads.

use repligo_core::contract::{Persist, SnapshotIo};
use repligo_core::origin::{OriginEvent, OriginRequest};

use super::backups::BackupReport;
use crate::disk::{DiskDone, DiskHandle};
use crate::origin;

/// What those threads tell the worker.
#[derive(Debug)]
pub enum Report {
    /// From the disk.
    Disk(DiskDone),
    /// From an origin driver.
    Origin(OriginEvent),
    /// From the thread that reads a backup.
    Backup(BackupReport),
}

/// Where they tell it.
pub type Reports = tokio::sync::mpsc::UnboundedSender<Report>;

/// Disk and origin of a running node.
#[derive(Default)]
pub struct Drivers {
    /// Absent with durability `none`, and before forming.
    pub disk: Option<DiskHandle>,
    /// Absent when no keyspace has an origin, and before forming.
    pub origin: Option<origin::Drivers>,
}

impl Drivers {
    /// Carries a log write out at once if `may_write` and if that is quick, else passes it on. Gives it
    /// back when it is done, and nothing will be reported.
    pub fn persist(&self, persist: Persist, may_write: bool) -> Option<Persist> {
        let disk = self.disk.as_ref();
        let disk = disk.expect("without a disk the core persists nothing");
        if may_write && disk.write_now(&persist) {
            return Some(persist);
        }
        disk.submit(persist);
        None
    }

    /// The report of all log writes up to `number` has arrived.
    pub fn persisted(&self, number: u64) {
        if let Some(disk) = &self.disk {
            disk.taken(number);
        }
    }

    /// Passes a piece of a snapshot on.
    pub fn snapshot(&self, piece: SnapshotIo) {
        if let Some(disk) = &self.disk {
            disk.snapshot(piece);
        }
    }

    /// Passes a call for the origin on.
    pub fn origin(&self, request: OriginRequest) {
        if let Some(origin) = &self.origin {
            origin.submit(request);
        }
    }
}
