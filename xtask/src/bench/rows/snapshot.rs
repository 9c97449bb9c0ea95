//! A snapshot while writes go on: what memory grows by, and what latency becomes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Extent;
use crate::bench::load::Latency;
use crate::bench::load::closed::{self, Answered, Load};
use crate::bench::load::codec::Kind;
use crate::bench::load::fill::fill;
use crate::bench::process::resident_bytes;
use crate::bench::progress::note;
use crate::bench::resp::Client;
use crate::bench::results::{Bound, Goal, Row, Table, sorted, spread};
use crate::bench::servers::{redis, repligo};
use crate::run::{Failure, Outcome};

const VALUE_BYTES: usize = 100;
const RATE: f64 = 10_000.0;
/// How long the load runs before the snapshot, to compare with.
const BEFORE: Duration = Duration::from_secs(4);
/// How long a snapshot may be awaited, and may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one snapshot did.
struct Found {
    /// Growth of memory during the snapshot, as a share of what was there.
    growth: f64,
    p99_before_us: f64,
    p99_during_us: f64,
    max_during_us: f64,
    seconds: f64,
}

/// When it began and ended, in microseconds from the start of the load, and memory meanwhile.
#[derive(Debug)]
struct Window {
    begin_us: u64,
    end_us: u64,
    resident_before: u64,
    extra_bytes: u64,
}

/// Repligo's snapshot for the compaction of its log, and Redis' BGSAVE.
///
/// # Errors
/// A server failed, or no snapshot came.
pub fn run(extent: Extent, row: &mut Row) -> Outcome {
    let keys = extent.pick(1_000_000, 200_000);
    let repeats = extent.repeats.min(3);
    row.method.push(format!(
        "One node with {keys} keys with values of {VALUE_BYTES} bytes, 50 clients, {RATE:.0} SETs per second in an open \
         loop (latency counts from when a request was due); {repeats} repeats. Repligo (`--durability os`) takes a \
         snapshot when its log is long enough, so a further client writes large values until `snapshot.tmp` appears; Redis is \
         told `BGSAVE`. p99 in the {} s before and during the snapshot. Growth of memory: highest resident size during \
         it over that before; for Redis what its child copied (`rdb_last_cow_size`) is added.",
        BEFORE.as_secs()
    ));
    let mut table = Table {
        title: "While a snapshot is written".to_owned(),
        header: [
            "system",
            "memory growth, %",
            "p99 before, µs",
            "p99 during, µs",
            "max during, µs",
            "p99 ratio",
            "snapshot, s",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: Vec::new(),
    };
    for name in ["Repligo", "Redis"] {
        let mut all = Vec::new();
        for repeat in 1..=repeats {
            let found =
                once(name, keys).map_err(|failure| Failure::new(format!("{name}: {}", failure.message)))?;
            note(&format!(
                "snapshot of {name}, {repeat} of {repeats}: {:.2} s, memory +{:.1} %, p99 {:.0} µs before, {:.0} µs during",
                found.seconds,
                found.growth * 100.0,
                found.p99_before_us,
                found.p99_during_us
            ));
            all.push(found);
        }
        let values = |of: fn(&Found) -> f64| sorted(all.iter().map(of).collect());
        let growth = values(|found| found.growth * 100.0);
        let ratio = values(|found| found.p99_during_us / found.p99_before_us);
        table.rows.push(vec![
            name.to_owned(),
            spread(&growth, 1),
            spread(&values(|found| found.p99_before_us), 0),
            spread(&values(|found| found.p99_during_us), 0),
            spread(&values(|found| found.max_during_us), 0),
            spread(&ratio, 2),
            spread(&values(|found| found.seconds), 2),
        ]);
        if name == "Repligo" {
            let what = |measure: &str| format!("snapshot under load: {measure}");
            row.goals.push(Goal::judge(
                what("growth of memory"),
                Bound::AtMost(10.0),
                " %",
                &growth,
            ));
            row.goals.push(Goal::judge(
                what("p99 against before"),
                Bound::AtMost(2.0),
                "×",
                &ratio,
            ));
        }
    }
    row.tables.push(table);
    row.verified
        .push("each snapshot was seen to begin and to end; every reply of the load was right".to_owned());
    Ok(())
}

fn once(name: &str, keys: u64) -> Outcome<Found> {
    let ours = name == "Repligo";
    let mut group = if ours {
        repligo::single("os")?
    } else {
        redis::single()?
    };
    fill(group.port(), Kind::Set, keys, VALUE_BYTES)?;
    let load = Load {
        kind: Kind::Set,
        connections: 50,
        pipeline: 1,
        keys,
        value_bytes: VALUE_BYTES,
        seconds: (BEFORE + 2 * PATIENCE).as_secs_f64(),
        turns: None,
        rate: Some(RATE),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (port, pid) = (group.port(), group.server().pid());
    let unfinished = group.server().folder().join("data/snapshot.tmp");
    let (window, answered) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let start = Instant::now();
            std::thread::sleep(BEFORE);
            let watched = if ours {
                watch_ours(port, pid, start, unfinished)
            } else {
                watch_redis(port, pid, start)
            };
            stop.store(true, Ordering::Relaxed);
            watched
        });
        let answered = closed::run_until(port, load, &stop);
        (watch.join(), answered)
    });
    let window = window.map_err(|_| Failure::new("the watching thread panicked"))??;
    let answered = answered?;
    group.stop();
    let during = latency(&answered, window.begin_us, window.end_us);
    // The first half second warms up.
    let before = latency(&answered, 500_000, BEFORE.as_micros() as u64);
    Ok(Found {
        growth: window.extra_bytes as f64 / window.resident_before as f64,
        p99_before_us: before.p99,
        p99_during_us: during.p99,
        max_during_us: during.max,
        seconds: (window.end_us - window.begin_us) as f64 / 1e6,
    })
}

