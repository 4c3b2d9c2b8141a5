//! Invites newcomers: has a token issued, and writes the text that carries its secret.

use std::iter;
use std::time::Duration;

use liferaft_platform as platform;
use liferaft_transport::invitation::{INVITATION_ADDRESSES_MAX, INVITERS_MAX, Invitation};
use liferaft_transport::token::{TOKEN_SECRET_BYTES, TokenSecret};

use super::error::MembershipError;
use super::handle::Handle;
use crate::configuration::{
    Address, Configuration, Description, Grants, InvalidScope, PublicKey, Scope, TokenKey,
};
use crate::consensus::{MembershipChange, NewToken};
use crate::ids::{ClusterId, ServerId};
use crate::state_machine::StateMachine;

/// What an invitation allows.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use std::time::Duration;
/// use liferaft::driver::Terms;
///
/// // Three phones may join today.
/// let terms = Terms::membership().with_uses(3).with_valid_for(Duration::from_secs(12 * 3600));
/// # let _ = terms;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    grants: Grants,
    uses: u32,
    valid_for: Duration,
    scope: Scope,
}

/// How long an invitation is good, unless it is said otherwise.
const VALID_FOR: Duration = Duration::from_secs(24 * 3600);

impl Terms {
    /// One server may become a member, within a day.
    #[must_use]
    pub const fn membership() -> Self {
        Self::of(Grants::Membership)
    }

    /// [Clients](super::Client) may read, within a day: as many as hold the invitation, as their uses are not counted.
    #[must_use]
    pub const fn reading() -> Self {
        Self::of(Grants::Reading)
    }

    /// [Clients](super::Client) may read and write, within a day: as many as hold the invitation, as their uses are not
    /// counted.
    #[must_use]
    pub const fn writing() -> Self {
        Self::of(Grants::Writing)
    }

    /// [Clients](super::Client) may read and write, and change who is a member, who leads and who is invited, within a
    /// day: as many as hold the invitation, as their uses are not counted.
    #[must_use]
    pub const fn operating() -> Self {
        Self::of(Grants::Operating)
    }

    const fn of(grants: Grants) -> Self {
        Self {
            grants,
            uses: 1,
            valid_for: VALID_FOR,
            scope: Scope::everything(),
        }
    }

    /// So many servers may come by it. Clients leave no trace when they come, and are not counted.
    #[must_use]
    pub const fn with_uses(mut self, uses: u32) -> Self {
        self.uses = uses;
        self
    }

    /// It is good for so long, in cluster time: while nobody leads, that stands still.
    #[must_use]
    pub const fn with_valid_for(mut self, valid_for: Duration) -> Self {
        self.valid_for = valid_for;
        self
    }

    /// Clients may read, or read and write, only keys that begin with one of these, in place of what was said before.
    ///
    /// The state machine knows what its keys are: the leader asks
    /// [`is_command_within`](StateMachine::is_command_within) and [`is_query_within`](StateMachine::is_query_within).
    /// One that has not said it does nothing for such clients.
    ///
    /// ```
    /// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
    /// use liferaft::driver::Terms;
    ///
    /// let terms = Terms::writing().within_prefixes(["camp/"])?;
    /// # let _ = terms;
    /// # Ok::<_, liferaft::configuration::InvalidScope>(())
    /// ```
    ///
    /// # Errors
    /// When there is no prefix, there are more than [`SCOPE_PREFIXES_MAX`](crate::configuration::SCOPE_PREFIXES_MAX),
    /// one is empty or longer than [`SCOPE_PREFIX_BYTES_MAX`](crate::configuration::SCOPE_PREFIX_BYTES_MAX), or the
    /// invitation is neither for reading nor for writing.
    pub fn within_prefixes<P: AsRef<[u8]>>(
        mut self,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Self, InvalidScope> {
        match self.grants {
            Grants::Reading | Grants::Writing => {
                self.scope = Scope::of_prefixes(prefixes)?;
                Ok(self)
            }
            Grants::Membership | Grants::Operating => Err(InvalidScope::NotForClients),
        }
    }
}

impl<S: StateMachine> Handle<S> {
    /// Invites to the cluster. The token is in the log when this returns, and its secret in the invitation alone:
    /// whoever reads its text may come by it, as often as the terms allow.
    ///
    /// The invitation names this member, the leader and others as those to be believed, [`INVITERS_MAX`] of them, and
    /// the addresses of all of them that have any. [`revoke`](Self::revoke) ends it.
    ///
    /// # Errors
    /// See [`MembershipError`]. A token that was issued although that is not known expires as it was to.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    pub async fn invite(&self, terms: Terms) -> Result<Invitation, MembershipError> {
        let NewInvitation { token, issue } = NewInvitation::draw(terms);
        self.change_in_turn(issue).await?;
        Ok(self.contact().with_token(token))
    }

