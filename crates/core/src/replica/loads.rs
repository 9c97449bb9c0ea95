//! What waits for the origin on this node: clients whose writes are pending in a lane, and requests
//! parked because a row is not known yet.
//!
//! A parked request wants some rows. The leader's flusher loads them (a follower asks its leader to),
//! the row comes back as a `Fill` in the log, or a pending write to it is decided; either wakes the
//! request, which then starts over. Requests without effect until then, so starting over is always
//! right.
//!
//! Invariants: every key in `by_key` is wanted by at least one parked request; a parked request is
//! listed under exactly the keys that it still misses.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::acl::Actor;
use crate::contract::{PeerId, Ticket};

/// A row: position of the keyspace in the configuration, and the whole key.
pub type Row = (u16, Bytes);

/// What a parked request does when its rows are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parked {
    /// Reads again; the encoded command.
    Read(Vec<u8>),
    /// Is submitted again; the encoded op.
    Write(Vec<u8>),
}

/// A request that waits for rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRequest {
    /// The client's ticket.
    pub ticket: Ticket,
    /// Protocol of the reply.
    pub resp3: bool,
    /// What to do then.
    pub what: Parked,
    /// When it was parked first, by this node's clock.
    pub since_us: u64,
    /// By whose rights it was let through.
    pub actor: Actor,
}

/// A client whose write is pending in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingClient {
    /// Its ticket.
    pub ticket: Ticket,
    /// Protocol of the reply.
    pub resp3: bool,
    /// When the intent was applied here.
    pub since_us: u64,
}

/// Everything on this node that waits for the origin.
#[derive(Debug, Default)]
pub struct OriginWaits {
    /// Own clients by the sequence number of their op.
    pub pending: BTreeMap<u64, PendingClient>,
    parked: BTreeMap<u64, (ParkedRequest, BTreeSet<Row>)>,
    by_key: BTreeMap<Row, BTreeSet<u64>>,
    next_id: u64,
    /// Rows to ask the leader for.
    unasked: BTreeSet<Row>,
    /// On a leader: which followers wait for a row.
    peers: BTreeMap<Row, BTreeSet<PeerId>>,
    /// On a leader: (what the follower had applied, follower, row), until as much is applied here.
    early: Vec<(u64, PeerId, Row)>,
}

impl OriginWaits {
    /// Requests parked.
    pub fn len(&self) -> usize {
        self.parked.len() + self.pending.len()
    }

    /// Parks a request until all of `missing` are known.
    pub fn park(&mut self, request: ParkedRequest, missing: BTreeSet<Row>) {
        assert!(
            !missing.is_empty(),
            "a request without a missing row need not wait"
        );
        let id = self.next_id;
        self.next_id += 1;
        for row in &missing {
            self.by_key.entry(row.clone()).or_default().insert(id);
            self.unasked.insert(row.clone());
        }
        self.parked.insert(id, (request, missing));
    }

    /// A row is known now: returns the requests that miss nothing any more.
    pub fn wake(&mut self, row: &Row) -> Vec<ParkedRequest> {
        self.peers.remove(row);
        self.unasked.remove(row);
        let mut ready = Vec::new();
        for id in self.by_key.remove(row).unwrap_or_default() {
            let (_, missing) = self.parked.get_mut(&id).expect("listed requests are parked");
            missing.remove(row);
            if missing.is_empty() {
                ready.extend(self.parked.remove(&id).map(|(request, _)| request));
            }
        }
        ready
    }

    /// A row cannot be loaded: returns the requests that fail with it, and the followers to tell.
    pub fn fail(&mut self, row: &Row) -> (Vec<ParkedRequest>, BTreeSet<PeerId>) {
        let peers = self.peers.remove(row).unwrap_or_default();
        let ids = self.by_key.get(row).cloned().unwrap_or_default();
        (ids.into_iter().filter_map(|id| self.take(id)).collect(), peers)
    }

    /// Takes out requests that were parked at or before `since_us`, each with the keyspace of a row that it
    /// misses.
    pub fn take_overdue(&mut self, since_us: u64) -> Vec<(u16, ParkedRequest)> {
        let overdue = self.parked.iter().filter_map(|(id, (request, missing))| {
            let (keyspace, _) = missing.first()?;
            (request.since_us <= since_us).then_some((*id, *keyspace))
        });
        let ids: Vec<(u64, u16)> = overdue.collect();
        let take = |(id, keyspace)| Some((keyspace, self.take(id)?));
        ids.into_iter().filter_map(take).collect()
    }

