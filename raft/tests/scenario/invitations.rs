//! Tests what changes of the configuration leave the voters as they are: descriptions, access tokens and their uses,
//! the version of the protocol.

use std::time::Duration;

use liferaft_raft::configuration::{
    Configuration, Description, Grants, Member, PublicKey, Scope, TokenFault, TokenKey, Versions,
};
use liferaft_raft::consensus::{
    Addition, ChangeError, InvalidChange, MembershipChange, MembershipStep, NewToken,
};
use liferaft_raft::ids::ServerId;

use crate::cluster::changes::remove;
use crate::cluster::{Cluster, ELECTION_TIMEOUT, Id};

const KEY: TokenKey = TokenKey(PublicKey([7; 32]));

/// For ever, as far as a story lasts.
const DAYS: Duration = Duration::from_secs(7 * 24 * 3600);

fn token(uses: u32, valid_for: Duration) -> NewToken {
    NewToken {
        key: KEY,
        grants: Grants::Membership,
        valid_for,
        uses,
        scope: Scope::everything(),
    }
}

/// This server comes as a learner by the token.
fn joins(id: Id) -> MembershipChange {
    let addition = Addition {
        token: Some(KEY),
        ..Addition::of(ServerId(id))
    };
    MembershipStep::AddLearner(addition).into()
}

fn uses_left(cluster: &Cluster, id: Id) -> Option<u32> {
    let configuration = cluster.status(id).configuration;
    configuration.token(KEY).map(|token| token.uses_left)
}

/// Servers 1 to 3 under leader 1, which has issued a token.
fn three_with(token: NewToken) -> Cluster {
    let mut cluster = Cluster::of(3).with_leader(1);
    let issued = cluster.change(1, MembershipChange::issue(token));
    cluster.settle();
    cluster.assert_changed(issued);
    cluster
}

#[test]
fn an_address_changes_while_a_voter_is_down() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(3);
    let address = "udp:10.0.0.7:4000".parse().expect("it is an address");
    let moved = Description::default().with_addresses([address]);

    let changed = cluster.change(1, MembershipChange::describe(ServerId(2), moved.clone()));
    cluster.settle();
    let index = cluster.status(1).configuration_index;
    cluster.restart(3);
    cluster.settle();

    cluster.assert_changed(changed);
    assert_eq!(
        cluster.change_result(changed),
        Some(&Ok(index)),
        "one entry"
    );
    for id in 1..=3 {
        let configuration = cluster.status(id).configuration;
        let member = configuration.member(ServerId(2)).expect("it stays");
        assert_eq!(member.description, moved);
    }
}

#[test]
fn a_used_up_token_is_refused_by_the_next_leader() {
    let mut cluster = three_with(token(1, DAYS));
    cluster.add_blank(4);
    cluster.add_blank(5);

    let first = cluster.change(1, joins(4));
    cluster.settle();
    cluster.crash(1);
    cluster.elect(2);
    cluster.settle();
    let second = cluster.change(2, joins(5));
    cluster.settle();

    cluster.assert_changed(first);
    cluster.assert_change_refused(second, &ChangeError::Token(KEY, TokenFault::UsedUp));
}

#[test]
fn a_token_expires_by_cluster_time() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let issued = cluster.change(1, MembershipChange::issue(token(9, 3 * ELECTION_TIMEOUT)));
    cluster.settle();
    let configuration = cluster.status(1).configuration;
    let soon = configuration.token(KEY).expect("it was issued").expires_at;

    cluster.isolate(1);
    cluster.run_for(6 * ELECTION_TIMEOUT);
    cluster.heal();
    let leader = cluster.elect_any();
    cluster.settle();
    let last = cluster.last_stamp(leader);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    let late = cluster.change(leader, joins(4));
    cluster.settle();

    cluster.assert_changed(issued);
    assert!(last < soon, "while nobody led, cluster time stood still");
    cluster.assert_change_refused(late, &ChangeError::Token(KEY, TokenFault::Expired));
}

