//! Traps of elections, pre-votes and terms.

use liferaft_raft::consensus::{MembershipChange, RoleKind};
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{entries, vote_requests};
use crate::cluster::forge::{position, vote_request};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT};

/// etcd 8501: answers of an earlier term than the candidate's were dropped, and nobody could be elected.
#[test]
fn the_word_of_a_voter_of_an_earlier_term_counts() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1]), (2, &[1]), (3, &[1])]);
    cluster.crash(3);
    cluster.forge(3, 1, vote_request(20, position(1, 2)));
    assert_eq!([cluster.term(1), cluster.term(2)], [20, 1]);

    // Only its clock runs: server 2 does not catch up with the term by a campaign of its own.
    cluster.elect(1);

    assert_eq!(cluster.term(1), 21);
    cluster.settle();
    assert_eq!(cluster.status(2).leader, Some(ServerId(1)));
}

/// openraft 1796: servers with the longest log and servers of the latest term refused each other for ever.
#[test]
fn the_longest_log_and_the_latest_term_find_together() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1]), (2, &[1]), (3, &[1])]);
    cluster.crash(3);
    cluster.forge(3, 2, vote_request(20, position(1, 1)));
    assert_eq!([cluster.term(1), cluster.term(2)], [1, 20]);

    cluster.run_for(8 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
}

/// raft-rs 83: a server that had begun to ask still took itself for the old leader's follower, and refused all others.
#[test]
fn a_server_that_asks_for_pre_votes_follows_nobody_and_may_vote_for_another() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(vote_requests());
    cluster.crash(1);
    cluster.run_until("it asks", |cluster| {
        cluster.status(2).role == RoleKind::PreCandidate
    });
    let (term, last) = (cluster.term(2), cluster.status(2).last);
    assert_eq!(cluster.status(2).leader, None);

    cluster.forge(3, 2, vote_request(term + 1, last));

    assert_eq!(cluster.status(2).voted_for, Some(ServerId(3)));
}

/// etcd's `Step`: a server of a later term ignored the leader, which did not learn of the term and could not be heard.
#[test]
fn a_leader_of_an_earlier_term_is_answered_with_the_later_one() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.run_for(3 * ELECTION_TIMEOUT);
    let later = cluster.term(3) + 5;
    cluster.forge(2, 3, vote_request(later, position(1, 1)));
    assert_eq!(cluster.term(3), later);
    cluster.drop_all(vote_requests());

    cluster.mend_all();
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.term(1), later);
    cluster.assert_follower(1);
}

/// hashicorp GH-526: a demoted voter of a later term was neither elected nor heard, and the cluster stood still.
#[test]
fn a_demoted_voter_of_a_later_term_is_not_elected_and_does_not_stop_the_cluster() {
    let mut cluster = Cluster::of(4).with_leader(1);
    cluster.isolate(4);
    let demoted = cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();
    cluster.assert_changed(demoted);
    cluster.run_for(3 * ELECTION_TIMEOUT);
    let later = cluster.term(4) + 10;
    cluster.forge(3, 4, vote_request(later, position(1, 1)));
    assert_eq!(cluster.term(4), later);

    cluster.heal();
    cluster.run_for(8 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([1, 2, 3]);
    assert!(cluster.term(leader) > later);
    cluster
        .propose(leader, "a")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.assert_applied_everywhere("a");
}

/// raft-rs 57: a learner that had been promoted, and did not know it yet, was the vote that was missing.
#[test]
fn a_promoted_learner_that_does_not_know_it_yet_is_enough_to_elect() {
    let mut cluster = Cluster::of(2).with_leader(1);
    cluster.add_blank(3);
    cluster.change(1, MembershipChange::add_learner(ServerId(3)));
    cluster.settle();
    cluster.drop_all(entries().to(3));
    cluster.change(1, MembershipChange::add_voter(ServerId(3)));
    cluster.run_until("server 2 knows of the promotion", |cluster| {
        cluster.voters(2) == [1, 2, 3]
    });
    assert_eq!(cluster.voters(3), [1, 2]);

    cluster.crash(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
}

/// The constrained election of Omni-Paxos: the only server that all can reach lacks what is committed. Raft can elect
/// nobody there; it must lose nothing, and go on with the first link that comes back.
#[test]
fn a_hub_that_lacks_what_is_committed_is_not_elected_and_one_more_link_is_enough() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.isolate(3);
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.mend_all();
    cluster.partition([1], [2, 3, 4, 5]);
    cluster.partition([2], [4, 5]);
    cluster.partition([4], [5]);

    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.mend(2, 4);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([2, 4]);
    cluster.assert_applied_on([2, 3, 4], "kept");
}
