//! Links to the other nodes: one TCP connection per pair, so one ordered stream per direction.
//!
//! The node with the lower number dials. A link is torn down on any gap: a broken frame, a full queue, a
//! foreign identity. What was in flight is then lost, and the core hears of it.
//!
//! Invariants: messages of the core leave only on an open link, in order; a link is open only after both
//! ends have said on it that they are formed in the same cluster.

use std::time::Instant;

use bytes::Bytes;
use repligo_core::codec::Malformed;
use repligo_core::contract::{Identity, PeerId, Role, Status};
use repligo_core::forming::FormingState;
use repligo_core::limits::INCARNATION_LEAP_MAX;
use repligo_core::time::Now;
use repligo_proto::frame::{self, HEADER_BYTES, Header, Kind};
use tokio::sync::mpsc;

use super::hello::Hello;
use super::link_log::LinkLog;
use super::outgoing::Outgoing;
use super::peer_stream::PeerStream;
use super::refusals::Refusals;
use super::report;
use super::socket::Socket;
use crate::telemetry::{Metrics, PeerStatus};

mod members;
mod published;
mod refused;

/// Ticks between two reports of the own status to the others.
const REPORT_TICKS: u64 = 8;
/// A run whose stream was open for so many ticks has lasted.
const PROVEN_TICKS: u64 = 200;
/// A report older than this says nothing of the present.
const REPORT_FRESH_MS: u64 = 1000;

/// One peer.
#[derive(Debug)]
pub struct Link {
    /// Its number.
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// Where it listens for nodes.
    pub address: String,
    /// Run of its process on the present stream, or on the last one; while there is a stream, earlier runs are ghosts.
    pub incarnation: u64,
    /// Highest run that has lasted: earlier ones are ghosts for good. One that only greeted proves nothing, and must
    /// not keep the real node out.
    proven: u64,
    /// Tick at which the present stream was attached.
    since_tick: u64,
    /// The stream, if there is one and its task does not hold it.
    socket: Option<Socket>,
    /// Epoch of the present stream, 0 for none.
    epoch: u64,
    hello_due: bool,
    /// The core was told that the peer is connected.
    open: bool,
    report: PeerStatus,
    heard_us: u64,
    /// Why there is no stream.
    refusals: Refusals,
    /// When this node learned of it.
    known_since: Instant,
    /// The core has refused what came last over the present stream.
    implausible: Option<&'static str>,
    /// Tick at which the last stream ended.
    lost_tick: u64,
    /// As far as this node knows.
    is_member: bool,
}

/// Links to all other nodes, and what this node says of itself on them.
#[derive(Debug)]
pub struct Links {
    links: Vec<Link>,
    hello: Hello,
    identity: Identity,
    own_address: String,
    next_epoch: u64,
    ticks: u64,
    /// Role, term, leader and health as the others were last told.
    told: (Role, u64, PeerId, bool),
    /// The last message of the core and its frame's header, which is the same for every peer.
    framed: Option<(Bytes, [u8; HEADER_BYTES])>,
    /// Why nodes were refused that have greeted and are no members, by their number.
    refused: Vec<(PeerId, Refusals)>,
    /// Why those were refused that did not say who they are.
    strangers: Refusals,
    /// What may be logged about links.
    pub log: LinkLog,
    dialler: Option<mpsc::UnboundedSender<PeerId>>,
    /// This node is a member without a vote.
    is_learner: bool,
}

impl Links {
    /// No streams yet. `peers` are the other nodes: number, name, address.
    pub fn new(
        hello: Hello,
        identity: Identity,
        own_address: String,
        peers: impl Iterator<Item = (PeerId, String, String)>,
    ) -> Self {
        Self {
            links: peers
                .map(|(peer, name, address)| Link::new(peer, name, address))
                .collect(),
            dialler: None,
            is_learner: false,
            hello,
            identity,
            own_address,
            next_epoch: 1,
            ticks: 0,
            told: Default::default(),
            framed: None,
            refused: Vec::new(),
            strangers: Refusals::of_strangers(),
            log: LinkLog::default(),
        }
    }

    /// The number of this node.
    pub fn own_peer(&self) -> PeerId {
        self.identity.peer
    }

    /// What this node says of itself now.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Who this node is on its frames.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where clients reach this node, once it listens.
    pub fn set_client_address(&mut self, address: String) {
        self.hello.client_address = address;
    }

