//! Becoming a member, and becoming one again: asking those who may know the leader, until this server takes part.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use liferaft_platform::SortedSet;
use liferaft_transport::access::Refusal;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use thiserror::Error;
use tokio::sync::watch;

use super::solitude::Loneliness;
use crate::config::Timing;
use crate::configuration::{Configuration, Dismissal, Foreign, SERVERS_MAX, TokenFault, Versions};
use crate::consensus::{Raft, RoleKind};
use crate::ids::ServerId;
use crate::time::Instant;
use crate::wire::JoinReply;

/// A member that has heard no leader for so many election timeouts asks others whether it is a member still.
const LONELY_ELECTION_TIMEOUTS: u32 = 2;

/// One that has just started does so when it has heard none for so many heartbeat intervals.
const STARTED_HEARTBEATS: u32 = 2;

/// The time between two asks doubles so often, from a heartbeat interval on: it stays well below the time after which a
/// leader takes a wish for given up.
const DOUBLINGS_MAX: u32 = 3;

/// A server that an operator has removed asks only so often, in election timeouts: it may have been added again since,
/// and evicted before it heard of that.
const DISMISSED_ELECTION_TIMEOUTS: u32 = 32;

/// The answers of so many servers count, those that were asked last: an answer may come after the next was asked.
const ASKED_MAX: usize = 16;

/// After so many redirections in a row the next ask waits, as if there had been no answer.
const REDIRECTIONS_MAX: u32 = 8;

/// Whom a server asks to be taken in: any members, of which it needs to reach one.
///
/// It may change while the server asks, as the list of a signaling server does: it is looked at for each attempt.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::driver::Roster;
/// use liferaft::ids::ServerId;
///
/// let fixed = Roster::from([ServerId(1), ServerId(2)]);
/// let changing = Roster::new(|| vec![ServerId(1)]);
/// # drop((fixed, changing));
/// ```
pub struct Roster(Box<dyn FnMut() -> Vec<ServerId> + Send>);

impl Roster {
    /// Those whom this function names, each time it is called. It must return at once.
    pub fn new(servers: impl FnMut() -> Vec<ServerId> + Send + 'static) -> Self {
        Self(Box::new(servers))
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roster").finish_non_exhaustive()
    }
}

impl From<Vec<ServerId>> for Roster {
    fn from(servers: Vec<ServerId>) -> Self {
        Self::new(move || servers.clone())
    }
}

impl<const N: usize> From<[ServerId; N]> for Roster {
    fn from(servers: [ServerId; N]) -> Self {
        Self::from(servers.to_vec())
    }
}

impl From<ServerId> for Roster {
    fn from(server: ServerId) -> Self {
        Self::from([server])
    }
}

impl From<watch::Receiver<Vec<ServerId>>> for Roster {
    fn from(servers: watch::Receiver<Vec<ServerId>>) -> Self {
        Self::new(move || servers.borrow().clone())
    }
}

/// Why a server takes no part in the cluster that it asks to join, as others told it. It asks on: whoever is asked next
/// may say something else, and an operator may add it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Exclusion {
    /// A server that was asked belongs to another cluster: the address or the [`ClusterId`](crate::ids::ClusterId) is
    /// wrong.
    #[error("server {server}, which was asked, belongs to another cluster")]
    WrongCluster {
        /// The server.
        server: ServerId,
    },
    /// A server that was asked belongs to another history of this cluster: the cluster was founded twice. This server
    /// can join with empty storage, under another id.
    #[error(
        "server {server}, which was asked, belongs to another history of this cluster, which was founded twice"
    )]
    AnotherHistory {
        /// The server.
        server: ServerId,
    },
    /// An operator has removed this server, and an operator must add it again.
    #[error(
        "an operator removed this server from its cluster: one has to add it, or it comes as a new server"
    )]
    Removed,
    /// The leader takes nobody in by itself: an operator must add this server.
    #[error("an operator must add this server: leader {leader} takes nobody in by itself")]
    Manual {
        /// The leader that was asked.
        leader: ServerId,
    },
    /// The cluster is closed, and takes in who has an invitation.
    #[error("this server needs an invitation: its cluster is closed")]
    NotInvited,
    /// The cluster does not know this server any more: it left so long ago that this is forgotten.
    #[error("the cluster has forgotten this server: it needs a new invitation")]
    Forgotten,
    /// Nobody whom this server knows can be reached, for long: they may all have left. A server that is started with a
    /// new [invitation](super::MemberBuilder::invited) finds those who are there.
    #[error(
        "no server that this one knows can be reached: if they have left or moved, it needs an invitation by one of them"
    )]
    NoPeer,
    /// A later start of this server's storage was seen, or another one in the place of one that it shows: the storage
    /// is an old copy, or a copy of it is in use. It has forgotten what others count on, and takes no part.
    #[error(
        "the storage of this server is a copy, or was set back: a later or another start of it was seen"
    )]
    OldBoot,
    /// This server speaks no version of the protocol that the cluster speaks: another build is needed.
    #[error(
        "this server speaks no protocol version that the other end speaks, which is {versions}"
    )]
    NoCommonVersion {
        /// What a member speaks.
        versions: Versions,
    },
    /// The access token of this server's invitation lets nobody in: it needs another invitation.
    #[error("this server needs another invitation: the token of its own {0}")]
    Token(TokenFault),
    /// The cluster speaks a version of the protocol that this server does not: one of another version of this software
    /// joins it.
    #[error("the cluster speaks a version of the protocol that this server does not")]
    OtherVersion,
}

