//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! Commands are typed and encoded when they are queued, so EXEC gives one op to the core without
//! touching them again. Commands that are not the core's keep their place in the block: they run here
//! when its result is known, and their replies are spliced in. That may take several turns, with other clients in
//! between: what the core executes is atomic, what the session answers is not.
//!
//! Invariants: what cannot be queued spoils the block; a block whose local items may change the session
//! holds back the connection's next requests until it is answered.

use bytes::Bytes;
use repligo_core::command;
use repligo_core::contract::{Body, ReadLevel, Served};
use repligo_core::op::{TransactionBuffer, Watched};
use repligo_proto::command::{CommandId, Spec, flag};
use repligo_proto::reply::ReplyWriter;
use repligo_proto::resp::{ArgSlice, OwnedRequest};
use repligo_proto::words;

use super::block::{LocalItem, PLACEHOLDER, Running, all_placeholders, begin_block};
use super::{Flow, Local, data, handshake};
use crate::net::connection::Connection;
use crate::node::block_words;
use crate::node::worker::Worker;
use crate::session::order::Kind;
use crate::session::replies::Shape;
use crate::telemetry::tracked::LOCAL_ITEM;

/// Bytes of queued commands per connection.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// MULTI and WATCH of one connection.
#[derive(Debug, Default)]
pub struct Multi {
    open: bool,
    spoilt: bool,
    buffer: TransactionBuffer,
    /// Position in the block, ascending.
    locals: Vec<(usize, LocalItem)>,
    /// The command of each item; [`LOCAL_ITEM`] for those of `locals`, which are counted when they run.
    items: Vec<u16>,
    /// What a SELECT in the block has chosen.
    database: Option<u8>,
    local_bytes: usize,
    /// Keys of a WATCH whose versions are not known yet.
    asked: Vec<(u8, Box<[u8]>)>,
    /// The given-in block's local items, until its result is known.
    pub(super) running: Option<Running>,
}

impl Multi {
    /// A block that was given in.
    pub(super) fn running(running: Running) -> Self {
        Self {
            running: Some(running),
            ..Self::default()
        }
    }

    /// Between MULTI and EXEC.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Queued commands, for CLIENT LIST.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// True if nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The core has answered, and local items are to be run.
    pub fn is_ready(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_answered)
    }

    /// A command could not be queued: EXEC will refuse.
    pub fn spoil(&mut self) {
        self.spoilt |= self.open;
    }

    /// What the queued commands take.
    pub fn bytes(&self) -> usize {
        self.buffer.bytes() + self.local_bytes
    }

    fn is_used(&self) -> bool {
        self.open || self.buffer.is_watching() || !self.asked.is_empty() || self.running.is_some()
    }
}

/// Commands that are executed between MULTI and EXEC instead of being queued.
pub(super) fn runs_inside(id: CommandId) -> bool {
    use CommandId as Id;
    matches!(
        id,
        Id::Exec | Id::Discard | Id::Multi | Id::Watch | Id::Quit | Id::Reset
    )
}

