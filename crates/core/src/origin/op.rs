//! The ops that the origin puts into the log, and their bytes.
//!
//! [`Intent`] borrows from the entry because it is the hot one; the others are one per batch and own
//! their bytes.

use std::borrow::Cow;

use bytes::Bytes;

use super::map::OriginMap;
use super::request::LaneId;
use super::wire::{
    Corrupt, corrupt, put_bytes, put_optional, put_varint, take_bool, take_bytes, take_count, take_optional,
    take_owned, take_text, take_u8, take_u16, take_varint,
};

/// Which command an intent came from; decides its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentKind {
    /// SET or MSET: `OK`.
    Store,
    /// DEL or UNLINK: the number of rows that existed.
    Delete,
}

/// What an intent does to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentEffect<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// New value in canonical form, or `None` to delete the row.
    pub value: Option<Cow<'a, [u8]>>,
}

/// A write to mapped keys of one lane, before the origin has decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent<'a> {
    /// Where it is queued.
    pub lane: LaneId,
    /// What it answers.
    pub kind: IntentKind,
    /// All or none of these happen; never empty, and a key may come twice (the last one counts).
    pub effects: Vec<IntentEffect<'a>>,
}

/// The origin has decided a run of intents; applying it makes their values visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Lane.
    pub lane: LaneId,
    /// Numbering to which `upto` belongs; of another generation it says nothing.
    pub generation: u64,
    /// Every intent up to here is decided.
    pub upto: u64,
    /// The rejected ones among them, ascending: (sequence, error text).
    pub rejects: Vec<(u64, Bytes)>,
    /// Rows that the origin stored in another form: (key, what a load would return).
    pub canonical: Vec<(Bytes, Option<Bytes>)>,
    /// The stored form was not seen (takeover after an unknown outcome): drop the cached values of the
    /// decided keys, so that they are loaded anew.
    pub forget: bool,
}

/// A row as the origin had it while no intent on its key was pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// The whole key.
    pub key: Bytes,
    /// What a GET returns, or `None` when there is no row.
    pub value: Option<Bytes>,
    /// The last [`Invalidate`] that was applied when the load began: a later one of this key voids the row.
    pub invalidations: u64,
}

/// Somebody else has changed these rows: their copies are dropped on all nodes. The database and pending
/// writes are not touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidate<'a> {
    /// Position of the keyspace in the configuration, and the whole key.
    pub rows: Vec<(u16, &'a [u8])>,
}

/// The origin of a keyspace went down or came back; every node refuses writes while it is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Position of the keyspace in the configuration.
    pub keyspace: u16,
    /// `None` when it is up, else the whole error that clients get.
    pub down: Option<String>,
}

/// The database's numbering of a lane is not the log's (a restored backup, a cluster without persistence
/// that was restarted): number on from the database's position under a higher generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Lane.
    pub lane: LaneId,
    /// New generation; nothing happens unless it is above the lane's.
    pub generation: u64,
    /// `applied` in the lane row.
    pub applied: u64,
}

