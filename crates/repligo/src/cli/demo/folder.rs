//! The folder of a demo: temporary, or one that is kept.

use std::path::{Path, PathBuf};

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
    /// The folder that was asked for, emptied if it is an older demo's, or a new temporary one.
    ///
    /// # Errors
    /// The folder holds something else, or cannot be written.
    pub fn open(asked: Option<&str>) -> Result<DemoFolder, String> {
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
            empty(&path)?;
        }
        crate::private::create_dir_all(&path).map_err(failed)?;
        std::fs::write(
            path.join(MARK),
            "made by repligo demo; the next run empties this folder\n",
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

fn empty(path: &Path) -> Result<(), String> {
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
    fn only_folders_of_a_demo_are_emptied() {
        let path = std::env::temp_dir().join(format!("repligo-folder-{}", std::process::id()));
        let text = path.display().to_string();
        std::fs::create_dir_all(&path).expect("folder");
        std::fs::write(path.join("precious"), "x").expect("file");
        assert!(
            DemoFolder::open(Some(&text))
                .expect_err("not ours")
                .contains("no demo has made")
        );
        std::fs::remove_file(path.join("precious")).expect("removed");
        let folder = DemoFolder::open(Some(&text)).expect("empty");
        std::fs::write(folder.file("history.jsonl"), "x").expect("file");
        drop(folder);
        assert!(
            path.join("history.jsonl").exists(),
            "a folder that was asked for is kept"
        );
        DemoFolder::open(Some(&text)).expect("ours");
        assert!(
            !path.join("history.jsonl").exists(),
            "the second run starts empty"
        );
        let _ = std::fs::remove_dir_all(&path);
    }
}
