//! MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! Commands are typed and encoded when they are queued, so EXEC gives one op to the core without
//! touching them again. Commands that are not the core's keep their place in the block: they run here
//! when its result is known, and their replies are spliced in. That may take several turns, with other clients in
//! between: what the core executes is atomic, what the session answers is not.
//!
//! Invariants: what cannot be queued aborts the block; a block whose local items may change the session
//! holds back the connection's next requests until it is answered.

use bytes::Bytes;
use repligo_core::acl::Actor;
use repligo_core::command;
use repligo_core::contract::{Body, ReadLevel, Served};
use repligo_core::op::{TransactionBuffer, Watched};
use repligo_proto::command::{CommandId, Spec};
use repligo_proto::resp::OwnedRequest;
use repligo_proto::words;

use crate::access::late_refusal;
use crate::block::{LocalItem, PLACEHOLDER, Running, all_placeholders, begin_block};
#[cfg(feature = "bugs")]
use crate::bugs::Bug;
use crate::data::Slot;
use crate::execute::{parse_database, reject};
use crate::order::Kind;
use crate::replies::Shape;
use crate::tracked::LOCAL_ITEM;
use crate::{Call, Flow, Host, Session, data, pubsub, token, users};

/// Bytes of queued commands per connection.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// MULTI and WATCH of one connection.
#[derive(Debug, Default)]
pub struct Multi {
    open: bool,
    aborted: bool,
    buffer: TransactionBuffer,
    /// Position in the block, ascending.
    locals: Vec<(usize, LocalItem)>,
    /// The command of each item; [`LOCAL_ITEM`] for those of `locals`, which are counted when they run.
    items: Vec<u16>,
    /// What a SELECT in the block has chosen.
    database: Option<u8>,
    local_bytes: usize,
    /// An item changes the data, or publishes.
    changes_data: bool,
    /// What was queued by a connection that is judged, to be judged again; and by which rights it was.
    judged: Vec<(&'static Spec, OwnedRequest, u8)>,
    actor: Actor,
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
    pub fn abort(&mut self) {
        self.aborted |= self.open;
    }

    /// True if a queued command changes the data, or publishes.
    pub(crate) fn changes_data(&self) -> bool {
        self.changes_data
    }

    /// What the queued commands take.
    pub fn bytes(&self) -> usize {
        self.buffer.bytes() + self.local_bytes
    }

    /// Nothing of it is the core's: no item, and no key is watched.
    fn is_all_local(&self) -> bool {
        self.locals.len() == self.buffer.len() && !self.buffer.is_watching()
    }

    /// Queues a command for the database that an earlier SELECT of the block has chosen, or else for this one.
    fn push(&mut self, call: Call<'_>, database: u8) {
        let Call { spec, request } = call;
        let database = self.database.unwrap_or(database);
        let item = if !spec.is_data() {
            if spec.id == CommandId::Select
                && let Ok(chosen) = parse_database(request.get(1))
            {
                self.database = Some(chosen);
            }
            self.changes_data |= pubsub::publishes(spec.id);
            Some(LocalItem::Request(spec, OwnedRequest::from(request)))
        } else {
            match command::parse(spec, database, request) {
                Ok(command) => {
                    self.changes_data |= command.is_write();
                    self.buffer.push(&command);
                    None
                }
                Err(error) => Some(LocalItem::Refused(spec, error.as_bytes().to_vec())),
            }
        };
        self.items.push(match item {
            Some(_) => LOCAL_ITEM,
            None => spec.id.number(),
        });
        if let Some(item) = item {
            self.local_bytes += request.total_bytes() + size_of::<LocalItem>();
            self.locals.push((self.buffer.len(), item));
            self.buffer.push_local();
        }
    }

    /// Adds an item that answers this error.
    fn push_refused(&mut self, spec: &'static Spec, text: Vec<u8>) {
        self.items.push(LOCAL_ITEM);
        self.local_bytes += text.len() + size_of::<LocalItem>();
        self.locals
            .push((self.buffer.len(), LocalItem::Refused(spec, text)));
        self.buffer.push_local();
    }

    /// Keeps the words of what was queued, to be judged again by other rights.
    fn remember(&mut self, call: Call<'_>, (database, actor): (u8, Actor)) {
        if self.judged.is_empty() {
            self.actor = actor;
        }
        let request = OwnedRequest::from(call.request);
        self.local_bytes += request.heap_bytes() + size_of::<(&Spec, OwnedRequest, u8)>();
        self.judged.push((call.spec, request, database));
    }

    /// Watches the asked keys at these versions; false if it is an error that the core answered.
    fn take_versions(&mut self, versions: &[u8]) -> bool {
        let asked = std::mem::take(&mut self.asked);
        let (versions, rest) = versions.as_chunks::<8>();
        if versions.len() != asked.len() || !rest.is_empty() {
            return false;
        }
        for ((db, key), version) in asked.iter().zip(versions) {
            self.buffer.watch(Watched {
                db: *db,
                key,
                version: u64::from_le_bytes(*version),
            });
        }
        true
    }

    fn is_used(&self) -> bool {
        self.open || self.buffer.is_watching() || !self.asked.is_empty() || self.running.is_some()
    }
}

/// Commands that are executed between MULTI and EXEC instead of being queued.
pub(crate) fn runs_inside(id: CommandId) -> bool {
    use CommandId as Id;
    matches!(
        id,
        Id::Exec | Id::Discard | Id::Multi | Id::Watch | Id::Quit | Id::Reset
    )
}

/// Queues one command and answers QUEUED.
pub(super) fn queue(session: &mut Session, host: &mut impl Host, call: Call<'_>) -> Flow {
    let Call { spec, request } = call;
    // As in Redis whatever it is: a queue takes memory, too.
    if host.refuses_growth() {
        return reject(session, host, Some(spec), words::OUT_OF_MEMORY.as_bytes());
    }
    if users::changes_users(spec.id) {
        return reject(session, host, Some(spec), users::INSIDE_BLOCK.as_bytes());
    }
    if spec.id == CommandId::RepligoSession {
        return reject(session, host, Some(spec), token::INSIDE_BLOCK.as_bytes());
    }
    let (database, actor, is_free) = (session.database, session.actor(), session.is_free());
    let Some(multi) = &mut session.multi else {
        return Flow::Done;
    };
    let bytes = multi.bytes() + request.total_bytes();
    if bytes > QUEUED_BYTES_MAX {
        let text =
            format!("ERR a transaction may hold at most {QUEUED_BYTES_MAX} bytes; send several smaller ones");
        return reject(session, host, Some(spec), text.as_bytes());
    }
    multi.push(call, database);
    if !is_free {
        multi.remember(call, (database, actor));
    }
    if !session.is_silent() {
        session.replies.push(b"+QUEUED\r\n", host.pool());
    }
    Flow::Done
}

/// MULTI.
pub(super) fn multi(session: &mut Session, out: &mut Vec<u8>) {
    let multi = session.multi.get_or_insert_default();
    let nested = std::mem::replace(&mut multi.open, true);
    let mut reply = session.reply(out);
    if nested {
        reply.error(words::NESTED_MULTI)
    } else {
        reply.ok()
    }
}

/// DISCARD.
pub(super) fn discard(session: &mut Session, out: &mut Vec<u8>) {
    if session.is_queueing() {
        session.multi = None;
        session.reply(out).ok();
    } else {
        session.reply(out).error(words::DISCARD_WITHOUT_MULTI);
    }
}

/// UNWATCH.
pub(super) fn unwatch(session: &mut Session, out: &mut Vec<u8>) {
    if let Some(multi) = &mut session.multi {
        multi.buffer.unwatch();
        if !multi.is_used() {
            session.multi = None;
        }
    }
    session.reply(out).ok();
}

/// WATCH key…
pub(super) fn watch(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) -> Flow {
    if session.is_queueing() {
        session.reply(out).error(words::WATCH_INSIDE_MULTI);
        return Flow::Done;
    }
    if let Some(refusal) = host.refusal() {
        session.reply(out).error(refusal);
        return Flow::Done;
    }
    // The versions must be those after this connection's earlier writes.
    if session.replies.waiting() > 0 && !watches_early(session) {
        return Flow::Wait;
    }
    if !data::admits(session, host, session.request_bytes) {
        return Flow::Pause;
    }
    let database = session.database;
    let keys = call.request.skip(1);
    let asked = keys.iter().map(|key| (database, Box::from(key))).collect();
    session.multi.get_or_insert_default().asked = asked;
    let command = match command::parse(call.spec, database, call.request) {
        Ok(command) => command,
        Err(error) => {
            session.reply(out).error_bytes(error.as_bytes());
            return Flow::Done;
        }
    };
    let mut versions = Vec::new();
    // Always linearizable: a version from the past would let a change pass unseen.
    match host.read(&command, ReadLevel::Linearizable, false, &mut versions) {
        Served::Done => {
            take_versions(session, &versions, out);
            Flow::Done
        }
        // Behind unanswered writes only a planted bug gets here.
        Served::NotYet if session.replies.waiting() > 0 => Flow::Wait,
        Served::NotYet => {
            let slot = Slot::of(call, Shape::Watch);
            let ticket = data::submit(session, host, slot, Body::Command(&command));
            host.submitted(ticket, session, call);
            Flow::Given
        }
    }
}

/// A planted bug: WATCH does not wait for the connection's own writes.
fn watches_early(_session: &Session) -> bool {
    #[cfg(feature = "bugs")]
    return _session.has(Bug::WatchBeforeWrites);
    #[cfg(not(feature = "bugs"))]
    false
}

/// The core has answered a WATCH.
pub(super) fn finish_watch(session: &mut Session, host: &mut impl Host, sequence: u32, reply: &[u8]) {
    let mut out = Vec::new();
    take_versions(session, reply, &mut out);
    if session.is_silent() {
        out.clear();
    }
    session.replies.answer(sequence, &out, host.pool());
}

/// Remembers the versions that the core has read for the asked keys, and renders the reply: its error, if it
/// answered one.
fn take_versions(session: &mut Session, versions: &[u8], out: &mut Vec<u8>) {
    let taken = session
        .multi
        .as_mut()
        .is_none_or(|multi| multi.take_versions(versions));
    if taken {
        session.reply(out).ok();
    } else {
        out.extend_from_slice(versions);
    }
}

/// EXEC.
pub(super) fn exec(session: &mut Session, host: &mut impl Host, call: Call<'_>, out: &mut Vec<u8>) -> Flow {
    let queueing = session.is_queueing();
    let Some(multi) = session.multi.as_ref().filter(|_| queueing) else {
        session.reply(out).error(words::EXEC_WITHOUT_MULTI);
        return Flow::Done;
    };
    if multi.aborted {
        session.multi = None;
        session.reply(out).error(words::EXEC_ABORT);
        return Flow::Done;
    }
    if !session.is_free() && !judge_again(session, host) {
        session.multi = None;
        let text = words::exec_abort_because(words::acl::RIGHTS_CHANGED.as_bytes());
        session.reply(out).error_bytes(&text);
        return Flow::Done;
    }
    let Some(multi) = session.multi.as_ref() else {
        return Flow::Done;
    };
    let (is_all_local, has_locals) = (multi.is_all_local(), !multi.locals.is_empty());
    let bytes = multi.bytes();
    if is_all_local {
        if session.replies.waiting() > 0 {
            // It may publish, and whoever hears of it must find what was written before.
            return Flow::Wait;
        }
        let Some(multi) = session.multi.take() else {
            return Flow::Done;
        };
        return exec_locally(session, host, *multi, bytes);
    }
    if has_locals && session.replies.waiting() > 0 {
        // Its local items run when the result is known; nothing may run between.
        return Flow::Wait;
    }
    if session.unanswered().admits(Kind::Write, host.turn()).is_none() {
        return Flow::Wait;
    }
    if let Some(refusal) = host.refusal() {
        session.multi = None;
        session.reply(out).error(refusal);
        return Flow::Done;
    }
    if !data::admits(session, host, bytes) {
        return Flow::Pause;
    }
    submit_block(session, host, call);
    Flow::Given
}

/// Judges a block by the rights that its connection has now, if they are others than those by which it was queued:
/// what is not allowed any more becomes an item that answers so. False if nobody remembers what was queued, because it
/// was not judged then.
fn judge_again(session: &mut Session, host: &mut impl Host) -> bool {
    let actor = session.actor();
    let Some(multi) = session.multi.as_mut().filter(|multi| multi.actor != actor) else {
        return true;
    };
    if multi.judged.len() != multi.items.len() {
        return session.is_unrestricted();
    }
    let judged = std::mem::take(&mut multi.judged);
    let before = std::mem::take(multi.as_mut());
    let mut block = Multi {
        open: true,
        actor,
        ..Multi::default()
    };
    for watched in before.buffer.transaction().watched() {
        block.buffer.watch(watched);
    }
    session.runs_item = true;
    for (spec, request, database) in &judged {
        let call = Call {
            spec,
            request: request.view(),
        };
        match session.judge(spec, call.request) {
            Ok(()) => block.push(call, *database),
            Err(denied) => {
                host.denied(session, call, denied);
                block.push_refused(spec, late_refusal(denied));
            }
        }
    }
    session.runs_item = false;
    // As much as before is kept, and nothing is queued any more that could pass the limit.
    block.local_bytes = block.local_bytes.max(before.local_bytes);
    block.judged = judged;
    session.multi = Some(Box::new(block));
    true
}

/// A block that needs nothing of the core.
fn exec_locally(session: &mut Session, host: &mut impl Host, mut multi: Multi, bytes: usize) -> Flow {
    let sequence = session
        .replies
        .expect(Shape::Transaction, CommandId::Exec.number(), bytes);
    let locals = std::mem::take(&mut multi.locals);
    let mut running = Running::new(sequence, session.is_silent(), locals);
    running.set_answer(all_placeholders(multi.items.len()), host.block_words(session));
    begin_block(session, host, running)
}

/// Gives a block that was admitted to the core.
fn submit_block(session: &mut Session, host: &mut impl Host, call: Call<'_>) {
    let Some(mut multi) = session.multi.take() else {
        return;
    };
    #[cfg(feature = "bugs")]
    if session.has(Bug::ExecForgetsWatch) {
        multi.buffer.unwatch();
    }
    let locals = std::mem::take(&mut multi.locals);
    let silent = session.is_silent();
    let shape = match (locals.is_empty(), silent) {
        (false, _) => Shape::Transaction,
        (true, true) => Shape::Silent,
        (true, false) => Shape::Plain,
    };
    let body = Body::Transaction {
        transaction: &multi.buffer.transaction(),
        locals: &vec![Bytes::from_static(PLACEHOLDER); locals.len()],
    };
    let ticket = data::submit(session, host, Slot::of(call, shape), body);
    host.block_submitted(ticket, session, multi.items);
    if !locals.is_empty() {
        let running = Running::new(ticket as u32, silent, locals);
        session.multi = Some(Box::new(Multi::running(running)));
        session.hold_back();
    }
}
