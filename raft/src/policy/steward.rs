//! Keeping watch: who has been silent for how long, who must be asked before that is believed, who wants to join.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use bytes::Bytes;

use super::{MembershipPolicy, Situation, Voice, next_change};
use crate::configuration::Configuration;
use crate::consensus::{ChangeError, MembershipChange, MembershipStep, Oversight};
use crate::ids::{Index, Round, ServerId, Term};
use crate::time::Instant;

/// The most servers that may wait to be taken in. More are told to ask again.
const JOINERS_MAX: usize = 256;

/// The most servers that are remembered as removed by an operator; the oldest removal is forgotten first.
const DISMISSED_MAX: usize = 256;

/// How often a server that has been silent for too long is asked before it counts as dead: with every tenth message
/// lost, one of 600,000 living servers answers none of so many.
const ASKS: u32 = 8;

/// Asks follow one another at this part of a heartbeat interval.
const ASKS_PER_HEARTBEAT: u32 = 16;

/// Within this part of a heartbeat interval those who ask to join are gathered, to be taken in together.
const GATHERINGS_PER_HEARTBEAT: u32 = 8;

/// A server that has not repeated its wish to join for so many election timeouts has given it up, or died.
const JOINER_ELECTION_TIMEOUTS: u32 = 4;

/// A server whose promotion failed is not promoted again for so many election timeouts.
const PUT_OFF_ELECTION_TIMEOUTS: u32 = 2;

/// Runs a [`MembershipPolicy`] on a server: while it leads, it decides; while it does not, it remembers only whom
/// operators have removed.
///
/// It is a value without a clock. Whoever owns it calls [`look`](Self::look) when [`due`](Self::due) has come, and when a
/// term of leadership begins, and does what that says.
#[derive(Clone, Debug)]
pub struct Steward {
    policy: MembershipPolicy,
    due: Instant,
    watch: Option<Watch>,
    joiners: BTreeMap<ServerId, Joiner>,
    /// Whom operators have removed, with the order in which they did.
    dismissed: BTreeMap<ServerId, u64>,
    dismissals: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Act {
    /// Nothing, until [`Steward::due`].
    Rest,
    /// Give the core an [`Input::Ask`](crate::consensus::Input::Ask).
    Ask,
    /// Give the core this change, and [`Steward::changed`] its answer.
    Change(MembershipChange),
}

/// The answer to a server that asks to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// It will be taken in, if it repeats its wish from time to time until it is.
    Accepted,
    /// It is a member.
    Member,
    /// Too many wait: it is to ask again later.
    Busy,
    /// An operator has removed it, and an operator must add it.
    Dismissed,
}

#[derive(Clone, Debug)]
struct Joiner {
    public_key: Bytes,
    first_asked_at: Instant,
    asked_at: Instant,
}

/// The watch of one term of leadership.
#[derive(Clone, Debug)]
struct Watch {
    term: Term,
    /// Since when this leader has asked for itself, not counting times when it slept.
    asking_since: Instant,
    looked_at: Instant,
    /// Since when each member has been silent.
    silent_since: BTreeMap<ServerId, Instant>,
    learners: BTreeMap<ServerId, CatchUp>,
    inquiry: Option<Inquiry>,
    /// The next inquiry does not begin before this.
    inquire_at: Instant,
    /// Since when a learner could have been promoted.
    ready_since: Option<Instant>,
    put_off: BTreeMap<ServerId, Instant>,
    /// Whether a change of the policy's is under way.
    changing: bool,
}

/// A learner that catches up, in rounds: it is ready when what was committed at the beginning of one reached it within an
/// election timeout (§4.2.1).
#[derive(Clone, Copy, Debug)]
struct CatchUp {
    goal: Index,
    since: Instant,
    ready: bool,
}

/// Rounds in quick succession, to tell the dead from those whose messages were lost.
#[derive(Clone, Copy, Debug)]
struct Inquiry {
    /// The first of its rounds: who has echoed this or a later one has answered.
    from: Round,
    asked: u32,
    /// When to ask again, or to take silence for an answer.
    next_at: Instant,
}

impl Steward {
    /// One that goes by this policy.
    #[must_use]
    pub const fn new(policy: MembershipPolicy) -> Self {
        Self {
            policy,
            due: Instant::MAX,
            watch: None,
            joiners: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            dismissals: 0,
        }
    }

