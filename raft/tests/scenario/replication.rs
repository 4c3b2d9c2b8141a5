//! §3.5, log replication, and §10.2.1, pipelines.

use std::sync::Arc;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::ProposeRefused;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, Conflict, Message, Token};

use crate::cluster::filter::{
    append_replies, appends, commit_notices, conflicts, entries, everything,
};
use crate::cluster::forge::{append, command, position};
use crate::cluster::{Cluster, DISK_LATENCY, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

#[test]
fn a_command_is_applied_on_every_server() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_everywhere("a");
}

#[test]
fn commands_are_applied_in_the_order_in_which_they_were_proposed() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.propose(1, "c").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.applied(1), ["a", "b", "c"]);
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

#[test]
fn a_lone_voter_commits_by_itself() {
    let mut cluster = Cluster::of(1).with_leader(1);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_everywhere("a");
}

#[test]
fn a_follower_points_to_the_leader() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let refused = cluster.propose(2, "a");

    let leader = Some(ServerId(1));
    assert_eq!(refused, Err(ProposeRefused::NotLeader { leader }));
    cluster.settle();
    cluster.assert_never_applied("a");
}

#[test]
fn a_minority_that_is_down_holds_nothing_up() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.crash(4);
    cluster.crash(5);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([1, 2, 3], "a");
}

#[test]
fn nothing_is_committed_without_a_majority() {
    let mut cluster = Cluster::of(5).with_leader(1);
    let commit = cluster.commit_index(1);
    cluster.crash(3);
    cluster.crash(4);
    cluster.crash(5);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(10 * ELECTION_TIMEOUT);

    assert_eq!(cluster.commit_index(2), commit);
    cluster.assert_never_applied("a");
}

// What is the same is encoded once for all of them: only the head of a frame differs by receiver.
#[test]
fn peers_that_have_got_equally_far_are_sent_one_body() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.forget_sent();

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(LATENCY / 2);

    let mut sent = cluster.sent(entries().from(1));
    let tokens: Vec<_> = sent.iter_mut().map(Message::take_token).collect();
    assert_eq!(sent.len(), 4);
    assert!(tokens.iter().all(|token| *token != Token::NONE));
    assert!(sent.iter().all(|message| *message == sent[0]));
    let bodies = sent.iter().map(|message| match &message.body {
        Body::AppendEntries(append) => Arc::as_ptr(&append.entries),
        other => panic!("{other:?} has no entries"),
    });
    let first = bodies.clone().next();
    assert!(bodies.map(Some).all(|entries| entries == first));
}

#[test]
fn a_slow_follower_does_not_slow_the_majority() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.slow_down(1, 3, ELECTION_TIMEOUT / 2);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([1, 2], "a");
}

#[test]
fn a_commit_is_told_at_once_and_not_with_the_next_heartbeat() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(HEARTBEAT / 2);

    cluster.propose(1, "a").expect("the leader takes proposals");
    // There and back, the write, and the word that it is committed.
    cluster.run_for(3 * LATENCY + 2 * DISK_LATENCY + LATENCY);

    cluster.assert_applied_everywhere("a");
}

#[test]
fn a_command_is_applied_on_three_servers_for_at_most_six_messages() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.forget_sent();
    cluster.run_until("a heartbeat is sent", |cluster| {
        !cluster.sent(appends()).is_empty()
    });
    cluster.run_for(4 * LATENCY);
    cluster.forget_sent();

    cluster.commit(1, "a");

    let messages = cluster.sent(everything());
    assert!(
        messages.len() <= 6,
        "{} messages: {messages:#?}",
        messages.len()
    );
}

#[test]
fn a_lost_commit_notice_is_made_good_by_the_next_heartbeats() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(commit_notices());

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(3 * HEARTBEAT);

    cluster.assert_applied_everywhere("a");
}

#[test]
fn lost_entries_are_sent_again() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.drop_next(entries().to(2));
    cluster.drop_next(entries().to(3));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();

    cluster.assert_applied_everywhere("a");
}

#[test]
fn lost_acknowledgements_are_asked_for_again() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.drop_next(append_replies().from(2));
    cluster.drop_next(append_replies().from(3));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();

    cluster.assert_applied_everywhere("a");
}

