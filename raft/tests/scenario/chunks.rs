//! §5.3, snapshots in pieces: what a receiver makes of chunks, and a leader of the answers.

use bytes::Bytes;
use liferaft_raft::configuration::{Configuration, Description, Member};
use liferaft_raft::consensus::{MembershipChange, Refusal};
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, InstallSnapshot};

use crate::cluster::filter::{chunk_replies, chunks, chunks_at};
use crate::cluster::forge::{chunk, chunk_reply, position, snapshot};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY};
use crate::compaction::{one_left_behind, small_chunks};

/// A part of the snapshot `first|second` of a leader's log up to index 9.
fn part(offset: usize, end: usize) -> InstallSnapshot {
    let whole = snapshot(2, position(2, 9), [1, 2, 3], "first|second");
    let data: Bytes = whole.data.slice(offset..end);
    InstallSnapshot {
        offset: offset as u64,
        data,
        ..whole
    }
}

/// Server 1, to which server 2 sends what the stories forge.
fn receiver() -> Cluster {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster
}

fn next_offsets(cluster: &Cluster) -> Vec<u64> {
    let answers = cluster.sent(chunk_replies().from(1)).into_iter();
    let offsets = answers.map(|answer| match answer.body {
        Body::InstallSnapshotReply(reply) => reply.next_offset,
        other => panic!("{other:?} is no answer to a chunk"),
    });
    offsets.collect()
}

#[test]
fn chunks_that_come_early_wait_for_those_before_them() {
    let mut cluster = receiver();
    cluster.forge(2, 1, chunk(2, part(0, 0)));
    cluster.run_for(LATENCY);

    cluster.forge(2, 1, chunk(2, part(8, 12)));
    cluster.forge(2, 1, chunk(2, part(4, 8)));
    cluster.forge(2, 1, chunk(2, part(0, 4)));

    assert_eq!(next_offsets(&cluster), [0, 0, 0, 12]);
}

#[test]
fn chunks_that_are_cut_otherwise_the_second_time_fit_together() {
    let mut cluster = receiver();
    cluster.forge(2, 1, chunk(2, part(0, 0)));
    cluster.run_for(LATENCY);

    cluster.forge(2, 1, chunk(2, part(6, 9)));
    cluster.forge(2, 1, chunk(2, part(0, 8)));
    cluster.forge(2, 1, chunk(2, part(5, 12)));

    assert_eq!(next_offsets(&cluster), [0, 0, 9, 12]);
    assert_eq!(cluster.status(1).last.index, Index(9));
}

#[test]
fn a_snapshot_of_the_largest_size_is_received() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.snapshot_bytes_max = 5).with_leader(1);
    let term = cluster.term(1);
    let largest = snapshot(term, position(term, 90), [1, 2, 3], "state");

    cluster.forge(1, 3, chunk(term, largest));

    assert_eq!(cluster.refused(3, Refusal::SnapshotTooLarge), 0);
    assert_eq!(cluster.status(3).last.index, Index(90));
}

#[test]
fn a_snapshot_from_the_future_is_refused() {
    let mut cluster = receiver();
    let mut later = snapshot(2, position(3, 9), [1, 2, 3], "state");
    cluster.forge(2, 1, chunk(2, later.clone()));
    let metadata = later.metadata.as_mut().expect("it says what it is");
    metadata.last = position(2, 9);
    metadata.configuration_index = Index(10);
    later.transfer += 1;
    cluster.forge(2, 1, chunk(2, later));

    assert_eq!(cluster.refused(1, Refusal::BadSnapshot), 2);
    assert_eq!(cluster.last_index(1), 2);
}

#[test]
fn an_answer_beyond_the_end_of_its_snapshot_is_refused() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(0));
    cluster.run_for(ELECTION_TIMEOUT);
    let term = cluster.term(1);

    cluster.forge(3, 1, chunk_reply(term, 1 << 40, 0));
    assert_eq!(cluster.refused(1, Refusal::ImpossibleAcknowledgement), 1);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), cluster.applied(1));
}

#[test]
fn of_an_honest_transfer_no_answer_is_refused() {
    let mut cluster = one_left_behind();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), cluster.applied(1));
    assert!(cluster.status(1).refused.is_empty());
    assert!(cluster.status(3).refused.is_empty());
}

/// Each has a number of its own, or the receiver would take a part of the second for one of the first.
#[test]
fn a_snapshot_follows_one_that_was_received_in_part() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(HEARTBEAT);
    cluster.isolate(3);
    cluster.propose(1, "fourth").expect("it takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();
    cluster.propose(1, "fifth").expect("it takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), cluster.applied(1));
}

#[test]
fn a_state_that_is_larger_than_a_snapshot_may_be_is_not_taken() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.snapshot_bytes_max = 5).with_leader(1);
    cluster.commit(1, "12345");
    cluster.take_snapshot(1);
    cluster.settle();
    let largest = cluster.stored_snapshot(1);

    cluster.commit(1, "6");
    cluster.take_snapshot(1);
    cluster.settle();

    assert!(largest.is_some());
    assert_eq!(cluster.stored_snapshot(1), largest);
    assert_eq!(cluster.refused(1, Refusal::SnapshotTooLarge), 1);
}

