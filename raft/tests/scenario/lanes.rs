//! §5, the states of snapshots: read and written beside all else, in bounded parts, and kept as long as somebody needs
//! them.

use liferaft_raft::config::Limits;
use liferaft_raft::consensus::Refusal;
use liferaft_raft::message::Body;

use crate::cluster::filter::chunk_replies;
use crate::cluster::forge::{chunk, position, snapshot};
use crate::cluster::{Cluster, ELECTION_TIMEOUT};
use crate::compaction::{one_left_behind, small_chunks};

/// Windows are no longer than this, and the state of [`one_left_behind`] is.
const WINDOW: usize = 16;

fn in_small_windows(limits: &mut Limits) {
    small_chunks(limits);
    limits.inflight_bytes_max = WINDOW as u64;
}

#[test]
fn a_leader_reads_no_more_of_a_snapshot_than_a_window() {
    let mut cluster = one_left_behind();
    cluster.hold_lane(1);

    cluster.heal();
    cluster.run_for(20 * ELECTION_TIMEOUT);
    let asked = cluster.lane_bytes(1);
    let led = cluster.leader();
    cluster.release_lane(1);
    cluster.run_for(ELECTION_TIMEOUT);

    assert!((1..=64).contains(&asked), "{asked} bytes");
    assert_eq!(led, Some(1), "heartbeats wait for no disk");
    cluster.assert_applied_everywhere("third command");
}

/// A transfer that begins again with the latest snapshot asked for a window more, and those behind it waited for all
/// that nobody needed any more.
#[test]
fn transfers_that_begin_again_wait_for_what_is_being_read() {
    let mut cluster = Cluster::with_limits(5, in_small_windows).with_leader(1);
    cluster.hold_lane(1);
    let snapshot_with = |cluster: &mut Cluster, command: &str| {
        cluster
            .propose(1, command)
            .expect("the leader takes proposals");
        cluster.settle();
        cluster.take_snapshot(1);
        cluster.run_for(ELECTION_TIMEOUT);
    };
    // The oldest transfer goes on. The other begins again with each snapshot.
    cluster.isolate(4);
    snapshot_with(&mut cluster, "first");
    cluster.isolate(5);
    snapshot_with(&mut cluster, "second");
    for command in ["third", "fourth", "fifth", "sixth", "seventh"] {
        snapshot_with(&mut cluster, command);
    }
    let asked = cluster.lane_bytes(1);
    cluster.release_lane(1);
    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert!(asked <= 2 * WINDOW, "{asked} bytes");
    cluster.assert_applied_everywhere("seventh");
}

/// Transfers are numbered anew by each leader: the answer was sent as a part of the later snapshot, whose receiver
/// refused the whole.
#[test]
fn what_an_earlier_leadership_has_read_is_not_sent() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.isolate(3);
    cluster
        .propose(1, "first command")
        .expect("the leader takes proposals");
    cluster.settle();
    // Of which no part is as in the next one. Nobody gets all of it.
    let (through, stamp, state) = cluster.capture(1);
    cluster.hand_in(1, (through, stamp, vec![0; state.len()].into()));
    cluster.settle();
    cluster.hold_lane(1);
    cluster.heal();
    cluster.run_until("a part is to be read", |cluster| cluster.lane_bytes(1) > 0);

    cluster.isolate(3);
    cluster.transfer(1, Some(2));
    cluster.run_until("another leads", |cluster| cluster.leads(2));
    cluster.transfer(2, Some(1));
    cluster.run_until("the first leads again", |cluster| cluster.leads(1));
    cluster
        .propose(1, "second command")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    let asked = cluster.lane_bytes(1);
    cluster.heal();
    cluster.run_until("a part of another is to be read", |cluster| {
        cluster.lane_bytes(1) > asked
    });
    cluster.release_lane(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.refused(3, Refusal::BadSnapshot), 0);
    cluster.assert_applied_everywhere("second command");
}

