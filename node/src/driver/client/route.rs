//! Decides which member a client asks: it links to those that it knows, and follows to whoever leads (§6.2).
//!
//! A client begins with an invitation, and asks whomever it reaches what that member sees: who leads, in which term,
//! and where members are. It believes the view of the latest term. As long as no leader is known that it has a link to,
//! it asks around, one member after another and ever less often; after that it asks the leader now and then, so that
//! it also knows members that have moved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use liferaft_platform::SortedSet;
use liferaft_transport::invitation::{INVITERS_MAX, Invitation};
use liferaft_transport::links::Wanted;

use crate::configuration::{ADDRESSES_MAX, Description, PublicKey};
use crate::driver::attempt::NEVER;
use crate::driver::invite::{believed, chosen_addresses};
use crate::ids::{ServerId, Term};
use crate::time::Instant;
use crate::wire::View;

/// The most members to which links are wanted. Who cannot be reached gives way to the others.
const LINKS_MAX: usize = 8;

/// A member is asked for a leader again after so long at first, and after twice as long each time.
const ASK_AFTER_MIN: Duration = Duration::from_millis(50);

/// So often that time is doubled: up to 0.8 s.
const DOUBLINGS_MAX: u32 = 4;

/// The leader is asked for its view after so long.
const REFRESH_AFTER: Duration = Duration::from_secs(10);

/// What a client knows of the members of its cluster.
#[derive(Debug)]
pub(super) struct Route {
    invitation: Invitation,
    /// The members, as they were told last; none before anybody has told.
    members: Arc<BTreeMap<ServerId, Description>>,
    /// Those that could not be reached, the last one at the end.
    unreached: Vec<ServerId>,
    linked: SortedSet<ServerId>,
    /// Members that are asked something by themselves: links to them come before others.
    sought: SortedSet<ServerId>,
    term: Term,
    leader: Option<ServerId>,
    /// Whom to ask at once, since its link is new.
    new: Option<ServerId>,
    last_asked: Option<ServerId>,
    asked: u32,
    ask_at: Instant,
    /// Whether what is wanted may have changed.
    is_stale: bool,
}

impl Route {
    /// Knows nobody but those whom the invitation names.
    pub(super) fn new(invitation: Invitation) -> Self {
        Self {
            invitation,
            members: Arc::default(),
            unreached: Vec::new(),
            linked: SortedSet::new(),
            sought: SortedSet::new(),
            term: Term::default(),
            leader: None,
            new: None,
            last_asked: None,
            asked: 0,
            ask_at: NEVER,
            is_stale: true,
        }
    }

    /// The member that requests go to, and the term in which it leads: the leader, if one is known and there is a link
    /// to it.
    pub(super) fn target(&self) -> Option<(ServerId, Term)> {
        let leader = self.leader.filter(|leader| self.linked.contains(leader));
        leader.map(|leader| (leader, self.term))
    }

    /// The leader, as far as it is known, and its term.
    pub(super) const fn leader(&self) -> (Option<ServerId>, Term) {
        (self.leader, self.term)
    }

    /// The members, as they were told last.
    pub(super) const fn members(&self) -> &Arc<BTreeMap<ServerId, Description>> {
        &self.members
    }

    /// How many members there is a link to.
    pub(super) fn linked(&self) -> usize {
        self.linked.len()
    }

    /// These members are asked something by themselves. In a cluster of more than [`LINKS_MAX`] they take turns.
    pub(super) fn seek(&mut self, sought: SortedSet<ServerId>) {
        if sought != self.sought {
            let before = self.wanted();
            self.sought = sought;
            self.is_stale |= self.wanted() != before;
        }
    }

    /// A link is up.
    pub(super) fn on_up(&mut self, peer: ServerId, now: Instant) {
        self.linked.insert(peer);
        self.unreached.retain(|unreached| *unreached != peer);
        self.new = Some(peer);
        self.ask_at = now;
    }

    /// A link is down. If it was to the leader, there may be another one.
    pub(super) fn on_down(&mut self, peer: ServerId, now: Instant) {
        self.linked.remove(&peer);
        if self.leader == Some(peer) {
            self.leader = None;
            self.asked = 0;
            self.ask_at = now;
        }
        // The last one takes with it whether what is known is still so.
        self.is_stale |= self.linked.is_empty();
    }

    /// A member could not be reached.
    pub(super) fn on_not_linked(&mut self, peer: ServerId) {
        let before = self.wanted();
        self.unreached.retain(|unreached| *unreached != peer);
        self.unreached.push(peer);
        self.is_stale |= self.wanted() != before;
    }

