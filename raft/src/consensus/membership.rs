//! Configurations: those in the log, and how a change makes the next one (§4).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::input::{Addition, MembershipChange, MembershipStep};
use super::output::{ChangeError, InvalidChange};
use crate::configuration::{
    Configuration, Description, Dismissal, Grants, Member, SERVERS_MAX, Suffrage, TokenFault,
};
use crate::ids::{Index, ServerId};
use crate::sorted::{SortedMap, SortedSet};
use crate::time::ClusterTime;

/// The configurations of the log, newest last. The newest is in force whether it is committed or not (§4.1); when its
/// entry is truncated, the one before it is in force again.
#[derive(Debug)]
pub(super) struct ConfigurationLog {
    /// Invariant: never empty, indices increase.
    configurations: Vec<(Index, Arc<Configuration>)>,
}

impl ConfigurationLog {
    pub(super) fn starting_with(index: Index, configuration: Arc<Configuration>) -> Self {
        Self {
            configurations: alloc::vec![(index, configuration)],
        }
    }

    pub(super) fn current(&self) -> &Configuration {
        &self.newest().1
    }

    pub(super) fn current_index(&self) -> Index {
        self.newest().0
    }

    /// The configuration as of `index`, with the index of its entry.
    pub(super) fn as_of(&self, index: Index) -> (Index, &Arc<Configuration>) {
        let (at, configuration) = self
            .configurations
            .iter()
            .rev()
            .find(|(at, _)| *at <= index)
            .expect("configurations are kept from the snapshot on");
        (*at, configuration)
    }

    /// The index of the newest configuration up to `index`, if it is kept.
    pub(super) fn newest_within(&self, index: Index) -> Option<Index> {
        let indices = self.configurations.iter().rev().map(|(at, _)| *at);
        indices.into_iter().find(|at| *at <= index)
    }

    /// The configurations from that as of `index` on.
    pub(super) fn since(&self, index: Index) -> impl Iterator<Item = &Configuration> {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        self.configurations[after.saturating_sub(1)..]
            .iter()
            .map(|(_, configuration)| &**configuration)
    }

    pub(super) fn append(&mut self, index: Index, configuration: Arc<Configuration>) {
        debug_assert!(
            index > self.current_index(),
            "configurations are appended in order"
        );
        self.configurations.push((index, configuration));
    }

    /// Rolls back the configurations from `index` on. Tells whether there were any.
    pub(super) fn truncate_from(&mut self, index: Index) -> bool {
        let before = self.configurations.len();
        self.configurations.retain(|(at, _)| *at < index);
        assert!(
            !self.configurations.is_empty(),
            "a committed configuration is never truncated"
        );
        self.configurations.len() < before
    }

    /// Forgets what no index from `index` on needs.
    pub(super) fn compact_to(&mut self, index: Index) {
        let needed = self
            .configurations
            .partition_point(|(at, _)| *at <= index)
            .saturating_sub(1);
        self.configurations.drain(..needed);
    }

    fn newest(&self) -> &(Index, Arc<Configuration>) {
        self.configurations
            .last()
            .expect("the base configuration is always there")
    }
}

/// The simple configuration that `change` asks for, at this moment of cluster time.
///
/// # Errors
/// When it asks for what is there already, for what cannot be, or for nothing.
pub(super) fn target_of(
    current: &Configuration,
    change: &MembershipChange,
    now: ClusterTime,
) -> Result<Configuration, ChangeError> {
    if change.steps.is_empty() {
        return Err(ChangeError::Invalid(InvalidChange::NoSteps));
    }
    let mut next = Next::of(current);
    for step in &change.steps {
        next.take(step, now)?;
    }
    let target = next.configuration();
    if target.voters().is_empty() {
        return Err(ChangeError::Invalid(InvalidChange::NoVoters));
    }
    check_versions(current, &target, change)?;
    // A joint configuration names those who leave as well: no frame takes one that names too many.
    let names = |configuration: &Configuration| configuration.members().len();
    if names(&target).max(names(&first_step(current, &target))) > SERVERS_MAX {
        return Err(ChangeError::Invalid(InvalidChange::TooManyServers));
    }
    within_an_entry(current, target)
}

