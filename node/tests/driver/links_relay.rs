//! Tells stories of members that reach each other through a third alone.

use std::time::Duration;

use liferaft_node::driver::{Handle, MemberStatus};
use liferaft_raft::ids::ServerId;
use liferaft_raft::policy::Target;
use liferaft_transport::links::LinkPath;
use tokio::time::timeout;

use crate::links::patient;
use crate::links_faults::{three, three_by};
use crate::machine::Journal;

/// Waits until a member says that its link to a server runs as wanted.
async fn linked(member: &Handle<Journal>, peer: ServerId, wanted: impl Fn(&LinkPath) -> bool) {
    let mut status = member.status();
    let is_linked = status.wait_for(|now| {
        let mut links = now.links.iter();
        links.any(|link| link.peer == peer && link.path.as_ref().is_some_and(&wanted))
    });
    let waited = timeout(Duration::from_secs(120), is_linked).await;
    waited.expect("in time").expect("it runs");
}

/// Writes a number by each member, and sees all of them at each.
async fn write_and_read(members: &[Handle<Journal>], written: usize) {
    for member in members {
        let written = member.propose(7).await;
        written.expect("it is written within a minute");
    }
    for member in members {
        let read = member.read(()).await;
        assert_eq!(read.map(|numbers| numbers.len()), Ok(written));
    }
}

#[tokio::test(start_paused = true)]
async fn members_reach_each_other_through_a_third_until_they_can_without() {
    let (site, members) = three().await;
    let [a, b, c] = [0, 1, 2].map(|place: usize| members[place].id());

    site.network.cut(a, b);
    site.network.cut(b, a);
    linked(&members[0], b, |path| path.relay == Some(c)).await;
    linked(&members[1], a, |path| path.relay == Some(c)).await;
    write_and_read(&members, 3).await;
    site.network.heal_all();
    linked(&members[0], b, |path| path.carrier == "memory").await;
    linked(&members[1], a, |path| path.carrier == "memory").await;
    write_and_read(&members, 6).await;
}

/// Learners link to voters alone, until one of them reaches none.
#[tokio::test(start_paused = true)]
async fn a_learner_that_is_cut_off_reaches_the_voter_through_another() {
    let one_voter = patient().with_voters_min(1).with_voters(Target::Count(1));
    let (site, members) = three_by(one_voter).await;
    let [voter, learner, other] = [0, 1, 2].map(|place: usize| members[place].id());
    write_and_read(&members, 3).await;

    site.network.cut(voter, learner);
    site.network.cut(learner, voter);
    linked(&members[1], voter, |path| path.relay == Some(other)).await;
    let mut status = members[1].status();
    status.mark_unchanged();
    let stays = status.wait_for(|now| now.links.iter().all(|link| link.peer != voter));
    let stays = timeout(Duration::from_secs(600), stays).await;
    assert!(stays.is_err(), "the link through the other learner stays");
    write_and_read(&members, 6).await;

    site.network.heal_all();
    linked(&members[1], voter, |path| path.carrier == "memory").await;
    let mut status = members[1].status();
    let is_alone = |now: &MemberStatus| now.links.len() == 1;
    let left = timeout(Duration::from_secs(60), status.wait_for(is_alone)).await;
    left.expect("it leaves the other alone").expect("it runs");
}
