//! Whether a snapshot on a node's disk fits the configured keyspaces: judged before the node starts with it.
//!
//! The state names keyspaces by their position, and what is mapped decides what every entry of the log does. So the
//! sections of a history never change; only one that begins with a backup, which holds no rows, may have others.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::keyspace::Keyspace;
use crate::origin::{Lanes, OriginMap, Place};
use crate::replica::SnapshotHeader;
use crate::table::HashSeed;

/// Why a node must not start with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It was made under other sections.
    OtherKeyspaces,
    /// Keys that are in no database would become rows of one.
    PlainKeys {
        /// How many.
        count: u64,
        /// One of them, with the number of its database.
        example: (u8, Vec<u8>),
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKeyspaces => f.write_str("its snapshot was made under other [[keyspace]] sections"),
            Self::PlainKeys { count, example } => write!(
                f,
                "{count} keys that were written without a mapping have the form of mapped ones, such as {} in database {}",
                example.1.escape_ascii(),
                example.0
            ),
        }
    }
}

/// Judges the chunks of a snapshot whose checksums are right.
///
/// # Errors
/// Why they do not fit.
///
/// # Panics
/// The chunks are none of a snapshot of this release.
pub fn judge(chunks: &[Bytes], map: &Arc<OriginMap>) -> Result<(), Misfit> {
    let header = SnapshotHeader::of_chunks(chunks);
    if !header.lanes.is_empty() {
        let lanes = Lanes::restore(map.clone(), &mut &header.lanes[..]);
        return lanes.map(drop).map_err(|_| Misfit::OtherKeyspaces);
    }
    if map.is_empty() {
        return Ok(());
    }
    // The seed orders the table and nothing else; this one is dropped again.
    let mut keyspace = Keyspace::new(HashSeed::from_bytes(&[0; HashSeed::BYTES]));
    for chunk in &chunks[1..] {
        let restored = keyspace.restore_chunk(chunk);
        restored.expect("the driver has checked the snapshot's checksums");
    }
    let (count, example) = keyspace.count_plain(&|db, key| !matches!(map.place(db, key), Place::Plain));
    match example {
        Some(example) => Err(Misfit::PlainKeys { count, example }),
        None => Ok(()),
    }
}
