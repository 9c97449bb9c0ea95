//! What is wrong with the cluster as one node sees it: what, since when, and what to do about it.
//!
//! Everything follows from the status snapshot; nothing is asked and nothing is remembered here.

use serde::{Deserialize, Serialize};

use super::refusal::cause_and_remedy;
use super::{NodeStatus, PeerStatus, Phase};

/// A node that has said nothing for longer is taken for silent, in milliseconds: it reports several times a
/// second.
pub const SILENT_MS: u64 = 2000;
/// An election that takes longer is more than an election, in milliseconds.
const ELECTION_MS_MAX: u64 = 10_000;

/// A certificate that ends within so many days is a problem.
pub const CERTIFICATE_DAYS: i64 = 30;

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, and what clients notice of it.
    pub what: String,
    /// For how many milliseconds, where the reporting node knows.
    pub since_ms: Option<u64>,
    /// What to do.
    pub remedy: String,
}

/// A link to the node is open (or it is the reporting one), and it spoke lately.
pub fn is_heard(node: &PeerStatus) -> bool {
    node.connected && node.lag_ms <= SILENT_MS
}

/// As many voters are heard as an election and a write need.
pub fn has_majority(nodes: &[PeerStatus]) -> bool {
    let heard = voters(nodes).filter(|node| is_heard(node));
    heard.count() >= majority_of(nodes)
}

fn majority_of(nodes: &[PeerStatus]) -> usize {
    voters(nodes).count() / 2 + 1
}

fn voters(nodes: &[PeerStatus]) -> impl Iterator<Item = &PeerStatus> {
    nodes.iter().filter(|node| !node.is_learner)
}

/// Everything that is wrong, what stops the service first.
pub fn of(status: &NodeStatus) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(service(status));
    match status.phase {
        Phase::Running => {
            found.extend(disk(status));
            found.extend(status.nodes.iter().filter_map(|node| of_node(status, node)));
            found.extend(status.refused.iter().map(|text| stranger(text)));
        }
        Phase::Forming { .. } => {
            let refused = status.nodes.iter().filter(|node| !node.refusal.is_empty());
            found.extend(refused.map(|node| refused_node(status, node)));
        }
        _ => {}
    }
    found.extend(certificates(status));
    found.extend(status.origins.troubles.iter().map(|trouble| Problem {
        what: format!(
            "origin {}, keyspace {}: {}; cached rows are read, other requests of it get ORIGINDOWN",
            trouble.origin, trouble.keyspace, trouble.reason
        ),
        since_ms: None,
        remedy:
            "bring the database back, or change what the reason names; it is asked again every second".into(),
    }));
    found
}

/// Certificates of this node that end soon, and that somebody has to renew.
fn certificates(status: &NodeStatus) -> impl Iterator<Item = Problem> + '_ {
    let wall_ms = status.started_wall_ms + status.uptime_ms;
    let others = status
        .certificates
        .iter()
        .filter(|certificate| !certificate.renews_itself);
    others.filter_map(move |certificate| {
        let (days, shown_to) = (certificate.days_left(wall_ms), certificate.shown_to);
        let when = match days {
            CERTIFICATE_DAYS.. => return None,
            0.. => format!("ends within {} days", days + 1),
            _ => "has ended: whoever checks it is refused".to_owned(),
        };
        Some(Problem {
            what: format!("the certificate that {} shows to {shown_to} {when}", status.name),
            since_ms: None,
            remedy: "put a new one into its file; it is read while the node runs".into(),
        })
    })
}

/// Writes are refused because there is no room for them.
fn disk(status: &NodeStatus) -> Option<Problem> {
    let (full, quorum) = (status.replica.disk_full, status.replica.quorum_full);
    let what = match (full, quorum) {
        (false, false) => return None,
        (true, false) => format!(
            "the disk of {} is full: writes there get DISKFULL, and its copy does not follow the others",
            status.name
        ),
        (_, true) => {
            "the disks of so many nodes are full that no majority could store a write: writes get DISKFULL, \
                      reads are answered"
                .to_owned()
        }
    };
    Some(Problem {
        what,
        since_ms: None,
        remedy: "free space on those file systems, or raise their quota; writes go on within a second or two"
            .into(),
    })
}

