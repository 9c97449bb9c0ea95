//! Streams between nodes: ordered, and torn as a whole when anything goes missing.
//!
//! One stream at a time per pair. A stream is torn by a reset, by a partition that outlives its patience,
//! by the death of a process, and by every fault that the frame layer would notice (loss, duplication,
//! reordering, damage): the core never sees those, it sees the stream go. The two ends learn it
//! independently, one of them possibly much later (half-open): until then it sends into nothing.
//! While a direction is blocked its frames wait, as TCP would make them, and leave in a burst on heal.

use std::collections::VecDeque;

use repligo_core::contract::PeerId;

use super::queue::Micros;
use crate::random::Random;

/// What travels on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An announcement of the forming phase, encoded.
    Forming(bytes::Bytes),
    /// A message of the core.
    Core(bytes::Bytes),
    /// What clients have published.
    Published(bytes::Bytes),
    /// How many clients subscribe to what.
    Subscribed(bytes::Bytes),
    /// The sender's process ended; everything before it still arrived.
    End,
}

/// One direction of a pair.
#[derive(Debug, Default)]
struct Direction {
    frames: VecDeque<Frame>,
    last_arrival: Micros,
    blocked: bool,
    /// What every frame takes longer than [`Network::delays`] say.
    lag_us: Micros,
    /// Deliveries that came due while blocked.
    held: u32,
}

/// A pair of nodes.
#[derive(Debug, Default)]
struct Pair {
    /// The live stream, 0 for none.
    stream: u64,
    /// What each end (lower number first) believes: 0 for no stream.
    believed: [u64; 2],
    /// From the lower to the higher number, and back.
    directions: [Direction; 2],
}

/// How long frames take; changed by faults.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Shortest, microseconds.
    pub low_us: u64,
    /// Longest, microseconds; long ones are rare.
    pub high_us: u64,
}

/// All pairs.
#[derive(Debug)]
pub struct Network {
    nodes: usize,
    pairs: Vec<Pair>,
    streams: u64,
    /// Current delays.
    pub delays: Delays,
}

/// Position of an end in its pair.
fn side(of: PeerId, other: PeerId) -> usize {
    usize::from(of > other)
}

impl Network {
    /// No streams yet.
    pub fn new(nodes: usize, delays: Delays) -> Self {
        Self {
            nodes,
            pairs: (0..nodes * nodes).map(|_| Pair::default()).collect(),
            streams: 0,
            delays,
        }
    }

    fn pair(&mut self, one: PeerId, other: PeerId) -> &mut Pair {
        assert_ne!(one, other);
        let (low, high) = (one.min(other) as usize - 1, one.max(other) as usize - 1);
        &mut self.pairs[low * self.nodes + high]
    }

    /// Every pair once.
    pub fn pairs(&self) -> Vec<(PeerId, PeerId)> {
        let nodes = self.nodes as PeerId;
        (1..=nodes)
            .flat_map(|low| (low + 1..=nodes).map(move |high| (low, high)))
            .collect()
    }

    /// The live stream of a pair.
    pub fn stream(&mut self, one: PeerId, other: PeerId) -> Option<u64> {
        let stream = self.pair(one, other).stream;
        (stream != 0).then_some(stream)
    }

    /// True if nothing gets from `from` to `to`.
    pub fn is_blocked(&mut self, from: PeerId, to: PeerId) -> bool {
        let direction = side(from, to);
        self.pair(from, to).directions[direction].blocked
    }

    /// Blocks or frees a direction; gives the number of deliveries that were held and are due anew.
    pub fn set_blocked(&mut self, from: PeerId, to: PeerId, blocked: bool) -> u32 {
        let side = side(from, to);
        let direction = &mut self.pair(from, to).directions[side];
        direction.blocked = blocked;
        if blocked {
            0
        } else {
            std::mem::take(&mut direction.held)
        }
    }

    /// Frames of one direction take so much longer from now on.
    pub fn set_lag(&mut self, from: PeerId, to: PeerId, lag_us: Micros) {
        let side = side(from, to);
        self.pair(from, to).directions[side].lag_us = lag_us;
    }

    /// Makes a fresh stream; the old one must be gone. Gives its number and when each end learns of it
    /// (in the order of the arguments).
    pub fn connect(
        &mut self,
        one: PeerId,
        other: PeerId,
        now: Micros,
        random: &mut Random,
    ) -> (u64, [Micros; 2]) {
        self.streams += 1;
        let stream = self.streams;
        let delays = self.delays;
        let pair = self.pair(one, other);
        assert_eq!(pair.stream, 0, "one stream at a time");
        pair.stream = stream;
        let learn = [(); 2].map(|()| now + random.skewed(delays.low_us, delays.high_us));
        for (end, at) in [(side(one, other), learn[0]), (side(other, one), learn[1])] {
            pair.believed[end] = stream;
            // What the other end sends must not arrive before this end knows the stream.
            let inbound = &mut pair.directions[1 - end];
            inbound.frames.clear();
            inbound.held = 0;
            inbound.last_arrival = at;
        }
        (stream, learn)
    }

