//! One process per data directory: an advisory lock that dies with the process, and `node.pid`.
//!
//! `node.pid` is for people and for `dev`, which finds restarted nodes by it; only the lock decides.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::meta::META_FILE;
use crate::private;

/// Name of the locked file; it holds the owner's process id and is never removed.
pub const LOCK_FILE: &str = "lock";
/// Name of the file with the running node's process id; removed by a clean stop.
pub const PID_FILE: &str = "node.pid";

/// The right to use a data directory, until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if it is missing and locks it. Writes nothing else into it, so that a
    /// directory that turns out to be somebody else's stays nearly untouched.
    ///
    /// # Errors
    /// [`DiskError::Locked`] with the other process' id, or an IO error.
    pub fn acquire(dir: &Path) -> Result<DirectoryLock, DiskError> {
        make_durably(dir).map_err(|error| DiskError::io("create the data directory", dir, error))?;
        warn_if_open(dir);
        let path = dir.join(LOCK_FILE);
        let mut file = private::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| DiskError::io("open the lock file", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The text is only for the message: without it the error is as true.
                let _ = file.read_to_string(&mut pid);
                return Err(DiskError::Locked {
                    dir: dir.to_path_buf(),
                    pid: holder(pid.trim()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(DiskError::io("lock", &path, error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|error| DiskError::io("write", &path, error))?;
        Ok(DirectoryLock {
            dir: dir.to_path_buf(),
            _file: file,
        })
    }

    /// For durability `none`, which uses no directory but still wants it for itself: locks it, writes
    /// `node.pid`, and refuses a directory that holds data, which would be ignored and go stale.
    ///
    /// # Errors
    /// As [`DirectoryLock::acquire`], and [`DiskError::DataWithoutDurability`].
    pub fn acquire_without_data(dir: &Path) -> Result<DirectoryLock, DiskError> {
        let lock = DirectoryLock::acquire(dir)?;
        if dir.join(META_FILE).exists() {
            return Err(DiskError::DataWithoutDurability {
                dir: dir.to_path_buf(),
            });
        }
        lock.write_pid()?;
        Ok(lock)
    }

    /// Writes `node.pid`, by rename so that a reader never sees half of it.
    pub(super) fn write_pid(&self) -> Result<(), DiskError> {
        let path = self.dir.join(PID_FILE);
        let temporary = self.dir.join("node.pid.tmp");
        private::write(&temporary, format!("{}\n", std::process::id()))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| DiskError::io("write", &path, error))
    }

    /// Removes `node.pid`: the node has stopped cleanly. The lock goes with `self`.
    pub fn release(self) {
        // A leftover pid file only costs its reader a look at the process list.
        let _ = fs::remove_file(self.dir.join(PID_FILE));
    }
}

/// The process that wrote its number into the lock file, as far as it can be found from here.
fn holder(pid: &str) -> String {
    if pid.is_empty() {
        return "unknown".to_owned();
    }
    match Path::new("/proc").join(pid).exists() {
        true => pid.to_owned(),
        false => {
            format!("{pid}, which is not seen from here: look in other containers and on other machines")
        }
    }
}

/// Files made here are for their owner alone, older ones may not be. A directory that exists is its
/// operator's, who may have a reason.
fn warn_if_open(dir: &Path) {
    if let Some(mode) = private::open_to_others(dir) {
        tracing::warn!(
            dir = %dir.display(),
            mode = format!("{mode:o}"),
            "other users of this machine may look into the data directory; `chmod 700` it if that is not meant"
        );
    }
}

/// Makes a directory and its missing parents, and syncs the directories that got a new name: without that a
/// power loss could take the whole data directory, however well its files were synced.
fn make_durably(dir: &Path) -> io::Result<()> {
    let absolute = std::path::absolute(dir)?;
    let missing = absolute.ancestors().take_while(|ancestor| !ancestor.exists());
    let parents: Vec<&Path> = missing.filter_map(Path::parent).collect();
    private::create_dir_all(dir)?;
    parents
        .into_iter()
        .try_for_each(|parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_cannot_be_found_here_is_told_as_that() {
        let own = std::process::id().to_string();
        assert_eq!(holder(&own), own);
        assert_eq!(holder(""), "unknown");
        assert!(
            holder("4194305").contains("not seen from here"),
            "above the largest number of a process"
        );
    }
}
