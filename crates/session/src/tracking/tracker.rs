//! What one client tracks, and which of its reads are not answered yet.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_proto::command::{CommandId, Group as Family, Spec, flag};
use repligo_proto::resp::ArgSlice;

use crate::replies::ReplyQueue;
use crate::transaction::runs_inside;
use crate::{Call, Host, Session};

/// Keys of one request, or of one block, that are remembered, and bytes of their names; and bytes of one name. To
/// remember more would hold up everybody, or drop what others have read; what the client has read by such a request is
/// told as changed behind the answer.
const KEYS_PER_READ: usize = 4096;
const NAMES_BYTES_PER_READ: usize = 1 << 20;
const NAME_BYTES_MAX: usize = 64 << 10;
/// Unanswered reads that are searched for a key that has changed. If there are more, all that they have read is told as
/// changed behind the latest.
const SEARCHED_READS_MAX: usize = 1024;

/// What a client wants to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Keys that it has read.
    #[default]
    Read,
    /// Keys of reads that it has announced.
    OptIn,
    /// Keys of all reads but those that it has announced.
    OptOut,
    /// All keys with certain prefixes.
    Broadcast,
}

/// A client that is told instead of the one that tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its number.
    pub id: u64,
    /// Where it was when it was named; another client may be there by now.
    pub slot: u32,
}

/// A read, which is unanswered as long as the reply queue has a place for it.
#[derive(Debug)]
struct Pending {
    sequence: u32,
    /// Ascending, each once.
    keys: Vec<Bytes>,
    /// A bit for each key: a change of it was told that the answer may not show. Empty if there is none.
    marked: Vec<u64>,
    /// The same of any key.
    is_all_marked: bool,
}

impl Pending {
    fn new(sequence: u32, names: Names) -> Self {
        let Names {
            mut keys,
            is_too_much,
            ..
        } = names;
        keys.sort_unstable();
        keys.dedup();
        Self {
            sequence,
            keys,
            marked: Vec::new(),
            is_all_marked: is_too_much,
        }
    }

    fn is_marked(&self) -> bool {
        self.is_all_marked || !self.marked.is_empty()
    }

    /// Marks a key, if it is one of them.
    fn mark(&mut self, key: &[u8]) -> Mark {
        let Ok(place) = self.keys.binary_search_by(|known| known[..].cmp(key)) else {
            return Mark::Answered;
        };
        self.marked.resize(self.keys.len().div_ceil(64), 0);
        let (word, bit) = (&mut self.marked[place / 64], 1 << (place % 64));
        let was_marked = *word & bit != 0;
        *word |= bit;
        if was_marked { Mark::Again } else { Mark::First }
    }

    /// The keys that are marked.
    fn marked_keys(&self) -> impl Iterator<Item = &Bytes> {
        let is_marked = |place: usize| {
            let word = self.marked.get(place / 64);
            word.is_some_and(|word| word & (1 << (place % 64)) != 0)
        };
        let keys = self.keys.iter().enumerate();
        keys.filter(move |(place, _)| is_marked(*place))
            .map(|(_, key)| key)
    }
}

/// Whether a change of a key is to be told again behind the answer of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// All reads of it are answered.
    Answered,
    /// Yes.
    First,
    /// Yes, as an earlier one was: the client has heard of that one, and will have been answered nothing that shows the
    /// key until it hears of it again.
    Again,
}

/// Names of keys that are read by one request, or one block.
#[derive(Clone, Debug, Default)]
struct Names {
    keys: Vec<Bytes>,
    bytes: usize,
    /// There are more than are remembered; then `keys` is empty.
    is_too_much: bool,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.is_too_much
    }

    fn add(&mut self, key: &[u8]) {
        self.bytes += key.len();
        let is_long = key.len() > NAME_BYTES_MAX || self.bytes > NAMES_BYTES_PER_READ;
        if self.is_too_much || is_long || self.keys.len() == KEYS_PER_READ {
            self.is_too_much = true;
            self.keys = Vec::new();
        } else {
            self.keys.push(Bytes::copy_from_slice(key));
        }
    }

    /// Adds the keys of a request.
    fn add_keys(&mut self, spec: &Spec, request: ArgSlice<'_>) {
        for key_use in spec.key_uses {
            for position in key_use.positions(request.len(), |index| request.try_get(index)) {
                self.add(request.get(position));
                if self.is_too_much {
                    return;
                }
            }
        }
    }
}

