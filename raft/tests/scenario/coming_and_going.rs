//! §4.2.1, servers that catch up before they count, and how those that are removed are told so.

use liferaft_raft::config::Timing;
use liferaft_raft::configuration::Foreign;
use liferaft_raft::consensus::{ChangeError, Event, MembershipChange};
use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::changes::{add_learner, add_voter, remove};
use crate::cluster::filter::{entries, everything, vote_requests};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

/// Three voters and the learner 4, under leader 1.
fn three_and_a_learner() -> Cluster {
    let mut cluster = Cluster::with_limits(3, |limits| limits.catch_up_rounds = 3).with_leader(1);
    cluster.add_blank(4);
    let added = cluster.change(1, add_learner(4));
    cluster.settle();
    cluster.assert_changed(added);
    cluster
}

#[test]
fn a_learner_that_could_not_be_promoted_goes_on_learning() {
    let mut cluster = three_and_a_learner();
    cluster.isolate(4);
    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(ONE_COMMAND);

    let promoted = cluster.change(1, add_voter(4));
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.assert_change_refused(promoted, &ChangeError::Unreachable(ServerId(4)));
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_applied_on([4], "a");
}

#[test]
fn a_server_that_belongs_elsewhere_is_waited_for_no_longer() {
    let mut cluster = three_and_a_learner();
    cluster.isolate(4);
    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(ONE_COMMAND);

    let promoted = cluster.change(1, add_voter(4));
    cluster.say_foreign(1, 3, Foreign::History);
    cluster.say_foreign(2, 4, Foreign::History);
    let before = cluster.change_result(promoted).cloned();
    cluster.say_foreign(1, 4, Foreign::History);

    assert_eq!(before, None, "only its own word at the leader counts");
    let foreign = ChangeError::Foreign(ServerId(4), Foreign::History);
    cluster.assert_change_refused(promoted, &foreign);
}

/// Every answer takes longer than an election timeout, and there is always something that it does not tell of yet.
#[test]
fn a_server_that_lags_behind_round_after_round_is_refused_in_the_end() {
    let mut cluster = three_and_a_learner();
    cluster.slow_down(1, 4, ELECTION_TIMEOUT * 3 / 5);
    cluster.slow_down(4, 1, ELECTION_TIMEOUT * 3 / 5);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.propose(1, "before").expect("it takes proposals");

    let promoted = cluster.change(1, add_voter(4));
    propose_for_two_and_a_half_election_timeouts(&mut cluster);
    assert_eq!(cluster.change_result(promoted), None, "it has three rounds");
    propose_for_two_and_a_half_election_timeouts(&mut cluster);

    cluster.assert_change_refused(promoted, &ChangeError::TooSlow(ServerId(4)));
}

fn propose_for_two_and_a_half_election_timeouts(cluster: &mut Cluster) {
    for _ in 0..25 {
        cluster.propose(1, "more").expect("it takes proposals");
        cluster.run_for(ELECTION_TIMEOUT / 10);
    }
}

#[test]
fn a_joining_server_that_was_given_up_is_spoken_to_no_more() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.crash(4);
    let added = cluster.change(1, add_voter(4));
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.assert_change_refused(added, &ChangeError::Unreachable(ServerId(4)));

    cluster.forget_sent();
    cluster.run_for(ELECTION_TIMEOUT);

    assert!(cluster.sent(everything().to(4)).is_empty());
}

#[test]
fn a_server_that_knows_of_its_removal_is_spoken_to_no_more() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.change(1, remove(3));
    cluster.run_for(2 * HEARTBEAT);

    cluster.forget_sent();
    cluster.run_for(ELECTION_TIMEOUT);

    assert!(cluster.sent(everything().to(3)).is_empty());
}

#[test]
fn a_server_that_cannot_hear_of_its_removal_is_told_of_it_for_a_while_and_no_longer() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.change(1, remove(3));
    cluster.run_for(ONE_COMMAND);

    cluster.forget_sent();
    cluster.run_for(2 * ELECTION_TIMEOUT - ONE_COMMAND);
    let told = cluster.sent(everything().from(1).to(3)).len();
    cluster.forget_sent();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert!(told >= 9, "it was told {told} times");
    assert!(cluster.sent(everything().from(1).to(3)).len() <= 2);
}

#[test]
fn a_removed_server_that_comes_back_soon_learns_of_its_removal() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.change(1, remove(3));
    cluster.run_for(ELECTION_TIMEOUT * 3 / 2);

    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.voters(3), [1, 2]);
    assert_eq!(cluster.commit_index(3), cluster.commit_index(1));
}

/// Its time to learn of the removal ends while it catches up: it is not let go.
#[test]
fn a_removed_server_that_is_added_again_at_once_is_not_let_go() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.change(1, remove(3));
    cluster.run_for(ELECTION_TIMEOUT * 3 / 2);

    let added = cluster.change(1, add_voter(3));
    cluster.run_for(ELECTION_TIMEOUT * 7 / 10);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_changed(added);
    assert_eq!(cluster.voters(3), [1, 2, 3]);
}

#[test]
fn while_a_server_catches_up_no_other_change_may_be_made() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.isolate(4);

    cluster.change(1, add_voter(4));
    cluster.run_for(ONE_COMMAND);

    assert!(!cluster.oversight(1, |oversight| oversight.may_change));
}

#[test]
fn before_a_leaders_term_has_committed_no_change_may_be_made() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.drop_all(entries());

    cluster.elect(2);

    assert!(!cluster.oversight(2, |oversight| oversight.may_change));
}

#[test]
fn each_server_tells_once_that_a_configuration_is_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.propose(1, "b").expect("it takes proposals");

    cluster.change(1, MembershipChange::add_learner(ServerId(3)));
    cluster.run_for(ONE_COMMAND);
    cluster.commit(1, "c");

    let expected = [Index(1), cluster.status(1).configuration_index];
    assert_eq!(committed_configurations(&cluster, 1), expected);
    assert_eq!(committed_configurations(&cluster, 2), expected);
}

fn committed_configurations(cluster: &Cluster, id: u128) -> Vec<Index> {
    let committed = cluster.events(id).filter_map(|event| match event {
        Event::ConfigurationCommitted { index } => Some(*index),
        _ => None,
    });
    committed.collect()
}

#[test]
fn a_candidate_asks_neither_learners_nor_itself() {
    let mut cluster = three_and_a_learner();
    cluster.forget_sent();

    cluster.crash(1);
    cluster.elect(2);

    assert!(!cluster.sent(vote_requests().to(3)).is_empty());
    assert!(cluster.sent(vote_requests().to(4)).is_empty());
    assert!(cluster.sent(vote_requests().to(2)).is_empty());
}

#[test]
fn a_candidate_asks_again_only_those_who_have_not_answered() {
    let mut cluster = Cluster::of(5).with_leader(1);
    let hasty = Timing::new(ELECTION_TIMEOUT / 10, HEARTBEAT / 10).expect("it makes sense");
    cluster.crash(1);
    cluster.crash(4);
    cluster.crash(5);
    cluster.set_timing(2, hasty);
    cluster.run_until("it asks for votes", |cluster| {
        !cluster.sent(vote_requests().from(2)).is_empty()
    });
    cluster.run_for(3 * LATENCY);

    cluster.forget_sent();
    cluster.run_for(2 * HEARTBEAT / 10);

    assert!(!cluster.sent(vote_requests().to(4)).is_empty());
    assert!(cluster.sent(vote_requests().to(3)).is_empty());
}
