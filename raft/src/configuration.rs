//! The configuration: which servers take part, and whose votes count (§4).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::ids::ServerId;

/// The most servers that a configuration may name. A frame that claims more is refused.
pub const SERVERS_MAX: usize = 4096;

/// The longest public key, in bytes, that a configuration may carry for a server.
pub const PUBLIC_KEY_BYTES_MAX: usize = 128;

/// The most servers that a configuration remembers as dismissed. Beyond it the oldest removal by an operator is
/// forgotten first: such a server may only ask to join again. Of servers that forgot, the oldest follows when there are
/// no others. A frame that claims more is refused.
pub const DISMISSED_MAX: usize = 256;

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
    /// Its public key, empty where identities are not authenticated.
    pub public_key: Bytes,
}

/// A cluster configuration: simple, or joint while the cluster moves from one set of voters to another (§4.3).
///
/// The empty configuration is that of a blank server: one that nobody has added yet, and that keeps its timers off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    members: BTreeMap<ServerId, Member>,
    /// Who is not taken in again, the oldest dismissal first. Invariant: nobody twice, nobody whom this names.
    dismissed: Vec<(ServerId, Dismissal)>,
    entry_bytes_max: u64,
    history: Option<History>,
    // Caches of `members`, sorted by id: quorums are counted far more often than configurations change.
    voters: Vec<ServerId>,
    outgoing: Vec<ServerId>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self::from_members([])
    }
}

impl Configuration {
    /// A simple configuration of these voters, without keys.
    #[must_use]
    pub fn of_voters(voters: impl IntoIterator<Item = ServerId>) -> Self {
        Self::from_members(
            voters
                .into_iter()
                .map(|id| (id, Member::voter(Bytes::new()))),
        )
    }

    /// The configuration of these members.
    #[must_use]
    pub fn from_members(members: impl IntoIterator<Item = (ServerId, Member)>) -> Self {
        let members: BTreeMap<_, _> = members.into_iter().collect();
        let of = |keep: fn(&Member) -> bool| {
            members
                .iter()
                .filter(|(_, member)| keep(member))
                .map(|(id, _)| *id)
                .collect()
        };
        let voters = of(|member| member.suffrage == Some(Suffrage::Voter));
        let outgoing = of(|member| member.outgoing_voter);
        Self {
            voters,
            outgoing,
            members,
            dismissed: Vec::new(),
            entry_bytes_max: ENTRY_BYTES_MAX,
            history: None,
        }
    }

    /// This configuration, in a cluster whose entries have payloads of at most so many bytes. Default
    /// [`ENTRY_BYTES_MAX`].
    ///
    /// Those who found a cluster choose it, for the shortest frames that any transport of the cluster will carry. All
    /// later configurations keep it.
    #[must_use]
    pub const fn with_entry_bytes_max(mut self, bytes: u64) -> Self {
        self.entry_bytes_max = bytes;
        self
    }

    /// Returns the most bytes of an entry's payload in this cluster: of a command, or of an encoded configuration. What
    /// is longer no leader appends, and every member's transport carries what is not.
    #[must_use]
    pub const fn entry_bytes_max(&self) -> u64 {
        self.entry_bytes_max
    }

    /// This configuration, in a cluster that was founded under this name. All later configurations keep it.
    #[must_use]
    pub const fn with_history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// Returns the name of the founding from which this configuration comes; `None` if the founders gave it none.
    #[must_use]
    pub const fn history(&self) -> Option<History> {
        self.history
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
        add(&self.entry_bytes_max.to_be_bytes());
        for (id, member) in &self.members {
            add(&id.0.to_be_bytes());
            add(&[u8::from(member.votes())]);
            add(&member.public_key);
        }
        History(digest)
    }

    /// This configuration, in the cluster of another one: with all that its founders chose.
    pub(crate) const fn founded_like(mut self, other: &Self) -> Self {
        self.entry_bytes_max = other.entry_bytes_max;
        self.history = other.history;
        self
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
        self
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
        Self::from_members(
            self.members
                .iter()
                .filter(|(_, member)| member.suffrage.is_some())
                .map(|(id, member)| {
                    (
                        *id,
                        Member {
                            outgoing_voter: false,
                            ..member.clone()
                        },
                    )
                }),
        )
        .with_dismissed(self.dismissed.iter().copied())
        .founded_like(self)
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
        Self::from_members(members)
            .with_dismissed(target.dismissed.iter().copied())
            .founded_like(self)
    }

    /// Returns what it counts against bounds in bytes: the most that its encoding takes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        /// Its format and its bound.
        const HEAD: u64 = 13;
        /// An id, and why.
        const DISMISSED: u64 = 22;
        /// The name of its founding.
        const HISTORY: u64 = 9;
        let members: u64 = self.members.values().map(Member::weight).sum();
        let history = if self.history.is_some() { HISTORY } else { 0 };
        HEAD + history + members + DISMISSED * self.dismissed.len() as u64
    }
}

