//! §6.4, linearizable reads without the log.

use std::time::Duration;

use liferaft_raft::consensus::{MembershipChange, ReadRefused};
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{append_replies, appends, entries, read_questions, read_refusals};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND, forge};

#[test]
fn a_read_at_the_leader_sees_what_was_committed_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let committed = cluster.commit_index(1);

    let read = cluster.read(1);
    cluster.run_for(ONE_COMMAND);

    assert!(cluster.assert_read_served(read).0 >= committed);
}

#[test]
fn a_read_at_a_follower_sees_what_was_committed_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(appends().to(3));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    let committed = cluster.commit_index(1);
    assert!(cluster.commit_index(3) < committed);

    let read = cluster.read(3);
    cluster.run_for(ONE_COMMAND);

    assert!(cluster.assert_read_served(read).0 >= committed);
}

#[test]
fn a_read_at_a_learner_is_as_good() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();

    let read = cluster.read(4);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_read_served(read);
}

#[test]
fn a_read_writes_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let last = cluster.last_index(1);

    cluster.read(1);
    cluster.read(2);
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.last_index(1), last);
}

#[test]
fn a_lone_voter_reads_at_once() {
    let mut cluster = Cluster::of(1).with_leader(1);

    let read = cluster.read(1);

    cluster.assert_read_served(read);
}

#[test]
fn a_leader_that_was_cut_off_serves_no_read() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);

    let read = cluster.read(1);
    cluster.elect(2);
    cluster
        .propose(2, "unseen")
        .expect("the leader takes proposals");
    cluster.run_for(4 * ELECTION_TIMEOUT);

    let answer = cluster.read_answer(read);
    assert!(
        matches!(answer, Some(Err(ReadRefused::NotLeader { .. }))),
        "{answer:?}"
    );
}

#[test]
fn a_read_waits_until_the_leaders_term_has_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.drop_all(entries());
    cluster.elect(2);

    // Heartbeats are answered all the time: server 2 leads for certain, and knows nothing for certain.
    let read = cluster.read(2);
    cluster.run_for(ELECTION_TIMEOUT / 2);
    assert_eq!(cluster.read_answer(read), None);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT / 2);

    cluster.assert_read_served(read);
}

#[test]
fn acknowledgements_from_before_a_read_do_not_confirm_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold(append_replies());
    cluster.run_for(ELECTION_TIMEOUT / 2);

    let read = cluster.read(1);
    cluster.deliver_held();

    assert_eq!(cluster.read_answer(read), None);
}

#[test]
fn doubled_acknowledgements_do_not_confirm_a_later_read() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.double(append_replies());
    let first = cluster.read(1);
    cluster.run_until("it is served", |cluster| {
        cluster.read_answer(first).is_some()
    });
    cluster.drop_all(appends());

    // What still travels answers the first read's round.
    let second = cluster.read(1);
    cluster.isolate(1);
    cluster.run_for(ELECTION_TIMEOUT / 4);

    cluster.assert_read_served(first);
    assert_eq!(cluster.read_answer(second), None);
}

#[test]
fn a_read_does_not_wait_for_disks() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(1);
    cluster.hold_disk(2);
    cluster.hold_disk(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    let read = cluster.read(1);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_read_served(read);
}

#[test]
fn a_read_whose_round_was_lost_is_confirmed_by_a_later_one() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_next(appends().to(2));
    cluster.drop_next(appends().to(3));

    let read = cluster.read(1);
    cluster.run_for(ELECTION_TIMEOUT / 2);

    cluster.assert_read_served(read);
}

// With exactly a quorum alive and a fifth of all messages lost, each read took several heartbeats: the round that it
// waited for was only followed by another with the next heartbeat.
#[test]
fn a_round_that_reads_wait_for_is_begun_anew_within_a_round_trip_or_two() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(2 * HEARTBEAT + HEARTBEAT / 8);
    cluster.drop_next(appends().to(2));
    cluster.drop_next(appends().to(3));

    let read = cluster.read(1);
    cluster.run_for(HEARTBEAT / 4);

    cluster.assert_read_served(read);
}

// A read that waited for the others' echoes when the last of them was removed was never confirmed: nobody was left to
// echo anything. Enough of them, and the leader was busy for ever.
#[test]
fn a_read_does_not_wait_for_servers_that_were_removed_meanwhile() {
    let mut cluster = Cluster::of(2).with_leader(1);
    cluster.drop_all(append_replies());

    let read = cluster.read(1);
    cluster.change(1, MembershipChange::remove(ServerId(2)));
    cluster.run_for(2 * HEARTBEAT);

    cluster.assert_read_served(read);
}

#[test]
fn a_followers_read_that_was_lost_is_asked_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.cut(2, 1);

    let read = cluster.read(2);
    cluster.run_for(ONE_COMMAND);
    assert_eq!(cluster.read_answer(read), None);
    cluster.mend(1, 2);
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_read_served(read);
}

#[test]
fn a_server_that_knows_no_leader_refuses_to_read() {
    let mut cluster = Cluster::of(3);

    let read = cluster.read(1);

    let refused = Err(ReadRefused::NotLeader { leader: None });
    assert_eq!(cluster.read_answer(read), Some(&refused));
}

#[test]
fn the_reads_that_wait_are_bounded() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.reads_max = 2).with_leader(1);
    cluster.isolate(1);

    cluster.read(1);
    cluster.read(1);
    let refused = cluster.read(1);

    assert_eq!(
        cluster.read_answer(refused),
        Some(&Err(ReadRefused::Busy { waiting: 2 }))
    );
}

