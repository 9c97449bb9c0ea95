//! The directory that survived the loss of a majority: what is in it, and how its node becomes the only member.
//!
//! It works on a directory whose node does not run. What the start refuses because the others might know better is
//! accepted here, since there are no others: the end of a log that was not synced, and a copy. What is damaged is
//! still refused.
//!
//! The log is written first, `meta` last: interrupted in between, the same call does the rest.

use std::path::Path;
use std::sync::Arc;

use repligo_core::contract::{Boot, Persist};
use repligo_core::recovery::{self, Holdings, Recovery};

use super::error::DiskError;
use super::judge::{self, Judged};
use super::lock::DirectoryLock;
use super::meta::{self, Forming, META_FILE, Meta};
use super::metrics::Counters;
use super::open::{self, SEGMENT_BYTES, clean_up};
use super::repair;
use super::space::write_meta;
use super::storage::{Directory, Storage};
use super::wal::Wal;

fn unformed(dir: &Path) -> DiskError {
    DiskError::Usage(format!(
        "{} is no data directory of a node whose cluster has formed: give the one that `--data-dir` of that node names",
        dir.display()
    ))
}

/// A directory that may be the one to go on from, locked.
pub struct Survivor {
    storage: Arc<dyn Storage>,
    names: Vec<String>,
    meta: Meta,
    judged: Judged,
    holdings: Holdings,
    _lock: Option<DirectoryLock>,
}

impl Survivor {
    /// Locks a directory and reads it; nothing changes.
    ///
    /// # Errors
    /// It is in use, belongs to no formed cluster, or is damaged.
    pub fn open(dir: &Path) -> Result<Survivor, DiskError> {
        // Before the lock file is made: what is no data directory gets nothing from us.
        if !dir.join(META_FILE).exists() {
            return Err(unformed(dir));
        }
        let lock = DirectoryLock::acquire(dir)?;
        let mut survivor = Survivor::open_in(Arc::new(Directory::new(dir.to_path_buf())))?;
        survivor._lock = Some(lock);
        Ok(survivor)
    }

    /// [`Survivor::open`] without the lock, in any storage.
    pub(super) fn open_in(storage: Arc<dyn Storage>) -> Result<Survivor, DiskError> {
        let names = open::refuse_foreign(&*storage)?;
        let meta = meta::read(&*storage)?.ok_or_else(|| unformed(storage.dir()))?;
        if !matches!(meta.forming, Forming::Formed { .. }) {
            return Err(unformed(storage.dir()));
        }
        let same_boot = !meta.boot_id.is_empty() && meta.boot_id == open::boot_id();
        let judged = judge::read(&*storage, &names, &meta, same_boot)?;
        let holdings = recovery::holdings(&meta.membership, &judged.boot, meta.peer);
        Ok(Survivor {
            storage,
            names,
            meta,
            judged,
            holdings,
            _lock: None,
        })
    }

    /// Whose directory it is.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// What it holds.
    pub fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// Something of what its node had acknowledged may be missing.
    pub fn is_forgetful(&self) -> bool {
        let unsynced = self.meta.durability == repligo_core::contract::Durability::Os
            && self.meta.clean.is_none()
            && self.meta.boot_id != open::boot_id();
        unsynced || self.meta.moved
    }

    /// Makes its node the only member of the cluster's next generation; gives that generation.
    ///
    /// # Errors
    /// An IO error, after which it may be called again; or its node was no voter.
    pub fn recover(self) -> Result<u64, DiskError> {
        let Boot { hard_state, .. } = self.judged.boot;
        let recovery = recovery::recovery(&self.holdings, hard_state, self.meta.peer);
        let dir = self.storage.dir().display().to_string();
        let refused =
            |why| DiskError::Usage(format!("the data directory {dir} cannot be gone on from: {why}"));
        let Recovery {
            entries,
            hard_state,
            membership,
        } = recovery.map_err(refused)?;
        let log = self.judged.log.expect("a formed directory has a log");
        repair::repair(&*self.storage, &log)?;
        clean_up(&*self.storage, &self.names, true, Some(&log))?;
        let counters = Arc::new(Counters::new());
        let mut wal = Wal::resume(self.storage.clone(), counters, SEGMENT_BYTES, log.tail)?;
        let snapshot = self.judged.boot.snapshot.map(|(index, ..)| index);
        wal.append(&[Persist {
            install: snapshot.filter(|_| self.judged.restart_log),
            hard_state: Some(hard_state),
            entries,
            ..Persist::default()
        }])?;
        wal.sync()?;
        let generation = self.meta.generation + 1;
        let meta = Meta {
            generation,
            membership,
            moved: false,
            boot_id: open::boot_id(),
            clean: Some(wal.written()),
            ..self.meta
        };
        write_meta(&*self.storage, &meta)?;
        Ok(generation)
    }
}
