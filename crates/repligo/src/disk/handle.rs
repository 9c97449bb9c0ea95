//! The running disk: three threads and the handle through which the worker feeds them.
//!
//! - `disk-log` writes persists in groups: whatever is queued goes into one write and, where the mode or a
//!   persist demands it, one sync. [`super::direct`] lets the worker write in its place, without a sync.
//! - `disk-snapshot` writes snapshot pieces, so that the sync of a large snapshot does not hold up the log.
//! - `disk-sync` (durability `os` only) syncs the log every second, so that writes do not wait for it.
//!
//! A persist with `install` waits until the snapshot that it names is durable; segments go only after the
//! snapshot that covers them is durable. After the first error all stops, is reported once, and nothing is written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use repligo_core::contract::{Durability, Persist, Send, SnapshotIo};
use repligo_core::membership::Membership;

use super::backup::SnapshotSource;
use super::direct::Direct;
use super::error::DiskError;
use super::lock::DirectoryLock;
use super::meta::{Forming, Meta};
use super::metrics::Counters;
use super::open::{self, SYNC_FAILED};
use super::pieces::{piece_bytes, run_snapshots};
use super::snapshot::SnapshotWriter;
use super::space::{Space, unless_full, write_meta};
use super::storage::Storage;
use super::wal::{Progress, Wal};

/// Period of the background sync, and of the pause after which the log says that it is synced.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// What the disk reports, from its own threads.
#[derive(Debug)]
pub enum DiskDone {
    /// All persists up to and including `number` are durable by the mode: give
    /// [`Input::Persisted`](repligo_core::contract::Input::Persisted) to the core and let `sends` leave.
    Persisted {
        /// Number of the last one.
        number: u64,
        /// Their `then_send`s, in order.
        sends: Vec<Send>,
    },
    /// A snapshot is complete and durable.
    SnapshotSaved {
        /// Index of the last entry that it contains.
        index: u64,
    },
    /// The disk has no room for the log but its reserve, or has room again.
    Full(bool),
    /// There is no room for the snapshot that is being written: to be aborted, unless it has replaced the state.
    SnapshotFailed,
    /// The disk failed and does nothing more: log the text and stop the node. Reported once; what was
    /// submitted and not reported persisted stays unanswered.
    Fatal(DiskError),
}

type OnDone = Box<dyn Fn(DiskDone) + std::marker::Send + Sync>;

/// What an open disk gives to its threads.
pub(super) struct Parts {
    pub lock: Option<DirectoryLock>,
    pub storage: Arc<dyn Storage>,
    pub counters: Arc<Counters>,
    pub meta: Meta,
    pub wal: Wal,
    pub snapshot_index: u64,
    pub segment_bytes: u64,
}

impl Parts {
    /// A writer for this directory's snapshots.
    pub(super) fn snapshot_writer(&self) -> SnapshotWriter {
        let Forming::Formed { cluster_id } = self.meta.forming else {
            unreachable!("only a formed node has a log");
        };
        SnapshotWriter::new(self.storage.clone(), self.counters.clone(), cluster_id)
    }
}

/// How a thread is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Run,
    /// Do what is queued, then end.
    Drain,
    /// End at once.
    Abandon,
}

pub(super) enum Job {
    Persist(Persist),
    DropLog(u64),
    /// Extend the active segment ahead of the writer.
    FillAhead,
    /// The members are others from now on.
    Members(Membership),
}

pub(super) struct Queues {
    pub(super) jobs: Vec<Job>,
    pub(super) pieces: VecDeque<SnapshotIo>,
    pub(super) log_mode: Mode,
    pub(super) snapshot_mode: Mode,
    /// Index of the last snapshot whose end was queued.
    snapshot_ended: u64,
    /// Index of the snapshot on disk.
    pub(super) snapshot_saved: u64,
}

