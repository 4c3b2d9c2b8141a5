//! Who may say what: answers count from those who were asked, and a server that is behind may not know its leader.

use liferaft_raft::configuration::{Configuration, Dismissal};
use liferaft_raft::consensus::{Refusal, RoleKind};
use liferaft_raft::ids::ServerId;

use crate::cluster::changes::{add_learner, add_voter, remove};
use crate::cluster::filter::{everything, vote_requests};
use crate::cluster::forge::{
    append, append_reply, chunk_reply, position, pre_vote, read_index, read_reply, timeout_now,
    vote,
};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, ONE_COMMAND};
use crate::compaction::small_chunks;

#[test]
fn a_strangers_word_of_a_later_term_deposes_nobody() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    for receiver in [1, 2] {
        cluster.forge(9, receiver, append_reply(term + 1, 1, 1));
        cluster.forge(9, receiver, chunk_reply(term + 1, 0, 1));
        cluster.forge(9, receiver, vote(term + 1, term + 1));
        cluster.forge(9, receiver, read_reply(term + 1, 1, 1));
        cluster.forge(9, receiver, read_index(term + 1, 1));
        cluster.forge(9, receiver, timeout_now(term + 1));
    }

    cluster.assert_leader(1);
    assert_eq!((cluster.term(1), cluster.term(2)), (term, term));
    assert_eq!(cluster.refused(1, Refusal::NotAPeer), 6);
    assert_eq!(cluster.refused(2, Refusal::NotAPeer), 6);
}

/// Such answers come late, of honest members too: they are no refusals.
#[test]
fn an_answer_that_a_member_was_not_asked_for_deposes_nobody() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.forge(2, 1, vote(term + 1, term + 1));
    cluster.forge(2, 1, read_reply(term + 1, 1, 1));
    cluster.forge(2, 1, timeout_now(term + 1));
    cluster.forge(2, 3, append_reply(term + 1, 1, 1));
    cluster.forge(2, 3, chunk_reply(term + 1, 0, 1));
    cluster.forge(2, 3, vote(term + 1, term + 1));
    cluster.forge(2, 3, timeout_now(term + 1));

    cluster.assert_leader(1);
    assert_eq!((cluster.term(1), cluster.term(3)), (term, term));
    assert_eq!(cluster.status(1).refused, Default::default());
    assert_eq!(cluster.status(3).refused, Default::default());
}

#[test]
fn a_leader_that_stepped_down_learns_the_term_from_late_answers() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.isolate(1);
    cluster.run_until("no quorum answers", |cluster| {
        cluster.status(1).role != RoleKind::Leader
    });

    cluster.forge(9, 1, append_reply(term + 1, 1, 1));
    let after_stranger = cluster.term(1);
    cluster.forge(2, 1, append_reply(term + 1, 1, 1));

    assert_eq!(after_stranger, term);
    assert_eq!(cluster.term(1), term + 1);
}

#[test]
fn an_answer_of_a_learner_ends_no_campaign() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let added = cluster.change(1, add_learner(4));
    cluster.settle();
    cluster.assert_changed(added);
    cluster.crash(2);
    cluster.crash(3);
    cluster.crash(4);
    cluster.forget_sent();
    cluster.run_until("it asks whether it would be elected", |cluster| {
        !cluster.sent(vote_requests().from(1)).is_empty()
    });
    let term = cluster.term(1);

    cluster.forge(4, 1, pre_vote(term + 7, term + 1));
    let after_learner = cluster.term(1);
    cluster.forge(2, 1, pre_vote(term + 7, term + 1));

    assert_eq!(after_learner, term);
    assert_eq!(cluster.term(1), term + 7, "a voter was asked");
}

#[test]
fn a_peer_that_a_leader_replicates_to_may_depose_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.isolate(4);
    cluster.change(1, add_voter(4));
    let term = cluster.term(1);

    cluster.forge(4, 1, append_reply(term + 1, 0, 0));

    assert_eq!(cluster.term(1), term + 1, "it joins and was asked");
}

#[test]
fn a_stranger_is_not_told_where_it_may_read() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);

    cluster.forge(9, 1, read_index(term, 1));
    cluster.forge(9, 2, read_index(term, 1));
    cluster.run_for(ONE_COMMAND);

    assert!(cluster.sent(everything().to(9)).is_empty());
    assert_eq!(cluster.refused(1, Refusal::NotAPeer), 1);
}

#[test]
fn a_server_that_is_about_to_join_is_told_where_it_may_read() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    cluster.add_blank(4);
    cluster.isolate(4);
    cluster.change(1, add_voter(4));
    cluster.run_for(ONE_COMMAND);

    cluster.forget_sent();
    cluster.forge(4, 1, read_index(term, 7));
    cluster.run_for(ONE_COMMAND);

    let told = cluster.sent(everything().from(1).to(4));
    assert!(
        told.iter()
            .any(|sent| *sent == read_reply(term, 7, cluster.commit_index(1)))
    );
}

/// Voters 3, 4 and 5, of whom 3 has slept since the voters were 1, 2 and 3. It knows none of the others.
fn all_but_three_replaced(mut cluster: Cluster) -> Cluster {
    cluster.commit(1, "before");
    cluster.isolate(3);
    cluster.add_blank(4);
    cluster.add_blank(5);
    cluster.partition([3], [4, 5]);
    let swap = add_voter(4).and(add_voter(5)).and(remove(1)).and(remove(2));
    let swapped = cluster.change(1, swap);
    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.assert_changed(swapped);
    cluster.crash(1);
    cluster.crash(2);
    assert_eq!(cluster.voters(3), [1, 2, 3]);
    cluster
}

