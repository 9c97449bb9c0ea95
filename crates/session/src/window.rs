//! Requests decoded ahead of their execution, so that the memory they will read is on its way.
//!
//! A lookup in a large table costs two cache misses, one after the other: the bucket, then the entry. A
//! pipeline tells early which keys come next: all buckets are asked for together, then all entries, and
//! then the requests are executed. Nothing here changes what a request does; what was decoded ahead and
//! not executed is decoded again.
//!
//! Invariant: requests are contiguous in the buffer that they were decoded from.

use repligo_core::keyspace::Keyspace;
use repligo_proto::command::{Spec, Unresolved, flag, resolve};
use repligo_proto::resp::{ArgSlice, Args, ProtocolError, RequestDecoder};

/// Requests decoded ahead: enough misses at once for what a core can have in flight.
pub const REQUESTS_MAX: usize = 32;
/// Bytes decoded ahead, so that a request that must wait does not make large ones behind it be decoded
/// again and again.
const BYTES_MAX: usize = 64 << 10;
/// Keys of one request that are asked for.
const KEYS_MAX: usize = 16;

/// A command with more arguments than this may take long.
const ARGUMENTS_FEW: usize = 64;

/// Commands whose running time grows with their arguments, with the keyspace or with those who listen.
#[inline]
pub fn may_stand_out(spec: &Spec, argument_count: usize) -> bool {
    let is_short = spec.flags & (flag::FAST | flag::DENYOOM) != 0 && !spec.has(flag::PUBSUB);
    argument_count > ARGUMENTS_FEW || !is_short
}

/// A request and its row in the command table.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'a> {
    /// The words.
    pub request: ArgSlice<'a>,
    /// Its command, or why there is none.
    pub spec: Result<&'static Spec, Unresolved>,
}

impl Resolved<'_> {
    /// True for a command whose running time grows with its arguments or with what the node holds.
    #[inline]
    pub fn may_stand_out(&self) -> bool {
        self.spec
            .is_ok_and(|spec| may_stand_out(spec, self.request.len()))
    }
}

/// Why a window has no more requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is full.
    Full,
    /// What follows is incomplete.
    Incomplete,
    /// What follows is no request; the stream cannot be continued.
    Broken(ProtocolError),
}

#[derive(Debug)]
struct Ahead {
    args: Args,
    /// First byte in the buffer.
    start: usize,
    /// First byte behind it.
    end: usize,
    /// `None` for an empty request.
    spec: Option<Result<&'static Spec, Unresolved>>,
}

/// Requests decoded ahead; see the module.
#[derive(Debug)]
pub struct Window {
    requests: Vec<Ahead>,
    count: usize,
    ending: Ending,
    hashes: Vec<u64>,
}

impl Default for Window {
    fn default() -> Self {
        let request = || Ahead {
            args: Args::new(),
            start: 0,
            end: 0,
            spec: None,
        };
        Self {
            requests: (0..REQUESTS_MAX).map(|_| request()).collect(),
            count: 0,
            ending: Ending::Full,
            hashes: Vec::with_capacity(REQUESTS_MAX * KEYS_MAX),
        }
    }
}

impl Window {
    /// Decodes what stands at `start` of `bytes`, at most `count_max` requests. An unauthenticated
    /// connection must not look ahead: what its next request may be depends on the one before.
    pub fn fill(&mut self, decoder: &mut RequestDecoder, (bytes, start): (&[u8], usize), count_max: usize) {
        let mut position = start;
        self.count = 0;
        self.ending = Ending::Full;
        while self.count < count_max.min(REQUESTS_MAX)
            && position < bytes.len()
            && position - start < BYTES_MAX
        {
            let next = &mut self.requests[self.count];
            // Only the first request is looked at however long it is: one that waits behind others would be
            // decoded again for each of them.
            let visible = match self.count {
                0 => bytes.len(),
                _ => bytes.len().min(start + BYTES_MAX),
            };
            match decoder.decode(&bytes[position..visible], &mut next.args) {
                Ok(Some(taken)) => {
                    (next.start, next.end) = (position, position + taken);
                    next.spec = (!next.args.is_empty()).then(|| resolve(next.args.view(&bytes[position..])));
                    position += taken;
                    self.count += 1;
                }
                Ok(None) if visible < bytes.len() => {
                    decoder.restart();
                    return;
                }
                Ok(None) => {
                    self.ending = Ending::Incomplete;
                    return;
                }
                Err(error) => {
                    self.ending = Ending::Broken(error);
                    return;
                }
            }
        }
    }

