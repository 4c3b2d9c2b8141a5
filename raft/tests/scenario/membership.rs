//! §4.1 and §4.2, changing the configuration one server at a time: safety, catching up, removing the leader, servers
//! that disturb.

use liferaft_raft::configuration::Description;
use liferaft_raft::consensus::{
    Addition, ChangeError, Event, InvalidChange, MembershipChange, MembershipStep, ReadRefused,
};
use liferaft_raft::ids::{Index, ServerId};

use crate::cluster::changes::{add_learner, add_voter, remove};
use crate::cluster::filter::{entries, everything, vote_requests, votes};
use crate::cluster::forge::{position, vote_request};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY, ONE_COMMAND};

#[test]
fn a_blank_server_is_added_and_receives_the_log() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    cluster.add_blank(4);

    let added = cluster.change(1, add_voter(4));
    cluster.settle();

    cluster.assert_changed(added);
    cluster.assert_applied_everywhere("a");
    assert_eq!(cluster.voters(4), [1, 2, 3, 4]);
}

#[test]
fn a_cluster_grows_from_one_server_to_five() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.commit(1, "a");
    cluster.add_blank(2);
    cluster.add_blank(3);
    cluster.add_blank(4);
    cluster.add_blank(5);

    let second = cluster.change(1, add_voter(2));
    cluster.settle();
    let third = cluster.change(1, add_voter(3));
    cluster.settle();
    let fourth = cluster.change(1, add_voter(4));
    cluster.settle();
    let fifth = cluster.change(1, add_voter(5));
    cluster.settle();

    cluster.assert_changed(second);
    cluster.assert_changed(third);
    cluster.assert_changed(fourth);
    cluster.assert_changed(fifth);
    assert_eq!(cluster.voters(5), [1, 2, 3, 4, 5]);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn a_configuration_is_in_force_as_soon_as_it_is_appended() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let added = cluster.change(1, add_voter(4));
    cluster.run_until("it is appended", |cluster| cluster.voters(1).len() == 4);
    let commit = cluster.commit_index(1);

    // Three of four are needed at once: the leader and one other do not commit it.
    cluster.isolate(3);
    cluster.isolate(4);
    cluster.settle();

    assert_eq!(cluster.commit_index(1), commit);
    assert_eq!(cluster.change_result(added), None);
}

#[test]
fn a_joining_server_counts_for_nothing_until_it_has_caught_up() {
    let mut cluster = Cluster::of(1).with_leader(1);
    cluster.add_blank(2);
    cluster.drop_all(everything().to(2));

    let added = cluster.change(1, add_voter(2));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_applied_on([1], "a");
    assert_eq!(cluster.voters(1), [1]);
    assert_eq!(cluster.change_result(added), None);
}

#[test]
fn a_joining_server_that_does_not_answer_is_given_up() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.crash(4);

    let added = cluster.change(1, add_voter(4));
    cluster.run_for(3 * ELECTION_TIMEOUT);

    cluster.assert_change_refused(added, &ChangeError::Unreachable(ServerId(4)));
    assert_eq!(cluster.voters(1), [1, 2, 3]);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([1, 2, 3], "a");
}

#[test]
fn after_a_change_that_was_given_up_the_next_is_taken() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.add_blank(5);
    cluster.crash(4);
    cluster.change(1, add_voter(4));
    cluster.run_for(3 * ELECTION_TIMEOUT);

    let added = cluster.change(1, add_voter(5));
    cluster.settle();

    cluster.assert_changed(added);
}

#[test]
fn a_follower_is_removed_and_no_longer_needed() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let removed = cluster.change(1, remove(3));
    cluster.settle();
    cluster.crash(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_changed(removed);
    assert_eq!(cluster.voters(2), [1, 2]);
    cluster.assert_applied_on([1, 2], "a");
}

#[test]
fn a_leader_that_is_removed_steps_down_once_the_removal_is_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let removed = cluster.change(1, remove(1));
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_changed(removed);
    cluster.assert_leads_nothing(1);
    let leader = cluster.assert_one_leader_among([2, 3]);
    assert_eq!(cluster.voters(leader), [2, 3]);
}

