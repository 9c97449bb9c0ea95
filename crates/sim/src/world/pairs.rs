//! Two keys that are written together and read together: half of a write must never be seen.

use super::keys::name;
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Workload, request};
use crate::history::Action;
use crate::random::Random;

/// Keys between the two of a pair, at most: several slices of the core as it is built for simulations.
const FILLERS_MAX: u64 = 30;

impl Workload {
    pub(super) fn use_pair(&mut self, client: u32, key: u32, random: &mut Random, now: Micros) {
        // Fillers between the two make the command take several turns.
        let width = if random.chance(300) {
            random.between(1, FILLERS_MAX)
        } else {
            0
        };
        let fillers = (0..width).map(|number| name(key, &format!("f{number}")));
        let keys: Vec<String> = [name(key, "x")]
            .into_iter()
            .chain(fillers)
            .chain([name(key, "y")])
            .collect();
        if random.chance(500) {
            let words: Vec<&str> = ["MGET"]
                .into_iter()
                .chain(keys.iter().map(String::as_str))
                .collect();
            let operation = self.record(client, key, Action::Read, now);
            return self.ask(request(&words), Expected::Operation(operation));
        }
        let token = self.token();
        let operation = self.record(client, key, Action::Write(token), now);
        let value = Self::value(token, false, random);
        if random.chance(500) {
            let pairs = keys.iter().flat_map(|key| [key.as_str(), value.as_str()]);
            let words: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
            self.ask(request(&words), Expected::Operation(operation));
        } else {
            let block = keys.iter().map(|key| request(&["SET", key, &value])).collect();
            self.thought
                .push((Ask::Transaction(block), Expected::Operation(operation)));
        }
    }
}
