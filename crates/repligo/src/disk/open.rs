//! Opening a data directory: whose is it, how did its last run end, what does it hold.
//!
//! Everything is read and judged first; a directory that is refused stays as it was. Only then is the end
//! of the log repaired, and only then does `meta` say that a new run has begun.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use repligo_core::contract::{Boot, Durability, PeerId, Persist};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;

use super::aside::SET_ASIDE;
use super::error::DiskError;
use super::handle::{DiskDone, DiskHandle, Parts};
use super::judge::{Judged, judge};
use super::keyspaces::{self, Keyspaces};
use super::lock::{DirectoryLock, LOCK_FILE, PID_FILE};
use super::meta::{self, Forming, META_FILE, Meta};
use super::metrics::Counters;
use super::repair;
use super::replay::Log;
use super::restore::RESTORING_FILE;
use super::segment::NEW_SEGMENT_FILE;
use super::snapshot::{SNAPSHOT_FILE, SNAPSHOT_TEMPORARY};
use super::space::{self, SLACK_FILE};
use super::storage::{Directory, Storage};
use super::wal::{Wal, parse_segment_name};

/// Bytes of one log segment. A segment goes as a whole, and to make one takes several syncs: small enough to
/// be little beside the data, large enough to be made rarely.
pub const SEGMENT_BYTES: u64 = 32 << 20;
/// Overrides the boot id of the machine, so that tests can act as if it had been restarted.
pub const BOOT_ID_VARIABLE: &str = "REPLIGO_TEST_BOOT_ID";
/// In place of the boot id in `meta` after a sync failed: equal to no boot, so that the next open treats
/// the log like after a stop of the machine.
pub(super) const SYNC_FAILED: &str = "(sync failed)";

/// How to open a data directory.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The directory; made if it is missing.
    pub dir: PathBuf,
    /// [`Durability::Os`] or [`Durability::Fsync`]. With [`Durability::None`] there is nothing to open:
    /// see [`super::DirectoryLock::acquire_without_data`].
    pub durability: Durability,
    /// This node's name.
    pub node: String,
    /// The members of a cluster that is to be formed here; nobody where an empty directory is to join one. What
    /// a formed directory says itself is later.
    pub membership: Membership,
    /// This start expects other nodes: a cluster line or an address to join at was given.
    pub clustered: bool,
    /// What is mapped to databases; `None` takes the directory as it is.
    pub map: Option<Arc<OriginMap>>,
    /// Drawn by the caller: the key of the directory if it is a new one.
    pub key: u128,
    /// Size of a log segment. [`SEGMENT_BYTES`] but in tests.
    pub segment_bytes: u64,
}

impl OpenOptions {
    /// Options with the default segment size.
    pub fn new(
        dir: impl Into<PathBuf>,
        durability: Durability,
        node: &str,
        membership: Membership,
    ) -> OpenOptions {
        OpenOptions {
            dir: dir.into(),
            durability,
            node: node.into(),
            clustered: !membership.is_alone(),
            membership,
            map: None,
            key: 0,
            segment_bytes: SEGMENT_BYTES,
        }
    }

    /// The metadata that this command line asks for.
    fn wanted(&self, boot_id: &str) -> Result<Meta, DiskError> {
        if self.durability == Durability::None {
            let text = "durability `none` keeps no data directory; use `os` or `fsync`";
            return Err(DiskError::Usage(text.into()));
        }
        let place = self.membership.named(&self.node);
        Ok(Meta {
            forming: Forming::Empty,
            generation: 0,
            peer: place.map_or(0, |(number, _)| number),
            node: self.node.clone(),
            key: self.key,
            membership: self.membership.clone(),
            moved: false,
            incarnation: 0,
            boot_id: boot_id.into(),
            durability: self.durability,
            keyspaces: self.map.as_deref().map(Keyspaces::of),
            clean: None,
        })
    }
}

/// What a node is told when it is admitted to a running cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The cluster.
    pub cluster_id: u128,
    /// Its generation.
    pub generation: u64,
    /// The number of the new member.
    pub peer: PeerId,
    /// All members, the new one included.
    pub membership: Membership,
}

/// What was found in a data directory.
#[derive(Debug)]
pub struct Recovered {
    /// For the core.
    pub boot: Boot,
    /// As of now: `incarnation` is already this run's.
    pub meta: Meta,
    /// What an operator should know, one sentence each: a torn tail that was cut, writes that may be gone.
    pub notes: Vec<String>,
}

/// An open data directory whose threads do not run yet.
pub struct Disk {
    lock: Option<DirectoryLock>,
    storage: Arc<dyn Storage>,
    counters: Arc<Counters>,
    meta: Meta,
    segment_bytes: u64,
    wal: Option<Wal>,
    /// Index of the snapshot on disk, 0 for none.
    snapshot_index: u64,
}

