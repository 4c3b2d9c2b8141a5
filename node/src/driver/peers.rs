//! Decides to whom this member links, and whom it lets in: by the newest configuration that it knows, and before it
//! knows one, by its invitation.
//!
//! The transport proves who is at the other end of a link, and asks the table that is kept here what that peer may be.
//! A transport that proves nothing asks for nothing, and takes whoever comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use liferaft_platform::{SortedMap, SortedSet};
use liferaft_transport::access::{
    AccessTable, Authorizer, Claimant, Grant, Permit, Refusal, Role, TokenTerms,
};
use liferaft_transport::endpoint::Signer;
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::{BACK_OFF_MAX, Credentials, Link, Wanted};
use liferaft_transport::voucher::{VOUCHERS_MAX, Voucher};

use super::solitude::{Loneliness, Solitude};
use crate::boots::{Boots, OldBoot, Seen};
use crate::configuration::{
    self, Configuration, Description, Dismissal, Grants, Member, PublicKey, TokenKey,
    VOUCHER_CHAIN_MAX,
};
use crate::consensus::planted::{Bug, is_planted};
use crate::identity::Identity;
use crate::ids::{Boot, ClusterId, ServerId};
use crate::time::Instant;

/// The most servers to which links are wanted although no configuration names them: those that lead elsewhere, or that
/// are about to be added. More are waited for.
const UNNAMED_MAX: usize = 64;

/// The most leaders that others have named, of which this server knows nothing else. The last ones count.
const INTRODUCED_MAX: usize = 8;

/// The most servers that are about to be added and have a link until then, whatever was before. The last ones count.
const AWAITED_MAX: usize = 64;

/// So long a removed server may have a link after it was asked to add it, and two heartbeats more: longer than it waits
/// between two attempts, and than whoever asks waits before that asks again, so that it is there by then.
const AWAIT_TIME: Duration = BACK_OFF_MAX.saturating_mul(3);

/// What is known of other servers, apart from what they say.
#[derive(Debug)]
pub(super) struct Peers {
    identity: Identity,
    description: Description,
    access: Arc<Access>,
    credentials: Credentials,
    invitation: Option<Invitation>,
    /// The leaders that members have named since this server had none, the last one at the back. What its configuration
    /// says of them is older: it may know them as removed, or not at all.
    introduced: Vec<(ServerId, Description)>,
    boots: Boots,
    /// The members of the newest committed configuration.
    committed: SortedSet<ServerId>,
    /// The servers that are about to be added, and until when they are waited for.
    awaited: SortedMap<ServerId, Instant>,
    /// To whom something was to be sent although there was no link, the last one at the back.
    unnamed: Vec<ServerId>,
    /// The peers that have links, and whether each is a server of the cluster.
    linked: SortedMap<ServerId, bool>,
    /// The tokens by which those of them that are clients were let in.
    clients: SortedMap<ServerId, TokenKey>,
    /// Those of them that were let in by the word of others alone.
    vouched: SortedSet<ServerId>,
    /// Those that may have no link, as the transport was told last.
    dismissed: SortedSet<ServerId>,
    solitude: Solitude,
    /// Whether nobody was reached whom the configuration names: the invitation counts from then on.
    is_lost: bool,
    /// Whether this server reaches for learners too if it is one: it was lost, and nobody who leads was reached but
    /// through a third server since.
    reaches_far: bool,
    /// When this server may have been alone for long.
    alone_at: Instant,
    /// Whether it may be reached by those whom no open cluster is meant for.
    is_exposed: bool,
    /// Whether what the transport was told may have changed.
    is_stale: bool,
}

/// What the transport asks about peers, while the member goes on.
#[derive(Debug, Default)]
pub(super) struct Access(Mutex<AccessTable>);

impl Access {
    /// Judges by this table from here on.
    pub(super) fn replace(&self, table: AccessTable) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = table;
    }
}

impl Authorizer for Access {
    fn authorize(&self, claimant: &Claimant) -> Result<Grant, Refusal> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.authorize(claimant)
    }
}

/// What the transport is to be told.
pub(super) struct Introduction {
    pub(super) credentials: Credentials,
    pub(super) authorizer: Arc<dyn Authorizer + Send + Sync>,
    pub(super) wanted: Vec<Wanted>,
    /// The peers that have links which they may not have any more.
    pub(super) forbidden: Vec<ServerId>,
}