#[test]
fn a_receiver_takes_no_more_of_a_snapshot_than_a_window() {
    let mut cluster = Cluster::with_limits(3, in_small_windows).with_leader(1);
    let term = cluster.term(1);
    let state = "a state that is longer than a window";
    cluster.hold_lane(3);

    for offset in (0..state.len()).step_by(8) {
        let mut part = snapshot(term, position(term, 90), [1, 2, 3], state);
        part.offset = offset as u64;
        part.data = part.data.slice(offset..state.len().min(offset + 8));
        cluster.forge(1, 3, chunk(term, part));
    }

    assert_eq!(cluster.lane_bytes(3), WINDOW);
}

#[test]
fn a_receiver_acknowledges_what_its_storage_has_of_a_snapshot() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let whole = snapshot(term, position(term, 90), [1, 2, 3], "state");
    let mut part = whole.clone();
    part.data = whole.data.slice(..3);
    let mut question = whole;
    question.data.clear();
    cluster.hold_lane(3);
    cluster.forget_sent();

    cluster.forge(1, 3, chunk(term, part));
    cluster.forge(1, 3, chunk(term, question));
    let while_held = reached(&cluster);
    cluster.release_lane(3);

    assert_eq!(while_held, [(0, 3)]);
    assert_eq!(reached(&cluster), [(0, 3), (3, 3)]);
}

/// How much of a snapshot server 3 has told that it has stored, and received.
fn reached(cluster: &Cluster) -> Vec<(u64, u64)> {
    let answers = cluster.sent(chunk_replies().from(3)).into_iter();
    let reached = answers.map(|answer| match answer.body {
        Body::InstallSnapshotReply(reply) => (reply.next_offset, reply.received),
        other => panic!("{other:?} is no answer to a chunk"),
    });
    reached.collect()
}

#[test]
fn a_snapshot_that_is_not_durable_yet_is_not_installed() {
    let mut cluster = one_left_behind();
    cluster.hold_lane(3);

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);
    let before = cluster.stored_snapshot(3);
    cluster.crash(3);
    cluster.restart(3);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(before, None);
    cluster.assert_applied_everywhere("third command");
}

#[test]
fn a_snapshot_without_room_is_sent_again_no_faster_than_a_lost_one() {
    let mut cluster = one_left_behind();
    cluster.hold_lane(3);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.refuse_lane(3);

    let mut tries = 0;
    for _ in 0..40 {
        if cluster.lane_bytes(3) > 0 {
            tries += 1;
            cluster.refuse_lane(3);
        }
        cluster.run_for(ELECTION_TIMEOUT / 4);
    }
    let led = cluster.leader();
    cluster.release_lane(3);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    // What is lost is sent again after half an election timeout at most, and not much sooner once that has happened.
    assert!((2..=20).contains(&tries), "{tries} tries in 10 timeouts");
    assert_eq!(led, Some(1));
    assert_eq!(cluster.refused(3, Refusal::BadSnapshot), 0);
    cluster.assert_applied_everywhere("third command");
}

#[test]
fn a_snapshot_that_comes_when_its_leader_has_gone_is_removed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.hold_lane(3);
    let whole = snapshot(term, position(term, 90), [1, 2, 3], "state");
    cluster.forge(1, 3, chunk(term, whole));

    cluster.crash(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    assert!(cluster.term(3) > term, "another is elected");
    cluster.release_lane(3);
    cluster.settle();

    assert_eq!(cluster.stored_snapshot(3), None);
    assert_eq!(cluster.snapshots_kept(3), 0);
}

#[test]
fn a_replaced_snapshot_stays_until_its_transfer_has_ended() {
    let mut cluster = one_left_behind();
    cluster.hold_lane(1);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.release_lane(1);
    cluster.isolate(3);

    cluster.propose(1, "fourth command").expect("it leads");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();
    let during = cluster.snapshots_kept(1);
    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(during, 2);
    assert_eq!(cluster.snapshots_kept(1), 1);
    cluster.assert_applied_everywhere("fourth command");
}

#[test]
fn a_snapshot_that_the_core_does_not_want_is_removed() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");
    let late = cluster.capture(2);
    cluster.commit(1, "b");
    cluster.take_snapshot(2);
    cluster.settle();

    cluster.hand_in(2, late);
    cluster.settle();

    assert_eq!(cluster.snapshots_kept(2), 1);
    assert_eq!(cluster.refused(2, Refusal::SnapshotTooLarge), 0);
}
