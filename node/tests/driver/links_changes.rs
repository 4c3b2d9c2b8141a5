//! Tells stories of what members say of themselves, and of clusters that are open to more than they may be.

use std::task::{Context, Poll};
use std::time::Duration;

use liferaft_node::driver::{
    Exclusion, Founding, Handle, MemberBuilder, MembershipError, StartError, Terms,
};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_platform::{Address, Versions};
use liferaft_raft::config::Config;
use liferaft_raft::policy::MembershipPolicy;
use liferaft_transport::ServerId;
use liferaft_transport::carrier::{
    Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::BACK_OFF_MAX;
use liferaft_transport::memory::{MemoryCarrier, MemoryNetwork};
use tokio::time::{Instant, sleep};

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, builder, excluded, invite, is_at, patient, start, start_over};
use crate::machine::Journal;

const BOTH: Versions = Versions { min: 1, max: 2 };

fn version(member: &Handle<Journal>) -> u32 {
    member.status().borrow().raft.configuration.version()
}

fn addresses_of(member: &Handle<Journal>, of: ServerId) -> Vec<Address> {
    let status = member.status();
    let status = status.borrow();
    let described = status.raft.configuration.member(of);
    described.map_or_else(Vec::new, |member| member.description.addresses().to_vec())
}

fn address(text: &str) -> Address {
    text.parse().expect("it is one")
}

