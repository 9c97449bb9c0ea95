//! Hit rates of the eviction policies, beside textbook algorithms that keep their full bookkeeping, on
//! Zipf traces: steady ones, such that are polluted by scans, and such whose favourites change.
//!
//! Run: `cargo run --release -p repligo-core --example hit_rate`
//!
//! The policies are the real ones: a keyspace, its tables and marks, and the chooser of victims. Each is
//! given as many entries as the others. Repeatable: every number follows from fixed seeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::eviction::EvictionPolicy;
use repligo_core::keyspace::{Chooser, Keyspace, ReadClock, Wish};
use repligo_core::op::VictimsBuffer;
use repligo_core::table::HashSeed;
use repligo_proto::reply::ReplyWriter;

const KEYS: usize = 100_000;
const CAPACITY: usize = 10_000;
const REQUESTS: usize = 1_500_000;
/// Victims are chosen together, as in a turn.
const BATCH: usize = 64;

/// A cache of [`CAPACITY`] entries: true on a hit, and a miss brings the key in.
trait Cache {
    fn access(&mut self, key: u64) -> bool;
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Requests after which other keys are in demand, where demand moves.
const MOVES_EVERY: usize = 20 * CAPACITY;

/// Zipf requests; after each [`CAPACITY`] of them `scan` keys that never come again. Where demand `moves`,
/// all keys change places with others now and then: what was in demand no longer is.
fn trace(exponent: f64, scan: usize, moves: bool) -> Vec<u64> {
    let mut sum = 0.0;
    let steps = (1..=KEYS).map(|rank| {
        sum += (rank as f64).powf(-exponent);
        sum
    });
    let steps: Vec<f64> = steps.collect();
    let mut random = Random(1);
    let mut requests = Vec::with_capacity(REQUESTS);
    let mut fresh = 1 << 32;
    while requests.len() < REQUESTS {
        for _ in 0..CAPACITY {
            let point = (random.next() >> 11) as f64 / (1u64 << 53) as f64 * sum;
            let rank = steps.partition_point(|&step| step < point) as u64;
            let era = if moves { requests.len() / MOVES_EVERY } else { 0 };
            let place = (rank + (era * 7 * CAPACITY) as u64) % KEYS as u64;
            // Neighbours in rank are no neighbours in the key space.
            requests.push(Random(place).next() >> 32);
        }
        for _ in 0..scan {
            fresh += 1;
            requests.push(fresh);
        }
    }
    requests
}

/// The policies as they are.
struct Ours {
    policy: EvictionPolicy,
    keyspace: Keyspace,
    chooser: Chooser,
    len: usize,
}

impl Ours {
    fn new(policy: EvictionPolicy) -> Self {
        let mut keyspace = Keyspace::new(HashSeed::from_number(5));
        keyspace.track(policy.tracking());
        Self {
            policy,
            keyspace,
            chooser: Chooser::new(3),
            len: 0,
        }
    }
}

impl Cache for Ours {
    fn access(&mut self, key: u64) -> bool {
        let key = key.to_le_bytes();
        let mut reply = Vec::new();
        let get = Command::Get { db: 0, key: &key };
        let _ = self.keyspace.read(
            &get,
            ReadClock {
                now_ms: 0,
                leader_ms: 0,
            },
            &mut ReplyWriter::new(&mut reply, false),
        );
        if reply != b"$-1\r\n" {
            return true;
        }
        let set = Command::Set {
            db: 0,
            key: &key,
            value: b"0123456789abcdef",
            expiry: Expiry::Never,
            condition: SetCondition::Always,
            reply: SetReply::Ok,
        };
        self.keyspace.apply(&set, &mut ReplyWriter::discard());
        self.len += 1;
        if self.len > CAPACITY {
            let wish = Wish {
                policy: self.policy,
                bytes: u64::MAX,
                count_max: BATCH,
                has_rows: false,
                row_version_max: u64::MAX,
            };
            let mut victims = VictimsBuffer::default();
            self.chooser
                .choose(&self.keyspace, wish, &|_, _| false, &mut victims);
            for victim in victims.victims().iter() {
                self.len -= usize::from(self.keyspace.evict(victim));
            }
        }
        false
    }
}

/// Least recently used, exactly.
#[derive(Default)]
struct Lru {
    clock: u64,
    used: BTreeMap<u64, u64>,
    order: BTreeMap<u64, u64>,
}

impl Cache for Lru {
    fn access(&mut self, key: u64) -> bool {
        self.clock += 1;
        let before = self.used.insert(key, self.clock);
        if let Some(clock) = before {
            self.order.remove(&clock);
        }
        self.order.insert(self.clock, key);
        if self.used.len() > CAPACITY {
            let (_, oldest) = self.order.pop_first().expect("as many as in `used`");
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}

/// S3-FIFO (Yang et al., SOSP 2023): a small queue of a tenth, a main one, and ghosts of the main one's size.
#[derive(Default)]
struct S3Fifo {
    frequency: BTreeMap<u64, u8>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    ghosts: VecDeque<u64>,
    is_ghost: BTreeSet<u64>,
}

impl S3Fifo {
    fn evict(&mut self) {
        if self.small.len() >= CAPACITY / 10 {
            let key = self.small.pop_front().expect("it is not empty");
            if self.frequency[&key] > 1 {
                self.frequency.insert(key, 0);
                self.main.push_back(key);
                return;
            }
            self.frequency.remove(&key);
            self.ghosts.push_back(key);
            self.is_ghost.insert(key);
            if self.ghosts.len() > CAPACITY * 9 / 10 {
                let oldest = self.ghosts.pop_front().expect("it is not empty");
                self.is_ghost.remove(&oldest);
            }
            return;
        }
        let key = self.main.pop_front().expect("nine tenths are here");
        match self.frequency[&key] {
            0 => {
                self.frequency.remove(&key);
            }
            some => {
                self.frequency.insert(key, some - 1);
                self.main.push_back(key);
            }
        }
    }
}

impl Cache for S3Fifo {
    fn access(&mut self, key: u64) -> bool {
        if let Some(frequency) = self.frequency.get_mut(&key) {
            *frequency = (*frequency + 1).min(3);
            return true;
        }
        while self.frequency.len() >= CAPACITY {
            self.evict();
        }
        self.frequency.insert(key, 0);
        if self.is_ghost.remove(&key) {
            self.main.push_back(key);
        } else {
            self.small.push_back(key);
        }
        false
    }
}

/// W-TinyLFU (Einziger et al., TOS 2017): a window of a hundredth, and behind it a segmented LRU that
/// admits by frequency. Frequencies are counted exactly, also of keys that are not there.
#[derive(Default)]
struct TinyLfu {
    counts: BTreeMap<u64, u32>,
    counted: usize,
    window: Segment,
    probation: Segment,
    protected: Segment,
}

#[derive(Default)]
struct Segment {
    clock: u64,
    used: BTreeMap<u64, u64>,
    order: BTreeMap<u64, u64>,
}

impl Segment {
    fn remove(&mut self, key: u64) -> bool {
        let clock = self.used.remove(&key);
        clock.is_some_and(|clock| self.order.remove(&clock).is_some())
    }

    fn push(&mut self, key: u64) {
        self.clock += 1;
        self.used.insert(key, self.clock);
        self.order.insert(self.clock, key);
    }

    fn pop(&mut self) -> u64 {
        let (_, key) = self.order.pop_first().expect("it is not empty");
        self.used.remove(&key);
        key
    }

    fn len(&self) -> usize {
        self.used.len()
    }
}

impl Cache for TinyLfu {
    fn access(&mut self, key: u64) -> bool {
        *self.counts.entry(key).or_default() += 1;
        self.counted += 1;
        if self.counted == 10 * CAPACITY {
            self.counted /= 2;
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        if self.window.remove(key) {
            self.window.push(key);
            return true;
        }
        if self.probation.remove(key) || self.protected.remove(key) {
            self.protected.push(key);
            if self.protected.len() > CAPACITY * 99 / 100 * 8 / 10 {
                let demoted = self.protected.pop();
                self.probation.push(demoted);
            }
            return true;
        }
        self.window.push(key);
        if self.window.len() > CAPACITY / 100 {
            let candidate = self.window.pop();
            if self.probation.len() + self.protected.len() < CAPACITY * 99 / 100 {
                self.probation.push(candidate);
                return false;
            }
            let victim = self.probation.pop();
            let count = |key: u64| self.counts.get(&key).copied().unwrap_or(0);
            let stays = if count(candidate) > count(victim) {
                candidate
            } else {
                victim
            };
            self.probation.push(stays);
        }
        false
    }
}

fn hit_rate(cache: &mut dyn Cache, requests: &[u64]) -> f64 {
    // The first part only warms up.
    let (warm, judged) = requests.split_at(requests.len() / 3);
    for &key in warm {
        cache.access(key);
    }
    // Keys of scans cannot hit, so only the others are counted.
    let judged: Vec<u64> = judged.to_vec();
    let (mut hits, mut count) = (0, 0);
    for key in judged {
        let hit = cache.access(key);
        if key < 1 << 32 {
            hits += u32::from(hit);
            count += 1;
        }
    }
    f64::from(hits) * 100.0 / f64::from(count)
}

fn main() {
    let traces = [
        ("Zipf 0.99", trace(0.99, 0, false)),
        ("Zipf 0.99 and scans", trace(0.99, CAPACITY, false)),
        ("Zipf 0.8", trace(0.8, 0, false)),
        ("Zipf 0.8 and scans", trace(0.8, CAPACITY, false)),
        ("Zipf 0.99 that moves", trace(0.99, 0, true)),
        ("that moves, and scans", trace(0.99, CAPACITY, true)),
    ];
    println!("hits in % of the requests that can hit; {KEYS} keys, {CAPACITY} entries");
    let names: Vec<&str> = traces.iter().map(|(name, _)| *name).collect();
    println!("| | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    let report = |name: &str, make: &dyn Fn() -> Box<dyn Cache>| {
        let rates = traces
            .iter()
            .map(|(_, requests)| hit_rate(&mut *make(), requests));
        let rates: Vec<String> = rates.map(|rate| format!("{rate:.1}")).collect();
        println!("| {name} | {} |", rates.join(" | "));
    };
    for policy in [
        EvictionPolicy::AllKeysRandom,
        EvictionPolicy::AllKeysLru,
        EvictionPolicy::AllKeysLfu,
    ] {
        report(&format!("`{}`", policy.name()), &|| Box::new(Ours::new(policy)));
    }
    report("LRU, exact", &|| Box::<Lru>::default());
    report("S3-FIFO", &|| Box::<S3Fifo>::default());
    report("W-TinyLFU, exact counts", &|| Box::<TinyLfu>::default());
}
