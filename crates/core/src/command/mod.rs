//! Typed data commands: everything that reads or writes the keyspace.
//!
//! A [`Command`] is parsed once from a client's request ([`parse`]) or decoded from an op
//! ([`Command::decode`]); it borrows from either, is `Copy` and owns nothing. Parsing answers every
//! error that does not depend on state, with Redis' texts; what depends on state is decided where the
//! command is applied. A TTL stays relative here and becomes a deadline at apply, by the entry's time,
//! so that it does not depend on the clock of the node that took the request.
//!
//! A command that is a row of the table and a handler in [`crate::keyspace`] travels as a [`Call`]; commands that are
//! measured to gain from it have a variant of their own.
//!
//! Commands that do not touch the keyspace (PING, CLIENT, MULTI, …) are the session's business and
//! have no variant here.

mod argument;
mod call;
mod encoding;
mod error;
mod long;
mod number;
mod options;
mod parse;

use repligo_proto::command::flag;

pub use argument::{Arguments, Keys, Pairs};
pub use call::Call;
pub use encoding::{CALL_TAG, FIRST_OP_TAG, is_short_and_long};
pub use error::CommandError;
pub use long::{LongOp, ROOM_BYTES};
pub use number::parse_i64;
pub use options::{
    Deadline, DeadlineCondition, DeadlineError, Expiry, GetExpiry, ObjectField, SetCondition, SetReply,
    TtlForm,
};
pub use parse::{WriteOptions, parse, scan_cursor};

