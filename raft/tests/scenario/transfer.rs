//! §3.10, leadership transfer.

use std::time::Duration;

use liferaft_raft::consensus::{MembershipChange, ProposeRefused, TransferError};
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::{append_replies, entries, timeout_now};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, ONE_COMMAND, forge};

#[test]
fn leadership_goes_to_the_voter_that_was_named() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.transfer(1, Some(3));
    cluster.run_for(ONE_COMMAND);

    cluster.assert_leader(3);
    cluster.assert_follower(1);
    assert_eq!(cluster.transfer_results(), [Ok(ServerId(3))]);
}

#[test]
fn leadership_goes_to_some_voter_if_none_was_named() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.transfer(1, None);
    cluster.run_for(ONE_COMMAND);

    cluster.assert_one_leader_among([2, 3]);
}

#[test]
fn a_voter_that_is_behind_is_brought_up_to_date_first() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(entries().to(3));
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");
    cluster.settle();

    cluster.transfer(1, Some(3));
    cluster.run_for(ONE_COMMAND);
    assert!(cluster.sent(timeout_now()).is_empty(), "it is still behind");
    cluster.heal();
    cluster.run_for(ELECTION_TIMEOUT - 2 * ONE_COMMAND);

    cluster.assert_leader(3);
    cluster.assert_applied_everywhere("kept");
}

// A leader went on refusing proposals for the sake of a server that could not take over any more: it had been demoted
// while leadership was on its way to it.
#[test]
fn a_transfer_to_a_server_that_loses_its_vote_ends() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(timeout_now());
    cluster.transfer(1, Some(3));

    cluster.change(1, MembershipChange::add_learner(ServerId(3)));
    cluster.settle();

    assert_eq!(
        cluster.transfer_results(),
        [Err(TransferError::NotVoter(ServerId(3)))]
    );
    cluster
        .propose(1, "taken")
        .expect("the leader takes proposals again");
    cluster.assert_leader(1);
}

#[test]
fn the_word_to_campaign_is_repeated_after_a_round_trip() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.slow_down(1, 3, Duration::from_millis(300));
    cluster.slow_down(3, 1, Duration::from_millis(300));
    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.drop_all(timeout_now());

    cluster.transfer(1, Some(3));
    cluster.run_for(Duration::from_millis(450));
    let early = cluster.sent(timeout_now()).len();
    cluster.run_for(Duration::from_millis(450));

    assert_eq!([early, cluster.sent(timeout_now()).len()], [1, 2]);
}

#[test]
fn nothing_is_proposed_to_a_leader_that_hands_over() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(timeout_now());

    cluster.transfer(1, Some(3));
    let refused = cluster.propose(1, "refused");

    assert_eq!(
        refused,
        Err(ProposeRefused::Transferring { to: ServerId(3) })
    );
    cluster.run_for(ONE_COMMAND);
    cluster.assert_never_applied("refused");
}

#[test]
fn a_lost_order_to_take_over_is_repeated() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_next(timeout_now());

    cluster.transfer(1, Some(3));
    cluster.propose(1, "refused").expect_err("it hands over");
    cluster.run_for(HEARTBEAT / 2);
    assert_eq!(cluster.sent(timeout_now()).len(), 1, "not too soon");
    cluster.run_for(ELECTION_TIMEOUT);

    cluster.assert_leader(3);
}

#[test]
fn a_leader_whose_successor_does_not_take_over_leads_on() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.crash(3);

    cluster.transfer(1, Some(3));
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_leader(1);
    assert_eq!(
        cluster.transfer_results(),
        [Err(TransferError::NoTakeover(ServerId(3)))]
    );
    cluster.propose(1, "a").expect("it takes proposals again");
    cluster.run_for(ONE_COMMAND);
    cluster.assert_applied_everywhere("a");
}

#[test]
fn only_a_voter_is_handed_leadership() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    let added = cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();
    cluster.assert_changed(added);

    cluster.transfer(1, Some(4));
    cluster.transfer(1, Some(9));

    let refused = [4, 9].map(|id| Err(TransferError::NotVoter(ServerId(id))));
    assert_eq!(cluster.transfer_results(), refused);
    cluster.assert_leader(1);
}

#[test]
fn a_lone_voter_has_nobody_to_hand_over_to() {
    let mut cluster = Cluster::of(1).with_leader(1);

    cluster.transfer(1, None);

    assert_eq!(
        cluster.transfer_results(),
        [Err(TransferError::NoCandidate)]
    );
}

#[test]
fn a_follower_has_no_leadership_to_hand_over() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.transfer(2, Some(3));

    let leader = Some(ServerId(1));
    assert_eq!(
        cluster.transfer_results(),
        [Err(TransferError::NotLeader { leader })]
    );
}

#[test]
fn a_second_transfer_waits_for_the_first_to_end() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_all(timeout_now());

    cluster.transfer(1, Some(2));
    cluster.transfer(1, Some(3));

    assert_eq!(
        cluster.transfer_results(),
        [Err(TransferError::Pending { to: ServerId(2) })]
    );
}

#[test]
fn a_transfer_loses_nothing_that_was_proposed_before_it() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.drop_next(append_replies());
    cluster
        .propose(1, "kept")
        .expect("the leader takes proposals");

    cluster.transfer(1, Some(2));
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_leader(2);
    cluster.assert_applied_everywhere("kept");
}

#[test]
fn only_its_leaders_word_makes_a_server_campaign() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(2);

    cluster.forge(3, 2, forge::timeout_now(term));

    cluster.assert_follower(2);
    assert_eq!(cluster.term(2), term);
    cluster.forge(1, 2, forge::timeout_now(term));
    assert_eq!(cluster.term(2), term + 1);
}

#[test]
fn a_learner_that_is_told_to_campaign_does_not() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();
    let term = cluster.term(4);

    cluster.forge(1, 4, forge::timeout_now(term));

    cluster.assert_follower(4);
    assert_eq!(cluster.term(4), term);
}

#[test]
fn leadership_that_is_handed_to_its_holder_is_there_already() {
    let mut cluster = Cluster::of(3).with_leader(1);

    cluster.transfer(1, Some(1));

    assert_eq!(cluster.transfer_results(), [Ok(ServerId(1))]);
    cluster.propose(1, "a").expect("it goes on");
}

#[test]
fn leadership_goes_to_nobody_without_a_vote() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.add_blank(4);
    cluster.change(1, MembershipChange::add_learner(ServerId(4)));
    cluster.settle();

    cluster.transfer(1, Some(4));

    let error = TransferError::NotVoter(ServerId(4));
    assert_eq!(cluster.transfer_results(), [Err(error)]);
    cluster.propose(1, "a").expect("it goes on");
}
