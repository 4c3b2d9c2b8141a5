//! §6.4.1, reads by lease. The leader's clock is as slow as the drift bound allows, those of the voters are as fast.
//!
//! Whether a read is served too late is checked for every one of them, by the cluster: it would miss what was committed
//! when it was asked.

use std::time::Duration;

use liferaft_raft::config::{Config, ConfigBuilder, ReadLease, Timing};
use liferaft_raft::consensus::{MembershipChange, RoleKind};
use liferaft_raft::ids::{ServerId, Term};
use liferaft_raft::message::{Body, Message, ReadIndex};

use crate::cluster::filter::{
    append_replies, appends, entries, everything, pre_votes, timeout_now, votes,
};
use crate::cluster::forge::{pre_vote_request, vote_request};
use crate::cluster::{Cluster, DISK_LATENCY, ELECTION_TIMEOUT, HEARTBEAT, ONE_COMMAND};

/// A tenth: far more than clocks drift, so that it shows.
const DRIFT_PPM: u32 = 100_000;

fn cluster() -> Cluster {
    let mut cluster = Cluster::with_leases(3, DRIFT_PPM).with_leader(1);
    cluster.commit(1, "a");
    cluster
}

/// The leader is server 1. Server 3, which was cut off, asks for pre-votes when the leader is cut off in its place,
/// while server 2 crashes and comes back with other settings.
fn cluster_with_a_restarted_voter(settings: ConfigBuilder) -> Cluster {
    let mut cluster = cluster();
    cluster.isolate(3);
    cluster.run_until("server 3 asks for pre-votes", |cluster| {
        cluster.status(3).role == RoleKind::PreCandidate
    });
    cluster.isolate(1);
    cluster.crash(2);
    cluster.configure(2, built(settings));
    cluster.restart(2);
    cluster.mend(2, 3);
    cluster
}

fn lease() -> ReadLease {
    ReadLease::with_drift_bound_ppm(DRIFT_PPM).expect("the bound makes sense")
}

/// The settings of the cluster.
fn settings() -> ConfigBuilder {
    Config::builder().read_lease(lease())
}

/// A tenth of the election timeout that the others have, and no leases.
fn hasty() -> ConfigBuilder {
    Config::builder().election_timeout(ELECTION_TIMEOUT / 10)
}

fn built(settings: ConfigBuilder) -> Config {
    settings.build().expect("the settings make sense")
}

fn longest_promise_told(cluster: &Cluster, id: u128) -> Duration {
    let told = cluster.sent(append_replies().from(id)).into_iter();
    let promises = told.filter_map(|message| match &message.body {
        Body::AppendEntriesReply(reply) => Some(reply.promise),
        _ => None,
    });
    promises.max().expect("it has answered")
}

/// Asks a voter for its vote and its pre-vote while the lease of server 1 lasts, in vain, and after that.
#[track_caller]
fn assert_votes_once_the_lease_is_over(cluster: &mut Cluster, voter: u128) {
    cluster.forget_sent();
    while cluster.holds_lease(1) {
        ask_for_votes(cluster, voter);
        cluster.run_for(ELECTION_TIMEOUT / 50);
    }
    let early =
        cluster.sent(votes().from(voter)).len() + cluster.sent(pre_votes().from(voter)).len();
    cluster.run_for(ELECTION_TIMEOUT / 50);
    ask_for_votes(cluster, voter);
    cluster.run_for(2 * DISK_LATENCY);

    assert_eq!(early, 0, "{cluster:?}");
    assert_eq!(cluster.sent(pre_votes().from(voter)).len(), 1);
    assert_eq!(cluster.sent(votes().from(voter)).len(), 1);
}

fn ask_for_votes(cluster: &mut Cluster, voter: u128) {
    let term = cluster.term(voter);
    let last = cluster.status(voter).last;
    cluster.forge(3, voter, pre_vote_request(term, last));
    cluster.forge(3, voter, vote_request(term + 1, last));
}

fn until_the_lease_is_over(cluster: &mut Cluster) {
    cluster.run_until("the lease is over", |cluster| !cluster.holds_lease(1));
}

/// Commits what the leader of old, which is cut off, does not know of.
fn commit_among_the_others(cluster: &mut Cluster, leader: u128) {
    cluster
        .propose(leader, "b")
        .expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([2, 3], "b");
}

/// Asks the leader of old again and again, while it cannot hear of its successor. What it serves is checked.
fn assert_serves_nothing_of_the_past(cluster: &mut Cluster) {
    for _ in 0..40 {
        cluster.read(1);
        cluster.run_for(ELECTION_TIMEOUT / 20);
    }
}

#[test]
fn a_leader_with_a_lease_serves_a_read_at_once_and_says_nothing() {
    let mut cluster = cluster();
    cluster.run_for(HEARTBEAT / 4);
    cluster.forget_sent();

    let read = cluster.read(1);

    cluster.assert_read_served(read);
    assert!(cluster.sent(everything()).is_empty());
    assert!(cluster.holds_lease(1) && cluster.status(1).lease.is_some());
    assert!(!cluster.holds_lease(2), "it does not lead");
}

