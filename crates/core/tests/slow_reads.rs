//! Reads that take several turns, and what stands behind them: the order of one connection, the rights by which they
//! were let through, and that nobody else waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use repligo_core::acl::{Actor, UserChange};
use repligo_core::command::parse;
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, Outputs, ReadLevel, Request, Settings, Ticket,
};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::shares::Demand;
use repligo_core::time::Now;
use repligo_proto::command::resolve;
use repligo_proto::resp::OwnedRequest;
use repligo_proto::words;

/// A single node, which leads.
struct Node {
    now: Now,
    replica: Replica,
    outputs: Outputs,
    replies: BTreeMap<Ticket, String>,
}

impl Node {
    fn new() -> Self {
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
            membership: Membership::of_count(1),
            durability: Durability::None,
            seed: 3,
            hash_seed: HashSeed::from_number(7),
            origin: Arc::new(OriginMap::default()),
            log_bytes_max: 64 << 20,
        };
        let mut node = Self {
            now,
            replica: Replica::new(settings, Boot::default(), now),
            outputs: Outputs::default(),
            replies: BTreeMap::new(),
        };
        node.later(2_000);
        node.step(Input::Tick);
        node.turn();
        node
    }

    fn later(&mut self, milliseconds: u64) {
        self.now.mono_us += milliseconds * 1000;
        self.now.wall_ms += milliseconds;
    }

    fn step(&mut self, input: Input<'_>) {
        self.replica.step(self.now, input, &mut self.outputs);
        self.replica.invariants();
    }

    /// One turn, and what it answers.
    fn turn(&mut self) {
        self.step(Input::Turn);
        self.outputs.join_long_replies();
        let bytes = std::mem::take(&mut self.outputs.reply_bytes);
        for reply in self.outputs.replies.drain(..) {
            let text = &bytes[reply.start as usize..reply.end as usize];
            let text = String::from_utf8_lossy(text).trim_end().to_owned();
            assert!(
                self.replies.insert(reply.ticket, text).is_none(),
                "one reply each"
            );
        }
    }

    fn give(&mut self, ticket: Ticket, (actor, rides): (Actor, bool), body: Body<'_>) {
        self.step(Input::Request(Request {
            ticket,
            resp3: false,
            rides,
            token: None,
            level: ReadLevel::Linearizable,
            actor,
            demand: Demand::default(),
            body,
        }));
    }

    fn ask_as(&mut self, actor: Actor, ticket: Ticket, words: &[&str]) {
        let request = OwnedRequest::new(words);
        let spec = resolve(request.view()).expect("it is a command");
        let command = parse(spec, 0, request.view()).expect("it parses");
        self.give(ticket, (actor, false), Body::Command(&command));
    }

    fn ask(&mut self, ticket: Ticket, words: &[&str]) {
        self.ask_as(Actor::default(), ticket, words);
    }

    fn set_user(&mut self, ticket: Ticket, name: &str, rules: &[&str]) {
        let change = UserChange::Set {
            name: name.as_bytes(),
            rules: rules.iter().map(|rule| rule.as_bytes()).collect(),
        };
        self.give(ticket, (Actor::default(), false), Body::Users(&change));
    }

    /// Turns until this is answered.
    fn answer(&mut self, ticket: Ticket) -> String {
        for _ in 0..100_000 {
            if let Some(reply) = self.replies.get(&ticket) {
                return reply.clone();
            }
            self.turn();
        }
        panic!("{ticket:#x} is never answered");
    }

    /// Two strings whose LCS takes hundreds of turns.
    fn set_long_strings(&mut self) {
        let (a, b) = ("ab".repeat(1500), "ba".repeat(1500));
        self.ask(ticket(1, 1), &["SET", "a", &a]);
        self.ask(ticket(1, 2), &["SET", "b", &b]);
        self.answer(ticket(1, 2));
    }
}

const fn ticket(connection: u64, number: u64) -> Ticket {
    connection << 32 | number
}

#[test]
fn what_stands_behind_a_read_that_gives_way_holds_up_no_write() {
    let mut node = Node::new();
    node.set_long_strings();
    node.ask(ticket(2, 1), &["LCS", "a", "b", "LEN"]);
    node.ask(ticket(2, 2), &["GET", "x"]);
    node.turn();
    node.turn();
    node.ask(ticket(3, 1), &["SET", "x", "new"]);
    assert_eq!(node.answer(ticket(3, 1)), "+OK");
    assert!(!node.replies.contains_key(&ticket(2, 1)), "it takes longer");
    assert_eq!(node.answer(ticket(2, 1)), ":2999");
    assert_eq!(
        node.answer(ticket(2, 2)),
        "$3\r\nnew",
        "it is executed behind the long one"
    );
}