impl Member {
    /// A voter with this public key.
    #[must_use]
    pub const fn voter(public_key: Bytes) -> Self {
        Self {
            suffrage: Some(Suffrage::Voter),
            outgoing_voter: false,
            public_key,
        }
    }

    /// A learner with this public key.
    #[must_use]
    pub const fn learner(public_key: Bytes) -> Self {
        Self {
            suffrage: Some(Suffrage::Learner),
            outgoing_voter: false,
            public_key,
        }
    }

    /// Returns what it adds to the [weight](Configuration::weight) of a configuration, in bytes.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        /// Its id, suffrage and outgoing vote, and the lengths of its key and of all that.
        const BYTES: u64 = 28;
        BYTES + self.public_key.len() as u64
    }

    /// Whether its vote counts, in either half of a joint configuration.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.outgoing_voter || self.suffrage == Some(Suffrage::Voter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ServerId {
        ServerId(n)
    }

    #[test]
    fn a_joint_configuration_keeps_the_outgoing_voters_until_it_is_left() {
        let old = Configuration::of_voters([id(1), id(2), id(3)]);
        let new = Configuration::of_voters([id(3), id(4)]);

        let joint = old.joined_with(&new);

        assert_eq!(joint.voters(), [id(3), id(4)]);
        assert_eq!(joint.outgoing(), [id(1), id(2), id(3)]);
        assert!(joint.is_voter(id(1)));
        assert_eq!(joint.left_joint(), new);
    }

    #[test]
    fn who_was_dismissed_is_remembered_through_a_joint_configuration() {
        let old = Configuration::of_voters([id(1), id(2), id(3)]);
        let dismissed = [(id(2), Dismissal::Removed), (id(1), Dismissal::Forgot)];
        let new = Configuration::of_voters([id(4)]).with_dismissed(dismissed);

        let joint = old.joined_with(&new);

        assert_eq!(joint.dismissed(), dismissed);
        assert_eq!(joint.left_joint(), new);
    }

    #[test]
    fn the_longest_entry_stays_the_same_through_a_joint_configuration() {
        let old = Configuration::of_voters([id(1), id(2)])
            .with_entry_bytes_max(5000)
            .with_history(History(7));
        let new = Configuration::of_voters([id(3), id(4)]);

        let joint = old.joined_with(&new);

        assert_eq!(joint.entry_bytes_max(), 5000);
        assert_eq!(joint.left_joint().entry_bytes_max(), 5000);
        assert_eq!(joint.left_joint().history(), Some(History(7)));
    }

    #[test]
    fn founders_with_one_configuration_found_one_history() {
        let founders = [[id(1), id(2)], [id(2), id(1)], [id(1), id(3)]];

        let [one, same, other] = founders.map(|ids| Configuration::of_voters(ids).founding());
        let shorter = Configuration::of_voters([id(1), id(2)]).with_entry_bytes_max(5000);

        assert_eq!(one, same);
        assert!(one != other && one != shorter.founding());
    }

    #[test]
    fn the_oldest_dismissals_are_forgotten_first_and_a_member_is_not_dismissed() {
        let most = DISMISSED_MAX as u128;
        let dismissed = (0..=most).chain([1, 5000]).map(id);

        let dismissed = dismissed.map(|id| (id, Dismissal::Removed));
        let configuration = Configuration::of_voters([id(5000)]).with_dismissed(dismissed);

        assert_eq!(configuration.dismissed().len(), DISMISSED_MAX);
        assert!(!configuration.is_dismissed(id(0)));
        assert!(configuration.is_dismissed(id(1)) && configuration.is_dismissed(id(most)));
        assert!(!configuration.is_dismissed(id(5000)));
    }

    #[test]
    fn who_forgot_is_remembered_longer_than_whom_an_operator_removed() {
        let most = DISMISSED_MAX as u128;
        let forgot = (0..most).map(|n| (id(n), Dismissal::Forgot));
        let removed = (most..2 * most).map(|n| (id(n), Dismissal::Removed));

        let configuration = Configuration::default().with_dismissed(forgot.chain(removed));

        assert_eq!(configuration.dismissed().len(), DISMISSED_MAX);
        assert_eq!(configuration.dismissal(id(0)), Some(Dismissal::Forgot));
        assert_eq!(configuration.dismissal(id(most)), None);
    }

    #[test]
    fn a_voter_demoted_by_a_joint_change_votes_until_it_is_left() {
        let old = Configuration::of_voters([id(1), id(2)]);
        let new = Configuration::from_members([
            (id(1), Member::voter(Bytes::new())),
            (id(2), Member::learner(Bytes::new())),
        ]);

        let joint = old.joined_with(&new);

        assert!(joint.is_voter(id(2)));
        assert!(!joint.is_learner(id(2)));
        assert!(joint.left_joint().is_learner(id(2)));
    }
}
