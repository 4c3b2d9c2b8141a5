//! Traps of servers that answer and do not get on: their disks hang, or nothing but heartbeats reaches them.

use std::time::Duration;

use liferaft_raft::config::Limits;
use liferaft_raft::consensus::ChangeError;
use liferaft_raft::ids::ServerId;

use crate::cluster::changes::{add_learner, add_voter, remove};
use crate::cluster::filter::{chunks, chunks_with_data, entries};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id};
use crate::compaction::{one_left_behind, one_left_behind_within};

/// A joiner that echoed rounds while its disk hung was waited for until the leader changed, and no other change was
/// made.
#[test]
fn a_joiner_whose_disk_hangs_is_given_up() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, add_learner(4));
    cluster.settle();
    cluster.hold_disk(4);
    cluster.propose(1, "a").expect("the leader takes proposals");

    let promoted = cluster.change(1, add_voter(4));
    cluster.run_for(8 * ELECTION_TIMEOUT);
    let other = cluster.change(1, remove(3));
    cluster.settle();

    cluster.assert_change_refused(promoted, &ChangeError::TooSlow(ServerId(4)));
    cluster.assert_changed(other);
}

/// Frames that are longer than a link carries never arrive, and heartbeats do.
#[test]
fn a_joiner_that_only_heartbeats_reach_is_given_up() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.drop_all(entries().to(4));

    let added = cluster.change(1, add_voter(4));
    cluster.run_for(8 * ELECTION_TIMEOUT);

    cluster.assert_change_refused(added, &ChangeError::TooSlow(ServerId(4)));
}

/// It asks again and again how far the receiver has got, and is answered each time.
#[test]
fn a_joiner_that_no_chunk_with_data_reaches_is_given_up() {
    let mut cluster = compacted_to(10_000);
    cluster.add_blank(4);
    cluster.drop_all(chunks_with_data().to(4));

    let added = cluster.change(1, add_voter(4));
    cluster.run_for(8 * ELECTION_TIMEOUT);

    cluster.assert_change_refused(added, &ChangeError::TooSlow(ServerId(4)));
}

/// The snapshot is there as a whole, and never becomes durable.
#[test]
fn a_joiner_that_never_installs_its_snapshot_is_given_up() {
    let mut cluster = compacted_to(10_000);
    cluster.add_blank(4);
    let added = cluster.change(1, add_voter(4));
    cluster.run_until("the snapshot is on its way", |cluster| {
        !cluster.sent(chunks().to(4)).is_empty()
    });
    cluster.hold_disk(4);

    cluster.run_for(8 * ELECTION_TIMEOUT);

    cluster.assert_change_refused(added, &ChangeError::TooSlow(ServerId(4)));
}

/// Nothing is heard of the bytes on their way to the disk: what is large is given longer.
#[test]
fn a_joiner_that_installs_a_large_snapshot_is_waited_for() {
    let mut cluster = compacted_to(3 << 20);
    cluster.add_blank(4);
    let added = cluster.change(1, add_voter(4));
    cluster.run_until("the snapshot is on its way", |cluster| {
        !cluster.sent(chunks().to(4)).is_empty()
    });
    cluster.hold_disk(4);

    cluster.run_for(7 * ELECTION_TIMEOUT);
    assert_eq!(cluster.change_result(added), None);
    cluster.release_disk(4);
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_changed(added);
}

/// Each chunk that arrives is headway, however long all of them take.
#[test]
fn a_joiner_on_a_slow_link_is_waited_for() {
    let mut cluster = compacted_to(300_000);
    cluster.add_blank(4);
    cluster.narrow(1, 4, 40_000);

    let added = cluster.change(1, add_voter(4));
    let began = cluster.now();
    cluster.run_until("the change ends", |cluster| {
        cluster.change_result(added).is_some()
    });

    cluster.assert_changed(added);
    let took = cluster.now().since(began);
    assert!(took > 6 * ELECTION_TIMEOUT, "it took only {took:?}");
}

#[test]
fn a_voter_whose_disk_hangs_is_told_of_until_it_goes_on() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.hold_disk(3);
    cluster.propose(1, "a").expect("the leader takes proposals");

    cluster.run_for(3 * ELECTION_TIMEOUT);
    let hangs = stalled_for(&cluster, 3);
    cluster.release_disk(3);
    cluster.run_for(HEARTBEAT);
    let goes_on = stalled_for(&cluster, 3);

    assert!(hangs >= Some(2 * ELECTION_TIMEOUT), "{hangs:?}");
    assert_eq!(stalled_for(&cluster, 2), None);
    assert_eq!(goes_on, None);
}

/// What has arrived of a snapshot is no part of the log yet, and its writing may hang as any other.
#[test]
fn a_voter_whose_disk_hangs_over_a_snapshot_is_told_of() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.forget_sent();
    cluster.run_until("a snapshot is on its way", |cluster| {
        !cluster.sent(chunks().to(3)).is_empty()
    });
    cluster.hold_disk(3);

    cluster.run_for(3 * ELECTION_TIMEOUT);

    let hangs = stalled_for(&cluster, 3);
    assert!(hangs >= Some(2 * ELECTION_TIMEOUT), "{hangs:?}");
}

/// A receiver that acknowledged what had only arrived seemed to get on until no more fitted, and then to lack nothing.
#[test]
fn a_voter_whose_disk_hangs_amid_a_snapshot_is_told_of() {
    let window = |limits: &mut Limits| limits.inflight_bytes_max = 16;
    let mut cluster = one_left_behind_within(window);
    cluster.hold_lane(3);

    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    let hangs = stalled_for(&cluster, 3);
    assert!(hangs >= Some(2 * ELECTION_TIMEOUT), "{hangs:?}");
}

#[test]
fn a_voter_with_nothing_to_write_does_not_stall() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.hold_disk(3);

    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(stalled_for(&cluster, 3), None);
}

#[test]
fn a_slow_state_machine_is_no_stalled_disk() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.hold_apply(3);
    cluster.propose(1, "a").expect("the leader takes proposals");

    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(stalled_for(&cluster, 3), None);
}

/// Three servers whose log is compacted into a snapshot of so many bytes.
fn compacted_to(bytes: usize) -> Cluster {
    let mut cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 0).with_leader(1);
    let mut left = bytes;
    while left > 0 {
        let command = "x".repeat(left.min(1 << 20));
        left -= command.len();
        cluster.commit(1, &command);
    }
    cluster.take_snapshot(1);
    cluster.settle();
    cluster
}

#[track_caller]
fn stalled_for(cluster: &Cluster, id: Id) -> Option<Duration> {
    let peers = cluster.status(1).peers;
    let peer = peers.iter().find(|peer| peer.id == ServerId(id));
    peer.expect("it is a peer").disk_stalled_for
}
