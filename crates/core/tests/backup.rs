//! A snapshot that somebody asks for holds what was applied then, and a new cluster that begins with it has the data,
//! and nothing of the nodes or the origins of the old one.

use std::sync::Arc;

use bytes::Bytes;
use repligo_core::acl::UserChange;
use repligo_core::backup::{Inspection, founding};
use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Actor, Body, Boot, Durability, HardState, HashSeed, Identity, Input, Outputs, ReadLevel, Request, Served,
    Settings, SnapshotIo, Ticket,
};
use repligo_core::limits;
use repligo_core::mapping_fit::{self, Misfit};
use repligo_core::membership::Membership;
use repligo_core::origin::{KeyspaceConfig, Mode, OriginMap, ValueConfig};
use repligo_core::replica::{NoSnapshot, Replica};
use repligo_core::shares::Demand;
use repligo_core::time::Now;

const START: Now = Now {
    mono_us: 1_000_000,
    wall_ms: 1_700_000_000_000,
};

struct Node {
    now: Now,
    replica: Replica,
    chunks: Vec<Bytes>,
    /// Index and term of the last snapshot that is complete.
    saved: (u64, u64),
    begun: (u64, u64),
    disk_is_slow: bool,
    replies: Vec<(Ticket, Vec<u8>)>,
}

fn settings(cluster_id: u128, durability: Durability, origin: OriginMap) -> Settings {
    Settings {
        identity: Identity {
            cluster_id,
            generation: 1,
            peer: 1,
            incarnation: 1,
        },
        membership: Membership::of_count(1),
        durability,
        seed: 1,
        hash_seed: HashSeed::from_number(1),
        origin: Arc::new(origin),
        log_bytes_max: 64 << 20,
    }
}

impl Node {
    fn start(settings: Settings, boot: Boot, now: Now) -> Self {
        let mut node = Self {
            now,
            replica: Replica::new(settings, boot, now),
            chunks: Vec::new(),
            saved: (0, 0),
            begun: (0, 0),
            disk_is_slow: false,
            replies: Vec::new(),
        };
        node.run_ms(3_000);
        node
    }

    fn step(&mut self, input: Input<'_>) {
        let mut outputs = Outputs::default();
        self.replica.step(self.now, input, &mut outputs);
        self.replica.step(self.now, Input::Turn, &mut outputs);
        while self.replica.has_work() {
            self.replica.step(self.now, Input::Turn, &mut outputs);
        }
        self.replica.invariants();
        for reply in &outputs.replies {
            let bytes = &outputs.reply_bytes[reply.start as usize..reply.end as usize];
            self.replies.push((reply.ticket, bytes.to_vec()));
        }
        let mut done = Vec::new();
        for piece in outputs.snapshot {
            match piece {
                SnapshotIo::Begin { index, term } => {
                    self.chunks.clear();
                    self.begun = (index, term);
                }
                SnapshotIo::Chunk(chunk) => self.chunks.push(chunk),
                SnapshotIo::End { index, .. } if !self.disk_is_slow => {
                    self.saved = self.begun;
                    done.push(index);
                }
                SnapshotIo::End { .. } | SnapshotIo::Abort => {}
            }
        }
        let numbers: Vec<u64> = outputs.persists.iter().map(|persist| persist.number).collect();
        numbers
            .into_iter()
            .for_each(|number| self.step(Input::Persisted { number }));
        done.into_iter()
            .for_each(|index| self.step(Input::SnapshotSaved { index }));
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 25 {
            self.now.mono_us += limits::TICK_US;
            self.now.wall_ms += 25;
            self.step(Input::Tick);
        }
    }

    fn give(&mut self, ticket: Ticket, body: Body<'_>) {
        self.step(Input::Request(Request {
            ticket,
            resp3: false,
            rides: false,
            token: None,
            level: ReadLevel::default(),
            actor: Actor::default(),
            demand: Demand::default(),
            body,
        }));
    }

    fn set(&mut self, key: &str, expiry: Expiry) {
        let command = Command::Set {
            db: 0,
            key: key.as_bytes(),
            value: b"value",
            expiry,
            condition: SetCondition::Always,
            reply: SetReply::Ok,
        };
        self.replies.clear();
        self.give(1, Body::Command(&command));
        assert_eq!(self.replies, [(1, b"+OK\r\n".to_vec())], "{key}");
    }

    fn holds(&self, key: &str) -> bool {
        let mut out = Vec::new();
        let command = Command::Get {
            db: 0,
            key: key.as_bytes(),
        };
        let served = self
            .replica
            .read(self.now, &command, ReadLevel::Eventual, false, &mut out);
        assert!(matches!(served, Served::Done), "{served:?}");
        out == b"$5\r\nvalue\r\n"
    }

    /// What a node starts with that founds a new cluster with this one's snapshot.
    fn founds(&self) -> Boot {
        let (index, term) = self.saved;
        let mut chunks = self.chunks.clone();
        chunks[0] = founding(chunks[0].clone(), &Membership::of_count(1)).expect("a first chunk");
        Boot {
            hard_state: HardState {
                term,
                vote: 0,
                commit: index,
            },
            snapshot: Some((index, term, chunks)),
            entries: Vec::new(),
        }
    }
}