/// The configuration to come, step by step.
struct Next<'a> {
    current: &'a Configuration,
    members: SortedMap<ServerId, Member>,
    dismissed: Vec<(ServerId, Dismissal)>,
    evicted: Vec<ServerId>,
    /// All else: its access tokens and its version.
    cluster: Configuration,
    named: SortedSet<ServerId>,
}

impl<'a> Next<'a> {
    fn of(current: &'a Configuration) -> Self {
        Self {
            current,
            members: current
                .members()
                .map(|(id, member)| (id, member.clone()))
                .collect(),
            dismissed: current.dismissed().to_vec(),
            evicted: current.evicted().to_vec(),
            cluster: current.clone(),
            named: SortedSet::new(),
        }
    }

    fn take(&mut self, step: &MembershipStep, now: ClusterTime) -> Result<(), ChangeError> {
        if let Some(id) = step.server()
            && !self.named.insert(id)
        {
            return Err(ChangeError::Invalid(InvalidChange::NamedTwice(id)));
        }
        match step {
            MembershipStep::AddVoter(addition) => self.add(addition, Suffrage::Voter, now),
            MembershipStep::AddLearner(addition) => self.add(addition, Suffrage::Learner, now),
            MembershipStep::Remove(id) => {
                self.leave(*id)?;
                self.dismissed.push((*id, Dismissal::Removed));
                Ok(())
            }
            MembershipStep::Evict(id) => {
                self.leave(*id)?;
                self.evicted.push(*id);
                Ok(())
            }
            MembershipStep::Retire(id) => {
                self.leave(*id)?;
                self.dismissed.push((*id, Dismissal::Forgot));
                Ok(())
            }
            MembershipStep::Describe(id, description) => {
                let Some(member) = self.members.get_mut(id) else {
                    return Err(ChangeError::NotMember(*id));
                };
                member.description = described(*id, description, Some(&member.description))?;
                Ok(())
            }
            MembershipStep::Issue(token) => {
                if self.cluster.token(token.key).is_some() {
                    let error = InvalidChange::IssuedBefore(token.key);
                    return Err(ChangeError::Invalid(error));
                }
                let token = token.issued_at(now);
                let check = token.check(now);
                check.map_err(|fault| ChangeError::Token(token.key, fault))?;
                if self.cluster.issue(token, now) {
                    Ok(())
                } else {
                    Err(ChangeError::Invalid(InvalidChange::TooManyTokens))
                }
            }
            MembershipStep::Revoke(key) => {
                if self.cluster.revoke(*key) {
                    Ok(())
                } else {
                    Err(ChangeError::Token(*key, TokenFault::Unknown))
                }
            }
            MembershipStep::RaiseVersion(version) => {
                if *version <= self.cluster.version() {
                    let error = InvalidChange::VersionNotRaised(*version);
                    return Err(ChangeError::Invalid(error));
                }
                self.cluster = self.cluster.clone().with_version(*version);
                Ok(())
            }
        }
    }

    fn add(
        &mut self,
        addition: &Addition,
        suffrage: Suffrage,
        now: ClusterTime,
    ) -> Result<(), ChangeError> {
        let id = addition.id;
        let before = self.members.get(&id);
        if self.current.dismissal(id) == Some(Dismissal::Forgot) {
            return Err(ChangeError::Invalid(InvalidChange::Forgot(id)));
        }
        if before.is_some_and(|member| member.suffrage == Some(suffrage)) {
            return Err(ChangeError::AlreadyMember(id));
        }
        let known = before.map(|member| &member.description);
        let description = match &addition.description {
            Some(description) => described(id, description, known)?,
            None => known.cloned().unwrap_or_default(),
        };
        if let Some(key) = addition.token {
            let valid = self.cluster.valid_token(key, Grants::Membership, now);
            valid.map_err(|fault| ChangeError::Token(key, fault))?;
            self.cluster.take_use(key);
        }
        // A server that comes back keeps the voucher by which it first came, if others rest on it: the one who lets it
        // in again may itself have come by its word.
        let first = self.current.past_voucher(id);
        let voucher = first.or(addition.voucher);
        let member = Member {
            suffrage: Some(suffrage),
            outgoing_voter: false,
            description,
            voucher: voucher.or(before.and_then(|member| member.voucher)),
        };
        self.members.insert(id, member);
        Ok(())
    }

