//! Admin HTTP: health, metrics and status, on a thread with a runtime of its own.
//!
//! It reads [`Shared`] and nothing else: it never asks the worker, so a stalled worker shows here as a
//! failing `/livez` instead of stalling whoever asks. It changes nothing.

pub mod metrics;

mod host;
mod serve;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use repligo_core::limits::FORWARD_HOLD_US;

pub use serve::{Door, start};

use crate::telemetry::problems::is_heard;
use crate::telemetry::report::Report;
use crate::telemetry::{NodeStatus, Phase, Shared};

/// A worker that has not ticked for this long is stalled. Its tick is 25 ms; the rest is for a busy machine.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The routes, over a node's shared state.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/metrics", get(serve_metrics))
        .route("/api/status", get(serve_status))
        .fallback(unknown)
        .with_state(shared)
}

fn plain(status: StatusCode, text: String) -> Response {
    (
        status,
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
        .into_response()
}

fn not_serving_origins(status: &NodeStatus) -> Option<String> {
    not_serving(status).or_else(|| origin_down(status))
}

/// An origin that is down, if one is: everything but its keyspaces is served all the same.
fn origin_down(status: &NodeStatus) -> Option<String> {
    let troubles = &status.origins.troubles;
    let first = troubles.first()?;
    let (keyspace, origin) = (&first.keyspace, &first.origin);
    let more = match troubles.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "origin {origin} of keyspace {keyspace}{more} is down: {}",
        first.reason
    ))
}

fn verdict(problem: Option<String>) -> Response {
    match problem {
        None => plain(StatusCode::OK, "ok\n".to_string()),
        Some(problem) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

async fn index(State(shared): State<Arc<Shared>>) -> Response {
    let name = shared.status().name.clone();
    let text = format!(
        "repligo {} node {name}\n\n\
         /livez        200 while the worker turns\n\
         /readyz       200 while this node takes requests, those that wait for a leader included\n\
         /healthz      ?level=linearizable (default) or eventual: can this node serve such reads now?\n\
         \x20             ?level=origin: can it serve them and every mapped key?\n\
         /metrics      Prometheus text\n\
         /api/status   the cluster as this node sees it, JSON (the same as REPLIGO.STATUS)\n",
        env!("CARGO_PKG_VERSION")
    );
    plain(StatusCode::OK, text)
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    verdict(stalled(&shared))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let problem = stalled(&shared).or_else(|| not_ready(&shared.status()));
    verdict(problem)
}

async fn healthz(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let level = query.split('&').find_map(|pair| pair.strip_prefix("level="));
    let problem = match level.unwrap_or("linearizable") {
        "linearizable" => stalled(&shared).or_else(|| not_serving(&shared.status())),
        "eventual" => stalled(&shared).or_else(|| not_eventual(&shared.status())),
        "origin" => stalled(&shared).or_else(|| not_serving_origins(&shared.status())),
        other => {
            let text = format!(
                "unknown level `{other}`: write level=linearizable, level=eventual or level=origin\n"
            );
            return plain(StatusCode::BAD_REQUEST, text);
        }
    };
    let degraded = origin_down(&shared.status());
    match (problem, degraded) {
        (None, Some(degraded)) => plain(StatusCode::OK, format!("ok, but degraded: {degraded}\n")),
        (problem, _) => verdict(problem),
    }
}

async fn serve_metrics(State(shared): State<Arc<Shared>>) -> Response {
    // The snapshot is copied so that the worker never waits for the rendering of a page.
    let status = shared.status().clone();
    let text = metrics::render(&status, &shared.metrics, shared.tick_age_us());
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}

async fn serve_status(State(shared): State<Arc<Shared>>) -> Response {
    let status = shared.status().clone();
    let json = Report::of(&status).to_json();
    (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        json,
    )
        .into_response()
}

async fn unknown() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "no such page; / lists what is here\n".to_string(),
    )
}

