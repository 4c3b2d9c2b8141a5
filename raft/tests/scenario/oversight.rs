//! What a leader knows of its peers: who has echoed its rounds, and what it can have known before it led.

use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::ServerId;

use crate::cluster::filter::everything;
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, LATENCY};

#[test]
fn an_ask_is_echoed_at_once_by_all_who_live() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.settle();
    cluster.crash(4);
    let before = cluster.oversight(1, |oversight| oversight.round);

    cluster.ask(1);
    cluster.run_for(3 * LATENCY);

    let echoed = cluster.oversight(1, |oversight| {
        [2, 3, 4, 5].map(|id| oversight.peer(ServerId(id)).map(|peer| peer.round > before))
    });
    assert_eq!(echoed, [true, true, false, true].map(Some));
}

#[test]
fn an_ask_of_a_server_that_does_not_lead_says_nothing() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.forget_sent();

    cluster.ask(2);

    assert!(cluster.sent(everything().from(2)).is_empty());
}

#[test]
fn a_new_leader_knows_since_when_it_has_not_heard_the_last_one() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    let killed_at = cluster.now();
    cluster.crash(1);

    cluster.elect(2);

    let (since, led_at) = cluster.oversight(2, |oversight| {
        (oversight.since, oversight.predecessor_led_at)
    });
    let led_at = led_at.expect("it has heard it");
    assert!(led_at <= killed_at && led_at + 2 * HEARTBEAT >= killed_at);
    assert!(since.since(led_at) >= ELECTION_TIMEOUT);
}

#[test]
fn a_leader_that_leads_again_counts_from_the_end_of_its_last_time() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    cluster.drop_all(everything().to(1));
    cluster.run_until("it steps down", |cluster| cluster.leader().is_none());
    let ended_at = cluster.now();
    cluster.heal();

    cluster.elect(1);

    let led_at = cluster.oversight(1, |oversight| oversight.predecessor_led_at);
    assert_eq!(led_at, Some(ended_at));
    assert_eq!(cluster.led_at(1), led_at);
}

#[test]
fn a_change_may_be_made_again_once_the_last_one_is_committed() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.settle();
    let before = cluster.oversight(1, |oversight| oversight.may_change);

    cluster.change(1, MembershipChange::remove(ServerId(3)));
    let during = cluster.oversight(1, |oversight| oversight.may_change);
    cluster.settle();
    let after = cluster.oversight(1, |oversight| oversight.may_change);

    assert_eq!((before, during, after), (true, false, true));
}

/// Many learners catch up side by side, and are promoted together; one that died among them is only left out.
#[test]
fn twenty_learners_are_promoted_in_one_joint_change_without_the_one_that_died() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    for id in 4..=23 {
        cluster.add_blank(id);
    }
    let learners = (4..=23).map(|id| MembershipChange::add_learner(ServerId(id)));
    let added = cluster.change(1, learners.reduce(MembershipChange::and).expect("twenty"));
    cluster.settle();
    cluster.crash(23);
    let index = cluster.status(1).configuration_index;

    let voters = (4..=22).map(|id| MembershipChange::add_voter(ServerId(id)));
    let promoted = cluster.change(1, voters.reduce(MembershipChange::and).expect("nineteen"));
    cluster.settle();

    cluster.assert_changed(added);
    cluster.assert_changed(promoted);
    assert_eq!(cluster.voters(1), (1..=22).collect::<Vec<_>>());
    assert_eq!(cluster.status(1).configuration_index, index.plus(2));
}
