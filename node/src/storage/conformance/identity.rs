//! Checks what is promised of whose storage it is: the key, the number of the start, the cluster.

use super::{Disk, Draft, boots, entry, hard_state, of_entries, recovered, write_to};
use crate::boots::{BOOTS_MAX, Boots};
use crate::configuration::History;
use crate::identity::Identity;
use crate::ids::{Boot, ClusterId, ServerId};
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
    assert_eq!(
        found.public_key().server_id(),
        found.id(),
        "the id is that of another key"
    );
    if let Some(secret) = found.secret_key() {
        let of_secret = Identity::from_secret_key(secret);
        assert_eq!(of_secret.id(), found.id(), "the secret is another key's");
    }
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

/// Each start tells of those before it, also one that writes nothing.
///
/// # Panics
/// When the promise is broken.
pub async fn each_start_tells_of_those_before_it(mut disk: impl Disk) {
    let mut made = Vec::new();
    for _ in 0..3 {
        let mut storage = disk.open().await;
        let recovered = storage.recover(u64::MAX).await;
        recovered.expect("an undamaged disk can be read");
        made.push(*storage.identity().starts());
    }

    for pair in made.windows(2) {
        let [starts, later] = [pair[0], pair[1]];
        let met = starts.newest();
        let copied = Boot {
            nonce: !met.nonce,
            ..met
        };
        assert!(later.may_follow(&met), "{made:?}");
        assert!(!later.may_follow(&copied), "{made:?}");
    }
}

/// The boots of other servers are replaced by those that are written, with a hard state, with entries or alone, and
/// stay where a write leaves them out; as many of them as there can be.
///
/// # Panics
/// When the promise is broken.
pub async fn boots_of_other_servers_are_remembered(mut disk: impl Disk) {
    let of_boots = |boots| Draft {
        peer_boots: Some(boots),
        ..Draft::default()
    };
    let with_entry = Draft {
        peer_boots: Some(boots([(2, 4)])),
        ..of_entries(vec![entry(1, 1, "a")])
    };
    let with_hard_state = Draft {
        hard_state: Some(hard_state(2, None)),
        peer_boots: Some(boots([(2, 5), (3, 1)])),
        ..of_entries(vec![entry(2, 1, "b")])
    };
    let alone = of_boots(boots([(3, 1), (2, 6)]));
    let later = of_entries(vec![entry(3, 2, "c")]);
    let of_term = Draft {
        hard_state: Some(hard_state(3, None)),
        ..Draft::default()
    };
    let boot = |number| Boot { number, nonce: 7 };
    let servers = (0..BOOTS_MAX as u64).map(|id| (ServerId(id.into()), boot(id)));
    let full: Boots = servers.collect();

    for (draft, wanted) in [
        (with_entry, boots([(2, 4)])),
        (with_hard_state, boots([(2, 5), (3, 1)])),
        (alone, boots([(3, 1), (2, 6)])),
        (later, boots([(3, 1), (2, 6)])),
        (of_term, boots([(3, 1), (2, 6)])),
        (of_boots(full.clone()), full),
        (of_boots(Boots::default()), Boots::default()),
    ] {
        write_to(&mut disk, vec![draft]).await;

        assert_eq!(recovered(&mut disk).await.peer_boots, wanted);
    }
    let [first, second] = [boots([(2, 7)]), boots([(2, 8)])].map(of_boots);
    write_to(&mut disk, vec![first, second, Draft::default()]).await;
    assert_eq!(recovered(&mut disk).await.peer_boots, boots([(2, 8)]));
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
