//! §4.3, arbitrary changes of the configuration, and §4.4, availability during them.

use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::everything;
use crate::cluster::{Cluster, ELECTION_TIMEOUT, ONE_COMMAND};

/// From {1, 2, 3} to {3, 4, 5}.
fn replace_two() -> MembershipChange {
    MembershipChange::add_voter(ServerId(4))
        .and(MembershipChange::add_voter(ServerId(5)))
        .and(MembershipChange::remove(ServerId(1)))
        .and(MembershipChange::remove(ServerId(2)))
}

/// Servers 1 to 3 under leader 3, and the blank servers 4 and 5.
fn three_and_two_blank() -> Cluster {
    let mut cluster = Cluster::of(3).with_leader(3);
    cluster.commit(3, "before");
    cluster.add_blank(4);
    cluster.add_blank(5);
    cluster
}

fn is_joint(cluster: &Cluster, id: u128) -> bool {
    cluster.status(id).configuration.is_joint()
}

#[test]
fn several_servers_are_replaced_at_once() {
    let mut cluster = three_and_two_blank();

    let replaced = cluster.change(3, replace_two());
    cluster.settle();
    cluster.crash(1);
    cluster.crash(2);
    cluster
        .propose(3, "after")
        .expect("the leader takes proposals");
    cluster.settle();

    cluster.assert_changed(replaced);
    assert_eq!(cluster.voters(4), [3, 4, 5]);
    assert!(!is_joint(&cluster, 4));
    cluster.assert_applied_on([3, 4, 5], "before");
    cluster.assert_applied_on([3, 4, 5], "after");
}

#[test]
fn a_whole_cluster_moves_to_other_servers() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "before");
    cluster.add_blank(4);
    cluster.add_blank(5);
    cluster.add_blank(6);
    let add = |id| MembershipChange::add_voter(ServerId(id));
    let remove = |id| MembershipChange::remove(ServerId(id));
    let change = add(4)
        .and(add(5))
        .and(add(6))
        .and(remove(1))
        .and(remove(2))
        .and(remove(3));

    let moved = cluster.change(1, change);
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_changed(moved);
    let leader = cluster.assert_one_leader_among([4, 5, 6]);
    cluster
        .propose(leader, "after")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.assert_applied_on([4, 5, 6], "before");
    cluster.assert_applied_on([4, 5, 6], "after");
}

#[test]
fn many_servers_join_at_once() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.commit(1, "a");
    cluster.add_blank(2);
    cluster.add_blank(3);
    cluster.add_blank(4);
    cluster.add_blank(5);
    let add = |id| MembershipChange::add_voter(ServerId(id));

    let joined = cluster.change(1, add(2).and(add(3)).and(add(4)).and(add(5)));
    cluster.settle();

    cluster.assert_changed(joined);
    assert_eq!(cluster.voters(5), [1, 2, 3, 4, 5]);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn a_joint_configuration_needs_the_majority_of_the_old() {
    let mut cluster = three_and_two_blank();
    let replaced = cluster.change(3, replace_two());
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 3));

    cluster.isolate(1);
    cluster.isolate(2);
    cluster.run_for(ELECTION_TIMEOUT / 2);

    assert!(is_joint(&cluster, 3));
    assert_eq!(cluster.change_result(replaced), None);
}

#[test]
fn a_joint_configuration_needs_the_majority_of_the_new() {
    let mut cluster = three_and_two_blank();
    let replaced = cluster.change(3, replace_two());
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 3));

    cluster.isolate(4);
    cluster.isolate(5);
    cluster.run_for(ELECTION_TIMEOUT / 2);

    assert!(is_joint(&cluster, 3));
    assert_eq!(cluster.change_result(replaced), None);
}

#[test]
fn a_leader_of_a_joint_configuration_that_hears_one_half_only_steps_down() {
    let mut cluster = three_and_two_blank();
    cluster.change(3, replace_two());
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 3));

    cluster.isolate(4);
    cluster.isolate(5);
    cluster.run_for(3 * ELECTION_TIMEOUT);

    cluster.assert_no_leader();
}

