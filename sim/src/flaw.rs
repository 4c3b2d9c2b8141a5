//! Bugs of clients and of what applies, to be planted in a run: they show that the oracles about clients find what they are
//! for. They live here and not in the core.

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
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SessionsSkipped,
        Self::SessionsNotInSnapshot,
        Self::TimeoutIsFailure,
        Self::ApplyDependsOnMember,
        Self::ReadBeforeApplied,
        Self::RetryIsRenumbered,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::run::run;

    #[track_caller]
    fn assert_found(flaw: Flaw, oracles: &[&str]) {
        let alarm = (1..=30).find_map(|seed| {
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
        let oracles = ["same effects", "linearizability", "prefix reads"];
        assert_found(Flaw::ApplyDependsOnMember, &oracles);
    }

    #[test]
    fn a_read_that_does_not_wait_to_be_applied_is_found() {
        assert_found(Flaw::ReadBeforeApplied, &["linearizability"]);
    }

    #[test]
    fn a_retry_under_another_number_is_found() {
        assert_found(Flaw::RetryIsRenumbered, &["linearizability"]);
    }
}
