//! What one session subscribes to.

use std::collections::BTreeSet;

use bytes::Bytes;
use repligo_core::acl::User;

use crate::Session;
use crate::subscriptions::{Kind, NAME_OVERHEAD_BYTES, NAMES_BYTES_MAX, SUBSCRIPTIONS_MAX, Subscriptions};

/// Names to which a session listens, by [`Kind`].
#[derive(Debug, Default)]
pub struct Subscriber {
    names: [BTreeSet<Bytes>; 3],
    bytes: usize,
}

impl Subscriber {
    /// Names of this kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    fn total(&self) -> usize {
        self.names.iter().map(BTreeSet::len).sum()
    }

    /// What it takes, with its places in the [`Subscriptions`] of the host.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes + NAME_OVERHEAD_BYTES * self.total()
    }

    /// Whether a user may listen to all of it.
    fn is_allowed_by(&self, user: &User) -> bool {
        Kind::ALL.iter().all(|kind| {
            let mut names = self.names[*kind as usize].iter();
            names.all(|name| user.allows_channel(name, *kind == Kind::Pattern))
        })
    }
}

impl Session {
    /// Names of this kind to which it listens.
    pub fn subscription_count(&self, kind: Kind) -> usize {
        self.subscriber
            .as_ref()
            .map_or(0, |subscriber| subscriber.count(kind))
    }

    /// Whether it listens to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscriber.is_some()
    }

    /// Whether it may listen to so many more names, of so many bytes in all.
    pub(crate) fn has_room_for(&self, count: usize, bytes: usize) -> bool {
        let (names, held) = match &self.subscriber {
            Some(subscriber) => (subscriber.total(), subscriber.bytes),
            None => (0, 0),
        };
        names + count <= SUBSCRIPTIONS_MAX && held + bytes <= NAMES_BYTES_MAX
    }

    /// Listens to a name from now on.
    pub(crate) fn listen(&mut self, all: &mut Subscriptions, kind: Kind, name: &[u8]) {
        let subscriber = self.subscriber.get_or_insert_default();
        let names = &mut subscriber.names[kind as usize];
        if !names.contains(name) {
            let name = Bytes::copy_from_slice(name);
            all.add(kind, &name, self.slot);
            subscriber.bytes += name.len();
            names.insert(name);
            self.update_free();
        }
    }

    /// Listens to it no more.
    pub(crate) fn ignore(&mut self, all: &mut Subscriptions, kind: Kind, name: &[u8]) {
        let Some(subscriber) = &mut self.subscriber else {
            return;
        };
        if let Some(name) = subscriber.names[kind as usize].take(name) {
            all.remove(kind, &name, self.slot);
            subscriber.bytes -= name.len();
        }
        if subscriber.total() == 0 {
            self.subscriber = None;
            self.update_free();
        }
    }

    /// One of the names of this kind to which it listens.
    pub(crate) fn last_name(&self, kind: Kind) -> Option<Bytes> {
        self.subscriber.as_ref()?.names[kind as usize].last().cloned()
    }

    /// Listens to nothing and tracks nothing any more. Whoever ends a session owes this to the [`Subscriptions`] of its
    /// host.
    pub fn leave(&mut self, all: &mut Subscriptions) {
        self.untrack(all.tracking_mut());
        let Some(subscriber) = self.subscriber.take() else {
            return;
        };
        for kind in Kind::ALL {
            for name in &subscriber.names[kind as usize] {
                all.remove(kind, name, self.slot);
            }
        }
        self.update_free();
    }

    /// Whether its user may still listen to all that it listens to.
    pub(crate) fn may_listen(&self, user: &User) -> bool {
        self.subscriber
            .as_ref()
            .is_none_or(|subscriber| user.is_unrestricted() || subscriber.is_allowed_by(user))
    }
}
