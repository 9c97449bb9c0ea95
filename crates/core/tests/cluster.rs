//! Three replicas in one process with perfect disks: the paths that every other test builds on. Faults
//! are the simulator's business.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::codec::put_bytes;
use repligo_core::command::{Command, Expiry, Pairs, SetCondition, SetReply};
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, Outputs, PeerId, ReadLevel, Request, Role, Served,
    Settings, Ticket,
};
use repligo_core::entry::{Batch, EntryReader};
use repligo_core::keyspace::{EventClasses, Keyspace};
use repligo_core::limits;
use repligo_core::membership::Membership;
use repligo_core::message::Message;
use repligo_core::op::Op;
use repligo_core::origin::{
    Flushed, KeyspaceConfig, LANES, Mode, OriginEvent, OriginMap, OriginRequest, TakenOver, ValueConfig,
};
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_proto::frame::PAYLOAD_BYTES_MAX;
use repligo_proto::resp::OwnedRequest;
use repligo_proto::words;

struct Cluster {
    now: Now,
    replicas: Vec<Option<Replica>>,
    messages: VecDeque<(PeerId, PeerId, Bytes)>,
    replies: Vec<(Ticket, Vec<u8>)>,
    isolated: Option<PeerId>,
    /// A node whose disk takes nothing, and what it has been given meanwhile.
    slow_disk: Option<PeerId>,
    unpersisted: Vec<u64>,
    /// The rows of the origin, and how many loads it has answered.
    rows: BTreeMap<Bytes, Bytes>,
    loads: usize,
    /// Most replies of one step.
    replies_at_once: usize,
}

fn settings(peer: PeerId, count: u64, durability: Durability, log_bytes_max: u64) -> Settings {
    Settings {
        identity: Identity {
            cluster_id: 7,
            generation: 1,
            peer,
            incarnation: 1,
        },
        membership: Membership::of_count(count),
        durability,
        seed: peer,
        hash_seed: HashSeed::from_number(peer),
        origin: Arc::new(OriginMap::new(vec![mapped()]).expect("valid")),
        log_bytes_max,
    }
}

fn mapped() -> KeyspaceConfig {
    KeyspaceConfig {
        name: "row".to_owned(),
        pattern: "row:{id:text}".to_owned(),
        database: 0,
        lanes: LANES,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: "rows".to_owned(),
        key: Vec::new(),
        value: ValueConfig::Raw {
            column: "body".to_owned(),
        },
        cache_ttl_ms: None,
        negative_ttl_ms: 2_000,
        flush_deadline_ms: 30_000,
    }
}

