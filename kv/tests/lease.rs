//! Leases: keys that end with their holder, by the cluster's time and nobody's clock.
//!
//! Where a story sleeps, the clock is paused, and what it tells of is the time that passes.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use std::time::Duration;

use cluster::Cluster;
use cluster::patience::soon;
use common::Member;
use futures::StreamExt;
use liferaft_kv::limits::{LEASE_TTL_MAX, LEASE_TTL_MIN};
use liferaft_kv::{
    ChangeKind, Changes, Command, Done, Keys, KvError, Lease, LeaseId, Polled, Refused, Revision,
    Step, Watch, WatchEvent, Watcher,
};
use liferaft_raft::state_machine::StateMachine;
use liferaft_raft::time::ClusterTime;
use liferaft_transport::ServerId;
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(3);

#[track_caller]
fn grant(member: &mut Member, time: u64, ttl_ms: u64) -> LeaseId {
    match member.apply_at(time, Command::GrantLease { ttl_ms }) {
        Ok(Done::GrantLease(lease)) => lease,
        other => panic!("not a lease: {other:?}"),
    }
}

fn set(member: &mut Member, time: u64, key: &'static str, lease: LeaseId) -> bool {
    let step = Step::set_with_lease(key, "v", lease);
    let done = member.apply_at(time, Command::Batch(vec![step]));
    matches!(done, Ok(Done::Batch(outcomes)) if outcomes.iter().all(Result::is_ok))
}

/// Waits until a key changes.
async fn next_changes(watch: &mut Watch) -> Changes {
    loop {
        match soon(watch.next()).await {
            Some(Ok(WatchEvent::Changes(changes))) => return changes,
            Some(Ok(WatchEvent::Progress(_))) => {}
            ended => panic!("the watch goes on: {ended:?}"),
        }
    }
}

fn are_ended_by(changes: &Changes, lease: &Lease) -> bool {
    let ended = ChangeKind::Deleted {
        ended: Some(lease.id()),
    };
    changes.iter().all(|change| *change.kind() == ended)
}

#[test]
fn the_keys_of_a_lease_end_with_it_at_one_revision_and_not_a_millisecond_before() {
    let mut member = Member::default();
    let lease = grant(&mut member, 1_000, 500);
    assert!(set(&mut member, 1_100, "a", lease) && set(&mut member, 1_200, "b", lease));
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(4)));
    let answer = member.kv.query(watcher.query());
    watcher.answered(answer).expect("the history reaches back");
    let begun = watcher.poll(None);

    member.advance_at(1_499);
    let before = member.everything().count;
    member.advance_at(1_500);

    assert_eq!(begun, Polled::Event(WatchEvent::Progress(Revision(3))));
    assert_eq!((before, member.everything().count), (2, 0));
    let Polled::Event(WatchEvent::Changes(changes)) = watcher.poll(None) else {
        panic!("the keys were deleted");
    };
    assert_eq!(changes.revision(), Revision(5));
    assert!(
        changes
            .iter()
            .all(|change| *change.kind() == ChangeKind::Deleted { ended: Some(lease) })
    );
    assert_eq!(changes.iter().count(), 2);
}

#[test]
fn a_lease_that_is_kept_alive_lives_for_its_whole_time_again() {
    let mut member = Member::default();
    let lease = grant(&mut member, 0, 500);
    assert!(set(&mut member, 0, "k", lease));

    let kept = member.apply_at(499, Command::KeepAlive { lease });
    member.advance_at(998);
    let lives = member.everything().count;
    let late = member.apply_at(999, Command::KeepAlive { lease });

    assert_eq!((kept, lives), (Ok(Done::KeepAlive), 1));
    assert_eq!(late, Err(Refused::LeaseEnded { lease }));
    assert_eq!(member.everything().count, 0);
}

