//! What clients publish and subscribe to, for the other nodes. It shares the links of replication and must not stand
//! in its way.

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_proto::frame::{self, Kind};

use super::{Link, Links};

/// With more than this on the way to a node, it gets no further messages until there is less: a heartbeat would
/// stand behind them.
const QUEUED_BYTES_MAX: usize = 8 << 20;

impl Links {
    /// Queues a frame for every other node with a link. Returns those that do not get it because too much is on its
    /// way to them.
    pub fn publish(&mut self, kind: Kind, payload: &Bytes) -> Vec<PeerId> {
        let header = frame::encode_header(&self.header(kind), payload);
        let open = self.links.iter_mut().filter(|link| link.open);
        open.filter_map(|link| (!link.queue(&header, payload)).then_some(link.peer))
            .collect()
    }

    /// Queues a frame for one node; false if too much is on its way to it, or its link is not open.
    pub fn publish_to(&mut self, peer: PeerId, kind: Kind, payload: &Bytes) -> bool {
        let header = frame::encode_header(&self.header(kind), payload);
        self.link(peer)
            .is_some_and(|link| link.open && link.queue(&header, payload))
    }
}

impl Link {
    fn queue(&mut self, header: &[u8; frame::HEADER_BYTES], payload: &Bytes) -> bool {
        let socket = self.socket.as_mut().filter(|socket| socket.open);
        let Some(socket) = socket.filter(|socket| socket.out.len() <= QUEUED_BYTES_MAX) else {
            return false;
        };
        socket.out.push_framed(header, payload);
        true
    }
}
