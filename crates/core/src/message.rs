//! What replicas of one shard say to each other beside consensus: forwarding, ReadIndex, snapshot
//! chunks, loads. One tag byte, then fields; consensus messages have a tag of their own and are decoded
//! in `consensus.rs`.
//!
//! Every number that claims a length is checked against the bytes that are there.

use bytes::Bytes;

use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::contract::PeerId;
use crate::entry::Batch;

mod waiter;

pub use waiter::WaiterChange;

/// Tag of a consensus message.
pub const TAG_CONSENSUS: u8 = 0;
const TAG_FORWARD: u8 = 1;
const TAG_READ_INDEX: u8 = 2;
const TAG_READ_INDEX_REPLY: u8 = 3;
const TAG_SNAPSHOT_BEGIN: u8 = 4;
const TAG_SNAPSHOT_CHUNK: u8 = 5;
const TAG_SNAPSHOT_ACK: u8 = 6;
const TAG_LOAD: u8 = 7;
const TAG_LOAD_FAILED: u8 = 8;
const TAG_CLOCK: u8 = 9;
const TAG_CLOCK_REPLY: u8 = 10;
const TAG_REMOVED: u8 = 11;
const TAG_DISK_FULL: u8 = 12;
const TAG_WAITERS: u8 = 13;
const TAG_WAITERS_REPLY: u8 = 14;
const TAG_LEADER_GONE: u8 = 15;
const TAG_LEASE_RELEASED: u8 = 16;

/// A message between two replicas of a shard.
#[derive(Clone, Debug)]
pub enum Message {
    /// For the consensus library; still encoded.
    Consensus(Reader),
    /// Batches of the sender for the leader of `term`, in their order. A leader of another term drops
    /// them: the sender finds out by applying an entry of a newer term.
    Forward {
        /// Term in which the sender believes the receiver to lead.
        term: u64,
        /// The batches.
        batches: Vec<Batch>,
    },
    /// The sender wants a commit index that is confirmed after this message arrived.
    ReadIndex {
        /// Comes back with the answer.
        context: u64,
    },
    /// The confirmed commit index; linearizable reads may be served from an applied index at or past it.
    ReadIndexReply {
        /// As asked.
        context: u64,
        /// Commit index.
        index: u64,
        /// The leader's estimate of shard time, in milliseconds, when it answered: what it says of times to live.
        time_ms: u64,
    },
    /// A snapshot for the receiver begins; an unfinished one before it is void.
    SnapshotBegin {
        /// Last entry it contains.
        index: u64,
        /// Term of that entry.
        term: u64,
    },
    /// The next chunk.
    SnapshotChunk {
        /// Index of the snapshot.
        index: u64,
        /// Number of the chunk, from 0.
        number: u64,
        /// The chunk, or a piece of it.
        chunk: Bytes,
        /// This is all of the chunk, or its last piece.
        ends: bool,
    },
    /// The receiver has taken chunks up to and including `number`.
    SnapshotAck {
        /// Index of the snapshot.
        index: u64,
        /// Number of the chunk.
        number: u64,
    },
    /// The receiver is no member any more.
    Removed {
        /// Log index of the last change that the sender knows.
        index: u64,
    },
    /// Whether the sender's disk has room. Who has not said anything on the present stream has.
    DiskFull {
        /// It has none.
        full: bool,
    },
    /// The sender's clients wait for this row: load it and propose a Fill.
    Load {
        /// What the sender had applied. A receiver that is behind it waits: an older entry about the row
        /// would seem to settle the question, and the sender has that one behind it.
        index: u64,
        /// Position of the keyspace in the configuration.
        keyspace: u16,
        /// The key.
        key: Bytes,
    },
    /// The load that the receiver asked for failed; it is not in the log and will not be.
    LoadFailed {
        /// Position of the keyspace in the configuration.
        keyspace: u16,
        /// The key.
        key: Bytes,
        /// The wire error for the clients.
        error: Bytes,
    },
    /// The sender wants to know what time it is over there.
    Clock {
        /// Its own clock, in microseconds; comes back with the answer.
        asked_us: u64,
    },
    /// Clients of the sender that wait for keys, and such that do not any more, for the leader of `term`.
    Waiters {
        /// Term in which the sender believes the receiver to lead.
        term: u64,
        /// What the sender has applied.
        applied: u64,
        /// Incarnation of the sender.
        incarnation: u64,
        /// The changes, in their order.
        changes: Vec<WaiterChange>,
    },
    /// What came of [`Message::Waiters`].
    WaitersReply {
        /// Set if all of them are to be told again when the sender has applied this index: it may not know yet
        /// that some are served.
        again: Option<u64>,
        /// Who was cancelled, and an index behind which nothing is taken for that client.
        cancelled: Vec<(u64, u64)>,
    },
    /// Nobody listens any more where the leader of this term did.
    LeaderGone {
        /// The term.
        term: u64,
        /// Its leader.
        leader: PeerId,
        /// Term and index of the sender's last entry; zeros if it may not lead.
        last: (u64, u64),
    },
    /// The sender, who leads this term and serves, has no lease any more and will have none in this term.
    LeaseReleased {
        /// The term.
        term: u64,
    },
    /// What time it is here.
    ClockReply {
        /// As asked.
        asked_us: u64,
        /// Wall clock, in milliseconds since the epoch.
        wall_ms: u64,
        /// The estimate of shard time, in milliseconds; of interest if the sender leads.
        time_ms: u64,
    },
}

