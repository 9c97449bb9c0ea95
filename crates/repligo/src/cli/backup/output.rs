//! Where a backup is written: a file that gets its name when it is whole, or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::private;

/// What stands for standard output.
pub const STANDARD: &str = "-";

/// A backup that is being written. Dropped before its end, it leaves no file.
pub struct Output {
    out: Box<dyn Write>,
    place: Option<(PathBuf, PathBuf, File)>,
}

impl Output {
    /// Begins the file `PATH.partial`, or on standard output.
    ///
    /// # Errors
    /// The file exists, or cannot be written.
    pub fn create(path: &str) -> Result<Output, Failure> {
        if path == STANDARD {
            return Ok(Output {
                out: Box::new(BufWriter::with_capacity(256 << 10, io::stdout())),
                place: None,
            });
        }
        if Path::new(path).symlink_metadata().is_ok() {
            return Err(Failure::new(
                format!("{path} exists"),
                "give another name: a backup overwrites nothing",
            ));
        }
        let partial = PathBuf::from(format!("{path}.partial"));
        let failed = |error: io::Error| unwritable(&partial.display().to_string(), &error);
        let file = open_partial(&partial)?;
        file.set_len(0).map_err(failed)?;
        let out = BufWriter::with_capacity(256 << 10, file.try_clone().map_err(failed)?);
        Ok(Output {
            out: Box::new(out),
            place: Some((path.into(), partial, file)),
        })
    }