/// One data command. Commands of Redis that differ in form only share a variant: INCR, DECR and DECRBY
/// are `IncrBy`; SETEX, PSETEX, SETNX and GETSET are `Set`; UNLINK is `Del`; SUBSTR is `GetRange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// GET: the value, or null.
    Get {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
    },
    /// SET, SETEX, PSETEX, SETNX, GETSET.
    Set {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// New value.
        value: &'a [u8],
        /// What becomes of the deadline.
        expiry: Expiry,
        /// When nothing is written.
        condition: SetCondition,
        /// Form of the reply.
        reply: SetReply,
    },
    /// GETDEL: the value, or null; the key is gone.
    GetDel {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
    },
    /// GETEX: the value, or null; changes the deadline.
    GetEx {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// What becomes of the deadline.
        expiry: GetExpiry,
    },
    /// MGET: an array of values and nulls.
    MGet {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
    /// MSET: always OK.
    MSet {
        /// Database.
        db: u8,
        /// Keys and values; of equal keys the last one wins.
        pairs: Pairs<'a>,
    },
    /// MSETNX: 1, or 0 and nothing written when one of the keys exists.
    MSetNx {
        /// Database.
        db: u8,
        /// Keys and values; of equal keys the last one wins.
        pairs: Pairs<'a>,
    },
    /// INCR, DECR, INCRBY, DECRBY: the new value.
    IncrBy {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// What is added.
        delta: i64,
    },
    /// INCRBYFLOAT: the new value as text.
    IncrByFloat {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// What is added, as the client wrote it; parsed where it is applied, after the key's own value,
        /// because that is the order in which Redis reports errors.
        increment: &'a [u8],
    },
    /// APPEND: the new length.
    Append {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// What is added at the end.
        value: &'a [u8],
    },
    /// STRLEN: length in bytes, 0 for an absent key.
    StrLen {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
    },
    /// GETRANGE, SUBSTR: a part of the value.
    GetRange {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// First byte; negative counts from the end.
        start: i64,
        /// Last byte, inclusive; negative counts from the end.
        end: i64,
    },
    /// SETRANGE: the new length.
    SetRange {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// First byte that is overwritten.
        offset: u64,
        /// What is written there.
        value: &'a [u8],
    },
    /// DEL, UNLINK: how many existed.
    Del {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
    /// REPLIGO.INVALIDATE: how many cached copies of rows were dropped. Only ever a request: what the log
    /// holds is an op of the origin.
    Invalidate {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
    /// EXISTS: how many exist, duplicates counted.
    Exists {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
    /// TOUCH: how many exist, duplicates counted.
    Touch {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT: 1 when the deadline was set.
    Expire {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// The new deadline; one that has passed deletes the key.
        deadline: Deadline,
        /// When nothing is changed.
        condition: DeadlineCondition,
    },
    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME: -2 without a key, -1 without a deadline.
    Ttl {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// Unit, and whether the reply is relative.
        form: TtlForm,
    },
    /// TYPE: `none` or the type's name.
    Type {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
    },
    /// KEYS: all keys that match.
    Keys {
        /// Database.
        db: u8,
        /// Glob pattern.
        pattern: &'a [u8],
    },
    /// SCAN: the next cursor and some keys.
    Scan {
        /// Database.
        db: u8,
        /// Where the previous call stopped; 0 starts.
        cursor: u64,
        /// About how many entries to look at; at least 1.
        count: u64,
        /// Only keys that match this glob pattern.
        pattern: Option<&'a [u8]>,
        /// Only keys of the type with this name.
        kind: Option<&'a [u8]>,
    },
    /// RANDOMKEY: some key, or null.
    RandomKey {
        /// Database.
        db: u8,
    },
    /// RENAME, RENAMENX.
    Rename {
        /// Database.
        db: u8,
        /// Old name.
        from: &'a [u8],
        /// New name.
        to: &'a [u8],
        /// RENAMENX: not when the new name exists; the reply is 1 or 0.
        only_if_absent: bool,
    },
    /// OBJECT ENCODING, REFCOUNT, IDLETIME, FREQ.
    Object {
        /// Database.
        db: u8,
        /// Key.
        key: &'a [u8],
        /// What is asked.
        field: ObjectField,
    },
    /// DBSIZE: number of keys.
    DbSize {
        /// Database.
        db: u8,
    },
    /// FLUSHDB.
    FlushDb {
        /// Database.
        db: u8,
    },
    /// FLUSHALL.
    FlushAll,
    /// Every command without a layout of its own.
    Call(Call<'a>),
    /// WATCH, for the session alone: the versions of the keys (see `Keyspace::version_of`), each as eight bytes in
    /// little-endian order, with nothing around them.
    Watch {
        /// Database.
        db: u8,
        /// Keys.
        keys: Keys<'a>,
    },
}

impl<'a> Command<'a> {
    /// True when applying it may change the keyspace, so that it has to go through the log.
    #[inline]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Get { .. }
            | Self::MGet { .. }
            | Self::StrLen { .. }
            | Self::GetRange { .. }
            | Self::Exists { .. }
            | Self::Touch { .. }
            | Self::Ttl { .. }
            | Self::Type { .. }
            | Self::Keys { .. }
            | Self::Scan { .. }
            | Self::RandomKey { .. }
            | Self::Object { .. }
            | Self::DbSize { .. }
            | Self::Watch { .. } => false,
            Self::GetEx { expiry, .. } => expiry.changes_deadline(),
            Self::Call(call) => call.is_write(),
            Self::Set { .. }
            | Self::GetDel { .. }
            | Self::MSet { .. }
            | Self::MSetNx { .. }
            | Self::IncrBy { .. }
            | Self::IncrByFloat { .. }
            | Self::Append { .. }
            | Self::SetRange { .. }
            | Self::Del { .. }
            | Self::Invalidate { .. }
            | Self::Expire { .. }
            | Self::Rename { .. }
            | Self::FlushDb { .. }
            | Self::FlushAll => true,
        }
    }

    /// True when applying it may add memory: what Redis flags `denyoom` and refuses at `maxmemory`.
    pub fn may_grow(&self) -> bool {
        matches!(
            self,
            Self::Set { .. }
                | Self::MSet { .. }
                | Self::MSetNx { .. }
                | Self::IncrBy { .. }
                | Self::IncrByFloat { .. }
                | Self::Append { .. }
                | Self::SetRange { .. }
        ) || matches!(self, Self::Call(call) if call.spec.has(flag::DENYOOM))
    }

    /// The database it works on; `None` for FLUSHALL, which works on all of them.
    #[inline]
    pub fn db(&self) -> Option<u8> {
        match *self {
            Self::Get { db, .. }
            | Self::Set { db, .. }
            | Self::GetDel { db, .. }
            | Self::GetEx { db, .. }
            | Self::MGet { db, .. }
            | Self::MSet { db, .. }
            | Self::MSetNx { db, .. }
            | Self::IncrBy { db, .. }
            | Self::IncrByFloat { db, .. }
            | Self::Append { db, .. }
            | Self::StrLen { db, .. }
            | Self::GetRange { db, .. }
            | Self::SetRange { db, .. }
            | Self::Del { db, .. }
            | Self::Invalidate { db, .. }
            | Self::Exists { db, .. }
            | Self::Touch { db, .. }
            | Self::Expire { db, .. }
            | Self::Ttl { db, .. }
            | Self::Type { db, .. }
            | Self::Keys { db, .. }
            | Self::Scan { db, .. }
            | Self::RandomKey { db }
            | Self::Rename { db, .. }
            | Self::Object { db, .. }
            | Self::DbSize { db }
            | Self::FlushDb { db }
            | Self::Watch { db, .. } => Some(db),
            Self::Call(call) => Some(call.db),
            Self::FlushAll => None,
        }
    }

    /// How many keys it names beside the first.
    #[inline]
    pub fn further_keys(&self) -> usize {
        let keys = match self {
            Self::MGet { keys, .. }
            | Self::Del { keys, .. }
            | Self::Invalidate { keys, .. }
            | Self::Exists { keys, .. }
            | Self::Touch { keys, .. }
            | Self::Watch { keys, .. } => keys.len(),
            Self::MSet { pairs, .. } | Self::MSetNx { pairs, .. } => pairs.len(),
            Self::Rename { .. } => 2,
            Self::Call(call) => call.key_count(),
            _ => 1,
        };
        keys.saturating_sub(1)
    }

    /// Calls `visit` with every key that the command names, in order, duplicates included.
    #[inline]
    pub fn for_each_key(&self, mut visit: impl FnMut(&'a [u8])) {
        match *self {
            Self::Get { key, .. }
            | Self::Set { key, .. }
            | Self::GetDel { key, .. }
            | Self::GetEx { key, .. }
            | Self::IncrBy { key, .. }
            | Self::IncrByFloat { key, .. }
            | Self::Append { key, .. }
            | Self::StrLen { key, .. }
            | Self::GetRange { key, .. }
            | Self::SetRange { key, .. }
            | Self::Expire { key, .. }
            | Self::Ttl { key, .. }
            | Self::Type { key, .. }
            | Self::Object { key, .. } => visit(key),
            Self::MGet { keys, .. }
            | Self::Del { keys, .. }
            | Self::Invalidate { keys, .. }
            | Self::Exists { keys, .. }
            | Self::Touch { keys, .. }
            | Self::Watch { keys, .. } => keys.iter().for_each(visit),
            Self::MSet { pairs, .. } | Self::MSetNx { pairs, .. } => {
                pairs.iter().for_each(|(key, _)| visit(key))
            }
            Self::Rename { from, to, .. } => {
                visit(from);
                visit(to);
            }
            Self::Call(call) => call.for_each_key(visit),
            Self::Keys { .. }
            | Self::Scan { .. }
            | Self::RandomKey { .. }
            | Self::DbSize { .. }
            | Self::FlushDb { .. }
            | Self::FlushAll => {}
        }
    }

    /// Name of the variant, or of the row of a call, as a Redis command in lower case. Commands that share a variant share the
    /// name, so statistics and access rules go by the command table instead.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::Set { .. } => "set",
            Self::GetDel { .. } => "getdel",
            Self::GetEx { .. } => "getex",
            Self::MGet { .. } => "mget",
            Self::MSet { .. } => "mset",
            Self::MSetNx { .. } => "msetnx",
            Self::IncrBy { .. } => "incrby",
            Self::IncrByFloat { .. } => "incrbyfloat",
            Self::Append { .. } => "append",
            Self::StrLen { .. } => "strlen",
            Self::GetRange { .. } => "getrange",
            Self::SetRange { .. } => "setrange",
            Self::Del { .. } => "del",
            Self::Invalidate { .. } => "repligo.invalidate",
            Self::Exists { .. } => "exists",
            Self::Touch { .. } => "touch",
            Self::Expire { .. } => "pexpire",
            Self::Ttl { .. } => "pttl",
            Self::Type { .. } => "type",
            Self::Keys { .. } => "keys",
            Self::Scan { .. } => "scan",
            Self::RandomKey { .. } => "randomkey",
            Self::Rename {
                only_if_absent: false,
                ..
            } => "rename",
            Self::Rename {
                only_if_absent: true, ..
            } => "renamenx",
            Self::Object { .. } => "object",
            Self::DbSize { .. } => "dbsize",
            Self::FlushDb { .. } => "flushdb",
            Self::FlushAll => "flushall",
            Self::Call(call) => call.spec.name,
            Self::Watch { .. } => "watch",
        }
    }
}

#[cfg(test)]
mod tests;
