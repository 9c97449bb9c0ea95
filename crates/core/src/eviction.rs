//! The memory limit and its policies, by Redis' names.
//!
//! Only what the words mean. Who chooses victims and when is in `replica/memory.rs`, how they are found
//! in `keyspace/evict.rs`.

/// What happens when the memory limit is reached. Copies of origin rows may go under any of them, since
/// the origin has the rows; keys with pending writes to their origin never go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvictionPolicy {
    /// Nothing but copies of origin rows goes; what would add memory is refused.
    #[default]
    NoEviction,
    /// Any key, at random.
    AllKeysRandom,
    /// The key that was used least recently, by samples.
    AllKeysLru,
    /// The key that is used least often, by samples.
    AllKeysLfu,
    /// A key with a deadline, at random.
    VolatileRandom,
    /// Of the keys with a deadline the one that was used least recently, by samples.
    VolatileLru,
    /// Of the keys with a deadline the one that is used least often, by samples.
    VolatileLfu,
    /// The key whose deadline comes first.
    VolatileTtl,
}

/// What is remembered of the accesses to a key, on this node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tracking {
    /// Nothing.
    #[default]
    Off,
    /// When the last one was.
    Recency,
    /// How many there were, the older ones counting less.
    Frequency,
}

impl EvictionPolicy {
    /// All of them with their names, in the order in which Redis lists them.
    pub const ALL: [(&'static str, Self); 8] = [
        ("volatile-lru", Self::VolatileLru),
        ("volatile-lfu", Self::VolatileLfu),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
        ("allkeys-lru", Self::AllKeysLru),
        ("allkeys-lfu", Self::AllKeysLfu),
        ("allkeys-random", Self::AllKeysRandom),
        ("noeviction", Self::NoEviction),
    ];

    /// The policy of this name, case-insensitive.
    pub fn named(name: &str) -> Option<Self> {
        let known = Self::ALL
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        known.map(|(_, policy)| *policy)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, policy)| *policy == self);
        known.map_or("noeviction", |(name, _)| name)
    }

    /// What of the accesses it needs to know.
    pub fn tracking(self) -> Tracking {
        match self {
            Self::AllKeysLru | Self::VolatileLru => Tracking::Recency,
            Self::AllKeysLfu | Self::VolatileLfu => Tracking::Frequency,
            Self::NoEviction | Self::AllKeysRandom | Self::VolatileRandom | Self::VolatileTtl => {
                Tracking::Off
            }
        }
    }

    /// True if it takes any plain key.
    pub fn takes_all_keys(self) -> bool {
        matches!(self, Self::AllKeysRandom | Self::AllKeysLru | Self::AllKeysLfu)
    }

    /// True if it takes plain keys with a deadline only.
    pub fn takes_volatile_keys(self) -> bool {
        !self.takes_all_keys() && self != Self::NoEviction
    }
}

/// How much memory a node may use, and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemoryLimit {
    /// Bytes; 0: no limit.
    pub bytes_max: u64,
    /// Which keys are evicted when they are used up.
    pub policy: EvictionPolicy,
}

impl MemoryLimit {
    /// What of the accesses has to be known: without a limit too, since OBJECT IDLETIME and FREQ tell it.
    pub fn tracking(self) -> Tracking {
        self.policy.tracking()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for (name, policy) in EvictionPolicy::ALL {
            assert_eq!(EvictionPolicy::named(&name.to_uppercase()), Some(policy));
            assert_eq!(policy.name(), name);
        }
        assert_eq!(EvictionPolicy::named("allkeys"), None);
    }
}
