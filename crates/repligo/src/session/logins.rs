//! Failed logins cost time, per address: who guesses passwords is slow, and nobody else is.
//!
//! The first failures of an address cost nothing. From then on its logins, whatever their password, are judged one
//! after the other with a pause in between, and their connections wait; when too many wait, further ones are refused
//! unjudged. Other addresses, and connections that are logged in, notice nothing.
//!
//! Invariant: an address with failures beyond the free ones has at most one login judged per pause.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use super::Endpoints;

/// Failures that cost nothing: people mistype, and fleets start with a wrong password.
const FREE: u32 = 16;
/// After so long one failure is forgotten, microseconds.
const FORGOTTEN_US: u64 = 1_000_000;
/// Failures of one address that count at most: what is forgotten in five minutes.
const COUNTED_MAX: u32 = 300;
/// The first pause, microseconds; each further failure doubles it.
const PAUSE_US_MIN: u64 = 25_000;
/// The longest pause, microseconds: four guesses a second.
const PAUSE_US_MAX: u64 = 250_000;
/// Connections of one address that wait to be judged.
const WAITING_MAX: usize = 8;
/// A connection that was called and does not come is passed over after this, microseconds.
const CALLED_US: u64 = 1_000_000;
/// Addresses that are remembered; those that failed longest ago are forgotten first.
const ADDRESSES_MAX: usize = 4096;
/// Between two log lines about one address, microseconds.
const TOLD_EVERY_US: u64 = 10_000_000;
/// Log lines about all addresses in one second.
const TOLD_PER_SECOND: u32 = 5;

/// From where a client comes, as far as its failures are told apart. Whoever has one address of IPv6 has as many as
/// he likes, so there the network counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A socket file, or no socket.
    Local,
    /// An address, or the network of one.
    Internet(IpAddr),
}

impl From<&Endpoints> for Address {
    fn from(endpoints: &Endpoints) -> Self {
        match endpoints {
            Endpoints::None | Endpoints::Unix(_) => Self::Local,
            Endpoints::Internet { peer, .. } => Self::Internet(match peer.ip().to_canonical() {
                IpAddr::V6(address) => {
                    let network = u128::from(address) >> 64 << 64;
                    IpAddr::V6(Ipv6Addr::from(network))
                }
                address @ IpAddr::V4(_) => address,
            }),
        }
    }
}

/// A connection: its slot, and the number of its client.
pub type Waiting = (u32, u64);

/// What becomes of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is judged.
    Now,
    /// Its connection waits until it is called.
    Later,
    /// Too many wait.
    Refused,
}

#[derive(Debug, Default)]
struct Tried {
    failures: u32,
    /// Up to when failures were forgotten, and the last one counted.
    counted_us: u64,
    /// The next login is judged then.
    next_us: u64,
    waiting: VecDeque<Waiting>,
    /// Whose turn it is, and until when.
    called: Option<(Waiting, u64)>,
    /// Failures and refusals that were not told in the log.
    untold: u64,
    told_us: Option<u64>,
}

impl Tried {
    fn forget(&mut self, now_us: u64) {
        let forgotten = now_us.saturating_sub(self.counted_us) / FORGOTTEN_US;
        self.failures = self
            .failures
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
        self.counted_us += forgotten * FORGOTTEN_US;
    }

    fn pause_us(&self) -> u64 {
        match self.failures.saturating_sub(FREE) {
            0 => 0,
            beyond => (PAUSE_US_MIN << (beyond - 1).min(8)).min(PAUSE_US_MAX),
        }
    }
}

/// Failures by address; see the module.
#[derive(Debug, Default)]
pub struct Logins {
    tried: HashMap<Address, Tried>,
    /// The second of the last log lines, and how many there were in it.
    told: (u64, u32),
}

impl Logins {
    /// Whether a login from there is judged now.
    pub fn admit(&mut self, address: Address, connection: Waiting, now_us: u64) -> Turn {
        let Some(tried) = self.tried.get_mut(&address) else {
            return Turn::Now;
        };
        tried.forget(now_us);
        let pause_us = tried.pause_us();
        if pause_us == 0 && tried.waiting.is_empty() {
            return Turn::Now;
        }
        let is_called = tried.called.is_some_and(|(called, _)| called == connection);
        let is_free = tried.called.is_none() && tried.waiting.is_empty();
        if is_called || (is_free && now_us >= tried.next_us) {
            tried.called = None;
            tried.next_us = now_us + pause_us;
            return Turn::Now;
        }
        if tried.waiting.contains(&connection) {
            return Turn::Later;
        }
        if tried.waiting.len() >= WAITING_MAX {
            tried.untold += 1;
            return Turn::Refused;
        }
        tried.waiting.push_back(connection);
        Turn::Later
    }

    /// A login from there has failed. How many are to be told in the log now, if any.
    pub fn fail(&mut self, address: Address, now_us: u64) -> Option<u64> {
        if self.tried.len() >= ADDRESSES_MAX && !self.tried.contains_key(&address) {
            self.make_room(now_us);
        }
        let tried = self.tried.entry(address).or_default();
        if tried.failures == 0 {
            tried.counted_us = now_us;
        }
        tried.forget(now_us);
        tried.failures = (tried.failures + 1).min(COUNTED_MAX);
        tried.next_us = now_us + tried.pause_us();
        tried.untold += 1;
        let is_due = tried.told_us.is_none_or(|at| now_us - at >= TOLD_EVERY_US);
        let second = now_us / 1_000_000;
        if self.told.0 != second {
            self.told = (second, 0);
        }
        if !is_due || self.told.1 >= TOLD_PER_SECOND {
            return None;
        }
        self.told.1 += 1;
        tried.told_us = Some(now_us);
        Some(std::mem::take(&mut tried.untold))
    }

