//! Tells whom a member believes that was cut off while others came and went.

use std::time::Duration;

use liferaft_node::driver::{Exclusion, Handle, Terms};
use liferaft_node::storage::{MemoryStorage, Storage};
use tokio::time::sleep;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, excluded, invite, patient, start};
use crate::machine::Journal;

/// A closed cluster, in which nobody is evicted within a story, whose third member is cut off.
struct Parted {
    site: Site,
    /// Apart from the founder.
    second: Handle<Journal>,
    cut_off: Handle<Journal>,
}

impl Parted {
    async fn new() -> Self {
        let mut site = Site::closed().await;
        site.founder.stop().await;
        site.founder = start(&site.network, &site.disk, |member| {
            member.membership(patient())
        })
        .await;
        let second = guest(&site, &site.founder).await;
        second.joined().await.expect("it is invited");
        let cut_off = guest(&site, &site.founder).await;
        cut_off.joined().await.expect("it is invited");
        site.network.partition(&[&[cut_off.id()]]);
        Self {
            site,
            second,
            cut_off,
        }
    }

    /// A voter that this one has invited. The policy promotes nobody while a voter is silent.
    async fn newcomer(&self, by: &Handle<Journal>) -> Handle<Journal> {
        let member = guest(&self.site, by).await;
        let named = member.wait_for(|status| status.raft.configuration.names(member.id()));
        named.await.expect("it is invited");
        by.add_server(member.id()).await.expect("it catches up");
        member
    }

    /// Has a member leave for good.
    async fn part_with(&self, member: &Handle<Journal>, asked: &Handle<Journal>) {
        asked.remove_server(member.id()).await.expect("it is one");
        member.stop().await;
    }

    /// The one that was cut off reaches those that are there, and they it.
    fn heal(&self) {
        self.site.network.partition(&[]);
    }
}

/// A server that this member has invited.
async fn guest(site: &Site, by: &Handle<Journal>) -> Handle<Journal> {
    let invitation = invite(by, Terms::membership()).await;
    let disk = MemoryStorage::default();
    let guest = start(&site.network, &disk, |member| {
        member.invited(invitation).membership(patient())
    });
    guest.await
}

/// Waits until a member is led by one of these.
async fn led_by(member: &Handle<Journal>, leaders: &[&Handle<Journal>]) {
    let led = member.wait_for(|status| {
        let leader = status.leader();
        leader.is_some_and(|leader| leaders.iter().any(|one| one.id() == leader))
    });
    led.await.expect("it follows one of them");
}

#[tokio::test(start_paused = true)]
async fn who_was_cut_off_follows_those_who_replaced_all() {
    let parted = Parted::new().await;
    let third = parted.newcomer(&parted.site.founder).await;
    let fourth = parted.newcomer(&parted.site.founder).await;
    parted.part_with(&parted.second, &third).await;
    parted.part_with(&parted.site.founder, &third).await;

    parted.heal();

    led_by(&parted.cut_off, &[&third, &fourth]).await;
    assert_eq!(parted.cut_off.propose(3).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_vouchers_outlives_its_middle() {
    let parted = Parted::new().await;
    let third = parted.newcomer(&parted.site.founder).await;
    let moved = third.transfer_leadership(Some(third.id())).await;
    moved.expect("it is a voter");
    let fourth = parted.newcomer(&third).await;
    parted.part_with(&parted.site.founder, &third).await;
    parted.part_with(&parted.second, &third).await;
    let moved = third.transfer_leadership(Some(fourth.id())).await;
    moved.expect("it is a voter");
    let fifth = parted.newcomer(&fourth).await;
    parted.part_with(&third, &fourth).await;

    parted.heal();

    led_by(&parted.cut_off, &[&fourth, &fifth]).await;
    assert_eq!(parted.cut_off.propose(3).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn who_reaches_nobody_says_that_it_needs_an_invitation() {
    let parted = Parted::new().await;

    let exclusion = excluded(&parted.cut_off).await;
    parted.heal();
    let back = parted.cut_off.wait_for(|status| status.leader().is_some());
    back.await.expect("it goes on trying");

    assert_eq!(exclusion, Some(Exclusion::NoPeer));
    assert_eq!(parted.cut_off.status().borrow().exclusion, None);
}

#[tokio::test(start_paused = true)]
async fn who_knows_nobody_that_is_left_comes_back_by_an_invitation() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (third, _) = site.member().await;
    let (lost, disk) = site.member().await;
    let id = lost.id();
    lost.stop().await;
    let gone = third.wait_for(|status| !status.raft.configuration.contains(id));
    gone.await.expect("it is evicted for its silence");
    let (fourth, _) = site.member().await;
    for member in [&site.founder, &second, &third] {
        fourth.remove_server(member.id()).await.expect("it is one");
        member.stop().await;
    }
    let alone = start(&site.network, &disk, |member| member).await;
    let exclusion = excluded(&alone).await;
    alone.stop().await;
    let invitation = invite(&fourth, Terms::membership()).await;

    let back = start(&site.network, &disk, |member| member.invited(invitation)).await;

    assert_eq!(exclusion, Some(Exclusion::NoPeer));
    let joined = back.within(Duration::from_secs(120)).joined().await;
    joined.expect("it is invited");
    assert_eq!(disk.identity().id(), back.id());
}

#[tokio::test(start_paused = true)]
async fn a_member_alone_by_right_needs_no_invitation() {
    let site = Site::closed().await;

    sleep(Duration::from_secs(100)).await;

    assert_eq!(site.founder.status().borrow().exclusion, None);
    let led = site.founder.within(ELECTION_TIMEOUT).propose(1).await;
    assert_eq!(led, Ok(1));
}

/// Whoever was cut off knows it as removed, and is told by another that it leads.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_removed_and_added_again_is_followed() {
    let parted = Parted::new().await;
    let Parted {
        site,
        second,
        cut_off,
    } = &parted;
    let third = parted.newcomer(&site.founder).await;
    parted.heal();
    site.founder
        .remove_server(second.id())
        .await
        .expect("it is one");
    let knows = cut_off.wait_for(|status| !status.raft.configuration.names(second.id()));
    knows.await.expect("it is told");
    site.network.partition(&[&[cut_off.id()]]);
    site.founder
        .add_server(second.id())
        .await
        .expect("it is there");
    second.joined().await.expect("it is a member again");
    let handed = site.founder.transfer_leadership(Some(second.id())).await;
    assert_eq!(handed, Ok(second.id()));

    parted.heal();

    let follows = cut_off.wait_for(|status| status.leader() == Some(second.id()));
    follows.await.expect("the others say who leads");
    assert_eq!(cut_off.propose(1).await, Ok(1));
    assert_eq!(third.read(()).await, Ok(vec![1]));
}
