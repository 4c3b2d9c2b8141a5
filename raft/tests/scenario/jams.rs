//! Links that take no more: what a leader does with what it could not send.

use crate::cluster::filter::{appends, chunks_with_data, entries};
use crate::cluster::{Cluster, HEARTBEAT, LATENCY, ONE_COMMAND};
use crate::compaction::one_left_behind;

/// Servers 1 to 3 under leader 1, whose link to 3 takes no entries.
fn jammed() -> Cluster {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.jam(1, 3);
    cluster.forget_sent();
    cluster
}

#[test]
fn a_jammed_link_is_given_no_entries_and_all_heartbeats() {
    let mut cluster = jammed();

    for command in ["a", "b", "c"] {
        cluster.propose(1, command).expect("it takes proposals");
    }
    cluster.run_for(LATENCY);
    cluster.forget_sent();
    cluster.propose(1, "d").expect("it takes proposals");
    cluster.run_for(LATENCY);
    let before_the_timeout = cluster.sent(entries().to(3)).len();
    cluster.run_for(4 * HEARTBEAT);

    assert_eq!(before_the_timeout, 0);
    cluster.assert_applied_on([1, 2], "d");
    assert!(cluster.sent(appends().to(3)).len() >= 4);
    assert_eq!(cluster.term(3), cluster.term(1), "it hears its leader");
}

#[test]
fn a_link_that_takes_more_is_sent_at_once_what_it_did_not_take() {
    let mut cluster = jammed();
    for command in ["a", "b", "c"] {
        cluster.propose(1, command).expect("it takes proposals");
    }
    cluster.run_for(LATENCY);
    cluster.forget_sent();

    cluster.clear(1, 3);
    let sent = cluster.sent(entries().to(3)).len();
    cluster.run_for(ONE_COMMAND);

    assert_eq!(sent, 1, "all of it together");
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
    assert_eq!(
        cluster.sent(entries().to(3)).len(),
        1,
        "nothing of it twice"
    );
}

#[test]
fn what_a_link_took_before_it_jammed_is_not_sent_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.propose(1, "a").expect("it takes proposals");
    cluster.jam(1, 3);
    cluster.propose(1, "b").expect("it takes proposals");
    cluster.forget_sent();

    cluster.clear(1, 3);
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.applied(3), ["a", "b"]);
    assert_eq!(cluster.sent(entries().to(3)).len(), 1);
}

#[test]
fn without_a_word_of_it_a_link_is_tried_after_the_timeout() {
    let mut cluster = jammed();
    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(LATENCY);

    cluster.clear_silently(1, 3);
    cluster.run_for(HEARTBEAT);

    cluster.assert_applied_everywhere("a");
}

/// The window would have shrunk to a kilobyte, and the next five entries would not have left together.
#[test]
fn a_jam_does_not_shrink_the_window() {
    let mut cluster = jammed();
    let command = "x".repeat(2000);
    for _ in 0..5 {
        cluster.propose(1, &command).expect("it takes proposals");
    }
    cluster.run_for(8 * HEARTBEAT);
    cluster.forget_sent();

    cluster.clear(1, 3);
    let sent = cluster.sent(entries().to(3)).len();
    cluster.run_for(ONE_COMMAND);

    assert!(sent > 0);
    assert_eq!(cluster.applied(3).len(), 5);
    assert!(cluster.sent(entries().to(3)).len() <= 2);
}

#[test]
fn a_link_that_comes_up_is_not_jammed() {
    let mut cluster = jammed();
    cluster.propose(1, "a").expect("it takes proposals");
    cluster.run_for(LATENCY);

    cluster.clear_silently(1, 3);
    cluster.forget_sent();
    cluster.announce_link(1, 3);

    assert_eq!(cluster.sent(entries().to(3)).len(), 1);
}

#[test]
fn a_snapshot_goes_on_where_its_link_jammed() {
    let mut cluster = one_left_behind();
    cluster.jam(1, 3);
    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);
    let while_jammed = cluster.applied(3).len();
    cluster.forget_sent();

    cluster.clear(1, 3);
    cluster.run_until("it has the snapshot", |cluster| {
        cluster.applied(3) == cluster.applied(1)
    });

    assert_eq!(while_jammed, 0);
    let mut offsets = offsets(&cluster);
    let sent = offsets.len();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(sent, offsets.len(), "no chunk is sent twice");
}

/// From where the chunks with data began that server 3 was sent.
fn offsets(cluster: &Cluster) -> Vec<u64> {
    use liferaft_raft::message::Body;

    let chunks = cluster.sent(chunks_with_data().to(3)).into_iter();
    let offsets = chunks.filter_map(|message| match message.body {
        Body::InstallSnapshot(chunk) => Some(chunk.offset),
        _ => None,
    });
    offsets.collect()
}
