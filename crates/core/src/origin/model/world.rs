//! The world of the model: a perfect log, nodes that apply it, leaders that come and go, clients.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::super::flusher::Flusher;
use super::super::lane::{Requester, hash};
use super::super::lanes::Lanes;
use super::super::map::tests::raw;
use super::super::map::{KeyspaceConfig, OriginMap, Place};
use super::super::op::{Intent, IntentEffect, IntentKind, Invalidate, OriginOp};
use super::super::output::FlusherOutput;
use super::super::plan::Bugs;
use super::super::request::{LaneId, OriginEvent, OriginRequest};
use super::super::testing::FakeCache;
use super::super::{Cache, Cached};
use super::node::{Entry, Node, Noted, Payload, Plan, apply_op, note};
use super::store::{Faults, Random, Store, canonical};
use crate::time::Now;

const NODES: usize = 3;
const KEYS: u64 = 6;

pub struct World {
    random: Random,
    plan: Plan,
    bugs: Bugs,
    map: Arc<OriginMap>,
    store: Store,
    log: Vec<Entry>,
    /// Proposals of the true leader that are not committed.
    open: VecDeque<Entry>,
    nodes: Vec<Node>,
    term: u64,
    leader: usize,
    time_ms: u64,
    mono_us: u64,
    requests: u64,
    /// First answer seen per request: every node must give the same.
    answers: BTreeMap<Requester, String>,
}