/// Why the reporting node serves nobody, if so.
fn service(status: &NodeStatus) -> Option<Problem> {
    let problem = |what: String, since_ms: Option<u64>, remedy: &str| {
        Some(Problem {
            what,
            since_ms,
            remedy: remedy.to_string(),
        })
    };
    let uptime_ms = Some(status.uptime_ms);
    match &status.phase {
        Phase::Starting => problem(
            "the node is starting: it reads its data directory".into(),
            uptime_ms,
            "wait; its log says how far it is",
        ),
        Phase::Forming { waiting_for } => problem(
            format!("the cluster has not formed: {} missing", are(waiting_for)),
            uptime_ms,
            "start every node of the line with the same --cluster line, and look at the logs of those missing",
        ),
        Phase::Joining => problem(
            "the node waits to be admitted to the cluster as a new member".into(),
            None,
            "look at its log, which says what it waits for",
        ),
        Phase::Stopping => problem("the node is stopping".into(), None, "ask another node"),
        Phase::Running if !has_majority(&status.nodes) => Some(no_majority(status)),
        Phase::Running if status.replica.serving => None,
        Phase::Running => Some(no_leader(status)),
    }
}

fn no_majority(status: &NodeStatus) -> Problem {
    let nodes = &status.nodes;
    let missing: Vec<&PeerStatus> = voters(nodes).filter(|node| !is_heard(node)).collect();
    let names: Vec<String> = missing.iter().map(|node| node.name.clone()).collect();
    let count = voters(nodes).count();
    let heard = count - missing.len();
    let needed = majority_of(nodes) - heard;
    let mut ages: Vec<u64> = missing.iter().map(|node| silent_ms(status, node)).collect();
    ages.sort_unstable();
    let is_refused = missing.iter().any(|node| !node.refusal.is_empty());
    Problem {
        what: format!(
            "no majority: {heard} of {count} nodes can be reached, {} missing; no read and no write is answered",
            are(&names)
        ),
        since_ms: ages.get(needed - 1).copied(),
        remedy: match is_refused {
            true => format!("bring back {needed} of them: why there is no link to them stands below"),
            false => format!(
                "start or reconnect {needed} of them: look at their processes and logs, and at the network between \
                 the peer addresses"
            ),
        },
    }
}

fn no_leader(status: &NodeStatus) -> Problem {
    let since_ms = status.unserved_ms;
    let leads = |node: &&PeerStatus| {
        is_heard(node) && node.healthy && node.role == repligo_core::contract::Role::Leader
    };
    if let Some(leader) = status.nodes.iter().find(leads) {
        return Problem {
            what: format!(
                "{} does not serve yet: it takes in what leader {} has",
                status.name, leader.name
            ),
            since_ms,
            remedy: "wait, or ask another node; the column `behind` says how much is missing".into(),
        };
    }
    let long = since_ms.is_some_and(|ms| ms > ELECTION_MS_MAX);
    Problem {
        what: "an election: a majority can be reached, and no leader serves yet; requests wait".into(),
        since_ms,
        remedy: if long {
            "that takes too long: look at the logs of all nodes, and whether each can reach the peer address of \
             each other"
                .into()
        } else {
            "wait: it takes two or three seconds".into()
        },
    }
}

/// What is wrong with one node.
fn of_node(status: &NodeStatus, node: &PeerStatus) -> Option<Problem> {
    let own = node.peer == status.peer;
    if own || (node.healthy && is_heard(node)) {
        return None;
    }
    if !node.connected && !node.refusal.is_empty() {
        return Some(refused_node(status, node));
    }
    let (what, remedy) = if !node.connected {
        let remedy = format!(
            "start it, or look at the network to its peer address {}",
            node.peer_address
        );
        (format!("{} is missing: no link to it", node.name), remedy)
    } else if !is_heard(node) {
        let remedy =
            "the process may be paused, overloaded or cut off: look at it and at its log".to_string();
        (
            format!("{} is silent: a link is open and nothing comes", node.name),
            remedy,
        )
    } else if status.replica.serving {
        let remedy = "wait; if it lasts, look at its log".to_string();
        (
            format!("{} is waiting: it is there and does not serve yet", node.name),
            remedy,
        )
    } else {
        return None;
    };
    Some(Problem {
        what,
        since_ms: (!is_heard(node)).then(|| silent_ms(status, node)),
        remedy,
    })
}

