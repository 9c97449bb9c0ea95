//! The driver's part of the membership: asking for it, answering those who ask, keeping links and directory to it.

use repligo_core::contract::{Identity, Input, PeerId};
use repligo_core::forming::FormingState;
use repligo_core::membership::Refusal;
use repligo_core::replica::MemberRequest;
use repligo_core::time::Now;
use serde_json::json;

use super::NodeError;
use super::Worker;
use crate::disk::Admission;
use crate::net::hello::FEATURE_LEVEL;
use crate::net::join::{self, JoinAnswer, JoinRequest};
use crate::telemetry::problems::is_heard;

impl Worker {
    /// The members, or what they are for, have changed.
    pub(super) fn membership_changed(&mut self) {
        let Some(replica) = &self.replica else { return };
        let membership = replica.membership().clone();
        tracing::info!(
            index = membership.index(),
            "members: {}",
            super::journal::shown(&membership)
        );
        self.links.adopt(&membership, &self.line);
        if let Some(disk) = &self.drivers.disk {
            disk.keep_members(membership);
        }
        self.heal_addresses = true;
    }

    /// This node is no member any more.
    pub(super) fn removed(&mut self) {
        self.verdict = Some(Err(NodeError::Removed));
    }

    /// The leader puts addresses into the log that its own cluster line has and the members do not, one at a time.
    pub(super) fn heal_addresses(&mut self, now: Now) {
        if !std::mem::take(&mut self.heal_addresses) {
            return;
        }
        let Some(replica) = &mut self.replica else { return };
        let membership = replica.membership().clone();
        let is_old = |(name, address): &&(String, String)| {
            let known = membership.named(name);
            known.is_some_and(|(_, member)| member.address != *address)
        };
        let Some((name, address)) = self.line.iter().find(is_old).cloned() else {
            return;
        };
        match replica.change_members(now, &MemberRequest::Move { name, address }) {
            Ok(()) => self.step(now, Input::Tick),
            // Whoever leads does it, and a change in progress ends with another event.
            Err(_) => self.heal_addresses = replica.membership().is_joint(),
        }
    }

    /// Carries out what an operator asks.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn change_members(&mut self, now: Now, request: &MemberRequest) -> Result<(), Refusal> {
        let Some(replica) = &mut self.replica else {
            return Err(Refusal::NotServing);
        };
        replica.change_members(now, request)?;
        self.step(now, Input::Tick);
        Ok(())
    }

    /// The members as JSON, and who leads.
    pub fn members_json(&self, now: Now) -> String {
        let Some(replica) = &self.replica else {
            return json!({ "leader": "", "members": [] }).to_string();
        };
        let status = replica.status(now);
        let membership = replica.membership();
        let (pending, own) = (membership.pending(), self.links.own_peer());
        let nodes = self.nodes();
        let is_silent = |number| {
            let mut others = nodes.iter().filter(|node| node.peer != own);
            others.any(|node| node.peer == number && node.connected && !is_heard(node))
        };
        let members: Vec<serde_json::Value> = membership
            .iter()
            .map(|(number, member)| {
                let matched = status.followers.iter().find(|follower| follower.0 == number);
                let is_pending = pending.filter(|pending| pending.number == number);
                let replaced = is_pending.and_then(|pending| membership.get(pending.replaces?));
                json!({
                    "name": member.name,
                    "number": number,
                    "role": super::journal::role_of(member),
                    "address": member.address,
                    "connected": number == own || self.links.is_open(number),
                    "silent": is_silent(number),
                    "leads": number == status.leader,
                    "replaces": replaced.map(|member| member.name.clone()),
                    "matched_index": matched.map(|follower| follower.1),
                })
            })
            .collect();
        json!({
            "leader": self.node_name(status.leader),
            "leader_client_address": self.client_address_of(status.leader),
            "index": membership.index(),
            "commit_index": status.commit_index,
            "members": members,
        })
        .to_string()
    }

    /// Where clients reach a node, as far as it is known.
    pub fn client_address_of(&self, peer: PeerId) -> String {
        if peer == self.links.own_peer() {
            return self.facts.client_address.clone();
        }
        self.links.client_address(peer)
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self, now: Now) -> PeerId {
        self.replica
            .as_ref()
            .map_or(0, |replica| replica.status(now).leader)
    }

    /// What this node says when it wants to join; `None` when it is part of a cluster.
    pub fn join_request(&self) -> Option<JoinRequest> {
        let formation = self.formation.as_ref()?;
        let waits = formation.state() == FormingState::Empty;
        waits.then(|| JoinRequest {
            feature_level: FEATURE_LEVEL,
            name: self.facts.name.clone(),
            address: self.links.own_address().to_owned(),
            key: formation.key(),
            origin_fingerprint: self.facts.origin.fingerprint(),
        })
    }

    /// Answers a node that wants to be a member.
    pub fn answer_join(&mut self, now: Now, request: &JoinRequest) -> JoinAnswer {
        let Some(replica) = &mut self.replica else {
            return JoinAnswer::Wait("the node that was asked is not part of a cluster yet".to_owned());
        };
        if let Some(text) = join::refuse(request, self.facts.origin.fingerprint()) {
            return JoinAnswer::Wait(text);
        }
        let identity = self.identity;
        if let Some((peer, member)) = replica.membership().of_key(request.key) {
            if member.name != request.name {
                return JoinAnswer::Wait(format!(
                    "its data directory is that of member {}: start it with that name, or with an empty directory",
                    member.name
                ));
            }
            // One that was started again elsewhere tells its address first, so that the others find it.
            if member.address == request.address {
                return JoinAnswer::Admitted(Admission {
                    cluster_id: identity.cluster_id,
                    generation: identity.generation,
                    peer,
                    membership: replica.membership().clone(),
                });
            }
        }
        let asked = MemberRequest::Join {
            name: request.name.clone(),
            address: request.address.clone(),
            key: request.key,
        };
        match replica.change_members(now, &asked) {
            Ok(()) => {
                self.step(now, Input::Tick);
                JoinAnswer::Wait("the leader adds this node to the members".to_owned())
            }
            Err(Refusal::NotLeader) => {
                let leader = replica.status(now).leader;
                let leader = replica.membership().get(leader);
                match leader.map(|leader| leader.address.clone()) {
                    Some(address) if !address.is_empty() => JoinAnswer::Ask(address),
                    _ => JoinAnswer::Wait("there is no leader now".to_owned()),
                }
            }
            Err(refusal) => JoinAnswer::Wait(refusal.explain()),
        }
    }

    /// The cluster has made this node a member: its directory becomes that member's, and it runs.
    pub fn admitted(&mut self, admission: &Admission) {
        let Some(mut formation) = self.formation.take() else {
            return;
        };
        if formation.state() != FormingState::Empty {
            self.formation = Some(formation);
            return;
        }
        if let Err(error) = formation.become_member(admission) {
            self.verdict = Some(Err(error));
            return;
        }
        let identity = Identity {
            cluster_id: admission.cluster_id,
            ..formation.identity()
        };
        tracing::info!(number = admission.peer, "admitted to the cluster as a new member");
        self.links.become_member(identity);
        self.links.set_forming(FormingState::Formed(admission.cluster_id));
        self.links.adopt(&admission.membership, &self.line);
        if let Err(error) = formation.finish(self, admission.cluster_id) {
            self.verdict = Some(Err(error));
        }
    }
}
