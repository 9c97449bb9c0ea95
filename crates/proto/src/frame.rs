//! The envelope of everything that nodes send to each other.
//!
//! A frame says which cluster, generation, node and run of that node it comes from, so that a receiver
//! can refuse it before the core sees it. It does not know what is inside: a [`Kind`] and bytes.
//!
//! Layout, little-endian, 56 bytes and then the payload:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 3 | magic `RPL` |
//! | 3 | 1 | format version, 2 |
//! | 4 | 4 | payload length, at most [`PAYLOAD_BYTES_MAX`] |
//! | 8 | 1 | kind |
//! | 9 | 1 | zero |
//! | 10 | 2 | number of the shard, [`SHARD`] |
//! | 12 | 4 | CRC32C of bytes 0 to 11, 16 to 55 and the payload |
//! | 16 | 16 | cluster id |
//! | 32 | 8 | generation |
//! | 40 | 8 | peer |
//! | 48 | 8 | incarnation |
//!
//! Invariants: a damaged frame is never delivered; a claimed length costs no memory; after an error the
//! stream is torn down, since frames have no other place to start over.

use std::fmt;
use std::ops::Range;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 56;
/// Largest payload: above an append message, a snapshot chunk and a forwarded batch, far below memory.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// Version of the layout above.
pub const FORMAT_VERSION: u8 = 2;

/// Number of the only shard that nodes of this release have, in frames and in log records alike. What carries another
/// number is refused where it is decoded.
pub const SHARD: u16 = 0;

const MAGIC: [u8; 3] = *b"RPL";
const SHARD_FIELD: Range<usize> = 10..12;
const CHECKSUM: Range<usize> = 12..16;

/// What a frame carries. New kinds take new numbers; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl Kind {
    /// First frame on a stream, in both directions: who speaks, and what it understands.
    pub const HELLO: Kind = Kind(1);
    /// A message of the core, to be given to it as it is.
    pub const CORE: Kind = Kind(2);
    /// Answer to a `HELLO` that is refused: a sentence for the operator's log.
    pub const REFUSED: Kind = Kind(3);
    /// Keeps a quiet stream alive and measures its delay.
    pub const PING: Kind = Kind(4);
    /// Answer to `PING`, with its payload.
    pub const PONG: Kind = Kind(5);
    /// Question of a forming node: what is in your directory?
    pub const FORMING: Kind = Kind(6);
    /// Question for the node's state, as `REPLIGO.STATUS` shows it.
    pub const STATUS: Kind = Kind(7);
    /// Answer to `STATUS`.
    pub const STATUS_REPLY: Kind = Kind(8);
    /// The sender closes the stream on purpose: its process ends, so do not wait for it.
    pub const GOODBYE: Kind = Kind(9);
    /// First frame of a node that is no member and wants to be one.
    pub const JOIN: Kind = Kind(10);
    /// Answer to `JOIN`.
    pub const JOIN_REPLY: Kind = Kind(11);
    /// Messages that clients of the sender have published, for subscribers of the receiver.
    pub const PUBLISHED: Kind = Kind(12);
    /// How many of the sender's clients subscribe to which channels.
    pub const SUBSCRIBED: Kind = Kind(13);
}

/// Everything in a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Cluster of the sender; 0 before it has formed.
    pub cluster_id: u128,
    /// Generation of the cluster.
    pub generation: u64,
    /// Number of the sender.
    pub peer: u64,
    /// Run of the sender's process.
    pub incarnation: u64,
    /// What the payload is.
    pub kind: Kind,
}

/// A decoded frame: the payload is a range of the buffer it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it, and what it carries.
    pub header: Header,
    /// Where the payload is.
    pub payload: Range<usize>,
}

impl Frame {
    /// Bytes that the frame takes at the start of its buffer.
    pub fn encoded_bytes(&self) -> usize {
        self.payload.end
    }
}

