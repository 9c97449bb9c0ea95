//! The contract between a session and whoever hosts it: the shell's worker, or a process of the simulator.
//!
//! A host is borrowed while its session runs. It owes:
//! 1. [`Host::now`] was sampled after the bytes that are executed were read, and stays the same until all that
//!    were read with them are executed.
//! 2. [`Host::turn`] grows by one when the replica is given `Input::Turn`, before its answers are handed over.
//! 3. What is [submitted](Host::submit) goes to the replica at once. Its answer comes later, by
//!    [`Session::finish`] or [`Session::finish_long`], exactly once, and never while the session runs.
//! 4. After [`Host::admits`] said no, the session is [called](Session::call) when the replica names its slot.
//! 5. After [`Host::wait_for_turn`] the host goes on with the session after the next turn.
//! 6. Whenever something of the session may have changed (an answer, a call, sent bytes), the host asks
//!    [`Session::may_go_on`], and gives what is left of the input in again if so; while
//!    [`Session::is_block_ready`] it calls [`Session::run_block`] first.
//! 7. Before it removes a session, it lets it [leave](Session::leave) its [`Host::subscriptions`].
//! 8. While some session tracks, the replica [notes changes](Host::tracked), and the host tells them to its
//!    [`Tracking`](crate::tracking::Tracking) once a turn, behind all answers of the turn.
//!
//! The session owes: it submits nothing that was not admitted, submits in the order of its requests, and after a
//! refusal gives nothing more in until it is called.

use repligo_core::acl::{Denied, PasswordHash, Users};
use repligo_core::command::Command;
use repligo_core::contract::{ReadLevel, Request, Served, Ticket, Token};
use repligo_core::keyspace::Keyspace;
use repligo_core::origin::OriginMap;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_core::token::Standing;
use repligo_proto::command::{CommandId, Spec};
use repligo_proto::resp::ProtocolError;

use crate::replies::BufferPool;
use crate::subscriptions::Subscriptions;
use crate::tracked::{Tracked, Words};
use crate::{Call, Flow, Session};

/// Where a session runs; see the module.
pub trait Host: Telemetry {
    /// When the bytes that are executed were read.
    fn now(&self) -> Now;

    /// Buffers for replies.
    fn pool(&mut self) -> &mut BufferPool;

    /// Unsent bytes above which the host disconnects a client.
    fn output_bytes_max(&self) -> usize;

    /// Why no data command can be executed at all now, as an error text.
    fn refusal(&self) -> Option<&str>;

    /// Keys with an origin.
    fn origin(&self) -> &OriginMap;

    /// The replica's keys, to ask for their memory ahead of time; `None` without a replica, or without need.
    fn keyspace(&self) -> Option<&Keyspace>;

    /// All users as this node has them.
    fn users(&self) -> &Users;

    /// SHA-256 of a password.
    fn hash(&self, password: &[u8]) -> PasswordHash;

    /// SHA-256 of the password that this node asks of the default user of itself, because the log has none.
    fn own_password(&self) -> Option<PasswordHash> {
        None
    }

    /// Number of the turn in which requests leave that are submitted now.
    fn turn(&self) -> u64;

    /// True when the replica refuses what would add memory.
    fn refuses_growth(&self) -> bool;

    /// Whether the connection in this slot may submit its next request, see `Replica::admits`.
    fn admits(&mut self, slot: u32, demand: Demand) -> bool;

