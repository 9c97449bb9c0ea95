//! What clients of other nodes subscribe to, as those nodes said last: for counts, never for who is sent what.
//!
//! A node says how many of its sessions listen to a name whenever that changes, once a turn, and everything when a
//! link opens. So a count may be behind by what is on its way. A message goes to every node all the same: somebody
//! may have been told that he listens while the count is on its way.
//!
//! The payload of a `SUBSCRIBED` frame: a byte that is 1 if everything said before is void, then one name behind the
//! other: its kind, how many listen, and the name behind its length.

use std::collections::BTreeMap;

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::packed::{Corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};
use repligo_proto::glob::Glob;

use super::{Kind, NAME_OVERHEAD_BYTES, PATTERN_BYTES_MAX};

/// What is kept of one node's names. Names beyond it are not counted here; their listeners miss nothing.
const NODE_BYTES_MAX: usize = 64 << 20;
/// A frame with more than this takes no further name.
const FULL_BYTES: usize = 1 << 20;

#[derive(Debug)]
struct Name {
    count: u32,
    glob: Option<Glob>,
}

impl Name {
    fn memory_bytes(&self) -> usize {
        NAME_OVERHEAD_BYTES + self.glob.as_ref().map_or(0, Glob::memory_bytes)
    }
}

#[derive(Debug, Default)]
struct Node {
    names: [BTreeMap<Bytes, Name>; 3],
    bytes: usize,
}

impl Node {
    fn set(&mut self, kind: Kind, name: Bytes, count: u32) {
        let names = &mut self.names[kind as usize];
        if let Some(known) = names.get_mut(&name) {
            if count > 0 {
                known.count = count;
            } else if let Some((name, gone)) = names.remove_entry(&name) {
                self.bytes -= name.len() + gone.memory_bytes();
            }
        } else if count > 0 && self.bytes < NODE_BYTES_MAX {
            let glob = (kind == Kind::Pattern).then(|| Glob::new(&name));
            let known = Name { count, glob };
            self.bytes += name.len() + known.memory_bytes();
            names.insert(name, known);
        }
    }
}

/// Names with a listener on another node; see the module.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    nodes: BTreeMap<PeerId, Node>,
}

impl Elsewhere {
    /// Takes in what a node says of its sessions.
    ///
    /// # Errors
    /// If no correct node says this; what came before is kept.
    pub(super) fn receive(&mut self, peer: PeerId, frame: &[u8]) -> Result<(), Corrupt> {
        let mut input = frame;
        let node = self.nodes.entry(peer).or_default();
        match take_u8(&mut input)? {
            0 => {}
            1 => *node = Node::default(),
            _ => {
                return Err(Corrupt {
                    expected: "whether all is said anew",
                });
            }
        }
        while !input.is_empty() {
            let kind = *Kind::ALL.get(usize::from(take_u8(&mut input)?)).ok_or(Corrupt {
                expected: "a kind of names",
            })?;
            let count = u32::try_from(take_varint(&mut input)?);
            let count = count.map_err(|_| Corrupt {
                expected: "a count of sessions",
            })?;
            let name = take_bytes(&mut input)?;
            if kind == Kind::Pattern && name.len() > PATTERN_BYTES_MAX {
                return Err(Corrupt {
                    expected: "a shorter pattern",
                });
            }
            // Copied: one name must not keep a whole frame.
            node.set(kind, Bytes::copy_from_slice(name), count);
        }
        Ok(())
    }

    /// The link to a node is gone, and with it what that node said.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.nodes.remove(&peer);
    }

    /// Sessions of other nodes that listen to this name.
    pub(super) fn count(&self, kind: Kind, name: &[u8]) -> usize {
        let counts = self
            .nodes
            .values()
            .filter_map(|node| node.names[kind as usize].get(name));
        counts.map(|known| known.count as usize).sum()
    }

    /// Sessions of other nodes that listen to a pattern which this channel fits.
    pub(super) fn fitting(&self, channel: &[u8]) -> usize {
        let patterns = self
            .nodes
            .values()
            .flat_map(|node| node.names[Kind::Pattern as usize].values());
        let fits = |known: &&Name| known.glob.as_ref().is_some_and(|glob| glob.matches(channel));
        patterns.filter(fits).map(|known| known.count as usize).sum()
    }

    /// Names of this kind, those of several nodes several times.
    pub(super) fn names(&self, kind: Kind) -> impl Iterator<Item = &Bytes> {
        self.nodes
            .values()
            .flat_map(move |node| node.names[kind as usize].keys())
    }

    /// What it takes, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.values().map(|node| node.bytes).sum()
    }
}

/// Frames that say how many listen to each of these names; `is_all` if everything said before is void.
pub(super) fn encode<'a>(is_all: bool, names: impl Iterator<Item = (Kind, &'a Bytes, usize)>) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut out = vec![u8::from(is_all)];
    for (kind, name, count) in names {
        out.push(kind as u8);
        put_varint(&mut out, count as u64);
        put_bytes(&mut out, name);
        if out.len() > FULL_BYTES {
            frames.push(Bytes::from(std::mem::replace(&mut out, vec![0])));
        }
    }
    if out.len() > 1 || is_all && frames.is_empty() {
        frames.push(Bytes::from(out));
    }
    frames
}
