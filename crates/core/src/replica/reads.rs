//! Reads that could not be served on arrival: where each of them waits, and for what.
//!
//! fresh → asked (a ReadIndex round of the leader, or a request to it, is in flight) → ready (the
//! confirmed index is known, apply has to reach it) → due (apply has reached it) → executed. A loss of
//! leader or stream takes asked reads back to fresh: reads have no effect, so asking again is always right.
//!
//! Invariants: a read moves to asked only with a question that was sent after it had arrived, or, if it is bounded,
//! no longer before than its bound allows. Contexts grow, so an answer confirms its own question and all before it; a
//! question that got no answer is followed by another one and goes on to wait, since its answer may be on its way for
//! longer than anybody waits before asking again.

use std::collections::VecDeque;

use crate::acl::Actor;
use crate::contract::{PeerId, ReadLevel, Ticket, Token};
use crate::level::Bound;
use crate::limits;
use crate::shares::{Held, Part};

/// A waiting read.
#[derive(Debug)]
pub struct WaitingRead {
    /// The client's ticket; `None` for this node's own question whether its state is confirmed.
    pub ticket: Option<Ticket>,
    /// Protocol of the reply.
    pub resp3: bool,
    /// The encoded command.
    pub command: Vec<u8>,
    /// How fresh it must be.
    pub level: ReadLevel,
    /// At level session, what the state has to hold that it did not hold when the read came.
    pub after: Option<Box<After>>,
    /// When its hold began.
    pub since_us: u64,
    /// What it counts against.
    pub part: Part,
    /// By whose rights it was let through.
    pub actor: Actor,
}

/// The token that a read at level session waits for.
#[derive(Clone, Copy, Debug)]
pub struct After {
    /// It.
    pub token: Token,
    /// Term of this replica when the read came: a leader that confirms an index is of this term or a later one.
    pub term: u64,
}

impl WaitingRead {
    /// True if nothing but the entry of its token has to be applied, at this index or below.
    fn waits_for_index_up_to(&self, applied: u64) -> bool {
        let is_there = |after: &After| after.token.index <= applied;
        self.level == ReadLevel::Session(None) && self.after.as_deref().is_some_and(is_there)
    }

    fn held_bytes(&self) -> usize {
        self.command.len() + limits::REQUEST_OVERHEAD_BYTES
    }
}

/// A follower's question for a confirmed index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub peer: PeerId,
    /// Comes back with the answer.
    pub context: u64,
    /// Leader's estimate of wall time when it arrived: what was due then is to be seen as expired.
    pub arrived_ms: u64,
}

/// All waiting reads of this node, and on a leader those of its followers.
#[derive(Debug, Default)]
pub struct Reads {
    fresh: Vec<WaitingRead>,
    /// Another question is needed, whether or not there is a fresh read.
    repeat: bool,
    /// Context, when it was sent, and the reads that arrived before; none where an earlier question was repeated.
    asked: VecDeque<(u64, u64, Vec<WaitingRead>)>,
    ready: Vec<(u64, Vec<WaitingRead>)>,
    due: VecDeque<WaitingRead>,
    /// Followers' questions that are not yet part of a round.
    peers_fresh: Vec<Question>,
    peers_asked: VecDeque<(u64, Vec<Question>)>,
    held: Held,
}

impl Reads {
    /// A read arrived.
    pub fn push(&mut self, read: WaitingRead) {
        self.held.add(read.part, read.held_bytes());
        self.fresh.push(read);
    }

    /// A bounded read arrived for which the state is too old. A question that is on its way will do if it was sent no
    /// longer ago than the bound allows.
    pub fn push_bounded(&mut self, read: WaitingRead, bound: Bound, now_us: u64) {
        match self.asked.back_mut() {
            Some((_, asked_us, reads)) if now_us.saturating_sub(*asked_us) <= bound.us() => {
                self.held.add(read.part, read.held_bytes());
                reads.push(read);
            }
            _ => self.push(read),
        }
    }

    /// What all of them hold.
    #[inline]
    pub fn held(&self) -> Held {
        self.held
    }

    /// A follower asks.
    pub fn push_peer(&mut self, question: Question) {
        self.peers_fresh.push(question);
    }