    /// Returns an invitation without a token: who to believe, and where to reach them. It lets a client into an
    /// [open](crate::configuration::Configuration::is_open) cluster, and into no other.
    ///
    /// Where all members of a cluster have moved at the same time, each knows only where the others were. Those that
    /// are started again with the contact of one that is there
    /// ([`MemberBuilder::invited`](super::MemberBuilder::invited)) find it once they have reached nobody for 30 s.
    #[must_use]
    pub fn contact(&self) -> Invitation {
        let status = self.status().borrow().clone();
        let configuration = &status.raft.configuration;
        let own = (self.public_key(), self.addresses());
        invitation(self.cluster(), own, status.leader(), configuration)
    }

    /// Takes the token of an invitation back: nobody comes by it any more. A server that has come stays; the links of
    /// clients are cut.
    ///
    /// # Errors
    /// See [`MembershipError`]; [`MembershipError::Token`] if no such token is known.
    pub async fn revoke(&self, token: TokenKey) -> Result<(), MembershipError> {
        self.change_in_turn(MembershipChange::revoke(token)).await
    }
}

/// An invitation that is to be issued.
pub(super) struct NewInvitation {
    pub(super) token: TokenSecret,
    pub(super) issue: MembershipChange,
}

impl NewInvitation {
    pub(super) fn draw(terms: Terms) -> Self {
        let token = draw_token();
        let issued = NewToken {
            key: token.key(),
            grants: terms.grants,
            valid_for: terms.valid_for,
            uses: terms.uses,
            scope: terms.scope,
        };
        let issue = MembershipChange::issue(issued);
        Self { token, issue }
    }
}

/// Draws the secret of a token.
fn draw_token() -> TokenSecret {
    let mut secret = [0; TOKEN_SECRET_BYTES];
    for half in secret.chunks_exact_mut(size_of::<u128>()) {
        half.copy_from_slice(&platform::entropy_u128().to_le_bytes());
    }
    TokenSecret::from_bytes(secret)
}

/// Returns an invitation by this server and other members, without a token. This server knows its own addresses before
/// the configuration has them.
fn invitation(
    cluster: ClusterId,
    (own, own_addresses): (PublicKey, &[Address]),
    leader: Option<ServerId>,
    configuration: &Configuration,
) -> Invitation {
    let others = configuration
        .members()
        .map(|(id, member)| (id, &member.description))
        .filter(|(id, _)| *id != own.server_id());
    let others = believed(others, leader, INVITERS_MAX - 1);
    let keys = others.iter().filter_map(|other| other.public_key());
    let inviters = iter::once(own).chain(keys);
    let addresses = others.iter().flat_map(|other| other.addresses());
    let addresses = chosen_addresses(own_addresses, addresses);
    Invitation::new(cluster, inviters)
        .and_then(|invitation| invitation.with_addresses(addresses))
        .expect("there is an inviter, and no more of anything than allowed")
}

/// Returns those of some members whom an invitation names as to be believed, this many at most.
///
/// The leader comes first, as it is who takes newcomers in. Of the others there are as many that have an address that
/// needs no signaling server as there are that have none, if there are many: whoever is invited may reach one kind
/// alone.
pub(super) fn believed<'a>(
    members: impl Iterator<Item = (ServerId, &'a Description)>,
    leader: Option<ServerId>,
    max: usize,
) -> Vec<&'a Description> {
    let known = members.filter(|(_, description)| description.public_key().is_some());
    let (leading, others): (Vec<_>, Vec<_>) = known.partition(|(id, _)| Some(*id) == leader);
    let others = by_turns(others, |(_, description)| {
        description.addresses().iter().all(Address::is_signaled)
    });
    let chosen = leading.into_iter().chain(others).take(max);
    chosen.map(|(_, description)| description).collect()
}

