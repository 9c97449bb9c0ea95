//! Snapshots on their way to followers: a deposed leader, a slow disk, a follower that stops in the middle.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Actor, Body, Boot, Durability, HashSeed, Identity, Input, Outputs, PeerId, ReadLevel, Request, Role,
    Settings,
};
use repligo_core::limits;
use repligo_core::membership::Membership;
use repligo_core::message::Message;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;

const LOG_BYTES_MAX: u64 = 64 << 10;
const VALUE_BYTES: usize = 4096;

/// Sender, receiver, message.
type Sent = (PeerId, PeerId, Bytes);

struct Cluster {
    now: Now,
    replicas: Vec<Replica>,
    messages: VecDeque<Sent>,
    /// The process of this node is stopped: what is sent to it waits.
    stopped: Option<PeerId>,
    /// What this node sends and what is sent to it is lost.
    cut: Option<PeerId>,
    waiting: VecDeque<Sent>,
    /// The disk of this node finishes nothing.
    slow_disk: Option<PeerId>,
    unpersisted: Vec<(u64, Vec<Sent>)>,
    /// Snapshots that began on the wire.
    begun: usize,
    written: u64,
    value_bytes: usize,
}

impl Cluster {
    fn new() -> Self {
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let start = |peer| {
            let settings = Settings {
                identity: Identity {
                    cluster_id: 7,
                    generation: 1,
                    peer,
                    incarnation: 1,
                },
                membership: Membership::of_count(3),
                durability: Durability::Fsync,
                seed: peer,
                hash_seed: HashSeed::from_number(peer),
                origin: Arc::new(OriginMap::new(vec![]).expect("valid")),
                log_bytes_max: LOG_BYTES_MAX,
            };
            Replica::new(settings, Boot::default(), now)
        };
        let mut cluster = Self {
            now,
            replicas: (1..=3).map(start).collect(),
            messages: VecDeque::new(),
            stopped: None,
            cut: None,
            waiting: VecDeque::new(),
            slow_disk: None,
            unpersisted: Vec::new(),
            begun: 0,
            written: 0,
            value_bytes: VALUE_BYTES,
        };
        for (one, other) in [(1, 2), (1, 3), (2, 3)] {
            cluster.connect(one, other);
        }
        cluster.run_ms(3_000);
        cluster
    }

    fn connect(&mut self, one: PeerId, other: PeerId) {
        self.step(one, Input::PeerConnected { peer: other });
        self.step(other, Input::PeerConnected { peer: one });
    }

    fn step(&mut self, peer: PeerId, input: Input<'_>) {
        let mut outputs = Outputs::default();
        let replica = &mut self.replicas[peer as usize - 1];
        replica.step(self.now, input, &mut outputs);
        replica.step(self.now, Input::Turn, &mut outputs);
        while replica.has_work() {
            replica.step(self.now, Input::Turn, &mut outputs);
        }
        replica.invariants();
        let sent = |send: repligo_core::contract::Send| (peer, send.to, send.message);
        self.messages.extend(outputs.sends.into_iter().map(sent));
        for persist in outputs.persists {
            let number = persist.number;
            let sends: Vec<_> = persist.then_send.into_iter().map(sent).collect();
            self.unpersisted.push((number, sends));
            if self.slow_disk != Some(peer) {
                let (number, sends) = self.unpersisted.pop().expect("it was just given in");
                self.messages.extend(sends);
                self.step(peer, Input::Persisted { number });
            }
        }
    }

    fn free_disk(&mut self) {
        let peer = self.slow_disk.take().expect("one is slow");
        for (number, sends) in std::mem::take(&mut self.unpersisted) {
            self.messages.extend(sends);
            self.step(peer, Input::Persisted { number });
        }
    }

    /// Delivers one message; false if there is none.
    fn deliver_one(&mut self) -> bool {
        let Some((from, to, message)) = self.messages.pop_front() else {
            return false;
        };
        if self.cut.is_some_and(|cut| cut == from || cut == to) {
            return true;
        }
        if self.stopped == Some(to) {
            self.waiting.push_back((from, to, message));
            return true;
        }
        if let Ok(Message::SnapshotBegin { .. }) = Message::decode(message.clone()) {
            self.begun += 1;
        }
        self.step(to, Input::Peer { from, message });
        true
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 25 {
            self.now.mono_us += limits::TICK_US;
            self.now.wall_ms += 25;
            for peer in (1..=3)
                .filter(|peer| self.stopped != Some(*peer))
                .collect::<Vec<_>>()
            {
                self.step(peer, Input::Tick);
            }
            while self.deliver_one() {}
        }
    }

    fn resume(&mut self) {
        self.stopped = None;
        let waiting = std::mem::take(&mut self.waiting);
        self.messages.extend(waiting);
    }

    fn leader(&self) -> PeerId {
        let leads = |replica: &Replica| replica.status(self.now).role == Role::Leader;
        let place = self.replicas.iter().position(leads);
        place.expect("somebody leads") as PeerId + 1
    }

