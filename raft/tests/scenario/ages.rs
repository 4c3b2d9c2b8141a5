//! How old a server's state is: what it claims must be true however long words fly, and whoever says them.

use std::time::Duration;

use liferaft_raft::consensus::Refusal;
use liferaft_raft::ids::{LogPosition, Round};
use liferaft_raft::message::{Body, Token};

use crate::cluster::filter::appends;
use crate::cluster::forge::append;
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

// A follower counted from when its leader's word came. One that was 600 ms under way told nothing of what was committed
// since it was sent, and made the state look as if it were of this moment.
#[test]
fn a_word_that_took_long_makes_no_state_young() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.slow_down(1, 3, 3 * HEARTBEAT);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    let before = cluster.now();

    cluster
        .propose(1, "unseen")
        .expect("the leader takes proposals");
    cluster.run_for(2 * HEARTBEAT);

    cluster.assert_applied_on([1, 2], "unseen");
    assert!(cluster.applied(3).is_empty());
    let as_of = cluster.current_as_of(3);
    assert!(as_of.is_some_and(|as_of| as_of <= before), "{as_of:?}");
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.assert_applied_on([3], "unseen");
    assert!(cluster.current_as_of(3).is_some_and(|as_of| as_of > before));
}

// A leader that has been deposed and does not know it goes on speaking, and who hears nobody else believes it: its
// commit index is not the newest.
#[test]
fn a_deposed_leader_makes_no_state_young() {
    let mut cluster = Cluster::of(5).with_leader(1);
    for other in [2, 4, 5] {
        cluster.cut(other, 1);
        cluster.cut(other, 3);
    }
    cluster.transfer(1, Some(2));
    cluster.run_until("the successor leads", |cluster| cluster.leads(2));
    let before = cluster.now();

    cluster
        .propose(2, "unseen")
        .expect("the leader takes proposals");
    cluster.run_for(2 * HEARTBEAT);

    cluster.assert_applied_on([2, 4, 5], "unseen");
    assert!(cluster.leads(1), "it does not know better");
    assert!(cluster.applied(3).is_empty());
    let as_of = cluster.current_as_of(3);
    assert!(as_of.is_some_and(|as_of| as_of <= before), "{as_of:?}");
    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.assert_applied_on([3], "unseen");
    assert!(cluster.current_as_of(3).is_some_and(|as_of| as_of > before));
}

// What was sent to a server before it crashed, and echoes what it said then, comes to its next life: nothing in it is
// younger than that life, whatever the server says in between.
#[test]
fn words_to_an_earlier_life_make_no_state_young() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.hold(appends().from(1).to(3));
    cluster.run_for(3 * HEARTBEAT);
    cluster.let_pass();
    cluster.isolate(3);
    cluster
        .propose(1, "unseen")
        .expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.crash(3);
    cluster.restart(3);

    cluster.deliver_held();

    cluster.assert_applied_on([1, 2], "unseen");
    assert_eq!(cluster.current_as_of(3), None);
    cluster.mend_all();
    cluster.run_for(2 * ELECTION_TIMEOUT);
    cluster.assert_applied_on([3], "unseen");
    assert!(cluster.current_as_of(3).is_some());
}

#[test]
fn in_a_quiet_cluster_a_followers_state_is_two_to_three_heartbeats_old() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(2 * ELECTION_TIMEOUT);

    let ages: Vec<Duration> = (0..100)
        .filter_map(|_| {
            cluster.run_for(HEARTBEAT / 20);
            let as_of = cluster.current_as_of(3)?;
            Some(cluster.now().since(as_of))
        })
        .collect();

    assert_eq!(ages.len(), 100);
    assert!(ages.iter().all(|age| *age <= 3 * HEARTBEAT + LATENCY));
    assert!(ages.iter().any(|age| *age <= 2 * HEARTBEAT + 2 * LATENCY));
}

#[test]
fn what_a_leader_cannot_have_heard_is_refused_and_makes_no_state_young() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);
    let before = cluster.current_as_of(3);
    let heartbeat = |confirmed| {
        let mut message = append(cluster.status(1).term.0, 1000, LogPosition::ZERO, vec![]);
        if let Body::AppendEntries(append) = &mut message.body {
            append.confirmed = Round(confirmed);
            append.token = Token(7);
        }
        message
    };
    let [possible, impossible] = [1000, 1001].map(heartbeat);

    cluster.forge(1, 3, impossible);
    assert_eq!(cluster.refused(3, Refusal::ImpossibleAcknowledgement), 1);
    cluster.forge(1, 3, possible);

    assert_eq!(cluster.refused(3, Refusal::ImpossibleAcknowledgement), 1);
    assert!(cluster.current_as_of(3) <= Some(cluster.now() - LATENCY));
    assert!(cluster.current_as_of(3) >= before);
}

#[test]
fn a_leaders_state_is_as_young_as_the_last_round_that_a_quorum_has_echoed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(HEARTBEAT / 2);
    let asked_at = cluster.now();

    cluster.ask(1);
    cluster.run_for(3 * LATENCY);

    // Of the moments at which rounds were sent it remembers no more than eight in a heartbeat.
    let as_of = cluster.current_as_of(1).expect("a quorum has echoed it");
    assert!(as_of <= asked_at && asked_at.since(as_of) <= HEARTBEAT / 8);
}
