//! Traps of reads: who may answer them, and on what evidence.

use liferaft_raft::consensus::ReadRefused;

use crate::cluster::filter::{append_replies, entries};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

/// tikv 964, d-engine 158 and others: a leader answered by a lease that a clock had broken. There are no leases here:
/// however lately a quorum was heard, a read waits for a round that was begun after it.
#[test]
fn no_read_is_served_on_the_strength_of_what_was_heard_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.forget_sent();
    cluster.run_until("a quorum has just answered", |cluster| {
        cluster.sent(append_replies()).len() == 2
    });
    cluster.run_for(LATENCY);

    let read = cluster.read(1);
    assert_eq!(cluster.read_answer(read), None);
    cluster.run_for(LATENCY);
    assert_eq!(cluster.read_answer(read), None, "there is no way back yet");
    cluster.run_for(LATENCY);

    cluster.assert_read_served(read);
}

/// openraft 1747: the old leader went on answering while the server that it had handed over to led already.
#[test]
fn a_leader_that_hands_over_serves_no_read_once_its_successor_leads() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(HEARTBEAT / 2);
    cluster.cut(2, 1);
    cluster.cut(3, 1);

    cluster.transfer(1, Some(3));
    cluster.run_until("the successor leads", |cluster| cluster.leads(3));
    cluster
        .propose(3, "unseen")
        .expect("the leader takes proposals");
    let read = cluster.read(1);
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([3], "unseen");
    assert!(cluster.leads(1), "it does not know better");
    assert_eq!(cluster.read_answer(read), None);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    let answer = cluster.read_answer(read);
    assert!(
        matches!(answer, Some(Err(ReadRefused::NotLeader { .. }))),
        "{answer:?}"
    );
}

/// openraft 1788, hashicorp 549: after a restart a server answered from a state older than one it had shown before.
#[test]
fn a_server_that_restarted_serves_no_read_from_what_it_remembers() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.crash(3);
    cluster.isolate(3);
    cluster.restart(3);

    let read = cluster.read(3);

    let refused = Err(ReadRefused::NotLeader { leader: None });
    assert_eq!(cluster.read_answer(read), Some(&refused));
}

/// The same for a whole cluster that lost its power: what was committed is known again when the new term has committed.
#[test]
fn after_a_restart_of_all_a_read_waits_until_what_was_committed_is_known_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let committed = cluster.commit_index(1);
    cluster.crash(1);
    cluster.crash(2);
    cluster.crash(3);
    cluster.drop_all(entries());
    cluster.restart(1);
    cluster.restart(2);
    cluster.restart(3);
    cluster.elect(1);

    let read = cluster.read(1);
    cluster.run_for(ELECTION_TIMEOUT / 2);
    assert_eq!(cluster.read_answer(read), None);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    assert!(cluster.assert_read_served(read).0 >= committed);
}

// A leader that had just started again told the commit index that it knew, none, and a member that had applied nothing
// took itself for up to date: its local reads showed an empty state that was milliseconds old, they said.
#[test]
fn after_a_restart_of_all_no_state_is_current_until_what_was_committed_is_known_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    for id in 1..=3 {
        cluster.crash(id);
    }
    cluster.drop_all(entries());
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.elect(1);

    cluster.run_for(ELECTION_TIMEOUT / 2);

    let current = [1, 2, 3].map(|id| cluster.current_as_of(id));
    assert_eq!(current, [None; 3]);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);
    assert!((1..=3).all(|id| cluster.current_as_of(id).is_some()));
}

// What is committed by the disks of the others is done, though the leader itself does not apply it before its own disk
// has it: its state was called as new as its last contact to a quorum.
#[test]
fn a_leader_whose_disk_lags_does_not_call_its_state_current() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(HEARTBEAT);
    let before = cluster.now();
    cluster.hold_disk(1);
    cluster.propose(1, "a").expect("the leader takes proposals");

    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_applied_on([2], "a");
    assert!(
        cluster
            .current_as_of(1)
            .is_some_and(|as_of| as_of <= before)
    );
    cluster.release_disk(1);
    cluster.run_for(HEARTBEAT * 2);
    assert!(cluster.current_as_of(1).is_some_and(|as_of| as_of > before));
}
