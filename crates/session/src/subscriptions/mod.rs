//! Who subscribes to what on this node, and messages on their way to subscribers.
//!
//! A [`Subscriptions`] belongs to the host; sessions change it as they execute SUBSCRIBE and its relatives. A message
//! that is published becomes a [`Post`] and is handed over later, by [`Subscriptions::deliver`], when no session
//! runs: never inside a reply, nor between the replies of a block. Messages of this node's clients also leave for
//! the other nodes ([`Subscriptions::take_frames`]), whose own arrive by [`Subscriptions::receive`].
//!
//! Nothing of it is in the log. A message reaches a subscriber once at most, and messages of one publisher in the
//! order in which it published them: posts are handed over in order, links keep order, and nothing is sent again.
//!
//! Invariants: every name has a listener; a listener is a session of this host that has the name in its own set.

mod elsewhere;
mod frame;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::keyspace::{Event, EventClasses};
use repligo_core::packed::Corrupt;
use repligo_proto::glob::Glob;
use repligo_proto::reply::ReplyWriter;

use self::elsewhere::Elsewhere;
use crate::Session;
use crate::replies::BufferPool;
use crate::tracking::Tracking;

/// Names of one session, of all kinds together.
pub const SUBSCRIPTIONS_MAX: usize = 32_768;
/// Bytes of the names of one session.
pub const NAMES_BYTES_MAX: usize = 16 << 20;
/// Bytes of a pattern: each is compared with the channel of every message.
pub const PATTERN_BYTES_MAX: usize = 4 << 10;
/// Bytes of a channel and its message together. A subscriber could not be sent more without being cut off by the
/// default output limit, and a frame between nodes has room for twice as much.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// What a name costs beside its bytes: its places in two trees.
pub(crate) const NAME_OVERHEAD_BYTES: usize = 160;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A channel of PUBLISH.
    Channel,
    /// A pattern of such channels.
    Pattern,
    /// A channel of SPUBLISH.
    Shard,
}

impl Kind {
    /// All kinds; a kind's place is its number.
    pub const ALL: [Self; 3] = [Self::Channel, Self::Pattern, Self::Shard];
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Post {
    /// Published by SPUBLISH.
    is_sharded: bool,
    /// A client of this node has published it.
    is_own: bool,
    channel: Bytes,
    message: Bytes,
    /// Patterns with listeners that the channel fits.
    patterns: Vec<Bytes>,
}

/// The sessions to which messages are handed over.
pub trait Sessions {
    /// The session in this slot, which will be sent what is appended to its replies; and the buffers.
    fn reach(&mut self, slot: u32) -> Option<(&mut Session, &mut BufferPool)>;
}

#[derive(Debug)]
struct Pattern {
    glob: Glob,
    listeners: BTreeSet<u32>,
}

/// Subscriptions of a host's sessions; see the module.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeMap<Bytes, BTreeSet<u32>>,
    patterns: BTreeMap<Bytes, Pattern>,
    shards: BTreeMap<Bytes, BTreeSet<u32>>,
    elsewhere: Elsewhere,
    /// Names of whose listeners the other nodes are to be told.
    changed: BTreeSet<(Kind, Bytes)>,
    posts: Vec<Post>,
    /// Of compiled patterns.
    memory_bytes: usize,
    tracking: Tracking,
}

impl Subscriptions {
    /// What the same sessions may have cached.
    #[inline]
    pub fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// The same, to be changed.
    #[inline]
    pub fn tracking_mut(&mut self) -> &mut Tracking {
        &mut self.tracking
    }

    /// The session in this slot listens from now on. True unless it did before.
    pub(crate) fn add(&mut self, kind: Kind, name: &Bytes, slot: u32) -> bool {
        let added = match kind {
            Kind::Pattern => {
                let pattern = self.patterns.entry(name.clone()).or_insert_with(|| Pattern {
                    glob: Glob::new(name),
                    listeners: BTreeSet::new(),
                });
                let is_first = pattern.listeners.is_empty();
                let glob_bytes = if is_first { pattern.glob.memory_bytes() } else { 0 };
                self.memory_bytes += glob_bytes;
                pattern.listeners.insert(slot)
            }
            kind => self.table(kind).entry(name.clone()).or_default().insert(slot),
        };
        if added {
            self.changed.insert((kind, name.clone()));
        }
        added
    }

