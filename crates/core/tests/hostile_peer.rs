//! A peer that says what no correct peer says: refused with a reason, nothing is believed or persisted, and nothing ends
//! the process. Messages are built byte by byte, as a stranger would.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use repligo_core::codec::{put_bytes, put_varint};
use repligo_core::command::Command;
use repligo_core::contract::{
    Boot, Durability, Event, HardState, HashSeed, Identity, Input, LogEntry, Outputs, PeerId, Settings,
};
use repligo_core::entry::{Batch, EntryBuilder};
use repligo_core::limits::{CLOCK_AHEAD_MS_MAX, INCARNATION_MAX, POSITION_MAX, TERM_LEAP_MAX};
use repligo_core::membership::Membership;
use repligo_core::message::Message;
use repligo_core::op::Op;
use repligo_core::origin::{
    Fill, Health, Invalidate, KeyspaceConfig, Mode, OriginMap, OriginOp, ValueConfig,
};
use repligo_core::replica::Replica;
use repligo_core::time::Now;

use hostile_peer_ops::{Chance, TAGS, logged, logged_by_origin};

mod hostile_peer_ops;

const WALL_MS: u64 = 1_700_000_000_000;
/// What the replica under test has: ten entries of term 5, eight of them committed.
const TERM: u64 = 5;
const LAST: u64 = 10;

// Numbers of the consensus messages on the wire.
const APPEND: u8 = 0;
const APPEND_RESPONSE: u8 = 1;
const VOTE: u8 = 2;
const SNAPSHOT: u8 = 4;
const HEARTBEAT: u8 = 5;
const TRANSFER: u8 = 7;
const PRE_VOTE: u8 = 10;

/// A consensus message of node 2.
#[derive(Clone, Debug)]
struct Forged {
    kind: u8,
    reject: u8,
    term: u64,
    log_term: u64,
    index: u64,
    commit: u64,
    commit_term: u64,
    reject_hint: u64,
    request_snapshot: u64,
    priority: u64,
    context: Vec<u8>,
    snapshot: (u64, u64, Vec<u64>),
    entries: Vec<(u8, u64, u64, Vec<u8>)>,
}

impl Forged {
    /// What a correct leader of the present term could say.
    fn plausible(kind: u8) -> Self {
        let is_append = kind == APPEND;
        Self {
            kind,
            reject: 0,
            term: TERM,
            log_term: if is_append { TERM } else { 0 },
            index: if is_append { LAST } else { 0 },
            commit: LAST,
            commit_term: 0,
            reject_hint: 0,
            request_snapshot: 0,
            priority: 0,
            context: Vec::new(),
            snapshot: (0, 0, Vec::new()),
            entries: if is_append {
                vec![(0, LAST + 1, TERM, entry(WALL_MS, 3, 1))]
            } else {
                Vec::new()
            },
        }
    }

    fn encode(&self) -> Bytes {
        let mut out = vec![0, self.kind, self.reject];
        let numbers = [
            self.term,
            self.log_term,
            self.index,
            self.commit,
            self.commit_term,
            self.reject_hint,
            self.request_snapshot,
            self.priority,
        ];
        numbers
            .into_iter()
            .for_each(|number| put_varint(&mut out, number));
        put_bytes(&mut out, &self.context);
        let (index, term, voters) = &self.snapshot;
        put_varint(&mut out, *index);
        put_varint(&mut out, *term);
        put_varint(&mut out, voters.len() as u64);
        voters.iter().for_each(|voter| put_varint(&mut out, *voter));
        // No learners, no joint configuration.
        out.extend_from_slice(&[0, 0]);
        put_varint(&mut out, self.entries.len() as u64);
        for (kind, index, term, data) in &self.entries {
            out.push(*kind);
            put_varint(&mut out, *index);
            put_varint(&mut out, *term);
            put_bytes(&mut out, data);
        }
        Bytes::from(out)
    }
}

