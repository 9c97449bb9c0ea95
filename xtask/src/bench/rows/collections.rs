//! Hashes, lists, sets, sorted sets, streams, scripts and messages on one node without persistence.

use std::cell::RefCell;

use super::{Extent, System, alternate};
use crate::bench::load::Sample;
use crate::bench::load::closed::{self, Load, Turns};
use crate::bench::load::codec::Kind;
use crate::bench::load::collections::{
    FEW, QUEUES, RANGE, Request, SCRIPT, Size, Type, collection, counter, queue,
};
use crate::bench::load::fill::fill;
use crate::bench::load::publish;
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Comparison, Goal, Row};
use crate::bench::servers::{Group, redis, repligo};
use crate::run::{Failure, Outcome};

const VALUE_BYTES: usize = 32;
const PIPELINE: usize = 16;
const SUBSCRIBERS: usize = 100;
/// Keys that scripts work on.
const SCRIPT_KEYS: u64 = 10_000;

/// Which numbers are asked for.
#[derive(Clone, Copy)]
enum Numbers {
    /// Any element.
    Any,
    /// Any element that is followed by a whole range.
    Ranges,
    /// So many keys.
    Of(u64),
    /// Each once.
    Turns,
}

/// One load: what it is called, what may be spent of what Redis spends, and what it asks in which run.
struct Case {
    title: &'static str,
    bound: f64,
    numbers: Numbers,
    request: fn(Extent, u64) -> Request,
}

const fn case(title: &'static str, numbers: Numbers, request: fn(Extent, u64) -> Request) -> Case {
    Case {
        title,
        bound: 0.5,
        numbers,
        request,
    }
}

/// In an order in which no load changes what a later one expects.
const CASES: [Case; 18] = [
    case("HSET, hashes of 10", Numbers::Any, |_, _| {
        Request::HashSet(Size::Few)
    }),
    case("HSET, one large hash", Numbers::Any, |_, _| {
        Request::HashSet(Size::Many)
    }),
    case("HGET, hashes of 10", Numbers::Any, |_, _| {
        Request::HashGet(Size::Few)
    }),
    case("HGET, one large hash", Numbers::Any, |_, _| {
        Request::HashGet(Size::Many)
    }),
    case("HGETALL of 10", Numbers::Any, |_, _| Request::HashAll),
    case("LPUSH", Numbers::Turns, |_, _| Request::ListPush),
    case("RPOP", Numbers::Turns, |_, _| Request::ListPop),
    case("LRANGE of 100", Numbers::Any, |_, _| Request::ListRange),
    case("SISMEMBER, sets of 10", Numbers::Any, |_, _| {
        Request::SetIsMember(Size::Few)
    }),
    case("SISMEMBER, one large set", Numbers::Any, |_, _| {
        Request::SetIsMember(Size::Many)
    }),
    case("SADD, sets of 10 and more", Numbers::Turns, |extent, _| {
        Request::SetAdd(Size::Few, elements(extent) / FEW)
    }),
    case("SADD, one large set", Numbers::Turns, |extent, _| {
        Request::SetAdd(Size::Many, elements(extent) / FEW)
    }),
    case("ZRANGE of 100, one large sorted set", Numbers::Ranges, |_, _| {
        Request::SortedSetRange
    }),
    case("ZRANK, one large sorted set", Numbers::Any, |_, _| {
        Request::SortedSetRank
    }),
    case("ZADD, sorted sets of 10", Numbers::Any, |_, run| {
        Request::SortedSetAdd(Size::Few, run)
    }),
    case("ZADD, one large sorted set", Numbers::Any, |_, run| {
        Request::SortedSetAdd(Size::Many, run)
    }),
    case("XADD", Numbers::Turns, |_, _| Request::StreamAdd),
    Case {
        title: "EVAL of three commands",
        bound: 1.0,
        numbers: Numbers::Of(SCRIPT_KEYS),
        request: |_, _| Request::Script,
    },
];

fn elements(extent: Extent) -> u64 {
    extent.pick(1_000_000, 200_000)
}

/// Requests of a load in turn.
fn turns(extent: Extent) -> u64 {
    extent.pick(480_000, 160_000)
}

