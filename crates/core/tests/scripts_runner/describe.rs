//! The words of a trace: one short line per thing that a reader has to see.

use bytes::Bytes;
use repligo_core::codec::Reader;
use repligo_core::contract::{LogEntry, PeerId, Persist, Role};
use repligo_core::entry::{Batch, EntryReader, SYSTEM_NODE, next_op};
use repligo_core::message::Message;
use repligo_core::op::{Op, take_actor};
use repligo_core::origin::{OriginEvent, OriginOp, OriginRequest};
use repligo_proto::resp::{Value, decode_reply};
use repligo_proto::words::{self, Outcome};

/// A message, if it is worth a line: consensus is traced by what it decides, only votes can be asked for.
pub fn message(message: &Bytes, votes: bool) -> Option<String> {
    Some(
        match Message::decode(message.clone()).expect("the core's own message") {
            Message::Consensus(reader) => return votes.then(|| vote(reader)).flatten(),
            Message::Forward { batches, .. } => {
                let batches: Vec<String> = batches.iter().map(batch).collect();
                format!("forward {}", batches.join(", "))
            }
            Message::ReadIndex { .. } => "read-index?".to_owned(),
            Message::ReadIndexReply { index, .. } => format!("read-index {index}"),
            Message::SnapshotBegin { index, .. } => format!("snapshot {index}"),
            Message::SnapshotChunk { number, .. } => format!("chunk {number}"),
            Message::DiskFull { full } => format!("disk {}", if full { "full" } else { "has room" }),
            Message::SnapshotAck { .. } | Message::Clock { .. } | Message::ClockReply { .. } => return None,
            Message::Waiters { changes, .. } => format!("waiters {}", changes.len()),
            Message::WaitersReply { .. } => "waiters!".to_owned(),
            Message::Removed { .. } => "removed".to_owned(),
            Message::Load { key, .. } => format!("load {}", text(&key)),
            Message::LeaderGone { leader, .. } => format!("n{leader} is gone"),
            Message::LeaseReleased { term } => format!("no lease of term {term}"),
            Message::LoadFailed { key, .. } => format!("load of {} failed", text(&key)),
        },
    )
}

/// Votes by the first bytes of a consensus message: kind and refusal (`consensus.rs`).
fn vote(mut reader: Reader) -> Option<String> {
    let (kind, refused) = (reader.u8().ok()?, reader.u8().ok()? != 0);
    let answer = if refused { "no" } else { "yes" };
    Some(match kind {
        2 => "vote?".to_owned(),
        3 => format!("vote {answer}"),
        10 => "pre-vote?".to_owned(),
        11 => format!("pre-vote {answer}"),
        _ => return None,
    })
}

/// `n2#1 incr`: who asked, its number there, what.
fn batch(batch: &Batch) -> String {
    let mut ops = &batch.ops[..];
    let mut names = Vec::new();
    for _ in 0..batch.count {
        names.push(op(next_op(&mut ops).expect("the core's own batch")));
    }
    if batch.node == SYSTEM_NODE {
        return names.join(" ");
    }
    let life = match batch.incarnation {
        1 => String::new(),
        life => format!(".{life}"),
    };
    format!(
        "n{}{life}#{} {}",
        batch.node,
        batch.first_sequence,
        names.join(" ")
    )
}

fn op(mut bytes: &[u8]) -> String {
    take_actor(&mut bytes).expect("the core's own op");
    if bytes.first().is_some_and(|&first| OriginOp::is_first(first)) {
        return match OriginOp::decode(&mut bytes).expect("the core's own op") {
            OriginOp::Intent(intent) => {
                let keys = intent.effects.iter().map(|effect| text(effect.key));
                format!("intent {}", keys.collect::<Vec<_>>().join(" "))
            }
            OriginOp::Resolved(resolved) => format!("resolved to {}", resolved.upto),
            OriginOp::Fill(fill) => format!("fill {}", text(&fill.key)),
            OriginOp::Health(health) if health.down.is_some() => "origin-down".to_owned(),
            OriginOp::Health(_) => "origin-up".to_owned(),
            OriginOp::Invalidate(invalidate) => {
                let keys: Vec<String> = invalidate.rows.iter().map(|(_, key)| text(key)).collect();
                format!("invalidate {}", keys.join(","))
            }
            OriginOp::Raise(raise) => format!("raise to generation {}", raise.generation),
        };
    }
    match Op::decode(&mut bytes).expect("the core's own op") {
        Op::Command(command) => command.name().to_ascii_uppercase(),
        Op::Transaction(_) => "MULTI".to_owned(),
        Op::Time => "time".to_owned(),
        Op::Evict(victims) => {
            let keys = victims.iter().map(|victim| text(victim.key));
            format!("evict {}", keys.collect::<Vec<_>>().join(" "))
        }
        Op::MemoryFull => "memory-full".to_owned(),
        Op::HashSeed(_) => "hash-seed".to_owned(),
        Op::Users(_) => "users".to_owned(),
        Op::Serve(serve) => format!("serve n{}#{}", serve.node, serve.number),
    }
}

