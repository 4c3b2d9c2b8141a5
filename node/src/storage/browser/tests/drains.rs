//! Shows what each write costs, what is freed, what is damage, and what happens when there is no room.

use std::time::Duration;

use super::fake::Fake;
use super::run;
use crate::ids::Index;
use crate::storage::browser::table::{Shelf, numbered};
use crate::storage::conformance::{boots, entry, hard_state, metadata, put};
use crate::storage::{Recovered, Snapshot, Storage, StorageError, Write};

fn of_entry(index: u64) -> Write {
    Write {
        entries: vec![entry(index, 1, "x")],
        ..Write::default()
    }
}

#[test]
fn a_write_of_all_parts_is_one_transaction_with_one_value() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        let state = bytes::Bytes::from_static(b"state");
        let snapshot = put(&*storage.snapshots(), metadata(1, 1, &state), [state]).await;
        fake.take_made();

        let write = Write {
            hard_state: Some(hard_state(2, Some(3))),
            peer_boots: Some(boots([(8, 2)])),
            snapshot,
            ..of_entry(2)
        };
        storage.write(vec![write, of_entry(3)]).await.unwrap();

        assert_eq!(fake.take_made(), [[Shelf::Log]]);
    });
}

#[test]
fn a_write_of_nothing_is_no_transaction() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        fake.take_made();

        storage.write(vec![]).await.unwrap();
        storage.write(vec![Write::default()]).await.unwrap();

        assert_eq!(fake.take_made(), Vec::<Vec<Shelf>>::new());
    });
}

/// Two entries in two drains, and a snapshot of the first in a third.
async fn with_snapshot(fake: &Fake) -> Snapshot {
    let mut storage = fake.try_open().await.unwrap();
    storage.write(vec![of_entry(1)]).await.unwrap();
    storage.write(vec![of_entry(2)]).await.unwrap();
    let state = bytes::Bytes::from_static(b"state");
    let snapshot = put(&*storage.snapshots(), metadata(1, 1, &state), [state]).await;
    let naming = Write {
        snapshot: snapshot.clone(),
        ..Write::default()
    };
    storage.write(vec![naming]).await.unwrap();
    snapshot.unwrap()
}

#[test]
fn a_compaction_frees_whole_drains_in_its_own_transaction() {
    run(async {
        let fake = Fake::blank().await;
        with_snapshot(&fake).await;
        let mut storage = fake.try_open().await.unwrap();
        fake.take_made();

        let compacting = Write {
            compact: Some(Index(1)),
            ..Write::default()
        };
        storage.write(vec![compacting]).await.unwrap();

        assert_eq!(fake.take_made(), [[Shelf::Log, Shelf::Log, Shelf::Server]]);
        let kept = fake.shelf(Shelf::Log).into_iter().map(|(key, _)| key);
        assert_eq!(Vec::from_iter(kept), [2, 3, 4].map(numbered));
    });
}

#[test]
fn drains_that_the_log_does_not_need_are_freed_now_and_then() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();

        for term in 1..=200 {
            let write = Write {
                hard_state: Some(hard_state(term, None)),
                ..Write::default()
            };
            storage.write(vec![write]).await.unwrap();
        }

        let kept = fake.shelf(Shelf::Log).len();
        assert!(kept <= 66, "{kept}");
        drop(storage);
        let mut storage = fake.try_open().await.unwrap();
        let recovered = storage.recover(u64::MAX).await.unwrap();
        assert_eq!(recovered.hard_state, hard_state(200, None));
    });
}

#[test]
fn what_freed_drains_said_is_in_the_base() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        let first = Write {
            hard_state: Some(hard_state(4, Some(2))),
            peer_boots: Some(boots([(8, 2)])),
            ..of_entry(1)
        };
        storage.write(vec![first]).await.unwrap();
        let state = bytes::Bytes::from_static(b"state");
        let snapshot = put(&*storage.snapshots(), metadata(1, 1, &state), [state]).await;
        let naming = Write {
            snapshot: snapshot.clone(),
            ..Write::default()
        };
        storage.write(vec![naming]).await.unwrap();

        let compacting = Write {
            compact: Some(Index(1)),
            ..of_entry(2)
        };
        storage.write(vec![compacting, of_entry(3)]).await.unwrap();

        assert_eq!(fake.shelf(Shelf::Log).len(), 1);
        drop(storage);
        let mut storage = fake.try_open().await.unwrap();
        let recovered = storage.recover(u64::MAX).await.unwrap();
        let expected = Recovered {
            hard_state: hard_state(4, Some(2)),
            peer_boots: boots([(8, 2)]),
            snapshot,
            entries: vec![entry(2, 1, "x"), entry(3, 1, "x")],
            ..Recovered::default()
        };
        assert_eq!(recovered, expected);
    });
}