impl Disk {
    /// Locks the directory, checks it and reads what it holds.
    ///
    /// A directory that is refused is left as it is. One that is accepted has its incarnation counted up
    /// and its clean mark removed, durably, before this returns.
    ///
    /// # Errors
    /// Every way in which a directory can be unfit; see [`DiskError`].
    pub fn open(options: OpenOptions) -> Result<(Disk, Recovered), DiskError> {
        let storage = Arc::new(Directory::new(options.dir.clone()));
        if options.dir.exists() {
            // Before the lock file is made: somebody else's directory gets nothing from us.
            refuse_foreign(&*storage)?;
        }
        let lock = DirectoryLock::acquire(&options.dir)?;
        let (mut disk, recovered) = Disk::open_in(storage, &options, &boot_id())?;
        lock.write_pid()?;
        disk.lock = Some(lock);
        Ok((disk, recovered))
    }

    /// [`Disk::open`] without the lock, in any storage.
    pub(super) fn open_in(
        storage: Arc<dyn Storage>,
        options: &OpenOptions,
        boot_id: &str,
    ) -> Result<(Disk, Recovered), DiskError> {
        let mut meta = options.wanted(boot_id)?;
        let names = refuse_foreign(&*storage)?;
        let mut judged = Judged::default();
        if let Some(recorded) = meta::read(&*storage)? {
            judged = judge(&*storage, &names, &recorded, &meta, options.clustered)?;
            keyspaces::refuse_others(options, &recorded, &judged.boot)?;
            meta.incarnation = recorded.incarnation;
            meta.generation = recorded.generation;
            meta.forming = recorded.forming;
            // A copy of a directory without a cluster would ask to join under the key of its original.
            if !recorded.moved || matches!(recorded.forming, Forming::Formed { .. }) {
                meta.key = recorded.key;
            }
            if matches!(recorded.forming, Forming::Formed { .. }) {
                meta.peer = recorded.peer;
                meta.membership = recorded.membership;
                meta.keyspaces = meta.keyspaces.or(recorded.keyspaces);
            }
        }
        if let Some(log) = &judged.log {
            repair::repair(&*storage, log)?;
        }
        meta.incarnation += 1;
        space::write_meta(&*storage, &meta)?;

        let counters = Arc::new(Counters::new());
        let snapshot_index = judged.boot.snapshot.as_ref().map_or(0, |(index, ..)| *index);
        let (boot, notes) = (judged.boot, judged.notes);
        let formed = matches!(meta.forming, Forming::Formed { .. });
        clean_up(&*storage, &names, formed, judged.log.as_ref())?;
        let mut wal = None;
        if let Some(log) = judged.log {
            let mut resumed =
                Wal::resume(storage.clone(), counters.clone(), options.segment_bytes, log.tail)?;
            if judged.restart_log {
                resumed.append(&[Persist {
                    install: Some(snapshot_index),
                    hard_state: Some(boot.hard_state),
                    ..Persist::default()
                }])?;
                resumed.sync()?;
            }
            wal = Some(resumed);
        }
        let recovered = Recovered {
            boot,
            meta: meta.clone(),
            notes,
        };
        let segment_bytes = options.segment_bytes;
        Ok((
            Disk {
                lock: None,
                storage,
                counters,
                meta,
                segment_bytes,
                wal,
                snapshot_index,
            },
            recovered,
        ))
    }

    /// The directory's metadata.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Moves on in forming a cluster, durably: `Empty` → `Prepared` → `Formed`, `Prepared` → `Empty`, or
    /// `Empty` → `Formed` (a single node). Leaving `Empty` sets the generation to 1.
    ///
    /// # Errors
    /// An IO error; nothing has changed then, as far as anyone may rely on it.
    ///
    /// # Panics
    /// Leaving `Formed`, or changing a prepared cluster's id: bugs of the caller.
    pub fn set_forming(&mut self, forming: Forming) -> Result<(), DiskError> {
        if forming == self.meta.forming {
            return Ok(());
        }
        let lawful = match (self.meta.forming, forming) {
            (Forming::Prepared { cluster_id: from }, Forming::Formed { cluster_id: to }) => from == to,
            (Forming::Empty, _) | (Forming::Prepared { .. }, Forming::Empty) => true,
            _ => false,
        };
        assert!(lawful, "forming goes from {:?} to {forming:?}", self.meta.forming);
        if let Forming::Formed { cluster_id } = forming {
            // Before `meta` says so: a formed directory without a log has lost it.
            let (storage, counters) = (self.storage.clone(), self.counters.clone());
            self.wal = Some(Wal::create(storage, counters, cluster_id, self.segment_bytes)?);
        }
        let generation = u64::from(forming != Forming::Empty);
        let meta = Meta {
            forming,
            generation,
            ..self.meta.clone()
        };
        meta::write(&*self.storage, &meta)?;
        self.meta = meta;
        Ok(())
    }

