//! The bytes of the consensus library's messages: its protobuf parser (RUSTSEC-2024-0437) is never called.
//!
//! Who sends a message and to whom is not in it, since the frame around it and the link say so. So what a
//! leader sends to several followers at once is the same, and is encoded once.
//!
//! Every number that claims a length is checked against the bytes that are there.

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot, SnapshotMetadata};

use crate::codec::{Malformed, Reader, put_bytes, put_varint};
use crate::contract::{LogEntry, PeerId};
use crate::limits;
use crate::membership::Membership;

/// Message types by their number on the wire; the position is the number.
const MESSAGE_TYPES: [MessageType; 12] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// What tells two appends of one leader apart: in one term its log only grows, so the same place and number of
/// entries are the same entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Appended {
    term: u64,
    /// Place of the entry before the first one.
    index: u64,
    entries: usize,
    commit: u64,
    commit_term: u64,
}

impl Appended {
    fn of(message: &Message) -> Option<Self> {
        let is_append = message.get_msg_type() == MessageType::MsgAppend && !message.entries.is_empty();
        is_append.then(|| Self {
            term: message.term,
            index: message.index,
            entries: message.entries.len(),
            commit: message.commit,
            commit_term: message.commit_term,
        })
    }
}

/// Encodes messages, and remembers the last append for the other followers.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    last: Option<(Appended, Bytes)>,
}

impl Encoder {
    /// The message with its tag.
    pub(super) fn encode(&mut self, message: &Message) -> Bytes {
        let appended = Appended::of(message);
        if let (Some(appended), Some((last, bytes))) = (appended, &self.last)
            && appended == *last
        {
            return bytes.clone();
        }
        let mut bytes = vec![crate::message::TAG_CONSENSUS];
        encode_message(message, &mut bytes);
        let bytes = Bytes::from(bytes);
        if let Some(appended) = appended {
            self.last = Some((appended, bytes.clone()));
        }
        bytes
    }

    /// Nobody else gets what was sent last; its memory is free once it has left.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }
}

/// What a consensus message says of the snapshot that it carries.
#[derive(Debug)]
pub struct SnapshotPlace {
    /// Its last entry.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    conf: ConfState,
}

impl SnapshotPlace {
    /// Whether this is the membership that votes with it.
    pub fn is_of(&self, membership: &Membership) -> bool {
        self.conf == super::members::conf_state(membership)
    }
}

/// What an encoded consensus message says of a snapshot, if it carries one.
pub fn snapshot_of(message: Reader) -> Option<SnapshotPlace> {
    let message = decode_message(1, 1, message).ok()?;
    let metadata = message.get_snapshot().get_metadata();
    let is_snapshot = message.get_msg_type() == MessageType::MsgSnapshot;
    is_snapshot.then(|| SnapshotPlace {
        index: metadata.index,
        term: metadata.term,
        conf: metadata.get_conf_state().clone(),
    })
}

pub(super) fn to_raft_entry(entry: &LogEntry) -> Entry {
    let mut theirs = Entry {
        index: entry.index,
        term: entry.term,
        data: entry.data.clone(),
        ..Default::default()
    };
    theirs.set_entry_type(match entry.kind {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        _ => EntryType::EntryConfChangeV2,
    });
    theirs
}

pub(super) fn from_raft_entry(entry: Entry) -> LogEntry {
    let kind = match entry.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    };
    LogEntry {
        index: entry.index,
        term: entry.term,
        kind,
        data: entry.data,
    }
}

fn encode_message(message: &Message, out: &mut Vec<u8>) {
    let kind = MESSAGE_TYPES
        .iter()
        .position(|&known| known == message.get_msg_type());
    let kind = kind.expect("the library sends only peer messages");
    out.reserve(
        64 + message
            .entries
            .iter()
            .map(|entry| entry.data.len() + 24)
            .sum::<usize>(),
    );
    out.push(kind as u8);
    out.push(u8::from(message.reject));
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
        message.priority as u64,
    ];
    numbers.into_iter().for_each(|number| put_varint(out, number));
    put_bytes(out, &message.context);
    let metadata = message.get_snapshot().get_metadata();
    put_varint(out, metadata.index);
    put_varint(out, metadata.term);
    let conf = metadata.get_conf_state();
    for numbers in [&conf.voters, &conf.learners, &conf.voters_outgoing] {
        put_varint(out, numbers.len() as u64);
        numbers.iter().for_each(|&number| put_varint(out, number));
    }
    put_varint(out, message.entries.len() as u64);
    for entry in message.entries.iter() {
        out.push(from_raft_kind(entry));
        put_varint(out, entry.index);
        put_varint(out, entry.term);
        put_bytes(out, &entry.data);
    }
}

