//! A member whose storage is a folder, in real time: its disk is a thread.

use std::path::Path;
use std::time::Duration;

use liferaft_raft::driver::{Handle, Member, MemberStatus};
use liferaft_raft::ids::ServerId;
use liferaft_raft::storage::DiskStorage;
use liferaft_transport::memory::MemoryNetwork;
use tokio::time::timeout;

use crate::cluster::{CLUSTER, config, wait_for};
use crate::machine::Journal;

async fn start(folder: &Path) -> Handle<Journal> {
    let disk = DiskStorage::open(folder).await.expect("it is in order");
    let transport = MemoryNetwork::new(1).attach(ServerId(1));
    Member::builder(
        CLUSTER,
        Journal::default(),
        transport.expect("the id is free"),
    )
    .config(config())
    .storage(disk)
    .snapshot_after_log_bytes(1000)
    .first_server()
    .start()
    .await
    .expect("what is stored is in order")
}

#[tokio::test]
async fn a_log_is_compacted_by_what_it_takes_on_the_disk() {
    let folder = std::env::temp_dir().join(format!("liferaft-compacted-{}", std::process::id()));
    let disk = DiskStorage::open(&folder).await.expect("it is blank");
    let transport = MemoryNetwork::new(1).attach(ServerId(1));
    let transport = transport.expect("the id is free");
    let member = Member::builder(CLUSTER, Journal::default(), transport)
        .config(config())
        .storage(disk)
        .snapshot_after_log_bytes(100_000)
        .first_server();
    let member = member.start().await.expect("it is blank");

    // Alone in its batch, each takes a page, and weighs hardly fifty bytes.
    for number in 0..100 {
        member.propose(number).await.expect("it leads");
    }

    let taken = |status: &MemberStatus| status.counters.snapshots_taken > 0;
    let taken = timeout(Duration::from_secs(60), wait_for(&member, taken)).await;
    taken.expect("400 KB of log call for a snapshot");
    member.stop().await;
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

#[tokio::test]
async fn a_member_goes_on_from_its_folder_after_each_restart() {
    let folder = std::env::temp_dir().join(format!("liferaft-durable-{}", std::process::id()));
    let mut expected = Vec::new();

    for restart in 0..3 {
        let member = start(&folder).await;
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

    std::fs::remove_dir_all(&folder).expect("it was made above");
}
