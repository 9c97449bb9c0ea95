//! The events of the world: everything that can be scheduled on its one heap.

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::origin::{OriginEvent, OriginRequest};
use repligo_core::replica::MemberRequest;

use super::faults::Relief;
use super::members::Joiner;
use super::origin::Zombie;
use super::tenant::Step;

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// A node without a directory asks to be a member.
    Join(Joiner),
    /// An operator asks the leader for something.
    Ask(MemberRequest),
    /// An older copy takes the place of a node's disk, and the leader loses sight of everybody.
    RestoreCopy {
        /// Whose disk.
        node: PeerId,
        /// Who leads.
        leader: PeerId,
    },
    /// A process may have something to do.
    Run {
        /// Node.
        node: PeerId,
        /// Its life; the event is stale in another one.
        life: u32,
    },
    /// An I/O thread of a process has a turn.
    IoThread {
        /// Node.
        node: PeerId,
        /// Its life; the event is stale in another one.
        life: u32,
        /// Which of its threads.
        thread: usize,
    },
    /// A frame may have arrived.
    Deliver {
        /// Sender.
        from: PeerId,
        /// Receiver.
        to: PeerId,
        /// Stream.
        stream: u64,
    },
    /// An end learns of a fresh stream.
    StreamUp {
        /// Who learns.
        at: PeerId,
        /// The other end.
        peer: PeerId,
        /// Stream.
        stream: u64,
    },
    /// An end learns that a stream is gone.
    StreamDown {
        /// Who learns.
        at: PeerId,
        /// The other end.
        peer: PeerId,
        /// Stream.
        stream: u64,
    },
    /// An end without a stream tries whether anybody listens at the other.
    Probe {
        /// Who tries.
        at: PeerId,
        /// The other end.
        peer: PeerId,
    },
    /// An end is told that nobody listens at the other, whether that is so or not.
    Refuse {
        /// Who is told.
        at: PeerId,
        /// The other end.
        peer: PeerId,
    },
    /// The network gives up on a stream whose frames it cannot deliver.
    Patience {
        /// One end.
        one: PeerId,
        /// The other.
        other: PeerId,
        /// Stream.
        stream: u64,
    },
    /// A pair without a stream tries to get one.
    Dial {
        /// One end.
        one: PeerId,
        /// The other.
        other: PeerId,
    },
    /// The batch in flight on a disk is durable.
    DiskDone {
        /// Node.
        node: PeerId,
        /// Life of the process that asked.
        life: u32,
    },
    /// A stopped machine starts its process.
    Start {
        /// Node.
        node: PeerId,
    },
    /// A node asks the origin.
    OriginAsked {
        /// Node.
        node: PeerId,
        /// Life of its process.
        life: u32,
        /// What.
        request: OriginRequest,
    },
    /// A transaction reaches the origin; its answer may still be lost.
    OriginWork {
        /// Number of the transaction.
        id: u64,
    },
    /// The origin's answer reaches the node.
    OriginAnswer {
        /// Node.
        node: PeerId,
        /// Life of the process that asked.
        life: u32,
        /// What.
        event: OriginEvent,
    },
    /// A transaction that outlived its caller reaches the origin.
    OriginZombie(Box<Zombie>),
    /// The origin is back.
    OriginUp,
    /// Somebody who wants a backup looks how far it is.
    Backup,
    /// The other cluster that has the origin does something.
    Tenant(Step),
    /// A client thinks of something to ask.
    Think {
        /// Client.
        client: u32,
    },
    /// Bytes of a client reach a node.
    Requests {
        /// Node.
        node: PeerId,
        /// Client and serial number of its connection.
        connection: (u32, u64),
        /// They are the first that the connection sends.
        opens: bool,
        /// A piece of the bytes of its requests.
        bytes: Bytes,
    },
    /// A client hung up.
    Hangup {
        /// Node.
        node: PeerId,
        /// Client and serial number of its connection.
        connection: (u32, u64),
    },
    /// An answer reaches a client.
    Reply {
        /// Client and serial number of its connection.
        connection: (u32, u64),
        /// Encoded.
        bytes: Bytes,
    },
    /// A client learns that its connection is gone.
    Disconnected {
        /// Client and serial number of its connection.
        connection: (u32, u64),
    },
    /// A client asks for more without having been answered.
    FollowUp {
        /// Client and serial number of its connection.
        connection: (u32, u64),
    },
    /// A client runs out of patience.
    Timeout {
        /// Client and serial number of its connection.
        connection: (u32, u64),
    },
    /// The nemesis acts.
    Fault,
    /// A fault that was to last for a while ends.
    Relief(Relief),
    /// The second phase begins.
    Heal,
    /// Progress of the second phase is judged.
    Judge,
}