    /// Everything was written: it gets its name.
    ///
    /// # Errors
    /// It cannot be written to its end, or meanwhile there is a file of its name.
    pub fn finish(mut self) -> Result<(), Failure> {
        let name = self
            .place
            .as_ref()
            .map_or_else(|| STANDARD.to_owned(), |(path, ..)| path.display().to_string());
        let failed = |error: io::Error| unwritable(&name, &error);
        self.out.flush().map_err(failed)?;
        if let Some((path, partial, file)) = &self.place {
            file.sync_all().map_err(failed)?;
            give_name(partial, path, |from, to| std::fs::hard_link(from, to)).map_err(failed)?;
            // Before it is told: a name that comes back after a loss of power is one of the finished backup.
            if is_named(file, partial) {
                std::fs::remove_file(partial).map_err(failed)?;
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or(Path::new(".")));
            folder.and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((_, partial, file)) = &self.place
            && is_named(file, partial)
        {
            // It is no backup under that name; the next one would empty it.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Opens the file that has no name yet, for its owner alone and for one process. One that a killed process has left is
/// taken again.
fn open_partial(partial: &Path) -> Result<File, Failure> {
    let shown = partial.display();
    let failed = |error: io::Error| unwritable(&shown.to_string(), &error);
    let created = private::options().write(true).create_new(true).open(partial);
    let is_new = created.is_ok();
    let file = match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private::options()
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(partial)
            .map_err(failed)?,
        created => created.map_err(failed)?,
    };
    let own = file.metadata().map_err(failed)?;
    if own.nlink() > 1 {
        // A finished backup, whose process ended before it had removed this name.
        std::fs::remove_file(partial).map_err(failed)?;
        return open_partial(partial);
    }
    // Whoever had it before may have ended before the lock was ours: then it is a finished backup, or gone.
    if file.try_lock().is_err() || !is_named(&file, partial) {
        return Err(Failure::new(
            format!("{shown}: another backup writes it"),
            "wait until it has ended, or give another name",
        ));
    }
    let is_private = own.is_file() && own.uid() == private::process_uid() && own.mode() & 0o077 == 0;
    if !is_new && !is_private {
        return Err(Failure::new(
            format!("{shown} exists, and others than its owner may have it open"),
            "remove it, or give another name",
        ));
    }
    Ok(file)
}

/// True if that is the name of the open file.
fn is_named(file: &File, path: &Path) -> bool {
    let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, found) = (file.metadata(), std::fs::symlink_metadata(path));
    matches!((open, found), (Ok(open), Ok(found)) if identity(&open) == identity(&found))
}

/// Gives the whole file its name, and overwrites nothing with it. A hard link does that everywhere but where there are
/// none, as on file systems of other systems.
fn give_name(partial: &Path, path: &Path, link: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<()> {
    match link(partial, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {}
        done => return done,
    }
    // The name is taken by an empty file that is ours, and only that is replaced.
    let mut options = private::options();
    options.write(true).create_new(true).open(path)?;
    std::fs::rename(partial, path).inspect_err(|_| {
        // It is as empty as it was made; the error is told.
        let _ = std::fs::remove_file(path);
    })
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        format!("{name}: it cannot be written: {error}"),
        match error.kind() {
            io::ErrorKind::NotFound => "make its folder first, or give one that exists",
            io::ErrorKind::PermissionDenied => "give a folder in which you may write",
            _ => "give a place with room, or free some",
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("repligo-output-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        folder
    }

    fn written(path: &Path) -> Output {
        let mut output = Output::create(path.to_str().expect("text")).expect("created");
        output.write_all(b"whole").expect("written");
        output
    }

    #[test]
    fn without_hard_links_the_file_gets_its_name_and_overwrites_nothing() {
        let folder = folder("links");
        let (from, to) = (folder.join("a.partial"), folder.join("a"));
        let unsupported = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(libc::EPERM));
        fs::write(&from, "whole").expect("written");
        give_name(&from, &to, unsupported).expect("named");
        assert_eq!(fs::read(&to).expect("it is there"), b"whole");
        fs::write(&from, "another").expect("written");
        let error = give_name(&from, &to, unsupported).expect_err("it exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).expect("it is there"), b"whole");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn nothing_is_written_through_what_somebody_else_has_put_there() {
        let folder = folder("partial");
        let (path, partial) = (folder.join("b"), folder.join("b.partial"));
        let victim = folder.join("victim");
        fs::write(&victim, "mine").expect("written");
        symlink(&victim, &partial).expect("linked");
        assert!(Output::create(path.to_str().expect("text")).is_err());
        assert_eq!(fs::read(&victim).expect("it is there"), b"mine");
        fs::rename(&victim, &partial).expect("renamed");
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o644)).expect("set");
        let failure = Output::create(path.to_str().expect("text"))
            .err()
            .expect("refused");
        assert!(failure.what.contains("others than its owner"), "{failure}");
        // What a killed backup has left is its owner's alone, and taken again.
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o600)).expect("set");
        written(&path).finish().expect("named");
        assert_eq!(fs::read(&path).expect("it is there"), b"whole");
        assert!(!partial.exists());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_second_name_of_a_finished_backup_is_removed_and_the_backup_left_as_it_is() {
        let folder = folder("second-name");
        let (path, partial) = (folder.join("f"), folder.join("f.partial"));
        written(&path).finish().expect("named");
        assert!(!partial.exists());
        // Its process was killed before it had removed the other name.
        fs::hard_link(&path, &partial).expect("linked");
        fs::rename(&path, folder.join("f.1")).expect("renamed");
        written(&path).finish().expect("named");
        assert_eq!(fs::read(folder.join("f.1")).expect("it is there"), b"whole");
        assert_eq!(fs::read(&path).expect("it is there"), b"whole");
        assert!(!partial.exists());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_was_opened_before_its_backup_was_finished_is_left_alone() {
        let folder = folder("finished");
        let (path, partial) = (folder.join("c"), folder.join("c.partial"));
        let first = written(&path);
        // Another process opens the file, and comes to lock it when the first one has ended.
        let late = fs::OpenOptions::new()
            .write(true)
            .open(&partial)
            .expect("it is there");
        assert!(is_named(&late, &partial));
        first.finish().expect("named");
        assert!(late.try_lock().is_ok() && !is_named(&late, &partial));
        // A backup whose file is another one by now does not remove that.
        let second = written(&folder.join("d"));
        fs::rename(folder.join("d.partial"), folder.join("e")).expect("renamed");
        fs::write(folder.join("d.partial"), "of a third one").expect("written");
        drop(second);
        assert!(folder.join("d.partial").exists());
        fs::remove_dir_all(folder).expect("removed");
    }
}
