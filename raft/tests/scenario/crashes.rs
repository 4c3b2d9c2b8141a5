//! §3.7, crashes of followers and candidates; §3.8, what must be on disk before it is promised; §10.2.1, slow disks.

use std::time::Duration;

use liferaft_raft::consensus::{MembershipChange, RoleKind};
use liferaft_raft::ids::{Index, ServerId, Term};

use crate::cluster::filter::{append_replies, votes};
use crate::cluster::forge::{append, append_committed, command, position, vote_request};
use crate::cluster::{Cluster, DISK_LATENCY, ELECTION_TIMEOUT, LATENCY, ONE_COMMAND};

#[test]
fn a_follower_that_crashed_catches_up_when_it_is_back() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();

    cluster.restart(3);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("a");
    cluster.assert_leader(1);
}

#[test]
fn a_leader_that_crashed_comes_back_as_a_follower() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.elect(2);

    cluster.restart(1);
    cluster.settle();

    cluster.assert_follower(1);
    cluster.assert_leader(2);
}

#[test]
fn a_cluster_that_lost_its_power_remembers_what_it_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "kept");
    cluster.crash(1);
    cluster.crash(2);
    cluster.crash(3);

    cluster.restart(1);
    cluster.restart(2);
    cluster.restart(3);
    cluster.elect_any();
    cluster.settle();

    cluster.assert_applied_everywhere("kept");
}

#[test]
fn a_committed_configuration_is_known_to_be_so_after_a_restart() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.add_blank(4);
    let added = cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();
    cluster.assert_changed(added);
    let configured = Index(cluster.last_index(1));
    cluster.crash(3);
    cluster.isolate(3);

    cluster.restart(3);
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.status(3).commit, configured);
    cluster.assert_applied_on([3], "a");
}

/// Else a chat that is opened again, and finds nobody, shows less than it did.
#[test]
fn who_restarts_alone_has_the_state_that_it_had_at_rest() {
    for alone in [1, 3] {
        let mut cluster = Cluster::of(3).with_leader(1);
        cluster.commit(1, "a");
        cluster.settle();
        for id in 1..=3 {
            cluster.crash(id);
        }

        cluster.restart(alone);
        cluster.run_for(ONE_COMMAND);

        cluster.assert_applied_on([alone], "a");
    }
}

/// So a storage that recovers a long log knows what of it is committed, and need not hold that in memory.
#[test]
fn the_commit_index_is_stored_after_each_8_mib_of_log() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let command = "x".repeat(1_000_000);
    let stored = |cluster: &Cluster| [1, 2].map(|id| cluster.stored_hard_state(id).commit.0);
    for _ in 1..=8 {
        cluster.commit(1, &command);
    }
    let (last, before) = (cluster.commit_index(1), stored(&cluster));

    cluster.commit(1, &command);

    assert!(before.iter().all(|commit| *commit < last - 7), "{before:?}");
    assert_eq!(stored(&cluster), [last; 2]);
}

// The hard state is the first part of a write: it must not tell of entries that are another part of it.
#[test]
fn a_torn_write_leaves_no_commit_index_beyond_the_log() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    let (term, last) = (cluster.term(3) + 1, cluster.status(3).last);
    let entry = command(last.index.0 + 1, term, "a");
    let next = entry.position();

    cluster.hold_disk(3);
    cluster.forge(2, 3, append_committed(term, 1, last, vec![entry]));
    assert_eq!(cluster.status(3).commit, next.index);
    cluster.crash_within_a_write(3, 1);
    cluster.restart(3);

    assert_eq!(cluster.stored_hard_state(3).term, Term(term));
    assert_eq!(cluster.status(3).commit, last.index);
}

/// More than an election timeout, and than any that is drawn.
const SLOW_WRITE: Duration = Duration::from_millis(2_100);

// Each deadline began another term before the vote of the last was durable: after 300 s the term was 197, and nobody
// led.
#[test]
fn voters_with_slow_disks_elect_a_leader_within_a_few_terms() {
    let mut cluster = Cluster::of(3);
    cluster.slow_disk(1, SLOW_WRITE);
    cluster.slow_disk(2, SLOW_WRITE);
    cluster.slow_disk(3, SLOW_WRITE);

    cluster.run_for(20 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([1, 2, 3]);
    assert!(cluster.term(leader) <= 4, "{cluster:?}");
    cluster.propose(leader, "a").expect("it takes proposals");
    cluster.run_for(5 * SLOW_WRITE);
    cluster.assert_applied_everywhere("a");
}

// A candidate gave its election up before the vote of a slow disk came, and did not count it any more.
#[test]
fn the_late_vote_of_a_slow_disk_elects_a_leader() {
    let mut cluster = Cluster::of(3);
    cluster.slow_disk(2, SLOW_WRITE);
    cluster.crash(3);

    cluster.elect(1);

    assert_eq!(cluster.term(1), 2);
}

#[test]
fn a_voter_waits_until_its_vote_is_on_disk_before_it_campaigns() {
    let mut cluster = Cluster::of(3);
    cluster.settle();
    let last = cluster.status(2).last;
    cluster.hold_disk(2);
    cluster.forge(1, 2, vote_request(2, last));

    cluster.isolate(2);
    // Longer than any wait, and not so long that the server must have slept.
    cluster.run_for(2 * ELECTION_TIMEOUT);
    let (role, wakes_at) = (cluster.status(2).role, cluster.wakes_at(2));
    cluster.release_disk(2);
    cluster.run_for(ELECTION_TIMEOUT);
    assert_eq!(cluster.status(2).role, RoleKind::Follower);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!((role, wakes_at), (RoleKind::Follower, None));
    assert_eq!(cluster.status(2).role, RoleKind::PreCandidate);
}

#[test]
fn a_candidate_whose_disk_hangs_waits_and_follows_who_leads() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);
    cluster.hold_disk(2);
    cluster.run_until("server 2 campaigns", |cluster| {
        cluster.status(2).role == RoleKind::Candidate
    });
    let term = cluster.term(2);

    cluster.isolate(2);
    cluster.run_for(10 * ELECTION_TIMEOUT);
    assert_eq!((cluster.term(2), cluster.wakes_at(2)), (term, None));
    let last = cluster.status(2).last;
    cluster.forge(3, 2, append(term, 1, last, Vec::new()));

    assert_eq!(cluster.status(2).leader, Some(ServerId(3)));
}

