//! Messages that no honest server sends: refused and counted, and nothing comes of them.

use liferaft_raft::consensus::{Event, Refusal, TERM_JUMP_MAX};
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::time::ClusterTime;

use crate::cluster::filter::vote_requests;
use crate::cluster::forge::{
    append, append_reply, command, position, pre_vote, vote, vote_request,
};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, LATENCY, ONE_COMMAND};
use crate::compaction::small_chunks;

#[test]
fn a_term_that_no_elections_explain_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(2);

    cluster.forge(3, 2, vote_request(1 << 61, position(1 << 60, 9)));
    cluster.forge(3, 2, append(1 << 61, 1, position(term, 2), vec![]));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.refused(2, Refusal::TermJump), 2);
    assert_eq!(cluster.term(2), term);
    cluster.assert_leader(1);
}

#[test]
fn entries_with_a_gap_are_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let (term, last) = (cluster.term(1), cluster.last_index(3));
    let entries = vec![command(last + 1, term, "a"), command(last + 3, term, "b")];

    cluster.forge(1, 3, append(term, 50, position(term, last), entries));

    assert_eq!(cluster.refused(3, Refusal::MalformedEntries), 1);
    assert_eq!(cluster.last_index(3), last);
}

#[test]
fn entries_whose_terms_decrease_are_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let (term, last) = (cluster.term(1), cluster.last_index(3));
    let entries = vec![
        command(last + 1, term, "a"),
        command(last + 2, term - 1, "b"),
    ];

    cluster.forge(1, 3, append(term, 50, position(term, last), entries));

    assert_eq!(cluster.refused(3, Refusal::MalformedEntries), 1);
    assert_eq!(cluster.last_index(3), last);
}

#[test]
fn an_entry_of_a_later_term_than_its_leaders_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let (term, last) = (cluster.term(1), cluster.last_index(3));
    let entries = vec![command(last + 1, term + 1, "a")];

    cluster.forge(1, 3, append(term, 50, position(term, last), entries));

    assert_eq!(cluster.refused(3, Refusal::MalformedEntries), 1);
}

#[test]
fn entries_at_the_end_of_all_indices_are_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let mut entry = command(1, term, "a");
    entry.index = Index(u64::MAX);

    cluster.forge(
        1,
        3,
        append(term, 50, position(term, u64::MAX - 1), vec![entry]),
    );

    assert_eq!(cluster.refused(3, Refusal::MalformedEntries), 1);
}

#[test]
fn what_is_committed_is_never_overwritten() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "kept");
    let term = cluster.term(3);
    let forged = command(2, term + 1, "forged");

    cluster.forge(2, 3, append(term + 1, 1, position(1, 1), vec![forged]));

    assert_eq!(cluster.refused(3, Refusal::ConflictWithCommitted), 1);
    cluster.assert_applied_on([3], "kept");
    cluster.run_for(6 * ELECTION_TIMEOUT);
    cluster.assert_never_applied("forged");
    cluster.assert_same_logs([1, 2, 3]);
}

#[test]
fn a_second_leader_of_a_term_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let (term, last) = (cluster.term(3), cluster.last_index(3));

    cluster.forge(2, 3, append(term, 50, position(term, last), vec![]));

    assert_eq!(cluster.refused(3, Refusal::SecondLeader), 1);
    assert_eq!(cluster.status(3).leader, Some(ServerId(1)));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let (term, last, commit) = (
        cluster.term(1),
        cluster.last_index(1),
        cluster.commit_index(1),
    );

    cluster.forge(2, 1, append_reply(term, 1, last + 100));
    cluster.forge(3, 1, append_reply(term, 1, last + 100));

    assert_eq!(cluster.refused(1, Refusal::ImpossibleAcknowledgement), 2);
    assert_eq!(cluster.commit_index(1), commit);
}

#[test]
fn an_acknowledgement_from_a_stranger_counts_for_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.isolate(1);
    cluster.propose(1, "a").expect("it takes proposals");
    let last = cluster.last_index(1);

    cluster.forge(8, 1, append_reply(term, 1, last));
    cluster.forge(9, 1, append_reply(term, 1, last));
    cluster.run_for(ONE_COMMAND);

    assert_eq!(cluster.refused(1, Refusal::NotAPeer), 2);
    cluster.assert_never_applied("a");
}

#[test]
fn a_refusal_is_told_to_observers() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(3);

    cluster.forge(2, 3, append(term, 50, position(term, 1), vec![]));

    let refused = Event::Refused {
        from: ServerId(2),
        reason: Refusal::SecondLeader,
    };
    assert!(cluster.events(3).any(|event| *event == refused));
}

#[test]
fn an_acknowledgement_of_an_earlier_term_counts_for_nothing() {
    let mut cluster = Cluster::from_logs([(1, &[1, 2]), (2, &[1, 2]), (3, &[1])]);
    cluster.elect(1);
    let term = cluster.term(1);
    cluster.isolate(1);
    cluster.propose(1, "a").expect("it takes proposals");
    let last = cluster.last_index(1);

    cluster.forge(2, 1, append_reply(term - 1, 1, last));
    cluster.forge(3, 1, append_reply(term - 1, 1, last));
    cluster.run_for(ONE_COMMAND);

    cluster.assert_never_applied("a");
}

