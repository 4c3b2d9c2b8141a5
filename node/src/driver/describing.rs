//! Keeps what the configuration says of this server up to date: a member that has moved tells the others where it is.
//!
//! What a member says of itself may differ after a restart from what the log has: other addresses, another label, a
//! later build. It asks the leader to describe it anew; a leader describes itself. Where each of the two knows only
//! where the other was, another member, which is asked to take this one in, passes on what it says. This takes one
//! entry and no joint phase. Only where links prove who asks: elsewhere the log says nothing of members.

use tokio::sync::oneshot;

use super::asker::Asker;
use super::operations::{Caller, Operation};
use super::task::Driver;
use crate::config::Timing;
use crate::configuration::Description;
use crate::consensus::MembershipChange;
use crate::ids::ServerId;
use crate::state_machine::StateMachine;
use crate::time::Instant;
use crate::wire::Content;

/// So often a server asks after its start: a change that cannot be made is not asked for for ever.
const ASKS_MAX: u32 = 8;

/// How often this server has asked to be described anew, and when it may ask again.
#[derive(Debug)]
pub(super) struct Describing {
    asked: u32,
    not_before: Instant,
    due: Instant,
}

impl Default for Describing {
    fn default() -> Self {
        Self {
            asked: 0,
            not_before: Instant::ORIGIN,
            due: Instant::MAX,
        }
    }
}

impl Describing {
    /// When to look again, if nothing happens.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Nothing is to be asked for, or nobody is there to be asked.
    const fn rest(&mut self) {
        self.due = Instant::MAX;
    }

    /// Returns true if it is time to ask, and counts that. Each wait is twice as long as the one before.
    fn may_ask(&mut self, timing: Timing, now: Instant) -> bool {
        if self.asked >= ASKS_MAX {
            self.due = Instant::MAX;
            return false;
        }
        let is_due = now >= self.not_before;
        if is_due {
            self.not_before = now + timing.election_timeout() * (1 << self.asked);
            self.asked += 1;
        }
        self.due = self.not_before;
        is_due
    }
}

impl<S: StateMachine> Driver<S> {
    /// Has this server described anew if the configuration, which is settled, says something else of it.
    pub(super) fn keep_description(&mut self, now: Instant) {
        let is_amiss =
            self.links.authenticates() && self.is_misdescribed(self.id, self.peers.description());
        let Some(leader) = self.raft.leader().filter(|_| is_amiss) else {
            return self.describing.rest();
        };
        if !self.describing.may_ask(self.config.timing(), now) {
            return;
        }
        tracing::info!(term = %self.raft.term(), "asking to be described anew");
        let description = self.peers.description().clone();
        if leader == self.id {
            self.describe(self.id, description);
            self.again = true;
        } else {
            let token = None;
            let wish = Content::Join { description, token };
            self.links.send(leader, &wish, &mut self.counters);
        }
    }

    /// A member says something of itself, over a link that proves who it is: the leader has the log say the same.
    pub(super) fn take_description(
        &mut self,
        of: ServerId,
        description: Description,
        now: Instant,
    ) {
        if !self.is_misdescribed(of, &description) {
            return;
        }
        if self.leads() {
            return self.describe(of, description);
        }
        tracing::info!(term = %self.raft.term(), member = %of, "passing on what a member says of itself");
        // Nobody waits for the answer: the member asks again.
        let (caller, _) = oneshot::channel();
        let change = Operation::Change(MembershipChange::describe(of, description));
        let deadline = now + self.config.timing().election_timeout();
        self.operations
            .admit(change, deadline, Caller::Change(caller));
    }

    /// Whether the configuration, if it may be changed, says something else of a member than it says itself.
    fn is_misdescribed(&self, id: ServerId, description: &Description) -> bool {
        let (index, configuration) = self.raft.configuration();
        let is_settled = index <= self.raft.positions().commit && !configuration.is_joint();
        let member = configuration.member(id).filter(|_| is_settled);
        member.is_some_and(|member| member.description != *description)
    }

    fn describe(&mut self, id: ServerId, description: Description) {
        let change = MembershipChange::describe(id, description);
        self.ask_change(Asker::Describing, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_server_asks_less_and_less_often_and_then_not_at_all() {
        let timing = Config::default().timing();
        let mut describing = Describing::default();

        let mut asked_at = vec![];
        let mut now = Instant::ORIGIN;
        while now < Instant::MAX {
            if describing.may_ask(timing, now) {
                asked_at.push(now);
            }
            now = describing.due();
        }

        let timeouts = [0, 1, 3, 7, 15, 31, 63, 127];
        let expected = timeouts.map(|count| Instant::ORIGIN + timing.election_timeout() * count);
        assert_eq!(asked_at, expected);
    }
}