/// An entry with one batch of one op.
fn entry(time_ms: u64, incarnation: u64, first_sequence: u64) -> Vec<u8> {
    let mut builder = EntryBuilder::new(time_ms, 0);
    builder.push(&batch(2, incarnation, first_sequence));
    builder.finish()
}

/// An entry behind the last one with one batch of these ops, which the leader says is committed.
fn committed(index: u64, first_sequence: u64, ops: &[Vec<u8>]) -> Bytes {
    let mut bytes = Vec::new();
    ops.iter().for_each(|op| put_bytes(&mut bytes, op));
    let mut builder = EntryBuilder::new(WALL_MS, 0);
    builder.push(&Batch {
        count: ops.len() as u64,
        ops: Bytes::from(bytes),
        ..batch(2, 3, first_sequence)
    });
    let mut forged = Forged::plausible(APPEND);
    forged.index = index - 1;
    forged.commit = index;
    forged.entries = vec![(0, index, TERM, builder.finish())];
    forged.encode()
}

/// Rows in a database, in two lanes.
fn mapped() -> OriginMap {
    let config = KeyspaceConfig {
        name: "row".to_owned(),
        pattern: "row:{id:text}".to_owned(),
        database: 0,
        lanes: 2,
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
    };
    OriginMap::new(vec![config]).expect("valid")
}

fn batch(node: PeerId, incarnation: u64, first_sequence: u64) -> Batch {
    Batch {
        node,
        incarnation,
        first_sequence,
        count: 1,
        // An op that does nothing but carry the time.
        ops: Bytes::from_static(b"\x01\x80"),
    }
}

struct Node {
    replica: Replica,
    now: Now,
    /// The highest term that went to the disk.
    persisted_term: u64,
    persisted_last: u64,
}

impl Node {
    fn new() -> Self {
        Self::over(OriginMap::default())
    }

    fn over(origin: OriginMap) -> Self {
        let now = Now {
            mono_us: 1_000_000,
            wall_ms: WALL_MS,
        };
        let settings = Settings {
            identity: Identity {
                cluster_id: 7,
                generation: 1,
                peer: 1,
                incarnation: 3,
            },
            membership: Membership::of_count(3),
            durability: Durability::Fsync,
            seed: 1,
            hash_seed: HashSeed::from_number(1),
            origin: Arc::new(origin),
            log_bytes_max: 1 << 20,
        };
        let boot = Boot {
            hard_state: HardState {
                term: TERM,
                vote: 0,
                commit: 8,
            },
            snapshot: None,
            entries: (1..=LAST)
                .map(|index| LogEntry {
                    index,
                    term: TERM,
                    kind: 0,
                    data: Bytes::new(),
                })
                .collect(),
        };
        let mut node = Self {
            replica: Replica::new(settings, boot, now),
            now,
            persisted_term: TERM,
            persisted_last: LAST,
        };
        for peer in [2, 3] {
            node.step(Input::PeerConnected { peer });
        }
        node
    }

    /// Steps, makes durable what is asked for, and returns why peers were refused.
    fn step(&mut self, input: Input<'_>) -> Vec<&'static str> {
        let mut refused = Vec::new();
        let mut outputs = Outputs::default();
        self.replica.step(self.now, input, &mut outputs);
        self.replica.step(self.now, Input::Turn, &mut outputs);
        loop {
            self.replica.invariants();
            for event in outputs.events.drain(..) {
                if let Event::PeerImplausible { reason, .. } = event {
                    refused.push(reason);
                }
            }
            let mut numbers = Vec::new();
            for persist in outputs.persists.drain(..) {
                if let Some(state) = persist.hard_state {
                    self.persisted_term = self.persisted_term.max(state.term);
                }
                for entry in &persist.entries {
                    self.persisted_last = entry.index;
                }
                numbers.push(persist.number);
            }
            outputs = Outputs::default();
            if numbers.is_empty() {
                return refused;
            }
            for number in numbers {
                self.replica
                    .step(self.now, Input::Persisted { number }, &mut outputs);
            }
        }
    }

    /// Gives turns until all that is committed up to `index` is applied.
    fn apply_up_to(&mut self, index: u64) {
        for _ in 0..1_000 {
            if self.replica.status(self.now).applied_index >= index {
                return;
            }
            self.step(Input::Turn);
        }
        panic!("{index} is not applied: {:?}", self.replica.status(self.now));
    }

    fn hear(&mut self, message: Bytes) -> Vec<&'static str> {
        self.step(Input::Peer { from: 2, message })
    }
}

