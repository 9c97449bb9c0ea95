//! What was let through by rights that have shrunk since is refused where it is executed, and nothing else is.

use std::sync::Arc;

use repligo_core::acl::{Actor, UserChange};
use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, Outputs, ReadLevel, Request, Settings, Ticket,
};
use repligo_core::keyspace::ABSENT;
use repligo_core::membership::Membership;
use repligo_core::op::TransactionBuffer;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_proto::words;

const NOW: Now = Now {
    mono_us: 1_000_000,
    wall_ms: 1_700_000_000_000,
};

struct Node {
    replica: Replica,
    outputs: Outputs,
}

impl Node {
    fn new() -> Self {
        let settings = Settings {
            identity: Identity {
                cluster_id: 7,
                generation: 1,
                peer: 1,
                incarnation: 1,
            },
            membership: Membership::of_count(1),
            durability: Durability::None,
            seed: 1,
            hash_seed: HashSeed::from_number(1),
            origin: Arc::new(OriginMap::default()),
            log_bytes_max: 1 << 20,
        };
        let mut node = Self {
            replica: Replica::new(settings, Boot::default(), NOW),
            outputs: Outputs::default(),
        };
        node.replica.step(NOW, Input::Tick, &mut node.outputs);
        node
    }

    fn give(&mut self, ticket: Ticket, (actor, rides): (Actor, bool), body: Body<'_>) {
        let request = Request {
            ticket,
            resp3: false,
            rides,
            token: None,
            level: ReadLevel::Linearizable,
            actor,
            demand: Demand::default(),
            body,
        };
        self.replica.step(NOW, Input::Request(request), &mut self.outputs);
    }

    fn set_user(&mut self, ticket: Ticket, name: &str, rules: &[&str]) {
        let change = UserChange::Set {
            name: name.as_bytes(),
            rules: rules.iter().map(|rule| rule.as_bytes()).collect(),
        };
        self.give(ticket, (Actor::default(), false), Body::Users(&change));
    }

    fn turn(&mut self) {
        self.replica.step(NOW, Input::Turn, &mut self.outputs);
        self.replica.invariants();
    }

    fn actor(&self, name: &str) -> Actor {
        let users = self.replica.users();
        users.actor(users.get(name.as_bytes()).expect("there is such a user"))
    }

    fn reply(&self, ticket: Ticket) -> String {
        let of = |reply: &&repligo_core::contract::Reply| reply.ticket == ticket;
        let reply = self.outputs.replies.iter().find(of).expect("it is answered");
        let bytes = &self.outputs.reply_bytes[reply.start as usize..reply.end as usize];
        String::from_utf8_lossy(bytes).trim_end().to_owned()
    }
}

fn set<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    Command::Set {
        db: 0,
        key,
        value,
        expiry: Expiry::Never,
        condition: SetCondition::Always,
        reply: SetReply::Ok,
    }
}

fn refused() -> String {
    format!("-{}", words::acl::RIGHTS_CHANGED)
}

#[test]
fn requests_in_flight_behind_a_loss_of_rights_are_refused_and_those_of_others_are_not() {
    let mut node = Node::new();
    node.set_user(1, "u", &["on", "~*", "+@all", "-flushall"]);
    node.set_user(2, "v", &["on", "~*", "+@all", "-flushall"]);
    node.turn();
    assert_eq!(
        (node.reply(1), node.reply(2)),
        ("+OK".to_owned(), "+OK".to_owned())
    );
    let (u, v) = (node.actor("u"), node.actor("v"));
    node.give(3, (u, false), Body::Command(&set(b"before", b"1")));
    node.set_user(4, "u", &["-set"]);
    node.give(5, (u, false), Body::Command(&set(b"behind", b"1")));
    node.give(
        6,
        (u, true),
        Body::Command(&Command::Get {
            db: 0,
            key: b"before",
        }),
    );
    node.give(7, (v, false), Body::Command(&set(b"other", b"1")));
    node.give(8, (Actor::default(), false), Body::Command(&set(b"plain", b"1")));
    let mut block = TransactionBuffer::default();
    block.push(&set(b"block", b"1"));
    let transaction = &block.transaction();
    node.give(
        9,
        (u, false),
        Body::Transaction {
            transaction,
            locals: &[],
        },
    );
    node.turn();
    for (ticket, expect) in [(3, "+OK"), (4, "+OK"), (7, "+OK"), (8, "+OK")] {
        assert_eq!(node.reply(ticket), expect, "{ticket}");
    }
    for ticket in [5, 6, 9] {
        assert_eq!(node.reply(ticket), refused(), "{ticket}");
    }
    let keys = [
        ("before", 1),
        ("behind", 0),
        ("other", 1),
        ("plain", 1),
        ("block", 0),
    ];
    for (key, expect) in keys {
        let version = node.replica.keyspace().version_of(0, key.as_bytes());
        assert_eq!(u64::from(version & ABSENT == 0), expect, "{key}");
    }
    // Judged anew it goes through.
    let u = node.actor("u");
    node.give(
        10,
        (u, false),
        Body::Command(&Command::Append {
            db: 0,
            key: b"before",
            value: b"2",
        }),
    );
    node.turn();
    assert_eq!(node.reply(10), ":2");
}

#[test]
fn a_deleted_user_leaves_nothing_behind_also_under_its_old_name() {
    let mut node = Node::new();
    node.set_user(1, "u", &["on", "~*", "+@all"]);
    node.turn();
    let u = node.actor("u");
    let names = vec![&b"u"[..]];
    node.give(
        2,
        (Actor::default(), false),
        Body::Users(&UserChange::Delete { names }),
    );
    node.set_user(3, "u", &["on", "~*", "+@all"]);
    node.give(4, (u, false), Body::Command(&set(b"k", b"1")));
    node.turn();
    assert_eq!(
        (node.reply(2), node.reply(3)),
        (":1".to_owned(), "+OK".to_owned())
    );
    assert_eq!(node.reply(4), refused());
}

#[test]
fn the_default_user_is_looked_at_once_it_has_lost_a_right() {
    let mut node = Node::new();
    node.set_user(1, "default", &["-flushall"]);
    node.give(2, (Actor::default(), false), Body::Command(&set(b"k", b"1")));
    node.turn();
    assert_eq!((node.reply(1), node.reply(2)), ("+OK".to_owned(), refused()));
    let now = node.actor("default");
    node.give(3, (now, false), Body::Command(&set(b"k", b"1")));
    node.turn();
    assert_eq!(node.reply(3), "+OK");
}