// It took itself in again in the same turn, by its own word alone: whoever knew of its removal believed it no more.
#[test]
fn a_leader_whose_removal_is_committed_begins_no_other_change() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(entries());
    cluster.change(1, remove(1));
    cluster.run_for(ONE_COMMAND);
    cluster.crash(1);
    cluster.restart(1);
    cluster.elect(1);

    let again = cluster.change(1, add_voter(1));
    cluster.heal();
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_change_refused(again, &ChangeError::NotLeader { leader: None });
    let leader = cluster.assert_one_leader_among([2, 3]);
    assert_eq!(cluster.voters(leader), [2, 3]);
}

#[test]
fn a_leader_that_is_being_removed_does_not_count_itself() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(3);

    let removed = cluster.change(1, remove(1));
    cluster.settle();

    // Of the new configuration {2, 3} only 2 has the entry.
    assert_eq!(cluster.change_result(removed), None);
    cluster.assert_leader(1);
}

#[test]
fn a_removed_server_that_does_not_know_of_it_disturbs_nobody() {
    let mut cluster = Cluster::of(4).with_leader(1);
    cluster.isolate(4);
    let removed = cluster.change(1, remove(4));
    cluster.settle();
    cluster.assert_changed(removed);
    let term = cluster.term(1);

    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.heal();
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!(cluster.term(1), term);
}

#[test]
fn a_removed_server_that_knows_of_it_campaigns_no_more() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.change(1, remove(3));
    cluster.settle();
    cluster.forget_sent();

    cluster.run_for(20 * ELECTION_TIMEOUT);

    assert!(cluster.sent(vote_requests().from(3)).is_empty());
}

// After a restart it knew nothing to be committed, and took the configuration that left it out for one that might need
// it: it asked for pre-votes for ever.
#[test]
fn a_removed_server_that_restarts_still_knows_of_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.change(1, remove(3));
    cluster.settle();
    cluster.crash(3);
    cluster.restart(3);
    cluster.forget_sent();

    cluster.run_for(20 * ELECTION_TIMEOUT);

    assert!(cluster.sent(vote_requests().from(3)).is_empty());
}

#[test]
fn a_removed_server_with_its_log_intact_joins_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.change(1, remove(3));
    cluster.settle();
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(3 * ELECTION_TIMEOUT);

    let added = cluster.change(1, add_voter(3));
    cluster.settle();

    cluster.assert_changed(added);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn one_change_is_made_at_a_time() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.add_blank(5);

    let first = cluster.change(1, add_voter(4));
    let second = cluster.change(1, add_voter(5));
    cluster.settle();

    cluster.assert_changed(first);
    cluster.assert_change_refused(second, &ChangeError::Pending);
    assert_eq!(cluster.voters(1), [1, 2, 3, 4]);
}

/// The bug of single-server changes that Ongaro reported in 2015: two leaders' changes could miss each other.
#[test]
fn no_configuration_changes_before_the_leaders_term_has_committed() {
    let mut cluster = Cluster::of(4).with_leader(1);
    cluster.crash(1);
    cluster.drop_all(entries());
    cluster.elect(2);

    let removed = cluster.change(2, remove(1));
    cluster.run_for(ELECTION_TIMEOUT / 4);
    assert_eq!(cluster.voters(2), [1, 2, 3, 4]);
    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_changed(removed);
    assert_eq!(cluster.voters(2), [2, 3, 4]);
}

#[test]
fn a_follower_changes_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);

    let refused = cluster.change(2, add_voter(4));

    let leader = Some(ServerId(1));
    cluster.assert_change_refused(refused, &ChangeError::NotLeader { leader });
}

#[test]
fn a_voter_is_not_added_again() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let refused = cluster.change(1, add_voter(2));

    cluster.assert_change_refused(refused, &ChangeError::AlreadyMember(ServerId(2)));
}

#[test]
fn a_stranger_is_not_removed() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let refused = cluster.change(1, remove(9));

    cluster.assert_change_refused(refused, &ChangeError::NotMember(ServerId(9)));
}

