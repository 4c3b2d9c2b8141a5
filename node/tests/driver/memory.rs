//! Members that hold nothing of their logs in memory that they can read from storage.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use liferaft_node::driver::{Handle, MemberStatus, StopReason};
use liferaft_node::storage::{LogReader, Storage, StorageError};
use liferaft_raft::config::{Config, Limits};
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, Term};
use tokio::time::timeout;

use crate::cluster::{Cluster, ELECTION_TIMEOUT, server};
use crate::hampered::Hampered;
use crate::machine::Journal;

fn within(limit: impl FnOnce(&mut Limits)) -> Config {
    let config = Config::builder().election_timeout(ELECTION_TIMEOUT);
    let config = config.limits(|limits| {
        limits.log_memory_bytes_max = 0;
        limit(limits);
    });
    config.build().expect("it makes sense")
}

async fn propose(member: &Handle<Journal>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        member.propose(number).await.expect("there is a majority");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_away_is_sent_what_is_in_storage() {
    let mut cluster = Cluster::founded(1..=3).await;
    for id in 1..=3 {
        cluster
            .start(id, |member| member.config(within(|_| {})))
            .await;
    }
    let leader = cluster.leader().await;
    let away = cluster.others(&[leader])[0];
    propose(&cluster.member(leader), 0..10).await;
    cluster.member(away).stop().await;
    propose(&cluster.member(leader), 10..60).await;

    let config = within(|limits| limits.append_bytes_max = 200);
    let back = cluster.start(away, |member| member.config(config)).await;
    let found = back.within(Duration::from_secs(60)).read(()).await;

    let found = found.expect("its leader reads what it lacks");
    assert_eq!(found, (0..60).collect::<Vec<_>>());
    assert_eq!(back.status().borrow().raft.snapshot, Index::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_starts_again_applies_what_is_in_storage() {
    let mut cluster = Cluster::founded([1]).await;
    let member = cluster.start(1, |member| member).await;
    propose(&member, 0..60).await;
    member.stop().await;

    let config = within(|limits| limits.applying_bytes_max = 1);
    let member = cluster.start(1, |member| member.config(config)).await;
    let found = member.within(Duration::from_secs(60)).read(()).await;

    let found = found.expect("it reads what it is to apply");
    assert_eq!(found, (0..60).collect::<Vec<_>>());
}

/// How the log is read.
#[derive(Clone, Copy)]
enum Reads {
    Fail,
    Lie,
    Hang,
}

struct OddReader(Arc<dyn LogReader>, Reads);

#[async_trait]
impl LogReader for OddReader {
    async fn read(&self, from: Index, to: Index, bytes: u64) -> Result<Vec<Entry>, StorageError> {
        match self.1 {
            Reads::Fail => Err(StorageError::Damaged {
                what: "log",
                reason: "it has rotted".to_owned(),
            }),
            Reads::Lie => {
                let mut entries = self.0.read(from, to, bytes).await?;
                for entry in &mut entries {
                    entry.term = Term(entry.term.0 + 1);
                }
                Ok(entries)
            }
            Reads::Hang => std::future::pending().await,
        }
    }
}

/// The status of a member that has to read its log to apply it, as soon as it is such.
async fn told(reads: Reads, such: impl FnMut(&MemberStatus) -> bool) -> MemberStatus {
    let mut cluster = Cluster::founded([1]).await;
    let member = cluster.start(1, |member| member).await;
    propose(&member, 0..10).await;
    member.stop().await;
    let transport = cluster.network.attach(server(1)).expect("the id is free");
    let disk = cluster.disk(1);
    let reader = OddReader(disk.log(), reads);
    let disk = Hampered::over(disk).read_by(reader);

    let config = within(|limits| limits.applying_bytes_max = 1);
    let member = cluster
        .start_on(1, Journal::default(), transport, disk, |member| {
            member.config(config)
        })
        .await;
    let mut status = member.status();
    let told = timeout(Duration::from_secs(60), status.wait_for(such)).await;
    told.expect("it reads").expect("it says so").clone()
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_log_cannot_be_read_stops_and_says_so() {
    for (reads, expected) in [(Reads::Fail, "rotted"), (Reads::Lie, "what was written")] {
        let stopped = told(reads, |status| status.stopped.is_some()).await.stopped;

        let Some(StopReason::Storage(why)) = stopped else {
            panic!("it stopped for {stopped:?}");
        };
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_over_a_read_is_told_of() {
    let status = told(Reads::Hang, |status| status.storage.stalled_for.is_some()).await;

    assert_eq!(status.stopped, None);
    assert_eq!(status.storage.waiting_bytes, 0);
}