    /// True if a round or a request is needed.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty() || self.repeat || !self.peers_fresh.is_empty()
    }

    /// Reads waiting anywhere.
    pub fn len(&self) -> usize {
        self.fresh.len()
            + self.asked.iter().map(|(_, _, reads)| reads.len()).sum::<usize>()
            + self.ready.iter().map(|(_, reads)| reads.len()).sum::<usize>()
            + self.due.len()
    }

    /// The lease is valid: fresh reads wait only until `index` is applied.
    pub fn confirm_fresh(&mut self, index: u64) {
        if !self.fresh.is_empty() {
            self.ready.push((index, std::mem::take(&mut self.fresh)));
        }
    }

    /// Followers' questions that are not part of a round.
    pub fn take_peers(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.peers_fresh)
    }

    /// Followers' questions that cannot be answered yet.
    pub fn put_back_peers(&mut self, peers: Vec<Question>) {
        self.peers_fresh.extend(peers);
    }

    /// The stream to a peer is gone: its questions are void. It asks again on the next one, perhaps in
    /// another life, which must not take an answer to the earlier one for its own.
    pub fn forget_peer(&mut self, peer: PeerId) {
        self.peers_fresh.retain(|question| question.peer != peer);
        for (_, questions) in &mut self.peers_asked {
            questions.retain(|question| question.peer != peer);
        }
    }

    /// Everything fresh now waits for `context`.
    pub fn asked(&mut self, context: u64, now_us: u64) {
        let repeats = std::mem::take(&mut self.repeat);
        if !self.fresh.is_empty() || repeats {
            self.asked
                .push_back((context, now_us, std::mem::take(&mut self.fresh)));
        }
        if !self.peers_fresh.is_empty() {
            self.peers_asked
                .push_back((context, std::mem::take(&mut self.peers_fresh)));
        }
    }

    /// A follower's question was answered, and all before it with it. Returns when it was asked.
    pub fn answered(&mut self, context: u64, index: u64) -> Option<u64> {
        let position = self.asked.iter().position(|(asked, _, _)| *asked == context)?;
        let mut last_us = 0;
        for (_, asked_us, reads) in self.asked.drain(..=position) {
            last_us = asked_us;
            if !reads.is_empty() {
                self.ready.push((index, reads));
            }
        }
        Some(last_us)
    }

    /// A leader's round was confirmed, and all before it with it. Returns followers' questions to answer.
    pub fn confirmed(&mut self, context: u64, index: u64) -> Vec<Question> {
        while self.asked.front().is_some_and(|(asked, _, _)| *asked <= context) {
            if let Some((_, _, reads)) = self.asked.pop_front() {
                self.ready.push((index, reads));
            }
        }
        let mut peers = Vec::new();
        while self
            .peers_asked
            .front()
            .is_some_and(|(asked, _)| *asked <= context)
        {
            peers.extend(
                self.peers_asked
                    .pop_front()
                    .into_iter()
                    .flat_map(|(_, peers)| peers),
            );
        }
        peers
    }

    /// True if some read may be executed.
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A read that waits for nothing but an index.
    pub fn push_ready(&mut self, index: u64, read: WaitingRead) {
        self.held.add(read.part, read.held_bytes());
        self.ready.push((index, vec![read]));
    }

    /// Reads whose index is applied are due.
    #[inline]
    pub fn sort_out(&mut self, applied: u64) {
        if !self.ready.is_empty() {
            for (_, reads) in self.ready.extract_if(.., |(index, _)| *index <= applied) {
                self.due.extend(reads);
            }
        }
    }

    /// The next read that is to be executed.
    #[inline]
    pub fn take_due(&mut self) -> Option<WaitingRead> {
        let read = self.due.pop_front()?;
        self.held.remove(read.part, read.held_bytes());
        Some(read)
    }

    /// Session reads whose token is reached are due, whether a leader has answered or not.
    pub fn sort_out_sessions(&mut self, applied: u64) {
        let is_due = |read: &mut WaitingRead| read.waits_for_index_up_to(applied);
        self.due.extend(self.fresh.extract_if(.., is_due));
        for (_, _, reads) in &mut self.asked {
            self.due.extend(reads.extract_if(.., is_due));
        }
    }

    /// Takes the read of a client out, wherever it waits.
    pub fn take(&mut self, ticket: Ticket) -> Option<WaitingRead> {
        let is_it = |read: &mut WaitingRead| read.ticket == Some(ticket);
        let mut taken = self.fresh.extract_if(.., is_it).next();
        for (_, _, reads) in &mut self.asked {
            taken = taken.or_else(|| reads.extract_if(.., is_it).next());
        }
        for (_, reads) in &mut self.ready {
            taken = taken.or_else(|| reads.extract_if(.., is_it).next());
        }
        if let Some(at) = self.due.iter().position(|read| read.ticket == Some(ticket)) {
            taken = taken.or_else(|| self.due.remove(at));
        }
        if let Some(read) = &taken {
            self.held.remove(read.part, read.held_bytes());
        }
        taken
    }

    /// The leader or the stream to it is gone: ask again. Followers ask for themselves.
    pub fn ask_again(&mut self) {
        for (_, _, reads) in self.asked.drain(..) {
            self.fresh.extend(reads);
        }
        self.repeat = false;
        self.peers_asked.clear();
        self.peers_fresh.clear();
    }

    /// Nothing was asked since `before_us`, and reads wait for an answer: what carried it may be lost.
    pub fn ask_stale_again(&mut self, before_us: u64) {
        let asked_lately = self
            .asked
            .back()
            .is_some_and(|(_, asked_us, _)| *asked_us >= before_us);
        self.repeat = !asked_lately && self.asked.iter().any(|(_, _, reads)| !reads.is_empty());
    }

    /// Takes out every read that arrived at or before `since_us`, wherever it waits.
    pub fn take_overdue(&mut self, since_us: u64) -> Vec<WaitingRead> {
        let mut overdue: Vec<WaitingRead> = self
            .fresh
            .extract_if(.., |read| read.since_us <= since_us)
            .collect();
        for (_, _, reads) in &mut self.asked {
            overdue.extend(reads.extract_if(.., |read| read.since_us <= since_us));
        }
        for (_, reads) in &mut self.ready {
            overdue.extend(reads.extract_if(.., |read| read.since_us <= since_us));
        }
        if self.asked.iter().all(|(_, _, reads)| reads.is_empty()) {
            // Nobody waits for an answer any more.
            self.asked.clear();
        }
        for read in &overdue {
            self.held.remove(read.part, read.held_bytes());
        }
        // What is due is executed in these turns, and is answered better with what it asks for.
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ticket: Ticket) -> WaitingRead {
        WaitingRead {
            ticket: Some(ticket),
            resp3: false,
            command: Vec::new(),
            level: ReadLevel::Linearizable,
            after: None,
            since_us: ticket,
            part: Part::Common,
            actor: Actor::default(),
        }
    }

    #[test]
    fn reads_wait_for_their_own_context_and_index() {
        let mut reads = Reads::default();
        reads.push(read(1));
        reads.asked(10, 0);
        reads.push(read(2));
        reads.asked(11, 0);
        assert_eq!(reads.answered(10, 7), Some(0));
        reads.sort_out(6);
        assert!(!reads.has_due());
        reads.sort_out(7);
        assert_eq!(reads.take_due().map(|read| read.since_us), Some(1));
        assert!(!reads.has_due());
        assert_eq!(reads.len(), 1);
        reads.ask_again();
        assert!(reads.has_fresh());
    }

    #[test]
    fn a_bounded_read_waits_with_a_question_that_was_sent_lately_enough() {
        let bound = Bound::of_ms(1).expect("a bound");
        let mut reads = Reads::default();
        reads.push_bounded(read(1), bound, 500);
        assert!(reads.has_fresh(), "nothing was asked");
        reads.asked(10, 500);
        reads.push_bounded(read(2), bound, 1_500);
        assert!(!reads.has_fresh());
        reads.push_bounded(read(3), bound, 1_501);
        assert!(reads.has_fresh());
        reads.answered(10, 7);
        reads.sort_out(7);
        let due: Vec<u64> = std::iter::from_fn(|| reads.take_due().map(|read| read.since_us)).collect();
        assert_eq!((due, reads.len()), (vec![1, 2], 1));
        assert_eq!(reads.held().total(), limits::REQUEST_OVERHEAD_BYTES);
    }

    #[test]
    fn an_answer_counts_however_late_it_is_and_confirms_all_before_it() {
        let mut reads = Reads::default();
        reads.push(read(1));
        reads.asked(10, 0);
        reads.ask_stale_again(0);
        assert!(!reads.has_fresh(), "it was asked no longer ago");
        reads.ask_stale_again(1);
        assert!(reads.has_fresh());
        reads.push(read(2));
        reads.asked(11, 500);
        assert!(!reads.has_fresh());
        // On a long way the first answer comes when the question was said again.
        assert_eq!(reads.answered(10, 7), Some(0));
        reads.ask_stale_again(501);
        reads.push(read(3));
        reads.asked(12, 600);
        // The second one is lost, and the third confirms what waits for it too.
        assert_eq!(reads.answered(12, 7), Some(600));
        assert_eq!(reads.answered(11, 9), None);
        reads.sort_out(7);
        let due: Vec<u64> = std::iter::from_fn(|| reads.take_due().map(|read| read.since_us)).collect();
        assert_eq!((due, reads.len()), (vec![1, 2, 3], 0));
    }

    #[test]
    fn nothing_is_asked_again_for_reads_that_were_given_up() {
        let mut reads = Reads::default();
        reads.push(read(1));
        reads.asked(10, 0);
        assert_eq!(reads.take_overdue(1).len(), 1);
        reads.ask_stale_again(1_000);
        assert!(!reads.has_fresh());
    }

    #[test]
    fn a_session_read_needs_its_index_or_the_leader() {
        let after = |ticket, index, level| WaitingRead {
            level,
            after: Some(Box::new(After {
                token: Token {
                    cluster: 1,
                    generation: 1,
                    shard: 0,
                    term: 1,
                    index,
                },
                term: 1,
            })),
            ..read(ticket)
        };
        let both = ReadLevel::Session(Bound::of_ms(5));
        let mut reads = Reads::default();
        reads.push(after(1, 7, ReadLevel::Session(None)));
        reads.push(after(2, 9, ReadLevel::Session(None)));
        reads.asked(10, 0);
        reads.push(after(3, 7, ReadLevel::Session(None)));
        reads.push(after(4, 7, both));
        reads.sort_out_sessions(6);
        assert!(!reads.has_due());
        reads.sort_out_sessions(7);
        let mut due: Vec<u64> = std::iter::from_fn(|| reads.take_due().map(|read| read.since_us)).collect();
        due.sort_unstable();
        assert_eq!(due, [1, 3], "a bounded one needs the leader's word all the same");
        reads.answered(10, 8);
        reads.sort_out(8);
        assert_eq!(reads.take_due().map(|read| read.since_us), Some(2));
        assert_eq!(reads.len(), 1);
        assert_eq!(reads.held().total(), limits::REQUEST_OVERHEAD_BYTES);
    }

    #[test]
    fn a_round_confirms_all_before_it() {
        let mut reads = Reads::default();
        reads.push(read(1));
        let question = Question {
            peer: 2,
            context: 99,
            arrived_ms: 0,
        };
        reads.push_peer(question);
        reads.asked(10, 0);
        reads.push(read(2));
        reads.asked(11, 0);
        assert_eq!(reads.confirmed(11, 5), vec![question]);
        reads.sort_out(5);
        assert!(reads.take_due().is_some() && reads.take_due().is_some());
    }

    #[test]
    fn a_question_dies_with_the_stream_that_it_came_on() {
        let mut reads = Reads::default();
        let question = |peer| Question {
            peer,
            context: 3,
            arrived_ms: 0,
        };
        reads.push_peer(question(2));
        reads.asked(10, 0);
        reads.push_peer(question(2));
        reads.push_peer(question(3));
        reads.forget_peer(2);
        assert_eq!(reads.confirmed(10, 5), Vec::new());
        assert_eq!(reads.take_peers(), vec![question(3)]);
    }

    #[test]
    fn overdue_reads_are_found_wherever_they_wait() {
        let mut reads = Reads::default();
        reads.push(read(1));
        reads.asked(10, 0);
        reads.answered(10, 100);
        reads.push(read(2));
        reads.push(read(30));
        assert_eq!(reads.take_overdue(2).len(), 2);
        assert_eq!(reads.len(), 1);
        assert_eq!(reads.held().total(), limits::REQUEST_OVERHEAD_BYTES);
    }
}
