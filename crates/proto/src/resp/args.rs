//! Arguments of a request as ranges into the buffer they arrived in.
//!
//! [`Args`] is reused from request to request and owns no argument bytes, except those of inline
//! requests, whose quotes and escapes have to be resolved somewhere. [`ArgSlice`] is the cheap view that
//! command parsers take; [`OwnedRequest`] is a copy that outlives the buffer, for queued commands.

/// Capacities above this many arguments are given back after the request that needed them.
pub(super) const KEPT_ARGUMENTS_MAX: usize = 1024;
/// The same for the bytes of inline requests.
const KEPT_INLINE_BYTES_MAX: usize = 16 << 10;

/// Start and end of one argument in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The arguments of one request, the command name first.
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) spans: Vec<Span>,
    /// Holds the arguments of an inline request; empty otherwise.
    pub(super) inline_bytes: Vec<u8>,
    /// Spans point into `inline_bytes`, not into the caller's buffer.
    pub(super) inline: bool,
}

impl Args {
    /// No arguments yet.
    pub fn new() -> Self {
        Args::default()
    }

    /// How many arguments, the command name included; 0 for an empty request, which is to be skipped.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True for an empty request (a blank line or `*0`), which gets no reply.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; `buffer` is the one given to the decoder.
    ///
    /// # Panics
    /// If `index` is not below [`Args::len`], or if `buffer` is shorter than the request.
    #[inline]
    pub fn get<'a>(&'a self, buffer: &'a [u8], index: usize) -> &'a [u8] {
        self.view(buffer).get(index)
    }

    /// A view of all arguments; `buffer` is the one given to the decoder.
    #[inline]
    pub fn view<'a>(&'a self, buffer: &'a [u8]) -> ArgSlice<'a> {
        let source = if self.inline {
            self.inline_bytes.as_slice()
        } else {
            buffer
        };
        ArgSlice {
            source,
            spans: &self.spans,
        }
    }

    /// Forgets the arguments and keeps a moderate capacity.
    #[inline]
    pub fn clear(&mut self) {
        self.spans.clear();
        if self.inline || self.spans.capacity() > KEPT_ARGUMENTS_MAX {
            self.release();
        }
    }

    #[cold]
    fn release(&mut self) {
        self.inline = false;
        self.inline_bytes.clear();
        self.inline_bytes.shrink_to(KEPT_INLINE_BYTES_MAX);
        self.spans.shrink_to(KEPT_ARGUMENTS_MAX);
    }

    #[inline]
    pub(super) fn push(&mut self, start: usize, end: usize) {
        debug_assert!(
            start <= end && end <= u32::MAX as usize,
            "Limits keep a request below 4 GiB"
        );
        self.spans.push(Span {
            start: start as u32,
            end: end as u32,
        });
    }
}

/// A view of consecutive arguments: two pointers and two lengths, to be passed by value.
#[derive(Clone, Copy, Debug)]
pub struct ArgSlice<'a> {
    source: &'a [u8],
    spans: &'a [Span],
}

impl<'a> ArgSlice<'a> {
    /// How many arguments are in view.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if nothing is in view.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index` of the view.
    ///
    /// # Panics
    /// If `index` is not below [`ArgSlice::len`].
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let span = self.spans[index];
        &self.source[span.start as usize..span.end as usize]
    }

    /// Argument `index` of the view, if there is one.
    #[inline]
    pub fn try_get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.get(index))
    }

    /// The view without its first `count` arguments; empty if there are not more.
    #[inline]
    pub fn skip(&self, count: usize) -> ArgSlice<'a> {
        ArgSlice {
            source: self.source,
            spans: self.spans.get(count..).unwrap_or(&[]),
        }
    }

    /// The arguments in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + use<'a> {
        let source = self.source;
        self.spans
            .iter()
            .map(move |span| &source[span.start as usize..span.end as usize])
    }

    /// Bytes of all arguments together.
    pub fn total_bytes(&self) -> usize {
        self.spans
            .iter()
            .map(|span| (span.end - span.start) as usize)
            .sum()
    }
}

/// A request that owns its bytes, for commands queued by MULTI, for tests and for tools.
#[derive(Clone, Debug, Default)]
pub struct OwnedRequest {
    bytes: Box<[u8]>,
    spans: Box<[Span]>,
}

impl OwnedRequest {
    /// Copies arguments.
    ///
    /// # Panics
    /// If they are 4 GiB or more together; decoded requests never are.
    pub fn new<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut bytes = Vec::new();
        let mut spans = Vec::new();
        for argument in arguments {
            let start = u32::try_from(bytes.len()).expect("a request stays below 4 GiB");
            bytes.extend_from_slice(argument.as_ref());
            let end = u32::try_from(bytes.len()).expect("a request stays below 4 GiB");
            spans.push(Span { start, end });
        }
        OwnedRequest {
            bytes: bytes.into_boxed_slice(),
            spans: spans.into_boxed_slice(),
        }
    }

    /// A view of all arguments.
    #[inline]
    pub fn view(&self) -> ArgSlice<'_> {
        ArgSlice {
            source: &self.bytes,
            spans: &self.spans,
        }
    }

    /// Memory held, for queue limits.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.len() + size_of_val::<[Span]>(&self.spans)
    }
}

impl From<ArgSlice<'_>> for OwnedRequest {
    fn from(view: ArgSlice<'_>) -> Self {
        OwnedRequest::new(view.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_can_be_cut_and_copied() {
        let owned = OwnedRequest::new(["SET", "key", "", "value"]);
        let view = owned.view();
        assert_eq!(view.len(), 4);
        assert_eq!(view.get(1), b"key");
        assert_eq!(view.try_get(4), None);
        assert_eq!(view.skip(2).iter().collect::<Vec<_>>(), [&b""[..], b"value"]);
        assert!(view.skip(9).is_empty());
        assert_eq!(view.total_bytes(), 11);
        let copy = OwnedRequest::from(view.skip(1));
        assert_eq!(copy.view().get(2), b"value");
        assert!(copy.heap_bytes() >= 8);
    }

    #[test]
    fn capacity_of_a_huge_request_is_given_back() {
        let mut args = Args::new();
        for index in 0..10 * KEPT_ARGUMENTS_MAX {
            args.push(index, index);
        }
        args.clear();
        assert!(args.is_empty());
        assert!(args.spans.capacity() <= KEPT_ARGUMENTS_MAX);
    }
}
