//! Pairs of rows that hand a unique value over: in one pipeline one row gives it up and the other takes
//! it. Its client alone uses the pair, so whatever lanes the two rows are in, the database never has a
//! reason to refuse.
//!
//! After any other answer than success a client leaves its pair for a fresh one with a fresh value: what
//! became of a write without an outcome would be a guess.

use std::collections::BTreeMap;

use repligo_proto::resp::Value;

use super::keys::Class;

/// Pairs per client: in the end every key is read at every node, each by a load.
const PAIRS_PER_CLIENT: u32 = 12;

/// A client's pair.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    number: u32,
    /// The row that has the value, 0 or 1.
    holder: Option<u32>,
    /// Writes without an answer.
    open: u32,
    /// Every answer so far was a success.
    sound: bool,
}

/// The pairs of all clients.
#[derive(Debug, Default)]
pub struct Handovers {
    pairs: BTreeMap<u32, Pair>,
    /// Operation → client and number of the pair.
    expected: BTreeMap<usize, (u32, u32)>,
}

impl Handovers {
    /// The writes with which the value changes hands, each with whether it takes the value, and the value;
    /// `None` when there are no fresh pairs any more.
    pub fn next(&mut self, client: u32) -> Option<(Vec<(u32, bool)>, String)> {
        let pair = self.pairs.entry(client).or_default();
        if !pair.sound || pair.open > 0 {
            if pair.number + 1 >= PAIRS_PER_CLIENT {
                return None;
            }
            *pair = Pair {
                number: pair.number + 1,
                sound: true,
                ..Pair::default()
            };
        }
        let first = (client * PAIRS_PER_CLIENT + pair.number) * 2;
        let key = |row: u32| Class::Handover.key(first + row);
        let taker = pair.holder.map_or(0, |holder| 1 - holder);
        let giver = pair.holder.map(|holder| (key(holder), false));
        pair.holder = Some(taker);
        let writes = giver.into_iter().chain([(key(taker), true)]).collect();
        Some((writes, format!("@{client}.{}", pair.number)))
    }

    /// This operation of the history is a write of the client's pair.
    pub fn expect(&mut self, client: u32, operation: usize) {
        let pair = self.pairs.entry(client).or_default();
        pair.open += 1;
        self.expected.insert(operation, (client, pair.number));
    }

    /// Takes in the answer to an operation, if it is one of these.
    ///
    /// # Errors
    /// The database refused a value that was free.
    pub fn conclude(&mut self, operation: usize, value: &Value) -> Result<(), String> {
        let Some((client, number)) = self.expected.remove(&operation) else {
            return Ok(());
        };
        let pair = self.pairs.entry(client).or_default();
        if pair.number != number {
            return Ok(());
        }
        pair.open -= 1;
        let Some(error) = value.as_error() else {
            return Ok(());
        };
        let was_sound = std::mem::take(&mut pair.sound);
        if was_sound && error.starts_with("ERR origin rejected the write: UNIQUE") {
            return Err(format!(
                "{error:?} although the row before it in the log gave the value up"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Value {
        match text {
            "OK" => Value::Simple(text.to_owned()),
            error => Value::Error(error.to_owned()),
        }
    }

    #[test]
    fn a_refusal_counts_only_where_every_earlier_answer_was_a_success() {
        let refusal = "ERR origin rejected the write: UNIQUE constraint failed";
        let check = |answers: &[&str], expect: bool| {
            let mut handovers = Handovers::default();
            let mut operation = 0;
            let mut all_fine = true;
            let mut answers = answers.iter();
            while answers.len() > 0 {
                let (writes, _) = handovers.next(3).unwrap();
                for _ in &writes {
                    handovers.expect(3, operation);
                    operation += 1;
                }
                for (back, text) in (1..=writes.len()).rev().zip(&mut answers) {
                    all_fine &= handovers.conclude(operation - back, &answer(text)).is_ok();
                }
            }
            assert_eq!(all_fine, expect, "{answers:?}");
        };
        check(&["OK", "OK", "OK"], true);
        check(&["OK", "OK", refusal], false);
        check(&["OK", "UNKNOWN x", refusal], true);
        check(&["ORIGINDOWN x", "OK"], true);
        check(&[refusal], false);
    }

    #[test]
    fn the_value_goes_to_and_fro_between_two_rows() {
        let mut handovers = Handovers::default();
        let mut next = || {
            let (writes, value) = handovers.next(1).unwrap();
            handovers.pairs.get_mut(&1).unwrap().open = 0;
            (writes, value)
        };
        let (first, value) = next();
        let (second, same) = next();
        let (third, _) = next();
        assert_eq!(value, same);
        assert_eq!((first.len(), second.len()), (1, 2));
        assert_eq!(second[0], (first[0].0, false));
        assert_eq!(third, [(second[1].0, false), (first[0].0, true)]);
    }
}
