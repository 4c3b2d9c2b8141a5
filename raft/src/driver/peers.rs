//! Decides to whom this member links, and whom it lets in: by the newest configuration that it knows, and before it
//! knows one, by its invitation.
//!
//! The transport proves who is at the other end of a link, and asks the table that is kept here what that peer may be.
//! A transport that proves nothing asks for nothing, and takes whoever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use liferaft_transport::access::{
    AccessTable, Authorizer, Claimant, Grant, Refusal, Role, TokenTerms,
};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::{Credentials, Link, Wanted};
use liferaft_transport::voucher::{VOUCHERS_MAX, Voucher};

use crate::boots::{Boots, OldBoot, Seen};
use crate::configuration::{
    self, Configuration, Description, Dismissal, Grants, PROTOCOL_VERSIONS, PublicKey, TokenKey,
};
use crate::identity::Identity;
use crate::ids::{ClusterId, ServerId};

/// The most servers to which links are wanted although no configuration names them: those that lead elsewhere, or that
/// are about to be added. More are waited for.
const UNNAMED_MAX: usize = 64;

/// What is known of other servers, apart from what they say.
#[derive(Debug)]
pub(super) struct Peers {
    identity: Identity,
    description: Description,
    access: Arc<Access>,
    credentials: Credentials,
    invitation: Option<Invitation>,
    boots: Boots,
    /// To whom something was to be sent although there was no link, the last one at the back.
    unnamed: Vec<ServerId>,
    linked: BTreeSet<ServerId>,
    /// Whether what the transport was told may have changed.
    is_stale: bool,
}

