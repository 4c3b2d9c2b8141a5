//! The typed outbox, on a member that loses its cluster and finds it again.

#[path = "common/patience.rs"]
mod patience;

use std::time::Duration;

use liferaft_kv::limits::KEY_BYTES_MAX;
use liferaft_kv::{CompareAndSet, Count, Kv, KvHandle, KvOutboxError, KvPushError, Refused, Step};
use liferaft_node::driver::{Founding, Member, OutboxConfig, PushError};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::ClusterId;
use liferaft_transport::memory::MemoryNetwork;
use patience::soon;

/// Three members, of which the first is cut off from the others.
async fn cut_off() -> (MemoryNetwork, [KvHandle; 3]) {
    let network = MemoryNetwork::new(1);
    let disks = [1, 2, 3].map(MemoryStorage::from_seed);
    let ids = disks.each_ref().map(|disk| disk.identity().id());
    let founding = Founding::of(ClusterId(7), Configuration::of_voters(ids));
    let mut members = Vec::new();
    for mut disk in disks {
        founding.found(&mut disk).await.expect("the disk is blank");
        let transport = network.attach(disk.identity().id());
        let transport = transport.expect("the id is free");
        let member = Member::builder(Kv::new(), transport, disk);
        members.push(KvHandle::new(member.start().await.expect("it starts")));
    }
    network.partition(&[&ids[..1], &ids[1..]]);
    let members = members.try_into().expect("there are three");
    (network, members)
}

#[tokio::test(start_paused = true)]
async fn writes_made_alone_are_done_in_order_when_the_others_are_found_again() {
    let (network, [lonely, other, _]) = cut_off().await;
    let outbox = lonely.outbox(OutboxConfig::default()).await.unwrap();

    let set = outbox.set("k", "1").unwrap();
    let swapped = outbox
        .compare_and_set("k", Some("1".into()), Some("2".into()))
        .unwrap();
    let not_swapped = outbox.compare_and_set("k", None, None).unwrap();
    let first = outbox.append("log", "a").unwrap();
    let refused = outbox.append("k", "not a sequence").unwrap();
    let second = outbox.seq_append("log", Count::ZERO, "b").unwrap();
    let steps = [Step::append("log", "c"), Step::append("k", "refused")];
    let batch = outbox.batch(steps).unwrap();
    let deleted = outbox.delete("k").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(outbox.pending().len(), 8);
    network.heal_all();

    assert_eq!(soon(set).await.unwrap(), ());
    assert_eq!(soon(swapped).await.unwrap(), CompareAndSet::Set);
    let current = Some("2".into());
    assert_eq!(
        soon(not_swapped).await.unwrap(),
        CompareAndSet::Different { current }
    );
    assert_eq!(soon(first).await.unwrap(), 0);
    assert!(matches!(
        soon(refused).await,
        Err(KvOutboxError::Refused(Refused::WrongKind { .. }))
    ));
    assert!(!soon(second).await.unwrap().succeeded);
    let batch = soon(batch).await.unwrap();
    assert_eq!(batch.iter().filter(|step| step.is_ok()).count(), 1);
    let deleted = soon(deleted).await.unwrap();
    assert_eq!(deleted, true);
    assert!(deleted.revision > batch.revision);
    assert_eq!(other.get("k").await.unwrap().into_value(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_beyond_the_limits_and_one_beyond_the_room_are_refused_at_once() {
    let (_network, [lonely, ..]) = cut_off().await;
    let config = OutboxConfig::default().commands_max(1);
    let outbox = lonely.outbox(config).await.unwrap();

    let too_long = outbox.set(vec![b'k'; KEY_BYTES_MAX + 1], "v");
    let fits = outbox.set("k", "v");
    let full = outbox.set("k", "v");

    assert!(matches!(
        too_long,
        Err(KvPushError::Refused(Refused::KeyTooLong { .. }))
    ));
    assert!(fits.is_ok());
    assert!(matches!(
        full,
        Err(KvPushError::Push(PushError::Full { .. }))
    ));
}
