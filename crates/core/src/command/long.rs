//! Ops that are encoded a piece at a time, because a turn has no time to copy all of their bytes.
//!
//! The request stays where it is until all of it is encoded. Each piece encodes the command anew and takes what
//! comes next: this costs time for each argument, but for no byte that lies elsewhere, and needs no second layout.
//! In front of the op is room for what stands before it in an entry, so that it is not copied once more.
//!
//! Invariant: whatever the pieces are, the op is what [`Command::encode`] makes of the command.

use super::Command;
use crate::packed::Sink;

/// Room in front of a long op: for its length, whose it is, and the head of an entry with a few short ops.
pub const ROOM_BYTES: usize = 1024;

/// An op, as far as it is encoded.
#[derive(Debug, Default)]
pub struct LongOp {
    /// Room, then the op.
    bytes: Vec<u8>,
    /// Bytes of the whole op.
    total: usize,
}

impl LongOp {
    /// Begins with an empty op that will hold `command`.
    pub fn begin(command: &Command<'_>) -> Self {
        let mut part = Part {
            out: Vec::new(),
            skipped: usize::MAX,
            room: 0,
            total: 0,
        };
        command.encode_to(&mut part);
        let mut bytes = Vec::with_capacity(ROOM_BYTES + part.total);
        bytes.resize(ROOM_BYTES, 0);
        Self {
            bytes,
            total: part.total,
        }
    }

    /// Encodes at most `bytes_max` bytes more of the command that it was begun with; true when it is whole.
    pub fn advance(&mut self, command: &Command<'_>, bytes_max: usize) -> bool {
        let mut part = Part {
            skipped: self.bytes.len() - ROOM_BYTES,
            out: std::mem::take(&mut self.bytes),
            room: bytes_max,
            total: 0,
        };
        command.encode_to(&mut part);
        assert_eq!(part.total, self.total, "the same command has the same encoding");
        self.bytes = part.out;
        self.is_whole()
    }

    /// Memory that it holds.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The op behind [`ROOM_BYTES`] of room.
    ///
    /// # Panics
    /// If it is not whole.
    pub fn finish(self) -> Vec<u8> {
        assert!(self.is_whole(), "only a whole op goes into the log");
        self.bytes
    }

    fn is_whole(&self) -> bool {
        self.bytes.len() == ROOM_BYTES + self.total
    }
}

/// Takes the next bytes of an encoding and counts all of them.
struct Part {
    out: Vec<u8>,
    /// Bytes that are there already.
    skipped: usize,
    /// Bytes that may be taken.
    room: usize,
    total: usize,
}

impl Sink for Part {
    fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        let skipped = self.skipped.min(bytes.len());
        self.skipped -= skipped;
        let taken = self.room.min(bytes.len() - skipped);
        self.room -= taken;
        self.out.extend_from_slice(&bytes[skipped..skipped + taken]);
    }
}

#[cfg(test)]
mod tests {
    use repligo_proto::command::resolve;
    use repligo_proto::resp::OwnedRequest;

    use super::*;
    use crate::command::parse;

    #[test]
    fn pieces_of_any_length_make_the_op_that_is_encoded_at_once() {
        let long = "x".repeat(700);
        for words in [
            &["SET", "key", &long][..],
            &["SET", "key", &long, "XX", "GET", "PX", "1000"],
            &["SETEX", "key", "10", &long],
            &["APPEND", "key", &long],
            &["SETRANGE", "key", "5", &long],
            &["MSET", "a", &long, "b", "", "c", &long],
            &["HSET", "hash", &long, &long, "field", "v"],
            &["RPUSH", "list", &long, "", &long],
            &["DEL", "a", "b", &long],
        ] {
            let request = OwnedRequest::new(words);
            let spec = resolve(request.view()).expect("known");
            let command = parse(spec, 3, request.view()).expect("well-formed");
            let mut expected = Vec::new();
            command.encode(&mut expected);
            for bytes_max in [1, 2, 7, 256, 699, 5000] {
                let mut op = LongOp::begin(&command);
                let mut pieces = 1;
                while !op.advance(&command, bytes_max) {
                    pieces += 1;
                }
                assert_eq!(pieces, expected.len().div_ceil(bytes_max), "{words:?}");
                assert_eq!(op.heap_bytes(), ROOM_BYTES + expected.len(), "nothing is moved");
                assert_eq!(op.finish()[ROOM_BYTES..], expected, "{words:?} by {bytes_max}");
            }
        }
    }
}