fn stalled(shared: &Shared) -> Option<String> {
    let age = Duration::from_micros(shared.tick_age_us());
    // Before the first tick the node reads its disk, which may take long and is not a stall.
    (shared.ticked_us() != 0 && age > STALLED_AFTER)
        .then(|| format!("the worker has not turned for {} ms", age.as_millis()))
}

/// Why this node should get no connections.
fn not_ready(status: &NodeStatus) -> Option<String> {
    if let Some(trouble) = disk_stalled(status).or_else(|| disk_full(status)) {
        return Some(trouble);
    }
    if status.is_ready() {
        return None;
    }
    let Some(unserved_ms) = status.unserved_ms.filter(|_| status.phase == Phase::Running) else {
        return not_serving(status);
    };
    let cut_off: Vec<&str> = status
        .nodes
        .iter()
        .filter(|node| !node.connected)
        .map(|node| node.name.as_str())
        .collect();
    let silent = status
        .nodes
        .iter()
        .filter(|node| node.connected && !is_heard(node));
    let silent: Vec<&str> = silent.map(|node| node.name.as_str()).collect();
    let whom = match (cut_off.as_slice(), silent.as_slice()) {
        ([], []) => "all nodes are connected".to_string(),
        ([], _) => format!("connected and silent: {}", silent.join(", ")),
        (_, []) => format!("not connected: {}", cut_off.join(", ")),
        _ => format!(
            "not connected: {}; connected and silent: {}",
            cut_off.join(", "),
            silent.join(", ")
        ),
    };
    Some(format!(
        "no leader for {unserved_ms} ms, and requests are held for {} ms at most; {whom}",
        FORWARD_HOLD_US / 1000
    ))
}

/// Nothing is applied while the disk finishes nothing.
fn disk_stalled(status: &NodeStatus) -> Option<String> {
    let stalled_ms = status.replica.disk_stalled_ms;
    (stalled_ms > 0).then(|| format!("the disk has finished nothing for {stalled_ms} ms"))
}

/// Other nodes take writes and answer reads that this one cannot. Where none takes writes, all go on to answer reads.
fn disk_full(status: &NodeStatus) -> Option<String> {
    let replica = &status.replica;
    (replica.disk_full && !replica.quorum_full).then(|| {
        "the disk is full: this node takes no writes, and its copy does not follow the others".to_owned()
    })
}

/// Why this node answers no linearizable request at once.
fn not_serving(status: &NodeStatus) -> Option<String> {
    match &status.phase {
        Phase::Starting => Some("starting: reading the disk".to_string()),
        Phase::Forming { waiting_for } if waiting_for.is_empty() => {
            Some("forming: waiting for the others to agree".to_string())
        }
        Phase::Forming { waiting_for } => Some(format!("forming: waiting for {}", waiting_for.join(", "))),
        Phase::Joining => Some("waiting to be admitted to the cluster as a new member".to_string()),
        Phase::Stopping => Some("stopping".to_string()),
        Phase::Running if disk_stalled(status).is_some() => disk_stalled(status),
        Phase::Running if disk_full(status).is_some() => disk_full(status),
        Phase::Running if status.replica.serving => None,
        Phase::Running if status.unserved_ms.is_none() => {
            Some("no leader since the start: waiting for a majority of the nodes".to_string())
        }
        Phase::Running => {
            Some("no leader is serving: an election is going on, or there is no quorum".to_string())
        }
    }
}

/// Eventual reads need no leader now, only a state that a leader confirmed since the start and that is not too old.
fn not_eventual(status: &NodeStatus) -> Option<String> {
    if let Some(age_ms) = status.replica.too_stale_ms {
        return Some(format!(
            "no leader was heard of for {age_ms} ms, so eventual reads are refused with STALE"
        ));
    }
    if status.phase == Phase::Running && status.replica.applied_index > 0 {
        None
    } else {
        not_serving(status)
    }
}

#[cfg(test)]
mod tests {
    use repligo_core::contract::{OriginTrouble, OriginsStatus};

    use super::*;

