//! A backup that somebody reads from this node: a snapshot on its disk, asked for, held, and read by a thread of its own.
//!
//! One at a time. It belongs to its number and not to a connection, so that whoever reads it goes on after a lost
//! connection; if nobody asks for a while it is given up. The file is held open meanwhile: a later snapshot takes its
//! name and not its content.

use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use repligo_core::time::Now;
use serde_json::json;

use super::Worker;
use super::drivers::{Report, Reports};
use crate::disk::{BackupFacts, SnapshotSource};
use crate::session::{BackupAnswer, BackupRequest};
use crate::telemetry::process;

/// Bytes of one answer.
const READ_BYTES: usize = 256 << 10;
/// A backup that nobody asks for is given up after this, microseconds.
const IDLE_US_MAX: u64 = 30_000_000;

/// What the thread tells the worker.
#[derive(Debug)]
pub struct BackupReport {
    id: u64,
    what: Result<Found, String>,
}

#[derive(Debug)]
enum Found {
    Opened(BackupFacts),
    Read(u64, Bytes),
}

enum Stage {
    /// The snapshot is not on disk yet.
    Awaited {
        /// It is the right one if it has this.
        index: u64,
    },
    /// The thread opens it.
    Opening(mpsc::Sender<u64>),
    /// It is read.
    Open {
        facts: BackupFacts,
        offsets: mpsc::Sender<u64>,
        /// Read ahead.
        ready: Option<(u64, Bytes)>,
        /// What the thread was asked for, and has not given.
        asked: Option<u64>,
    },
    Failed(String),
}

struct Backup {
    id: u64,
    stage: Stage,
    touched_us: u64,
    /// The connection, by slot and number of the client, that waits for bytes.
    waiting: Option<(u32, u64)>,
}

/// See the module.
#[derive(Default)]
pub struct Backups {
    reports: Option<Reports>,
    last_id: u64,
    current: Option<Backup>,
}

impl Backups {
    /// Nobody reads one; its thread will report there.
    pub fn new(reports: Reports) -> Self {
        Self {
            reports: Some(reports),
            // Of a node that was started anew nobody goes on reading another backup under the same number. It has 48
            // bits, which every reader of JSON takes for the number that it is.
            last_id: u64::from_le_bytes(process::random()) >> 16,
            ..Self::default()
        }
    }
}

/// Reads what it is asked for, until nobody can ask any more.
fn read(
    source: &SnapshotSource,
    offsets: &mpsc::Receiver<u64>,
    tell: &dyn Fn(Result<Found, String>) -> bool,
) {
    let (snapshot, facts) = match source.open() {
        Ok(opened) => opened,
        Err(error) => {
            tell(Err(error.to_string()));
            return;
        }
    };
    if !tell(Ok(Found::Opened(facts))) {
        return;
    }
    while let Ok(offset) = offsets.recv() {
        let read = snapshot.read(offset, READ_BYTES);
        let read = read.map_err(|error| format!("the snapshot cannot be read: {error}"));
        if !tell(read.map(|bytes| Found::Read(offset, bytes))) {
            return;
        }
    }
}

impl Worker {
    /// Carries out what a client asks of a backup.
    pub fn back_up(&mut self, now: Now, client: (u32, u64), request: BackupRequest) -> BackupAnswer {
        let id = match request {
            BackupRequest::Begin => return self.begin_backup(now),
            BackupRequest::State(id) | BackupRequest::End(id) | BackupRequest::Read { id, .. } => id,
        };
        let current = self.backups.current.as_mut().filter(|backup| backup.id == id);
        let Some(backup) = current else {
            let text =
                "ERR there is no such backup on this node: it was ended, or nobody asked for it for too long";
            return BackupAnswer::Refused(text.to_owned());
        };
        backup.touched_us = now.mono_us;
        match request {
            BackupRequest::Begin | BackupRequest::State(_) => self.backup_state(),
            BackupRequest::Read { offset, .. } => backup.read(offset, client),
            BackupRequest::End(_) => {
                self.end_backup();
                BackupAnswer::Done
            }
        }
    }

    fn begin_backup(&mut self, now: Now) -> BackupAnswer {
        let Some(replica) = &mut self.replica else {
            return BackupAnswer::Refused(self.refusal.clone());
        };
        if self.backups.current.is_some() {
            let text = "BUSY a backup is being read from this node: wait for its end, or ask another node";
            return BackupAnswer::Refused(text.to_owned());
        }
        let index = match replica.ask_for_snapshot() {
            Ok(index) => index,
            Err(reason) => return BackupAnswer::Refused(format!("ERR {}", reason.explain())),
        };
        self.backups.last_id += 1;
        self.backups.current = Some(Backup {
            id: self.backups.last_id,
            stage: Stage::Awaited { index },
            touched_us: now.mono_us,
            waiting: None,
        });
        tracing::info!(index, "a backup begins");
        self.look_after_backup(now);
        self.backup_state()
    }

