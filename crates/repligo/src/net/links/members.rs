//! Links follow the membership: one to every other member, and room for a node that this one does not know yet, or
//! that was removed and is to be told so.

use std::time::Instant;

use repligo_core::contract::{Identity, PeerId};
use repligo_core::limits::{MEMBERS_MAX, NUMBER_MAX};
use repligo_core::membership::{MemberRole, Membership};
use repligo_core::time::Now;
use tokio::sync::mpsc;

use super::{Link, Links, REPORT_FRESH_MS};
use crate::net::refusals::Refusals;
use crate::telemetry::PeerStatus;

/// A node with a lower number is dialled too when it has not come for so many ticks: it may not know the address.
const DIAL_ANYWAY_TICKS: u64 = 80;
/// Links to nodes that are not members as far as this node knows.
const STRANGERS_MAX: usize = 4;

impl Link {
    /// Whether there is a stream, open or not.
    pub fn is_attached(&self) -> bool {
        self.epoch != 0
    }

    pub(super) fn describe(&self, now: Now) -> PeerStatus {
        let age_ms = now.mono_us.saturating_sub(self.heard_us) / 1000;
        let connected = self.epoch != 0;
        PeerStatus {
            connected,
            healthy: connected && self.report.healthy && age_ms <= REPORT_FRESH_MS,
            lag_ms: if self.heard_us == 0 { 0 } else { age_ms },
            queued_bytes: self.socket.as_ref().map_or(0, |socket| socket.out.len() as u64),
            known_ms: self.known_since.elapsed().as_millis() as u64,
            refusal: match self.refusals.present(Instant::now()) {
                Some(text) if !connected => text.to_owned(),
                _ => String::new(),
            },
            ..self.report.clone()
        }
    }

    pub(super) fn new(peer: PeerId, name: String, address: String) -> Self {
        Self {
            peer,
            incarnation: 0,
            proven: 0,
            since_tick: 0,
            socket: None,
            epoch: 0,
            hello_due: false,
            open: false,
            report: PeerStatus {
                peer,
                name: name.clone(),
                peer_address: address.clone(),
                ..PeerStatus::default()
            },
            heard_us: 0,
            refusals: Refusals::of_node(),
            known_since: Instant::now(),
            implausible: None,
            lost_tick: 0,
            is_member: true,
            name,
            address,
        }
    }

    /// Ends the stream, if there is one.
    pub(super) fn end(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.broken = true;
            if let Some(waker) = &socket.waker {
                waker.wake_by_ref();
            }
        }
    }
}

impl Links {
    /// Where new peers are told that are to be dialled.
    pub fn set_dialler(&mut self, dialler: mpsc::UnboundedSender<PeerId>) {
        self.dialler = Some(dialler);
    }

    /// This node is a new member: streams that it had under another number end.
    pub fn become_member(&mut self, identity: Identity) {
        self.set_identity(identity);
        self.links.iter_mut().for_each(Link::end);
        self.links.clear();
    }

    /// The members are these. `line` has addresses that an operator has given, which are later than what the
    /// membership says.
    pub fn adopt(&mut self, membership: &Membership, line: &[(String, String)]) {
        let own = self.identity.peer;
        let is_learner = |peer| {
            membership
                .get(peer)
                .is_some_and(|member| member.role == MemberRole::Learner)
        };
        self.is_learner = is_learner(own);
        for (peer, member) in membership.iter().filter(|(peer, _)| *peer != own) {
            let given = line.iter().find(|(name, _)| *name == member.name);
            let address = given.map_or(&member.address, |(_, address)| address).clone();
            match self.link(peer) {
                Some(link) => {
                    link.name.clone_from(&member.name);
                    link.report.name.clone_from(&member.name);
                    link.report.peer_address.clone_from(&address);
                    link.address = address;
                    link.is_member = true;
                }
                None => {
                    let mut link = Link::new(peer, member.name.clone(), address);
                    link.lost_tick = self.ticks;
                    self.links.push(link);
                    self.dial(peer);
                }
            }
        }
        for link in &mut self.links {
            link.is_member = membership.get(link.peer).is_some();
            link.report.is_learner = is_learner(link.peer);
        }
        self.links.retain(|link| link.is_member || link.is_attached());
    }

