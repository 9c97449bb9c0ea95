//! `repligo status`: one screen about a cluster, as one node sees it.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use repligo_proto::resp::Value;
use serde_json::json;

use super::dev::layout::{CLUSTER_FILE, ClusterFile};
use super::login;
use super::wire::{Connection, HTTP, TLS, WireError};
use crate::telemetry::problems::SILENT_MS;
use crate::telemetry::report::{Health, NodeReport, Report};

/// Exit code when the node cannot serve or cannot be reached.
const UNAVAILABLE: u8 = 2;
const TIMEOUT: Duration = Duration::from_secs(3);
/// For a node of this machine that may be meant.
const ALIVE_WITHIN: Duration = Duration::from_millis(200);

/// `repligo status [--json] [--addr H:P]`.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let address = matches.get_one::<String>("addr").expect("clap has a default");
    let json = matches.get_flag("json");
    let login = match login::of_node(matches) {
        Ok(login) => login,
        Err(failure) => return super::fail(UNAVAILABLE, failure),
    };
    let asked = login
        .open(address, TIMEOUT)
        .and_then(|mut connection| ask(&mut connection));
    match asked {
        Ok(report) => {
            if json {
                super::print(format_args!("{}\n", report.to_json()));
            } else {
                super::print(screen(&report));
            }
            ExitCode::from(match report.health {
                Health::Healthy => 0,
                Health::Degraded => 1,
                Health::Unavailable => UNAVAILABLE,
            })
        }
        Err(error) => {
            if json {
                let text = json!({ "cluster_id": "", "nodes": [], "health": "unavailable", "error": error.to_string() });
                super::print(format_args!("{text}\n"));
            }
            let asked_for = matches.value_source("addr") == Some(ValueSource::CommandLine);
            let here = (!asked_for && matches!(error, WireError::Connect { .. })).then(clusters_here);
            super::fail(UNAVAILABLE, explain(address, &error, &here.unwrap_or_default()))
        }
    }
}

/// Asks an open connection for the report.
///
/// # Errors
/// The node does not answer, refuses, or is not a Repligo node.
pub fn ask(connection: &mut Connection) -> Result<Report, WireError> {
    let value = connection.expect(&["REPLIGO.STATUS"])?;
    let text = value
        .as_str()
        .ok_or_else(|| WireError::Protocol(format!("REPLIGO.STATUS gave {}", kind(&value))))?;
    serde_json::from_str(text)
        .map_err(|error| WireError::Protocol(format!("REPLIGO.STATUS is not our JSON: {error}")))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a number",
        Value::Array(_) => "an array",
        Value::Map(_) => "a map",
        _ => "no text",
    }
}

/// Clusters of `repligo dev` whose folder lies in the working directory and that run: the file, and the address of a node
/// that answers.
fn clusters_here() -> Vec<(PathBuf, String)> {
    let folders = std::fs::read_dir(".").into_iter().flatten().flatten();
    let mut found: Vec<(PathBuf, String)> = folders
        .filter_map(|folder| {
            let file = PathBuf::from(folder.file_name()).join(CLUSTER_FILE);
            let text = std::fs::read(&file).ok()?;
            let cluster: ClusterFile = serde_json::from_slice(&text).ok()?;
            let node = cluster.nodes.into_iter().find(|node| is_alive(&node.resp))?;
            Some((file, node.resp))
        })
        .collect();
    found.sort();
    found
}

/// Whether somebody takes connections there.
fn is_alive(address: &str) -> bool {
    let address = address.parse::<SocketAddr>();
    address.is_ok_and(|address| TcpStream::connect_timeout(&address, ALIVE_WITHIN).is_ok())
}

/// What is wrong with an address that was asked, and what to do; `here` are clusters that may be meant instead.
pub(super) fn explain(address: &str, error: &WireError, here: &[(PathBuf, String)]) -> String {
    let has_port = |address: &str| {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        matches!(port, Some(Ok(1..)))
    };
    if !has_port(address) {
        return format!(
            "the address has no port\n  where: --addr {address}\n  do: write HOST:PORT, for example 127.0.0.1:6379"
        );
    }
    if !here.is_empty() {
        let shown: Vec<String> = here
            .iter()
            .map(|(file, node)| format!("repligo status --addr {node}   ({} names it)", file.display()))
            .collect();
        return format!(
            "{error}\n  where: --addr {address}, the default\n  do: {}",
            shown.join("\n  or: ")
        );
    }
    format!("{error}\n  where: --addr {address}\n  do: {}", remedy(error))
}

