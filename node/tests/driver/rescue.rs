//! Does what operators do with stores on disk, in real time: a cluster is founded anew from a survivor, and a damaged
//! store is set aside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use liferaft_node::driver::{Founding, Handle, Member, MemberBuilder};
use liferaft_node::storage::{
    DiskStorage, Storage as _, StorageError, Verdict, back_up, found_anew, inspect, set_aside,
};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ClusterId, ServerId};
use liferaft_raft::policy::MembershipPolicy;
use liferaft_transport::memory::MemoryNetwork;
use tokio::time::timeout;

use crate::cluster::{CLUSTER, config, wait_for};
use crate::machine::Journal;

/// Members of a cluster, each with a folder of its own, which are removed in the end.
struct Folders {
    path: PathBuf,
    network: MemoryNetwork,
}

impl Folders {
    fn new(name: &str) -> Self {
        let name = format!("liferaft-rescue-{name}-{}", std::process::id());
        Self {
            path: std::env::temp_dir().join(name),
            network: MemoryNetwork::new(1),
        }
    }

    fn of(&self, number: u64) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// The server of a folder in which a store was opened before.
    fn server(&self, number: u64) -> ServerId {
        let inspection = inspect(self.of(number), 0).expect("it is there");
        inspection.header.expect("it is in order").server
    }

    async fn open(&self, number: u64) -> DiskStorage {
        let opened = DiskStorage::open(self.of(number)).await;
        opened.expect("it is in order")
    }

    async fn start(
        &self,
        cluster: ClusterId,
        number: u64,
        prepare: impl FnOnce(MemberBuilder<Journal>) -> MemberBuilder<Journal>,
    ) -> Handle<Journal> {
        let disk = self.open(number).await;
        let transport = self.network.attach(disk.identity().id());
        let transport = transport.expect("it runs once");
        let member = Member::builder(Journal::default(), transport, disk)
            .cluster(cluster)
            .config(config());
        prepare(member)
            .start()
            .await
            .expect("what is stored is in order")
    }

    /// Starts members 1 to 3, who have applied these commands, and stops them.
    async fn make_three(&self, commands: &[u64]) {
        let mut disks = Vec::new();
        for number in 1..=3 {
            disks.push(self.open(number).await);
        }
        let voters = disks.iter().map(|disk| disk.identity().id());
        let founding = Founding::of(CLUSTER, Configuration::of_voters(voters));
        for mut disk in disks {
            founding.found(&mut disk).await.expect("it is blank");
        }
        let mut members = Vec::new();
        for number in 1..=3 {
            members.push(self.start(CLUSTER, number, |member| member).await);
        }
        for command in commands {
            members[0]
                .propose(*command)
                .await
                .expect("a majority is there");
        }
        for member in &members {
            wait_for_all(member, commands).await;
        }
        for member in members {
            member.stop().await;
        }
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        // A test that failed before it made the folders has none.
        let _absent = fs::remove_dir_all(&self.path);
    }
}

/// Waits until a member has applied all of these.
async fn wait_for_all(member: &Handle<Journal>, commands: &[u64]) {
    let read = member.read(()).await;
    assert_eq!(read.as_deref(), Ok(commands));
    let commit = member.status().borrow().raft.commit;
    wait_for(member, |status| status.applied() >= commit).await;
}

/// Damages the last segment of the log where it is marked as durable.
fn damage(folder: &Path) {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let is_segment = |path: &PathBuf| path.to_string_lossy().contains("/log-");
    let segment = files.filter(is_segment).max().expect("it has a log");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[4096 + 100] ^= 1;
    fs::write(&segment, bytes).unwrap();
}

#[tokio::test]
async fn the_last_survivor_founds_a_cluster_that_old_members_cannot_disturb() {
    let folders = Folders::new("survivor");
    let mut expected: Vec<u64> = (1..=20).collect();
    folders.make_three(&expected).await;

    let founded = found_anew(folders.of(3)).unwrap();
    let survivor = folders.start(founded.cluster, 3, |member| member).await;
    let recovered = survivor.read(()).await;
    let joiner = folders
        .start(founded.cluster, 4, |member| {
            member.join(founded.cluster, folders.server(3))
        })
        .await;
    joiner.joined().await.expect("the survivor leads");
    joiner.propose(21).await.expect("the survivor leads");
    let old = folders.start(CLUSTER, 2, |member| member).await;
    let refused = wait_for(&survivor, |status| {
        status.counters.frames_of_another_cluster >= 3
    });
    let refused = timeout(Duration::from_secs(60), refused).await;
    refused.expect("the old member asks for votes");
    survivor.propose(22).await.expect("it still leads");

    assert_ne!(founded.cluster, CLUSTER);
    assert_eq!(recovered.as_ref(), Ok(&expected));
    expected.extend([21, 22]);
    assert_eq!(joiner.read(()).await, Ok(expected));
    let status = survivor.status().borrow().clone();
    let configuration = status.raft.configuration;
    assert!(
        !configuration.contains(folders.server(1)) && !configuration.contains(folders.server(2))
    );
    let old_status = old.status().borrow().clone();
    assert!(old_status.leader().is_none(), "it has no majority");
    assert!(old_status.raft.configuration.is_voter(folders.server(1)));
}