#[test]
fn entries_that_arrive_backwards_are_appended_forwards() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold(entries());
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.propose(1, "c").expect("the leader takes proposals");

    cluster.let_pass();
    cluster.deliver_held_backwards();
    cluster.settle();

    assert_eq!(cluster.applied(2), ["a", "b", "c"]);
    assert_eq!(cluster.applied(3), ["a", "b", "c"]);
}

#[test]
fn entries_that_arrive_twice_are_appended_once() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.double(everything());

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.settle();

    assert_eq!(cluster.applied(2), ["a", "b"]);
    cluster.assert_same_logs([1, 2, 3]);
    assert!(
        cluster.status(2).refused.is_empty(),
        "a doubled message is no offence"
    );
}

#[test]
fn a_full_window_recovers_when_all_of_it_was_lost() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.inflight_bytes_max = 200).with_leader(1);
    cluster.drop_all(entries());
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.propose(1, "c").expect("the leader takes proposals");
    cluster.propose(1, "d").expect("the leader takes proposals");
    cluster.propose(1, "e").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.heal();
    cluster.settle();

    cluster.assert_applied_everywhere("a");
    cluster.assert_applied_everywhere("e");
}

#[test]
fn a_bad_network_loses_nothing_and_doubles_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1).over_a_bad_network(11);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(HEARTBEAT);
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.run_for(HEARTBEAT);
    cluster.propose(1, "c").expect("the leader takes proposals");

    cluster.run_for(ELECTION_TIMEOUT);
    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(1), ["a", "b", "c"]);
    cluster.assert_same_logs([1, 2, 3]);
}

#[test]
fn a_follower_that_was_away_catches_up() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.settle();

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    assert_eq!(cluster.applied(3), ["a", "b"]);
    cluster.assert_leader(1);
}

#[test]
fn an_idle_leader_repairs_a_log_by_its_heartbeats() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2]), (2, &[1, 2]), (3, &[])]);

    cluster.elect(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_same_logs([1, 2, 3]);
}

/// The logs of figure 3.6, with an entry of term 1 for the configuration before them.
#[test]
fn a_leader_brings_the_logs_of_figure_3_6_to_its_own() {
    let mut cluster = Cluster::from_logs([
        (1, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6]),
        (2, &[1, 1, 1, 4, 4, 5, 5, 6, 6]),
        (3, &[1, 1, 1, 4]),
        (4, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]),
        (5, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]),
        (6, &[1, 1, 1, 4, 4, 4, 4]),
        (7, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]),
    ]);

    // The server of the extra entries of term 7 has seen a later term, and the leader's is later still.
    cluster.elect(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    cluster.assert_same_logs([1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_long_divergence_is_found_in_few_steps() {
    let mut ours = [2; 300];
    ours[299] = 4;
    let mut cluster = Cluster::from_logs([(1, &ours[..]), (2, &ours[..]), (3, &[3; 300][..])]);

    cluster.elect(1);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_same_logs([1, 2, 3]);
    let steps = cluster.sent(conflicts().from(3)).len();
    assert!(steps <= 6, "{steps} steps");
}

#[test]
fn the_uncommitted_tail_is_bounded() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.uncommitted_bytes_max = 100).with_leader(1);
    cluster.drop_all(entries());

    let first = cluster.propose(
        1,
        "longer than all that is allowed, but alone on an empty tail, \
                                    where there is always room for one command",
    );
    let second = cluster.propose(1, "b");

    assert!(first.is_ok());
    assert!(matches!(second, Err(ProposeRefused::Busy { .. })));
}

#[test]
fn room_in_the_tail_returns_with_commitment() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.uncommitted_bytes_max = 100).with_leader(1);
    cluster.propose(1, "a").expect("there is room for one");
    cluster.propose(1, "b").expect("there is room for two");
    let refused = cluster.propose(1, "c");
    cluster.run_for(ONE_COMMAND);

    let accepted = cluster.propose(1, "d");
    cluster.run_for(ONE_COMMAND);

    assert!(matches!(refused, Err(ProposeRefused::Busy { .. })));
    assert!(accepted.is_ok());
    cluster.assert_applied_everywhere("d");
    cluster.assert_never_applied("c");
}

