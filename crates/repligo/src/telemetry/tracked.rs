//! Requests that the core answers in a later turn, and what is to be told of them then: the slow log wants their words,
//! a MULTI block its commands, and one that takes several turns the time of all its slices.
//!
//! The core has no clock: it says for whom it made how many steps, and the time of a slice is shared out by that.
//!
//! Invariant: every tracked request is given up when it is answered, whoever is still there to hear it.

use std::collections::HashMap;

use repligo_core::contract::{Outputs, Ticket};
use repligo_session::tracked::Tracked;

use super::timing::Batch;

/// Requests tracked for the slow log alone; further ones are not in it.
const TRACKED_MAX: usize = 4096;

/// Places that are kept when nothing is tracked.
const KEPT_COUNT: usize = 256;

/// All of them, by ticket.
#[derive(Debug, Default)]
pub struct Tracking {
    requests: HashMap<Ticket, Tracked>,
    /// Time up to here has been shared out.
    shared_until_ns: u64,
}

impl Tracking {
    /// True if one more would be tracked for the slow log.
    pub fn has_room(&self) -> bool {
        self.requests.len() < TRACKED_MAX
    }

    /// The request was given to the core.
    pub fn begin(&mut self, ticket: Ticket, tracked: Tracked) {
        self.requests.insert(ticket, tracked);
    }

    /// The request is answered.
    #[inline]
    pub fn end(&mut self, ticket: Ticket) -> Option<Tracked> {
        if self.requests.is_empty() {
            return None;
        }
        let tracked = self.requests.remove(&ticket);
        if self.requests.is_empty() && self.requests.capacity() > KEPT_COUNT {
            // Many that waited at once must not cost memory for ever.
            self.requests = HashMap::new();
        }
        tracked
    }

    /// Shares out the time since `since_ns` among those for whom the core made steps in it, and takes it from what the
    /// turn's other requests share.
    pub fn share_out(&mut self, outputs: &mut Outputs, (since_ns, now_ns): (u64, u64), batch: &mut Batch) {
        let took_ns = now_ns.saturating_sub(since_ns.max(self.shared_until_ns));
        self.shared_until_ns = now_ns;
        let total = outputs.steps.max(1) as u64;
        for spent in outputs.spent.drain(..) {
            let share_ns = took_ns.saturating_mul(spent.steps as u64) / total;
            batch.exclude(share_ns);
            let tracked = self.requests.entry(spent.ticket).or_default();
            tracked.spent_ns += share_ns.max(1);
        }
        outputs.steps = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use repligo_core::contract::Spent;

    #[test]
    fn the_time_of_a_slice_goes_to_those_for_whom_steps_were_made() {
        let (mut tracking, mut batch) = (Tracking::default(), Batch::default());
        let mut outputs = Outputs {
            spent: vec![
                Spent {
                    ticket: 7,
                    steps: 300,
                },
                Spent {
                    ticket: 8,
                    steps: 100,
                },
            ],
            steps: 800,
            ..Outputs::default()
        };
        tracking.begin(7, Tracked::default());
        tracking.share_out(&mut outputs, (1_000, 9_000), &mut batch);
        // What was shared out is not shared out again.
        outputs.spent.push(Spent {
            ticket: 7,
            steps: 500,
        });
        outputs.steps = 500;
        tracking.share_out(&mut outputs, (1_000, 10_000), &mut batch);
        let spent = |tracked: Option<Tracked>| tracked.map(|tracked| tracked.spent_ns);
        assert_eq!(spent(tracking.end(7)), Some(3_000 + 1_000));
        assert_eq!(spent(tracking.end(8)), Some(1_000));
        assert!(tracking.end(7).is_none());
    }
}
