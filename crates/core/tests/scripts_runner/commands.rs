//! The commands of scripts; `scripts/README.txt` describes them for their authors.

use repligo_core::contract::{Input, MemoryInput, PeerId};
use repligo_core::eviction::{EvictionPolicy, MemoryLimit};
use repligo_proto::resp::OwnedRequest;

use super::describe;
use super::node::{Ask, Body, try_parse};
use super::world::{Shape, World};

/// Numbers of filling writes; far above those of a script.
const FILLER: u64 = 1_000_000;
/// `start` gives up after this.
const START_MS_MAX: u64 = 10_000;

type Outcome = Result<(), String>;

/// Executes one command.
///
/// # Errors
/// What is wrong with it.
pub fn execute(world: &mut World, command: &str) -> Outcome {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (verb, rest) = words.split_first().ok_or("a command is missing")?;
    match *verb {
        "boot" => shape(rest).map(|shape| world.boot(shape)),
        "start" => start(world, rest),
        "run" => milliseconds(rest).map(|ms| world.run(ms)),
        "elapse" => milliseconds(rest).map(|ms| world.elapse(ms)),
        "fill" => fill(world, rest),
        "hold" | "release" | "cut" | "connect" => on_links(world, verb, rest),
        "crash" | "power-loss" | "restart" | "pause" | "resume" | "hand-over" => on_nodes(world, verb, rest),
        "refuse" => refuse(world, rest),
        "disk" => on_disk(world, rest),
        "clock" => clock(world, rest),
        "memory" => memory(world, rest),
        "origin" => on_origin(world, rest),
        "trace" if rest == ["votes"] => {
            world.votes = true;
            Ok(())
        }
        "state" => {
            state(world);
            Ok(())
        }
        number if number.ends_with(':') => request(world, number, rest),
        _ => Err("no such command; see scripts/README.txt".to_owned()),
    }
}

fn clock(world: &mut World, words: &[&str]) -> Outcome {
    let [node, ahead] = words else {
        return Err("whose clock, and by how much?".to_owned());
    };
    let ahead_ms = ahead
        .strip_suffix("s")
        .and_then(|seconds| seconds.parse::<i64>().ok());
    let peer = peer(world, node)?;
    world.node(peer).wall_ahead_ms = ahead_ms.ok_or("a clock is ahead by a time like -3600s")? * 1000;
    Ok(())
}

fn refuse(world: &mut World, words: &[&str]) -> Outcome {
    for word in words {
        let (at, peer) = word.split_once("->").ok_or("who finds whom gone, like n2->n1?")?;
        let (at, peer) = (self::peer(world, at)?, self::peer(world, peer)?);
        world.refuse(at, peer);
    }
    Ok(())
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

fn milliseconds(words: &[&str]) -> Result<u64, String> {
    match words {
        [word] => number(word.strip_suffix("ms").ok_or("a time ends in ms")?),
        _ => Err("one time is wanted, like 500ms".to_owned()),
    }
}

fn shape(words: &[&str]) -> Result<Shape, String> {
    let (nodes, options) = words.split_first().ok_or("how many nodes?")?;
    let mut shape = Shape {
        nodes: number(nodes)?,
        with_origin: false,
        log_bytes_max: 1 << 20,
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "origin" => shape.with_origin = true,
            "log" => shape.log_bytes_max = number(options.next().ok_or("how many bytes of log?")?)?,
            other => return Err(format!("{other}: no such option")),
        }
    }
    Ok(shape)
}

fn start(world: &mut World, words: &[&str]) -> Outcome {
    world.boot(shape(words)?);
    world.quiet = true;
    for _ in 0..START_MS_MAX / 100 {
        world.run(100);
        if world.settled_leader().is_some() {
            break;
        }
    }
    world.quiet = false;
    let leader = world.settled_leader().ok_or("no leader serves all nodes")?;
    world.say(format_args!("n{leader} serves"));
    state(world);
    Ok(())
}