    /// Takes out everything that is parked: the state under it was replaced.
    pub fn take_all(&mut self) -> Vec<ParkedRequest> {
        self.by_key.clear();
        self.unasked.clear();
        std::mem::take(&mut self.parked)
            .into_values()
            .map(|(request, _)| request)
            .collect()
    }

    /// Rows to be asked for, once.
    pub fn take_unasked(&mut self) -> BTreeSet<Row> {
        std::mem::take(&mut self.unasked)
    }

    /// True if there are rows to be asked for.
    pub fn has_unasked(&self) -> bool {
        !self.unasked.is_empty()
    }

    /// Whoever was asked is gone: everything wanted is to be asked for again.
    pub fn ask_again(&mut self) {
        self.unasked = self.by_key.keys().cloned().collect();
        self.peers.clear();
        self.early.clear();
    }

    /// This node serves as leader now: everything that anybody wants is to be asked for.
    pub fn ask_for_all(&mut self) {
        self.unasked = self.by_key.keys().chain(self.peers.keys()).cloned().collect();
    }

    /// A follower that had applied `index` waits for a row.
    pub fn peer_wants(&mut self, peer: PeerId, index: u64, row: Row) {
        self.early.push((index, peer, row));
    }

    /// Takes in what followers want whose state is not ahead of `applied`. Taken in earlier, an entry that
    /// they have behind them would wake nobody there and forget their wish here.
    pub fn take_in_peers(&mut self, applied: u64) {
        for (_, peer, row) in self.early.extract_if(.., |(index, _, _)| *index <= applied) {
            self.peers.entry(row.clone()).or_default().insert(peer);
            self.unasked.insert(row);
        }
    }

    fn take(&mut self, id: u64) -> Option<ParkedRequest> {
        let (request, missing) = self.parked.remove(&id)?;
        for row in missing {
            if let Some(ids) = self.by_key.get_mut(&row) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_key.remove(&row);
                    self.unasked.remove(&row);
                }
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &'static str) -> Row {
        (0, Bytes::from_static(key.as_bytes()))
    }

    fn read(ticket: Ticket) -> ParkedRequest {
        ParkedRequest {
            ticket,
            resp3: false,
            what: Parked::Read(Vec::new()),
            since_us: ticket,
            actor: Actor::default(),
        }
    }

    #[test]
    fn a_request_wakes_when_its_last_row_is_known() {
        let mut waits = OriginWaits::default();
        waits.park(read(1), BTreeSet::from([row("a"), row("b")]));
        waits.park(read(2), BTreeSet::from([row("a")]));
        assert_eq!(waits.take_unasked().len(), 2);
        assert_eq!(waits.wake(&row("a")), vec![read(2)]);
        assert_eq!(waits.wake(&row("b")), vec![read(1)]);
        assert_eq!(waits.len(), 0);
    }

    #[test]
    fn a_failed_row_fails_all_who_miss_it_and_nobody_else() {
        let mut waits = OriginWaits::default();
        waits.park(read(1), BTreeSet::from([row("a"), row("b")]));
        waits.park(read(2), BTreeSet::from([row("b")]));
        waits.peer_wants(3, 5, row("a"));
        waits.take_in_peers(4);
        assert!(waits.peers.is_empty());
        waits.take_in_peers(5);
        let (failed, peers) = waits.fail(&row("a"));
        assert_eq!((failed, peers), (vec![read(1)], BTreeSet::from([3])));
        assert_eq!(waits.take_overdue(2), vec![(0, read(2))]);
        assert!(waits.by_key.is_empty());
    }

    #[test]
    fn a_new_leader_is_asked_for_everything_again() {
        let mut waits = OriginWaits::default();
        waits.park(read(1), BTreeSet::from([row("a")]));
        assert!(waits.has_unasked() && waits.take_unasked().len() == 1 && !waits.has_unasked());
        waits.ask_again();
        assert_eq!(waits.take_unasked(), BTreeSet::from([row("a")]));
    }
}
