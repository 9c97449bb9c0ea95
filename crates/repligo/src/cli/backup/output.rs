//! Where a backup is written: a file that gets its name when it is whole, or standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
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
        if Path::new(path).exists() {
            return Err(Failure::new(
                format!("{path} exists"),
                "give another name: a backup overwrites nothing",
            ));
        }
        let partial = PathBuf::from(format!("{path}.partial"));
        let failed = |error: io::Error| unwritable(&partial.display().to_string(), &error);
        let mut options = private::options();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(Failure::new(
                format!("{}: another backup writes it", partial.display()),
                "wait until it has ended, or give another name",
            ));
        }
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
            // Unlike a rename it overwrites nothing.
            std::fs::hard_link(partial, path).map_err(failed)?;
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
        if let Some((_, partial, _)) = &self.place {
            // It is no backup under that name; the next one would empty it.
            let _ = std::fs::remove_file(partial);
        }
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::new(
        format!("{name}: it cannot be written: {error}"),
        "give a place with room, or free some",
    )
}
