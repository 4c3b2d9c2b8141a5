//! A transaction fails, each of a history in turn: what was acknowledged is there, and what is not known is not
//! claimed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::fake::{Fake, Strike};
use super::run;
use crate::ids::Index;
use crate::storage::browser::BrowserStorage;
use crate::storage::browser::table::Shelf;
use crate::storage::conformance::{boots, entry, hard_state, metadata, put};
use crate::storage::{Recovered, SnapshotLane, SnapshotName, Storage, StorageError, Write, memory};

/// Writes of a member in a row, with the state of the snapshot that each of them names.
#[derive(Clone, Default)]
struct Act {
    state: Option<(u64, u64, Vec<u8>)>,
    write: Write,
}

fn history() -> Vec<Act> {
    let of = |write| Act { state: None, write };
    let naming = |index, term, bytes: usize, write| Act {
        state: Some((index, term, vec![5; bytes])),
        write,
    };
    vec![
        of(Write {
            hard_state: Some(hard_state(1, Some(7))),
            entries: (1..=3).map(|index| entry(index, 1, "first")).collect(),
            ..Write::default()
        }),
        of(Write {
            peer_boots: Some(boots([(8, 2)])),
            entries: vec![entry(4, 1, "d"), entry(5, 1, "e")],
            ..Write::default()
        }),
        of(Write {
            hard_state: Some(hard_state(2, None)),
            truncate: Some(Index(4)),
            entries: vec![entry(4, 2, "D"), entry(5, 2, "E")],
            ..Write::default()
        }),
        of(Write {
            peer_boots: Some(boots([(8, 3), (9, 1)])),
            ..Write::default()
        }),
        naming(3, 1, 600_000, Write::default()),
        of(Write {
            compact: Some(Index(3)),
            entries: vec![entry(6, 2, "f")],
            ..Write::default()
        }),
        naming(
            6,
            2,
            40,
            Write {
                compact: Some(Index(6)),
                ..Write::default()
            },
        ),
        of(Write {
            entries: vec![entry(7, 2, "g")],
            ..Write::default()
        }),
        naming(
            20,
            3,
            0,
            Write {
                truncate: Some(Index(1)),
                entries: vec![entry(21, 3, "after")],
                ..Write::default()
            },
        ),
        of(Write {
            hard_state: Some(hard_state(3, None)),
            ..Write::default()
        }),
    ]
}

/// What is known of a store.
#[derive(Clone, Default)]
struct Known {
    stored: Recovered,
    /// What is stored if a write that failed was made all the same.
    maybe: Option<Recovered>,
    states: BTreeMap<u64, Vec<u8>>,
}

/// What failed.
#[derive(Debug)]
enum Failed {
    Lane(StorageError),
    Write(StorageError),
    /// Of a snapshot that was replaced, after the write.
    Removal(StorageError),
}

impl Known {
    /// Makes the history from here on.
    async fn live(
        &mut self,
        storage: &mut BrowserStorage,
        acts: &[Act],
    ) -> Result<(), (usize, Failed)> {
        for (number, act) in acts.iter().enumerate() {
            let done = self.act(storage, act.clone()).await;
            done.map_err(|failed| (number, failed))?;
        }
        Ok(())
    }

    async fn act(&mut self, storage: &mut BrowserStorage, act: Act) -> Result<(), Failed> {
        let lane = storage.snapshots();
        let mut write = act.write;
        let before = self.stored.snapshot.as_ref().map(|snapshot| snapshot.name);
        let names = act.state.is_some();
        if let Some((index, term, state)) = act.state {
            let name = store_state(&*lane, &state).await.map_err(Failed::Lane)?;
            let metadata = metadata(index, term, &state);
            write.snapshot = Some(crate::storage::Snapshot { name, metadata });
            self.states.insert(name.0, state);
        }
        let mut after = self.stored.clone();
        memory::store(&mut after, write.clone()).expect("the history is in order");
        if let Err(error) = storage.write(vec![write]).await {
            self.maybe = Some(after);
            return Err(Failed::Write(error));
        }
        self.stored = after;
        match before.filter(|_| names) {
            Some(replaced) => lane.remove(replaced).await.map_err(Failed::Removal),
            None => Ok(()),
        }
    }

    /// Opens the store again, and takes what it finds for what is stored.
    async fn reopen(&mut self, fake: &Fake) -> BrowserStorage {
        let mut storage = fake.try_open().await.unwrap();
        let recovered = storage.recover(u64::MAX).await.unwrap();
        let maybe = self.maybe.take();
        assert!(
            recovered == self.stored || Some(&recovered) == maybe.as_ref(),
            "{recovered:#?}"
        );
        self.stored = recovered;
        if let Some(snapshot) = &self.stored.snapshot {
            let read = storage.snapshots().read(snapshot.name, 0, usize::MAX).await;
            let state = read.unwrap().expect("the one in force is there");
            assert_eq!(state, self.states[&snapshot.name.0]);
        }
        storage
    }
}

async fn store_state(lane: &dyn SnapshotLane, state: &[u8]) -> Result<SnapshotName, StorageError> {
    let name = lane.begin().await?;
    for piece in state.chunks(300_000) {
        lane.append(name, Bytes::copy_from_slice(piece)).await?;
    }
    let (length, digest) = (state.len() as u64, crc32fast::hash(state));
    assert!(lane.finish(name, length, digest).await?);
    Ok(name)
}