    fn status(phase: Phase, unserved_ms: Option<u64>) -> NodeStatus {
        let mut status = NodeStatus {
            phase,
            unserved_ms,
            ..Default::default()
        };
        status.replica.serving = unserved_ms == Some(0);
        status
    }

    fn check(problem: Option<String>, expect: Option<&str>) {
        match expect {
            None => assert_eq!(problem, None),
            Some(part) => assert!(
                problem.as_deref().is_some_and(|text| text.contains(part)),
                "{problem:?}"
            ),
        }
    }

    #[test]
    fn a_node_is_ready_for_as_long_as_it_holds_requests() {
        let ready = |phase, unserved_ms, expect| check(not_ready(&status(phase, unserved_ms)), expect);
        ready(Phase::Running, Some(0), None);
        ready(Phase::Running, Some(4999), None);
        ready(Phase::Running, Some(5000), Some("no leader for 5000 ms"));
        ready(Phase::Running, None, Some("since the start"));
        ready(Phase::Starting, None, Some("starting"));
        let waiting_for = vec!["n2".into(), "n3".into()];
        ready(Phase::Forming { waiting_for }, None, Some("n2, n3"));
        ready(Phase::Stopping, Some(0), Some("stopping"));
    }

    #[test]
    fn linearizable_health_says_whether_requests_are_answered_now() {
        let serving = |unserved_ms, expect| check(not_serving(&status(Phase::Running, unserved_ms)), expect);
        serving(Some(0), None);
        serving(Some(25), Some("an election is going on"));
        let mut stalled = status(Phase::Running, Some(0));
        stalled.replica.disk_stalled_ms = 40_000;
        for problem in [not_ready(&stalled), not_serving(&stalled)] {
            check(problem, Some("the disk has finished nothing for 40000 ms"));
        }
    }

    #[test]
    fn a_full_disk_is_not_ready_unless_all_are_full() {
        let mut full = status(Phase::Running, Some(0));
        full.replica.disk_full = true;
        for problem in [not_ready(&full), not_serving(&full)] {
            check(problem, Some("the disk is full"));
        }
        full.replica.quorum_full = true;
        check(not_ready(&full), None);
        check(not_serving(&full), None);
    }

    #[test]
    fn the_reason_names_the_nodes_that_are_cut_off() {
        let mut status = status(Phase::Running, Some(9000));
        for (name, connected) in [("n1", true), ("n2", false), ("n3", false)] {
            status.nodes.push(crate::telemetry::PeerStatus {
                name: name.into(),
                connected,
                ..Default::default()
            });
        }
        check(not_ready(&status), Some("not connected: n2, n3"));
        (status.nodes[1].connected, status.nodes[1].lag_ms) = (true, 9_000);
        check(
            not_ready(&status),
            Some("not connected: n3; connected and silent: n2"),
        );
    }

    #[test]
    fn an_origin_that_is_down_makes_no_node_unready_and_is_told() {
        let mut status = status(Phase::Running, Some(0));
        assert_eq!(origin_down(&status), None);
        let trouble = OriginTrouble {
            keyspace: "users".into(),
            origin: "main".into(),
            reason: "gone".into(),
        };
        status.origins = Arc::new(OriginsStatus {
            troubles: vec![trouble; 3],
            ..Default::default()
        });
        assert_eq!((not_ready(&status), not_serving(&status)), (None, None));
        assert!(not_serving_origins(&status).is_some());
        let text = "origin main of keyspace users and 2 more is down: gone";
        assert_eq!(origin_down(&status).as_deref(), Some(text));
    }

    #[test]
    fn eventual_health_survives_the_loss_of_the_leader() {
        let mut status = status(Phase::Running, None);
        assert!(not_eventual(&status).is_some(), "nothing applied yet");
        status.replica.applied_index = 5;
        assert_eq!(not_eventual(&status), None);
        assert!(not_serving(&status).is_some());
        status.replica.too_stale_ms = Some(10_001);
        check(not_eventual(&status), Some("10001 ms"));
    }
}
