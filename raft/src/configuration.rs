//! The configuration: which servers take part, and whose votes count (§4).

mod description;
mod lineage;
mod scope;
mod token;

use alloc::vec::Vec;
use core::fmt;

use description::encoded_len;
pub use description::{
    ADDRESSES_MAX, Address, Description, LABEL_BYTES_MAX, Label, PROTOCOL_VERSIONS, PublicKey,
    SIGNATURE_BYTES, Versions, Voucher,
};
pub use lineage::{PAST_VOUCHERS_MAX, VOUCHER_CHAIN_MAX};
pub use scope::{InvalidScope, SCOPE_PREFIX_BYTES_MAX, SCOPE_PREFIXES_MAX, Scope};
pub use token::{AccessToken, Grants, TOKENS_MAX, TokenFault, TokenKey};

use self::lineage::PastVouchers;
use self::token::Tokens;
use crate::ids::ServerId;
use crate::sorted::SortedMap;
use crate::time::ClusterTime;

/// The most servers that a configuration may name. A frame that claims more is refused.
pub const SERVERS_MAX: usize = 4096;

/// The most servers that a configuration remembers as dismissed. Beyond it the oldest removal by an operator is
/// forgotten first: such a server may only ask to join again. Of servers that forgot, the oldest follows when there are
/// no others. A frame that claims more is refused.
pub const DISMISSED_MAX: usize = 256;

/// The most servers that a configuration remembers as evicted for their silence. Beyond it, and where a configuration
/// would be too long for an entry, the oldest eviction is forgotten first. A frame that claims more is refused.
pub const EVICTED_MAX: usize = 256;

/// The most bytes of an entry's payload, unless the founders of a cluster say otherwise: 1 MiB.
pub const ENTRY_BYTES_MAX: u64 = 1 << 20;

/// Why a server that took part is not taken in when it asks to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dismissal {
    /// An operator removed it, and may add it again.
    Removed,
    /// It had lost some of what it acknowledged, and perhaps votes that it gave. Its id is never added again.
    Forgot,
}

/// Names one founding of a cluster, and all that followed from it: servers of two foundings have nothing in common,
/// even under one [`ClusterId`](crate::ids::ClusterId).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History(pub u64);

/// What keeps a server from taking part where it was asked to, or asks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Foreign {
    /// It belongs to another cluster.
    Cluster,
    /// It belongs to another [`History`] of the cluster: the cluster was founded twice.
    History,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "another cluster",
            Self::History => "another history of this cluster, which was founded twice",
        })
    }
}

/// What a server's voice counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffrage {
    /// Votes in elections, and its log counts for commitment.
    Voter,
    /// Receives the log and counts for nothing (the non-voting member of §4.2.1).
    Learner,
}

/// A server as the configuration knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What its voice counts for in the newest configuration; `None` for one that only takes part in the outgoing
    /// half of a joint configuration and leaves with it.
    pub suffrage: Option<Suffrage>,
    /// Whether it votes in the outgoing half (C_old) of a joint configuration; always false in a simple one.
    pub outgoing_voter: bool,
    /// What it says of itself.
    pub description: Description,
    /// A member's word that it was let in, if it needed one.
    pub voucher: Option<Voucher>,
}

/// A cluster configuration: simple, or joint while the cluster moves from one set of voters to another (§4.3).
///
/// The empty configuration is that of a blank server: one that nobody has added yet, and that keeps its timers off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    members: SortedMap<ServerId, Member>,
    /// Who is not taken in again, the oldest dismissal first. Invariant: nobody twice, nobody whom this names.
    dismissed: Vec<(ServerId, Dismissal)>,
    /// Who was evicted, the oldest eviction first. Invariant: nobody twice, nobody whom this names or `dismissed` does.
    evicted: Vec<ServerId>,
    /// Vouchers of servers that have left. Invariant: nobody's whom this names with a voucher of its own, and none that
    /// no member's chain goes through.
    past_vouchers: PastVouchers,
    tokens: Tokens,
    version: u32,
    founders_choice: FoundersChoice,
    // Caches of `members`, sorted by id: quorums are counted far more often than configurations change.
    voters: Vec<ServerId>,
    outgoing: Vec<ServerId>,
}

/// What the founders of a cluster chose: all later configurations keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FoundersChoice {
    entry_bytes_max: u64,
    history: Option<History>,
    is_open: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self::from_members([])
    }
}

impl Configuration {
    /// What an evicted server adds to the [weight](Self::weight), in bytes: an id.
    pub(crate) const EVICTED_WEIGHT: u64 = 18;

