//! Traps of membership: changes that are left half way, and servers that are not who they were.

use liferaft_raft::consensus::{ChangeError, Refusal, ReplicationState};
use liferaft_raft::ids::ServerId;

use crate::cluster::changes::{add_voter, remove};
use crate::cluster::filter::{append_replies, appends, entries, everything, vote_requests};
use crate::cluster::forge::{append, chunk_reply, position};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT};

/// etcd's unapplied changes: a leader that took over did not see the change which it had inherited.
#[test]
fn a_change_that_a_leader_inherits_is_settled_before_its_own_first() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.drop_all(entries().to(3));
    cluster.drop_all(entries().to(4));
    cluster.drop_all(entries().to(5));
    cluster.change(1, remove(5));
    cluster.run_until("server 2 has it", |cluster| {
        cluster.voters(2) == [1, 2, 3, 4]
    });
    cluster.crash(1);
    cluster.elect(2);

    let removed = cluster.change(2, remove(4));
    cluster.run_for(ELECTION_TIMEOUT / 4);
    assert_eq!(cluster.voters(2), [1, 2, 3, 4], "one after the other");
    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_changed(removed);
    assert_eq!(cluster.voters(2), [1, 2, 3]);
}

/// openraft and etcd both had leaders that began a change while the joint one was being left.
#[test]
fn no_change_begins_while_a_joint_configuration_is_being_left() {
    let mut cluster = Cluster::of(3).with_leader(3);
    cluster.add_blank(4);
    let replace = add_voter(4).and(remove(2));
    cluster.change(3, replace);
    cluster.run_until("all know the joint configuration", |cluster| {
        [1, 2, 4].map(|id| cluster.status(id).configuration.is_joint()) == [true; 3]
    });
    cluster.crash(3);
    cluster.run_until("a successor is about to leave it", |cluster| {
        cluster
            .leader()
            .is_some_and(|leader| !cluster.status(leader).configuration.is_joint())
    });
    let leader = cluster.elect_any();
    let status = cluster.status(leader);
    assert!(status.commit < status.configuration_index);

    let refused = cluster.change(leader, remove(3));

    cluster.assert_change_refused(refused, &ChangeError::Pending);
    assert_eq!(cluster.voters(leader), [1, 3, 4]);
}

/// openraft 6c0ccaf3: in the joint phase the majority of one half was enough for some decisions.
#[test]
fn the_incoming_half_of_a_joint_configuration_alone_elects_nobody() {
    let mut cluster = Cluster::of(3).with_leader(3);
    cluster.add_blank(4);
    cluster.add_blank(5);
    let replace = add_voter(4).and(add_voter(5)).and(remove(1)).and(remove(2));
    cluster.change(3, replace);
    cluster.run_until("it is joint", |cluster| {
        cluster.status(3).configuration.is_joint()
    });
    cluster.partition([1, 2], [3, 4, 5]);
    cluster.run_for(HEARTBEAT);
    let joint = [4, 5].map(|id| cluster.status(id).configuration.is_joint());
    assert_eq!(joint, [true, true]);

    cluster.crash(3);
    cluster.run_for(10 * ELECTION_TIMEOUT);

    cluster.assert_leads_nothing(4);
    cluster.assert_leads_nothing(5);
}

/// camunda 57389: a server that restarted went by the last committed configuration, not by the last in its log.
#[test]
fn a_restart_goes_by_the_last_configuration_in_the_log_committed_or_not() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.isolate(1);
    cluster.change(1, remove(3));
    cluster.settle();

    cluster.crash(1);
    cluster.restart(1);

    assert!(cluster.commit_index(1) < cluster.status(1).configuration_index.0);
    assert_eq!(cluster.voters(1), [1, 2]);
}

/// async-raft 0.6.1 and etcd 13741: a snapshot forgot half of its configuration.
#[test]
fn a_snapshot_of_the_joint_phase_restores_the_joint_configuration() {
    let mut cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 0).with_leader(3);
    cluster.add_blank(4);
    let replace = add_voter(4).and(remove(2));
    cluster.change(3, replace);
    cluster.run_until("it is joint", |cluster| {
        cluster.status(1).configuration.is_joint()
    });
    cluster.drop_all(entries().to(1));
    cluster.settle();
    cluster.take_snapshot(1);
    cluster.settle();
    assert!(cluster.stored_terms(1).is_empty());

    cluster.crash(1);
    cluster.isolate(1);
    cluster.restart(1);

    let configuration = cluster.status(1).configuration;
    assert_eq!(configuration.voters(), [1, 3, 4].map(ServerId));
    assert_eq!(configuration.outgoing(), [1, 2, 3].map(ServerId));
}

