//! Members whose storage is a folder, in real time: their disks are threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use liferaft_node::driver::{Handle, Member, MemberBuilder, MemberStatus, StartError};
use liferaft_node::storage::{DiskStorage, Repair, Storage, StorageError};
use liferaft_raft::ids::{ClusterId, Index};
use liferaft_transport::memory::MemoryNetwork;
use tokio::time::timeout;

use crate::cluster::{config, wait_for};
use crate::machine::Journal;

/// A folder that is removed when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = format!("liferaft-durable-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A story that failed early has not made it.
        let _absent = fs::remove_dir_all(&self.0);
    }
}

async fn open(folder: &Path) -> DiskStorage {
    DiskStorage::open(folder).await.expect("it is in order")
}

/// A folder whose server has founded a cluster.
async fn founded(name: &str) -> (Temporary, ClusterId) {
    let folder = Temporary::new(name);
    let cluster = Member::found(&mut open(&folder.0).await).await;
    (folder, cluster.expect("the folder is empty"))
}

/// The member of a folder.
async fn member(
    network: &MemoryNetwork,
    folder: &Path,
) -> Result<MemberBuilder<Journal>, StorageError> {
    let disk = DiskStorage::open(folder).await?;
    let transport = network.attach(disk.identity().id());
    let transport = transport.expect("the id is free");
    let member = Member::builder(Journal::default(), transport, disk).config(config());
    Ok(member.snapshot_after_log_bytes(1000))
}

/// Starts the member of a folder, as a program does that knows nothing else.
async fn start(network: &MemoryNetwork, folder: &Path) -> Result<Handle<Journal>, StartError> {
    member(network, folder).await?.start().await
}

#[tokio::test]
async fn a_log_is_compacted_by_what_it_takes_on_the_disk() {
    let (folder, _) = founded("compacted").await;
    let member = member(&MemoryNetwork::new(1), &folder.0).await;
    let member = member
        .expect("it is in order")
        .snapshot_after_log_bytes(100_000);
    let member = member.start().await.expect("it is in order");

    // Alone in its batch, each takes a page, and weighs hardly fifty bytes.
    for number in 0..100 {
        member.propose(number).await.expect("it leads");
    }

    let taken = |status: &MemberStatus| status.counters.snapshots_taken > 0;
    let taken = timeout(Duration::from_secs(60), wait_for(&member, taken)).await;
    taken.expect("400 KB of log call for a snapshot");
    member.stop().await;
}

/// In none of its lives it writes so much that a snapshot is due for that alone.
#[tokio::test]
async fn what_a_log_takes_on_the_disk_counts_over_restarts() {
    let (folder, _) = founded("padded").await;

    for life in 1..=5 {
        let member = member(&MemoryNetwork::new(1), &folder.0).await;
        let member = member
            .expect("it is in order")
            .snapshot_after_log_bytes(200_000);
        let member = member.start().await.expect("it is in order");
        for number in 0..30 {
            member.propose(number).await.expect("it leads");
        }
        if life == 5 {
            let taken = |status: &MemberStatus| status.raft.snapshot > Index::ZERO;
            let taken = timeout(Duration::from_secs(60), wait_for(&member, taken)).await;
            taken.expect("600 KB of log call for a snapshot");
        }
        member.stop().await;
    }
}

#[tokio::test]
async fn a_member_goes_on_from_its_folder_after_each_restart() {
    let (folder, cluster) = founded("restarts").await;
    let id = open(&folder.0).await.identity().id();
    let mut expected = Vec::new();

    for restart in 0..3 {
        let member = start(&MemoryNetwork::new(1), &folder.0).await;
        let member = member.expect("what is stored is in order");
        assert_eq!((member.id(), member.cluster()), (id, cluster));
        assert_eq!(
            member.read(()).await.as_ref(),
            Ok(&expected),
            "after restart {restart}"
        );
        for number in 0..50 {
            let number = 100 * restart + number;
            expected.push(number);
            assert_eq!(member.propose(number).await, Ok(expected.len() as u64));
        }
        member.stop().await;
    }
}