    /// It listens no more.
    pub(crate) fn remove(&mut self, kind: Kind, name: &Bytes, slot: u32) {
        let (removed, is_last) = match kind {
            Kind::Pattern => self.patterns.get_mut(name).map(|pattern| &mut pattern.listeners),
            kind => self.table(kind).get_mut(name),
        }
        .map_or((false, false), |listeners| {
            (listeners.remove(&slot), listeners.is_empty())
        });
        if removed {
            self.changed.insert((kind, name.clone()));
        }
        if !is_last {
            return;
        }
        match kind {
            Kind::Pattern => {
                let pattern = self.patterns.remove(name);
                self.memory_bytes -= pattern.map_or(0, |pattern| pattern.glob.memory_bytes());
            }
            kind => drop(self.table(kind).remove(name)),
        }
    }

    fn table(&mut self, kind: Kind) -> &mut BTreeMap<Bytes, BTreeSet<u32>> {
        match kind {
            Kind::Shard => &mut self.shards,
            _ => &mut self.channels,
        }
    }

    /// A client of this node publishes. How many sessions of this host will be handed the message, and how many of
    /// other nodes as far as is known; those are counted twice that listen twice.
    pub(crate) fn publish(&mut self, is_sharded: bool, channel: &[u8], message: &[u8]) -> (usize, usize) {
        let elsewhere = match is_sharded {
            true => self.elsewhere.count(Kind::Shard, channel),
            false => self.elsewhere.count(Kind::Channel, channel) + self.elsewhere.fitting(channel),
        };
        let (channel, message) = (Bytes::copy_from_slice(channel), Bytes::copy_from_slice(message));
        (self.post(is_sharded, true, (channel, message)), elsewhere)
    }

    fn post(&mut self, is_sharded: bool, is_own: bool, (channel, message): (Bytes, Bytes)) -> usize {
        let table = if is_sharded { &self.shards } else { &self.channels };
        let mut count = table.get(&channel).map_or(0, BTreeSet::len);
        let mut patterns = Vec::new();
        if !is_sharded {
            for (name, pattern) in self
                .patterns
                .iter()
                .filter(|(_, known)| known.glob.matches(&channel))
            {
                count += pattern.listeners.len();
                patterns.push(name.clone());
            }
        }
        if count > 0 || is_own {
            self.posts.push(Post {
                is_sharded,
                is_own,
                channel,
                message,
                patterns,
            });
        }
        count
    }

    /// Something has happened to a key on this node: who listens here hears of it, on the channels of these classes.
    pub fn notify(&mut self, classes: EventClasses, event: Event<'_>) {
        if !classes.has(event.class) {
            return;
        }
        let Event { name, db, key, .. } = event;
        let named = |kind: &str, rest: &[u8]| {
            let mut channel = format!("__{kind}@{db}__:").into_bytes();
            channel.extend_from_slice(rest);
            Bytes::from(channel)
        };
        if classes.has(EventClasses::BY_KEY) {
            let channel = named("keyspace", key);
            self.post(false, false, (channel, Bytes::from_static(name.as_bytes())));
        }
        if classes.has(EventClasses::BY_EVENT) {
            let channel = named("keyevent", name.as_bytes());
            self.post(false, false, (channel, Bytes::copy_from_slice(key)));
        }
    }

    /// Takes in what another node's clients have published. Nothing of it is passed on.
    ///
    /// # Errors
    /// If no correct node sends this.
    pub fn receive(&mut self, frame: &Bytes) -> Result<(), Corrupt> {
        for (is_sharded, channel, message) in frame::decode(frame)? {
            self.post(is_sharded, false, (channel, message));
        }
        Ok(())
    }

    /// Takes in what another node says of its sessions.
    ///
    /// # Errors
    /// If no correct node says this.
    pub fn hear(&mut self, peer: PeerId, frame: &[u8]) -> Result<(), Corrupt> {
        self.elsewhere.receive(peer, frame)
    }

    /// The link to a node is gone.
    pub fn forget(&mut self, peer: PeerId) {
        self.elsewhere.forget(peer);
    }

