//! Rows that readers miss, on the leader: one load per key however many wait, and none that could bring
//! back a value older than a write.
//!
//! A load holds a lease on its key. An intent on the key voids it: the answer is dropped, and the key is
//! loaded anew when nothing on it is pending. Why that suffices: a result that arrives in time was read
//! while no intent on the key had been applied here, and [`super::Lanes::apply_fill`] checks again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::lanes::Lanes;
use super::map::{Mode, OriginMap, Policy};
use super::op::{Fill, OriginOp};
use super::output::{FailedLoad, FlusherOutput};
use super::request::{Load, OriginError, OriginRequest};
use super::words;
use crate::limits::REPLICATED_OP_BYTES_MAX;

/// Loads in flight per shard; others wait in the leader.
pub const LOADS_IN_FLIGHT_MAX: usize = 4096;
/// How long a load may wait for pending writes on its key, in microseconds, before its readers get an
/// error: they would otherwise wait as long as the origin is down.
pub const LOAD_WAIT_US: u64 = 5_000_000;
/// Shortest pause after a failed load, in microseconds; doubled up to [`LOAD_PAUSE_US_MAX`].
const LOAD_PAUSE_US_MIN: u64 = 100_000;
const LOAD_PAUSE_US_MAX: u64 = 1_000_000;
/// Pause before a load is tried again that came before the first takeover, in microseconds.
const UNCLAIMED_PAUSE_US: u64 = 10_000;
/// Key and row that one entry of the log can take.
const FILL_BYTES_MAX: usize = REPLICATED_OP_BYTES_MAX - (1 << 10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Waits for its turn, or for pending writes on the key.
    Queued { since_us: u64 },
    /// With the driver.
    Loading { id: u64, since_us: u64 },
    /// Proposed; ends when the fill is applied.
    Filling,
}

/// Whether loads of one origin make sense now.
#[derive(Clone, Debug, Default)]
struct Link {
    failing: Option<String>,
    retry_at_us: u64,
    pause_us: u64,
    /// No lane row of this cluster was there: loads wait until then, and are tried again.
    unclaimed_until_us: u64,
}

/// A keyspace that is only read, and that cannot be: nothing but a load shows whether it can be again.
#[derive(Clone, Debug)]
struct Trouble {
    /// The whole error for clients.
    error: String,
    /// The key whose load failed; it is asked for again.
    key: Bytes,
    retry_at_us: u64,
    pause_us: u64,
    /// The load that asks.
    probe: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Per keyspace.
    wants: Vec<BTreeMap<Bytes, Want>>,
    /// Per keyspace: the keys in [`Want::Queued`].
    queued: Vec<BTreeSet<Bytes>>,
    /// Keyspace, key, and [`Lanes::invalidations`] when it began.
    in_flight: BTreeMap<u64, (u16, Bytes, u64)>,
    /// Per origin.
    links: Vec<Link>,
    /// By keyspace.
    troubles: BTreeMap<u16, Trouble>,
    /// Per keyspace: a load of it succeeded in this leadership.
    proven: Vec<bool>,
    last_id: u64,
}

impl Loads {
    pub fn new(map: &OriginMap) -> Self {
        Self {
            wants: map.policies().iter().map(|_| BTreeMap::new()).collect(),
            queued: map.policies().iter().map(|_| BTreeSet::new()).collect(),
            links: map.origins().iter().map(|_| Link::default()).collect(),
            proven: vec![false; map.policies().len()],
            ..Self::default()
        }
    }

    /// Forgets all wants; answers that are still on their way find nothing.
    pub fn clear(&mut self) {
        self.wants.iter_mut().for_each(BTreeMap::clear);
        self.queued.iter_mut().for_each(BTreeSet::clear);
        self.in_flight.clear();
        self.troubles.clear();
        self.proven.fill(false);
    }

    /// Why a keyspace that is only read cannot be: the whole error for clients.
    pub fn trouble(&self, keyspace: usize) -> Option<&String> {
        self.troubles
            .get(&(keyspace as u16))
            .map(|trouble| &trouble.error)
    }

    /// A load of the keyspace succeeded in this leadership.
    pub fn is_proven(&self, keyspace: usize) -> bool {
        self.proven[keyspace]
    }

    /// Some key is wanted.
    #[cfg(test)]
    pub fn is_wanted(&self) -> bool {
        self.wants.iter().any(|wants| !wants.is_empty())
    }

    pub fn want(&mut self, now_us: u64, keyspace: u16, key: &[u8]) {
        let wants = &mut self.wants[usize::from(keyspace)];
        if !wants.contains_key(key) {
            let key = Bytes::copy_from_slice(key);
            wants.insert(key.clone(), Want::Queued { since_us: now_us });
            self.queued[usize::from(keyspace)].insert(key);
        }
    }