#[test]
fn a_key_that_is_set_otherwise_outlives_its_lease() {
    let mut member = Member::default();
    let lease = grant(&mut member, 0, 500);
    let another = grant(&mut member, 0, 900);
    for key in ["lasts", "deleted", "moved"] {
        assert!(set(&mut member, 0, key, lease));
    }

    let _ = member.set("lasts", "v");
    let _ = member.delete("deleted");
    let _ = member.set("deleted", "again");
    assert!(set(&mut member, 0, "moved", another));
    member.advance_at(500);
    let after_one = member.everything().count;
    member.advance_at(900);

    assert_eq!((after_one, member.everything().count), (3, 2));
}

#[test]
fn a_revoked_lease_ends_at_once_and_its_name_means_nothing_any_more() {
    let mut member = Member::default();
    let lease = grant(&mut member, 0, 500);
    assert!(set(&mut member, 0, "k", lease));

    let revoked = member.apply(Command::RevokeLease { lease });
    let again = member.apply(Command::RevokeLease { lease });

    assert_eq!(revoked, Ok(Done::RevokeLease(1)));
    assert_eq!(again, Err(Refused::LeaseEnded { lease }));
    assert!(!set(&mut member, 0, "k", lease));
    assert_eq!(member.everything().count, 0);
}

#[test]
fn a_restored_member_ends_leases_when_the_others_do() {
    let mut member = Member::default();
    let lease = grant(&mut member, 100, 500);
    assert!(set(&mut member, 100, "k", lease));
    let _ = member.apply_at(300, Command::KeepAlive { lease });

    let mut restored = member.restored();
    let wakes = [member.kv.wakes_at(), restored.kv.wakes_at()];
    restored.advance_at(799);
    let before = restored.everything().count;
    restored.advance_at(800);

    assert_eq!(wakes, [Some(ClusterTime(800)); 2]);
    assert_eq!((before, restored.everything().count), (1, 0));
    assert_eq!(restored.kv.wakes_at(), None);
}

#[test]
fn a_time_to_live_beyond_the_bounds_is_refused() {
    for ttl in [
        LEASE_TTL_MIN - Duration::from_millis(1),
        LEASE_TTL_MAX + Duration::from_millis(1),
    ] {
        let ttl_ms = u64::try_from(ttl.as_millis()).expect("it fits");
        let refused = Member::default().apply(Command::GrantLease { ttl_ms });
        assert_eq!(refused, Err(Refused::LeaseTtl { ttl_ms }));
    }
}

/// A lease for no time was kept alive without a pause, on a core of its own.
#[tokio::test(start_paused = true)]
async fn a_lease_for_a_time_that_is_never_granted_cannot_be_held() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    let held = |ttl| ada.lease(lease.id(), ttl).map(|lease| lease.ttl());

    let spinning = held(Duration::ZERO);
    let short = held(LEASE_TTL_MIN - Duration::from_nanos(1));
    let shortest = held(LEASE_TTL_MIN);
    let long = held(LEASE_TTL_MAX + Duration::from_millis(1));
    let granted = ada.grant_lease(Duration::ZERO).await;

    assert_eq!(spinning, Err(Refused::LeaseTtl { ttl_ms: 0 }));
    assert_eq!(short, Err(Refused::LeaseTtl { ttl_ms: 99 }));
    assert_eq!(shortest, Ok(LEASE_TTL_MIN));
    assert!(matches!(long, Err(Refused::LeaseTtl { .. })), "{long:?}");
    assert!(
        matches!(
            granted,
            Err(KvError::Refused(Refused::LeaseTtl { ttl_ms: 0 }))
        ),
        "{granted:?}"
    );
    Ok(())
}

