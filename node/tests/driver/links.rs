//! Members whose links prove who is at the other end: who gets in, as what, and who does not.

use std::time::Duration;

use liferaft_node::driver::{
    Exclusion, Founding, Handle, Member, MemberBuilder, MemberStatus, Terms,
};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_platform::{Address, ServerId};
use liferaft_raft::configuration::TokenFault;
use liferaft_raft::policy::MembershipPolicy;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::invitation::Invitation;
use liferaft_transport::memory::MemoryNetwork;

use crate::cluster::{ELECTION_TIMEOUT, config};
use crate::machine::Journal;

/// A closed cluster of one member, and the network that others come by.
pub(crate) struct Site {
    pub(crate) network: MemoryNetwork,
    pub(crate) founder: Handle<Journal>,
    pub(crate) disk: MemoryStorage,
}

/// A policy by which nobody is evicted within a story.
pub(crate) fn patient() -> MembershipPolicy {
    MembershipPolicy::default().with_evict_after(Duration::from_secs(3600))
}

impl Site {
    pub(crate) async fn closed() -> Self {
        Self::founded(Founding::closed).await
    }

    pub(crate) async fn founded(tune: impl FnOnce(Founding) -> Founding) -> Self {
        let network = MemoryNetwork::new(1);
        let mut disk = MemoryStorage::default();
        let founding = tune(Founding::by(disk.identity()));
        founding.found(&mut disk).await.expect("the disk is blank");
        let founder = start(&network, &disk, |member| member).await;
        let led = founder.wait_for(|status| status.leader().is_some()).await;
        led.expect("it leads itself");
        Self {
            network,
            founder,
            disk,
        }
    }

    pub(crate) async fn invite(&self, uses: u32) -> Invitation {
        invite(&self.founder, Terms::membership().with_uses(uses)).await
    }

    /// Starts a server that is invited, which may not have got in yet.
    pub(crate) async fn guest(
        &self,
        disk: &MemoryStorage,
        invitation: Invitation,
    ) -> Handle<Journal> {
        start(&self.network, disk, |member| member.invited(invitation)).await
    }

    /// A member that came by an invitation of its own.
    pub(crate) async fn member(&self) -> (Handle<Journal>, MemoryStorage) {
        let disk = MemoryStorage::default();
        let member = self.guest(&disk, self.invite(1).await).await;
        member.joined().await.expect("it is invited");
        (member, disk)
    }
}

/// An invitation by this member, as it is pasted.
pub(crate) async fn invite(member: &Handle<Journal>, terms: Terms) -> Invitation {
    let invited = member.invite(terms).await;
    let text = invited.expect("there is a leader").to_string();
    text.parse().expect("it was just written")
}

pub(crate) async fn start(
    network: &MemoryNetwork,
    disk: &MemoryStorage,
    prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
) -> Handle<Journal> {
    let end = network.connect(disk.identity().clone());
    start_over(end.expect("it is free"), disk, prepare).await
}

pub(crate) async fn start_over(
    end: Endpoint,
    disk: &MemoryStorage,
    prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
) -> Handle<Journal> {
    prepare(builder(end, disk))
        .start()
        .await
        .expect("the member starts")
}

pub(crate) fn builder(end: Endpoint, disk: &MemoryStorage) -> MemberBuilder<Journal> {
    let member = Member::builder(Journal::default(), end, disk.clone());
    let policy = MembershipPolicy::default().with_evict_after(4 * ELECTION_TIMEOUT);
    member
        .config(config())
        .membership(policy)
        .serve_clients()
        .request_timeout(Duration::from_secs(60))
}

pub(crate) async fn excluded(member: &Handle<Journal>) -> Option<Exclusion> {
    let status = member.wait_for(|status| status.exclusion.is_some()).await;
    status.expect("it is told why").exclusion
}

pub(crate) fn names(member: &Handle<Journal>, server: ServerId) -> bool {
    member.status().borrow().raft.configuration.names(server)
}

#[tokio::test(start_paused = true)]
async fn who_is_invited_joins_a_closed_cluster_and_writes() {
    let site = Site::closed().await;
    let (second, _) = site.member().await;
    let (third, _) = site.member().await;

    let written = third.propose(7).await;
    let read = second.read(()).await;

    assert_eq!(written, Ok(1));
    assert_eq!(read, Ok(vec![7]));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_lets_in_as_many_as_it_says() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;
    let (first, second) = (MemoryStorage::default(), MemoryStorage::default());

    let guest = site.guest(&first, invitation.clone()).await;
    guest.joined().await.expect("it is the first");
    let copy = site.guest(&second, invitation).await;

    let used_up = Exclusion::Token(TokenFault::UsedUp);
    assert_eq!(excluded(&copy).await, Some(used_up));
    assert!(!names(&site.founder, copy.id()));
}