/// Against Redis.
///
/// # Errors
/// A server failed, or a check.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    let elements = elements(extent);
    row.method.push(format!(
        "{elements} elements of each type, {FEW} in each collection, and as many in one collection; lists of {RANGE} for LRANGE. \
         Keys, fields and members of 16 bytes, values of {VALUE_BYTES} bytes. Repligo with `--durability none`, Redis with \
         `--save \"\" --appendonly no`. Our own client (one thread, {QUEUES} connections, pipeline {PIPELINE}) asks for elements at \
         random. HSET replaces the value of a field, ZADD the score of a member, SADD adds a member; LPUSH, RPOP and XADD work on {QUEUES} queues and \
         streams; these and SADD ask {} times per run, the others as often as they can.",
        turns(extent)
    ));
    row.method.push(format!(
        "EVAL: `{SCRIPT}`, with its text in each request. PUBLISH: one publisher; a pipeline is done when each of {SUBSCRIBERS} \
         subscribers has got its messages of {VALUE_BYTES} bytes; the CPU per operation is that of one PUBLISH and {SUBSCRIBERS} deliveries."
    ));
    let mut groups = [repligo::single("none")?, redis::single()?];
    let [ours, theirs] = &groups;
    let systems = [System::of("repligo", ours), System::of("redis", theirs)];
    for system in &systems {
        note(&format!("filling {}", system.name));
        prepare(system.port, elements)?;
    }
    for case in &CASES {
        let comparison = compare(case, extent, &systems)?;
        judge(row, comparison, case.bound);
    }
    let title = format!("PUBLISH to {SUBSCRIBERS} subscribers");
    let load = publish::Load {
        subscribers: SUBSCRIBERS,
        pipeline: PIPELINE as u64,
        value_bytes: VALUE_BYTES,
        seconds: seconds(extent),
    };
    let comparison = alternate(&title, extent.repeats, &systems, |system| {
        publish::run(system.port, load)
    })?;
    judge(row, comparison, 0.7);
    for system in &systems {
        check(row, system, extent)?;
    }
    groups.iter_mut().for_each(Group::stop);
    Ok(())
}

fn seconds(extent: Extent) -> f64 {
    extent.pick(1.0, 0.4)
}

fn prepare(port: u16, elements: u64) -> Outcome {
    for kind in [Type::Hash, Type::Set, Type::SortedSet] {
        for size in [Size::Few, Size::Many] {
            let request = Kind::Collection(Request::Fill(kind, size));
            fill(port, request, elements / FEW, VALUE_BYTES)?;
        }
    }
    let request = Kind::Collection(Request::FillRanges);
    fill(port, request, elements / RANGE, VALUE_BYTES)
}

fn compare(case: &Case, extent: Extent, systems: &[System<'_>]) -> Outcome<Comparison> {
    let done = RefCell::new(Vec::new());
    alternate(case.title, extent.repeats, systems, |system| {
        let run = done.borrow().iter().filter(|name| **name == system.name).count() as u64;
        done.borrow_mut().push(system.name);
        let numbers = match case.numbers {
            Numbers::Of(keys) => keys,
            Numbers::Ranges => elements(extent) - RANGE,
            Numbers::Any | Numbers::Turns => elements(extent),
        };
        let in_turn = matches!(case.numbers, Numbers::Turns);
        let load = Load {
            kind: Kind::Collection((case.request)(extent, run)),
            connections: QUEUES,
            pipeline: PIPELINE,
            keys: numbers,
            value_bytes: VALUE_BYTES,
            seconds: if in_turn { 60.0 } else { seconds(extent) },
            turns: in_turn.then(|| Turns {
                first: run * turns(extent),
                count: turns(extent),
            }),
            rate: None,
        };
        closed::run(system.port, load)
    })
}

fn judge(row: &mut Row, comparison: Comparison, bound: f64) {
    row.goals.push(Goal::judge(
        format!("{}: CPU per operation against Redis", comparison.title),
        Bound::AtMost(bound),
        "×",
        &comparison.ratios("redis", Sample::cpu_us),
    ));
    row.comparisons.push(comparison);
}

/// What the loads have left behind, as a second client counts it.
fn check(row: &mut Row, system: &System<'_>, extent: Extent) -> Outcome {
    let mut client = Client::connect(system.port)?;
    let added = turns(extent) * u64::from(extent.repeats);
    let all = elements(extent);
    let scripts = row
        .comparisons
        .iter()
        .find(|found| found.title == CASES[17].title);
    let scripts = scripts.map_or(0.0, |found| {
        found
            .values(system.name, |sample| sample.operations as f64)
            .iter()
            .sum()
    });
    let queues = |letter| (0..QUEUES).map(|number| queue(letter, number)).collect();
    let one = |letter| vec![collection(letter, Size::Many, 0)];
    let counters = (0..SCRIPT_KEYS).map(counter).collect();
    let expected: [(&str, Vec<String>, u64); 6] = [
        ("HLEN", one('h'), all),
        ("ZCARD", one('z'), all),
        ("SCARD", one('s'), all + added),
        ("XLEN", queues('x'), added),
        ("LLEN", queues('q'), 0),
        ("GET", counters, scripts as u64),
    ];
    for (command, keys, expected) in expected {
        let mut sum = 0;
        for key in &keys {
            sum += client.ask(&[command, key])?.text().parse().unwrap_or(0);
        }
        if sum != expected {
            return Err(Failure::new(format!(
                "{}: {command} counts {sum}, not {expected}",
                system.name
            )));
        }
    }
    row.verified.push(format!(
        "every reply and message of {} was compared with what it must be; at the end a second client counted in it what was \
         added, popped and done by scripts",
        system.name
    ));
    Ok(())
}
