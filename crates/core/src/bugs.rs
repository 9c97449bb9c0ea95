//! Planted bugs: known ways to get a replica wrong, compiled in only with the feature `bugs`, one at a
//! time, to prove that the simulator finds them. A build without the feature has none of them.

#[cfg(feature = "bugs")]
thread_local! {
    static IN_FORCE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Messages leave and entries count as durable before the disk has them.
    AckBeforeDurability,
    /// A new leader serves at once, before an entry of its own term is committed: the votes count as
    /// its first lease round.
    MissingNoop,
    /// The lease needs no confirmation of a quorum.
    LeaseWithoutQuorum,
    /// A new leader does not wait until older leases must have lapsed.
    NoLeaseWait,
    /// A leader answers by its own clock that a key has expired, without a word in the log.
    ExpiryByLocalClock,
    /// Copies of a forwarded batch are applied again.
    ForwardWithoutDeduplication,
    /// Linearizable reads are served before everything committed is applied.
    ReadBehindCommit,
    /// Reads are served while an entry is partly applied.
    ReadBetweenSlices,
    /// A follower that is short of memory evicts by its own choice.
    EvictLocally,
    /// A time to live is a tenth of what was asked for.
    TenthOfTheLifetime,
    /// A node leads although its wall clock is outvoted.
    OutvotedClockLeads,
    /// What a learner has stored counts as if a voter had.
    LearnerCounts,
    /// The number of a member that was removed is given to the next one.
    ReuseNumber,
    /// A node whose directory may have forgotten something goes on as the voter that it was.
    ForgetfulVoter,
    /// When one member replaces another, the new configuration decides alone from the first moment on.
    OneMajorityInJoint,
    /// A learner votes before it has caught up.
    PromoteAtOnce,
    /// A lease counts from when its round was confirmed, not from when it was sent.
    LeaseFromConfirmation,
    /// A new leader tells what is committed while it waits for older leases to lapse.
    CommitShownInWait,
    /// A leader that hands over says that it has no lease any more, and keeps it.
    LeaseKeptInHandover,
    /// A vote leaves before it is durable.
    VoteBeforeDurability,
    /// A leader whose disk is stalled goes on to lead.
    StalledDiskLeads,
    /// When the disk is full, writes that have been proposed already are refused like new ones.
    RefusedThoughProposed,
    /// A client whose time is up is told so before the leader knows that it waits no more.
    PopAfterNil,
    /// A new leader is not told of the clients that wait.
    WaiterForgottenAtChange,
    /// A large collection that changes under a snapshot is not kept as it was.
    SnapshotWithoutImage,
    /// A snapshot leaves the last part of a large collection out.
    SnapshotLosesLastPart,
    /// What an element of a large collection replaces stays in its digest.
    ReplacedStaysInDigest,
    /// Others write between two slices of a read of a collection.
    WritesIntoLongRead,
    /// SPOP draws from what is this node's own.
    PopByLocalDraw,
    /// The element at which a slice ends is skipped by the next one.
    SliceSkipsElement,
    /// ZADD GT takes a lower score, too.
    GreaterTakesLower,
    /// Ids of streams and times of delivery follow from the clock of each node.
    IdByOwnClock,
    /// A group of consumers forgets which entry it gave out last.
    GivenOutTwice,
    /// What was let through where it arrived is executed, whatever its user has lost since.
    RightsJudgedOnArrival,
    /// A snapshot leaves the users out.
    SnapshotWithoutUsers,
    /// Whoever takes a snapshot in forgets at which level users read.
    ProfileForgottenInSnapshot,
    /// A snapshot leaves out the deadlines of fields.
    FieldDeadlineLost,
    /// A confirmation counts from when its answer came, not from when it was asked for.
    ProbeTimeAtAnswer,
    /// Bounded reads are served before the confirmed index is applied.
    BoundedWithoutApply,
    /// Session reads are served before the entry of their token is applied.
    SessionWithoutApply,
    /// A token of an earlier generation is taken like one of this.
    TokenIgnoresGeneration,
    /// A token leaves out the entry that is being applied, of which clients have been answered already.
    TokenBehindAnswers,
    /// Copies of rows stay when another cluster has had their database.
    CopiesOutliveClaim,
}