/// A member that has no link because one side refuses the other.
fn refused_node(status: &NodeStatus, node: &PeerStatus) -> Problem {
    let (is_by_other, cause, remedy) = cause_and_remedy(&node.refusal);
    let what = match is_by_other {
        true => format!("{} refuses {}: {cause}", node.name, status.name),
        false => format!("{} is there and gets no link: {cause}", node.name),
    };
    Problem {
        what,
        since_ms: Some(silent_ms(status, node)),
        remedy,
    }
}

/// A node that is no member, wants a link and is refused.
fn stranger(refusal: &str) -> Problem {
    let (_, cause, remedy) = cause_and_remedy(refusal);
    Problem {
        what: format!("a node that is no member wants a link and gets none: {cause}"),
        since_ms: None,
        remedy,
    }
}

/// For how long nothing was heard of a node; since this one knows it if nothing ever was.
fn silent_ms(status: &NodeStatus, node: &PeerStatus) -> u64 {
    match node.lag_ms {
        0 => node.known_ms.min(status.uptime_ms),
        lag_ms => lag_ms,
    }
}

fn are(names: &[String]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use repligo_core::contract::Role;

    use super::*;

    fn status(nodes: usize) -> NodeStatus {
        let node = |number: usize| PeerStatus {
            peer: number as u64,
            name: format!("n{number}"),
            role: if number == 2 { Role::Leader } else { Role::Follower },
            connected: true,
            healthy: true,
            known_ms: 90_000,
            ..Default::default()
        };
        let mut status = NodeStatus {
            name: "n1".into(),
            peer: 1,
            phase: Phase::Running,
            uptime_ms: 90_000,
            nodes: (1..=nodes).map(node).collect(),
            ..Default::default()
        };
        status.replica.serving = true;
        status
    }

    fn whats(status: &NodeStatus) -> Vec<String> {
        of(status).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_node_without_a_vote_is_in_no_majority() {
        // n3 is being replaced: two of three voters are there, and the new one comes and goes.
        let mut status = status(4);
        status.nodes[2].connected = false;
        status.nodes[3].is_learner = true;
        for connected in [true, false] {
            status.nodes[3].connected = connected;
            assert!(has_majority(&status.nodes));
        }
        status.nodes[1].connected = false;
        status.nodes[3].connected = true;
        let whats = whats(&status);
        assert!(
            whats[0].starts_with("no majority: 1 of 3 nodes can be reached, n2, n3 are missing"),
            "{whats:?}"
        );
    }

    #[test]
    fn a_healthy_cluster_has_no_problems() {
        assert_eq!(of(&status(3)), []);
        assert_eq!(of(&status(1)), []);
    }

    #[test]
    fn a_certificate_that_ends_soon_is_a_problem_unless_the_node_renews_it() {
        let mut status = status(3);
        (status.started_wall_ms, status.uptime_ms) = (1_000 * 86_400_000, 1_500);
        let certificate = |days: u64, renews_itself| crate::telemetry::CertificateStatus {
            shown_to: "clients",
            ends_s: (1_000 + days) * 86_400,
            renews_itself,
        };
        for (days, renews_itself, part) in [
            (31, false, None),
            (30, false, Some("ends within 30 days")),
            (1, false, Some("ends within 1 days")),
            (0, false, Some("has ended")),
            (0, true, None),
        ] {
            status.certificates = vec![certificate(days, renews_itself)];
            let whats = whats(&status);
            match part {
                None => assert!(whats.is_empty(), "{days}: {whats:?}"),
                Some(part) => assert!(whats[0].contains(part) && whats.len() == 1, "{days}: {whats:?}"),
            }
        }
    }

    #[test]
    fn a_lost_majority_is_told_from_an_election_with_the_moment_it_was_lost() {
        let mut status = status(5);
        for (at, lag_ms) in [(1, 10_000), (2, 5_000), (3, 60_000), (4, 0)] {
            status.nodes[at].connected = at == 1;
            status.nodes[at].lag_ms = lag_ms;
        }
        // The node still believes what it was told: what counts is who can be reached.
        assert!(status.replica.serving && !has_majority(&status.nodes));
        let first = &of(&status)[0];
        assert!(
            first
                .what
                .starts_with("no majority: 1 of 5 nodes can be reached, n2, n3, n4, n5 are missing")
        );
        assert_eq!(
            first.since_ms,
            Some(10_000),
            "three of five were there until then"
        );
        assert!(first.remedy.starts_with("start or reconnect 2 of them"));
        for node in &mut status.nodes {
            (node.connected, node.lag_ms, node.role, node.healthy) = (true, 300, Role::Candidate, false);
        }
        status.replica.serving = false;
        status.unserved_ms = Some(1_200);
        let election = of(&status);
        assert_eq!(election.len(), 1, "{election:?}");
        assert!(election[0].what.starts_with("an election") && election[0].remedy.starts_with("wait"));
        assert_eq!(election[0].since_ms, Some(1_200));
        status.unserved_ms = Some(20_000);
        assert!(of(&status)[0].remedy.contains("takes too long"));
    }

    #[test]
    fn nodes_are_missing_silent_or_waiting() {
        let mut status = status(5);
        status.nodes[2].connected = false;
        status.nodes[2].lag_ms = 4_000;
        status.nodes[3].lag_ms = 3_000;
        status.nodes[4].healthy = false;
        let expect = ["n3 is missing", "n4 is silent", "n5 is waiting"];
        let whats = whats(&status);
        assert_eq!(whats.len(), 3);
        assert!(
            whats
                .iter()
                .zip(expect)
                .all(|(what, start)| what.starts_with(start)),
            "{whats:?}"
        );
        assert_eq!(of(&status)[0].since_ms, Some(4_000));
    }

    #[test]
    fn a_node_that_is_refused_is_not_called_missing() {
        let mut status = status(3);
        status.nodes[2].connected = false;
        status.nodes[2].known_ms = 700;
        for (refusal, what, remedy) in [
            (
                "n3 and n1 have different [[keyspace]] sections: give every node the same configuration",
                "n3 is there and gets no link: n3 and n1 have different [[keyspace]] sections",
                "give every node the same configuration",
            ),
            (
                "the other node says: the releases differ: run the same one on every node",
                "n3 refuses n1: the releases differ",
                "run the same one on every node",
            ),
            (
                "the other node says: no link: see the log of the node that was asked",
                "n3 refuses n1: it does not say why",
                "look at its log",
            ),
            (
                "the certificate of the other side comes from another authority: its cluster secret is another one",
                "n3 is there and gets no link: the certificate of the other side",
                "give both nodes the same --cluster-secret-file",
            ),
        ] {
            refusal.clone_into(&mut status.nodes[2].refusal);
            let problems = of(&status);
            assert_eq!((problems.len(), problems[0].since_ms), (1, Some(700)));
            assert!(problems[0].what.starts_with(what), "{problems:?}");
            assert!(problems[0].remedy.starts_with(remedy), "{problems:?}");
        }
        status.nodes[1].connected = false;
        assert!(of(&status)[0].remedy.ends_with("stands below"));
        status.phase = Phase::Forming {
            waiting_for: vec!["n3".into()],
        };
        assert!(whats(&status)[1].starts_with("n3 is there and gets no link"));
        let mut alone = super::tests::status(1);
        alone.refused =
            vec!["n2 is of generation 1, n1 of 2: the older one missed a recovery. Stop it".into()];
        let problem = &of(&alone)[0];
        assert!(
            problem.what.ends_with("n2 is of generation 1, n1 of 2"),
            "{problem:?}"
        );
        assert!(problem.remedy.starts_with("the older one missed"), "{problem:?}");
    }

    #[test]
    fn a_node_that_catches_up_says_with_whom() {
        let mut status = status(3);
        status.replica.serving = false;
        assert!(whats(&status)[0].starts_with("n1 does not serve yet: it takes in what leader n2 has"));
        status.phase = Phase::Forming {
            waiting_for: vec!["n2".into()],
        };
        assert_eq!(whats(&status), ["the cluster has not formed: n2 is missing"]);
    }
}
