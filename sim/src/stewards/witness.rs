//! Remembers what a policy's decisions are judged by: what the network delivered, what struck, and how long leaders were
//! awake.
//!
//! Nothing of it is taken from what stewards or cores say of silences.

use std::collections::BTreeMap;
use std::time::Duration;

use liferaft_raft::consensus::Oversight;
use liferaft_raft::ids::{Index, Round, ServerId, Term};
use liferaft_raft::message::{Body, Message};
use liferaft_raft::time::Instant;

use crate::action::Action;
use crate::clock::Nanos;

/// A leader begins a round in each heartbeat interval. One that had no turn for longer than so many of them slept.
const AWAKE_HEARTBEATS: u32 = 2;

/// A leader that asks again does so within a heartbeat interval, and goes on asking after what is no sleep.
const ASKING_HEARTBEATS: u32 = 1 + AWAKE_HEARTBEATS;

/// What is known of each leader and of those that it asks.
#[derive(Debug)]
pub(crate) struct Witness {
    is_needed: bool,
    wakes: BTreeMap<usize, Wake>,
    /// The last answer to a new round that a leader was delivered from a server.
    answers: BTreeMap<(usize, ServerId), Answer>,
    /// Since when each member leads.
    offices: BTreeMap<usize, Office>,
    /// What each leader's policy has asked for last.
    inquiries: BTreeMap<usize, Inquiry>,
    /// When something last befell a member, or one of its links.
    struck_at: BTreeMap<usize, Nanos>,
}

/// A member's time, by its own clock, which never goes back for it while it runs.
#[derive(Clone, Copy, Debug, Default)]
struct Wake {
    now: Instant,
    /// Whether it has started again since: it goes by what its clock shows then.
    is_fresh: bool,
    /// How long it was awake until then.
    awake: Duration,
    heartbeat_max: Duration,
}

impl Wake {
    fn awake_at(&self, now: Instant) -> Duration {
        if self.is_fresh {
            return self.awake;
        }
        let passed = now.since(self.now);
        self.awake + passed.min(self.heartbeat_max * AWAKE_HEARTBEATS)
    }
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    term: Term,
    round: Round,
    awake: Duration,
}

/// Rounds that a policy has asked for, one soon after the other.
#[derive(Clone, Copy, Debug)]
struct Inquiry {
    term: Term,
    /// The last round before the first of them.
    after: Round,
    asked_at: Instant,
}

/// A term of leadership.
#[derive(Debug)]
struct Office {
    term: Term,
    awake: Duration,
    /// What was committed when each learner was first seen.
    goals: BTreeMap<ServerId, Index>,
    members: BTreeMap<ServerId, Membership>,
}

/// Since when a leader has known a server as a member. Answers to what it was asked before are nobody's: who was
/// removed and comes back has no part in them.
#[derive(Clone, Copy, Debug)]
struct Membership {
    after: Round,
    awake: Duration,
}

/// For how long a leader has heard nothing new of a server, in time that it was awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It has answered in this term, so long ago.
    Since(Duration),
    /// It never has in this term, or since it is a member, which is so long.
    Always(Duration),
}

impl Witness {
    pub(super) fn new(is_needed: bool) -> Self {
        Self {
            is_needed,
            wakes: BTreeMap::new(),
            answers: BTreeMap::new(),
            offices: BTreeMap::new(),
            inquiries: BTreeMap::new(),
            struck_at: BTreeMap::new(),
        }
    }

    /// A member's clock as its driver reads it: it never goes back.
    pub(crate) fn now(&self, at: usize, now: Instant) -> Instant {
        let wake = self.wakes.get(&at).filter(|wake| !wake.is_fresh);
        wake.map_or(now, |wake| wake.now.max(now))
    }

    /// A member takes a turn.
    pub(crate) fn turned(&mut self, at: usize, now: Instant, heartbeat: Duration) {
        if !self.is_needed {
            return;
        }
        let wake = self.wakes.entry(at).or_insert(Wake {
            now,
            ..Wake::default()
        });
        wake.heartbeat_max = wake.heartbeat_max.max(heartbeat);
        let now = if wake.is_fresh {
            now
        } else {
            now.max(wake.now)
        };
        (wake.awake, wake.now, wake.is_fresh) = (wake.awake_at(now), now, false);
    }

    /// A member starts anew.
    pub(super) fn started(&mut self, at: usize) {
        self.offices.remove(&at);
        if let Some(wake) = self.wakes.get_mut(&at) {
            wake.is_fresh = true;
        }
    }

    /// A message is delivered.
    pub(crate) fn delivered(&mut self, to: usize, from: ServerId, message: &Message, now: Instant) {
        if !self.is_needed {
            return;
        }
        let round = match &message.body {
            Body::AppendEntriesReply(reply) => reply.round,
            Body::InstallSnapshotReply(reply) => reply.round,
            _ => return,
        };
        let known = self.answers.get(&(to, from));
        let is_news = known.is_none_or(|known| (message.term, round) > (known.term, known.round));
        if is_news && round > Round::ZERO {
            let answer = Answer {
                term: message.term,
                round,
                awake: self.awake(to, now),
            };
            self.answers.insert((to, from), answer);
        }
    }