    /// Drops who has failed longest ago, and nobody for whom connections wait.
    fn make_room(&mut self, now_us: u64) {
        self.tried.retain(|_, tried| {
            tried.forget(now_us);
            tried.failures > 0 || !tried.waiting.is_empty()
        });
        while self.tried.len() >= ADDRESSES_MAX {
            let idle = self.tried.iter().filter(|(_, tried)| tried.waiting.is_empty());
            let Some(oldest) = idle.min_by_key(|(_, tried)| tried.counted_us).map(|(at, _)| *at) else {
                return;
            };
            self.tried.remove(&oldest);
        }
    }

    /// Whose turn it is now: each is to be called.
    pub fn due(&mut self, now_us: u64) -> Vec<Waiting> {
        let mut due = Vec::new();
        for tried in self.tried.values_mut() {
            if tried.called.is_some_and(|(_, until_us)| now_us >= until_us) {
                tried.called = None;
            }
            if tried.called.is_none()
                && now_us >= tried.next_us
                && let Some(next) = tried.waiting.pop_front()
            {
                tried.called = Some((next, now_us + CALLED_US));
                due.push(next);
            }
        }
        due
    }

    /// True if connections wait.
    pub fn is_awaited(&self) -> bool {
        self.tried
            .values()
            .any(|tried| !tried.waiting.is_empty() || tried.called.is_some())
    }

    /// A connection is over.
    pub fn forget(&mut self, connection: Waiting) {
        for tried in self.tried.values_mut() {
            tried.waiting.retain(|waiting| *waiting != connection);
            tried.called = tried.called.filter(|(called, _)| *called != connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address::Local;

    fn there(last: u8) -> Address {
        Address::Internet(IpAddr::from([10, 0, 0, last]))
    }

    /// An address that has used up its free failures, and its clock.
    fn guessing(logins: &mut Logins) -> u64 {
        for number in 0..FREE {
            assert_eq!(logins.admit(HERE, (0, 1), u64::from(number)), Turn::Now);
            logins.fail(HERE, u64::from(number));
        }
        assert_eq!(logins.admit(HERE, (0, 1), 100), Turn::Now);
        logins.fail(HERE, 100);
        100
    }

    #[test]
    fn who_guesses_is_judged_a_few_times_a_second_however_many_connections_he_has() {
        let mut logins = Logins::default();
        let begin_us = guessing(&mut logins);
        let (mut judged, mut refused) = (0, 0);
        let mut client = 0;
        for step in 0..4_000u64 {
            let now_us = begin_us + step * 2_500;
            client += 1;
            match logins.admit(HERE, (client as u32, client), now_us) {
                Turn::Now => {
                    judged += 1;
                    logins.fail(HERE, now_us);
                }
                Turn::Later => {}
                Turn::Refused => refused += 1,
            }
            for called in logins.due(now_us) {
                assert_eq!(logins.admit(HERE, called, now_us), Turn::Now);
                judged += 1;
                logins.fail(HERE, now_us);
            }
            assert_eq!(logins.admit(there(1), (9999, 9999), now_us), Turn::Now, "others");
        }
        // Ten seconds.
        assert!((30..60).contains(&judged), "{judged}");
        assert!(refused > 3_000, "{refused}");
    }

    #[test]
    fn who_waits_is_called_in_order_and_who_is_gone_is_passed_over() {
        let mut logins = Logins::default();
        let now_us = guessing(&mut logins);
        for client in 1..=3 {
            assert_eq!(logins.admit(HERE, (0, client), now_us), Turn::Later);
        }
        assert_eq!(
            logins.admit(HERE, (0, 2), now_us),
            Turn::Later,
            "it keeps its place"
        );
        assert!(logins.is_awaited() && logins.due(now_us).is_empty());
        logins.forget((0, 1));
        let later_us = now_us + PAUSE_US_MAX;
        assert_eq!(logins.due(later_us), [(0, 2)]);
        assert!(logins.due(later_us + CALLED_US - 1).is_empty(), "one at a time");
        assert_eq!(
            logins.due(later_us + CALLED_US),
            [(0, 3)],
            "who does not come is passed over"
        );
    }

    #[test]
    fn failures_are_forgotten_and_told_seldom() {
        let mut logins = Logins::default();
        let now_us = guessing(&mut logins);
        assert_eq!(logins.admit(HERE, (0, 9), now_us + 400_000_000), Turn::Now);
        assert_eq!(logins.fail(HERE, now_us + 400_000_000), Some(u64::from(FREE) + 1));
        for number in 0..100 {
            assert_eq!(logins.fail(HERE, now_us + 400_000_001 + number), None);
        }
        let told = (0..100).filter(|last| logins.fail(there(*last), 500_000_000).is_some());
        assert_eq!(told.count(), TOLD_PER_SECOND as usize);
    }

    #[test]
    fn addresses_beyond_number_take_no_memory_beyond_bound() {
        let mut logins = Logins::default();
        for number in 0..(3 * ADDRESSES_MAX as u32) {
            logins.fail(Address::Internet(IpAddr::from(number.to_be_bytes())), 1);
        }
        assert!(logins.tried.len() <= ADDRESSES_MAX);
        let one: Endpoints = Endpoints::Internet {
            peer: "[2001:db8::1]:5".parse().expect("an address"),
            local: "[::1]:6379".parse().expect("an address"),
        };
        let other = Endpoints::Internet {
            peer: "[2001:db8::ffff:1]:6".parse().expect("an address"),
            local: "[::1]:6379".parse().expect("an address"),
        };
        assert_eq!(Address::from(&one), Address::from(&other));
    }
}