impl Message {
    /// Encodes; [`Message::Consensus`] is encoded in `consensus.rs`.
    ///
    /// # Panics
    /// On [`Message::Consensus`].
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32);
        match self {
            Self::Consensus(_) => panic!("consensus messages are encoded by consensus.rs"),
            Self::Forward { term, batches } => {
                out.push(TAG_FORWARD);
                put_varint(&mut out, *term);
                batches.iter().for_each(|batch| batch.encode(&mut out));
            }
            Self::ReadIndex { context } => {
                out.push(TAG_READ_INDEX);
                put_varint(&mut out, *context);
            }
            Self::ReadIndexReply {
                context,
                index,
                time_ms,
            } => {
                put_pair(&mut out, TAG_READ_INDEX_REPLY, *context, *index);
                put_varint(&mut out, *time_ms);
            }
            Self::SnapshotBegin { index, term } => put_pair(&mut out, TAG_SNAPSHOT_BEGIN, *index, *term),
            Self::SnapshotChunk {
                index,
                number,
                chunk,
                ends,
            } => {
                put_pair(&mut out, TAG_SNAPSHOT_CHUNK, *index, *number);
                out.push(u8::from(*ends));
                put_bytes(&mut out, chunk);
            }
            Self::SnapshotAck { index, number } => put_pair(&mut out, TAG_SNAPSHOT_ACK, *index, *number),
            Self::Removed { index } => {
                out.push(TAG_REMOVED);
                put_varint(&mut out, *index);
            }
            Self::DiskFull { full } => out.extend_from_slice(&[TAG_DISK_FULL, u8::from(*full)]),
            Self::Load { index, keyspace, key } => {
                out.push(TAG_LOAD);
                put_varint(&mut out, *index);
                put_varint(&mut out, u64::from(*keyspace));
                put_bytes(&mut out, key);
            }
            Self::LoadFailed { keyspace, key, error } => {
                out.push(TAG_LOAD_FAILED);
                put_varint(&mut out, u64::from(*keyspace));
                put_bytes(&mut out, key);
                put_bytes(&mut out, error);
            }
            Self::LeaderGone { term, leader, last } => {
                put_pair(&mut out, TAG_LEADER_GONE, *term, *leader);
                put_varint(&mut out, last.0);
                put_varint(&mut out, last.1);
            }
            Self::LeaseReleased { term } => {
                out.push(TAG_LEASE_RELEASED);
                put_varint(&mut out, *term);
            }
            Self::Clock { asked_us } => {
                out.push(TAG_CLOCK);
                put_varint(&mut out, *asked_us);
            }
            Self::ClockReply {
                asked_us,
                wall_ms,
                time_ms,
            } => {
                put_pair(&mut out, TAG_CLOCK_REPLY, *asked_us, *wall_ms);
                put_varint(&mut out, *time_ms);
            }
            Self::Waiters {
                term,
                applied,
                incarnation,
                changes,
            } => {
                put_pair(&mut out, TAG_WAITERS, *term, *applied);
                put_varint(&mut out, *incarnation);
                changes.iter().for_each(|change| change.encode(&mut out));
            }
            Self::WaitersReply { again, cancelled } => {
                put_pair(
                    &mut out,
                    TAG_WAITERS_REPLY,
                    u64::from(again.is_some()),
                    again.unwrap_or(0),
                );
                for (number, index) in cancelled {
                    put_varint(&mut out, *number);
                    put_varint(&mut out, *index);
                }
            }
        }
        Bytes::from(out)
    }

    /// Whether encoded bytes are a [`Message::Removed`].
    pub fn is_removal(bytes: &Bytes) -> bool {
        bytes.first() == Some(&TAG_REMOVED)
    }

    /// Decodes a whole message.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            TAG_CONSENSUS => return Ok(Self::Consensus(reader)),
            TAG_FORWARD => {
                let term = reader.varint()?;
                let mut batches = Vec::new();
                while !reader.is_empty() {
                    batches.push(Batch::decode(&mut reader)?);
                }
                Self::Forward { term, batches }
            }
            TAG_READ_INDEX => Self::ReadIndex {
                context: reader.varint()?,
            },
            TAG_READ_INDEX_REPLY => Self::ReadIndexReply {
                context: reader.varint()?,
                index: reader.varint()?,
                time_ms: reader.varint()?,
            },
            TAG_SNAPSHOT_BEGIN => Self::SnapshotBegin {
                index: reader.varint()?,
                term: reader.varint()?,
            },
            TAG_SNAPSHOT_CHUNK => Self::SnapshotChunk {
                index: reader.varint()?,
                number: reader.varint()?,
                ends: reader.u8()? != 0,
                chunk: reader.bytes()?,
            },
            TAG_SNAPSHOT_ACK => Self::SnapshotAck {
                index: reader.varint()?,
                number: reader.varint()?,
            },
            TAG_REMOVED => Self::Removed {
                index: reader.varint()?,
            },
            TAG_DISK_FULL => Self::DiskFull {
                full: reader.u8()? != 0,
            },
            TAG_LOAD => Self::Load {
                index: reader.varint()?,
                keyspace: take_keyspace(&mut reader)?,
                key: reader.bytes()?,
            },
            TAG_LOAD_FAILED => Self::LoadFailed {
                keyspace: take_keyspace(&mut reader)?,
                key: reader.bytes()?,
                error: reader.bytes()?,
            },
            TAG_LEADER_GONE => {
                let [term, leader, last_term, last_index] = reader.varints()?;
                Self::LeaderGone {
                    term,
                    leader,
                    last: (last_term, last_index),
                }
            }
            TAG_LEASE_RELEASED => Self::LeaseReleased {
                term: reader.varint()?,
            },
            TAG_CLOCK => Self::Clock {
                asked_us: reader.varint()?,
            },
            TAG_CLOCK_REPLY => Self::ClockReply {
                asked_us: reader.varint()?,
                wall_ms: reader.varint()?,
                time_ms: reader.varint()?,
            },
            TAG_WAITERS => {
                let [term, applied, incarnation] = reader.varints()?;
                let mut changes = Vec::new();
                while !reader.is_empty() {
                    changes.push(WaiterChange::decode(&mut reader)?);
                }
                Self::Waiters {
                    term,
                    applied,
                    incarnation,
                    changes,
                }
            }
            TAG_WAITERS_REPLY => {
                let [is_again, index] = reader.varints()?;
                let mut cancelled = Vec::new();
                while !reader.is_empty() {
                    cancelled.push(reader.varints::<2>()?.into());
                }
                let again = match is_again {
                    0 if index == 0 => None,
                    1 => Some(index),
                    _ => return Err(Malformed),
                };
                Self::WaitersReply { again, cancelled }
            }
            _ => return Err(Malformed),
        };
        if reader.is_empty() {
            Ok(message)
        } else {
            Err(Malformed)
        }
    }
}

