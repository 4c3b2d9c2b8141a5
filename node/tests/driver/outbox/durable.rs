//! Outboxes whose store is a folder, in real time: their disk is a thread.

use std::path::{Path, PathBuf};
use std::time::Duration;

use liferaft_node::driver::{Handle, Member, Outbox, OutboxConfig, PendingState};
use liferaft_node::storage::outbox::DiskOutboxStore;
use liferaft_node::storage::{DiskStorage, MemoryStorage, Storage as _, StorageError};
use liferaft_transport::memory::MemoryNetwork;

use crate::cluster::{CLUSTER, config};
use crate::machine::Journal;

const PATIENCE: Duration = Duration::from_secs(60);

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // A test that failed before it made the folder has none.
        let _absent = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    let name = format!("liferaft-outbox-{name}-{}", std::process::id());
    Folder(std::env::temp_dir().join(name))
}

/// Opens what the last member of this folder had open, once its tasks are gone.
async fn opened<T>(open: impl AsyncFn() -> Result<T, StorageError>) -> T {
    let opened = async {
        loop {
            match open().await {
                Ok(opened) => return opened,
                Err(StorageError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opened).await;
    opened.expect("the last member is gone in time")
}

async fn start(folder: &Path) -> Handle<Journal> {
    let mut disk = opened(async || DiskStorage::open(folder).await).await;
    if disk.cluster().is_none() {
        Member::found(&mut disk).await.expect("it is blank");
    }
    let transport = MemoryNetwork::new(1).attach(disk.identity().id());
    let transport = transport.expect("the id is free");
    let member = Member::builder(Journal::default(), transport, disk).config(config());
    let started = member.start().await;
    started.expect("what is stored is in order")
}

async fn open(member: &Handle<Journal>, folder: &Path) -> Outbox<Journal> {
    let store = opened(async || DiskOutboxStore::open(folder, "uplink").await).await;
    let config = OutboxConfig::default().store(store);
    member.outbox(config).await.expect("the member runs")
}

#[tokio::test]
async fn what_was_stored_is_sent_once_and_in_order_after_the_restart() {
    let folder = folder("restart");
    let mut expected = Vec::new();

    for restart in 0..4 {
        let member = start(&folder.0).await;
        let outbox = open(&member, &folder.0).await;
        let mut tickets = Vec::new();
        for number in 100 * restart..100 * restart + 50 {
            tickets.push(outbox.push(&number).unwrap());
            expected.push(number);
        }
        for mut ticket in tickets {
            assert!(ticket.stored().await);
        }
        // Dropped in the middle of its work, as a crash stops it, but for the processes that share the machine.
        drop((outbox, member));
    }
    let member = start(&folder.0).await;
    let outbox = open(&member, &folder.0).await;

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(member.read(()).await, Ok(expected));
}

#[tokio::test]
async fn what_waits_while_nobody_leads_waits_in_the_folder() {
    let folder = folder("waits");
    {
        // It belongs to no cluster, so that what is pushed stays pending.
        let disk = MemoryStorage::default();
        let transport = MemoryNetwork::new(1).attach(disk.identity().id());
        let member = Member::builder(Journal::default(), transport.unwrap(), disk);
        let member = member.cluster(CLUSTER);
        let member = member.start().await.unwrap();
        let outbox = open(&member, &folder.0).await;
        for number in 1..=3 {
            assert!(outbox.push(&number).unwrap().stored().await);
        }
    }

    let member = start(&folder.0).await;
    let outbox = open(&member, &folder.0).await;
    let waiting = outbox.pending();

    let states: Vec<_> = waiting
        .iter()
        .map(|command| (command.number, command.state))
        .collect();
    assert_eq!(
        states,
        [1, 2, 3].map(|number| (number, PendingState::Queued))
    );
    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(member.read(()).await, Ok(vec![1, 2, 3]));
}

#[tokio::test]
async fn an_outbox_on_disk_can_be_opened_again_once_it_is_closed() {
    let folder = folder("again");
    let member = start(&folder.0).await;
    for number in 1..=20 {
        let store = DiskOutboxStore::open(&folder.0, "uplink").await;
        let config = OutboxConfig::default().store(store.expect("the last one is closed"));
        let outbox = member.outbox(config).await.unwrap();
        assert!(outbox.push(&number).unwrap().stored().await);
        outbox.close().await;
    }
    let outbox = open(&member, &folder.0).await;

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(member.read(()).await, Ok((1..=20).collect()));
}