#[test]
fn a_followers_read_costs_no_round_of_the_leader() {
    let mut cluster = cluster();
    cluster.run_for(HEARTBEAT / 4);
    cluster.forget_sent();

    let read = cluster.read(2);
    cluster.run_for(ONE_COMMAND / 2);

    cluster.assert_read_served(read);
    assert!(cluster.sent(appends()).is_empty());
}

#[test]
fn without_the_opt_in_nothing_is_promised() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");

    let answers = cluster.sent(append_replies());

    assert!(answers.iter().all(|message| match &message.body {
        Body::AppendEntriesReply(reply) => reply.promise.is_zero(),
        _ => false,
    }));
}

#[test]
fn a_lease_ends_although_nothing_tells_the_leader_that_it_is_cut_off() {
    let mut cluster = cluster();
    cluster.isolate(1);

    let early = cluster.read(1);
    cluster.run_for(ELECTION_TIMEOUT);
    let late = cluster.read(1);
    assert_eq!(cluster.status(1).lease, None);

    cluster.assert_read_served(early);
    assert_eq!(cluster.read_answer(late), None);
}

#[test]
fn at_the_drift_bound_nobody_is_elected_while_the_lease_lasts() {
    let mut cluster = cluster();
    cluster.isolate(1);

    let term = cluster.term(1);

    until_the_lease_is_over(&mut cluster);
    let terms = [cluster.term(2), cluster.term(3)];
    cluster.elect(2);
    commit_among_the_others(&mut cluster, 2);

    assert_eq!(terms, [term, term], "no election was begun before");
    assert_serves_nothing_of_the_past(&mut cluster);
}

#[test]
fn a_leader_that_slept_through_its_lease_serves_nothing_by_it() {
    let mut cluster = cluster();
    cluster.put_to_sleep(1);
    cluster.elect(2);
    cluster.propose(2, "b").expect("the leader takes proposals");
    cluster.settle();
    cluster.isolate(1);

    let read = cluster.read(1);
    cluster.wake(1);

    assert!(!matches!(cluster.read_answer(read), Some(Ok(_))));
}

#[test]
fn a_voter_keeps_its_promise_although_it_hears_of_a_later_term() {
    let mut cluster = cluster();
    cluster.isolate(1);
    let later = Message {
        term: Term(cluster.term(2) + 1),
        body: Body::ReadIndex(ReadIndex { id: 1 }),
    };

    cluster.forge(3, 2, later);

    assert_votes_once_the_lease_is_over(&mut cluster, 2);
}

#[test]
fn a_voter_that_restarts_waits_as_long_as_it_may_have_promised() {
    let mut cluster = cluster();
    cluster.isolate(1);

    cluster.crash(2);
    cluster.restart(2);

    assert_votes_once_the_lease_is_over(&mut cluster, 2);
}