#[tokio::test]
async fn a_folder_that_a_member_has_open_is_refused() {
    let (folder, _) = founded("in-use").await;
    let member = start(&MemoryNetwork::new(1), &folder.0).await.unwrap();

    let second = start(&MemoryNetwork::new(1), &folder.0).await;

    assert!(matches!(
        second,
        Err(StartError::Storage(StorageError::InUse { .. }))
    ));
    member.stop().await;
    start(&MemoryNetwork::new(1), &folder.0).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_another_cluster_is_refused() {
    let (folder, _) = founded("foreign").await;
    let network = MemoryNetwork::new(1);

    let joins = member(&network, &folder.0).await.unwrap();
    let joins = joins.cluster(ClusterId(0xbad)).start().await;

    assert!(matches!(
        joins,
        Err(StartError::Storage(StorageError::Foreign { .. }))
    ));
}

#[tokio::test]
async fn a_folder_of_a_newer_format_is_refused() {
    let (folder, _) = founded("newer").await;
    let header = folder.0.join("header");
    let mut bytes = fs::read(&header).unwrap();
    let newer = u64::from(bytes[32]) + 1;
    for copy in bytes.chunks_exact_mut(4096) {
        // docs/storage.md: the checksum at byte 8, the format at 32, and a body of 136 bytes from 40 on.
        copy[32] += 1;
        let checksum = crc32fast::hash(&copy[12..176]);
        copy[8..12].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(&header, bytes).unwrap();

    let started = start(&MemoryNetwork::new(1), &folder.0).await;

    assert!(matches!(
        started,
        Err(StartError::Storage(StorageError::Unsupported {
            what: "header",
            format
        })) if format == newer
    ));
}

#[tokio::test]
async fn a_member_tells_what_was_repaired_in_its_folder() {
    let (folder, _) = founded("repaired").await;
    let header = folder.0.join("header");
    let mut bytes = fs::read(&header).unwrap();
    bytes[4096 + 40] ^= 1;
    fs::write(&header, bytes).unwrap();
    let network = MemoryNetwork::new(1);

    let member = start(&network, &folder.0).await.unwrap();
    let repaired = member.status().borrow().repairs.clone();
    member.stop().await;
    let member = start(&network, &folder.0).await.unwrap();
    let whole = member.status().borrow().repairs.clone();

    assert!(matches!(repaired[..], [Repair::HeaderCopy { copy: 1, .. }]));
    assert_eq!(whole[..], []);
    member.stop().await;
}

// With a flag at each start it would found again, and vote for a server that lacks what was committed.
#[tokio::test]
async fn a_founder_whose_folder_was_wiped_is_blank_and_another_server() {
    let (folder, _) = founded("wiped-founder").await;
    let founder = start(&MemoryNetwork::new(1), &folder.0).await.unwrap();
    founder.propose(7).await.unwrap();
    founder.stop().await;
    fs::remove_dir_all(&folder.0).unwrap();

    let wiped = open(&folder.0).await;
    let (id, cluster) = (wiped.identity().id(), wiped.cluster());
    drop(wiped);
    let again = start(&MemoryNetwork::new(1), &folder.0).await;

    assert_ne!(id, founder.id());
    assert_eq!(cluster, None);
    assert!(matches!(again, Err(StartError::NoCluster)));
}

// Under its old id it would give votes that it has forgotten.
#[tokio::test]
async fn a_member_whose_folder_was_wiped_joins_as_another_server() {
    let network = MemoryNetwork::new(1);
    let (folder, cluster) = founded("wiped-first").await;
    let first = member(&network, &folder.0).await.unwrap();
    let first = first.manual_membership().start().await.unwrap();
    let wiped = Temporary::new("wiped");
    let mut ids = Vec::new();

    for _ in 0..2 {
        let joiner = member(&network, &wiped.0).await.unwrap();
        let joiner = joiner.cluster(cluster).manual_membership();
        let joiner = joiner.start().await.unwrap();
        // Not as a voter: the founder goes on without it.
        first.add_learner(joiner.id()).await.unwrap();
        joiner.joined().await.unwrap();
        ids.push(joiner.id());
        joiner.stop().await;
        fs::remove_dir_all(&wiped.0).unwrap();
    }

    assert_ne!(ids[0], ids[1]);
    let configuration = first.status().borrow().raft.configuration.clone();
    assert!(ids.iter().all(|id| configuration.is_learner(*id)));
}
