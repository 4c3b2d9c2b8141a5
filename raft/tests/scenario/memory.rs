//! Logs of which no more is held in memory than must be: the rest is read from storage when it is needed.

use liferaft_raft::config::Limits;
use liferaft_raft::consensus::EntriesReader;
use liferaft_raft::entry::{ENTRY_MEMORY_BYTES, ENTRY_OVERHEAD_BYTES};
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{chunks, entries, vote_requests};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id, ONE_COMMAND};

/// The indexes of no entry.
const NOTHING: [u64; 0] = [];

/// Nothing is held that is committed and stored, and nothing stays behind a snapshot.
fn nothing_held(limits: &mut Limits) {
    limits.log_memory_bytes_max = 0;
    limits.trailing_entries = 0;
}

/// The same, with a state machine that is handed one entry at a time.
fn nothing_held_one_by_one(limits: &mut Limits) {
    nothing_held(limits);
    limits.applying_bytes_max = 1;
}

/// The same, with messages of one entry.
fn nothing_held_short_messages(limits: &mut Limits) {
    nothing_held(limits);
    limits.append_bytes_max = 1;
}

/// Three servers; 1 leads, and 3 lacks three commands that 1 does not hold in memory any more.
fn one_behind(limit: impl Fn(&mut Limits)) -> Cluster {
    let mut cluster = Cluster::with_limits(3, limit).with_leader(1);
    cluster.isolate(3);
    propose(&mut cluster, 1, &["a", "b", "c"]);
    cluster.settle();
    assert_eq!(cluster.in_memory(1), NOTHING);
    cluster
}

fn propose(cluster: &mut Cluster, leader: Id, commands: &[&str]) {
    for command in commands {
        let taken = cluster.propose(leader, command);
        taken.expect("the leader takes proposals");
    }
}

#[test]
fn entries_leave_memory_once_they_are_committed_and_stored() {
    let mut cluster = Cluster::with_limits(3, nothing_held).with_leader(1);
    cluster.commit(1, "a");
    cluster.settle();
    assert_eq!(
        [cluster.in_memory(1), cluster.in_memory(2)],
        [NOTHING, NOTHING]
    );

    cluster.hold_disk(1);
    cluster.drop_all(entries().to(3));
    propose(&mut cluster, 1, &["b"]);
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.in_memory(1), [4], "2 alone has stored it");
    cluster.let_pass();
    cluster.run_for(HEARTBEAT);
    assert_eq!(cluster.commit_index(1), 4);
    assert_eq!(cluster.in_memory(1), [4], "it is not on its own disk");
    assert_eq!(cluster.in_memory(3), NOTHING, "it is on this one");
}

#[test]
fn no_more_is_held_in_memory_than_allowed() {
    let entry = ENTRY_MEMORY_BYTES + 1;
    let mut cluster = Cluster::with_limits(3, |limits| {
        limits.log_memory_bytes_max = 2 * entry + entry / 2;
    })
    .with_leader(1);

    propose(&mut cluster, 1, &["a", "b", "c", "d"]);
    cluster.settle();

    assert_eq!(
        [cluster.in_memory(1), cluster.in_memory(3)],
        [[5, 6], [5, 6]]
    );
    assert_eq!(cluster.last_index(1), 6);
    assert!(cluster.log_bytes(1) > 6 * ENTRY_OVERHEAD_BYTES, "all of it");
}

#[test]
fn a_follower_that_lacks_evicted_entries_is_sent_them_from_storage() {
    let mut cluster = one_behind(nothing_held_short_messages);
    cluster.forget_sent();

    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
    cluster.assert_same_logs([1, 2, 3]);
    assert_eq!(cluster.sent(entries().to(3)).len(), 3);
    assert!(cluster.sent(chunks()).is_empty());
}

#[test]
fn what_a_leader_appends_follows_what_it_reads_from_storage() {
    let mut cluster = one_behind(nothing_held_short_messages);
    cluster.hold_reads(1);
    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);
    propose(&mut cluster, 1, &["d"]);
    cluster.run_for(ONE_COMMAND);
    assert!(cluster.applied(3).is_empty());

    cluster.release_reads(1);
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
}

#[test]
fn a_leader_is_heard_while_its_storage_hangs_over_a_read() {
    let mut cluster = one_behind(nothing_held);
    cluster.hold_reads(1);
    cluster.heal();
    cluster.run_for(HEARTBEAT);
    cluster.forget_sent();

    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert!(cluster.sent(vote_requests()).is_empty());
    cluster.assert_leader(1);
    let held = cluster.reads_held(1);
    assert_eq!(held.len(), 1, "one read at a time: {held:?}");
    assert_eq!(held[0].whose, EntriesReader::Peer(ServerId(3)));
}

#[test]
fn a_read_that_is_answered_after_compaction_leads_to_a_snapshot() {
    let mut cluster = one_behind(nothing_held);
    cluster.hold_reads(1);
    cluster.heal();
    cluster.run_for(HEARTBEAT);
    assert_eq!(cluster.reads_held(1).len(), 1);
    cluster.take_snapshot(1);
    cluster.run_for(HEARTBEAT / 2);
    assert!(cluster.stored_terms(1).is_empty());

    cluster.release_reads(1);
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
    assert!(!cluster.sent(chunks().to(3)).is_empty());
}

