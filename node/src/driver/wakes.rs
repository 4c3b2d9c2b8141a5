//! Decides when a leader marks the time: what the state machine does by cluster time alone needs an entry to happen at.

use std::time::Duration;

use crate::consensus::Raft;
use crate::ids::Term;
use crate::time::{ClusterTime, Instant};

/// The wish of the state machine to be woken, and what became of it.
#[derive(Debug)]
pub(super) struct Wakes {
    at: Option<ClusterTime>,
    /// When the next access token expires, by which time must have moved on.
    tokens_at: Option<ClusterTime>,
    marked: Option<Marked>,
    due: Instant,
}

/// An entry was appended for this wish; should it get lost, another follows.
#[derive(Debug)]
struct Marked {
    term: Term,
    wish: ClusterTime,
    again_at: Instant,
}

/// The part of a heartbeat interval by which a wish may be late. While there is no quorum cluster time stands still,
/// however little is missing: this is how often a leader then looks.
const GRAIN: u32 = 8;

/// After so many heartbeats an entry that was appended for a wish is given up.
const HEARTBEATS_TO_MARK: u32 = 10;

impl Default for Wakes {
    fn default() -> Self {
        Self {
            at: None,
            tokens_at: None,
            marked: None,
            due: Instant::MAX,
        }
    }
}

impl Wakes {
    /// The state machine wants to be woken then.
    pub(super) const fn wanted(&mut self, at: Option<ClusterTime>) {
        self.at = at;
    }

    /// An access token expires then.
    pub(super) const fn tokens_expire(&mut self, at: Option<ClusterTime>) {
        self.tokens_at = at;
    }

    /// What comes first.
    fn wish(&self) -> Option<ClusterTime> {
        self.at.into_iter().chain(self.tokens_at).min()
    }

    /// When to look again, if nothing happens.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Whether an entry is to be appended, because this member leads and the time has come.
    pub(super) fn ask(&mut self, raft: &Raft, heartbeat: Duration, now: Instant) -> bool {
        let left = self.wish().and_then(|at| raft.time_mark_in(at, now));
        self.ask_at(left, raft.term(), heartbeat, now)
    }

    /// So much time is `left`, if it is for this member to mark it.
    fn ask_at(
        &mut self,
        left: Option<Duration>,
        term: Term,
        heartbeat: Duration,
        now: Instant,
    ) -> bool {
        let (Some(wish), Some(left)) = (self.wish(), left) else {
            self.due = Instant::MAX;
            return false;
        };
        if left > Duration::ZERO {
            // A mark has moved the time by as much as one entry can: what is left needs another.
            self.marked = None;
            self.due = now + left.max(heartbeat / GRAIN);
            return false;
        }
        let waiting = self
            .marked
            .as_ref()
            .filter(|marked| (marked.term, marked.wish) == (term, wish) && now < marked.again_at);
        if let Some(marked) = waiting {
            self.due = marked.again_at;
            return false;
        }
        let again_at = now + heartbeat * HEARTBEATS_TO_MARK;
        self.marked = Some(Marked {
            term,
            wish,
            again_at,
        });
        self.due = again_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_millis(80);

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    fn wishing(ms: u64) -> Wakes {
        let mut wakes = Wakes::default();
        wakes.wanted(Some(ClusterTime(ms)));
        wakes
    }

    const DUE: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn the_time_is_marked_once_when_the_wish_is_due_and_not_before() {
        let mut wakes = wishing(500);
        let mut ask = |left, now| wakes.ask_at(left, Term(1), HEARTBEAT, at(now));

        let early = ask(Some(Duration::from_millis(1)), 0);
        let due = [ask(DUE, 1), ask(DUE, 2), ask(DUE, 100)];

        assert_eq!((early, due), (false, [true, false, false]));
    }

    #[test]
    fn a_mark_that_changes_nothing_is_repeated_rarely() {
        let mut wakes = wishing(500);
        let mut ask = |now| wakes.ask_at(DUE, Term(1), HEARTBEAT, at(now));

        let asked = [ask(0), ask(799), ask(800), ask(801)];

        assert_eq!(asked, [true, false, true, false]);
    }

    // One entry moves cluster time by a minute at most. With heartbeats so rare that the mark is not given up within a
    // minute, the next minute has to be marked all the same.
    #[test]
    fn a_distant_wish_is_marked_again_when_its_next_part_is_due() {
        let mut wakes = wishing(500);
        let mut ask = |left, now| wakes.ask_at(left, Term(1), HEARTBEAT, at(now));

        let asked = [ask(DUE, 0), ask(Some(HEARTBEAT), 1), ask(DUE, 81)];

        assert_eq!(asked, [true, false, true]);
    }

    #[test]
    fn another_leader_marks_it_again_and_one_who_does_not_lead_never() {
        let mut wakes = wishing(500);
        let mut ask = |left, term| wakes.ask_at(left, Term(term), HEARTBEAT, at(0));

        let asked = [ask(DUE, 1), ask(None, 1), ask(DUE, 2)];

        assert_eq!(asked, [true, false, true]);
    }

    #[test]
    fn time_that_stands_still_is_not_looked_at_all_the_time() {
        let mut wakes = wishing(500);

        wakes.ask_at(Some(Duration::from_millis(1)), Term(1), HEARTBEAT, at(0));

        assert_eq!(wakes.due(), at(10));
    }
}