    /// A simple configuration of these voters, of which nothing is known but their ids.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = ServerId>) -> Self {
        Self::from_members(
            voters
                .into_iter()
                .map(|id| (id, Member::voter(Description::default()))),
        )
    }

    /// The configuration of these members, in an open cluster of the lowest version that this build speaks.
    #[must_use]
    pub fn from_members(members: impl IntoIterator<Item = (ServerId, Member)>) -> Self {
        let nobody = Self {
            members: SortedMap::new(),
            dismissed: Vec::new(),
            evicted: Vec::new(),
            past_vouchers: PastVouchers::new(),
            tokens: Tokens::default(),
            version: PROTOCOL_VERSIONS.min,
            founders_choice: FoundersChoice {
                entry_bytes_max: ENTRY_BYTES_MAX,
                history: None,
                is_open: true,
            },
            voters: Vec::new(),
            outgoing: Vec::new(),
        };
        nobody.with_members(members)
    }

    /// This configuration with these members in place of its own: all that concerns the cluster stays as it is.
    #[must_use]
    pub fn with_members(self, members: impl IntoIterator<Item = (ServerId, Member)>) -> Self {
        let members: SortedMap<_, _> = members.into_iter().collect();
        let of = |keep: fn(&Member) -> bool| {
            members
                .iter()
                .filter(|(_, member)| keep(member))
                .map(|(id, _)| *id)
                .collect()
        };
        let voters = of(|member| member.suffrage == Some(Suffrage::Voter));
        let outgoing = of(|member| member.outgoing_voter);
        let past_vouchers = lineage::still_needed(&members, |key| self.voucher_of(key));
        let (dismissed, evicted) = (self.dismissed, self.evicted);
        Self {
            voters,
            outgoing,
            members,
            past_vouchers,
            dismissed: Vec::new(),
            evicted: Vec::new(),
            ..self
        }
        .with_dismissed(dismissed)
        .with_evicted(evicted)
    }

    /// This configuration, in a cluster whose entries have payloads of at most so many bytes. Default
    /// [`ENTRY_BYTES_MAX`].
    ///
    /// Those who found a cluster choose it, for the shortest frames that any transport of the cluster will carry. All
    /// later configurations keep it.
    #[must_use]
    pub const fn with_entry_bytes_max(mut self, bytes: u64) -> Self {
        self.founders_choice.entry_bytes_max = bytes;
        self
    }

    /// Returns the most bytes of an entry's payload in this cluster: of a command, or of an encoded configuration. What
    /// is longer no leader appends, and every member's transport carries what is not.
    #[must_use]
    pub const fn entry_bytes_max(&self) -> u64 {
        self.founders_choice.entry_bytes_max
    }

    /// This configuration, in a cluster that was founded under this name. All later configurations keep it.
    #[must_use]
    pub const fn with_history(mut self, history: History) -> Self {
        self.founders_choice.history = Some(history);
        self
    }

    /// Returns the name of the founding from which this configuration comes; `None` if the founders gave it none.
    #[must_use]
    pub const fn history(&self) -> Option<History> {
        self.founders_choice.history
    }

    /// This configuration, in a cluster that is open to all, or closed. Those who found a cluster choose it, and all
    /// later configurations keep it. Default open.
    #[must_use]
    pub const fn with_open(mut self, is_open: bool) -> Self {
        self.founders_choice.is_open = is_open;
        self
    }

    /// Returns true if the cluster takes in whoever asks, and its servers believe leaders and candidates whom they do
    /// not know. In a closed one both take an invitation, or the word of a member.
    ///
    /// A blank server does not know yet: its configuration is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.founders_choice.is_open
    }

    /// This configuration, in a cluster that speaks this version of the protocol. Default the lowest version that this
    /// build speaks.
    #[must_use]
    pub const fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Returns the version of the protocol that the cluster speaks, which never goes back: what came with a later one
    /// is not used yet.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// This configuration with these access tokens in place of its own: those with the [`TOKENS_MAX`] smallest keys.
    #[must_use]
    pub fn with_tokens(mut self, tokens: impl IntoIterator<Item = AccessToken>) -> Self {
        self.tokens = Tokens::from_tokens(tokens);
        self
    }

    /// Returns the access tokens, sorted by key.
    #[must_use]
    pub fn tokens(&self) -> &[AccessToken] {
        self.tokens.as_slice()
    }

    /// Returns when the next of its access tokens expires that has not expired at `now`.
    #[must_use]
    pub fn next_expiry(&self, now: ClusterTime) -> Option<ClusterTime> {
        let expiries = self.tokens().iter().map(|token| token.expires_at);
        expiries.filter(|at| *at > now).min()
    }

    /// Returns the access token with this key; `None` if there is none, or it is forgotten.
    #[must_use]
    pub fn token(&self, key: TokenKey) -> Option<&AccessToken> {
        self.tokens.get(key)
    }

    /// Returns the access token with this key, if at this time it lets somebody in as what it grants.
    ///
    /// # Errors
    /// Why it does not.
    pub fn valid_token(
        &self,
        key: TokenKey,
        grants: Grants,
        now: ClusterTime,
    ) -> Result<&AccessToken, TokenFault> {
        let token = self.token(key).ok_or(TokenFault::Unknown)?;
        token.check(now)?;
        if token.grants == grants {
            Ok(token)
        } else {
            Err(TokenFault::GrantsOther)
        }
    }

    /// Takes one use of this access token, which was checked.
    pub(crate) fn take_use(&mut self, key: TokenKey) {
        self.tokens.take_use(key);
    }

    /// Adds an access token. Returns false if it has no room for it, even without those that have ended at this time.
    pub(crate) fn issue(&mut self, token: AccessToken, now: ClusterTime) -> bool {
        self.tokens.insert(token, now)
    }

    /// Removes an access token. Returns false if it has none with this key.
    pub(crate) fn revoke(&mut self, key: TokenKey) -> bool {
        self.tokens.remove(key)
    }

    /// Returns a name for the founding of a cluster with this configuration, the same on all founders.
    #[must_use]
    pub fn founding(&self) -> History {
        // FNV-1a, of 64 bits: names are told apart, and nobody is kept from making two alike.
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        add(&self.entry_bytes_max().to_be_bytes());
        add(&[u8::from(self.is_open())]);
        add(&self.version.to_be_bytes());
        for (id, member) in &self.members {
            add(&id.0.to_be_bytes());
            add(&[u8::from(member.votes())]);
            let description = &member.description;
            add(&[u8::from(description.public_key().is_some())]);
            if let Some(key) = description.public_key() {
                add(&key.0);
            }
            let versions = description.versions();
            add(&versions.min.to_be_bytes());
            add(&versions.max.to_be_bytes());
            let addresses = description.addresses().iter().map(Address::as_str);
            for text in core::iter::once(description.label().as_str()).chain(addresses) {
                // Labels and addresses have no zeros, which part them.
                add(text.as_bytes());
                add(&[0]);
            }
        }
        for token in self.tokens() {
            add(&token.key.0.0);
            add(&[token.grants as u8]);
            add(&token.expires_at.0.to_be_bytes());
            add(&token.uses_left.to_be_bytes());
        }
        History(digest)
    }

    /// This configuration, which remembers these servers as dismissed, the oldest dismissal first: all but those that
    /// it names, and [`DISMISSED_MAX`] of them at most.
    #[must_use]
    pub fn with_dismissed(
        mut self,
        servers: impl IntoIterator<Item = (ServerId, Dismissal)>,
    ) -> Self {
        self.dismissed.clear();
        for (server, why) in servers {
            if !self.names(server) && !self.is_dismissed(server) {
                self.dismissed.push((server, why));
            }
        }
        while self.dismissed.len() > DISMISSED_MAX {
            let mut dismissed = self.dismissed.iter();
            let oldest = dismissed.position(|(_, why)| *why == Dismissal::Removed);
            self.dismissed.remove(oldest.unwrap_or(0));
        }
        let evicted = core::mem::take(&mut self.evicted);
        self.with_evicted(evicted)
    }

    /// This configuration, which remembers these servers as evicted, the oldest eviction first: all but those that it
    /// names or remembers as dismissed, and the last [`EVICTED_MAX`] of them.
    #[must_use]
    pub fn with_evicted(mut self, servers: impl IntoIterator<Item = ServerId>) -> Self {
        self.evicted.clear();
        for server in servers {
            if !self.names(server) && !self.is_dismissed(server) && !self.is_evicted(server) {
                self.evicted.push(server);
            }
        }
        let oldest = self.evicted.len().saturating_sub(EVICTED_MAX);
        self.evicted.drain(..oldest);
        self
    }

    /// Returns who was evicted because it was silent, the oldest eviction first: it comes back without an invitation.
    #[must_use]
    pub fn evicted(&self) -> &[ServerId] {
        &self.evicted
    }

    /// Returns true if this server was evicted because it was silent, and that is not forgotten.
    #[must_use]
    pub fn is_evicted(&self, id: ServerId) -> bool {
        self.evicted.contains(&id)
    }

    /// Who is not taken in when it asks to join, and why, the oldest dismissal first: whom operators have removed and
    /// nobody has added again, and who has lost what it acknowledged. Servers that the membership policy evicted
    /// because they were silent are not among them.
    #[must_use]
    pub fn dismissed(&self) -> &[(ServerId, Dismissal)] {
        &self.dismissed
    }

    /// Returns true if this server is not taken in when it asks to join.
    #[must_use]
    pub fn is_dismissed(&self, id: ServerId) -> bool {
        self.dismissal(id).is_some()
    }

    /// Returns why this server is not taken in when it asks to join; `None` if it may be.
    #[must_use]
    pub fn dismissal(&self, id: ServerId) -> Option<Dismissal> {
        let mut dismissed = self.dismissed.iter();
        let found = dismissed.find(|(server, _)| *server == id);
        found.map(|(_, why)| *why)
    }

    /// Whether this is the configuration of a blank server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether two majorities are needed: that of [`voters`](Self::voters) and that of
    /// [`outgoing`](Self::outgoing).
    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The voters of the newest configuration (C_new), sorted.
    #[must_use]
    pub fn voters(&self) -> &[ServerId] {
        &self.voters
    }

    /// The voters of the outgoing configuration (C_old), sorted; empty unless joint.
    #[must_use]
    pub fn outgoing(&self) -> &[ServerId] {
        &self.outgoing
    }

    /// Every server that takes part, with what it is, sorted by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (ServerId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// What this server is, if it takes part.
    #[must_use]
    pub fn member(&self, id: ServerId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether this server takes part in any way.
    #[must_use]
    pub fn contains(&self, id: ServerId) -> bool {
        self.members.contains_key(&id)
    }

    /// Whether this server takes part in the newest configuration: not one that leaves with the outgoing half of a
    /// joint one.
    #[must_use]
    pub fn names(&self, id: ServerId) -> bool {
        self.members
            .get(&id)
            .is_some_and(|member| member.suffrage.is_some())
    }

    /// Whether this server's vote counts, in either half of a joint configuration.
    #[must_use]
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(Member::votes)
    }

    /// Whether this server is a learner and votes in no half.
    #[must_use]
    pub fn is_learner(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| !member.votes())
    }

    /// The simple configuration that a joint one leads to; a simple one leads to itself.
    #[must_use]
    pub fn left_joint(&self) -> Self {
        let members = self.members.iter();
        let staying = members.filter(|(_, member)| member.suffrage.is_some());
        let members: Vec<_> = staying
            .map(|(id, member)| {
                let outgoing_voter = false;
                let member = member.clone();
                (
                    *id,
                    Member {
                        outgoing_voter,
                        ..member
                    },
                )
            })
            .collect();
        self.clone().with_members(members)
    }

    /// The joint configuration that leads from this simple one to `target` (C_old,new of §4.3).
    ///
    /// # Panics
    /// When this configuration is itself joint: one change at a time.
    #[must_use]
    pub fn joined_with(&self, target: &Self) -> Self {
        assert!(
            !self.is_joint(),
            "a joint configuration is left before the next is entered"
        );
        let mut members = target.members.clone();
        for id in &self.voters {
            let before = &self.members[id];
            members
                .entry(*id)
                .or_insert_with(|| Member {
                    suffrage: None,
                    ..before.clone()
                })
                .outgoing_voter = true;
        }
        Self {
            founders_choice: self.founders_choice,
            ..target.clone().with_members(members)
        }
    }

    /// Returns what it counts against bounds in bytes: the most that its encoding takes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        /// Its format and its bound, whether it is open, and the key of its version.
        const HEAD: u64 = 16;
        /// An id, and why.
        const DISMISSED: u64 = 22;
        /// The name of its founding.
        const HISTORY: u64 = 9;
        let members: u64 = self.members.values().map(Member::weight).sum();
        let history = self.history().map_or(0, |_| HISTORY);
        HEAD + history
            + encoded_len(self.version)
            + members
            + DISMISSED * self.dismissed.len() as u64
            + Self::EVICTED_WEIGHT * self.evicted.len() as u64
            + Self::PAST_VOUCHER_WEIGHT * self.past_vouchers.len() as u64
            + self.tokens().iter().map(AccessToken::weight).sum::<u64>()
    }
}

impl Member {
    /// A voter that says this of itself.
    #[must_use]
    pub const fn voter(description: Description) -> Self {
        Self {
            suffrage: Some(Suffrage::Voter),
            outgoing_voter: false,
            description,
            voucher: None,
        }
    }

    /// A learner that says this of itself.
    #[must_use]
    pub const fn learner(description: Description) -> Self {
        Self {
            suffrage: Some(Suffrage::Learner),
            outgoing_voter: false,
            description,
            voucher: None,
        }
    }

    /// Returns what it adds to the [weight](Configuration::weight) of a configuration, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        /// Its id, suffrage and outgoing vote, and the length of all that.
        const BYTES: u64 = 25;
        let voucher = self.voucher.map_or(0, |_| Voucher::WEIGHT);
        BYTES + self.description.weight() + voucher
    }

    /// Whether its vote counts, in either half of a joint configuration.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.outgoing_voter || self.suffrage == Some(Suffrage::Voter)
    }
}

#[cfg(test)]
mod tests;
