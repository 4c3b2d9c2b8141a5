//! Traps of snapshots, and of starting again from what is stored.

use bytes::Bytes;
use liferaft_raft::config::{Config, Limits};
use liferaft_raft::consensus::{HardState, Raft, Recovered, RecoveryError, Refusal};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::message::{Body, InstallSnapshot};
use liferaft_raft::time::Instant;

use crate::cluster::filter::chunk_replies;
use crate::cluster::forge::{chunk, command, position, snapshot};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY};

fn all_at_once(limits: &mut Limits) {
    limits.trailing_entries = 0;
}

/// Three servers; 1 and 2 have all in snapshots, and 3 has missed it.
fn one_left_behind() -> Cluster {
    let mut cluster = Cluster::with_limits(3, all_at_once).with_leader(1);
    cluster.isolate(3);
    cluster
        .propose(1, "first")
        .expect("the leader takes proposals");
    cluster
        .propose(1, "second")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.take_snapshot(2);
    cluster.settle();
    cluster
}

/// hashicorp 1.4: the log had a gap behind a snapshot, and nobody noticed before it was read.
#[test]
fn a_server_does_not_start_from_a_log_with_a_gap() {
    let recovered = Recovered {
        hard_state: HardState {
            term: Term(2),
            ..HardState::default()
        },
        entries: vec![command(1, 1, "a"), command(3, 2, "c")],
        ..Recovered::default()
    };
    let config = Config::builder().build().expect("the settings make sense");

    let refused = Raft::new(ServerId(1), config, recovered, Instant::ORIGIN, 7);

    let gap = RecoveryError::Gap {
        after: Index(1),
        found: Index(3),
    };
    assert_eq!(refused.err(), Some(gap));
}

/// sailing's orphaned log: what was before the log is gone, so what is left of it is worth nothing.
#[test]
fn a_server_does_not_start_from_a_log_that_lost_its_snapshot() {
    let recovered = Recovered {
        hard_state: HardState {
            term: Term(2),
            ..HardState::default()
        },
        entries: vec![command(5, 2, "e"), command(6, 2, "f")],
        ..Recovered::default()
    };
    let config = Config::builder().build().expect("the settings make sense");

    let refused = Raft::new(ServerId(1), config, recovered, Instant::ORIGIN, 7);

    let gap = RecoveryError::Gap {
        after: Index::ZERO,
        found: Index(5),
    };
    assert_eq!(refused.err(), Some(gap));
}

/// sailing's contract of chunks: two leaders' snapshots of one entry and one length need not be the same bytes.
#[test]
fn chunks_of_two_leaders_snapshots_are_not_mixed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let whole = |text| snapshot(term, position(term, 90), [1, 2, 3], text);
    let one = part(whole("aaaabbbb"), 0..4);
    let other = part(whole("AAAABBBB"), 4..8);
    cluster.forge(1, 3, chunk(term, one));
    cluster.run_for(LATENCY);
    cluster.isolate(3);
    cluster.crash(1);
    cluster.forget_sent();

    cluster.forge(2, 3, chunk(term + 1, other));
    cluster.run_for(LATENCY);

    assert_eq!(arrived(&cluster, 3), [0]);
    assert_eq!(cluster.stored_snapshot(3), None);
}

/// The same for two snapshots of one leader: the transfer tells them apart, and a transfer is of one snapshot only.
#[test]
fn chunks_of_two_transfers_are_not_mixed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let whole = |text| snapshot(term, position(term, 90), [1, 2, 3], text);
    let one = part(whole("aaaabbbb"), 0..4);
    let mut other = part(whole("AAAABBBB"), 4..8);
    cluster.isolate(3);
    cluster.forge(1, 3, chunk(term, one));
    cluster.forget_sent();

    cluster.forge(1, 3, chunk(term, other.clone()));
    other.transfer = 2;
    cluster.forge(1, 3, chunk(term, other));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.refused(3, Refusal::BadSnapshot), 1);
    assert_eq!(arrived(&cluster, 3), [0, 0]);
    assert_eq!(cluster.stored_snapshot(3), None);
}

/// etcd-raft 110: the word that the snapshot was installed got lost, and the follower was sent nothing more.
#[test]
fn any_acknowledgement_of_what_a_snapshot_covers_ends_its_transfer() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunk_replies());

    cluster.run_for(ELECTION_TIMEOUT);
    cluster
        .propose(1, "third")
        .expect("the leader takes proposals");
    cluster.settle();

    assert_eq!(cluster.applied(3), ["first", "second", "third"]);
}

/// convex 145: what is applied was guessed from what is committed, and the state machine skipped what lay between.
#[test]
fn after_a_restart_a_server_applies_from_its_snapshot_on() {
    let mut cluster = Cluster::with_limits(3, all_at_once).with_leader(1);
    cluster.commit(1, "a");
    cluster.take_snapshot(2);
    cluster.settle();
    cluster.commit(1, "b");
    let covered = cluster.stored_snapshot(2).expect("it has a snapshot");
    cluster.crash(2);
    cluster.isolate(2);

    cluster.restart(2);
    cluster.run_for(LATENCY);
    let status = cluster.status(2);
    assert_eq!((status.applied.0, status.commit.0), (covered, covered));
    assert!(status.last.index.0 > covered);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(2), ["a", "b"]);
}

/// etcd's lower-term branch: a write that ends in a later term is stale for entries, and not for a snapshot.
#[test]
fn a_snapshot_that_reaches_the_disk_in_a_later_term_counts() {
    let mut cluster = one_left_behind();
    cluster.hold_disk(3);
    cluster.heal();
    cluster.run_for(HEARTBEAT);
    let term = cluster.term(3);
    cluster.crash(1);
    cluster.run_until("the term is over", |cluster| cluster.term(3) > term);
    cluster.drop_all(crate::cluster::filter::chunks());

    cluster.release_disk(3);
    cluster.elect_any();
    cluster.run_for(ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), ["first", "second"]);
    cluster.assert_same_logs([2, 3]);
}

/// Some of a snapshot's only chunk.
fn part(mut whole: InstallSnapshot, range: std::ops::Range<usize>) -> InstallSnapshot {
    whole.offset = range.start as u64;
    whole.data = Bytes::copy_from_slice(&whole.data[range]);
    whole
}

/// How much of a snapshot a server has said to have, answer by answer.
fn arrived(cluster: &Cluster, id: u128) -> Vec<u64> {
    let replies = cluster.sent(chunk_replies().from(id)).into_iter();
    replies
        .map(|message| match message.body {
            Body::InstallSnapshotReply(reply) => reply.next_offset,
            other => panic!("{other:?} is no answer to a chunk"),
        })
        .collect()
}