    /// An intent on the key was applied, or it was evicted or invalidated: a load in flight may read either side of it.
    pub fn void(&mut self, keyspace: u16, key: &[u8]) {
        let Some((key, want)) = self.wants[usize::from(keyspace)].get_key_value(key) else {
            return;
        };
        if let Want::Loading { id, since_us } = *want {
            let key = key.clone();
            self.in_flight.remove(&id);
            self.requeue(keyspace, key, since_us);
        }
    }

    /// What is in flight for the keyspace may have been read from a database that was another cluster's soon after.
    pub fn void_all(&mut self, keyspace: u16) {
        let loading = self.in_flight.values().filter(|(of, ..)| *of == keyspace);
        let keys: Vec<Bytes> = loading.map(|(_, key, _)| key.clone()).collect();
        for key in keys {
            self.void(keyspace, &key);
        }
    }

    /// The key was decided or filled: its readers try again, and ask again if they must.
    pub fn settle(&mut self, keyspace: u16, key: &[u8]) {
        match self.wants[usize::from(keyspace)].remove(key) {
            Some(Want::Loading { id, .. }) => {
                self.in_flight.remove(&id);
            }
            Some(Want::Queued { .. }) => {
                self.queued[usize::from(keyspace)].remove(key);
            }
            Some(Want::Filling) | None => {}
        }
    }

    /// Starts what may start, and gives up what waited too long.
    pub fn poll(&mut self, now_us: u64, lanes: &Lanes, out: &mut FlusherOutput) {
        for (keyspace, trouble) in &mut self.troubles {
            if trouble.probe.is_none() && now_us >= trouble.retry_at_us {
                self.last_id += 1;
                trouble.probe = Some(self.last_id);
                out.requests.push(OriginRequest::Load(Load {
                    id: self.last_id,
                    keyspace: *keyspace,
                    key: trouble.key.clone(),
                }));
            }
        }
        for keyspace in 0..self.queued.len() {
            if self.queued[keyspace].is_empty() {
                continue;
            }
            let keys: Vec<Bytes> = self.queued[keyspace].iter().cloned().collect();
            for key in keys {
                if self.in_flight.len() >= LOADS_IN_FLIGHT_MAX {
                    return;
                }
                self.start(now_us, lanes, (keyspace as u16, key), out);
            }
        }
    }

    fn start(&mut self, now_us: u64, lanes: &Lanes, (keyspace, key): (u16, Bytes), out: &mut FlusherOutput) {
        let policy = lanes.map().policy(keyspace);
        let Some(Want::Queued { since_us }) = self.wants[usize::from(keyspace)].get(&key).copied() else {
            unreachable!("every queued key is wanted and not in flight");
        };
        if lanes.is_pending(keyspace, &key) {
            // While the origin is known to be down, the write in front has to wait for it.
            let known = lanes.refusal(keyspace).map(str::to_owned);
            let waited = now_us.saturating_sub(since_us) >= LOAD_WAIT_US;
            if let Some(error) = known.or_else(|| waited.then(|| words::write_undecided(&policy.name))) {
                self.fail(keyspace, key, error, out);
            }
            return;
        }
        let link = &self.links[usize::from(policy.origin)];
        if let Some(detail) = link.failing.as_ref().filter(|_| now_us < link.retry_at_us) {
            let error = words::origin_down(&policy.name, detail);
            self.fail(keyspace, key, error, out);
            return;
        }
        if now_us < link.unclaimed_until_us {
            if let Some(error) = lanes.refusal(keyspace) {
                self.fail(keyspace, key, error.to_owned(), out);
            }
            return;
        }
        self.last_id += 1;
        let id = self.last_id;
        let invalidations = lanes.invalidations();
        self.in_flight.insert(id, (keyspace, key.clone(), invalidations));
        self.queued[usize::from(keyspace)].remove(&key);
        self.wants[usize::from(keyspace)].insert(key.clone(), Want::Loading { id, since_us });
        out.requests.push(OriginRequest::Load(Load { id, keyspace, key }));
    }

