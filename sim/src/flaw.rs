//! Bugs of clients, of what applies and of storage, to be planted in a run: they show that the oracles about them find
//! what they are for. They live here and not in the core.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Commands are applied without asking the session table: one that is sent twice takes effect twice.
    SessionsSkipped,
    /// Snapshots leave the session table out.
    SessionsNotInSnapshot,
    /// A client that gives up takes its command for not done.
    TimeoutIsFailure,
    /// What a command does depends on the member that applies it.
    ApplyDependsOnMember,
    /// A read is answered as soon as it is granted, whatever has been applied.
    ReadBeforeApplied,
    /// A command that is tried again gets a number of its own.
    RetryIsRenumbered,
    /// Of a transaction only the first step lasts.
    TransactionNotAtomic,
    /// Who watches is not told that changes are compacted.
    WatchLosesCompacted,
    /// A watch resumes with the last change that was told.
    WatchResumesTooEarly,
    /// A watch leaves out the last of several changes of an entry.
    WatchHalvesTransactions,
    /// A leader that takes over counts the time in which nobody led.
    StalledLeaderExpires,
    /// A storage does not look whether what it reads is whole.
    ChecksumsSkipped,
    /// A sync that failed is tried again, and then succeeds.
    FailedSyncRetried,
    /// A server whose disk was wiped goes on under its old id.
    WipedKeepsItsName,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SessionsSkipped,
        Self::SessionsNotInSnapshot,
        Self::TimeoutIsFailure,
        Self::ApplyDependsOnMember,
        Self::ReadBeforeApplied,
        Self::RetryIsRenumbered,
        Self::TransactionNotAtomic,
        Self::WatchLosesCompacted,
        Self::WatchResumesTooEarly,
        Self::WatchHalvesTransactions,
        Self::StalledLeaderExpires,
        Self::ChecksumsSkipped,
        Self::FailedSyncRetried,
        Self::WipedKeepsItsName,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::run::run;

    #[track_caller]
    fn assert_found(flaw: Flaw, oracles: &[&str]) {
        let alarm = (1..=60).find_map(|seed| {
            let mut plan = Plan::of_seed(seed);
            plan.flaw = Some(flaw);
            run(plan).alarm
        });

        let alarm = alarm.unwrap_or_else(|| panic!("{flaw:?} escapes"));
        assert!(oracles.contains(&alarm.invariant), "{alarm}");
    }

    #[test]
    fn a_command_that_takes_effect_twice_is_found() {
        assert_found(Flaw::SessionsSkipped, &["exactly once"]);
    }

    #[test]
    fn a_snapshot_without_sessions_is_found() {
        assert_found(Flaw::SessionsNotInSnapshot, &["same effects"]);
    }

    #[test]
    fn a_client_that_takes_unknown_for_not_done_is_found() {
        assert_found(Flaw::TimeoutIsFailure, &["linearizability"]);
    }

    #[test]
    fn a_state_machine_that_differs_by_member_is_found() {
        let oracles = ["same effects", "linearizability", "prefix reads", "watches"];
        assert_found(Flaw::ApplyDependsOnMember, &oracles);
    }

    #[test]
    fn a_read_that_does_not_wait_to_be_applied_is_found() {
        assert_found(Flaw::ReadBeforeApplied, &["linearizability"]);
    }

    #[test]
    fn half_a_transaction_is_found() {
        assert_found(
            Flaw::TransactionNotAtomic,
            &["transactions", "watches", "reads"],
        );
    }

    #[test]
    fn a_watch_that_hides_what_is_compacted_is_found() {
        assert_found(Flaw::WatchLosesCompacted, &["watches"]);
    }

    #[test]
    fn a_watch_that_tells_the_last_change_again_is_found() {
        assert_found(Flaw::WatchResumesTooEarly, &["watches"]);
    }

    #[test]
    fn a_watch_that_tells_half_a_transaction_is_found() {
        assert_found(Flaw::WatchHalvesTransactions, &["watches"]);
    }

    #[test]
    fn a_leader_that_ends_leases_by_its_own_clock_is_found() {
        assert_found(Flaw::StalledLeaderExpires, &["leases"]);
    }

    #[test]
    fn a_retry_under_another_number_is_found() {
        assert_found(Flaw::RetryIsRenumbered, &["linearizability"]);
    }

    #[test]
    fn a_storage_that_does_not_check_what_it_reads_is_found() {
        let oracles = [
            "recovery",
            "log matching",
            "commit on a quorum",
            "state machine safety",
            "snapshot equals replay",
            "liveness",
        ];
        assert_found(Flaw::ChecksumsSkipped, &oracles);
    }

    #[test]
    fn a_failed_sync_that_is_tried_again_is_found() {
        let oracles = ["disk contract", "commit on a quorum", "persist before send"];
        assert_found(Flaw::FailedSyncRetried, &oracles);
    }

    #[test]
    fn a_wiped_server_that_goes_on_under_its_name_is_found() {
        let oracles = [
            "liveness",
            "monotonic",
            "election safety",
            "commit on a quorum",
        ];
        assert_found(Flaw::WipedKeepsItsName, &oracles);
    }
}