#[test]
fn many_reads_share_a_round() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(ELECTION_TIMEOUT);
    let first = cluster.read(2);
    let second = cluster.read(2);
    let third = cluster.read(3);

    cluster.run_for(ONE_COMMAND);

    cluster.assert_read_served(first);
    cluster.assert_read_served(second);
    cluster.assert_read_served(third);
}

#[test]
fn a_joint_configuration_confirms_reads_by_both_majorities() {
    let mut cluster = Cluster::of(3).with_leader(3);
    cluster.add_blank(4);
    cluster.add_blank(5);
    let change = MembershipChange::add_voter(ServerId(4))
        .and(MembershipChange::add_voter(ServerId(5)))
        .and(MembershipChange::remove(ServerId(1)));
    cluster.change(3, change);
    cluster.run_until("it is joint", |cluster| {
        cluster.status(3).configuration.is_joint()
    });
    cluster.isolate(1);
    cluster.isolate(2);

    let read = cluster.read(3);
    cluster.run_for(ELECTION_TIMEOUT / 4);

    // {2, 3, 4, 5} has a majority, {1, 2, 3} has none.
    assert_eq!(cluster.read_answer(read), None);
}

#[test]
fn a_followers_read_that_was_lost_is_asked_again_before_the_next_heartbeat() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.forget_sent();
    cluster.run_until("there was a heartbeat", |cluster| {
        !cluster.sent(appends()).is_empty()
    });
    cluster.run_for(2 * LATENCY);
    cluster.drop_next(read_questions());

    let read = cluster.read(2);
    cluster.run_for(HEARTBEAT / 4 - LATENCY);
    cluster.read(2);
    assert_eq!(cluster.sent(read_questions()).len(), 2, "not too soon");
    cluster.run_for(8 * LATENCY);

    cluster.assert_read_served(read);
}

/// A slow link: a round trip takes three heartbeats.
const SLOW: Duration = Duration::from_millis(300);

// It was asked 13 times.
#[test]
fn a_read_over_a_slow_link_is_asked_for_once_or_twice() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.slow_down(1, 2, SLOW);
    cluster.slow_down(2, 1, SLOW);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.forget_sent();

    let first = cluster.read(2);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.assert_read_served(first);
    let asked = cluster.sent(read_questions()).len();
    cluster.forget_sent();
    let second = cluster.read(2);
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_read_served(second);
    assert!(asked <= 2, "the first was asked for {asked} times");
    assert_eq!(cluster.sent(read_questions()).len(), 1);
}

// Each of 200 requests was repeated every 50 ms: 40,700 messages in ten seconds.
#[test]
fn only_the_newest_of_many_requests_to_read_is_repeated() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.drop_all(entries());
    cluster.elect(2);
    cluster.settle();
    cluster.forget_sent();

    let reads: Vec<_> = (0..200).map(|_| cluster.read(3)).collect();
    cluster.run_for(10 * ELECTION_TIMEOUT);
    let asked = cluster.sent(read_questions()).len();
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    assert!(asked <= 260, "{asked} requests");
    for read in reads {
        cluster.assert_read_served(read);
    }
}

#[test]
fn the_answer_to_a_request_answers_those_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_next(read_questions());

    let lost = cluster.read(2);
    let next = cluster.read(2);
    cluster.run_for(4 * LATENCY);

    cluster.assert_read_served(lost);
    cluster.assert_read_served(next);
}

#[test]
fn the_answer_to_a_request_answers_none_after_it() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let first = cluster.read(2);
    cluster.run_for(2 * LATENCY);
    cluster.cut(2, 1);
    let second = cluster.read(2);
    cluster.run_for(4 * LATENCY);

    cluster.assert_read_served(first);
    assert_eq!(cluster.read_answer(second), None);
}

#[test]
fn a_leader_repeats_no_round_for_reads_before_it_can_be_echoed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.slow_down_all(SLOW);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.forget_sent();
    cluster.run_until("there was a heartbeat", |cluster| {
        !cluster.sent(appends()).is_empty()
    });
    cluster.run_for(HEARTBEAT / 4);
    cluster.forget_sent();

    let read = cluster.read(1);
    cluster.run_for(2 * HEARTBEAT + HEARTBEAT / 4);
    let sent = cluster.sent(appends().to(2)).len();
    cluster.run_for(HEARTBEAT);

    cluster.assert_read_served(read);
    assert_eq!(sent, 3, "the read's round and two heartbeats");
}

#[test]
fn room_for_a_followers_reads_returns_with_their_answers() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.reads_max = 2).with_leader(1);
    let (first, second) = (cluster.read(2), cluster.read(2));
    let over = cluster.read(2);
    cluster.run_for(ONE_COMMAND);

    let (third, fourth) = (cluster.read(2), cluster.read(2));
    cluster.run_for(ONE_COMMAND);

    let busy = Some(&Err(ReadRefused::Busy { waiting: 2 }));
    assert_eq!(cluster.read_answer(over), busy);
    for read in [first, second, third, fourth] {
        cluster.assert_read_served(read);
    }
}

#[test]
fn a_read_that_a_follower_asked_for_is_answered_when_its_leader_is_lost() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);

    let read = cluster.read(2);
    cluster.elect(3);

    let leader = Some(ServerId(3));
    let refused = cluster.read_answer(read);
    assert!(
        refused == Some(&Err(ReadRefused::NotLeader { leader }))
            || refused == Some(&Err(ReadRefused::NotLeader { leader: None })),
        "{refused:?}"
    );
}

#[test]
fn a_server_that_does_not_lead_tells_others_that_it_confirms_no_reads() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(2);

    cluster.forge(3, 2, forge::read_index(term, 7));
    cluster.forge(3, 2, forge::read_index(term - 1, 8));

    assert_eq!(cluster.sent(read_refusals().from(2).to(3)).len(), 2);
}