/// What to do about a node that cannot be asked.
pub(super) fn remedy(error: &WireError) -> &'static str {
    let (WireError::Connect { source, .. } | WireError::Broken(source)) = error else {
        return remedy_of_answer(error);
    };
    match (super::tls::remedy(&source.to_string()), error) {
        (Some(remedy), _) => remedy,
        (None, WireError::Connect { .. }) => "start the node, or give its RESP address with --addr HOST:PORT",
        (None, _) => {
            "the node may be paused or overloaded, or that is no RESP port: look at its log and at /livez"
        }
    }
}

/// What to do about an answer that is none.
fn remedy_of_answer(error: &WireError) -> &'static str {
    match error {
        WireError::Refused(text) if text.starts_with("WRONGPASS") => {
            "the password that was given is not the right one: correct --password-file FILE, --password or \
             REPLIGO_REQUIREPASS, or give the --user to whom it belongs"
        }
        WireError::Refused(text) if text.contains("without any password configured") => {
            "give no password: the node has none (look at --password-file, --password and REPLIGO_REQUIREPASS)"
        }
        WireError::Protocol(text) if text == HTTP => {
            "that is an admin port or another program: give the RESP port, which is 1000 below the admin port by default"
        }
        WireError::Protocol(text) if text == TLS => {
            "the port speaks TLS: give --tls (and --ca FILE) if it is that of --tls-listen, or the plain RESP port. A peer \
             port speaks TLS too, and answers no tool"
        }
        WireError::Refused(text) if text.starts_with("NOAUTH") => {
            "give the password with --password-file FILE, or in REPLIGO_REQUIREPASS"
        }
        WireError::Refused(text) if text.starts_with("NOPERM") => {
            "log in as another --user, or let a user with that right say ACL SETUSER NAME +COMMAND, with the command \
             that the answer names; a user who only looks needs +repligo.status, and for `cluster nodes` \
             +repligo.cluster"
        }
        _ => "check that --addr is the RESP port of a repligo node",
    }
}

fn screen(report: &Report) -> String {
    let mut out = String::new();
    let health = match report.health {
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::Unavailable => "unavailable",
    };
    let cluster = if report.cluster_id.is_empty() {
        "not formed"
    } else {
        &report.cluster_id
    };
    let _ = writeln!(
        out,
        "{health}: cluster {cluster}, {}, seen by {}",
        report.phase, report.reported_by
    );
    if !report.waiting_for.is_empty() {
        let _ = writeln!(out, "waiting for {}", report.waiting_for.join(", "));
    }
    if !report.tls.is_empty() {
        let _ = writeln!(out, "clients over TLS: {}", report.tls);
    }
    problems(report, &mut out);
    let newest = report
        .nodes
        .iter()
        .map(|node| node.applied_index)
        .max()
        .unwrap_or(0);
    let width = report
        .nodes
        .iter()
        .map(|node| node.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let _ = writeln!(
        out,
        "{:width$}  {:9}  {:>6}  {:>12}  {:>8}  {:>7}  {:8}  resp",
        "node", "role", "term", "applied", "behind", "heard", "health"
    );
    for node in &report.nodes {
        let health = health_of(node);
        let behind = newest.saturating_sub(node.applied_index);
        let heard = format!("{}ms", node.lag_ms);
        let _ = writeln!(
            out,
            "{:width$}  {:9}  {:>6}  {:>12}  {behind:>8}  {heard:>7}  {health:8}  {}",
            node.name, node.role, node.term, node.applied_index, node.resp
        );
    }
    let unnamed = report
        .origin
        .keyspaces_down
        .saturating_sub(report.origin.down.len());
    if unnamed > 0 {
        let _ = writeln!(out, "ORIGIN DOWN: {unnamed} more keyspaces");
    }
    for (position, left) in report.nodes.iter().enumerate() {
        for right in &report.nodes[..position] {
            let comparable = left.applied_index == right.applied_index && left.applied_index > 0;
            if comparable && left.digest != right.digest && left.connected && right.connected {
                let _ = writeln!(
                    out,
                    "DIVERGED: {} and {} hold different data at index {}",
                    right.name, left.name, left.applied_index
                );
            }
        }
    }
    if report.health != Health::Healthy {
        let _ = writeln!(out, "{LEGEND}");
    }
    out
}

/// What the words of the table mean; also in the help.
pub const LEGEND: &str = "\
behind   entries of the log that the node has yet to apply
heard    time since the reporting node heard of it
health   ok: it serves; waiting: it is there and does not serve yet; silent: a link is open and nothing comes;
         missing: no link to it. The role of a silent or missing node is unknown";

fn health_of(node: &NodeReport) -> &'static str {
    match (node.healthy, node.connected) {
        (_, false) => "missing",
        _ if node.lag_ms > SILENT_MS => "silent",
        (true, true) => "ok",
        (false, true) => "waiting",
    }
}