impl Exclusion {
    /// What a server that was asked says of itself.
    pub(super) const fn foreign(server: ServerId, why: Foreign) -> Self {
        match why {
            Foreign::Cluster => Self::WrongCluster { server },
            Foreign::History => Self::AnotherHistory { server },
        }
    }
}

/// A server's wish to be a member, and whom it asks next.
#[derive(Debug)]
pub(super) struct Joining {
    id: ServerId,
    roster: Option<Roster>,
    /// Whether it comes back by itself when it was removed in its absence.
    rejoins: bool,
    /// Whether it asks who leads when it hears no leader, although it does not come back by itself.
    seeks_leader: bool,
    /// Whether an operator has removed it, as far as it knows.
    dismissed: bool,
    /// What it was told last of why it takes no part.
    exclusion: Option<Exclusion>,
    /// Whether it has waited, since it is dismissed, before it asks.
    has_waited: bool,
    started_at: Instant,
    /// Whether it was a member, or on its way to be one, in an earlier run.
    returns: bool,
    due: Instant,
    asked: u32,
    redirections: u32,
    /// Whether the next ask follows a redirection.
    redirected: bool,
    /// Who is said to lead, or has taken the wish down.
    hint: Option<ServerId>,
    /// Whom it has asked last.
    last: Option<ServerId>,
    /// Those whom it has asked of late, the last of them at the back.
    asked_of_late: VecDeque<ServerId>,
    /// Counts through those who may be asked.
    turn: usize,
    rng: ChaCha8Rng,
}