/// Changes a plausible message; it must be refused for this reason, and the node must be as before.
fn refused(kind: u8, change: impl FnOnce(&mut Forged), reason: &str) {
    let mut node = Node::new();
    let mut forged = Forged::plausible(kind);
    change(&mut forged);
    let before = format!("{:?}", node.replica.status(node.now));
    let reasons = node.hear(forged.encode());
    assert!(
        reasons.len() == 1 && reasons[0].contains(reason),
        "{forged:?}: {reasons:?} instead of `{reason}`"
    );
    assert_eq!(
        (node.persisted_term, node.persisted_last),
        (TERM, LAST),
        "{forged:?}"
    );
    assert_eq!(
        format!("{:?}", node.replica.status(node.now)),
        before,
        "{forged:?}"
    );
    // The real leader is still followed.
    assert_eq!(node.hear(Forged::plausible(APPEND).encode()), [""; 0]);
    assert_eq!(node.replica.status(node.now).commit_index, LAST);
}

#[test]
fn what_a_correct_leader_says_is_believed() {
    for kind in [APPEND, HEARTBEAT] {
        let mut node = Node::new();
        assert_eq!(node.hear(Forged::plausible(kind).encode()), [""; 0]);
        assert_eq!(node.replica.status(node.now).commit_index, LAST);
        let mut elected = Forged::plausible(kind);
        elected.term += 1000;
        assert_eq!(node.hear(elected.encode()), [""; 0], "after many elections");
        assert_eq!(node.persisted_term, TERM + 1000);
    }
}

#[test]
fn ops_of_keyspaces_that_nobody_has_configured_change_nothing() {
    let health = Health {
        keyspace: 9,
        down: None,
    };
    let invalidate = Invalidate {
        rows: vec![(9, b"row:1")],
    };
    let fill = Fill {
        keyspace: 9,
        key: Bytes::from_static(b"row:1"),
        value: None,
        invalidations: 0,
    };
    let ops = [
        logged(Op::HashSeed(HashSeed::from_number(1))),
        logged_by_origin(&OriginOp::Health(health)),
        logged_by_origin(&OriginOp::Invalidate(invalidate)),
        logged_by_origin(&OriginOp::Fill(fill)),
    ];
    let mut node = Node::new();
    assert_eq!(
        node.hear(committed(LAST + 1, 1, &ops)),
        [""; 0],
        "ops are not judged"
    );
    assert_eq!(node.replica.status(node.now).applied_index, LAST + 1);
}

#[test]
fn ops_before_the_hash_seed_change_nothing() {
    let append = Op::Command(Command::Append {
        db: 0,
        key: b"k",
        value: b"v",
    });
    let ops = [logged(append), logged(Op::HashSeed(HashSeed::from_number(1)))];
    let mut node = Node::new();
    assert_eq!(
        node.hear(committed(LAST + 1, 1, &ops)),
        [""; 0],
        "ops are not judged"
    );
    assert_eq!(node.replica.status(node.now).applied_index, LAST + 1);
    let unwritten = Node::new();
    assert_eq!(
        node.replica.keyspace().digest(),
        unwritten.replica.keyspace().digest(),
        "no key was written"
    );
    assert!(node.replica.keyspace().is_seeded());
}

