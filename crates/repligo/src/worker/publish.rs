//! Messages between clients: from the sessions that publish them to the other nodes and to the subscribers here; and
//! what those here are told of what is done to keys.

use bytes::Bytes;
use repligo_core::contract::PeerId;
use repligo_core::replica::Replica;
use repligo_proto::frame::Kind;
use repligo_session::Session;
use repligo_session::replies::BufferPool;
use repligo_session::subscriptions::Sessions;
use repligo_session::table::Connections;

use super::Worker;
use super::connection::Connection;

/// The connections of a worker, each of which is flushed after the turn if it is reached.
struct Reached<'a> {
    connections: &'a mut Connections<Connection>,
    pool: &'a mut BufferPool,
    flush: &'a mut Vec<u32>,
}

impl Sessions for Reached<'_> {
    fn reach(&mut self, slot: u32) -> Option<(&mut Session, &mut BufferPool)> {
        let connection = self.connections.get_mut(slot)?;
        if !std::mem::replace(&mut connection.io.flush_due, true) {
            self.flush.push(slot);
        }
        Some((&mut connection.session, self.pool))
    }
}

impl Worker {
    /// Tells clients here of what was done to keys since the last turn, if that is wanted: those that may have cached
    /// them, and subscribers.
    #[inline]
    pub(super) fn post_events(&mut self) {
        if self.observes {
            self.take_events();
        }
    }

    #[cold]
    fn take_events(&mut self) {
        let classes = self.parameters.events();
        let groups = self.replica().map(Replica::take_changes).unwrap_or_default();
        if classes.tells() {
            for group in &groups {
                group.for_each_event(&mut |event| self.subscriptions.notify(classes, event));
            }
        }
        if self.subscriptions.tracking().is_used() {
            let mut reached = Reached {
                connections: &mut self.connections,
                pool: &mut self.pool,
                flush: &mut self.flush,
            };
            let tracking = self.subscriptions.tracking_mut();
            tracking.tell(&groups, &mut reached);
        } else if !classes.tells() {
            self.follow_events();
        }
    }

    /// The classes of events may have changed, or whether some client tracks what it has cached.
    pub(super) fn follow_events(&mut self) {
        let classes = self.parameters.events();
        let tracks = self.subscriptions.tracking().is_used();
        self.observes = classes.tells() || tracks;
        if let Some(replica) = self.replica() {
            replica.observe(classes, tracks);
        }
    }

    /// Hands over what was published since the last turn, and tells other nodes; while no session runs.
    #[inline]
    pub(super) fn deliver_posts(&mut self) {
        if self.subscriptions.has_news() || !self.untold.is_empty() {
            self.deliver();
        }
        if self.watching.has_lines() {
            self.deliver_lines();
        }
    }

    #[cold]
    fn deliver(&mut self) {
        self.tell_subscriptions();
        let is_alone = self.links.is_alone();
        for frame in (!is_alone)
            .then(|| self.subscriptions.take_frames())
            .into_iter()
            .flatten()
        {
            let missed = self.links.publish(Kind::PUBLISHED, &frame).len();
            self.shared.metrics.published_missed.add(missed as u64);
        }
        let unsent_bytes_max = self.parameters.subscriber_output().hard_bytes;
        let mut reached = Reached {
            connections: &mut self.connections,
            pool: &mut self.pool,
            flush: &mut self.flush,
        };
        self.subscriptions.deliver(&mut reached, unsent_bytes_max);
    }

    /// Tells the other nodes whose listeners have changed, and everything those that do not know it.
    fn tell_subscriptions(&mut self) {
        let links = &mut self.links;
        for frame in self.subscriptions.take_changes() {
            self.untold.extend(links.publish(Kind::SUBSCRIBED, &frame));
        }
        self.untold.retain(|peer| links.is_open(*peer));
        if self.untold.is_empty() {
            return;
        }
        let frames = self.subscriptions.everything();
        let mut tell = |peer: &PeerId| {
            let mut frames = frames.iter();
            frames.all(|frame| links.publish_to(*peer, Kind::SUBSCRIBED, frame))
        };
        self.untold.retain(|peer| !tell(peer));
    }

    /// Takes in what clients of another node subscribe to.
    ///
    /// # Errors
    /// If no correct node sends this.
    pub(super) fn take_subscribed(&mut self, peer: PeerId, payload: &[u8]) -> Result<(), String> {
        let taken = self.subscriptions.hear(peer, payload);
        taken.map_err(|error| format!("subscriptions cannot be read: {error}"))
    }

    /// Takes in what clients of another node have published.
    ///
    /// # Errors
    /// If no correct node sends this.
    pub(super) fn take_published(&mut self, payload: &[u8]) -> Result<(), String> {
        let taken = self.subscriptions.receive(&Bytes::copy_from_slice(payload));
        self.turn.request();
        taken.map_err(|error| format!("published messages cannot be read: {error}"))
    }

    /// Unsent bytes above which this session's client is disconnected.
    #[inline]
    pub(super) fn unsent_bytes_max(&self, session: &Session) -> usize {
        if session.hears_others() {
            self.parameters.subscriber_output().hard_bytes
        } else {
            self.parameters.output_bytes_max()
        }
    }
}
