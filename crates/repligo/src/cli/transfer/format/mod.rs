//! The file of `repligo export`: blocks of commands with checksums, described in `docs/export-format.md`.
//!
//! A file is a stream of ordinary requests, so that `redis-cli --pipe` takes it too: what is not an entry stands in
//! ECHO requests. Invariants: nothing of a block is used before its checksum was checked, and what a block may hold is
//! SELECT, SET and what makes a collection or a stream only; memory grows with bytes that were read, never with claimed numbers.

mod body;
mod reader;
mod writer;

use super::content::Content;

pub use reader::Reader;
pub use writer::Writer;

/// First word of a file.
pub const MAGIC: &str = "repligo-export";
/// What this program writes where there are libraries of functions.
pub const LIBRARIES_VERSION: u32 = 4;
/// Holds no libraries: what this program writes where there are none, so that earlier releases read it.
pub const VERSION: u32 = 3;
/// Holds no streams; it is read, too.
pub const COLLECTIONS_VERSION: u32 = 2;
/// Holds strings only; it is read, too.
pub const STRINGS_VERSION: u32 = 1;
/// A block is closed when it has so many bytes, or so many entries.
pub const BLOCK_BYTES: usize = 1 << 20;
/// See [`BLOCK_BYTES`].
pub const BLOCK_ENTRIES: usize = 4096;
/// No block can be longer: the longest key and value behind a block that was nearly full.
pub const BLOCK_BYTES_MAX: u64 = (1 << 30) + (2 << 20);
/// No line between blocks is longer.
pub const LINE_BYTES_MAX: usize = 1024;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Any bytes.
    pub key: Vec<u8>,
    /// What it holds.
    pub content: Content,
    /// When it expires, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
}

impl Entry {
    /// About what it takes.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.content.bytes()
    }
}

/// Entries of one database that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the block in its file, from 1; 0 where there is no file.
    pub block: u64,
    /// The database.
    pub db: u32,
    /// Never empty in a file.
    pub entries: Vec<Entry>,
}

/// The checksum of a line, which goes over its text in front of the checksum, and what follows the line.
fn checksum(text: &str, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(text.as_bytes()), body)
}

/// A text with its checksum, as an ECHO request.
fn line(text: &str, body: &[u8]) -> Vec<u8> {
    let text = format!("{text} crc32c=");
    let crc = checksum(&text, body);
    repligo_proto::resp::request(&["ECHO", &format!("{text}{crc:08x}")])
}

#[cfg(test)]
mod tests;