#[test]
fn a_member_that_slept_while_all_others_were_replaced_catches_up() {
    let mut cluster = all_but_three_replaced(Cluster::of(3).with_leader(1));
    let leader = cluster.elect_any();
    cluster
        .propose(leader, "after")
        .expect("it takes proposals");

    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_applied_on([3], "after");
    assert_eq!(cluster.voters(3), [3, 4, 5]);
    assert_eq!(cluster.status(3).leader, cluster.leader().map(ServerId));
}

#[test]
fn a_member_that_slept_while_all_others_were_replaced_takes_a_snapshot() {
    let mut cluster = all_but_three_replaced(Cluster::with_limits(3, small_chunks).with_leader(1));
    let leader = cluster.elect_any();
    cluster
        .propose(leader, "after")
        .expect("it takes proposals");
    cluster.settle();
    cluster.take_snapshot(leader);
    cluster.settle();

    cluster.heal();
    cluster.run_for(4 * ELECTION_TIMEOUT);

    cluster.assert_applied_on([3], "after");
    assert_eq!(cluster.voters(3), [3, 4, 5]);
}

#[test]
fn a_member_that_slept_votes_for_a_server_that_it_does_not_know() {
    let mut cluster = all_but_three_replaced(Cluster::of(3).with_leader(1));
    cluster.crash(5);

    cluster.heal();
    let leader = cluster.elect_any();
    cluster.commit(leader, "after");

    assert_eq!(leader, 4);
    cluster.assert_applied_on([3], "after");
}

/// Servers 1, 2 and 6 of a closed cluster under leader 1; 6 was cut off while 3 and 4 took the places of 1 and 2.
fn all_but_one_replaced() -> Cluster {
    let mut cluster = Cluster::of(0);
    let voters = [1, 2, 6].map(ServerId);
    let configuration = Configuration::of_voters(voters).with_open(false);
    for id in [1, 2, 3, 4, 6] {
        cluster.add_blank(id);
    }
    for id in voters {
        cluster.found(id.0, configuration.clone());
    }
    let mut cluster = cluster.with_leader(1);
    cluster.isolate(6);
    for change in [add_voter(3).and(add_voter(4)), remove(2), remove(1)] {
        let leader = cluster.elect_any();
        let changed = cluster.change(leader, change);
        cluster.run_for(2 * ELECTION_TIMEOUT);
        cluster.assert_changed(changed);
    }
    cluster.crash(1);
    cluster.crash(2);
    let leader = cluster.elect_any();
    cluster
        .propose(leader, "later")
        .expect("it takes proposals");
    cluster.settle();
    cluster
}

#[test]
fn a_member_that_was_cut_off_follows_a_leader_that_is_vouched_for() {
    let mut cluster = all_but_one_replaced();
    cluster.vouch_for(3);
    cluster.vouch_for(4);

    cluster.heal();
    cluster.run_for(6 * ELECTION_TIMEOUT);

    cluster.assert_applied_on([3, 4, 6], "later");
    assert_eq!(cluster.voters(6), [3, 4, 6]);
}

#[test]
fn a_member_that_was_cut_off_follows_no_stranger_in_a_closed_cluster() {
    let mut cluster = all_but_one_replaced();
    let term = cluster.term(6);

    cluster.heal();
    cluster.run_for(6 * ELECTION_TIMEOUT);

    assert_eq!(cluster.voters(6), [1, 2, 6]);
    assert_eq!(cluster.term(6), term);
    assert!(cluster.refused(6, Refusal::NotAPeer) > 0);
}

#[test]
fn the_word_of_a_leader_counts_from_a_stranger_only_where_the_cluster_is_open() {
    let mut closed = Cluster::of(0);
    let configuration = Configuration::of_voters([1, 2].map(ServerId)).with_open(false);
    for id in [1, 2] {
        closed.add_blank(id);
        closed.found(id, configuration.clone());
    }
    let mut closed = closed.with_leader(1);
    let mut open = Cluster::of(2).with_leader(1);

    for cluster in [&mut closed, &mut open] {
        let later = cluster.term(2) + 1;
        cluster.forge(9, 2, append(later, 1, position(1, 1), vec![]));
    }

    let followed = [&closed, &open].map(|cluster| cluster.term(2) > cluster.term(1));
    assert_eq!(followed, [false, true]);
}

/// It was added again while the other was away, and leads.
#[test]
fn a_leader_that_was_dismissed_is_followed_if_it_is_vouched_for() {
    let mut cluster = Cluster::of(0);
    let configuration = Configuration::of_voters([1, 2].map(ServerId))
        .with_open(false)
        .with_dismissed([(ServerId(9), Dismissal::Removed)]);
    for id in [1, 2] {
        cluster.add_blank(id);
        cluster.found(id, configuration.clone());
    }
    let mut cluster = cluster.with_leader(1);
    cluster.vouch_for(9);
    let later = cluster.term(2) + 1;

    cluster.forge(9, 2, append(later, 1, position(1, 1), vec![]));

    assert_eq!(cluster.term(2), later);
}
