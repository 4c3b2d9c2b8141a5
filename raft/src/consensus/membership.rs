//! Configurations: those in the log, and how a change makes the next one (§4).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::input::{MembershipChange, MembershipStep};
use super::output::{ChangeError, InvalidChange};
use crate::configuration::{Configuration, Dismissal, Member, SERVERS_MAX, Suffrage};
use crate::ids::{Index, ServerId};

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

/// The simple configuration that `change` asks for.
///
/// # Errors
/// When it asks for what is there already, for what cannot be, or for nothing.
pub(super) fn target_of(
    current: &Configuration,
    change: &MembershipChange,
) -> Result<Configuration, ChangeError> {
    if change.steps.is_empty() {
        return Err(ChangeError::Invalid(InvalidChange::NoSteps));
    }
    if let Some(id) = change.long_key() {
        return Err(ChangeError::Invalid(InvalidChange::KeyTooLong(id)));
    }
    let mut members: BTreeMap<ServerId, Member> = current
        .members()
        .map(|(id, member)| (id, member.clone()))
        .collect();
    let mut dismissed = current.dismissed().to_vec();
    let mut named = BTreeSet::new();
    for step in &change.steps {
        let id = step.server();
        if !named.insert(id) {
            return Err(ChangeError::Invalid(InvalidChange::NamedTwice(id)));
        }
        let before = members.get(&id);
        let suffrage = before.and_then(|member| member.suffrage);
        // Who promotes or demotes a member may not know its key.
        let key_of = |named: &Bytes| match before {
            Some(member) if named.is_empty() => member.public_key.clone(),
            Some(_) | None => named.clone(),
        };
        let is_added = matches!(
            step,
            MembershipStep::AddVoter { .. } | MembershipStep::AddLearner { .. }
        );
        if is_added && current.dismissal(id) == Some(Dismissal::Forgot) {
            return Err(ChangeError::Invalid(InvalidChange::Forgot(id)));
        }
        match step {
            MembershipStep::AddVoter { public_key, .. } => {
                if suffrage == Some(Suffrage::Voter) {
                    return Err(ChangeError::AlreadyMember(id));
                }
                members.insert(id, Member::voter(key_of(public_key)));
            }
            MembershipStep::AddLearner { public_key, .. } => {
                if suffrage == Some(Suffrage::Learner) {
                    return Err(ChangeError::AlreadyMember(id));
                }
                members.insert(id, Member::learner(key_of(public_key)));
            }
            MembershipStep::Remove(_) | MembershipStep::Evict(_) | MembershipStep::Retire(_) => {
                if members.remove(&id).is_none() {
                    return Err(ChangeError::NotMember(id));
                }
                match step {
                    MembershipStep::Remove(_) => dismissed.push((id, Dismissal::Removed)),
                    MembershipStep::Retire(_) => dismissed.push((id, Dismissal::Forgot)),
                    _ => {}
                }
            }
        }
    }
    let target = Configuration::from_members(members)
        .with_dismissed(dismissed)
        .founded_like(current);
    if target.voters().is_empty() {
        return Err(ChangeError::Invalid(InvalidChange::NoVoters));
    }
    // A joint configuration names those who leave as well: no frame takes one that names too many.
    let names = |configuration: &Configuration| configuration.members().len();
    if names(&target).max(names(&first_step(current, &target))) > SERVERS_MAX {
        return Err(ChangeError::Invalid(InvalidChange::TooManyServers));
    }
    // A joint configuration names all that the simple one after it does.
    let (bytes, bytes_max) = (
        first_step(current, &target).weight(),
        target.entry_bytes_max(),
    );
    if bytes > bytes_max {
        return Err(ChangeError::Invalid(InvalidChange::TooLarge {
            bytes,
            bytes_max,
        }));
    }
    Ok(target)
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
mod tests {
    use super::*;

    fn ids(of: &[u128]) -> Vec<ServerId> {
        of.iter().map(|id| ServerId(*id)).collect()
    }

    #[test]
    fn a_truncated_configuration_gives_way_to_the_one_before_it() {
        let first = Arc::new(Configuration::of_voters(ids(&[1])));
        let second = Arc::new(Configuration::of_voters(ids(&[1, 2])));
        let mut log = ConfigurationLog::starting_with(Index(1), first.clone());
        log.append(Index(4), second);

        assert!(log.truncate_from(Index(4)));

        assert_eq!(log.current(), &*first);
        assert_eq!(log.current_index(), Index(1));
    }

    #[test]
    fn a_snapshot_carries_the_configuration_of_its_index_and_not_a_later_one() {
        let first = Arc::new(Configuration::of_voters(ids(&[1])));
        let mut log = ConfigurationLog::starting_with(Index(1), first.clone());
        log.append(Index(4), Arc::new(Configuration::of_voters(ids(&[1, 2]))));

        assert_eq!(log.as_of(Index(3)), (Index(1), &first));
        log.compact_to(Index(3));

        assert_eq!(log.as_of(Index(3)), (Index(1), &first));
        assert_eq!(log.current_index(), Index(4));
    }

    #[test]
    fn a_configuration_that_a_snapshot_made_old_is_forgotten() {
        let one = Arc::new(Configuration::of_voters(ids(&[1])));
        let mut log = ConfigurationLog::starting_with(Index(1), one.clone());
        log.append(Index(4), one);

        log.compact_to(Index(4));

        assert_eq!(log.configurations.len(), 1);
        assert!(!log.truncate_from(Index(5)));
    }

    #[test]
    fn as_many_servers_take_part_as_a_configuration_may_name_and_no_more() {
        let most = u128::try_from(SERVERS_MAX).expect("it is a small number");
        let current = Configuration::of_voters((1..most).map(ServerId));
        let add = |id| MembershipChange::add_learner(ServerId(id));

        let full = target_of(&current, &add(most)).expect("there is room for one");
        let over = target_of(&full, &add(most + 1));

        let error = InvalidChange::TooManyServers;
        assert_eq!(over, Err(ChangeError::Invalid(error)));
    }

    // Those who leave are still named by the joint configuration, beside those who come.
    #[test]
    fn no_change_leads_through_a_configuration_that_names_too_many() {
        let most = u128::try_from(SERVERS_MAX).expect("it is a small number");
        let current = Configuration::of_voters((1..=most).map(ServerId));
        let swap = |leaves, comes| {
            MembershipChange::remove(ServerId(leaves))
                .and(MembershipChange::add_voter(ServerId(comes)))
        };

        let refused = target_of(&current, &swap(1, most + 1));

        let error = InvalidChange::TooManyServers;
        assert!(refused == Err(ChangeError::Invalid(error)));
        let smaller = Configuration::of_voters((2..=most).map(ServerId));
        assert!(target_of(&smaller, &swap(2, 1)).is_ok());
    }

    #[test]
    fn a_change_fits_into_an_entry_while_it_is_joint_too() {
        let three = Configuration::of_voters(ids(&[1, 2, 3]));
        let swap = MembershipChange::remove(ServerId(1))
            .and(MembershipChange::remove(ServerId(2)))
            .and(MembershipChange::add_voter(ServerId(4)))
            .and(MembershipChange::add_voter(ServerId(5)));
        let bytes = Configuration::of_voters(ids(&[1, 2, 3, 4, 5]))
            .with_dismissed(ids(&[6, 7]).into_iter().map(|id| (id, Dismissal::Removed)))
            .weight();

        let fits = target_of(&three.clone().with_entry_bytes_max(bytes), &swap);
        let over = target_of(&three.with_entry_bytes_max(bytes - 1), &swap);

        let bytes_max = bytes - 1;
        let error = InvalidChange::TooLarge { bytes, bytes_max };
        assert!(fits.is_ok());
        assert_eq!(over, Err(ChangeError::Invalid(error)));
    }

    #[test]
    fn one_voter_changes_in_a_single_step_and_two_through_a_joint_configuration() {
        let current = Configuration::of_voters(ids(&[1, 2, 3]));

        let one = first_step(&current, &Configuration::of_voters(ids(&[1, 2])));
        let two = first_step(&current, &Configuration::of_voters(ids(&[1, 2, 4])));

        assert!(!one.is_joint());
        assert!(two.is_joint());
    }

    #[test]
    fn a_change_that_leaves_no_voter_is_refused() {
        let current = Configuration::of_voters(ids(&[1]));

        let refused = target_of(&current, &MembershipChange::remove(ServerId(1)));

        assert_eq!(refused, Err(ChangeError::Invalid(InvalidChange::NoVoters)));
    }

    #[test]
    fn a_server_is_dismissed_by_its_removal_until_it_is_added_and_not_by_its_eviction() {
        let current = Configuration::of_voters(ids(&[1, 2, 3]));
        let change =
            MembershipChange::remove(ServerId(2)).and(MembershipChange::evict(ServerId(3)));

        let left = target_of(&current, &change).expect("both are members");
        let back = target_of(&left, &MembershipChange::add_learner(ServerId(2)));

        assert_eq!(left.dismissed(), [(ServerId(2), Dismissal::Removed)]);
        assert_eq!(back.expect("it is no member").dismissed(), []);
    }

    #[test]
    fn a_step_without_a_key_keeps_the_key_that_is_known() {
        let (known, other) = (Bytes::from_static(b"key"), Bytes::from_static(b"other"));
        let current = Configuration::from_members([
            (ServerId(1), Member::voter(known.clone())),
            (ServerId(2), Member::voter(known.clone())),
            (ServerId(3), Member::learner(known.clone())),
            (ServerId(4), Member::learner(known.clone())),
        ]);
        let renewed = MembershipStep::AddVoter {
            id: ServerId(4),
            public_key: other.clone(),
        };
        let change = MembershipChange::add_voter(ServerId(3))
            .and(MembershipChange::add_learner(ServerId(2)))
            .and(MembershipChange::add_voter(ServerId(5)))
            .and(MembershipChange {
                steps: alloc::vec![renewed],
            });

        let target = target_of(&current, &change).expect("all of it is new");

        let joint = current.joined_with(&target).left_joint();
        let keys = joint.members().map(|(_, member)| &member.public_key[..]);
        assert_eq!(
            keys.collect::<Vec<_>>(),
            [&known[..], &known[..], &known[..], &other[..], b""]
        );
    }

    #[test]
    fn the_id_of_a_server_that_forgot_is_never_added_again() {
        let current = Configuration::of_voters(ids(&[1, 2, 3]));
        let forgot = ChangeError::Invalid(InvalidChange::Forgot(ServerId(2)));

        let left = target_of(&current, &MembershipChange::retire(ServerId(2)));
        let left = left.expect("it is a member");
        let voter = target_of(&left, &MembershipChange::add_voter(ServerId(2)));
        let learner = target_of(&left, &MembershipChange::add_learner(ServerId(2)));

        assert_eq!(left.dismissed(), [(ServerId(2), Dismissal::Forgot)]);
        assert_eq!(voter, Err(forgot.clone()));
        assert_eq!(learner, Err(forgot));
    }

    #[test]
    fn removing_a_stranger_and_adding_a_voter_twice_are_refused() {
        let current = Configuration::of_voters(ids(&[1, 2]));

        let stranger = target_of(&current, &MembershipChange::remove(ServerId(9)));
        let again = target_of(&current, &MembershipChange::add_voter(ServerId(2)));

        assert_eq!(stranger, Err(ChangeError::NotMember(ServerId(9))));
        assert_eq!(again, Err(ChangeError::AlreadyMember(ServerId(2))));
    }
}