impl Bug {
    /// All of them with their names for the command line.
    pub const ALL: [(&'static str, Self); 43] = [
        ("ack-before-durability", Self::AckBeforeDurability),
        ("missing-noop", Self::MissingNoop),
        ("lease-without-quorum", Self::LeaseWithoutQuorum),
        ("no-lease-wait", Self::NoLeaseWait),
        ("expiry-by-local-clock", Self::ExpiryByLocalClock),
        ("forward-without-deduplication", Self::ForwardWithoutDeduplication),
        ("read-behind-commit", Self::ReadBehindCommit),
        ("read-between-slices", Self::ReadBetweenSlices),
        ("evict-locally", Self::EvictLocally),
        ("tenth-of-the-lifetime", Self::TenthOfTheLifetime),
        ("outvoted-clock-leads", Self::OutvotedClockLeads),
        ("learner-counts", Self::LearnerCounts),
        ("reuse-number", Self::ReuseNumber),
        ("forgetful-voter", Self::ForgetfulVoter),
        ("one-majority-in-joint", Self::OneMajorityInJoint),
        ("promote-at-once", Self::PromoteAtOnce),
        ("lease-from-confirmation", Self::LeaseFromConfirmation),
        ("commit-shown-in-wait", Self::CommitShownInWait),
        ("lease-kept-in-handover", Self::LeaseKeptInHandover),
        ("vote-before-durability", Self::VoteBeforeDurability),
        ("stalled-disk-leads", Self::StalledDiskLeads),
        ("refused-though-proposed", Self::RefusedThoughProposed),
        ("pop-after-nil", Self::PopAfterNil),
        ("waiter-forgotten-at-change", Self::WaiterForgottenAtChange),
        ("snapshot-without-image", Self::SnapshotWithoutImage),
        ("snapshot-loses-last-part", Self::SnapshotLosesLastPart),
        ("replaced-stays-in-digest", Self::ReplacedStaysInDigest),
        ("writes-into-long-read", Self::WritesIntoLongRead),
        ("pop-by-local-draw", Self::PopByLocalDraw),
        ("slice-skips-element", Self::SliceSkipsElement),
        ("greater-takes-lower", Self::GreaterTakesLower),
        ("id-by-own-clock", Self::IdByOwnClock),
        ("given-out-twice", Self::GivenOutTwice),
        ("rights-judged-on-arrival", Self::RightsJudgedOnArrival),
        ("snapshot-without-users", Self::SnapshotWithoutUsers),
        ("profile-forgotten-in-snapshot", Self::ProfileForgottenInSnapshot),
        ("field-deadline-lost-in-snapshot", Self::FieldDeadlineLost),
        ("probe-time-at-answer", Self::ProbeTimeAtAnswer),
        ("bounded-without-apply", Self::BoundedWithoutApply),
        ("session-without-apply", Self::SessionWithoutApply),
        ("session-token-ignores-generation", Self::TokenIgnoresGeneration),
        ("session-token-behind-answers", Self::TokenBehindAnswers),
        ("copies-outlive-claim", Self::CopiesOutliveClaim),
    ];

    /// Puts a bug in force, or none, for all that this thread does: for places that know of no replica.
    #[cfg(feature = "bugs")]
    pub fn set_in_force(bug: Option<Self>) {
        IN_FORCE.set(bug);
    }

    /// True if this thread has it in force.
    #[cfg(feature = "bugs")]
    pub fn is_in_force(self) -> bool {
        IN_FORCE.get() == Some(self)
    }

    /// Never, in a build without planted bugs.
    #[cfg(not(feature = "bugs"))]
    #[inline(always)]
    pub const fn is_in_force(self) -> bool {
        false
    }
}
