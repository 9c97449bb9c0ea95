//! Reads an export, block by block, and refuses what is cut, damaged or something else.

use std::io::{BufReader, Read};

use repligo_proto::resp::{ARGUMENT_OVERHEAD_BYTES, Args, Limits, RequestDecoder};

use super::body::{entries_of, libraries_of};
use super::{
    BLOCK_BYTES_MAX, Batch, COLLECTIONS_VERSION, LIBRARIES_VERSION, LINE_BYTES_MAX, MAGIC, STRINGS_VERSION,
    VERSION, checksum,
};
use crate::cli::failure::Failure;

const REMEDY: &str = "take another copy of the file, or export again";

/// Reads one file from its start to its end.
pub struct Reader<R: Read> {
    input: BufReader<R>,
    /// Bytes read so far.
    position: u64,
    blocks: u64,
    entries: u64,
    /// Of the file; 0 before its first line was read.
    version: u32,
    /// Codes of the libraries of functions.
    libraries: Vec<Vec<u8>>,
    is_ended: bool,
}

/// What stands between blocks.
enum Line {
    Block { db: u32, entries: u64, bytes: u64 },
    End,
}

impl<R: Read> Reader<R> {
    /// Nothing is read yet.
    pub fn new(input: R) -> Reader<R> {
        Reader {
            input: BufReader::with_capacity(256 << 10, input),
            position: 0,
            blocks: 0,
            entries: 0,
            version: 0,
            libraries: Vec::new(),
            is_ended: false,
        }
    }

