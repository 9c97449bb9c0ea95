//! What can be asked of `repligo bench`: the flags as clap sees them, and the judged settings.
//!
//! Everything that flags can contradict is refused here, before anything is connected.

use clap::{Arg, ArgMatches, Command, value_parser};

use super::super::flags::{addresses, json, switch, value};
use super::super::login;
use super::super::tls::{self, ClientSide};
use super::choice::Distribution;
use super::dataset::{self, Dataset};

const AFTER_HELP: &str = "\
Two ways to load a server:
  without --rate, a CLOSED loop: every client sends its next requests when the last ones are answered. It tells how
  much the server takes. Its latency is the service time; a server that stalls is sent less meanwhile, so the
  stall hardly shows in percentiles. It is the default because no rate fits a machine that nobody has measured.
  with --rate, an OPEN loop: every request has a scheduled start, and its latency is counted from there, sent late
  or not. It tells what users would have seen; look for the capacity first and ask for half of it.

Values tell key, writer and version, so a wrong, torn or foreign value is found. Keys begin with `bench:` and stay
in the server. Exit code 1: a wrong reply, no reply at all, or the server could not be used; 2: wrong usage.";

/// The subcommand.
pub fn command() -> Command {
    Command::new("bench")
        .about("Load a RESP server, check every reply, and report throughput, latency percentiles and CPU per operation")
        .after_help(AFTER_HELP)
        .args(target_flags())
        .args(login::secure_arguments())
        .args(tls::compare_flags())
        .args(load_flags())
        .args(data_flags())
        .args(output_flags())
}

/// A number, perhaps with a fraction.
fn decimal(text: &str) -> Result<f64, String> {
    text.parse()
        .map_err(|_| "not a number; write one such as 10 or 0.5".to_string())
}

fn target_flags() -> Vec<Arg> {
    let pids = || value_parser!(u32).range(1..);
    vec![
        addresses("addr", "RESP address; several: clients spread over them, and go on with the next when a connection breaks")
            .default_value("127.0.0.1:6379"),
        value("password", "PASSWORD", "Password of the server").env("REPLIGO_REQUIREPASS").hide_env_values(true),
        value("password-file", "FILE", "File with that password in its first line; it wins over --password"),
        value("cpu-pid", "PID[,…]", "Processes whose CPU time counts [default: the server's own, where it runs on this machine]")
            .value_delimiter(',')
            .value_parser(pids()),
        switch("first", "With several addresses: all clients begin at the first"),
        switch("readonly", "Send READONLY on every connection, so that followers serve reads"),
        addresses("compare", "Run the same load against this server too, in alternation, and print ratios"),
        value("compare-password", "PASSWORD", "Password of the other server [default: the same]").requires("compare"),
        value("compare-password-file", "FILE", "File with that password; it wins over --compare-password").requires("compare"),
        value("compare-cpu-pid", "PID[,…]", "Processes of the other server")
            .value_delimiter(',')
            .value_parser(pids())
            .requires("compare"),
        value("repeats", "N", "Runs of each server [default: 3]").value_parser(value_parser!(u32).range(1..=1000)).requires("compare"),
    ]
}

fn load_flags() -> Vec<Arg> {
    vec![
        value("clients", "N", "Connections").default_value("50").value_parser(value_parser!(u32).range(1..=16_000)),
        value("pipeline", "N", "Requests that a client has in flight").default_value("1").value_parser(value_parser!(u32).range(1..=10_000)),
        value("threads", "N", "Threads of the generator; leave a core to the server")
            .default_value("1")
            .value_parser(value_parser!(u32).range(1..=256)),
        value("workload", "KIND", "What clients ask").default_value("mixed").value_parser(["get", "set", "mixed"]),
        value("reads", "PERCENT", "Share of GET in the mixed workload").default_value("90").value_parser(value_parser!(u8).range(0..=100)),
        value("wait", "REPLICAS", "Send WAIT behind the SETs of a batch; they count as done when so many replicas have them (Redis)")
            .value_parser(value_parser!(u32).range(1..=100)),
        value("rate", "PER_SECOND", "Open loop: requests per second of all clients together").value_parser(decimal),
        value("seconds", "N", "Measured time [default: 10]").value_parser(decimal).conflicts_with("requests"),
        value("requests", "N", "Measured requests, instead of a time").value_parser(value_parser!(u64).range(1..)),
        value("warmup", "SECONDS", "The same load before measuring").default_value("1").value_parser(decimal),
        value("timeout-ms", "N", "A client that hears nothing for so long gives its connection up; 0: never")
            .default_value("10000")
            .value_parser(value_parser!(u64)),
    ]
}