/// What is wrong, since when, what to do.
fn problems(report: &Report, out: &mut String) {
    for problem in &report.problems {
        let since = match problem.since_ms {
            Some(ms) => format!(" (for {})", duration(ms)),
            None => String::new(),
        };
        let _ = writeln!(out, "wrong: {}{since}\n   do: {}", problem.what, problem.remedy);
    }
}

fn duration(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::problems::Problem;
    use crate::telemetry::report::TroubleReport;

    #[test]
    fn the_screen_names_what_matters() {
        let node = |name: &str, role: &str, applied_index: u64, digest: &str| NodeReport {
            name: name.into(),
            role: role.into(),
            applied_index,
            digest: digest.into(),
            healthy: true,
            connected: true,
            ..Default::default()
        };
        let mut report = Report {
            reported_by: "n1".into(),
            phase: "running".into(),
            health: Health::Degraded,
            nodes: vec![
                node("n1", "leader", 10, "a"),
                node("n2", "follower", 8, "b"),
                node("n3", "follower", 10, "a"),
            ],
            ..Default::default()
        };
        report.nodes[1].healthy = false;
        assert!(
            screen(&report).contains("waiting"),
            "it is there and serves nobody yet"
        );
        report.nodes[1].connected = false;
        let text = screen(&report);
        for part in ["degraded", "not formed", "leader", "missing", "seen by n1"] {
            assert!(text.contains(part), "no `{part}` in\n{text}");
        }
        assert!(!text.contains("DIVERGED") && !text.contains("ORIGIN"));
        report.origin.keyspaces_down = 3;
        report.origin.down.push(TroubleReport {
            keyspace: "users".into(),
            origin: "main".into(),
            reason: "gone".into(),
        });
        assert!(screen(&report).contains("ORIGIN DOWN: 2 more keyspaces"));
        report.problems = vec![Problem {
            what: "no majority".into(),
            since_ms: Some(12_345),
            remedy: "start n2".into(),
        }];
        assert!(screen(&report).contains("wrong: no majority (for 12 s)\n   do: start n2\n"));
        assert!(
            screen(&report).contains("heard    time since"),
            "the words are explained where they are new"
        );
        report.nodes[2].digest = "c".into();
        assert!(screen(&report).contains("DIVERGED: n1 and n3 hold different data at index 10"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let refused = WireError::Refused("NOAUTH Authentication required.".into());
        assert!(explain("h:1", &refused, &[]).contains("--password-file"));
        for (error, part) in [
            (
                WireError::Refused("WRONGPASS invalid".into()),
                "not the right one",
            ),
            (WireError::Protocol(HTTP.into()), "1000 below"),
            (WireError::Protocol(TLS.into()), "--tls"),
        ] {
            let text = explain("h:1", &error, &[]);
            assert!(text.contains(part), "no `{part}` in\n{text}");
            let text = explain("127.0.0.1", &error, &[]);
            assert!(text.contains("no port") && text.contains("HOST:PORT"), "{text}");
        }
        let connect = WireError::Connect {
            address: "h:1".into(),
            source: std::io::Error::other("refused"),
        };
        assert!(explain("h:1", &connect, &[]).contains("--addr HOST:PORT"));
        let here = [(PathBuf::from("cluster/cluster.json"), "127.0.0.1:7001".to_owned())];
        assert!(
            explain("h:1", &connect, &here)
                .contains("do: repligo status --addr 127.0.0.1:7001   (cluster/cluster.json names it)")
        );
    }
}