impl Peers {
    /// Knows what storage remembers of others, and what this server was invited with.
    pub(super) fn new(
        (identity, cluster): (Identity, ClusterId),
        description: Description,
        invitation: Option<Invitation>,
        boots: Boots,
    ) -> Self {
        let credentials = Credentials {
            cluster,
            key: identity.public_key(),
            versions: description.versions(),
            starts: *identity.starts(),
            vouchers: Arc::new([]),
            role: Role::Joiner,
            token: None,
        };
        Self {
            identity,
            description,
            access: Arc::default(),
            credentials,
            invitation,
            introduced: Vec::new(),
            boots,
            committed: SortedSet::new(),
            awaited: SortedMap::new(),
            unnamed: Vec::new(),
            linked: SortedMap::new(),
            clients: SortedMap::new(),
            vouched: SortedSet::new(),
            dismissed: SortedSet::new(),
            solitude: Solitude::default(),
            is_lost: false,
            reaches_far: false,
            alone_at: Instant::MAX,
            is_exposed: false,
            is_stale: true,
        }
    }

    /// Lets nobody in for being there, if this server `is_exposed`: one that was invited may find that its cluster is
    /// open only when it has joined.
    pub(super) const fn exposed(mut self, is_exposed: bool) -> Self {
        self.is_exposed = is_exposed;
        self
    }

    /// What this server says of itself.
    pub(super) const fn description(&self) -> &Description {
        &self.description
    }

    /// What this server says of itself when it asks to be taken in, and the token of its invitation.
    pub(super) fn wish(&self) -> (Description, Option<TokenKey>) {
        let invitation = self.invitation.as_ref();
        let token = invitation.and_then(Invitation::token);
        (self.description.clone(), token.map(|token| token.key()))
    }

    /// Whom to ask to be taken in, by the invitation.
    pub(super) fn inviters(invitation: &Invitation) -> Vec<ServerId> {
        let inviters = invitation.inviters().iter();
        inviters.map(PublicKey::server_id).collect()
    }

    /// The configuration may have changed, or whether this server is in it.
    pub(super) const fn stir(&mut self) {
        self.is_stale = true;
    }

    /// Something is for a server that may have no link: one is wanted.
    pub(super) fn on_unlinked(&mut self, server: ServerId, configuration: &Configuration) {
        if self.unnamed.contains(&server)
            || self.linked.contains_key(&server)
            || configuration.contains(server)
        {
            return;
        }
        if self.unnamed.len() >= UNNAMED_MAX {
            self.unnamed.remove(0);
        }
        self.unnamed.push(server);
        self.is_stale = true;
    }

    /// A member says who leads, and where. Whoever trusts the member trusts the leader, until there is another one.
    pub(super) fn on_introduced(&mut self, leader: ServerId, description: &Description) {
        let is_whole = description.public_key().is_some() && description.can_be_of(leader);
        let introduction = (leader, description.clone());
        if !is_whole || self.introduced.contains(&introduction) {
            return;
        }
        self.introduced.retain(|(known, _)| *known != leader);
        if self.introduced.len() >= INTRODUCED_MAX {
            self.introduced.remove(0);
        }
        self.introduced.push(introduction);
        self.is_stale = true;
    }

    /// A link is up. Returns what is to be remembered of the boots of all servers, if that is news.
    ///
    /// # Errors
    /// When the peer is a copy of the server, or was set back. The transport has asked before, unless it came up at the
    /// same time as another.
    pub(super) fn on_up(
        &mut self,
        peer: ServerId,
        link: Option<&Link>,
        configuration: &Configuration,
    ) -> Result<Option<Boots>, OldBoot> {
        let role = link.map(|link| link.role);
        let is_server = matches!(role, None | Some(Role::Member | Role::Vouched));
        let is_server = is_server || configuration.contains(peer);
        self.linked.insert(peer, is_server);
        let Some(link) = link else {
            return Ok(None);
        };
        self.on_let_in(peer, link.role, link.token);
        if matches!(link.role, Role::Client(_)) {
            return Ok(None);
        }
        // Evidence against a server that was a member is not to be displaced by whoever comes and goes.
        let is_member = |id| {
            configuration.contains(id)
                || configuration.is_evicted(id)
                || configuration.is_dismissed(id)
        };
        match self.boots.remember(peer, &link.starts, is_member)? {
            Seen::Same => Ok(None),
            Seen::Newer => {
                self.is_stale = true;
                Ok(Some(self.boots.clone()))
            }
        }
    }