    /// Asks for the memory that the requests will look at, if there are several.
    #[inline]
    pub fn prefetch(&mut self, keyspace: &Keyspace, db: u8, bytes: &[u8]) {
        if self.count < 2 {
            return;
        }
        self.hashes.clear();
        for ahead in &self.requests[..self.count] {
            let Some(Ok(spec)) = ahead.spec else { continue };
            if spec.keys.first == 0 {
                continue;
            }
            let view = ahead.args.view(&bytes[ahead.start..]);
            for position in spec.keys.positions(view.len()).take(KEYS_MAX) {
                self.hashes.extend(keyspace.prefetch_key(db, view.get(position)));
            }
        }
        for &hash in &self.hashes {
            keyspace.prefetch_entry(db, hash);
        }
    }

    /// Number of requests.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Request number `index`; `None` for an empty one, which gets no reply.
    #[inline]
    pub fn get<'a>(&'a self, index: usize, bytes: &'a [u8]) -> Option<Resolved<'a>> {
        let ahead = &self.requests[index];
        Some(Resolved {
            spec: ahead.spec?,
            request: ahead.args.view(&bytes[ahead.start..]),
        })
    }

    /// Where request number `index` starts and ends.
    #[inline]
    pub fn range(&self, index: usize) -> (usize, usize) {
        (self.requests[index].start, self.requests[index].end)
    }

    /// Why there are no more.
    #[inline]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }
}

#[cfg(test)]
mod tests {
    use repligo_core::table::HashSeed;

    use super::*;

    fn filled(bytes: &[u8], count_max: usize) -> (Vec<String>, Ending) {
        let (mut window, mut decoder) = (Window::default(), RequestDecoder::default());
        window.fill(&mut decoder, (bytes, 0), count_max);
        window.prefetch(&Keyspace::new(HashSeed::from_number(1)), 0, bytes);
        let shown = (0..window.count()).map(|index| match window.get(index, bytes) {
            Some(resolved) => format!(
                "{:?} {}",
                resolved.spec.map(|spec| spec.name).ok(),
                resolved.request.len()
            ),
            None => "empty".to_owned(),
        });
        (shown.collect(), window.ending().clone())
    }

    #[test]
    fn a_window_holds_what_is_complete_and_says_why_it_ends() {
        let get = "Some(\"get\") 2".to_owned();
        let bytes = b"GET a\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n\r\nfoo\r\nGET";
        let (shown, ending) = filled(bytes, REQUESTS_MAX);
        assert_eq!(
            shown,
            [get.clone(), get.clone(), "empty".to_owned(), "None 1".to_owned()]
        );
        assert_eq!(ending, Ending::Incomplete);
        assert_eq!(filled(bytes, 1), (vec![get.clone()], Ending::Full));
        let (shown, ending) = filled(b"GET a\r\n*1\r\n+", REQUESTS_MAX);
        assert_eq!(
            (shown, ending),
            (vec![get], Ending::Broken(ProtocolError::ExpectedDollar(b'+')))
        );
    }

    #[test]
    fn a_window_is_bounded_in_requests_and_in_bytes() {
        let (shown, ending) = filled(&b"GET a\r\n".repeat(100), usize::MAX);
        assert_eq!((shown.len(), ending), (REQUESTS_MAX, Ending::Full));
        let large = format!(
            "*2\r\n$4\r\nPING\r\n${BYTES_MAX}\r\n{}\r\n",
            "x".repeat(BYTES_MAX)
        );
        let (shown, ending) = filled(large.repeat(3).as_bytes(), usize::MAX);
        assert_eq!((shown.len(), ending), (1, Ending::Full));
        let behind = format!("GET a\r\n{large}GET b\r\n");
        let (shown, ending) = filled(behind.as_bytes(), usize::MAX);
        assert_eq!(
            (shown.len(), ending),
            (1, Ending::Full),
            "the long one comes first next time"
        );
    }
}