/// Makes the whole history undisturbed. Returns how many transactions that takes.
async fn transactions() -> usize {
    let fake = Fake::blank().await;
    let mut known = Known::default();
    let mut storage = known.reopen(&fake).await;
    fake.strike(usize::MAX, Strike::Full);
    known.live(&mut storage, &history()).await.unwrap();
    drop(storage);
    let transactions = fake.asked();
    known.reopen(&fake).await;
    transactions
}

#[test]
fn a_transaction_whose_connection_is_lost_is_made_again() {
    run(async {
        for struck in 0..transactions().await {
            for is_made in [false, true] {
                let fake = Fake::blank().await;
                let mut known = Known::default();
                let mut storage = known.reopen(&fake).await;
                fake.strike(struck, Strike::Lost { is_made });

                known.live(&mut storage, &history()).await.unwrap();

                drop(storage);
                known.reopen(&fake).await;
            }
        }
    });
}

#[test]
fn a_crash_at_any_transaction_leaves_a_prefix() {
    run(async {
        for struck in 0..transactions().await {
            for is_made in [false, true] {
                let fake = Fake::blank().await;
                let mut known = Known::default();
                let mut storage = known.reopen(&fake).await;
                fake.strike(struck, Strike::Refused { is_made });

                let (number, failed) = known.live(&mut storage, &history()).await.unwrap_err();

                drop(storage);
                let before = known.stored.clone();
                let mut storage = known.reopen(&fake).await;
                let done = match failed {
                    Failed::Lane(_) => 0,
                    Failed::Write(_) => usize::from(known.stored != before),
                    Failed::Removal(_) => 1,
                };
                let rest = history().split_off(number + done);
                known.live(&mut storage, &rest).await.unwrap();
                drop(storage);
                known.reopen(&fake).await;
            }
        }
    });
}

#[test]
fn a_snapshot_that_finds_no_room_leaves_nothing_and_a_write_stops() {
    run(async {
        let mut given_up = 0;
        for struck in 0..transactions().await {
            let fake = Fake::blank().await;
            let mut known = Known::default();
            let mut storage = known.reopen(&fake).await;
            fake.strike(struck, Strike::Full);

            let (number, failed) = known.live(&mut storage, &history()).await.unwrap_err();

            match failed {
                Failed::Lane(StorageError::Full { .. }) => {
                    given_up += 1;
                    assert!(storage.is_low());
                    let in_force = known.stored.snapshot.as_ref().map(|of| of.name.0);
                    let pieces = fake.shelf(Shelf::Snapshots);
                    let mut of = pieces.iter().map(|(key, _)| key[..8].to_vec());
                    assert!(
                        of.all(|name| Some(name) == in_force.map(|n| n.to_be_bytes().to_vec()))
                    );
                    let rest = history().split_off(number);
                    known.live(&mut storage, &rest).await.unwrap();
                }
                Failed::Write(StorageError::Full { .. }) => {
                    let refused = storage.write(vec![Write::default()]).await;
                    assert!(matches!(refused, Err(StorageError::Stopped { .. })));
                    known.maybe = None;
                }
                Failed::Removal(StorageError::Io { .. }) => {}
                other => panic!("{other:?}"),
            }
            drop(storage);
            known.reopen(&fake).await;
        }
        assert!(given_up >= 3, "{given_up}");
    });
}

#[test]
fn a_database_that_was_removed_is_lost() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        fake.strike(0, Strike::Gone);

        let write = history()[0].write.clone();
        let lost = storage.write(vec![write.clone()]).await;
        let stopped = storage.write(vec![write]).await;

        assert!(matches!(lost, Err(StorageError::Lost { .. })), "{lost:?}");
        assert!(matches!(stopped, Err(StorageError::Stopped { .. })));
    });
}

#[test]
fn a_database_that_lost_its_base_is_not_written_to_again() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        storage
            .write(vec![history()[0].write.clone()])
            .await
            .unwrap();
        fake.spoil(Shelf::Server, std::collections::BTreeMap::clear);
        fake.strike(0, Strike::Lost { is_made: false });

        let lost = storage.write(vec![history()[1].write.clone()]).await;

        assert!(matches!(lost, Err(StorageError::Lost { .. })), "{lost:?}");
    });
}

#[test]
fn a_second_lost_connection_stops_the_storage() {
    run(async {
        let fake = Fake::blank().await;
        let mut storage = fake.try_open().await.unwrap();
        fake.evict();

        let lost = storage.write(vec![history()[0].write.clone()]).await;

        assert!(matches!(lost, Err(StorageError::Lost { .. })), "{lost:?}");
    });
}

#[test]
fn a_removed_snapshot_leaves_no_pieces() {
    run(async {
        let fake = Fake::blank().await;
        let storage = fake.try_open().await.unwrap();
        let lane = storage.snapshots();
        let state = Bytes::from(vec![1; 700_000]);
        let stored = put(&*lane, metadata(1, 1, &state), [state]).await.unwrap();
        assert_eq!(fake.shelf(Shelf::Snapshots).len(), 3);

        lane.remove(stored.name).await.unwrap();

        assert_eq!(fake.shelf(Shelf::Snapshots), []);
    });
}
