//! A leader that a quorum hears is left in peace, and one that nobody hears is not waited for: what the checks of
//! elections and of cluster time watch of each member.

mod campaigns;
mod check_quorum;
mod cluster_time;
mod heartbeats;
mod loyalty;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::{Event, RoleKind};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::message::Body;
use liferaft_raft::time::Instant;

use super::Turn;
use crate::clock::Nanos;
use crate::member::Member;

/// Timers may be that much late.
const SLACK: Duration = Duration::from_millis(1);

/// All members' elections.
#[derive(Debug, Default)]
pub(super) struct Stability {
    watched: BTreeMap<usize, Watched>,
    /// What each member's clock showed when it started: if the clock leaps back then, it stands still for the member.
    started_at: BTreeMap<usize, Instant>,
}

/// What is known of one member's life.
#[derive(Debug)]
struct Watched {
    id: ServerId,
    life: u32,
    /// Its clock, which never goes back for it.
    now: Instant,
    timing: Timing,
    /// The interval before the last change of times, if that was longer.
    heartbeat_max: Duration,
    /// The longest election timeout that it had, in this life or before it promised what is stored: it may have
    /// promised a leader to wait for so long.
    election_timeout_max: Duration,
    /// The term and the time of its leader's last word.
    leader_word: Option<(Term, Instant)>,
    /// When it last had a reason to wait for a leader.
    waits_since: Instant,
    /// Whom it last voted for, as it wrote.
    voted_for: Option<ServerId>,
    /// Whether that vote was not on its disk yet, after the last turn.
    awaits_vote: bool,
    /// Who would vote for it, by campaign. One of an earlier life may have been for a later term than this life knows.
    grants: BTreeMap<Term, BTreeSet<ServerId>>,
    /// Since when it leads in its configuration, at its pace.
    leads_since: Instant,
    /// When its peers last answered it.
    answers: BTreeMap<ServerId, Instant>,
    /// Whom it has found, since it leads, to have lost what they had acknowledged: their answers count for nothing.
    forgetful: BTreeSet<ServerId>,
    /// When it last spoke to its peers as their leader.
    spoken: BTreeMap<ServerId, Instant>,
    configuration: Index,
    /// How long it has led, while it does.
    led: Option<cluster_time::Led>,
}

impl Stability {
    /// A member begins a life.
    pub(super) fn started(&mut self, member: &Member, at: usize, now: Nanos) {
        self.started_at.insert(at, member.clock.at(now));
    }

    pub(super) fn check(&mut self, turn: &Turn<'_>) -> Result<(), (&'static str, String)> {
        let member = &turn.members[turn.member];
        let started_at = self.started_at.get(&turn.member);
        let begin = || {
            Watched::new(
                turn,
                started_at.map_or(turn.local, |at| turn.local.max(*at)),
            )
        };
        let watched = self.watched.entry(turn.member).or_insert_with(begin);
        if watched.life != member.life || watched.id != member.id {
            *watched = begin();
        }
        loyalty::check(watched, turn).map_err(|text| ("loyalty", text))?;
        cluster_time::count(watched, turn);
        watched.take(turn);
        cluster_time::check(watched, turn).map_err(|text| ("cluster time", text))?;
        campaigns::check(watched, turn).map_err(|text| ("campaigns in time", text))?;
        check_quorum::check(watched, turn).map_err(|text| ("check quorum", text))?;
        heartbeats::check(watched, turn).map_err(|text| ("heartbeats", text))
    }
}

impl Watched {
    fn new(turn: &Turn<'_>, now: Instant) -> Self {
        let member = &turn.members[turn.member];
        let timing = turn.plan.config.timing();
        let stored = member.disk.durable().hard_state();
        Self {
            id: member.id,
            life: member.life,
            now,
            timing,
            heartbeat_max: timing.heartbeat_interval(),
            election_timeout_max: timing.election_timeout().max(stored.promise),
            leader_word: None,
            waits_since: now,
            voted_for: stored.voted_for,
            awaits_vote: false,
            grants: BTreeMap::new(),
            leads_since: now,
            answers: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            spoken: BTreeMap::new(),
            configuration: Index::ZERO,
            led: None,
        }
    }

