//! Ages of local reads: what a member has handed to its state machine holds all that was committed, anywhere, before
//! the moment as of which it calls it current; and what its state machine has applied, before the moment from which the
//! ages of local reads count.
//!
//! That moment is one of the member's own clock. What the clock showed at each commitment is written down, so that
//! neither its pace nor its leaps excuse anything. Where it went backward it stands still, as it does for the core, and
//! of the moments that it then shows the first is meant.

use std::collections::VecDeque;

use liferaft_node::driver::Freshness;
use liferaft_raft::consensus::{Apply, Raft};
use liferaft_raft::ids::Index;
use liferaft_raft::time::Instant;

use super::{Turn, Verdict, demand};
use crate::clock::Nanos;
use crate::history::History;
use crate::member::Member;

#[derive(Debug, Default)]
pub(super) struct Ages {
    /// By their places.
    members: Vec<Shown>,
    committed: Index,
}

/// What a member's clock has shown.
#[derive(Debug, Default)]
struct Shown {
    latest: Instant,
    /// What was committed at some moment, and nothing before that is needed any more.
    base: Index,
    /// What it showed when entries up to an index were committed, since then.
    commits: VecDeque<(Instant, Index)>,
    /// What the driver knows of the age of what is applied.
    freshness: Freshness,
}

impl Shown {
    fn look(&mut self, member: &Member, now: Nanos) -> Instant {
        self.latest = self.latest.max(member.clock.at(now));
        self.latest
    }

    /// What was committed before a moment.
    fn committed_before(&self, moment: Instant) -> Index {
        let before = self.commits.partition_point(|(shown, _)| *shown < moment);
        let last = before
            .checked_sub(1)
            .and_then(|last| self.commits.get(last));
        last.map_or(self.base, |(_, index)| *index)
    }

    /// No moment before this one is asked about afterwards.
    fn forget_before(&mut self, moment: Instant) {
        while let Some((shown, index)) = self.commits.front()
            && *shown < moment
        {
            self.base = *index;
            self.commits.pop_front();
        }
    }
}

impl Ages {
    /// A member begins a life: it knows of no moment before that.
    pub(super) fn started(&mut self, member: &Member, at: usize, now: Nanos) {
        if self.members.len() <= at {
            self.members.resize_with(at + 1, Shown::default);
        }
        self.members[at] = Shown {
            latest: member.clock.at(now),
            base: self.committed,
            commits: VecDeque::new(),
            freshness: Freshness::default(),
        };
    }

    pub(super) fn check(&mut self, turn: &Turn<'_>, history: &History) -> Verdict {
        let committed = history.last_index();
        if committed > self.committed {
            self.committed = committed;
            for (shown, member) in self.members.iter_mut().zip(turn.members) {
                let at = shown.look(member, turn.now);
                shown.commits.push_back((at, committed));
            }
        }
        let member = &turn.members[turn.member];
        let shown = &mut self.members[turn.member];
        shown.look(member, turn.now);
        let Some(as_of) = member.raft.as_ref().and_then(Raft::current_as_of) else {
            return Ok(());
        };
        let needed = shown.committed_before(as_of);
        let handed_out = handed_out(turn, member);
        demand!(
            handed_out >= needed,
            "calls its state, up to {handed_out}, current as of {as_of:?}, when {needed} was committed"
        );
        let applied = member.machine.applied;
        shown.freshness.applied(applied);
        shown.freshness.handed_out(handed_out, applied, Some(as_of));
        let Some(as_of) = shown.freshness.as_of() else {
            return Ok(());
        };
        shown.forget_before(as_of);
        let needed = shown.base;
        demand!(
            applied >= needed,
            "local reads of what is applied up to {applied} count from {as_of:?}, when {needed} was committed"
        );
        Ok(())
    }
}

/// Up to here the state machine was given entries, applied or not.
fn handed_out(turn: &Turn<'_>, member: &Member) -> Index {
    let given = member.applying.iter().chain(&turn.output.apply);
    let ends = given.filter_map(|apply| match apply {
        Apply::Entries(entries) => entries.last().map(|entry| entry.index),
        Apply::Restore(snapshot) => Some(snapshot.metadata.last.index),
    });
    ends.fold(member.machine.applied, Index::max)
}