/// logcabin 205: a removed server that had missed the word of it campaigned for ever.
#[test]
fn a_removed_server_that_missed_the_word_of_it_is_told_again() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let removed = cluster.change(1, remove(3));
    cluster.run_until("it has the entry", |cluster| cluster.voters(3) == [1, 2]);
    cluster.drop_all(appends().to(3));
    cluster.run_for(3 * HEARTBEAT);
    cluster.assert_changed(removed);
    assert!(cluster.commit_index(3) < cluster.status(3).configuration_index.0);

    cluster.heal();
    cluster.run_for(2 * HEARTBEAT);
    cluster.forget_sent();
    cluster.run_for(20 * ELECTION_TIMEOUT);

    assert!(cluster.sent(vote_requests().from(3)).is_empty());
}

/// etcd 3106 and 17078: a message from or for somebody else brought a server down.
#[test]
fn a_stranger_who_claims_to_lead_is_not_followed_in_this_term_and_harms_nobody() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(3);

    cluster.forge(9, 3, append(term, 1, position(1, 1), vec![]));
    cluster.forge(9, 1, append(term, 1, position(1, 1), vec![]));
    cluster.settle();

    assert_eq!(cluster.refused(3, Refusal::SecondLeader), 1);
    assert_eq!(cluster.refused(1, Refusal::SecondLeader), 1);
    assert_eq!(cluster.status(3).leader, Some(ServerId(1)));
    cluster.assert_leader(1);
}

/// dragonboat 256: a leader panicked when a follower had less than it had acknowledged. The id of a wiped disk belongs
/// to nobody any more; what it acknowledged is not taken back, and it is replaced under another id.
#[test]
fn a_wiped_server_under_its_old_id_harms_nobody_and_is_replaced_under_another() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.commit(1, "a");
    let acknowledged = cluster.last_index(1);

    cluster.drop_all(entries().to(3));
    cluster.wipe(3);
    cluster.run_for(3 * ELECTION_TIMEOUT);
    cluster.assert_leader(1);
    let peers = cluster.status(1).peers;
    let peer = peers.iter().find(|peer| peer.id == ServerId(3));
    let peer = peer.expect("it is a member");
    assert_eq!(peer.state, ReplicationState::Forgot);
    assert!(peer.lag_entries >= acknowledged);
    cluster.heal();
    cluster.crash(3);
    cluster.add_blank(4);
    let swap = add_voter(4).and(remove(3));
    let swapped = cluster.change(1, swap);
    cluster.run_for(2 * ELECTION_TIMEOUT);

    cluster.assert_changed(swapped);
    assert_eq!(cluster.voters(4), [1, 2, 4]);
    cluster.assert_applied_everywhere("a");
}

/// Server 3 of three was removed, lost its storage, and is being added again by the leader of the same term. What it
/// had acknowledged before is still on its way.
fn added_again_within_a_term() -> Cluster {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.hold(append_replies().from(3));
    cluster.propose(1, "a").expect("the leader takes proposals");
    cluster.settle();
    cluster.let_pass();
    let removed = cluster.change(1, remove(3));
    cluster.run_for(4 * ELECTION_TIMEOUT);
    cluster.assert_changed(removed);
    cluster.drop_all(everything().to(3));
    cluster.wipe(3);
    cluster.change(1, add_voter(3));
    cluster.run_for(HEARTBEAT);
    cluster
}

/// What a server had acknowledged before it was removed counted when it was added again within the term: it was a voter
/// before it had anything.
#[test]
fn late_acknowledgements_of_an_earlier_stay_count_for_nothing() {
    let mut cluster = added_again_within_a_term();

    cluster.deliver_held();
    cluster.run_for(HEARTBEAT);

    assert_eq!(cluster.voters(1), [1, 2]);
    let peer = cluster.oversight(1, |known| known.peer(ServerId(3)).copied());
    let peer = peer.expect("it is being added");
    assert_eq!((peer.match_index.0, peer.heard_at), (0, None));
    cluster.heal();
    cluster.run_for(2 * ELECTION_TIMEOUT);
    assert_eq!(cluster.voters(1), [1, 2, 3]);
    cluster.assert_applied_everywhere("a");
}

/// The same for what it had acknowledged of a snapshot.
#[test]
fn a_late_word_of_an_earlier_snapshot_counts_for_nothing() {
    let mut cluster = added_again_within_a_term();
    let (term, last) = (cluster.term(1), cluster.last_index(1));

    cluster.forge(3, 1, chunk_reply(term, 0, last));
    cluster.run_for(HEARTBEAT);

    let peer = cluster.oversight(1, |known| known.peer(ServerId(3)).copied());
    assert_eq!(peer.expect("it is being added").match_index.0, 0);
    assert_eq!(cluster.voters(1), [1, 2]);
}
