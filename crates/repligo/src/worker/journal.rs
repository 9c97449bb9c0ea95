//! What a node writes into its log of its own life: what it waits for, roles. Nodes are told by
//! their names; numbers are for the wire.

use repligo_core::contract::{Event, PeerId, Role};
use repligo_core::limits::FORWARD_HOLD_US;
use repligo_core::membership::{Member, MemberRole, Membership};
use repligo_core::time::Now;

use super::Worker;
use crate::telemetry::Phase;

/// What a node still waits for is told again after this, microseconds.
const REMIND_US: u64 = 10_000_000;

/// What was last told of waiting for other nodes.
#[derive(Debug, Default)]
pub(super) struct WaitingTold {
    at_us: u64,
    text: String,
}

/// What a member is for.
pub(super) fn role_of(member: &Member) -> &'static str {
    match member.role {
        MemberRole::Voter if member.leaving => "leaving",
        MemberRole::Voter => "voter",
        MemberRole::Learner => "learner",
    }
}

/// All members and what they are for.
pub(super) fn shown(membership: &Membership) -> String {
    let members = membership.iter();
    let shown: Vec<String> = members
        .map(|(_, member)| format!("{} ({})", member.name, role_of(member)))
        .collect();
    shown.join(", ")
}

impl Worker {
    /// The name of a node of the cluster.
    pub fn node_name(&self, peer: PeerId) -> &str {
        match peer {
            0 => "none",
            own if own == self.links.own_peer() => &self.facts.name,
            other => self.links.name(other),
        }
    }

    /// Tells an operator what the core has to tell, and counts it.
    pub(super) fn note_event(&mut self, event: &Event) {
        match event {
            Event::Role { role, term, leader } => self.note_role(*role, *term, *leader),
            Event::Serving { term } => {
                tracing::info!(term, "serving");
                self.heal_addresses = true;
            }
            Event::LeaderGone { leader } => {
                let leader = self.node_name(*leader);
                tracing::info!(%leader, "nobody listens where the leader did, a majority has found: asking for votes");
            }
            Event::SnapshotInstalled { index } => tracing::info!(index, "snapshot of the leader installed"),
            Event::Membership => self.membership_changed(),
            Event::Removed => self.removed(),
            Event::Warning(text) => tracing::warn!("{text}"),
            // Told when the stream is torn down.
            Event::PeerImplausible { peer, reason } => self.links.refuse(*peer, reason),
        }
    }

    fn note_role(&mut self, role: Role, term: u64, leader: PeerId) {
        let word = match role {
            Role::Leader => "leader",
            Role::Candidate => "candidate",
            Role::Follower => "follower",
        };
        let leader = (leader != 0).then(|| tracing::field::display(self.node_name(leader)));
        tracing::info!(role = %word, term, leader, "role changed");
        let metrics = &self.shared.metrics;
        metrics.elections.add(u64::from(term != self.last_term));
        let leads_now = role == Role::Leader && self.last_role != Role::Leader;
        metrics.leader_changes.add(u64::from(leads_now));
        self.last_term = term;
        self.last_role = role;
    }

    /// Tells for which nodes this one waits, at every change and from time to time.
    pub(super) fn tell_waiting(&mut self, now: Now) {
        let text = match &self.phase {
            Phase::Forming { waiting_for } => {
                let waiting = match waiting_for.as_slice() {
                    [] => "all nodes are here, waiting for them to agree".to_owned(),
                    names => format!("waiting for {}", self.with_addresses(names)),
                };
                format!("forming a new cluster: {waiting}; {}", self.connected())
            }
            Phase::Running if self.lacks_leader(now) => format!(
                "no leader, requests are refused after {} ms: a majority of the nodes must be up; {}",
                FORWARD_HOLD_US / 1000,
                self.connected()
            ),
            _ => {
                self.waiting_told = WaitingTold::default();
                return;
            }
        };
        let told = &mut self.waiting_told;
        if told.text != text || now.mono_us.saturating_sub(told.at_us) >= REMIND_US {
            tracing::info!("{text}");
            told.at_us = now.mono_us;
            told.text = text;
        }
    }

    /// For longer than any request is held.
    fn lacks_leader(&self, now: Now) -> bool {
        let since_us = self.served_us.unwrap_or(self.facts.started_us);
        now.mono_us.saturating_sub(since_us) >= FORWARD_HOLD_US
    }

    fn with_addresses(&self, names: &[String]) -> String {
        let links = self.links.iter().filter(|link| names.contains(&link.name));
        let shown: Vec<String> = links
            .map(|link| format!("{} ({})", link.name, link.address))
            .collect();
        shown.join(", ")
    }

    fn connected(&self) -> String {
        let links = self.links.iter().filter(|link| link.is_attached());
        let names: Vec<&str> = links.map(|link| link.name.as_str()).collect();
        match names.as_slice() {
            [] => "no other node is connected".to_owned(),
            names => format!("connected: {}", names.join(", ")),
        }
    }
}