    /// The cluster has formed, or was formed already.
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = identity;
        self.framed = None;
    }

    /// The own forming state has changed (and is durable): every peer is told.
    pub fn set_forming(&mut self, state: FormingState) {
        self.hello.forming = state;
        for link in &mut self.links {
            link.hello_due = true;
        }
    }

    /// There are no other nodes.
    pub fn is_alone(&self) -> bool {
        self.links.is_empty()
    }

    /// The other nodes.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }

    fn link(&mut self, peer: PeerId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.peer == peer)
    }

    /// The name of a node, `?` if it is not known.
    pub fn name(&self, peer: PeerId) -> &str {
        let link = self.links.iter().find(|link| link.peer == peer);
        link.map_or("?", |link| link.name.as_str())
    }

    /// Replication flows over the stream to a node.
    pub fn is_open(&self, peer: PeerId) -> bool {
        self.links.iter().any(|link| link.peer == peer && link.open)
    }

    /// Where a node serves clients, as it said last.
    pub fn client_address(&self, peer: PeerId) -> String {
        let link = self.links.iter().find(|link| link.peer == peer);
        link.map_or_else(String::new, |link| link.report.client_address.clone())
    }

    /// Where this node listens for others; empty on a single node.
    pub fn own_address(&self) -> &str {
        &self.own_address
    }

    /// A frame header of this node.
    pub fn header(&self, kind: Kind) -> Header {
        Header {
            cluster_id: self.identity.cluster_id,
            generation: self.identity.generation,
            peer: self.identity.peer,
            incarnation: self.identity.incarnation,
            kind,
        }
    }

    /// A stream has passed the handshake; `told` is the forming state that this node said in it. The epoch
    /// names the stream; an earlier one to the same peer ends.
    ///
    /// # Errors
    /// A process that has been replaced by a later run still talks.
    pub fn attach(
        &mut self,
        stream: PeerStream,
        header: &Header,
        theirs: &Hello,
        told: FormingState,
    ) -> Result<u64, String> {
        let epoch = self.next_epoch;
        self.next_epoch += 1;
        let (forming, ticks) = (self.hello.forming, self.ticks);
        self.admit(header.peer, &theirs.name);
        let Some(link) = self.link(header.peer) else {
            return Err(format!("there is no node number {}", header.peer));
        };
        if link.name != theirs.name {
            return Err(format!(
                "{} says that it is number {}, which is {}",
                theirs.name, link.peer, link.name
            ));
        }
        let floor = if link.is_attached() {
            link.incarnation
        } else {
            link.proven
        };
        if header.incarnation < floor {
            return Err(format!(
                "a process of {} that was replaced by a later one still talks",
                link.name
            ));
        }
        if floor > 0 && header.incarnation - floor > INCARNATION_LEAP_MAX {
            return Err(format!(
                "{} says that it was started {} times since it was here last",
                link.name,
                header.incarnation - floor
            ));
        }
        link.incarnation = header.incarnation;
        link.since_tick = ticks;
        link.implausible = None;
        link.refusals.clear();
        link.hello_due = told != forming;
        link.report.client_address.clone_from(&theirs.client_address);
        link.end();
        link.socket = Some(Socket {
            epoch,
            incarnation: header.incarnation,
            theirs: theirs.forming,
            open: false,
            stream,
            read_bytes: 0,
            input: Vec::new(),
            out: Outgoing::default(),
            broken: false,
            waker: None,
        });
        link.epoch = epoch;
        Ok(epoch)
    }

    /// Takes the stream out for its task; `None` if another one has taken its place.
    pub fn take(&mut self, peer: PeerId, epoch: u64) -> Option<Socket> {
        let link = self.link(peer)?;
        if link.epoch != epoch {
            return None;
        }
        link.socket.take()
    }

    /// The reverse of [`Self::take`].
    pub fn put_back(&mut self, peer: PeerId, socket: Socket) {
        if let Some(link) = self.link(peer)
            && link.epoch == socket.epoch
        {
            link.socket = Some(socket);
        }
    }

    /// The stream is over; false if another one had already taken its place.
    pub fn detach(&mut self, peer: PeerId, epoch: u64) -> bool {
        let ticks = self.ticks;
        match self.link(peer) {
            Some(link) if link.epoch == epoch => {
                link.socket = None;
                link.epoch = 0;
                link.lost_tick = ticks;
                true
            }
            _ => false,
        }
    }

    /// Notes that replication flows over the present stream to a peer.
    pub fn mark_open(&mut self, peer: PeerId) {
        if let Some(link) = self.link(peer) {
            link.open = true;
        }
    }

    /// Notes that it does not any more; false if it did not.
    pub fn close(&mut self, peer: PeerId) -> bool {
        self.link(peer).is_some_and(|link| std::mem::take(&mut link.open))
    }

    /// Sends changed greetings, and names the links that are open from now on.
    pub fn open_ready(&mut self) -> Vec<PeerId> {
        let header = self.header(Kind::HELLO);
        let mut opened = Vec::new();
        for link in &mut self.links {
            let Some(socket) = &mut link.socket else { continue };
            if std::mem::take(&mut link.hello_due) {
                socket.out.push(&header, &self.hello.encode());
            }
            if !socket.open && may_open(self.hello.forming, socket.theirs) {
                socket.open = true;
                opened.push(link.peer);
            }
        }
        opened
    }

    /// Whether a stream that its task holds may be opened now: the own greeting of the same state has left.
    pub fn may_open(&mut self, peer: PeerId, theirs: FormingState) -> bool {
        let forming = self.hello.forming;
        self.link(peer).is_some_and(|link| !link.hello_due) && may_open(forming, theirs)
    }

    /// Queues a message of the core; dropped while the link is not open, since the core knows.
    pub fn send(&mut self, to: PeerId, message: &Bytes) {
        let framed = match &self.framed {
            Some((last, header)) if last.as_ptr() == message.as_ptr() && last.len() == message.len() => {
                *header
            }
            _ => frame::encode_header(&self.header(Kind::CORE), message),
        };
        self.framed = Some((message.clone(), framed));
        if let Some(socket) = self.link(to).and_then(|link| link.socket.as_mut())
            && socket.open
        {
            socket.out.push_framed(&framed, message);
        }
    }

    /// Sends what is queued, as far as the sockets take it; once per turn.
    pub fn flush(&mut self, metrics: &Metrics) {
        self.framed = None;
        for link in &mut self.links {
            if let Some(socket) = &mut link.socket
                && !socket.out.is_empty()
            {
                socket.flush(metrics);
                if socket.broken || !socket.is_sent() {
                    socket.wake();
                }
            }
        }
    }

    /// The regular tick: from time to time, time to report; runs that have lasted are believed.
    pub fn tick(&mut self, _now: Now) {
        self.ticks += 1;
        for link in &mut self.links {
            if link.open && link.is_attached() && self.ticks - link.since_tick >= PROVEN_TICKS {
                link.proven = link.proven.max(link.incarnation);
            }
        }
    }

    /// The own row of the cluster's status; reported to the others every few ticks, and when it changes who
    /// leads or serves, so that nobody takes a new leader for a missing one.
    pub fn announce(&mut self, _now: Now, status: &Status, ready: bool, client_address: &str) -> PeerStatus {
        let own = PeerStatus {
            peer: self.identity.peer,
            name: self.hello.name.clone(),
            peer_address: self.own_address.clone(),
            client_address: client_address.to_owned(),
            connected: true,
            is_learner: self.is_learner,
            role: status.role,
            term: status.term,
            leader: status.leader,
            applied_index: status.applied_index,
            commit_index: status.commit_index,
            digest: status.digest,
            healthy: ready,
            lag_ms: 0,
            queued_bytes: 0,
            ..PeerStatus::default()
        };
        let tell = (own.role, own.term, own.leader, own.healthy);
        if std::mem::replace(&mut self.told, tell) != tell || self.ticks.is_multiple_of(REPORT_TICKS) {
            let header = self.header(Kind::STATUS_REPLY);
            let payload = report::encode(&own);
            for socket in self.links.iter_mut().filter_map(|link| link.socket.as_mut()) {
                if socket.open {
                    socket.out.push(&header, &payload);
                }
            }
        }
        own
    }

    /// A peer's report of its status.
    ///
    /// # Errors
    /// If the payload is none.
    pub fn take_report(&mut self, now: Now, peer: PeerId, payload: &[u8]) -> Result<(), Malformed> {
        let Some(link) = self.link(peer) else {
            return Ok(());
        };
        report::decode(payload, &mut link.report)?;
        link.heard_us = now.mono_us;
        Ok(())
    }

    /// Every node by number, with the own row given.
    pub fn nodes(&self, now: Now, own: PeerStatus) -> Vec<PeerStatus> {
        let members = self.links.iter().filter(|link| link.is_member);
        let mut nodes: Vec<PeerStatus> = members.map(|link| link.describe(now)).collect();
        nodes.push(own);
        nodes.sort_by_key(|node| node.peer);
        nodes
    }

    /// The core has refused what a peer said.
    pub fn refuse(&mut self, peer: PeerId, reason: &'static str) {
        if let Some(link) = self.link(peer) {
            link.implausible = Some(reason);
        }
    }

    /// Whether it has since the last call.
    pub fn take_implausible(&mut self, peer: PeerId) -> Option<&'static str> {
        self.link(peer)?.implausible.take()
    }

    /// Bytes that wait to be sent to anybody.
    pub fn queued_bytes(&self) -> usize {
        let sockets = self.links.iter().filter_map(|link| link.socket.as_ref());
        sockets.map(|socket| socket.out.len()).sum()
    }
}

fn may_open(own: FormingState, theirs: FormingState) -> bool {
    matches!((own, theirs), (FormingState::Formed(a), FormingState::Formed(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_open_only_between_nodes_of_one_cluster() {
        use FormingState::{Empty, Formed, Prepared};
        assert!(may_open(Formed(1), Formed(1)));
        for (own, theirs) in [
            (Formed(1), Formed(2)),
            (Formed(1), Prepared(1)),
            (Empty, Empty),
            (Empty, Formed(1)),
        ] {
            assert!(!may_open(own, theirs));
        }
    }
}
