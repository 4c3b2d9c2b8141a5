//! What piles up on a server while its disk or its state machine hangs: no more than it has bounds for.

use liferaft_raft::consensus::{ProposeRefused, Refusal};
use liferaft_raft::message::{Body, RequestVoteReply};

use crate::cluster::filter::{append_replies, chunk_replies, everything, votes};
use crate::cluster::forge::{
    append, chunk, command, position, pre_vote_request, snapshot, vote_request,
};
use crate::cluster::{Cluster, DISK_LATENCY, ELECTION_TIMEOUT, ONE_COMMAND};
use crate::compaction::small_chunks;

// The followers commit without the leader's disk (§10.2.1), so that commitment alone bounds nothing of what waits for
// it.
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
    let busy = ProposeRefused::Busy {
        pending_bytes,
        pending_bytes_max: 2000,
    };
    assert_eq!(refused, Err(busy));
    let committed = cluster.commit_index(1);
    assert_eq!(committed, cluster.last_index(1));
}

// A leader's window bounds what one leader sends. A follower counts for itself, whoever leads and whatever it sends.
#[test]
fn a_follower_whose_disk_hangs_takes_no_more_than_its_bound() {
    let mut cluster = Cluster::from_logs_with_limits([(1, &[1]), (2, &[1]), (3, &[1])], |limits| {
        limits.uncommitted_bytes_max = 2000;
    });
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);
    let before = cluster.last_index(1);

    let mut send = |index: u64| {
        let entries = vec![command(index, 1, "command")];
        cluster.forge(2, 1, append(1, index, position(1, index - 1), entries));
    };
    (before + 1..=before + 100).for_each(&mut send);
    let taken = cluster.last_index(1) - before;
    let refused = cluster.refused(1, Refusal::StorageBusy);
    cluster.release_disk(1);
    cluster.run_for(100 * DISK_LATENCY);
    let next = cluster.last_index(1) + 1;
    let entries = vec![command(next, 1, "command")];
    cluster.forge(2, 1, append(1, 101, position(1, next - 1), entries));

    assert_eq!((taken, refused), (37, 63), "of 55 bytes each");
    assert_eq!(cluster.last_index(1), next, "it goes on");
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

/// Server 1, whose disk hangs, and to which the others send what the stories forge.
fn server_with_a_hanging_disk() -> Cluster {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);
    cluster
}

fn votes_of(cluster: &Cluster, id: u128) -> Vec<RequestVoteReply> {
    let votes = cluster.sent(votes().from(id)).into_iter();
    let replies = votes.map(|message| match message.body {
        Body::RequestVoteReply(reply) => reply,
        other => panic!("{other:?} is no vote"),
    });
    replies.collect()
}

#[test]
fn while_a_disk_hangs_one_answer_of_a_kind_is_held_for_a_peer() {
    let mut cluster = server_with_a_hanging_disk();

    for campaign in 2..302 {
        cluster.forge(2, 1, vote_request(campaign, position(1, 9)));
        cluster.forge(3, 1, pre_vote_request(campaign, position(1, 9)));
        cluster.forge(2, 1, append(1, 1, position(1, 1), vec![]));
        let whole = snapshot(1, position(1, 9), [1, 2, 3], "state");
        cluster.forge(2, 1, chunk(1, whole));
    }
    cluster.forget_sent();
    cluster.release_disk(1);
    cluster.run_for(400 * DISK_LATENCY);

    let votes = votes_of(&cluster, 1);
    let newest: Vec<_> = votes.iter().map(|vote| vote.campaign.0).collect();
    assert_eq!(newest, [301]);
    assert!(votes[0].granted);
    assert_eq!(cluster.sent(everything().from(1).to(3)).len(), 1);
    assert_eq!(cluster.sent(append_replies().from(1)).len(), 1);
    assert_eq!(cluster.sent(chunk_replies().from(1)).len(), 1);
}

#[test]
fn a_vote_that_is_held_outlives_later_answers_to_older_questions() {
    let mut cluster = server_with_a_hanging_disk();

    cluster.forge(2, 1, vote_request(7, position(1, 9)));
    cluster.forge(2, 1, vote_request(6, position(1, 9)));
    cluster.forge(2, 1, vote_request(7, position(1, 1)));
    cluster.release_disk(1);
    cluster.run_for(4 * DISK_LATENCY);

    let votes = votes_of(&cluster, 1);
    let answers: Vec<_> = votes
        .iter()
        .map(|vote| (vote.campaign.0, vote.granted))
        .collect();
    assert_eq!(answers, [(7, true)]);
}
