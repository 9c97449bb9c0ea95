//! A client's connection inside a node: the part of the session that the core's contract depends on.
//!
//! It keeps the order of one connection: answers leave in the order of the requests, a write does not
//! overtake an earlier read, and a read is given in only alone, beside reads of the same turn, or riding
//! behind writes of the same turn. MULTI blocks arrive whole; WATCH versions are kept here, as the real session does.

use std::collections::VecDeque;

use bytes::Bytes;
use repligo_core::command::{self, Command};
use repligo_core::contract::{Body, ReadLevel, Served, Ticket};
use repligo_core::op::{TransactionBuffer, Watched};
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_proto::resp::OwnedRequest;

use super::queue::Micros;

/// What a client sends.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One command.
    Command(OwnedRequest),
    /// WATCH of keys, answered with nothing but `+OK`.
    Watch(OwnedRequest),
    /// MULTI, these commands, EXEC.
    Transaction(Vec<OwnedRequest>),
    /// READONLY: reads at level eventual from here on.
    ReadOnly,
}

#[derive(Debug)]
struct Open {
    ticket: Option<Ticket>,
    is_read: bool,
    /// Turn in which it was given in.
    turn: u64,
    mapped: bool,
    watch: Option<OwnedRequest>,
    reply: Option<Bytes>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    waiting: VecDeque<Ask>,
    open: VecDeque<Open>,
    readonly: bool,
    watched: Vec<(OwnedRequest, Bytes)>,
    /// When the latest answer reaches the client; the next one comes after it.
    pub last_reply_at: Micros,
}

/// A request that may be given in now.
#[derive(Debug)]
pub struct Given {
    ask: Ask,
    watched: Vec<(OwnedRequest, Bytes)>,
    /// See `Request::rides`.
    pub rides: bool,
    /// Level of a read.
    pub level: ReadLevel,
    /// RESP3 replies.
    pub resp3: bool,
    is_read: bool,
    /// Nothing before it is unanswered.
    alone: bool,
    mapped: bool,
    reply: Vec<u8>,
}

/// Prefix of the keys that have an origin.
pub const MAPPED_PREFIX: &[u8] = b"user:";

fn is_mapped(request: &OwnedRequest) -> bool {
    let arguments = request.view();
    arguments
        .try_get(1)
        .is_some_and(|key| key.starts_with(MAPPED_PREFIX))
}

fn parsed(request: &OwnedRequest) -> Command<'_> {
    let arguments = request.view();
    let spec = repligo_proto::command::lookup(arguments.get(0)).expect("the workload uses known commands");
    command::parse(spec, 0, arguments).expect("the workload sends well-formed commands")
}

