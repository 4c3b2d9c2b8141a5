//! §3.6, safety: who may be elected, and what is committed.

use crate::cluster::filter::{entries_of_term, everything, votes};
use crate::cluster::forge::{position, vote_request};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, LATENCY, ONE_COMMAND};

#[test]
fn a_server_that_lacks_a_committed_entry_is_not_elected() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.settle();

    cluster.crash(1);
    cluster.heal();
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
    cluster.assert_applied_everywhere("kept");
}

#[test]
fn a_longer_log_of_an_earlier_term_loses_to_a_shorter_one_of_a_later_term() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1, 1, 1]), (2, &[1, 2]), (3, &[1, 2])]);
    cluster.crash(3);

    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
}

#[test]
fn the_shorter_of_two_logs_of_one_term_gets_no_vote() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2, 2]), (2, &[1, 2]), (3, &[1])]);
    cluster.crash(3);

    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
}

#[test]
fn what_a_client_was_told_survives_the_loss_of_the_leader() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.run_until("it is committed", |cluster| cluster.applied(1) == ["kept"]);

    cluster.crash(1);
    cluster.elect_any();
    cluster.settle();

    cluster.assert_applied_everywhere("kept");
}

#[test]
fn what_was_not_committed_may_be_lost_and_is_then_never_applied() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);
    cluster.propose(1, "lost").expect("it does not know better");
    cluster.run_for(ONE_COMMAND);

    cluster.elect(2);
    cluster
        .propose(2, "kept")
        .expect("the leader takes proposals");
    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("kept");
    cluster.assert_never_applied("lost");
    cluster.assert_same_logs([1, 2, 3]);
}

/// Figure 3.7, (c) to (d): an entry of term 2 is on a majority, and yet it is overwritten.
#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let mut cluster = figure_3_7();
    cluster.crash(5);
    cluster.drop_all(everything().to(4));
    cluster.drop_all(entries_of_term(4));

    cluster.elect(1);
    cluster.run_for(ELECTION_TIMEOUT / 2);
    assert_eq!(
        cluster.stored_terms(3),
        [1, 2],
        "the old entry is on a majority"
    );
    cluster.assert_never_applied("2@2");
    cluster.crash(1);
    cluster.heal();
    cluster.restart(5);
    cluster.elect(5);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_applied_on([2, 3, 4, 5], "2@3");
    cluster.assert_never_applied("2@2");
}

/// Figure 3.7, (e): once an entry of the leader's own term is on a majority, so is all before it for good.
#[test]
fn an_entry_of_the_leaders_own_term_commits_those_before_it() {
    let mut cluster = figure_3_7();
    cluster.crash(5);
    cluster.drop_all(everything().to(4));

    cluster.elect(1);
    cluster.run_until("it is committed", |cluster| cluster.applied(1) == ["2@2"]);
    cluster.crash(1);
    cluster.heal();
    cluster.restart(5);
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_leads_nothing(5);
    cluster.assert_leads_nothing(4);
    cluster.assert_applied_on([2, 3, 4, 5], "2@2");
    cluster.assert_never_applied("2@3");
}

/// Before (c) of figure 3.7. All have seen term 3, so the next election is that of term 4.
fn figure_3_7() -> Cluster {
    // One entry a message, so that a story can lose the later one.
    Cluster::from_logs_with_limits(
        [(1, &[2]), (2, &[2]), (3, &[]), (4, &[]), (5, &[3])],
        |limits| limits.append_bytes_max = 1,
    )
}

/// Figure 3.8: the leader of a later term cannot have missed what an earlier one committed.
#[test]
fn each_majority_that_elects_meets_each_majority_that_commits() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.partition([1, 2, 3], [4, 5]);
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.assert_applied_on([1, 2, 3], "kept");

    cluster.heal();
    cluster.partition([1, 2], [3, 4, 5]);
    cluster.run_for(8 * ELECTION_TIMEOUT);

    cluster.assert_leader(3);
    cluster.assert_applied_on([3, 4, 5], "kept");
}

#[test]
fn a_new_leader_commits_what_its_predecessors_left_without_a_client() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2]), (2, &[1, 2]), (3, &[1])]);

    cluster.elect(1);
    cluster.settle();

    cluster.assert_applied_everywhere("3@2");
}

#[test]
fn a_vote_counts_only_the_log_that_the_voter_has() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2]), (2, &[1, 2]), (3, &[1, 2])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, vote_request(5, position(2, 3)));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.sent(votes().from(1).to(2)).len(), 1);
    assert_eq!(cluster.status(1).voted_for.map(|of| of.0), Some(2));
}

#[test]
fn leaders_that_come_and_go_lose_nothing() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();
    cluster.crash(1);
    cluster.elect(2);
    cluster.propose(2, "b").expect("the leader takes proposals");
    cluster.settle();
    cluster.restart(1);
    cluster.crash(2);
    cluster.elect(3);
    cluster.propose(3, "c").expect("the leader takes proposals");
    cluster.settle();

    cluster.restart(2);
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(1), ["a", "b", "c"]);
    cluster.assert_same_logs([1, 2, 3, 4, 5]);
}