/// Any op of the origin. Its first byte is never that of a [`crate::op::Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginOp<'a> {
    /// See [`Intent`]; proposed for a client.
    Intent(Intent<'a>),
    /// See [`Resolved`]; proposed by the flusher, like all that follow.
    Resolved(Resolved),
    /// See [`Fill`].
    Fill(Fill),
    /// See [`Health`].
    Health(Health),
    /// See [`Raise`].
    Raise(Raise),
    /// See [`Invalidate`]; proposed for a client.
    Invalidate(Invalidate<'a>),
}

/// First bytes of the ops; the range 0x90 to 0x9f is reserved for them in `op.rs`. A tag's layout never
/// changes once released.
mod tag {
    pub const INTENT: u8 = 0x90;
    pub const RESOLVED: u8 = 0x91;
    pub const FILL: u8 = 0x92;
    pub const HEALTH: u8 = 0x93;
    pub const RAISE: u8 = 0x94;
    pub const INVALIDATE: u8 = 0x95;
    pub const ALL: std::ops::RangeInclusive<u8> = 0x90..=0x9f;
}

impl<'a> OriginOp<'a> {
    /// True when an encoded op is one of these.
    pub fn is_first(byte: u8) -> bool {
        tag::ALL.contains(&byte)
    }

    /// Appends the encoding, which delimits itself.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Intent(op) => op.encode(out),
            Self::Resolved(op) => op.encode(out),
            Self::Fill(op) => op.encode(out),
            Self::Health(op) => op.encode(out),
            Self::Raise(op) => op.encode(out),
            Self::Invalidate(op) => op.encode(out),
        }
    }

    /// True if all that it names is in the configuration; anything else is not for this cluster.
    pub fn is_known(&self, map: &OriginMap) -> bool {
        let has = |keyspace: u16| usize::from(keyspace) < map.policies().len();
        match self {
            Self::Intent(op) => map.has_lane(op.lane),
            Self::Resolved(op) => map.has_lane(op.lane),
            Self::Raise(op) => map.has_lane(op.lane),
            Self::Fill(op) => has(op.keyspace),
            Self::Health(op) => has(op.keyspace),
            Self::Invalidate(op) => op.rows.iter().all(|(keyspace, _)| has(*keyspace)),
        }
    }

    /// Takes one off the front. Any input gives an op or [`Corrupt`].
    pub fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        Ok(match take_u8(input)? {
            tag::INTENT => Self::Intent(Intent::decode(input)?),
            tag::RESOLVED => Self::Resolved(Resolved::decode(input)?),
            tag::FILL => Self::Fill(Fill::decode(input)?),
            tag::HEALTH => Self::Health(Health::decode(input)?),
            tag::RAISE => Self::Raise(Raise::decode(input)?),
            tag::INVALIDATE => Self::Invalidate(Invalidate::decode(input)?),
            _ => return Err(corrupt("an origin op")),
        })
    }
}

fn put_lane(out: &mut Vec<u8>, lane: LaneId) {
    put_varint(out, u64::from(lane.keyspace));
    put_varint(out, u64::from(lane.lane));
}

fn take_lane(input: &mut &[u8]) -> Result<LaneId, Corrupt> {
    Ok(LaneId {
        keyspace: take_u16(input)?,
        lane: take_u16(input)?,
    })
}

impl<'a> Intent<'a> {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::INTENT);
        put_lane(out, self.lane);
        out.push(match self.kind {
            IntentKind::Store => 0,
            IntentKind::Delete => 1,
        });
        put_varint(out, self.effects.len() as u64);
        for effect in &self.effects {
            put_bytes(out, effect.key);
            put_optional(out, effect.value.as_deref());
        }
    }

    fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let lane = take_lane(input)?;
        let kind = match take_u8(input)? {
            0 => IntentKind::Store,
            1 => IntentKind::Delete,
            _ => {
                return Err(corrupt("an intent kind"));
            }
        };
        let count = take_count(input)?;
        let mut effects = Vec::with_capacity(count);
        for _ in 0..count {
            effects.push(IntentEffect {
                key: take_bytes(input)?,
                value: take_optional(input)?.map(Cow::Borrowed),
            });
        }
        Ok(Self { lane, kind, effects })
    }
}

impl Resolved {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::RESOLVED);
        put_lane(out, self.lane);
        put_varint(out, self.generation);
        put_varint(out, self.upto);
        put_rejects(out, &self.rejects);
        put_varint(out, self.canonical.len() as u64);
        for (key, value) in &self.canonical {
            put_bytes(out, key);
            put_optional(out, value.as_deref());
        }
        out.push(u8::from(self.forget));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let lane = take_lane(input)?;
        let generation = take_varint(input)?;
        let upto = take_varint(input)?;
        let rejects = take_rejects(input)?;
        let count = take_count(input)?;
        let mut canonical = Vec::with_capacity(count);
        for _ in 0..count {
            let key = take_owned(input)?;
            let value = take_optional(input)?.map(Bytes::copy_from_slice);
            canonical.push((key, value));
        }
        let forget = take_bool(input)?;
        Ok(Self {
            lane,
            generation,
            upto,
            rejects,
            canonical,
            forget,
        })
    }
}

