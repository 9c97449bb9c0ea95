//! The memory limit on a single replica: how eviction keeps up, and that refusals end.

use std::sync::Arc;

use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, MemoryInput, Outputs, ReadLevel, Request, Settings,
};
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;

struct Single {
    now: Now,
    replica: Replica,
    outputs: Outputs,
    refused: u64,
}

impl Single {
    fn new(bytes_max: u64, policy: EvictionPolicy) -> Self {
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let settings = Settings {
            identity: Identity {
                cluster_id: 1,
                generation: 1,
                peer: 1,
                incarnation: 1,
            },
            membership: Membership::of_count(1),
            durability: Durability::None,
            seed: 3,
            hash_seed: HashSeed::from_number(7),
            origin: Arc::new(OriginMap::new(Vec::new()).expect("an empty map")),
            log_bytes_max: 64 << 20,
        };
        let mut single = Self {
            now,
            replica: Replica::new(settings, Boot::default(), now),
            outputs: Outputs::default(),
            refused: 0,
        };
        for _ in 0..200 {
            single.tick();
        }
        let limit = MemoryLimit { bytes_max, policy };
        single.step(Input::Memory(MemoryInput {
            limit,
            outside_bytes: 0,
        }));
        single
    }

    fn step(&mut self, input: Input<'_>) {
        self.replica.step(self.now, input, &mut self.outputs);
        self.replica.invariants();
    }

    fn tick(&mut self) {
        self.now.mono_us += 25_000;
        self.now.wall_ms += 25;
        self.step(Input::Tick);
        self.step(Input::Turn);
    }

    /// Sets keys, `per_turn` at a time; a tick after each ten turns.
    fn fill(&mut self, numbers: std::ops::Range<u32>, per_turn: usize, value_bytes: impl Fn(u32) -> usize) {
        let numbers: Vec<u32> = numbers.collect();
        for (turn, part) in numbers.chunks(per_turn).enumerate() {
            for &number in part {
                let key = format!("key:{number:09}");
                let command = Command::Set {
                    db: 0,
                    key: key.as_bytes(),
                    value: &vec![b'x'; value_bytes(number)],
                    expiry: Expiry::Never,
                    condition: SetCondition::Always,
                    reply: SetReply::Ok,
                };
                self.step(Input::Request(Request {
                    ticket: u64::from(number),
                    resp3: false,
                    rides: false,
                    token: None,
                    level: ReadLevel::Linearizable,
                    actor: Default::default(),
                    demand: Demand::default(),
                    body: Body::Command(&command),
                }));
            }
            self.step(Input::Turn);
            for _ in 0..100 {
                if self.replica.has_work() {
                    self.step(Input::Turn);
                }
            }
            assert!(!self.replica.has_work(), "work comes to an end");
            for reply in self.outputs.replies.drain(..) {
                let bytes = &self.outputs.reply_bytes[reply.start as usize..reply.end as usize];
                self.refused += u64::from(bytes.starts_with(b"-OOM"));
            }
            self.outputs.reply_bytes.clear();
            if turn % 10 == 9 {
                self.tick();
            }
        }
    }
}

#[test]
fn eviction_keeps_up_and_memory_is_used() {
    for policy in [
        EvictionPolicy::AllKeysRandom,
        EvictionPolicy::AllKeysLru,
        EvictionPolicy::AllKeysLfu,
    ] {
        for per_turn in [1, 50, 500] {
            let bytes_max = 2 << 20;
            let mut single = Single::new(bytes_max, policy);
            single.fill(0..40_000, per_turn, |_| 100);
            let memory = single.replica.memory();
            let keys = single.replica.keyspace().summary(0).keys;
            assert_eq!(single.refused, 0, "{policy:?} {per_turn} {memory:?} {keys}");
            assert_eq!(keys + memory.evicted_keys, 40_000);
            assert!(memory.used_bytes <= bytes_max + bytes_max / 32, "{memory:?}");
            assert!(
                keys * 100 > bytes_max / 2,
                "{policy:?} {per_turn}: {keys} are left"
            );
        }
    }
}

#[test]
fn memory_moves_on_when_sizes_change() {
    let bytes_max = 4 << 20;
    let mut single = Single::new(bytes_max, EvictionPolicy::AllKeysLru);
    let mut next = 0;
    for value_bytes in [30, 3_000, 200, 20_000, 60] {
        let count = 12 * (bytes_max as u32 / (value_bytes + 60)) / 4;
        let per_turn = (150_000 / value_bytes).clamp(1, 100) as usize;
        single.fill(next..next + count, per_turn, |number| {
            (value_bytes + number % 7) as usize
        });
        next += count;
        let memory = single.replica.memory();
        assert!(
            memory.used_bytes <= bytes_max + bytes_max / 16,
            "{value_bytes}: {memory:?}"
        );
        let keys = single.replica.keyspace().summary(0).keys;
        assert!(
            keys * u64::from(value_bytes + 60) > bytes_max / 3,
            "{value_bytes}: {keys} are left, {memory:?}"
        );
        assert_eq!(single.refused, 0, "{value_bytes}: {memory:?}");
    }
}
