//! The payload of a log entry: a version, the leader's time stamp, and batches of ops.
//!
//! A batch is what one node gathered in one turn; it is replicated, forwarded, resent and discarded as a
//! whole, and its (node, incarnation, first sequence) is its identity. Byte layout: version u8, time
//! varint (milliseconds since the epoch), then batches to the end; a batch is node, incarnation, first
//! sequence and count as varints, then its ops as one length-prefixed run of length-prefixed ops.

use bytes::Bytes;

use crate::codec::{Malformed, Reader, put_varint};
use crate::contract::PeerId;
use crate::limits::{INCARNATION_MAX, NUMBER_MAX, POSITION_MAX};
use crate::packed::{VARINT_BYTES_MAX, take_bytes};

/// Version of the entry layout and of the ops in it.
pub const ENTRY_VERSION: u8 = 1;

/// The node number of batches that the leader proposes for the shard itself; they have no requester.
pub const SYSTEM_NODE: PeerId = 0;

/// The ops that one node gathered in one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The node whose clients asked, or [`SYSTEM_NODE`].
    pub node: PeerId,
    /// Incarnation of that node.
    pub incarnation: u64,
    /// Sequence number of the first op; the others follow by one.
    pub first_sequence: u64,
    /// Number of ops, at least 1.
    pub count: u64,
    /// The ops, each with its length before it.
    pub ops: Bytes,
}

impl Batch {
    /// Bytes that the encoded batch takes at most.
    pub fn encoded_bytes_max(&self) -> usize {
        5 * VARINT_BYTES_MAX + self.ops.len()
    }

    /// Appends the batch.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out, self.ops.len());
        out.extend_from_slice(&self.ops);
    }

    /// Appends what stands in front of the ops, which take so many bytes.
    #[inline]
    fn encode_head(&self, out: &mut Vec<u8>, ops_bytes: usize) {
        assert!(self.count > 0, "a batch holds at least one op");
        put_varint(out, self.node);
        put_varint(out, self.incarnation);
        put_varint(out, self.first_sequence);
        put_varint(out, self.count);
        put_varint(out, ops_bytes as u64);
    }

    /// Takes a batch off the front.
    pub fn decode(reader: &mut Reader) -> Result<Self, Malformed> {
        let [node, incarnation, first_sequence, count, bytes] = reader.varints()?;
        let batch = Self {
            node,
            incarnation,
            first_sequence,
            count,
            ops: reader.take(bytes)?,
        };
        // Every op costs at least its length byte, so a count beyond that is a lie.
        if batch.count == 0 || batch.count > batch.ops.len() as u64 {
            return Err(Malformed);
        }
        Ok(batch)
    }

    /// Judges a batch that another node has sent.
    ///
    /// # Errors
    /// What no correct node sends.
    pub fn judge(&self) -> Result<(), &'static str> {
        // Who is a member where the entry is applied may not be known yet where it is received.
        if self.node > NUMBER_MAX {
            return Err("a batch of a node with a number beyond any");
        }
        if self.incarnation > INCARNATION_MAX {
            return Err("a run of a node beyond any count");
        }
        let last = self.first_sequence.checked_add(self.count);
        if last.is_none_or(|last| last > POSITION_MAX) {
            return Err("a sequence beyond any count");
        }
        Ok(())
    }

    /// Sequence number of the last op.
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence + self.count - 1
    }
}

/// Takes the next op of a batch.
pub fn next_op<'a>(ops: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    Ok(take_bytes(ops)?)
}

/// Judges an entry that another node has sent: one that cannot be applied must not get into the log, where every
/// start would meet it again, and its stamp must not carry shard time away. Ops may be anything: one that does not
/// decode changes nothing.
///
/// # Errors
/// What no correct leader proposes.
pub fn judge(data: &Bytes, latest_ms: u64) -> Result<(), &'static str> {
    if data.is_empty() {
        return Ok(());
    }
    let undecodable = |_| "an entry that does not decode";
    let mut reader = EntryReader::new(data.clone()).map_err(undecodable)?;
    if reader.time_ms > latest_ms {
        return Err("an entry of the far future: compare the clocks of the nodes");
    }
    while let Some(batch) = reader.next_batch().map_err(undecodable)? {
        batch.judge()?;
    }
    Ok(())
}