impl World {
    pub fn new(seed: u64, plan: Plan, bugs: Bugs) -> Self {
        let config = KeyspaceConfig {
            lanes: 2,
            cache_ttl_ms: Some(3_000),
            negative_ttl_ms: 1_000,
            ..raw("k")
        };
        let map = Arc::new(OriginMap::new(vec![config]).expect("valid"));
        let mut store = Store::new(seed);
        for number in 0..KEYS / 2 {
            store
                .rows
                .insert(key(number), Bytes::from(format!("old{number}")));
        }
        let nodes = (0..NODES).map(|_| Node {
            lanes: Lanes::new(Arc::clone(&map)),
            cache: FakeCache::default(),
            applied: 0,
            truth: store.rows.clone(),
            flusher: Flusher::new(Arc::clone(&map)),
            leads: None,
            requests: VecDeque::new(),
            loads: Vec::new(),
            events: Vec::new(),
        });
        Self {
            nodes: nodes.collect(),
            random: Random(seed.wrapping_mul(77)),
            plan,
            bugs,
            map,
            store,
            log: Vec::new(),
            open: VecDeque::new(),
            term: 0,
            leader: 0,
            time_ms: 1_000_000,
            mono_us: 0,
            requests: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Mischief first; then it heals, and everything must come to rest in the right place.
    pub fn run(&mut self) {
        self.elect();
        for step in 0..self.plan.steps {
            if step % 100 == 0 {
                let calm = self.random.chance(30);
                self.store.faults = if calm { Faults::default() } else { self.plan.faults };
            }
            self.step();
        }
        self.heal();
        self.judge();
    }

    pub fn fingerprint(&self) -> u128 {
        let node = &self.nodes[0];
        node.lanes.digest().wrapping_add(hash(&(
            &self.store.rows,
            &self.answers,
            self.log.len(),
            &node.cache.rows,
        )))
    }

    fn now(&self) -> Now {
        Now {
            mono_us: self.mono_us,
            wall_ms: self.time_ms,
        }
    }

    fn step(&mut self) {
        self.mono_us += self.random.below(20_000);
        self.time_ms += self.random.below(100);
        if self.random.chance(self.plan.time_jump) {
            self.time_ms += 31_000;
        }
        if self.random.chance(self.plan.election) {
            self.elect();
        }
        if self.random.chance(self.plan.crash) {
            let node = self.random.below(NODES as u64) as usize;
            self.crash(node);
        }
        if self.random.chance(self.plan.restore) {
            self.restore_from_snapshot();
        }
        if self.random.chance(self.plan.flush_all) {
            self.propose(Requester::default(), Payload::FlushAll);
        }
        if self.random.chance(30) {
            self.client();
        }
        if self.random.chance(3) {
            self.invalidate();
        }
        if self.random.chance(20) {
            self.store.release();
        }
        let node = if self.random.chance(60) {
            self.leader
        } else {
            self.random.below(NODES as u64) as usize
        };
        match self.random.below(6) {
            0 => self.commit(),
            1 => self.apply_some(node),
            2 => self.drive(node),
            3 => self.deliver(node),
            4 => self.read(node),
            _ => self.learn(node),
        }
        self.poll(node);
    }

    /// A new leader: a part of the old one's open proposals survives, in order. The old one does not
    /// know yet.
    fn elect(&mut self) {
        self.term += 1;
        let kept = self.random.below(self.open.len() as u64 + 1) as usize;
        self.log.extend(self.open.drain(..).take(kept));
        let new = self.random.below(NODES as u64) as usize;
        if self.nodes[new].leads.is_some() {
            self.lose(new);
        }
        self.leader = new;
        while self.nodes[new].applied < self.log.len() {
            self.apply(new);
        }
        self.nodes[new].leads = Some(self.term);
        self.nodes[new].flusher.on_leader(self.term);
    }

    fn lose(&mut self, node: usize) {
        self.nodes[node].leads = None;
        self.nodes[node].flusher.on_lost();
    }

    /// A zombie hears of the new leader.
    fn learn(&mut self, node: usize) {
        if self.nodes[node].leads.is_some_and(|term| term < self.term) {
            self.lose(node);
        }
    }

    /// Everything volatile is gone; requests that the driver had taken may still be executed.
    fn crash(&mut self, node: usize) {
        let requests: Vec<OriginRequest> = self.nodes[node].requests.drain(..).collect();
        for request in requests {
            if self.random.chance(50) {
                self.store.execute(&request, self.bugs);
            }
        }
        self.nodes[node].events.clear();
        self.nodes[node].loads.clear();
        self.nodes[node].flusher = Flusher::new(Arc::clone(&self.map));
        if self.nodes[node].leads.take() == Some(self.term) {
            self.elect();
        }
    }

    /// A node that lags gets the state of one that does not, through the bytes of a snapshot.
    fn restore_from_snapshot(&mut self) {
        let (from, to) = (
            self.random.below(NODES as u64) as usize,
            self.random.below(NODES as u64) as usize,
        );
        if self.nodes[from].applied <= self.nodes[to].applied || self.nodes[to].leads.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        self.nodes[from].lanes.encode(&mut bytes);
        let mut input = &bytes[..];
        let lanes = Lanes::restore(Arc::clone(&self.map), &mut input).expect("what encode wrote");
        assert!(input.is_empty());
        assert_eq!(lanes.digest(), self.nodes[from].lanes.digest());
        let cache = self.nodes[from].cache.clone();
        let truth = self.nodes[from].truth.clone();
        let applied = self.nodes[from].applied;
        let node = &mut self.nodes[to];
        (node.lanes, node.cache, node.truth, node.applied) = (lanes, cache, truth, applied);
    }

    fn propose(&mut self, requester: Requester, payload: Payload) {
        self.open.push_back(Entry {
            time_ms: self.time_ms,
            requester,
            payload,
        });
    }

    fn client(&mut self) {
        let random = &mut self.random;
        let delete = random.chance(25);
        let count = if random.chance(25) { 2 } else { 1 };
        let first = key(random.below(KEYS));
        let lane = self.map.policy(0).lane_of(&first);
        let mut effects = Vec::new();
        for _ in 0..count {
            let other = key(random.below(KEYS));
            let fits = self.map.policy(0).lane_of(&other) == lane;
            let key = if fits { other } else { first.clone() };
            self.requests += 1;
            let value = if random.chance(30) {
                format!("one{}", random.below(3))
            } else {
                let prefix = ["v", "v", "v", "bad", "flaky", "up"][random.below(6) as usize];
                format!("{prefix}{}", self.requests)
            };
            let value = (!delete).then(|| Bytes::from(value));
            effects.push((key, value));
        }
        let intent = Intent {
            lane: LaneId { keyspace: 0, lane },
            kind: if delete {
                IntentKind::Delete
            } else {
                IntentKind::Store
            },
            effects: effects
                .iter()
                .map(|(key, value)| IntentEffect {
                    key,
                    value: value.as_deref().map(Cow::Borrowed),
                })
                .collect(),
        };
        let mut bytes = Vec::new();
        OriginOp::Intent(intent).encode(&mut bytes);
        let requester = Requester {
            node: 1,
            incarnation: 1,
            sequence: self.requests,
        };
        self.propose(requester, Payload::Op(bytes));
    }

    /// Somebody says that a row was changed by others, though none was: nothing may come of it but a load.
    fn invalidate(&mut self) {
        let key = key(self.random.below(KEYS));
        let mut bytes = Vec::new();
        OriginOp::Invalidate(Invalidate {
            rows: vec![(0, &key[..])],
        })
        .encode(&mut bytes);
        self.propose(Requester::default(), Payload::Op(bytes));
    }

    fn commit(&mut self) {
        let count = self.random.below(self.open.len() as u64 + 1) as usize;
        self.log.extend(self.open.drain(..count));
    }

    fn apply_some(&mut self, node: usize) {
        let zombie = self.nodes[node].leads.is_some_and(|term| term < self.term);
        for _ in 0..=self.random.below(5) {
            if !zombie && self.nodes[node].applied < self.log.len() {
                self.apply(node);
            }
        }
    }

    fn apply(&mut self, at: usize) {
        let entry = self.log[self.nodes[at].applied].clone();
        let node = &mut self.nodes[at];
        node.applied += 1;
        node.cache
            .rows
            .retain(|_, (_, deadline_ms)| *deadline_ms > entry.time_ms);
        let mut done = Vec::new();
        node.lanes
            .expire(entry.time_ms, &mut |completion| done.push(note(&completion)));
        match &entry.payload {
            Payload::FlushAll => node.cache.rows.clear(),
            Payload::Op(bytes) => apply_op(node, &entry, bytes, &mut done),
        }
        for completion in done {
            self.completed(at, completion);
        }
        let node = &self.nodes[at];
        for (key, (cached, _)) in &node.cache.rows {
            let true_row = node.truth.get(&key[..]);
            assert_eq!(cached.as_ref(), true_row, "node {at} has a wrong copy of {key:?}");
        }
    }

    fn completed(&mut self, at: usize, completion: Noted) {
        let node = &mut self.nodes[at];
        if completion.applied {
            let mut existed = 0;
            for effect in &completion.effects {
                let old = match &effect.value {
                    Some(value) => node.truth.insert(effect.key.clone(), canonical(value)),
                    None => node.truth.remove(&effect.key),
                };
                existed += u64::from(old.is_some());
            }
            if completion.answer.starts_with("deleted") {
                assert_eq!(completion.answer, format!("deleted {existed}"), "a wrong count");
            }
        }
        if let Some(requester) = completion.requester {
            let first = self
                .answers
                .entry(requester)
                .or_insert_with(|| completion.answer.clone());
            assert_eq!(
                *first, completion.answer,
                "nodes answer {requester:?} differently"
            );
        }
    }

    /// The driver of a node executes its next request, or some load.
    fn drive(&mut self, node: usize) {
        let loads = self.nodes[node].loads.len() as u64;
        let request = if loads > 0 && self.random.chance(30) {
            let at = self.random.below(loads) as usize;
            Some(self.nodes[node].loads.swap_remove(at))
        } else {
            self.nodes[node].requests.pop_front()
        };
        if let Some(request) = request {
            self.store.refused.clear();
            let event = self.store.execute(&request, self.bugs);
            self.nodes[node].events.push(event);
            self.judge_refusals(node);
        }
    }

    /// A write is refused only when the database has everything that the log has before it, but for what
    /// it must not take any more.
    fn judge_refusals(&self, node: usize) {
        let lanes = &self.nodes[node].lanes;
        for (id, sequence) in &self.store.refused {
            let Some(refused) = lanes.lane(*id).pending_above(sequence - 1).next() else {
                continue;
            };
            for (other, lane) in lanes.iter().filter(|(other, _)| other != id) {
                let mut missing = lane.pending_above(self.store.applied(other));
                let earlier = missing.find(|earlier| !lane.is_overdue(earlier.sequence));
                assert!(
                    earlier.is_none_or(|earlier| earlier.order > refused.order),
                    "{refused:?} was refused before the database had {earlier:?}"
                );
            }
        }
    }

    fn deliver(&mut self, node: usize) {
        let now = self.now();
        let events = self.nodes[node].events.len() as u64;
        if events == 0 {
            return;
        }
        let at = self.random.below(events) as usize;
        let slow = self.random.chance(self.plan.slow_loads);
        let node = &mut self.nodes[node];
        if slow && matches!(node.events[at], OriginEvent::Loaded { .. }) {
            return;
        }
        let event = node.events.swap_remove(at);
        node.flusher.on_event(now, event, &node.lanes);
    }

    /// A reader of a key that is not cached makes the leader load it.
    fn read(&mut self, node: usize) {
        let key = key(self.random.below(KEYS));
        assert!(matches!(self.map.place(0, &key), Place::Mapped(_)));
        let now = self.now();
        let node = &mut self.nodes[node];
        if node.leads.is_some() && node.cache.lookup(0, &key) == Cached::Unknown {
            node.flusher.want_load(now, 0, &key);
        }
    }

    fn poll(&mut self, at: usize) {
        let now = self.now();
        let node = &mut self.nodes[at];
        let mut out = FlusherOutput::default();
        node.flusher.poll(now, &node.lanes, &mut out);
        for request in out.requests {
            match request {
                OriginRequest::Load(_) => node.loads.push(request),
                _ => node.requests.push_back(request),
            }
        }
        let in_charge = node.leads == Some(self.term) && at == self.leader;
        for op in out.proposals {
            let mut bytes = Vec::new();
            op.encode(&mut bytes);
            // What a zombie proposes never commits.
            if in_charge {
                self.propose(Requester::default(), Payload::Op(bytes));
            }
        }
    }

    /// No more mischief: everything that waits gets its turn until nothing waits.
    fn heal(&mut self) {
        self.store.faults = Faults::default();
        for node in 0..NODES {
            self.learn(node);
        }
        for _ in 0..400 {
            self.mono_us += 100_000;
            self.time_ms += 10;
            self.store.release();
            self.log.extend(self.open.drain(..));
            for node in 0..NODES {
                while self.nodes[node].applied < self.log.len() {
                    self.apply(node);
                }
                while !self.nodes[node].requests.is_empty() || !self.nodes[node].loads.is_empty() {
                    self.drive(node);
                }
                while !self.nodes[node].events.is_empty() {
                    self.deliver(node);
                }
                self.read(node);
                self.poll(node);
            }
        }
    }

    fn judge(&self) {
        assert!(self.store.limbo.is_empty());
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.applied, self.log.len());
            assert_eq!(
                node.lanes.pending_count(),
                0,
                "node {at} has writes that nobody decided"
            );
            assert_eq!(
                node.lanes.refusal(0),
                None,
                "the origin is up, and node {at} does not know"
            );
            assert_eq!(node.truth, self.store.rows, "the origin is not what was decided");
            assert_eq!(node.lanes.digest(), self.nodes[0].lanes.digest());
            assert_eq!(node.cache.rows, self.nodes[0].cache.rows);
        }
    }
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("k:{number}"))
}
