//! Decides whom a server talks to, and as what: the one place where a proven key becomes a role.
//!
//! A handshake proves who is at the other end of a link. What that key may do here depends on the configuration, which
//! this crate does not know: it asks an [`Authorizer`]. [`AccessTable`] is the decision itself, as a pure function of
//! the facts that a configuration holds; whoever has a configuration fills it in.

use std::fmt;

use liferaft_platform::{Boot, PublicKey, ServerId, Starts, TokenKey, Versions};
use liferaft_platform::{SortedMap, SortedSet};
use thiserror::Error;

/// What a peer is to this end of a link, and so which messages are accepted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It is in the configuration.
    Member,
    /// It is not in the configuration as it is known here, but one who is vouches for it.
    Vouched,
    /// It may ask to become a member.
    Joiner,
    /// It takes no part, and may do so much.
    Client(Permit),
    /// It may do nothing.
    Stranger,
}

/// What a client may do: all that those before it may, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permit {
    /// It may read.
    Read,
    /// It may write.
    Write,
    /// It may change who is a member, who leads and who is invited.
    Operate,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Member => "member",
            Self::Vouched => "vouched-for server",
            Self::Joiner => "joiner",
            Self::Client(Permit::Read) => "client that may read",
            Self::Client(Permit::Write) => "client that may write",
            Self::Client(Permit::Operate) => "client that may operate the cluster",
            Self::Stranger => "stranger",
        })
    }
}

/// Why a peer gets no link. Its text is for the peer, which reads it after "refused: ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The key is not known, and nothing was shown that would make up for it.
    #[error("the cluster knows neither the key nor an invitation that was shown with it")]
    Stranger,
    /// An operator removed the server.
    #[error("the server was expelled from the cluster")]
    Expelled,
    /// The key claims to be a member's, but is not in the configuration, nor remembered as evicted.
    #[error("the cluster has forgotten the server, which needs a new invitation")]
    Forgotten,
    /// The token was never issued, or was revoked.
    #[error("the invitation is not known to the cluster, or was revoked")]
    TokenUnknown,
    /// The token's time is over.
    #[error("the invitation has expired")]
    TokenExpired,
    /// The token was used as often as it may be.
    #[error("the invitation was used as often as it may be")]
    TokenUsedUp,
    /// The token is for another role than the claimed one.
    #[error("the invitation does not grant the role that is claimed")]
    RoleNotGranted,
    /// A later start of the storage was met, or another in the place of one that is shown.
    #[error("the storage is a copy, or was set back: a later or another start of it was met")]
    OldBoot,
    /// The peer speaks no protocol version that this server speaks.
    #[error("no common protocol version: the refusing server speaks {versions}")]
    NoCommonVersion {
        /// What the refusing server speaks.
        versions: Versions,
    },
    /// Both ends see different connections between them.
    #[error("both ends are not of one connection: somebody is between them")]
    WrongBinding,
    /// The server has as many links as it may have.
    #[error("the refusing server has as many links as it takes")]
    Crowded,
    /// The newcomer shows no invitation, and the cluster is not open.
    #[error("the cluster is not open: it takes newcomers by invitation only")]
    NotOpen,
}

impl Refusal {
    /// Returns true if the refused peer may be told the reason, with a proof of who refuses: it holds a key or a token
    /// that the cluster knows. Any other is told no more than [`Stranger`](Self::Stranger), by nobody in particular.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        match self {
            Self::Expelled
            | Self::TokenExpired
            | Self::TokenUsedUp
            | Self::RoleNotGranted
            | Self::OldBoot
            | Self::NoCommonVersion { .. }
            | Self::WrongBinding
            | Self::Crowded => true,
            Self::Stranger | Self::Forgotten | Self::TokenUnknown | Self::NotOpen => false,
        }
    }
}

/// What a peer has proven of itself in a handshake, and what it asks to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Its key, which it proved to hold.
    pub key: PublicKey,
    /// The role that it claims: a wish, no proof.
    pub role: Role,
    /// The token whose secret it proved to hold.
    pub token: Option<TokenKey>,
    /// Who vouches for it, nearest first: the first key for it, each other for the one before it. The signatures were
    /// verified; whether any of the keys is trusted is for the [`Authorizer`] to say.
    pub vouched_by: Vec<PublicKey>,
    /// Which start of its storage this is, and which were before it.
    pub starts: Starts,
    /// The protocol versions that it speaks.
    pub versions: Versions,
}

/// What a claimant is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its role, which may be less than it claimed.
    pub role: Role,
}

/// Knows the configuration, and decides by it about each peer that has proven its key.
///
/// It is asked while links are made, and not again. Whoever learns of a change of the configuration closes the links of
/// those whom it refuses from then on.
pub trait Authorizer {
    /// Decides about a peer. It is asked once for each handshake, at both ends, and answers at once.
    ///
    /// # Errors
    /// When the peer gets no link.
    fn authorize(&self, claimant: &Claimant) -> Result<Grant, Refusal>;
}