    /// A leader's steward looks.
    pub(super) fn looks(&mut self, at: usize, view: &Oversight<'_>, now: Instant) {
        let awake = self.awake(at, now);
        let all = || view.configuration.members().map(|(id, _)| id);
        let is_another = |office: &Office| office.term != view.term;
        if self.offices.get(&at).is_none_or(is_another) {
            let office = Office {
                term: view.term,
                awake,
                goals: BTreeMap::new(),
                members: all()
                    .map(|id| {
                        (
                            id,
                            Membership {
                                after: Round::ZERO,
                                awake,
                            },
                        )
                    })
                    .collect(),
            };
            self.offices.insert(at, office);
        }
        if let Some(office) = self.offices.get_mut(&at) {
            let after = view.round;
            office
                .members
                .retain(|id, _| view.configuration.contains(*id));
            for id in all() {
                office
                    .members
                    .entry(id)
                    .or_insert(Membership { after, awake });
            }
            let is_learner = |id: ServerId| view.configuration.is_learner(id);
            office.goals.retain(|id, _| is_learner(*id));
            for id in all().filter(|id| is_learner(*id)) {
                office.goals.entry(id).or_insert(view.commit);
            }
        }
    }

    /// A leader's policy has it ask all members.
    pub(super) fn asks(&mut self, at: usize, view: &Oversight<'_>, now: Instant) {
        let heartbeat = view.timing.heartbeat_interval();
        let inquiry = self.inquiries.entry(at).or_insert(Inquiry {
            term: view.term,
            after: view.round,
            asked_at: now,
        });
        if inquiry.term != view.term || now.since(inquiry.asked_at) > heartbeat * ASKING_HEARTBEATS
        {
            (inquiry.term, inquiry.after) = (view.term, view.round);
        }
        inquiry.asked_at = now;
    }

    /// A leader's policy has called for a change: it asks anew before the next one.
    pub(crate) fn called(&mut self, at: usize) {
        self.inquiries.remove(&at);
    }

    /// Whether a server has answered what a leader's policy has asked for last.
    pub(crate) fn has_answered(&self, at: usize, of: ServerId) -> bool {
        let (inquiry, answer) = (self.inquiries.get(&at), self.answers.get(&(at, of)));
        inquiry.zip(answer).is_some_and(|(inquiry, answer)| {
            answer.term == inquiry.term && answer.round > inquiry.after
        })
    }

    /// How long ago a leader has heard something new of a server, if it has in its term.
    pub(crate) fn answered_ago(&self, at: usize, of: ServerId, now: Instant) -> Option<Duration> {
        let answer = self.answer_after(Round::ZERO, at, of)?;
        Some(self.awake(at, now) - answer.awake)
    }

    /// For how long a leader has heard nothing new of a member.
    pub(crate) fn silence(&self, at: usize, of: ServerId, now: Instant) -> Silence {
        let awake = self.awake(at, now);
        let office = self.offices.get(&at);
        let member = office.and_then(|office| office.members.get(&of));
        let after = member.map_or(Round::ZERO, |member| member.after);
        if let Some(answer) = self.answer_after(after, at, of) {
            return Silence::Since(awake - answer.awake);
        }
        let since = member.map(|member| member.awake);
        let since = since.or(office.map(|office| office.awake));
        Silence::Always(awake - since.unwrap_or_default())
    }

    /// The last answer of a leader's term, if it is to a later round than this.
    fn answer_after(&self, after: Round, at: usize, of: ServerId) -> Option<&Answer> {
        let term = self.offices.get(&at)?.term;
        let answer = self.answers.get(&(at, of))?;
        (answer.term == term && answer.round > after).then_some(answer)
    }

    /// What had been committed when a leader first saw this learner.
    pub(crate) fn goal(&self, at: usize, of: ServerId) -> Option<Index> {
        self.offices.get(&at)?.goals.get(&of).copied()
    }

    fn awake(&self, at: usize, now: Instant) -> Duration {
        let wake = self.wakes.get(&at);
        wake.map_or(Duration::ZERO, |wake| wake.awake_at(now))
    }

    /// Something befalls a member, or ends, or is known to end then.
    pub(crate) fn struck(&mut self, at: usize, now: Nanos) {
        if self.is_needed {
            let struck_at = self.struck_at.entry(at).or_default();
            *struck_at = now.max(*struck_at);
        }
    }

    /// Something happens to the cluster from outside.
    pub(crate) fn acted(&mut self, action: &Action, members: usize, now: Nanos) {
        match action {
            Action::Crash(at, _)
            | Action::Restart(at)
            | Action::CrashInTurn(at, _)
            | Action::Pause(at)
            | Action::Resume(at)
            | Action::SlowDisk(at, _)
            | Action::ClockForward(at, _)
            | Action::ClockBack(at, _)
            | Action::ClockRate(at, _)
            | Action::FailSync(at, _)
            | Action::FillDisk(at, _)
            | Action::FreeDisk(at)
            | Action::Wipe(at)
            | Action::Rot(at, _)
            | Action::HangDisk(at)
            | Action::ResumeDisk(at)
            | Action::StallMachine(at)
            | Action::ResumeMachine(at)
            | Action::Stranger(at, _)
            | Action::Blank(at)
            | Action::Retire(at) => self.struck(*at, now),
            Action::Cut(from, to) | Action::Mend(from, to) => {
                self.struck(*from, now);
                self.struck(*to, now);
            }
            Action::DropInFlight => (0..members).for_each(|at| self.struck(at, now)),
            Action::Propose(..)
            | Action::Read(..)
            | Action::Change(..)
            | Action::Transfer(..)
            | Action::Capture(_)
            | Action::SetTiming(..)
            | Action::ReplaceLost
            | Action::PartWhenJoint(..)
            | Action::MarkTime(..)
            | Action::CrashInInstall(_)
            | Action::Impostor(..)
            | Action::CopyDisk(_)
            | Action::ShowCopy(_) => {}
        }
    }

    /// For how long nothing has befallen a member. Of what goes on, only its beginning counts.
    pub(crate) fn untouched_for(&self, at: usize, now: Nanos) -> Nanos {
        now.saturating_sub(self.struck_at.get(&at).copied().unwrap_or_default())
    }
}