impl Cluster {
    fn new(count: u64, log_bytes_max: u64) -> Self {
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: 1_700_000_000_000,
        };
        let start = |peer| {
            Some(Replica::new(
                settings(peer, count, Durability::Fsync, log_bytes_max),
                Boot::default(),
                now,
            ))
        };
        let mut cluster = Self {
            now,
            replicas: (1..=count).map(start).collect(),
            messages: VecDeque::new(),
            replies: Vec::new(),
            isolated: None,
            slow_disk: None,
            unpersisted: Vec::new(),
            rows: BTreeMap::new(),
            loads: 0,
            replies_at_once: 0,
        };
        for peer in 1..=count {
            cluster.connect(peer);
        }
        cluster
    }

    fn connect(&mut self, peer: PeerId) {
        for other in 1..=self.replicas.len() as PeerId {
            if other != peer && self.replicas[other as usize - 1].is_some() {
                self.step(other, Input::PeerConnected { peer });
                self.step(peer, Input::PeerConnected { peer: other });
            }
        }
    }

    fn step(&mut self, peer: PeerId, input: Input<'_>) {
        let gathers = matches!(input, Input::Request(_) | Input::Turn);
        self.step_once(peer, input);
        if !gathers {
            self.step_once(peer, Input::Turn);
        }
        let has_work = |cluster: &Self| {
            cluster.replicas[peer as usize - 1]
                .as_ref()
                .is_some_and(Replica::has_work)
        };
        while has_work(self) {
            self.step_once(peer, Input::Turn);
        }
    }

    fn step_once(&mut self, peer: PeerId, input: Input<'_>) {
        let Some(replica) = self.replicas[peer as usize - 1].as_mut() else {
            return;
        };
        let mut outputs = Outputs::default();
        replica.step(self.now, input, &mut outputs);
        replica.invariants();
        outputs.join_long_replies();
        self.replies_at_once = self.replies_at_once.max(outputs.replies.len());
        for reply in &outputs.replies {
            let bytes = outputs.reply_bytes[reply.start as usize..reply.end as usize].to_vec();
            self.replies.push((reply.ticket, bytes));
        }
        let fits = |message: &Bytes| message.len() <= PAYLOAD_BYTES_MAX;
        assert!(outputs.sends.iter().all(|send| fits(&send.message)));
        self.messages.extend(
            outputs
                .sends
                .into_iter()
                .map(|send| (peer, send.to, send.message)),
        );
        let answers: Vec<OriginEvent> = outputs
            .origin
            .into_iter()
            .map(|request| self.execute(request))
            .collect();
        for answer in answers {
            self.step(peer, Input::Origin(answer));
        }
        for persist in outputs.persists {
            if self.slow_disk == Some(peer) {
                // Its messages are lost, which the library must cope with.
                self.unpersisted.push(persist.number);
                continue;
            }
            self.messages.extend(
                persist
                    .then_send
                    .into_iter()
                    .map(|send| (peer, send.to, send.message)),
            );
            self.step(
                peer,
                Input::Persisted {
                    number: persist.number,
                },
            );
        }
    }

    /// An origin that is always there and takes everything at once.
    fn execute(&mut self, request: OriginRequest) -> OriginEvent {
        match request {
            OriginRequest::Takeover(takeover) => {
                let result = Ok(TakenOver {
                    applied: takeover.resolved,
                    stored: takeover.fence,
                    rejects: Vec::new(),
                    misfit: None,
                });
                OriginEvent::TakenOver {
                    lane: takeover.lane,
                    fence: takeover.fence,
                    result,
                }
            }
            OriginRequest::Flush(flush) => {
                let upto = flush.from + flush.intents.len() as u64;
                for effect in flush.intents.into_iter().flat_map(|intent| intent.effects) {
                    match effect.value {
                        Some(value) => self.rows.insert(effect.key, value),
                        None => self.rows.remove(&effect.key),
                    };
                }
                let result = Ok(Flushed {
                    upto,
                    held: false,
                    rejects: Vec::new(),
                    canonical: Vec::new(),
                    misfit: None,
                });
                OriginEvent::Flushed {
                    lane: flush.lane,
                    fence: flush.fence,
                    result,
                }
            }
            OriginRequest::Load(load) => {
                self.loads += 1;
                OriginEvent::Loaded {
                    id: load.id,
                    result: Ok(self.rows.get(&load.key).cloned()),
                }
            }
        }
    }

    fn deliver(&mut self) {
        while let Some((from, to, message)) = self.messages.pop_front() {
            if self.isolated.is_some_and(|peer| peer == from || peer == to) {
                continue;
            }
            self.step(to, Input::Peer { from, message });
        }
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 25 {
            self.now.mono_us += limits::TICK_US;
            self.now.wall_ms += 25;
            for peer in 1..=self.replicas.len() as PeerId {
                self.step(peer, Input::Tick);
            }
            self.deliver();
        }
    }

    fn crash(&mut self, peer: PeerId) {
        self.replicas[peer as usize - 1] = None;
        self.messages.retain(|(from, to, _)| *from != peer && *to != peer);
        self.lose(peer);
    }

    fn lose(&mut self, peer: PeerId) {
        for other in 1..=self.replicas.len() as PeerId {
            if other != peer {
                self.step(other, Input::PeerLost { peer });
                self.step(peer, Input::PeerLost { peer: other });
            }
        }
    }

    fn leader(&self) -> PeerId {
        let serves = |replica: &Replica| {
            let status = replica.status(self.now);
            status.role == Role::Leader && status.serving
        };
        let position = self
            .replicas
            .iter()
            .position(|replica| replica.as_ref().is_some_and(serves));
        position.expect("a leader serves") as PeerId + 1
    }

    fn request(&mut self, peer: PeerId, ticket: Ticket, command: &Command<'_>) {
        self.give_in(peer, ticket, command);
        self.step(peer, Input::Turn);
        self.deliver();
    }

    fn give_in(&mut self, peer: PeerId, ticket: Ticket, command: &Command<'_>) {
        self.give_in_as(peer, ticket, command, Demand::default());
    }

    fn give_in_as(&mut self, peer: PeerId, ticket: Ticket, command: &Command<'_>, demand: Demand) {
        let body = Body::Command(command);
        let request = Request {
            ticket,
            resp3: false,
            rides: false,
            token: None,
            level: ReadLevel::Linearizable,
            actor: Default::default(),
            demand,
            body,
        };
        self.step(peer, Input::Request(request));
    }

    fn replica(&mut self, peer: PeerId) -> &mut Replica {
        self.replicas[peer as usize - 1].as_mut().expect("it runs")
    }

    /// Gives batches of one SET each to a leader, as a follower would forward them, without a turn.
    fn forward(&mut self, from: PeerId, sequences: std::ops::RangeInclusive<u64>, value_bytes: usize) {
        let leader = self.leader();
        let (mut op, mut ops) = (Vec::new(), Vec::new());
        Op::Command(set(b"forwarded", &vec![b'x'; value_bytes])).encode(&mut op);
        put_bytes(&mut ops, &op);
        let ops = Bytes::from(ops);
        let batches = sequences.map(|first_sequence| Batch {
            node: from,
            incarnation: 1,
            first_sequence,
            count: 1,
            ops: ops.clone(),
        });
        let now = self.now;
        let term = self.replica(leader).status(now).term;
        let batches = batches.collect();
        let message = Message::Forward { term, batches }.encode();
        self.step_once(leader, Input::Peer { from, message });
    }

    fn reply(&self, ticket: Ticket) -> &[u8] {
        let mut found = self.replies.iter().filter(|(of, _)| *of == ticket);
        let (_, bytes) = found
            .next()
            .unwrap_or_else(|| panic!("ticket {ticket} has no reply"));
        assert!(found.next().is_none(), "ticket {ticket} has two replies");
        bytes
    }

    fn assert_equal(&mut self) {
        self.run_ms(500);
        let now = self.now;
        let states: Vec<_> = self.replicas.iter().flatten().map(|r| r.status(now)).collect();
        assert!(
            states
                .windows(2)
                .all(|pair| pair[0].applied_index == pair[1].applied_index)
        );
        assert!(states.windows(2).all(|pair| pair[0].digest == pair[1].digest));
        let keyspaces: Vec<_> = self.replicas.iter().flatten().map(Replica::keyspace).collect();
        assert!(keyspaces.windows(2).all(|pair| pair[0].hashes_like(pair[1])));
    }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    let (expiry, condition, reply) = (Expiry::Never, SetCondition::Always, SetReply::Ok);
    Command::Set {
        db: 0,
        key,
        value,
        expiry,
        condition,
        reply,
    }
}

