//! Frames that wait to be sent to one peer.
//!
//! Short frames are copied one behind the other, so that they leave together. A long payload is kept as it
//! is: it may be on its way to several peers and into the log at once, and is copied for none of them.
//!
//! Invariant: parts are in the order in which they were given; no part is empty.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use repligo_proto::frame::{self, HEADER_BYTES, Header};

/// A payload from here on is not copied.
const LONG_BYTES: usize = 16 << 10;
/// Capacity that an idle queue keeps.
const KEPT_BYTES: usize = 1 << 20;
/// Parts that are offered to the socket at once.
const SLICES_MAX: usize = 16;

/// The queue; see the module.
#[derive(Debug, Default)]
pub struct Outgoing {
    parts: VecDeque<Bytes>,
    /// What follows the parts.
    tail: Vec<u8>,
    /// Bytes of the first part, or of the tail if there is none, that have been sent.
    sent: usize,
    /// Bytes that have not been sent.
    waiting: usize,
}

impl Outgoing {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// A frame of a short payload.
    ///
    /// # Panics
    /// If the payload exceeds [`frame::PAYLOAD_BYTES_MAX`].
    pub fn push(&mut self, header: &Header, payload: &[u8]) {
        frame::encode(&mut self.tail, header, payload);
        self.waiting += HEADER_BYTES + payload.len();
    }

    /// A frame whose header is encoded already.
    pub fn push_framed(&mut self, header: &[u8; HEADER_BYTES], payload: &Bytes) {
        self.waiting += HEADER_BYTES + payload.len();
        self.tail.extend_from_slice(header);
        if payload.len() < LONG_BYTES {
            self.tail.extend_from_slice(payload);
            return;
        }
        let mut before = Bytes::from(std::mem::take(&mut self.tail));
        if self.parts.is_empty() {
            // `sent` counted bytes of the tail.
            before = before.slice(std::mem::take(&mut self.sent)..);
        }
        self.parts.extend([before, payload.clone()]);
    }

    /// What is to be sent next: fills `slices` from the front and returns those that are filled.
    pub fn slices<'a, 'b>(&'a self, slices: &'b mut [IoSlice<'a>; SLICES_MAX]) -> &'b [IoSlice<'a>] {
        let mut count = 0;
        let mut skip = self.sent;
        let parts = self.parts.iter().map(|part| &part[..]);
        for part in parts.chain([&self.tail[..]]).take(SLICES_MAX) {
            if part.len() > skip {
                slices[count] = IoSlice::new(&part[skip..]);
                count += 1;
            }
            skip = 0;
        }
        &slices[..count]
    }

    /// Empty slices for [`Self::slices`].
    pub fn no_slices<'a>() -> [IoSlice<'a>; SLICES_MAX] {
        [IoSlice::new(&[]); SLICES_MAX]
    }

    /// So many bytes from the front have been sent.
    pub fn consume(&mut self, count: usize) {
        self.waiting -= count;
        self.sent += count;
        while let Some(first) = self.parts.front() {
            let Some(more) = self.sent.checked_sub(first.len()) else {
                return;
            };
            self.sent = more;
            self.parts.pop_front();
        }
        if self.waiting == 0 {
            self.tail.clear();
            self.tail.shrink_to(KEPT_BYTES);
            self.sent = 0;
        } else if self.sent > self.waiting {
            // Moving the rest is paid for by what was sent.
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use repligo_proto::frame::Kind;

    use super::*;

    const HEADER: Header = Header {
        cluster_id: 1,
        generation: 2,
        peer: 3,
        incarnation: 4,
        kind: Kind::CORE,
    };

    /// Sends everything, `step` bytes at a time.
    fn drain(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = Outgoing::no_slices();
            let offered: Vec<u8> = outgoing.slices(&mut slices).concat_bytes();
            assert!(!offered.is_empty());
            let count = offered.len().min(step);
            sent.extend_from_slice(&offered[..count]);
            outgoing.consume(count);
        }
        sent
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for [IoSlice<'_>] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.iter().copied()).collect()
        }
    }

    #[test]
    fn frames_leave_in_order_however_little_is_taken_at_once() {
        let long = Bytes::from(vec![7; LONG_BYTES + 3]);
        for step in [55, 4096, LONG_BYTES, usize::MAX] {
            let (mut outgoing, mut expected) = (Outgoing::default(), Vec::new());
            let mut sent = Vec::new();
            for round in 0..3_u8 {
                for payload in [
                    Bytes::from(vec![round; 5]),
                    long.clone(),
                    long.clone(),
                    Bytes::from(vec![round; 9]),
                ] {
                    frame::encode(&mut expected, &HEADER, &payload);
                    outgoing.push_framed(&frame::encode_header(&HEADER, &payload), &payload);
                }
                outgoing.push(&HEADER, b"short");
                frame::encode(&mut expected, &HEADER, b"short");
                // A part has left when the next frames come.
                let mut slices = Outgoing::no_slices();
                let offered = outgoing.slices(&mut slices).concat_bytes();
                let count = offered.len().min(30);
                sent.extend_from_slice(&offered[..count]);
                outgoing.consume(count);
                assert_eq!(outgoing.len(), expected.len() - sent.len());
            }
            sent.extend(drain(&mut outgoing, step));
            assert!(sent == expected, "step {step}");
            assert_eq!((outgoing.sent, outgoing.tail.len()), (0, 0));
        }
    }

    #[test]
    fn a_long_payload_is_not_copied() {
        let mut outgoing = Outgoing::default();
        let long = Bytes::from(vec![7; LONG_BYTES]);
        outgoing.push_framed(&frame::encode_header(&HEADER, &long), &long);
        let mut slices = Outgoing::no_slices();
        let offered = outgoing.slices(&mut slices);
        assert_eq!(offered.len(), 2);
        assert_eq!(offered[1].as_ptr(), long.as_ptr());
    }
}
