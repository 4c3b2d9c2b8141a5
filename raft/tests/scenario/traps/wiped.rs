//! Traps of servers that come back with an empty disk under the id that belonged to what was on it (invariant 3 of the
//! design: an id is never used without its storage).

use liferaft_raft::configuration::Dismissal;
use liferaft_raft::consensus::{
    Event, MembershipChange, PeerStatus, ReplicationState, TransferError,
};
use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::changes::add_voter;
use crate::cluster::filter::{append_replies, appends, entries, everything};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id, LATENCY, ONE_COMMAND};
use crate::compaction::one_left_behind;

/// The vote of a server that had lost its disk made a leader of one that lacked what was committed: two state machines
/// applied different entries.
#[test]
fn a_blank_server_elects_nobody_over_what_it_has_forgotten() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([1, 2], "a");

    cluster.wipe(2);
    cluster.crash(1);
    cluster.heal();
    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.restart(1);
    cluster.elect(1);
    cluster.commit(1, "b");

    cluster.assert_leader(1);
    cluster.assert_applied_everywhere("a");
}

/// A voter that had lost its log went on echoing rounds: with it as its quorum, a leader read and led on, although the
/// vote that it had given to another may have been lost with the log.
#[test]
fn a_voter_that_forgot_what_it_acknowledged_confirms_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(HEARTBEAT);
    cluster.isolate(3);

    cluster.wipe(2);
    cluster.run_for(HEARTBEAT + 2 * LATENCY);
    let read = cluster.read(1);
    cluster.run_for(HEARTBEAT);
    let peer = status_of(&cluster, 2);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(peer.state, ReplicationState::Forgot);
    assert_eq!(peer.lag_entries, cluster.last_index(1));
    assert!(!matches!(cluster.read_answer(read), Some(Ok(_))));
    cluster.assert_leads_nothing(1);
}

// A second answer was needed, and meanwhile the policy made a voter of a learner that had lost its disk.
#[test]
fn what_a_server_acknowledged_last_is_missed_by_its_next_answer() {
    let mut cluster = Cluster::of(3);
    cluster.elect(1);
    cluster.run_until("it acknowledges", |cluster| {
        status_of(cluster, 2).lag_entries == 0
    });

    cluster.wipe(2);
    cluster.forget_sent();
    cluster.run_until("it answers", |cluster| {
        !cluster.sent(append_replies().from(2)).is_empty()
    });
    cluster.run_for(LATENCY);

    assert_eq!(status_of(&cluster, 2).state, ReplicationState::Forgot);
}

/// Its leader tells what it had acknowledged and what is left, once.
#[test]
fn a_voter_that_forgot_what_it_acknowledged_is_told_of_once() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(HEARTBEAT);

    cluster.wipe(2);
    cluster.run_for(3 * ELECTION_TIMEOUT);

    let acknowledged = Index(cluster.last_index(1));
    let forgot = Event::PeerForgot {
        peer: ServerId(2),
        acknowledged,
        last: Index::ZERO,
    };
    assert_eq!(
        cluster.events(1).filter(|event| **event == forgot).count(),
        1
    );
    cluster.assert_leader(1);
    assert_eq!(cluster.last_index(2), 0, "nothing is replicated to it");
    cluster.forget_sent();
    cluster.run_for(2 * HEARTBEAT);
    assert_eq!(cluster.status(2).leader, Some(ServerId(1)));
    assert!(
        cluster.sent(appends().to(2)).len() > 1,
        "it hears its leader"
    );
}

/// The chunks of a snapshot would have made it whole again, but for the votes that it gave.
#[test]
fn a_voter_that_forgot_while_it_was_sent_a_snapshot_is_found() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.run_until("a snapshot is on its way", |cluster| {
        status_of(cluster, 3).state == ReplicationState::Snapshot
    });
    cluster.run_for(4 * LATENCY);

    cluster.wipe(3);
    cluster.run_for(ELECTION_TIMEOUT);

    assert_eq!(status_of(&cluster, 3).state, ReplicationState::Forgot);
    assert_eq!(cluster.stored_snapshot(3), None);
}

/// The same answers as before, late and doubled and from another run of the server: each tells of a shorter log than
/// the last one did.
#[test]
fn late_answers_of_a_server_that_kept_its_disk_accuse_nobody() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.double(everything().from(2));
    cluster.hold(append_replies().from(3));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(HEARTBEAT);
    cluster.crash(3);
    cluster.restart(3);
    cluster.run_for(HEARTBEAT);
    cluster.let_pass();
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.run_for(2 * HEARTBEAT);

    cluster.deliver_held_backwards();
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(status_of(&cluster, 3).state, ReplicationState::Replicate);
    assert_eq!(status_of(&cluster, 3).lag_entries, 0);
}

/// The eviction was decided before the loss was known, and waited for a joining server: the id could be used again.
#[test]
fn a_server_found_to_have_forgotten_during_its_eviction_is_retired() {
    let mut cluster = Cluster::of(4).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(HEARTBEAT);
    cluster.add_blank(5);
    cluster.drop_all(entries().to(5));
    let replace = add_voter(5).and(MembershipChange::evict(ServerId(2)));
    let replaced = cluster.change(1, replace);

    cluster.wipe(2);
    cluster.run_for(3 * HEARTBEAT);
    assert_eq!(status_of(&cluster, 2).state, ReplicationState::Forgot);
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_changed(replaced);
    assert_eq!(cluster.voters(1), [1, 3, 4, 5]);
    let dismissal = cluster.status(1).configuration.dismissal(ServerId(2));
    assert_eq!(dismissal, Some(Dismissal::Forgot));
}

#[test]
fn leadership_is_not_handed_to_a_server_that_forgot() {
    let mut cluster = Cluster::of(2).with_leader(1);
    cluster.commit(1, "a");
    cluster.run_for(HEARTBEAT);
    cluster.wipe(2);
    cluster.run_for(HEARTBEAT + 2 * LATENCY);

    cluster.transfer(1, Some(2));
    cluster.transfer(1, None);

    assert_eq!(
        cluster.transfer_results(),
        [
            Err(TransferError::NotVoter(ServerId(2))),
            Err(TransferError::NoCandidate)
        ]
    );
}

/// Entries that only arrived were not acknowledged: who loses them in a crash has forgotten nothing.
#[test]
fn a_voter_that_crashed_before_its_write_was_durable_goes_on() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(HEARTBEAT);
    cluster.hold_disk(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(2 * HEARTBEAT);

    cluster.crash(3);
    cluster.restart(3);
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("a");
}

#[track_caller]
fn status_of(leader: &Cluster, id: Id) -> PeerStatus {
    let leader_id = leader.leader().expect("a server leads");
    let mut peers = leader.status(leader_id).peers.into_iter();
    let peer = peers.find(|peer| peer.id == ServerId(id));
    peer.unwrap_or_else(|| panic!("{id} is no peer of {leader_id}"))
}
