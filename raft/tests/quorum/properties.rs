//! Checks what a quorum is, whatever the configuration: judged against a definition that counts every voter one by one.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::configuration::{Configuration, Description, Member, Suffrage};
use liferaft_raft::consensus::quorum::{self, Tally};
use liferaft_raft::ids::ServerId;
use proptest::prelude::*;

/// A configuration, simple or joint, of servers numbered from 0 to 23, some of them learners.
fn configuration() -> impl Strategy<Value = Configuration> {
    let member = (0..3_u8, any::<bool>()).prop_filter_map("takes part", |(suffrage, outgoing)| {
        let suffrage = match suffrage {
            0 => None,
            1 => Some(Suffrage::Voter),
            _ => Some(Suffrage::Learner),
        };
        let member = Member {
            suffrage,
            outgoing_voter: outgoing,
            description: Description::default(),
            voucher: None,
        };
        (suffrage.is_some() || outgoing).then_some(member)
    });
    proptest::collection::btree_map((0..24_u128).prop_map(ServerId), member, 1..24)
        .prop_map(Configuration::from_members)
}

fn values() -> impl Strategy<Value = BTreeMap<ServerId, u64>> {
    proptest::collection::btree_map((0..24_u128).prop_map(ServerId), 0..6_u64, 0..24)
}

/// Whether these servers are a majority of each half that has voters.
fn is_quorum(configuration: &Configuration, servers: &BTreeSet<ServerId>) -> bool {
    [configuration.voters(), configuration.outgoing()]
        .into_iter()
        .all(|half| {
            let present = half.iter().filter(|voter| servers.contains(voter)).count();
            half.is_empty() || 2 * present > half.len()
        })
}

proptest! {
    #[test]
    fn what_is_reached_is_the_greatest_value_that_a_quorum_has(
        configuration in configuration(),
        values in values(),
    ) {
        let of = |voter: ServerId| values.get(&voter).copied().unwrap_or(0);
        let has = |value: u64| {
            let servers = configuration.members().map(|(id, _)| id);
            is_quorum(&configuration, &servers.filter(|id| of(*id) >= value).collect())
        };

        let reached = quorum::reached(&configuration, of);

        let has_voters = !configuration.voters().is_empty() || configuration.is_joint();
        prop_assert_eq!(reached, has_voters.then(|| (0..6).rev().find(|value| has(*value)).unwrap()));
    }

    #[test]
    fn no_fewer_voters_than_are_missing_make_a_quorum(
        configuration in configuration(),
        some in proptest::collection::btree_set((0..24_u128).prop_map(ServerId), 0..24),
        more in proptest::collection::btree_set((0..24_u128).prop_map(ServerId), 0..24),
    ) {
        let missing = quorum::missing(&configuration, |voter| some.contains(&voter));

        prop_assert_eq!(missing == 0, is_quorum(&configuration, &some));
        let together = some.union(&more).copied().collect();
        if is_quorum(&configuration, &together) {
            prop_assert!(together.len() - some.len() >= missing);
        }
    }

    #[test]
    fn an_election_is_won_by_a_quorum_and_lost_when_none_can_come_about(
        configuration in configuration(),
        votes in proptest::collection::btree_map((0..24_u128).prop_map(ServerId), any::<bool>(), 0..24),
    ) {
        let servers: BTreeSet<ServerId> = configuration.members().map(|(id, _)| id).collect();
        let with = |answers: &[Option<bool>]| {
            let gave = |id: &ServerId| answers.contains(&votes.get(id).copied());
            is_quorum(&configuration, &servers.iter().copied().filter(gave).collect())
        };

        let tally = quorum::tally(&configuration, |voter| votes.get(&voter).copied());

        let expected = match (with(&[Some(true)]), with(&[Some(true), None])) {
            (true, _) => Tally::Won,
            (false, true) => Tally::Pending,
            (false, false) => Tally::Lost,
        };
        prop_assert_eq!(tally, expected);
    }

    #[test]
    fn two_quorums_of_a_configuration_have_a_server_in_common(
        configuration in configuration(),
        one in proptest::collection::btree_set((0..24_u128).prop_map(ServerId), 0..24),
    ) {
        let servers: BTreeSet<ServerId> = configuration.members().map(|(id, _)| id).collect();
        let other: BTreeSet<ServerId> = servers.difference(&one).copied().collect();
        let wins = |with: &BTreeSet<ServerId>| {
            quorum::tally(&configuration, |voter| Some(with.contains(&voter))) == Tally::Won
        };

        let has_voters = !configuration.voters().is_empty() || configuration.is_joint();
        prop_assert!(!(has_voters && wins(&one) && wins(&other)));
    }
}