    /// A load came back. Returns the origin that seems to be down, if so.
    pub fn loaded(
        &mut self,
        now_us: u64,
        map: &OriginMap,
        (id, result): (u64, Result<Option<Bytes>, OriginError>),
        out: &mut FlusherOutput,
    ) -> Option<u16> {
        let Some((keyspace, key, invalidations)) = self.in_flight.remove(&id) else {
            return self.probed(now_us, map, (id, result));
        };
        let policy = map.policy(keyspace);
        match &result {
            Ok(_) => self.is_well(keyspace),
            Err(error) if policy.mode == Mode::ReadThrough => {
                self.is_ill(now_us, policy, (keyspace, &key), error);
            }
            Err(_) => {}
        }
        let link = &mut self.links[usize::from(policy.origin)];
        match result {
            Ok(Some(value)) if key.len() + value.len() > FILL_BYTES_MAX => {
                *link = Link::default();
                let error = words::row_too_large(&policy.name, value.len(), FILL_BYTES_MAX);
                self.fail(keyspace, key, error, out);
                None
            }
            Ok(value) => {
                *link = Link::default();
                self.wants[usize::from(keyspace)].insert(key.clone(), Want::Filling);
                let fill = Fill {
                    keyspace,
                    key,
                    value,
                    invalidations,
                };
                out.proposals.push(OriginOp::Fill(fill));
                None
            }
            Err(OriginError::Configuration(detail)) => {
                let error = words::origin_misconfigured(&policy.name, &detail);
                self.fail(keyspace, key, error, out);
                None
            }
            // A takeover is to find it out, too: copies that were loaded before have to go.
            Err(OriginError::Foreign(detail)) => {
                let error = words::origin_misconfigured(&policy.name, &detail);
                self.fail(keyspace, key, error, out);
                Some(policy.origin)
            }
            Err(OriginError::Unclaimed) => {
                link.unclaimed_until_us = now_us + UNCLAIMED_PAUSE_US;
                self.on_unclaimed(now_us, policy, (keyspace, key), out);
                Some(policy.origin)
            }
            Err(OriginError::Down(detail) | OriginError::Unknown(detail)) => {
                link.pause_us = (link.pause_us * 2).clamp(LOAD_PAUSE_US_MIN, LOAD_PAUSE_US_MAX);
                link.retry_at_us = now_us + link.pause_us;
                let error = words::origin_down(&policy.name, &detail);
                link.failing = Some(detail);
                self.fail(keyspace, key, error, out);
                Some(policy.origin)
            }
            Err(OriginError::Fenced) => unreachable!("a load has no fence"),
        }
    }

    /// The database does not know this cluster yet, or no longer: a takeover changes that within milliseconds.
    fn on_unclaimed(
        &mut self,
        now_us: u64,
        policy: &Policy,
        (keyspace, key): (u16, Bytes),
        out: &mut FlusherOutput,
    ) {
        let Some(Want::Loading { since_us, .. }) = self.wants[usize::from(keyspace)].get(&key).copied()
        else {
            unreachable!("a key in flight is loading");
        };
        if now_us.saturating_sub(since_us) < LOAD_WAIT_US {
            return self.requeue(keyspace, key, since_us);
        }
        let error = words::origin_down(&policy.name, "this cluster could not take it over yet");
        self.fail(keyspace, key, error, out);
    }

    /// The answer to a load that asked whether a keyspace can be read again.
    fn probed(
        &mut self,
        now_us: u64,
        map: &OriginMap,
        (id, result): (u64, Result<Option<Bytes>, OriginError>),
    ) -> Option<u16> {
        let asked = self
            .troubles
            .iter()
            .find(|(_, trouble)| trouble.probe == Some(id));
        let (keyspace, key) = asked.map(|(keyspace, trouble)| (*keyspace, trouble.key.clone()))?;
        let policy = map.policy(keyspace);
        match result {
            Ok(_) => {
                self.links[usize::from(policy.origin)] = Link::default();
                self.is_well(keyspace);
            }
            Err(error) => self.is_ill(now_us, policy, (keyspace, &key), &error),
        }
        None
    }

    fn is_well(&mut self, keyspace: u16) {
        self.troubles.remove(&keyspace);
        self.proven[usize::from(keyspace)] = true;
    }

    fn is_ill(&mut self, now_us: u64, policy: &Policy, (keyspace, key): (u16, &Bytes), error: &OriginError) {
        let error = match error {
            OriginError::Configuration(detail) | OriginError::Foreign(detail) => {
                words::origin_misconfigured(&policy.name, detail)
            }
            OriginError::Down(detail) | OriginError::Unknown(detail) => {
                words::origin_down(&policy.name, detail)
            }
            OriginError::Fenced | OriginError::Unclaimed => {
                unreachable!("a keyspace that is only read has no lane rows")
            }
        };
        let before = self.troubles.get(&keyspace).map_or(0, |trouble| trouble.pause_us);
        let pause_us = (before * 2).clamp(LOAD_PAUSE_US_MIN, LOAD_PAUSE_US_MAX);
        let trouble = Trouble {
            error,
            key: key.clone(),
            retry_at_us: now_us + pause_us,
            pause_us,
            probe: None,
        };
        self.troubles.insert(keyspace, trouble);
    }

    fn requeue(&mut self, keyspace: u16, key: Bytes, since_us: u64) {
        self.queued[usize::from(keyspace)].insert(key.clone());
        self.wants[usize::from(keyspace)].insert(key, Want::Queued { since_us });
    }

    fn fail(&mut self, keyspace: u16, key: Bytes, error: String, out: &mut FlusherOutput) {
        self.settle(keyspace, &key);
        out.failed_loads.push(FailedLoad { keyspace, key, error });
    }
}