    fn backup_state(&self) -> BackupAnswer {
        let Some(backup) = &self.backups.current else {
            return BackupAnswer::Done;
        };
        let replica = self.replica.as_ref();
        let written = replica.map_or(0, |replica| replica.snapshot_walked_bytes());
        let facts = match &backup.stage {
            Stage::Failed(text) => return BackupAnswer::Refused(format!("ERR {text}")),
            Stage::Awaited { .. } | Stage::Opening(_) => None,
            Stage::Open { facts, .. } => Some(facts),
        };
        BackupAnswer::Json(json!({
            "id": backup.id,
            "node": self.facts.name,
            "release": env!("CARGO_PKG_VERSION"),
            "written_bytes": written,
            "ready": facts.is_some(),
            "cluster": facts.map(|facts| format!("{:032x}", facts.cluster_id)),
            "generation": self.identity.generation,
            "index": facts.map(|facts| facts.index),
            "term": facts.map(|facts| facts.term),
            "time_ms": facts.map(|facts| facts.time_ms),
            "keys": facts.map(|facts| facts.key_count),
            "bytes": facts.map(|facts| facts.snapshot_bytes),
        }))
    }

    /// With every tick, and when a snapshot is on disk: opens what was waited for, and gives up what nobody reads.
    pub(super) fn look_after_backup(&mut self, now: Now) {
        let Some(backup) = &mut self.backups.current else {
            return;
        };
        if now.mono_us.saturating_sub(backup.touched_us) > IDLE_US_MAX {
            tracing::warn!("a backup was given up: nobody has asked for the rest of it");
            return self.end_backup();
        }
        let Stage::Awaited { index } = backup.stage else {
            return;
        };
        let saved = self
            .replica
            .as_ref()
            .map_or(0, |replica| replica.snapshot_index());
        if saved < index {
            return;
        }
        let (Some(disk), Some(reports)) = (&self.drivers.disk, &self.backups.reports) else {
            backup.stage = Stage::Failed("this node has no disk to read from".to_owned());
            return;
        };
        let (source, reports, id) = (disk.snapshot_source(), reports.clone(), backup.id);
        let (offsets, asked) = mpsc::channel();
        let tell = move |what| reports.send(Report::Backup(BackupReport { id, what })).is_ok();
        let started = thread::Builder::new()
            .name("backup".into())
            .spawn(move || read(&source, &asked, &tell));
        backup.stage = match started {
            Ok(_) => Stage::Opening(offsets),
            Err(error) => Stage::Failed(format!("no thread can be started to read the snapshot: {error}")),
        };
    }

    /// The thread has found something.
    pub(super) fn take_backup_report(&mut self, report: BackupReport) {
        let current = self.backups.current.as_mut();
        let Some(backup) = current.filter(|backup| backup.id == report.id) else {
            return;
        };
        match report.what {
            Ok(Found::Opened(facts)) => backup.opened(facts),
            Ok(Found::Read(offset, bytes)) => backup.took(offset, bytes),
            Err(text) => backup.stage = Stage::Failed(text),
        }
        let waiting = backup.waiting.take();
        self.call_reader(waiting);
    }

    fn end_backup(&mut self) {
        if let Some(backup) = self.backups.current.take() {
            self.call_reader(backup.waiting);
        }
    }

    /// Its request is given in again.
    fn call_reader(&mut self, waiting: Option<(u32, u64)>) {
        let Some((slot, client)) = waiting else { return };
        let connection = self.connections.get_mut(slot);
        if let Some(connection) = connection.filter(|connection| connection.session.id == client) {
            connection.call();
        }
    }
}

impl Backup {
    fn opened(&mut self, facts: BackupFacts) {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed(String::new()));
        self.stage = match stage {
            Stage::Opening(offsets) => Stage::Open {
                facts,
                offsets,
                ready: None,
                asked: None,
            },
            other => other,
        };
    }

    fn took(&mut self, offset: u64, bytes: Bytes) {
        if let Stage::Open { ready, asked, .. } = &mut self.stage
            && *asked == Some(offset)
        {
            *asked = None;
            *ready = Some((offset, bytes));
        }
    }

    /// The bytes if they are there, and then the next ones are read ahead.
    fn read(&mut self, offset: u64, client: (u32, u64)) -> BackupAnswer {
        let (facts, offsets, ready, asked) = match &mut self.stage {
            Stage::Open {
                facts,
                offsets,
                ready,
                asked,
            } => (facts, offsets, ready, asked),
            Stage::Failed(text) => return BackupAnswer::Refused(format!("ERR {text}")),
            Stage::Awaited { .. } | Stage::Opening(_) => {
                let text = "TRYAGAIN the snapshot is not complete: ask for its STATE";
                return BackupAnswer::Refused(text.to_owned());
            }
        };
        if offset >= facts.snapshot_bytes {
            return BackupAnswer::Bytes(Bytes::new());
        }
        let ask = |asked: &mut Option<u64>, offset| {
            *asked = Some(offset);
            // A thread that has ended has said why.
            let _ = offsets.send(offset);
        };
        if let Some((_, bytes)) = ready.take_if(|(at, _)| *at == offset) {
            let next = offset + bytes.len() as u64;
            if next < facts.snapshot_bytes {
                ask(asked, next);
            }
            return BackupAnswer::Bytes(bytes);
        }
        if self.waiting.is_some_and(|waiting| waiting != client) {
            let text = "BUSY another connection reads this backup now";
            return BackupAnswer::Refused(text.to_owned());
        }
        if *asked != Some(offset) {
            ask(asked, offset);
        }
        self.waiting = Some(client);
        BackupAnswer::Later
    }
}