#[test]
fn a_change_that_makes_no_sense_is_refused_with_its_reason() {
    let mut cluster = Cluster::of(1).with_leader(1);

    let nothing = cluster.change(1, MembershipChange::default());
    let nobody = cluster.change(1, remove(1));
    let twice = cluster.change(1, add_voter(2).and(remove(2)));

    let invalid = ChangeError::Invalid;
    cluster.assert_change_refused(nothing, &invalid(InvalidChange::NoSteps));
    cluster.assert_change_refused(nobody, &invalid(InvalidChange::NoVoters));
    cluster.assert_change_refused(twice, &invalid(InvalidChange::NamedTwice(ServerId(2))));
}

#[test]
fn a_change_whose_leader_is_lost_is_unknown_and_not_denied() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let unknown = cluster.change(1, remove(3));
    cluster.isolate(1);

    cluster.run_for(4 * ELECTION_TIMEOUT);

    let result = cluster.change_result(unknown);
    assert!(
        matches!(result, Some(Err(ChangeError::Unknown { .. }))),
        "{result:?}"
    );
}

#[test]
fn a_truncated_configuration_gives_way_to_the_one_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);
    cluster.change(1, remove(3));
    assert_eq!(cluster.voters(1), [1, 2], "in force when appended");

    cluster.elect(2);
    cluster.heal();
    cluster.run_for(3 * ELECTION_TIMEOUT);

    assert_eq!(cluster.voters(1), [1, 2, 3]);
    let index = Index(1);
    let rolled_back = Event::ConfigurationChanged { index };
    assert_eq!(
        cluster
            .events(1)
            .filter(|event| **event == rolled_back)
            .count(),
        2
    );
    cluster.assert_same_logs([1, 2, 3]);
}

#[test]
fn a_learner_receives_the_log_and_does_not_count() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let added = cluster.change(1, add_learner(4));
    cluster.settle();
    cluster.assert_changed(added);
    cluster.crash(3);
    cluster.isolate(2);

    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ELECTION_TIMEOUT / 2);

    assert_eq!(cluster.last_index(4), cluster.last_index(1));
    cluster.assert_never_applied("a");
}

#[test]
fn a_learner_never_campaigns() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, add_learner(4));
    cluster.settle();

    cluster.isolate(4);
    cluster.run_for(20 * ELECTION_TIMEOUT);

    assert!(cluster.sent(vote_requests().from(4)).is_empty());
}

// Of two voters one was left, which could not be elected: the learner named the other as its leader for ever.
#[test]
fn a_learner_that_hears_nobody_knows_of_no_leader() {
    let mut cluster = Cluster::of(2).with_leader(1);
    cluster.add_blank(3);
    let added = cluster.change(1, add_learner(3));
    cluster.settle();
    cluster.assert_changed(added);

    cluster.crash(1);
    cluster.run_for(ELECTION_TIMEOUT / 2);
    let asked = cluster.read(3);
    let at_first = (
        cluster.status(3).leader,
        cluster.read_answer(asked).cloned(),
    );
    cluster.run_for(2 * ELECTION_TIMEOUT);
    let later = (
        cluster.status(3).leader,
        cluster.read_answer(asked).cloned(),
    );

    let refused = Err(ReadRefused::NotLeader { leader: None });
    assert_eq!(at_first, (Some(ServerId(1)), None));
    assert_eq!(later, (None, Some(refused)));
    assert!(cluster.sent(vote_requests().from(3)).is_empty());
    cluster.restart(1);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    let leader = cluster.assert_one_leader_among([1, 2]);
    assert_eq!(cluster.status(3).leader, Some(ServerId(leader)));
}

/// A learner goes on where it was once it hears the leader of its term again.
#[test]
fn a_learner_takes_the_leader_of_its_term_for_that_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, add_learner(4));
    cluster.settle();

    cluster.isolate(4);
    cluster.run_for(3 * ELECTION_TIMEOUT);
    let alone = cluster.status(4).leader;
    cluster.heal();
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(2 * HEARTBEAT);

    assert_eq!(alone, None);
    assert_eq!(cluster.status(4).leader, Some(ServerId(1)));
    cluster.assert_applied_everywhere("a");
}

