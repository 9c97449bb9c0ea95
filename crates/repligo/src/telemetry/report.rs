//! The one status schema of `REPLIGO.STATUS`, `/api/status` and `repligo status --json`.
//!
//! Fields are added, never changed (docs/operations.md). It describes the cluster as ONE node sees it:
//! what other nodes last told it, and how long ago.

use repligo_core::contract::Role;
use serde::{Deserialize, Serialize};

use super::problems::{self, Problem};
use crate::telemetry::{NodeStatus, PeerStatus, Phase};

/// The cluster as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// 32 hex digits; empty before the cluster has formed.
    pub cluster_id: String,
    /// Every node, by number.
    pub nodes: Vec<NodeReport>,
    /// Name of the node that reports.
    #[serde(default)]
    pub reported_by: String,
    /// Version of the reporting node.
    #[serde(default)]
    pub version: String,
    /// `starting`, `forming`, `running` or `stopping`.
    #[serde(default)]
    pub phase: String,
    /// Names of the nodes that are missing while the cluster forms.
    #[serde(default)]
    pub waiting_for: Vec<String>,
    /// `healthy`, `degraded` or `unavailable`.
    #[serde(default)]
    pub health: Health,
    /// Generation of the cluster.
    #[serde(default)]
    pub generation: u64,
    /// Start count of the reporting node.
    #[serde(default)]
    pub incarnation: u64,
    /// Milliseconds since the reporting node started.
    #[serde(default)]
    pub uptime_ms: u64,
    /// Process id of the reporting node.
    #[serde(default)]
    pub pid: u32,
    /// The databases behind mapped keys.
    #[serde(default)]
    pub origin: OriginReport,
    /// Where clients reach the reporting node over TLS; empty where they cannot.
    #[serde(default)]
    pub tls: String,
    /// What is wrong, what stops the service first; empty when all is well.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// Keyspaces that the report names at most; the rest it counts.
const TROUBLES_MAX: usize = 16;
/// Problems that the report names at most.
const PROBLEMS_MAX: usize = 32;

/// What the reporting node knows of the origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginReport {
    /// Mapped keyspaces.
    pub keyspaces: usize,
    /// Those that cannot be used: their origin does not answer, or their mapping does not fit it.
    pub keyspaces_down: usize,
    /// The first of these.
    pub down: Vec<TroubleReport>,
    /// Writes that the origins have not decided.
    pub writes_pending: u64,
}

/// One keyspace that cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TroubleReport {
    /// Its name.
    pub keyspace: String,
    /// Name of its origin.
    pub origin: String,
    /// Why.
    pub reason: String,
}

impl OriginReport {
    fn of(status: &NodeStatus) -> OriginReport {
        let origins = &status.origins;
        let named = origins.troubles.iter().take(TROUBLES_MAX);
        OriginReport {
            keyspaces: origins.keyspaces,
            keyspaces_down: origins.troubles.len(),
            down: named
                .map(|trouble| TroubleReport {
                    keyspace: trouble.keyspace.clone(),
                    origin: trouble.origin.clone(),
                    reason: trouble.reason.clone(),
                })
                .collect(),
            writes_pending: status.replica.origin_writes_pending,
        }
    }
}

/// One row of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// `leader`, `follower`, `candidate`, or `unknown` while there is no link to it or nothing comes over it.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// Name of the leader it follows; `null` when it knows none.
    pub leader: Option<String>,
    /// Last entry that its state contains.
    pub applied_index: u64,
    /// Last entry that it knows to be committed.
    pub commit_index: u64,
    /// Digest of its state at `applied_index`, 32 hex digits. Equal indexes must show equal digests.
    pub digest: String,
    /// It serves, and said so within the last second.
    pub healthy: bool,
    /// Milliseconds since the reporting node heard from it; 0 for itself.
    pub lag_ms: u64,
    /// Where clients reach it; empty while unknown.
    #[serde(default)]
    pub resp: String,
    /// Where other nodes reach it; empty on a single node.
    #[serde(default)]
    pub peer: String,
    /// A link to it is open (true for itself).
    #[serde(default)]
    pub connected: bool,
}

