//! What a node tells the leader of its clients that wait for keys.

use bytes::Bytes;

use crate::acl::Actor;
use crate::codec::{Malformed, Reader, put_bytes, put_varint};

const CANCEL: u8 = 0;
const REGISTER: u8 = 1;
const REGISTER_FIRST: u8 = 2;

/// A change of who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaiterChange {
    /// A client waits.
    Register {
        /// Its number among the waiting clients of this incarnation, which grows.
        number: u64,
        /// By whose rights it was let through.
        actor: Actor,
        /// It has just come.
        is_first: bool,
        /// Its encoded command.
        command: Bytes,
    },
    /// A client is not to be served any more.
    Cancel {
        /// Its number.
        number: u64,
    },
}

impl WaiterChange {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Cancel { number } => {
                out.push(CANCEL);
                put_varint(out, *number);
            }
            Self::Register {
                number,
                actor,
                is_first,
                command,
            } => {
                out.push(if *is_first { REGISTER_FIRST } else { REGISTER });
                put_varint(out, *number);
                for number in actor.numbers() {
                    put_varint(out, u64::from(number));
                }
                put_bytes(out, command);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, Malformed> {
        let kind = reader.u8()?;
        let number = reader.varint()?;
        if kind == CANCEL {
            return Ok(Self::Cancel { number });
        }
        if kind != REGISTER && kind != REGISTER_FIRST {
            return Err(Malformed);
        }
        let [first, second] = reader.varints()?;
        let half = |number: u64| u32::try_from(number).map_err(|_| Malformed);
        Ok(Self::Register {
            number,
            actor: Actor::of_numbers([half(first)?, half(second)?]),
            is_first: kind == REGISTER_FIRST,
            command: reader.bytes()?,
        })
    }
}
