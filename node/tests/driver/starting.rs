//! What a member is made of has to fit together: that is seen before anything runs.

use liferaft_node::driver::{
    BootstrapFault, FoundError, Founding, Member, MemberBuilder, StartError,
};
use liferaft_node::storage::{MemoryStorage, Storage, StorageError};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::Write;
use liferaft_raft::ids::ClusterId;
use liferaft_transport::memory::MemoryNetwork;

use crate::cluster::{CLUSTER, config, disk, founder, server};
use crate::machine::Journal;

/// A member over this disk, in a network of its own.
fn member(disk: MemoryStorage) -> MemberBuilder<Journal> {
    let transport = MemoryNetwork::new(1).attach(disk.identity().id());
    let transport = transport.expect("the id is free");
    Member::builder(Journal::default(), transport, disk).config(config())
}

async fn fault_of(configuration: Configuration) -> Option<BootstrapFault> {
    match Founding::new(configuration).found(&mut disk(1)).await {
        Err(FoundError::Bootstrap(fault)) => Some(fault),
        Err(_) | Ok(()) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_does_not_begin_without_voters() {
    let fault = fault_of(Configuration::default()).await;

    assert_eq!(fault, Some(BootstrapFault::NoVoters));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_does_not_begin_with_a_joint_configuration() {
    let old = Configuration::of_voters([server(1)]);
    let joint = old.joined_with(&Configuration::of_voters([1, 2].map(server)));

    let fault = fault_of(joint).await;

    assert_eq!(fault, Some(BootstrapFault::Joint));
}

#[tokio::test(start_paused = true)]
async fn a_server_does_not_begin_a_cluster_of_others() {
    let fault = fault_of(Configuration::of_voters([server(2)])).await;

    assert_eq!(fault, Some(BootstrapFault::NotAMember(server(1))));
}

#[tokio::test(start_paused = true)]
async fn each_founding_is_of_a_cluster_of_its_own() {
    let clusters = [founder().await.cluster(), founder().await.cluster()];

    assert!(clusters[0].is_some() && clusters[0] != clusters[1]);
}

// A program that is started again would found a second cluster beside the first.
#[tokio::test(start_paused = true)]
async fn a_storage_that_belongs_to_a_cluster_founds_no_other() {
    let mut disk = founder().await;
    let cluster = disk.cluster();

    let again = Member::found(&mut disk).await;

    assert!(matches!(again, Err(FoundError::Belongs(found)) if Some(found) == cluster));
    assert_eq!(disk.cluster(), cluster);
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_holds_a_log_founds_no_cluster() {
    let (mut disk, founder) = (disk(2), founder().await);
    let recovered = founder.clone().recover(u64::MAX).await.unwrap();
    let mut entries = recovered.entries;
    let mut second = entries[0].clone();
    second.index = second.index.next();
    entries.push(second);
    let write = Write {
        entries,
        ..Write::default()
    };
    disk.write(vec![write]).await.unwrap();

    let founded = Member::found(&mut disk).await;
    let started = member(disk).cluster(CLUSTER).start().await;

    assert!(matches!(founded, Err(FoundError::NotEmpty)));
    assert!(matches!(
        started,
        Err(StartError::Storage(StorageError::Damaged {
            what: "cluster",
            ..
        }))
    ));
}

/// A disk that was to be founded and failed before it was bound.
async fn half_founded() -> MemoryStorage {
    let mut disk = disk(2);
    let recovered = founder().await.recover(u64::MAX).await.unwrap();
    let write = Write {
        hard_state: Some(recovered.hard_state),
        entries: recovered.entries,
        ..Write::default()
    };
    disk.write(vec![write]).await.unwrap();
    disk
}

#[tokio::test(start_paused = true)]
async fn a_founding_that_was_interrupted_may_be_made_again() {
    let mut disk = half_founded().await;

    let cluster = Member::found(&mut disk).await.unwrap();
    let member = member(disk.clone()).start().await.unwrap();

    assert_eq!(member.propose(7).await, Ok(1));
    assert_eq!(member.cluster(), cluster);
    let configuration = member.status().borrow().raft.configuration.clone();
    assert_eq!(configuration.voters(), [server(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_founding_that_was_interrupted_keeps_nobody_from_joining() {
    let network = MemoryNetwork::new(1);
    let member = |disk: MemoryStorage| {
        let transport = network.attach(disk.identity().id()).unwrap();
        Member::builder(Journal::default(), transport, disk).config(config())
    };
    let first = member(founder().await).start().await.unwrap();

    let joiner = member(half_founded().await).join(first.cluster(), first.id());
    let joiner = joiner.start().await.unwrap();

    joiner.joined().await.unwrap();
    assert_eq!(joiner.propose(7).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_member_starts_only_with_the_transport_of_its_storage() {
    let transport = MemoryNetwork::new(1).attach(server(1)).unwrap();

    let started = Member::builder(Journal::default(), transport, disk(2))
        .cluster(CLUSTER)
        .start()
        .await;

    let (of_transport, of_storage) = (server(1), server(2));
    assert!(matches!(
        started,
        Err(StartError::WrongServer { transport, storage })
            if (transport, storage) == (of_transport, of_storage)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_blank_member_starts_only_for_a_cluster_that_is_named() {
    let started = member(disk(1)).start().await;

    assert!(matches!(started, Err(StartError::NoCluster)));
}

#[tokio::test(start_paused = true)]
async fn a_member_of_one_cluster_does_not_join_another() {
    let founder = founder().await;
    let (found, wanted) = (founder.cluster().unwrap(), ClusterId(0xbad));

    let joins = member(founder.clone())
        .join(wanted, server(2))
        .start()
        .await;
    let goes_on = member(founder).cluster(found).start().await;

    let Err(StartError::Storage(StorageError::Foreign { found: told, .. })) = joins else {
        panic!("it joined another cluster: {joins:?}");
    };
    assert!(told.ends_with(&found.to_string()), "{told}");
    assert!(goes_on.is_ok());
}

/// It knows its cluster, and those who were in it, by its storage.
#[tokio::test(start_paused = true)]
async fn a_restart_needs_neither_cluster_nor_roster() {
    let network = MemoryNetwork::new(1);
    let member = |disk: &MemoryStorage| {
        let transport = network.attach(disk.identity().id()).unwrap();
        Member::builder(Journal::default(), transport, disk.clone()).config(config())
    };
    let disks = [founder().await, disk(2), disk(3)];
    let mut members = vec![member(&disks[0]).start().await.unwrap()];
    for disk in &disks[1..] {
        let joiner = member(disk).join(members[0].cluster(), members[0].id());
        members.push(joiner.start().await.unwrap());
    }
    for member in &members {
        member.joined().await.unwrap();
    }
    members[0].propose(7).await.unwrap();
    for member in members {
        member.stop().await;
    }

    let mut again = Vec::new();
    for disk in &disks {
        again.push(member(disk).start().await.unwrap());
    }

    assert_eq!(again[1].propose(8).await, Ok(2));
    assert_eq!(again[2].read(()).await, Ok(vec![7, 8]));
    let histories = disks.each_ref().map(Storage::history);
    assert!(histories[0].is_some() && histories == [histories[0]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_called_by_its_label_or_the_beginning_of_its_id() {
    let van = member(disk(1)).cluster(CLUSTER).label("van-2").start();
    let van = van.await.unwrap();
    let nameless = member(disk(2)).cluster(CLUSTER).start().await.unwrap();

    assert_eq!(
        (van.label(), &*van.status().borrow().label),
        ("van-2", "van-2")
    );
    let id = format!("{:?}", server(2));
    assert_eq!(nameless.label(), format!("{}…", &id[..10]));
}