/// What a leader proposed.
pub fn entry(entry: &LogEntry) -> String {
    if entry.data.is_empty() {
        return format!("{} no-op", entry.index);
    }
    let mut reader = EntryReader::new(entry.data.clone()).expect("the core's own entry");
    let mut batches = Vec::new();
    while let Some(next) = reader.next_batch().expect("the core's own entry") {
        batches.push(batch(&next));
    }
    format!("{} {}", entry.index, batches.join(", "))
}

/// What became durable.
pub fn persist(persist: &Persist) -> String {
    let mut parts = Vec::new();
    if let Some(state) = persist.hard_state.filter(|_| persist.must_sync) {
        match state.vote {
            0 => parts.push(format!("term {}", state.term)),
            vote => parts.push(format!("vote for n{vote} in term {}", state.term)),
        }
    }
    match &persist.entries[..] {
        [] => {}
        [one] => parts.push(format!("entry {}", one.index)),
        [first, .., last] => parts.push(format!("entries {}..{}", first.index, last.index)),
    }
    parts.join(" and ")
}

/// A change of role. A candidate that did not raise its term only asks whether it could win.
pub fn role(role: Role, (before, term): (u64, u64), leader: PeerId) -> String {
    match role {
        Role::Leader => format!("leads term {term}"),
        Role::Candidate if term == before => format!("would like to lead term {}", term + 1),
        Role::Candidate => format!("asks for votes in term {term}"),
        Role::Follower if leader == 0 => format!("has no leader in term {term}"),
        Role::Follower => format!("follows n{leader} in term {term}"),
    }
}

/// A reply as a client's tool would show it; of an error the code and what it says of the outcome.
pub fn reply(bytes: &[u8]) -> String {
    let (value, length) = decode_reply(bytes)
        .expect("the core writes well-formed replies")
        .expect("the core writes whole replies");
    assert_eq!(length, bytes.len(), "one reply and nothing else");
    show(&value)
}

fn show(value: &Value) -> String {
    match value {
        Value::Simple(line) => format!("+{line}"),
        Value::Integer(number) => format!(":{number}"),
        Value::Bulk(bytes) => format!("\"{}\"", text(bytes)),
        Value::Null | Value::NullArray => "nil".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Error(error) => {
            let outcome = match words::outcome(error.as_bytes()) {
                Outcome::NotApplied => "not applied",
                Outcome::Applied => "applied",
                Outcome::Unknown => "outcome unknown",
            };
            format!("-{} ({outcome})", text(words::code(error.as_bytes())))
        }
        other => format!("{other:?}"),
    }
}

/// A call for the origin.
pub fn origin_request(request: &OriginRequest) -> String {
    match request {
        OriginRequest::Takeover(takeover) => format!("take over with term {}", takeover.fence.term),
        OriginRequest::Load(load) => format!("load {}", text(&load.key)),
        OriginRequest::Flush(flush) => {
            let effects = flush.intents.iter().flat_map(|intent| &intent.effects);
            let rows: Vec<String> = effects
                .map(|effect| match &effect.value {
                    Some(value) => format!("{}={}", text(&effect.key), text(value)),
                    None => format!("{} deleted", text(&effect.key)),
                })
                .collect();
            let upto = flush.from + flush.intents.len() as u64;
            format!(
                "flush {}..{upto} with term {} ({})",
                flush.from + 1,
                flush.fence.term,
                rows.join(" ")
            )
        }
    }
}

/// What the origin did.
pub fn origin_event(event: &OriginEvent) -> String {
    let error = match event {
        OriginEvent::TakenOver {
            result: Ok(taken), ..
        } => return format!("stands at {}", taken.applied),
        OriginEvent::Loaded { result: Ok(None), .. } => return "no row".to_owned(),
        OriginEvent::Loaded {
            result: Ok(Some(value)),
            ..
        } => return text(value),
        OriginEvent::Flushed {
            result: Ok(flushed), ..
        } => {
            let rejects = flushed.rejects.iter();
            let rejects: String = rejects.map(|(number, _)| format!(", refuses {number}")).collect();
            let held = if flushed.held { ", holds the next" } else { "" };
            return format!("decided to {}{rejects}{held}", flushed.upto);
        }
        OriginEvent::TakenOver {
            result: Err(error), ..
        }
        | OriginEvent::Loaded {
            result: Err(error), ..
        }
        | OriginEvent::Flushed {
            result: Err(error), ..
        } => error,
    };
    format!("{error:?}")
}

/// Bytes as text, cut where they get long.
pub fn text(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 24;
    let text = String::from_utf8_lossy(bytes);
    if text.len() > SHOWN_MAX {
        format!(
            "{}... {} bytes",
            text.chars().take(4).collect::<String>(),
            bytes.len()
        )
    } else {
        text.into_owned()
    }
}
