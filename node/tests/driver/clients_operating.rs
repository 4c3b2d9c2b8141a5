//! Clients that operate a cluster: who may, and what comes of it.

use std::time::Duration;

use futures::future::join_all;
use liferaft_node::driver::{
    Client, ClientRefused, Exclusion, Handle, MembershipError, ReadError, Terms,
    TransferLeadershipError, WaitError,
};
use liferaft_node::identity::Identity;
use liferaft_node::storage::MemoryStorage;
use liferaft_raft::configuration::TokenFault;
use liferaft_raft::consensus::{MembershipChange, RoleKind};
use liferaft_raft::ids::ServerId;
use liferaft_transport::invitation::Invitation;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, invite, names};
use crate::machine::Journal;

const PATIENCE: Duration = Duration::from_secs(60);

fn client(site: &Site, invitation: Invitation) -> Client<Journal> {
    let identity = Identity::draw();
    let end = site
        .network
        .connect(identity.clone())
        .expect("the id is free");
    let client = Client::builder(identity, end, invitation);
    let client = client.request_timeout(PATIENCE);
    client.start().expect("its transport is its own")
}

async fn operator(site: &Site) -> Client<Journal> {
    client(site, invite(&site.founder, Terms::operating()).await)
}

#[tokio::test(start_paused = true)]
async fn an_operator_invites_hands_leadership_over_and_expels() {
    let site = Site::closed().await;
    let operator = operator(&site).await;

    let invitation = operator.invite(Terms::membership()).await;
    let disk = MemoryStorage::default();
    let guest = site.guest(&disk, invitation.expect("it may")).await;
    guest.joined().await.expect("it is invited");
    let handed = operator.transfer_leadership(Some(guest.id())).await;
    let removal = MembershipChange::remove(site.founder.id());
    let removed = operator.change_membership(removal).await;

    assert_eq!(handed, Ok(guest.id()));
    assert_eq!(removed, Ok(()));
    assert!(!names(&guest, site.founder.id()));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_that_an_operator_takes_back_lets_nobody_in() {
    let site = Site::closed().await;
    let operator = operator(&site).await;
    let invitation = operator.invite(Terms::membership()).await.expect("it may");
    let key = invitation.token().expect("it has one").key();

    let revoked = operator.revoke(key).await;

    assert_eq!(revoked, Ok(()));
    let guest = site.guest(&MemoryStorage::default(), invitation).await;
    let joined = guest.within(PATIENCE).joined().await;
    let why = Exclusion::Token(TokenFault::Unknown);
    assert_eq!(joined, Err(WaitError::Excluded(why)));
}

#[tokio::test(start_paused = true)]
async fn a_writer_may_not_operate_and_is_told_so() {
    let site = Site::closed().await;
    let writer = client(&site, invite(&site.founder, Terms::writing()).await);
    writer.propose(1).await.expect("it may write");

    let invited = writer.invite(Terms::membership()).await.map(drop);
    let handed = writer.transfer_leadership(None).await;

    let refused = ClientRefused::NotOperator;
    assert_eq!(invited, Err(MembershipError::Refused(refused)));
    assert_eq!(handed, Err(TransferLeadershipError::Refused(refused)));
}

#[tokio::test(start_paused = true)]
async fn each_member_reports_where_it_stands() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let reader = client(&site, invite(&site.founder, Terms::reading()).await);

    let of_leader = reader.report(site.founder.id()).await.expect("it is there");
    let of_other = reader.report(second.id()).await.expect("it is there");
    let of_nobody = reader
        .within(Duration::from_secs(1))
        .report(ServerId(9))
        .await;

    assert_eq!(
        [of_leader.role, of_other.role],
        [RoleKind::Leader, RoleKind::Follower]
    );
    assert_eq!(of_other.leader, Some(site.founder.id()));
    let voters = of_leader
        .members
        .iter()
        .filter(|(_, is_voter, _)| *is_voter);
    assert_eq!(voters.count(), 2);
    assert_eq!(of_leader.peers[0].id, second.id());
    assert!(of_leader.peers[0].round_trip.is_some());
    assert_eq!(of_nobody, Err(ReadError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_asks_goes_on_under_the_next_leader() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (_third, _) = site.member().await;
    let operator = operator(&site).await;
    operator.propose(1).await.expect("it may write");

    site.network.kill(site.founder.id());
    let invitation = operator.invite(Terms::membership()).await;

    let guest = site
        .guest(&MemoryStorage::default(), invitation.expect("it may"))
        .await;
    guest
        .within(PATIENCE)
        .joined()
        .await
        .expect("it is invited");
    assert!(names(&second, guest.id()));
}

/// A cluster of three, and an operator that has links to all of them.
async fn three_with_operator() -> (Site, [Handle<Journal>; 2], Client<Journal>) {
    let (site, others) = Site::three().await;
    let operator = operator(&site).await;
    operator.propose(1).await.expect("it may write");
    let all = operator.wait_for(|status| status.links == 3).await;
    all.expect("it links to all");
    (site, others, operator)
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_evicts_the_leader_hears_that_it_is_done() {
    let (site, [second, _third], operator) = three_with_operator().await;

    let evicted = operator
        .change_membership(MembershipChange::evict(site.founder.id()))
        .await;

    assert_eq!(evicted, Ok(()));
    assert!(!names(&second, site.founder.id()));
}

#[tokio::test(start_paused = true)]
async fn an_operator_learns_of_a_removed_leader_from_the_next_one() {
    let (site, [second, _third], operator) = three_with_operator().await;
    site.network.cut(site.founder.id(), operator.id());

    let removed = operator
        .change_membership(MembershipChange::remove(site.founder.id()))
        .await;

    assert_eq!(removed, Ok(()));
    assert!(!names(&second, site.founder.id()));
}

#[tokio::test(start_paused = true)]
async fn an_operator_hears_of_a_transfer_from_the_next_leader() {
    let (site, [second, _third], operator) = three_with_operator().await;
    site.network.cut(site.founder.id(), operator.id());

    let handed = operator.transfer_leadership(Some(second.id())).await;

    assert_eq!(handed, Ok(second.id()));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_that_is_late_is_heard_of_within_the_deadline() {
    let (site, [second, third], operator) = three_with_operator().await;
    // Its votes come when the leader that hands over has given it up.
    for other in [site.founder.id(), third.id()] {
        site.network.cut(second.id(), other);
    }

    let (handed, ()) = futures::join!(operator.transfer_leadership(Some(second.id())), async {
        tokio::time::sleep(2 * ELECTION_TIMEOUT).await;
        site.network.heal_all();
        operator
            .within(PATIENCE)
            .propose(2)
            .await
            .expect("one leads");
        second.transfer_leadership(Some(second.id())).await.ok();
    });

    assert_eq!(handed, Ok(second.id()));
}

#[tokio::test(start_paused = true)]
async fn more_members_than_a_client_links_to_report_in_turn() {
    let site = Site::closed().await;
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(site.member().await.0);
    }
    let members = others.iter().chain([&site.founder]);
    let reader = client(&site, invite(&site.founder, Terms::reading()).await);

    let patient = reader.within(Duration::from_secs(2));
    let reports = join_all(members.map(|member| patient.report(member.id()))).await;

    assert_eq!(reports.len(), 11);
    assert!(reports.iter().all(Result::is_ok), "{reports:?}");
}
