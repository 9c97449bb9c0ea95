//! RANDOMKEY, and KEYS and SCAN where they are answered at once. Negative rows are passed over.

use repligo_proto::reply::ReplyWriter;

use super::walk::Walk;
use super::{Keyspace, ReadOutcome};
use crate::command::Command;
use crate::limits::SLICE_STEPS;

/// RANDOMKEY draws this often before it takes the first key there is.
const DRAWS_MAX: usize = 64;

impl Keyspace {
    /// The reply of KEYS or SCAN, unless that takes more steps than one slice has.
    pub(super) fn walk_at_once(&self, command: &Command<'_>, reply: &mut ReplyWriter<'_>) -> ReadOutcome {
        if self.walk(command, SLICE_STEPS, reply) {
            ReadOutcome::Done
        } else {
            ReadOutcome::Long
        }
    }

    /// Walks for so many steps; true, and the reply is written, if that was enough.
    pub(super) fn walk(&self, command: &Command<'_>, mut steps: usize, reply: &mut ReplyWriter<'_>) -> bool {
        let mut walk = Walk::new(command, |pattern| pattern).expect("only KEYS and SCAN walk");
        let is_done = walk.advance(self, &mut steps);
        if is_done {
            walk.found().iter().for_each(|piece| reply.raw(piece));
        }
        is_done
    }

    /// The next number at random. It decides nothing but replies of this node.
    pub(super) fn draw(&self) -> u64 {
        let draw = next_draw(self.draws.get());
        self.draws.set(draw);
        draw
    }

    pub(super) fn random_key(&self, db: u8, reply: &mut ReplyWriter<'_>) {
        let Some(database) = self.database(db) else {
            return reply.null();
        };
        for _ in 0..DRAWS_MAX {
            let draw = self.draw();
            if let Some(entry) = database.table().random(draw)
                && self.is_key(db, &entry)
            {
                return reply.bulk(entry.key);
            }
        }
        // There is none, or nearly everything is a negative row or has expired.
        match database.table().iter().find(|entry| self.is_key(db, entry)) {
            Some(entry) => reply.bulk(entry.key),
            None => reply.null(),
        }
    }
}

/// SplitMix64's step: enough to spread draws.
fn next_draw(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27))
        .wrapping_mul(0x94d0_49bb_1331_11eb)
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
}