fn get(key: &[u8]) -> Command<'_> {
    Command::Get { db: 0, key }
}

#[test]
fn a_lone_node_answers_within_the_turn() {
    let now = Now {
        mono_us: 1_000_000,
        wall_ms: 1_700_000_000_000,
    };
    let mut replica = Replica::new(settings(1, 1, Durability::None, 1 << 20), Boot::default(), now);
    let mut outputs = Outputs::default();
    replica.step(now, Input::Tick, &mut outputs);
    let command = set(b"k", b"v");
    let body = Body::Command(&command);
    let request = Request {
        ticket: 9,
        resp3: false,
        rides: false,
        token: None,
        level: ReadLevel::Linearizable,
        actor: Default::default(),
        demand: Demand::default(),
        body,
    };
    replica.step(now, Input::Request(request), &mut outputs);
    replica.step(now, Input::Turn, &mut outputs);
    assert_eq!(outputs.reply_bytes, b"+OK\r\n");
    let mut reply = Vec::new();
    assert_eq!(
        replica.read(now, &get(b"k"), ReadLevel::Linearizable, false, &mut reply),
        Served::Done
    );
    assert_eq!(reply, b"$1\r\nv\r\n");
}

#[test]
fn writes_and_reads_work_at_any_node() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    for peer in 1..=3 {
        let key = format!("key{peer}");
        cluster.request(peer, peer * 10, &set(key.as_bytes(), b"value"));
        assert_eq!(
            cluster.replies.len(),
            peer as usize * 2 - 1,
            "{:?}",
            cluster.replies
        );
        assert_eq!(cluster.reply(peer * 10), b"+OK\r\n");
        cluster.request(peer % 3 + 1, peer * 10 + 1, &get(key.as_bytes()));
        cluster.run_ms(100);
        assert_eq!(cluster.reply(peer * 10 + 1), b"$5\r\nvalue\r\n");
    }
    cluster.assert_equal();
}