    /// Its clock, as of this turn.
    fn now(&self, turn: &Turn<'_>) -> Instant {
        self.now.max(turn.local)
    }

    /// Whether it heard its leader within the least election timeout before this turn.
    fn is_loyal(&self, turn: &Turn<'_>) -> bool {
        let (before, now) = (turn.before, self.now(turn));
        let heard = self.leader_word.is_some_and(|(term, at)| {
            term == before.term && now.since(at) < self.timing.election_timeout()
        });
        before.leads() || before.role == RoleKind::Follower && heard
    }

    fn take(&mut self, turn: &Turn<'_>) {
        self.now = self.now(turn);
        let (heard, after) = (turn.heard, turn.after());
        if let Some(timing) = heard.timing {
            self.heartbeat_max = self
                .timing
                .heartbeat_interval()
                .max(timing.heartbeat_interval());
            self.election_timeout_max = self.election_timeout_max.max(timing.election_timeout());
            self.timing = timing;
        }
        let events = &turn.output.events;
        let is_cast = |event: &Event| matches!(event, Event::RoleChanged { .. });
        if after.role == RoleKind::Follower && events.iter().any(is_cast) {
            // Whoever waits for a leader anew is bound to none.
            self.leader_word = None;
        }
        if let Some(term) = heard.leader.filter(|term| *term == after.term) {
            self.leader_word = Some((term, self.now));
        }
        let (configuration, _) = turn.log().configuration();
        let is_other = core::mem::replace(&mut self.configuration, configuration) != configuration;
        let is_elsewhere = is_other || heard.timing.is_some();
        if let Some(led) = self.led.as_mut().filter(|_| is_elsewhere) {
            led.begin_anew(self.now);
        }
        let is_anew =
            |event: &Event| matches!(event, Event::RoleChanged { .. } | Event::ElectionDeferred);
        let written = turn.output.writes.iter();
        if let Some(hard_state) = written.filter_map(|write| write.hard_state).next_back() {
            self.voted_for = hard_state.voted_for;
        }
        let stored = turn.durable().hard_state();
        let is_stored = (stored.term, stored.voted_for) == (after.term, self.voted_for);
        let awaits_vote = self.voted_for.is_some() && !is_stored;
        let awaited_vote = core::mem::replace(&mut self.awaits_vote, awaits_vote);
        // A vote that is asked for again is given again.
        let votes = heard.votes_asked.iter();
        let mut votes = votes.filter(|vote| **vote == (after.term, self.voted_for));
        if is_elsewhere
            || awaits_vote
            || awaited_vote
            || heard.leader == Some(after.term)
            || votes.next().is_some()
            || turn.output.events.iter().any(is_anew)
        {
            self.waits_since = self.now;
        }
        for (from, campaign) in &heard.grants {
            self.grants.entry(*campaign).or_default().insert(*from);
        }
        while let Some(campaign) = self.grants.first_entry()
            && *campaign.key() < after.term
        {
            campaign.remove();
        }
        if !after.leads() {
            return;
        }
        if turn.begins_to_lead() {
            self.answers.clear();
            self.forgetful.clear();
            self.spoken.clear();
        }
        if turn.begins_to_lead() || is_elsewhere {
            self.leads_since = self.now;
        }
        let events = events.iter();
        self.forgetful
            .extend(events.filter_map(|event| match event {
                Event::PeerForgot { peer, .. } => Some(*peer),
                _ => None,
            }));
        for (from, term) in &heard.answers {
            if *term == after.term && !self.forgetful.contains(from) {
                self.answers.insert(*from, self.now);
            }
        }
        for (to, message) in &turn.output.messages {
            if matches!(
                message.body,
                Body::AppendEntries(_) | Body::InstallSnapshot(_)
            ) {
                self.spoken.insert(*to, self.now);
            }
        }
    }
}
