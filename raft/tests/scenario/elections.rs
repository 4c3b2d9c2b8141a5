//! §3.3 and §3.4, leader election; §4.2.3 and §9.6, those who would disturb it; §6.2, the leader that hears no
//! majority.

use std::time::Duration;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{Event, RoleKind};
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{everything, pre_votes, real_vote_requests, vote_requests, votes};
use crate::cluster::forge::{
    append, position, pre_vote, pre_vote_request, refusal, vote, vote_request,
};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY};

#[test]
fn a_lone_voter_leads_without_waiting() {
    let mut cluster = Cluster::of(1);

    cluster.run_for(ELECTION_TIMEOUT / 10);

    cluster.assert_leader(1);
}

#[test]
fn servers_that_start_together_elect_one_leader_and_all_follow_it() {
    let mut cluster = Cluster::of(5);

    cluster.run_for(4 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([1, 2, 3, 4, 5]);
    let known = [1, 2, 3, 4, 5].map(|id| cluster.status(id).leader.map(|of| of.0));
    assert_eq!(known, [Some(leader); 5]);
}

#[test]
fn an_even_number_of_servers_elects_a_leader() {
    let mut cluster = Cluster::of(4);

    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([1, 2, 3, 4]);
}

#[test]
fn when_the_leader_falls_silent_another_is_elected() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.crash(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_leader_that_hears_no_majority_steps_down() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.isolate(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_leads_nothing(1);
    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_leader_that_speaks_but_hears_nobody_steps_down() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.cut(2, 1);
    cluster.cut(3, 1);
    cluster.run_for(5 * ELECTION_TIMEOUT);

    cluster.assert_leads_nothing(1);
    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_minority_elects_nobody() {
    let mut cluster = Cluster::of(5).with_leader(1);

    cluster.partition([1, 2], [3, 4, 5]);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_leads_nothing(1);
    cluster.assert_leads_nothing(2);
    cluster.assert_one_leader_among([3, 4, 5]);
}

#[test]
fn half_of_an_even_number_is_no_majority() {
    let mut cluster = Cluster::of(4);

    cluster.partition([1, 2], [3, 4]);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_no_leader();
}

#[test]
fn a_lost_majority_that_returns_elects_a_leader_again() {
    let mut cluster = Cluster::of(5).with_leader(1);

    cluster.crash(1);
    cluster.crash(2);
    cluster.crash(3);
    cluster.run_for(5 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.restart(3);
    cluster.run_for(5 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([3, 4, 5]);
}

#[test]
fn an_isolated_server_does_not_count_its_term_up() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.isolate(3);
    cluster.run_for(20 * ELECTION_TIMEOUT);

    assert_eq!(cluster.term(3), term);
}

#[test]
fn a_server_that_returns_from_isolation_disturbs_nobody() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.isolate(3);
    cluster.run_for(20 * ELECTION_TIMEOUT);

    cluster.heal();
    cluster.run_for(5 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!([1, 2, 3].map(|id| cluster.term(id)), [term; 3]);
}

#[test]
fn a_vote_is_refused_while_the_leader_is_heard() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(2);
    let last = cluster.status(2).last;
    cluster.forget_sent();

    cluster.forge(3, 2, vote_request(term + 1, last));
    cluster.run_for(HEARTBEAT);

    assert_eq!(cluster.term(2), term);
    cluster.assert_leader(1);
}

#[test]
fn a_server_that_cannot_hear_the_leader_does_not_depose_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.cut(1, 3);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!(cluster.term(1), term);
}

#[test]
fn a_vote_is_given_to_one_candidate_of_a_term() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.forge(3, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);

    assert_eq!(granted(&cluster, 1, 2), [true]);
    assert_eq!(granted(&cluster, 1, 3), [false]);
}

#[test]
fn a_repeated_request_is_given_the_same_vote() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);
    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);

    assert_eq!(granted(&cluster, 1, 2), [true, true]);
    assert_eq!(cluster.term(1), 2);
}

#[test]
fn a_doubled_vote_counts_once() {
    let mut cluster = Cluster::of(5);
    cluster.drop_all(everything().from(3));
    cluster.drop_all(everything().from(4));
    cluster.drop_all(everything().from(5));
    cluster.double(everything().from(2));

    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_no_leader();
}

#[test]
fn a_vote_for_an_earlier_campaign_counts_for_nothing() {
    let mut cluster = Cluster::of(3);
    cluster.crash(3);
    cluster.hold(votes().to(1));
    cluster.hold(votes().to(2));
    cluster.run_until("both have campaigned", |cluster| {
        cluster.term(1) >= 4 && cluster.term(2) >= 4
    });
    let term = cluster.term(1).max(cluster.term(2));

    cluster.deliver_held();

    // Whoever leads by these votes leads the latest term that was campaigned for; the checker sees to the rest.
    assert!(
        cluster
            .leader()
            .is_none_or(|leader| cluster.term(leader) == term)
    );
}

// Each was repeated four times a heartbeat, however long the answers took.
#[test]
fn votes_over_slow_links_are_asked_for_once_their_round_trip_is_known() {
    let mut cluster = Cluster::of(3);
    cluster.slow_down_all(Duration::from_millis(300));

    cluster.elect(1);

    assert_eq!(cluster.sent(real_vote_requests().from(1)).len(), 2);
    let all = cluster.sent(vote_requests().from(1)).len();
    assert!(all <= 12, "{all} requests");
}

#[test]
fn silent_voters_are_asked_about_once_a_heartbeat() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(2);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.forget_sent();

    cluster.run_for(10 * ELECTION_TIMEOUT);

    let asked = cluster.sent(vote_requests().from(2).to(3)).len();
    assert!((40..=80).contains(&asked), "{asked} requests");
}