    /// Bytes read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Reads what stands in front of the first block, where that was not done yet, and gives the codes of the libraries
    /// of functions.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn libraries(&mut self) -> Result<&[Vec<u8>], Failure> {
        if self.version == 0 {
            let version = self.header()?;
            if version == LIBRARIES_VERSION {
                self.libraries = self.read_libraries()?;
            }
            self.version = version;
        }
        Ok(&self.libraries)
    }

    fn read_libraries(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        let start = self.position;
        let (text, crc) = self.line(start)?;
        let (Some(count), Some(bytes)) = (field(&text, "libraries"), field(&text, "bytes")) else {
            return Err(self.damaged(start, "the libraries of functions are missing"));
        };
        if bytes > BLOCK_BYTES_MAX || count == 0 {
            return Err(self.damaged(start, "libraries of functions cannot have that size"));
        }
        let body = self.body(start, bytes)?;
        if checksum(&text, &body) != crc {
            return Err(self.damaged(start, "the checksum does not fit: bytes were changed"));
        }
        libraries_of(&body)
            .filter(|libraries| libraries.len() as u64 == count)
            .ok_or_else(|| self.damaged(start, "the block holds something else than it says"))
    }

    fn body(&mut self, start: u64, bytes: u64) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let read = self.input.by_ref().take(bytes).read_to_end(&mut body);
        let count = read.map_err(|error| self.unreadable(&error))? as u64;
        self.position += count;
        if count < bytes {
            return Err(self.damaged(start, "the file ends within a block: it was cut"));
        }
        Ok(body)
    }

    /// The next block, or `None` behind the last one.
    ///
    /// # Errors
    /// What is wrong, with the block and its offset. Nothing of that block is returned.
    pub fn next(&mut self) -> Result<Option<Batch>, Failure> {
        if self.is_ended {
            return Ok(None);
        }
        self.libraries()?;
        let start = self.position;
        let (text, crc) = self.line(start)?;
        let line = self.parse(&text, start)?;
        let Line::Block { db, entries, bytes } = line else {
            if checksum(&text, &[]) != crc {
                return Err(self.damaged(start, "the checksum of the end does not fit"));
            }
            return self.end(start);
        };
        let body = self.body(start, bytes)?;
        if checksum(&text, &body) != crc {
            return Err(self.damaged(start, "the checksum does not fit: bytes were changed"));
        }
        let parsed = entries_of(&body, db, self.version).filter(|parsed| parsed.len() as u64 == entries);
        let Some(parsed) = parsed else {
            return Err(self.damaged(start, "the block holds something else than it says"));
        };
        self.blocks += 1;
        self.entries += entries;
        Ok(Some(Batch {
            block: self.blocks,
            db,
            entries: parsed,
        }))
    }

    fn header(&mut self) -> Result<u32, Failure> {
        let foreign = |what: &str| {
            Failure::new(
                format!("the input is no export of repligo: {what}"),
                "give a file that `repligo export` has written, or an RDB file by its name",
            )
        };
        let mut first = [0; 1];
        let count = self
            .input
            .read(&mut first)
            .map_err(|error| self.unreadable(&error))?;
        if count == 0 {
            return Err(foreign("it is empty"));
        }
        self.position += 1;
        let (text, crc) = match first {
            [b'*'] => self.line_behind(1).map_err(|_| foreign("it begins otherwise"))?,
            [b'R'] if self.goes_on_with(b"PLGBKUP") => {
                return Err(foreign(
                    "it is a backup, of which `repligo restore` makes the directory of a node",
                ));
            }
            _ => return Err(foreign("it begins otherwise")),
        };
        let Some(rest) = text.strip_prefix(MAGIC) else {
            return Err(foreign("it begins otherwise"));
        };
        let Some(version) = field(rest, "version") else {
            return Err(foreign("its first line has no version"));
        };
        let mut known = [STRINGS_VERSION, COLLECTIONS_VERSION, VERSION, LIBRARIES_VERSION].into_iter();
        let Some(version) = known.find(|known| u64::from(*known) == version) else {
            return Err(Failure::new(
                format!(
                    "the export has version {version}, and this program reads versions up to {LIBRARIES_VERSION}"
                ),
                "import it with the release of repligo that wrote it, or a newer one",
            ));
        };
        if checksum(&text, &[]) != crc {
            return Err(self.damaged(0, "the checksum of the first line does not fit"));
        }
        Ok(version)
    }

    /// Whether these bytes come next, in an input of which nothing else is read.
    fn goes_on_with(&mut self, expected: &[u8; 7]) -> bool {
        let mut next = [0; 7];
        self.input.read_exact(&mut next).is_ok() && next == *expected
    }

    fn end(&mut self, start: u64) -> Result<Option<Batch>, Failure> {
        let mut more = [0; 1];
        match self.input.read(&mut more) {
            Ok(0) => {}
            Ok(_) => return Err(self.damaged(start, "there is something behind the end")),
            Err(error) => return Err(self.unreadable(&error)),
        }
        self.is_ended = true;
        Ok(None)
    }

    /// Judges the text of a line against what was read so far.
    fn parse(&self, text: &str, start: u64) -> Result<Line, Failure> {
        let wrong = |what| self.damaged(start, what);
        if let Some(rest) = text.strip_prefix("end") {
            let numbers = (field(rest, "blocks"), field(rest, "entries"));
            return if numbers == (Some(self.blocks), Some(self.entries)) {
                Ok(Line::End)
            } else {
                Err(wrong("the end counts other blocks or entries than there are"))
            };
        }
        let numbers = [
            field(text, "block"),
            field(text, "db"),
            field(text, "entries"),
            field(text, "bytes"),
        ];
        let [Some(number), Some(db), Some(entries), Some(bytes)] = numbers else {
            return Err(wrong("the line in front of a block cannot be read"));
        };
        if number != self.blocks + 1 {
            return Err(wrong("a block is missing or stands twice"));
        }
        let Ok(db) = u32::try_from(db) else {
            return Err(wrong("there is no such database"));
        };
        if bytes > BLOCK_BYTES_MAX || entries == 0 {
            return Err(wrong("a block cannot have that size"));
        }
        Ok(Line::Block { db, entries, bytes })
    }

    /// An ECHO request: its text up to and with `crc32c=`, and the checksum.
    fn line(&mut self, start: u64) -> Result<(String, u32), Failure> {
        match self.byte()? {
            Some(b'*') => self.line_behind(start + 1),
            Some(_) => Err(self.damaged(start, "no block begins here")),
            None => Err(self.damaged(start, "the file has no end: it was cut")),
        }
    }

    /// The same, behind its first byte.
    fn line_behind(&mut self, start: u64) -> Result<(String, u32), Failure> {
        let start = start - 1;
        let mut bytes = vec![b'*'];
        let mut decoder = RequestDecoder::new(Limits {
            line_bytes_max: LINE_BYTES_MAX,
            arguments_max: 2,
            bulk_bytes_max: LINE_BYTES_MAX,
            request_bytes_max: LINE_BYTES_MAX + 2 * ARGUMENT_OVERHEAD_BYTES,
        });
        let mut args = Args::new();
        loop {
            match decoder.decode(&bytes, &mut args) {
                Err(_) => return Err(self.damaged(start, "the line in front of a block cannot be read")),
                Ok(Some(_)) => break,
                Ok(None) => match self.byte()? {
                    Some(byte) => bytes.push(byte),
                    None => return Err(self.damaged(start, "the file ends within a line: it was cut")),
                },
            }
        }
        let view = args.view(&bytes);
        let text = match (view.try_get(0), view.try_get(1)) {
            (Some(b"ECHO"), Some(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        // The text ends with eight digits of the checksum.
        let split = text.and_then(|text| text.split_at_checked(text.len().checked_sub(8)?));
        let parsed = split.and_then(|(text, digits)| {
            let crc = u32::from_str_radix(digits, 16).ok()?;
            // One number has one form, so that no changed byte goes unnoticed.
            let is_exact = text.ends_with(" crc32c=") && format!("{crc:08x}") == digits;
            is_exact.then(|| (text.to_string(), crc))
        });
        parsed.ok_or_else(|| self.damaged(start, "the line in front of a block cannot be read"))
    }

    fn byte(&mut self) -> Result<Option<u8>, Failure> {
        let mut byte = [0; 1];
        match self.input.read_exact(&mut byte) {
            Ok(()) => {
                self.position += 1;
                Ok(Some(byte[0]))
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn damaged(&self, start: u64, what: &str) -> Failure {
        let block = self.blocks + 1;
        Failure::new(format!("block {block}, at offset {start}: {what}"), REMEDY)
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::new(
            format!("the input cannot be read at offset {}: {error}", self.position),
            "check the file and the disk",
        )
    }
}

/// The number of `name=` in a line of such pairs.
fn field(text: &str, name: &str) -> Option<u64> {
    text.split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?
        .parse()
        .ok()
}
