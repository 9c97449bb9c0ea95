//! What the first chunk of a keyspace's snapshot says of the whole.

use super::{HEADER, front};
use crate::packed::{Corrupt, corrupt, put_varint, take_array, take_varint};
use crate::table::{HashSeed, VERSION_MAX};

/// No clock of a cluster comes to a later time: eight thousand years from now.
const TIME_MS_MAX: u64 = (1 << 48) - 1;

/// What the header chunk says.
#[derive(Clone, Copy, Debug)]
pub(in crate::keyspace) struct Header {
    pub time_ms: u64,
    pub version: u64,
    pub entry_count: u64,
    pub digest: u128,
    pub hash_seed: Option<HashSeed>,
}

impl Header {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&front(HEADER));
        put_varint(out, self.time_ms);
        put_varint(out, self.version);
        put_varint(out, self.entry_count);
        out.extend_from_slice(&self.digest.to_le_bytes());
        if let Some(seed) = self.hash_seed {
            out.extend_from_slice(&seed.to_bytes());
        }
    }

    pub fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let (time_ms, version) = (take_varint(input)?, take_varint(input)?);
        if version > VERSION_MAX || time_ms > TIME_MS_MAX {
            return corrupt("a version, or a time, that no keyspace comes to");
        }
        Ok(Self {
            time_ms,
            version,
            entry_count: take_varint(input)?,
            digest: u128::from_le_bytes(take_array(input)?),
            hash_seed: match input.is_empty() {
                true => None,
                false => Some(HashSeed::from_bytes(&take_array(input)?)),
            },
        })
    }
}
