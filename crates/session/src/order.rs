//! What a connection may submit behind its unanswered requests, so that they take effect in the order
//! in which the client sent them.
//!
//! The replica applies writes of a node in the order in which they were given in, and lets a read ride
//! behind writes of the same turn. A read that does not ride is executed at some later time of its own:
//! behind it, only further reads of the same turn may go in, since they are executed together: if all of them are
//! linearizable. A read at a weaker level needs no question, or an earlier one, and would be executed first, with an
//! older state than the one before it has shown, or than WATCH takes its versions from. It goes in behind no other
//! read, and nothing behind it. A request on
//! keys with an origin may have to wait for a row first, and starts over then: nothing goes in behind a
//! delete of that kind, and only further reads of its turn behind a read. Each of these is executed when it has its
//! rows, so that a pipeline of them waits for the database once; a later one may see an earlier state than one that
//! had to wait. Plain stores to an origin keep their order in their lane.

use repligo_core::command::Command;
use repligo_core::contract::{Body, ReadLevel};
use repligo_core::origin::OriginMap;

/// Kinds of requests, as far as order is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A write, or a block, on keys without an origin.
    Write,
    /// A write that stores rows of an origin.
    Store,
    /// A write to an origin that may have to load rows first.
    Delete,
    /// A read on keys without an origin.
    Read,
    /// A read on keys with an origin, or one that must not ride.
    LoneRead,
    /// A [`Kind::Read`] at a level below linearizable.
    WeakRead,
    /// A [`Kind::LoneRead`] at such a level.
    LoneWeakRead,
}

impl Kind {
    /// What a request is, where these keys have an origin; a read is taken to be linearizable.
    #[inline]
    pub fn of(body: &Body<'_>, origin: &OriginMap) -> Self {
        match body {
            Body::Command(command) | Body::Long(command, _) => Self::of_command(command, origin),
            // A block holds no key with an origin.
            Body::Transaction { .. } => Self::Write,
            // Its session lets nothing follow.
            Body::Users(_) => Self::Write,
        }
    }

    /// The same request at this level.
    #[inline]
    pub fn at(self, level: ReadLevel) -> Self {
        match self {
            Self::Read if level != ReadLevel::Linearizable => Self::WeakRead,
            Self::LoneRead if level != ReadLevel::Linearizable => Self::LoneWeakRead,
            kind => kind,
        }
    }

    /// As [`Kind::of`], for one command; a read is taken to be linearizable.
    #[inline]
    pub fn of_command(command: &Command<'_>, origin: &OriginMap) -> Self {
        match (command.is_write(), is_mapped(command, origin)) {
            (true, false) => Self::Write,
            (true, true) if matches!(command, Command::Del { .. }) => Self::Delete,
            (true, true) if matches!(command, Command::Invalidate { .. }) => Self::Write,
            (true, true) => Self::Store,
            (false, false) => Self::Read,
            (false, true) => Self::LoneRead,
        }
    }
}

#[inline]
fn is_mapped(command: &Command<'_>, origin: &OriginMap) -> bool {
    if origin.is_empty() {
        return false;
    }
    let mut mapped = false;
    origin.for_each_mapped(command, |_, _| mapped = true);
    mapped
}

/// What is unanswered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unanswered {
    /// Nothing.
    #[default]
    Nothing,
    /// Writes and reads that ride behind them.
    Writes {
        /// Turn of the oldest.
        since_turn: u64,
        /// One of them waits for an origin.
        origin: bool,
    },
    /// Linearizable reads that do not ride, all of one turn.
    Reads {
        /// That turn.
        turn: u64,
    },
    /// Something that nothing may follow.
    Alone,
}

impl Unanswered {
    /// Whether a request may be given in now, and if so, whether it rides.
    #[inline]
    pub fn admits(self, kind: Kind, turn: u64) -> Option<bool> {
        match (self, kind) {
            (Self::Nothing, _) => Some(false),
            (Self::Writes { .. }, Kind::Write | Kind::Store | Kind::Delete) => Some(false),
            (Self::Writes { since_turn, origin }, Kind::Read | Kind::WeakRead) => {
                (since_turn == turn && !origin).then_some(true)
            }
            (Self::Reads { turn: of }, Kind::Read | Kind::LoneRead) => (of == turn).then_some(false),
            (Self::Writes { .. }, Kind::LoneRead | Kind::LoneWeakRead)
            | (Self::Reads { .. }, _)
            | (Self::Alone, _) => None,
        }
    }

