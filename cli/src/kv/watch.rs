//! Prints changes of keys as they are made.

mod line;

use std::pin::pin;

use futures::StreamExt as _;
use liferaft::kv::{Change, ChangeKind, Changes, Keys, Revision, WatchEvent};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use self::line::Line;
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
    let mut status = store.raft().status();
    let mut line = Line::default();
    let mut looking = pin!(ahead_of(store, from));
    let mut is_looking = true;
    loop {
        line.look(&status.borrow_and_update(), Instant::now());
        while let Some(news) = line.news(Instant::now()) {
            news.tell(watch.resume_from(), json)?;
        }
        let due = line.due();
        let told = tokio::select! {
            event = watch.next() => match event.transpose()? {
                Some(WatchEvent::Changes(changes)) => lines(&changes, json),
                Some(WatchEvent::Progress(_)) => String::new(),
                None => return Ok(()),
            },
            changed = status.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return Ok(()),
            },
            ahead = &mut looking, if is_looking => {
                is_looking = false;
                if let Some((newest, from)) = ahead {
                    crate::tell_error(format_args!(
                        "the newest revision is {newest}: waiting for {from}"
                    ));
                }
                continue;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => continue,
        };
        super::print(told.as_bytes())?;
    }
}

/// Returns the newest revision, if those to watch from are beyond the next one.
async fn ahead_of(store: &Store, from: Option<u64>) -> Option<(Revision, u64)> {
    let (newest, from) = (store.revision().await.ok()?, from?);
    (Revision(from) > newest.next()).then_some((newest, from))
}

fn lines(changes: &Changes, json: bool) -> String {
    let revision = changes.revision().0;
    let lines = changes.iter().map(|change| match json {
        true => format!("{}\n", told(change, revision)),
        false => format!("{}\n", sentence(change)),
    });
    lines.collect()
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
