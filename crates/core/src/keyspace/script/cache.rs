//! The scripts that EVALSHA knows: replicated, in snapshots and in the digest.
//!
//! Invariant: which scripts are known follows from the log. When there are too many bytes of them, the oldest that
//! came by EVAL goes first, and only then those that SCRIPT LOAD has brought.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_script::sha1_hex;

use crate::keyspace::digest::KeyDigest;
use crate::limits::{SCRIPT_OVERHEAD_BYTES, SCRIPTS_BYTES_MAX};
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};
use crate::table::Meta;

/// A script's name.
pub type Sha1 = [u8; 40];

/// In place of a database in digests.
const DIGEST_PLACE: u8 = u8::MAX;

/// Texts whose names are remembered, and the longest of them.
const NAMED_MAX: usize = 16;
const NAMED_BYTES_MAX: usize = 16 << 10;

/// A known script.
#[derive(Clone, Debug)]
struct Known {
    text: Bytes,
    /// Grows with every script that comes to be known.
    number: u64,
    /// By SCRIPT LOAD.
    is_loaded: bool,
}

impl Known {
    fn held_bytes(&self) -> usize {
        self.text.len() + SCRIPT_OVERHEAD_BYTES
    }

    fn digest(&self, sha1: &Sha1) -> u128 {
        let meta = Meta {
            deadline_ms: None,
            version: self.number,
            kind: u8::from(self.is_loaded),
        };
        KeyDigest::new(DIGEST_PLACE, sha1).entry(b"", 0, meta)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct ScriptCache {
    scripts: BTreeMap<Sha1, Known>,
    bytes: usize,
    /// Scripts that ever came to be known.
    count: u64,
    digest: u128,
    /// Texts whose names were asked for last, the latest at the end.
    named: Vec<(Bytes, Sha1)>,
}

impl ScriptCache {
    /// The name of a text. Clients send few different ones, and SHA-1 costs more than to compare with these.
    pub fn name_of(&mut self, text: &[u8]) -> Sha1 {
        if let Some(at) = self.named.iter().rposition(|(known, _)| known == text) {
            self.named[at..].rotate_left(1);
            return self.named[self.named.len() - 1].1;
        }
        let sha1 = sha1_hex(text);
        if text.len() <= NAMED_BYTES_MAX {
            if self.named.len() == NAMED_MAX {
                self.named.remove(0);
            }
            self.named.push((Bytes::copy_from_slice(text), sha1));
        }
        sha1
    }

    /// The text of this name, whatever the case of its digits.
    pub fn get(&self, name: &[u8]) -> Option<&Bytes> {
        let mut sha1: Sha1 = name.try_into().ok()?;
        sha1.make_ascii_lowercase();
        self.scripts.get(&sha1).map(|known| &known.text)
    }

    /// Part of the digest of the state.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Bytes that the scripts take.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Comes to know a script; its name. One that takes more than all may is not kept.
    pub fn add(&mut self, text: &[u8], is_loaded: bool) -> Sha1 {
        let sha1 = self.name_of(text);
        let known = match self.scripts.get(&sha1) {
            Some(known) if known.is_loaded || !is_loaded => return sha1,
            Some(known) => Known {
                is_loaded,
                ..known.clone()
            },
            None => Known {
                text: Bytes::copy_from_slice(text),
                number: self.count,
                is_loaded,
            },
        };
        if known.held_bytes() > SCRIPTS_BYTES_MAX {
            return sha1;
        }
        self.count += u64::from(!self.scripts.contains_key(&sha1));
        self.remove(&sha1);
        while self.bytes + known.held_bytes() > SCRIPTS_BYTES_MAX {
            let oldest = self
                .scripts
                .iter()
                .min_by_key(|(_, known)| (known.is_loaded, known.number));
            let Some(sha1) = oldest.map(|(sha1, _)| *sha1) else {
                break;
            };
            self.remove(&sha1);
        }
        self.insert(sha1, known);
        sha1
    }

    fn insert(&mut self, sha1: Sha1, known: Known) {
        self.bytes += known.held_bytes();
        self.digest = self.digest.wrapping_add(known.digest(&sha1));
        self.scripts.insert(sha1, known);
    }

    fn remove(&mut self, sha1: &Sha1) {
        if let Some(known) = self.scripts.remove(sha1) {
            self.bytes -= known.held_bytes();
            self.digest = self.digest.wrapping_sub(known.digest(sha1));
        }
    }

    /// Forgets all of them. What comes later has higher numbers all the same.
    pub fn clear(&mut self) {
        self.scripts.clear();
        self.bytes = 0;
        self.digest = 0;
    }

    /// The chunks of a snapshot, about so long each; none if no script was ever known. They share the texts, which
    /// makes this cheap.
    pub fn chunks(&self, budget_bytes: usize) -> Vec<Vec<u8>> {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        if self.count == 0 {
            return chunks;
        }
        let begin = || {
            let mut chunk = Vec::new();
            put_varint(&mut chunk, self.count);
            chunk
        };
        chunks.push(begin());
        for known in self.scripts.values() {
            if chunks.last().is_none_or(|chunk| chunk.len() >= budget_bytes) {
                chunks.push(begin());
            }
            if let Some(chunk) = chunks.last_mut() {
                put_varint(chunk, known.number);
                chunk.push(u8::from(known.is_loaded));
                put_bytes(chunk, &known.text);
            }
        }
        chunks
    }

    /// Takes a chunk of a snapshot in.
    ///
    /// # Errors
    /// If it is none.
    pub fn restore(&mut self, input: &mut &[u8]) -> Result<(), Corrupt> {
        self.count = take_varint(input)?;
        while !input.is_empty() {
            let known = Known {
                number: take_varint(input)?,
                is_loaded: take_u8(input)? != 0,
                text: Bytes::copy_from_slice(take_bytes(input)?),
            };
            if known.number >= self.count || self.bytes + known.held_bytes() > SCRIPTS_BYTES_MAX {
                corrupt("scripts within their bound")?;
            }
            let sha1 = sha1_hex(&known.text);
            self.remove(&sha1);
            self.insert(sha1, known);
        }
        Ok(())
    }
}
