//! Traps of the log: what cuts it, what is acknowledged, and what is committed.

use liferaft_raft::consensus::ProposeRefused;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::Body;
use liferaft_raft::time::ClusterTime;

use crate::cluster::filter::{append_replies, conflicts, entries};
use crate::cluster::forge::{append, command, position};
use crate::cluster::{Cluster, DISK_LATENCY, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

/// openraft 86e2ccd0: a cluster of one took its own word for its own disk.
#[test]
fn a_lone_voter_commits_nothing_that_its_disk_does_not_have() {
    let mut cluster = Cluster::of(1).with_leader(1);
    let commit = cluster.commit_index(1);
    cluster.hold_disk(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(3 * ELECTION_TIMEOUT);
    assert_eq!(cluster.commit_index(1), commit);
    cluster.assert_never_applied("a");
    cluster.release_disk(1);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([1], "a");
}

/// sailing 95e417f, openraft 71a290cd: what lies below the commit index, or in the snapshot, was taken for a conflict.
#[test]
fn entries_from_before_the_commit_index_or_the_snapshot_are_no_conflict() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 0).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    cluster.take_snapshot(3);
    cluster.settle();
    assert_eq!(cluster.last_index(3), 4);
    assert!(cluster.stored_terms(3).is_empty(), "all is in the snapshot");
    let term = cluster.term(1);
    let mut beyond = command(5, term, "c");
    beyond.stamp = ClusterTime(1 << 40);
    let entries = vec![
        command(2, term, "covered"),
        command(3, term, "covered"),
        command(4, term, "covered"),
        beyond,
    ];
    cluster.forget_sent();

    cluster.forge(1, 3, append(term, 1, position(1, 1), entries));
    cluster.run_for(DISK_LATENCY);

    assert_eq!(cluster.sent(conflicts().from(3)).len(), 0);
    assert_eq!(acknowledged(&cluster, 3).last(), Some(&5));
    assert_eq!(cluster.stored_terms(3), [term]);
}

/// etcd-raft 149: refusals that came late moved the leader's search back, below what it knew to match.
#[test]
fn refusals_that_come_late_and_backwards_undo_nothing() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2, 2, 4]), (2, &[1, 2, 2, 4]), (3, &[1, 3, 3])]);
    cluster.hold(conflicts().from(3));
    cluster.elect(1);
    cluster.run_for(HEARTBEAT);
    cluster.let_pass();
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.assert_same_logs([1, 2, 3]);
    let last = cluster.last_index(1);
    assert!(cluster.sent(conflicts().from(3)).len() >= 2);

    cluster.deliver_held_backwards();

    let peers = cluster.status(1).peers;
    let peer = peers.iter().find(|peer| peer.id == ServerId(3));
    let peer = peer.expect("it is a peer");
    assert_eq!(
        (peer.match_index, peer.next_index),
        (Index(last), Index(last + 1))
    );
}

/// The ABA race of etcd's asynchronous writes: the entry that a write began with is gone, and comes again in a later
/// write; the first write's end says nothing of it.
#[test]
fn an_entry_that_came_twice_is_acknowledged_when_its_second_write_is_done() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);
    let first = vec![command(3, 2, "a")];
    let again = first.clone();
    let between = vec![command(3, 3, "b")];
    cluster.forge(2, 1, append(2, 1, position(1, 2), first));
    cluster.forge(3, 1, append(3, 1, position(1, 2), between));
    // The last term is on the disk before the entry is, so that no answer waits for the term.
    cluster.forge(2, 1, append(4, 1, position(1, 2), vec![]));
    cluster.forge(2, 1, append(4, 2, position(1, 2), again));

    cluster.release_disk(1);
    cluster.run_for(3 * DISK_LATENCY);
    assert_eq!(cluster.stored_terms(1), [1, 1, 3], "three writes are done");
    assert_eq!(acknowledged(&cluster, 1).iter().max(), Some(&2));
    cluster.run_for(DISK_LATENCY);

    assert_eq!(cluster.stored_terms(1), [1, 1, 2]);
    assert_eq!(acknowledged(&cluster, 1).iter().max(), Some(&3));
}

