//! Streams between nodes: messages travel in order and at once, except where the script holds them, a
//! receiver is frozen, or a stream is cut.
//!
//! Held is what a partition looks like at first: nobody knows. Cut is what it looks like when the
//! streams have broken: both ends know, and what was in flight is lost.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use repligo_core::contract::PeerId;

/// A message on its way.
#[derive(Clone, Debug)]
pub struct InFlight {
    /// Sender.
    pub from: PeerId,
    /// Receiver.
    pub to: PeerId,
    /// As the core gave it out.
    pub message: Bytes,
}

/// All streams.
#[derive(Debug, Default)]
pub struct Network {
    in_flight: VecDeque<InFlight>,
    held: BTreeSet<(PeerId, PeerId)>,
    cut: BTreeSet<(PeerId, PeerId)>,
}

fn pair(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    (a.min(b), a.max(b))
}

impl Network {
    /// Takes a message in; gives it back if there is no stream.
    pub fn send(&mut self, message: InFlight, receiver_runs: bool) -> Option<InFlight> {
        if !receiver_runs || self.is_cut(message.from, message.to) {
            return Some(message);
        }
        self.in_flight.push_back(message);
        None
    }

    /// The next message that arrives; `receives` tells which nodes read.
    pub fn next(&mut self, receives: impl Fn(PeerId) -> bool) -> Option<InFlight> {
        let arrives =
            |flying: &InFlight| receives(flying.to) && !self.held.contains(&(flying.from, flying.to));
        let position = self.in_flight.iter().position(arrives)?;
        self.in_flight.remove(position)
    }

    /// Messages from `from` to `to` wait from here on.
    pub fn hold(&mut self, from: PeerId, to: PeerId) {
        self.held.insert((from, to));
    }

    /// They arrive again.
    pub fn release(&mut self, from: PeerId, to: PeerId) {
        self.held.remove(&(from, to));
    }

    /// True if there is no stream between these two.
    pub fn is_cut(&self, a: PeerId, b: PeerId) -> bool {
        self.cut.contains(&pair(a, b))
    }

    /// Breaks the streams between two nodes, and keeps them from being built anew. Gives back what was
    /// in flight.
    pub fn cut(&mut self, a: PeerId, b: PeerId) -> Vec<InFlight> {
        self.cut.insert(pair(a, b));
        self.drop_between(a, b)
    }

    /// Streams can be built again.
    pub fn mend(&mut self, a: PeerId, b: PeerId) {
        self.cut.remove(&pair(a, b));
    }

    /// Forgets what is in flight between two nodes, and gives it back.
    pub fn drop_between(&mut self, a: PeerId, b: PeerId) -> Vec<InFlight> {
        let between = |flying: &InFlight| pair(flying.from, flying.to) == pair(a, b);
        let (lost, kept) = self.in_flight.drain(..).partition(between);
        self.in_flight = kept;
        lost.into()
    }
}
