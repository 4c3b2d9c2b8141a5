//! Traps that the simulator found, or the reading that it called for: each was once a bug of this core.

use liferaft_raft::config::Config;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{
    HardState, Input, MembershipChange, Output, Raft, Recovered, RoleKind,
};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{ServerId, Term};
use liferaft_raft::time::{ClusterTime, Instant};

use crate::cluster::filter::{append_replies, appends, chunks_at, entries, vote_requests};
use crate::cluster::forge::{append, command, position, vote_request};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY};
use crate::compaction::{one_left_behind, small_chunks};

/// A leader left a joint configuration only when it saw it become committed. One that had known of that as a follower
/// stayed joint for ever, and refused every later change.
#[test]
fn a_joint_configuration_that_a_follower_knew_to_be_committed_is_left_when_it_leads() {
    let mut cluster = Cluster::of(3).with_leader(3);
    cluster.add_blank(4);
    let replace =
        MembershipChange::add_voter(ServerId(4)).and(MembershipChange::remove(ServerId(2)));
    cluster.change(3, replace);
    cluster.run_until("all have the joint configuration", |cluster| {
        [1, 2, 4].map(|id| cluster.status(id).configuration.is_joint()) == [true; 3]
    });
    cluster.drop_all(entries());
    cluster.run_for(2 * HEARTBEAT);
    for id in [1, 2, 4] {
        let status = cluster.status(id);
        assert!(status.configuration.is_joint() && status.configuration_index <= status.commit);
    }

    cluster.crash(3);
    cluster.let_pass();
    cluster.run_for(10 * ELECTION_TIMEOUT);

    let leader = cluster.assert_one_leader_among([1, 4]);
    assert_eq!(cluster.voters(leader), [1, 3, 4]);
    assert!(!cluster.status(leader).configuration.is_joint());
}

/// The leader compacted its log past the snapshot that it was sending. When all of that had arrived, it went on asking
/// how far the receiver was, and never sent the next.
#[test]
fn a_log_that_is_cut_past_the_snapshot_under_way_has_the_next_one_sent() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(HEARTBEAT);
    cluster
        .propose(1, "fourth command")
        .expect("the leader takes proposals");
    cluster.run_for(HEARTBEAT);
    cluster.take_snapshot(1);
    cluster.run_for(HEARTBEAT);

    cluster.let_pass();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_applied_everywhere("fourth command");
}

/// What was handed to the state machine before a snapshot took the log's place was counted out of it afterwards: by the
/// weights of entries behind the snapshot, which had never been handed out.
#[test]
fn entries_that_a_snapshot_replaced_while_they_were_applied_are_not_counted_out_of_it() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.hold_apply(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();
    cluster.isolate(3);
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();
    cluster.hold_disk(3);
    cluster.heal();
    cluster.run_for(HEARTBEAT);
    let end = cluster.status(3).last;
    assert_eq!(end.index.0, 4, "the snapshot has taken the log's place");

    let term = cluster.term(1);
    let next = Entry {
        stamp: ClusterTime(1 << 60),
        ..command(end.index.0 + 1, term, "a long command behind the snapshot")
    };
    cluster.forge(1, 3, append(term, 99, end, vec![next]));
    cluster.run_for(HEARTBEAT / 4);
    cluster.release_apply(3);
    cluster.run_for(HEARTBEAT / 4);

    assert_eq!(cluster.status(3).last.index, end.index.next());
}

/// A crash left a snapshot on disk, and behind it a tail that contradicts it. Recovery passed over the tail but did not
/// have it dropped, so that the next write left a gap.
#[test]
fn a_stored_tail_that_contradicts_the_stored_snapshot_is_dropped() {
    let logs: [(u128, &[u64]); 3] = [
        (1, &[1, 2, 2]),
        (2, &[1, 2, 2]),
        (3, &[1, 1, 1, 1, 1, 1, 1]),
    ];
    let mut cluster = Cluster::from_logs_with_limits(logs, small_chunks);
    cluster.drop_all(entries().to(3));
    cluster.elect(1);
    cluster.run_for(HEARTBEAT);
    cluster.take_snapshot(1);
    cluster.run_until("it is on disk", |cluster| {
        cluster.stored_snapshot(1).is_some()
    });
    cluster.hold_disk(3);
    cluster.run_for(2 * HEARTBEAT);

    cluster.crash_within_a_write(3, 2);
    assert!(cluster.stored_snapshot(3).is_some());
    assert_eq!(cluster.stored_terms(3).len(), 8, "the tail is still there");
    cluster.restart(3);
    cluster.heal();
    cluster.commit(1, "next");

    cluster.assert_applied_everywhere("next");
}

/// A leader had appended its own demotion and nobody else had it: the other voter needed its vote, which it had to
/// refuse for its longer log, and it did not campaign itself (§4.2.2, figure 4.6).
#[test]
fn a_server_that_an_uncommitted_configuration_leaves_out_campaigns_if_it_is_needed() {
    let mut cluster = Cluster::of(2).with_leader(1);
    cluster.drop_all(entries().to(2));
    cluster.change(1, MembershipChange::add_learner(ServerId(1)));
    cluster.run_for(HEARTBEAT);
    assert_eq!(cluster.voters(1), [2]);

    cluster.crash(1);
    cluster.restart(1);
    cluster.let_pass();
    cluster.run_for(10 * ELECTION_TIMEOUT);

    assert_eq!(cluster.leader(), Some(2));
    assert_eq!(cluster.voters(2), [2]);
}