/// Queues one command and answers QUEUED.
pub(super) fn queue(
    connection: &mut Connection,
    worker: &mut Worker,
    spec: &'static Spec,
    request: ArgSlice<'_>,
) -> Flow {
    // As in Redis whatever it is: a queue takes memory, too.
    if worker.refuses_growth() {
        return super::reject(connection, worker, Some(spec), words::OUT_OF_MEMORY.as_bytes());
    }
    let database = connection.session.database;
    let Some(multi) = &mut connection.session.multi else {
        return Flow::Done;
    };
    let bytes = multi.bytes() + request.total_bytes();
    if bytes > QUEUED_BYTES_MAX {
        let text =
            format!("ERR a transaction may hold at most {QUEUED_BYTES_MAX} bytes; send several smaller ones");
        return super::reject(connection, worker, Some(spec), text.as_bytes());
    }
    let database = multi.database.unwrap_or(database);
    let item = if spec.flags & (flag::WRITE | flag::READONLY) == 0 {
        if spec.id == CommandId::Select
            && let Ok(chosen) = handshake::parse_database(request.get(1))
        {
            multi.database = Some(chosen);
        }
        Some(LocalItem::Request(spec, OwnedRequest::from(request)))
    } else {
        match command::parse(spec, database, request) {
            Ok(command) => {
                multi.buffer.push(&command);
                None
            }
            Err(error) => Some(LocalItem::Refused(spec, error.as_bytes().to_vec())),
        }
    };
    multi.items.push(match item {
        Some(_) => LOCAL_ITEM,
        None => spec.id.number(),
    });
    if let Some(item) = item {
        multi.local_bytes += request.total_bytes() + size_of::<LocalItem>();
        multi.locals.push((multi.buffer.len(), item));
        multi.buffer.push_local();
    }
    if !connection.session.is_silent() {
        connection.replies.push(b"+QUEUED\r\n", &mut worker.pool);
    }
    Flow::Done
}

/// MULTI.
pub(super) fn multi(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let multi = local.session().multi.get_or_insert_default();
    let nested = std::mem::replace(&mut multi.open, true);
    let mut reply = local.reply(out);
    if nested {
        reply.error(words::NESTED_MULTI)
    } else {
        reply.ok()
    }
}

/// DISCARD.
pub(super) fn discard(local: &mut Local<'_>, out: &mut Vec<u8>) {
    let queueing = local.session().is_queueing();
    if queueing {
        local.session().multi = None;
        local.reply(out).ok();
    } else {
        local.reply(out).error(words::DISCARD_WITHOUT_MULTI);
    }
}

/// UNWATCH.
pub(super) fn unwatch(local: &mut Local<'_>, out: &mut Vec<u8>) {
    if let Some(multi) = &mut local.session().multi {
        multi.buffer.unwatch();
        if !multi.is_used() {
            local.session().multi = None;
        }
    }
    local.reply(out).ok();
}

/// WATCH key…: asks for the versions that the keys have now.
pub(super) fn watch(local: &mut Local<'_>, request: ArgSlice<'_>, out: &mut Vec<u8>) -> Flow {
    if local.session().is_queueing() {
        local.reply(out).error(words::WATCH_INSIDE_MULTI);
        return Flow::Done;
    }
    if let Some(refusal) = local.worker.refusal() {
        let refusal = refusal.to_owned();
        local.reply(out).error(&refusal);
        return Flow::Done;
    }
    // The versions must be those after this connection's earlier writes.
    if local.connection.replies.waiting() > 0 {
        return Flow::Wait;
    }
    let bytes = local.connection.request_bytes;
    if !data::admits(local.connection, local.worker, bytes) {
        return Flow::Pause;
    }
    let database = local.session().database;
    let asked = request
        .skip(1)
        .iter()
        .map(|key| (database, Box::from(key)))
        .collect();
    local.session().multi.get_or_insert_default().asked = asked;
    let command = match command::parse(local.spec, database, request) {
        Ok(command) => command,
        Err(error) => {
            local.reply(out).error_bytes(error.as_bytes());
            return Flow::Done;
        }
    };
    let mut versions = Vec::new();
    let (connection, worker, now) = (&mut *local.connection, &mut *local.worker, local.now);
    // Always linearizable: a version from the past would let a change pass unseen.
    match worker.read(now, &command, ReadLevel::Linearizable, false, &mut versions) {
        Served::Done => {
            let result = take_versions(connection, &versions);
            render_watched(connection, result, &versions, out);
        }
        Served::NotYet => {
            let how = (local.spec, Shape::Watch);
            let ticket = data::give_in(connection, worker, now, how, Body::Command(&command));
            worker.track(ticket, connection, (local.spec, request));
            return Flow::Given;
        }
    }
    Flow::Done
}

