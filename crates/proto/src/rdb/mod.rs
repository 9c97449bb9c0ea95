//! Values as Redis writes them into files and payloads: lengths, strings, packed elements, and the checksum.
//!
//! DUMP and RESTORE are made of it, and so is whatever reads an RDB file. Nothing here takes memory for a length that
//! only claims to be one.

mod blob;
mod checksum;
mod reader;

pub use self::blob::{Blob, Form};
pub use self::checksum::{END_BYTES, VERSION, VERSION_OF_FIELD_DEADLINES, checksum, split};
pub use self::reader::{Length, Reader, Unpacking, little_endian, unpack};

/// No string is longer, in bytes.
pub const STRING_BYTES_MAX: usize = 512 << 20;

/// Bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;
