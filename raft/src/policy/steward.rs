//! Keeping watch: who has been silent for how long, who must be asked before that is believed, who wants to join.

use super::MembershipPolicy;
use super::act::Act;
use super::joiner::{GATHERINGS_PER_HEARTBEAT, Joiner};
use super::watch::Watch;
use crate::configuration::{Description, Grants, PROTOCOL_VERSIONS, TokenFault};
use crate::consensus::planted::{Bug, is_planted};
use crate::consensus::{Addition, ChangeError, Oversight};
use crate::ids::{Index, ServerId, Term};
use crate::sorted::SortedMap;
use crate::time::Instant;

/// The most servers that may wait to be taken in. More are told to ask again.
const JOINERS_MAX: usize = 256;

/// A server that has not repeated its wish to join for so many election timeouts has given it up, or died.
const JOINER_ELECTION_TIMEOUTS: u32 = 4;

/// A server whose promotion failed is not promoted again for so many election timeouts.
const PUT_OFF_ELECTION_TIMEOUTS: u32 = 2;

/// Runs a [`MembershipPolicy`] on a server: while it leads, it decides; while it does not, it knows nothing and does
/// nothing.
///
/// It is a value without a clock. Whoever owns it calls [`look`](Self::look) when [`due`](Self::due) has come, and when
/// a term of leadership begins, and does what that says.
#[derive(Clone, Debug)]
pub struct Steward {
    policy: MembershipPolicy,
    due: Instant,
    watch: Option<Watch>,
    joiners: SortedMap<ServerId, Joiner>,
}

/// The answer to a server that asks to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// It will be taken in, if it repeats its wish from time to time until it is.
    Accepted,
    /// It is a member.
    Member,
    /// Too many wait, or what becomes of it is being decided: it is to ask again later.
    Busy,
    /// An operator has removed it, and an operator must add it.
    Dismissed,
    /// Its storage has lost what it had acknowledged: it must come back under another id.
    Forgot,
    /// The cluster is closed, and it has no invitation.
    NotInvited,
    /// The access token of its invitation lets nobody in.
    Token(TokenFault),
    /// It does not speak the version of the protocol that the cluster speaks.
    OtherVersion,
}

