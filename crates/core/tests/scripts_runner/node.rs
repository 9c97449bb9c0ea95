//! One node of a script: its process, its disk, and what waits at the door of a frozen process.

use std::collections::VecDeque;

use repligo_core::command::{self, Command};
use repligo_core::contract::{PeerId, ReadLevel, Ticket};
use repligo_core::op::{TransactionBuffer, Watched};
use repligo_core::origin::OriginEvent;
use repligo_core::replica::Replica;
use repligo_proto::resp::OwnedRequest;

use super::disk::{Disk, Done};

/// What a client asks.
#[derive(Clone, Debug)]
pub enum Body {
    /// One command.
    Command(OwnedRequest),
    /// WATCH; the versions are kept for the next block of this node.
    Watch(OwnedRequest),
    /// MULTI, these, EXEC.
    Block(Vec<OwnedRequest>),
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its number in the script.
    pub ticket: Ticket,
    /// Level of a read.
    pub level: ReadLevel,
    /// What is asked.
    pub body: Body,
}

/// What happens to a frozen process, to be noticed when it goes on.
#[derive(Debug)]
pub enum Missed {
    /// A client's request is in the socket.
    Ask(Ask),
    /// A stream broke.
    Lost(PeerId),
    /// A stream was built.
    Connected(PeerId),
    /// The origin answered.
    Origin(OriginEvent),
}

/// One node.
#[derive(Debug, Default)]
pub struct Node {
    /// The process, if it runs.
    pub replica: Option<Replica>,
    /// By how many milliseconds its wall clock is ahead.
    pub wall_ahead_ms: i64,
    /// How often it was started.
    pub incarnation: u64,
    /// Outlives the process.
    pub disk: Disk,
    /// Durable, and not reported to the process yet.
    pub done: VecDeque<Done>,
    /// The disk's reports are being given in.
    pub reporting: bool,
    /// Stopped by the system; time goes on without it.
    pub frozen: bool,
    /// In the order in which it happened.
    pub missed: Vec<Missed>,
    /// Term that the trace showed last.
    pub term: u64,
    /// What WATCH saw: (database 0, key, version).
    pub watched: Vec<(Vec<u8>, u64)>,
}

impl Node {
    /// True if the process goes on in another turn.
    pub fn has_work(&self) -> bool {
        !self.frozen && self.replica.as_ref().is_some_and(Replica::has_work)
    }

    /// True if it runs and is not frozen.
    pub fn acts(&self) -> bool {
        self.replica.is_some() && !self.frozen
    }

    /// Takes what WATCH saw into a block.
    pub fn block(&mut self, commands: &[OwnedRequest]) -> TransactionBuffer {
        let mut buffer = TransactionBuffer::default();
        for (key, version) in self.watched.drain(..) {
            buffer.watch(Watched {
                db: 0,
                key: &key,
                version,
            });
        }
        commands.iter().for_each(|request| buffer.push(&parsed(request)));
        buffer
    }

    /// Keeps the versions that WATCH answered, eight bytes each.
    pub fn keep_watched(&mut self, request: &OwnedRequest, versions: &[u8]) {
        let keys = request.view().skip(1);
        let versions = versions.chunks_exact(8);
        assert_eq!(keys.len(), versions.len(), "a version per key");
        for (key, version) in keys.iter().zip(versions) {
            let version = u64::from_le_bytes(version.try_into().expect("eight bytes"));
            self.watched.push((key.to_vec(), version));
        }
    }
}

/// The command of a request; the script was checked when it was read.
pub fn parsed(request: &OwnedRequest) -> Command<'_> {
    try_parse(request).expect("checked when the script was read")
}

/// The command of a request.
///
/// # Errors
/// What a client would be told.
pub fn try_parse(request: &OwnedRequest) -> Result<Command<'_>, String> {
    let arguments = request.view();
    let name = arguments.try_get(0).ok_or("a command is missing")?;
    let spec = repligo_proto::command::lookup(name).ok_or("no such command of Redis")?;
    command::parse(spec, 0, arguments).map_err(|error| format!("{error:?}"))
}
