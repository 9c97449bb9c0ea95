//! What the nodes' memory and metrics were over time, and what to make of it.

use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::run::{Failure, Outcome};

/// The last third's median may differ from the middle third's by so much.
const MEMORY_GROWTH_PERCENT: f64 = 5.0;
/// CPU time of the longest turn, seconds.
const TURN_CPU_SECONDS_MAX: f64 = 0.010;
/// The metrics that are read, and which the report calls by the second name.
const METRICS: [(&str, &str); 10] = [
    ("repligo_turn_cpu_seconds_max", "turn_cpu_seconds_max"),
    ("repligo_turn_seconds_max", "turn_wall_seconds_max"),
    (
        "repligo_long_turns_cpu_total{than=\"0.005\"}",
        "turns_over_5_ms_cpu",
    ),
    (
        "repligo_long_turns_cpu_total{than=\"0.01\"}",
        "turns_over_10_ms_cpu",
    ),
    ("repligo_long_turns_total{than=\"0.01\"}", "turns_over_10_ms_wall"),
    ("repligo_turns_total", "turns"),
    ("repligo_reclaim_lag_seconds_max", "reclaim_lag_seconds_max"),
    ("redis_expired_keys_total", "expired_keys"),
    ("redis_evicted_keys_total", "evicted_keys"),
    ("repligo_elections_total", "elections"),
];

#[derive(Debug, Default)]
struct Series {
    name: String,
    resident_kib: Vec<u64>,
    metrics: Vec<(&'static str, f64)>,
    /// By worker, the host first: CPU time of its longest turn and of all, in seconds, and its connections.
    workers: Vec<[f64; 3]>,
    /// Upper bound in seconds and how many of the keys were removed within it.
    lag: Vec<(f64, f64)>,
}

/// What a run is long enough for.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// The longest turn.
    pub turns: bool,
    /// Growth of memory.
    pub memory: bool,
}

/// Samples of all nodes.
#[derive(Debug)]
pub struct Samples {
    nodes: Vec<Series>,
}