#[test]
fn a_term_moves_only_by_what_elections_can_have_moved_it() {
    for kind in [APPEND, HEARTBEAT, VOTE, PRE_VOTE, APPEND_RESPONSE] {
        for term in [u64::MAX, POSITION_MAX + 1, TERM + TERM_LEAP_MAX + 1] {
            refused(kind, |forged| forged.term = term, "term far beyond");
        }
        refused(kind, |forged| forged.term = 0, "without a term");
    }
    refused(VOTE, |forged| forged.log_term = TERM + 1, "ahead of its term");
}

#[test]
fn a_commit_index_beyond_the_log_is_refused() {
    refused(
        HEARTBEAT,
        |forged| forged.commit = LAST + 1,
        "commit index beyond",
    );
    refused(
        HEARTBEAT,
        |forged| forged.commit = u64::MAX,
        "index beyond any log",
    );
}

#[test]
fn entries_that_could_not_be_applied_never_reach_the_log() {
    let data = |data: &'static [u8]| move |forged: &mut Forged| forged.entries[0].3 = data.to_vec();
    refused(APPEND, data(b"\xff"), "does not decode");
    refused(APPEND, data(b"\x01"), "does not decode");
    refused(
        APPEND,
        data(b"\x01\x05\x02\x03\x01\x09\x02\x01\x80"),
        "does not decode",
    );
    refused(
        APPEND,
        |forged| forged.entries[0].3 = entry(WALL_MS, INCARNATION_MAX + 1, 1),
        "run of a node",
    );
    refused(
        APPEND,
        |forged| forged.entries[0].3 = entry(WALL_MS, u64::MAX, 1),
        "run of a node",
    );
    refused(
        APPEND,
        |forged| forged.entries[0].3 = entry(WALL_MS, 3, u64::MAX),
        "sequence",
    );
    refused(
        APPEND,
        |forged| forged.entries[0].3 = entry(u64::MAX, 3, 1),
        "far future",
    );
    refused(
        APPEND,
        |forged| forged.entries[0].3 = entry(WALL_MS + CLOCK_AHEAD_MS_MAX + 1, 3, 1),
        "far future",
    );
    refused(APPEND, |forged| forged.entries[0].0 = 1, "membership");
    refused(APPEND, |forged| forged.entries[0].1 += 1, "gap");
    refused(APPEND, |forged| forged.entries[0].2 = TERM - 1, "falling terms");
    refused(APPEND, |forged| forged.entries[0].2 = TERM + 1, "falling terms");
    refused(APPEND, |forged| forged.log_term = 0, "behind no entry");
    refused(APPEND, |forged| forged.log_term = 1, "without what is committed");
    refused(
        HEARTBEAT,
        |forged| forged.entries.push((0, LAST + 1, TERM, Vec::new())),
        "carries none",
    );
}

#[test]
fn fields_that_nodes_do_not_use_are_refused() {
    refused(
        APPEND_RESPONSE,
        |forged| forged.request_snapshot = 1,
        "do not use",
    );
    refused(VOTE, |forged| forged.priority = u64::MAX, "do not use");
    refused(HEARTBEAT, |forged| forged.context = vec![0; 1000], "context");
    refused(TRANSFER, |_| (), "do not send");
}

#[test]
fn a_term_has_one_leader() {
    let mut node = Node::new();
    let message = Forged::plausible(HEARTBEAT).encode();
    assert_eq!(node.step(Input::Peer { from: 3, message }), [""; 0]);
    let reasons = node.hear(Forged::plausible(APPEND).encode());
    assert_eq!(reasons, ["a second leader in one term"]);
    assert_eq!(node.replica.status(node.now).leader, 3);
}