/// A server that had lost an election waited shortly for its next attempt. It heard its leader again, and went on
/// waiting as shortly for each of its words: soon it asked for votes while all was well.
#[test]
fn a_server_that_lost_an_election_and_hears_its_leader_again_is_as_patient_as_any() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(appends().from(1).to(3));
    cluster.run_until("it has lost an election", |cluster| {
        let has_asked = !cluster.sent(vote_requests().from(3)).is_empty();
        has_asked && cluster.status(3).role == RoleKind::Follower
    });
    let (term, last) = (cluster.term(1), cluster.status(3).last);

    cluster.forge(1, 3, append(term, 99, last, vec![]));
    cluster.run_for(LATENCY);
    cluster.forget_sent();
    cluster.run_for(ELECTION_TIMEOUT - 2 * LATENCY);

    assert!(cluster.sent(vote_requests().from(3)).is_empty());
}

/// A founder crashed when its first term was on disk and its first entry was not. It took itself for no founder any
/// more.
#[test]
fn a_founding_that_crashed_before_its_entry_was_stored_is_repeated() {
    let stored = HardState {
        term: Term(1),
        ..HardState::default()
    };

    assert!(founds_again(stored));
}

/// The same, where the first campaign had begun before the founding was stored.
#[test]
fn a_founding_that_crashed_with_a_vote_for_oneself_is_repeated() {
    let stored = HardState {
        term: Term(2),
        voted_for: Some(ServerId(1)),
        ..HardState::default()
    };

    assert!(founds_again(stored));
}

/// The same, where another founder's campaign was heard of before. It stayed blank, and blank servers give no vote:
/// with one other voter left there was no leader any more (seed 5167).
#[test]
fn a_founding_that_crashed_in_a_later_term_is_repeated() {
    let stored = HardState {
        term: Term(2),
        ..HardState::default()
    };

    assert!(founds_again(stored));
}

/// The same, where another founder asked for a vote before the founding was stored: both are in one write, of which the
/// crash left the vote alone. It has not been given.
#[test]
fn a_founding_that_crashed_with_a_vote_for_another_is_repeated() {
    let mut founder = blank_founder(HardState::default());
    let mut output = Output::default();
    let (from, message) = (ServerId(2), vote_request(2, position(1, 1)));

    let inputs = [
        Input::Bootstrap(Box::new(founders())),
        Input::Message { from, message },
    ];
    founder.inputs(Instant::ORIGIN, inputs, &mut output);

    let [write] = &output.writes[..] else {
        panic!("one write has it all: {:?}", output.writes);
    };
    let stored = write.hard_state.expect("the vote is in it");
    assert_eq!((stored.voted_for, write.entries.len()), (Some(from), 1));
    assert!(output.messages.is_empty());
    assert!(founds_again(stored));
}

/// On a network that reorders, each message that came too early was answered as a conflict, and every third of those
/// had a whole window sent again: 83 million inputs in 20 seconds.
#[test]
fn messages_that_come_in_the_wrong_order_bring_forth_no_storm() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.append_bytes_max = 1).with_leader(1);
    cluster.hold(entries().to(3));
    propose_many(&mut cluster, 300);
    cluster.run_for(HEARTBEAT / 2);
    cluster.forget_sent();

    for _ in 0..20 {
        cluster.deliver_held_backwards();
        cluster.run_for(HEARTBEAT / 4);
    }
    cluster.let_pass();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_same_logs([1, 2, 3]);
    let sent = cluster.sent(entries().to(3)).len();
    assert!(sent < 1000, "{sent} messages for 300 entries");
}

/// A follower asks again for a read that is not answered. Its repetitions filled the leader's table, and the read was
/// refused by its own double.
#[test]
fn a_forwarded_read_that_is_repeated_takes_one_place_at_the_leader() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.reads_max = 2).with_leader(1);
    cluster.hold(append_replies());

    let read = cluster.read(2);
    cluster.run_for(4 * HEARTBEAT);
    assert_eq!(cluster.read_answer(read), None);
    cluster.let_pass();
    cluster.deliver_held();
    cluster.run_for(2 * HEARTBEAT);

    cluster.assert_read_served(read);
}

/// A receiver that restarted was told the first chunk once more by a late double, and answered with less than the
/// leader took to have arrived: neither went on.
#[test]
fn a_transfer_resumes_where_a_receiver_that_lost_its_part_says_it_is() {
    let mut cluster = one_left_behind();
    cluster.heal();
    cluster.drop_all(chunks_at(24));
    cluster.run_for(HEARTBEAT);
    let first = cluster.sent(chunks_at(0))[0].clone();
    cluster.crash(3);
    cluster.restart(3);

    cluster.forge(1, 3, first);
    cluster.run_for(HEARTBEAT);
    cluster.let_pass();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_applied_on([1, 2, 3], "third command");
}

/// Whether a server that stored this of its founding founds its cluster when it is told to once more.
fn founds_again(stored: HardState) -> bool {
    let mut founder = blank_founder(stored);
    let mut output = Output::default();

    founder.input(
        Instant::ORIGIN,
        Input::Bootstrap(Box::new(founders())),
        &mut output,
    );

    output.writes.iter().any(|write| !write.entries.is_empty())
}

fn blank_founder(stored: HardState) -> Raft {
    let recovered = Recovered {
        hard_state: stored,
        ..Recovered::default()
    };
    let now = Instant::ORIGIN;
    Raft::new(ServerId(1), Config::default(), recovered, now, 7).expect("nothing is damaged")
}

fn founders() -> Configuration {
    Configuration::of_voters([ServerId(1), ServerId(2)])
}

fn propose_many(cluster: &mut Cluster, count: usize) {
    for _ in 0..count {
        cluster
            .propose(1, "one of many")
            .expect("the leader takes proposals");
    }
}