#[tokio::test(start_paused = true)]
async fn the_version_is_raised_once_all_members_speak_it() {
    let site = Site::closed().await;
    let (second, disk) = site.member().await;
    second.stop().await;
    let second = start(&site.network, &disk, |member| member.versions(BOTH)).await;
    second.joined().await.expect("it is a member");
    sleep(20 * ELECTION_TIMEOUT).await;
    let before = version(&second);
    site.founder.stop().await;

    let founder = start(&site.network, &site.disk, |member| member.versions(BOTH)).await;

    let raised = founder.wait_for(|status| status.raft.configuration.version() == 2);
    raised.await.expect("all speak it");
    assert_eq!(before, 1);
    assert_eq!(founder.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_of_another_version_gets_no_link() {
    let site = Site::closed().await;
    let invitation = site.invite(1).await;

    let disk = MemoryStorage::default();
    let later = start(&site.network, &disk, |member| {
        member.invited(invitation).versions(Versions::only(2))
    });
    let later = later.await;

    let versions = Versions::only(1);
    let told = Exclusion::NoCommonVersion { versions };
    assert_eq!(excluded(&later).await, Some(told));
    assert_eq!(later.status().borrow().counters.frames_received, 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_moved_tells_its_address_once() {
    let site = Site::closed().await;
    let (second, disk) = site.member().await;
    second.stop().await;
    let id = disk.identity().id();
    let new = address(&format!("memory:{id:?}"));

    let second = start(&site.network, &disk, |member| {
        member.addresses([new.clone()]).label("van")
    });
    let second = second.await;

    let told = site.founder.wait_for(|status| {
        let member = status.raft.configuration.member(id);
        member.is_some_and(|member| member.description.addresses() == [new.clone()])
    });
    told.await.expect("it is described anew");
    let index = site.founder.status().borrow().raft.configuration_index;
    sleep(50 * ELECTION_TIMEOUT).await;
    assert_eq!(
        site.founder.status().borrow().raft.configuration_index,
        index
    );
    assert_eq!(second.propose(1).await, Ok(1));
}

/// The leader and a member each know only where the other was; a third knows where both are.
#[tokio::test(start_paused = true)]
async fn two_that_have_moved_find_each_other_by_a_third() {
    let site = Site::closed().await;
    let (bob, bobs_disk) = site.member().await;
    let (eve, eves_disk) = site.member().await;
    let (bobs_id, eves_id) = (bob.id(), eve.id());
    let three = site.founder.wait_for(|status| {
        let configuration = &status.raft.configuration;
        configuration.is_voter(bobs_id) && configuration.is_voter(eves_id)
    });
    three.await.expect("both are to vote");
    let at = |disk: &MemoryStorage, place: Address| {
        let (network, disk) = (site.network.clone(), disk.clone());
        async move { start(&network, &disk, |member| member.addresses([place])).await }
    };
    let is_at = async |id: ServerId, place: &Address| {
        let told = site.founder.wait_for(|status| {
            let member = status.raft.configuration.member(id);
            member.is_some_and(|member| member.description.addresses() == [place.clone()])
        });
        told.await.expect("it is described anew");
    };
    // Where nobody is.
    let (bobs_old, eves_old) = (address("memory:0x1"), address("memory:0x2"));
    let (bobs_new, eves_new) = [bobs_id, eves_id]
        .map(|id| address(&format!("memory:{id:?}")))
        .into();
    bob.stop().await;
    let bob = at(&bobs_disk, bobs_old.clone()).await;
    is_at(bobs_id, &bobs_old).await;
    eve.stop().await;
    let eve = at(&eves_disk, eves_old.clone()).await;
    is_at(eves_id, &eves_old).await;
    let knows = bob.wait_for(|status| {
        let member = status.raft.configuration.member(eves_id);
        member.is_some_and(|member| member.description.addresses() == [eves_old.clone()])
    });
    knows.await.expect("it is told");

    bob.stop().await;
    eve.stop().await;
    let eve = at(&eves_disk, eves_new.clone()).await;
    is_at(eves_id, &eves_new).await;
    site.founder
        .transfer_leadership(Some(eves_id))
        .await
        .expect("she is up to date");
    let bob = at(&bobs_disk, bobs_new.clone()).await;

    is_at(bobs_id, &bobs_new).await;
    let led = bob.wait_for(|status| status.leader() == Some(eves_id));
    led.await.expect("there is a link");
    assert_eq!(bob.propose(1).await, Ok(1));
    assert_eq!(eve.read(()).await, Ok(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_founder_invites_to_its_own_address() {
    let site = Site::closed().await;
    site.founder.stop().await;
    let id = site.disk.identity().id();
    let own = address(&format!("memory:{id:?}"));

    let founder = start(&site.network, &site.disk, |member| {
        member.addresses([own.clone()])
    })
    .await;
    let described = founder.wait_for(|status| {
        let member = status.raft.configuration.member(id);
        member.is_some_and(|member| !member.description.addresses().is_empty())
    });
    described.await.expect("it describes itself");
    let invitation = invite(&founder, Terms::membership()).await;

    assert_eq!(addresses_of(&founder, id), invitation.addresses());
    assert_eq!(invitation.addresses(), [own]);
}

/// A memory carrier that others reach from further away.
struct Exposed {
    carrier: MemoryCarrier,
    reach: Reach,
    /// Whether it finds servers by their ids.
    finds: bool,
}

impl Carrier for Exposed {
    fn scheme(&self) -> &str {
        self.carrier.scheme()
    }

    fn packet_bytes_max(&self) -> usize {
        self.carrier.packet_bytes_max()
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        let address = self.carrier.address_of(server);
        address.filter(|_| self.finds)
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        self.carrier.dial(address)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.carrier.send(path, channel, packet)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        self.carrier.poll(context)
    }
}

fn exposed(network: &MemoryNetwork, disk: &MemoryStorage, reach: Reach) -> Endpoint {
    let carrier = network.attach_carrier(disk.identity().id());
    let carrier = carrier.expect("it is free");
    let carrier = Exposed {
        carrier,
        reach,
        finds: true,
    };
    Endpoint::new(disk.identity().clone(), carrier)
}

async fn founded(tune: impl FnOnce(Founding) -> Founding) -> MemoryStorage {
    let mut disk = MemoryStorage::default();
    let founding = tune(Founding::by(disk.identity()));
    founding.found(&mut disk).await.expect("the disk is blank");
    disk
}

#[tokio::test(start_paused = true)]
async fn an_open_cluster_is_not_started_where_others_reach_it() {
    let network = MemoryNetwork::new(1);
    let disk = founded(|founding| founding).await;

    let machine = builder(exposed(&network, &disk, Reach::Machine), &disk)
        .start()
        .await;
    let anywhere = builder(exposed(&network, &disk, Reach::Anywhere), &disk);
    let anywhere = anywhere.open().start().await;

    assert!(matches!(machine.map(drop), Err(StartError::OpenToMachine)));
    assert!(matches!(anywhere.map(drop), Err(StartError::OpenToAll)));
}

#[tokio::test(start_paused = true)]
async fn an_open_cluster_on_one_machine_starts_if_that_is_meant() {
    let network = MemoryNetwork::new(1);
    let disk = founded(|founding| founding).await;

    let member = builder(exposed(&network, &disk, Reach::Machine), &disk);
    let started = member.open().start().await;

    let member = started.expect("it is said to be open");
    assert_eq!(member.propose(1).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_join_without_an_invitation_is_refused_where_others_reach() {
    let site = Site::closed().await;
    let disk = MemoryStorage::default();
    let (cluster, founder) = (site.founder.cluster(), site.founder.id());

    let guest = builder(exposed(&site.network, &disk, Reach::Anywhere), &disk);
    let started = guest.join(cluster, founder).start().await;

    assert!(matches!(started.map(drop), Err(StartError::OpenToAll)));
}

#[tokio::test(start_paused = true)]
async fn who_is_invited_starts_wherever_it_is() {
    let network = MemoryNetwork::new(1);
    let disk = founded(Founding::closed).await;
    let founder = builder(exposed(&network, &disk, Reach::Anywhere), &disk);
    let founder = founder.membership(patient()).start().await;
    let founder = founder.expect("it is closed");
    founder.joined().await.expect("it leads itself");
    let invitation = invite(&founder, Terms::membership()).await;
    let blank = MemoryStorage::default();

    let guest = builder(exposed(&network, &blank, Reach::Anywhere), &blank);
    let started = guest.invited(invitation).start().await;

    let guest = started.expect("it is invited");
    guest.joined().await.expect("it is invited");
}

#[tokio::test(start_paused = true)]
async fn who_joins_an_open_cluster_lets_in_nobody_from_elsewhere() {
    let network = MemoryNetwork::new(1);
    let disk = founded(|founding| founding).await;
    let end = exposed(&network, &disk, Reach::Process);
    let founder = start_over(end, &disk, |member| member).await;
    let disk = MemoryStorage::default();
    let end = exposed(&network, &disk, Reach::Anywhere);
    let guest = start_over(end, &disk, |member| member.invited(founder.contact())).await;
    guest.joined().await.expect("the cluster is open");

    let (cluster, asked) = (guest.cluster(), guest.id());
    let disk = MemoryStorage::default();
    let end = exposed(&network, &disk, Reach::Process);
    let stranger = start_over(end, &disk, |member| member.join(cluster, asked)).await;

    let joined = stranger.within(20 * ELECTION_TIMEOUT).joined().await;
    assert!(joined.is_err());
    assert_eq!(stranger.status().borrow().counters.frames_received, 0);
}

/// Nobody has an address of a server that was removed, so it has to dial, which it does only now and then.
async fn remove_and_add_again(election_timeout: Duration) -> Result<(), MembershipError> {
    let config = || Config::builder().election_timeout(election_timeout).build();
    let config = || config().expect("it makes sense");
    let patience = 1000 * election_timeout;
    let tune = |member: MemberBuilder<Journal>| {
        let patient = MembershipPolicy::default().with_evict_after(patience);
        let member = member.config(config()).membership(patient);
        member.request_timeout(patience)
    };
    let network = MemoryNetwork::new(1);
    let disk = founded(Founding::closed).await;
    let founder = start_over(by_address_alone(&network, &disk), &disk, tune).await;
    founder.joined().await.expect("it leads itself");
    let invitation = invite(&founder, Terms::membership()).await;
    let guests_disk = MemoryStorage::default();
    let end = exposed(&network, &guests_disk, Reach::Anywhere);
    let guest = start_over(end, &guests_disk, |member| tune(member.invited(invitation))).await;
    guest.joined().await.expect("it is invited");
    let id = guest.id();
    founder.remove_server(id).await.expect("it is one");
    assert_eq!(excluded(&guest).await, Some(Exclusion::Removed));
    sleep(100 * election_timeout).await;

    let patient = founder.within(2 * (election_timeout + BACK_OFF_MAX));
    patient.add_server(id).await?;

    guest.joined().await.expect("it is a member");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_removed_server_that_dials_now_and_then_is_added_again() {
    assert_eq!(remove_and_add_again(ELECTION_TIMEOUT).await, Ok(()));
}

// It was let in for so short a time that it was shut out again before the leader was asked once more.
#[tokio::test(start_paused = true)]
async fn a_removed_server_is_added_again_where_heartbeats_are_rare() {
    assert_eq!(remove_and_add_again(20 * BACK_OFF_MAX).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_never_links_is_called_unreachable_at_the_deadline() {
    let site = Site::closed().await;
    let nobody = ServerId(99);
    let begin = Instant::now();

    let added = site.founder.within(BACK_OFF_MAX).add_server(nobody).await;

    assert_eq!(added, Err(MembershipError::Unreachable(nobody)));
    assert!(begin.elapsed() >= BACK_OFF_MAX);
}

/// The invitation names a member that follows, and nobody finds servers by their ids: the member says who leads.
#[tokio::test(start_paused = true)]
async fn a_newcomer_believes_the_leader_that_its_inviter_names() {
    let network = MemoryNetwork::new(1);
    let address_of = |disk: &MemoryStorage| address(&format!("memory:{:?}", disk.identity().id()));
    let start_at = async |disk: &MemoryStorage, invitation: Option<Invitation>| {
        let end = by_address_alone(&network, disk);
        let prepare = |member: MemberBuilder<Journal>| match invitation {
            Some(invitation) => member.invited(invitation),
            None => member,
        };
        let place = address_of(disk);
        start_over(end, disk, |member| prepare(member).addresses([place])).await
    };
    let disk = founded(Founding::closed).await;
    let founder = start_at(&disk, None).await;
    founder.joined().await.expect("it leads itself");
    let terms = Terms::membership().with_uses(2);
    let invitation = invite(&founder, terms).await;
    assert_eq!(invitation.inviters(), [founder.public_key()]);
    let second = start_at(&MemoryStorage::default(), Some(invitation.clone())).await;
    second.joined().await.expect("it is invited");
    let handed = founder.transfer_leadership(Some(second.id())).await;
    assert_eq!(handed, Ok(second.id()));

    let third = start_at(&MemoryStorage::default(), Some(invitation)).await;

    third.joined().await.expect("it is invited");
    assert_eq!(third.propose(1).await, Ok(1));
}

/// Each of the two knows only where the other was.
#[tokio::test(start_paused = true)]
async fn members_that_have_all_moved_meet_by_the_contact_of_one() {
    let network = MemoryNetwork::new(1);
    let start_at = async |disk: &MemoryStorage, place: Address, invitation: Option<Invitation>| {
        let prepare = |member: MemberBuilder<Journal>| match invitation {
            Some(invitation) => member.invited(invitation),
            None => member,
        };
        let end = by_address_alone(&network, disk);
        start_over(end, disk, |member| prepare(member).addresses([place])).await
    };
    let [ada_at, bob_at] = [founded(Founding::closed).await, MemoryStorage::default()];
    let place = |disk: &MemoryStorage| address(&format!("memory:{:?}", disk.identity().id()));
    let ada = start_at(&ada_at, place(&ada_at), None).await;
    ada.joined().await.expect("it leads itself");
    let invitation = invite(&ada, Terms::membership()).await;
    // What the log says of each is where nobody is from now on.
    let nowhere = [address("memory:0x1"), address("memory:0x2")];
    let bob = start_at(&bob_at, nowhere[1].clone(), Some(invitation)).await;
    bob.joined().await.expect("it is invited");
    ada.stop().await;
    let ada = start_at(&ada_at, nowhere[0].clone(), None).await;
    let told = bob
        .wait_for(|status| is_at(status, ada.id(), &nowhere[0]))
        .await;
    told.expect("it is described anew");
    ada.stop().await;
    bob.stop().await;

    let ada = start_at(&ada_at, place(&ada_at), None).await;
    let bob = start_at(&bob_at, place(&bob_at), Some(ada.contact())).await;

    assert_eq!(bob.propose(1).await, Ok(1));
    assert_eq!(ada.propose(2).await, Ok(2));
}

/// An end that finds nobody but by an address.
fn by_address_alone(network: &MemoryNetwork, disk: &MemoryStorage) -> Endpoint {
    let carrier = network.attach_carrier(disk.identity().id());
    let carrier = Exposed {
        carrier: carrier.expect("it is free"),
        reach: Reach::Anywhere,
        finds: false,
    };
    Endpoint::new(disk.identity().clone(), carrier)
}
