//! The watch that a leader keeps in one term: who has been silent for how long, who catches up, and who must be asked
//! before silence is believed.

use core::time::Duration;

use super::act::Act;
use super::joiner::{GATHERINGS_PER_HEARTBEAT, Joiner};
use super::{MembershipPolicy, Situation, Voice, next_change};
use crate::consensus::planted::{Bug, is_planted};
use crate::consensus::{Addition, MembershipChange, MembershipStep, Oversight};
use crate::ids::{Index, Round, ServerId, Term};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Instant;

/// How often a server that has been silent for too long is asked before it counts as dead: with every tenth message
/// lost, one of 600,000 living servers answers none of so many.
pub(super) const ASKS: u32 = 8;

/// Asks follow one another at this part of a heartbeat interval.
const ASKS_PER_HEARTBEAT: u32 = 16;

/// The watch of one term of leadership.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    term: Term,
    /// Since when this leader has asked for itself, not counting times when it slept.
    asking_since: Instant,
    looked_at: Instant,
    /// Since when each member has been silent.
    silent_since: SortedMap<ServerId, Instant>,
    learners: SortedMap<ServerId, CatchUp>,
    inquiry: Option<Inquiry>,
    /// The next inquiry does not begin before this.
    inquire_at: Instant,
    /// Since when a learner could have been promoted.
    ready_since: Option<Instant>,
    put_off: SortedMap<ServerId, Instant>,
    /// Whether a change of the policy's is under way.
    changing: bool,
}

/// A learner that catches up, in rounds: it is ready when what was committed at the beginning of one reached it within
/// an election timeout (§4.2.1).
#[derive(Clone, Copy, Debug)]
struct CatchUp {
    goal: Index,
    since: Instant,
    ready: bool,
    /// Whether it makes no headway in its round: nobody waits for it.
    stuck: bool,
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

/// Who may be dead.
struct Suspicion {
    /// Who is to be asked: those below, and those whose time is over by the time that they have been.
    suspects: SortedSet<ServerId>,
    /// Who has been silent for as long as it may be; who has lost what it acknowledged; and which voter's disk hangs.
    overdue: SortedSet<ServerId>,
    /// When one more is to be asked, or is overdue.
    next_at: Instant,
}

impl Watch {
    /// Begins with what a leader that has just been elected knows.
    pub(super) fn begin(view: &Oversight<'_>, now: Instant) -> Self {
        // Of those who have not answered it yet, a new leader knows that they were silent since its predecessor was
        // last heard, at least towards itself.
        let silent_since = view.predecessor_led_at.unwrap_or(view.since);
        let members = view.configuration.members().map(|(id, _)| id);
        Self {
            term: view.term,
            asking_since: view.since,
            looked_at: now,
            silent_since: members.map(|id| (id, silent_since)).collect(),
            learners: SortedMap::new(),
            inquiry: None,
            inquire_at: now,
            ready_since: None,
            put_off: SortedMap::new(),
            changing: false,
        }
    }

