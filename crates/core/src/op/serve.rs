//! A client that waits for keys, as it goes into the log when one of them may have something.
//!
//! The op is tried where it stands, and behind every other op of its entry that names one of its keys: what is
//! pushed in one entry is taken in it, in the order in which clients came.

use crate::acl::Actor;
use crate::contract::PeerId;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};

/// A client that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serve<'a> {
    /// Its node.
    pub node: PeerId,
    /// Incarnation of that node.
    pub incarnation: u64,
    /// Its number among the waiting clients of that incarnation.
    pub number: u64,
    /// By whose rights it was let through.
    pub actor: Actor,
    /// It has just come: a key of another type is an error. Who has waited goes on waiting.
    pub is_first: bool,
    /// Its encoded command.
    pub command: &'a [u8],
}

impl<'a> Serve<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.node, self.incarnation, self.number] {
            put_varint(out, number);
        }
        for number in self.actor.numbers() {
            put_varint(out, u64::from(number));
        }
        out.push(u8::from(self.is_first));
        put_bytes(out, self.command);
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let [node, incarnation, number] = [take_varint(input)?, take_varint(input)?, take_varint(input)?];
        let mut half = || u32::try_from(take_varint(input)?).or_else(|_| corrupt("a number of 32 bits"));
        let actor = Actor::of_numbers([half()?, half()?]);
        let is_first = match take_u8(input)? {
            0 => false,
            1 => true,
            _ => return corrupt("whether a client has just come"),
        };
        Ok(Self {
            node,
            incarnation,
            number,
            actor,
            is_first,
            command: take_bytes(input)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Op;

    #[test]
    fn waiting_clients_come_out_of_the_log_as_they_went_in() {
        let op = Op::Serve(Serve {
            node: 3,
            incarnation: 1 << 33,
            number: 17,
            actor: Actor::of_numbers([5, 6]),
            is_first: true,
            command: b"command",
        });
        let mut out = Vec::new();
        op.encode(&mut out);
        let mut rest = &out[..];
        assert_eq!(Op::decode(&mut rest), Ok(op));
        assert!(rest.is_empty());
        for end in 0..out.len() {
            assert!(Op::decode(&mut &out[..end]).is_err(), "cut at {end}");
        }
    }
}