/// The buffer of a payload, without what is in it, unless somebody else holds a part of it.
pub fn into_buffer(mut payload: Bytes) -> Option<Vec<u8>> {
    if !payload.is_unique() {
        return None;
    }
    // What is left is moved to the front, so this is a byte. With none the buffer would be freed.
    payload.truncate(1);
    Some(Vec::from(payload))
}

/// Builds the payload of one entry.
#[derive(Debug)]
pub struct EntryBuilder {
    bytes: Vec<u8>,
    header: usize,
}

impl EntryBuilder {
    /// An entry stamped with shard time `time_ms`, for about `bytes` of batches.
    pub fn new(time_ms: u64, bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(1 + VARINT_BYTES_MAX + bytes);
        bytes.push(ENTRY_VERSION);
        put_varint(&mut bytes, time_ms);
        let header = bytes.len();
        Self { bytes, header }
    }

    /// Adds a batch.
    pub fn push(&mut self, batch: &Batch) {
        batch.encode(&mut self.bytes);
    }

    /// Ends with a batch whose ops, so many bytes, lie elsewhere: what stands in front of them.
    pub fn finish_before(mut self, batch: &Batch, ops_bytes: usize) -> Vec<u8> {
        batch.encode_head(&mut self.bytes, ops_bytes);
        self.bytes
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True while no batch was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.header
    }

    /// The payload.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A decoded entry: its time stamp and a reader over its batches.
#[derive(Debug)]
pub struct EntryReader {
    /// Shard time that the entry sets, before monotonicity.
    pub time_ms: u64,
    reader: Reader,
}

impl EntryReader {
    /// Reads the header. An unknown version is malformed: a cluster-wide feature level keeps newer
    /// entries from a node that does not know them.
    pub fn new(payload: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != ENTRY_VERSION {
            return Err(Malformed);
        }
        let time_ms = reader.varint()?;
        Ok(Self { time_ms, reader })
    }

    /// The next batch, or `None` at the end.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Malformed> {
        if self.reader.is_empty() {
            Ok(None)
        } else {
            Batch::decode(&mut self.reader).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::put_bytes;

    #[test]
    fn entries_round_trip() {
        let mut ops = Vec::new();
        put_bytes(&mut ops, b"first");
        put_bytes(&mut ops, b"second");
        let batch = Batch {
            node: 1,
            incarnation: 5,
            first_sequence: 100,
            count: 2,
            ops: Bytes::from(ops),
        };
        let mut builder = EntryBuilder::new(1_700_000_000_000, 0);
        assert!(builder.is_empty());
        builder.push(&batch);
        builder.push(&batch);
        let mut reader = EntryReader::new(Bytes::from(builder.finish())).expect("decodes");
        assert_eq!(reader.time_ms, 1_700_000_000_000);
        assert_eq!(reader.next_batch(), Ok(Some(batch.clone())));
        assert_eq!(reader.next_batch(), Ok(Some(batch.clone())));
        assert_eq!(reader.next_batch(), Ok(None));
        let mut ops = &batch.ops[..];
        assert_eq!(next_op(&mut ops), Ok(&b"first"[..]));
        assert_eq!(next_op(&mut ops), Ok(&b"second"[..]));
        assert_eq!(batch.last_sequence(), 101);
    }

    #[test]
    fn the_buffer_of_a_payload_is_got_back_whole_from_whoever_holds_it_last() {
        for capacity in [1000, 5000] {
            let mut buffer = Vec::with_capacity(capacity);
            buffer.resize(1000, 7);
            let place = buffer.as_ptr();
            let payload = Bytes::from(buffer).slice(10..);
            let part = payload.slice(500..);
            assert_eq!(into_buffer(payload), None);
            let buffer = into_buffer(part).expect("nobody else holds it");
            assert_eq!((buffer.as_ptr(), buffer.capacity()), (place, capacity));
        }
    }

    #[test]
    fn a_count_without_ops_is_refused() {
        let batch = Batch {
            node: 1,
            incarnation: 1,
            first_sequence: 1,
            count: 9,
            ops: Bytes::from_static(b"\0"),
        };
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        assert_eq!(
            Batch::decode(&mut Reader::new(Bytes::from(bytes))),
            Err(Malformed)
        );
    }
}