    /// Remembers what a peer has its link by, if that is not its key.
    fn on_let_in(&mut self, peer: ServerId, role: Role, token: Option<TokenKey>) {
        match role {
            Role::Client(_) => {
                self.clients.extend(token.map(|token| (peer, token)));
                // It may have been taken back since the transport has asked.
                self.is_stale = true;
            }
            Role::Vouched => {
                self.vouched.insert(peer);
            }
            Role::Member | Role::Joiner | Role::Stranger => {}
        }
    }

    /// Returns true if a server may have no link since it was removed.
    pub(super) fn is_dismissed(&self, server: ServerId) -> bool {
        let table = self.access.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.dismissed.contains(&server)
    }

    /// A server is about to be added: it gets a link, whatever was before.
    pub(super) fn await_server(&mut self, server: ServerId, heartbeat: Duration, now: Instant) {
        let until = now + AWAIT_TIME + heartbeat * 2;
        if self.awaited.len() >= AWAITED_MAX && !self.awaited.contains_key(&server) {
            let first = self.awaited.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(id, _)| *id) {
                self.awaited.remove(&first);
            }
        }
        let before = self.awaited.insert(server, until);
        self.is_stale |= before.is_none();
    }

    /// Who was about to be added is, or another change was made since.
    pub(super) fn await_nobody(&mut self) {
        self.is_stale |= !std::mem::take(&mut self.awaited).is_empty();
    }

    /// Waits no longer for those who have not come.
    pub(super) fn give_up_awaited(&mut self, now: Instant) {
        let count = self.awaited.len();
        self.awaited.retain(|_, until| *until > now);
        self.is_stale |= self.awaited.len() < count;
    }

    /// A link is down.
    pub(super) fn on_down(&mut self, peer: ServerId) {
        self.linked.remove(&peer);
        self.clients.remove(&peer);
        self.vouched.remove(&peer);
    }

    /// No link to a server came about. Who answered may have said why, without a proof that it may say so.
    pub(super) fn on_not_linked(&mut self, peer: ServerId, unproven: Option<Refusal>) {
        self.solitude.on_failure(peer, unproven);
    }

    /// When to look again whether this server is alone, and who has not come, if nothing happens.
    pub(super) fn due(&self) -> Instant {
        let awaited = self.awaited.values().copied();
        awaited.fold(self.alone_at, Instant::min)
    }

    /// Says whether there is nobody left whom this server could reach. `is_relayed` says of a leader whether it is
    /// reached through a third server.
    pub(super) fn loneliness(
        &mut self,
        configuration: &Configuration,
        leader: Option<ServerId>,
        is_relayed: impl FnOnce(ServerId) -> bool,
        now: Instant,
    ) -> Option<Loneliness> {
        // A leader whose link is down is known until it has been silent for long enough.
        let is_led = leader.is_some_and(|leader| {
            leader == self.identity.id() || self.linked.contains_key(&leader)
        });
        let has_company = is_led || self.servers_linked().next().is_some();
        if let Some(leader) = leader {
            let count = self.introduced.len();
            // This one is believed while it leads: what it replicates first may say that it was removed.
            self.introduced.retain(|(named, _)| *named == leader);
            self.is_stale |= self.introduced.len() < count;
        }
        if let Some(leader) = leader.filter(|_| is_led) {
            let is_found = std::mem::take(&mut self.is_lost);
            // The learner that passes on what comes of the leader is needed for that.
            let is_near = self.reaches_far && !is_relayed(leader);
            self.reaches_far &= !is_near;
            self.is_stale |= is_found || is_near;
        }
        let known = if has_company {
            SortedSet::new()
        } else {
            self.known(configuration)
        };
        let loneliness = self.solitude.judge(&known, has_company, now);
        self.alone_at = self.solitude.due(now);
        if loneliness.is_some() && !self.is_lost {
            self.is_lost = true;
            self.reaches_far = true;
            self.is_stale = true;
        }
        loneliness
    }

    /// The servers of the cluster that have a link.
    pub(super) fn servers_linked(&self) -> impl Iterator<Item = ServerId> {
        let servers = self.linked.iter().filter(|(_, is_server)| **is_server);
        servers.map(|(id, _)| *id)
    }

    /// The members that this server reaches for: all of them, but a learner the voters alone, which have all that it
    /// needs. So links grow as members times voters. Where no voter is reached for long, a learner may have missed who
    /// took their place, or is cut off from them, and reaches for all.
    fn sought<'a>(
        &self,
        configuration: &'a Configuration,
    ) -> impl Iterator<Item = (ServerId, &'a Member)> + use<'a> {
        let voters_only = configuration.is_learner(self.identity.id()) && !self.reaches_far;
        let members = configuration.members();
        members.filter(move |(_, member)| !voters_only || member.votes())
    }

    /// The servers that this one may reach: those that it reaches for, and who has invited it.
    fn known(&self, configuration: &Configuration) -> SortedSet<ServerId> {
        let members = self.sought(configuration).map(|(id, _)| id);
        let mut known: SortedSet<ServerId> = members.collect();
        known.extend(
            self.invitation_to_use(configuration)
                .iter()
                .flat_map(|invitation| Self::inviters(invitation)),
        );
        known.remove(&self.identity.id());
        known
    }

    /// The invitation, for a server that knows nothing of its cluster yet, or has nobody left whom it knows.
    fn invitation_to_use(&self, configuration: &Configuration) -> Option<&Invitation> {
        let invitation = self.invitation.as_ref();
        invitation.filter(|_| configuration.is_empty() || self.is_lost)
    }

    /// Returns `server`, or if there is no link to it a server to which there is one: any that knows the cluster can
    /// say who leads it.
    pub(super) fn reachable_instead_of(&self, server: ServerId) -> ServerId {
        if self.linked.contains_key(&server) {
            return server;
        }
        self.servers_linked().next().unwrap_or(server)
    }

    /// Gives the word of this server that another may take part; `None` if its key cannot sign.
    pub(super) fn vouch(
        &self,
        subject: PublicKey,
    ) -> BoxFuture<'static, Option<configuration::Voucher>> {
        let statement = Voucher::statement(self.credentials.cluster, &subject);
        let by = self.identity.public_key();
        let signature = self.identity.sign(statement).map(move |signature| {
            signature.map(|signature| configuration::Voucher { by, signature })
        });
        signature.boxed()
    }

    /// Returns what the transport is to be told, if that may be something else than before.
    ///
    /// A removal counts once it is committed: until then the server may be needed for that, and may stay.
    pub(super) fn introduce(
        &mut self,
        configuration: &Configuration,
        is_committed: bool,
    ) -> Option<Introduction> {
        if !std::mem::take(&mut self.is_stale) {
            return None;
        }
        let mut table = self.table(configuration);
        if !is_committed {
            table.members.extend(&self.committed);
            table
                .dismissed
                .retain(|server| !self.committed.contains(server));
        } else {
            self.committed.clone_from(&table.members);
        }
        // Whoever came as a newcomer is a server of the cluster once it is named.
        for (peer, is_server) in &mut self.linked {
            *is_server |= configuration.contains(*peer);
        }
        // What a server that was expelled has said counts no more: who came by the word of others proves anew whose.
        let is_word_lost = !table.dismissed.is_subset(&self.dismissed);
        self.dismissed.clone_from(&table.dismissed);
        let linked = self.linked.keys().copied();
        let forbidden = linked.filter(|peer| {
            let token = self.clients.get(peer).filter(|_| is_committed);
            let is_revoked = token.is_some_and(|token| !table.tokens.contains_key(token));
            let is_vouched = self.vouched.contains(peer) && !table.members.contains(peer);
            table.dismissed.contains(peer) || is_revoked || (is_word_lost && is_vouched)
        });
        let forbidden = forbidden.collect();
        self.access.replace(table);
        self.unnamed
            .retain(|server| !configuration.contains(*server));
        self.credentials.role = if configuration.is_empty() {
            Role::Joiner
        } else {
            Role::Member
        };
        let invitation = self.invitation.as_ref();
        self.credentials.token = invitation.and_then(Invitation::token).cloned();
        self.credentials.vouchers = vouchers(configuration, self.credentials.key).into();
        Some(Introduction {
            credentials: self.credentials.clone(),
            authorizer: Arc::clone(&self.access) as Arc<dyn Authorizer + Send + Sync>,
            wanted: self.wanted(configuration),
            forbidden,
        })
    }

    /// Returns the starts that were met of other servers.
    fn evidence(&self) -> impl Iterator<Item = (ServerId, Boot)> {
        let met = self.boots.iter();
        met.filter(|_| !is_planted(Bug::CloneAdmitted))
    }

    /// Returns the facts by which peers are judged.
    ///
    /// Cluster time is the leader's to know, and it judges tokens by it when it admits a server: here none has expired.
    fn table(&self, configuration: &Configuration) -> AccessTable {
        let members = configuration.members().map(|(id, _)| id);
        let mut table = AccessTable {
            members: members.collect(),
            is_open: configuration.is_open() && !self.is_exposed,
            boots: self.evidence().collect(),
            ..AccessTable::default()
        };
        for (server, why) in configuration.dismissed() {
            // While the configuration is joint it has a vote on its removal.
            if configuration.contains(*server) {
                continue;
            }
            match why {
                Dismissal::Removed => table.dismissed.insert(*server),
                // It is let in to be told that it has to go.
                Dismissal::Forgot => table.evicted.insert(*server),
            };
        }
        table.evicted.extend(configuration.evicted());
        for server in self.awaited.keys() {
            table.dismissed.remove(server);
            table.evicted.insert(*server);
        }
        for token in configuration.tokens() {
            let role = match token.grants {
                Grants::Membership => Role::Joiner,
                Grants::Reading => Role::Client(Permit::Read),
                Grants::Writing => Role::Client(Permit::Write),
                Grants::Operating => Role::Client(Permit::Operate),
            };
            let terms = TokenTerms {
                role,
                expires_at: token.expires_at.0,
                uses_left: token.uses_left,
            };
            table.tokens.insert(token.key, terms);
        }
        if let Some(invitation) = self.invitation_to_use(configuration) {
            table.is_open &= !configuration.is_empty();
            table.members.extend(Self::inviters(invitation));
        }
        for (leader, _) in &self.introduced {
            // It may have been added again since.
            table.dismissed.remove(leader);
            table.members.insert(*leader);
        }
        table
    }

    /// Returns to whom links are wanted: the members that this server reaches for, and who else was to be sent
    /// something.
    fn wanted(&self, configuration: &Configuration) -> Vec<Wanted> {
        let mut wanted: SortedMap<ServerId, Wanted> = SortedMap::new();
        let mut want = |peer, keys: &[PublicKey], addresses: &[_]| {
            wanted.entry(peer).or_insert_with(|| Wanted {
                peer,
                keys: keys.to_vec(),
                addresses: addresses.to_vec(),
            });
        };
        // What they say of members is newer, if they are needed at all.
        for (leader, description) in &self.introduced {
            let key = description.public_key();
            want(*leader, key.as_slice(), description.addresses());
        }
        if let Some(invitation) = self.invitation_to_use(configuration) {
            for inviter in Self::inviters(invitation) {
                want(inviter, invitation.inviters(), invitation.addresses());
            }
        }
        for (id, member) in self.sought(configuration) {
            let key = member.description.public_key();
            want(id, key.as_slice(), member.description.addresses());
        }
        let is_welcome =
            |id: &&ServerId| !configuration.is_dismissed(**id) || self.awaited.contains_key(*id);
        for server in self.unnamed.iter().filter(is_welcome) {
            want(*server, &[], &[]);
        }
        wanted.remove(&self.identity.id());
        wanted.into_values().collect()
    }
}

/// Returns who vouches for the server with this key, nearest first, as far as the configuration knows.
fn vouchers(configuration: &Configuration, key: PublicKey) -> Vec<Voucher> {
    // What the log keeps of a chain a handshake shows.
    const { assert!(VOUCHER_CHAIN_MAX == VOUCHERS_MAX) };
    let chain = configuration.vouchers_of(key).into_iter();
    chain
        .map(|(subject, voucher)| Voucher {
            subject,
            by: voucher.by,
            signature: voucher.signature,
        })
        .collect()
}

#[cfg(test)]
mod tests;
