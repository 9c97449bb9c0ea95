//! What carries out the replica's effects besides sockets: the disk and the origin, on their own threads.

use repligo_core::contract::{Persist, SnapshotIo};
use repligo_core::origin::{OriginEvent, OriginRequest};

use crate::disk::{DiskDone, DiskHandle};
use crate::origin;

/// What those threads tell the worker.
#[derive(Debug)]
pub enum Report {
    /// From the disk.
    Disk(DiskDone),
    /// From an origin driver.
    Origin(OriginEvent),
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
    /// Passes a log write on.
    pub fn persist(&self, persist: Persist) {
        let disk = self.disk.as_ref();
        disk.expect("without a disk the core persists nothing")
            .submit(persist);
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