fn data_flags() -> Vec<Arg> {
    vec![
        value("keys", "N", "Key space")
            .default_value("100000")
            .value_parser(value_parser!(u64).range(1..=1_000_000_000)),
        value("key-bytes", "N", "Bytes of a key")
            .default_value("16")
            .value_parser(value_parser!(u32).range(9..=65_536)),
        value("value-bytes", "N", "Bytes of a value")
            .default_value("32")
            .value_parser(value_parser!(u32).range(dataset::VALUE_BYTES_MIN..=dataset::VALUE_BYTES_MAX)),
        value(
            "distribution",
            "KIND",
            "uniform, zipf or zipf:THETA: which keys are asked for",
        )
        .default_value("uniform"),
        switch(
            "load",
            "Write every key first, check how many are there, and take a missing key for a wrong reply",
        ),
        switch(
            "allow-missing",
            "Keys that were written may be gone (eviction, asynchronous replication): a miss, not a wrong reply",
        ),
        value("seed", "N", "Keys, values and choices follow from it")
            .default_value("1")
            .value_parser(value_parser!(u64)),
    ]
}

fn output_flags() -> Vec<Arg> {
    vec![
        value("timeline-ms", "N", "Add results per interval to the JSON")
            .value_parser(value_parser!(u64).range(1..=3_600_000))
            .requires("json"),
        json(),
    ]
}

/// Which requests a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Get,
    Set,
    Mixed { reads_percent: u8 },
}

/// How long the measured part is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    Seconds(f64),
    Requests(u64),
}

/// One server, or the nodes of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub addresses: Vec<String>,
    pub password: Option<String>,
    /// `None`: the default user.
    pub user: Option<String>,
    /// `None`: plain text.
    pub tls: Option<ClientSide>,
    /// Empty: to be found out.
    pub cpu_pids: Vec<u32>,
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub target: Target,
    pub compare: Option<Target>,
    pub repeats: u32,
    pub spread: bool,
    pub readonly: bool,
    pub clients: u32,
    pub pipeline: u32,
    pub threads: u32,
    pub workload: Workload,
    pub wait_replicas: Option<u32>,
    /// Requests per second; `None` is the closed loop.
    pub rate: Option<f64>,
    pub extent: Extent,
    pub warmup_seconds: f64,
    pub timeout_ms: u64,
    pub keys: u64,
    pub key_bytes: u32,
    pub value_bytes: u32,
    pub distribution: Distribution,
    pub load: bool,
    pub allow_missing: bool,
    pub seed: u64,
    pub timeline_ms: Option<u64>,
    pub json: bool,
}

/// Longest run and warm-up, in seconds.
const SECONDS_MAX: f64 = 86_400.0;
/// Highest rate of the open loop, per second.
const RATE_MAX: f64 = 1e9;