#[test]
fn requests_for_votes_are_asked_again_when_they_are_lost() {
    let mut cluster = Cluster::of(3);
    cluster.crash(3);

    cluster.drop_next(vote_requests());
    cluster.drop_next(vote_requests());
    cluster.drop_next(votes());
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([1, 2]);
}

#[test]
fn a_cluster_over_a_bad_network_elects_a_leader() {
    let mut cluster = Cluster::of(5).over_a_bad_network(7);

    cluster.elect_any();
    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([1, 2, 3, 4, 5]);
}

#[test]
fn blank_servers_keep_their_timers_off() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.add_blank(2);
    cluster.add_blank(3);

    cluster.run_for(Duration::from_secs(600));

    assert_eq!([cluster.term(2), cluster.term(3)], [0, 0]);
    assert!(cluster.sent(everything().from(2)).is_empty());
    cluster.assert_leader(1);
}

#[test]
fn a_leader_learns_of_a_later_term_from_a_follower_that_has_seen_it() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1]), (2, &[1, 1]), (3, &[1])]).with_leader(1);
    let term = cluster.term(1);
    cluster.isolate(3);
    cluster.run_for(3 * ELECTION_TIMEOUT);
    cluster.forge(2, 3, vote_request(term + 5, position(1, 3)));
    assert_eq!(cluster.term(3), term + 5);

    cluster.heal();
    cluster.run_for(6 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([1, 2, 3]);
    assert!(cluster.term(leader) > term + 5);
    assert_eq!(cluster.status(3).leader.map(|of| of.0), Some(leader));
}

#[test]
fn a_deposed_leader_that_speaks_again_is_told_of_its_successor() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let old_term = cluster.term(1);
    cluster.isolate(1);
    cluster.elect(2);

    cluster.forge(1, 2, append(old_term, 9, position(old_term, 2), vec![]));
    cluster.assert_leader(2);
    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
    cluster.assert_follower(1);
    assert_eq!(cluster.term(1), cluster.term(2));
}

#[test]
fn the_only_server_that_reaches_a_majority_becomes_leader() {
    let mut cluster = Cluster::of(5).with_leader(1);

    // Server 3 reaches all, the others only server 3.
    cluster.partition([1], [2, 4, 5]);
    cluster.partition([2], [4, 5]);
    cluster.partition([4], [5]);
    cluster.run_for(20 * ELECTION_TIMEOUT);

    cluster.assert_leader(3);
}

#[test]
fn a_chain_of_servers_keeps_a_leader_that_commits() {
    let mut cluster = Cluster::of(3).with_leader(1);

    // 1 and 3 reach only 2.
    cluster.partition([1], [3]);
    cluster.run_for(20 * ELECTION_TIMEOUT);

    let leader = cluster.elect_any();
    cluster
        .propose(leader, "along the chain")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.assert_applied_on([2], "along the chain");
}

/// The real votes that a server was sent, in order: whether they were given.
fn granted(cluster: &Cluster, from: u128, to: u128) -> Vec<bool> {
    use liferaft_raft::message::Body;

    cluster
        .sent(votes().from(from).to(to))
        .into_iter()
        .map(|message| match message.body {
            Body::RequestVoteReply(reply) => reply.granted,
            other => panic!("{other:?} is no vote"),
        })
        .collect()
}

#[test]
fn no_cluster_is_founded_without_voters_or_half_way_to_others() {
    let mut cluster = Cluster::of(1);
    cluster.add_blank(2);
    let of_voters = |voters: [u128; 2]| Configuration::of_voters(voters.map(ServerId));

    cluster.found(2, Configuration::default());
    cluster.found(2, of_voters([1, 2]).joined_with(&of_voters([2, 3])));
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.last_index(2), 0);
    assert_eq!(cluster.term(2), 0);
}

#[test]
fn a_refusal_that_was_overtaken_takes_no_vote_back() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.run_until("it asks whether it would be elected", |cluster| {
        cluster.status(1).role == RoleKind::PreCandidate
    });
    cluster.forge(2, 1, pre_vote(1, 2));
    cluster.hold_disk(1);

    cluster.forge(2, 1, vote(2, 2));
    cluster.forge(2, 1, refusal(2, 2));
    cluster.assert_leads_nothing(1);
    cluster.release_disk(1);
    cluster.run_for(2 * LATENCY);

    cluster.assert_leader(1);
}

#[test]
fn of_two_that_ask_at_the_same_time_one_goes_on() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(1);
    cluster.crash(3);
    cluster.run_until("it asks whether it would be elected", |cluster| {
        cluster.status(2).role == RoleKind::PreCandidate
    });

    cluster.forge(1, 2, pre_vote_request(1, position(1, 2)));
    assert_eq!(cluster.status(2).role, RoleKind::PreCandidate, "goes on");
    cluster.forge(3, 2, pre_vote_request(1, position(1, 2)));

    cluster.assert_follower(2);
}

#[test]
fn nobody_would_vote_in_a_term_that_is_there_already() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1, 2]), (3, &[1, 2])]);
    cluster.crash(2);
    cluster.crash(3);
    assert_eq!(cluster.term(1), 2);

    cluster.forge(2, 1, pre_vote_request(1, position(1, 9)));
    cluster.run_for(LATENCY);

    let would_vote = cluster.sent(pre_votes().from(1));
    assert!(would_vote.is_empty(), "{would_vote:?}");
}

#[test]
fn a_server_tells_once_that_it_has_lost_its_leader_and_once_that_it_has_another() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.crash(1);
    cluster.elect(2);
    cluster.settle();

    let told = cluster.events(3).filter_map(|event| match event {
        Event::LeaderChanged { leader, .. } => Some(leader.map(|id| id.0)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [Some(1), None, Some(2)]);
}
