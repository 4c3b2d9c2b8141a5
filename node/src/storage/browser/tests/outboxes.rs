//! Outboxes in the database of a server: names, and every place where a write of one can fail.

use super::fake::{Fake, Strike};
use super::run;
use crate::storage::StorageError;
use crate::storage::browser::table::Shelf;
use crate::storage::outbox::{
    OutboxPosition, OutboxStore, OutboxWrite, RecoveredOutbox, StoredCommand,
};

fn commands(numbers: std::ops::RangeInclusive<u64>) -> Vec<StoredCommand> {
    let command = |number: u64| StoredCommand {
        number,
        command: number.to_string().into(),
    };
    numbers.map(command).collect()
}

fn write(through: Option<u64>, append: Vec<StoredCommand>) -> OutboxWrite {
    OutboxWrite {
        position: Some(OutboxPosition {
            nonce: 7,
            session: None,
            first: append.first().map_or(1, |command| command.number),
            sent_through: through.unwrap_or(0),
        }),
        remove_through: through,
        append,
    }
}

fn history() -> [OutboxWrite; 3] {
    [
        write(None, commands(1..=3)),
        write(Some(2), commands(4..=4)),
        write(Some(4), vec![]),
    ]
}

async fn recovered(fake: &Fake) -> RecoveredOutbox {
    let storage = fake.try_open().await.unwrap();
    let mut store = storage.handle().outbox("a").await.unwrap();
    store.recover().await.unwrap()
}

#[test]
fn a_write_of_an_outbox_is_made_whole_or_not_at_all() {
    run(async {
        for struck in 0..history().len() {
            for is_made in [false, true] {
                let fake = Fake::blank().await;
                let storage = fake.try_open().await.unwrap();
                let mut store = storage.handle().outbox("a").await.unwrap();
                let mut stored = store.recover().await.unwrap();
                fake.strike(struck, Strike::Refused { is_made });
                for (number, write) in history().into_iter().enumerate() {
                    let done = store.write(write.clone()).await;
                    assert_eq!(done.is_ok(), number < struck);
                    if number < struck || (is_made && number == struck) {
                        crate::storage::outbox::memory::store(&mut stored, write).unwrap();
                    }
                }
                drop((store, storage));

                assert_eq!(recovered(&fake).await, stored);
            }
        }
    });
}

#[test]
fn a_write_of_an_outbox_is_made_again_when_its_connection_is_lost() {
    run(async {
        for struck in 0..history().len() {
            let fake = Fake::blank().await;
            let storage = fake.try_open().await.unwrap();
            let mut store = storage.handle().outbox("a").await.unwrap();
            store.recover().await.unwrap();
            fake.strike(struck, Strike::Lost { is_made: true });

            for write in history() {
                store.write(write).await.unwrap();
            }

            assert_eq!(fake.shelf(Shelf::Outboxes).len(), 1);
        }
    });
}

#[test]
fn outboxes_of_one_storage_have_nothing_in_common() {
    run(async {
        let fake = Fake::blank().await;
        let storage = fake.try_open().await.unwrap();
        let mut stores = [
            storage.handle().outbox("a").await.unwrap(),
            storage.handle().outbox("a-b").await.unwrap(),
        ];
        for (store, first) in stores.iter_mut().zip([1, 500]) {
            store.recover().await.unwrap();
            let append = commands(first..=first + 300);
            store.write(write(None, append)).await.unwrap();
        }
        drop(stores);

        for (name, first) in [("a", 1), ("a-b", 500)] {
            let mut store = storage.handle().outbox(name).await.unwrap();
            let found = store.recover().await.unwrap();
            assert_eq!(found.commands, commands(first..=first + 300));
        }
    });
}

#[test]
fn an_outbox_is_open_once_and_has_a_plain_name() {
    run(async {
        let fake = Fake::blank().await;
        let storage = fake.try_open().await.unwrap();
        let first = storage.handle().outbox("a").await.unwrap();

        let second = storage.handle().outbox("a").await;
        let unnameable = storage.handle().outbox("A b").await;

        assert!(matches!(second, Err(StorageError::InUse { .. })));
        assert!(matches!(unnameable, Err(StorageError::Unnameable { .. })));
        drop(first);
        assert!(storage.handle().outbox("a").await.is_ok());
    });
}

#[test]
fn a_command_that_was_changed_is_damage_of_the_outbox() {
    run(async {
        let fake = Fake::blank().await;
        let storage = fake.try_open().await.unwrap();
        let mut store = storage.handle().outbox("a").await.unwrap();
        store.recover().await.unwrap();
        store.write(write(None, commands(1..=3))).await.unwrap();
        drop((store, storage));
        fake.spoil(Shelf::Outboxes, |values| {
            values.values_mut().for_each(|value| value[9] ^= 1);
        });

        let storage = fake.try_open().await.unwrap();
        let mut store = storage.handle().outbox("a").await.unwrap();
        let damaged = store.recover().await;

        assert!(matches!(damaged, Err(StorageError::OutboxDamaged { .. })));
    });
}
