//! ACL LOG: what was refused lately, newest first, as Redis 7 keeps it.
//!
//! The same refusal within a minute is one entry with a count. What is kept of it is bounded, so that it cannot be
//! filled with what clients send.

use std::collections::VecDeque;

use repligo_core::acl::Denied;
use repligo_core::command::parse_i64;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::ArgSlice;
use repligo_proto::words;

use super::Local;

/// Refusals further apart are two entries, milliseconds.
const GROUPED_MS: u64 = 60_000;
/// Entries that are looked at for the same refusal.
const GROUPED_AMONG: usize = 10;
/// Entries that ACL LOG shows unless it is told how many.
const SHOWN: i64 = 10;
/// Bytes kept of an object and of a name.
const TEXT_BYTES_MAX: usize = 1024;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A login.
    Auth,
    /// The command is not among the user's.
    Command,
    /// A key is not.
    Key,
    /// A channel is not.
    Channel,
}

impl Reason {
    /// As ACL LOG has it.
    fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
        }
    }
}

impl From<Denied> for Reason {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Command => Self::Command,
            Denied::Key(_) => Self::Key,
            Denied::Channel(_) => Self::Channel,
        }
    }
}

/// Something that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Why.
    pub reason: Reason,
    /// It was an item of a block.
    pub in_block: bool,
    /// The command, the key, the channel, or the word that asked for a login.
    pub object: &'a [u8],
    /// Whose rights did not suffice, or who wanted to log in.
    pub user: &'a [u8],
    /// The client, as CLIENT LIST shows it.
    pub client: &'a str,
    /// The wall clock, milliseconds since the epoch.
    pub wall_ms: u64,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    count: u64,
    reason: Reason,
    in_block: bool,
    object: Vec<u8>,
    user: Vec<u8>,
    client: String,
    created_ms: u64,
    updated_ms: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.object.capacity() + self.user.capacity() + self.client.capacity()
    }

    fn is_same(&self, refused: &Refused<'_>) -> bool {
        self.reason == refused.reason
            && self.in_block == refused.in_block
            && self.updated_ms.abs_diff(refused.wall_ms) <= GROUPED_MS
            && self.object == cut(refused.object)
            && self.user == cut(refused.user)
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(TEXT_BYTES_MAX)]
}

/// The newest refusals; see the module.
#[derive(Debug)]
pub struct AclLog {
    /// Entries kept at most (`acllog-max-len`).
    pub entries_max: usize,
    /// Bytes of entries kept at most; the oldest go, but for the last one.
    pub bytes_max: usize,
    entries: VecDeque<Entry>,
    bytes: usize,
    next_id: u64,
}

