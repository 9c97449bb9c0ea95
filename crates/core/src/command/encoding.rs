//! Commands as bytes inside ops.
//!
//! Version rule: a tag's layout and meaning never change once released. A new meaning gets a new tag,
//! and a cluster uses it only when every node knows it. Tags of commands are below
//! [`FIRST_OP_TAG`]; the rest belongs to [`crate::op`].
//!
//! Layout: tag, database (one byte, absent for FLUSHALL), then the fields in the order of the variant:
//! keys and values with their length in front, integers as varints. An encoding delimits itself.

use crate::limits::DATABASES;
use crate::packed::{
    Corrupt, Sink, corrupt, put_bytes, put_signed, put_varint, take_bytes, take_signed, take_u8, take_varint,
};

use super::options::{Expiry, SetCondition, SetReply};
use super::{Call, Command, Keys, Pairs};
use fields::{
    put_deadline, put_get_expiry, put_set_options, take_deadline, take_get_expiry, take_object_field,
    take_set_options, take_ttl_form,
};

mod fields;

/// Tags from here on are ops of other kinds than a command.
pub const FIRST_OP_TAG: u8 = 0x80;

/// The first byte of every [`Call`]: the escape from one tag for each command.
pub const CALL_TAG: u8 = tag::CALL;

/// True for an op that may take long although it is short. A SET is none that answers no old value.
#[inline]
pub fn is_short_and_long(op: &[u8]) -> bool {
    match op.first() {
        Some(&(tag::GET_DEL | tag::GET_EX | tag::SET_RANGE | tag::APPEND | tag::CALL)) => true,
        Some(&tag::SET) => answers_old(op),
        _ => false,
    }
}

/// Of a SET with options; to decode it once more would be dear where it is the ordinary way to write.
fn answers_old(op: &[u8]) -> bool {
    let mut rest = op.get(2..).unwrap_or_default();
    let is_behind_value = take_bytes(&mut rest).is_ok() && take_bytes(&mut rest).is_ok();
    is_behind_value && take_set_options(&mut rest).is_ok_and(|(_, _, reply)| reply == SetReply::Old)
}

/// The first byte of an encoded command. 0x13 and 0x1a are spent: commands had them that are calls now.
mod tag {
    pub const GET: u8 = 0x01;
    pub const SET: u8 = 0x02;
    pub const GET_DEL: u8 = 0x03;
    pub const GET_EX: u8 = 0x04;
    pub const MGET: u8 = 0x05;
    pub const MSET: u8 = 0x06;
    pub const MSET_NX: u8 = 0x07;
    pub const INCR_BY: u8 = 0x08;
    pub const INCR_BY_FLOAT: u8 = 0x09;
    pub const APPEND: u8 = 0x0a;
    pub const STR_LEN: u8 = 0x0b;
    pub const GET_RANGE: u8 = 0x0c;
    pub const SET_RANGE: u8 = 0x0d;
    pub const DEL: u8 = 0x0e;
    pub const EXISTS: u8 = 0x0f;
    pub const TOUCH: u8 = 0x10;
    pub const EXPIRE: u8 = 0x11;
    pub const TTL: u8 = 0x12;
    pub const TYPE: u8 = 0x14;
    pub const KEYS: u8 = 0x15;
    pub const SCAN: u8 = 0x16;
    pub const RANDOM_KEY: u8 = 0x17;
    pub const RENAME: u8 = 0x18;
    pub const OBJECT: u8 = 0x19;
    pub const DB_SIZE: u8 = 0x1b;
    pub const FLUSH_DB: u8 = 0x1c;
    pub const FLUSH_ALL: u8 = 0x1d;
    pub const WATCH: u8 = 0x1e;
    /// SET with no option and OK as its reply: the hot path has no option byte.
    pub const SET_PLAIN: u8 = 0x1f;
    pub const INVALIDATE: u8 = 0x20;
    /// Behind the database the number of the row follows; see [`crate::command::Call`].
    pub const CALL: u8 = 0x7f;
}