#[test]
fn an_answer_to_a_chunk_acknowledges_nothing_past_the_log() {
    let mut cluster = one_left_behind();
    let (term, last) = (cluster.term(1), cluster.last_index(1));

    cluster.forge(3, 1, chunk_reply(term, 0, last + 1));
    assert_eq!(cluster.refused(1, Refusal::ImpossibleAcknowledgement), 1);
    cluster.forge(2, 1, chunk_reply(term, 0, last));

    assert_eq!(cluster.refused(1, Refusal::ImpossibleAcknowledgement), 1);
}

#[test]
fn no_more_early_chunks_are_kept_than_a_window_holds() {
    let mut cluster = receiver_with_window(4);

    cluster.forge(2, 1, chunk(2, part(4, 8)));
    cluster.forge(2, 1, chunk(2, part(8, 9)));
    cluster.forge(2, 1, chunk(2, part(0, 4)));

    assert_eq!(next_offsets(&cluster).last(), Some(&8));
}

#[test]
fn room_for_early_chunks_returns_when_they_are_no_longer_early() {
    let mut cluster = receiver_with_window(4);

    cluster.forge(2, 1, chunk(2, part(2, 4)));
    cluster.forge(2, 1, chunk(2, part(2, 4)));
    cluster.forge(2, 1, chunk(2, part(0, 2)));
    cluster.forge(2, 1, chunk(2, part(6, 10)));
    cluster.forge(2, 1, chunk(2, part(4, 6)));

    assert_eq!(next_offsets(&cluster).last(), Some(&10));
}

fn receiver_with_window(bytes: u64) -> Cluster {
    let logs: [(u128, &[u64]); 3] = [(1, &[1]), (2, &[1]), (3, &[1])];
    let mut cluster =
        Cluster::from_logs_with_limits(logs, |limits| limits.inflight_bytes_max = bytes);
    cluster.crash(2);
    cluster.crash(3);
    cluster.forge(2, 1, chunk(2, part(0, 0)));
    cluster.run_for(LATENCY);
    cluster
}

/// A state takes its time to be written down: meanwhile commands are applied.
#[test]
fn a_snapshot_covers_what_was_applied_when_it_was_captured() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let captured = cluster.capture(1);
    let through = cluster.commit_index(1);
    cluster.commit(1, "b");

    cluster.hand_in(1, captured);
    cluster.settle();

    assert_eq!(cluster.stored_snapshot(1), Some(through));
}

