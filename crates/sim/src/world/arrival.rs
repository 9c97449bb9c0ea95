//! What the kernel has received for a process and the process has not looked at yet.

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::origin::OriginEvent;

use super::disk::Done;
use super::network::Frame;
use super::process::Reported;

/// Something that has arrived at a process.
#[derive(Debug)]
pub enum Arrival {
    /// A frame on a stream.
    Frame {
        /// Sender.
        from: PeerId,
        /// The stream; frames of an older one than the current are dropped.
        stream: u64,
        /// What it is.
        frame: Frame,
    },
    /// A fresh stream.
    StreamUp {
        /// The other end.
        peer: PeerId,
        /// Its number.
        stream: u64,
    },
    /// A stream is gone.
    StreamDown {
        /// The other end.
        peer: PeerId,
        /// Its number.
        stream: u64,
    },
    /// Nobody listens where a peer did.
    Refused {
        /// The peer.
        peer: PeerId,
    },
    /// The disk reports.
    Disk(Done),
    /// The origin answers.
    Origin(OriginEvent),
    /// A client sends bytes of requests, or opens its connection with them.
    Requests {
        /// Client and serial number of its connection.
        connection: (u32, u64),
        /// They are the first that the connection sends.
        opens: bool,
        /// A piece of the bytes of its requests.
        bytes: Bytes,
    },
    /// A client closed its connection.
    Closed((u32, u64)),
    /// An I/O thread reports of a connection.
    Io(Reported),
}

impl Arrival {
    /// A number per kind, for the trace.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Frame { .. } => 1,
            Self::StreamUp { .. } => 2,
            Self::StreamDown { .. } => 3,
            Self::Disk(_) => 4,
            Self::Origin(_) => 5,
            Self::Requests { .. } => 6,
            Self::Closed(_) => 7,
            Self::Refused { .. } => 8,
            Self::Io(_) => 9,
        }
    }
}
