//! The results as `--json` prints them: one document, nothing else on standard output. Scripts rely on the names;
//! fields are added, never renamed.
//!
//! One run (`"kind": "run"`):
//!
//! | field | unit | meaning |
//! |---|---|---|
//! | `kind`, `version` | | `run`; version of repligo |
//! | `settings` | | what was asked for: `clients`, `pipeline`, `threads`, `workload`, `reads_percent`, `wait_replicas`, `rate`, `seconds`, `requests`, `warmup_seconds`, `timeout_ms`, `keys`, `key_bytes`, `value_bytes`, `distribution`, `seed`, `load`, `allow_missing`, `readonly`, `spread` |
//! | `server` | | `addresses`, `name`, `version`, `cpu_pids`, `cpu_note` (why there is no CPU time, or null) |
//! | `load` | | null without `--load`; else `keys`, `seconds`, `dbsize_before`, `dbsize_after`, `sampled`, `rss_bytes_before`, `rss_bytes_after` |
//! | `loop` | | `closed` (latency is service time) or `open` (latency counts from the schedule) |
//! | `ops` | | requests of the measured part that were answered rightly: `gets` + `sets` |
//! | `gets`, `sets`, `hits`, `misses` | | of these; a miss is nil where that is allowed |
//! | `seconds` | s | from the beginning of the measured part to its last reply |
//! | `ops_per_second` | 1/s | `ops` / `seconds` |
//! | `errors`, `errors_by_code` | | error replies and broken connections (`BROKEN`, `TIMEOUT`); not in the latencies |
//! | `error_examples` | | the first texts |
//! | `unanswered` | | without a reply at the end; in the latencies with the time that they had waited |
//! | `wrong_replies`, `wrong_examples` | | replies that are not what the request must give, warm-up included |
//! | `reconnects` | | connections made after the first ones |
//! | `latency_us` | µs | `min`, `mean`, `p50`, `p90`, `p99`, `p999`, `p9999`, `max` |
//! | `cpu_us_per_op` | µs | user and system time of the server's processes per op; null: not available |
//! | `cpu_seconds` | s | the same, in all |
//! | `generator_cpu_us_per_op` | µs | of this process |
//! | `generator_busy` | | CPU time of this process per second and thread: near 1, the generator was the limit |
//! | `generator_lag_us` | µs | open loop: `p99` and `max` of how late it sent for a client that stood ready; else null |
//! | `timeline` | | null without `--timeline-ms`; else a list, see below |
//! | `interrupted`, `gave_up` | | ended by ^C; all connections were down for 30 s |
//!
//! An interval of `timeline`: `t_ms` (its beginning, since the measured part began), `ops` and `errors` that ended
//! in it, and `p50`, `p99`, `max` of the latencies that ended in it, in µs; null without any. The interval after an
//! outage holds the long latencies of those who waited.
//!
//! A comparison (`"kind": "compare"`): `kind`, `version`, `settings`, `repeats`; `a` (`--addr`) and `b` (`--compare`), each
//! with `server`, `load`, `runs` (a list of runs as above, without `settings` and `server`) and, as `median`, `min` and `max`
//! over the runs, `ops_per_second`, `p50_us`, `p99_us`, `cpu_us_per_op`; and `ratio` with the same four names, each
//! `median`, `min` and `max` of a/b taken run by run, or null.
//!
//! Where nothing could be run: `{"kind": "error", "error": …, "remedy": …}`.

use serde::Serialize;
use serde_json::{Value, json};

use super::load::Loaded;
use super::options::{Extent, Settings, Workload};
use super::run::Measurement;
use super::server::Server;
use super::tally::Interval;

/// Percentiles in microseconds; null where nothing was answered.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    pub min: Option<f64>,
    pub mean: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub p9999: Option<f64>,
    pub max: Option<f64>,
}

/// How late the generator was.
#[derive(Clone, Debug, Serialize)]
pub struct Lag {
    pub p99: f64,
    pub max: f64,
}

/// One interval.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub t_ms: u64,
    pub ops: u64,
    pub errors: u64,
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// One run; the header of this file says what the fields mean.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    #[serde(rename = "loop")]
    pub kind_of_loop: &'static str,
    pub ops: u64,
    pub gets: u64,
    pub sets: u64,
    pub hits: u64,
    pub misses: u64,
    pub seconds: f64,
    pub ops_per_second: f64,
    pub errors: u64,
    pub errors_by_code: std::collections::BTreeMap<String, u64>,
    pub error_examples: Vec<String>,
    pub unanswered: u64,
    pub wrong_replies: u64,
    pub wrong_examples: Vec<String>,
    pub reconnects: u64,
    pub latency_us: Latency,
    pub cpu_us_per_op: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub generator_cpu_us_per_op: Option<f64>,
    pub generator_busy: Option<f64>,
    pub generator_lag_us: Option<Lag>,
    pub timeline: Option<Vec<Point>>,
    pub interrupted: bool,
    pub gave_up: bool,
}

type Histogram = hdrhistogram::Histogram<u64>;