    /// What the other nodes are to be told of names whose listeners have changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Bytes> {
        let changed = std::mem::take(&mut self.changed);
        let counted = changed
            .iter()
            .map(|(kind, name)| (*kind, name, self.listeners(*kind, name)));
        elsewhere::encode(false, counted)
    }

    /// What a node is to be told whose link has opened.
    pub fn everything(&self) -> Vec<Bytes> {
        let names = Kind::ALL.into_iter().flat_map(|kind| {
            let names: Box<dyn Iterator<Item = &Bytes>> = match kind {
                Kind::Channel => Box::new(self.channels.keys()),
                Kind::Pattern => Box::new(self.patterns.keys()),
                Kind::Shard => Box::new(self.shards.keys()),
            };
            names.map(move |name| (kind, name, self.listeners(kind, name)))
        });
        elsewhere::encode(true, names)
    }

    fn listeners(&self, kind: Kind, name: &[u8]) -> usize {
        match kind {
            Kind::Channel => self.channels.get(name).map_or(0, BTreeSet::len),
            Kind::Pattern => self
                .patterns
                .get(name)
                .map_or(0, |pattern| pattern.listeners.len()),
            Kind::Shard => self.shards.get(name).map_or(0, BTreeSet::len),
        }
    }

    /// Whether something waits for [`Self::deliver`] or [`Self::take_changes`].
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.posts.is_empty() || !self.changed.is_empty()
    }

    /// What this node's clients have published since the last [`Self::deliver`], for every other node.
    pub fn take_frames(&self) -> Vec<Bytes> {
        let own = self.posts.iter().filter(|post| post.is_own);
        frame::encode(own.map(|post| (post.is_sharded, &post.channel, &post.message)))
    }

    /// Hands over all messages, in order; a session with more than so many unsent bytes gets none: its host is about
    /// to cut it off.
    pub fn deliver(&mut self, sessions: &mut impl Sessions, unsent_bytes_max: usize) {
        for post in std::mem::take(&mut self.posts) {
            let Post { channel, message, .. } = &post;
            let (table, word) = match post.is_sharded {
                true => (&self.shards, "smessage"),
                false => (&self.channels, "message"),
            };
            let rendered = Rendered::new(unsent_bytes_max, |writer| {
                writer.push(3);
                writer.bulk_str(word);
                writer.bulk(channel);
                writer.bulk(message);
            });
            rendered.hand_over(table.get(channel), sessions);
            for name in &post.patterns {
                let rendered = Rendered::new(unsent_bytes_max, |writer| {
                    writer.push(4);
                    writer.bulk_str("pmessage");
                    writer.bulk(name);
                    writer.bulk(channel);
                    writer.bulk(message);
                });
                let listeners = self.patterns.get(name).map(|pattern| &pattern.listeners);
                rendered.hand_over(listeners, sessions);
            }
        }
    }

    /// Channels with a listener on any node, as far as is known.
    pub(crate) fn names(&self, is_sharded: bool) -> BTreeSet<&Bytes> {
        let (table, kind) = match is_sharded {
            true => (&self.shards, Kind::Shard),
            false => (&self.channels, Kind::Channel),
        };
        table.keys().chain(self.elsewhere.names(kind)).collect()
    }

    /// Listeners of a channel on all nodes, as far as is known.
    pub(crate) fn count(&self, is_sharded: bool, channel: &[u8]) -> usize {
        let kind = if is_sharded { Kind::Shard } else { Kind::Channel };
        self.listeners(kind, channel) + self.elsewhere.count(kind, channel)
    }

    /// Different patterns with a listener on any node, as far as is known.
    pub(crate) fn all_patterns(&self) -> usize {
        let elsewhere = self.elsewhere.names(Kind::Pattern);
        self.patterns
            .keys()
            .chain(elsewhere)
            .collect::<BTreeSet<_>>()
            .len()
    }

    /// Channels with a listener here.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Shard channels with a listener here.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Different patterns with a listener here.
    pub fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    /// What it takes, about, without the names of this host's sessions, which count with them.
    pub fn memory_bytes(&self) -> usize {
        let posts = self
            .posts
            .iter()
            .map(|post| post.channel.len() + post.message.len());
        let tables = self.memory_bytes + self.elsewhere.memory_bytes() + self.tracking.memory_bytes();
        tables + posts.sum::<usize>()
    }
}

/// One message in both protocols, rendered when the first listener of each wants it and shared among the others.
struct Rendered<F> {
    render: F,
    unsent_bytes_max: usize,
    encoded: [std::cell::OnceCell<Bytes>; 2],
}

impl<F: Fn(&mut ReplyWriter<'_>)> Rendered<F> {
    fn new(unsent_bytes_max: usize, render: F) -> Self {
        Self {
            render,
            unsent_bytes_max,
            encoded: Default::default(),
        }
    }

    fn hand_over(&self, listeners: Option<&BTreeSet<u32>>, sessions: &mut impl Sessions) {
        for &slot in listeners.into_iter().flatten() {
            let Some((session, pool)) = sessions.reach(slot) else {
                continue;
            };
            let encoded = self.encoded[usize::from(session.resp3)].get_or_init(|| {
                let mut out = Vec::new();
                (self.render)(&mut ReplyWriter::new(&mut out, session.resp3));
                Bytes::from(out)
            });
            #[cfg(feature = "bugs")]
            if session.has(crate::bugs::Bug::MessageOvertakesReply) {
                session.replies.push_early(encoded, pool);
                continue;
            }
            if session.replies.pending_bytes() <= self.unsent_bytes_max {
                session.replies.push_message(encoded, pool);
            }
        }
    }
}

#[cfg(test)]
mod tests;