/// The verdict, which is also the exit code of `repligo status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every node serves.
    Healthy,
    /// Clients are served, but a node is missing or an origin is down.
    Degraded,
    /// The reporting node cannot serve: no leader, no quorum, or not started.
    #[default]
    Unavailable,
}

impl Report {
    /// Describes a node's latest status.
    pub fn of(status: &NodeStatus) -> Report {
        let (phase, waiting_for) = match &status.phase {
            Phase::Starting => ("starting", Vec::new()),
            Phase::Forming { waiting_for } => ("forming", waiting_for.clone()),
            Phase::Joining => ("joining", Vec::new()),
            Phase::Running => ("running", Vec::new()),
            Phase::Stopping => ("stopping", Vec::new()),
        };
        let mut report = Report {
            cluster_id: if status.cluster_id == 0 {
                String::new()
            } else {
                format!("{:032x}", status.cluster_id)
            },
            nodes: status
                .nodes
                .iter()
                .map(|node| NodeReport::of(node, &status.nodes))
                .collect(),
            reported_by: status.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            phase: phase.to_string(),
            waiting_for,
            health: Health::Unavailable,
            generation: status.generation,
            incarnation: status.incarnation,
            uptime_ms: status.uptime_ms,
            pid: std::process::id(),
            origin: OriginReport::of(status),
            tls: status.tls_address.clone(),
            problems: problems::of(status),
        };
        report.problems.truncate(PROBLEMS_MAX);
        // What the node was told before it lost the others says nothing of now.
        let serving = status.is_serving() && problems::has_majority(&status.nodes);
        report.health = report.judge(serving);
        report
    }

    /// The report as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always serialize")
    }

    /// The node that reports itself as leader in the newest term, if any.
    pub fn leader(&self) -> Option<&NodeReport> {
        self.nodes
            .iter()
            .filter(|node| node.role == "leader")
            .max_by_key(|node| node.term)
    }

    /// The row of the reporting node.
    pub fn own(&self) -> Option<&NodeReport> {
        self.nodes.iter().find(|node| node.name == self.reported_by)
    }

    fn judge(&self, serving: bool) -> Health {
        if !serving {
            Health::Unavailable
        } else if self.origin.keyspaces_down == 0 && self.nodes.iter().all(|node| node.healthy) {
            Health::Healthy
        } else {
            Health::Degraded
        }
    }
}