    /// Sends a frame on the stream that `from` believes in. Gives its number and when the frame arrives,
    /// if there is such a stream.
    pub fn send(
        &mut self,
        (from, to): (PeerId, PeerId),
        frame: Frame,
        now: Micros,
        random: &mut Random,
    ) -> Option<(u64, Micros)> {
        let delays = self.delays;
        let end = side(from, to);
        let pair = self.pair(from, to);
        if pair.stream == 0 || pair.believed[end] != pair.stream {
            return None;
        }
        let direction = &mut pair.directions[end];
        let arrival = now + direction.lag_us + random.skewed(delays.low_us, delays.high_us);
        direction.last_arrival = direction.last_arrival.max(arrival);
        direction.frames.push_back(frame);
        Some((pair.stream, direction.last_arrival))
    }

    /// A delivery is due: the frame, unless it is held or the stream is gone.
    pub fn deliver(&mut self, from: PeerId, to: PeerId, stream: u64) -> Option<Frame> {
        let end = side(from, to);
        let pair = self.pair(from, to);
        if pair.stream != stream {
            return None;
        }
        let direction = &mut pair.directions[end];
        if direction.blocked {
            direction.held += 1;
            return None;
        }
        direction.frames.pop_front()
    }

    /// Tears the live stream down. Everything in flight is lost; both ends go on believing until
    /// [`Network::notice`]. Gives its number.
    pub fn tear(&mut self, one: PeerId, other: PeerId) -> Option<u64> {
        let pair = self.pair(one, other);
        let stream = std::mem::take(&mut pair.stream);
        for direction in &mut pair.directions {
            direction.frames.clear();
            direction.held = 0;
        }
        (stream != 0).then_some(stream)
    }

    /// An end learns that a stream is gone. True if it believed in it until now.
    pub fn notice(&mut self, at: PeerId, other: PeerId, stream: u64) -> bool {
        let end = side(at, other);
        let pair = self.pair(at, other);
        let believed = pair.believed[end] == stream;
        if believed {
            pair.believed[end] = 0;
        }
        believed
    }

    /// True if an end believes in this stream.
    pub fn believes(&mut self, at: PeerId, other: PeerId, stream: u64) -> bool {
        let end = side(at, other);
        self.pair(at, other).believed[end] == stream
    }

    /// True if there is a stream and both ends believe in it.
    pub fn is_whole(&mut self, one: PeerId, other: PeerId) -> bool {
        let pair = self.pair(one, other);
        pair.stream != 0 && pair.believed == [pair.stream; 2]
    }

    /// The stream that an end still believes in although it is gone.
    pub fn stale_belief(&mut self, at: PeerId, other: PeerId) -> Option<u64> {
        let end = side(at, other);
        let pair = self.pair(at, other);
        let believed = pair.believed[end];
        (believed != 0 && believed != pair.stream).then_some(believed)
    }

    /// A process ended: what it had sent still arrives, then the end; nothing reaches it any more.
    pub fn end_sender(&mut self, from: PeerId, to: PeerId) {
        let end = side(from, to);
        let pair = self.pair(from, to);
        pair.believed[end] = 0;
        pair.directions[1 - end].frames.clear();
        pair.directions[1 - end].held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{Delays, Frame, Network};
    use crate::random::Random;
    use bytes::Bytes;

    fn frame(number: u8) -> Frame {
        Frame::Core(Bytes::from(vec![number]))
    }

    fn network() -> (Network, Random) {
        let delays = Delays {
            low_us: 10,
            high_us: 1_000,
        };
        (Network::new(3, delays), Random::new(1))
    }

    #[test]
    fn frames_arrive_in_order() {
        let (mut network, mut random) = network();
        let (stream, _) = network.connect(1, 2, 0, &mut random);
        let mut last = 0;
        for number in 0..100 {
            let (_, at) = network.send((2, 1), frame(number), 0, &mut random).unwrap();
            assert!(at >= last);
            last = at;
        }
        for number in 0..100 {
            assert_eq!(network.deliver(2, 1, stream), Some(frame(number)));
        }
    }

    #[test]
    fn a_blocked_direction_holds_frames_until_it_is_freed() {
        let (mut network, mut random) = network();
        let (stream, _) = network.connect(1, 2, 0, &mut random);
        network.set_blocked(1, 2, true);
        network.send((1, 2), frame(1), 0, &mut random);
        network.send((2, 1), frame(2), 0, &mut random);
        assert_eq!(network.deliver(1, 2, stream), None);
        assert_eq!(network.deliver(2, 1, stream), Some(frame(2)));
        assert_eq!(network.set_blocked(1, 2, false), 1);
        assert_eq!(network.deliver(1, 2, stream), Some(frame(1)));
    }

    #[test]
    fn a_torn_stream_loses_what_was_in_flight_and_its_ends_learn_it_apart() {
        let (mut network, mut random) = network();
        let (stream, _) = network.connect(1, 2, 0, &mut random);
        network.send((1, 2), frame(1), 0, &mut random);
        assert_eq!(network.tear(1, 2), Some(stream));
        assert_eq!(network.deliver(1, 2, stream), None);
        assert!(network.notice(1, 2, stream));
        assert!(!network.notice(1, 2, stream), "once only");
        assert_eq!(network.stale_belief(2, 1), Some(stream));
        assert_eq!(network.send((2, 1), frame(2), 0, &mut random), None);
        let (next, _) = network.connect(1, 2, 5, &mut random);
        assert_ne!(next, stream);
        assert!(
            !network.notice(2, 1, stream),
            "a late notice about the old stream means nothing"
        );
    }
}