#[test]
fn of_two_who_come_by_the_last_use_of_a_token_one_is_let_in() {
    let mut cluster = three_with(token(1, DAYS));
    cluster.add_blank(4);
    cluster.add_blank(5);

    let first = cluster.change(1, joins(4));
    let second = cluster.change(1, joins(5));
    cluster.settle();
    let again = cluster.change(1, joins(5));
    cluster.settle();

    cluster.assert_changed(first);
    cluster.assert_change_refused(second, &ChangeError::Pending);
    cluster.assert_change_refused(again, &ChangeError::Token(KEY, TokenFault::UsedUp));
    let configuration = cluster.status(2).configuration;
    assert!(configuration.contains(ServerId(4)) && !configuration.contains(ServerId(5)));
}

#[test]
fn a_configuration_that_is_rolled_back_gives_back_its_token() {
    let mut cluster = three_with(token(1, DAYS));
    cluster.add_blank(4);
    cluster.isolate(1);

    cluster.change(1, joins(4));
    let while_alone = uses_left(&cluster, 1);
    cluster.elect(2);
    cluster.heal();
    cluster.settle();
    let rolled_back = uses_left(&cluster, 1);
    let joined = cluster.change(2, joins(4));
    cluster.settle();

    assert_eq!((while_alone, rolled_back), (Some(0), Some(1)));
    cluster.assert_changed(joined);
    assert_eq!(uses_left(&cluster, 1), Some(0));
}

#[test]
fn a_token_is_used_once_through_a_joint_configuration() {
    let mut cluster = three_with(token(2, DAYS));
    cluster.add_blank(4);
    let comes = MembershipStep::AddVoter(Addition {
        token: Some(KEY),
        ..Addition::of(ServerId(4))
    });

    let replaced = cluster.change(1, MembershipChange::from(comes).and(remove(3)));
    cluster.settle();

    cluster.assert_changed(replaced);
    assert_eq!(cluster.voters(2), [1, 2, 4]);
    assert_eq!(uses_left(&cluster, 2), Some(1));
}

#[test]
fn a_revoked_token_is_refused_by_the_next_leader() {
    let mut cluster = three_with(token(9, DAYS));
    cluster.add_blank(4);

    let revoked = cluster.change(1, MembershipChange::revoke(KEY));
    cluster.settle();
    cluster.crash(1);
    cluster.elect(2);
    cluster.settle();
    let late = cluster.change(2, joins(4));
    cluster.settle();

    cluster.assert_changed(revoked);
    cluster.assert_change_refused(late, &ChangeError::Token(KEY, TokenFault::Unknown));
}

#[test]
fn a_version_is_raised_once_the_last_member_speaks_it() {
    let mut cluster = Cluster::of(0);
    let newer = Description::default().with_versions(Versions { min: 1, max: 2 });
    let voters = [1, 2].map(|id| (ServerId(id), Member::voter(newer.clone())));
    let older = (ServerId(3), Member::voter(Description::default()));
    let configuration = Configuration::from_members(voters.into_iter().chain([older]));
    for id in 1..=3 {
        cluster.add_blank(id);
        cluster.found(id, configuration.clone());
    }
    let mut cluster = cluster.with_leader(1);

    let early = cluster.change(1, MembershipChange::raise_version(2));
    cluster.settle();
    let updated = cluster.change(1, MembershipChange::describe(ServerId(3), newer));
    cluster.settle();
    let raised = cluster.change(1, MembershipChange::raise_version(2));
    cluster.settle();

    let (server, version) = (ServerId(3), 2);
    let not_spoken = InvalidChange::VersionNotSpoken { server, version };
    cluster.assert_change_refused(early, &ChangeError::Invalid(not_spoken));
    cluster.assert_changed(updated);
    cluster.assert_changed(raised);
    assert_eq!(cluster.status(3).configuration.version(), 2);
}