impl NodeReport {
    fn of(node: &PeerStatus, all: &[PeerStatus]) -> NodeReport {
        // What a node said before its link broke or it fell silent is no statement about now: it may be dead, or cut off and
        // replaced, and two rows that say "leader" would mislead whoever counts them.
        let role = match node.role {
            _ if !problems::is_heard(node) => "unknown",
            Role::Leader => "leader",
            Role::Candidate => "candidate",
            Role::Follower => "follower",
        };
        NodeReport {
            name: node.name.clone(),
            role: role.to_string(),
            term: node.term,
            leader: all
                .iter()
                .find(|other| other.peer == node.leader)
                .map(|leader| leader.name.clone()),
            applied_index: node.applied_index,
            commit_index: node.commit_index,
            digest: format!("{:032x}", node.digest),
            healthy: node.healthy,
            lag_ms: node.lag_ms,
            resp: node.client_address.clone(),
            peer: node.peer_address.clone(),
            connected: node.connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use repligo_core::contract::{OriginTrouble, OriginsStatus};

    use super::*;

    fn status() -> NodeStatus {
        let node = |peer: u64, name: &str, role: Role| PeerStatus {
            peer,
            name: name.into(),
            role,
            term: 3,
            leader: 1,
            connected: true,
            healthy: true,
            digest: 0xab,
            ..Default::default()
        };
        let mut status = NodeStatus {
            name: "n1".into(),
            peer: 1,
            cluster_id: 7,
            phase: Phase::Running,
            nodes: vec![
                node(1, "n1", Role::Leader),
                node(2, "n2", Role::Follower),
                node(3, "n3", Role::Follower),
            ],
            ..Default::default()
        };
        status.replica.serving = true;
        status
    }

    #[test]
    fn the_schema_keeps_its_fields() {
        let json: serde_json::Value = serde_json::from_str(&Report::of(&status()).to_json()).expect("JSON");
        assert_eq!(json["cluster_id"], "00000000000000000000000000000007");
        let node = &json["nodes"][1];
        assert_eq!(node["name"], "n2");
        assert_eq!(node["role"], "follower");
        assert_eq!(node["term"], 3);
        assert_eq!(node["leader"], "n1");
        assert_eq!(node["digest"], "000000000000000000000000000000ab");
        assert_eq!(node["healthy"], true);
        for field in ["applied_index", "commit_index", "lag_ms"] {
            assert!(node[field].is_u64(), "{field}");
        }
    }

    #[test]
    fn a_report_survives_the_wire() {
        let report = Report::of(&status());
        let back: Report = serde_json::from_str(&report.to_json()).expect("own JSON");
        assert_eq!(back, report);
        assert_eq!(back.leader().map(|node| node.name.as_str()), Some("n1"));
        assert_eq!(back.own().map(|node| node.name.as_str()), Some("n1"));
    }

    #[test]
    fn health() {
        let check = |change: fn(&mut NodeStatus), expect: Health| {
            let mut status = status();
            change(&mut status);
            assert_eq!(Report::of(&status).health, expect);
        };
        check(|_| {}, Health::Healthy);
        check(|status| status.nodes[2].healthy = false, Health::Degraded);
        check(|status| status.replica.serving = false, Health::Unavailable);
        check(|status| status.phase = Phase::Stopping, Health::Unavailable);
        // It was told that it serves, and then two of three nodes fell silent.
        check(
            |status| {
                status.nodes[1].lag_ms = 3_000;
                status.nodes[2].connected = false;
            },
            Health::Unavailable,
        );
        check(|status| status.origins = an_origin_down(), Health::Degraded);
        check(
            |status| {
                status.phase = Phase::Forming {
                    waiting_for: vec!["n2".into()],
                }
            },
            Health::Unavailable,
        );
    }

    fn an_origin_down() -> Arc<OriginsStatus> {
        let trouble = OriginTrouble {
            keyspace: "users".into(),
            origin: "main".into(),
            reason: "the file is gone".into(),
        };
        Arc::new(OriginsStatus {
            keyspaces: 2,
            origins: vec![("main".into(), false)],
            troubles: vec![trouble; 20],
        })
    }

    #[test]
    fn an_origin_that_is_down_is_named_with_its_reason() {
        let mut status = status();
        status.origins = an_origin_down();
        let json: serde_json::Value = serde_json::from_str(&Report::of(&status).to_json()).expect("JSON");
        assert_eq!(json["health"], "degraded");
        assert_eq!(json["origin"]["keyspaces_down"], 20);
        assert_eq!(
            json["origin"]["down"].as_array().map(Vec::len),
            Some(TROUBLES_MAX)
        );
        assert_eq!(json["origin"]["down"][0]["keyspace"], "users");
        assert_eq!(json["origin"]["down"][0]["reason"], "the file is gone");
    }

    #[test]
    fn a_node_without_a_link_or_without_a_word_has_an_unknown_role() {
        let mut status = status();
        status.nodes[0].lag_ms = 3_000;
        assert_eq!(
            Report::of(&status).nodes[0].role,
            "unknown",
            "an old leader that is paused"
        );
        status.nodes[0].lag_ms = 0;
        status.nodes[0].connected = false;
        status.nodes[2] = PeerStatus {
            peer: 3,
            name: "n3".into(),
            ..Default::default()
        };
        let report = Report::of(&status);
        assert_eq!(
            (report.nodes[2].role.as_str(), report.nodes[2].leader.as_deref()),
            ("unknown", None)
        );
        assert_eq!(report.nodes[0].role, "unknown", "an old leader that is cut off");
    }
}