impl Steward {
    /// One that goes by this policy.
    #[must_use]
    pub const fn new(policy: MembershipPolicy) -> Self {
        Self {
            policy,
            due: Instant::MAX,
            watch: None,
            joiners: SortedMap::new(),
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
        now >= self.due || self.watch.as_ref().map(Watch::term) != leads_in
    }

    /// Looks at what the leader knows, and says what is to be done. The core must have been told all that has arrived:
    /// who has answered just now is not silent. `oversight` is `None` on a server that does not lead.
    pub fn look(&mut self, oversight: Option<&Oversight<'_>>, now: Instant) -> Act {
        let Some(view) = oversight else {
            self.watch = None;
            self.joiners.clear();
            self.due = Instant::MAX;
            return Act::Rest;
        };
        let policy = self.policy;
        let mut watch = match self.watch.take() {
            Some(watch) if watch.term() == view.term => watch,
            Some(_) | None => Watch::begin(view, now),
        };
        watch.attend(view, now);
        let heartbeat = view.timing.heartbeat_interval();
        let patience = view.timing.election_timeout() * JOINER_ELECTION_TIMEOUTS;
        self.joiners.retain(|id, joiner| {
            // An operator may have added and removed it since it asked.
            let is_welcome = !view.configuration.contains(*id)
                && !is_dismissed(view, *id)
                && check_joiner(&joiner.addition, view).is_ok();
            is_welcome && now.since(joiner.asked_at) < patience
        });
        let (act, due) = if watch.is_changing() || !view.may_change {
            watch.interrupt();
            (Act::Rest, now + heartbeat / GATHERINGS_PER_HEARTBEAT)
        } else {
            watch.decide(&policy, &self.joiners, view, now)
        };
        self.due = due;
        self.watch = Some(watch);
        act
    }

    /// A server asks this leader to join, and would be let in like this. One that was evicted needs no invitation, and
    /// uses none.
    pub fn ask_to_join(
        &mut self,
        mut addition: Addition,
        oversight: &Oversight<'_>,
        now: Instant,
    ) -> JoinAnswer {
        let id = addition.id;
        if oversight.has_forgotten(id) {
            return JoinAnswer::Forgot;
        }
        if oversight.configuration.contains(id) {
            return JoinAnswer::Member;
        }
        if is_dismissed(oversight, id) {
            // While nothing may be changed the removal may be uncommitted, and be undone with its leader: whoever took
            // it for final would not ask again.
            return if oversight.may_change {
                JoinAnswer::Dismissed
            } else {
                JoinAnswer::Busy
            };
        }
        if oversight.configuration.is_evicted(id) {
            addition.token = None;
        }
        if let Err(refused) = check_joiner(&addition, oversight) {
            return refused;
        }
        if self.joiners.len() >= JOINERS_MAX && !self.joiners.contains_key(&id) {
            return JoinAnswer::Busy;
        }
        let joiner = self.joiners.entry(id).or_insert(Joiner {
            addition: Addition::of(id),
            first_asked_at: now,
            asked_at: now,
        });
        joiner.addition = addition;
        joiner.asked_at = now;
        let gathered = joiner.first_asked_at
            + oversight.timing.heartbeat_interval() / GATHERINGS_PER_HEARTBEAT;
        self.due = self.due.min(gathered.max(now));
        JoinAnswer::Accepted
    }

    /// Returns true if this server waits to be taken in.
    #[must_use]
    pub fn expects(&self, id: ServerId) -> bool {
        self.joiners.contains_key(&id)
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
        watch.changed();
        self.due = now;
        match result {
            Err(
                ChangeError::Unreachable(id)
                | ChangeError::TooSlow(id)
                | ChangeError::Foreign(id, _),
            ) => {
                let until = now + view.timing.election_timeout() * PUT_OFF_ELECTION_TIMEOUTS;
                watch.put_off(*id, until);
            }
            // Another change came first, or this one was made: what is still to be done shows in the next look.
            Ok(_)
            | Err(
                ChangeError::NotLeader { .. }
                | ChangeError::Pending
                | ChangeError::AlreadyMember(_)
                | ChangeError::NotMember(_)
                | ChangeError::AskerNotMember
                | ChangeError::NotLinked(_)
                | ChangeError::Token(..)
                | ChangeError::Invalid(_)
                | ChangeError::Unknown { .. },
            ) => {}
        }
    }
}

/// Checks that a server may come in: it speaks the version of the cluster, in a closed cluster it has an invitation,
/// unless it was evicted, and the token that it would use lets it in. A change with a server that may not would be
/// refused as a whole, and called for again.
fn check_joiner(addition: &Addition, view: &Oversight<'_>) -> Result<(), JoinAnswer> {
    let configuration = view.configuration;
    let description = addition.description.as_ref();
    let versions = description.map_or(PROTOCOL_VERSIONS, Description::versions);
    if !versions.contains(configuration.version()) {
        return Err(JoinAnswer::OtherVersion);
    }
    match addition.token {
        Some(key) => configuration
            .valid_token(key, Grants::Membership, view.cluster_time)
            .map(drop)
            .map_err(JoinAnswer::Token),
        None if configuration.is_open() || configuration.is_evicted(addition.id) => Ok(()),
        None => Err(JoinAnswer::NotInvited),
    }
}

/// Whether an operator removed this server, or it has lost what it had acknowledged.
fn is_dismissed(view: &Oversight<'_>, id: ServerId) -> bool {
    view.configuration.is_dismissed(id) && !is_planted(Bug::DismissedReturns)
}

#[cfg(test)]
mod tests;