#[test]
fn snapshots_of_no_place_and_long_or_broken_chunks_are_refused() {
    let begin = |index, term| Message::SnapshotBegin { index, term }.encode();
    let chunk = |chunk: &[u8]| {
        Message::SnapshotChunk {
            index: 20,
            number: 0,
            chunk: Bytes::copy_from_slice(chunk),
            ends: true,
        }
        .encode()
    };
    let mut node = Node::new();
    // Only the leader's snapshot is taken in.
    assert_eq!(node.hear(Forged::plausible(HEARTBEAT).encode()), [""; 0]);
    let applied = node.replica.status(node.now).applied_index;
    assert_eq!(node.hear(begin(u64::MAX, 1)), ["a snapshot of no place in a log"]);
    assert_eq!(node.hear(begin(1, 0)), ["a snapshot of no place in a log"]);
    assert_eq!(node.hear(begin(20, TERM)), [""; 0]);
    assert_eq!(
        node.hear(chunk(b"\xff")),
        ["a snapshot chunk that does not decode"]
    );
    // A header with an impossible run of a node, and one whose lanes are no lanes.
    for header in [
        &b"\x01\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00"[..],
        b"\x01\x00\x03abc",
    ] {
        assert_eq!(node.hear(begin(20, TERM)), [""; 0]);
        assert_eq!(
            node.hear(chunk(header)),
            ["a snapshot chunk that does not decode"]
        );
    }
    let mut offer = Forged::plausible(SNAPSHOT);
    offer.snapshot = (20, TERM, vec![1, 2, 3]);
    // Nothing has been received for it, so it is no more than a claim.
    assert_eq!(node.hear(offer.encode()), [""; 0]);
    assert_eq!(node.replica.status(node.now).applied_index, applied);
}

#[test]
fn forwarded_batches_are_the_senders_own() {
    let mut node = Node::new();
    let forward = |batch| Message::Forward {
        term: TERM,
        batches: vec![batch],
    };
    assert_eq!(node.hear(forward(batch(2, 4, 1)).encode()), [""; 0]);
    assert_eq!(
        node.hear(forward(batch(3, 4, 1)).encode()),
        ["a batch of another node"]
    );
    let reasons = node.hear(forward(batch(2, u64::MAX, 1)).encode());
    assert_eq!(reasons, ["a run of a node beyond any count"]);
    let reasons = node.hear(forward(batch(2, 4, u64::MAX)).encode());
    assert_eq!(reasons, ["a sequence beyond any count"]);
}

impl Chance {
    fn consensus(&mut self) -> Bytes {
        let mut forged = Forged::plausible(self.below(13) as u8);
        let mut index = forged.index;
        for _ in 0..self.below(4) {
            match self.below(12) {
                0 => forged.term = self.number(),
                1 => forged.log_term = self.number(),
                2 => {
                    forged.index = self.number();
                    index = forged.index;
                }
                3 => forged.commit = self.number(),
                4 => forged.commit_term = self.number(),
                5 => forged.reject_hint = self.number(),
                6 => forged.reject = 1,
                7 => forged.context = vec![7; self.below(40) as usize],
                8 => forged.snapshot = (self.number(), self.number(), vec![1, 2, 3]),
                9 => forged.entries.clear(),
                10 => forged.request_snapshot = self.number(),
                _ => {
                    index = index.wrapping_add(1);
                    let mut builder = EntryBuilder::new(WALL_MS, 0);
                    builder.push(&self.batch(2));
                    let data = builder.finish();
                    forged.entries.push((0, index, self.number(), data));
                }
            }
        }
        forged.encode()
    }

    /// A batch of any run of a node, with any ops.
    fn batch(&mut self, node: PeerId) -> Batch {
        let count = 1 + self.below(4);
        let mut ops = Vec::new();
        (0..count).for_each(|_| put_bytes(&mut ops, &self.any_op()));
        Batch {
            count,
            ops: Bytes::from(ops),
            ..batch(node, self.number(), self.number() | 1)
        }
    }