    fn write(&mut self, count: u64) {
        let leader = self.leader();
        for _ in 0..count {
            self.written += 1;
            let key = format!("key{}", self.written % 100);
            let value = vec![b'x'; self.value_bytes];
            let command = Command::Set {
                db: 0,
                key: key.as_bytes(),
                value: &value,
                expiry: Expiry::Never,
                condition: SetCondition::Always,
                reply: SetReply::Ok,
            };
            let request = Request {
                ticket: self.written,
                resp3: false,
                rides: false,
                token: None,
                level: ReadLevel::default(),
                actor: Actor::default(),
                demand: Demand::default(),
                body: Body::Command(&command),
            };
            self.step(leader, Input::Request(request));
            if self.stopped.is_none() {
                while self.deliver_one() {}
            }
        }
        while self.deliver_one() {}
    }

    /// A follower that misses more than the log in memory has, and whose streams are new.
    fn left_behind(&mut self) -> (PeerId, PeerId) {
        let leader = self.leader();
        let away = leader % 3 + 1;
        let others: Vec<PeerId> = (1..=3).filter(|peer| *peer != away).collect();
        for other in &others {
            self.step(*other, Input::PeerLost { peer: away });
            self.step(away, Input::PeerLost { peer: *other });
        }
        self.cut = Some(away);
        self.write(100);
        self.run_ms(500);
        self.cut = None;
        for other in others {
            self.connect(away, other);
        }
        (leader, away)
    }

    /// Runs until the follower has been sent a part of a snapshot.
    fn run_into_transfer(&mut self, away: PeerId) {
        let is_chunk = |message: &Bytes| {
            matches!(
                Message::decode(message.clone()),
                Ok(Message::SnapshotChunk { .. })
            )
        };
        for _ in 0..200 {
            self.now.mono_us += limits::TICK_US;
            self.now.wall_ms += 25;
            for peer in 1..=3 {
                self.step(peer, Input::Tick);
            }
            while let Some((_, to, message)) = self.messages.front() {
                let reached = *to == away && is_chunk(message);
                self.deliver_one();
                if reached {
                    return;
                }
            }
        }
        panic!("no snapshot is sent");
    }

    fn resyncs(&self, peer: PeerId) -> u64 {
        self.replicas[peer as usize - 1].status(self.now).full_resyncs
    }

    fn assert_equal(&mut self) {
        self.run_ms(1_000);
        let states: Vec<_> = self
            .replicas
            .iter()
            .map(|replica| replica.status(self.now))
            .collect();
        for state in &states[1..] {
            assert_eq!(
                (state.applied_index, state.digest),
                (states[0].applied_index, states[0].digest)
            );
        }
    }
}

#[test]
fn a_deposed_leader_does_not_end_the_snapshot_of_its_successor() {
    let mut cluster = Cluster::new();
    let (leader, away) = cluster.left_behind();
    cluster.run_into_transfer(away);
    let deposed = 6 - leader - away;
    let message = Message::SnapshotBegin { index: 3, term: 1 }.encode();
    cluster.step(
        away,
        Input::Peer {
            from: deposed,
            message,
        },
    );
    cluster.run_ms(3_000);
    assert_eq!(cluster.resyncs(away), 1);
    assert_eq!(cluster.begun, 1);
    cluster.assert_equal();
}

#[test]
fn a_follower_that_takes_minutes_to_write_a_snapshot_gets_no_second_one() {
    let mut cluster = Cluster::new();
    let (_, away) = cluster.left_behind();
    cluster.run_into_transfer(away);
    cluster.slow_disk = Some(away);
    for _ in 0..100 {
        cluster.run_ms(1_200);
        cluster.write(2);
    }
    assert_eq!(cluster.resyncs(away), 1, "it has all of it");
    cluster.free_disk();
    cluster.run_ms(3_000);
    assert_eq!((cluster.begun, cluster.resyncs(away)), (1, 1));
    cluster.assert_equal();
}

#[test]
fn a_follower_that_stops_within_a_snapshot_holds_the_log_for_seconds_only() {
    let mut cluster = Cluster::new();
    let (leader, away) = cluster.left_behind();
    cluster.run_into_transfer(away);
    cluster.stopped = Some(away);
    let log_bytes = |cluster: &Cluster| cluster.replicas[leader as usize - 1].memory().log_bytes;
    let mut most = 0;
    for _ in 0..40 {
        cluster.run_ms(500);
        cluster.write(50);
        most = most.max(log_bytes(&cluster));
    }
    assert!(most > 4 * LOG_BYTES_MAX, "it is held for a while: {most}");
    cluster.run_ms(500);
    assert!(
        log_bytes(&cluster) < 4 * LOG_BYTES_MAX,
        "and then no more: {}",
        log_bytes(&cluster)
    );
    cluster.resume();
    cluster.run_ms(10_000);
    cluster.assert_equal();
}

#[test]
fn a_transfer_never_holds_more_than_a_multiple_of_the_log() {
    let mut cluster = Cluster::new();
    let (leader, away) = cluster.left_behind();
    cluster.run_into_transfer(away);
    cluster.stopped = Some(away);
    cluster.value_bytes = 64 << 10;
    // Faster than anybody's patience ends.
    let bound = limits::SNAPSHOT_PIN_FACTOR * limits::SNAPSHOT_PIN_BYTES_MIN;
    let mut most = 0;
    for _ in 0..2 * bound as usize / cluster.value_bytes / 20 {
        cluster.run_ms(25);
        cluster.write(20);
        most = most.max(cluster.replicas[leader as usize - 1].memory().log_bytes);
    }
    assert!(most > bound / 2 && most < bound + bound / 4, "{most} of {bound}");
    cluster.resume();
    cluster.run_ms(10_000);
    cluster.assert_equal();
}