    /// The request was given in.
    #[inline]
    pub fn given(&mut self, kind: Kind, turn: u64) {
        *self = match (*self, kind) {
            (_, Kind::Delete) => Self::Alone,
            (Self::Writes { since_turn, origin }, Kind::Write | Kind::Read | Kind::WeakRead) => {
                Self::Writes { since_turn, origin }
            }
            (Self::Writes { since_turn, .. }, Kind::Store) => Self::Writes {
                since_turn,
                origin: true,
            },
            (_, Kind::Write) => Self::Writes {
                since_turn: turn,
                origin: false,
            },
            (_, Kind::Store) => Self::Writes {
                since_turn: turn,
                origin: true,
            },
            (_, Kind::Read | Kind::LoneRead) => Self::Reads { turn },
            (_, Kind::WeakRead | Kind::LoneWeakRead) => Self::Alone,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(kinds: &[(Kind, u64)]) -> Unanswered {
        let mut unanswered = Unanswered::default();
        for &(kind, turn) in kinds {
            assert!(
                unanswered.admits(kind, turn).is_some(),
                "{kind:?} in turn {turn} behind {unanswered:?}"
            );
            unanswered.given(kind, turn);
        }
        unanswered
    }

    #[test]
    fn reads_ride_behind_plain_writes_of_their_turn_only() {
        assert_eq!(
            after(&[(Kind::Write, 1), (Kind::Write, 1)]).admits(Kind::Read, 1),
            Some(true)
        );
        assert_eq!(
            after(&[(Kind::Write, 1), (Kind::Write, 2)]).admits(Kind::Read, 2),
            None
        );
        assert_eq!(
            after(&[(Kind::Store, 1), (Kind::Write, 1)]).admits(Kind::Read, 1),
            None
        );
        assert_eq!(after(&[(Kind::Write, 1)]).admits(Kind::LoneRead, 1), None);
    }

    #[test]
    fn nothing_overtakes_a_read_that_does_not_ride() {
        assert_eq!(after(&[(Kind::Read, 1)]).admits(Kind::Write, 1), None);
        assert_eq!(after(&[(Kind::Read, 1)]).admits(Kind::Read, 1), Some(false));
        assert_eq!(after(&[(Kind::Read, 1)]).admits(Kind::Read, 2), None);
        assert_eq!(after(&[(Kind::LoneRead, 1)]).admits(Kind::Store, 1), None);
    }

    #[test]
    fn a_weaker_read_goes_in_behind_no_other_read_and_nothing_behind_it() {
        let weak = Kind::Read.at(ReadLevel::Eventual);
        assert_eq!(
            (weak, Kind::Write.at(ReadLevel::Eventual)),
            (Kind::WeakRead, Kind::Write)
        );
        for before in [Kind::Read, Kind::LoneRead, weak, Kind::LoneWeakRead] {
            for behind in [weak, Kind::LoneWeakRead] {
                assert_eq!(
                    after(&[(before, 1)]).admits(behind, 1),
                    None,
                    "{behind:?} behind {before:?}"
                );
            }
        }
        for behind in [Kind::Read, Kind::LoneRead, Kind::Write] {
            assert_eq!(after(&[(weak, 1)]).admits(behind, 1), None);
        }
        // Behind writes of its turn it rides as any other.
        assert_eq!(after(&[(Kind::Write, 1)]).admits(weak, 1), Some(true));
        assert_eq!(
            after(&[(Kind::Write, 1), (weak, 1)]).admits(Kind::Read, 1),
            Some(true)
        );
        assert_eq!(after(&[(Kind::Write, 1)]).admits(Kind::LoneWeakRead, 1), None);
    }

    #[test]
    fn stores_follow_each_other_and_nothing_follows_a_delete() {
        assert_eq!(
            after(&[(Kind::Store, 1), (Kind::Store, 2)]).admits(Kind::Write, 3),
            Some(false)
        );
        assert_eq!(
            after(&[(Kind::Store, 1), (Kind::Delete, 1)]).admits(Kind::Store, 1),
            None
        );
    }
}