#[test]
fn a_vote_that_nobody_asked_for_elects_nobody() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    let term = cluster.term(1);

    cluster.forge(2, 1, vote(term, term));
    cluster.forge(3, 1, vote(term, term));
    cluster.run_for(LATENCY);

    cluster.assert_leads_nothing(1);
}

#[test]
fn a_vote_for_another_campaign_elects_nobody() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    let term = cluster.term(1);
    cluster.run_until("it asks whether it would be elected", |cluster| {
        !cluster.sent(vote_requests().from(1)).is_empty()
    });
    cluster.forge(2, 1, pre_vote(term, term + 1));
    assert_eq!(cluster.term(1), term + 1, "it campaigns");
    cluster.run_for(LATENCY);

    cluster.forge(2, 1, vote(term + 1, term));
    cluster.assert_leads_nothing(1);
    cluster.forge(2, 1, vote(term + 1, term + 1));

    cluster.assert_leader(1);
}

#[test]
fn a_pre_vote_is_no_vote() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    let term = cluster.term(1);
    cluster.run_until("it asks whether it would be elected", |cluster| {
        !cluster.sent(vote_requests().from(1)).is_empty()
    });
    cluster.forge(2, 1, pre_vote(term, term + 1));
    cluster.run_for(LATENCY);

    cluster.forge(2, 1, pre_vote(term, term + 1));
    cluster.forge(3, 1, pre_vote(term + 1, term + 1));

    cluster.assert_leads_nothing(1);
}

#[test]
fn a_term_that_elections_may_just_explain_is_believed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(2) + TERM_JUMP_MAX;

    cluster.forge(3, 2, append(term, 1, position(1, 1), vec![]));

    assert_eq!(cluster.refused(2, Refusal::TermJump), 0);
    assert_eq!(cluster.term(2), term);
}

#[test]
fn a_vote_for_a_log_from_the_future_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.crash(3);
    cluster.run_for(ELECTION_TIMEOUT);
    let term = cluster.term(2) + 5;

    cluster.forge(3, 2, vote_request(term, position(term + 1, 9)));

    assert_eq!(cluster.refused(2, Refusal::MalformedVote), 1);
    assert_eq!(cluster.status(2).voted_for, Some(ServerId(1)));
}

#[test]
fn a_vote_for_the_campaign_of_another_term_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(1);
    cluster.crash(3);
    cluster.run_for(ELECTION_TIMEOUT);
    let mut request = vote_request(cluster.term(2) + 5, position(1, 9));
    request.term = Term(request.term.0 + 1);

    cluster.forge(3, 2, request);

    assert_eq!(cluster.refused(2, Refusal::MalformedVote), 1);
    assert_eq!(cluster.status(2).voted_for, Some(ServerId(1)));
}

#[test]
fn an_entry_of_an_earlier_time_than_the_one_before_it_is_refused() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.commit(1, "a");
    assert!(cluster.last_stamp(3) > ClusterTime::ZERO);

    assert_an_early_entry_is_refused(cluster);
}

#[test]
fn an_entry_of_an_earlier_time_than_the_snapshot_before_it_is_refused() {
    let mut cluster = Cluster::with_limits(3, small_chunks).with_leader(1);
    cluster.run_for(ELECTION_TIMEOUT);
    cluster.commit(1, "a");
    cluster.take_snapshot(3);
    cluster.settle();
    assert!(cluster.stored_terms(3).is_empty());

    assert_an_early_entry_is_refused(cluster);
}

/// Leader 1 sends server 3 an entry that is older than what it has.
fn assert_an_early_entry_is_refused(mut cluster: Cluster) {
    let (term, last) = (cluster.term(3), cluster.last_index(3));
    let entries = vec![command(last + 1, term, "early")];

    cluster.forge(1, 3, append(term, 50, position(term, last), entries));

    assert_eq!(cluster.refused(3, Refusal::MalformedEntries), 1);
    assert_eq!(cluster.last_index(3), last);
}

#[test]
fn what_a_leader_has_sent_it_cannot_take_back() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);
    let (sent, other) = (command(3, 2, "sent"), command(3, 3, "other"));

    cluster.forge(2, 1, append(3, 1, position(1, 2), vec![sent]));
    cluster.forge(2, 1, append(3, 2, position(1, 2), vec![other]));
    cluster.run_for(LATENCY);

    assert_eq!(cluster.refused(1, Refusal::MalformedEntries), 1);
    assert_eq!(cluster.stored_terms(1), [1, 1, 2]);
}

#[test]
fn of_what_comes_early_no_more_is_kept_than_an_honest_leader_sends() {
    let mut cluster = Cluster::from_logs([(1, &[1]), (2, &[1]), (3, &[1])]);
    cluster.crash(2);
    cluster.crash(3);

    for index in 4..=80 {
        let early = vec![command(index, 2, "early")];
        cluster.forge(2, 1, append(2, index, position(2, index - 1), early));
    }
    let first = vec![command(3, 2, "first")];
    cluster.forge(2, 1, append(2, 99, position(1, 2), first));

    assert_eq!(cluster.last_index(1), 3 + 64);
}
