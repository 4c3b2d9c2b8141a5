//! §5, log compaction: taking snapshots, sending them, and going on from them.

use liferaft_raft::config::Limits;
use liferaft_raft::consensus::{Event, MembershipChange, Refusal};
use liferaft_raft::entry::ENTRY_OVERHEAD_BYTES;
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{chunk_replies, chunks, chunks_at, everything};
use crate::cluster::forge::{chunk, position, snapshot};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT};

/// Nothing stays behind a snapshot, which travels in chunks of 8 bytes.
pub(crate) fn small_chunks(limits: &mut Limits) {
    limits.trailing_entries = 0;
    limits.snapshot_chunk_bytes = 8;
}

/// Three servers; 1 leads, and 3 has missed what is in a snapshot by now.
pub(crate) fn one_left_behind() -> Cluster {
    one_left_behind_within(|_| {})
}

/// The same, within these limits.
pub(crate) fn one_left_behind_within(limit: impl Fn(&mut Limits)) -> Cluster {
    let limits = |limits: &mut Limits| {
        small_chunks(limits);
        limit(limits);
    };
    let mut cluster = Cluster::with_limits(3, limits).with_leader(1);
    cluster.isolate(3);
    cluster
        .propose(1, "first command")
        .expect("the leader takes proposals");
    cluster
        .propose(1, "second command")
        .expect("the leader takes proposals");
    cluster
        .propose(1, "third command")
        .expect("the leader takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();
    cluster
}

const HISTORY: [&str; 3] = ["first command", "second command", "third command"];

#[test]
fn a_snapshot_replaces_the_log_before_it() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");
    let applied = cluster.commit_index(2);

    cluster.take_snapshot(2);
    cluster.settle();

    assert_eq!(cluster.stored_snapshot(2), Some(applied));
    assert!(cluster.stored_terms(2).is_empty());
    assert_eq!(cluster.status(2).snapshot.0, applied);
}

#[test]
fn each_server_takes_its_snapshots_by_itself() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");

    cluster.take_snapshot(2);
    cluster.settle();
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.settle();

    assert_eq!(cluster.stored_snapshot(1), None);
    cluster.assert_applied_everywhere("b");
}

#[test]
fn some_entries_stay_behind_a_snapshot() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 2).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    cluster.commit(1, "c");

    cluster.take_snapshot(1);
    cluster.settle();

    assert_eq!(cluster.stored_terms(1).len(), 2);
}

#[test]
fn a_snapshot_is_on_disk_before_the_log_is_cut() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");
    cluster.hold_disk(2);

    cluster.take_snapshot(2);
    cluster.settle();
    cluster.crash(2);
    assert!(!cluster.stored_terms(2).is_empty());
    cluster.restart(2);
    cluster.settle();

    cluster.assert_applied_everywhere("a");
}

#[test]
fn a_server_goes_on_from_its_snapshot_after_a_restart() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");
    cluster.take_snapshot(2);
    cluster.settle();
    cluster.commit(1, "b");

    cluster.crash(2);
    cluster.restart(2);
    cluster.settle();

    assert_eq!(cluster.applied(2), ["a", "b"]);
}

#[test]
fn a_follower_that_is_too_far_behind_is_sent_the_snapshot() {
    let mut cluster = one_left_behind();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
    let started = Event::SnapshotStarted { to: ServerId(3) };
    assert!(cluster.events(1).any(|event| *event == started));
}

#[test]
fn a_blank_server_joins_by_a_snapshot_and_knows_the_configuration() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "first command");
    cluster.take_snapshot(1);
    cluster.settle();
    cluster.add_blank(4);

    let added = cluster.change(1, MembershipChange::add_voter(ServerId(4)));
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_changed(added);
    assert_eq!(cluster.applied(4), ["first command"]);
    assert_eq!(cluster.voters(4), [1, 2, 3, 4]);
}

#[test]
fn a_learner_that_restarts_from_a_snapshot_is_still_a_learner() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();
    cluster.take_snapshot(4);
    cluster.settle();

    cluster.crash(4);
    cluster.restart(4);

    assert!(cluster.status(4).configuration.is_learner(ServerId(4)));
    assert_eq!(cluster.voters(4), [1, 2, 3]);
}

#[test]
fn a_snapshot_travels_in_chunks_that_may_arrive_backwards_and_twice() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.hold(chunks());
    cluster.run_for(HEARTBEAT);
    cluster.let_pass();
    cluster.double(chunks());

    cluster.deliver_held_backwards();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
}

#[test]
fn a_lost_chunk_is_sent_again_and_those_before_it_are_not() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_next(chunks_at(16));
    cluster.forget_sent();

    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
    assert_eq!(
        cluster.sent(chunks_at(0)).len(),
        1,
        "the first chunk arrived the first time"
    );
    assert!(cluster.sent(chunks_at(16)).len() >= 2);
}

#[test]
fn a_transfer_goes_on_where_an_outage_broke_it_off() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(HEARTBEAT);
    cluster.isolate(3);
    cluster.run_for(ELECTION_TIMEOUT / 2);
    cluster.forget_sent();

    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
    assert!(
        cluster.sent(chunks_at(0)).is_empty(),
        "what had arrived is not sent again"
    );
}

#[test]
fn lost_answers_to_chunks_do_not_stop_a_transfer() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_next(chunk_replies());
    cluster.drop_next(chunk_replies());
    cluster.drop_next(chunk_replies());

    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
}

#[test]
fn a_snapshot_crosses_a_bad_network() {
    let mut cluster = one_left_behind();
    cluster.heal();
    let mut cluster = cluster.over_a_bad_network(5);

    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
}