/// The terms of a token that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTerms {
    /// What the holder may be: a [`Role::Joiner`] or a [`Role::Client`].
    pub role: Role,
    /// The cluster time from which on it does not count, in the unit of [`AccessTable::cluster_time`].
    pub expires_at: u64,
    /// How often it may still be used.
    pub uses_left: u32,
}

/// The facts by which a peer is judged, as the newest configuration that is known here has them.
///
/// All tables are as large as whoever fills them in makes them: a configuration is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTable {
    /// The servers of the configuration; for one that has no configuration yet, those that its invitation names. An id
    /// is the digest of a key, so that nobody holds another key with it.
    pub members: SortedSet<ServerId>,
    /// Servers that were removed for their silence, and come back without an invitation.
    pub evicted: SortedSet<ServerId>,
    /// Servers that an operator removed.
    pub dismissed: SortedSet<ServerId>,
    /// The tokens that were issued and not revoked.
    pub tokens: SortedMap<TokenKey, TokenTerms>,
    /// Whether the cluster takes anybody for what they claim to be. Only for trying out.
    pub is_open: bool,
    /// The newest start that was met of each server.
    pub boots: SortedMap<ServerId, Boot>,
    /// The time by which tokens expire, in any unit.
    pub cluster_time: u64,
    /// Whether there is no room for links to others than servers of the cluster.
    pub is_crowded: bool,
}

impl Authorizer for AccessTable {
    fn authorize(&self, claimant: &Claimant) -> Result<Grant, Refusal> {
        let id = claimant.key.server_id();
        let role = self.role_of(id, claimant)?;
        // Only who is known by a key or a token is told of boots and of crowds.
        if let Some(met) = self.boots.get(&id)
            && !claimant.starts.may_follow(met)
        {
            return Err(Refusal::OldBoot);
        }
        if self.is_crowded && !matches!(role, Role::Member | Role::Vouched) {
            return Err(Refusal::Crowded);
        }
        Ok(Grant { role })
    }
}

impl AccessTable {
    /// Returns what a claimant is. What a server is by its key goes before what its token grants, so that a token that
    /// a member used up to become one does not count against it.
    fn role_of(&self, id: ServerId, claimant: &Claimant) -> Result<Role, Refusal> {
        if self.dismissed.contains(&id) {
            return Err(Refusal::Expelled);
        }
        if self.members.contains(&id) {
            return Ok(Role::Member);
        }
        let claims_to_serve = matches!(claimant.role, Role::Member | Role::Vouched | Role::Joiner);
        if claims_to_serve && self.is_vouched(&claimant.vouched_by) {
            return Ok(Role::Vouched);
        }
        if claims_to_serve && self.evicted.contains(&id) {
            return Ok(Role::Joiner);
        }
        match &claimant.token {
            Some(token) => self.role_by_token(token, claimant.role),
            None => self.role_by_claim(claimant.role),
        }
    }

    /// Returns true if a chain leads to a member before it meets a server that was expelled, whose word counts for
    /// nothing, whoever vouched for it before.
    fn is_vouched(&self, vouched_by: &[PublicKey]) -> bool {
        vouched_by
            .iter()
            .take_while(|key| !self.dismissed.contains(&key.server_id()))
            .any(|key| self.members.contains(&key.server_id()))
    }

    fn role_by_token(&self, token: &TokenKey, claimed: Role) -> Result<Role, Refusal> {
        let terms = self.tokens.get(token).ok_or(Refusal::TokenUnknown)?;
        if self.cluster_time >= terms.expires_at {
            return Err(Refusal::TokenExpired);
        }
        if terms.uses_left == 0 {
            return Err(Refusal::TokenUsedUp);
        }
        match (terms.role, claimed) {
            (Role::Joiner, Role::Joiner | Role::Member) => Ok(Role::Joiner),
            // Whoever holds a token does not know what it grants, and is told by the role that it gets.
            (Role::Client(allowed), Role::Client(claimed)) => {
                Ok(Role::Client(claimed.min(allowed)))
            }
            _ => Err(Refusal::RoleNotGranted),
        }
    }

    /// Decides about a key that nobody knows, without a token.
    fn role_by_claim(&self, claimed: Role) -> Result<Role, Refusal> {
        match claimed {
            Role::Stranger => Err(Refusal::Stranger),
            // An open cluster believes everybody, and so also who claims to be a server of it.
            Role::Member | Role::Vouched if self.is_open => Ok(Role::Vouched),
            Role::Joiner | Role::Client(_) if self.is_open => Ok(claimed),
            Role::Member | Role::Vouched => Err(Refusal::Forgotten),
            Role::Joiner | Role::Client(_) => Err(Refusal::NotOpen),
        }
    }
}

#[cfg(test)]
mod tests;
