//! Members whose disks fill up, or hang over a snapshot.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use liferaft_node::driver::{Handle, Happening, MemberError, OutboxConfig, ProposeError};
use liferaft_raft::config::Config;
use liferaft_raft::ids::Index;
use tokio::time::error::Elapsed;

use crate::cluster::{Cluster, ELECTION_TIMEOUT, server, wait_for, wait_for_applied};
use crate::hampered::Hampered;
use crate::machine::Journal;

/// A snapshot is due after fewer than a hundred commands.
const SNAPSHOT_AFTER_BYTES: u64 = 3000;

/// Members 1 to `count`, who have a leader, and their disks.
async fn cluster_of(count: u128) -> (Cluster, Vec<Hampered>) {
    let mut cluster = Cluster::founded(1..=count).await;
    let mut disks = Vec::new();
    for id in 1..=count {
        let disk = Hampered::over(cluster.disk(id));
        start(&mut cluster, id, &disk).await;
        disks.push(disk);
    }
    cluster.leader().await;
    (cluster, disks)
}

fn disk_of(disks: &[Hampered], id: u128) -> &Hampered {
    &disks[usize::try_from(id).expect("there are few") - 1]
}

/// Starts a member that keeps little of its log for others.
async fn start(cluster: &mut Cluster, id: u128, disk: &Hampered) -> Handle<Journal> {
    let config = Config::builder()
        .election_timeout(ELECTION_TIMEOUT)
        .limits(|limits| {
            limits.trailing_entries = 1;
            limits.catch_up_bytes_max = 1;
        });
    let config = config.build().expect("it makes sense");
    let transport = cluster.network.attach(server(id)).unwrap();
    let (journal, disk) = (Journal::default(), disk.clone());
    cluster
        .start_on(id, journal, transport, disk, |member| {
            member
                .config(config)
                .snapshot_after_log_bytes(SNAPSHOT_AFTER_BYTES)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_room_refuses_commands_and_hands_leadership_over() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);

    let disk = disk_of(&disks, leader);
    disk.is_low.store(true, Ordering::Relaxed);
    let refused = member.propose(1).await;
    let other = server(leader);
    wait_for(&member, |status| {
        status.leader().is_some_and(|leads| leads != other)
    })
    .await;
    let done = member.propose(2).await;

    assert_eq!(refused, Err(ProposeError::NoRoom));
    assert_eq!(done, Ok(1));
    assert_eq!(cluster.settled().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn commands_of_others_wait_for_a_leader_with_room() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let follower = cluster.member(cluster.others(&[leader])[0]);

    let disk = disk_of(&disks, leader);
    disk.is_low.store(true, Ordering::Relaxed);

    assert_eq!(follower.propose(1).await, Ok(1));
    assert!(!cluster.member(leader).status().borrow().is_leader());
}

#[tokio::test(start_paused = true)]
async fn the_only_voter_takes_commands_again_when_there_is_room() {
    let (cluster, disks) = cluster_of(1).await;
    let member = cluster.member(1);
    let outbox = member.outbox(OutboxConfig::default()).await.unwrap();
    outbox.push(&1).unwrap().await.unwrap();

    disks[0].is_low.store(true, Ordering::Relaxed);
    drop(outbox.push(&2).unwrap());
    let refused = [member.propose(3).await, member.propose(4).await];
    tokio::time::sleep(4 * ELECTION_TIMEOUT).await;
    let waiting = outbox.pending().len();
    let low = member.status().borrow().storage.is_low;
    disks[0].is_low.store(false, Ordering::Relaxed);

    assert_eq!(
        refused,
        [Err(ProposeError::NoRoom), Err(ProposeError::NoRoom)]
    );
    assert_eq!(waiting, 1);
    assert!(low);
    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(member.propose(5).await, Ok(3));
}

/// Makes room.
fn free(disk: &Hampered) {
    disk.room.bytes.store(u64::MAX, Ordering::Relaxed);
    disk.is_low.store(false, Ordering::Relaxed);
}

/// Proposes until one is refused, and returns why.
async fn refusal(member: &Handle<Journal>) -> ProposeError {
    for number in 0..1000 {
        if let Err(refused) = member.propose(number).await {
            return refused;
        }
    }
    panic!("a thousand commands found room");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_without_room_is_told_and_taken_when_there_is() {
    let (cluster, disks) = cluster_of(1).await;
    let member = cluster.member(1);
    let mut events = member.events();
    disks[0].room.bytes.store(100, Ordering::Relaxed);

    let refused = refusal(&member).await;
    let told = wait_for(&member, |status| status.counters.snapshots_refused > 0);
    let told = tokio::time::timeout(20 * ELECTION_TIMEOUT, told).await;
    let told = told.expect("its status tells, though nothing else happens");
    free(&disks[0]);
    for number in 0..200 {
        member.propose(number).await.expect("there is room");
    }
    let taken = wait_for(&member, |status| status.raft.snapshot > Index::ZERO);
    let taken = tokio::time::timeout(20 * ELECTION_TIMEOUT, taken).await;

    assert_eq!(refused, ProposeError::NoRoom);
    assert_eq!(told.stopped, None);
    let error = told.last_error.map(|last| last.error);
    assert_eq!(error, Some(MemberError::SnapshotWithoutRoom));
    assert!(taken.is_ok(), "no snapshot is taken");
    let mut happened = Vec::new();
    while happened.last() != Some(&Happening::SnapshotWithoutRoom) {
        let event = tokio::time::timeout(ELECTION_TIMEOUT, events.next()).await;
        let event = event.expect("it is told").expect("the member runs");
        happened.push(event.expect("few are told").what);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_room_for_a_snapshot_hands_leadership_over() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    let disk = disk_of(&disks, leader);
    disk.room.bytes.store(0, Ordering::Relaxed);

    let mut done = 0;
    while member.status().borrow().is_leader() && done < 1000 {
        member.propose(done).await.unwrap_or_default();
        done += 1;
    }
    let other = server(leader);
    wait_for(&member, |status| {
        status.leader().is_some_and(|leads| leads != other)
    })
    .await;

    assert!(member.propose(1000).await.is_ok());
    assert_eq!(member.status().borrow().stopped, None);
}

/// Members 1 to 3, their disks, who leads, and who is to be sent a snapshot when it is started again.
async fn one_left_behind() -> (Cluster, Vec<Hampered>, u128, u128) {
    let (mut cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let behind = cluster.others(&[leader])[0];
    cluster.kill(behind);
    let member = cluster.member(leader);
    for number in 0..300 {
        member.propose(number).await.expect("two are a majority");
    }
    wait_for(&member, |status| status.raft.snapshot > Index(100)).await;
    (cluster, disks, leader, behind)
}

#[tokio::test(start_paused = true)]
async fn a_follower_gets_the_snapshot_of_its_leader_once_there_is_room() {
    let (mut cluster, disks, leader, behind) = one_left_behind().await;
    let disk = disk_of(&disks, behind);
    disk.room.bytes.store(100, Ordering::Relaxed);
    let before = disk.room.begun.load(Ordering::Relaxed);

    let follower = start(&mut cluster, behind, disk).await;
    let waited = Duration::from_secs(60);
    tokio::time::sleep(waited).await;
    let status = follower.status().borrow().clone();
    let begun = disk.room.begun.load(Ordering::Relaxed) - before;
    free(disk);
    let through = cluster.member(leader).status().borrow().applied();
    let caught_up = wait_for_applied(&follower, through);
    let caught_up = tokio::time::timeout(waited, caught_up).await;

    assert_eq!(status.stopped, None);
    assert!((4..=7).contains(&begun), "{begun} tries in {waited:?}");
    assert_eq!(status.counters.snapshots_refused, begun);
    assert!(caught_up.is_ok(), "{:?}", follower.status().borrow().raft);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_over_a_snapshot_of_the_leader_is_told_of() {
    let (mut cluster, disks, _, behind) = one_left_behind().await;
    let disk = disk_of(&disks, behind);

    let shut = disk.room.gate.acquire().await.expect("it is never closed");
    let follower = start(&mut cluster, behind, disk).await;
    let told = stalls(&follower, true).await;
    drop(shut);
    let goes_on = stalls(&follower, false).await;

    assert_eq!((told, goes_on), (Ok(0), Ok(0)));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_over_a_snapshot_of_its_own_is_told_of() {
    let (cluster, disks) = cluster_of(1).await;
    let member = cluster.member(1);

    let gate = &disks[0].room.gate;
    let shut = gate.acquire().await.expect("it is never closed");
    for number in 0..200 {
        member.propose(number).await.expect("the log is written");
    }
    let told = stalls(&member, true).await;
    drop(shut);
    let goes_on = stalls(&member, false).await;

    assert_eq!((told, goes_on), (Ok(0), Ok(0)));
}

/// A leader applies nothing that is not on its own disk. While that hung it led on, as its heartbeats were answered,
/// and no command of anybody was.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_disk_hangs_hands_leadership_over() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    let follower = cluster.member(cluster.others(&[leader])[0]);
    member.propose(1).await.expect("all is well");

    let gate = &disk_of(&disks, leader).gate;
    let shut = gate.acquire().await.expect("it is never closed");
    let patient = member.within(60 * ELECTION_TIMEOUT);
    let caller = tokio::spawn(async move { patient.propose(2).await });
    let other = server(leader);
    let handed_over = wait_for(&follower, |status| {
        status.leader().is_some_and(|leads| leads != other)
    });
    let handed_over = tokio::time::timeout(20 * ELECTION_TIMEOUT, handed_over).await;
    let next = follower.propose(3).await;
    drop(shut);

    assert!(handed_over.is_ok(), "the one whose disk hangs leads on");
    assert_eq!(next, Ok(3));
    assert_eq!(caller.await.expect("it does not panic"), Ok(2));
    assert_eq!(cluster.settled().await, [1, 2, 3]);
}

/// Waits until the storage stalls, or does not, and returns how many bytes of entries wait then.
async fn stalls(member: &Handle<Journal>, stalls: bool) -> Result<u64, Elapsed> {
    let waiting = wait_for(member, |status| {
        status.storage.stalled_for.is_some() == stalls
    });
    let status = tokio::time::timeout(20 * ELECTION_TIMEOUT, waiting).await;
    status.map(|status| status.storage.waiting_bytes)
}

#[tokio::test(start_paused = true)]
async fn members_that_all_have_no_room_hand_over_seldom() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;
    let before = cluster.member(leader).status().borrow().raft.term;

    for disk in &disks {
        disk.is_low.store(true, Ordering::Relaxed);
    }
    tokio::time::sleep(100 * ELECTION_TIMEOUT).await;
    let leader = cluster.leader().await;
    let terms = cluster.member(leader).status().borrow().raft.term.0 - before.0;

    // Each of them, five times.
    assert!((3..=15).contains(&terms), "{terms} terms");
}

#[tokio::test(start_paused = true)]
async fn leadership_comes_to_the_one_with_room() {
    let (cluster, disks) = cluster_of(3).await;
    let leader = cluster.leader().await;

    for with_room in cluster.others(&[leader]) {
        for (disk, id) in disks.iter().zip(1..) {
            disk.is_low.store(id != with_room, Ordering::Relaxed);
        }
        let member = cluster.member(with_room);
        let leads = wait_for(&member, |status| status.is_leader());
        let leads = tokio::time::timeout(50 * ELECTION_TIMEOUT, leads).await;

        assert!(leads.is_ok(), "another than {with_room} leads on");
    }
}