/// Returns the addresses that an invitation has: all of this server's own, and as many of others as there is room for.
///
/// Those come first that need no signaling server, as they are dialed first. Of others there are as many of either kind
/// if there are many: whoever is invited may reach a member by one alone.
pub(super) fn chosen_addresses<'a>(
    own: &[Address],
    others: impl Iterator<Item = &'a Address>,
) -> Vec<Address> {
    let mut chosen = own.to_vec();
    for address in by_turns(others, |address| address.is_signaled()) {
        if !chosen.contains(address) {
            chosen.push(address.clone());
        }
    }
    chosen.truncate(INVITATION_ADDRESSES_MAX);
    let (late, mut sorted): (Vec<_>, Vec<_>) = chosen.into_iter().partition(Address::is_signaled);
    sorted.extend(late);
    sorted
}

/// Returns one that is not late and one that is by turns, for as long as there are both; then the rest.
fn by_turns<T>(
    items: impl IntoIterator<Item = T>,
    is_late: impl Fn(&T) -> bool,
) -> impl Iterator<Item = T> {
    let (late, early): (Vec<_>, Vec<_>) = items.into_iter().partition(is_late);
    let (mut late, mut early) = (late.into_iter(), early.into_iter());
    let pairs = iter::from_fn(move || {
        let pair = [early.next(), late.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Member;
    use crate::identity::Identity;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        let read = |text: &&str| text.parse().expect("it is an address");
        texts.iter().map(read).collect()
    }

    #[test]
    fn what_needs_no_signaling_server_comes_first() {
        let own = addresses(&["rtc+ws://s/room/1", "ws://a:1"]);
        let others = addresses(&["rtc+ws://s/room/2", "ws://b:1", "ws://a:1"]);

        let chosen = chosen_addresses(&own, others.iter());

        let expected = [
            "ws://a:1",
            "ws://b:1",
            "rtc+ws://s/room/1",
            "rtc+ws://s/room/2",
        ];
        assert_eq!(chosen, addresses(&expected));
    }

    /// The key and the description of a server at this address.
    fn server(number: u8, address: &str) -> (PublicKey, Description) {
        let key = Identity::from_secret_key(&[number; 32]).public_key();
        (
            key,
            Description::of(key).with_addresses(addresses(&[address])),
        )
    }

    #[test]
    fn some_are_believed_who_need_no_signaling_server() {
        let (direct, description) = server(0, "ws://direct:1");
        let signaled = (1..).map(|number| server(number, "rtc+ws://s/room/1"));
        // All others come before it, by their ids.
        let signaled = signaled.filter(|(key, _)| key.server_id() < direct.server_id());
        let servers: Vec<_> = signaled.take(6).chain([(direct, description)]).collect();
        let [(own, _), (leader, _)] = [&servers[0], &servers[1]];
        let (own, leader) = (*own, leader.server_id());
        let members = servers.into_iter();
        let members =
            members.map(|(key, description)| (key.server_id(), Member::voter(description)));
        let configuration = Configuration::from_members(members);

        let invitation = invitation(ClusterId(1), (own, &[]), Some(leader), &configuration);

        assert!(invitation.inviters().contains(&direct));
        assert_eq!(invitation.addresses()[..1], addresses(&["ws://direct:1"]));
    }

    #[test]
    fn there_are_both_kinds_where_there_is_no_room_for_all() {
        let own = addresses(&["ws://a:1"]);
        let direct = [
            "ws://b:1", "ws://b:2", "ws://c:1", "ws://c:2", "ws://d:1", "ws://d:2",
        ];
        let signaled = [
            "rtc+ws://s/room/2",
            "rtc+ws://s/room/3",
            "rtc+ws://s/room/4",
        ];
        let others = addresses(&[&direct[..], &signaled].concat());

        let chosen = chosen_addresses(&own, others.iter());

        let expected = [&["ws://a:1"][..], &direct[..4], &signaled].concat();
        assert_eq!(chosen, addresses(&expected));
    }
}