#[test]
fn a_forwarded_write_survives_the_leaders_crash_without_an_error() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    let survivor = leader % 3 + 1;
    cluster.crash(leader);
    cluster.request(survivor, 1, &set(b"k", b"1"));
    assert!(cluster.replies.is_empty());
    cluster.run_ms(3_000);
    assert_eq!(cluster.reply(1), b"+OK\r\n");
    cluster.assert_equal();
}

#[test]
fn a_follower_that_was_away_too_long_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::new(3, 64 << 10);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    let away = leader % 3 + 1;
    let place = away as usize - 1;
    let replica = cluster.replicas[place].as_mut().expect("runs");
    replica.observe(EventClasses::default(), true);
    cluster.isolated = Some(away);
    cluster.lose(away);
    let value = vec![b'x'; 4096];
    for ticket in 0..100 {
        cluster.request(leader, ticket, &set(format!("key{ticket}").as_bytes(), &value));
    }
    cluster.run_ms(200);
    cluster.isolated = None;
    cluster.connect(away);
    cluster.run_ms(2_000);
    let replica = cluster.replicas[place].as_mut().expect("runs");
    assert_eq!(replica.status(cluster.now).full_resyncs, 1);
    // What its clients have cached of its keys may be old, and nothing tells which.
    let changes = replica.take_changes();
    assert_eq!(changes.iter().filter(|group| group.clears()).count(), 1);
    cluster.assert_equal();
}

#[test]
fn whoever_leads_keys_are_hashed_with_the_seed_of_the_first_entry() {
    let mut cluster = Cluster::new(3, 64 << 10);
    cluster.run_ms(2_000);
    let first = cluster.leader();
    let seeded_by = |drawn: PeerId| {
        let mut keyspace = Keyspace::default();
        keyspace.seed(HashSeed::from_number(drawn));
        keyspace
    };
    // Nothing was written, so nothing is hashed and nothing said.
    let replica = cluster.replicas[first as usize - 1].as_ref().expect("runs");
    assert!(!replica.keyspace().is_seeded());
    cluster.request(first, 1, &set(b"k", b"1"));
    cluster.assert_equal();
    cluster.crash(first);
    cluster.run_ms(3_000);
    let second = cluster.leader();
    for ticket in 2..100 {
        cluster.request(
            second,
            ticket,
            &set(format!("key{ticket}").as_bytes(), &[b'x'; 4096]),
        );
    }
    cluster.assert_equal();
    // It comes back without anything, so all that it knows comes by snapshot.
    let settings = settings(first, 3, Durability::Fsync, 64 << 10);
    cluster.replicas[first as usize - 1] = Some(Replica::new(settings, Boot::default(), cluster.now));
    cluster.connect(first);
    cluster.run_ms(3_000);
    cluster.assert_equal();
    for replica in cluster.replicas.iter().flatten() {
        assert!(replica.keyspace().hashes_like(&seeded_by(first)));
        assert!(!replica.keyspace().hashes_like(&seeded_by(second)));
        let shown = format!("{replica:?}");
        assert!(
            shown.contains("HashSeed(secret)"),
            "the debug form hides the seed"
        );
    }
}

#[test]
fn a_snapshot_on_a_slow_disk_does_not_end_the_follower_that_misses_its_leader() {
    let mut cluster = Cluster::new(3, 64 << 10);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    let away = leader % 3 + 1;
    cluster.isolated = Some(away);
    cluster.lose(away);
    for ticket in 0..100 {
        cluster.request(
            leader,
            ticket,
            &set(format!("key{ticket}").as_bytes(), &[b'x'; 4096]),
        );
    }
    cluster.run_ms(200);
    cluster.isolated = None;
    cluster.slow_disk = Some(away);
    cluster.connect(away);
    cluster.run_ms(500);
    let replica = cluster.replicas[away as usize - 1].as_ref().expect("runs");
    assert_eq!(replica.status(cluster.now).full_resyncs, 1);
    // Its disk does not have the snapshot yet, and it hears of no leader for several election timeouts.
    cluster.isolated = Some(away);
    cluster.lose(away);
    cluster.run_ms(5_000);
    cluster.slow_disk = None;
    for number in std::mem::take(&mut cluster.unpersisted) {
        cluster.step(away, Input::Persisted { number });
    }
    cluster.isolated = None;
    cluster.connect(away);
    cluster.run_ms(5_000);
    cluster.assert_equal();
}