impl<'a> Command<'a> {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_to(out);
    }

    /// As [`Command::encode`], to what takes a part of it.
    #[inline]
    pub(super) fn encode_to(&self, out: &mut impl Sink) {
        match *self {
            Self::Get { db, key } => put_key(out, tag::GET, db, key),
            Self::Set {
                db,
                key,
                value,
                expiry,
                condition,
                reply,
            } => {
                let options = (expiry, condition, reply);
                if options == Default::default() {
                    put_key(out, tag::SET_PLAIN, db, key);
                    put_bytes(out, value);
                } else {
                    put_key(out, tag::SET, db, key);
                    put_bytes(out, value);
                    put_set_options(out, options);
                }
            }
            Self::GetDel { db, key } => put_key(out, tag::GET_DEL, db, key),
            Self::GetEx { db, key, expiry } => {
                put_key(out, tag::GET_EX, db, key);
                put_get_expiry(out, expiry);
            }
            Self::MGet { db, keys } => put_keys(out, tag::MGET, db, keys),
            Self::MSet { db, pairs } => put_pairs(out, tag::MSET, db, pairs),
            Self::MSetNx { db, pairs } => put_pairs(out, tag::MSET_NX, db, pairs),
            Self::IncrBy { db, key, delta } => {
                put_key(out, tag::INCR_BY, db, key);
                put_signed(out, delta);
            }
            Self::IncrByFloat { db, key, increment } => {
                put_key(out, tag::INCR_BY_FLOAT, db, key);
                put_bytes(out, increment);
            }
            Self::Append { db, key, value } => {
                put_key(out, tag::APPEND, db, key);
                put_bytes(out, value);
            }
            Self::StrLen { db, key } => put_key(out, tag::STR_LEN, db, key),
            Self::GetRange { db, key, start, end } => {
                put_key(out, tag::GET_RANGE, db, key);
                put_signed(out, start);
                put_signed(out, end);
            }
            Self::SetRange {
                db,
                key,
                offset,
                value,
            } => {
                put_key(out, tag::SET_RANGE, db, key);
                put_varint(out, offset);
                put_bytes(out, value);
            }
            _ => self.encode_key_command(out),
        }
    }

    /// The commands on keys and databases, split off to keep the string commands' function short.
    fn encode_key_command(&self, out: &mut impl Sink) {
        match *self {
            Self::Del { db, keys } => put_keys(out, tag::DEL, db, keys),
            Self::Invalidate { db, keys } => put_keys(out, tag::INVALIDATE, db, keys),
            Self::Exists { db, keys } => put_keys(out, tag::EXISTS, db, keys),
            Self::Touch { db, keys } => put_keys(out, tag::TOUCH, db, keys),
            Self::Watch { db, keys } => put_keys(out, tag::WATCH, db, keys),
            Self::Expire {
                db,
                key,
                deadline,
                condition,
            } => {
                put_key(out, tag::EXPIRE, db, key);
                put_deadline(out, deadline, condition);
            }
            Self::Ttl { db, key, form } => {
                put_key(out, tag::TTL, db, key);
                out.push(form as u8);
            }
            Self::Type { db, key } => put_key(out, tag::TYPE, db, key),
            Self::Keys { db, pattern } => put_key(out, tag::KEYS, db, pattern),
            Self::Scan {
                db,
                cursor,
                count,
                pattern,
                kind,
            } => {
                out.extend_from_slice(&[tag::SCAN, db]);
                put_varint(out, cursor);
                put_varint(out, count);
                out.push(u8::from(pattern.is_some()) | u8::from(kind.is_some()) << 1);
                pattern
                    .into_iter()
                    .chain(kind)
                    .for_each(|text| put_bytes(out, text));
            }
            Self::RandomKey { db } => out.extend_from_slice(&[tag::RANDOM_KEY, db]),
            Self::Rename {
                db,
                from,
                to,
                only_if_absent,
            } => {
                put_key(out, tag::RENAME, db, from);
                put_bytes(out, to);
                out.push(u8::from(only_if_absent));
            }
            Self::Object { db, key, field } => {
                put_key(out, tag::OBJECT, db, key);
                out.push(field as u8);
            }
            Self::DbSize { db } => out.extend_from_slice(&[tag::DB_SIZE, db]),
            Self::FlushDb { db } => out.extend_from_slice(&[tag::FLUSH_DB, db]),
            Self::FlushAll => out.push(tag::FLUSH_ALL),
            Self::Call(call) => {
                out.push(tag::CALL);
                call.encode(out);
            }
            _ => unreachable!("string commands are encoded by encode()"),
        }
    }

    /// Takes one command off the front of `input`; it borrows from it. Any input gives a command or
    /// [`Corrupt`].
    #[inline]
    pub fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let kind = take_u8(input)?;
        if kind == tag::FLUSH_ALL {
            return Ok(Self::FlushAll);
        }
        let db = take_u8(input)?;
        if usize::from(db) >= DATABASES {
            return corrupt("a database number");
        }
        match kind {
            tag::GET => Ok(Self::Get {
                db,
                key: take_bytes(input)?,
            }),
            tag::SET_PLAIN => Ok(Self::Set {
                db,
                key: take_bytes(input)?,
                value: take_bytes(input)?,
                expiry: Expiry::Never,
                condition: SetCondition::Always,
                reply: SetReply::Ok,
            }),
            _ => Self::decode_string_command(kind, db, input),
        }
    }

    fn decode_string_command(kind: u8, db: u8, input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        Ok(match kind {
            tag::SET => {
                let (key, value) = (take_bytes(input)?, take_bytes(input)?);
                let (expiry, condition, reply) = take_set_options(input)?;
                Self::Set {
                    db,
                    key,
                    value,
                    expiry,
                    condition,
                    reply,
                }
            }
            tag::GET_DEL => Self::GetDel {
                db,
                key: take_bytes(input)?,
            },
            tag::GET_EX => Self::GetEx {
                db,
                key: take_bytes(input)?,
                expiry: take_get_expiry(input)?,
            },
            tag::MGET => Self::MGet {
                db,
                keys: Keys::decode(input)?,
            },
            tag::MSET => Self::MSet {
                db,
                pairs: Pairs::decode(input)?,
            },
            tag::MSET_NX => Self::MSetNx {
                db,
                pairs: Pairs::decode(input)?,
            },
            tag::INCR_BY => Self::IncrBy {
                db,
                key: take_bytes(input)?,
                delta: take_signed(input)?,
            },
            tag::INCR_BY_FLOAT => Self::IncrByFloat {
                db,
                key: take_bytes(input)?,
                increment: take_bytes(input)?,
            },
            tag::APPEND => Self::Append {
                db,
                key: take_bytes(input)?,
                value: take_bytes(input)?,
            },
            tag::STR_LEN => Self::StrLen {
                db,
                key: take_bytes(input)?,
            },
            tag::GET_RANGE => Self::GetRange {
                db,
                key: take_bytes(input)?,
                start: take_signed(input)?,
                end: take_signed(input)?,
            },
            tag::SET_RANGE => Self::SetRange {
                db,
                key: take_bytes(input)?,
                offset: take_varint(input)?,
                value: take_bytes(input)?,
            },
            _ => return Self::decode_key_command(kind, db, input),
        })
    }

    fn decode_key_command(kind: u8, db: u8, input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        Ok(match kind {
            tag::DEL => Self::Del {
                db,
                keys: Keys::decode(input)?,
            },
            tag::INVALIDATE => Self::Invalidate {
                db,
                keys: Keys::decode(input)?,
            },
            tag::EXISTS => Self::Exists {
                db,
                keys: Keys::decode(input)?,
            },
            tag::TOUCH => Self::Touch {
                db,
                keys: Keys::decode(input)?,
            },
            tag::WATCH => Self::Watch {
                db,
                keys: Keys::decode(input)?,
            },
            tag::EXPIRE => {
                let key = take_bytes(input)?;
                let (deadline, condition) = take_deadline(input)?;
                Self::Expire {
                    db,
                    key,
                    deadline,
                    condition,
                }
            }
            tag::TTL => Self::Ttl {
                db,
                key: take_bytes(input)?,
                form: take_ttl_form(input)?,
            },
            tag::TYPE => Self::Type {
                db,
                key: take_bytes(input)?,
            },
            tag::KEYS => Self::Keys {
                db,
                pattern: take_bytes(input)?,
            },
            tag::SCAN => {
                let (cursor, count) = (take_varint(input)?, take_varint(input)?);
                let filters = take_u8(input)?;
                if filters > 3 || count == 0 {
                    return corrupt("the filters of SCAN");
                }
                let pattern = if filters & 1 != 0 {
                    Some(take_bytes(input)?)
                } else {
                    None
                };
                let kind = if filters & 2 != 0 {
                    Some(take_bytes(input)?)
                } else {
                    None
                };
                Self::Scan {
                    db,
                    cursor,
                    count,
                    pattern,
                    kind,
                }
            }
            tag::RANDOM_KEY => Self::RandomKey { db },
            tag::RENAME => Self::Rename {
                db,
                from: take_bytes(input)?,
                to: take_bytes(input)?,
                only_if_absent: take_flag(input)?,
            },
            tag::OBJECT => Self::Object {
                db,
                key: take_bytes(input)?,
                field: take_object_field(input)?,
            },
            tag::DB_SIZE => Self::DbSize { db },
            tag::FLUSH_DB => Self::FlushDb { db },
            tag::CALL => Self::Call(Call::decode(db, input)?),
            _ => return corrupt("a command tag"),
        })
    }
}

#[inline]
fn put_key(out: &mut impl Sink, tag: u8, db: u8, key: &[u8]) {
    out.extend_from_slice(&[tag, db]);
    put_bytes(out, key);
}

fn put_keys(out: &mut impl Sink, tag: u8, db: u8, keys: Keys<'_>) {
    out.extend_from_slice(&[tag, db]);
    keys.encode(out);
}

fn put_pairs(out: &mut impl Sink, tag: u8, db: u8, pairs: Pairs<'_>) {
    out.extend_from_slice(&[tag, db]);
    pairs.encode(out);
}

fn take_flag(input: &mut &[u8]) -> Result<bool, Corrupt> {
    match take_u8(input)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => corrupt("a flag"),
    }
}