/// What the transport asks about peers, while the member goes on.
#[derive(Debug, Default)]
struct Access(Mutex<AccessTable>);

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
            versions: PROTOCOL_VERSIONS,
            boot: identity.evidence(),
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
            boots,
            unnamed: Vec::new(),
            linked: BTreeSet::new(),
            is_stale: true,
        }
    }

    /// What this server says of itself when it asks to be taken in, and the token of its invitation.
    pub(super) fn wish(&self) -> (Description, Option<TokenKey>) {
        let invitation = self.invitation.as_ref();
        let token = invitation.and_then(Invitation::token);
        (self.description.clone(), token.map(|token| token.key()))
    }

    /// Returns how this server is to be described, if the configuration names it and says that it is reached elsewhere, or
    /// speaks other versions of the protocol. A server that does not say where it is reached leaves it as it is.
    pub(super) fn description_to_give(&self, configuration: &Configuration) -> Option<Description> {
        let known = &configuration.member(self.identity.id())?.description;
        let own = &self.description;
        let has_moved = !own.addresses().is_empty() && own.addresses() != known.addresses();
        (has_moved || own.versions() != known.versions()).then(|| own.clone())
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

    /// Something was to be sent to a server without a link: one is wanted.
    pub(super) fn on_unlinked(&mut self, server: ServerId, configuration: &Configuration) {
        if self.unnamed.contains(&server) || configuration.contains(server) {
            return;
        }
        if self.unnamed.len() >= UNNAMED_MAX {
            self.unnamed.remove(0);
        }
        self.unnamed.push(server);
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
        self.linked.insert(peer);
        let Some(link) = link.filter(|link| !matches!(link.role, Role::Client { .. })) else {
            return Ok(None);
        };
        let is_member = |id| configuration.contains(id);
        match self.boots.remember(peer, link.boot, is_member)? {
            Seen::Same => Ok(None),
            Seen::Newer => {
                self.is_stale = true;
                Ok(Some(self.boots.clone()))
            }
        }
    }

    /// A link is down.
    pub(super) fn on_down(&mut self, peer: ServerId) {
        self.linked.remove(&peer);
    }

    /// Returns `server`, or if there is no link to it a server to which there is one: any that knows the cluster can say
    /// who leads it. A link to `server` is wanted all the same.
    pub(super) fn reachable_instead_of(
        &mut self,
        server: ServerId,
        configuration: &Configuration,
    ) -> ServerId {
        if self.linked.contains(&server) {
            return server;
        }
        self.on_unlinked(server, configuration);
        self.linked.first().copied().unwrap_or(server)
    }

    /// Returns the word of this server that another may take part.
    pub(super) fn vouch(&self, subject: PublicKey) -> configuration::Voucher {
        let statement = Voucher::statement(self.credentials.cluster, &subject);
        configuration::Voucher {
            by: self.identity.public_key(),
            signature: self.identity.sign(&statement),
        }
    }

    /// Returns what the transport is to be told, if that may be something else than before.
    pub(super) fn introduce(&mut self, configuration: &Configuration) -> Option<Introduction> {
        if !std::mem::take(&mut self.is_stale) {
            return None;
        }
        let table = self.table(configuration);
        let linked = self.linked.iter().copied();
        let forbidden = linked.filter(|peer| table.dismissed.contains(peer));
        let forbidden = forbidden.collect();
        *self.access.0.lock().unwrap_or_else(PoisonError::into_inner) = table;
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

    /// Returns the facts by which peers are judged.
    ///
    /// Cluster time is the leader's to know, and it judges tokens by it when it admits a server: here none has expired.
    fn table(&self, configuration: &Configuration) -> AccessTable {
        let members = configuration.members().map(|(id, _)| id);
        let mut table = AccessTable {
            members: members.collect(),
            is_open: configuration.is_open(),
            boots: self.boots.iter().collect(),
            ..AccessTable::default()
        };
        for (server, why) in configuration.dismissed() {
            match why {
                Dismissal::Removed => table.dismissed.insert(*server),
                // It is let in to be told that it has to go.
                Dismissal::Forgot => table.evicted.insert(*server),
            };
        }
        table.evicted.extend(configuration.evicted());
        for token in configuration.tokens() {
            let role = match token.grants {
                Grants::Membership => Role::Joiner,
                Grants::Reading => Role::Client { may_write: false },
                Grants::Writing => Role::Client { may_write: true },
            };
            let terms = TokenTerms {
                role,
                expires_at: token.expires_at.0,
                uses_left: token.uses_left,
            };
            table.tokens.insert(token.key, terms);
        }
        if let (true, Some(invitation)) = (configuration.is_empty(), &self.invitation) {
            table.is_open = false;
            table.members.extend(Self::inviters(invitation));
        }
        table
    }

    /// Returns to whom links are wanted: all members, and who else was to be sent something.
    fn wanted(&self, configuration: &Configuration) -> Vec<Wanted> {
        let mut wanted: BTreeMap<ServerId, Wanted> = BTreeMap::new();
        let mut want = |peer, keys: &[PublicKey], addresses: &[_]| {
            wanted.entry(peer).or_insert_with(|| Wanted {
                peer,
                keys: keys.to_vec(),
                addresses: addresses.to_vec(),
            });
        };
        for (id, member) in configuration.members() {
            let key = member.description.public_key();
            want(id, key.as_slice(), member.description.addresses());
        }
        if let (true, Some(invitation)) = (configuration.is_empty(), &self.invitation) {
            for inviter in Self::inviters(invitation) {
                want(inviter, invitation.inviters(), invitation.addresses());
            }
        }
        for server in &self.unnamed {
            want(*server, &[], &[]);
        }
        wanted.remove(&self.identity.id());
        wanted.into_values().collect()
    }
}

/// Returns who vouches for the server with this key, nearest first, as far as the configuration knows.
fn vouchers(configuration: &Configuration, key: PublicKey) -> Vec<Voucher> {
    let mut chain: Vec<Voucher> = Vec::new();
    let mut subject = key;
    while chain.len() < VOUCHERS_MAX
        && let Some(member) = configuration.member(subject.server_id())
        && let Some(voucher) = member.voucher
    {
        chain.push(Voucher {
            subject,
            by: voucher.by,
            signature: voucher.signature,
        });
        subject = voucher.by;
    }
    chain
}