fn put_rejects(out: &mut Vec<u8>, rejects: &[(u64, Bytes)]) {
    put_varint(out, rejects.len() as u64);
    for (sequence, text) in rejects {
        put_varint(out, *sequence);
        put_bytes(out, text);
    }
}

fn take_rejects(input: &mut &[u8]) -> Result<Vec<(u64, Bytes)>, Corrupt> {
    let count = take_count(input)?;
    let mut rejects = Vec::with_capacity(count);
    for _ in 0..count {
        rejects.push((take_varint(input)?, take_owned(input)?));
    }
    Ok(rejects)
}

impl Fill {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::FILL);
        put_varint(out, u64::from(self.keyspace));
        put_bytes(out, &self.key);
        put_optional(out, self.value.as_deref());
        put_varint(out, self.invalidations);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            keyspace: take_u16(input)?,
            key: take_owned(input)?,
            value: take_optional(input)?.map(Bytes::copy_from_slice),
            invalidations: take_varint(input)?,
        })
    }
}

impl<'a> Invalidate<'a> {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::INVALIDATE);
        put_varint(out, self.rows.len() as u64);
        for (keyspace, key) in &self.rows {
            put_varint(out, u64::from(*keyspace));
            put_bytes(out, key);
        }
    }

    fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let count = take_count(input)?;
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            rows.push((take_u16(input)?, take_bytes(input)?));
        }
        Ok(Self { rows })
    }
}

impl Health {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::HEALTH);
        put_varint(out, u64::from(self.keyspace));
        put_optional(out, self.down.as_deref().map(str::as_bytes));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            keyspace: take_u16(input)?,
            down: if take_bool(input)? {
                Some(take_text(input)?)
            } else {
                None
            },
        })
    }
}

impl Raise {
    /// Appends the op, its tag in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::RAISE);
        put_lane(out, self.lane);
        put_varint(out, self.generation);
        put_varint(out, self.applied);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            lane: take_lane(input)?,
            generation: take_varint(input)?,
            applied: take_varint(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: LaneId = LaneId { keyspace: 3, lane: 2 };

    #[test]
    fn intents_come_back_and_truncations_are_corrupt() {
        let intent = Intent {
            lane: LANE,
            kind: IntentKind::Store,
            effects: vec![
                IntentEffect {
                    key: b"user:1",
                    value: Some(Cow::Borrowed(b"\0\xff")),
                },
                IntentEffect {
                    key: b"user:2",
                    value: None,
                },
            ],
        };
        let mut bytes = Vec::new();
        intent.encode(&mut bytes);
        assert!(OriginOp::is_first(bytes[0]));
        assert_eq!(OriginOp::decode(&mut &bytes[..]), Ok(OriginOp::Intent(intent)));
        for length in 0..bytes.len() {
            assert!(OriginOp::decode(&mut &bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn proposals_come_back_and_truncations_are_corrupt() {
        let proposals = [
            OriginOp::Resolved(Resolved {
                lane: LANE,
                generation: 1,
                upto: 300,
                rejects: vec![(299, Bytes::from_static(b"ERR no"))],
                canonical: vec![
                    (Bytes::from_static(b"k"), Some(Bytes::from_static(b"v"))),
                    (Bytes::from_static(b"l"), None),
                ],
                forget: true,
            }),
            OriginOp::Fill(Fill {
                keyspace: 1,
                key: Bytes::from_static(b"k"),
                value: None,
                invalidations: 300,
            }),
            OriginOp::Invalidate(Invalidate {
                rows: vec![(1, b"k"), (300, b"")],
            }),
            OriginOp::Health(Health {
                keyspace: 0,
                down: Some("locked".to_owned()),
            }),
            OriginOp::Raise(Raise {
                lane: LANE,
                generation: 9,
                applied: 12,
            }),
        ];
        for proposal in proposals {
            let mut bytes = Vec::new();
            proposal.encode(&mut bytes);
            let mut input = &bytes[..];
            assert_eq!(OriginOp::decode(&mut input), Ok(proposal));
            assert!(input.is_empty());
            for length in 0..bytes.len() {
                assert!(OriginOp::decode(&mut &bytes[..length]).is_err());
            }
        }
    }
}
