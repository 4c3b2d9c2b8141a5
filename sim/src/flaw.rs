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