    fn message(&mut self) -> Bytes {
        let first = self.number();
        let message = match self.below(12) {
            0 => Message::ReadIndex { context: first },
            1 => Message::ReadIndexReply {
                context: first,
                index: self.number(),
                time_ms: self.number(),
            },
            2 => Message::SnapshotBegin {
                index: first,
                term: self.number(),
            },
            3 => Message::SnapshotChunk {
                index: first,
                number: self.below(3),
                chunk: Bytes::from(vec![self.below(256) as u8; self.below(20) as usize]),
                ends: self.below(2) == 0,
            },
            4 => Message::SnapshotAck {
                index: first,
                number: self.number(),
            },
            5 => Message::Load {
                index: first,
                keyspace: self.below(3) as u16,
                key: Bytes::from_static(b"row:1"),
            },
            6 => Message::Forward {
                term: first,
                batches: {
                    let node = self.below(4);
                    vec![self.batch(node)]
                },
            },
            _ => return self.consensus(),
        };
        message.encode()
    }
}

#[test]
fn ops_of_every_kind_in_any_order_are_applied_alike_and_end_nothing() {
    let (mut seen, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..400 {
        let mut chance = Chance(seed);
        let mut nodes = [Node::over(mapped()), Node::over(mapped())];
        let mut sequence = 1;
        for index in LAST + 1..LAST + 9 {
            let mut ops: Vec<_> = (0..1 + chance.below(12)).map(|_| chance.any_op()).collect();
            if index == LAST + 1 && seed % 8 != 0 {
                ops.insert(0, logged(Op::HashSeed(HashSeed::from_number(1))));
            }
            seen.extend(ops.iter().map(|op| op[0]));
            let message = committed(index, sequence, &ops);
            sequence += ops.len() as u64;
            for node in &mut nodes {
                assert_eq!(node.hear(message.clone()), [""; 0]);
            }
            // One of them is asked for a turn and a tick where the other is not.
            nodes[1].step(Input::Tick);
            nodes.iter_mut().for_each(|node| node.apply_up_to(index));
            let [one, other] = nodes.each_ref().map(|node| node.replica.keyspace().digest());
            assert_eq!(one, other, "seed {seed}, entry {index}: {ops:?}");
            digests.insert(format!("{one:?}"));
        }
    }
    let unseen: Vec<_> = TAGS.iter().filter(|tag| !seen.contains(tag)).collect();
    assert!(unseen.is_empty(), "no op of {unseen:02x?} was made");
    assert!(digests.len() > 400, "most of them change something");
}

/// Messages of the test that follows, unless it is built with more of them.
const MESSAGES: u64 = 36_000;
const MESSAGES_ASKED: Option<&str> = option_env!("REPLIGO_TEST_HOSTILE_MESSAGES");
/// To one node; then another one is begun with.
const MESSAGES_PER_NODE: u64 = 60;

#[test]
fn no_random_or_mutated_message_ends_the_process() {
    let messages = MESSAGES_ASKED.map_or(MESSAGES, |text| text.parse().expect("a number of messages"));
    let (mut refused, mut applied) = (0, 0);
    for seed in 0..messages.div_ceil(MESSAGES_PER_NODE) {
        let mut chance = Chance(seed);
        let mut node = Node::over(mapped());
        for _ in 0..MESSAGES_PER_NODE {
            let mut bytes = chance.message().to_vec();
            if chance.below(4) == 0 {
                let place = chance.below(bytes.len() as u64) as usize;
                bytes[place] = chance.draw() as u8;
            }
            let message = Bytes::from(bytes);
            let from = 2 + chance.below(2);
            refused += node.step(Input::Peer { from, message }).len();
            if chance.below(4) == 0 {
                // Elections come and go meanwhile.
                node.now.mono_us += 25_000 * chance.below(50);
                node.step(Input::Tick);
            }
        }
        assert!(node.persisted_term <= POSITION_MAX);
        applied += node.replica.status(node.now).applied_index;
    }
    println!("{messages} messages: {refused} refused, {applied} entries applied, no panic");
    assert!(refused as u64 > messages / 36, "only {refused} were refused");
}