/// §10.2.1: a leader may commit what its own disk does not have yet, but not forget that it must write it.
#[test]
fn a_leader_applies_nothing_that_its_own_disk_does_not_have() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    assert_eq!(cluster.commit_index(1), cluster.last_index(1));
    assert!(cluster.applied(1).is_empty());
    cluster.release_disk(1);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_everywhere("a");
}

/// etcd-raft 11: what was proposed to a leader that was deposed stayed counted when it led again.
#[test]
fn what_a_deposed_leader_had_uncommitted_is_not_counted_when_it_leads_again() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.uncommitted_bytes_max = 100).with_leader(1);
    cluster.isolate(1);
    cluster.propose(1, "lost").expect("there is room for one");
    cluster.elect(2);
    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);
    cluster.transfer(2, Some(1));
    cluster.settle();
    cluster.assert_leader(1);

    let first = cluster.propose(1, "a");
    let second = cluster.propose(1, "b");
    let third = cluster.propose(1, "c");

    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    assert!(matches!(third, Err(ProposeRefused::Busy { .. })));
}

/// etcd 10167: the entry with which a leader begins was refused for want of room, or room that predecessors had used
/// was given away a second time.
#[test]
fn a_leader_counts_what_it_inherits_and_begins_in_spite_of_it() {
    let mut cluster = Cluster::from_logs_with_limits([(1, &[2]), (2, &[2]), (3, &[])], |limits| {
        limits.uncommitted_bytes_max = 60;
    });
    cluster.drop_all(entries());
    cluster.elect(1);

    let refused = cluster.propose(1, "a");
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);
    let taken = cluster.propose(1, "b");

    assert!(matches!(refused, Err(ProposeRefused::Busy { .. })));
    assert!(taken.is_ok(), "{taken:?}");
    cluster.assert_applied_everywhere("2@2");
}

/// etcd's "tocommit out of range": a heartbeat's commit index went beyond what the follower shares with its leader.
#[test]
fn a_follower_takes_no_more_of_the_commit_index_than_it_knows_to_match() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2, 2]), (2, &[1, 2, 2]), (3, &[1, 1, 1])]);
    cluster.drop_all(entries().to(3));

    cluster.elect(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert!(cluster.commit_index(1) > 4);
    assert!(cluster.commit_index(3) <= 2);
    cluster.assert_never_applied("3@1");
}

/// raft-rs 506: what arrived together had another effect in another order.
#[test]
fn what_arrives_together_ends_the_same_in_any_order() {
    let story = |deliver: fn(&mut Cluster)| {
        let mut cluster = Cluster::of(3).with_leader(1);
        cluster.run_for(HEARTBEAT);
        cluster.hold(crate::cluster::filter::everything().to(3));
        cluster.propose(1, "a").expect("the leader takes proposals");
        cluster.run_for(LATENCY);
        cluster.propose(1, "b").expect("the leader takes proposals");
        cluster.run_for(ONE_COMMAND);
        cluster.let_pass();
        deliver(&mut cluster);
        cluster.run_for(ONE_COMMAND);
        let status = cluster.status(3);
        (status.last, status.commit, cluster.applied(3).to_vec())
    };

    let forwards = story(Cluster::deliver_held);
    let backwards = story(Cluster::deliver_held_backwards);

    assert_eq!(forwards.2, ["a", "b"]);
    assert_eq!(forwards, backwards);
}

/// The matches that a server has told, in order.
fn acknowledged(cluster: &Cluster, id: u128) -> Vec<u64> {
    let replies = cluster.sent(append_replies().from(id)).into_iter();
    replies
        .map(|message| match message.body {
            Body::AppendEntriesReply(reply) => reply.match_index.0,
            other => panic!("{other:?} is no answer to entries"),
        })
        .collect()
}
