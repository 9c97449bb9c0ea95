//! Keys that come from files, and are read again when the files change.
//!
//! A thread of its own looks at the files, so that the worker never waits for a disk. Connections that exist
//! go on: a change is for the next handshake. A change that cannot be used is logged, and what was in use stays.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is wrong: the file, what it is, and what to do.
pub type FileTrouble = (PathBuf, String, String);

/// What tells whether a file has changed: when, how long, and which one it is.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Files, and what is made of them.
pub trait Source: Send + Sync + 'static {
    /// What is made of them.
    type Keys: Send + Sync;
    /// What the keys are for, as a log line says it.
    const WHAT: &'static str;

    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, how, and what to do.
    fn load(&self, now: UnixTime) -> Result<Self::Keys, FileTrouble>;

    /// Whether the keys must be made anew although no file has changed.
    fn is_due(_keys: &Self::Keys, _now: UnixTime) -> bool {
        false
    }
}

/// The present keys, shared between the worker and the thread that keeps them fresh.
pub struct Watched<S: Source> {
    source: S,
    current: Mutex<Arc<S::Keys>>,
    ask: SyncSender<()>,
}

/// What the thread that watches has seen last.
struct Seen {
    stamps: Vec<Stamp>,
    has_failed: bool,
}

fn stamps(paths: &[&Path]) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let stamp = |path: &&Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    paths.iter().map(stamp).collect()
}

impl<S: Source> Watched<S> {
    /// Reads the files and watches them from now on.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn open(source: S) -> Result<Arc<Self>, FileTrouble> {
        let mut seen = Seen {
            stamps: stamps(&source.paths()),
            has_failed: false,
        };
        let keys = source.load(UnixTime::now())?;
        let (ask, asked) = sync_channel(1);
        let store = Arc::new(Self {
            ask,
            source,
            current: Mutex::new(Arc::new(keys)),
        });
        let watched = Arc::downgrade(&store);
        let watch = move || {
            while let Some(is_asked) = wait(&asked) {
                let Some(store) = watched.upgrade() else { return };
                store.look(&mut seen, is_asked);
            }
        };
        let thread = std::thread::Builder::new().name("repligo-keys".to_owned());
        thread.spawn(watch).map_err(|error| {
            let remedy = "raise the limit of processes and threads (ulimit -u)".to_owned();
            (PathBuf::new(), error.to_string(), remedy)
        })?;
        Ok(store)
    }

    /// Looks at the files at once.
    pub fn look_now(&self) {
        // One word that was not heard yet is as good as two.
        let _ = self.ask.try_send(());
    }

    /// What is in use now.
    pub fn current(&self) -> Arc<S::Keys> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn look(&self, seen: &mut Seen, is_asked: bool) {
        let stamps = stamps(&self.source.paths());
        let now = UnixTime::now();
        let has_changed = is_asked || stamps != seen.stamps;
        if !has_changed && !S::is_due(&self.current(), now) {
            return;
        }
        seen.stamps = stamps;
        match self.source.load(now) {
            Ok(keys) => {
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                if has_changed {
                    tracing::info!(
                        "the keys of {} were read again: they hold for new connections",
                        S::WHAT
                    );
                }
                seen.has_failed = false;
            }
            Err((path, what, remedy)) => {
                if has_changed || !seen.has_failed {
                    tracing::error!("{}: {what}; {remedy}. The keys in use stay", path.display());
                }
                seen.has_failed = true;
            }
        }
    }
}

/// Whether somebody has asked; `None` when nobody can any more.
fn wait(asked: &Receiver<()>) -> Option<bool> {
    match asked.recv_timeout(LOOK_EVERY) {
        Ok(()) => Some(true),
        Err(RecvTimeoutError::Timeout) => Some(false),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}
