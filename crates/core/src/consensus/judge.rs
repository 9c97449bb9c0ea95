//! Whether a message of a peer can be one that a correct peer sends.
//!
//! The library believes what it is told: a commit index beyond the log, a term near the end of its range or a
//! conflict with what is committed ends the process, and a term is on the disk before anybody looks at it. So every
//! number is judged here before the library sees it. What is refused has changed nothing. This is no authentication:
//! what a correct peer could have said is believed.

use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::Consensus;
use crate::contract::{PeerId, Role};
use crate::entry::{self, EntryReader};
use crate::limits::{CONTEXT_BYTES_MAX, POSITION_MAX, TERM_LEAP_MAX};
use crate::op::holds_bookkeeping;

/// What no correct peer says; for the log.
pub type Implausible = &'static str;

/// Entries of one message that a node with a full disk looks at; a leader that keeps time makes few.
const CONFINED_ENTRIES_MAX: usize = 256;

/// Whether a message brings more than what keeps the cluster going: changes of members, the empty entry of a new leader,
/// and time.
pub(super) fn is_too_much(message: &Message) -> bool {
    if message.get_msg_type() != MessageType::MsgAppend {
        return message.get_msg_type() == MessageType::MsgSnapshot;
    }
    let is_small = |entry: &Entry| {
        if entry.get_entry_type() != EntryType::EntryNormal || entry.data.is_empty() {
            return true;
        }
        let Ok(mut reader) = EntryReader::new(entry.data.clone()) else {
            return false;
        };
        while let Ok(Some(batch)) = reader.next_batch() {
            if !holds_bookkeeping(&batch.ops) {
                return false;
            }
        }
        true
    };
    message.entries.len() > CONFINED_ENTRIES_MAX || !message.entries.iter().all(is_small)
}

fn ensure(holds: bool, reason: Implausible) -> Result<(), Implausible> {
    if holds { Ok(()) } else { Err(reason) }
}

impl Consensus {
    /// Judges a message; `latest_ms` is the highest time stamp that its entries may have.
    pub(super) fn judge(&self, message: &Message, latest_ms: u64) -> Result<(), Implausible> {
        let kind = message.get_msg_type();
        self.judge_numbers(message)?;
        let has_entries = kind == MessageType::MsgAppend;
        ensure(
            has_entries || message.entries.is_empty(),
            "entries in a message that carries none",
        )?;
        if message.term < self.term() {
            // It is answered with the present term, and nothing of it is used.
            return Ok(());
        }
        match kind {
            MessageType::MsgAppend => {
                self.judge_leader(message)?;
                self.judge_append(message, latest_ms)
            }
            MessageType::MsgHeartbeat => {
                self.judge_leader(message)?;
                let reason = "a commit index beyond this log";
                ensure(message.commit <= self.last_index(), reason)
            }
            MessageType::MsgSnapshot => {
                self.judge_leader(message)?;
                self.judge_snapshot(message)
            }
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
                self.judge_response(message)
            }
            MessageType::MsgTransferLeader | MessageType::MsgReadIndex => {
                Err("a request that nodes do not send to each other")
            }
            _ => Ok(()),
        }
    }

    /// What holds for every message.
    fn judge_numbers(&self, message: &Message) -> Result<(), Implausible> {
        ensure(message.term > 0, "a message without a term")?;
        ensure(
            message.term <= POSITION_MAX && message.term - self.term().min(message.term) <= TERM_LEAP_MAX,
            "a term far beyond the present one",
        )?;
        ensure(
            message.log_term <= message.term,
            "a log that is ahead of its term",
        )?;
        let indexes = [message.index, message.commit, message.reject_hint];
        ensure(
            indexes.iter().all(|index| *index <= POSITION_MAX),
            "an index beyond any log",
        )?;
        ensure(
            message.request_snapshot == 0 && message.priority == 0,
            "a field that nodes do not use",
        )?;
        ensure(
            message.context.len() <= CONTEXT_BYTES_MAX,
            "a context that is too long",
        )
    }

    /// A term has one leader.
    fn judge_leader(&self, message: &Message) -> Result<(), Implausible> {
        let (leader, from): (PeerId, PeerId) = (self.leader(), message.from);
        let is_other = message.term == self.term() && leader != 0 && leader != from;
        ensure(!is_other, "a second leader in one term")
    }

    fn judge_append(&self, message: &Message, latest_ms: u64) -> Result<(), Implausible> {
        ensure(
            (message.index == 0) == (message.log_term == 0),
            "an append behind no entry",
        )?;
        // A leader has all that is committed, and terms never fall along a log.
        let log = &self.node.raft.raft_log;
        let committed_term = log.term(log.committed).unwrap_or(0);
        ensure(
            message.index < log.committed || message.log_term >= committed_term,
            "a log without what is committed",
        )?;
        let (mut index, mut term) = (message.index, message.log_term);
        for entry in message.entries.iter() {
            ensure(entry.index == index + 1, "entries with a gap")?;
            ensure(
                (term..=message.term).contains(&entry.term) && entry.term > 0,
                "entries with falling terms",
            )?;
            match super::from_raft_kind(entry) {
                0 => entry::judge(&entry.data, latest_ms)?,
                1 => return Err("a change of the membership in a form that nodes do not use"),
                _ => ensure(
                    super::members::change_of(&entry.data).is_ok(),
                    "a change of the membership that does not decode",
                )?,
            }
            (index, term) = (entry.index, entry.term);
        }
        ensure(index <= POSITION_MAX, "an index beyond any log")
    }

    fn judge_snapshot(&self, message: &Message) -> Result<(), Implausible> {
        let metadata = message.get_snapshot().get_metadata();
        ensure(
            (1..=POSITION_MAX).contains(&metadata.index) && (1..=message.term).contains(&metadata.term),
            "a snapshot of no place in a log",
        )?;
        let conf = metadata.get_conf_state();
        let mut members = conf
            .voters
            .iter()
            .chain(&conf.learners)
            .chain(&conf.voters_outgoing);
        ensure(
            !conf.voters.is_empty() && members.any(|member| *member == self.me),
            "a snapshot of other members",
        )
    }

    /// A follower has nothing that its leader has not sent.
    fn judge_response(&self, message: &Message) -> Result<(), Implausible> {
        if self.role() != Role::Leader || message.term != self.term() {
            return Ok(());
        }
        let last = self.last_index();
        ensure(
            message.index <= last && message.commit <= last && message.reject_hint <= last,
            "a follower that is ahead of its leader",
        )
    }
}