    /// A member has told what it sees.
    pub(super) fn on_view(&mut self, from: ServerId, view: View, now: Instant) {
        if view.term < self.term {
            return;
        }
        // In one term there is one leader; that it leads no more is for itself to say.
        if view.term > self.term || self.leader.is_none() || self.leader == Some(from) {
            self.leader = view.leader;
        }
        self.term = view.term;
        let members: BTreeMap<_, _> = view.members.into_iter().collect();
        if !members.is_empty() && members != *self.members {
            self.unreached.retain(|peer| members.contains_key(peer));
            self.members = Arc::new(members);
            self.is_stale = true;
        }
        if self.target().is_some() {
            self.asked = 0;
            self.ask_at = now + REFRESH_AFTER;
        } else {
            self.is_stale |= self.leader.is_some();
            self.ask_at = self.ask_at.min(now + ASK_AFTER_MIN);
        }
    }

    /// The member to be asked for its view, if it is time.
    pub(super) fn ask(&mut self, now: Instant) -> Option<ServerId> {
        if now < self.ask_at {
            return None;
        }
        let new = self.new.take().filter(|peer| self.linked.contains(peer));
        let next = new.or_else(|| self.target().map(|(leader, _)| leader));
        let next = next.or_else(|| {
            let after = self.last_asked.map_or(0, |last| last.0.saturating_add(1));
            let later = self.linked.range(ServerId(after)..).next();
            later.or_else(|| self.linked.first()).copied()
        });
        let Some(next) = next else {
            // Whoever comes up is asked.
            self.ask_at = NEVER;
            return None;
        };
        self.last_asked = Some(next);
        self.ask_at = if self.target().is_some() {
            now + REFRESH_AFTER
        } else {
            now + ASK_AFTER_MIN * (1 << self.asked.min(DOUBLINGS_MAX))
        };
        self.asked = self.asked.saturating_add(1);
        Some(next)
    }

    /// When to [`ask`](Self::ask), if nothing happens.
    pub(super) const fn due(&self) -> Instant {
        self.ask_at
    }

    /// Whom to believe and where they are, as an invitation without a token: the leader first.
    pub(super) fn contact(&self) -> Invitation {
        let members = self.members.iter();
        let members = members.map(|(id, description)| (*id, description));
        let believed = believed(members, self.leader, INVITERS_MAX);
        if believed.is_empty() {
            return self.invitation.clone().without_token();
        }
        let keys = believed.iter().filter_map(|member| member.public_key());
        let addresses = believed.iter().flat_map(|member| member.addresses());
        let addresses = chosen_addresses(&[], addresses);
        Invitation::new(self.invitation.cluster(), keys)
            .and_then(|contact| contact.with_addresses(addresses))
            .expect("there is an inviter, and no more of anything than allowed")
    }

    /// To whom links are wanted, if that may be others than before, and the servers that count as members.
    pub(super) fn take_wanted(&mut self) -> Option<(Vec<Wanted>, SortedSet<ServerId>)> {
        std::mem::take(&mut self.is_stale).then(|| {
            let inviters = self.invitation.inviters().iter();
            let mut known: SortedSet<_> = self.members.keys().copied().collect();
            known.extend(inviters.map(PublicKey::server_id));
            (self.wanted(), known)
        })
    }

    fn wanted(&self) -> Vec<Wanted> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|(id, _)| {
            let unreached = self.unreached.iter().position(|peer| peer == *id);
            (
                self.leader != Some(**id),
                !self.sought.contains(id),
                !self.linked.contains(id),
                unreached.map_or(0, |place| place + 1),
            )
        });
        let members = members.into_iter().map(|(id, description)| Wanted {
            peer: *id,
            keys: description.public_key().as_slice().to_vec(),
            addresses: description.addresses().to_vec(),
        });
        let mut wanted: Vec<_> = members.take(LINKS_MAX).collect();
        // What it says may be older than what members say, and counts where none of them is reached.
        if self.linked.is_empty() {
            let count = self.invitation.inviters().len();
            for (place, inviter) in self.invitation.inviters().iter().enumerate() {
                let peer = inviter.server_id();
                wanted.retain(|wanted| wanted.peer != peer);
                let own = self.members.get(&peer);
                let own = own.map_or(&[][..], Description::addresses);
                let mut addresses = own.to_vec();
                // Each begins elsewhere, so that a member that accepts connections and is frozen holds up one alone.
                let shared = self.invitation.addresses();
                let (later, first) = shared.split_at(place * shared.len() / count);
                addresses.extend(first.iter().chain(later).cloned());
                addresses.truncate(ADDRESSES_MAX);
                wanted.push(Wanted {
                    peer,
                    keys: self.invitation.inviters().to_vec(),
                    addresses,
                });
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests;
