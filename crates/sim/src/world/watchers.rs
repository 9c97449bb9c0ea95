//! Clients that read what a replica has: at level eventual, or in some seeds bounded.
//!
//! Those of bounded reads count as well, so that something worth seeing has always just been acknowledged elsewhere.

use super::keys::{Class, name};
use super::workload::{Expected, Thinker, Workload, request};
use crate::random::Random;

impl Workload {
    /// The next request of such a client.
    pub(super) fn watch(&mut self, thinker: &Thinker, random: &mut Random) {
        let class = match random.chance(700) {
            true => Class::Counter,
            false => Class::Register,
        };
        let key = self.choose_key(class, random);
        let may_count = class == Class::Counter && self.is_in_use(class);
        if self.is_bounded && may_count && random.chance(300) {
            return self.increment(thinker.client, key, thinker.now);
        }
        let expected = Expected::Eventual {
            node: thinker.node,
            key,
            invoked: thinker.now,
        };
        self.ask(request(&["GET", &name(key, "")]), expected);
    }
}
