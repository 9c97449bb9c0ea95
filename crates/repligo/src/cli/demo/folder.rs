//! The folder of a demo: temporary, or one that is kept.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::cli::dev::layout::LOCK_FILE;

/// Marks a folder as ours, so that a second run may empty it.
const MARK: &str = "repligo-demo";

/// The folder; a temporary one is removed when this is dropped, unless something went wrong.
#[derive(Debug)]
pub struct DemoFolder {
    /// Absolute.
    pub path: PathBuf,
    keep: bool,
}

impl DemoFolder {
    /// The folder that was asked for, or a new temporary one. One that holds what an earlier demo left is emptied
    /// only with `overwrite`.
    ///
    /// # Errors
    /// The folder holds something, or another demo runs there, or it cannot be written.
    pub fn open(asked: Option<&str>, overwrite: bool) -> Result<DemoFolder, String> {
        let path = match asked {
            Some(path) => PathBuf::from(path),
            None => std::env::temp_dir().join(format!("repligo-demo-{}", std::process::id())),
        };
        let failed = |error: std::io::Error| {
            format!(
                "the folder cannot be used: {error}\n  where: {}\n  do: give another --dir",
                path.display()
            )
        };
        let path = std::path::absolute(&path).map_err(failed)?;
        if path.exists() {
            empty(&path, overwrite)?;
        }
        crate::private::create_dir_all(&path).map_err(failed)?;
        std::fs::write(
            path.join(MARK),
            "made by repligo demo; `repligo demo --overwrite` empties this folder\n",
        )
        .map_err(failed)?;
        Ok(DemoFolder {
            path,
            keep: asked.is_some(),
        })
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps the folder for whoever looks for the reason.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        self.keep
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn empty(path: &Path, overwrite: bool) -> Result<(), String> {
    let failed = |error: std::io::Error| {
        format!(
            "the folder cannot be emptied: {error}\n  where: {}",
            path.display()
        )
    };
    let entries: Vec<_> = std::fs::read_dir(path)
        .and_then(Iterator::collect)
        .map_err(failed)?;
    if !entries.is_empty() && !path.join(MARK).exists() {
        return Err(format!(
            "the folder holds something that no demo has made\n  where: {}\n  do: give an empty or new --dir",
            path.display()
        ));
    }
    if !entries.is_empty() && !overwrite {
        return Err(format!(
            "the folder holds the history and the data of an earlier demo\n  where: {}\n  do: give another --dir, or \
             --overwrite if they may go",
            path.display()
        ));
    }
    // Held by a demo that still runs there.
    let lock = File::open(path.join(LOCK_FILE));
    if lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
        return Err(format!(
            "another `repligo dev` or `demo` runs here\n  where: {}\n  do: stop it, or give another --dir",
            path.display()
        ));
    }
    for entry in entries {
        let entry = entry.path();
        let removed = if entry.is_dir() {
            std::fs::remove_dir_all(&entry)
        } else {
            std::fs::remove_file(&entry)
        };
        removed.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_a_demo_are_emptied_and_only_when_asked() {
        let path = std::env::temp_dir().join(format!("repligo-folder-{}", std::process::id()));
        let text = path.display().to_string();
        std::fs::create_dir_all(&path).expect("folder");
        std::fs::write(path.join("precious"), "x").expect("file");
        let refused = |overwrite| DemoFolder::open(Some(&text), overwrite).expect_err("refused");
        assert!(refused(true).contains("no demo has made"));
        std::fs::remove_file(path.join("precious")).expect("removed");
        let folder = DemoFolder::open(Some(&text), false).expect("empty");
        std::fs::write(folder.file("history.jsonl"), "x").expect("file");
        drop(folder);
        assert!(
            path.join("history.jsonl").exists(),
            "a folder that was asked for is kept"
        );
        assert!(refused(false).contains("--overwrite"));
        assert!(path.join("history.jsonl").exists(), "nothing is lost in silence");
        let lock = File::create(path.join(LOCK_FILE)).expect("file");
        lock.lock().expect("free");
        assert!(refused(true).contains("runs here"));
        drop(lock);
        DemoFolder::open(Some(&text), true).expect("ours");
        assert!(
            !path.join("history.jsonl").exists(),
            "the second run starts empty"
        );
        let _ = std::fs::remove_dir_all(&path);
    }
}
