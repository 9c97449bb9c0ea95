//! Counts the instructions that the release binary spends at pipeline 16 on a GET, on a SET, and on a request of
//! each type of collection and a script, and compares them with `tests/instruction-counts.tsv`.
//!
//! Times depend on the machine, user-mode instructions hardly do. One node without durability runs under
//! callgrind; one connection sends a fixed stream of requests, sixteen at a time, so everything is in it:
//! socket loop, decoder, session, core, encoder. Background work is driven by time, so a node that does the
//! same but for the counted requests runs equally long, and only the difference counts.
//!
//! A count that rises by more than a tenth fails. Recording a higher one needs a line in `docs/decisions.md`
//! that names it: [`recorded`] checks that each count is covered by the decision beside it.

mod requests;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use self::requests::Request;
use crate::run::{Counts, Failure, Outcome, root};

const RECORD: &str = "tests/instruction-counts.tsv";
const HEADER: &str = "# Instructions per request at pipeline 16, by `cargo xtask instructions --record`.\n\
    # A count may not exceed the one that its decision in docs/decisions.md names.\n\
    # request\tinstructions\tdecision\n";
/// What a count may exceed the recorded one by, in percent.
const TOLERANCE_PERCENT: u64 = 10;
/// Requests that one write of the client carries.
const PIPELINE: u64 = 16;
/// How long each node runs from its first request on; doubled if the machine is too slow for that.
const RUN_FOR: Duration = Duration::from_secs(9);
const ATTEMPTS: u32 = 4;
/// Nodes that run beside each other; they sleep for most of their time.
const AT_ONCE: usize = 3;
/// Until a node under callgrind serves.
const START_WITHIN: Duration = Duration::from_secs(60);
const REPLY_WITHIN: Duration = Duration::from_secs(60);

/// One line of the record.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    name: String,
    count: u64,
    decision: u64,
}

/// `cargo xtask instructions [--record [DECISION]]`.
pub fn command(arguments: &[String]) -> Outcome {
    match arguments {
        [] => check(&mut Counts::default()),
        [flag] if flag == "--record" => record(None),
        [flag, decision] if flag == "--record" && decision.parse::<u64>().is_ok() => {
            record(decision.parse().ok())
        }
        _ => Err(Failure {
            message:
                "instructions takes nothing, --record, or --record DECISION with the number of the entry \
                      in docs/decisions.md that allows a higher count"
                    .to_owned(),
            code: 2,
        }),
    }
}

