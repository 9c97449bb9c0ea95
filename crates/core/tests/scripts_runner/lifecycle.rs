//! What happens to nodes and to the streams between them, and what the others notice of it.

use std::sync::Arc;

use repligo_core::contract::{
    Durability, HashSeed, Identity, Input, PeerId, Settings as ReplicaSettings, Ticket,
};
use repligo_core::membership::Membership;
use repligo_core::replica::Replica;

use super::node::Missed;
use super::origin::map;
use super::world::World;

impl World {
    /// Starts processes on what their disks hold.
    pub fn restart(&mut self, peers: &[PeerId]) {
        for &peer in peers {
            let replica = self.new_replica(peer);
            let found = self.nodes[&peer].disk.show();
            let node = self.node(peer);
            node.replica = Some(replica);
            self.say(format_args!("n{peer} starts with {found}"));
        }
        for &peer in peers {
            for other in self.peers() {
                let both_new = peers.contains(&other) && other < peer;
                if other != peer && !both_new && !self.network.is_cut(peer, other) {
                    self.tell_connected(peer, other);
                }
            }
        }
        self.settle();
    }

    fn new_replica(&mut self, peer: PeerId) -> Replica {
        let shape = self.shape.expect("booted");
        let now = self.now_at(peer);
        let node = self.node(peer);
        node.incarnation += 1;
        let settings = ReplicaSettings {
            identity: Identity {
                cluster_id: 7,
                generation: 1,
                peer,
                incarnation: node.incarnation,
            },
            membership: Membership::of_count(shape.nodes),
            durability: Durability::Fsync,
            seed: peer,
            hash_seed: HashSeed::from_number(7),
            origin: Arc::new(map(shape.with_origin)),
            log_bytes_max: shape.log_bytes_max,
        };
        let replica = Replica::new(settings, node.disk.boot(), now);
        node.term = replica.status(now).term;
        self.plant(replica)
    }

    #[cfg(feature = "bugs")]
    fn plant(&self, mut replica: Replica) -> Replica {
        if let Some(bug) = self.settings.planted {
            replica.plant(bug);
        }
        replica
    }

    #[cfg(not(feature = "bugs"))]
    fn plant(&self, replica: Replica) -> Replica {
        let super::Settings {} = self.settings;
        replica
    }

    /// Ends processes at one moment; with the power, what is not synced ends with them.
    pub fn stop(&mut self, peers: &[PeerId], power_loss: bool) {
        for &peer in peers {
            let dying: Vec<Ticket> = self
                .open
                .extract_if(.., |_, open| open.peer == peer)
                .map(|(ticket, _)| ticket)
                .collect();
            for ticket in dying {
                self.say(format_args!(
                    "no reply {ticket}, its client sees the end of n{peer}"
                ));
            }
            let node = self.node(peer);
            node.replica = None;
            node.frozen = false;
            node.missed.clear();
            node.watched.clear();
            if power_loss {
                node.disk.on_power_loss();
            } else {
                node.disk.on_kill();
            }
        }
        for &peer in peers {
            for other in self.peers() {
                if other != peer && !self.network.is_cut(peer, other) {
                    let lost = self.network.drop_between(peer, other);
                    self.say_lost(lost);
                    self.tell_lost(other, peer);
                }
            }
        }
        self.settle();
    }

    /// A frozen process goes on: first it reads what its clients sent, then the rest.
    pub fn thaw(&mut self, peer: PeerId) {
        let node = self.node(peer);
        node.frozen = false;
        let missed = std::mem::take(&mut node.missed);
        let (asks, rest): (Vec<_>, Vec<_>) =
            missed.into_iter().partition(|one| matches!(one, Missed::Ask(_)));
        for one in asks.into_iter().chain(rest) {
            match one {
                Missed::Ask(ask) => self.give_in(peer, &ask),
                Missed::Lost(other) => self.step(peer, Input::PeerLost { peer: other }),
                Missed::Connected(other) => self.step(peer, Input::PeerConnected { peer: other }),
                Missed::Origin(event) => self.step(peer, Input::Origin(event)),
            }
        }
        self.settle();
    }

    /// A leader that is to end gives its leadership away first.
    pub fn hand_over(&mut self, peer: PeerId) {
        let replica = self.node(peer).replica.as_mut().expect("checked by the caller");
        let nothing = replica.prepare_shutdown();
        assert!(!nothing, "n{peer} has nothing to hand over");
        self.step(peer, Input::Turn);
        self.settle();
    }

    /// Breaks the streams between two nodes; both notice.
    pub fn cut(&mut self, a: PeerId, b: PeerId) {
        let lost = self.network.cut(a, b);
        self.say_lost(lost);
        if self.nodes[&a].replica.is_some() && self.nodes[&b].replica.is_some() {
            self.tell_lost(a, b);
            self.tell_lost(b, a);
        }
    }

    /// A node learns that nobody listens where another one did.
    pub fn refuse(&mut self, at: PeerId, peer: PeerId) {
        self.step(at, Input::PeerRefused { peer });
        self.settle();
    }

    /// Builds the streams between two nodes anew.
    pub fn connect(&mut self, a: PeerId, b: PeerId) {
        self.network.mend(a, b);
        self.tell_connected(a, b);
    }

    fn tell_connected(&mut self, a: PeerId, b: PeerId) {
        if self.nodes[&a].replica.is_none() || self.nodes[&b].replica.is_none() {
            return;
        }
        for (at, peer) in [(a, b), (b, a)] {
            if self.nodes[&at].frozen {
                self.node(at).missed.push(Missed::Connected(peer));
            } else {
                self.step(at, Input::PeerConnected { peer });
            }
        }
    }

    fn tell_lost(&mut self, at: PeerId, peer: PeerId) {
        if self.nodes[&at].frozen {
            self.node(at).missed.push(Missed::Lost(peer));
        } else {
            self.step(at, Input::PeerLost { peer });
        }
    }
}