    /// The fast path of a read, see `Replica::read`.
    fn read(&self, command: &Command<'_>, level: ReadLevel, resp3: bool, out: &mut Vec<u8>) -> Served;

    /// A token that covers all that the replica was asked and has answered, see `Replica::token`. Never asked while there
    /// is a [refusal](Host::refusal).
    fn token(&self) -> Token;

    /// How a token stands to the replica's state, see `Replica::judge_token`. The same holds.
    fn judge(&self, token: &Token) -> Standing;

    /// Gives a request to the replica.
    fn submit(&mut self, request: Request<'_>);

    /// Who subscribes to what.
    fn subscriptions(&mut self) -> &mut Subscriptions;

    /// The slot of another session, by the number of its client.
    fn find(&self, id: u64) -> Option<u32>;

    /// A session has begun to track, or may have ended to: the replica notes changes from here on if any does.
    fn tracked(&mut self);

    /// Something was published, or subscriptions have changed: the host [delivers](Subscriptions::deliver) it and tells
    /// the other nodes when no session runs, before it sends what this turn's requests are answered.
    fn posted(&mut self);

    /// True when no further command that may take long is to be begun before the next turn.
    fn is_used_up(&self) -> bool;

    /// The connection in this slot has more to execute than this turn may; whether it got some of it.
    fn wait_for_turn(&mut self, slot: u32, is_served: bool);

    /// Answers a command that the node answers of itself: appends its reply to `out`.
    fn local(&mut self, session: &mut Session, call: Call<'_>, out: &mut Vec<u8>) -> Flow;
}

/// What a session tells of what it does, for statistics and the slow log. Nothing of it changes an answer, so a
/// host that keeps no statistics implements none of it.
pub trait Telemetry {
    /// A command begins: when, in nanoseconds, if it is to be timed alone, else 0.
    fn begin(&self, _spec: &Spec, _argument_count: usize) -> u64 {
        0
    }

    /// The command that began then was executed at once. Its time is charged to the turn, and it is kept in the
    /// slow log if it was slow.
    fn end(&mut self, _session: &Session, _call: Call<'_>, _began_ns: u64) {}

    /// The clock that measures work, nanoseconds; 0 for ever where nobody measures.
    fn clock_ns(&self) -> u64 {
        0
    }

    /// So much time of this turn is used up.
    fn charge(&mut self, _took_ns: u64) {}

    /// A command was refused because its user may not run it so.
    fn denied(&mut self, _session: &Session, _call: Call<'_>, _denied: Denied) {}

    /// A command was taken up that is to be shown to whoever asked for it.
    fn monitored(&mut self, _session: &Session, _call: Call<'_>) {}

    /// A change of the users was submitted.
    fn changes_users(&mut self, _session: &Session, _call: Call<'_>) {}

    /// A command was refused before its execution.
    fn rejected(&mut self, _spec: &Spec) {}

    /// A command was executed and has failed, without a time of its own.
    fn failed(&mut self, _spec: &Spec) {}

    /// An error reply was given for no command in particular.
    fn error(&mut self, _reply: &[u8]) {}

    /// A command was answered by the session; counts it as failed if the reply is an error.
    fn replied(&mut self, _id: CommandId, _reply: &[u8]) {}

    /// A request was submitted: remembers what is to be told of it when it is answered.
    fn submitted(&mut self, _ticket: Ticket, _session: &Session, _call: Call<'_>) {}

    /// As [`Telemetry::submitted`], a block with the commands of its items.
    fn block_submitted(&mut self, _ticket: Ticket, _session: &Session, _items: Vec<u16>) {}

    /// What the slow log would say of a block of this session.
    fn block_words(&self, _session: &Session) -> Option<Words> {
        None
    }

    /// The core has answered a command.
    fn answered(&mut self, _id: u16, _tracked: Option<Tracked>, _reply: &[u8]) {}

    /// The core has executed its items of a block.
    fn items_executed(&mut self, _tracked: &Tracked) {}

    /// One of them, by its position, has failed.
    fn item_failed(&mut self, _tracked: &Tracked, _index: usize, _error: &[u8]) {}

    /// The session has answered an item of a block, which took so long, nanoseconds.
    fn item_replied(&mut self, _id: CommandId, _reply: &[u8], _took_ns: u64) {}

    /// A block with items of the session is answered; what it took in all, nanoseconds.
    fn block_replied(&mut self, _words: Option<Words>, _reply: &[u8], _took_ns: u64) {}

    /// The client has sent what is no request; its connection ends.
    fn broken(&mut self, _session: &Session, _error: &ProtocolError) {}
}