#[test]
fn reads_that_had_to_wait_are_executed_over_several_turns() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    cluster.request(leader, 1, &set(b"k", b"v"));
    let count = 3 * limits::SLICE_STEPS as u64;
    let follower = leader % 3 + 1;
    for ticket in 10..10 + count {
        cluster.give_in(follower, ticket, &get(b"k"));
    }
    cluster.step(follower, Input::Turn);
    cluster.deliver();
    cluster.run_ms(100);
    for ticket in 10..10 + count {
        assert_eq!(cluster.reply(ticket), b"$1\r\nv\r\n");
    }
    assert_eq!(cluster.replies_at_once, limits::SLICE_STEPS);
}

#[test]
fn every_key_of_a_command_counts_as_a_step() {
    let mut cluster = Cluster::new(1, 1 << 20);
    cluster.run_ms(1_000);
    let keys: Vec<String> = (0..limits::SLICE_STEPS / 4)
        .map(|number| format!("k{number}"))
        .collect();
    let words = OwnedRequest::new(keys.iter().flat_map(|key| [key.as_bytes(), b"v"]));
    let command = Command::MSet {
        db: 0,
        pairs: Pairs::new(words.view()),
    };
    for ticket in 0..20 {
        cluster.give_in(1, ticket, &command);
    }
    cluster.step(1, Input::Turn);
    for ticket in 0..20 {
        assert_eq!(cluster.reply(ticket), b"+OK\r\n");
    }
    assert_eq!(cluster.replies_at_once, 4);
}

#[test]
fn what_no_message_can_carry_is_refused_before_it_is_proposed() {
    let mut cluster = Cluster::new(3, 48 << 20);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    let away = leader % 3 + 1;
    let value = vec![b'x'; limits::REPLICATED_OP_BYTES_MAX];
    for (ticket, peer) in [(1, leader), (2, away)] {
        cluster.request(peer, ticket, &set(b"big", &value));
        let refusal = String::from_utf8_lossy(cluster.reply(ticket)).into_owned();
        assert!(refusal.contains("replicates at once"), "{refusal}");
    }
    cluster.isolated = Some(away);
    cluster.lose(away);
    // A value that grew beyond what a message can carry reaches a follower by snapshot all the same.
    for ticket in 3..6 {
        let tail = &value[..value.len() - 1_024];
        cluster.request(
            leader,
            ticket,
            &Command::Append {
                db: 0,
                key: b"big",
                value: tail,
            },
        );
        cluster.run_ms(50);
        assert!(cluster.reply(ticket).starts_with(b":"), "{ticket}");
    }
    cluster.isolated = None;
    cluster.connect(away);
    cluster.run_ms(10_000);
    let status = cluster.replicas[away as usize - 1]
        .as_ref()
        .expect("runs")
        .status(cluster.now);
    assert_eq!(status.full_resyncs, 1);
    cluster.assert_equal();
}

#[test]
fn a_row_too_large_for_an_entry_is_an_error_for_its_readers_alone() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let row = Bytes::from(vec![b'x'; limits::REPLICATED_OP_BYTES_MAX]);
    cluster.rows.insert(Bytes::from_static(b"row:big"), row);
    let leader = cluster.leader();
    for (ticket, peer) in [(1, leader), (2, leader % 3 + 1)] {
        cluster.request(peer, ticket, &get(b"row:big"));
        cluster.run_ms(200);
        let refusal = String::from_utf8_lossy(cluster.reply(ticket)).into_owned();
        assert!(refusal.contains("can be cached"), "{refusal}");
    }
    cluster.assert_equal();
}

#[test]
fn a_mapped_write_is_in_the_origin_before_its_reply_and_a_miss_is_loaded_once() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let follower = cluster.leader() % 3 + 1;
    cluster
        .rows
        .insert(Bytes::from_static(b"row:old"), Bytes::from_static(b"stored"));
    for (ticket, peer) in [(1, follower), (2, cluster.leader())] {
        cluster.request(peer, ticket, &set(b"row:new", b"1"));
        cluster.run_ms(100);
        assert_eq!(cluster.reply(ticket), b"+OK\r\n");
        assert_eq!(
            cluster.rows.get(&b"row:new"[..]).map(|row| &row[..]),
            Some(&b"1"[..])
        );
        cluster.request(peer, ticket + 10, &get(b"row:old"));
        cluster.run_ms(100);
        assert_eq!(cluster.reply(ticket + 10), b"$6\r\nstored\r\n");
        cluster.request(peer, ticket + 20, &get(b"row:none"));
        cluster.run_ms(100);
        assert_eq!(cluster.reply(ticket + 20), b"$-1\r\n");
    }
    assert_eq!(cluster.loads, 2);
    cluster.assert_equal();
}

