//! Ops: what the log holds.
//!
//! An op is deterministic: applied at the same place of the log it does the same on every replica. It
//! knows nothing of terms, nodes or requests; the entry around it does ([`crate::contract::LogEntry`]).
//!
//! Version rule: the first byte tells what an op is. A tag's layout and meaning never change once
//! released; a new meaning gets a new tag. Tags below 0x80 are commands ([`crate::command`]), then:
//!
//! | tags | op |
//! |---|---|
//! | 0x80 | Time |
//! | 0x81 | Transaction |
//! | 0x82 | Evict |
//! | 0x83 | MemoryFull |
//! | 0x84 | HashSeed |
//! | 0x85 | Users |
//! | 0x86 | in front of another op: by whose rights it was let through |
//! | 0x87 | Serve |
//! | 0x90–0x9f | [`crate::origin::OriginOp`], which decodes itself |
//! | 0xff | the escape: a varint follows, the number of a kind of op for which no tag was left; there is none yet |
//!
//! Commands have an escape of their own ([`crate::command::CALL_TAG`]).

use crate::acl::Actor;
use crate::command::{Command, FIRST_OP_TAG};
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_array, take_bytes, take_varint};
use crate::table::HashSeed;

mod serve;
#[cfg(test)]
mod tests;
mod transaction;
mod victims;

pub use serve::Serve;
use transaction::take_many;
pub use transaction::{Item, Transaction, TransactionBuffer, Watched};
pub use victims::{Victim, Victims, VictimsBuffer};

mod tag {
    pub const TIME: u8 = super::FIRST_OP_TAG;
    pub const TRANSACTION: u8 = 0x81;
    pub const EVICT: u8 = 0x82;
    pub const MEMORY_FULL: u8 = 0x83;
    pub const HASH_SEED: u8 = 0x84;
    pub const USERS: u8 = 0x85;
    pub const ACTOR: u8 = 0x86;
    pub const SERVE: u8 = 0x87;
    pub const ESCAPE: u8 = 0xff;
}

/// One op of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// One data command. A read is here only when it rides between writes of its connection.
    Command(Command<'a>),
    /// A MULTI … EXEC block.
    Transaction(Transaction<'a>),
    /// Nothing but the time of the entry around it: keys whose deadline has come are gone.
    Time,
    /// These keys go, to make room: each one that still has the version the leader saw, and no pending
    /// write to its origin.
    Evict(Victims<'a>),
    /// The leader has no room: whatever would add memory and stands behind this in the same entry is
    /// refused and changes nothing.
    MemoryFull,
    /// What keys are hashed with on every replica, unless one before it has said so. It stands in front of
    /// the first entry that holds anything.
    HashSeed(HashSeed),
    /// A change of the users: an encoded [`crate::acl::UserChange`].
    Users(&'a [u8]),
    /// A client that waits gets what one of its keys has, now or behind an op of the same entry.
    Serve(Serve<'a>),
}

/// Appends what stands in front of an op that was let through by other rights than those of the default user as it
/// starts.
pub fn put_actor(out: &mut Vec<u8>, actor: Actor) {
    out.push(tag::ACTOR);
    actor
        .numbers()
        .iter()
        .for_each(|number| put_varint(out, u64::from(*number)));
}

/// Takes what [`put_actor`] wrote off the front of an op; `None` if it has none of it.
///
/// # Errors
/// If the bytes after its tag are not those of an actor.
pub fn take_actor(op: &mut &[u8]) -> Result<Option<Actor>, Corrupt> {
    let Some((&tag::ACTOR, mut rest)) = op.split_first() else {
        return Ok(None);
    };
    let mut number = || u32::try_from(take_varint(&mut rest)?).or_else(|_| corrupt("a number of 32 bits"));
    let actor = Actor::of_numbers([number()?, number()?]);
    *op = rest;
    Ok(Some(actor))
}

impl<'a> Op<'a> {
    /// The first byte of a transaction.
    pub const TRANSACTION_TAG: u8 = tag::TRANSACTION;
    /// First byte of the op that only moves the time.
    pub const TIME_TAG: u8 = tag::TIME;
    /// First byte of a waiting client.
    pub const SERVE_TAG: u8 = tag::SERVE;
    /// First byte of the op that agrees on the hash seed.
    pub const HASH_SEED_TAG: u8 = tag::HASH_SEED;
    /// First byte of what is no op of plain keys by the default user as it starts: this and all above it.
    pub const FIRST_RARE_TAG: u8 = tag::USERS;

    /// Appends the encoding, which delimits itself.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Command(command) => command.encode(out),
            Self::Transaction(transaction) => {
                out.push(tag::TRANSACTION);
                transaction.encode(out);
            }
            Self::Time => out.push(tag::TIME),
            Self::Evict(victims) => {
                out.push(tag::EVICT);
                victims.encode(out);
            }
            Self::MemoryFull => out.push(tag::MEMORY_FULL),
            Self::HashSeed(seed) => {
                out.push(tag::HASH_SEED);
                out.extend_from_slice(&seed.to_bytes());
            }
            Self::Users(change) => {
                out.push(tag::USERS);
                put_bytes(out, change);
            }
            Self::Serve(serve) => {
                out.push(tag::SERVE);
                serve.encode(out);
            }
        }
    }

    /// Takes one op off the front of `input`; it borrows from it. Any input gives an op or [`Corrupt`].
    #[inline]
    pub fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        match input.first() {
            Some(&first) if first < FIRST_OP_TAG => Command::decode(input).map(Self::Command),
            Some(_) => Self::decode_other(input),
            None => corrupt("an op"),
        }
    }

    fn decode_other(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let (first, rest) = (input[0], &input[1..]);
        *input = rest;
        match first {
            tag::TIME => Ok(Self::Time),
            tag::TRANSACTION => Transaction::decode(input).map(Self::Transaction),
            tag::EVICT => Victims::decode(input).map(Self::Evict),
            tag::MEMORY_FULL => Ok(Self::MemoryFull),
            tag::HASH_SEED => Ok(Self::HashSeed(HashSeed::from_bytes(&take_array(input)?))),
            tag::USERS => Ok(Self::Users(take_bytes(input)?)),
            tag::SERVE => Serve::decode(input).map(Self::Serve),
            tag::ESCAPE => Self::decode_escaped(input),
            _ => corrupt("an op tag"),
        }
    }
}

impl<'a> Op<'a> {
    /// Takes an op of a numbered kind off the front, behind the escape. This release knows no number.
    fn decode_escaped(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        take_varint(input)?;
        corrupt("the number of an op that this release knows")
    }
}

/// An op that serves no client and takes a few bytes: all that goes into a log whose disk is full.
pub fn is_bookkeeping(op: &[u8]) -> bool {
    matches!(Op::decode(&mut &op[..]), Ok(Op::Time))
}

/// The ops of a batch, when they are nothing but that.
pub fn holds_bookkeeping(mut ops: &[u8]) -> bool {
    while !ops.is_empty() {
        match take_bytes(&mut ops) {
            Ok(op) if is_bookkeeping(op) => {}
            _ => return false,
        }
    }
    true
}
