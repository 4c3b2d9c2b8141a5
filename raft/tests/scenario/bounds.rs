//! What piles up on a server while its disk or its state machine hangs: no more than it has bounds for.

use liferaft_raft::consensus::ProposeRefused;

use crate::cluster::{Cluster, ELECTION_TIMEOUT, ONE_COMMAND};
use crate::compaction::small_chunks;

// The followers commit without the leader's disk (§10.2.1), so that commitment alone bounds nothing of what waits for it.
#[test]
fn a_leader_whose_disk_hangs_takes_no_more_than_its_bound() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.uncommitted_bytes_max = 2000).with_leader(1);
    cluster.hold_disk(1);

    let mut propose = |command: &str| {
        let answer = cluster.propose(1, command);
        cluster.run_for(ONE_COMMAND);
        answer
    };
    let accepted = (0..500).filter(|_| propose("command").is_ok()).count();
    let refused = propose("one too many");

    assert_eq!(accepted, 36, "of 55 bytes each");
    let pending_bytes = 36 * 55;
    assert_eq!(refused, Err(ProposeRefused::Busy { pending_bytes }));
    let committed = cluster.commit_index(1);
    assert_eq!(committed, cluster.last_index(1));
}

#[test]
fn a_leader_whose_disk_goes_on_takes_commands_again() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.uncommitted_bytes_max = 100).with_leader(1);
    cluster.hold_disk(1);
    cluster.propose(1, "a").expect("there is room for one");
    cluster.propose(1, "b").expect("there is room for two");
    cluster.run_for(ONE_COMMAND);
    let refused = cluster.propose(1, "c");

    cluster.release_disk(1);
    cluster.run_for(ONE_COMMAND);
    let accepted = [cluster.propose(1, "d"), cluster.propose(1, "e")];
    cluster.run_for(ONE_COMMAND);

    assert!(matches!(refused, Err(ProposeRefused::Busy { .. })));
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    cluster.assert_applied_everywhere("e");
    cluster.assert_never_applied("c");
}

// Each time that it falls behind it is sent another snapshot. Had it to keep them all, memory would be its bound.
#[test]
fn a_state_machine_that_hangs_is_handed_one_snapshot_at_a_time() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.hold_apply(3);

    let mut fall_behind = |command: &str| {
        cluster.isolate(3);
        cluster
            .propose(1, command)
            .expect("the leader takes proposals");
        cluster.settle();
        cluster.take_snapshot(1);
        cluster.settle();
        cluster.heal();
        cluster.run_for(2 * ELECTION_TIMEOUT);
        cluster.snapshots_handed_out(3)
    };
    let handed_out = ["first", "second", "third"].map(&mut fall_behind);
    cluster.release_apply(3);
    cluster.run_for(ELECTION_TIMEOUT);

    assert!(handed_out.iter().all(|count| *count <= 1), "{handed_out:?}");
    assert_eq!(cluster.applied(3), ["first", "second", "third"]);
}
