//! Tokens and reads at level session on one replica: what covers what, what is refused, and what waits how long.

use std::sync::Arc;

use repligo_core::command::{Command, Expiry, SetCondition, SetReply};
use repligo_core::contract::{
    Body, Boot, Durability, HashSeed, Identity, Input, Outputs, ReadLevel, Request, Served, Settings, Ticket,
    Token,
};
use repligo_core::level::Bound;
use repligo_core::limits::{FORWARD_HOLD_US, SLICE_STEPS};
use repligo_core::membership::Membership;
use repligo_core::origin::OriginMap;
use repligo_core::replica::Replica;
use repligo_core::time::Now;
use repligo_core::token::{NoToken, Standing};

const TICK_US: u64 = 25_000;
const SESSION: ReadLevel = ReadLevel::Session(None);
const GET: Command<'_> = Command::Get { db: 0, key: b"k" };
const SET: Command<'_> = Command::Set {
    db: 0,
    key: b"k",
    value: b"v",
    expiry: Expiry::Never,
    condition: SetCondition::Always,
    reply: SetReply::Ok,
};

/// One of three nodes, which never hears of the others, or the only one.
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
                generation: 2,
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
        let mut node = Self {
            now,
            replica: Replica::new(settings, Boot::default(), now),
            outputs: Outputs::default(),
        };
        node.run_us(1_000_000);
        node
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
            while let Some(persist) = self.outputs.persists.pop() {
                let number = persist.number;
                self.outputs.persists.clear();
                self.step(Input::Persisted { number });
                self.step(Input::Turn);
            }
        }
    }

    fn ask(&mut self, ticket: Ticket, command: &Command<'_>, (level, token): (ReadLevel, Option<&Token>)) {
        self.step(Input::Request(Request {
            ticket,
            resp3: false,
            rides: false,
            token,
            level,
            actor: Default::default(),
            demand: Default::default(),
            body: Body::Command(command),
        }));
    }

    /// The only answer since the last call, as text; `None` where there is none.
    fn answer(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.outputs.reply_bytes);
        let mut replies = self.outputs.replies.drain(..);
        let reply = replies.next();
        assert_eq!(replies.next(), None);
        reply.map(|reply| {
            let range = reply.start as usize..reply.end as usize;
            String::from_utf8_lossy(&bytes[range]).into_owned()
        })
    }

    fn write(&mut self) {
        self.ask(1, &SET, (ReadLevel::Linearizable, None));
        self.run_us(TICK_US);
        assert_eq!(self.answer().as_deref(), Some("+OK\r\n"));
    }
}

#[test]
fn a_token_covers_what_was_acknowledged_and_grows_with_it() {
    let mut node = Node::new(1);
    let before = node.replica.token();
    node.write();
    let after = node.replica.token();
    assert!(
        after.index > before.index && after.term >= before.term,
        "{before:?} {after:?}"
    );
    for token in [before, after] {
        assert_eq!(node.replica.judge_token(&token), Standing::Passed);
    }
    let further = Token {
        index: after.index + 1,
        ..after
    };
    assert_eq!(node.replica.judge_token(&further), Standing::Ahead);
    node.write();
    assert_eq!(node.replica.judge_token(&further), Standing::Passed);
}

#[test]
fn a_token_covers_what_was_answered_from_the_middle_of_an_entry() {
    let mut node = Node::new(1);
    node.write();
    let writes = 3 * SLICE_STEPS as Ticket;
    for ticket in 1..=writes {
        node.ask(ticket, &SET, (ReadLevel::Linearizable, None));
    }
    let before = node.replica.token();
    node.step(Input::Turn);
    let answered = node.outputs.replies.len() as Ticket;
    assert!(answered > 0 && answered < writes, "{answered} of {writes}");
    let amid = node.replica.token();
    assert!(amid.index > before.index, "{before:?} {amid:?}");
    let mut reply = Vec::new();
    let served = node.replica.read(node.now, &GET, SESSION, false, &mut reply);
    assert_eq!(served, Served::NotYet, "a half of an entry is no state");
    node.run_us(2 * TICK_US);
    assert_eq!(node.replica.token(), amid, "the entry that it named then");
}

