//! Membership that manages itself: who should take part, decided by the leader from what it knows.
//!
//! Nobody stands by to remove a phone whose battery died, or to add the one that replaces it. So the leader takes in
//! whoever asks to join, first as a learner and, once its log has caught up, as a voter (§4.2.1); and it removes
//! whoever has answered nothing for [`evict_after`](MembershipPolicy::evict_after), so that the dead do not count
//! towards quorums that the living must reach.
//!
//! Four parts, all of them pure: no clock, no I/O, and the same knowledge leads to the same decision.
//!
//! - [`MembershipPolicy`]: the settings;
//! - [`next_change`]: from a [`Situation`] to the change that it calls for, without regard to time;
//! - [`leaving()`]: how a member leaves of its own will;
//! - [`Steward`]: keeps watch over time, asks before it believes in silence, and remembers who wants to join.
//!
//! What holds, whatever the settings:
//!
//! - every voter of the next configuration has just answered, but for silent ones that
//!   [`voters_min`](MembershipPolicy::voters_min) keeps, and those never weigh more in it than before;
//! - never fewer voters than `voters_min`, unless there were fewer;
//! - those who die and those who replace them leave and come in one joint change (§4.3);
//! - a server that has lost what it acknowledged leaves at once, and for good, but where `voters_min` would be undercut
//!   it stays until a learner can take its place: its leader counts it towards no quorum meanwhile;
//! - a voter that answers while its disk hangs is evicted like a silent one, and a slow state machine evicts nobody;
//! - whoever asks and then dies holds up nobody: it is a learner, which counts for nothing, until it is removed.
//!
//! **Just under half of the voters may fail, not of the members:** of three voters one, of four one, of five two. With
//! [`Target::Count`] the others are learners: they take the place of voters that die, one joint change after
//! [`evict_after`](MembershipPolicy::evict_after), but when half of the voters or more die before that, the cluster
//! stands still, however many learners live.

mod act;
mod decision;
mod joiner;
mod leaving;
mod steward;
mod watch;

use core::time::Duration;

pub use act::Act;
pub use decision::{Situation, Voice, next_change};
pub use leaving::leaving;
pub use steward::{JoinAnswer, Steward};

/// The least `evict_after` that makes sense; a shorter one is taken for this.
pub const EVICT_AFTER_MIN: Duration = Duration::from_millis(10);

/// How a leader manages the membership of its cluster. Each leader goes by its own, so members should agree.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use core::time::Duration;
/// use liferaft::policy::{MembershipPolicy, Target};
///
/// // Five voters of many members; the others learn, and stand in for voters that die.
/// let policy = MembershipPolicy::default()
///     .with_voters(Target::Count(5))
///     .with_evict_after(Duration::from_secs(30));
///
/// assert_eq!(policy.voters_wanted(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipPolicy {
    evict_after: Duration,
    voters_min: usize,
    voters: Target,
}

/// How many of the members should vote. Just under half of the *voters* may fail, however many members there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// All of them.
    All,
    /// So many, the others are learners. Fewer than [`voters_min`](MembershipPolicy::voters_min) are taken for that.
    Count(usize),
}

impl Default for MembershipPolicy {
    /// All members vote, never fewer than 3 by eviction, and who has been silent for 10 s is evicted.
    fn default() -> Self {
        Self {
            evict_after: Duration::from_secs(10),
            voters_min: 3,
            voters: Target::All,
        }
    }
}

impl MembershipPolicy {
    /// The profile of a laboratory, where nobody sleeps and no message is lost: who is silent for an election timeout
    /// is evicted, down to two voters. A figure measured with it says so.
    #[must_use]
    pub const fn laboratory(election_timeout: Duration) -> Self {
        Self {
            evict_after: election_timeout,
            voters_min: 2,
            voters: Target::All,
        }
    }

    /// Who has answered nothing for so long is removed. Default 10 s, whatever the election timeout: people's phones
    /// sleep.
    ///
    /// Silence counts from a heartbeat interval after the last answer, by when the next one was asked for: so a server
    /// that crashes is evicted no sooner than after this time, and within a heartbeat interval of it, unless answers
    /// were lost on the way. A leader that has just been elected has had no answers: it counts from when the leader
    /// before it was last heard, but it asks for itself before it believes, for
    /// `(evict_after - election timeout) * 4/3`, at most `evict_after`, and at least a few round trips. So from four
    /// election timeouts on nobody is evicted whose own silences are shorter than this, whoever leads; with less, a
    /// server that falls silent at the very moment of an election may be.
    #[must_use]
    pub fn with_evict_after(mut self, silence: Duration) -> Self {
        self.evict_after = silence.max(EVICT_AFTER_MIN);
        self
    }

    /// By eviction there are never fewer voters than this; silent ones stay as long as they would be missed. Default 3,
    /// at least 1.
    #[must_use]
    pub fn with_voters_min(mut self, voters: usize) -> Self {
        self.voters_min = voters.max(1);
        self
    }

    /// How many members should vote. Default all.
    #[must_use]
    pub const fn with_voters(mut self, voters: Target) -> Self {
        self.voters = voters;
        self
    }

    /// Who has answered nothing for so long is removed.
    #[must_use]
    pub const fn evict_after(&self) -> Duration {
        self.evict_after
    }

    /// By eviction there are never fewer voters than this.
    #[must_use]
    pub const fn voters_min(&self) -> usize {
        self.voters_min
    }

    /// How many voters there should be, as far as there are members.
    #[must_use]
    pub fn voters_wanted(&self) -> usize {
        match self.voters {
            Target::All => usize::MAX,
            Target::Count(count) => count.max(self.voters_min),
        }
    }

    /// How long a leader must have asked before it takes silence for an answer.
    pub(crate) fn ask_for(&self, election_timeout: Duration) -> Duration {
        let beyond = self.evict_after.saturating_sub(election_timeout);
        (beyond * 4 / 3).min(self.evict_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn from_four_election_timeouts_on_a_leader_asks_for_all_of_the_silence_itself() {
        let asks = |seconds| {
            let policy = MembershipPolicy::default().with_evict_after(seconds * SECOND);
            policy.ask_for(SECOND)
        };

        assert_eq!([asks(1), asks(4), asks(10)], [0, 4, 10].map(|n| n * SECOND));
    }

    #[test]
    fn settings_that_make_no_sense_are_taken_for_the_nearest_that_do() {
        let policy = MembershipPolicy::default()
            .with_evict_after(Duration::ZERO)
            .with_voters_min(0)
            .with_voters(Target::Count(0));

        assert_eq!(policy.evict_after(), EVICT_AFTER_MIN);
        assert_eq!((policy.voters_min(), policy.voters_wanted()), (1, 1));
    }
}
