//! Keys, and fields of hashes, that are there to expire on time: each is set once, with a time to live, and looked at again
//! and again. What is there has the value that it was given.
//!
//! The judge of punctual expiry: a key may be gone early, or stay late, by no more than shard time may differ from
//! true time: a part of its life for slewing and for clocks that run fast or slow, and [`SLACK_US`] for what two leaders
//! may differ. It judges only where a majority of the wall clocks is right.

use repligo_proto::resp::{OwnedRequest, Value};

use super::plan::{Fault, Plan};
use super::queue::Micros;
use super::session::Ask;
use super::workload::{Expected, Workload, request};
use crate::random::Random;

/// Shard time may differ by so much from true time beside slewing.
const SLACK_US: Micros = 2_500_000;
/// As late as that a key may be gone where some clock is wrong: after a start of all nodes shard time goes on from the last
/// entry if of two clocks that are known the earlier one is wrong, so that the time of the outage is not counted.
const OUTAGE_US: Micros = 10_000_000;
/// A life may be shorter or longer by this part of it: a tenth of slewing, and clocks of the simulation.
const PART: Micros = 6;

#[derive(Clone, Copy, Debug)]
struct Life {
    lifetime_us: Micros,
    asked_at: Micros,
    /// Set if the key is known to have been written.
    written_at: Option<Micros>,
}

/// All such keys.
#[derive(Debug, Default)]
pub struct Lasting {
    enabled: bool,
    /// No clock is wrong but for moments.
    all_right: bool,
    lives: Vec<Life>,
}

/// What is expected of an answer about such a key.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    life: usize,
    asked_at: Micros,
    writes: bool,
}

impl Lasting {
    /// No key yet; none at all where expiry cannot be judged.
    pub fn new(plan: &Plan) -> Self {
        // Members that come and go may leave the wrong clocks in the majority.
        let changes = [Fault::Join, Fault::Remove, Fault::Wipe, Fault::Restore];
        let keeps_members = !changes.into_iter().any(|fault| plan.has(fault));
        Self {
            enabled: plan.wrong_clocks.is_some() && plan.memory.bytes_max == 0 && keeps_members,
            all_right: plan.wrong_clocks.as_ref().is_some_and(Vec::is_empty),
            lives: Vec::new(),
        }
    }

    fn think(&mut self, random: &mut Random, now: Micros) -> (Ask, Look) {
        let writes = self.lives.is_empty() || random.chance(300);
        if !writes {
            let life = random.below(self.lives.len() as u64) as usize;
            return (Ask::Command(read_request(life)), look(life, now, false));
        }
        let life = self.lives.len();
        let lifetime_ms = *random.pick(&[500, 3_000, 30_000, 60_000, 1_800_000]);
        self.lives.push(Life {
            lifetime_us: lifetime_ms * 1_000,
            asked_at: now,
            written_at: None,
        });
        (
            write_request(life, &lifetime_ms.to_string()),
            look(life, now, true),
        )
    }

    /// Judges an answer that came at `now`; true if it was a refusal.
    pub(super) fn judge(&mut self, look: Look, value: &Value, now: Micros) -> Result<bool, String> {
        if value.as_error().is_some() {
            return Ok(true);
        }
        let life = &mut self.lives[look.life];
        if look.writes {
            life.written_at = Some(now);
            return Ok(false);
        }
        let Some(written_at) = life.written_at else {
            return Ok(false);
        };
        let slack_us = SLACK_US + life.lifetime_us / PART;
        let (at, verdict) = (
            look.asked_at,
            format!(
                "{} with {} us to live, set at {}",
                name(look.life),
                life.lifetime_us,
                life.asked_at
            ),
        );
        if matches!(value, Value::Null) {
            // It was written before it was looked at only if that was answered before.
            let early = written_at <= at && now + slack_us < life.asked_at + life.lifetime_us;
            return if early {
                Err(format!("{verdict} was gone at {now}"))
            } else {
                Ok(false)
            };
        }
        if value.as_bytes() != Some(value_of(look.life).as_bytes()) {
            return Err(format!("{verdict} was read as {value:?} at {at}"));
        }
        let outage_us = if self.all_right { 0 } else { OUTAGE_US };
        if at > written_at + life.lifetime_us + slack_us + outage_us {
            return Err(format!("{verdict} was still there at {at}"));
        }
        Ok(false)
    }
}