impl AclLog {
    /// An empty log of at most so many entries.
    pub fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            bytes_max: usize::MAX,
            entries: VecDeque::new(),
            bytes: 0,
            next_id: 0,
        }
    }

    /// Keeps a refusal, or counts it with the same one before.
    pub fn note(&mut self, refused: &Refused<'_>) {
        let mut newest = self.entries.iter().take(GROUPED_AMONG);
        let known = newest.position(|entry| entry.is_same(refused));
        let entry = match known.and_then(|position| self.entries.remove(position)) {
            Some(mut entry) => {
                self.bytes -= entry.bytes();
                entry.count += 1;
                entry.updated_ms = refused.wall_ms;
                entry.client = refused.client.to_owned();
                entry
            }
            None => {
                let id = self.next_id;
                self.next_id += 1;
                Entry {
                    id,
                    count: 1,
                    reason: refused.reason,
                    in_block: refused.in_block,
                    object: cut(refused.object).to_vec(),
                    user: cut(refused.user).to_vec(),
                    client: refused.client.to_owned(),
                    created_ms: refused.wall_ms,
                    updated_ms: refused.wall_ms,
                }
            }
        };
        self.bytes += entry.bytes();
        self.entries.push_front(entry);
        self.trim();
    }

    /// Drops what is beyond the limits.
    pub fn trim(&mut self) {
        while self.entries.len() > self.entries_max || (self.bytes > self.bytes_max && self.entries.len() > 1)
        {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.bytes());
        }
    }

    /// Memory of all entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// ACL LOG RESET; numbers of entries go on.
    pub fn reset(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    fn render(&self, count: usize, wall_ms: u64, reply: &mut ReplyWriter<'_>) {
        let count = count.min(self.entries.len());
        reply.array(count);
        for entry in self.entries.iter().take(count) {
            reply.map(10);
            reply.bulk_str("count");
            reply.integer(entry.count as i64);
            reply.bulk_str("reason");
            reply.bulk_str(entry.reason.name());
            reply.bulk_str("context");
            reply.bulk_str(if entry.in_block { "multi" } else { "toplevel" });
            reply.bulk_str("object");
            reply.bulk(&entry.object);
            reply.bulk_str("username");
            reply.bulk(&entry.user);
            reply.bulk_str("age-seconds");
            reply.double(wall_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
            reply.bulk_str("client-info");
            reply.bulk_str(&entry.client);
            reply.bulk_str("entry-id");
            reply.integer(entry.id as i64);
            reply.bulk_str("timestamp-created");
            reply.integer(entry.created_ms as i64);
            reply.bulk_str("timestamp-last-updated");
            reply.integer(entry.updated_ms as i64);
        }
    }
}

/// ACL LOG [count | RESET].
pub(super) fn answer(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) {
    let wall_ms = local.node.wall_us() / 1000;
    let count = match (request.try_get(2), request.len()) {
        (None, _) => SHOWN,
        (Some(word), 3) if word.eq_ignore_ascii_case(b"RESET") => {
            local.node.guard().log.reset();
            return local.reply(out).ok();
        }
        (Some(text), 3) => match parse_i64(text) {
            None => return local.reply(out).error(words::NOT_AN_INTEGER),
            Some(count) => count.max(0),
        },
        _ => {
            let text = words::subcommand_syntax("ACL", request.get(1));
            return local.reply(out).error_bytes(&text);
        }
    };
    let session = &*local.session;
    let mut reply = ReplyWriter::new(out, session.resp3);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    local.node.guard().log.render(count, wall_ms, &mut reply);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(object: &[u8], wall_ms: u64) -> Refused<'_> {
        Refused {
            reason: Reason::Command,
            in_block: false,
            object,
            user: b"app",
            client: "id=1",
            wall_ms,
        }
    }

    #[test]
    fn the_same_refusal_within_a_minute_is_counted_and_moves_to_the_front() {
        let mut log = AclLog::new(3);
        log.note(&refused(b"get", 1_000));
        log.note(&refused(b"set", 2_000));
        log.note(&refused(b"get", 60_900));
        let seen = |log: &AclLog| {
            let entries = log.entries.iter();
            entries
                .map(|entry| (entry.id, entry.count, entry.object.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&log), [(0, 2, b"get".to_vec()), (1, 1, b"set".to_vec())]);
        log.note(&refused(b"set", 2_000 + GROUPED_MS + 1));
        let block = Refused {
            in_block: true,
            ..refused(b"get", 60_900)
        };
        log.note(&block);
        assert_eq!(log.entries.len(), 3);
        assert_eq!(seen(&log)[0], (3, 1, b"get".to_vec()));
        log.reset();
        assert_eq!((log.bytes(), log.entries.len()), (0, 0));
        log.note(&refused(b"get", 1));
        assert_eq!(seen(&log), [(4, 1, b"get".to_vec())]);
    }

    #[test]
    fn what_clients_send_does_not_fill_it() {
        let mut log = AclLog::new(1000);
        log.bytes_max = 20_000;
        for number in 0..100u32 {
            let object = [number.to_string().into_bytes(), vec![b'x'; 1 << 20]].concat();
            log.note(&refused(&object, 1));
            assert!(log.bytes() <= 20_000);
        }
        assert!(log.entries.len() > 5);
        log.entries_max = 2;
        log.trim();
        assert_eq!(log.entries.len(), 2);
        log.entries_max = 0;
        log.note(&refused(b"x", 1));
        assert_eq!((log.entries.len(), log.bytes()), (0, 0));
    }
}
