//! Setting aside what a directory holds, when its node comes back as a new member: nothing of it may count any more,
//! and nothing is thrown away.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::lock::{LOCK_FILE, PID_FILE};
use super::meta::META_FILE;

/// How the folders begin into which old content goes.
pub(super) const SET_ASIDE: &str = "set-aside";
/// Folders of this kind in one directory; an operator removes them.
const FOLDERS_MAX: u32 = 10_000;

/// Moves everything that a directory holds, locks apart, into a new folder in it; gives the folder, or nothing if
/// there is nothing to move.
///
/// # Errors
/// An IO error; what was moved stays moved, and a later call moves the rest.
pub fn set_aside(dir: &Path) -> Result<Option<PathBuf>, DiskError> {
    let failed = |action| move |error| DiskError::io(action, dir, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("read the directory"))? {
        let name = entry.map_err(failed("read the directory"))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let stays = [LOCK_FILE, PID_FILE, "lost+found"].contains(&name.as_str());
        if !stays && !name.starts_with(SET_ASIDE) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(None);
    }
    // `meta` last: until then the directory is the old one.
    names.sort_by_key(|name| (name == META_FILE, name.clone()));
    let mut folders = (1..FOLDERS_MAX).map(|number| dir.join(format!("{SET_ASIDE}-{number}")));
    let folder = folders.find(|folder| !folder.exists());
    let folder =
        folder.ok_or_else(|| DiskError::Usage("too many folders set-aside-N: remove some".into()))?;
    crate::private::create_dir_all(&folder).map_err(failed("make a folder in"))?;
    for name in names {
        fs::rename(dir.join(&name), folder.join(&name)).map_err(failed("set aside what is in"))?;
    }
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed("sync"))?;
    Ok(Some(folder))
}