/// What follows may be acknowledged, and must not be lost.
#[test]
fn a_snapshot_that_ends_within_the_log_leaves_what_follows_it() {
    let mut cluster = Cluster::from_logs([(1, &[1, 1, 1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    let known = snapshot(2, position(1, 3), [1, 2, 3], "2@1\n3@1");

    cluster.forge(2, 1, chunk(2, known));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.commit_index(1), 3);
    assert_eq!(cluster.last_index(1), 4);
    assert_eq!(cluster.stored_terms(1), [1, 1, 1, 1]);
    assert_eq!(cluster.stored_snapshot(1), None);
}

#[test]
fn an_installed_snapshot_brings_its_configuration_with_it() {
    let mut cluster = Cluster::with_limits(4, small_chunks).with_leader(1);
    cluster.isolate(3);
    let removed = cluster.change(1, MembershipChange::remove(ServerId(4)));
    cluster.settle();
    cluster.assert_changed(removed);
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(cluster.commit_index(3), cluster.commit_index(1));
    assert_eq!(cluster.voters(3), [1, 2, 3]);
}

/// A part of that snapshot that does not say what it is part of, as a transfer of this name.
fn bare_part(transfer: u64, offset: usize, end: usize) -> InstallSnapshot {
    InstallSnapshot {
        transfer,
        metadata: None,
        ..part(offset, end)
    }
}

/// What was sent to server 3 of a snapshot: for each chunk, where it begins and whether it says what the snapshot is.
fn told(cluster: &Cluster) -> Vec<(u64, bool)> {
    let chunks = cluster.sent(chunks().to(3)).into_iter();
    let told = chunks.map(|message| match message.body {
        Body::InstallSnapshot(chunk) => (chunk.offset, chunk.metadata.is_some()),
        other => panic!("{other:?} is no chunk"),
    });
    told.collect()
}

/// Whether each answer of a server to a chunk says that its transfer is known.
fn known(cluster: &Cluster, id: u128) -> Vec<bool> {
    let answers = cluster.sent(chunk_replies().from(id)).into_iter();
    let known = answers.map(|answer| match answer.body {
        Body::InstallSnapshotReply(reply) => reply.known,
        other => panic!("{other:?} is no answer to a chunk"),
    });
    known.collect()
}

/// The first chunk says what the snapshot is, and no frame of the cluster carries more than its longest entry.
#[test]
fn a_chunk_and_its_configuration_fit_the_longest_entry_together() {
    let mut cluster = Cluster::with_limits(0, |limits| limits.trailing_entries = 0);
    for id in 1..=3 {
        cluster.add_blank(id);
    }
    let address = format!("memory:{}", "7".repeat(121)).parse();
    let described = Description::default().with_addresses([address.expect("it is an address")]);
    let voters = (1..=3).map(|id| (ServerId(id), Member::voter(described.clone())));
    let configuration = Configuration::from_members(voters).with_entry_bytes_max(1_000);
    for id in 1..=3 {
        cluster.found(id, configuration.clone());
    }
    let mut cluster = cluster.with_leader(1);
    cluster.isolate(3);
    for letter in ["a", "b", "c"] {
        let command = letter.repeat(900);
        cluster.propose(1, &command).expect("it takes proposals");
    }
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    let chunks = cluster.sent(chunks().to(3)).into_iter();
    let weights: Vec<u64> = chunks.filter_map(|message| weight(&message.body)).collect();
    assert_eq!(cluster.applied(3), cluster.applied(1));
    assert!(
        !weights.is_empty() && weights.iter().all(|bytes| *bytes <= 1_000),
        "{weights:?}"
    );
}

/// What a chunk weighs that says what its snapshot is.
fn weight(body: &Body) -> Option<u64> {
    let Body::InstallSnapshot(chunk) = body else {
        panic!("{body:?} is no chunk");
    };
    let metadata = chunk.metadata.as_ref()?;
    Some(metadata.configuration.weight() + chunk.data.len() as u64)
}

// The configuration of many members is heavier than a chunk: it would be sent with each of them, and with each
// heartbeat.
#[test]
fn what_a_snapshot_is_is_told_until_the_receiver_knows_it() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));

    cluster.run_for(5 * HEARTBEAT);

    let told = told(&cluster);
    let first_bare = told.iter().position(|(_, says)| !says);
    let first_bare = first_bare.expect("the first chunks are answered");
    assert!(told[..first_bare].iter().all(|(offset, _)| *offset <= 24));
    assert!(told[first_bare..].len() > 5);
    assert!(told[first_bare..].iter().all(|(_, says)| !says));
    assert!(known(&cluster, 3).iter().all(|known| *known));
}

#[test]
fn a_receiver_that_restarted_is_told_again_what_it_receives() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(3 * HEARTBEAT);
    let term = cluster.term(1);

    cluster.crash(3);
    cluster.restart(3);
    cluster.forget_sent();
    cluster.heal();
    cluster.run_for(3 * HEARTBEAT);

    assert_eq!(cluster.term(1), term, "the transfer is the same");
    assert!(!told(&cluster)[0].1 && !known(&cluster, 3)[0]);
    assert!(told(&cluster).iter().any(|(_, says)| *says));
    assert_eq!(cluster.applied(3), cluster.applied(1));
}

#[test]
fn a_bare_chunk_of_an_unknown_transfer_is_answered_by_a_question() {
    let mut cluster = receiver();
    cluster.forge(2, 1, chunk(2, bare_part(1, 0, 0)));
    cluster.run_for(LATENCY);
    cluster.forge(2, 1, chunk(2, part(0, 4)));

    cluster.forge(2, 1, chunk(2, bare_part(2, 4, 12)));
    cluster.forge(2, 1, chunk(2, bare_part(1, 4, 12)));

    assert_eq!(next_offsets(&cluster), [0, 4, 0, 12]);
    assert_eq!(known(&cluster, 1), [false, true, false, true]);
    assert_eq!(cluster.status(1).last.index, Index(9));
}

#[test]
fn bare_chunks_of_a_transfer_that_is_done_or_older_change_nothing() {
    let mut cluster = receiver();
    cluster.forge(2, 1, chunk(2, part(0, 0)));
    cluster.run_for(LATENCY);
    let mut second = part(0, 12);
    second.transfer = 2;
    cluster.forge(2, 1, chunk(2, second));
    cluster.forget_sent();

    cluster.forge(2, 1, chunk(2, bare_part(2, 4, 12)));
    cluster.forge(2, 1, chunk(2, bare_part(1, 0, 4)));

    assert_eq!(next_offsets(&cluster), [12]);
    assert_eq!(known(&cluster, 1), [true]);
}