/// Why bytes are no frame. The stream cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The other side does not speak this protocol at all.
    NotAPeer,
    /// The other side speaks another version of it.
    Version(u8),
    /// The payload exceeds [`PAYLOAD_BYTES_MAX`].
    TooLarge(u32),
    /// It is for a shard that this release does not have.
    OtherShard(u16),
    /// The checksum does not match, or a reserved byte is set.
    Damaged,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::NotAPeer => {
                f.write_str("the other side is not a repligo peer port; check the addresses in --cluster")
            }
            FrameError::Version(version) => write!(
                f,
                "the peer speaks frame version {version}, this node speaks {FORMAT_VERSION}; upgrade the older one"
            ),
            FrameError::TooLarge(bytes) => {
                write!(
                    f,
                    "a frame claims a payload of {bytes} bytes, the limit is {PAYLOAD_BYTES_MAX}"
                )
            }
            FrameError::OtherShard(shard) => write!(
                f,
                "a frame is for shard {shard}, and this release has shard {SHARD} alone; run the same release on \
                 every node"
            ),
            FrameError::Damaged => f.write_str("a frame was damaged on the way"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Appends a frame.
///
/// # Panics
/// If the payload exceeds [`PAYLOAD_BYTES_MAX`]: the core's limits keep messages below it.
pub fn encode(out: &mut Vec<u8>, header: &Header, payload: &[u8]) {
    out.extend_from_slice(&encode_header(header, payload));
    out.extend_from_slice(payload);
}

/// The bytes in front of a payload, for callers that write both without copying them together.
///
/// # Panics
/// If the payload exceeds [`PAYLOAD_BYTES_MAX`].
pub fn encode_header(header: &Header, payload: &[u8]) -> [u8; HEADER_BYTES] {
    assert!(
        payload.len() <= PAYLOAD_BYTES_MAX,
        "a payload of {} bytes exceeds the limit",
        payload.len()
    );
    let mut bytes = [0; HEADER_BYTES];
    bytes[..3].copy_from_slice(&MAGIC);
    bytes[3] = FORMAT_VERSION;
    bytes[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes[8] = header.kind.0;
    bytes[SHARD_FIELD].copy_from_slice(&SHARD.to_le_bytes());
    bytes[16..32].copy_from_slice(&header.cluster_id.to_le_bytes());
    bytes[32..40].copy_from_slice(&header.generation.to_le_bytes());
    bytes[40..48].copy_from_slice(&header.peer.to_le_bytes());
    bytes[48..56].copy_from_slice(&header.incarnation.to_le_bytes());
    let checksum = checksum(&bytes, payload);
    bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Decodes the frame at the start of `buffer`, or returns `None` if it is incomplete: then call again
/// when [`bytes_missing`] more have arrived. Foreign bytes are refused as soon as they can be told.
///
/// # Errors
/// As [`FrameError`]; tear the stream down.
pub fn decode(buffer: &[u8]) -> Result<Option<Frame>, FrameError> {
    let Some(length) = payload_length(buffer)? else {
        return Ok(None);
    };
    let end = HEADER_BYTES + length;
    let Some(bytes) = buffer.get(..end) else {
        return Ok(None);
    };
    let (header, payload) = bytes.split_at(HEADER_BYTES);
    let header: &[u8; HEADER_BYTES] = header.try_into().expect("split at this length");
    if header[9] != 0 || field::<4>(header, CHECKSUM.start) != checksum(header, payload).to_le_bytes() {
        return Err(FrameError::Damaged);
    }
    let shard = u16::from_le_bytes(field(header, SHARD_FIELD.start));
    if shard != SHARD {
        return Err(FrameError::OtherShard(shard));
    }
    let header = Header {
        kind: Kind(header[8]),
        cluster_id: u128::from_le_bytes(field(header, 16)),
        generation: u64::from_le_bytes(field(header, 32)),
        peer: u64::from_le_bytes(field(header, 40)),
        incarnation: u64::from_le_bytes(field(header, 48)),
    };
    Ok(Some(Frame {
        header,
        payload: HEADER_BYTES..end,
    }))
}

/// How many bytes at least are missing to a frame whose start is in `buffer`; 0 if it is complete or
/// no frame. The peer's claim, but checked against the limit: at most 64 MiB and a header.
pub fn bytes_missing(buffer: &[u8]) -> usize {
    match payload_length(buffer) {
        Ok(Some(length)) => (HEADER_BYTES + length).saturating_sub(buffer.len()),
        Ok(None) => HEADER_BYTES - buffer.len(),
        Err(_) => 0,
    }
}

/// Whether a frame whose payload has at least so many bytes is whole in `buffer`.
pub fn is_long(buffer: &[u8], payload_bytes: usize) -> bool {
    let length = payload_length(buffer).ok().flatten();
    length.is_some_and(|length| length >= payload_bytes && HEADER_BYTES + length <= buffer.len())
}

/// Checks the first eight bytes, as far as they have arrived, and returns the payload's length once
/// the whole header has.
fn payload_length(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let magic = &buffer[..buffer.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(FrameError::NotAPeer);
    }
    if let Some(&version) = buffer.get(3)
        && version != FORMAT_VERSION
    {
        return Err(FrameError::Version(version));
    }
    if buffer.len() < 8 {
        return Ok(None);
    }
    let length = u32::from_le_bytes(field(buffer, 4));
    if length as usize > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLarge(length));
    }
    Ok((buffer.len() >= HEADER_BYTES).then_some(length as usize))
}

fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    bytes[start..start + N]
        .try_into()
        .expect("the range has this length")
}

fn checksum(header: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&header[..CHECKSUM.start]);
    let crc = crc32c::crc32c_append(crc, &header[CHECKSUM.end..]);
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests;