/// Gives large writes in on connection 1, as far as it may.
fn fill_with_large_writes(cluster: &mut Cluster, peer: PeerId, first: Ticket) -> u64 {
    let value = vec![b'x'; 1 << 20];
    let mut given = 0;
    loop {
        let demand = Demand {
            held_bytes: given as usize * value.len(),
            bytes: value.len(),
            ..Demand::default()
        };
        if !cluster.replica(peer).admits(1, demand) {
            // A driver that does not stop is refused, and told so truly.
            cluster.give_in_as(peer, first + given, &set(b"large", &value), demand);
            let reply = cluster.reply(first + given).to_vec();
            assert!(reply.starts_with(b"-OVERLOADED "), "{reply:?}");
            assert_eq!(words::outcome(&reply), words::Outcome::NotApplied);
            return given;
        }
        cluster.give_in_as(peer, first + given, &set(b"large", &value), demand);
        given += 1;
    }
}

#[test]
fn a_connection_with_large_writes_is_paused_and_small_writes_of_others_are_taken() {
    for (count, step) in [(1, 0), (3, 0), (3, 1)] {
        let mut cluster = Cluster::new(count, 1 << 20);
        cluster.run_ms(2_000);
        let peer = (cluster.leader() - 1 + step) % count + 1;
        let given = fill_with_large_writes(&mut cluster, peer, 100);
        assert_eq!(
            given as usize,
            limits::HELD_BYTES_MAX >> 21,
            "half of the common part"
        );
        let small = Demand {
            bytes: 100,
            ..Demand::default()
        };
        assert!(cluster.replica(peer).admits(2, small));
        cluster.give_in_as(peer, 1, &set(b"small", b"v"), small);
        let large = Demand {
            bytes: 1 << 20,
            ..Demand::default()
        };
        assert!(
            !cluster.replica(peer).admits(3, large),
            "connection 1 was there before"
        );
        cluster.step(peer, Input::Turn);
        cluster.deliver();
        cluster.run_ms(200);
        assert_eq!(cluster.reply(1), b"+OK\r\n");
        for ticket in 100..100 + given {
            assert_eq!(cluster.reply(ticket), b"+OK\r\n");
        }
        let replica = cluster.replica(peer);
        assert_eq!(replica.held().total(), 0, "what is answered is held no more");
        assert_eq!(replica.call_waiting(), [1, 3]);
        assert!(replica.admits(3, large) && replica.call_waiting().is_empty());
    }
}

#[test]
fn nodes_take_turns_in_the_entries_of_a_leader() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    let (second, third) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let large = vec![b'x'; 1 << 20];
    for ticket in 0..8 {
        cluster.give_in(leader, ticket, &set(b"own", &large));
    }
    cluster.forward(second, 1..=8, 1 << 20);
    cluster.forward(third, 1..=1, 10);
    let (now, mut outputs) = (cluster.now, Outputs::default());
    cluster.replica(leader).step(now, Input::Turn, &mut outputs);
    let entries = outputs.persists.iter().flat_map(|persist| &persist.entries);
    let nodes_of = |data: &Bytes| -> Vec<PeerId> {
        let mut reader = EntryReader::new(data.clone()).expect("an entry");
        let batches = std::iter::from_fn(|| reader.next_batch().expect("a batch"));
        batches.map(|batch| batch.node).collect()
    };
    let nodes: Vec<Vec<PeerId>> = entries.map(|entry| nodes_of(&entry.data)).collect();
    assert!(nodes.len() > 3, "{nodes:?}");
    let first_two = nodes[..2].concat();
    assert!(
        [leader, second, third]
            .iter()
            .all(|node| first_two.contains(node)),
        "{nodes:?}"
    );
}

#[test]
fn a_leader_holds_a_bounded_number_of_forwarded_bytes_for_each_node() {
    let mut cluster = Cluster::new(3, 1 << 20);
    cluster.run_ms(2_000);
    let leader = cluster.leader();
    // Nobody acknowledges: the leader proposes what may be uncommitted, and no more.
    for round in 0..50 {
        cluster.forward(leader % 3 + 1, 4 * round + 1..=4 * round + 4, 1 << 20);
        cluster.step_once(leader, Input::Turn);
    }
    let held = cluster.replica(leader).forwarded_bytes();
    assert!(held > limits::FORWARDED_BYTES_MAX / 2, "{held} wait");
    assert!(held <= limits::FORWARDED_BYTES_MAX, "{held} wait");
}