/// The step of `test`: counts, and compares.
pub fn check(counts: &mut Counts) -> Outcome {
    let known = recorded()?;
    let mut too_many = Vec::new();
    for (name, count) in measure()? {
        let Some(known) = known.iter().find(|known| known.name == name) else {
            return Err(Failure::new(format!("{RECORD} has no line for {name}")));
        };
        println!(
            "{name} at pipeline {PIPELINE}: {count} instructions, recorded {}",
            known.count
        );
        if exceeds(count, known.count) {
            counts.failed += 1;
            too_many.push(format!(
                "{name} costs {count} instructions, more than {TOLERANCE_PERCENT} % over the recorded {}",
                known.count
            ));
        } else {
            counts.passed += 1;
        }
    }
    if too_many.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}; find out why (callgrind_annotate target/instructions/*.out), or justify it in docs/decisions.md and run: \
         cargo xtask instructions --record DECISION",
        too_many.join("; ")
    )))
}

fn exceeds(count: u64, recorded: u64) -> bool {
    count * 100 > recorded * (100 + TOLERANCE_PERCENT)
}

fn record(decision: Option<u64>) -> Outcome {
    let measured = measure()?;
    measured
        .iter()
        .for_each(|(name, count)| println!("{}", phrase(name, *count)));
    let known = recorded().unwrap_or_default();
    let decisions = read("docs/decisions.md")?;
    let mut text = HEADER.to_owned();
    for (name, count) in measured {
        let before = known.iter().find(|known| known.name == name);
        // A decision that covers the count stays beside it.
        let before = before.map(|before| before.decision);
        let covers = |number: &u64| check_decision(&decisions, name, count, *number).is_ok();
        let Some(number) = before.filter(covers).or(decision).or(before) else {
            return Err(Failure::new(format!(
                "{name} costs {count} instructions: add an entry to docs/decisions.md that says \"{}\", then: cargo xtask instructions --record DECISION",
                phrase(name, count)
            )));
        };
        check_decision(&decisions, name, count, number)?;
        let _ = writeln!(text, "{name}\t{count}\t{number}");
    }
    fs::write(root().join(RECORD), text).map_err(|error| Failure::new(format!("{RECORD}: {error}")))
}

/// The record, with every count covered by its decision.
fn recorded() -> Outcome<Vec<Recorded>> {
    let decisions = read("docs/decisions.md")?;
    let lines = parse(&read(RECORD)?)?;
    for line in &lines {
        check_decision(&decisions, &line.name, line.count, line.decision)?;
    }
    Ok(lines)
}

/// The record and the decisions agree; needs no measurement, so `cargo xtask check` asks it.
pub fn check_record() -> Outcome {
    recorded().map(|_| ())
}

fn parse(text: &str) -> Outcome<Vec<Recorded>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let numbers = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
            match (fields.len(), numbers(1), numbers(2)) {
                (3, Some(count), Some(decision)) => Ok(Recorded {
                    name: fields[0].to_owned(),
                    count,
                    decision,
                }),
                _ => Err(Failure::new(format!(
                    "{RECORD}: {line:?} is not request, count and decision"
                ))),
            }
        })
        .collect()
}

fn phrase(name: &str, count: u64) -> String {
    format!("{name} at pipeline {PIPELINE}: {count} instructions")
}

/// The entry of that number must name a count for this request that is not lower.
fn check_decision(decisions: &str, name: &str, count: u64, number: u64) -> Outcome {
    let start = format!("## {number}. ");
    let entries = decisions
        .split("\n## ")
        .skip(1)
        .map(|entry| format!("## {entry}"));
    let entry = entries.into_iter().find(|entry| entry.starts_with(&start));
    let words: String = entry
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let label = format!("{name} at pipeline {PIPELINE}: ");
    let allowed = words.match_indices(&label).filter_map(|(at, _)| {
        let rest = &words[at + label.len()..];
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    if allowed.max().is_some_and(|allowed| allowed >= count) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{name} has a recorded or measured count of {count}, but entry {number} of docs/decisions.md does not say so: \
         a new entry has to name it (\"{}\") and why, then: cargo xtask instructions --record ENTRY",
        phrase(name, count)
    )))
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(root().join(path)).map_err(|error| Failure::new(format!("{path}: {error}")))
}

/// Instructions per request of each kind that is counted.
fn measure() -> Outcome<Vec<(&'static str, u64)>> {
    let mut run_for = RUN_FOR;
    for _ in 0..ATTEMPTS {
        if let Some(found) = measure_within(run_for)? {
            return Ok(found);
        }
        run_for *= 2;
    }
    Err(Failure::new("the machine is too busy to count instructions"))
}

/// `None` if a node took longer than it should run.
fn measure_within(run_for: Duration) -> Outcome<Option<Vec<(&'static str, u64)>>> {
    let all: Vec<Request> = [Request::Nothing].into_iter().chain(Request::COUNTED).collect();
    let mut totals = Vec::new();
    for some in all.chunks(AT_ONCE) {
        let runs: Vec<_> = some
            .iter()
            .map(|request| {
                let request = *request;
                thread::spawn(move || run(request, run_for))
            })
            .collect();
        for run in runs {
            let Some(total) = run.join().expect("a run does not panic")? else {
                return Ok(None);
            };
            totals.push(total);
        }
    }
    let per_request = |(request, total): (&Request, &u64)| {
        let count = total.saturating_sub(totals[0]).div_ceil(request.counted());
        (request.name(), count)
    };
    Ok(Some(all.iter().zip(&totals).skip(1).map(per_request).collect()))
}

/// A node under callgrind, which ends with this value.
struct Node {
    child: Child,
    folder: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.folder.join("data"));
    }
}

/// Instructions of one node from its start to its end; `None` if it took longer than it should run.
fn run(request: Request, run_for: Duration) -> Outcome<Option<u64>> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::new(format!("counting {}: {what}: {error}", request.name()))
    };
    let folder = root().join("target/instructions").join(request.name());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| failed("folder", error))?;
    let (mut node, address) = start(&folder).map_err(|error| failed("valgrind", error))?;
    let mut stream = connect(&mut node, address).map_err(|error| failed("the node does not serve", error))?;
    let began = Instant::now();
    for (first, count) in Request::FIRST {
        drive(&mut stream, first, count).map_err(|error| failed("filling", error))?;
    }
    drive(&mut stream, request, request.counted()).map_err(|error| failed("requests", error))?;
    let Some(rest) = run_for.checked_sub(began.elapsed()) else {
        return Ok(None);
    };
    thread::sleep(rest);
    let stopped = Command::new("kill")
        .args(["-TERM", &node.child.id().to_string()])
        .status();
    stopped.map_err(|error| failed("kill", error))?;
    node.child.wait().map_err(|error| failed("end", error))?;
    let text =
        fs::read_to_string(folder.join("callgrind.out")).map_err(|error| failed("callgrind.out", error))?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.map(Some).ok_or_else(|| {
        Failure::new(format!(
            "counting {}: callgrind.out has no totals",
            request.name()
        ))
    })
}

fn start(folder: &std::path::Path) -> std::io::Result<(Node, SocketAddr)> {
    let ports: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let addresses: Vec<SocketAddr> = ports
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    drop(ports);
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!(
            "--callgrind-out-file={}",
            folder.join("callgrind.out").display()
        ))
        .arg(root().join("target/release/repligo"))
        // One thread: what a request costs there, without the way to another one.
        .args(["serve", "--workers", "1", "--durability", "none", "--data-dir"])
        .arg(folder.join("data"))
        .args(["--listen", &addresses[0].to_string()])
        .args(["--peer-listen", &addresses[1].to_string()])
        .args(["--admin-listen", &addresses[2].to_string()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let folder = folder.to_path_buf();
    Ok((Node { child, folder }, addresses[0]))
}

fn connect(node: &mut Node, address: SocketAddr) -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + START_WITHIN;
    loop {
        let tried = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(REPLY_WITHIN))?;
            // The port is open before the node leads; a write is answered once it does.
            drive(&mut stream, Request::Set, PIPELINE)?;
            Ok(stream)
        });
        match tried {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > deadline || node.child.try_wait()?.is_some() => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Sends requests, sixteen at a time, and checks every reply.
fn drive(stream: &mut TcpStream, request: Request, count: u64) -> std::io::Result<()> {
    for first in (0..count).step_by(PIPELINE as usize) {
        let (mut batch, mut expected) = (String::new(), String::new());
        for number in first..first + PIPELINE {
            request.put(&mut batch, number);
            request.put_reply(&mut expected, number);
        }
        let mut replies = vec![0; expected.len()];
        stream.write_all(batch.as_bytes())?;
        stream.read_exact(&mut replies)?;
        if replies != expected.as_bytes() {
            let shown = String::from_utf8_lossy(&replies).into_owned();
            return Err(std::io::Error::other(format!("unexpected replies {shown:?}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISIONS: &str = "Append only.\n\n## 1. One\nGET at pipeline 16: 900\ninstructions.\n\n## 12. Twelve\n\
        Why: GET at pipeline\n16: 1000 instructions and SET at pipeline 16: 50 instructions.\n";

    #[test]
    fn a_count_needs_a_decision_that_names_it_or_a_higher_one() {
        assert!(check_decision(DECISIONS, "GET", 1000, 12).is_ok());
        assert!(check_decision(DECISIONS, "GET", 900, 12).is_ok());
        for (name, count, number) in [
            ("GET", 1001, 12),
            ("GET", 901, 1),
            ("SET", 51, 12),
            ("SET", 1, 1),
            ("GET", 1, 2),
        ] {
            assert!(
                check_decision(DECISIONS, name, count, number).is_err(),
                "{name} {count} {number}"
            );
        }
    }

    #[test]
    fn a_tenth_more_is_tolerated_and_no_more() {
        assert!(!exceeds(1100, 1000) && exceeds(1101, 1000) && !exceeds(1, 1000));
    }

    #[test]
    fn the_record_is_read_strictly() {
        let line = |text: &str| {
            parse(text)
                .map(|lines| lines.len())
                .map_err(|failure| failure.message)
        };
        assert_eq!(line("# comment\nGET\t5\t1\n"), Ok(1));
        assert!(line("GET 5 1").is_err() && line("GET\t5").is_err() && line("GET\tx\t1").is_err());
    }
}