#[test]
fn a_log_of_many_drains_is_read_again() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        for index in 1..=500 {
            storage.write(vec![of_entry(index)]).await.unwrap();
        }
        let log = storage.log();

        let some = log.read(Index(37), Index(480), u64::MAX).await.unwrap();
        let few = log.read(Index(37), Index(480), 1).await.unwrap();

        assert_eq!((some.len(), some[0].index), (444, Index(37)));
        assert_eq!(few.len(), 1);
        drop((log, storage));
        let mut storage = fake.try_open().await.unwrap();
        let recovered = storage.recover(u64::MAX).await.unwrap();
        assert_eq!(recovered.entries.len(), 500);
    });
}

/// Why a store cannot be opened.
async fn refusal(fake: &Fake) -> StorageError {
    fake.try_open().await.unwrap_err()
}

#[test]
fn a_missing_drain_and_one_that_was_changed_are_damage() {
    run(async {
        let [missing, changed] = [Fake::blank().await, Fake::blank().await];
        with_snapshot(&missing).await;
        with_snapshot(&changed).await;
        missing.spoil(Shelf::Log, |values| drop(values.remove(&numbered(2))));
        changed.spoil(Shelf::Log, |values| {
            values.get_mut(&numbered(2)).unwrap()[60] ^= 1;
        });

        for fake in [missing, changed] {
            let error = refusal(&fake).await;
            let text = error.to_string();
            assert!(matches!(error, StorageError::Damaged { what: "log", .. }));
            assert!(text.contains("drain 2"), "{text}");
        }
    });
}

#[test]
fn a_store_without_its_key_or_base_is_damaged() {
    run(async {
        for key in [&b"key"[..], b"base"] {
            let fake = Fake::blank().await;
            fake.spoil(Shelf::Server, |values| drop(values.remove(key)));

            let error = refusal(&fake).await;

            assert!(matches!(
                error,
                StorageError::Damaged { what: "header", .. }
            ));
        }
    });
}

#[test]
fn a_piece_that_was_changed_or_is_missing_is_damage() {
    run(async {
        let fake = Fake::blank().await;
        let snapshot = with_snapshot(&fake).await;
        let storage = fake.try_open().await.unwrap();
        let lane = storage.snapshots();
        fake.spoil(Shelf::Snapshots, |values| {
            values.values_mut().for_each(|value| value[33] ^= 1);
        });
        let changed = lane.read(snapshot.name, 0, 9).await;
        fake.spoil(Shelf::Snapshots, std::collections::BTreeMap::clear);

        let missing = lane.read(snapshot.name, 0, 9).await;

        for damaged in [changed, missing] {
            assert!(matches!(
                damaged,
                Err(StorageError::Damaged {
                    what: "snapshot",
                    ..
                })
            ));
        }
    });
}

#[test]
fn storage_near_its_quota_is_low_until_there_is_room() {
    run(async {
        let fake = Fake::blank().await;
        fake.set_room(90.0, 100.0);
        let storage = fake.try_open().await.unwrap();
        let at_first = storage.is_low();

        fake.set_room(89.0, 100.0);
        tokio::time::sleep(Duration::from_secs(11)).await;

        assert_eq!((at_first, storage.is_low()), (true, false));
    });
}

#[test]
fn storage_asks_for_room_as_it_writes() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        fake.set_room(95.0, 100.0);
        let mut large = entry(1, 1, "");
        large.payload = crate::entry::Payload::Command(vec![0; 5 << 20].into());

        let write = Write {
            entries: vec![large],
            ..Write::default()
        };
        storage.write(vec![write]).await.unwrap();

        assert!(storage.is_low());
    });
}

#[test]
fn a_closed_storage_writes_nothing_more() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        let (lane, handle) = (storage.snapshots(), storage.handle());

        storage.close().await.unwrap();

        let begun = lane.begin().await;
        let outbox = handle.outbox("a").await;
        let stopped = |error| matches!(error, StorageError::Stopped { .. });
        assert!(begun.is_err_and(stopped) && outbox.is_err_and(stopped));
        assert!(!handle.is_ours().await);
    });
}