impl Settings {
    /// Judges what clap has parsed.
    ///
    /// # Errors
    /// What contradicts itself, with the flag and a remedy.
    pub fn from_matches(matches: &ArgMatches) -> Result<Settings, String> {
        let mut target = target(matches, "addr", ["password", "password-file"], "cpu-pid")?;
        target.user = matches.get_one("user").cloned();
        target.tls = ClientSide::find(matches).map_err(|failure| failure.to_string())?;
        if target.user.is_some() && target.password.is_none() {
            return Err("--user: no password is given\n  do: give --password-file FILE".into());
        }
        let compare = match matches.contains_id("compare") {
            true => Some(target_of_compare(matches, &target)?),
            false => None,
        };
        let settings = Settings {
            compare,
            repeats: matches.get_one("repeats").copied().unwrap_or(3),
            spread: !matches.get_flag("first"),
            readonly: matches.get_flag("readonly"),
            clients: required(matches, "clients"),
            pipeline: required(matches, "pipeline"),
            threads: required(matches, "threads"),
            workload: workload(matches)?,
            wait_replicas: matches.get_one("wait").copied(),
            rate: positive(matches, "rate", RATE_MAX)?,
            extent: match matches.get_one("requests") {
                Some(requests) => Extent::Requests(*requests),
                None => Extent::Seconds(positive(matches, "seconds", SECONDS_MAX)?.unwrap_or(10.0)),
            },
            warmup_seconds: within(matches, "warmup", 0.0, SECONDS_MAX)?.unwrap_or(1.0),
            timeout_ms: required(matches, "timeout-ms"),
            keys: required(matches, "keys"),
            key_bytes: required(matches, "key-bytes"),
            value_bytes: required(matches, "value-bytes"),
            distribution: required::<String>(matches, "distribution").parse()?,
            load: matches.get_flag("load"),
            allow_missing: matches.get_flag("allow-missing"),
            seed: required(matches, "seed"),
            timeline_ms: matches.get_one("timeline-ms").copied(),
            json: matches.get_flag("json"),
            target,
        };
        settings.judge()?;
        Ok(settings)
    }

    fn judge(&self) -> Result<(), String> {
        if self.threads > self.clients {
            return Err(format!(
                "--threads {}: more than --clients {}\n  do: give at least one client to every thread",
                self.threads, self.clients
            ));
        }
        if self.wait_replicas.is_some() && self.workload == Workload::Get {
            return Err(
                "--wait: the workload `get` writes nothing\n  do: use --workload set or mixed".into(),
            );
        }
        Dataset::new(self).map(|_| ())
    }
}

/// A flag that has a default.
fn required<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    matches.get_one::<T>(name).cloned().expect("clap has a default")
}

fn within(matches: &ArgMatches, name: &str, lowest: f64, highest: f64) -> Result<Option<f64>, String> {
    let Some(value) = matches.get_one::<f64>(name).copied() else {
        return Ok(None);
    };
    // Written so that NaN is refused too.
    if (lowest..=highest).contains(&value) {
        Ok(Some(value))
    } else {
        Err(format!(
            "--{name} {value}: not between {lowest} and {highest}\n  do: give a number in that range"
        ))
    }
}

fn positive(matches: &ArgMatches, name: &str, highest: f64) -> Result<Option<f64>, String> {
    within(matches, name, 0.001, highest)
}

fn workload(matches: &ArgMatches) -> Result<Workload, String> {
    let kind: String = required(matches, "workload");
    let reads_given = matches.value_source("reads") == Some(clap::parser::ValueSource::CommandLine);
    if reads_given && kind != "mixed" {
        return Err(format!(
            "--reads: has no meaning for --workload {kind}\n  do: use --workload mixed"
        ));
    }
    Ok(match kind.as_str() {
        "get" => Workload::Get,
        "set" => Workload::Set,
        _ => Workload::Mixed {
            reads_percent: required(matches, "reads"),
        },
    })
}