    fn leave(&mut self, id: ServerId) -> Result<(), ChangeError> {
        let member = self.members.remove(&id);
        member.map(drop).ok_or(ChangeError::NotMember(id))
    }

    fn configuration(self) -> Configuration {
        self.cluster
            .with_members(self.members)
            .with_dismissed(self.dismissed)
            .with_evicted(self.evicted)
    }
}

/// The description as the configuration takes it: who promotes, demotes or describes a member may not know its key.
fn described(
    id: ServerId,
    description: &Description,
    known: Option<&Description>,
) -> Result<Description, ChangeError> {
    if description.can_be_of(id) {
        Ok(description.clone().keeping_key_of(known))
    } else {
        Err(ChangeError::Invalid(InvalidChange::WrongKey(id)))
    }
}

/// Checks that those speak the version of the cluster for whom it, or what they say of themselves, changes: all members
/// of before and after for a later version, for they may vote for it while the configuration is joint.
fn check_versions(
    current: &Configuration,
    target: &Configuration,
    change: &MembershipChange,
) -> Result<(), ChangeError> {
    let version = target.version();
    let is_raised = version != current.version();
    let described = |id: ServerId| {
        let mut named = change.steps.iter().filter_map(MembershipStep::server);
        named.any(|named| named == id)
    };
    let before = current.members().filter(|_| is_raised);
    let after = target
        .members()
        .filter(|(id, _)| is_raised || described(*id));
    for (server, member) in before.chain(after) {
        if !member.description.versions().contains(version) {
            let error = InvalidChange::VersionNotSpoken { server, version };
            return Err(ChangeError::Invalid(error));
        }
    }
    Ok(())
}

/// Has the target fit into an entry, at the price of evictions that are forgotten, the oldest first, and then of the
/// vouchers of servers that have left.
fn within_an_entry(
    current: &Configuration,
    target: Configuration,
) -> Result<Configuration, ChangeError> {
    // A joint configuration names all that the simple one after it does.
    let bytes = first_step(current, &target).weight();
    let bytes_max = target.entry_bytes_max();
    if bytes <= bytes_max {
        return Ok(target);
    }
    let excess = bytes - bytes_max;
    let forgotten = usize::try_from(excess.div_ceil(Configuration::EVICTED_WEIGHT));
    match forgotten {
        Ok(count) if count <= target.evicted().len() => {
            let evicted = target.evicted()[count..].to_vec();
            Ok(target.with_evicted(evicted))
        }
        Ok(_) | Err(_) if target.past_vouchers().len() > 0 => {
            within_an_entry(current, target.with_past_vouchers([]))
        }
        Ok(_) | Err(_) => Err(ChangeError::Invalid(InvalidChange::TooLarge {
            bytes,
            bytes_max,
        })),
    }
}

/// The configuration to append on the way to `target`: itself if at most one voter changes, so that the majorities of
/// both overlap (§4.1), else the joint one (§4.3).
pub(super) fn first_step(current: &Configuration, target: &Configuration) -> Configuration {
    let leaving = current
        .voters()
        .iter()
        .filter(|id| !target.voters().contains(id))
        .count();
    let coming = target
        .voters()
        .iter()
        .filter(|id| !current.voters().contains(id))
        .count();
    if leaving + coming <= 1 {
        target.clone()
    } else {
        current.joined_with(target)
    }
}

#[cfg(test)]
mod tests;
