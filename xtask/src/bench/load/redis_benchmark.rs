//! `redis-benchmark` of the package that the compared Redis comes from.

use std::process::{Command, Stdio};

use super::{Latency, Sample};
use crate::run::{Failure, Outcome, shown};

/// What it is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `get` or `set`.
    pub test: &'static str,
    /// Connections.
    pub clients: u32,
    /// Requests under way per connection.
    pub pipeline: u32,
    /// Requests in all.
    pub requests: u64,
    /// Keys that are asked for.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
}

impl Options {
    /// The command line, for the report.
    pub fn command(&self, port: &str) -> String {
        shown(&self.build(port))
    }

    fn build(&self, port: &str) -> Command {
        let mut command = Command::new("redis-benchmark");
        command.args(["--csv", "-p", port, "-t", self.test]);
        let mut option = |flag: &str, value: u64| {
            command.args([flag, &value.to_string()]);
        };
        option("-c", u64::from(self.clients));
        option("-P", u64::from(self.pipeline));
        option("-n", self.requests);
        option("-r", self.keys);
        option("-d", self.value_bytes as u64);
        command
    }
}

/// Runs it against a port of loopback. It does not look at replies, but it ends at the first error reply.
///
/// # Errors
/// It failed, or printed what we do not understand.
pub fn run(port: u16, options: Options) -> Outcome<Sample> {
    run_command(options.build(&port.to_string()), options.requests)
}

/// The same through a socket file.
///
/// # Errors
/// As `run`.
pub fn run_through(socket: &str, options: Options) -> Outcome<Sample> {
    // Where a socket file is given, the port counts for nothing.
    let mut command = options.build("0");
    command.args(["-s", socket]);
    run_command(command, options.requests)
}

/// The same over TLS; the authority in this file is believed.
///
/// # Errors
/// As `run`.
pub fn run_over_tls(port: u16, options: Options, authority: &str) -> Outcome<Sample> {
    let mut command = options.build(&port.to_string());
    command.args(["--tls", "--cacert", authority]);
    run_command(command, options.requests)
}

fn run_command(mut command: Command, requests: u64) -> Outcome<Sample> {
    let line = shown(&command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("cannot start `{line}`: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let failure = || Failure::new(format!("`{line}` failed: {}", text.trim()));
    if !output.status.success() || text.contains("rror from server") {
        return Err(failure());
    }
    parse(&text, requests).ok_or_else(failure)
}

/// `"test","rps","avg_latency_ms","min…","p50…","p95…","p99…","max…"`, then a line of numbers.
fn parse(text: &str, requests: u64) -> Option<Sample> {
    let row = text.lines().rfind(|line| line.starts_with('"'))?;
    let numbers: Vec<f64> = row
        .split(',')
        .skip(1)
        .filter_map(|field| field.trim_matches('"').parse().ok())
        .collect();
    let [rps, _average, _min, p50, _p95, p99, max] = numbers.try_into().ok()?;
    if rps <= 0.0 {
        return None;
    }
    Some(Sample {
        operations: requests,
        seconds: requests as f64 / rps,
        cpu_seconds: 0.0,
        latency: Latency {
            p50: p50 * 1e3,
            p99: p99 * 1e3,
            p999: 0.0,
            max: max * 1e3,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_numbers_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\
                    \"p99_latency_ms\",\"max_latency_ms\"\n\
                    \"GET\",\"200000.00\",\"0.148\",\"0.024\",\"0.135\",\"0.247\",\"0.399\",\"1.503\"\n";
        let sample = parse(text, 100_000).expect("it is complete");
        assert_eq!(sample.seconds, 0.5);
        assert_eq!([sample.latency.p50, sample.latency.max], [135.0, 1503.0]);
        assert!(parse("\"GET\",\"200000.00\"\n", 1).is_none());
    }
}
