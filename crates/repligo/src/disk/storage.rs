//! The seam between the disk code and the file system: the few file operations that it needs.
//!
//! [`Directory`] is the real one; the tests have one in memory that separates written from durable.
//! A [`Storage`] knows nothing of formats. Names are flat: there are no subdirectories.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::private;

/// One directory.
pub(super) trait Storage: Send + Sync {
    /// Where it is, for messages.
    fn dir(&self) -> &Path;
    /// All names in it, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Makes an empty file; one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Renames, replacing what has the new name. Durable after [`Storage::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable after [`Storage::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// The full path of a name, for messages.
    fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }
}

/// Which file of a file system it is: renaming keeps it, and no copy has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Birth {
    /// Its number there.
    pub number: u64,
    /// When it was made, in nanoseconds since the epoch; 0 where the file system does not say.
    pub born_ns: u64,
}

/// One open file. At most one thread writes at a time; any thread may sync.
pub(super) trait StorageFile: Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads up to `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all slices one after the other. On an error any part may have been written.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes everything written before the call durable, the length included.
    fn sync(&self) -> io::Result<()>;
    /// Which file it is, whatever its name and content.
    fn birth(&self) -> io::Result<Birth>;

    /// Reads the whole file.
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            match self.read_at(&mut bytes[done..], done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }
}

/// A directory of the operating system.
pub(super) struct Directory {
    dir: PathBuf,
}

impl Directory {
    /// The directory must exist.
    pub(super) fn new(dir: PathBuf) -> Directory {
        Directory { dir }
    }

    fn open_with(&self, name: &str, options: &fs::OpenOptions) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(OsFile(options.open(self.dir.join(name))?)))
    }
}

impl Storage for Directory {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_with(name, fs::OpenOptions::new().read(true).write(true))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.open_with(
            name,
            private::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true),
        )
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

struct OsFile(File);

impl OsFile {
    /// The standard library has no positioned vectored write, and a seek costs a system call per write.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let count = libc::c_int::try_from(slices.len()).map_err(io::Error::other)?;
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open for as long as the file lives, and an `IoSlice` is guaranteed to
        // have the layout of an `iovec` whose bytes live through the call.
        let written = unsafe { libc::pwritev(self.0.as_raw_fd(), slices.as_ptr().cast(), count, offset) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }
}

impl StorageFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn write_at(&self, mut slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let [slice] = slices {
            return self.0.write_all_at(slice, offset);
        }
        let mut offset = offset;
        while !slices.is_empty() {
            match self.write_vectored_at(slices, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut slices, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn birth(&self) -> io::Result<Birth> {
        let metadata = self.0.metadata()?;
        let born = metadata.created().ok();
        let since = born.and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Birth {
            number: metadata.ino(),
            born_ns: since.map_or(0, |since| since.as_nanos() as u64),
        })
    }
}
