//! Ten faults of Raft.js, the program that this one succeeds. It failed each of these.

use crate::cluster::filter::{append_replies, votes};
use crate::cluster::forge::{append, command, position, vote_request};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, LATENCY, ONE_COMMAND};

use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::ServerId;
use liferaft_raft::message::Body;

/// P1: with two servers, the leader's own log was taken for a majority.
#[test]
fn p1_one_of_two_servers_commits_nothing_alone() {
    let mut cluster = Cluster::of(2).with_leader(1);
    let commit = cluster.commit_index(1);
    cluster.isolate(2);

    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.commit_index(1), commit);
    cluster.assert_never_applied("a");
}

/// P2: every cluster of even size committed with half of its servers.
#[test]
fn p2_two_of_four_servers_commit_nothing() {
    let mut cluster = Cluster::of(4).with_leader(1);
    let commit = cluster.commit_index(1);
    cluster.isolate(3);
    cluster.isolate(4);

    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.commit_index(1), commit);
    cluster.assert_never_applied("a");
}

/// P3: indices were compared as text, so that of 11, 10 and 9 the first was committed by its server alone.
#[test]
fn p3_of_the_indices_9_10_and_11_the_middle_one_is_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    // The configuration and the first entry of the term come before.
    cluster.commit(1, "third");
    cluster.commit(1, "fourth");
    cluster.commit(1, "fifth");
    cluster.commit(1, "sixth");
    cluster.commit(1, "seventh");
    cluster.commit(1, "eighth");
    cluster.commit(1, "ninth");
    assert_eq!(cluster.last_index(1), 9);

    cluster.hold_disk(3);
    cluster
        .propose(1, "tenth")
        .expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.hold_disk(2);
    cluster
        .propose(1, "eleventh")
        .expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.last_index(1), 11);
    assert_eq!(cluster.commit_index(1), 10);
    cluster.assert_never_applied("eleventh");
}

/// P4: a candidate got a vote with a log of the same last term and fewer entries.
#[test]
fn p4_a_shorter_log_of_the_same_term_gets_no_vote() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);

    let answers = cluster.sent(votes().from(1).to(2));
    assert!(matches!(&answers[..], [answer]
        if matches!(&answer.body, Body::RequestVoteReply(reply) if !reply.granted)));
    assert_eq!(cluster.status(1).voted_for, None);
}

/// P5: an AppendEntries that was overtaken cut off what had been acknowledged since.
#[test]
fn p5_entries_that_come_late_cut_nothing_off() {
    let mut cluster = Cluster::from_logs([(1, &[]), (2, &[]), (3, &[])]);
    cluster.crash(2);
    cluster.crash(3);
    let (first, second) = (command(2, 2, "a"), command(3, 2, "b"));

    cluster.forge(
        2,
        1,
        append(2, 2, position(1, 1), vec![first.clone(), second]),
    );
    cluster.run_for(LATENCY);
    cluster.forge(2, 1, append(2, 1, position(1, 1), vec![first]));
    cluster.forge(2, 1, append(2, 1, position(1, 1), vec![]));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.last_index(1), 3);
    assert_eq!(cluster.stored_terms(1), [1, 2, 2]);
}

/// P6: a configuration that was cut off with its entry stayed in force.
#[test]
fn p6_a_configuration_goes_with_its_entry() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);
    cluster.change(1, MembershipChange::remove(ServerId(2)));
    assert_eq!(cluster.voters(1), [1, 3]);

    cluster.elect(2);
    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.voters(1), [1, 2, 3]);
}

/// P7: after a restart the stored log stood behind a fresh first entry, one place too far.
#[test]
fn p7_a_restart_moves_no_entry() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.commit(1, "a");
    let last = cluster.status(1).last;

    cluster.crash(1);
    cluster.hold_disk(1);
    cluster.restart(1);

    assert_eq!(cluster.status(1).last, last);
}

/// P8: a server that had won forgot its vote and could vote again in the same term.
#[test]
fn p8_a_leader_votes_for_nobody_else_in_its_term() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.forge(3, 1, vote_request(term, position(term, 100)));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.status(1).voted_for, Some(ServerId(1)));
    let granted = cluster
        .sent(votes().from(1).to(3))
        .into_iter()
        .any(|answer| matches!(&answer.body, Body::RequestVoteReply(reply) if reply.granted));
    assert!(!granted);
}

/// P9: of two replies, the second left while the write that it depended on was under way.
#[test]
fn p9_a_reply_does_not_overtake_its_write() {
    let mut cluster = Cluster::from_logs([(1, &[]), (2, &[]), (3, &[])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, append(2, 1, position(1, 1), vec![command(2, 2, "a")]));
    cluster.run_for(ELECTION_TIMEOUT / 10);
    cluster.hold_disk(1);
    cluster.forge(2, 1, append(2, 2, position(2, 2), vec![command(3, 2, "b")]));
    cluster.run_for(ELECTION_TIMEOUT / 10);

    let acknowledged =
        cluster
            .sent(append_replies().from(1))
            .into_iter()
            .map(|answer| match answer.body {
                Body::AppendEntriesReply(reply) => reply.match_index.0,
                other => panic!("{other:?} is no answer to entries"),
            });
    assert_eq!(acknowledged.max(), Some(2));
}

/// P10: a read that was to be served from the leader's state raised an error instead.
#[test]
fn p10_a_read_is_served() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");

    let read = cluster.read(1);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_read_served(read);
}
