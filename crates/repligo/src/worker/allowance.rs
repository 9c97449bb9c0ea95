//! What commands that may take long take of the thread between two turns.
//!
//! A pipeline of thousands of INFO is thousands of milliseconds, and nothing else would come in between: no
//! heartbeat, no other client. So what such commands take is added up, and when it is as much as a turn may have,
//! the connections that have more of them wait for the next one, those first that got nothing in this one.
//!
//! Invariant: whoever waits is woken after the next turn.

/// What they may take, nanoseconds; the last one may exceed it.
const ALLOWED_NS: u64 = 2_000_000;

/// What one word of a request takes before the request is with the core, nanoseconds: a million of them took 8 to
/// 14 ms.
const WORD_NS: u64 = 12;

/// The allowance of a turn, and who waits for the next one.
#[derive(Debug, Default)]
pub struct Allowance {
    used_ns: u64,
    unserved: Vec<u32>,
    served: Vec<u32>,
}

impl Allowance {
    /// True when no further command that may take long is to be begun before the next turn.
    #[inline]
    pub fn is_used_up(&self) -> bool {
        self.used_ns >= ALLOWED_NS
    }

    /// A command took so long.
    #[inline]
    pub fn charge(&mut self, took_ns: u64) {
        self.used_ns = self.used_ns.saturating_add(took_ns);
    }

    /// So many words were decoded and given to the core, which executes them in later turns.
    #[inline]
    pub fn charge_words(&mut self, words: usize) {
        self.charge(words as u64 * WORD_NS);
    }

    /// The connection waits for the next turn; whether it got something in this one.
    pub fn wait(&mut self, slot: u32, is_served: bool) {
        if is_served {
            self.served.push(slot);
        } else {
            self.unserved.push(slot);
        }
    }

    /// True if somebody waits.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        !(self.unserved.is_empty() && self.served.is_empty())
    }

    /// A new allowance, unless somebody waits for it: then those come first, see [`Allowance::renew`].
    #[inline]
    pub fn begin_turn(&mut self) {
        if !self.is_awaited() {
            self.used_ns = 0;
        }
    }

    /// A new allowance, and who waited for it in the order in which they are to be woken.
    pub fn renew(&mut self) -> Vec<u32> {
        self.used_ns = 0;
        let mut waiting = std::mem::take(&mut self.unserved);
        waiting.append(&mut self.served);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_got_nothing_comes_first_in_the_next_turn() {
        let mut allowance = Allowance::default();
        allowance.charge(ALLOWED_NS - 1);
        assert!(!allowance.is_used_up() && !allowance.is_awaited());
        allowance.charge(1);
        assert!(allowance.is_used_up());
        allowance.wait(1, true);
        allowance.wait(2, false);
        allowance.wait(3, false);
        allowance.begin_turn();
        assert!(allowance.is_used_up(), "those who wait come first");
        assert_eq!(allowance.renew(), [2, 3, 1]);
        assert!(!allowance.is_used_up() && !allowance.is_awaited());
        allowance.charge(ALLOWED_NS);
        allowance.begin_turn();
        assert!(!allowance.is_used_up());
    }

    #[test]
    fn a_request_of_a_million_words_is_the_last_long_one_of_its_turn() {
        let mut allowance = Allowance::default();
        allowance.charge_words(1_000_000);
        assert!(allowance.is_used_up());
        let mut allowance = Allowance::default();
        let per_turn = (1..).find(|_| {
            allowance.charge_words(1_000);
            allowance.is_used_up()
        });
        assert_eq!(per_turn, Some(167), "requests of a thousand words in one turn");
    }
}