pub(super) struct Shared {
    queues: Mutex<Queues>,
    /// Held by whoever writes; none once closed.
    pub(super) wal: Mutex<Option<Wal>>,
    pub(super) progress: Arc<Progress>,
    /// The log thread has something to do, or its snapshot is there.
    pub(super) log_work: Condvar,
    pub(super) snapshot_work: Condvar,
    /// Wakes who waits for a period to pass before it has: it is to end.
    pub(super) end: Condvar,
    failed: AtomicBool,
    pub(super) snapshot_backlog: AtomicU64,
    pub(super) on_done: OnDone,
    pub(super) space: Space,
    pub(super) counters: Arc<Counters>,
    pub(super) storage: Arc<dyn Storage>,
    /// Changes with the membership only.
    pub(super) meta: Mutex<Meta>,
    pub(super) durability: Durability,
}

impl Shared {
    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Poisons the disk and reports the first error.
    pub(super) fn fail(&self, error: DiskError) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        if let (DiskError::SyncFailed { .. }, Durability::Os) = (&error, self.durability) {
            // What was acknowledged unsynced may be gone though the machine runs on. If even this cannot
            // be written, the kernel still has the pages more likely than not.
            let _ = write_meta(
                &*self.storage,
                &Meta {
                    boot_id: SYNC_FAILED.into(),
                    ..self.meta()
                },
            );
        }
        // Under the lock, so that no thread misses it between its check and its wait.
        let mut queues = self.queues();
        queues.jobs.clear();
        queues.pieces.clear();
        drop(queues);
        self.wake_all();
        (self.on_done)(DiskDone::Fatal(error));
    }

    fn wake_all(&self) {
        self.log_work.notify_all();
        self.snapshot_work.notify_all();
        self.end.notify_all();
    }

    /// Waits for jobs, at most a period if `pause` is set, and takes all of them. False: end.
    fn take_jobs(&self, jobs: &mut Vec<Job>, pause: bool) -> bool {
        let mut queues = self.queues();
        loop {
            if self.failed() || queues.log_mode == Mode::Abandon {
                return false;
            }
            if !queues.jobs.is_empty() {
                std::mem::swap(&mut queues.jobs, jobs);
                return true;
            }
            if queues.log_mode == Mode::Drain {
                return false;
            }
            if pause {
                let waited = self.log_work.wait_timeout(queues, SYNC_PERIOD);
                let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() && guard.jobs.is_empty() {
                    return !self.failed();
                }
                queues = guard;
            } else {
                queues = self.log_work.wait(queues).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Waits until a snapshot of at least this index is durable. False: end.
    fn wait_for_snapshot(&self, index: u64) -> bool {
        let mut queues = self.queues();
        while queues.snapshot_saved < index {
            if self.failed() || queues.log_mode == Mode::Abandon {
                return false;
            }
            queues = self.log_work.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
        !self.failed()
    }
}

/// The log thread's own state.
struct LogThread {
    shared: Arc<Shared>,
    fsync: bool,
    group: Vec<Persist>,
}

impl LogThread {
    /// Runs until told to end. Where the worker writes too, it looks every period for something to mark.
    fn run(mut self) {
        let (shared, mut jobs) = (self.shared.clone(), Vec::new());
        let mut pause = true;
        while shared.take_jobs(&mut jobs, pause) {
            let mut wal = shared.wal.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(wal) = wal.as_mut() else { break };
            shared.counters.begin();
            if let Err(error) = self.execute(wal, &mut jobs) {
                shared.fail(error);
            }
            pause = !self.fsync || wal.unmarked() || shared.space.is_full();
            shared.counters.idle();
        }
    }

    fn execute(&mut self, wal: &mut Wal, jobs: &mut Vec<Job>) -> Result<(), DiskError> {
        self.shared.regain_space(wal);
        if jobs.is_empty() {
            return unless_full(wal.mark_synced());
        }
        for job in jobs.drain(..) {
            match job {
                Job::Persist(persist) => match persist.install {
                    None => self.group.push(persist),
                    Some(index) => {
                        self.commit(wal)?;
                        if !self.shared.wait_for_snapshot(index) {
                            return Ok(());
                        }
                        self.group.push(persist);
                        self.commit(wal)?;
                        wal.drop_to(index)?;
                    }
                },
                Job::DropLog(index) => {
                    self.commit(wal)?;
                    wal.drop_to(index)?;
                }
                Job::FillAhead => unless_full(wal.fill_ahead())?,
                Job::Members(membership) => {
                    let shared = self.shared.clone();
                    shared.when_there_is_room(wal, |_| shared.keep(membership.clone()))?;
                }
            }
        }
        self.commit(wal)
    }

    /// Writes the gathered persists, syncs where demanded, and reports.
    fn commit(&mut self, wal: &mut Wal) -> Result<(), DiskError> {
        let Some(last) = self.group.last() else {
            return Ok(());
        };
        let number = last.number;
        let group = &self.group;
        self.shared.when_there_is_room(wal, |wal| wal.append(group))?;
        if self.fsync || self.group.iter().any(|persist| persist.must_sync) {
            wal.sync()?;
        }
        if self.shared.failed() {
            // Another thread has reported the end meanwhile; nothing is reported after it.
            return Ok(());
        }
        self.shared.counters.batch(self.group.len() as u64);
        let mut sends = Vec::new();
        for persist in self.group.drain(..) {
            if sends.is_empty() {
                sends = persist.then_send;
            } else {
                sends.extend(persist.then_send);
            }
        }
        (self.shared.on_done)(DiskDone::Persisted { number, sends });
        Ok(())
    }
}

fn run_syncs(shared: &Shared, progress: &Progress) {
    let mut queues = shared.queues();
    while queues.log_mode == Mode::Run && !shared.failed() {
        let waited = shared.end.wait_timeout(queues, SYNC_PERIOD);
        drop(waited.unwrap_or_else(PoisonError::into_inner).0);
        if let Err(error) = progress.sync() {
            return shared.fail(error);
        }
        queues = shared.queues();
    }
}

/// Takes the core's persists and snapshot pieces; owned by the worker.
pub struct DiskHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) direct: Direct,
    lock: Option<DirectoryLock>,
    log: Option<JoinHandle<()>>,
    snapshots: Option<JoinHandle<()>>,
    syncs: Option<JoinHandle<()>>,
}

impl DiskHandle {
    pub(super) fn start(parts: Parts, on_done: OnDone) -> Result<DiskHandle, DiskError> {
        let (writer, progress) = (parts.snapshot_writer(), parts.wal.progress());
        let queues = Queues {
            jobs: Vec::new(),
            pieces: VecDeque::new(),
            log_mode: Mode::Run,
            snapshot_mode: Mode::Run,
            snapshot_ended: parts.snapshot_index,
            snapshot_saved: parts.snapshot_index,
        };
        let shared = Arc::new(Shared {
            queues: Mutex::new(queues),
            wal: Mutex::new(Some(parts.wal)),
            progress: progress.clone(),
            log_work: Condvar::new(),
            snapshot_work: Condvar::new(),
            end: Condvar::new(),
            failed: AtomicBool::new(false),
            snapshot_backlog: AtomicU64::new(0),
            on_done,
            space: Space::new(parts.storage.clone(), parts.segment_bytes),
            counters: parts.counters,
            storage: parts.storage,
            durability: parts.meta.durability,
            meta: Mutex::new(parts.meta),
        });
        shared.begin_space();
        let fsync = shared.durability == Durability::Fsync;
        // Made first: should a thread not start, dropping it ends those that did.
        let mut handle = DiskHandle {
            shared: shared.clone(),
            direct: Direct::default(),
            lock: parts.lock,
            log: None,
            snapshots: None,
            syncs: None,
        };
        let log = LogThread {
            shared: shared.clone(),
            fsync,
            group: Vec::new(),
        };
        handle.log = Some(spawn("disk-log", &shared, move || log.run())?);
        let for_snapshots = shared.clone();
        let run = move || run_snapshots(&for_snapshots, writer);
        handle.snapshots = Some(spawn("disk-snapshot", &shared, run)?);
        if !fsync {
            let for_syncs = shared.clone();
            let run = move || run_syncs(&for_syncs, &progress);
            handle.syncs = Some(spawn("disk-sync", &shared, run)?);
        }
        Ok(handle)
    }

    /// Queues a persist. Never blocks; bounded by the core's own limits.
    ///
    /// # Panics
    /// When it installs a snapshot whose end was not given before: a bug of the core.
    pub fn submit(&self, persist: Persist) {
        let mut queues = self.shared.queues();
        if let Some(index) = persist.install {
            assert!(
                queues.snapshot_ended >= index,
                "a snapshot is installed after its end was given"
            );
        }
        if self.shared.failed() {
            return;
        }
        self.direct.queued(persist.number);
        queues.jobs.push(Job::Persist(persist));
        drop(queues);
        self.shared.log_work.notify_one();
    }

    /// Queues a piece of a snapshot. Give all pieces of a step before its persists.
    pub fn snapshot(&self, piece: SnapshotIo) {
        let mut queues = self.shared.queues();
        if let SnapshotIo::End { index, .. } = &piece {
            queues.snapshot_ended = *index;
        }
        if self.shared.failed() {
            return;
        }
        self.shared
            .snapshot_backlog
            .fetch_add(piece_bytes(&piece), Ordering::Relaxed);
        queues.pieces.push_back(piece);
        drop(queues);
        self.shared.snapshot_work.notify_one();
    }

    /// The snapshot on this disk, for another thread to read.
    pub fn snapshot_source(&self) -> SnapshotSource {
        SnapshotSource::new(self.shared.storage.clone())
    }

    /// Clean stop: writes and reports everything queued, syncs, sets the clean mark, removes `node.pid`
    /// and unlocks the directory. Blocks meanwhile. Dropping the handle instead counts as a crash.
    ///
    /// # Errors
    /// The last step that failed; the clean mark is then not set.
    pub fn close(mut self) -> Result<(), DiskError> {
        let wal = self.stop(Mode::Drain).ok_or(DiskError::Poisoned)?;
        open::close(
            &*self.shared.storage,
            self.shared.meta(),
            Some(wal),
            self.lock.take(),
        )
    }

    /// Ends the threads. The snapshot thread first: persists may wait for it.
    fn stop(&mut self, mode: Mode) -> Option<Wal> {
        let mut queues = self.shared.queues();
        queues.snapshot_mode = mode;
        if mode == Mode::Abandon {
            queues.log_mode = mode;
        }
        drop(queues);
        self.shared.wake_all();
        // A thread that panicked has said so; without all of them there is no clean mark.
        let snapshots = self.snapshots.take().map_or(Ok(()), JoinHandle::join);
        self.shared.queues().log_mode = mode;
        self.shared.wake_all();
        let syncs = self.syncs.take().map_or(Ok(()), JoinHandle::join);
        let log = self.log.take()?.join();
        snapshots.and(syncs).and(log).ok()?;
        let wal = self.shared.wal.lock().ok()?.take();
        wal.filter(|_| !self.shared.failed())
    }
}

impl Drop for DiskHandle {
    fn drop(&mut self) {
        if self.log.is_some() {
            self.stop(Mode::Abandon);
        }
    }
}

fn spawn<T: std::marker::Send + 'static>(
    name: &str,
    shared: &Shared,
    run: impl FnOnce() -> T + std::marker::Send + 'static,
) -> Result<JoinHandle<T>, DiskError> {
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(|error| DiskError::io("start a thread for", shared.storage.dir(), error))
}