/// Whoever keeps the shortest lease alive leaves the clock to others: were it busy, the time here would never pass.
#[tokio::test(start_paused = true)]
async fn the_shortest_lease_is_kept_alive_at_leisure() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let lease = ada.grant_lease(LEASE_TTL_MIN).await?;
    lease.set("k", "v").await?;

    let _kept = lease.kept_alive();
    soon(tokio::time::sleep(10 * TTL)).await;

    assert!(bob.entry("k").await?.is_some());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_an_idle_cluster_a_key_ends_with_its_lease_and_watchers_are_told() -> Result<(), KvError>
{
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    let set = lease.set("present/ada", "bridge").await?;
    let granted = Instant::now();
    let mut watch = bob.watch_from(Keys::prefix("present/"), set.next());

    let deleted = next_changes(&mut watch).await;

    let lived = granted.elapsed();
    assert!(lived + Duration::from_millis(50) >= TTL, "{lived:?}");
    assert!(lived <= TTL + Duration::from_millis(300), "{lived:?}");
    assert!(deleted.iter().all(|change| change.key() == "present/ada"));
    assert!(are_ended_by(&deleted, &lease));
    assert_eq!(lease.status().await?, None);
    assert!(matches!(
        lease.keep_alive().await,
        Err(KvError::Refused(Refused::LeaseEnded { .. }))
    ));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_as_long_as_it_is_kept_alive_and_its_time_longer() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    let set = lease.set("k", "v").await?;
    let mut watch = bob.watch_from(Keys::all(), set.next());

    let kept = lease.kept_alive();
    tokio::time::sleep(10 * TTL).await;
    let while_kept = bob.entry("k").await?.into_value();
    drop(kept);
    let dropped = Instant::now();
    let changes = next_changes(&mut watch).await;

    assert_eq!(
        while_kept.and_then(|entry| entry.meta.lease),
        Some(lease.id())
    );
    assert!(are_ended_by(&changes, &lease));
    let lived = dropped.elapsed();
    assert!(
        lived >= TTL / 2,
        "it is kept alive thrice in its time: {lived:?}"
    );
    assert!(lived <= TTL + Duration::from_millis(300), "{lived:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn whoever_keeps_a_lease_alive_learns_that_it_has_ended() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    let mut kept = lease.kept_alive();

    let revoked = bob.lease(lease.id(), TTL)?.revoke().await?;
    let cause = soon(kept.ended()).await;

    assert_eq!(*revoked, 0);
    assert_eq!(
        cause,
        KvError::Refused(Refused::LeaseEnded { lease: lease.id() })
    );
    assert_eq!(soon(kept.ended()).await, cause);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_quorum_ends_no_lease_and_its_holder_has_time_after()
-> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    lease.set("k", "v").await?;

    let alone = cluster
        .members
        .each_ref()
        .map(|member| vec![member.raft().id()]);
    cluster
        .network
        .partition(&alone.each_ref().map(|members| &members[..]));
    tokio::time::sleep(100 * TTL).await;
    cluster.network.heal_all();
    lease.keep_alive().await?;

    assert!(ada.entry("k").await?.is_some());
    Ok(())
}

/// etcd's leader that stalled revoked all leases when it woke up (etcd 15247): it judged by its own clock.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_ends_nobodys_lease_when_it_is_back() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    lease.set("k", "v").await?;
    let _kept = lease.kept_alive();
    let stalled = cluster.leader();
    let others: Vec<ServerId> = cluster.followers().map(|member| member.raft().id()).into();

    cluster.network.partition(&[&others]);
    tokio::time::sleep(20 * TTL).await;
    let seen_by_it = stalled.get_local("k").await?.answer;
    cluster.network.heal_all();
    tokio::time::sleep(3 * TTL).await;

    assert!(
        seen_by_it.is_some(),
        "it ended nothing, not even for itself"
    );
    assert!(ada.entry("k").await?.is_some());
    assert!(stalled.entry("k").await?.is_some());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_gives_every_holder_the_time_of_the_election() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    let lease = ada.grant_lease(TTL).await?;
    let set = lease.set("k", "v").await?;
    let mut watch = ada.watch_from(Keys::all(), set.next());
    // The leader marks no time before the end of the lease: its last word is the grant.
    tokio::time::sleep(TTL - Duration::from_millis(200)).await;

    cluster.network.kill(cluster.leader);
    let killed = Instant::now();
    tokio::time::sleep(TTL - Duration::from_millis(200)).await;
    let lives = ada.entry("k").await?.is_some();
    let changes = next_changes(&mut watch).await;

    assert!(
        lives,
        "the successor continues from the last stamp in the log"
    );
    assert!(
        are_ended_by(&changes, &lease),
        "and ends it in its own time"
    );
    let lived = killed.elapsed();
    assert!(lived <= 3 * TTL, "{lived:?}");
    Ok(())
}