    /// Takes note of who has answered, and of the time that passed.
    pub(super) fn attend(&mut self, view: &Oversight<'_>, now: Instant) {
        // While this server did not look it may have been asleep, and asked nobody: such time is nobody's silence.
        let heartbeat = view.timing.heartbeat_interval();
        let slept = if is_planted(Bug::SleepIsSilence) {
            Duration::ZERO
        } else {
            now.since(self.looked_at).saturating_sub(heartbeat * 2)
        };
        if !slept.is_zero() {
            self.interrupt();
        }
        self.looked_at = now;
        self.asking_since = now.min(self.asking_since + slept);
        self.silent_since
            .retain(|id, _| view.configuration.contains(*id));
        for (id, _) in view.configuration.members() {
            let heard_at = view.peer(id).and_then(|peer| peer.heard_at);
            let since = self.silent_since.entry(id).or_insert(now);
            // This server looks in its first turn after a sleep: who answered before this look answered before the
            // sleep.
            *since = now.min(heard_at.map_or(*since, |at| at.max(*since)) + slept);
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
                stuck: false,
            });
            learner.stuck = view.peer(id).is_some_and(|peer| {
                let since = peer
                    .headway_at
                    .map_or(learner.since, |at| at.max(learner.since));
                now.since(since) > peer.headway_within
            });
            let reached = view.peer(id).map(|peer| peer.match_index);
            if !learner.ready && reached.is_some_and(|reached| reached >= learner.goal) {
                learner.ready = now.since(learner.since) < view.timing.election_timeout();
                (learner.goal, learner.since) = (view.commit, now);
            }
        }
    }

    /// The term whose leader keeps this watch.
    pub(super) const fn term(&self) -> Term {
        self.term
    }

    /// Whether a change of the policy's is under way.
    pub(super) const fn is_changing(&self) -> bool {
        self.changing
    }

    /// The change of the policy's that was under way has been answered.
    pub(super) const fn changed(&mut self) {
        self.changing = false;
    }

    /// This server is not promoted until then, nor before it has caught up once more.
    pub(super) fn put_off(&mut self, id: ServerId, until: Instant) {
        self.learners.remove(&id);
        self.put_off.insert(id, until);
    }

    /// What was asked cannot be gone on with: answers that have come will be old by the time that it is.
    pub(super) fn interrupt(&mut self) {
        self.inquiry = None;
    }

    /// Who counts as dead, and who will unless it answers the asks that end when it would.
    fn suspicion(
        &self,
        policy: &MembershipPolicy,
        view: &Oversight<'_>,
        now: Instant,
    ) -> Suspicion {
        let asking = asking_time(view);
        let mut suspicion = Suspicion {
            suspects: SortedSet::new(),
            overdue: SortedSet::new(),
            next_at: Instant::MAX,
        };
        let others = view.configuration.members().map(|(id, _)| id);
        for id in others.filter(|id| *id != view.id) {
            // Whatever these answer, one has lost what it acknowledged, and the disk of the other hangs.
            let is_lost = view.has_forgotten(id) || is_stalled(policy, view, id);
            let dead_at = self.dead_at(policy, view, id);
            let ask_at = dead_at - asking;
            if is_lost || dead_at <= now {
                suspicion.overdue.insert(id);
            }
            if is_lost || ask_at <= now {
                suspicion.suspects.insert(id);
            }
            let later = [ask_at, dead_at].into_iter().filter(|at| *at > now);
            suspicion.next_at = later.fold(suspicion.next_at, Instant::min);
        }
        suspicion
    }

    /// When a server has been silent for as long as it may be, if it stays so.
    ///
    /// One that has answered was there until it left something unanswered, which was asked up to a heartbeat interval
    /// after its last answer: counted from there, no silence is shorter than it seems unless answers were lost.
    fn dead_at(&self, policy: &MembershipPolicy, view: &Oversight<'_>, id: ServerId) -> Instant {
        let has_answered = view.peer(id).is_some_and(|peer| peer.heard_at.is_some());
        let until_asked = if has_answered {
            view.timing.heartbeat_interval()
        } else {
            Duration::ZERO
        };
        let since = self.silent_since.get(&id);
        let silent_at = since.map_or(Instant::MAX, |since| {
            *since + until_asked + policy.evict_after()
        });
        let long_enough = policy.ask_for(view.timing.election_timeout());
        let believed_at = if is_planted(Bug::SilenceByHearsay) {
            Instant::ORIGIN
        } else {
            self.asking_since + long_enough
        };
        silent_at.max(believed_at)
    }

    fn is_catching_up(&self, suspects: &SortedSet<ServerId>) -> bool {
        let mut learners = self.learners.iter();
        learners.any(|(id, learner)| !learner.ready && !learner.stuck && !suspects.contains(id))
    }

    /// What is to be done, and when to look again. Nothing that is under way may be in its way.
    pub(super) fn decide(
        &mut self,
        policy: &MembershipPolicy,
        joiners: &SortedMap<ServerId, Joiner>,
        view: &Oversight<'_>,
        now: Instant,
    ) -> (Act, Instant) {
        let heartbeat = view.timing.heartbeat_interval();
        let suspicion = self.suspicion(policy, view, now);
        let suspects = &suspicion.suspects;
        let mut situation = Situation {
            id: view.id,
            configuration: view.configuration,
            // What is there to do, if all suspects are dead and all others answer?
            voices: voices(view, |id| {
                if view.has_forgotten(id) {
                    Voice::Forgot
                } else if suspects.contains(&id) {
                    Voice::Dead
                } else {
                    Voice::Answered
                }
            }),
            caught_up: self.caught_up(),
            joiners: gathered(joiners, heartbeat, now),
            cluster_time: view.cluster_time,
        };
        let is_catching_up = self.is_catching_up(suspects);
        let next_look = next_look(joiners, is_catching_up, heartbeat, now).min(suspicion.next_at);
        let Some(wanted) = next_change(policy, &situation) else {
            self.interrupt();
            self.ready_since = None;
            return (Act::Rest, next_look);
        };
        if !concerns_members(&wanted, &situation) || is_planted(Bug::EvictsUnasked) {
            return self.submit(wanted, now, heartbeat);
        }
        // Those who come together are promoted together, if none keeps the others waiting for long.
        let ready_since = *self.ready_since.get_or_insert(now);
        if !evicts(&wanted) && is_catching_up && now.since(ready_since) < heartbeat {
            self.interrupt();
            return (Act::Rest, next_look);
        }
        if self.inquiry.is_none() && now < self.inquire_at {
            return (Act::Rest, next_look.min(self.inquire_at));
        }
        let (act, due) = self.inquire(policy, &mut situation, &suspicion, view, next_look, now);
        // It looks at least this often, so that a sleep shows.
        (act, due.min(now + heartbeat))
    }

    /// Asks before it believes: the change is made that the answers call for, which may not be the one that was wanted.
    fn inquire(
        &mut self,
        policy: &MembershipPolicy,
        situation: &mut Situation<'_>,
        suspicion: &Suspicion,
        view: &Oversight<'_>,
        next_look: Instant,
        now: Instant,
    ) -> (Act, Instant) {
        let heartbeat = view.timing.heartbeat_interval();
        let pace = pace(view);
        let Some(inquiry) = &mut self.inquiry else {
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
            if view.has_forgotten(id) {
                Voice::Forgot
            } else if is_stalled(policy, view, id) {
                Voice::Dead
            } else if view.peer(id).is_some_and(|peer| peer.round >= from) {
                Voice::Answered
            } else if is_over && suspicion.overdue.contains(&id) {
                Voice::Dead
            } else {
                Voice::Awaited
            }
        });
        match next_change(policy, situation) {
            // Also those who only ask to join need not wait for it.
            Some(change)
                if is_over
                    || !situation.joiners.is_empty()
                    || concerns_members(&change, situation) =>
            {
                self.submit(change, now, heartbeat)
            }
            // The time of some is not over: those who fell silent together go together.
            _ if is_over && suspicion.suspects.len() > suspicion.overdue.len() => {
                (Act::Rest, next_look)
            }
            _ if is_over => {
                self.inquiry = None;
                // One who is about to count as dead may be who was awaited.
                self.inquire_at = suspicion.next_at.min(now + heartbeat);
                (Act::Rest, next_look)
            }
            _ if now >= inquiry.next_at => {
                inquiry.asked += 1;
                inquiry.next_at = now + pace;
                if inquiry.asked == ASKS {
                    inquiry.next_at = now + last_wait(view);
                }
                (Act::Ask, inquiry.next_at)
            }
            _ => (Act::Rest, inquiry.next_at),
        }
    }

    fn caught_up(&self) -> SortedSet<ServerId> {
        let is_ready = |learner: &CatchUp| learner.ready || is_planted(Bug::PromotesTooSoon);
        let ready = self
            .learners
            .iter()
            .filter(|(_, learner)| is_ready(learner));
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

/// Returns true if this server votes and its disk hangs. Commits wait for it like for one that is silent, which the
/// rounds that it echoes hide. A learner keeps nobody waiting, and one whose state machine is slow has made durable
/// what it received.
fn is_stalled(policy: &MembershipPolicy, view: &Oversight<'_>, id: ServerId) -> bool {
    let peer = view.peer(id).filter(|_| view.configuration.is_voter(id));
    peer.is_some_and(|peer| {
        let long_enough = policy.evict_after().max(peer.headway_within);
        peer.disk_stalled_for
            .is_some_and(|stalled| stalled >= long_enough)
    })
}

/// Those who ask to join, once the first of them has waited for the others to gather.
fn gathered(
    joiners: &SortedMap<ServerId, Joiner>,
    heartbeat: Duration,
    now: Instant,
) -> SortedMap<ServerId, Addition> {
    if gathered_at(joiners, heartbeat).is_none_or(|at| at > now) {
        return SortedMap::new();
    }
    let joiners = joiners.iter();
    joiners
        .map(|(id, joiner)| (*id, joiner.addition.clone()))
        .collect()
}

fn gathered_at(joiners: &SortedMap<ServerId, Joiner>, heartbeat: Duration) -> Option<Instant> {
    let first = joiners.values().map(|joiner| joiner.first_asked_at).min();
    first.map(|first| first + heartbeat / GATHERINGS_PER_HEARTBEAT)
}

/// When to look again, if nothing is done now.
fn next_look(
    joiners: &SortedMap<ServerId, Joiner>,
    is_catching_up: bool,
    heartbeat: Duration,
    now: Instant,
) -> Instant {
    let soon = if is_catching_up || !joiners.is_empty() {
        now + heartbeat / GATHERINGS_PER_HEARTBEAT
    } else {
        now + heartbeat
    };
    let gathered_at = gathered_at(joiners, heartbeat).filter(|at| *at > now);
    gathered_at.map_or(soon, |at| at.min(soon))
}

fn evicts(change: &MembershipChange) -> bool {
    let mut steps = change.steps.iter();
    steps.any(|step| matches!(step, MembershipStep::Evict(_) | MembershipStep::Retire(_)))
}

fn voices(view: &Oversight<'_>, voice: impl Fn(ServerId) -> Voice) -> SortedMap<ServerId, Voice> {
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
        .filter_map(MembershipStep::server)
        .any(|id| situation.configuration.contains(id))
}

/// How long after one another asks are sent.
fn pace(view: &Oversight<'_>) -> Duration {
    view.timing.heartbeat_interval() / ASKS_PER_HEARTBEAT
}

/// How long an inquiry takes.
fn asking_time(view: &Oversight<'_>) -> Duration {
    pace(view) * (ASKS - 1) + last_wait(view)
}

/// How long the last ask is waited for: twice the longest round trip, as far as any is known.
fn last_wait(view: &Oversight<'_>) -> Duration {
    let trips = view.peers.iter().filter_map(|peer| peer.round_trip);
    let to_answer = trips.max().unwrap_or_default() * 2;
    to_answer
        .min(view.timing.election_timeout())
        .max(pace(view))
}
