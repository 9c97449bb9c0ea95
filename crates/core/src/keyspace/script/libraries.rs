//! Libraries of functions: replicated, in snapshots and in the digest.
//!
//! Invariants: which libraries there are follows from the log. No two functions of all libraries have one name, whatever
//! its case. What a library registers follows from its text, so the digest is over the text alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_script::{FUNCTION_FLAGS, Registered, is_name, sha1_hex};

use crate::keyspace::digest::KeyDigest;
use crate::limits::{LIBRARIES_BYTES_MAX, LIBRARY_OVERHEAD_BYTES};
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};
use crate::table::Meta;

/// In place of a database in digests.
const DIGEST_PLACE: u8 = u8::MAX - 1;

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    /// All of its text, its first line included.
    pub code: Bytes,
    /// What it registers.
    pub functions: Vec<Registered>,
}

impl Library {
    fn held_bytes(&self) -> usize {
        let of = |function: &Registered| {
            let description = function.description.as_ref().map_or(0, Vec::len);
            2 * function.name.len() + description + LIBRARY_OVERHEAD_BYTES
        };
        self.code.len() + LIBRARY_OVERHEAD_BYTES + self.functions.iter().map(of).sum::<usize>()
    }

    fn digest(&self, name: &[u8]) -> u128 {
        let meta = Meta {
            deadline_ms: None,
            version: 0,
            kind: 0,
        };
        KeyDigest::new(DIGEST_PLACE, name).entry(&sha1_hex(&self.code), 0, meta)
    }
}

/// Why a library is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdded {
    /// A library of this name is there.
    Library,
    /// Another library has a function of this name.
    Function(Vec<u8>),
    /// They would take too much.
    Size,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Libraries {
    libraries: BTreeMap<Bytes, Library>,
    /// The library of each function, whose name is in small letters.
    functions: BTreeMap<Vec<u8>, Bytes>,
    bytes: usize,
    digest: u128,
}

impl Libraries {
    /// Part of the digest of the state.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// Bytes that they take.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// How many libraries there are, and functions in them.
    pub fn counts(&self) -> (usize, usize) {
        (self.libraries.len(), self.functions.len())
    }

    /// All libraries, by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Library)> {
        self.libraries.iter()
    }

    /// The library with a function of this name, whatever its case, and that function.
    pub fn find(&self, function: &[u8]) -> Option<(&Library, &Registered)> {
        let library = &self.libraries[self.functions.get(&function.to_ascii_lowercase())?];
        let named = |registered: &&Registered| registered.name.eq_ignore_ascii_case(function);
        Some((library, library.functions.iter().find(named)?))
    }

    /// Takes a library in, in place of one of the same name if it `replaces` that.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed then.
    pub fn add(&mut self, name: &[u8], library: Library, replaces: bool) -> Result<(), NotAdded> {
        let before = self.libraries.get(name);
        if before.is_some() && !replaces {
            return Err(NotAdded::Library);
        }
        let is_taken = |function: &&Registered| {
            let owner = self.functions.get(&function.name.to_ascii_lowercase());
            owner.is_some_and(|owner| owner != name)
        };
        if let Some(function) = library.functions.iter().find(is_taken) {
            return Err(NotAdded::Function(function.name.clone()));
        }
        let freed = before.map_or(0, Library::held_bytes);
        if self.bytes - freed + library.held_bytes() > LIBRARIES_BYTES_MAX {
            return Err(NotAdded::Size);
        }
        self.remove(name);
        let name = Bytes::copy_from_slice(name);
        for function in &library.functions {
            self.functions
                .insert(function.name.to_ascii_lowercase(), name.clone());
        }
        self.bytes += library.held_bytes();
        self.digest = self.digest.wrapping_add(library.digest(&name));
        self.libraries.insert(name, library);
        Ok(())
    }

    /// Forgets a library; false if there is none of this name.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.libraries.remove(name) else {
            return false;
        };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        self.bytes -= library.held_bytes();
        self.digest = self.digest.wrapping_sub(library.digest(name));
        true
    }

    /// The chunks of a snapshot, about so long each; none without libraries.
    pub fn chunks(&self, budget_bytes: usize) -> Vec<Vec<u8>> {
        let mut chunks: Vec<Vec<u8>> = Vec::new();
        for (name, library) in &self.libraries {
            if chunks.last().is_none_or(|chunk| chunk.len() >= budget_bytes) {
                chunks.push(Vec::new());
            }
            let Some(chunk) = chunks.last_mut() else { continue };
            put_bytes(chunk, name);
            put_bytes(chunk, &library.code);
            put_varint(chunk, library.functions.len() as u64);
            for function in &library.functions {
                put_bytes(chunk, &function.name);
                chunk.push(function.flags);
                chunk.push(u8::from(function.description.is_some()));
                put_bytes(chunk, function.description.as_deref().unwrap_or_default());
            }
        }
        chunks
    }

    /// Takes a chunk of a snapshot in.
    ///
    /// # Errors
    /// If it is none.
    pub fn restore(&mut self, input: &mut &[u8]) -> Result<(), Corrupt> {
        while !input.is_empty() {
            let name = take_bytes(input)?;
            let code = Bytes::copy_from_slice(take_bytes(input)?);
            let count = take_varint(input)?;
            let mut functions = Vec::new();
            for _ in 0..count {
                functions.push(take_function(input)?);
            }
            if !is_name(name) || self.add(name, Library { code, functions }, false).is_err() {
                corrupt("libraries that can be there together")?;
            }
        }
        Ok(())
    }
}

fn take_function(input: &mut &[u8]) -> Result<Registered, Corrupt> {
    let name = take_bytes(input)?.to_vec();
    let flags = take_u8(input)?;
    let is_described = take_u8(input)? != 0;
    let description = take_bytes(input)?;
    if !is_name(&name) || flags >> FUNCTION_FLAGS.len() != 0 {
        corrupt("the name and the flags of a function")?;
    }
    Ok(Registered {
        name,
        flags,
        description: is_described.then(|| description.to_vec()),
    })
}
