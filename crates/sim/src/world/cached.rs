//! Keys that may be evicted at any time.

use super::keys::name;
use super::queue::Micros;
use super::workload::{Expected, Workload, request};
use crate::history::Action;
use crate::random::Random;

impl Workload {
    /// To a client an evicted key is like one that has expired.
    pub(super) fn use_cached(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        let wire = name(key, "");
        match random.below(10) {
            0..=3 => self.read(client, key, now),
            4 => {
                let operation = self.record(client, key, Action::Delete, now);
                self.ask(request(&["DEL", &wire]), Expected::Operation(operation));
            }
            _ => {
                let token = self.token();
                let operation = self.record(client, key, Action::WriteVolatile(token), now);
                let padding = random.skewed(0, 2_000) as usize;
                let value = format!("{token}{}", "x".repeat(padding));
                let request = if self.evicts_all && random.chance(500) {
                    request(&["SET", &wire, &value])
                } else {
                    request(&["SET", &wire, &value, "PX", "600000"])
                };
                self.ask(request, Expected::Operation(operation));
            }
        }
    }
}