impl Joining {
    pub(super) fn new(
        id: ServerId,
        roster: Option<Roster>,
        rejoins: bool,
        started_at: Instant,
        seed: u64,
    ) -> Self {
        let due = if roster.is_some() || rejoins {
            started_at
        } else {
            Instant::MAX
        };
        Self {
            id,
            roster,
            rejoins,
            seeks_leader: false,
            dismissed: false,
            exclusion: None,
            has_waited: false,
            started_at,
            returns: false,
            due,
            asked: 0,
            redirections: 0,
            redirected: false,
            hint: None,
            last: None,
            asked_of_late: VecDeque::new(),
            turn: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// It has a log from an earlier run: others may have gone on without it.
    pub(super) fn returning(mut self, returns: bool) -> Self {
        self.returns = returns;
        self
    }

    /// It asks who leads, if `seeks`, whoever manages the membership: where links prove who is there, it takes none of
    /// a leader that it knows as removed, until a member says that this one leads.
    pub(super) fn seeking_leader(mut self, seeks: bool) -> Self {
        self.seeks_leader = seeks;
        if seeks {
            self.due = self.started_at;
        }
        self
    }

    /// When to [`ask`](Self::ask).
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Asks nobody any more, whatever happens.
    pub(super) fn rest(&mut self) {
        self.roster = None;
        self.rejoins = false;
        self.seeks_leader = false;
        self.due = Instant::MAX;
    }

    /// Whom to ask to be taken in, if it is time to ask and somebody may be asked.
    pub(super) fn ask(&mut self, raft: &Raft, timing: Timing, now: Instant) -> Option<ServerId> {
        if now < self.due {
            return None;
        }
        if !self.wishes(raft, timing, now) {
            self.asked = 0;
            self.hint = None;
            self.last = None;
            self.due = match raft.led_at() {
                None => now + self.patience_at_start(timing),
                Some(_) => now + timing.election_timeout(),
            };
            return None;
        }
        if self.dismissed && !self.redirected && !std::mem::take(&mut self.has_waited) {
            self.has_waited = true;
            self.due = now + self.spread(timing.election_timeout() * DISMISSED_ELECTION_TIMEOUTS);
            return None;
        }
        let whom = self.hint.take().or_else(|| self.next_in_turn(raft));
        let interval = timing.heartbeat_interval() * (1 << self.asked.min(DOUBLINGS_MAX));
        if !std::mem::take(&mut self.redirected) {
            self.asked = self.asked.saturating_add(1);
            self.redirections = 0;
        }
        self.due = now + self.spread(interval);
        whom
    }

    /// There is a link where there was none: the wait for an answer that cannot have come is over. One to a server of
    /// the cluster is company.
    pub(super) fn on_link(&mut self, is_server: bool, now: Instant) {
        if is_server
            && matches!(
                self.exclusion,
                Some(Exclusion::NoPeer | Exclusion::Forgotten)
            )
        {
            self.exclusion = None;
        }
        if self.asked > 0 {
            self.due = self.due.min(now);
        }
    }

    /// This server was asked, perhaps in place of another.
    pub(super) fn note_asked(&mut self, whom: ServerId) {
        self.last = Some(whom);
        self.asked_of_late.retain(|other| *other != whom);
        if self.asked_of_late.len() >= ASKED_MAX {
            self.asked_of_late.pop_front();
        }
        self.asked_of_late.push_back(whom);
    }

    /// A member that has proven who it is gives this server no link.
    pub(super) fn on_refusal(&mut self, refusal: Refusal) {
        self.exclusion = match refusal {
            Refusal::Expelled => Some(Exclusion::Removed),
            Refusal::TokenUnknown => Some(Exclusion::Token(TokenFault::Unknown)),
            Refusal::TokenExpired => Some(Exclusion::Token(TokenFault::Expired)),
            Refusal::TokenUsedUp => Some(Exclusion::Token(TokenFault::UsedUp)),
            Refusal::RoleNotGranted => Some(Exclusion::Token(TokenFault::GrantsOther)),
            Refusal::Stranger | Refusal::NotOpen => Some(Exclusion::NotInvited),
            Refusal::Forgotten => Some(Exclusion::Forgotten),
            Refusal::OldBoot => Some(Exclusion::OldBoot),
            Refusal::NoCommonVersion { versions } => Some(Exclusion::NoCommonVersion { versions }),
            _ => self.exclusion,
        };
    }

    /// There is nobody whom this server could reach. What it was told by one who proved to know goes before.
    pub(super) fn on_loneliness(&mut self, loneliness: Loneliness) {
        match (loneliness, self.exclusion) {
            (Loneliness::NoPeer, None) => self.exclusion = Some(Exclusion::NoPeer),
            (Loneliness::Refused(refusal), None | Some(Exclusion::NoPeer)) => {
                self.on_refusal(refusal);
            }
            (Loneliness::NoPeer | Loneliness::Refused(_), Some(_)) => {}
        }
    }

    /// What it was told last of why it takes no part; `None` if it may take part for all it knows.
    pub(super) const fn exclusion(&self) -> Option<Exclusion> {
        self.exclusion
    }

    /// A server that it asked belongs elsewhere.
    pub(super) fn on_foreign(&mut self, from: ServerId, why: Foreign) {
        self.exclusion = Some(Exclusion::foreign(from, why));
    }

    /// A voter that it asks for its vote knows that it was removed.
    pub(super) fn on_removed(&mut self) {
        self.exclusion = Some(Exclusion::Removed);
    }

    /// There is a leader that speaks to it: it takes part if the configuration in force names it.
    pub(super) fn on_led(&mut self, configuration: &Configuration) {
        if configuration.names(self.id) {
            self.exclusion = None;
        }
    }

    /// Returns true if this server has asked `server` to be taken in, of late.
    pub(super) fn has_asked(&self, server: ServerId) -> bool {
        self.asked_of_late.contains(&server)
    }

    /// Who may know the leader, as far as a server knows that is no member and asks to join itself.
    pub(super) fn lead(&self, raft: &Raft) -> Option<ServerId> {
        let (_, configuration) = raft.configuration();
        let lead = self.hint.or(self.last);
        lead.filter(|_| !configuration.names(self.id))
    }

    /// What came of asking.
    pub(super) fn on_reply(&mut self, from: ServerId, reply: &JoinReply, now: Instant) {
        self.exclusion = match *reply {
            JoinReply::Accepted | JoinReply::Member => None,
            JoinReply::Dismissed => Some(Exclusion::Removed),
            JoinReply::Manual => Some(Exclusion::Manual { leader: from }),
            JoinReply::NotInvited => Some(Exclusion::NotInvited),
            JoinReply::Token(fault) => Some(Exclusion::Token(fault)),
            JoinReply::OtherVersion => Some(Exclusion::OtherVersion),
            JoinReply::NotLeader { .. } | JoinReply::Busy | JoinReply::Forgot => self.exclusion,
        };
        match *reply {
            JoinReply::Accepted | JoinReply::Member => self.hint = Some(from),
            JoinReply::NotLeader {
                leader: Some(leader),
                ..
            } if leader != from && leader != self.id => {
                self.hint = Some(leader);
                if self.redirections < REDIRECTIONS_MAX && self.asked > 0 {
                    self.redirections += 1;
                    self.redirected = true;
                    self.due = now;
                }
            }
            JoinReply::Dismissed => self.dismissed = true,
            JoinReply::NotLeader { .. }
            | JoinReply::Busy
            | JoinReply::Manual
            | JoinReply::NotInvited
            | JoinReply::Token(_)
            | JoinReply::OtherVersion
            | JoinReply::Forgot => {}
        }
    }

    /// This server was a member once: whoever finds that it needs an invitation has forgotten it.
    pub(super) fn note_was_member(&mut self) {
        if self.exclusion == Some(Exclusion::NotInvited) {
            self.exclusion = Some(Exclusion::Forgotten);
        }
    }

    /// This configuration is committed: it says who is a member and who was dismissed, whatever was before.
    pub(super) fn note_members(&mut self, configuration: &Configuration, now: Instant) {
        self.dismissed = configuration.is_dismissed(self.id);
        if configuration.dismissal(self.id) == Some(Dismissal::Removed) {
            self.exclusion = Some(Exclusion::Removed);
        } else if configuration.names(self.id) {
            self.exclusion = None;
        }
        if !configuration.names(self.id) && !self.dismissed && self.rejoins && self.asked == 0 {
            self.due = self.due.min(now);
        }
    }

    /// Whether this server should be a member and, as far as it can tell, is none.
    fn wishes(&self, raft: &Raft, timing: Timing, now: Instant) -> bool {
        if raft.role() == RoleKind::Leader {
            return false;
        }
        let (_, configuration) = raft.configuration();
        if configuration.is_empty() {
            return self.roster.is_some();
        }
        let is_lonely = match raft.led_at() {
            None => now.since(self.started_at) >= self.patience_at_start(timing),
            Some(led_at) => {
                now.since(led_at) >= timing.election_timeout() * LONELY_ELECTION_TIMEOUTS
            }
        };
        let asks_if_lonely = self.rejoins || self.seeks_leader;
        (asks_if_lonely && is_lonely) || (self.rejoins && !configuration.names(self.id))
    }

    /// How long a member that has just started waits for a leader to speak to it. Founders have to elect one first.
    fn patience_at_start(&self, timing: Timing) -> Duration {
        if self.returns {
            timing.heartbeat_interval() * STARTED_HEARTBEATS
        } else {
            timing.election_timeout() * LONELY_ELECTION_TIMEOUTS
        }
    }

    fn next_in_turn(&mut self, raft: &Raft) -> Option<ServerId> {
        let (_, configuration) = raft.configuration();
        let named = self.roster.as_mut().map(|Roster(servers)| servers());
        let mut seen = SortedSet::from([self.id]);
        let whom: Vec<ServerId> = named
            .unwrap_or_default()
            .into_iter()
            .take(SERVERS_MAX)
            .chain(configuration.members().map(|(id, _)| id))
            .filter(|id| seen.insert(*id))
            .collect();
        self.turn = self.turn.wrapping_add(1);
        (!whom.is_empty()).then(|| whom[(self.turn - 1) % whom.len()])
    }

    /// From half of it to all of it, so that those who were parted together do not come back in step.
    fn spread(&mut self, interval: Duration) -> Duration {
        let half = interval / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(self.rng.next_u64() % nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::consensus::Recovered;

    fn blank() -> (Raft, Joining) {
        let (now, config) = (Instant::ORIGIN, Config::default());
        let raft = Raft::new(ServerId(9), config, Recovered::default(), now, 1);
        let roster = Some(Roster::from([ServerId(1), ServerId(9), ServerId(2)]));
        (
            raft.expect("a blank server starts"),
            Joining::new(ServerId(9), roster, true, now, 1),
        )
    }

    fn redirect(to: u128) -> JoinReply {
        JoinReply::NotLeader {
            leader: Some(ServerId(to)),
            description: None,
        }
    }

    /// Asks at once, or says `None`.
    fn ask(joining: &mut Joining, raft: &Raft, now: Instant) -> Option<u128> {
        let timing = Config::default().timing();
        let whom = joining.ask(raft, timing, now)?;
        joining.note_asked(whom);
        Some(whom.0)
    }

    fn ask_when_due(joining: &mut Joining, raft: &Raft) -> Option<u128> {
        let due = joining.due();
        ask(joining, raft, due)
    }

    #[test]
    fn those_of_the_roster_are_asked_in_turn_and_never_this_server() {
        let (raft, mut joining) = blank();

        let asked: Vec<_> = (0..4).map(|_| ask_when_due(&mut joining, &raft)).collect();

        assert_eq!(asked, [1, 2, 1, 2].map(Some));
    }

    #[test]
    fn a_bounded_number_of_servers_is_remembered_as_asked() {
        let (raft, mut joining) = blank();

        for server in 1..=100 {
            let now = joining.due();
            joining.on_reply(ServerId(0), &redirect(server + 1000), now);
            ask(&mut joining, &raft, now);
        }

        assert!(joining.has_asked(ServerId(1100)));
        assert!(!joining.has_asked(ServerId(1001)) && !joining.has_asked(ServerId(7)));
        assert_eq!(joining.asked_of_late.len(), ASKED_MAX);
    }

    #[test]
    fn who_is_said_to_lead_is_asked_at_once() {
        let (raft, mut joining) = blank();
        let now = joining.due();
        ask(&mut joining, &raft, now);

        joining.on_reply(ServerId(1), &redirect(5), now);

        assert_eq!(ask(&mut joining, &raft, now), Some(5));
    }

    #[test]
    fn servers_that_send_it_to_one_another_are_not_asked_without_end() {
        let (raft, mut joining) = blank();
        let now = joining.due();

        let mut asked = 0;
        while let Some(whom) = ask(&mut joining, &raft, now) {
            asked += 1;
            joining.on_reply(ServerId(whom), &redirect(3 - whom), now);
        }

        assert_eq!(asked, 1 + REDIRECTIONS_MAX);
    }

    #[test]
    fn each_ask_waits_longer_up_to_a_bound() {
        let (raft, mut joining) = blank();
        let heartbeat = Config::default().heartbeat_interval();

        for _ in 0..20 {
            ask_when_due(&mut joining, &raft);
        }
        let asked_at = joining.due();
        ask(&mut joining, &raft, asked_at);

        let wait = joining.due().since(asked_at);
        assert!(wait >= 4 * heartbeat && wait <= 8 * heartbeat, "{wait:?}");
    }

    #[test]
    fn a_dismissed_server_asks_rarely_whether_it_still_is() {
        let (raft, mut joining) = blank();
        let timing = Config::default().timing();
        let now = joining.due();
        ask(&mut joining, &raft, now);
        joining.on_reply(ServerId(1), &JoinReply::Dismissed, now);

        let at_once = ask_when_due(&mut joining, &raft);
        let later = joining.due().since(now);
        let once = ask_when_due(&mut joining, &raft);
        let again = ask_when_due(&mut joining, &raft);

        assert_eq!((at_once, once, again), (None, Some(2), None));
        assert!(later >= timing.election_timeout() * DISMISSED_ELECTION_TIMEOUTS / 2);
    }

    #[test]
    fn a_dismissed_server_that_is_a_member_again_asks_as_soon_as_any() {
        let (raft, mut joining) = blank();
        let now = joining.due();
        ask(&mut joining, &raft, now);
        joining.on_reply(ServerId(1), &JoinReply::Dismissed, now);

        joining.note_members(&Configuration::of_voters([ServerId(9)]), now);
        let added = ask_when_due(&mut joining, &raft);

        assert_eq!(added, Some(2));
    }
}
