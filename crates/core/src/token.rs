//! Tokens of sessions: a place in one cluster's history that a client carries from connection to connection.
//!
//! A token names the entry up to which a node had applied the log when it answered: whatever its connection was
//! told, of writes and of reads, is at or below it. Index and term together name one entry for good, as long as the
//! cluster's generation is the same: what is committed is never truncated.
//!
//! On the wire it is hexadecimal digits of: a version byte, the digest of the cluster, generation, shard, term and
//! index as varints, and a checksum, which finds what was cut or mistyped. It is no secret and no proof.

use crate::packed::{put_varint, take_array, take_u8, take_varint};

/// Version of the layout.
const VERSION: u8 = 1;

/// The shard of all keys.
pub const SHARD: u64 = 0;

/// Longest token on the wire: five numbers, of which four are at most ten bytes long, version and checksum.
const DIGITS_MAX: usize = 2 * (1 + 8 + 4 * 10 + 4);

/// A place in the history of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Digest of the cluster's id.
    pub cluster: u64,
    /// Generation of the cluster: after a restore or a recovery the history is another one.
    pub generation: u64,
    /// Which log.
    pub shard: u64,
    /// Term of the entry.
    pub term: u64,
    /// Index of the entry.
    pub index: u64,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoToken {
    /// It is no token at all, or not a whole one.
    Malformed,
    /// Another cluster gave it out.
    OtherCluster,
    /// It is of this generation, and of a history that this one is restored or recovered from.
    EarlierGeneration {
        /// The token's.
        token: u64,
        /// The cluster's.
        own: u64,
    },
    /// It is of a generation that this node has not heard of: the node is a remnant of an earlier one.
    LaterGeneration {
        /// The token's.
        token: u64,
        /// This node's.
        own: u64,
    },
    /// No log is that long.
    Impossible,
    /// The entry is not in this history.
    NotInHistory {
        /// Its term.
        term: u64,
        /// Its index.
        index: u64,
    },
}

/// How a token stands to the state of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The state holds it, and this replica will never be asked for more by it.
    Passed,
    /// The state holds it; this replica has not been confirmed by a leader since its start.
    Here,
    /// Not applied here so far, and nothing that is known here contradicts it.
    Ahead,
    /// It is not to be taken, or not any more.
    Refused(NoToken),
}

impl Token {
    /// What of a cluster's id is in its tokens.
    pub fn cluster_digest(cluster_id: u128) -> u64 {
        (cluster_id >> 64) as u64 ^ cluster_id as u64
    }

    /// The token as one word of hexadecimal digits.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.cluster.to_le_bytes());
        for number in [self.generation, self.shard, self.term, self.index] {
            put_varint(&mut bytes, number);
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`Token::encode`] wrote.
    ///
    /// # Errors
    /// [`NoToken::Malformed`].
    pub fn decode(word: &[u8]) -> Result<Self, NoToken> {
        Self::of_digits(word).ok_or(NoToken::Malformed)
    }

    fn of_digits(word: &[u8]) -> Option<Self> {
        let (pairs, rest) = word.as_chunks::<2>();
        if word.len() > DIGITS_MAX || !rest.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
            .collect();
        let bytes = bytes?;
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        let mut rest = content;
        let rest = &mut rest;
        if u32::from_le_bytes(*sum) != checksum(content) || take_u8(rest).ok()? != VERSION {
            return None;
        }
        let token = Self {
            cluster: u64::from_le_bytes(take_array(rest).ok()?),
            generation: take_varint(rest).ok()?,
            shard: take_varint(rest).ok()?,
            term: take_varint(rest).ok()?,
            index: take_varint(rest).ok()?,
        };
        rest.is_empty().then_some(token)
    }
}

/// FNV-1a in 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(term: u64, index: u64) -> Token {
        Token {
            cluster: Token::cluster_digest(0x1234_5678_9abc_def0_0fed_cba9_8765_4321),
            generation: 3,
            shard: SHARD,
            term,
            index,
        }
    }

    #[test]
    fn a_token_comes_back_from_its_word() {
        for token in [token(0, 0), token(7, 123_456), token(u64::MAX, u64::MAX)] {
            let word = token.encode();
            assert_eq!(Token::decode(word.as_bytes()), Ok(token), "{word}");
            assert_eq!(Token::decode(word.to_uppercase().as_bytes()), Ok(token));
            assert!(word.len() <= DIGITS_MAX && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert!(token(7, 123_456).encode().len() < 48, "a short word");
    }

    #[test]
    fn what_was_cut_mistyped_or_made_up_is_none() {
        let word = token(7, 123_456).encode();
        for end in 0..word.len() {
            assert_eq!(
                Token::decode(&word.as_bytes()[..end]),
                Err(NoToken::Malformed),
                "{end}"
            );
            let mut mistyped = word.clone().into_bytes();
            mistyped[end] = if mistyped[end] == b'0' { b'1' } else { b'0' };
            assert_eq!(Token::decode(&mistyped), Err(NoToken::Malformed), "{end}");
        }
        let long = "0".repeat(DIGITS_MAX + 2);
        for other in ["", "token", "zz", "\u{e9}\u{e9}", &format!("{word}00"), &long] {
            assert_eq!(
                Token::decode(other.as_bytes()),
                Err(NoToken::Malformed),
                "{other}"
            );
        }
    }
}
