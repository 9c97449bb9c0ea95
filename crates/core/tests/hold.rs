//! The hold of requests on a node that is cut off from its cluster: how long they wait for a leader before they are
//! refused, counted from when they came to the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, Outputs, ReadLevel, Request, Settings, Ticket,
};
use repligo_core::keyspace::EventClasses;
use repligo_core::limits::{FORWARD_HOLD_US, STALENESS_US_MAX};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_proto::words;

const TICK_US: u64 = 25_000;

/// One of three nodes, or of one.
struct Node {
    now: Now,
    replica: Replica,
    outputs: Outputs,
}

impl Node {
    fn new(members: u64) -> Self {
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
            membership: Membership::of_count(members),
            durability: Durability::None,
            seed: 3,
            hash_seed: HashSeed::from_number(7),
            origin: Arc::new(OriginMap::new(Vec::new()).expect("an empty map")),
            log_bytes_max: 64 << 20,
        };
        Self {
            now,
            replica: Replica::new(settings, Boot::default(), now),
            outputs: Outputs::default(),
        }
    }

    fn step(&mut self, input: Input<'_>) {
        self.replica.step(self.now, input, &mut self.outputs);
        self.replica.invariants();
    }

    fn run_us(&mut self, us: u64) {
        for _ in 0..us / TICK_US {
            self.now.mono_us += TICK_US;
            self.now.wall_ms += TICK_US / 1000;
            self.step(Input::Tick);
            self.step(Input::Turn);
        }
    }

    fn ask(&mut self, ticket: Ticket, command: &Command<'_>, stood_us: u64) {
        self.step(Input::Request(Request {
            ticket,
            resp3: false,
            rides: false,
            token: None,
            level: ReadLevel::Linearizable,
            actor: Default::default(),
            demand: Demand {
                stood_us,
                ..Demand::default()
            },
            body: Body::Command(command),
        }));
    }

    fn answered(&mut self) -> BTreeMap<Ticket, Vec<u8>> {
        let bytes = std::mem::take(&mut self.outputs.reply_bytes);
        let replies = self.outputs.replies.drain(..);
        replies
            .map(|reply| {
                let range = reply.start as usize..reply.end as usize;
                (reply.ticket, bytes[range].to_vec())
            })
            .collect()
    }

    fn assert_refused(&mut self, expected: &[Ticket]) {
        let answered = self.answered();
        let tickets: Vec<Ticket> = answered.keys().copied().collect();
        assert_eq!(tickets, expected);
        for reply in answered.values() {
            assert!(reply.starts_with(b"-NOLEADER "), "{reply:?}");
            assert_eq!(words::outcome(reply), words::Outcome::NotApplied);
        }
    }
}

const GET: Command<'_> = Command::Get { db: 0, key: b"k" };
const SET: Command<'_> = Command::Set {
    db: 0,
    key: b"k",
    value: b"v",
    expiry: Expiry::Never,
    condition: SetCondition::Always,
    reply: SetReply::Ok,
};

#[test]
fn what_has_stood_as_long_as_the_hold_is_refused_at_once() {
    let mut node = Node::new(3);
    node.run_us(2 * FORWARD_HOLD_US);
    let before = node.replica.held();
    node.ask(1, &GET, FORWARD_HOLD_US);
    node.ask(2, &SET, FORWARD_HOLD_US);
    node.assert_refused(&[1, 2]);
    assert_eq!(node.replica.held(), before);
}

#[test]
fn what_came_just_now_has_its_whole_hold_however_long_nobody_leads() {
    let mut node = Node::new(3);
    node.run_us(2 * FORWARD_HOLD_US);
    node.ask(1, &GET, 0);
    node.ask(2, &SET, 0);
    node.run_us(FORWARD_HOLD_US - TICK_US);
    node.assert_refused(&[]);
    node.run_us(2 * TICK_US);
    node.assert_refused(&[1, 2]);
}

#[test]
fn the_hold_counts_from_when_a_request_came_and_writes_of_a_turn_wait_for_the_last_one() {
    let mut node = Node::new(3);
    node.run_us(2 * FORWARD_HOLD_US);
    node.ask(1, &GET, FORWARD_HOLD_US - 1_000_000);
    node.ask(2, &SET, FORWARD_HOLD_US - 1_000_000);
    node.ask(3, &SET, FORWARD_HOLD_US - 2_000_000);
    node.run_us(1_000_000 + TICK_US);
    node.assert_refused(&[1]);
    node.run_us(1_000_000);
    node.assert_refused(&[2, 3]);
}

#[test]
fn what_stood_while_somebody_led_has_its_hold_from_when_nobody_did() {
    let mut node = Node::new(3);
    node.run_us(FORWARD_HOLD_US - 1_000_000);
    node.ask(1, &SET, 100 * FORWARD_HOLD_US);
    node.run_us(1_000_000 - TICK_US);
    node.assert_refused(&[]);
    node.run_us(2 * TICK_US);
    node.assert_refused(&[1]);
}

#[test]
fn a_leader_takes_what_has_stood_for_long() {
    let mut node = Node::new(1);
    node.run_us(2_000_000);
    assert_eq!(node.replica.leaderless_us(), None);
    node.ask(1, &SET, 100 * FORWARD_HOLD_US);
    node.step(Input::Turn);
    assert_eq!(node.answered().remove(&1).as_deref(), Some(&b"+OK\r\n"[..]));
}

#[test]
fn who_has_lost_its_leader_notes_once_that_everything_may_be_old() {
    let mut node = Node::new(3);
    node.replica.observe(EventClasses::default(), true);
    let clears = |node: &mut Node, us| {
        node.run_us(us);
        node.replica
            .take_changes()
            .iter()
            .filter(|group| group.clears())
            .count()
    };
    assert_eq!(clears(&mut node, STALENESS_US_MAX - TICK_US), 0);
    assert_eq!(clears(&mut node, 4 * TICK_US), 1);
    assert_eq!(clears(&mut node, 2 * STALENESS_US_MAX), 0);
}
