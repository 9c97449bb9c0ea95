//! Clients that wait, where the log serves them: [`Serve`] is tried where it stands, and behind every op of the same
//! entry that names one of its keys, as Redis serves who waits behind every command.
//!
//! Invariant: whether a client is served follows from the log and the state alone. Its node answers it from here.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use repligo_proto::reply::ReplyWriter;
use repligo_proto::words;

use super::apply::{OpenBatch, Running};
use super::waiters::{Place, call_of};
use super::{Replica, answer, fail};
use crate::command::Command;
use crate::contract::{Outputs, PeerId, Ticket};
use crate::entry::next_op;
use crate::keyspace::{Keyspace, Naming, Supply};
use crate::op::{Item, Op, Serve, take_actor};

/// A client that the entry may still serve.
#[derive(Debug)]
struct Offer {
    node: PeerId,
    incarnation: u64,
    number: u64,
    command: Bytes,
}

/// Those of the entry that is being applied.
#[derive(Debug, Default)]
pub(super) struct Serving {
    offers: Vec<Option<Offer>>,
    queues: BTreeMap<Place, VecDeque<usize>>,
    /// Keys that may have something, in the order in which ops named them.
    ready: VecDeque<Place>,
}

impl Serving {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// The entry is left without its end.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn note(&mut self, place: Place) {
        if self.queues.contains_key(&place) && !self.ready.contains(&place) {
            self.ready.push_back(place);
        }
    }
}

/// Calls `visit` with every key that an op may write something into that clients wait for, and with a count of what
/// it brings at most, as far as that is known.
pub(super) fn for_each_written(mut op: &[u8], mut visit: impl FnMut(Place, usize)) {
    if take_actor(&mut op).is_err() {
        return;
    }
    let mut look = |command: &Command<'_>| {
        let count = match command {
            Command::Call(call) if call.spec.is_write() => call.arguments.len().saturating_sub(1).max(1),
            // What is removed may be what somebody waits with.
            Command::Rename { .. } | Command::Del { .. } | Command::Set { .. } => 1,
            _ => return,
        };
        if let Some(db) = command.db() {
            command.for_each_key(|key| visit((db, Bytes::copy_from_slice(key)), count));
        }
    };
    match Op::decode(&mut op) {
        Ok(Op::Command(command)) => look(&command),
        Ok(Op::Transaction(block)) => {
            for item in block.items() {
                if let Item::Command(command) = item {
                    look(&command);
                }
            }
        }
        _ => {}
    }
}

impl Replica {
    /// A client that waits, at its place in the log.
    pub(super) fn apply_serve(&mut self, mut op: &[u8], open: &mut OpenBatch, outputs: &mut Outputs) {
        let Ok(Op::Serve(serve)) = Op::decode(&mut op) else {
            return;
        };
        let Serve {
            node,
            incarnation,
            number,
            actor,
            is_first,
            command,
        } = serve;
        let offer = Offer {
            node,
            incarnation,
            number,
            command: Bytes::copy_from_slice(command),
        };
        // Of the log alone: who is a member is known from beside it, at a start even ahead of it.
        let known = self.forwarders.get(&node);
        let is_gone = known.is_some_and(|known| known.incarnation > incarnation);
        let Some(call) = call_of(&offer.command).filter(|_| !is_gone) else {
            return self.decide_offer(&offer, false);
        };
        if self.has_lost_rights(actor) {
            return self.refuse_offer(&offer, words::acl::RIGHTS_CHANGED, outputs);
        }
        if is_first && self.refuses_command(&Command::Call(call)) {
            return self.refuse_offer(&offer, words::OUT_OF_MEMORY, outputs);
        }
        for key in Keyspace::waited_keys(&call) {
            match self.keyspace.supply(&call, key) {
                Supply::Elements(_) | Supply::Gone(_) if is_first && Keyspace::takes_all_keys(&call) => {
                    return self.execute_offer(&offer, None, open, outputs);
                }
                Supply::Elements(_) => return self.execute_offer(&offer, Some(key), open, outputs),
                Supply::Gone(text) => return self.refuse_offer(&offer, text, outputs),
                Supply::Other if is_first => return self.refuse_offer(&offer, words::WRONG_TYPE, outputs),
                Supply::Other | Supply::Nothing => {}
            }
        }
        let index = self.serving.offers.len();
        for key in Keyspace::waited_keys(&call) {
            let place = (call.db, Bytes::copy_from_slice(key));
            self.serving.queues.entry(place).or_default().push_back(index);
        }
        self.serving.offers.push(Some(offer));
    }