#[test]
fn nobody_is_elected_by_one_half_of_a_joint_configuration() {
    let mut cluster = three_and_two_blank();
    cluster.change(3, replace_two());
    cluster.run_until("all know the joint configuration", |cluster| {
        [1, 2, 4, 5].into_iter().all(|id| is_joint(cluster, id))
    });

    cluster.crash(3);
    cluster.partition([1, 2], [4, 5]);
    cluster.drop_all(everything().to(3));
    cluster.run_for(10 * ELECTION_TIMEOUT);

    // Servers that know the next configuration already may go by it: {3, 4, 5} has a majority without server 3.
    cluster.assert_leads_nothing(1);
    cluster.assert_leads_nothing(2);
}

#[test]
fn a_successor_finishes_the_change_that_a_leader_left_half_way() {
    let mut cluster = three_and_two_blank();
    cluster.change(3, replace_two());
    cluster.run_until("all know the joint configuration", |cluster| {
        [1, 2, 4, 5].into_iter().all(|id| is_joint(cluster, id))
    });

    cluster.crash(3);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([4, 5]);
    assert_eq!(cluster.voters(leader), [3, 4, 5]);
    assert!(!is_joint(&cluster, leader));
    cluster.restart(3);
    cluster.settle();
    cluster.assert_applied_on([3, 4, 5], "before");
}

#[test]
fn a_joint_configuration_is_left_without_being_asked() {
    let mut cluster = three_and_two_blank();

    cluster.change(3, replace_two());
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 3));
    cluster.settle();

    assert!(!is_joint(&cluster, 3));
    assert!(!is_joint(&cluster, 4));
}

#[test]
fn a_joint_configuration_survives_a_restart() {
    let mut cluster = three_and_two_blank();
    cluster.change(3, replace_two());
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 1));
    cluster.isolate(3);
    cluster.settle();

    cluster.crash(1);
    cluster.restart(1);

    assert!(is_joint(&cluster, 1));
    let outgoing: Vec<u128> = cluster
        .status(1)
        .configuration
        .outgoing()
        .iter()
        .map(|id| id.0)
        .collect();
    assert_eq!(outgoing, [1, 2, 3]);
}

#[test]
fn commands_go_on_being_committed_while_the_cluster_changes() {
    let mut cluster = three_and_two_blank();

    let replaced = cluster.change(3, replace_two());
    cluster.propose(3, "a").expect("the leader takes proposals");
    cluster.run_until("it is joint", |cluster| is_joint(cluster, 3));
    cluster.propose(3, "b").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_changed(replaced);
    assert_eq!(cluster.applied(3), ["before", "a", "b"]);
}

#[test]
fn a_change_with_one_silent_joiner_changes_nothing() {
    let mut cluster = three_and_two_blank();
    cluster.crash(5);

    let replaced = cluster.change(3, replace_two());
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert!(matches!(cluster.change_result(replaced), Some(Err(_))));
    assert_eq!(cluster.voters(3), [1, 2, 3]);
    cluster.assert_leader(3);
}

// An entry before the joint configuration may be committed by the old majority alone. To leave the joint phase at that
// moment would let the new majority decide by itself while the old one still may.
#[test]
fn a_joint_configuration_is_left_only_once_it_is_committed_itself() {
    let mut cluster = Cluster::of(5).with_leader(1);
    let remove = |id| MembershipChange::remove(ServerId(id));
    let before = cluster.propose(1, "a").expect("it takes proposals").index.0;

    let removed = cluster.change(1, remove(4).and(remove(5)));
    cluster.run_until("what came before is committed", |cluster| {
        cluster.commit_index(1) == before
    });
    assert!(is_joint(&cluster, 1));
    assert_eq!(cluster.change_result(removed), None);
    cluster.settle();

    cluster.assert_changed(removed);
    assert_eq!(cluster.voters(3), [1, 2, 3]);
}