fn look(life: usize, asked_at: Micros, writes: bool) -> Look {
    Look {
        life,
        asked_at,
        writes,
    }
}

fn name(life: usize) -> String {
    format!("t{life}")
}

fn value_of(life: usize) -> String {
    format!("v{life}")
}

/// Hashes whose fields are lives.
const HASHES: usize = 3;

/// The hash whose field a life is: each second one is a field.
fn hash_of(life: usize) -> Option<String> {
    (life % 2 == 1).then(|| format!("th{}", life / 2 % HASHES))
}

fn read_request(life: usize) -> OwnedRequest {
    match hash_of(life) {
        None => request(&["GET", &name(life)]),
        Some(hash) => request(&["HGET", &hash, &name(life)]),
    }
}

/// What gives a life so many milliseconds, of a field in one command or in two.
fn write_request(life: usize, lifetime_ms: &str) -> Ask {
    let (name, value) = (name(life), value_of(life));
    let Some(hash) = hash_of(life) else {
        return Ask::Command(request(&["SET", &name, &value, "PX", lifetime_ms]));
    };
    if life % 4 == 1 {
        let words = ["HSETEX", &hash, "PX", lifetime_ms, "FIELDS", "1", &name, &value];
        return Ask::Command(request(&words));
    }
    Ask::Transaction(vec![
        request(&["HSET", &hash, &name, &value]),
        request(&["HPEXPIRE", &hash, lifetime_ms, "NX", "FIELDS", "1", &name]),
    ])
}

impl Look {
    /// When the request was made.
    pub fn asked_at(&self) -> Micros {
        self.asked_at
    }
}

impl Workload {
    /// Sets such a key or looks at one; false where they are not in use.
    pub(super) fn use_lasting(&mut self, random: &mut Random, now: Micros) -> bool {
        if !self.lasting.enabled {
            return false;
        }
        let (ask, look) = self.lasting.think(random, now);
        self.thought.push((ask, Expected::Lasting(look)));
        true
    }

    /// Many keys, or fields, that expire together, which nobody judges but the comparison of replicas.
    pub(super) fn use_many(&mut self, random: &mut Random) {
        let lifetime = random.skewed(1, 500).to_string();
        let first = random.below(1000);
        if first % 5 < 2 {
            let words = ["HSETEX", "crowd:fields", "PX", &lifetime, "FIELDS", "20"].map(str::to_owned);
            let pairs = (first..first + 20).flat_map(|number| [format!("f{number}"), "z".to_owned()]);
            let words: Vec<String> = words.into_iter().chain(pairs).collect();
            return self.ask(OwnedRequest::new(&words), Expected::Accepted);
        }
        let names: Vec<String> = (first..first + 20)
            .map(|number| format!("crowd:{number}"))
            .collect();
        let block = names
            .iter()
            .map(|name| request(&["SET", name, "z", "PX", &lifetime]))
            .collect();
        self.thought.push((Ask::Transaction(block), Expected::Accepted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_dies_early_or_lives_late_is_found() {
        let life = |lifetime_us| Lasting {
            enabled: true,
            all_right: true,
            lives: vec![Life {
                lifetime_us,
                asked_at: 1_000_000,
                written_at: Some(1_100_000),
            }],
        };
        let alive = Value::Bulk(b"v0".to_vec());
        let judge = |lifetime_us, value: &Value, at| {
            life(lifetime_us)
                .judge(look(0, at, false), value, at + 1_000)
                .is_err()
        };
        assert!(judge(60_000_000, &Value::Null, 7_000_000), "a tenth of its life");
        assert!(!judge(60_000_000, &alive, 7_000_000));
        let other = Value::Bulk(b"v1".to_vec());
        assert!(judge(60_000_000, &other, 7_000_000), "the value of another one");
        assert!(judge(3_000_000, &alive, 8_000_000), "two seconds too long");
        assert!(!judge(3_000_000, &Value::Null, 8_000_000));
        assert!(!judge(3_000_000, &Value::Null, 3_900_000) && !judge(3_000_000, &alive, 4_300_000));
    }
}