    /// The node was admitted to a running cluster: durably, the directory is that member's from now on.
    ///
    /// # Errors
    /// An IO error; nothing has changed then, as far as anyone may rely on it.
    pub fn set_member(&mut self, admission: &Admission) -> Result<(), DiskError> {
        let cluster_id = admission.cluster_id;
        let (storage, counters) = (self.storage.clone(), self.counters.clone());
        self.wal = Some(Wal::create(storage, counters, cluster_id, self.segment_bytes)?);
        let meta = Meta {
            forming: Forming::Formed { cluster_id },
            generation: admission.generation,
            peer: admission.peer,
            membership: admission.membership.clone(),
            ..self.meta.clone()
        };
        meta::write(&*self.storage, &meta)?;
        self.meta = meta;
        Ok(())
    }

    /// Starts the disk's threads. `on_done` is called from them and must not block.
    ///
    /// # Errors
    /// When a thread cannot be started.
    ///
    /// # Panics
    /// Unless the directory is `Formed`.
    pub fn start(self, on_done: impl Fn(DiskDone) + Send + Sync + 'static) -> Result<DiskHandle, DiskError> {
        DiskHandle::start(self.into_parts(), Box::new(on_done))
    }

    /// What the threads work with.
    pub(super) fn into_parts(self) -> Parts {
        Parts {
            wal: self.wal.expect("only a formed node writes a log"),
            lock: self.lock,
            storage: self.storage,
            counters: self.counters,
            meta: self.meta,
            snapshot_index: self.snapshot_index,
            segment_bytes: self.segment_bytes,
        }
    }

    /// Clean stop without having started: sets the clean mark and unlocks.
    ///
    /// # Errors
    /// An IO error; the clean mark is then not set.
    pub fn close(self) -> Result<(), DiskError> {
        close(&*self.storage, self.meta, self.wal, self.lock)
    }
}

/// Syncs, sets the clean mark and unlocks.
pub(super) fn close(
    storage: &dyn Storage,
    mut meta: Meta,
    wal: Option<Wal>,
    lock: Option<DirectoryLock>,
) -> Result<(), DiskError> {
    let mut end = 0;
    if let Some(mut wal) = wal {
        wal.sync()?;
        end = wal.written();
    }
    meta.clean = Some(end);
    space::write_meta(storage, &meta)?;
    if let Some(lock) = lock {
        lock.release();
    }
    Ok(())
}

/// Id of the machine's current boot. Where there is none every restart counts as one of the machine.
pub(super) fn boot_id() -> String {
    std::env::var(BOOT_ID_VARIABLE)
        .or_else(|_| fs::read_to_string("/proc/sys/kernel/random/boot_id"))
        .map(|id| id.trim().chars().take(64).collect())
        .unwrap_or_default()
}

/// Lists the directory; refuses one that is not ours, or that has data but no `meta`.
pub(super) fn refuse_foreign(storage: &dyn Storage) -> Result<Vec<String>, DiskError> {
    let dir = storage.dir();
    let names = storage
        .list()
        .map_err(|error| DiskError::io("read the directory", dir, error))?;
    if names.iter().any(|name| name == META_FILE) {
        return Ok(names);
    }
    if names.iter().any(|name| name == RESTORING_FILE) {
        return Err(DiskError::HalfRestored {
            dir: dir.to_path_buf(),
        });
    }
    // What exists before the first `meta` does, or may lie in any directory: a file system's own folder.
    let harmless = |name: &str| {
        [LOCK_FILE, PID_FILE, "lost+found"].contains(&name)
            || name.starts_with(SET_ASIDE)
            || Path::new(name).extension() == Some("tmp".as_ref())
    };
    let ours = |name: &str| name == SNAPSHOT_FILE || parse_segment_name(name).is_some();
    let dir = dir.to_path_buf();
    if let Some(found) = names.iter().find(|name| ours(name)) {
        return Err(DiskError::MetaMissing {
            dir,
            found: found.clone(),
        });
    }
    match names.iter().find(|name| !harmless(name)) {
        Some(found) => Err(DiskError::NotADataDirectory {
            dir,
            found: found.clone(),
        }),
        None => Ok(names),
    }
}

/// Removes what the last run left unfinished.
pub(super) fn clean_up(
    storage: &dyn Storage,
    names: &[String],
    formed: bool,
    log: Option<&Log>,
) -> Result<(), DiskError> {
    let orphans = log.map_or(&[][..], |log| &log.orphans);
    for name in names {
        let unfinished =
            [SNAPSHOT_TEMPORARY, NEW_SEGMENT_FILE, SLACK_FILE, RESTORING_FILE].contains(&name.as_str());
        // A first segment that was made before `meta` could say that the cluster is formed.
        let unused = !formed && parse_segment_name(name).is_some();
        if unfinished || unused || orphans.contains(name) {
            let removed = storage.remove(name);
            removed.map_err(|error| DiskError::io("remove", &storage.path(name), error))?;
        }
    }
    Ok(())
}
