//! A cluster where there are no threads and no tokio: its members prove their keys to each other, seal what they send,
//! elect, replicate and answer, under Node and in browsers.
//!
//! It runs natively too, as an ordinary test, so that what fails in one world only is told apart.

use std::time::Duration;

use liferaft::{
    ClusterId, Config, Endpoint, Founding, Kv, KvHandle, Member, MemberBuilder, MemoryNetwork,
    MemoryStorage, ReadLease, ServerId, StartError, Storage, Terms,
};
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test(unsupported = tokio::test(start_paused = true))]
async fn invited_members_replicate_and_go_on_without_their_leader() {
    let network = MemoryNetwork::new(1);
    let members = three_members(&network).await;
    let [ada, bob, eve] = &members;

    ada.set("camp", "below the bridge")
        .await
        .expect("a majority is there");
    let read_by_bob = bob.get("camp").await.expect("a majority is there");
    let leader = eve
        .raft()
        .status()
        .borrow()
        .leader()
        .expect("it took the command");
    network.kill(leader);
    let [first, second] = members_but(&members, leader);
    let place = first
        .append("chat", "still here")
        .await
        .expect("two of three are a majority");
    let chat = second
        .read_sequence("chat", 0, 10)
        .await
        .expect("two of three are a majority");
    let camp = second
        .get("camp")
        .await
        .expect("two of three are a majority");

    assert_eq!(read_by_bob.as_deref(), Some(&b"below the bridge"[..]));
    assert_eq!(place, 0);
    assert_eq!(chat.values, ["still here"]);
    assert_eq!(camp.value, read_by_bob.value);
    let successor = second.raft().status().borrow().leader();
    assert!(successor.is_some_and(|successor| successor != leader));
}

#[wasm_bindgen_test(unsupported = tokio::test(start_paused = true))]
async fn a_member_reads_by_lease_only_where_the_clock_counts_suspended_time() {
    let lease = ReadLease::with_drift_bound_ppm(1_000).expect("the bound makes sense");
    let config = Config::builder()
        .read_lease(lease)
        .build()
        .expect("the settings make sense");
    let network = MemoryNetwork::new(1);
    let disk = MemoryStorage::default();
    let transport = network.attach(disk.identity().id());
    let transport = transport.expect("it is attached once");

    let member = Member::builder(Kv::new(), transport, disk)
        .cluster(ClusterId(1))
        .config(config)
        .start()
        .await;

    let is_refused = matches!(member, Err(StartError::ClockStopsInSuspension));
    let is_counted = liferaft::platform::suspension_uncounted_max().is_some();
    assert_ne!(is_refused, is_counted);
}

/// A closed cluster: a founder, and two whom it has invited.
async fn three_members(network: &MemoryNetwork) -> [KvHandle; 3] {
    let mut disk = MemoryStorage::default();
    let founding = Founding::by(disk.identity()).closed();
    founding.found(&mut disk).await.expect("the disk is blank");
    let ada = start(network, disk, |member| member).await;
    let terms = Terms::membership().with_uses(2);
    let invitation = ada.raft().invite(terms).await.expect("it leads");

    let guest = || {
        start(network, MemoryStorage::default(), |member| {
            member.invited(invitation.clone())
        })
    };
    let (bob, eve) = (guest().await, guest().await);
    for guest in [&bob, &eve] {
        guest.raft().joined().await.expect("it is invited");
    }
    [ada, bob, eve]
}

/// Starts a member that elects a leader soon, as wasm has no clock that can be paused. Its links seal all packets.
async fn start(
    network: &MemoryNetwork,
    disk: MemoryStorage,
    prepare: impl FnOnce(MemberBuilder<Kv>) -> MemberBuilder<Kv>,
) -> KvHandle {
    let config = Config::builder()
        .election_timeout(Duration::from_millis(150))
        .build()
        .expect("the settings make sense");
    let carrier = network.attach_carrier(disk.identity().id());
    let carrier = carrier.expect("it is attached once").sealed();
    let end = Endpoint::new(disk.identity().clone(), carrier);
    let member = Member::builder(Kv::new(), end, disk).config(config);
    KvHandle::new(prepare(member).start().await.expect("it starts"))
}

fn members_but(members: &[KvHandle; 3], left_out: ServerId) -> [&KvHandle; 2] {
    let others: Vec<_> = members
        .iter()
        .filter(|member| member.raft().id() != left_out)
        .collect();
    others.try_into().expect("one of three is left out")
}