fn latency(answered: &[Answered], from_us: u64, to_us: u64) -> Latency {
    let within = answered
        .iter()
        .filter(|request| (from_us..=to_us).contains(&request.done_us));
    Latency::of(within.map(|request| request.latency_us).collect())
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn resident(pid: u32) -> Outcome<u64> {
    resident_bytes(pid).ok_or_else(|| Failure::new("the server has ended"))
}

/// Highest resident size until the check says that it is over.
fn peak_until(pid: u32, is_over: impl Fn() -> Outcome<bool>) -> Outcome<u64> {
    let start = Instant::now();
    let mut peak = 0;
    while !is_over()? {
        peak = peak.max(resident(pid)?);
        if start.elapsed() > PATIENCE {
            return Err(Failure::new("the snapshot did not end within 60 s"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(peak.max(resident(pid)?))
}

/// Writes until the log is long enough for a snapshot.
fn watch_ours(port: u16, pid: u32, start: Instant, unfinished: PathBuf) -> Outcome<Window> {
    const FILLER_BYTES: usize = 64 << 10;
    let text = "f".repeat(FILLER_BYTES);
    let mut client = Client::connect(port)?;
    let began = Instant::now();
    for number in 0_u64.. {
        if unfinished.exists() {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::new("no snapshot began within 60 s"));
        }
        client.ask(&["SET", &format!("filler:{}", number % 16), &text])?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let begin_us = since(start);
    let resident_before = resident(pid)?;
    let peak = peak_until(pid, || Ok(!unfinished.exists()))?;
    Ok(Window {
        begin_us,
        end_us: since(start),
        resident_before,
        extra_bytes: peak.saturating_sub(resident_before),
    })
}

fn watch_redis(port: u16, pid: u32, start: Instant) -> Outcome<Window> {
    let mut client = Client::connect(port)?;
    let resident_before = resident(pid)?;
    let begin_us = since(start);
    client.ask(&["BGSAVE"])?;
    let peak = peak_until(pid, || {
        let running = Client::connect(port)?.info_number("rdb_bgsave_in_progress")?;
        Ok(running == 0)
    })?;
    let end_us = since(start);
    let copied = client.info_number("rdb_last_cow_size")?;
    if client.info("rdb_last_bgsave_status")?.as_deref() != Some("ok") {
        return Err(Failure::new("BGSAVE failed"));
    }
    Ok(Window {
        begin_us,
        end_us,
        resident_before,
        extra_bytes: peak.saturating_sub(resident_before) + copied,
    })
}
