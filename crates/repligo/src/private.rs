//! Files and folders for their owner alone: what a node stores, and what its tools say about it.
//!
//! The mode is given when a file is made, so that it is never wider, not even for an instant. The mode of
//! what exists is nobody's business here: an operator may have chosen it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Reading and writing by the owner.
const FILE_MODE: u32 = 0o600;
/// The same with looking into it.
const FOLDER_MODE: u32 = 0o700;
/// Reading, and looking into folders, by the group.
const GROUP_READS: u32 = 0o050;
/// What group and others may do.
const OTHERS: u32 = 0o077;

/// Options to which only how the file is used must be added.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Makes a folder and its missing parents.
///
/// # Errors
/// As of [`std::fs::create_dir_all`].
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Writes a whole file; one of that name is replaced, with its mode.
///
/// # Errors
/// It cannot be made or written.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().write(true).create_new(true).open(path)?;
    file.write_all(bytes.as_ref())
}

/// The mode of what others than the owner may look at; `None` where they may not, or nothing is there.
///
/// What is root's and not ours may be readable by a group: that is how container platforms give a secret to the
/// user of a program, by a group that is made for it.
pub fn open_to_others(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let is_given = metadata.uid() == 0 && process_uid() != 0;
    let forbidden = if is_given { OTHERS & !GROUP_READS } else { OTHERS };
    (mode & forbidden != 0).then_some(mode)
}

/// The user of this process: that of its own entry in /proc, root where there is none.
pub fn process_uid() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |own| own.uid())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_for_its_owner_and_what_exists_keeps_its_mode() {
        let folder = std::env::temp_dir().join(format!("repligo-private-{}", std::process::id()));
        let inner = folder.join("a/b");
        create_dir_all(&inner).expect("made");
        assert_eq!((mode(&folder), mode(&inner)), (0o700, 0o700));
        let file = inner.join("file");
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("changed");
        assert_eq!(open_to_others(&file), Some(0o644));
        write(&file, "new").expect("replaced");
        assert_eq!((mode(&file), open_to_others(&file)), (0o600, None));
        fs::set_permissions(&inner, Permissions::from_mode(0o755)).expect("changed");
        create_dir_all(&inner).expect("exists");
        assert_eq!(mode(&inner), 0o755);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