pub(super) fn from_raft_kind(entry: &Entry) -> u8 {
    match entry.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    }
}

/// A message that [`Encoder::encode`] made, without its tag.
///
/// # Errors
/// If the bytes are none.
pub(super) fn decode_message(from: PeerId, to: PeerId, mut reader: Reader) -> Result<Message, Malformed> {
    let kind = *MESSAGE_TYPES.get(usize::from(reader.u8()?)).ok_or(Malformed)?;
    let mut message = Message {
        from,
        to,
        reject: reader.u8()? != 0,
        ..Default::default()
    };
    message.set_msg_type(kind);
    message.term = reader.varint()?;
    message.log_term = reader.varint()?;
    message.index = reader.varint()?;
    message.commit = reader.varint()?;
    message.commit_term = reader.varint()?;
    message.reject_hint = reader.varint()?;
    message.request_snapshot = reader.varint()?;
    message.priority = reader.varint()? as i64;
    message.context = reader.bytes()?;
    let mut metadata = SnapshotMetadata {
        index: reader.varint()?,
        term: reader.varint()?,
        ..Default::default()
    };
    let conf = decode_conf(&mut reader)?;
    if metadata.index > 0 {
        metadata.set_conf_state(conf);
        let mut snapshot = Snapshot::default();
        snapshot.set_metadata(metadata);
        message.set_snapshot(snapshot);
    }
    let entry_count = reader.varint()?;
    let mut entries = Vec::new();
    for _ in 0..entry_count {
        let kind = reader.u8()?;
        let (index, term) = (reader.varint()?, reader.varint()?);
        entries.push(to_raft_entry(&LogEntry {
            index,
            term,
            kind,
            data: reader.bytes()?,
        }));
    }
    message.set_entries(entries.into());
    if reader.is_empty() {
        Ok(message)
    } else {
        Err(Malformed)
    }
}

/// What votes at a snapshot; a joint configuration is always left by the leader itself.
fn decode_conf(reader: &mut Reader) -> Result<ConfState, Malformed> {
    let mut conf = ConfState::default();
    for numbers in [&mut conf.voters, &mut conf.learners, &mut conf.voters_outgoing] {
        let count = reader.varint()?;
        if count > limits::MEMBERS_MAX as u64 {
            return Err(Malformed);
        }
        *numbers = (0..count).map(|_| reader.varint()).collect::<Result<_, _>>()?;
    }
    conf.auto_leave = !conf.voters_outgoing.is_empty();
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(index: u64, data: &'static [u8]) -> Message {
        let mut message = Message {
            from: 1,
            term: 7,
            index,
            commit: 8,
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgAppend);
        let entry = LogEntry {
            index: index + 1,
            term: 7,
            kind: 0,
            data: Bytes::from_static(data),
        };
        message.set_entries(vec![to_raft_entry(&entry)].into());
        message
    }

    #[test]
    fn an_append_is_encoded_once_for_all_followers() {
        let mut encoder = Encoder::default();
        let first = encoder.encode(&append(9, b"payload"));
        let mut other = append(9, b"payload");
        other.to = 3;
        assert_eq!(encoder.encode(&other).as_ptr(), first.as_ptr());
        other.commit = 9;
        let later = encoder.encode(&other);
        assert_ne!(later, first);
        encoder.forget();
        let again = encoder.encode(&other);
        assert_eq!(again, later);
        assert_ne!(again.as_ptr(), later.as_ptr());
        assert_ne!(encoder.encode(&append(10, b"payload")), later);
    }

    #[test]
    fn messages_round_trip_and_every_cut_is_refused() {
        let mut message = Message {
            from: 2,
            to: 1,
            term: 7,
            index: 9,
            commit: 8,
            reject: true,
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgAppend);
        message.context = Bytes::from_static(b"context");
        let entry = LogEntry {
            index: 10,
            term: 7,
            kind: 0,
            data: Bytes::from_static(b"payload"),
        };
        message.set_entries(vec![to_raft_entry(&entry)].into());
        let mut bytes = Vec::new();
        encode_message(&message, &mut bytes);
        let decoded = decode_message(2, 1, Reader::new(Bytes::from(bytes.clone())));
        assert_eq!(decoded, Ok(message));
        for cut in 0..bytes.len() {
            let reader = Reader::new(Bytes::from(bytes[..cut].to_vec()));
            assert_eq!(decode_message(2, 1, reader), Err(Malformed), "cut at {cut}");
        }
    }
}
