//! Two histories that meet: other clusters, second founders, and members that were removed.

use std::time::Duration;

use liferaft_node::driver::{
    Exclusion, Handle, Happening, Member, MemberBuilder, MemberError, MembershipError,
    ProposeError, ReadError, TransferLeadershipError, WaitError,
};
use liferaft_raft::configuration::Foreign;
use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::wire::{Content, Frame, JoinReply};
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, ELECTION_TIMEOUT, config, disk, server, wait_for};
use crate::events::next;
use crate::machine::Journal;

const PATIENCE: Duration = Duration::from_secs(5);

/// The founder of another cluster on the same network.
async fn founder_of_another_cluster(cluster: &Cluster, id: u128) -> Handle<Journal> {
    let transport = cluster.network.attach(server(id)).unwrap();
    let mut disk = disk(id);
    Member::found(&mut disk).await.unwrap();
    let member = Member::builder(Journal::default(), transport, disk).config(config());
    member.start().await.unwrap()
}

/// Three members of which one was removed while it was cut off: the leader and that one.
async fn removed_while_away(manual: bool) -> (Cluster, u128, u128) {
    let mut cluster = Cluster::founded(1..=3).await;
    for id in 1..=3 {
        let prepare = |member: MemberBuilder<Journal>| {
            if manual {
                member.manual_membership()
            } else {
                member
            }
        };
        cluster.start(id, prepare).await;
    }
    let leader = cluster.leader().await;
    let away = cluster.others(&[leader])[0];
    cluster.isolate(away);
    let operator = cluster.member(leader);
    operator.remove_server(server(away)).await.unwrap();
    // The leader has given up telling it.
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    cluster.network.heal_all();
    (cluster, leader, away)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_another_cluster_is_told_so() {
    let mut cluster = Cluster::empty();
    let asked = founder_of_another_cluster(&cluster, 1).await;
    let member = cluster
        .start(2, |member| member.join(CLUSTER, server(1)))
        .await;
    let mut events = member.events();
    let member = member.within(PATIENCE);

    let event = next(&mut events, |what| {
        matches!(what, Happening::Excluded { .. })
    })
    .await;
    let joined = member.joined().await;
    let done = member.propose(1).await;
    let read = member.read(()).await;
    let changed = member.add_server(server(9)).await;
    let handed_over = member.transfer_leadership(None).await;

    let why = Exclusion::WrongCluster { server: server(1) };
    assert_eq!(event.what, Happening::Excluded { why: Some(why) });
    assert_eq!(member.status().borrow().exclusion, Some(why));
    assert_eq!(joined, Err(WaitError::Excluded(why)));
    assert_eq!(done, Err(ProposeError::Excluded(why)));
    assert_eq!(read, Err(ReadError::Excluded(why)));
    assert_eq!(changed, Err(MembershipError::Excluded(why)));
    assert_eq!(handed_over, Err(TransferLeadershipError::Excluded(why)));
    let status = asked.status().borrow().clone();
    assert!(status.is_leader() && status.exclusion.is_none());
    assert_eq!(asked.propose(7).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn whoever_adds_a_server_of_another_cluster_is_told_so() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);
    let other = founder_of_another_cluster(&cluster, 4).await;
    let mut events = cluster.member(leader).events();

    let at_leader = cluster.member(leader).add_server(server(4)).await;
    let at_follower = follower.add_server(server(4)).await;
    let event = next(&mut events, |what| {
        matches!(what, Happening::PeerForeign { .. })
    })
    .await;

    let refused = Err(MembershipError::WrongCluster(server(4)));
    assert_eq!([at_leader, at_follower], [refused.clone(), refused]);
    let (peer, why) = (server(4), Foreign::Cluster);
    assert_eq!(event.what, Happening::PeerForeign { peer, why });
    assert!(other.status().borrow().is_leader());
}

// Their logs have the same terms and indices: the one would take the other's entries for its own.
#[tokio::test(start_paused = true)]
async fn two_founders_of_one_cluster_mix_nothing() {
    let mut cluster = Cluster::empty();
    let first = cluster.start_first(1, |member| member).await;
    let second = cluster.start_first(2, |member| member).await;
    for number in [7, 8] {
        first.propose(number).await.unwrap();
    }
    second.propose(9).await.unwrap();

    let added = first.add_server(server(2)).await;
    let added_back = second.add_server(server(1)).await;

    assert_eq!(added, Err(MembershipError::AnotherHistory(server(2))));
    assert_eq!(added_back, Err(MembershipError::AnotherHistory(server(1))));
    assert_eq!(first.read(()).await, Ok(vec![7, 8]));
    assert_eq!(second.read(()).await, Ok(vec![9]));
    let (why, server) = (Foreign::History, server(2));
    let status = wait_for(&first, |status| {
        status.counters.frames_of_another_history > 0 && status.last_error.is_some()
    })
    .await;
    let told = status.last_error.map(|last| last.error);
    assert_eq!(told, Some(MemberError::Foreign { server, why }));
}

// As by an operator who founds with the id of a cluster that lives on.
#[tokio::test(start_paused = true)]
async fn a_founder_that_founds_again_without_its_storage_mixes_nothing() {
    let mut cluster = Cluster::empty();
    cluster.start_first(1, |member| member).await;
    for id in [2, 3] {
        let member = cluster
            .start(id, |member| member.join(CLUSTER, server(1)))
            .await;
        member.joined().await.unwrap();
    }
    cluster.member(2).propose(7).await.unwrap();

    cluster.wipe(1).await;
    let again = cluster.start_first(1, |member| member).await;
    again.propose(9).await.unwrap();
    let done = cluster.member(2).propose(8).await;
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;

    assert_eq!(done, Ok(2));
    assert_eq!(cluster.member(3).read(()).await, Ok(vec![7, 8]));
    assert_eq!(again.read(()).await, Ok(vec![9]));
    let counters = again.status().borrow().counters;
    assert!(counters.frames_of_another_history > 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_an_older_history_that_asks_to_join_is_told_so() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let [asker, other] = cluster.others(&[leader])[..] else {
        panic!("there are three")
    };
    cluster.kill(leader);
    cluster.kill(other);
    cluster.start_first(9, |member| member).await;
    cluster.member(asker).stop().await;
    let joins = |member: MemberBuilder<Journal>| member.join(CLUSTER, server(9));

    let member = cluster.start(asker, joins).await.within(PATIENCE);
    let joined = member.joined().await;

    let server = server(9);
    let why = Exclusion::AnotherHistory { server };
    assert_eq!(joined, Err(WaitError::Excluded(why)));
    assert_eq!(member.propose(1).await, Err(ProposeError::Excluded(why)));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_removed_while_it_was_away_is_told_so() {
    for manual in [false, true] {
        let (cluster, leader, away) = removed_while_away(manual).await;
        let member = cluster.member(away).within(2 * PATIENCE);

        let done = member.propose(1).await;
        let joined = member.joined().await;

        let why = Exclusion::Removed;
        assert_eq!(done, Err(ProposeError::Excluded(why)), "{manual}");
        assert_eq!(joined, Err(WaitError::Excluded(why)), "{manual}");
        assert_eq!(cluster.member(leader).status().borrow().exclusion, None);
        assert_eq!(cluster.member(leader).propose(2).await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_removed_hears_it_and_takes_part_again_when_added() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let removed = cluster.others(&[leader])[0];
    let (operator, member) = (cluster.member(leader), cluster.member(removed));

    operator.remove_server(server(removed)).await.unwrap();
    let told = wait_for(&member, |status| status.exclusion.is_some()).await;
    operator
        .change_membership(MembershipChange::add_voter(server(removed)))
        .await
        .unwrap();
    let after = wait_for(&member, |status| status.exclusion.is_none()).await;

    assert_eq!(told.exclusion, Some(Exclusion::Removed));
    assert!(after.raft.configuration.is_voter(server(removed)));
    assert_eq!(member.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_takes_in_is_told_to_wait_for_an_operator() {
    let mut cluster = Cluster::empty();
    cluster
        .start_first(1, |member| member.manual_membership())
        .await;

    let member = cluster
        .start(2, |member| member.join(CLUSTER, server(1)))
        .await;
    let joined = member.within(PATIENCE).joined().await;

    let leader = server(1);
    let manual = WaitError::Excluded(Exclusion::Manual { leader });
    assert_eq!(joined, Err(manual));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_excluded_or_stopped_by_the_words_of_others() {
    let mut cluster = Cluster::of(4).await;
    let leader = cluster.leader().await;
    let others = cluster.others(&[leader]);
    cluster.kill(others[0]);
    let mut liars = [66, others[0]].map(|id| cluster.network.attach(server(id)).unwrap());
    let words = [
        Content::Foreign(Foreign::Cluster),
        Content::Foreign(Foreign::History),
        Content::JoinReply(JoinReply::Dismissed),
        Content::JoinReply(JoinReply::Manual),
    ];

    for (liar, to) in [(0, leader), (0, others[1]), (1, leader), (1, others[1])] {
        for content in &words {
            let frame = Frame {
                cluster: CLUSTER,
                to: server(to),
                content: content.clone(),
            };
            liars[liar]
                .send(server(to), DeliveryClass::Datagram, frame.encode().into())
                .unwrap();
        }
    }
    tokio::time::sleep(ELECTION_TIMEOUT).await;

    for id in [leader, others[1], others[2]] {
        let status = cluster.member(id).status().borrow().clone();
        assert_eq!(status.leader(), Some(server(leader)));
        assert_eq!((status.exclusion, status.stopped), (None, None));
    }
    assert_eq!(cluster.member(others[1]).propose(1).await, Ok(1));
}