fn state(world: &mut World) {
    let unanswered: Vec<String> = world.unanswered().iter().map(u64::to_string).collect();
    let waiting = if unanswered.is_empty() {
        String::new()
    } else {
        format!(", no reply yet {}", unanswered.join(" "))
    };
    let state = world.state();
    world.say(format_args!("state {state}{waiting}"));
}

fn peer(world: &World, word: &str) -> Result<PeerId, String> {
    let peer = word.strip_prefix('n').and_then(|digits| digits.parse().ok());
    peer.filter(|peer| world.nodes.contains_key(peer))
        .ok_or_else(|| format!("{word} is no node of this cluster"))
}

fn peers(world: &World, words: &[&str]) -> Result<Vec<PeerId>, String> {
    if words.is_empty() {
        return Err("which node?".to_owned());
    }
    words.iter().map(|word| peer(world, word)).collect()
}

/// Directed links: `n1` is all of a node, `n1-n2` both directions, `n1->n2` one.
fn links(world: &World, word: &str) -> Result<Vec<(PeerId, PeerId)>, String> {
    if let Some((from, to)) = word.split_once("->") {
        return Ok(vec![(peer(world, from)?, peer(world, to)?)]);
    }
    if let Some((a, b)) = word.split_once('-') {
        let (a, b) = (peer(world, a)?, peer(world, b)?);
        return Ok(vec![(a, b), (b, a)]);
    }
    let one = peer(world, word)?;
    let others = world.peers().into_iter().filter(|&other| other != one);
    Ok(others.flat_map(|other| [(one, other), (other, one)]).collect())
}

fn on_links(world: &mut World, verb: &str, words: &[&str]) -> Outcome {
    if words.is_empty() {
        return Err("between which nodes?".to_owned());
    }
    for word in words {
        if word.contains("->") && matches!(verb, "cut" | "connect") {
            return Err("a stream breaks in both directions".to_owned());
        }
        for (from, to) in links(world, word)? {
            match verb {
                "hold" => world.network.hold(from, to),
                "release" => world.network.release(from, to),
                "cut" if !world.network.is_cut(from, to) => world.cut(from, to),
                "connect" if world.network.is_cut(from, to) => world.connect(from, to),
                _ => {}
            }
        }
    }
    world.settle();
    Ok(())
}

fn on_nodes(world: &mut World, verb: &str, words: &[&str]) -> Outcome {
    let peers = peers(world, words)?;
    let runs = |world: &World, peer: &PeerId| world.nodes[peer].replica.is_some();
    let wrong = peers.iter().find(|peer| runs(world, peer) == (verb == "restart"));
    if let Some(peer) = wrong {
        return Err(format!("n{peer} is not in a state for that"));
    }
    match verb {
        "crash" => world.stop(&peers, false),
        "power-loss" => world.stop(&peers, true),
        "restart" => world.restart(&peers),
        "pause" => peers.iter().for_each(|&peer| world.node(peer).frozen = true),
        "resume" => peers.iter().for_each(|&peer| world.thaw(peer)),
        _ => peers.iter().for_each(|&peer| world.hand_over(peer)),
    }
    Ok(())
}

fn on_disk(world: &mut World, words: &[&str]) -> Outcome {
    let (verb, rest) = words.split_first().ok_or("what about the disk?")?;
    for peer in peers(world, rest)? {
        match *verb {
            "hold" => world.node(peer).disk.held = true,
            "sync" | "free" => {
                let disk = &mut world.node(peer).disk;
                let synced = disk.not_synced().map(describe::persist);
                let synced: Vec<String> = synced.filter(|what| !what.is_empty()).collect();
                let done = disk.sync();
                disk.held = *verb == "sync";
                world.node(peer).done.extend(done);
                if !synced.is_empty() {
                    world.say(format_args!("n{peer} syncs {}", synced.join(" and ")));
                }
                world.report_disk(peer);
            }
            "show" => {
                let shown = world.nodes[&peer].disk.show();
                world.say(format_args!("disk of n{peer}: {shown}"));
            }
            other => return Err(format!("{other}: a disk cannot do that")),
        }
    }
    world.settle();
    Ok(())
}

