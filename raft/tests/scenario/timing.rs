//! §3.9, timing and availability, and clocks that leap.

use std::time::Duration;

use liferaft_raft::config::Timing;
use liferaft_raft::consensus::Event;

use crate::cluster::filter::{appends, vote_requests};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

#[test]
fn a_leader_that_is_heard_is_never_replaced() {
    let mut cluster = Cluster::of(5).with_leader(1);
    let term = cluster.term(1);

    cluster.run_for(Duration::from_secs(600));

    cluster.assert_leader(1);
    assert_eq!(cluster.term(5), term);
}

#[test]
fn a_new_leader_is_there_soon_after_the_old_one_fell_silent() {
    let mut cluster = Cluster::of(5).with_leader(1);
    let since = cluster.now();

    cluster.crash(1);
    cluster.elect_any();

    let took = cluster.now().since(since);
    assert!(took < 3 * ELECTION_TIMEOUT, "{took:?}");
}

#[test]
fn an_idle_leader_speaks_once_in_each_heartbeat_interval() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.forget_sent();

    cluster.run_for(10 * HEARTBEAT);

    let heartbeats = cluster.sent(appends().to(2)).len();
    assert!((9..=11).contains(&heartbeats), "{heartbeats} heartbeats");
}

#[test]
fn nobody_campaigns_before_an_election_timeout_has_passed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let since = cluster.now();

    cluster.crash(1);
    cluster.elect_any();

    let first = cluster
        .first_sent_after(vote_requests(), since)
        .expect("there was an election");
    assert!(first >= ELECTION_TIMEOUT - HEARTBEAT, "{first:?}");
}

#[test]
fn latency_well_below_the_election_timeout_does_no_harm() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.slow_down(1, 2, ELECTION_TIMEOUT / 4);
    cluster.slow_down(2, 1, ELECTION_TIMEOUT / 4);
    cluster.slow_down(1, 3, ELECTION_TIMEOUT / 4);
    cluster.slow_down(3, 1, ELECTION_TIMEOUT / 4);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(20 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("a");
    cluster.assert_leader(1);
    assert_eq!(cluster.term(1), term);
}

#[test]
fn a_follower_that_wakes_hears_its_leader_before_it_suspects_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.put_to_sleep(3);
    cluster.run_for(20 * ELECTION_TIMEOUT);
    cluster.wake(3);
    cluster.run_for(5 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!(cluster.term(3), term);
}

#[test]
fn a_leap_of_the_clock_defers_one_election_and_no_more() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(2);
    cluster.put_to_sleep(2);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.wake(2);
    assert!(cluster.sent(vote_requests().from(2)).is_empty());
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert!(!cluster.sent(vote_requests().from(2)).is_empty());
    let deferred = cluster
        .events(2)
        .filter(|event| **event == Event::ElectionDeferred);
    assert_eq!(deferred.count(), 1);
}

#[test]
fn a_leader_that_slept_serves_nothing_until_it_is_heard_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.put_to_sleep(1);
    cluster.elect(2);
    cluster.propose(2, "b").expect("the leader takes proposals");
    cluster.settle();

    let read = cluster.read(1);
    cluster.wake(1);
    cluster.run_for(3 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
    cluster.assert_follower(1);
    assert!(
        cluster.read_answer(read).is_some(),
        "the read is answered, if only refused"
    );
}

#[test]
fn the_times_can_change_while_a_server_runs() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let shorter = Timing::new(ELECTION_TIMEOUT / 10, HEARTBEAT / 10).expect("it makes sense");

    cluster.set_timing(1, shorter);
    cluster.set_timing(2, shorter);
    cluster.set_timing(3, shorter);
    cluster.settle();
    cluster.assert_leader(1);
    let since = cluster.now();
    cluster.crash(1);
    cluster.elect_any();

    let took = cluster.now().since(since);
    assert!(took < ELECTION_TIMEOUT / 2, "{took:?}");
}

#[test]
fn the_same_story_ends_the_same_way() {
    let story = || {
        let mut cluster = Cluster::of(5).over_a_bad_network(3);
        let leader = cluster.elect_any();
        cluster
            .propose(leader, "a")
            .expect("the leader takes proposals");
        cluster.run_for(5 * ELECTION_TIMEOUT + LATENCY);
        format!("{cluster:?}")
    };

    assert_eq!(story(), story());
}

#[test]
fn a_server_that_waits_for_a_leader_waits_no_longer_than_the_changed_times_say() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let shorter = Timing::new(ELECTION_TIMEOUT / 10, HEARTBEAT / 10).expect("it makes sense");
    cluster.crash(1);
    let since = cluster.now();

    cluster.set_timing(2, shorter);
    cluster.set_timing(3, shorter);
    cluster.elect_any();

    let first = cluster.first_sent_after(vote_requests(), since);
    let first = first.expect("there was an election");
    assert!(first >= 2 * HEARTBEAT / 10, "{first:?}");
    assert!(first <= 2 * ELECTION_TIMEOUT / 10, "{first:?}");
}

#[test]
fn cluster_time_goes_on_as_long_as_a_quorum_is_heard() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let (before, since) = (cluster.last_stamp(1), cluster.now());

    cluster.run_for(20 * ELECTION_TIMEOUT);
    cluster.commit(1, "b");

    let counted = cluster.last_stamp(3).since(before);
    let took = cluster.now().since(since);
    assert!(
        counted.abs_diff(took) <= 2 * ONE_COMMAND,
        "{counted:?} of {took:?}"
    );
}

#[test]
fn a_leader_that_is_told_to_marks_cluster_time_when_it_said_that_it_would_be_due() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let at = cluster.last_stamp(1) + 3 * ELECTION_TIMEOUT;
    assert_eq!(cluster.time_mark_in(2, at), None, "it does not lead");

    let wait = cluster.time_mark_in(1, at).expect("it leads");
    assert!(wait > 2 * ELECTION_TIMEOUT, "{wait:?}");
    cluster.run_for(wait);
    assert_eq!(cluster.time_mark_in(1, at), Some(Duration::ZERO));
    cluster.mark_time(1);

    assert!(cluster.last_stamp(1) >= at);
    assert!(cluster.last_stamp(1).since(at) < ONE_COMMAND);
}

#[test]
fn servers_that_were_awake_defer_no_election() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.crash(1);
    cluster.elect_any();

    let deferred = |id| {
        let mut events = cluster.events(id);
        events.any(|event| *event == Event::ElectionDeferred)
    };
    assert!(!deferred(2) && !deferred(3));
}

#[test]
fn answers_that_take_most_of_an_election_timeout_keep_a_leader_in_office() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    for other in [2, 3] {
        cluster.slow_down(1, other, ELECTION_TIMEOUT * 7 / 20);
        cluster.slow_down(other, 1, ELECTION_TIMEOUT * 7 / 20);
    }

    cluster.run_for(20 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!(cluster.term(1), term);
}