    /// The policy that it goes by.
    #[must_use]
    pub const fn policy(&self) -> &MembershipPolicy {
        &self.policy
    }

    /// When to [`look`](Self::look) next; [`Instant::MAX`] on a server that does not lead.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Whether to look: it is due, or leadership has begun or ended. `leads_in` is the term in which this server leads.
    #[must_use]
    pub fn is_due(&self, leads_in: Option<Term>, now: Instant) -> bool {
        now >= self.due || self.watch.as_ref().map(|watch| watch.term) != leads_in
    }

    /// Looks at what the leader knows, and says what is to be done. The core must have been told all that has arrived: who
    /// has answered just now is not silent. `oversight` is `None` on a server that does not lead.
    pub fn look(&mut self, oversight: Option<&Oversight<'_>>, now: Instant) -> Act {
        let Some(view) = oversight else {
            self.watch = None;
            self.joiners.clear();
            self.due = Instant::MAX;
            return Act::Rest;
        };
        let policy = self.policy;
        let mut watch = match self.watch.take() {
            Some(watch) if watch.term == view.term => watch,
            Some(_) | None => Watch::begin(view, now),
        };
        watch.attend(view, now);
        let heartbeat = view.timing.heartbeat_interval();
        let patience = view.timing.election_timeout() * JOINER_ELECTION_TIMEOUTS;
        self.joiners.retain(|id, joiner| {
            !view.configuration.contains(*id) && now.since(joiner.asked_at) < patience
        });
        let (act, due) = if watch.changing || !view.may_change {
            (Act::Rest, now + heartbeat / GATHERINGS_PER_HEARTBEAT)
        } else {
            watch.decide(&policy, &self.joiners, view, now)
        };
        self.due = due;
        self.watch = Some(watch);
        act
    }

    /// A server asks this leader to join.
    pub fn ask_to_join(
        &mut self,
        id: ServerId,
        public_key: Bytes,
        oversight: &Oversight<'_>,
        now: Instant,
    ) -> JoinAnswer {
        if oversight.configuration.contains(id) {
            return JoinAnswer::Member;
        }
        if self.dismissed.contains_key(&id) {
            return JoinAnswer::Dismissed;
        }
        if self.joiners.len() >= JOINERS_MAX && !self.joiners.contains_key(&id) {
            return JoinAnswer::Busy;
        }
        let joiner = self.joiners.entry(id).or_insert(Joiner {
            public_key: Bytes::new(),
            first_asked_at: now,
            asked_at: now,
        });
        joiner.public_key = public_key;
        joiner.asked_at = now;
        let gathered = joiner.first_asked_at
            + oversight.timing.heartbeat_interval() / GATHERINGS_PER_HEARTBEAT;
        self.due = self.due.min(gathered.max(now));
        JoinAnswer::Accepted
    }

    /// The core has answered a change of this policy's.
    pub fn changed(
        &mut self,
        result: &Result<Index, ChangeError>,
        oversight: Option<&Oversight<'_>>,
        now: Instant,
    ) {
        let (Some(watch), Some(view)) = (&mut self.watch, oversight) else {
            return;
        };
        watch.changing = false;
        self.due = now;
        match result {
            Err(ChangeError::Unreachable(id) | ChangeError::TooSlow(id)) => {
                let until = now + view.timing.election_timeout() * PUT_OFF_ELECTION_TIMEOUTS;
                watch.put_off.insert(*id, until);
            }
            // Another change came first, or this one was made: what is still to be done shows in the next look.
            Ok(_)
            | Err(
                ChangeError::NotLeader { .. }
                | ChangeError::Pending
                | ChangeError::AlreadyMember(_)
                | ChangeError::NotMember(_)
                | ChangeError::Invalid(_)
                | ChangeError::Unknown { .. },
            ) => {}
        }
    }

    /// An operator has removed this server: it is not taken in until an operator adds it.
    pub fn dismiss(&mut self, id: ServerId) {
        self.joiners.remove(&id);
        self.dismissals += 1;
        self.dismissed.insert(id, self.dismissals);
        if self.dismissed.len() > DISMISSED_MAX {
            let oldest = self.dismissed.iter().min_by_key(|(_, order)| **order);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.dismissed.remove(&oldest);
            }
        }
    }

    /// This configuration is committed: whom it names was added again, if ever removed.
    pub fn note_members(&mut self, configuration: &Configuration) {
        self.dismissed.retain(|id, _| !configuration.names(*id));
    }
}

