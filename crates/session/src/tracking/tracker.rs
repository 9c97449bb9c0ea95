//! What one client tracks, and which of its reads are not answered yet.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_proto::command::{CommandId, Group as Family, Spec, flag};
use repligo_proto::resp::ArgSlice;

use crate::transaction::runs_inside;
use crate::{Call, Host, Session};

/// Keys of one request, or of one block, that are remembered. To remember more would hold up everybody; what the
/// client has read by such a request is told as changed behind the answer.
const KEYS_PER_READ: usize = 4096;

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
    keys: Vec<Bytes>,
    /// A change of a key was told that its answer may not show.
    marked: Vec<Bytes>,
    /// The same of any key.
    is_all_marked: bool,
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
    queued: Vec<Bytes>,
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
            .map(|read| of(&read.keys) + size_of::<Pending>());
        size_of::<Self>() + of(&self.prefixes) + of(&self.queued) + pending.sum::<usize>()
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
    fn take_announcement(&mut self, id: CommandId, is_queueing: bool) {
        use CommandId as Id;
        if std::mem::take(&mut self.is_over) {
            self.is_announced = false;
        }
        self.is_over = match id {
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
    pub(crate) fn defer_announcement(&mut self) {
        if let Some(tracker) = &mut self.tracker {
            tracker.is_over = false;
        }
    }

    /// A change of the key is told: true if a read of it is unanswered, which is to be told again then.
    pub(super) fn mark(&mut self, key: &[u8]) -> bool {
        #[cfg(feature = "bugs")]
        if self.has(crate::bugs::Bug::ChangeToldOnce) {
            return false;
        }
        let (replies, Some(tracker)) = (&self.replies, &mut self.tracker) else {
            return false;
        };
        let mut is_unanswered = false;
        for read in tracker
            .pending
            .iter_mut()
            .filter(|read| replies.awaits(read.sequence))
        {
            if let Some(key) = read.keys.iter().find(|known| **known == key) {
                is_unanswered = true;
                if !read.marked.contains(key) {
                    read.marked.push(key.clone());
                }
            }
        }
        is_unanswered
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
        tracker.pending.retain_mut(|read| {
            let is_marked = read.is_all_marked || !read.marked.is_empty();
            if replies.awaits(read.sequence) {
                again.is_unsettled |= is_marked;
                return true;
            }
            again.everything |= read.is_all_marked;
            again.keys.append(&mut read.marked);
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
    // Those that were executed at once, and those that were answered and are not to be told again.
    let is_kept =
        |read: &Pending| replies.awaits(read.sequence) || read.is_all_marked || !read.marked.is_empty();
    tracker.pending.retain(is_kept);
    if spec.name.starts_with("client|") {
        if spec.id == CommandId::ClientCaching && is_queueing && tracker.is_choice(request.get(2)) {
            tracker.announce();
        }
        return;
    }
    tracker.take_announcement(spec.id, is_queueing);
    if !is_queueing {
        tracker.queued.clear();
    }
    let keys = match spec.id {
        CommandId::Exec if is_queueing => std::mem::take(&mut tracker.queued),
        id if is_queueing && runs_inside(id) => return,
        _ if tracker.wants() && reads(spec) => keys_of(spec, request),
        _ => return,
    };
    if is_queueing && spec.id != CommandId::Exec {
        let room = (KEYS_PER_READ + 1).saturating_sub(tracker.queued.len());
        return tracker.queued.extend(keys.into_iter().take(room));
    }
    if keys.is_empty() {
        return;
    }
    let is_too_long = keys.len() > KEYS_PER_READ;
    if tracker.mode != Mode::Broadcast && !is_too_long {
        let tracking = host.subscriptions().tracking_mut();
        keys.iter().for_each(|key| tracking.remember(id, key));
    }
    if is_too_long {
        host.subscriptions().tracking_mut().unsettled.insert(id);
    }
    if let Some(tracker) = &mut session.tracker {
        if spec.id == CommandId::Exec {
            // It may have to be given in again.
            tracker.queued.clone_from(&keys);
        }
        tracker.pending.push_back(Pending {
            sequence,
            keys: if is_too_long { Vec::new() } else { keys },
            marked: Vec::new(),
            is_all_marked: is_too_long,
        });
    }
}

/// Whether what it answers may be cached.
fn reads(spec: &Spec) -> bool {
    spec.has(flag::READONLY) || spec.group == Family::Scripting
}

/// The keys of a request, one more at most than are remembered.
fn keys_of(spec: &Spec, request: ArgSlice<'_>) -> Vec<Bytes> {
    let mut keys = Vec::new();
    for key_use in spec.key_uses {
        let positions = key_use.positions(request.len(), |index| request.try_get(index));
        let room = (KEYS_PER_READ + 1).saturating_sub(keys.len());
        keys.extend(
            positions
                .take(room)
                .map(|position| Bytes::copy_from_slice(request.get(position))),
        );
    }
    keys
}