// A voter that did not wait after its restart elected a leader while the one before it still read by its lease.
#[test]
fn a_restarted_voter_elects_nobody_while_another_holds_a_lease() {
    let mut cluster = cluster_with_a_restarted_voter(settings());

    assert_serves_nothing_of_the_past(&mut cluster);

    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_restart_with_a_shorter_election_timeout_shortens_no_promise() {
    let mut cluster = cluster_with_a_restarted_voter(hasty().read_lease(lease()));

    assert_serves_nothing_of_the_past(&mut cluster);

    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_restart_without_leases_ends_no_promise() {
    let mut cluster = cluster_with_a_restarted_voter(hasty());

    assert_serves_nothing_of_the_past(&mut cluster);

    cluster.assert_one_leader_among([2, 3]);
}

// The first of two restarts stored what it would promise from then on, and the second waited for no more than that.
#[test]
fn two_quick_restarts_with_a_shorter_timeout_cut_no_wait_short() {
    let mut cluster = cluster_with_a_restarted_voter(hasty());
    let later = Term(cluster.term(2) + 1);
    let body = Body::ReadIndex(ReadIndex { id: 1 });
    cluster.forge(3, 2, Message { term: later, body });
    cluster.run_for(2 * DISK_LATENCY);
    assert_eq!(cluster.stored_hard_state(2).term, later);

    cluster.crash(2);
    cluster.restart(2);

    assert_serves_nothing_of_the_past(&mut cluster);
    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_shorter_promise_is_stored_when_the_longer_ones_are_over() {
    let mut cluster = cluster();
    // Its commit index is stored by then, with what it has promised.
    cluster.run_for(3 * HEARTBEAT);
    assert_eq!(cluster.stored_hard_state(2).promise, ELECTION_TIMEOUT);
    cluster.crash(2);
    cluster.configure(2, built(hasty().read_lease(lease())));
    cluster.restart(2);

    cluster.run_for(ELECTION_TIMEOUT / 2);
    let early = cluster.stored_hard_state(2).promise;
    cluster.run_for(ELECTION_TIMEOUT);
    let late = cluster.stored_hard_state(2).promise;

    assert_eq!([early, late], [ELECTION_TIMEOUT, ELECTION_TIMEOUT / 10]);
    cluster.assert_leader(1);
}

#[test]
fn a_longer_promise_is_told_once_it_is_on_disk() {
    let mut cluster = cluster();
    let longer = Timing::new(10 * ELECTION_TIMEOUT, HEARTBEAT).expect("it makes sense");
    cluster.hold_disk(2);
    cluster.set_timing(2, longer);
    cluster.forget_sent();

    cluster.run_for(2 * HEARTBEAT);
    let before = longest_promise_told(&cluster, 2);
    cluster.release_disk(2);
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(before, ELECTION_TIMEOUT);
    assert_eq!(longest_promise_told(&cluster, 2), 10 * ELECTION_TIMEOUT);
    assert_eq!(cluster.stored_hard_state(2).promise, 10 * ELECTION_TIMEOUT);
}

#[test]
fn a_blank_server_has_no_promise_to_wait_for() {
    let mut cluster = Cluster::with_leases(1, DRIFT_PPM);

    cluster.run_for(4 * DISK_LATENCY);

    cluster.assert_leader(1);
}

// The word to campaign may come late. A lease that was taken up again when the transfer had failed would outlive it.
#[test]
fn a_leader_that_tried_to_hand_over_reads_by_lease_no_more() {
    let mut cluster = cluster();
    cluster.hold(timeout_now());
    cluster.transfer(1, Some(3));
    cluster.run_for(2 * ELECTION_TIMEOUT);
    assert_eq!(cluster.transfer_results().len(), 1, "it was given up");

    cluster.let_pass();
    cluster.cut(2, 1);
    cluster.cut(3, 1);
    cluster.deliver_held();
    cluster.run_until("the successor leads", |cluster| cluster.leads(3));
    commit_among_the_others(&mut cluster, 3);

    assert_serves_nothing_of_the_past(&mut cluster);
}

#[test]
fn a_leader_that_has_told_another_to_campaign_serves_no_read_by_lease() {
    let mut cluster = cluster();
    cluster.isolate(3);
    cluster.run_for(HEARTBEAT);
    cluster.drop_all(appends());

    cluster.transfer(1, Some(3));
    let read = cluster.read(1);

    assert_eq!(cluster.read_answer(read), None);
}

#[test]
fn a_leader_whose_successor_still_catches_up_reads_by_lease() {
    let mut cluster = cluster();
    cluster.drop_all(entries().to(3));
    cluster.propose(1, "b").expect("it takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.transfer(1, Some(3));
    let read = cluster.read(1);

    cluster.assert_read_served(read);
    assert!(cluster.sent(timeout_now()).is_empty());
}

#[test]
fn a_lease_waits_until_the_leaders_term_has_committed() {
    let mut cluster = cluster();
    cluster.crash(1);
    cluster.drop_all(entries());
    cluster.elect(2);

    cluster.run_for(ELECTION_TIMEOUT / 2);
    let read = cluster.read(2);

    assert_eq!(cluster.read_answer(read), None);
}

#[test]
fn a_lease_needs_both_majorities_of_a_joint_configuration() {
    let mut cluster = cluster();
    cluster.add_blank(4);
    cluster.add_blank(5);
    let change = MembershipChange::add_voter(ServerId(4))
        .and(MembershipChange::add_voter(ServerId(5)))
        .and(MembershipChange::remove(ServerId(2)));
    cluster.change(1, change);
    cluster.run_until("it is joint", |cluster| {
        cluster.status(1).configuration.is_joint()
    });
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.run_for(ELECTION_TIMEOUT - HEARTBEAT / 4);

    let read = cluster.read(1);

    // Of {1, 3, 4, 5} a majority is heard, of {1, 2, 3} none.
    assert_eq!(cluster.read_answer(read), None);
}

#[test]
fn a_clock_that_goes_back_takes_the_lease_with_it() {
    let mut cluster = cluster();
    cluster.isolate(1);
    let before = cluster.read(1);

    cluster.set_clock_back(1, 10 * ELECTION_TIMEOUT);
    let after = cluster.read(1);

    cluster.assert_read_served(before);
    assert_eq!(cluster.read_answer(after), None);
}

#[test]
fn a_clock_that_went_back_does_not_cost_later_leases() {
    let mut cluster = cluster();
    cluster.set_clock_back(1, Duration::from_millis(1));
    cluster.run_for(2 * HEARTBEAT);

    let read = cluster.read(1);

    cluster.assert_read_served(read);
}

/// The answers arrive when the clock has caught up with what it had shown before.
#[test]
fn rounds_that_were_sent_while_the_clock_was_behind_give_no_lease() {
    let mut cluster = cluster();
    cluster.set_clock_back(1, 3 * ELECTION_TIMEOUT);
    cluster.hold(append_replies().to(1));
    cluster.read(1);
    cluster.run_for(ONE_COMMAND);

    cluster.isolate(1);
    cluster.run_for(7 * ELECTION_TIMEOUT / 2);
    let successor = cluster.leader().expect("the promises are over");
    commit_among_the_others(&mut cluster, successor);
    cluster.deliver_held();

    assert_serves_nothing_of_the_past(&mut cluster);
}