impl Watch {
    fn begin(view: &Oversight<'_>, now: Instant) -> Self {
        // Of those who have not answered it yet, a new leader knows that they were silent since its predecessor was last
        // heard, at least towards itself.
        let silent_since = view.predecessor_led_at.unwrap_or(view.since);
        let members = view.configuration.members().map(|(id, _)| id);
        Self {
            term: view.term,
            asking_since: view.since,
            looked_at: now,
            silent_since: members.map(|id| (id, silent_since)).collect(),
            learners: BTreeMap::new(),
            inquiry: None,
            inquire_at: now,
            ready_since: None,
            put_off: BTreeMap::new(),
            changing: false,
        }
    }

    /// Takes note of who has answered, and of the time that passed.
    fn attend(&mut self, view: &Oversight<'_>, now: Instant) {
        // While this server did not look it may have been asleep, and asked nobody: such time is nobody's silence.
        let heartbeat = view.timing.heartbeat_interval();
        let slept = now.since(self.looked_at).saturating_sub(heartbeat * 2);
        self.looked_at = now;
        self.asking_since = now.min(self.asking_since + slept);
        for since in self.silent_since.values_mut() {
            *since = now.min(*since + slept);
        }
        self.silent_since
            .retain(|id, _| view.configuration.contains(*id));
        for (id, _) in view.configuration.members() {
            let heard_at = view.peer(id).and_then(|peer| peer.heard_at);
            let since = self.silent_since.entry(id).or_insert(now);
            *since = heard_at.map_or(*since, |at| at.max(*since));
        }
        self.put_off.retain(|_, until| now < *until);
        let is_learner = |id| view.configuration.is_learner(id);
        self.learners.retain(|id, _| is_learner(*id));
        for (id, _) in view
            .configuration
            .members()
            .filter(|(id, _)| is_learner(*id))
        {
            let learner = self.learners.entry(id).or_insert(CatchUp {
                goal: view.commit,
                since: now,
                ready: false,
            });
            let reached = view.peer(id).map(|peer| peer.match_index);
            if !learner.ready && reached.is_some_and(|reached| reached >= learner.goal) {
                learner.ready = now.since(learner.since) < view.timing.election_timeout();
                (learner.goal, learner.since) = (view.commit, now);
            }
        }
    }

    fn is_overdue(
        &self,
        policy: &MembershipPolicy,
        view: &Oversight<'_>,
        id: ServerId,
        now: Instant,
    ) -> bool {
        let silence = self.silent_since.get(&id).map(|since| now.since(*since));
        let asked_for = now.since(self.asking_since);
        id != view.id
            && silence.is_some_and(|silence| silence >= policy.evict_after())
            && asked_for >= policy.ask_for(view.timing.election_timeout())
    }

