//! How old the state is that a local read sees.
//!
//! The core knows since when what it handed out was the newest. The applier may lag behind that, so a moment counts
//! only once what was handed out by then is applied.

use crate::consensus::planted::{Bug, is_planted};
use crate::ids::Index;
use crate::time::Instant;

/// The moment as of which the applied state was the newest in the cluster: what the ages of local reads count from.
///
/// A member has one. It is for whoever drives the core otherwise, as a simulator does.
#[derive(Debug, Default)]
pub struct Freshness {
    as_of: Option<Instant>,
    /// The next moment, which counts once this index is applied.
    next: Option<(Index, Instant)>,
}

impl Freshness {
    /// Notes that what was handed out up to `handed` was the newest as of a moment, and how far it is applied.
    pub fn handed_out(&mut self, handed: Index, applied: Index, as_of: Option<Instant>) {
        let Some(as_of) = as_of else { return };
        // While one moment waits the others pass: the age told is then too high, and never too low.
        if applied >= handed || is_planted(Bug::AgeBeforeApplied) {
            self.next = None;
            self.as_of = self.as_of.max(Some(as_of));
        } else if self.next.is_none() {
            self.next = Some((handed, as_of));
        }
    }

    /// Notes that entries are applied up to here.
    pub fn applied(&mut self, applied: Index) {
        if let Some((_, as_of)) = self.next.take_if(|(index, _)| *index <= applied) {
            self.as_of = self.as_of.max(Some(as_of));
        }
    }

    /// Returns as of when the applied state was the newest, if that is known.
    #[must_use]
    pub const fn as_of(&self) -> Option<Instant> {
        self.as_of
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Option<Instant> {
        Some(Instant::from_origin(Duration::from_secs(seconds)))
    }

    #[test]
    fn a_moment_counts_once_what_was_handed_out_is_applied() {
        let mut freshness = Freshness::default();

        freshness.handed_out(Index(5), Index(4), at(10));
        let lagging = freshness.as_of();
        freshness.applied(Index(5));

        assert_eq!((lagging, freshness.as_of()), (None, at(10)));
    }

    #[test]
    fn an_applier_that_always_lags_gets_no_younger_than_what_it_applied() {
        let mut freshness = Freshness::default();

        freshness.handed_out(Index(5), Index(4), at(10));
        freshness.handed_out(Index(9), Index(4), at(20));
        freshness.applied(Index(8));

        assert_eq!(freshness.as_of(), at(10));
    }

    #[test]
    fn nothing_is_known_until_a_leader_was_heard() {
        let mut freshness = Freshness::default();

        freshness.handed_out(Index(0), Index(0), None);

        assert_eq!(freshness.as_of(), None);
    }
}