fn put_pair(out: &mut Vec<u8>, tag: u8, first: u64, second: u64) {
    out.push(tag);
    put_varint(out, first);
    put_varint(out, second);
}

fn take_keyspace(reader: &mut Reader) -> Result<u16, Malformed> {
    u16::try_from(reader.varint()?).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Actor;

    #[test]
    fn messages_round_trip() {
        let batch = Batch {
            node: 2,
            incarnation: 9,
            first_sequence: 4,
            count: 1,
            ops: Bytes::from_static(b"\x01x"),
        };
        let messages = [
            Message::Forward {
                term: 3,
                batches: vec![batch.clone(), batch],
            },
            Message::ReadIndex { context: u64::MAX },
            Message::ReadIndexReply {
                context: 1,
                index: 2,
                time_ms: 1 << 41,
            },
            Message::SnapshotBegin { index: 10, term: 2 },
            Message::SnapshotChunk {
                index: 10,
                number: 0,
                chunk: Bytes::from_static(b"chunk"),
                ends: true,
            },
            Message::SnapshotAck { index: 10, number: 0 },
            Message::Removed { index: 12 },
            Message::Load {
                index: 9,
                keyspace: 1,
                key: Bytes::from_static(b"key"),
            },
            Message::LoadFailed {
                keyspace: 1,
                key: Bytes::from_static(b"key"),
                error: Bytes::from_static(b"e"),
            },
            Message::Waiters {
                term: 3,
                applied: 9,
                incarnation: 7,
                changes: vec![
                    WaiterChange::Cancel { number: 1 },
                    WaiterChange::Register {
                        number: 2,
                        actor: Actor::of_numbers([1, 2]),
                        is_first: true,
                        command: Bytes::from_static(b"command"),
                    },
                ],
            },
            Message::WaitersReply {
                again: Some(7),
                cancelled: vec![(1, 8), (2, 9)],
            },
            Message::LeaderGone {
                term: 4,
                leader: 1,
                last: (3, 1 << 30),
            },
            Message::LeaseReleased { term: 4 },
            Message::Clock { asked_us: 1 << 40 },
            Message::ClockReply {
                asked_us: 1 << 40,
                wall_ms: 1 << 41,
                time_ms: 3,
            },
        ];
        for message in messages {
            let bytes = message.encode();
            let decoded = Message::decode(bytes.clone()).expect("what was encoded decodes");
            assert_eq!(decoded.encode(), bytes);
            assert!(
                Message::decode(bytes.slice(..bytes.len() - 1)).is_err(),
                "{message:?} cut"
            );
        }
    }
}
