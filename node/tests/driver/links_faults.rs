//! Tells stories of networks that lose, delay and reorder, and that are cut for long.

use std::time::Duration;

use liferaft_node::driver::{Handle, MemberStatus};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::consensus::RoleKind;
use liferaft_raft::policy::{MembershipPolicy, Target};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::invitation::Invitation;
use liferaft_transport::memory::{Delay, Faults, MemoryNetwork, Probability};
use tokio::time::{Instant, sleep};

use crate::links::{Site, builder, patient, start};
use crate::machine::Journal;

/// Three members of a closed cluster, in which nobody is evicted within a story.
pub(crate) async fn three() -> (Site, Vec<Handle<Journal>>) {
    three_by(patient()).await
}

/// Three members of a closed cluster that keep to this policy.
pub(crate) async fn three_by(policy: MembershipPolicy) -> (Site, Vec<Handle<Journal>>) {
    let mut site = Site::closed().await;
    site.founder.stop().await;
    site.founder = start(&site.network, &site.disk, |member| {
        member.membership(policy)
    })
    .await;
    let mut members = vec![site.founder.clone()];
    for _ in 0..2 {
        let invitation = site.invite(1).await;
        let disk = MemoryStorage::default();
        let member = start(&site.network, &disk, |member| {
            member.invited(invitation).membership(policy)
        });
        let member = member.await;
        member.joined().await.expect("it is invited");
        members.push(member);
    }
    (site, members)
}

fn radio() -> Faults {
    Faults::none()
        .with_loss(Probability::percent(20))
        .with_reordering(Probability::percent(20))
        .with_delay(Delay::uniform(
            Duration::from_millis(1)..=Duration::from_millis(30),
        ))
}

/// Writes so many numbers by each member in turn.
async fn write(members: &[Handle<Journal>], count: u64) {
    for number in 0..count {
        let member = &members[usize::try_from(number).expect("it is small") % members.len()];
        let written = member.propose(number).await;
        written.expect("it is written within a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_over_a_network_that_loses_a_fifth() {
    let (site, members) = three().await;
    site.network.set_faults(radio());

    write(&members, 100).await;

    let read = members[2].read(()).await;
    assert_eq!(read.map(|numbers| numbers.len()), Ok(100));
}

/// A member whose links seal their packets.
fn sealed(network: &MemoryNetwork, disk: &MemoryStorage) -> Endpoint {
    let carrier = network.attach_carrier(disk.identity().id());
    let carrier = carrier.expect("it is free").sealed();
    Endpoint::new(disk.identity().clone(), carrier)
}

#[tokio::test(start_paused = true)]
async fn sealed_writes_go_on_over_a_network_that_loses_a_fifth() {
    let mut site = Site::closed().await;
    site.founder.stop().await;
    let founder = builder(sealed(&site.network, &site.disk), &site.disk);
    site.founder = founder
        .membership(patient())
        .start()
        .await
        .expect("it starts");
    site.founder.joined().await.expect("it leads itself");
    site.network.set_faults(radio());
    let mut members = vec![site.founder.clone()];
    for _ in 0..2 {
        let invitation = site.invite(1).await;
        let disk = MemoryStorage::default();
        let member = builder(sealed(&site.network, &disk), &disk);
        let member = member
            .membership(patient())
            .invited(invitation)
            .start()
            .await;
        let member = member.expect("it starts");
        member.joined().await.expect("it is invited");
        members.push(member);
    }

    write(&members, 100).await;

    let read = members[2].read(()).await;
    assert_eq!(read.map(|numbers| numbers.len()), Ok(100));
}

/// How long it takes after a partition of some time until each member has written.
async fn heals_within(partition: Duration) -> Duration {
    let (site, members) = three().await;
    let ids: Vec<_> = members.iter().map(Handle::id).collect();
    site.network.partition(&[&[ids[0]], &[ids[1]], &[ids[2]]]);
    sleep(partition).await;

    site.network.partition(&[]);
    let healed_at = Instant::now();
    write(&members, 3).await;
    healed_at.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_second_of_partition_is_over_within_seconds() {
    let healing = heals_within(Duration::from_secs(1)).await;

    assert!(healing < Duration::from_secs(5), "{healing:?}");
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_of_partition_are_over_within_seconds() {
    let healing = heals_within(Duration::from_secs(10)).await;

    assert!(healing < Duration::from_secs(8), "{healing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_partition_is_over_within_seconds() {
    let healing = heals_within(Duration::from_secs(60)).await;

    assert!(healing < Duration::from_secs(8), "{healing:?}");
}

#[tokio::test(start_paused = true)]
async fn links_between_members_that_rest_stay_up() {
    let (_site, members) = three().await;
    let index = members[0].status().borrow().raft.term;
    sleep(Duration::from_secs(60)).await;
    let mut events = members[1].events();

    sleep(Duration::from_secs(120)).await;

    let flapped = futures::FutureExt::now_or_never(futures::StreamExt::next(&mut events));
    assert!(flapped.is_none(), "{flapped:?}");
    assert_eq!(members[0].status().borrow().raft.term, index);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_helped_by_whoever_is_where_its_inviter_was() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, _) = site.member().await;
    let invitation = site.invite(1).await;
    let moved = third.transfer_leadership(Some(third.id())).await;
    moved.expect("it is a voter");
    site.founder.stop().await;

    let guest = site.guest(&MemoryStorage::default(), invitation).await;

    guest.joined().await.expect("another member helps it");
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_believes_whom_its_inviter_vouches_for() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (_third, _) = site.member().await;
    let (_fourth, _) = site.member().await;
    let invited = site.invite(1).await;
    let there = format!("memory:{:?}", second.id());
    let there = there.parse().expect("it is an address");
    let invitation = Invitation::new(site.founder.cluster(), [site.founder.public_key()]);
    let invitation = invitation.and_then(|invitation| invitation.with_addresses([there]));
    let invitation = invitation.expect("it names somebody");
    let token = invited.token().expect("it has one").clone();
    site.network.kill(site.founder.id());

    let disk = MemoryStorage::default();
    let guest = site.guest(&disk, invitation.with_token(token)).await;

    let joined = guest.joined().await;
    joined.expect("the second answers in its place");
}

// A page showed for ever that the one which was closed led, and its link as one that is up: of two voters one was left,
// which could not be elected, and nobody spoke to the learner.
#[tokio::test(start_paused = true)]
async fn a_learner_names_neither_a_dead_leader_nor_its_link() {
    let two_voters = patient().with_voters_min(2).with_voters(Target::Count(2));
    let (site, members) = three_by(two_voters).await;
    let [leader, voter, _] = [0, 1, 2].map(|place: usize| members[place].id());
    let learner = members[2].within(Duration::from_secs(10));
    let before = learner.wait_for(|status| status.links.len() == 2).await;

    site.network.kill(leader);
    let unled = learner.wait_for(|status| status.leader().is_none()).await;
    let is_left = |status: &MemberStatus| matches!(*status.links, [ref link] if link.peer == voter);
    let unlinked = learner.wait_for(is_left).await;

    assert_eq!(before.map(|status| status.leader()), Ok(Some(leader)));
    assert_eq!(unled.map(|status| status.raft.role), Ok(RoleKind::Follower));
    assert_eq!(unlinked.map(|status| status.leader()), Ok(None));
}