#[tokio::test(start_paused = true)]
async fn an_invitation_that_was_taken_back_lets_nobody_in() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;
    let token = invitation.token().expect("it has one").key();
    site.founder.revoke(token).await.expect("it is known");

    let guest = site.guest(&MemoryStorage::default(), invitation).await;

    let unknown = Exclusion::Token(TokenFault::Unknown);
    assert_eq!(excluded(&guest).await, Some(unknown));
    assert!(!names(&site.founder, guest.id()));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_no_link_to_a_closed_cluster() {
    let site = Site::closed().await;
    let (cluster, founder) = (site.founder.cluster(), site.founder.id());

    let disk = MemoryStorage::default();
    let stranger = start(&site.network, &disk, |member| member.join(cluster, founder)).await;

    let joined = stranger.within(20 * ELECTION_TIMEOUT).joined().await;
    assert!(joined.is_err());
    let received = stranger.status().borrow().counters.frames_received;
    assert_eq!(received, 0);
}

#[tokio::test(start_paused = true)]
async fn an_expelled_member_is_refused_and_told_so() {
    let site = Site::closed().await;
    let (second, disk) = site.member().await;
    let id = second.id();

    site.founder.remove_server(id).await.expect("it is one");
    second.stop().await;
    let again = start(&site.network, &disk, |member| member).await;

    assert_eq!(excluded(&again).await, Some(Exclusion::Removed));
    assert!(!names(&site.founder, id));
}

#[tokio::test(start_paused = true)]
async fn who_was_evicted_comes_back_without_an_invitation() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (third, _) = site.member().await;
    let (fourth, disk) = site.member().await;
    let id = fourth.id();
    let _ = third;
    fourth.stop().await;
    let gone = site
        .founder
        .wait_for(|status| !status.raft.configuration.contains(id))
        .await;
    gone.expect("it is evicted for its silence");

    let back = start(&site.network, &disk, |member| member).await;

    back.joined().await.expect("it is remembered");
}

/// Where the server of this disk is reached on a memory network.
fn address_of(disk: &MemoryStorage) -> Address {
    let address = format!("memory:{:?}", disk.identity().id());
    address.parse().expect("it is an address")
}

pub(crate) fn is_at(status: &MemberStatus, server: ServerId, address: &Address) -> bool {
    let member = status.raft.configuration.member(server);
    member.is_some_and(|member| member.description.addresses() == [address.clone()])
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_moved_tells_its_address_to_all() {
    let site = Site::closed().await;
    let (second, disk) = site.member().await;
    let (id, address) = (second.id(), address_of(&disk));
    second.stop().await;

    let moved = |member: MemberBuilder<Journal>| member.addresses([address.clone()]);
    let _again = start(&site.network, &disk, moved).await;

    let told = site.founder.wait_for(|status| is_at(status, id, &address));
    told.await.expect("it has asked for it");
}

#[tokio::test(start_paused = true)]
async fn an_invitation_tells_where_the_founder_is_reached() {
    let network = MemoryNetwork::new(1);
    let mut disk = MemoryStorage::default();
    let address = address_of(&disk);
    let founding = Founding::by(disk.identity()).closed();
    founding.found(&mut disk).await.expect("the disk is blank");
    let reached = |member: MemberBuilder<Journal>| member.addresses([address.clone()]);
    let founder = start(&network, &disk, reached).await;
    let id = founder.id();
    let described = founder.wait_for(|status| is_at(status, id, &address));
    described.await.expect("it describes itself");

    let invitation = founder.invite(Terms::membership()).await;

    let addresses = invitation.map(|invitation| invitation.addresses().to_vec());
    assert_eq!(addresses, Ok(vec![address]));
}

#[tokio::test(start_paused = true)]
async fn an_open_cluster_takes_whoever_comes() {
    let site = Site::founded(|founding| founding).await;
    let (cluster, founder) = (site.founder.cluster(), site.founder.id());

    let disk = MemoryStorage::default();
    let guest = start(&site.network, &disk, |member| member.join(cluster, founder)).await;

    guest.joined().await.expect("the cluster is open");
    assert_eq!(guest.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_joins_an_open_cluster_by_another_newcomer() {
    let site = Site::founded(|founding| founding).await;
    let (cluster, founder) = (site.founder.cluster(), site.founder.id());

    let (first, second) = (MemoryStorage::default(), MemoryStorage::default());
    let first = start(&site.network, &first, |member| {
        member.join(cluster, founder)
    })
    .await;
    let second = start(&site.network, &second, |member| {
        member.join(cluster, first.id())
    })
    .await;

    first.joined().await.expect("it has asked the leader");
    second.joined().await.expect("who it has asked has joined");
}

#[tokio::test(start_paused = true)]
async fn an_invitation_names_its_writer_and_then_the_leader() {
    let site = Site::closed().await;
    let (_second, _) = site.member().await;
    let (_third, _) = site.member().await;
    let (fourth, _) = site.member().await;

    let invitation = fourth.invite(Terms::membership()).await;

    let named = invitation.map(|invitation| invitation.inviters()[..2].to_vec());
    let leads = site.founder.public_key();
    assert_eq!(named, Ok(vec![fourth.public_key(), leads]));
}

// A leader looked for any member in the place of a server that it was to add, and gave such a server no link.
#[tokio::test(start_paused = true)]
async fn an_operator_adds_a_server_that_knows_nobody() {
    let site = Site::closed().await;
    let cluster = site.founder.cluster();

    let disk = MemoryStorage::default();
    let added = start(&site.network, &disk, |member| member.cluster(cluster)).await;
    let done = site.founder.add_learner(added.id()).await;

    assert_eq!(done, Ok(()));
    added.joined().await.expect("it was added");
}