fn fresh() -> Node {
    Node::start(
        settings(7, Durability::Os, OriginMap::default()),
        Boot::default(),
        START,
    )
}

#[test]
fn what_is_asked_for_holds_everything_that_was_applied_and_nothing_later() {
    let mut node = fresh();
    node.set("before", Expiry::Never);
    let asked = node.replica.ask_for_snapshot().expect("it has a disk");
    assert!(node.replica.snapshot_index() < asked);
    node.run_ms(500);
    assert!(node.replica.snapshot_index() >= asked);
    let mut inspection = Inspection::new(HashSeed::from_number(5));
    node.chunks
        .iter()
        .for_each(|chunk| inspection.take(chunk).expect("whole"));
    let contents = inspection.finish().expect("whole");
    assert_eq!(
        (contents.outline.entry_count, contents.members),
        (1, vec!["n1".to_owned()])
    );
    // Nothing was asked for since, so nothing is written.
    node.set("after", Expiry::Never);
    let saved = node.saved;
    node.run_ms(500);
    assert_eq!(node.saved, saved);
}

#[test]
fn a_walk_that_began_before_does_not_count() {
    let mut node = fresh();
    node.set("first", Expiry::Never);
    node.replica.ask_for_snapshot().expect("it has a disk");
    node.disk_is_slow = true;
    node.run_ms(500);
    let begun = node.begun.0;
    node.set("second", Expiry::Never);
    let asked = node.replica.ask_for_snapshot().expect("it has a disk");
    assert!(begun > 0 && begun < asked);
    // The first one is on disk now.
    node.disk_is_slow = false;
    node.step(Input::SnapshotSaved { index: begun });
    assert!(node.replica.snapshot_index() < asked);
    node.run_ms(500);
    assert!(node.replica.snapshot_index() >= asked, "another one was written");
}

#[test]
fn a_node_without_a_disk_says_so() {
    let mut node = Node::start(
        settings(7, Durability::None, OriginMap::default()),
        Boot::default(),
        START,
    );
    assert_eq!(node.replica.ask_for_snapshot(), Err(NoSnapshot::Volatile));
    for reason in [
        NoSnapshot::Volatile,
        NoSnapshot::Empty,
        NoSnapshot::Removed,
        NoSnapshot::Full,
    ] {
        let text = reason.explain();
        assert!(
            text.contains("another node") || text.contains("repligo export"),
            "{text}"
        );
    }
}

#[test]
fn a_new_cluster_has_keys_deadlines_and_users_and_goes_on_from_there() {
    let mut node = fresh();
    node.set("kept", Expiry::Never);
    node.set("short", Expiry::In(60_000));
    node.set("long", Expiry::In(3_600_000));
    let change = UserChange::Set {
        name: b"app",
        rules: vec![b"on", b"~app:*", b"+@all"],
    };
    node.give(2, Body::Users(&change));
    let asked = node.replica.ask_for_snapshot().expect("it has a disk");
    node.run_ms(500);
    // Ten minutes pass before it is restored.
    let later = Now {
        mono_us: 5_000_000,
        wall_ms: node.now.wall_ms + 600_000,
    };
    let settings = settings(8, Durability::Os, OriginMap::default());
    let mut founder = Node::start(settings, node.founds(), later);
    assert!(founder.holds("kept") && founder.holds("long"));
    assert!(!founder.holds("short"), "its deadline has passed meanwhile");
    assert!(founder.replica.users().get(b"app").is_some());
    assert_eq!(founder.replica.membership().voters(), [1]);
    founder.set("new", Expiry::Never);
    assert!(founder.replica.status(founder.now).applied_index > asked);
}

#[test]
fn keys_that_would_become_rows_where_it_is_restored_are_counted_and_named() {
    let mut node = fresh();
    node.set("plain", Expiry::Never);
    node.set("item:1", Expiry::Never);
    node.replica.ask_for_snapshot().expect("it has a disk");
    node.run_ms(500);
    let config = KeyspaceConfig {
        name: "items".to_owned(),
        pattern: "item:{id:int}".to_owned(),
        database: 0,
        origin: "main".to_owned(),
        mode: Mode::WriteThrough,
        table: "items".to_owned(),
        key: vec![("id".to_owned(), "id".to_owned())],
        value: ValueConfig::Raw {
            column: "value".to_owned(),
        },
        cache_ttl_ms: None,
        negative_ttl_ms: 1000,
        flush_deadline_ms: 30_000,
        lanes: 4,
    };
    let map = OriginMap::new(vec![config]).expect("valid");
    let map = Arc::new(map);
    let chunks_of = |boot: Boot| boot.snapshot.expect("it has one").2;
    let misfit = mapping_fit::judge(&chunks_of(node.founds()), &map).expect_err("item:1 is in no table");
    let example = (0, b"item:1".to_vec());
    assert_eq!(misfit, Misfit::PlainKeys { count: 1, example });
    assert_eq!(
        mapping_fit::judge(&chunks_of(node.founds()), &Arc::default()),
        Ok(())
    );
    // A snapshot of a node's own is of its sections and no others.
    assert_eq!(mapping_fit::judge(&node.chunks, &Arc::default()), Ok(()));
    assert_eq!(
        mapping_fit::judge(&node.chunks, &map),
        Err(Misfit::OtherKeyspaces)
    );
}
