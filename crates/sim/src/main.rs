//! The simulator's command line: one seed, a range of seeds on several threads, or a recorded history to judge.
//!
//! A failure prints the one command that replays it and ends with exit code 1.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use repligo_sim::{recorded, run};

const USAGE: &str = "usage: repligo-sim --seed N [--verbose] [--history FILE] [--bug NAME]
       repligo-sim --seeds A..B [--threads T] [--bug NAME] [--keep-going] [--ledger]
       repligo-sim --judge FILE --auditors-from CLIENT
Runs the simulator. A failed seed is printed with the command that replays it; exit code 1.
Bugs: ";

#[derive(Debug)]
struct Arguments {
    first: u64,
    end: u64,
    threads: usize,
    verbose: bool,
    keep_going: bool,
    ledger: bool,
    bug: Option<String>,
    history: Option<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        first: 0,
        end: 0,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        verbose: false,
        keep_going: false,
        ledger: false,
        bug: None,
        history: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seed" => {
                arguments.first = number(&value()?)?;
                arguments.end = arguments.first + 1;
            }
            "--seeds" => {
                let range = value()?;
                let (first, end) = range
                    .split_once("..")
                    .ok_or("--seeds wants A..B, B not included")?;
                (arguments.first, arguments.end) = (number(first)?, number(end)?);
            }
            "--threads" => arguments.threads = number(&value()?)?.clamp(1, 256) as usize,
            "--bug" => arguments.bug = Some(value()?),
            "--history" => arguments.history = Some(value()?),
            "--verbose" => arguments.verbose = true,
            "--keep-going" => arguments.keep_going = true,
            "--ledger" => arguments.ledger = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    if arguments.first >= arguments.end {
        return Err("no seeds: give --seed N or --seeds A..B".to_owned());
    }
    Ok(arguments)
}

fn number(word: &str) -> Result<u64, String> {
    word.replace('_', "")
        .parse()
        .map_err(|_| format!("not a number: {word}"))
}

/// What all threads add up.
#[derive(Debug, Default)]
struct Totals {
    seeds: u64,
    operations: u64,
    elections: u64,
    snapshots: u64,
    faults: u64,
    given_up: u64,
    evicted: u64,
    backups: u64,
    failed: Vec<u64>,
}

/// Judges a history that others have recorded: exit code 1 if anything is wrong with it, 2 if it cannot be read.
fn judge(words: &[String]) -> ExitCode {
    let unusable = |error: String| {
        eprintln!("{error}\n{USAGE}{}", run::bug_names().join(", "));
        ExitCode::from(2)
    };
    let [path, flag, bound] = words else {
        return unusable("--judge needs FILE --auditors-from CLIENT".to_owned());
    };
    let Some(bound) = bound.parse().ok().filter(|_| flag == "--auditors-from") else {
        return unusable("--auditors-from needs the number of a client".to_owned());
    };
    let verdict = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {path}: {error}"))
        .and_then(|text| recorded::judge(&text, bound));
    match verdict {
        Err(error) => unusable(error),
        Ok(verdict) => {
            println!("{verdict}");
            match verdict.violations.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, rest @ ..] = words.as_slice()
        && flag == "--judge"
    {
        return judge(rest);
    }
    let arguments = match parse(words.into_iter()) {
        Ok(arguments) => Arc::new(arguments),
        Err(error) => {
            eprintln!("{error}\n{USAGE}{}", run::bug_names().join(", "));
            return ExitCode::from(2);
        }
    };
    if let Some(bug) = &arguments.bug
        && let Err(error) = run::check_bug(bug)
    {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(arguments.first));
    let totals = Arc::new(Mutex::new(Totals::default()));
    let threads: Vec<_> = (0..arguments.threads.min((arguments.end - arguments.first) as usize))
        .map(|_| {
            let (arguments, next, totals) = (arguments.clone(), next.clone(), totals.clone());
            std::thread::spawn(move || work(&arguments, &next, &totals))
        })
        .collect();
    for thread in threads {
        thread.join().expect("a worker catches what its seeds throw");
    }
    let totals = totals.lock().expect("no thread holds it any more");
    report(&arguments, &totals, began.elapsed().as_secs_f64())
}

fn work(arguments: &Arguments, next: &AtomicU64, totals: &Mutex<Totals>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= arguments.end {
            return;
        }
        let outcome = run::seed(seed, arguments.bug.as_deref(), arguments.verbose);
        if let Some(path) = &arguments.history
            && let Err(error) = std::fs::write(path, &outcome.history)
        {
            eprintln!("cannot write {path}: {error}");
        }
        let mut totals = totals.lock().expect("no thread panics while it holds this");
        totals.seeds += 1;
        totals.operations += outcome.counts.operations;
        totals.elections += outcome.counts.elections;
        totals.snapshots += outcome.counts.snapshots;
        totals.faults += outcome.counts.faults;
        totals.given_up += outcome.counts.given_up;
        totals.evicted += outcome.counts.evicted;
        totals.backups += outcome.counts.backups;
        if let Some(failure) = outcome.failure {
            totals.failed.push(seed);
            println!("seed {seed}: {failure}");
            println!("reproduce: {}", run::command(seed, arguments.bug.as_deref()));
            if !arguments.keep_going {
                next.store(arguments.end, Ordering::Relaxed);
            }
        }
    }
}

fn report(arguments: &Arguments, totals: &Totals, seconds: f64) -> ExitCode {
    println!(
        "{} seeds in {seconds:.1} s ({:.1} seeds/s on {} threads): {} operations, {} elections, {} snapshots \
         installed, {} faults, {} keys evicted, {} backups restored, {} searches given up, {} violations",
        totals.seeds,
        totals.seeds as f64 / seconds,
        arguments.threads,
        totals.operations,
        totals.elections,
        totals.snapshots,
        totals.faults,
        totals.evicted,
        totals.backups,
        totals.given_up,
        totals.failed.len()
    );
    if arguments.ledger {
        println!(
            "| {} | {}..{} | {} | {} | {} |",
            arguments.bug.as_deref().unwrap_or("none"),
            arguments.first,
            arguments.end,
            totals.seeds,
            totals.operations,
            totals.failed.len()
        );
    }
    if totals.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
