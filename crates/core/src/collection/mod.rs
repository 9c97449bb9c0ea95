//! What keys hold beside strings: hashes, sets, lists, sorted sets and streams, as data structures that know nothing of
//! commands, time or replication.
//!
//! Each type but streams, which are always large, has two forms. A small one is a record of a few KiB at most, bytes that live in an entry of the
//! table as a string does. A large one is made of trees ([`tree`]): a clone of it costs nothing and is a
//! snapshot, its memory is freed in slices, and what it answers is O(log n). A collection begins small, becomes
//! large with the first change after which it would not fit the limits here, and stays large until it is
//! gone. The limits are part of the format: the order in which elements are told, and the
//! answers of OBJECT ENCODING, depend on them.
//!
//! Large collections keep a digest of what they hold, whatever the order of its changes or the shape of its
//! trees; small ones are digested as the bytes that they are. Chunks of a large collection are parts of it in
//! its order, for snapshots; what is rebuilt from them is judged, since they come from a disk or a peer.
//!
//! As built for the simulator, limits and blocks are small, so that a few elements make a large collection of several
//! blocks.

mod hash;
mod hashed;
mod item;
mod list;
mod ordered;
mod ordered_tree;
mod set;
mod sorted_set;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod tree;

pub use hash::{Fields, Hash, HashRef, SmallHash};
pub use hash::{VolatileHash, VolatileHashBuilder, VolatileRef};
pub use hashed::{Hashed, HashedBuilder};
pub use item::Item;
pub use list::{BackListItems, End, LargeList, List, ListBlock, ListItems, ListRef, Rolling, SmallList};
pub use list::{Sweep, Swept};
pub use ordered::{Element, Ordered};
pub use ordered_tree::{BackElements, Elements};
pub use set::{Members, Set, SetRef, SmallSet};
pub use sorted_set::{LargeSortedSet, Score, SmallSortedSet, SortedSet, SortedSetRef};
pub use stream::{BackStreamEntries, Consumer, Group, Marks, Pending, Stream, StreamBuilder, StreamEntries};
pub use stream::{StreamEntry, StreamId, pack_words};
pub use tree::{Block, Remains, Tree, Walk};

use crate::keyspace::digest::{KeyDigest, content};
use crate::table::Meta;

/// Most elements of a small hash, sorted set, or set of members that are not all integers.
pub const SMALL_COUNT_MAX: usize = if cfg!(feature = "bugs") { 12 } else { 128 };
/// Longest field, value or member in a small hash, set or sorted set.
pub const SMALL_ELEMENT_BYTES_MAX: usize = 64;
/// Longest record of a small list.
pub const SMALL_LIST_BYTES_MAX: usize = if cfg!(feature = "bugs") { 64 } else { 8 << 10 };
/// Most members of a small set of integers.
pub const SMALL_INTEGERS_MAX: usize = if cfg!(feature = "bugs") { 16 } else { 512 };

/// The digest of one element; those of a collection are added.
fn element_digest(key: &[u8], value: &[u8]) -> u128 {
    const META: Meta = Meta {
        deadline_ms: None,
        version: 0,
        kind: 0,
    };
    KeyDigest::new(0, key).entry(value, content(value), META)
}