    /// Behind an op: serves who waits for the keys that it names. What takes long is left in the batch and goes on
    /// first; then this is called again.
    pub(super) fn serve_behind(&mut self, open: &mut OpenBatch, outputs: &mut Outputs) {
        let ops = open.batch.ops.clone();
        let mut rest = &ops[open.looked_at.min(open.at)..open.at];
        open.looked_at = open.at;
        while let Ok(op) = next_op(&mut rest) {
            for_each_written(op, |place, _| self.serving.note(place));
        }
        while let Some(place) = self.serving.ready.front().cloned() {
            let Some(index) = self.next_offer(&place) else {
                self.serving.ready.pop_front();
                continue;
            };
            let offer = self.serving.offers[index].take().expect("it was just seen");
            let call = call_of(&offer.command);
            match call.map(|call| self.keyspace.supply(&call, &place.1)) {
                Some(Supply::Gone(text)) => self.refuse_offer(&offer, text, outputs),
                _ => self.execute_offer(&offer, Some(&place.1), open, outputs),
            }
            if open.running.is_some() {
                return;
            }
        }
    }

    /// The first client of the entry that gets something from this key.
    fn next_offer(&mut self, place: &Place) -> Option<usize> {
        let queue = self.serving.queues.get(place)?;
        queue.iter().copied().find(|&index| {
            let offer = self.serving.offers[index].as_ref();
            let call = offer.and_then(|offer| call_of(&offer.command));
            let supply = call.map(|call| self.keyspace.supply(&call, &place.1));
            matches!(supply, Some(Supply::Elements(_) | Supply::Gone(_)))
        })
    }

    /// The client of an offer, if it is one of this node and still here.
    fn client_of(&mut self, offer: &Offer) -> Option<(Ticket, bool)> {
        let identity = self.settings.identity;
        let is_mine = (offer.node, offer.incarnation) == (identity.peer, identity.incarnation);
        if is_mine {
            self.blocked.take(offer.number)
        } else {
            None
        }
    }

    fn refuse_offer(&mut self, offer: &Offer, text: &str, outputs: &mut Outputs) {
        if let Some((ticket, resp3)) = self.client_of(offer) {
            fail(outputs, ticket, resp3, text);
        }
        self.decide_offer(offer, true);
    }

    /// Executes the command of a client with the one key that has something for it, or with all of them.
    fn execute_offer(
        &mut self,
        offer: &Offer,
        key: Option<&[u8]>,
        open: &mut OpenBatch,
        outputs: &mut Outputs,
    ) {
        let Some(call) = call_of(&offer.command) else {
            return;
        };
        let client = self.client_of(offer);
        let narrowed = key.map(|key| Bytes::from(Keyspace::narrowed(&call, key)));
        let source = narrowed.unwrap_or_else(|| offer.command.clone());
        let command = Command::decode(&mut &source[..]).expect("it was encoded just now");
        if self.keyspace.is_observed() {
            let writer = client.map(|(ticket, _)| ticket);
            self.keyspace.name(writer, || Naming::of(&command));
        }
        if self.keyspace.is_wide(&command) {
            open.running = Some(Running::new(Keyspace::begin(&command, &source), client));
        } else {
            match client {
                Some((ticket, resp3)) => answer(outputs, ticket, resp3, |writer| {
                    self.keyspace.apply(&command, writer);
                }),
                None => self.keyspace.apply(&command, &mut ReplyWriter::discard()),
            }
            let work = self.keyspace.take_work_steps();
            self.apply_steps = self.apply_steps.saturating_sub(1 + work);
        }
        // What it moved may be waited for, too.
        call.for_each_key(|key| self.serving.note((call.db, Bytes::copy_from_slice(key))));
        self.decide_offer(offer, true);
    }

    fn decide_offer(&mut self, offer: &Offer, is_served: bool) {
        if self.waiters.is_empty() {
            return;
        }
        // The entry that is being applied is the one behind.
        let index = self.applied + 1;
        let last_index = self.consensus.last_index();
        self.waiters
            .decide((offer.node, offer.number), (is_served, index), last_index);
    }

    /// The end of an entry: who found nothing in it goes on waiting.
    pub(super) fn end_serving(&mut self) {
        let serving = std::mem::take(&mut self.serving);
        for offer in serving.offers.into_iter().flatten() {
            self.decide_offer(&offer, false);
        }
    }
}