/// `memory 20000 allkeys-lru n1`: a limit and its policy.
fn memory(world: &mut World, words: &[&str]) -> Outcome {
    let [bytes, policy, nodes @ ..] = words else {
        return Err("like: memory 20000 allkeys-lru n1".to_owned());
    };
    let limit = MemoryLimit {
        bytes_max: number(bytes)?,
        policy: EvictionPolicy::named(policy).ok_or("no such policy")?,
    };
    let outside_bytes = 0;
    for peer in peers(world, nodes)? {
        let input = MemoryInput { limit, outside_bytes };
        world.step(peer, Input::Memory(input));
    }
    world.settle();
    Ok(())
}

fn on_origin(world: &mut World, words: &[&str]) -> Outcome {
    match words {
        ["hold"] => world.origin.held = true,
        ["free"] => {
            world.origin.held = false;
            let waiting: Vec<u64> = world.origin.calls.keys().copied().collect();
            for call in waiting {
                world.do_call(call)?;
            }
        }
        ["down"] => world.origin.down = true,
        ["up"] => world.origin.down = false,
        ["do", call] => world.do_call(number(call)?)?,
        ["break", call] => world.break_call(number(call)?)?,
        ["put", key, value] => world.origin.put(key, value),
        ["rows"] => {
            let rows = world.origin.rows();
            let rows: Vec<String> = rows
                .map(|(key, value)| format!("{}={}", describe::text(key), describe::text(value)))
                .collect();
            world.say(format_args!("origin holds {}", rows.join(" ")));
        }
        _ => return Err("the origin cannot do that".to_owned()),
    }
    Ok(())
}

/// `fill n1 40 keys of 1000 bytes`: writes one by one, all answered.
fn fill(world: &mut World, words: &[&str]) -> Outcome {
    let [node, count, "keys", "of", bytes, "bytes"] = words else {
        return Err("like: fill n1 40 keys of 1000 bytes".to_owned());
    };
    let (peer, count) = (peer(world, node)?, number(count)?);
    let value = "x".repeat(usize::try_from(number(bytes)?).map_err(|_| "too large")?);
    let before = world.unanswered();
    world.quiet = true;
    for position in 0..count {
        let key = format!("fill{position}");
        let request = OwnedRequest::new(["SET", &key, &value]);
        let ask = Ask {
            ticket: FILLER + position,
            level: World::level(false),
            body: Body::Command(request),
        };
        world.ask(peer, ask, true)?;
    }
    world.quiet = false;
    if world.unanswered() == before {
        world.say(format_args!("{count} replies +OK"));
        Ok(())
    } else {
        Err("filling writes are to be answered at once".to_owned())
    }
}

/// `7: n1 SET k v`, `8: n2 READONLY GET k`, `9: n1 MULTI SET k v; GET k EXEC`.
fn request(world: &mut World, ticket: &str, words: &[&str]) -> Outcome {
    let ticket = number(ticket.trim_end_matches(':'))?;
    let (node, words) = words.split_first().ok_or("which node is asked?")?;
    let peer = peer(world, node)?;
    let readonly = words.first() == Some(&"READONLY");
    let words = if readonly { &words[1..] } else { words };
    let body = match words {
        ["MULTI", block @ .., "EXEC"] => {
            let commands = block.split(|word| *word == ";").map(OwnedRequest::new::<&&str>);
            Body::Block(commands.collect())
        }
        ["WATCH", ..] => Body::Watch(OwnedRequest::new(words)),
        _ => Body::Command(OwnedRequest::new(words)),
    };
    match &body {
        Body::Block(commands) => commands.iter().try_for_each(|one| try_parse(one).map(|_| ()))?,
        Body::Command(one) | Body::Watch(one) => try_parse(one).map(|_| ())?,
    }
    let level = World::level(readonly);
    world.ask(peer, Ask { ticket, level, body }, false)
}