#[test]
fn what_waits_behind_a_long_read_is_refused_if_its_user_has_lost_the_right_meanwhile() {
    let mut node = Node::new();
    node.set_long_strings();
    node.set_user(ticket(1, 3), "u", &["on", "~*", "+@all"]);
    node.set_user(ticket(1, 4), "v", &["on", "~*", "+@all"]);
    node.answer(ticket(1, 4));
    let users = node.replica.users();
    let [u, v] =
        ["u", "v"].map(|name| users.actor(users.get(name.as_bytes()).expect("there is such a user")));
    for (connection, actor) in [(2, u), (3, v)] {
        node.ask_as(actor, ticket(connection, 1), &["LCS", "a", "b", "LEN"]);
        node.ask_as(actor, ticket(connection, 2), &["STRLEN", "a"]);
        node.ask_as(actor, ticket(connection, 3), &["LCS", "a", "a", "LEN"]);
    }
    node.turn();
    node.turn();
    node.set_user(ticket(1, 5), "u", &["-strlen", "-lcs"]);
    assert_eq!(node.answer(ticket(1, 5)), "+OK");
    assert!(!node.replies.contains_key(&ticket(2, 1)), "it takes longer");
    let refused = format!("-{}", words::acl::RIGHTS_CHANGED);
    // What had begun ends.
    for (connection, expected) in [
        (2, [":2999", &refused, &refused]),
        (3, [":2999", ":3000", ":3000"]),
    ] {
        let replies = [1, 2, 3].map(|number| node.answer(ticket(connection, number)));
        assert_eq!(replies, expected, "{connection}");
    }
}

#[test]
fn a_short_read_that_rides_for_the_time_sees_nothing_older_than_a_long_one_before_it() {
    const NAMES: [&str; 12] = [
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "xa", "xb",
    ];
    let mut node = Node::new();
    for number in 0..5_000 {
        node.ask(ticket(1, number), &["SET", &format!("k{number}"), "v"]);
    }
    node.ask(ticket(1, 5_000), &["SET", "volatile", "v", "PX", "50"]);
    node.answer(ticket(1, 5_000));
    // The deadline has passed, and no entry of the log says so.
    node.later(60);
    node.ask(ticket(2, 1), &["KEYS", "*"]);
    let exists = [&["EXISTS"][..], &NAMES].concat();
    node.ask(ticket(2, 2), &exists);
    node.turn();
    let sets = [&["MSET"][..], &NAMES.map(|name| [name, "v"]).concat()].concat();
    node.ask(ticket(3, 1), &sets);
    node.answer(ticket(3, 1));
    let keys = node.answer(ticket(2, 1));
    let seen = NAMES.iter().filter(|name| keys.contains(*name)).count();
    assert!(seen > 0, "the walk met none of them, and this test shows nothing");
    assert!(!keys.contains("volatile"));
    assert_eq!(node.answer(ticket(2, 2)), format!(":{}", NAMES.len()));
}

#[test]
fn long_reads_without_end_and_writes_take_turns() {
    let mut node = Node::new();
    node.set_long_strings();
    let names: Vec<String> = (0..2_000).map(|number| format!("k{number}")).collect();
    let words: Vec<&str> = std::iter::once("EXISTS")
        .chain(names.iter().map(String::as_str))
        .collect();
    // Two clients ask anew as soon as they are answered, so that there is always one of them in front.
    let mut asked = [0, 0];
    for write in 0..20 {
        node.ask(ticket(9, write), &["SET", "k1", "v"]);
        for turn in 0.. {
            for (connection, asked) in asked.iter_mut().enumerate() {
                let of = |number| ticket(connection as u64 + 2, number);
                if *asked == 0 || node.replies.contains_key(&of(*asked)) {
                    *asked += 1;
                    node.ask(of(*asked), &words);
                }
            }
            node.turn();
            if node.replies.contains_key(&ticket(9, write)) {
                break;
            }
            assert!(turn < 100, "the write waits for ever");
        }
    }
    assert!(
        asked.iter().all(|asked| *asked > 2),
        "the reads go on, too: {asked:?}"
    );
}