/// The core has answered a WATCH.
pub(super) fn finish_watch(connection: &mut Connection, worker: &mut Worker, sequence: u32, reply: &[u8]) {
    let mut out = Vec::new();
    let result = take_versions(connection, reply);
    render_watched(connection, result, reply, &mut out);
    if connection.session.is_silent() {
        out.clear();
    }
    connection.replies.answer(sequence, &out, &mut worker.pool);
}

/// Remembers the versions that the core has read for the asked keys; fails if it answered an error.
fn take_versions(connection: &mut Connection, versions: &[u8]) -> Result<(), ()> {
    let Some(multi) = &mut connection.session.multi else {
        return Ok(());
    };
    let asked = std::mem::take(&mut multi.asked);
    let (versions, rest) = versions.as_chunks::<8>();
    if versions.len() != asked.len() || !rest.is_empty() {
        return Err(());
    }
    for ((db, key), version) in asked.iter().zip(versions) {
        multi.buffer.watch(Watched {
            db: *db,
            key,
            version: u64::from_le_bytes(*version),
        });
    }
    Ok(())
}

fn render_watched(connection: &Connection, result: Result<(), ()>, answer: &[u8], out: &mut Vec<u8>) {
    match result {
        Ok(()) => ReplyWriter::new(out, connection.session.resp3).ok(),
        // Not versions, so it is the error for the client.
        Err(()) => out.extend_from_slice(answer),
    }
}

/// EXEC.
pub(super) fn exec(local: &mut Local<'_>, out: &mut Vec<u8>) -> Flow {
    if !local.session().is_queueing() {
        local.reply(out).error(words::EXEC_WITHOUT_MULTI);
        return Flow::Done;
    }
    let connection = &mut *local.connection;
    let Some(multi) = &connection.session.multi else {
        return Flow::Done;
    };
    let has_locals = !multi.locals.is_empty();
    let all_local = multi.locals.len() == multi.buffer.len() && !multi.buffer.is_watching();
    if multi.spoilt {
        connection.session.multi = None;
        local.reply(out).error(words::EXEC_ABORT);
        return Flow::Done;
    }
    if has_locals && !all_local && connection.replies.waiting() > 0 {
        // Its local items run when the result is known; nothing may run between.
        return Flow::Wait;
    }
    let turn = local.worker.turn.number();
    if !all_local && connection.unanswered().admits(Kind::Write, turn).is_none() {
        return Flow::Wait;
    }
    if let Some(refusal) = local.worker.refusal()
        && !all_local
    {
        let refusal = refusal.to_owned();
        local.connection.session.multi = None;
        local.reply(out).error(&refusal);
        return Flow::Done;
    }
    let bytes = connection.session.multi.as_ref().map_or(0, |multi| multi.bytes());
    if !all_local && !data::admits(connection, local.worker, bytes) {
        return Flow::Pause;
    }
    let Some(mut multi) = connection.session.multi.take() else {
        return Flow::Done;
    };
    let locals = std::mem::take(&mut multi.locals);
    let silent = connection.session.is_silent();
    if all_local {
        let sequence = connection
            .replies
            .expect(Shape::Transaction, CommandId::Exec.number(), bytes);
        let mut running = Running::new(sequence, silent, locals);
        running.set_answer(all_placeholders(multi.items.len()), Some(block_words(connection)));
        return begin_block(local, running);
    }
    let shape = match (has_locals, silent) {
        (true, _) => Shape::Transaction,
        (false, true) => Shape::Silent,
        (false, false) => Shape::Plain,
    };
    let body = Body::Transaction {
        transaction: &multi.buffer.transaction(),
        locals: &vec![Bytes::from_static(PLACEHOLDER); locals.len()],
    };
    let ticket = data::give_in(connection, local.worker, local.now, (local.spec, shape), body);
    local.worker.track_block(ticket, connection, multi.items);
    if has_locals {
        connection.session.multi = Some(Box::new(Multi::running(Running::new(
            ticket as u32,
            silent,
            locals,
        ))));
        connection.hold_back();
    }
    Flow::Given
}
