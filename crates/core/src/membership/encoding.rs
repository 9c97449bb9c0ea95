//! The bytes of a membership and of its changes: in the log, in snapshots, beside the log, and between nodes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{Change, Member, MemberRole, Membership, Pending, Refusal};
use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::contract::PeerId;
use crate::limits;

/// Bytes of a name or an address.
pub const NAME_BYTES_MAX: usize = 255;
const VERSION: u8 = 1;

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && name.chars().all(is_plain) {
        Ok(())
    } else {
        Err(Refusal::BadName)
    }
}

pub(super) fn check_address(address: &str) -> Result<(), Refusal> {
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace();
    if address.len() <= NAME_BYTES_MAX && address.chars().all(is_plain) {
        Ok(())
    } else {
        Err(Refusal::BadAddress)
    }
}

fn put_key(out: &mut Vec<u8>, key: u128) {
    out.extend_from_slice(&key.to_le_bytes());
}

fn take_key(reader: &mut Reader) -> Result<u128, Malformed> {
    let bytes: [u8; 16] = reader.take(16)?.as_ref().try_into().map_err(|_| Malformed)?;
    Ok(u128::from_le_bytes(bytes))
}

fn take_text(reader: &mut Reader) -> Result<String, Malformed> {
    let text = String::from_utf8(reader.bytes()?.to_vec()).map_err(|_| Malformed)?;
    if text.len() <= NAME_BYTES_MAX {
        Ok(text)
    } else {
        Err(Malformed)
    }
}

fn take_number(reader: &mut Reader) -> Result<PeerId, Malformed> {
    let number = reader.varint()?;
    if (1..=limits::NUMBER_MAX).contains(&number) {
        Ok(number)
    } else {
        Err(Malformed)
    }
}

/// 0 stands for nobody.
fn take_maybe(reader: &mut Reader) -> Result<Option<PeerId>, Malformed> {
    let number = reader.varint()?;
    if number > limits::NUMBER_MAX {
        return Err(Malformed);
    }
    Ok((number != 0).then_some(number))
}

impl Change {
    /// Appends the change.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Add {
                number,
                name,
                address,
                key,
                replaces,
            } => {
                out.push(1);
                put_varint(out, *number);
                put_bytes(out, name.as_bytes());
                put_bytes(out, address.as_bytes());
                put_key(out, *key);
                put_varint(out, replaces.unwrap_or(0));
            }
            Self::Promote { number } => {
                out.push(2);
                put_varint(out, *number);
            }
            Self::Remove { number } => {
                out.push(3);
                put_varint(out, *number);
            }
            Self::Meet { number, address, key } => {
                out.push(4);
                put_varint(out, *number);
                put_bytes(out, address.as_bytes());
                put_key(out, *key);
            }
            Self::Leave => out.push(5),
        }
    }

    /// Reads a change that is all of the bytes.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let change = match reader.u8()? {
            1 => Self::Add {
                number: take_number(&mut reader)?,
                name: take_text(&mut reader)?,
                address: take_text(&mut reader)?,
                key: take_key(&mut reader)?,
                replaces: take_maybe(&mut reader)?,
            },
            2 => Self::Promote {
                number: take_number(&mut reader)?,
            },
            3 => Self::Remove {
                number: take_number(&mut reader)?,
            },
            4 => Self::Meet {
                number: take_number(&mut reader)?,
                address: take_text(&mut reader)?,
                key: take_key(&mut reader)?,
            },
            5 => Self::Leave,
            _ => return Err(Malformed),
        };
        if reader.is_empty() {
            Ok(change)
        } else {
            Err(Malformed)
        }
    }
}

impl Membership {
    /// Appends the membership.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, self.index);
        put_varint(out, self.next_number);
        put_varint(out, self.members.len() as u64);
        for (number, member) in &self.members {
            put_varint(out, *number);
            put_bytes(out, member.name.as_bytes());
            put_bytes(out, member.address.as_bytes());
            put_key(out, member.key);
            out.push(u8::from(member.role == MemberRole::Learner) | u8::from(member.leaving) << 1);
        }
        let (number, replaces) = self
            .pending
            .map_or((0, 0), |pending| (pending.number, pending.replaces.unwrap_or(0)));
        put_varint(out, number);
        put_varint(out, replaces);
        put_varint(out, self.outgoing.len() as u64);
        self.outgoing.iter().for_each(|number| put_varint(out, *number));
    }

    /// Takes a membership off the front.
    ///
    /// # Errors
    /// If there is none, or none that can be.
    pub fn decode(reader: &mut Reader) -> Result<Self, Malformed> {
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let (index, next_number) = (reader.varint()?, reader.varint()?);
        let count = reader.varint()?;
        if count > limits::MEMBERS_MAX as u64 {
            return Err(Malformed);
        }
        let mut members = BTreeMap::new();
        for _ in 0..count {
            let number = take_number(reader)?;
            let (name, address) = (take_text(reader)?, take_text(reader)?);
            let key = take_key(reader)?;
            let flags = reader.u8()?;
            let role = match flags & 1 {
                0 => MemberRole::Voter,
                _ => MemberRole::Learner,
            };
            let member = Member {
                name,
                address,
                key,
                role,
                leaving: flags & 2 != 0,
            };
            members.insert(number, member);
        }
        let (number, replaces) = (take_maybe(reader)?, take_maybe(reader)?);
        let count = reader.varint()?;
        if count > limits::MEMBERS_MAX as u64 {
            return Err(Malformed);
        }
        let outgoing = (0..count)
            .map(|_| take_number(reader))
            .collect::<Result<BTreeSet<_>, _>>()?;
        let membership = Self {
            index,
            next_number,
            members,
            pending: number.map(|number| Pending { number, replaces }),
            outgoing,
        };
        if membership.is_plausible() {
            Ok(membership)
        } else {
            Err(Malformed)
        }
    }

    /// The membership whose encoding is all of the bytes.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let membership = Self::decode(&mut reader)?;
        if reader.is_empty() {
            Ok(membership)
        } else {
            Err(Malformed)
        }
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode(&mut out);
        out
    }

    fn is_plausible(&self) -> bool {
        let is_known = |number: &PeerId| self.members.contains_key(number);
        let is_learner = |number: PeerId| {
            let member = self.members.get(&number);
            member.is_some_and(|member| member.role == MemberRole::Learner)
        };
        self.index <= limits::POSITION_MAX
            && self.next_number <= limits::NUMBER_MAX
            && self.members.keys().all(|number| *number < self.next_number)
            && (1..=limits::VOTERS_MAX).contains(&self.voters().len())
            && self.outgoing.iter().all(is_known)
            && self.pending.is_none_or(|pending| is_learner(pending.number))
    }
}
