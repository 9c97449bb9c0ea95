//! SLOWLOG: the last commands that took longer than a threshold, newest first.
//!
//! Times are those of the worker thread, not of waiting for commit; see `Worker` for how they are taken.

use std::collections::VecDeque;

use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::ArgSlice;

/// Arguments kept of one command; the last one then says how many more there were (as in Redis).
const ARGUMENTS_MAX: usize = 32;
/// Bytes kept of one argument.
const ARGUMENT_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: u64,
    wall_seconds: u64,
    microseconds: u64,
    arguments: Vec<Vec<u8>>,
    client_address: String,
    client_name: Vec<u8>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let arguments = self.arguments.iter().map(Vec::capacity).sum::<usize>();
        let places = self.arguments.capacity() * size_of::<Vec<u8>>();
        size_of::<Self>() + arguments + places + self.client_address.capacity() + self.client_name.capacity()
    }
}

/// Who sent a slow command and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Slow<'a> {
    /// Wall clock when it was executed, seconds since the epoch.
    pub wall_seconds: u64,
    /// Time of the worker thread.
    pub microseconds: u64,
    /// Address of the client.
    pub client_address: &'a str,
    /// Name the client gave itself.
    pub client_name: &'a [u8],
}

/// A ring of slow commands.
#[derive(Debug)]
pub struct Slowlog {
    /// Commands that take at least so long are kept, microseconds; negative: none.
    pub threshold_us: i64,
    /// Entries kept at most.
    pub entries_max: usize,
    /// Bytes of entries kept at most; the oldest go, but for the last one.
    pub bytes_max: usize,
    entries: VecDeque<Entry>,
    bytes: usize,
    next_id: u64,
}

impl Slowlog {
    /// An empty ring.
    pub fn new(threshold_us: i64, entries_max: usize) -> Self {
        Self {
            threshold_us,
            entries_max,
            bytes_max: usize::MAX,
            entries: VecDeque::new(),
            bytes: 0,
            next_id: 0,
        }
    }

    /// Whether a command of this duration is kept.
    #[inline]
    pub fn takes(&self, microseconds: u64) -> bool {
        self.threshold_us >= 0 && microseconds >= self.threshold_us as u64
    }

    /// Keeps a command; call it if [`Self::takes`] says so.
    pub fn record(&mut self, slow: Slow<'_>, arguments: Vec<Vec<u8>>) {
        let entry = Entry {
            id: self.next_id,
            wall_seconds: slow.wall_seconds,
            microseconds: slow.microseconds,
            arguments,
            client_address: slow.client_address.to_owned(),
            client_name: slow.client_name.to_vec(),
        };
        self.bytes += entry.bytes();
        self.entries.push_front(entry);
        self.next_id += 1;
        while self.entries.len() > self.entries_max || (self.bytes > self.bytes_max && self.entries.len() > 1)
        {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.bytes());
        }
    }

    /// Memory of all entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries kept now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all entries; numbers go on.
    pub fn reset(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    /// The newest `count` entries as SLOWLOG GET returns them; negative: all.
    pub fn render(&self, count: i64, reply: &mut ReplyWriter<'_>) {
        let count = usize::try_from(count)
            .unwrap_or(usize::MAX)
            .min(self.entries.len());
        reply.array(count);
        for entry in self.entries.iter().take(count) {
            reply.array(6);
            reply.integer(entry.id as i64);
            reply.integer(entry.wall_seconds as i64);
            reply.integer(entry.microseconds as i64);
            reply.array(entry.arguments.len());
            for argument in &entry.arguments {
                reply.bulk(argument);
            }
            reply.bulk_str(&entry.client_address);
            reply.bulk(&entry.client_name);
        }
    }
}

/// The words of a request as far as they are kept; `secret` hides all but the name.
pub fn kept_arguments(request: ArgSlice<'_>, secret: bool) -> Vec<Vec<u8>> {
    let count = request.len();
    let mut kept = Vec::with_capacity(count.min(ARGUMENTS_MAX));
    for (position, argument) in request.iter().take(ARGUMENTS_MAX).enumerate() {
        kept.push(if position + 1 == ARGUMENTS_MAX && count > ARGUMENTS_MAX {
            let more = count - ARGUMENTS_MAX + 1;
            format!("... ({more} more arguments)").into_bytes()
        } else if secret && position > 0 {
            b"(redacted)".to_vec()
        } else {
            shorten(argument)
        });
    }
    kept
}

fn shorten(argument: &[u8]) -> Vec<u8> {
    if argument.len() <= ARGUMENT_BYTES_MAX {
        return argument.to_vec();
    }
    let mut short = argument[..ARGUMENT_BYTES_MAX].to_vec();
    let more = argument.len() - ARGUMENT_BYTES_MAX;
    short.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use repligo_proto::resp::OwnedRequest;

    fn slow(microseconds: u64) -> Slow<'static> {
        Slow {
            wall_seconds: 1,
            microseconds,
            client_address: "127.0.0.1:1",
            client_name: b"",
        }
    }

    #[test]
    fn long_commands_are_cut_as_redis_does() {
        let mut log = Slowlog::new(0, 2);
        let mut words = vec!["MSET".to_owned()];
        words.extend((0..40).map(|n| "x".repeat(100 + n)));
        log.record(slow(7), kept_arguments(OwnedRequest::new(&words).view(), false));
        let entry = &log.entries[0];
        assert_eq!(entry.arguments.len(), 32);
        assert_eq!(entry.arguments[31], b"... (10 more arguments)");
        assert!(entry.arguments[30].ends_with(b"... (1 more bytes)"));
    }

    #[test]
    fn only_the_newest_entries_are_kept_and_secrets_are_not() {
        let mut log = Slowlog::new(10, 2);
        assert!(log.takes(10) && !log.takes(9));
        for _ in 0..3 {
            let request = OwnedRequest::new(["AUTH", "hunter2"]);
            log.record(slow(11), kept_arguments(request.view(), true));
        }
        assert_eq!(log.len(), 2);
        assert_eq!(log.entries[0].id, 2);
        assert_eq!(log.entries[0].arguments[1], b"(redacted)");
        let each = log.bytes() / 2;
        log.bytes_max = each + each / 2;
        log.record(slow(11), vec![b"GET".to_vec()]);
        assert!(log.len() == 1 && log.bytes() < each, "the oldest make room");
        log.reset();
        assert_eq!(log.bytes(), 0);
        assert!(log.is_empty());
    }
}
