//! Admin HTTP: health, metrics and status, on a thread with a runtime of its own.
//!
//! It reads [`Shared`] and nothing else: it never asks the worker, so a stalled worker shows here as a
//! failing `/livez` instead of stalling whoever asks. It changes nothing.

pub mod metrics;
pub mod report;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::node::{NodeStatus, Phase, Shared};
use report::Report;

/// A worker that has not ticked for this long is stalled. Its tick is 25 ms; the rest is for a busy machine.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// Serves until the process ends. A failure to start is logged; the node itself goes on.
pub fn start(listener: TcpListener, shared: Arc<Shared>) {
    let spawned = std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || serve(listener, shared));
    if let Err(error) = spawned {
        tracing::error!(%error, "admin HTTP has no thread: health and metrics are not served");
    }
}

fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let served = listener.set_nonblocking(true).and_then(|()| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(shared)).await
            })
    });
    if let Err(error) = served {
        tracing::error!(%error, "admin HTTP stopped: health and metrics are not served");
    }
}

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
         /readyz       200 while this node can serve clients\n\
         /healthz      ?level=linearizable (default) or eventual: can this node serve such reads?\n\
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
        "linearizable" => stalled(&shared).or_else(|| not_ready(&shared.status())),
        "eventual" => stalled(&shared).or_else(|| not_eventual(&shared.status())),
        other => {
            let text = format!("unknown level `{other}`: write level=linearizable or level=eventual\n");
            return plain(StatusCode::BAD_REQUEST, text);
        }
    };
    verdict(problem)
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

fn not_ready(status: &NodeStatus) -> Option<String> {
    match &status.phase {
        Phase::Starting => Some("starting: reading the disk".to_string()),
        Phase::Forming { waiting_for } => Some(format!("forming: waiting for {}", waiting_for.join(", "))),
        Phase::Stopping => Some("stopping".to_string()),
        Phase::Running if status.replica.serving => None,
        Phase::Running => {
            Some("no leader is serving: an election is going on, or there is no quorum".to_string())
        }
    }
}

/// Eventual reads need no leader now, only a state that a leader confirmed since the start.
fn not_eventual(status: &NodeStatus) -> Option<String> {
    if status.phase == Phase::Running && status.replica.applied_index > 0 {
        None
    } else {
        not_ready(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_phase_and_leader() {
        let check = |phase: Phase, serving: bool, expect: Option<&str>| {
            let mut status = NodeStatus {
                phase,
                ..Default::default()
            };
            status.replica.serving = serving;
            let problem = not_ready(&status);
            match expect {
                None => assert_eq!(problem, None),
                Some(part) => assert!(
                    problem.as_deref().is_some_and(|text| text.contains(part)),
                    "{problem:?}"
                ),
            }
        };
        check(Phase::Running, true, None);
        check(Phase::Running, false, Some("no leader"));
        check(Phase::Starting, false, Some("starting"));
        check(
            Phase::Forming {
                waiting_for: vec!["n2".into(), "n3".into()],
            },
            false,
            Some("n2, n3"),
        );
        check(Phase::Stopping, true, Some("stopping"));
    }

    #[test]
    fn eventual_health_survives_the_loss_of_the_leader() {
        let mut status = NodeStatus {
            phase: Phase::Running,
            ..Default::default()
        };
        assert!(not_eventual(&status).is_some(), "nothing applied yet");
        status.replica.applied_index = 5;
        assert_eq!(not_eventual(&status), None);
        assert!(not_ready(&status).is_some());
    }
}
