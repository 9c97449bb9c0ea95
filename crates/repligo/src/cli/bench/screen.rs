//! The results for people.

use std::fmt::Write as _;

use super::load::Loaded;
use super::options::{Extent, Settings, Workload};
use super::report::Report;
use super::server::Server;

/// Above this share of its CPU, the generator was the limit.
const GENERATOR_BUSY: f64 = 0.95;
/// Below this share of the asked rate, the schedule was not kept.
const RATE_KEPT: f64 = 0.99;

/// What is going to be done, in one line.
pub fn plan(settings: &Settings) -> String {
    let work = match settings.workload {
        Workload::Get => "GET".to_string(),
        Workload::Set => "SET".to_string(),
        Workload::Mixed { reads_percent } => format!("{reads_percent} % GET, the rest SET"),
    };
    let extent = match settings.extent {
        Extent::Seconds(seconds) => format!("{seconds} s"),
        Extent::Requests(requests) => format!("{requests} requests"),
    };
    format!(
        "{work}; {} clients, pipeline {}, {} thread(s); {} keys of {} bytes, {}, values of {} bytes; {extent} after {} s of warm-up",
        settings.clients,
        settings.pipeline,
        settings.threads,
        settings.keys,
        settings.key_bytes,
        settings.distribution,
        settings.value_bytes,
        settings.warmup_seconds
    )
}

/// Which server it is.
pub fn server(server: &Server) -> String {
    let pids: Vec<String> = server.cpu_pids.iter().map(u32::to_string).collect();
    let pids = if pids.is_empty() {
        String::new()
    } else {
        format!(", pid {}", pids.join(", "))
    };
    format!(
        "{} {} at {}{pids}",
        server.name,
        server.version,
        server.addresses.join(", ")
    )
}

/// What loading has done.
pub fn loaded(loaded: &Loaded) -> String {
    let mut line = format!(
        "loaded {} keys in {:.1} s, {} read back",
        loaded.keys, loaded.seconds, loaded.sampled
    );
    if let (Some(before), Some(after)) = (loaded.dbsize_before, loaded.dbsize_after) {
        let _ = write!(line, "; DBSIZE {before} before, {after} after");
    }
    if let (Some(before), Some(after)) = (loaded.rss_bytes_before, loaded.rss_bytes_after) {
        let _ = write!(
            line,
            "; memory {} MB before, {} MB after",
            before >> 20,
            after >> 20
        );
    }
    line
}

/// What stays on the servers; `None` where nothing was written.
pub fn left(settings: &Settings) -> Option<&'static str> {
    let wrote = settings.load || settings.workload != Workload::Get;
    wrote.then_some(
        "the keys bench:… that were written stay, for another run; to remove them: redis-cli --scan --pattern 'bench:*' | \
         xargs redis-cli UNLINK",
    )
}

/// Microseconds, or milliseconds where they are many.
pub fn time(microseconds: Option<f64>) -> String {
    match microseconds {
        None => "-".into(),
        Some(value) if value >= 10_000.0 => format!("{:.1} ms", value / 1000.0),
        Some(value) => format!("{value:.1} µs"),
    }
}

/// All of a run.
pub fn run(settings: &Settings, server: &Server, report: &Report) -> String {
    let mut out = String::new();
    if report.interrupted {
        let _ = writeln!(out, "interrupted: this is what was measured so far");
    }
    if report.gave_up {
        let _ = writeln!(
            out,
            "given up: no connection could be made for 30 s; this is what was measured before"
        );
    }
    let _ = writeln!(
        out,
        "throughput  {:.0} requests/s ({} in {:.2} s; {} GET with {} misses, {} SET)",
        report.ops_per_second, report.ops, report.seconds, report.gets, report.misses, report.sets
    );
    let how = match settings.rate {
        Some(rate) => format!("open loop at {rate}/s: from the scheduled start, waiting included"),
        None => "closed loop: service time, blind to what stalls keep from being sent; see --rate".into(),
    };
    let _ = writeln!(out, "latency     {how}");
    let latency = &report.latency_us;
    let shown = [
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("p99.99", latency.p9999),
        ("max", latency.max),
    ];
    for (name, value) in shown {
        let _ = writeln!(out, "  {name:8}{:>14}", time(value));
    }
    let cpu = match (report.cpu_us_per_op, &server.cpu_note) {
        (Some(cpu), _) => format!("{cpu:.3} µs per request (user and system time of the server)"),
        (None, Some(note)) => format!("not available: {note}; name its processes with --cpu-pid"),
        (None, None) => "not available: nothing was measured, or a process has ended".into(),
    };
    let _ = writeln!(out, "server CPU  {cpu}");
    if let Some(cpu) = report.generator_cpu_us_per_op {
        let _ = writeln!(out, "generator   {cpu:.3} µs of CPU per request");
    }
    let codes: Vec<String> = report
        .errors_by_code
        .iter()
        .map(|(code, count)| format!("{code} {count}"))
        .collect();
    let _ = writeln!(out, "errors      {} {}", report.errors, codes.join(", "));
    for text in &report.error_examples {
        let _ = writeln!(out, "  {text}");
    }
    if report.unanswered > 0 {
        let _ = writeln!(
            out,
            "unanswered  {} requests, in the latencies with the time that they had waited",
            report.unanswered
        );
    }
    let _ = writeln!(out, "wrong       {} replies", report.wrong_replies);
    for text in &report.wrong_examples {
        let _ = writeln!(out, "  {text}");
    }
    out.push_str(&remarks(settings, report));
    out
}

/// What a reader should know before believing the numbers.
fn remarks(settings: &Settings, report: &Report) -> String {
    let mut out = String::new();
    if settings.rate.is_none() && report.generator_busy.is_some_and(|busy| busy > GENERATOR_BUSY) {
        let _ = writeln!(
            out,
            "note: the generator was busy all the time; the server may take more (--threads)"
        );
    }
    if let Some(rate) = settings
        .rate
        .filter(|rate| report.ops_per_second < rate * RATE_KEPT && report.ops > 0)
    {
        let _ = writeln!(
            out,
            "note: {:.0}/s were asked for, {:.0}/s were answered: the latencies are those of a queue that grows",
            rate, report.ops_per_second
        );
    }
    if report.gets > 0 && report.hits == 0 {
        let _ = writeln!(out, "note: every GET missed; --load writes the keys first");
    }
    out
}