impl Connection {
    /// A fresh connection.
    pub fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            open: VecDeque::new(),
            readonly: false,
            watched: Vec::new(),
            last_reply_at: 0,
        }
    }

    /// Takes in what the client sent.
    pub fn receive(&mut self, asks: Vec<Ask>) {
        self.waiting.extend(asks);
    }

    /// The next request, if the contract allows it to be given in during this turn.
    pub fn next(&mut self, turn: u64) -> Option<Given> {
        while matches!(self.waiting.front(), Some(Ask::ReadOnly)) {
            self.waiting.pop_front();
            self.readonly = true;
            self.served(Bytes::from_static(b"+OK\r\n"));
        }
        let (is_read, mapped) = match self.waiting.front()? {
            Ask::Command(request) => (!parsed(request).is_write(), is_mapped(request)),
            Ask::Watch(_) => (true, false),
            Ask::Transaction(_) => (false, false),
            Ask::ReadOnly => unreachable!("taken out above"),
        };
        let unanswered = || self.open.iter().filter(|open| open.reply.is_none());
        let this_turn = unanswered().all(|open| open.turn == turn && !open.mapped) && !mapped;
        let behind_reads = unanswered().all(|open| open.is_read);
        let behind_writes = unanswered().all(|open| !open.is_read);
        let alone = unanswered().next().is_none();
        // Reads of one turn are confirmed and executed together, in order. A read never waits for an
        // answer while something given in after it may already be applied.
        let allowed = if is_read {
            alone || (this_turn && (behind_reads || behind_writes))
        } else {
            behind_writes
        };
        if !allowed {
            return None;
        }
        let ask = self.waiting.pop_front()?;
        let watched = match ask {
            Ask::Transaction(_) => std::mem::take(&mut self.watched),
            _ => Vec::new(),
        };
        Some(Given {
            ask,
            watched,
            rides: is_read && !behind_reads,
            level: if self.readonly {
                ReadLevel::Eventual
            } else {
                ReadLevel::Linearizable
            },
            resp3: false,
            is_read,
            alone,
            mapped,
            reply: Vec::new(),
        })
    }

    /// The request was given in.
    pub fn given(&mut self, ticket: Ticket, given: &Given, turn: u64) {
        self.open.push_back(Open {
            ticket: Some(ticket),
            is_read: given.is_read && !given.rides,
            turn,
            mapped: given.mapped,
            watch: match &given.ask {
                Ask::Watch(request) => Some(request.clone()),
                _ => None,
            },
            reply: None,
        });
    }

    /// The request was answered without being given in.
    pub fn served(&mut self, reply: Bytes) {
        self.open.push_back(Open {
            ticket: None,
            is_read: true,
            turn: 0,
            mapped: false,
            watch: None,
            reply: Some(reply),
        });
    }

    /// The answer to a ticket.
    pub fn answered(&mut self, ticket: Ticket, encoded: Bytes) {
        let open = self.open.iter_mut().find(|open| open.ticket == Some(ticket));
        let open = open.expect("tickets of a connection are open until answered");
        // Versions come raw and may begin with a dash too, but not end like a line: their last byte is zero.
        let is_error = encoded.starts_with(b"-") && encoded.ends_with(b"\r\n");
        match open.watch.take() {
            Some(request) if !is_error => {
                self.watched.push((request, encoded));
                open.reply = Some(Bytes::from_static(b"+OK\r\n"));
            }
            _ => open.reply = Some(encoded),
        }
    }

    /// The next answer whose turn it is.
    pub fn next_reply(&mut self) -> Option<Bytes> {
        self.open.front()?.reply.as_ref()?;
        self.open.pop_front()?.reply
    }
}

impl Given {
    /// Tries the fast path. Only for reads that have nothing before them.
    pub fn serve_fast(&mut self, replica: &Replica, now: Now) -> bool {
        if !self.is_read || !self.alone {
            return false;
        }
        let Ask::Command(request) = &self.ask else {
            return false;
        };
        let served = replica.read(now, &parsed(request), self.level, self.resp3, &mut self.reply);
        served == Served::Done
    }

    /// What the fast path answered.
    pub fn fast_reply(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.reply))
    }

    /// Calls `give` with the request's body.
    pub fn with_body(&self, give: impl FnOnce(Body<'_>)) {
        match &self.ask {
            Ask::Command(request) => give(Body::Command(&parsed(request))),
            Ask::Watch(request) => give(Body::Command(&parsed(request))),
            Ask::Transaction(requests) => {
                let mut buffer = TransactionBuffer::default();
                for (request, versions) in &self.watched {
                    let keys = request.view();
                    for (index, version) in versions.chunks_exact(8).enumerate() {
                        let version = version.try_into().map(u64::from_le_bytes);
                        buffer.watch(Watched {
                            db: 0,
                            key: keys.get(index + 1),
                            version: version.expect("eight bytes each"),
                        });
                    }
                }
                for request in requests {
                    buffer.push(&parsed(request));
                }
                give(Body::Transaction {
                    transaction: &buffer.transaction(),
                    locals: &[],
                });
            }
            Ask::ReadOnly => unreachable!("answered by the session"),
        }
    }
}
