//! A MULTI … EXEC block as one op: the versions that WATCH saw, and the queued commands.
//!
//! A session gathers both in a [`TransactionBuffer`] while the client queues; [`Transaction`] is the
//! view of it that goes into the log and comes out again. Both hold encoded bytes, so queueing copies
//! each command once and nothing is collected at apply.

use crate::command::Command;
use crate::limits::DATABASES;
use crate::packed::{Corrupt, corrupt, put_bytes, put_varint, take_bytes, take_u8, take_varint};

/// In place of a command's tag: an item that the session answers itself.
const LOCAL_ITEM: u8 = 0xff;

/// One queued command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Works on the keyspace.
    Command(Command<'a>),
    /// Does not (PING, ECHO, CLIENT, …): the session at the client's node has its reply, and apply only
    /// leaves the place for it.
    Local,
}

impl<'a> Item<'a> {
    /// Takes one item off the front of [`Transaction::encoded_items`].
    pub(crate) fn take(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        take_item(input)
    }
}

/// A key as WATCH saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched<'a> {
    /// Database.
    pub db: u8,
    /// Key.
    pub key: &'a [u8],
    /// Its version then; 0 when it was absent.
    pub version: u64,
}

/// A MULTI … EXEC block.
///
/// Invariant: `watched` and `items` hold exactly `watched_count` and `item_count` well-formed elements,
/// because they come from a [`TransactionBuffer`] or were checked by `decode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Transaction<'a> {
    watched_count: usize,
    watched: &'a [u8],
    item_count: usize,
    items: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// Number of queued commands, local ones included.
    pub fn len(&self) -> usize {
        self.item_count
    }

    /// True for MULTI followed at once by EXEC.
    pub fn is_empty(&self) -> bool {
        self.item_count == 0
    }

    /// The watched keys, in the order of WATCH.
    pub fn watched(&self) -> impl Iterator<Item = Watched<'a>> + use<'a> {
        let mut rest = self.watched;
        (0..self.watched_count).map(move |_| take_watched(&mut rest).expect("checked when it was made"))
    }

    /// The queued commands, in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.items;
        (0..self.item_count).map(move |_| take_item(&mut rest).expect("checked when it was made"))
    }

    /// The encoded items.
    pub(crate) fn encoded_items(&self) -> &'a [u8] {
        self.items
    }

    /// True when one of the commands may change the keyspace.
    pub fn is_write(&self) -> bool {
        self.items()
            .any(|item| matches!(item, Item::Command(command) if command.is_write()))
    }

    /// True when one of the commands may add memory.
    pub fn may_grow(&self) -> bool {
        self.items()
            .any(|item| matches!(item, Item::Command(command) if command.may_grow()))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.watched_count as u64);
        out.extend_from_slice(self.watched);
        put_varint(out, self.item_count as u64);
        out.extend_from_slice(self.items);
    }

    pub(super) fn decode(input: &mut &'a [u8]) -> Result<Self, Corrupt> {
        let (watched_count, watched) = take_many(input, |rest| take_watched(rest).map(|_| ()))?;
        let (item_count, items) = take_many(input, |rest| take_item(rest).map(|_| ()))?;
        Ok(Self {
            watched_count,
            watched,
            item_count,
            items,
        })
    }
}

/// A count and that many elements, each checked by `take`; gives the bytes of all elements.
pub(super) fn take_many<'a>(
    input: &mut &'a [u8],
    take: impl Fn(&mut &'a [u8]) -> Result<(), Corrupt>,
) -> Result<(usize, &'a [u8]), Corrupt> {
    let count = take_varint(input)?;
    let start = *input;
    // Each element takes at least one byte, so a lying count ends the loop early.
    for _ in 0..count {
        take(input)?;
    }
    Ok((count as usize, &start[..start.len() - input.len()]))
}

fn take_watched<'a>(input: &mut &'a [u8]) -> Result<Watched<'a>, Corrupt> {
    let db = take_u8(input)?;
    if usize::from(db) >= DATABASES {
        return corrupt("a database number");
    }
    Ok(Watched {
        db,
        key: take_bytes(input)?,
        version: take_varint(input)?,
    })
}

fn take_item<'a>(input: &mut &'a [u8]) -> Result<Item<'a>, Corrupt> {
    if input.first() == Some(&LOCAL_ITEM) {
        *input = &input[1..];
        return Ok(Item::Local);
    }
    Command::decode(input).map(Item::Command)
}

/// Gathers a [`Transaction`] between MULTI and EXEC, and what WATCH saw before.
#[derive(Clone, Debug, Default)]
pub struct TransactionBuffer {
    watched_count: usize,
    watched: Vec<u8>,
    item_count: usize,
    items: Vec<u8>,
}

impl TransactionBuffer {
    /// WATCH: the key must still have this version when the block is applied. A key that was watched
    /// before keeps its first version, because each watched version is checked.
    pub fn watch(&mut self, watched: Watched<'_>) {
        self.watched_count += 1;
        self.watched.push(watched.db);
        put_bytes(&mut self.watched, watched.key);
        put_varint(&mut self.watched, watched.version);
    }

    /// True when a WATCH is in force.
    pub fn is_watching(&self) -> bool {
        self.watched_count > 0
    }

    /// UNWATCH.
    pub fn unwatch(&mut self) {
        self.watched_count = 0;
        self.watched.clear();
    }

    /// Queues one command.
    pub fn push(&mut self, command: &Command<'_>) {
        self.item_count += 1;
        command.encode(&mut self.items);
    }

    /// Queues the place of a command that the session answers itself.
    pub fn push_local(&mut self) {
        self.item_count += 1;
        self.items.push(LOCAL_ITEM);
    }

    /// Number of queued commands, local ones included.
    pub fn len(&self) -> usize {
        self.item_count
    }

    /// True when nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.item_count == 0
    }

    /// Memory of what is queued and watched, for limits.
    pub fn bytes(&self) -> usize {
        self.watched.len() + self.items.len()
    }

    /// EXEC: the block as it goes to the replica.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction {
            watched_count: self.watched_count,
            watched: &self.watched,
            item_count: self.item_count,
            items: &self.items,
        }
    }

    /// After EXEC and DISCARD: neither watched keys nor queued commands. Keeps a moderate capacity.
    pub fn clear(&mut self) {
        const KEPT_BYTES_MAX: usize = 16 << 10;
        self.unwatch();
        self.item_count = 0;
        self.items.clear();
        self.watched.shrink_to(KEPT_BYTES_MAX);
        self.items.shrink_to(KEPT_BYTES_MAX);
    }
}