#[test]
fn a_lone_voter_that_restarts_goes_on() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.commit(1, "a");

    cluster.crash(1);
    cluster.restart(1);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.propose(1, "b").expect("it leads again");
    cluster.settle();

    assert_eq!(cluster.applied(1), ["a", "b"]);
}

#[test]
fn a_vote_leaves_when_it_is_on_disk() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);

    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.run_for(ELECTION_TIMEOUT / 2);
    assert_eq!(cluster.sent(votes().from(1)).len(), 0);
    cluster.release_disk(1);
    cluster.run_for(LATENCY);

    assert_eq!(cluster.sent(votes().from(1)).len(), 1);
}

#[test]
fn a_server_that_voted_and_crashed_does_not_vote_for_another() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.forge(2, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);

    cluster.crash(1);
    cluster.restart(1);
    cluster.forge(3, 1, vote_request(2, position(1, 2)));
    cluster.run_for(LATENCY);

    // The checker would not let a second vote pass.
    assert_eq!(cluster.status(1).voted_for.map(|of| of.0), Some(2));
}

#[test]
fn a_candidate_whose_own_vote_is_not_on_disk_does_not_win() {
    let mut cluster = Cluster::of(1);
    cluster.settle();
    cluster.crash(1);
    cluster.hold_disk(1);
    cluster.restart(1);

    cluster.run_for(5 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.release_disk(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
}

#[test]
fn an_entry_is_acknowledged_when_it_is_on_disk() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(2);
    cluster.hold_disk(3);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(3 * ELECTION_TIMEOUT);
    cluster.assert_never_applied("a");
    cluster.release_disk(2);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([1, 2], "a");
}

#[test]
fn the_leader_counts_its_own_log_when_it_is_on_disk() {
    let mut cluster = Cluster::of(2).with_leader(1);
    let commit = cluster.commit_index(1);
    cluster.hold_disk(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();
    assert_eq!(cluster.commit_index(1), commit);
    cluster.release_disk(1);
    cluster.settle();

    cluster.assert_applied_everywhere("a");
}

#[test]
fn the_followers_commit_while_the_leader_still_writes() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([2, 3], "a");
}

#[test]
fn a_slow_disk_costs_no_leadership() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.hold_disk(2);
    cluster.hold_disk(3);
    cluster.propose(1, "a").expect("the leader takes proposals");

    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.assert_leader(1);
    cluster.release_disk(2);
    cluster.release_disk(3);
    cluster.settle();

    assert_eq!(cluster.term(1), term);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn what_was_not_on_disk_is_lost_in_a_crash_and_sent_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();

    cluster.crash(3);
    cluster.restart(3);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("a");
    cluster.assert_same_logs([1, 2, 3]);
}

#[test]
fn a_leader_that_lost_its_unwritten_entries_follows_those_who_have_them() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_disk(1);
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.crash(1);
    cluster.restart(1);
    cluster.elect_any();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("kept");
    cluster.assert_same_logs([1, 2, 3]);
}

#[test]
fn entries_overwritten_before_they_were_written_are_not_acknowledged() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);

    cluster.forge(
        2,
        1,
        append(2, 1, position(1, 2), vec![command(3, 2, "lost")]),
    );
    cluster.forge(
        3,
        1,
        append(3, 1, position(1, 2), vec![command(3, 3, "kept")]),
    );
    cluster.release_disk(1);
    cluster.run_for(ELECTION_TIMEOUT / 10);

    assert_eq!(cluster.stored_terms(1), [1, 1, 3]);
    // What the leader of term 2 is told is nothing: its term is over.
    assert!(
        cluster
            .sent(append_replies().from(1).to(2))
            .iter()
            .all(|reply| reply.term.0 == 3)
    );
}

#[test]
fn a_majority_that_crashes_again_and_again_keeps_what_was_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.crash(1);
    cluster.crash(2);
    cluster.restart(2);
    cluster.restart(1);
    let leader = cluster.elect_any();
    cluster.commit(leader, "b");
    cluster.crash(2);
    cluster.crash(3);
    cluster.restart(3);
    cluster.restart(2);
    let leader = cluster.elect_any();
    cluster.commit(leader, "c");

    assert_eq!(cluster.applied(1), ["a", "b", "c"]);
    assert_eq!(cluster.applied(2), ["a", "b", "c"]);
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

// It asks nobody, so nothing but its own disk holds it back. A crash would let it lead the same term again with another
// log.
#[test]
fn a_lone_voter_leads_only_once_its_vote_is_on_disk() {
    let mut cluster = Cluster::of(1);
    cluster.run_for(DISK_LATENCY);
    assert_eq!(cluster.stored_terms(1), [1], "the cluster is founded");

    cluster.hold_disk(1);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.assert_leads_nothing(1);
    cluster.release_disk(1);
    cluster.run_for(2 * DISK_LATENCY);

    cluster.assert_leader(1);
}