/// Tracking of one client.
#[derive(Debug, Default)]
pub struct Tracker {
    /// What it wants to be told of.
    pub mode: Mode,
    /// Of which keys in broadcast mode.
    pub prefixes: Vec<Bytes>,
    /// Not of what it has written itself.
    pub no_loop: bool,
    /// Who is told instead.
    pub redirect: Option<Redirect>,
    /// That one is gone.
    pub is_broken: bool,
    /// `CLIENT CACHING` was said, of the next request or of the block that begins with it.
    is_announced: bool,
    /// The request that it was said of has come.
    is_over: bool,
    /// Requests from this number on are those of a client that tracks.
    since: u32,
    pending: VecDeque<Pending>,
    /// Keys of reads that are queued between MULTI and EXEC.
    queued: Names,
}

/// What a client is told again.
#[derive(Debug, Default)]
pub(super) struct Again {
    pub keys: Vec<Bytes>,
    pub everything: bool,
    /// More is to be told when further reads are answered.
    pub is_unsettled: bool,
}

impl Tracker {
    /// It begins with the request of this number.
    pub(super) fn begin(&mut self, since: u32) {
        self.since = since;
        self.add_default_prefix();
    }

    /// It goes on for one that was there before.
    pub(super) fn follow(&mut self, known: Self) {
        self.since = known.since;
        self.pending = known.pending;
        self.queued = known.queued;
        self.is_announced = known.is_announced;
        self.is_over = known.is_over;
        self.add_default_prefix();
        for prefix in known.prefixes {
            if !self.prefixes.contains(&prefix) {
                self.prefixes.push(prefix);
            }
        }
        self.prefixes.sort();
    }

    fn add_default_prefix(&mut self) {
        if self.mode == Mode::Broadcast && self.prefixes.is_empty() {
            self.prefixes.push(Bytes::new());
        }
        self.prefixes.sort();
    }

    /// Whether a request of this number was given in since it tracks.
    pub(super) fn is_since(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.since).cast_signed() >= 0
    }

    /// What it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        const PER_KEY: usize = size_of::<Bytes>() + 32;
        let of = |keys: &[Bytes]| keys.iter().map(|key| key.len() + PER_KEY).sum::<usize>();
        let pending = self
            .pending
            .iter()
            .map(|read| of(&read.keys) + size_of_val(&read.marked[..]) + size_of::<Pending>());
        size_of::<Self>() + of(&self.prefixes) + of(&self.queued.keys) + pending.sum::<usize>()
    }

    /// It begins, or goes on, in the block of this number, of which nobody knows what it has read before: the client
    /// is told behind the answer that all may have changed.
    pub(super) fn begin_inside(&mut self, sequence: u32) {
        let names = Names {
            is_too_much: true,
            ..Names::default()
        };
        self.pending.push_back(Pending::new(sequence, names));
    }

    /// Forgets reads that were executed at once, and those that were answered, and are not to be told again.
    fn forget_answered(&mut self, replies: &ReplyQueue) {
        // They are in the order of their answers, but those that were marked are kept until it is told.
        let is_over = |read: &Pending| !replies.awaits(read.sequence) && !read.is_marked();
        while self.pending.back().is_some_and(is_over) {
            self.pending.pop_back();
        }
        while self.pending.front().is_some_and(is_over) {
            self.pending.pop_front();
        }
    }

    /// Whether `CLIENT CACHING` was said of what comes next.
    pub(super) fn is_announced(&self) -> bool {
        self.is_announced && !self.is_over
    }

    /// It is said now.
    pub(super) fn announce(&mut self) {
        (self.is_announced, self.is_over) = (true, false);
    }

    fn wants(&self) -> bool {
        match self.mode {
            Mode::Read | Mode::Broadcast => true,
            Mode::OptIn => self.is_announced,
            Mode::OptOut => !self.is_announced,
        }
    }

    /// Whether `CLIENT CACHING` with this word means something.
    fn is_choice(&self, word: &[u8]) -> bool {
        let wanted: &[u8] = match self.mode {
            Mode::OptIn => b"yes",
            Mode::OptOut => b"no",
            Mode::Read | Mode::Broadcast => return false,
        };
        word.eq_ignore_ascii_case(wanted)
    }

    /// A request has come: whether `CLIENT CACHING` was said of it.
    fn take_announcement(&mut self, spec: &Spec, is_queueing: bool) {
        use CommandId as Id;
        if !is_announceable(spec) {
            return;
        }
        if std::mem::take(&mut self.is_over) {
            self.is_announced = false;
        }
        self.is_over = match spec.id {
            Id::Exec | Id::Discard | Id::Reset => true,
            Id::Multi => false,
            _ => !is_queueing,
        };
    }
}

impl Session {
    /// A request that is no command has come.
    pub(crate) fn end_announcement(&mut self) {
        let is_queueing = self.is_queueing();
        if let Some(tracker) = &mut self.tracker
            && !is_queueing
        {
            tracker.is_announced = false;
        }
    }

