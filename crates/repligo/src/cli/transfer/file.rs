//! Files of exports: written under another name and renamed when they are whole, read from their start.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::format::{Batch, Entry, Reader, Writer};
use super::{Input, Outcome, Output};
use crate::cli::failure::Failure;

/// What stands for standard input and output.
pub const STANDARD: &str = "-";
/// Who may read an export: it holds data.
const MODE: u32 = 0o600;

/// An export that is being written. Dropped before its end, it leaves nothing behind.
pub struct FileOutput {
    writer: Option<Writer<Box<dyn Write>>>,
    place: Option<Place>,
}

struct Place {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl FileOutput {
    /// Opens it under the name `PATH.partial`, or begins on standard output, with these libraries of functions.
    ///
    /// # Errors
    /// The file exists, or cannot be written, or another export writes it.
    pub fn create(path: &str, overwrite: bool, libraries: &[Vec<u8>]) -> Result<FileOutput, Failure> {
        let created_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        if path == STANDARD {
            let out: Box<dyn Write> = Box::new(BufWriter::new(std::io::stdout()));
            let writer = Writer::new(out, created_ms, libraries).map_err(|error| unwritable(path, &error))?;
            return Ok(FileOutput {
                writer: Some(writer),
                place: None,
            });
        }
        if !overwrite && Path::new(path).exists() {
            return Err(Failure::new(
                format!("{path} exists"),
                "give another name, or --overwrite",
            ));
        }
        let partial = PathBuf::from(format!("{path}.partial"));
        let failed = |error: std::io::Error| unwritable(&partial.display().to_string(), &error);
        let file = OpenOptions::new()
            .write(true)
            .read(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(&partial)
            .map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(Failure::new(
                format!("{}: another export writes it", partial.display()),
                "wait until it has ended, or give another name",
            ));
        }
        file.set_len(0).map_err(failed)?;
        let out: Box<dyn Write> = Box::new(BufWriter::with_capacity(
            256 << 10,
            file.try_clone().map_err(failed)?,
        ));
        let place = Place {
            path: path.into(),
            partial: partial.clone(),
            file,
        };
        let output = FileOutput {
            writer: Some(Writer::new(out, created_ms, libraries).map_err(failed)?),
            place: Some(place),
        };
        Ok(output)
    }

    /// Writes the end, syncs, reads the file again and gives it its name. Returns its bytes.
    ///
    /// # Errors
    /// The file cannot be written, or does not hold what was written.
    pub fn finish(mut self, expected: &BTreeMap<u32, u64>) -> Result<u64, Failure> {
        let name = self
            .place
            .as_ref()
            .map_or("standard output".to_string(), |place| {
                place.partial.display().to_string()
            });
        let failed = |error: std::io::Error| unwritable(&name, &error);
        let writer = self.writer.take().expect("it is finished once");
        let (out, bytes) = writer.finish().map_err(failed)?;
        drop(out);
        if let Some(place) = &mut self.place {
            place.file.sync_all().map_err(failed)?;
            place.file.rewind().map_err(failed)?;
            let counts = Contents::check(&place.file)?.entries;
            if counts != *expected {
                return Err(Failure::new(
                    format!(
                        "{name}: it holds {counts:?} entries per database, and {expected:?} were written"
                    ),
                    "check the disk, and export again",
                ));
            }
            std::fs::rename(&place.partial, &place.path).map_err(failed)?;
            let folder = match place.path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(failed)?;
            self.place = None;
        }
        Ok(bytes)
    }

    /// The file under its present name, from its start.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn reopen(path: &str) -> Result<File, Failure> {
        open(path)
    }
}

impl Drop for FileOutput {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // It is no export; the next run would overwrite it anyway.
            let _ = std::fs::remove_file(&place.partial);
        }
    }
}

impl Output for FileOutput {
    fn take(&mut self, db: u32, entries: &[Entry]) -> Outcome<()> {
        let writer = self.writer.as_mut().expect("it is not finished");
        for entry in entries {
            let name = self.place.as_ref().map_or("standard output".into(), |place| {
                place.partial.display().to_string()
            });
            writer.add(db, entry).map_err(|error| unwritable(&name, &error))?;
        }
        Ok(())
    }
}

fn unwritable(name: &str, error: &std::io::Error) -> Failure {
    Failure::new(
        format!("{name} cannot be written: {error}"),
        "check the folder, its permissions and the free space",
    )
}

/// Opens an export for reading.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &str) -> Result<File, Failure> {
    let failed = |what: String| Failure::new(format!("{path}: {what}"), "give the file of an export");
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    match file.metadata() {
        Ok(facts) if facts.is_dir() => Err(failed("it is a folder".into())),
        _ => Ok(file),
    }
}

/// What a whole file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Per database.
    pub entries: BTreeMap<u32, u64>,
    /// Its length.
    pub bytes: u64,
    /// Codes of its libraries of functions; of an RDB file they are told elsewhere.
    pub libraries: Vec<Vec<u8>>,
}

impl Contents {
    /// Reads a file from where it stands to its end.
    ///
    /// # Errors
    /// It is cut, damaged or something else.
    pub fn check(input: impl Read) -> Result<Contents, Failure> {
        let mut reader = Reader::new(input);
        let mut contents = Contents {
            libraries: reader.libraries()?.to_vec(),
            ..Contents::default()
        };
        while let Some(batch) = reader.next()? {
            *contents.entries.entry(batch.db).or_default() += batch.entries.len() as u64;
        }
        contents.bytes = reader.position();
        Ok(contents)
    }
}

/// The blocks of an export that are asked for.
pub struct FileInput<R: Read> {
    reader: Reader<R>,
    first_block: u64,
    db: Option<u32>,
}

impl<R: Read> FileInput<R> {
    /// Blocks in front of the first one are read and left out, and so are other databases.
    pub fn new(input: R, first_block: u64, db: Option<u32>) -> FileInput<R> {
        FileInput {
            reader: Reader::new(input),
            first_block,
            db,
        }
    }
}

impl<R: Read> FileInput<R> {
    /// Codes of the libraries of functions, which stand in front of the first block.
    ///
    /// # Errors
    /// The start is cut, damaged or something else.
    pub fn libraries(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        self.reader.libraries().map(<[Vec<u8>]>::to_vec)
    }
}

impl<R: Read> Input for FileInput<R> {
    fn next(&mut self) -> Outcome<Option<Batch>> {
        loop {
            match self.reader.next()? {
                Some(batch) if batch.block < self.first_block || self.db.is_some_and(|db| db != batch.db) => {
                }
                batch => return Ok(batch),
            }
        }
    }
}