#[tokio::test]
async fn a_store_of_the_old_cluster_is_refused_to_the_new_one() {
    let folders = Folders::new("refused");
    folders.make_three(&[1]).await;
    let founded = found_anew(folders.of(3)).unwrap();

    let mut old = DiskStorage::open(folders.of(2)).await.unwrap();
    let refused = old.bind(founded.cluster, None).await;
    let mut survivor = DiskStorage::open(folders.of(3)).await.unwrap();
    let refused_too = survivor.bind(CLUSTER, None).await;

    assert!(matches!(refused, Err(StorageError::Foreign { .. })));
    assert!(matches!(refused_too, Err(StorageError::Foreign { .. })));
}

#[tokio::test]
async fn no_cluster_is_founded_from_a_store_that_is_blank_damaged_or_in_use() {
    let folders = Folders::new("no-cluster");
    folders.make_three(&[1, 2, 3]).await;
    fs::create_dir_all(folders.of(5)).unwrap();
    damage(&folders.of(1));
    let open = DiskStorage::open(folders.of(2)).await.unwrap();
    DiskStorage::open(folders.of(4))
        .await
        .unwrap()
        .close()
        .await
        .unwrap();

    let found = |number: u64| found_anew(folders.of(number));

    assert!(matches!(found(1), Err(StorageError::Damaged { .. })));
    assert!(matches!(found(2), Err(StorageError::InUse { .. })));
    assert!(matches!(found(4), Err(StorageError::Blank { .. })));
    assert!(matches!(found(5), Err(StorageError::Blank { .. })));
    assert!(matches!(found(6), Err(StorageError::Blank { .. })));
    assert!(!folders.of(6).exists(), "nothing is made where nothing was");
    drop(open);
    assert!(found(2).is_ok());
}

#[tokio::test]
async fn a_running_member_is_backed_up_and_a_cluster_founded_from_it() {
    let folders = Folders::new("backup");
    let cluster = Member::found(&mut folders.open(1).await).await.unwrap();
    let member = folders.start(cluster, 1, |member| member).await;
    for number in 0..200 {
        member.propose(number).await.expect("it leads");
    }
    let (from, to) = (folders.of(1), folders.of(5));
    let copied = tokio::task::spawn_blocking(move || back_up(from, to));
    let mut acknowledged = 200;
    while !copied.is_finished() {
        member.propose(acknowledged).await.expect("it leads");
        acknowledged += 1;
    }

    let backup = copied.await.unwrap().unwrap();
    let founded = found_anew(folders.of(5)).unwrap();
    let restored = folders.start(founded.cluster, 5, |member| member).await;
    let state = restored.read(()).await.unwrap();

    assert_eq!(founded.last, backup.last);
    assert!((200..=acknowledged + 1).contains(&(state.len() as u64)));
    assert_eq!(state, (0..state.len() as u64).collect::<Vec<_>>());
    assert_eq!(member.propose(acknowledged).await, Ok(acknowledged + 1));
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_its_member_joins_as_a_new_server() {
    let folders = Folders::new("damaged");
    let expected: Vec<u64> = (1..=20).collect();
    folders.make_three(&expected).await;
    damage(&folders.of(1));
    let evicting = |member: MemberBuilder<Journal>| {
        let policy = MembershipPolicy::default();
        member.membership(policy.with_evict_after(Duration::from_secs(1)))
    };
    let survivors = [
        folders.start(CLUSTER, 2, evicting).await,
        folders.start(CLUSTER, 3, evicting).await,
    ];

    let refused = DiskStorage::open(folders.of(1)).await.unwrap_err();
    let aside = set_aside(folders.of(1)).unwrap();
    // Under another id: the old one has promised what was damaged.
    fs::rename(folders.of(1), folders.of(4)).unwrap();
    let rebuilt = folders
        .start(CLUSTER, 4, |member| member.join(CLUSTER, folders.server(2)))
        .await;
    let rebuilt = rebuilt.within(Duration::from_secs(60));
    rebuilt.joined().await.expect("a majority leads");

    assert!(
        refused.to_string().contains("liferaft rebuild"),
        "{refused}"
    );
    wait_for_all(&rebuilt, &expected).await;
    let kept = folders.of(4).join(aside.folder.file_name().unwrap());
    let kept = inspect(kept, 0).unwrap();
    assert!(matches!(
        kept.verdict,
        Verdict::Refused(StorageError::Damaged { .. })
    ));
    drop(survivors);
}

#[tokio::test]
async fn a_store_that_is_in_order_or_blank_is_not_set_aside() {
    let folders = Folders::new("in-order");
    folders.make_three(&[1]).await;

    let sound = set_aside(folders.of(1));
    let absent = set_aside(folders.of(9));

    assert!(matches!(sound, Err(StorageError::Sound { .. })));
    assert!(matches!(absent, Err(StorageError::Blank { .. })));
    assert!(DiskStorage::open(folders.of(1)).await.is_ok());
}
