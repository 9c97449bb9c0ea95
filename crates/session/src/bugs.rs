//! Planted bugs: known ways to get a session wrong, compiled in only with the feature `bugs`, one at a time, to
//! prove that the simulator finds them. A build without the feature has none of them.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A read rides although a write before it was given in in an earlier turn.
    RideBehindEarlierTurn,
    /// A read is served from the state before the connection's own unanswered writes.
    ReadOvertakesWrite,
    /// A connection in a slot that was used before counts its requests from the start.
    SequenceNotContinued,
    /// WATCH takes versions before the connection's own earlier writes.
    WatchBeforeWrites,
    /// EXEC forgets what is watched.
    ExecForgetsWatch,
    /// A message leaves before replies that are known and wait for an earlier one.
    MessageOvertakesReply,
    /// What follows a change of the users in its pipeline is judged before that is in force.
    ChangeHoldsNothingBack,
    /// Clients are told that a key has changed when the write is given in, and not when it is applied.
    InvalidationBeforeApply,
    /// READONLY goes below the floor of its user.
    ReadOnlyBelowFloor,
    /// A connection forgets its token with its first read, which does not wait for it.
    TokenForgottenOnRead,
    /// A change that is told while a read of its key is unanswered is not told again behind the answer.
    ChangeToldOnce,
    /// What arrives from an I/O thread is executed before what has arrived earlier and was kept.
    ArrivalOvertakesInbox,
    /// What an I/O thread reports of a connection counts for whoever has its slot now.
    AddressWithoutClient,
    /// A batch that was carried out goes back unemptied, and is handed over again.
    BatchHandedOverTwice,
    /// A socket changes its thread while bytes were read that the session has not taken.
    MovesWithUntaken,
}

#[cfg(feature = "bugs")]
thread_local! {
    static IN_FORCE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

impl Bug {
    /// All of them with their names for the command line.
    pub const ALL: [(&'static str, Self); 15] = [
        ("ride-behind-earlier-turn", Self::RideBehindEarlierTurn),
        ("read-overtakes-write", Self::ReadOvertakesWrite),
        ("sequence-not-continued", Self::SequenceNotContinued),
        ("watch-before-writes", Self::WatchBeforeWrites),
        ("exec-forgets-watch", Self::ExecForgetsWatch),
        ("message-overtakes-reply", Self::MessageOvertakesReply),
        ("change-holds-nothing-back", Self::ChangeHoldsNothingBack),
        ("invalidation-before-apply", Self::InvalidationBeforeApply),
        ("readonly-below-floor", Self::ReadOnlyBelowFloor),
        ("session-token-forgotten-on-read", Self::TokenForgottenOnRead),
        ("change-told-once", Self::ChangeToldOnce),
        ("arrival-overtakes-inbox", Self::ArrivalOvertakesInbox),
        ("address-without-client", Self::AddressWithoutClient),
        ("batch-handed-over-twice", Self::BatchHandedOverTwice),
        ("moves-with-untaken", Self::MovesWithUntaken),
    ];

    /// Puts a bug in force, or none, for all that this thread does: for places that know of no session.
    #[cfg(feature = "bugs")]
    pub fn set_in_force(bug: Option<Self>) {
        IN_FORCE.set(bug);
    }

    /// True if this thread has it in force.
    #[cfg(feature = "bugs")]
    pub fn is_in_force(self) -> bool {
        IN_FORCE.get() == Some(self)
    }
}
