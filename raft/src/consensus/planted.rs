//! Bugs that can be planted, to show that the simulator finds them.
//!
//! Without the feature `planted-bugs`, which no release build has, [`is_planted`] is a constant `false` and every hook
//! vanishes. With it, one bug at a time is chosen at run time.

macro_rules! bugs {
    ($($(#[doc = $text:literal])+ $name:ident,)+) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[doc = $text])+ $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns true if it is planted in the async driver: the simulator of the core never runs that, and its
            /// own simulation hunts the bug.
            #[must_use]
            pub const fn is_of_driver(self) -> bool {
                matches!(
                    self,
                    Self::AcknowledgesBeforeForgotten | Self::ResentAfterLostSession
                )
            }
        }
    };
}

bugs! {
    /// A vote leaves before it is durable (§3.8).
    VoteBeforeSync,
    /// The vote is persisted by a later write than its term.
    VoteWrittenApart,
    /// A second vote is given in the same term.
    VoteTwice,
    /// A vote is given to a candidate with an older log (§3.6.1).
    VoteForOldLog,
    /// Logs are compared by index before term.
    IndexBeforeTerm,
    /// An entry of an earlier term is committed by counting (§3.6.2, figure 3.7).
    CommitOldTerm,
    /// Every append cuts the log, also one that matches.
    TruncateAlways,
    /// The term of the entry before the new ones is not compared.
    NoPreviousTerm,
    /// A follower takes the leader's commit index beyond what it knows to match.
    CommitPastMatch,
    /// Half of an even number of voters is taken for a majority.
    HalfIsMajority,
    /// Learners count for commitment.
    LearnerCounts,
    /// Entries are acknowledged before they are durable.
    AcknowledgeBeforeSync,
    /// The leader counts its own entries before they are durable.
    LeaderBeforeSync,
    /// An acknowledgement given to an earlier term's leader counts.
    StaleAcknowledgement,
    /// What was sent is taken for what was acknowledged.
    MatchWhatWasSent,
    /// A configuration is in force only when it is committed.
    ConfigurationWhenCommitted,
    /// A change is begun while another is uncommitted.
    TwoChanges,
    /// A change is begun before the leader has committed an entry of its term.
    ChangeBeforeCommit,
    /// A truncated configuration stays in force.
    ConfigurationNotRolledBack,
    /// A snapshot that is installed leaves the configuration as it was.
    InstallKeepsConfiguration,
    /// A snapshot carries the newest configuration and not that of its end.
    SnapshotOfNewestConfiguration,
    /// A snapshot is labelled with the commit index and not with what was applied.
    SnapshotLabelledWithCommit,
    /// A snapshot takes the place of a newer state.
    OlderSnapshotInstalled,
    /// A leader grants reads without asking a quorum.
    ReadWithoutQuorum,
    /// A leader grants reads before it has committed an entry of its term.
    ReadBeforeCommit,
    /// An answer to an earlier round confirms a read.
    ReadByOlderRound,
    /// A read is granted because a quorum was heard lately, whatever the clocks do.
    ReadByLease,
    /// A lease lasts longer than the promises that it rests on.
    LeaseWithoutBound,
    /// A leader that has told another server to campaign goes on reading by lease.
    LeaseSurvivesTransfer,
    /// A follower counts the age of its state from when its leader's word came.
    AgeFromArrival,
    /// A proposal is refused and appended nevertheless.
    RefusedAndAppended,
    /// Entries are handed to the state machine twice after a restart.
    AppliedTwice,
    /// Entries are handed to the state machine before they are durable here.
    ApplyBeforeSync,
    /// The next index of a follower whose log differs never goes back (liveness).
    NeverBacksOff,
    /// What was lost is never sent again (liveness).
    NeverResends,
    /// A transfer of a snapshot begins again with each answer (liveness).
    SnapshotRestarts,
    /// A peer is never sent a second snapshot when the log is cut past the first (liveness).
    SnapshotOnlyOnce,
    /// A joint configuration that an earlier leader committed is never left (liveness).
    JointForEver,
    /// A server that an uncommitted configuration leaves out does not campaign (liveness, §4.2.2).
    RemovedTooSoon,
    /// A leader that was removed leads on.
    RemovedLeads,
    /// A server campaigns without asking first whether it would be elected (§9.6).
    NoPreVote,
    /// A leader that no quorum answers leads on: with pre-votes, nobody else can be elected (§6.2).
    NoCheckQuorum,
    /// A server that hears its leader helps another to depose it, one that was removed for example (§4.2.3).
    LoyaltyForgotten,
    /// The leader's word does not make a follower wait anew.
    TimerNotReset,
    /// A request for a vote makes a follower wait anew though it is refused (liveness).
    TimerResetByRefusedVotes,
    /// Heartbeats wait until what is on its way of a snapshot has arrived.
    HeartbeatsBehindSnapshot,
    /// A membership policy believes in silence without asking.
    EvictsUnasked,
    /// A membership policy counts what its leader has only heard of: the silence towards the leader before it.
    SilenceByHearsay,
    /// A membership policy takes the time that its leader slept for the silence of others.
    SleepIsSilence,
    /// A membership policy leaves fewer voters than it may.
    EvictsTooMany,
    /// A membership policy promotes a learner that has not caught up.
    PromotesTooSoon,
    /// A membership policy takes in whom an operator removed.
    DismissedReturns,
    /// A leader takes proposals without end while only its own disk hangs.
    TailForgetsOwnDisk,
    /// A state machine that hangs is handed one snapshot after another.
    SnapshotsPileUp,
    /// An answer that takes the place of one that waits for the disk waits no longer than that one.
    HeldTooShort,
    /// A voter that restarts does not wait for what it may have promised.
    PromiseForgotten,
    /// A shorter election timeout, or none for leases, is stored while longer promises last.
    PromiseCutShort,
    /// A blank server gives its vote: it may have lost a disk that was part of a quorum.
    BlankVotes,
    /// A voter that has lost what it had acknowledged goes on counting towards quorums.
    ForgetfulCounts,
    /// A voter gives its vote in spite of what it has promised, once it follows no leader.
    VotesInSpiteOfPromise,
    /// A server that restarts knows no more to be committed than its snapshot: removed, it asks for votes for ever
    /// (liveness).
    CommitForgotten,
    /// The stored commit index names entries that are not durable.
    CommitBeforeItsEntries,
    /// A receiver of a snapshot that has forgotten what it is receiving is not told again (liveness).
    MetadataToldOnce,
    /// A server whose disk is slow campaigns anew before its last vote is durable: the terms run away (liveness).
    CampaignBeforeVoteIsDurable,
    /// Answers count from whoever sends them: a stranger's of a later term deposes a leader.
    BelievesUnasked,
    /// In a joint configuration reads are confirmed by its new half alone.
    ReadByNewHalf,
    /// What is stored and contradicts the snapshot stays on disk when a server starts again.
    StaleTailKept,
    /// A leader whose clock went backward goes on reading by lease.
    LeaseTrustsClock,
    /// A membership policy changes voters of whom no quorum has answered.
    ChangesUnheard,
    /// Cluster time runs three times as fast as its leader's clock.
    StampsTooFast,
    /// Cluster time counts the sleep of its leader.
    StampsCountSleep,
    /// Cluster time counts the time before an election, when nobody led.
    StampsCountVacancy,
    /// The key-value store: `seq_append` compares how many values a sequence has, and not which sequence it is.
    AppendsPastIncarnation,
    /// The key-value store: so does `trim_before`.
    TrimsPastIncarnation,
    /// The key-value store: `compare_and_set` to nothing leaves the key.
    CompareAndDeleteKeeps,
    /// The key-value store: revoking a lease leaves its keys.
    RevokeKeepsKeys,
    /// The key-value store: a transaction with a step that is refused keeps what the others have changed.
    TransactionNotUndone,
    /// The key-value store: a scan of the past sees the entry after the revision that it asks for.
    PastIsOneLater,
    /// The key-value store: deleting a prefix leaves the last of its keys.
    DeleteKeysLeavesLast,
    /// The key-value store: a watch tells of progress before the changes that led to it.
    MarkOvertakesChanges,
    /// The key-value store: a watch that begins in the future tells of the progress of the present.
    MarkBeforeBeginning,
    /// The driver: the age of a local read counts what was handed out and is not applied.
    AgeBeforeApplied,
    /// The driver: an outbox acknowledges replies to commands that its store has not forgotten.
    AcknowledgesBeforeForgotten,
    /// The driver: commands whose session is lost are sent again in another, also those that may have been done.
    ResentAfterLostSession,
    /// The session table: the replies that are kept have no bound.
    RepliesUnbounded,
    /// Entries that were read from storage are used although a snapshot has taken the log's place meanwhile.
    StaleReadUsed,
    /// Entries leave memory that are not committed, or not on this server's disk.
    EvictedUnpersisted,
    /// Whoever leads or campaigns is believed, also if nobody whom this server knows vouches for it.
    StrangerBelieved,
    /// What is said in this server's own term is believed, whoever says it: only later terms are suspect.
    ImpostorBelieved,
    /// Starts are told apart by their numbers alone: a copy of a storage that is started as often passes for its
    /// server.
    CloneAdmitted,
    /// A server follows nobody whom its configuration does not name, vouched for or not (liveness).
    VouchersIgnored,
}

/// Whether this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn is_planted(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use chosen::{is_planted, plant};

#[cfg(feature = "planted-bugs")]
mod chosen {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::Bug;

    /// The bug that is planted, counted from 1; 0 for none.
    static PLANTED: AtomicUsize = AtomicUsize::new(0);

    /// Plants this bug, or none, in all servers of this process.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as usize + 1
    }
}