#[test]
fn commands_follow_a_snapshot() {
    let mut cluster = one_left_behind();
    cluster.heal();

    cluster
        .propose(1, "fourth")
        .expect("the leader takes proposals");
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(
        cluster.applied(3),
        ["first command", "second command", "third command", "fourth"]
    );
}

#[test]
fn another_leader_sends_its_own_snapshot_from_the_start() {
    let mut cluster = one_left_behind();
    cluster.take_snapshot(2);
    cluster.settle();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(HEARTBEAT);

    cluster.crash(1);
    cluster.elect(2);
    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
}

#[test]
fn a_snapshot_that_contradicts_the_log_replaces_all_of_it() {
    let mut cluster = Cluster::from_logs_with_limits(
        [(1, &[1, 2, 2]), (2, &[1, 2, 2]), (3, &[1, 1, 1, 1, 1, 1])],
        small_chunks,
    );
    cluster.isolate(3);
    cluster.elect(1);
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), ["2@1", "3@2", "4@2"]);
    assert!(!cluster.stored_terms(3).contains(&1));
}

#[test]
fn a_snapshot_that_the_log_covers_leaves_the_log_alone() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.commit(1, "b");
    let (term, stored) = (cluster.term(1), cluster.stored_terms(3));
    let old = snapshot(term, position(term, 2), [1, 2, 3], "");

    cluster.forge(1, 3, chunk(term, old));
    cluster.settle();

    assert_eq!(cluster.stored_terms(3), stored);
    assert_eq!(cluster.stored_snapshot(3), None);
    assert_eq!(cluster.applied(3), ["a", "b"]);
}

#[test]
fn a_snapshot_that_is_not_what_it_says_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let mut damaged = snapshot(term, position(term, 90), [1, 2, 3], "state");
    let metadata = damaged.metadata.as_mut().expect("it says what it is");
    metadata.digest ^= 1;

    cluster.forge(1, 3, chunk(term, damaged));
    cluster.settle();

    assert_eq!(cluster.refused(3, Refusal::BadSnapshot), 1);
    assert_eq!(cluster.stored_snapshot(3), None);
}

#[test]
fn a_chunk_beyond_the_end_of_its_snapshot_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let mut lying = snapshot(term, position(term, 90), [1, 2, 3], "state");
    let metadata = lying.metadata.as_mut().expect("it says what it is");
    metadata.length = 3;

    cluster.forge(1, 3, chunk(term, lying));

    assert_eq!(cluster.refused(3, Refusal::BadSnapshot), 1);
}

#[test]
fn a_snapshot_beyond_the_largest_is_refused_before_it_is_received() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.snapshot_bytes_max = 4).with_leader(1);
    let term = cluster.term(1);

    cluster.forge(
        1,
        3,
        chunk(term, snapshot(term, position(term, 90), [1, 2, 3], "state")),
    );

    assert_eq!(cluster.refused(3, Refusal::SnapshotTooLarge), 1);
}

#[test]
fn a_snapshot_without_voters_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.forge(
        1,
        3,
        chunk(term, snapshot(term, position(term, 90), [], "state")),
    );

    assert_eq!(cluster.refused(3, Refusal::NoVoters), 1);
    assert_eq!(cluster.voters(3), [1, 2, 3]);
}

#[test]
fn a_server_that_crashes_while_it_installs_a_snapshot_is_sent_it_again() {
    let mut cluster = one_left_behind();
    cluster.hold_disk(3);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.crash(3);
    cluster.restart(3);
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), HISTORY);
}

/// A server that restarted does not look at what its snapshot covers, and yet it is on its disk: a later snapshot must
/// replace that too, or what follows it would leave a gap there.
#[test]
fn what_an_installed_snapshot_replaces_is_dropped_even_if_it_was_forgotten_in_a_restart() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 2).with_leader(1);
    cluster.commit(1, "a");
    cluster.take_snapshot(3);
    cluster.settle();
    cluster.crash(3);
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.propose(1, "c").expect("the leader takes proposals");
    cluster.propose(1, "d").expect("the leader takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.restart(3);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.commit(1, "e");

    assert_eq!(cluster.applied(3), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_crash_between_a_snapshot_and_the_end_of_the_log_before_it_does_no_harm() {
    let mut cluster = one_left_behind();
    cluster.hold_disk(3);
    cluster.heal();
    cluster.run_for(HEARTBEAT);

    cluster.crash_within_a_write(3, 2);
    assert!(cluster.stored_snapshot(3).is_some());
    assert!(!cluster.stored_terms(3).is_empty());
    cluster.restart(3);
    cluster.commit(1, "fourth");

    assert_eq!(cluster.applied(3)[..3], HISTORY);
    cluster.assert_applied_everywhere("fourth");
}

#[test]
fn a_compacted_cluster_that_lost_its_power_goes_on() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.commit(1, "a");
    cluster.take_snapshot(1);
    cluster.take_snapshot(2);
    cluster.take_snapshot(3);
    cluster.settle();
    cluster.crash(1);
    cluster.crash(2);
    cluster.crash(3);

    cluster.restart(1);
    cluster.restart(2);
    cluster.restart(3);
    let leader = cluster.elect_any();
    cluster.commit(leader, "b");

    assert_eq!(cluster.applied(1), ["a", "b"]);
    assert_eq!(cluster.applied(3), ["a", "b"]);
    assert!(cluster.sent(everything()).len() < 10_000);
}

#[test]
fn what_the_log_weighs_grows_with_it_and_shrinks_with_a_snapshot() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    let before = cluster.log_bytes(1);

    cluster.commit(1, "a command of 26 characters");
    let with_it = cluster.log_bytes(1);
    cluster.take_snapshot(1);
    cluster.settle();

    assert_eq!(with_it, before + 26 + ENTRY_OVERHEAD_BYTES);
    assert_eq!(cluster.log_bytes(1), 0);
}