    fn dial(&self, peer: PeerId) {
        if let Some(dialler) = &self.dialler {
            // The task that listens ends with the process.
            let _ = dialler.send(peer);
        }
    }

    /// Where a member is to be dialled, and whether now; `None` if it is none any more.
    pub fn to_dial(&self, peer: PeerId) -> Option<(String, bool)> {
        let link = self
            .links
            .iter()
            .find(|link| link.peer == peer && link.is_member)?;
        // A node that came back without its data has the address of the member that it replaces. To greet that one
        // there would end the good stream to its successor.
        let is_succeeded = self
            .links
            .iter()
            .any(|other| other.peer > peer && other.address == link.address && other.is_attached())
            || link.address == self.own_address;
        let waited = self.ticks.saturating_sub(link.lost_tick) >= DIAL_ANYWAY_TICKS;
        let due = !link.is_attached() && !is_succeeded && (peer > self.identity.peer || waited);
        Some((link.address.clone(), due && !link.address.is_empty()))
    }

    /// Where a member listens for nodes, if it is known and there is no stream to it.
    pub fn address_without_stream(&self, peer: PeerId) -> Option<String> {
        let link = self.links.iter().find(|link| link.peer == peer)?;
        let is_sought = link.is_member && !link.is_attached() && !link.address.is_empty();
        is_sought.then(|| link.address.clone())
    }

    /// Makes room for a node that has greeted and is not known here: it may be a member already, or one no more.
    pub(super) fn admit(&mut self, peer: PeerId, name: &str) {
        let strangers = self.links.iter().filter(|link| !link.is_member).count();
        let known = self.links.iter().any(|link| link.peer == peer);
        let fits = strangers < STRANGERS_MAX && self.links.len() < 2 * MEMBERS_MAX;
        if !known && fits && (1..=NUMBER_MAX).contains(&peer) && peer != self.identity.peer {
            let mut link = Link::new(peer, name.to_owned(), String::new());
            link.is_member = false;
            self.links.push(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use repligo_core::forming::FormingState;

    use super::super::Hello;
    use super::*;

    fn links_of_1() -> Links {
        let hello = Hello {
            feature_level: 1,
            name: "n1".to_owned(),
            client_address: String::new(),
            voters: Vec::new(),
            origin_fingerprint: 0,
            forming: FormingState::Formed(7),
        };
        let identity = Identity {
            cluster_id: 7,
            generation: 1,
            peer: 1,
            incarnation: 1,
        };
        let at = |peer, port: u16| (peer, "n3".to_owned(), format!("h:{port}"));
        Links::new(
            hello,
            identity,
            "h:1".to_owned(),
            [at(3, 3), at(5, 3)].into_iter(),
        )
    }

    #[test]
    fn a_member_is_not_dialled_where_its_successor_has_answered() {
        let mut links = links_of_1();
        assert!(links.to_dial(3).is_some_and(|(_, due)| due));
        // The node came back without its data, and is on its way to replace what it was.
        links.link(5).expect("it is known").epoch = 1;
        assert!(links.to_dial(3).is_some_and(|(_, due)| !due));
        links.link(5).expect("it is known").epoch = 0;
        links.link(3).expect("it is known").epoch = 1;
        assert!(
            links.to_dial(5).is_some_and(|(_, due)| due),
            "the successor is dialled"
        );
    }

    #[test]
    fn a_node_does_not_dial_itself_under_its_former_number() {
        let mut links = links_of_1();
        links.link(3).expect("it is known").address = "h:1".to_owned();
        assert!(links.to_dial(3).is_some_and(|(_, due)| !due));
    }
}