fn target(
    matches: &ArgMatches,
    addr: &str,
    [password, file]: [&str; 2],
    pids: &str,
) -> Result<Target, String> {
    let addresses: Vec<String> = matches
        .get_many::<String>(addr)
        .unwrap_or_default()
        .map(|address| address.trim().to_string())
        .collect();
    for address in &addresses {
        let port = address.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse::<u16>().ok().filter(|port| *port > 0);
            port.filter(|_| !host.is_empty())
        });
        if port.is_none() {
            return Err(format!(
                "--{addr} {address}: not an address\n  do: write HOST:PORT, for example 127.0.0.1:6379"
            ));
        }
    }
    let password = match matches.get_one::<String>(file) {
        Some(file) => Some(login::read_text(file).map_err(|failure| failure.to_string())?),
        None => matches.get_one(password).cloned(),
    };
    Ok(Target {
        addresses,
        password,
        user: None,
        tls: None,
        cpu_pids: matches
            .get_many::<u32>(pids)
            .unwrap_or_default()
            .copied()
            .collect(),
    })
}

fn target_of_compare(matches: &ArgMatches, first: &Target) -> Result<Target, String> {
    let mut other = target(
        matches,
        "compare",
        ["compare-password", "compare-password-file"],
        "compare-cpu-pid",
    )?;
    if other.password.is_none() {
        other.password.clone_from(&first.password);
        other.user.clone_from(&first.user);
    }
    other.tls = ClientSide::find_compare(matches).map_err(|failure| failure.to_string())?;
    Ok(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(words: &[&str]) -> Result<Settings, String> {
        let words = std::iter::once("bench").chain(words.iter().copied());
        let matches = command()
            .try_get_matches_from(words)
            .map_err(|error| error.to_string())?;
        Settings::from_matches(&matches)
    }

    #[test]
    fn defaults_are_as_documented() {
        let settings = settings(&[]).expect("valid");
        assert_eq!(settings.target.addresses, ["127.0.0.1:6379"]);
        assert_eq!(
            (settings.clients, settings.pipeline, settings.threads),
            (50, 1, 1)
        );
        assert_eq!(settings.extent, Extent::Seconds(10.0));
        assert_eq!(settings.workload, Workload::Mixed { reads_percent: 90 });
        assert_eq!(
            (settings.keys, settings.key_bytes, settings.value_bytes),
            (100_000, 16, 32)
        );
        assert!(settings.rate.is_none(), "closed loop");
    }

    #[test]
    fn contradictions_are_refused_with_the_flag_and_a_remedy() {
        let check = |words: &[&str], parts: &[&str]| {
            let text = settings(words).expect_err("refused");
            for part in parts {
                assert!(text.contains(part), "{words:?}: no `{part}` in\n{text}");
            }
        };
        check(&["--addr", "6379"], &["--addr 6379", "HOST:PORT"]);
        check(&["--addr", "127.0.0.1:70000"], &["--addr", "HOST:PORT"]);
        check(&["--addr", "127.0.0.1:1,nowhere"], &["nowhere", "HOST:PORT"]);
        check(&["--compare", ":6379"], &["--compare", "HOST:PORT"]);
        check(&["--threads", "8", "--clients", "4"], &["--threads 8", "do:"]);
        check(&["--rate", "0"], &["--rate 0", "0.001"]);
        check(&["--rate", "NaN"], &["--rate", "0.001"]);
        check(&["--seconds", "-1"], &["-1"]);
        check(&["--seconds", "1", "--requests", "5"], &["cannot be used with"]);
        check(&["--distribution", "zpif"], &["zpif", "uniform"]);
        check(&["--distribution", "zipf:x"], &["zipf:x", "THETA"]);
        check(&["--value-bytes", "4"], &["--value-bytes", "16"]);
        check(&["--key-bytes", "9"], &["--key-bytes 9", "13"]);
        check(&["--repeats", "2"], &["--compare"]);
        check(&["--timeline-ms", "50"], &["--json"]);
        check(&["--workload", "get", "--reads", "50"], &["--reads", "mixed"]);
        check(
            &["--workload", "get", "--wait", "1"],
            &["--wait", "--workload set"],
        );
    }
}
