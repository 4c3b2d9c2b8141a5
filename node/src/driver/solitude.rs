//! Finds out when a server has nobody left to talk to: whoever it knows is gone, or takes no link of it.
//!
//! A member that was cut off while all others were replaced tries for ever, and only a person can help it, with a new
//! invitation. So it says so, and goes on trying.

use std::time::Duration;

use liferaft_platform::{SortedMap, SortedSet};
use liferaft_transport::access::Refusal;

use crate::ids::ServerId;
use crate::time::Instant;

/// So long a server is without a link to anybody whom it knows before it takes them for gone.
pub(super) const ALONE_FOR: Duration = Duration::from_secs(30);

/// What became of the attempts to reach others since there was last a link to one of them, or a leader.
#[derive(Debug, Default)]
pub(super) struct Solitude {
    alone_since: Option<Instant>,
    /// The servers that no link came about to, and what they said, whoever said it in their place.
    failed: SortedMap<ServerId, Option<Refusal>>,
}

/// What a server is to be told that reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loneliness {
    /// Nobody whom it knows has answered for [`ALONE_FOR`].
    NoPeer,
    /// No link came about to anybody, and of those who answered one gave this reason, which it did not prove to be
    /// entitled to.
    Refused(Refusal),
}

impl Solitude {
    /// No link came about to a server, which may have said why.
    pub(super) fn on_failure(&mut self, server: ServerId, refusal: Option<Refusal>) {
        self.failed.insert(server, refusal);
    }

    /// When to [`judge`](Self::judge) again, if nothing happens.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let alone_since = self.alone_since.map(|since| since + ALONE_FOR);
        alone_since.filter(|at| *at > now).unwrap_or(Instant::MAX)
    }

    /// Says whether a server is alone that knows these others. It has company if it has a leader, or a link to one of
    /// the cluster.
    pub(super) fn judge(
        &mut self,
        known: &SortedSet<ServerId>,
        has_company: bool,
        now: Instant,
    ) -> Option<Loneliness> {
        if has_company || known.is_empty() {
            *self = Self::default();
            return None;
        }
        let alone_since = *self.alone_since.get_or_insert(now);
        self.failed.retain(|server, _| known.contains(server));
        if self.failed.len() < known.len() {
            return None;
        }
        let refusal = self.failed.values().find_map(|refusal| *refusal);
        match refusal {
            Some(refusal) => Some(Loneliness::Refused(refusal)),
            None => (now.since(alone_since) >= ALONE_FOR).then_some(Loneliness::NoPeer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn known() -> SortedSet<ServerId> {
        [ServerId(1), ServerId(2)].into()
    }

    /// Alone since the beginning, with nobody reached.
    fn alone() -> Solitude {
        let mut solitude = Solitude::default();
        solitude.judge(&known(), false, at(0));
        solitude.on_failure(ServerId(1), None);
        solitude.on_failure(ServerId(2), None);
        solitude
    }

    #[test]
    fn who_reaches_nobody_for_long_is_alone() {
        let mut solitude = alone();

        let judged = [29, 30].map(|now| solitude.judge(&known(), false, at(now)));

        assert_eq!(judged, [None, Some(Loneliness::NoPeer)]);
    }

    #[test]
    fn it_is_due_when_it_may_be_alone_for_long_enough() {
        let solitude = alone();

        assert_eq!(solitude.due(at(5)), at(30));
        assert_eq!(solitude.due(at(30)), Instant::MAX);
    }

    #[test]
    fn nobody_is_alone_before_every_one_was_tried() {
        let mut solitude = Solitude::default();
        solitude.judge(&known(), false, at(0));
        solitude.on_failure(ServerId(1), None);

        assert_eq!(solitude.judge(&known(), false, at(99)), None);
    }

    #[test]
    fn who_had_company_begins_to_be_alone_anew() {
        let mut solitude = alone();
        solitude.judge(&known(), true, at(29));

        solitude.judge(&known(), false, at(30));
        solitude.on_failure(ServerId(1), None);
        solitude.on_failure(ServerId(2), None);

        assert_eq!(solitude.judge(&known(), false, at(59)), None);
        assert!(solitude.judge(&known(), false, at(60)).is_some());
    }

    #[test]
    fn who_is_refused_by_all_that_answer_is_told_at_once() {
        let mut solitude = alone();

        solitude.on_failure(ServerId(2), Some(Refusal::Forgotten));

        let told = Loneliness::Refused(Refusal::Forgotten);
        assert_eq!(solitude.judge(&known(), false, at(1)), Some(told));
    }

    #[test]
    fn a_server_that_knows_nobody_is_not_alone() {
        let mut solitude = alone();

        assert_eq!(solitude.judge(&SortedSet::new(), false, at(99)), None);
    }
}