#[test]
fn what_says_nothing_here_is_refused_with_the_reason() {
    let mut node = Node::new(1);
    node.write();
    let own = node.replica.token();
    let refused = |change: fn(&mut Token)| {
        let mut token = own;
        change(&mut token);
        match node.replica.judge_token(&token) {
            Standing::Refused(refusal) => refusal,
            standing => panic!("{token:?} is {standing:?}"),
        }
    };
    assert_eq!(refused(|token| token.cluster ^= 1), NoToken::OtherCluster);
    assert_eq!(refused(|token| token.shard = 1), NoToken::OtherCluster);
    assert_eq!(
        refused(|token| token.generation = 1),
        NoToken::EarlierGeneration { token: 1, own: 2 }
    );
    assert_eq!(
        refused(|token| token.generation = 3),
        NoToken::LaterGeneration { token: 3, own: 2 }
    );
    assert_eq!(refused(|token| token.index += 1 << 41), NoToken::Impossible);
    assert_eq!(refused(|token| token.term += 1 << 41), NoToken::Impossible);
    // In the place of an applied entry of another term, behind one of a later term, and before one of an earlier term.
    for wrong in [
        refused(|token| token.term += 1),
        refused(|token| (token.term, token.index) = (0, token.index + 5)),
        refused(|token| (token.term, token.index) = (token.term + 1, token.index - 1)),
    ] {
        assert!(matches!(wrong, NoToken::NotInHistory { .. }), "{wrong:?}");
        assert!(wrong.text().starts_with("LOSTWRITE "));
    }
}

#[test]
fn a_leader_says_that_an_entry_was_never_committed() {
    let mut node = Node::new(1);
    node.write();
    let own = node.replica.token();
    let lost = Token {
        index: own.index + 1,
        ..own
    };
    node.ask(1, &GET, (SESSION, Some(&lost)));
    node.run_us(TICK_US);
    let answer = node.answer().expect("it need not wait");
    assert!(answer.starts_with("-LOSTWRITE "), "{answer}");
    node.ask(2, &GET, (SESSION, Some(&own)));
    node.run_us(TICK_US);
    assert_eq!(node.answer().as_deref(), Some("$1\r\nv\r\n"));
    // What is of a later term than the leader's cannot be known to be lost; nor is it answered.
    let later = Token {
        term: own.term + 1,
        ..lost
    };
    node.ask(3, &GET, (SESSION, Some(&later)));
    node.run_us(FORWARD_HOLD_US - 10 * TICK_US);
    assert_eq!(node.answer(), None);
    node.run_us(20 * TICK_US);
    let answer = node.answer().expect("it has waited for the hold");
    assert!(
        answer.starts_with("-STALE ") && answer.contains("level session"),
        "{answer}"
    );
}

#[test]
fn without_a_leader_what_is_here_is_answered_and_the_rest_refused_after_the_hold() {
    let mut node = Node::new(3);
    let here = node.replica.token();
    assert_eq!(node.replica.judge_token(&here), Standing::Here, "not confirmed");
    node.ask(1, &GET, (SESSION, Some(&here)));
    node.run_us(TICK_US);
    assert_eq!(node.answer().as_deref(), Some("$-1\r\n"));
    // Both are asked for: the place is here, and the age is not known.
    let both = ReadLevel::Session(Bound::of_ms(10_000));
    let ahead = Token {
        index: here.index + 1,
        term: here.term + 1,
        ..here
    };
    for (level, token, why) in [
        (SESSION, Some(&ahead), "has seen entry"),
        (SESSION, None, "since its start"),
        (both, Some(&here), "level session+bounded:10s"),
    ] {
        node.now.mono_us += 1;
        let mut reply = Vec::new();
        if token.is_none() {
            let served = node.replica.read(node.now, &GET, level, false, &mut reply);
            assert_eq!(served, Served::NotYet);
        }
        node.ask(2, &GET, (level, token));
        node.run_us(TICK_US);
        let answer = node.answer().unwrap_or_else(|| {
            node.run_us(FORWARD_HOLD_US + 2 * TICK_US);
            node.answer().expect("it has waited for the hold")
        });
        assert!(
            answer.starts_with("-STALE ") && answer.contains(why),
            "{level}: {answer}"
        );
    }
}