impl Samples {
    /// None yet.
    pub fn new(cluster: &Cluster) -> Self {
        let nodes = cluster.nodes.iter().map(|node| Series {
            name: node.name.clone(),
            ..Series::default()
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    /// Reads memory and metrics of every node.
    pub fn take(&mut self, cluster: &Cluster) -> Outcome {
        for (series, node) in self.nodes.iter_mut().zip(&cluster.nodes) {
            let sampled = node
                .resident_kib()
                .and_then(|kib| Ok((kib, node.page("/metrics")?)));
            let (kib, page) = sampled
                .map_err(|text| Failure::new(format!("soak: {text}; logs: {}", cluster.keep().display())))?;
            series.resident_kib.push(kib);
            series.read(&page);
        }
        Ok(())
    }

    /// Everything that is not as it must be.
    pub fn judge(&self, judged: Judged) -> Vec<String> {
        self.nodes
            .iter()
            .flat_map(|series| series.judge(judged))
            .collect()
    }

    /// One object per node.
    pub fn report(&self) -> Vec<Value> {
        self.nodes.iter().map(Series::report).collect()
    }
}

impl Series {
    fn read(&mut self, page: &str) {
        let value = |name: &str| {
            let line = page
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|text| text.trim().parse::<f64>().ok())
        };
        self.metrics = METRICS
            .iter()
            .filter_map(|(name, short)| Some((*short, value(name)?)))
            .collect();
        self.workers = workers(page, self.metric("turn_cpu_seconds_max"));
        let bucket = |line: &str| {
            let rest = line.strip_prefix("repligo_reclaim_lag_seconds_bucket{le=\"")?;
            let (bound, count) = rest.split_once("\"} ")?;
            let bound = bound.parse().unwrap_or(f64::INFINITY);
            Some((bound, count.trim().parse().ok()?))
        };
        self.lag = page.lines().filter_map(bucket).collect();
    }

    fn metric(&self, short: &str) -> Option<f64> {
        let found = self.metrics.iter().find(|(name, _)| *name == short);
        found.map(|&(_, value)| value)
    }

    /// The bound in milliseconds that 99 of 100 removals kept.
    fn lag_p99_ms(&self) -> Option<f64> {
        let &(_, total) = self.lag.last()?;
        let kept = self.lag.iter().find(|&&(_, count)| count >= total * 0.99);
        kept.filter(|_| total > 0.0).map(|&(bound, _)| bound * 1000.0)
    }

    /// Medians in KiB of the middle and the last third.
    fn thirds(&self) -> (f64, f64) {
        let third = self.resident_kib.len() / 3;
        let part = |from: usize, to: usize| median(&self.resident_kib[from..to]);
        (part(third, 2 * third), part(2 * third, self.resident_kib.len()))
    }

    fn growth_percent(&self) -> f64 {
        let (middle, last) = self.thirds();
        (last / middle.max(1.0) - 1.0) * 100.0
    }

    fn judge(&self, judged: Judged) -> Vec<String> {
        let mut failed = Vec::new();
        let name = &self.name;
        match self.metric("turn_cpu_seconds_max") {
            None => failed.push(format!("{name} has no figure for its turns")),
            Some(longest) if judged.turns && longest > TURN_CPU_SECONDS_MAX => {
                failed.push(format!(
                    "{name}: a turn took {:.1} ms of CPU time",
                    longest * 1000.0
                ));
            }
            Some(_) => {}
        }
        for (number, [longest, ..]) in self.workers.iter().enumerate().skip(1) {
            if judged.turns && *longest > TURN_CPU_SECONDS_MAX {
                let ms = longest * 1000.0;
                failed.push(format!(
                    "{name}: a turn of worker {number} took {ms:.1} ms of CPU time"
                ));
            }
        }
        if self.lag_p99_ms().is_none() {
            failed.push(format!("{name} has removed no expired key"));
        }
        if self.metric("evicted_keys").is_none_or(|keys| keys == 0.0) {
            failed.push(format!("{name} has evicted no key"));
        }
        let growth = self.growth_percent();
        if judged.memory && growth.abs() > MEMORY_GROWTH_PERCENT {
            failed.push(format!(
                "{name}: memory changed by {growth:.1} % from the middle to the last third"
            ));
        }
        failed
    }

    fn report(&self) -> Value {
        let (middle, last) = self.thirds();
        let mut report = json!({
            "name": self.name,
            "resident_mib_middle_third": (middle / 1024.0).round(),
            "resident_mib_last_third": (last / 1024.0).round(),
            "resident_growth_percent": (self.growth_percent() * 10.0).round() / 10.0,
            "reclaim_lag_p99_ms": self.lag_p99_ms(),
        });
        report["workers"] = self
            .workers
            .iter()
            .map(|[longest, cpu, connections]| {
                json!({ "turn_cpu_seconds_max": longest, "cpu_seconds": cpu, "connections": connections })
            })
            .collect();
        for (short, value) in &self.metrics {
            report[*short] = json!(value);
        }
        report
    }
}

/// What a page says of each worker; the host's turns have a metric of their own.
fn workers(page: &str, host_turn: Option<f64>) -> Vec<[f64; 3]> {
    let figure = |name: &str, number: usize| {
        let start = format!("{name}{{worker=\"{number}\"}} ");
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(&*start));
        value.and_then(|value| value.trim().parse::<f64>().ok())
    };
    let worker = |number| {
        let io_turn = figure("repligo_worker_io_turn_cpu_seconds_max", number)?;
        Some([
            host_turn.filter(|_| number == 0).unwrap_or(io_turn),
            figure("repligo_worker_cpu_seconds_total", number)?,
            figure("repligo_worker_connections", number)?,
        ])
    };
    (0..).map_while(worker).collect()
}

fn median(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(0.0, |&value| value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Judged = Judged {
        turns: true,
        memory: true,
    };

    fn series(resident_kib: Vec<u64>, turn_cpu: &str) -> Series {
        let mut series = Series {
            name: "n1".to_owned(),
            resident_kib,
            ..Series::default()
        };
        series.read(&format!(
            "repligo_turn_cpu_seconds_max {turn_cpu}\nrepligo_turns_total 7\nredis_evicted_keys_total 5\n\
             repligo_reclaim_lag_seconds_bucket{{le=\"0.05\"}} 99\nrepligo_reclaim_lag_seconds_bucket{{le=\"+Inf\"}} 100\n"
        ));
        series
    }

    #[test]
    fn flat_memory_and_short_turns_pass() {
        let series = series(vec![10, 90, 100, 100, 101, 102, 101, 100, 103], "0.004");
        assert_eq!(series.judge(ALL), Vec::<String>::new());
        assert_eq!(series.lag_p99_ms(), Some(50.0));
        assert_eq!(series.metric("turns"), Some(7.0));
    }

    #[test]
    fn a_long_turn_of_any_worker_fails() {
        let mut series = series(vec![100; 9], "0.004");
        let mut page = String::from("repligo_turn_cpu_seconds_max 0.004\n");
        for (number, turn) in [(0, "0"), (1, "0.003"), (2, "0.0102")] {
            page += &format!(
                "repligo_worker_io_turn_cpu_seconds_max{{worker=\"{number}\"}} {turn}\n\
                 repligo_worker_cpu_seconds_total{{worker=\"{number}\"}} 1.5\n\
                 repligo_worker_connections{{worker=\"{number}\"}} 7\n"
            );
        }
        series.workers = workers(&page, Some(0.004));
        assert_eq!(series.workers.len(), 3);
        assert_eq!(series.workers[0], [0.004, 1.5, 7.0]);
        let failed = series.judge(ALL);
        assert!(failed.len() == 1 && failed[0].contains("worker 2"), "{failed:?}");
        assert_eq!(
            series.report()["workers"][1]["turn_cpu_seconds_max"],
            json!(0.003)
        );
    }

    #[test]
    fn growth_and_long_turns_fail() {
        let mut series = series(vec![10, 90, 100, 100, 101, 102, 110, 115, 120], "0.0101");
        let few = |turns, memory| series.judge(Judged { turns, memory }).len();
        assert_eq!([few(true, true), few(true, false), few(false, false)], [2, 1, 0]);
        series.metrics.clear();
        series.lag.clear();
        assert_eq!(series.judge(ALL).len(), 4);
    }
}
