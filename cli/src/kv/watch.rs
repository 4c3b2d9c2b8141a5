//! Prints changes of keys as they are made.

use futures::StreamExt as _;
use liferaft::kv::{Change, ChangeKind, Keys, Revision, WatchEvent};
use serde_json::{Value, json};

use super::Store;
use super::text::{shown, value_of};

/// Prints them until the program is ended.
pub(super) async fn follow(
    store: &Store,
    prefix: &str,
    from: Option<u64>,
    json: bool,
) -> anyhow::Result<()> {
    let keys = Keys::prefix(prefix);
    let mut watch = match from {
        Some(from) => store.watch_from(keys, Revision(from)),
        None => store.watch(keys),
    };
    while let Some(event) = watch.next().await {
        let WatchEvent::Changes(changes) = event? else {
            continue;
        };
        let revision = changes.revision().0;
        for change in changes.iter() {
            let line = if json {
                told(change, revision).to_string()
            } else {
                sentence(change)
            };
            super::print(format!("{line}\n").as_bytes())?;
        }
    }
    Ok(())
}

fn told(change: &Change, revision: u64) -> Value {
    let key = value_of(change.key());
    match change.kind() {
        ChangeKind::Set { value, .. } => {
            json!({ "set": key, "value": value_of(value), "revision": revision })
        }
        ChangeKind::Appended { value, count } => {
            let place = count.len() - 1;
            json!({ "appended": key, "value": value_of(value), "place": place, "revision": revision })
        }
        ChangeKind::Trimmed { first, .. } => {
            json!({ "trimmed": key, "first": first, "revision": revision })
        }
        ChangeKind::Deleted { .. } => json!({ "deleted": key, "revision": revision }),
        _ => json!({ "changed": key, "revision": revision }),
    }
}

fn sentence(change: &Change) -> String {
    let key = shown(change.key());
    match change.kind() {
        ChangeKind::Set { value, .. } => format!("set\t{key}\t{}", shown(value)),
        ChangeKind::Appended { value, .. } => format!("appended\t{key}\t{}", shown(value)),
        ChangeKind::Trimmed { first, .. } => format!("trimmed\t{key}\t{first}"),
        ChangeKind::Deleted { .. } => format!("deleted\t{key}"),
        _ => format!("changed\t{key}"),
    }
}