    fn decide(
        &mut self,
        policy: &MembershipPolicy,
        joiners: &BTreeMap<ServerId, Joiner>,
        view: &Oversight<'_>,
        now: Instant,
    ) -> (Act, Instant) {
        let heartbeat = view.timing.heartbeat_interval();
        let gathering = heartbeat / GATHERINGS_PER_HEARTBEAT;
        let overdue: BTreeSet<ServerId> = view
            .configuration
            .members()
            .map(|(id, _)| id)
            .filter(|id| self.is_overdue(policy, view, *id, now))
            .collect();
        let gathered = joiners
            .values()
            .map(|joiner| joiner.first_asked_at + gathering)
            .min();
        let mut situation = Situation {
            id: view.id,
            configuration: view.configuration,
            voices: BTreeMap::new(),
            caught_up: self.caught_up(),
            joiners: BTreeMap::new(),
        };
        if gathered.is_some_and(|gathered| gathered <= now) {
            situation.joiners = joiners
                .iter()
                .map(|(id, joiner)| (*id, joiner.public_key.clone()))
                .collect();
        }

        // What is there to do, if all who are overdue are dead and all others answer?
        situation.voices = voices(view, |id| {
            if overdue.contains(&id) {
                Voice::Dead
            } else {
                Voice::Answered
            }
        });
        let wanted = next_change(policy, &situation);
        let is_catching_up = self
            .learners
            .iter()
            .any(|(id, learner)| !learner.ready && !overdue.contains(id));
        let soon = if is_catching_up || !joiners.is_empty() {
            gathering
        } else {
            heartbeat
        };
        let next_look = gathered
            .filter(|gathered| *gathered > now)
            .map_or(now + soon, |gathered| gathered.min(now + soon));
        let Some(wanted) = wanted else {
            self.inquiry = None;
            self.ready_since = None;
            return (Act::Rest, next_look);
        };
        if !concerns_members(&wanted, &situation) {
            return self.submit(wanted, now, heartbeat);
        }
        // Those who come together are promoted together, if none keeps the others waiting for long.
        let evicts = wanted
            .steps
            .iter()
            .any(|step| matches!(step, MembershipStep::Remove(_)));
        let ready_since = *self.ready_since.get_or_insert(now);
        if !evicts && is_catching_up && now.since(ready_since) < heartbeat {
            return (Act::Rest, next_look);
        }

        let pace = heartbeat / ASKS_PER_HEARTBEAT;
        let Some(inquiry) = &mut self.inquiry else {
            if now < self.inquire_at {
                return (Act::Rest, next_look.min(self.inquire_at));
            }
            self.inquiry = Some(Inquiry {
                from: view.round.next(),
                asked: 1,
                next_at: now + pace,
            });
            return (Act::Ask, now + pace);
        };
        let is_over = inquiry.asked >= ASKS && now >= inquiry.next_at;
        let from = inquiry.from;
        situation.voices = voices(view, |id| {
            if view.peer(id).is_some_and(|peer| peer.round >= from) {
                Voice::Answered
            } else if is_over && overdue.contains(&id) {
                Voice::Dead
            } else {
                Voice::Awaited
            }
        });
        match next_change(policy, &situation) {
            // Also those who only ask to join need not wait for it.
            Some(change)
                if is_over
                    || !situation.joiners.is_empty()
                    || concerns_members(&change, &situation) =>
            {
                self.submit(change, now, heartbeat)
            }
            _ if is_over => {
                self.inquiry = None;
                self.inquire_at = now + heartbeat;
                (Act::Rest, next_look)
            }
            _ if now >= inquiry.next_at => {
                inquiry.asked += 1;
                inquiry.next_at = now + pace;
                if inquiry.asked == ASKS {
                    inquiry.next_at = now + pace.max(time_to_answer(view, &overdue));
                }
                (Act::Ask, inquiry.next_at)
            }
            _ => (Act::Rest, inquiry.next_at),
        }
    }

    fn caught_up(&self) -> BTreeSet<ServerId> {
        let ready = self.learners.iter().filter(|(_, learner)| learner.ready);
        ready
            .map(|(id, _)| *id)
            .filter(|id| !self.put_off.contains_key(id))
            .collect()
    }

    fn submit(
        &mut self,
        change: MembershipChange,
        now: Instant,
        heartbeat: Duration,
    ) -> (Act, Instant) {
        self.inquiry = None;
        self.ready_since = None;
        self.changing = true;
        (Act::Change(change), now + heartbeat)
    }
}

fn voices(view: &Oversight<'_>, voice: impl Fn(ServerId) -> Voice) -> BTreeMap<ServerId, Voice> {
    let others = view.configuration.members().map(|(id, _)| id);
    others
        .filter(|id| *id != view.id)
        .map(|id| (id, voice(id)))
        .collect()
}

/// Whether the change does more than take in who asks to join.
fn concerns_members(change: &MembershipChange, situation: &Situation<'_>) -> bool {
    change
        .steps
        .iter()
        .any(|step| situation.configuration.contains(step.server()))
}

/// How long the last ask is waited for: twice the longest round trip of those who live.
fn time_to_answer(view: &Oversight<'_>, overdue: &BTreeSet<ServerId>) -> Duration {
    let trips = view
        .peers
        .iter()
        .filter(|peer| !overdue.contains(&peer.id))
        .filter_map(|peer| peer.round_trip);
    let longest = trips.max().unwrap_or_default();
    (longest * 2).min(view.timing.election_timeout())
}

#[cfg(test)]
mod tests;