#[test]
fn a_command_beyond_the_longest_is_refused() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.command_bytes_max = 3).with_leader(1);

    let allowed = cluster.propose(1, "abc");
    let refused = cluster.propose(1, "abcd");

    assert!(allowed.is_ok());
    assert_eq!(
        refused,
        Err(ProposeRefused::TooLarge {
            bytes: 4,
            bytes_max: 3
        })
    );
}

#[test]
fn a_command_beyond_the_longest_entry_of_the_cluster_is_refused() {
    let mut cluster = Cluster::of(0);
    cluster.add_blank(1);
    let configuration = Configuration::of_voters([ServerId(1)]).with_entry_bytes_max(50);
    cluster.found(1, configuration);
    let mut cluster = cluster.with_leader(1);

    let allowed = cluster.propose(1, &"a".repeat(50));
    let refused = cluster.propose(1, &"b".repeat(51));

    assert!(allowed.is_ok());
    assert_eq!(
        refused,
        Err(ProposeRefused::TooLarge {
            bytes: 51,
            bytes_max: 50
        })
    );
}

#[test]
fn a_slow_state_machine_does_not_hold_up_commitment() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold_apply(3);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(5 * ELECTION_TIMEOUT);
    cluster.assert_applied_on([1, 2], "a");
    cluster.release_apply(3);
    cluster.settle();

    cluster.assert_applied_everywhere("a");
    cluster.assert_leader(1);
}

#[test]
fn what_is_committed_and_not_applied_is_bounded() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.applying_bytes_max = 100).with_leader(1);
    cluster.hold_apply(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.propose(1, "b").expect("the leader takes proposals");
    cluster.propose(1, "c").expect("the leader takes proposals");
    cluster.propose(1, "d").expect("the leader takes proposals");
    cluster.settle();
    assert!(cluster.handed_out(3) <= 3, "49 bytes each, and one more");

    cluster.release_apply(3);
    cluster.settle();

    assert_eq!(cluster.applied(3), ["a", "b", "c", "d"]);
}

// The gap is found while the term is not on disk yet, and a part of it is filled before the answer may leave. An answer
// that told of the log as it was would have that part sent again.
#[test]
fn an_answer_about_a_gap_tells_of_what_has_filled_a_part_of_it() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    cluster.hold_disk(1);
    let (third, fourth) = (command(3, 2, "c"), command(4, 2, "d"));
    let sixth = command(6, 2, "f");

    cluster.forge(2, 1, append(2, 1, position(2, 5), vec![sixth]));
    cluster.forge(2, 1, append(2, 2, position(1, 2), vec![third, fourth]));
    cluster.release_disk(1);
    cluster.run_for(2 * DISK_LATENCY);

    let told = cluster.sent(conflicts().from(1));
    assert!(matches!(&told[..], [answer, ..]
        if matches!(&answer.body, Body::AppendEntriesReply(reply)
            if reply.conflict == Some(Conflict { prev: Index(5), hint: position(2, 4) }))));
}

#[test]
fn what_came_early_waits_until_all_before_it_is_there() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);

    cluster.forge(2, 1, append(2, 1, position(2, 5), vec![command(6, 2, "f")]));
    cluster.forge(2, 1, append(2, 2, position(1, 2), vec![command(3, 2, "c")]));
    assert_eq!(cluster.last_index(1), 3);
    let (fourth, fifth) = (command(4, 2, "d"), command(5, 2, "e"));
    cluster.forge(2, 1, append(2, 3, position(2, 3), vec![fourth, fifth]));

    assert_eq!(cluster.last_index(1), 6);
}

#[test]
fn a_peer_whose_link_is_up_again_is_spoken_to_at_once() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.forget_sent();

    cluster.announce_link(1, 3);

    assert_eq!(cluster.sent(appends().to(3)).len(), 1);
    assert!(cluster.sent(appends().to(2)).is_empty());
    cluster.run_for(3 * LATENCY);
    assert!(!cluster.sent(append_replies().from(3)).is_empty());
}