    /// The present request is given in again.
    pub(crate) fn defer_announcement(&mut self, spec: &Spec) {
        if let Some(tracker) = &mut self.tracker
            && is_announceable(spec)
        {
            tracker.is_over = false;
        }
    }

    /// A change of the key is told: whether a read of it is unanswered, which is to be told again then.
    pub(super) fn mark(&mut self, key: &[u8]) -> Mark {
        #[cfg(feature = "bugs")]
        if self.has(crate::bugs::Bug::ChangeToldOnce) {
            return Mark::Answered;
        }
        let (replies, Some(tracker)) = (&self.replies, &mut self.tracker) else {
            return Mark::Answered;
        };
        let is_large = tracker.pending.len() > SEARCHED_READS_MAX;
        let unanswered = tracker.pending.iter_mut();
        let mut unanswered = unanswered.filter(|read| replies.awaits(read.sequence));
        if is_large {
            return unanswered.next_back().map_or(Mark::Answered, |latest| {
                latest.is_all_marked = true;
                Mark::First
            });
        }
        let marks = unanswered.map(|read| read.mark(key));
        marks.max().unwrap_or(Mark::Answered)
    }

    /// The same of all keys.
    pub(super) fn mark_all(&mut self) -> bool {
        let (replies, Some(tracker)) = (&self.replies, &mut self.tracker) else {
            return false;
        };
        let mut is_unanswered = false;
        for read in tracker
            .pending
            .iter_mut()
            .filter(|read| replies.awaits(read.sequence))
        {
            is_unanswered = true;
            read.is_all_marked = true;
        }
        is_unanswered
    }

    /// What is to be told again because reads were answered.
    pub(super) fn take_settled(&mut self) -> Again {
        let mut again = Again::default();
        let (replies, Some(tracker)) = (&self.replies, &mut self.tracker) else {
            return again;
        };
        tracker.pending.retain(|read| {
            if replies.awaits(read.sequence) {
                again.is_unsettled |= read.is_marked();
                return true;
            }
            again.everything |= read.is_all_marked;
            again.keys.extend(read.marked_keys().cloned());
            false
        });
        again.keys.sort();
        again.keys.dedup();
        again
    }
}

/// A request of a client that tracks is about to be executed, or queued: remembers the keys that it reads, if its client
/// wants to be told of them. To be called again for a request that is given in again.
#[cold]
pub(crate) fn before(session: &mut Session, host: &mut impl Host, call: Call<'_>) {
    let Call { spec, request } = call;
    let (id, is_queueing) = (session.id, session.is_queueing());
    let sequence = session.replies.next_sequence();
    let (replies, Some(tracker)) = (&session.replies, &mut session.tracker) else {
        return;
    };
    tracker.forget_answered(replies);
    if !is_announceable(spec) {
        if spec.id == CommandId::ClientCaching && is_queueing && tracker.is_choice(request.get(2)) {
            tracker.announce();
        }
        return;
    }
    tracker.take_announcement(spec, is_queueing);
    if !is_queueing {
        tracker.queued = Names::default();
    }
    let names = match spec.id {
        CommandId::Exec if is_queueing => std::mem::take(&mut tracker.queued),
        id if is_queueing && runs_inside(id) => return,
        _ if !tracker.wants() || !reads(spec) => return,
        _ if is_queueing => return tracker.queued.add_keys(spec, request),
        _ => {
            let mut names = Names::default();
            names.add_keys(spec, request);
            names
        }
    };
    if names.is_empty() {
        return;
    }
    let tracking = host.subscriptions().tracking_mut();
    if names.is_too_much {
        tracking.unsettled.insert(id);
    } else if tracker.mode != Mode::Broadcast {
        names.keys.iter().for_each(|key| tracking.remember(id, key));
    }
    if spec.id == CommandId::Exec {
        // It may have to be given in again.
        tracker.queued = names.clone();
    }
    tracker.pending.push_back(Pending::new(sequence, names));
}

/// A request of a client that may not ask for it was refused.
#[cold]
pub(crate) fn refused(session: &mut Session, spec: &Spec) {
    let is_queueing = session.is_queueing();
    if let Some(tracker) = &mut session.tracker {
        tracker.take_announcement(spec, is_queueing);
    }
}

/// Whether `CLIENT CACHING` may be said of it: not of commands that manage connections.
fn is_announceable(spec: &Spec) -> bool {
    !spec.name.starts_with("client|")
}

/// Whether what it answers may be cached.
fn reads(spec: &Spec) -> bool {
    spec.has(flag::READONLY) || spec.group == Family::Scripting
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