/// Nanoseconds to microseconds with the digits that there are.
fn microseconds(nanoseconds: u64) -> f64 {
    (nanoseconds as f64 / 100.0).round() / 10.0
}

fn quantile(histogram: &Histogram, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| microseconds(histogram.value_at_quantile(quantile)))
}

fn latency(histogram: &Histogram) -> Latency {
    let some = !histogram.is_empty();
    Latency {
        min: some.then(|| microseconds(histogram.min())),
        mean: some.then(|| microseconds(histogram.mean() as u64)),
        p50: quantile(histogram, 0.50),
        p90: quantile(histogram, 0.90),
        p99: quantile(histogram, 0.99),
        p999: quantile(histogram, 0.999),
        p9999: quantile(histogram, 0.9999),
        max: quantile(histogram, 1.0),
    }
}

fn timeline(intervals: &[Interval], length_ms: u64) -> Vec<Point> {
    let point = |(index, interval): (usize, &Interval)| Point {
        t_ms: index as u64 * length_ms,
        ops: interval.latency.len(),
        errors: interval.errors,
        p50: quantile(&interval.latency, 0.50),
        p99: quantile(&interval.latency, 0.99),
        max: quantile(&interval.latency, 1.0),
    };
    intervals.iter().enumerate().map(point).collect()
}

impl Report {
    /// Computes what a measurement means.
    pub fn new(settings: &Settings, measured: Measurement) -> Report {
        let tally = measured.tally;
        let ops = tally.ops();
        let per_op = |seconds: Option<f64>| {
            seconds
                .filter(|_| ops > 0)
                .map(|seconds| seconds * 1e6 / ops as f64)
        };
        let busy = |cpu: f64| cpu / measured.seconds.max(1e-9) / f64::from(settings.threads);
        Report {
            kind_of_loop: if settings.rate.is_some() { "open" } else { "closed" },
            ops,
            gets: tally.gets,
            sets: tally.sets,
            hits: tally.gets - tally.misses,
            misses: tally.misses,
            seconds: measured.seconds,
            ops_per_second: ops as f64 / measured.seconds.max(1e-9),
            errors: tally.errors,
            errors_by_code: tally.errors_by_code,
            error_examples: tally.error_examples,
            unanswered: tally.unanswered,
            wrong_replies: tally.wrong,
            wrong_examples: tally.wrong_examples,
            reconnects: tally.reconnects,
            latency_us: latency(&tally.latency),
            cpu_us_per_op: per_op(measured.cpu_seconds),
            cpu_seconds: measured.cpu_seconds,
            generator_cpu_us_per_op: per_op(measured.generator_cpu_seconds),
            generator_busy: measured.generator_cpu_seconds.map(busy),
            generator_lag_us: settings.rate.and_then(|_| {
                Some(Lag {
                    p99: quantile(&tally.lag, 0.99)?,
                    max: quantile(&tally.lag, 1.0)?,
                })
            }),
            timeline: settings
                .timeline_ms
                .map(|length| timeline(&tally.intervals, length)),
            interrupted: measured.interrupted,
            gave_up: measured.gave_up,
        }
    }

    /// Whether the answer is yes: something was answered, and nothing wrongly.
    pub fn is_good(&self) -> bool {
        self.wrong_replies == 0 && self.ops > 0 && !self.gave_up
    }
}

/// The settings, as scripts see them.
pub fn settings(settings: &Settings) -> Value {
    let (workload, reads_percent) = match settings.workload {
        Workload::Get => ("get", 100),
        Workload::Set => ("set", 0),
        Workload::Mixed { reads_percent } => ("mixed", reads_percent),
    };
    let (seconds, requests) = match settings.extent {
        Extent::Seconds(seconds) => (Some(seconds), None),
        Extent::Requests(requests) => (None, Some(requests)),
    };
    json!({
        "clients": settings.clients,
        "pipeline": settings.pipeline,
        "threads": settings.threads,
        "workload": workload,
        "reads_percent": reads_percent,
        "wait_replicas": settings.wait_replicas,
        "rate": settings.rate,
        "seconds": seconds,
        "requests": requests,
        "warmup_seconds": settings.warmup_seconds,
        "timeout_ms": settings.timeout_ms,
        "keys": settings.keys,
        "key_bytes": settings.key_bytes,
        "value_bytes": settings.value_bytes,
        "distribution": settings.distribution.to_string(),
        "seed": settings.seed,
        "load": settings.load,
        "allow_missing": settings.allow_missing,
        "readonly": settings.readonly,
        "spread": settings.spread,
    })
}

/// The document of one run.
pub fn document(asked: &Settings, server: &Server, load: Option<&Loaded>, report: &Report) -> Value {
    let mut document = json!({
        "kind": "run",
        "version": env!("CARGO_PKG_VERSION"),
        "settings": settings(asked),
        "server": server,
        "load": load,
    });
    // Both are objects, by construction.
    if let (Value::Object(all), Ok(Value::Object(fields))) = (&mut document, serde_json::to_value(report)) {
        all.extend(fields);
    }
    document
}
