//! Tells what becomes of members that were removed, evicted or restarted, and of their links.

use std::time::Duration;

use liferaft_node::driver::{Exclusion, Handle, Happening, MemberBuilder};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_platform::ServerId;
use liferaft_raft::configuration::EVICTED_MAX;
use liferaft_raft::consensus::MembershipChange;
use tokio::time::{Instant, sleep};

use crate::cluster::ELECTION_TIMEOUT;
use crate::events::next;
use crate::links::{Site, excluded, names, patient, start};
use crate::machine::Journal;

/// Waits until a member has no link to a peer any more.
async fn link_down(member: &Handle<Journal>, to: ServerId, act: impl Future<Output = ()>) {
    let mut events = member.events();
    act.await;
    next(
        &mut events,
        |what| matches!(what, Happening::PeerDown { peer } if *peer == to),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_loses_its_links_and_is_told_why() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (third, _) = site.member().await;
    let id = third.id();

    let removed = async {
        second.remove_server(id).await.expect("it is one");
    };
    let parting = link_down(&site.founder, id, removed);
    let parted = tokio::time::timeout(ELECTION_TIMEOUT, parting).await;
    let exclusion = excluded(&third).await;
    let received = third.status().borrow().counters.frames_received;
    site.founder.propose(1).await.expect("two are there");
    sleep(20 * ELECTION_TIMEOUT).await;

    assert_eq!(parted, Ok(()));
    assert_eq!(exclusion, Some(Exclusion::Removed));
    assert_eq!(third.status().borrow().counters.frames_received, received);
}

/// Others are told at once that its links are closed, as they are not of one that was killed.
#[tokio::test(start_paused = true)]
async fn a_closed_link_evicts_nobody_before_silence_does() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (third, _) = site.member().await;
    // Of three voters none is evicted.
    let (_fourth, _) = site.member().await;
    let id = third.id();
    let term = second.status().borrow().raft.term;

    link_down(&site.founder, id, third.stop()).await;
    let closed_at = Instant::now();
    let evicted = site
        .founder
        .wait_for(|status| !status.raft.configuration.names(id));
    evicted.await.expect("it is silent");

    // Silence counts from its last answer, an interval of heartbeats before at most.
    assert!(closed_at.elapsed() >= 3 * ELECTION_TIMEOUT);
    assert_eq!(second.status().borrow().raft.term, term);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_removes_itself_hears_that_it_is_done() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (_third, _) = site.member().await;

    let removed = second.remove_server(second.id()).await;

    assert_eq!(removed, Ok(()));
    assert_eq!(excluded(&second).await, Some(Exclusion::Removed));
}

#[tokio::test(start_paused = true)]
async fn half_of_the_voters_are_removed_at_once() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, _) = site.member().await;
    let (fourth, _) = site.member().await;
    let both = MembershipChange::remove(third.id()).and(MembershipChange::remove(fourth.id()));

    let removed = site.founder.change_membership(both).await;

    assert_eq!(removed, Ok(()));
    assert_eq!(site.founder.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_is_one_again_once_it_is_added() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (third, _) = site.member().await;
    second.remove_server(third.id()).await.expect("it is one");
    assert_eq!(excluded(&third).await, Some(Exclusion::Removed));

    let added = second.add_server(third.id()).await;

    assert_eq!(added, Ok(()));
    third.joined().await.expect("it is a member");
    assert_eq!(third.propose(1).await, Ok(1));
}

