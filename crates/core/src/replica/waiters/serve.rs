//! When the leader proposes to serve who waits for what is there, beside what it puts in front of writes.

use std::ops::Bound;

use super::{Place, WaiterId, call_of};
use crate::contract::Outputs;
use crate::keyspace::{ABSENT, Keyspace, Supply};
use crate::limits;
use crate::replica::Replica;

impl Replica {
    /// Every turn of a serving leader: proposes to serve who waits for what is there.
    pub(in crate::replica) fn serve_waiters(&mut self, outputs: &mut Outputs) {
        if !self.waiters.decided.is_empty() {
            self.tell_decided(outputs);
        }
        if self.waiters.is_empty() || self.applying.is_some() {
            return;
        }
        let mut left = limits::OFFERS_MAX;
        while left > 0
            && let Some((index, id)) = self.waiters.due_waiters.pop_front()
        {
            if index > self.applied {
                self.waiters.due_waiters.push_front((index, id));
                break;
            }
            left -= usize::from(self.serve_if_supplied(id));
        }
        while left > 0
            && let Some((index, place)) = self.waiters.due_places.pop_front()
        {
            if index > self.applied {
                self.waiters.due_places.push_front((index, place));
                break;
            }
            left -= self.serve_place(&place, left);
            if left == 0 {
                self.waiters.due_places.push_front((index, place));
            }
        }
    }

    /// Serves a client if one of its keys has something for it, or is an error for one that has just come.
    fn serve_if_supplied(&mut self, id: WaiterId) -> bool {
        let Some(waiter) = self.waiters.all.get_mut(&id).filter(|waiter| !waiter.is_offered) else {
            return false;
        };
        let command = waiter.command.clone();
        let Some(call) = call_of(&command) else {
            return false;
        };
        let is_first = waiter.is_first;
        let mut supplies = Keyspace::waited_keys(&call)
            .into_iter()
            .map(|key| self.keyspace.supply(&call, key));
        let is_served = supplies.any(|supply| match supply {
            Supply::Nothing => false,
            Supply::Elements(_) | Supply::Gone(_) => true,
            Supply::Other => is_first,
        });
        if is_served {
            self.propose_serve(id);
        }
        let Some(waiter) = self.waiters.all.get_mut(&id) else {
            return is_served;
        };
        waiter.is_first = false;
        if waiter.is_cancelled && !waiter.is_offered {
            self.waiters.remove(id);
            self.waiters.decided.push((id, 0));
        }
        is_served
    }

    /// Serves as many clients that wait for a key as it has elements, at most `most`.
    fn serve_place(&mut self, place: &Place, most: usize) -> usize {
        let Some(queue) = self.waiters.queues.get(place) else {
            return 0;
        };
        let mut ids = Vec::new();
        for id in queue.values().take(limits::OFFERS_MAX) {
            let call = call_of(&self.waiters.all[id].command);
            let supply = call.map_or(Supply::Nothing, |call| self.keyspace.supply(&call, &place.1));
            if supply == Supply::Nothing && call.is_none_or(|call| !Keyspace::takes_all_keys(&call)) {
                break;
            }
            let count = match supply {
                Supply::Elements(count) => count.min(most as u64),
                Supply::Gone(_) => most as u64,
                Supply::Nothing | Supply::Other => 0,
            };
            if (ids.len() as u64) < count {
                ids.push(*id);
            }
        }
        ids.iter().for_each(|id| self.propose_serve(*id));
        ids.len()
    }

    fn propose_serve(&mut self, id: WaiterId) {
        let mut op = Vec::new();
        self.waiters.encode(id, &mut op);
        self.system.push_back(op);
        self.waiters.offered(id);
    }

    /// True if the first client that waits for a key is to be told when that is gone.
    fn waits_for_presence(&self, place: &Place) -> bool {
        let queue = self.waiters.queues.get(place).into_iter().flatten();
        let mut calls = queue.filter_map(|(_, id)| call_of(&self.waiters.all[id].command));
        calls
            .next()
            .is_some_and(|call| Keyspace::takes_all_keys(&call) && call.spec.is_write())
    }

    /// With every tick of a serving leader: looks at some of the keys that are waited for. What no op has named, such
    /// as what a script or an exchange of databases has brought, is found here.
    pub(in crate::replica) fn sweep_waiters(&mut self) {
        if self.waiters.is_empty() || !self.lease.serving() {
            return;
        }
        let from = match self.waiters.swept.take() {
            Some(place) => Bound::Excluded(place),
            None => Bound::Unbounded,
        };
        let places = self.waiters.queues.range((from, Bound::Unbounded));
        let places: Vec<Place> = places
            .take(limits::SWEPT_PLACES)
            .map(|(place, _)| place.clone())
            .collect();
        if places.len() == limits::SWEPT_PLACES {
            self.waiters.swept = places.last().cloned();
        }
        for place in places {
            let exists = self.keyspace.version_of(place.0, &place.1) & ABSENT == 0;
            if exists || self.waits_for_presence(&place) {
                self.waiters.due_places.push_back((self.applied, place));
            }
        }
    }
}