#[test]
fn a_server_that_starts_again_applies_from_storage() {
    let mut cluster = Cluster::with_limits(3, nothing_held_one_by_one).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    cluster.commit(1, "c");
    cluster.crash(2);
    cluster.commit(1, "d");

    cluster.restart(2);
    cluster.hold_reads(2);
    cluster.run_for(HEARTBEAT);
    let waiting = cluster.reads_held(2).len();
    cluster.release_reads(2);
    cluster.run_for(HEARTBEAT);

    assert_eq!(waiting, 1);
    assert_eq!(cluster.applied(2), ["a", "b", "c", "d"]);
    assert_eq!(cluster.in_memory(2), NOTHING);
}

/// The snapshot is not durable when the answer comes, and the state machine has not restored it.
#[test]
fn what_was_read_of_a_log_that_a_snapshot_replaced_is_not_applied() {
    let mut cluster = Cluster::with_limits(3, nothing_held_one_by_one).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    cluster.crash(2);
    cluster.commit(1, "c");
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.restart(2);
    cluster.hold_reads(2);
    cluster.hold_disk(2);
    cluster.run_for(2 * HEARTBEAT);
    let end = cluster.last_index(1);
    let (waiting, replaced) = (cluster.reads_held(2).len(), cluster.last_index(2) == end);
    cluster.release_reads(2);
    cluster.run_for(HEARTBEAT);
    assert!(cluster.applied(2).is_empty());
    cluster.release_disk(2);
    cluster.commit(1, "d");

    assert!(waiting == 1 && replaced);
    assert_eq!(cluster.applied(2), ["a", "b", "c", "d"]);
}

/// Another leader's snapshot takes the place of the log that a read for a peer is of, and the server leads again.
#[test]
fn what_a_deposed_leader_reads_is_not_sent_when_it_leads_again() {
    let mut cluster = one_behind(nothing_held);
    cluster.hold_reads(1);
    cluster.mend(1, 3);
    cluster.run_for(HEARTBEAT);
    assert_eq!(cluster.reads_held(1).len(), 1);
    cluster.isolate(1);
    cluster.mend(2, 3);
    cluster.elect(2);
    propose(&mut cluster, 2, &["d", "e"]);
    cluster.settle();
    cluster.take_snapshot(2);
    cluster.settle();
    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);
    assert_eq!(cluster.applied(1).len(), 5);
    cluster.isolate(3);
    cluster.transfer(2, Some(1));
    cluster.settle();
    propose(&mut cluster, 1, &["f"]);
    cluster.settle();
    cluster.heal();
    cluster.run_for(HEARTBEAT);

    cluster.release_reads(1);
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(cluster.applied(3), ["a", "b", "c", "d", "e", "f"]);
}

/// A leader that leads again asks for no second read for a peer while the first one is under way. It is of no use when
/// it comes, and the peer waited for the next heartbeat to have the second one asked for.
#[test]
fn a_stale_read_is_followed_at_once_by_another() {
    let mut cluster = one_behind(nothing_held);
    cluster.hold_reads(1);
    cluster.mend(1, 3);
    cluster.run_for(HEARTBEAT);
    assert_eq!(cluster.reads_held(1).len(), 1);
    cluster.isolate(3);
    cluster.transfer(1, Some(2));
    cluster.settle();
    cluster.transfer(2, Some(1));
    cluster.settle();
    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);
    assert!(cluster.applied(3).is_empty());

    cluster.release_reads(1);
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

#[test]
fn a_snapshot_is_taken_of_what_is_not_in_memory() {
    let mut cluster = Cluster::with_limits(3, nothing_held).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    let stamp = cluster.capture(1).1;

    cluster.take_snapshot(1);
    cluster.settle();

    assert_eq!(cluster.stored_snapshot(1), Some(cluster.last_index(1)));
    assert_eq!(cluster.stored_snapshot_stamp(1), Some(stamp));
    assert_eq!(cluster.log_bytes(1), 0);
}

/// The logs part within what the leader does not hold: it finds the place by the terms that it remembers.
#[test]
fn logs_that_part_among_evicted_entries_are_made_equal() {
    let logs: [(Id, &[u64]); 3] = [
        (1, &[1, 1, 3, 3, 3, 4]),
        (2, &[1, 1, 3, 3, 3, 4]),
        (3, &[1, 1, 2, 2, 2, 2, 2, 2]),
    ];
    let mut cluster = Cluster::from_logs_with_limits(logs, nothing_held);
    cluster.isolate(3);
    cluster.elect(1);
    cluster.settle();
    assert_eq!(cluster.in_memory(1), NOTHING);

    cluster.heal();
    cluster.run_for(3 * HEARTBEAT);

    cluster.assert_same_logs([1, 2, 3]);
}