// A member that had missed that its leader was added again took it for removed, and was led by nobody.
async fn follow_a_leader_that_was_added_again(
    prepare: fn(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
) {
    let site = Site::closed().await;
    let mut members = vec![(site.founder.clone(), site.disk.clone())];
    for _ in 0..3 {
        members.push(site.member().await);
    }
    let disks: Vec<MemoryStorage> = members.iter().map(|(_, disk)| disk.clone()).collect();
    for (member, _) in members {
        member.stop().await;
    }
    let operated = async |disk| start(&site.network, disk, MemberBuilder::manual_membership).await;
    let ada = operated(&disks[0]).await;
    let bob = operated(&disks[1]).await;
    let eve = operated(&disks[2]).await;
    let _dan = operated(&disks[3]).await;
    ada.remove_server(bob.id()).await.expect("he is one");
    let knows = eve.wait_for(|status| {
        let index = status.raft.configuration_index;
        !status.raft.configuration.contains(bob.id()) && index <= status.raft.commit
    });
    knows.await.expect("she is told");
    eve.stop().await;
    ada.add_server(bob.id()).await.expect("he is well");
    let handed = ada.transfer_leadership(Some(bob.id())).await;
    assert_eq!(handed, Ok(bob.id()));

    let eve = start(&site.network, &disks[2], prepare).await;

    let led = eve.within(Duration::from_secs(30)).propose(1).await;
    assert_eq!(led, Ok(1));
    assert_eq!(eve.status().borrow().leader(), Some(bob.id()));
}

#[tokio::test(start_paused = true)]
async fn a_member_follows_a_leader_that_it_knows_as_removed() {
    follow_a_leader_that_was_added_again(|member| member.membership(patient())).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_operated_follows_such_a_leader_too() {
    follow_a_leader_that_was_added_again(MemberBuilder::manual_membership).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_evicted_long_ago_is_told_that_it_is_forgotten() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let disk = forgotten(&site).await;
    let id = disk.identity().id();
    assert!(
        !site
            .founder
            .status()
            .borrow()
            .raft
            .configuration
            .is_evicted(id)
    );

    let back = start(&site.network, &disk, |member| member).await;

    assert_eq!(excluded(&back).await, Some(Exclusion::Forgotten));
    assert!(!names(&site.founder, id));
}

/// The disk of a member that stopped, and was evicted so long ago that its cluster has forgotten it.
async fn forgotten(site: &Site) -> MemoryStorage {
    let (member, disk) = site.member().await;
    member.stop().await;
    let evicted = MembershipChange::evict(member.id());
    let evicted = site.founder.change_membership(evicted).await;
    evicted.expect("it is one");
    forget_evicted(&site.founder).await;
    disk
}

/// Has as many others evicted as are remembered.
async fn forget_evicted(member: &Handle<Journal>) {
    let others = (1..=EVICTED_MAX as u128).map(ServerId);
    let changes = |change: fn(ServerId) -> MembershipChange| {
        let each = others.clone().map(change);
        each.reduce(MembershipChange::and).expect("there are some")
    };
    let added = changes(MembershipChange::add_learner);
    member
        .change_membership(added)
        .await
        .expect("they are blank");
    let evicted = changes(MembershipChange::evict);
    member
        .change_membership(evicted)
        .await
        .expect("they are members");
}

#[tokio::test(start_paused = true)]
async fn who_was_forgotten_comes_back_by_a_new_invitation() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let disk = forgotten(&site).await;
    let invitation = site.invite(1).await;

    let back = site.guest(&disk, invitation).await;

    back.joined().await.expect("it is invited");
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_stays_out_of_an_open_cluster() {
    let site = Site::founded(|founding| founding).await;
    let (cluster, founder) = (site.founder.cluster(), site.founder.id());
    let disk = MemoryStorage::default();
    let guest = start(&site.network, &disk, |member| member.join(cluster, founder)).await;
    guest.joined().await.expect("the cluster is open");

    site.founder
        .remove_server(guest.id())
        .await
        .expect("it is one");

    assert_eq!(excluded(&guest).await, Some(Exclusion::Removed));
    sleep(Duration::from_secs(60)).await;
    assert!(!names(&site.founder, disk.identity().id()));
}

#[tokio::test(start_paused = true)]
async fn all_members_restart_at_once() {
    let site = Site::closed().await;
    let (second, second_disk) = site.member().await;
    let (third, third_disk) = site.member().await;
    for member in [&site.founder, &second, &third] {
        member.stop().await;
    }

    let mut members = Vec::new();
    for disk in [&site.disk, &second_disk, &third_disk] {
        members.push(start(&site.network, disk, |member| member.membership(patient())).await);
    }

    let written = members[0].within(Duration::from_secs(10)).propose(1).await;
    assert_eq!(written, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_crashed_is_linked_anew_at_once() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, disk) = site.member().await;
    site.network.kill(third.id());

    let back = start(&site.network, &disk, |member| member).await;

    let written = back.within(Duration::from_secs(5)).propose(1).await;
    assert_eq!(written, Ok(1));
}