// Of five voters three were left, and could elect nobody: 2 needed the vote of 6, whose log reaches beyond its own, and
// 4 and 5 that of 2.
#[test]
fn a_learner_leads_if_no_voter_has_a_log_that_it_would_vote_for() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.add_blank(6);
    let added = cluster.change(1, add_learner(6));
    cluster.settle();
    cluster.assert_changed(added);
    for id in 3..=6 {
        cluster.cut(1, id);
    }
    cluster.change(1, add_voter(6));
    cluster.run_for(ONE_COMMAND);
    assert_eq!(cluster.voters(2), [1, 2, 3, 4, 5, 6]);
    cluster.crash(1);
    for id in [2, 4, 5] {
        cluster.drop_all(entries().from(3).to(id));
    }
    cluster.elect(3);
    cluster.propose(3, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.crash(3);
    cluster.heal();

    cluster.run_for(12 * ELECTION_TIMEOUT);

    cluster.assert_one_leader_among([2, 4, 5]);
    cluster.assert_applied_on([2, 4, 5, 6], "a");
}

#[test]
fn a_learner_is_promoted() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, add_learner(4));
    cluster.settle();

    let promoted = cluster.change(1, add_voter(4));
    cluster.settle();

    cluster.assert_changed(promoted);
    assert_eq!(cluster.voters(4), [1, 2, 3, 4]);
}

#[test]
fn a_voter_is_demoted_and_its_vote_no_longer_needed() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let demoted = cluster.change(1, add_learner(3));
    cluster.settle();
    cluster.crash(3);
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);

    cluster.assert_changed(demoted);
    assert!(cluster.status(1).configuration.is_learner(ServerId(3)));
    cluster.assert_applied_on([1, 2], "a");
}

/// A promoted server may not know of it yet: it must vote for those who do.
#[test]
fn a_learner_votes_when_it_is_asked() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, add_learner(4));
    cluster.settle();
    let (term, last) = (cluster.term(4), cluster.status(4).last);
    cluster.crash(1);
    cluster.run_for(ELECTION_TIMEOUT + ELECTION_TIMEOUT / 8);

    cluster.forge(
        2,
        4,
        vote_request(term + 20, position(last.term.0, last.index.0)),
    );
    cluster.run_for(LATENCY);

    assert!(!cluster.sent(votes().from(4)).is_empty());
    assert_eq!(cluster.status(4).voted_for, Some(ServerId(2)));
}

#[test]
fn what_a_server_says_of_itself_is_kept_with_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let description = Description::default().with_label("ada".parse().expect("it is a label"));
    let step = MembershipStep::AddVoter(Addition {
        description: Some(description.clone()),
        ..Addition::of(ServerId(4))
    });

    let added = cluster.change(1, step.into());
    cluster.settle();

    cluster.assert_changed(added);
    let configuration = cluster.status(2).configuration;
    let member = configuration.member(ServerId(4)).expect("it was added");
    assert_eq!(member.description, description);
}

#[test]
fn commands_go_on_being_committed_while_a_server_joins() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.slow_down(1, 4, ELECTION_TIMEOUT / 4);

    let added = cluster.change(1, add_voter(4));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_on([1, 2, 3], "a");
    cluster.run_for(3 * ELECTION_TIMEOUT);

    cluster.assert_changed(added);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn the_result_of_a_change_is_the_index_of_its_configuration() {
    let mut cluster = Cluster::of(3).with_leader(1);

    let removed = cluster.change(1, remove(3));
    cluster.settle();

    let index = cluster.status(1).configuration_index;
    assert_eq!(cluster.change_result(removed), Some(&Ok(index)));
    assert!(index > Index(1));
}

/// With the old configuration's count of voters still awaited, the answer of the one that makes the new quorum was not
/// looked at.
#[test]
fn a_removal_counts_by_the_smaller_configuration_at_once() {
    let mut cluster = Cluster::of(4).with_leader(1);
    cluster.crash(3);
    cluster.crash(4);

    let removed = cluster.change(1, remove(4));
    cluster.run_for(ONE_COMMAND);

    cluster.assert_changed(removed);
}
