//! Checks what is promised of whose storage it is: the key, the number of the start, the cluster.

use super::{Disk, entry, of_entries, write_to};
use crate::configuration::History;
use crate::identity::Identity;
use crate::ids::ClusterId;
use crate::storage::{Storage, StorageError};

/// The key is the same each time, and the id is its digest.
///
/// # Panics
/// When the promise is broken.
pub async fn an_identity_stays_with_its_disk(mut disk: impl Disk) {
    let made = disk.open().await.identity().clone();
    write_to(&mut disk, vec![of_entries(vec![entry(1, 1, "a")])]).await;

    let found = disk.open().await.identity().clone();

    assert_eq!(found.id(), made.id());
    assert_eq!(found.public_key(), made.public_key());
    let of_key = Identity::from_secret_key(found.secret_key());
    assert_eq!(of_key.id(), found.id(), "the id is that of another key");
}

/// A disk that was wiped, or is used for the first time, has a key that no other has.
///
/// # Panics
/// When the promise is broken.
pub async fn two_blank_disks_are_two_servers(mut one: impl Disk, mut other: impl Disk) {
    let one = one.open().await.identity().clone();

    let other = other.open().await.identity().clone();

    assert_ne!(one.id(), other.id());
}

/// Each start is counted, also one that writes nothing, and has a nonce of its own.
///
/// # Panics
/// When the promise is broken.
pub async fn each_start_has_a_later_boot_and_another_nonce(mut disk: impl Disk) {
    let mut starts = Vec::new();
    for _ in 0..3 {
        let mut storage = disk.open().await;
        let recovered = storage.recover(u64::MAX).await;
        recovered.expect("an undamaged disk can be read");
        let identity = storage.identity();
        starts.push((identity.boot(), identity.nonce()));
    }

    for pair in starts.windows(2) {
        let [(boot, nonce), (later, other)] = [pair[0], pair[1]];
        assert!(boot < later && nonce != other, "{starts:?}");
    }
}

/// A disk that was bound to a cluster, and to a founding of it, is refused to any other, and keeps what it is bound to.
///
/// # Panics
/// When the promise is broken.
pub async fn a_bound_disk_stays_bound(mut disk: impl Disk) {
    let (cluster, history) = (ClusterId(7), History(1));
    let mut storage = disk.open().await;
    assert_eq!((storage.cluster(), storage.history()), (None, None));
    let bound = storage.bind(cluster, None).await;
    bound.expect("it was bound to none");
    drop(storage);

    let mut storage = disk.open().await;
    assert_eq!(
        (storage.cluster(), storage.history()),
        (Some(cluster), None)
    );
    let bound = storage.bind(cluster, Some(history)).await;
    bound.expect("its history was not known");
    drop(storage);

    let mut storage = disk.open().await;
    for (other, founding) in [
        (ClusterId(8), None),
        (ClusterId(8), Some(history)),
        (cluster, Some(History(2))),
    ] {
        let refused = storage.bind(other, founding).await;
        let is_foreign = matches!(refused, Err(StorageError::Foreign { .. }));
        assert!(is_foreign, "to {other} and {founding:?}: {refused:?}");
    }
    let again = storage.bind(cluster, None).await;
    again.expect("it is bound to that");
    let bound = (storage.cluster(), storage.history());
    assert_eq!(bound, (Some(cluster), Some(history)));
}
