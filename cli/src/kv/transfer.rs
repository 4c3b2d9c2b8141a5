//! Reads many keys and long sequences piece by piece, and moves them to and from files.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use liferaft::kv::limits::{HISTORY_BYTES_MAX, HISTORY_CHANGES_MAX};
use liferaft::kv::{Content, Count, Entry, Keys, KvError, Page, Refused, Scan, Step};
use serde_json::{Value, json};

use super::Store;
use super::text::{bytes_of, shown, value_of};
use super::txn::entry_told;

/// The most values of a sequence that are read at once. What a member answers is bounded in bytes too.
const VALUES_AT_ONCE: u64 = 256;

/// The most bytes of keys and values that are imported at once, and the most steps of them.
const IMPORT_BYTES: usize = 256 * 1024;
const IMPORT_STEPS: usize = 64;

/// An export begins anew so often, at most.
const EXPORT_ATTEMPTS_MAX: usize = 5;

/// Takes the values of a sequence, each with its place, from a place on. Returns its counter.
pub(super) async fn sequence(
    store: &Store,
    key: impl AsRef<[u8]>,
    from: u64,
    limit: u64,
    mut take: impl FnMut(u64, &Bytes) -> anyhow::Result<()>,
) -> anyhow::Result<Count> {
    let key = Bytes::copy_from_slice(key.as_ref());
    let (mut place, mut left) = (from, limit);
    loop {
        let at_once = usize::try_from(left.min(VALUES_AT_ONCE)).unwrap_or(usize::MAX);
        let part = store.read_sequence(key.clone(), place, at_once).await?;
        place = part.from;
        for value in &part.values {
            take(place, value)?;
            place += 1;
            left -= 1;
        }
        if part.values.is_empty() || left == 0 || place >= part.count.len() {
            return Ok(part.count);
        }
    }
}

/// Prints keys and what they hold.
pub(super) async fn scan(
    store: &Store,
    scan: Scan,
    limit: u64,
    json: bool,
    keys_only: bool,
) -> anyhow::Result<()> {
    let (mut next, mut left) = (Some(scan), limit);
    while let Some(scan) = next.take().filter(|_| left > 0) {
        let page = store
            .scan(scan.limit(u32::try_from(left).unwrap_or(u32::MAX)))
            .await?;
        let mut out = Vec::new();
        for entry in &page.entries {
            left -= 1;
            if json {
                writeln!(out, "{}", entry_told(entry))?;
            } else if keys_only {
                writeln!(out, "{}", shown(&entry.key))?;
            } else {
                let holds = match &entry.content {
                    Content::Value(value) => shown(value),
                    Content::ValueOf { bytes } => format!("{bytes} bytes"),
                    Content::Sequence(count) => format!("a sequence of {}", count.len()),
                };
                writeln!(out, "{}\t{holds}", shown(&entry.key))?;
            }
        }
        super::print(&out)?;
        next = page.next;
    }
    Ok(())
}

/// Prints all keys that begin so, a line of JSON for each.
///
/// Values are of one revision. A sequence is read after it, up to the counter that it had by then.
pub(super) async fn export(store: &Store, prefix: &str) -> anyhow::Result<()> {
    let entries = read_whole(prefix, async |scan| store.scan(scan).await).await?;
    for entry in &entries {
        let line = match &entry.content {
            Content::Value(_) | Content::ValueOf { .. } => entry_told(entry),
            Content::Sequence(count) => {
                let mut values = Vec::new();
                let now = sequence(store, &entry.key, 0, count.len(), |_, value| {
                    values.push(value_of(value));
                    Ok(())
                })
                .await?;
                if now.is_empty() {
                    let key = shown(&entry.key);
                    bail!("the sequence {key} was deleted while it was read: export again");
                }
                json!({ "key": value_of(&entry.key), "sequence": values })
            }
        };
        super::print(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

/// Reads all keys that begin so, at one revision, page by page.
///
/// Nothing is printed before the last page is there: whoever takes the output slowly does not hold up the reading, for
/// which the history has to reach back, and where it does not, reading begins anew at a later revision.
async fn read_whole(
    prefix: &str,
    mut read: impl AsyncFnMut(Scan) -> Result<Page, KvError>,
) -> anyhow::Result<Vec<Entry>> {
    for _ in 0..EXPORT_ATTEMPTS_MAX {
        let (mut entries, mut next) = (Vec::new(), Some(Scan::of(Keys::prefix(prefix))));
        while let Some(scan) = next.take() {
            match read(scan).await {
                Ok(page) => {
                    entries.extend(page.entries);
                    next = page.next;
                    if next.is_none() {
                        return Ok(entries);
                    }
                }
                Err(KvError::Refused(Refused::Compacted { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    bail!(
        "more is written while the keys are read than the history keeps ({HISTORY_CHANGES_MAX} changes or \
         {HISTORY_BYTES_MAX} bytes), in {EXPORT_ATTEMPTS_MAX} attempts: export keys by how they begin, part by part, or \
         while less is written; `liferaft backup` copies all that a member holds at one moment, whatever is written"
    )
}

/// Writes the keys of an export. A sequence takes the place of what its key holds. Returns how many keys. Nothing is
/// written of a text that is not an export as a whole.
pub(super) async fn import(store: &Store, text: &[u8]) -> anyhow::Result<u64> {
    let lines = || {
        let lines = (1..).zip(text.split(|byte| *byte == b'\n'));
        lines.filter(|(_, line)| !line.trim_ascii().is_empty())
    };
    // Read twice, so that no second copy is kept of it.
    for (number, line) in lines() {
        read(number, line)?;
    }
    let (mut count, mut steps, mut bytes) = (0, Vec::new(), 0);
    for (number, line) in lines() {
        for step in read(number, line)? {
            let step_bytes = line.len();
            if steps.len() >= IMPORT_STEPS || bytes + step_bytes > IMPORT_BYTES {
                let written = write(store, &mut steps).await;
                written.with_context(|| not_whole(count))?;
                bytes = 0;
            }
            bytes += step_bytes.min(IMPORT_BYTES);
            steps.push(step);
        }
        count += 1;
    }
    let written = write(store, &mut steps).await;
    written.with_context(|| not_whole(count))?;
    Ok(count)
}

/// Says how far an import came that was broken off after so many keys of the file.
fn not_whole(count: u64) -> String {
    let next = count + 1;
    format!("broken off: nothing after key {next} of the file is written; import it again")
}

/// Reads a line of an export.
fn read(number: usize, line: &[u8]) -> anyhow::Result<Vec<Step>> {
    let read = serde_json::from_slice(line).map_err(anyhow::Error::from);
    let steps = read.and_then(|line: Value| steps_of(&line));
    steps.with_context(|| format!("line {number}"))
}

async fn write(store: &Store, steps: &mut Vec<Step>) -> anyhow::Result<()> {
    if !steps.is_empty() {
        let done = store.batch(std::mem::take(steps)).await?;
        for outcome in done.value {
            outcome.map_err(liferaft::kv::KvError::from)?;
        }
    }
    Ok(())
}

fn steps_of(line: &Value) -> anyhow::Result<Vec<Step>> {
    let key = bytes_of(line.get("key").context("there is no \"key\"")?)?;
    if let Some(value) = line.get("value") {
        return Ok(vec![Step::set(key, bytes_of(value)?)]);
    }
    let values = line.get("sequence").and_then(Value::as_array);
    let values = values.context("there is no \"value\" and no \"sequence\"")?;
    let mut steps = vec![Step::delete(key.clone())];
    for value in values {
        steps.push(Step::append(key.clone(), bytes_of(value)?));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use liferaft::kv::{Meta, Revision};

    use super::*;

    fn entry(key: &'static str, revision: u64) -> Entry {
        Entry {
            key: Bytes::from_static(key.as_bytes()),
            content: Content::ValueOf { bytes: 1 },
            meta: Meta {
                created: Revision(1),
                modified: Revision(revision),
                version: 1,
                lease: None,
            },
        }
    }

    /// A page of one entry, after which there is another if `next` says where.
    fn page(entry: Entry, next: Option<u64>) -> Page {
        Page {
            revision: entry.meta.modified,
            entries: vec![entry],
            count: 1,
            next: next.map(|at| Scan::of(Keys::prefix("")).at(Revision(at))),
        }
    }

    fn compacted() -> KvError {
        let through = Revision(236);
        Refused::Compacted { through }.into()
    }

    fn export(mut pages: Vec<Result<Page, KvError>>) -> anyhow::Result<Vec<Entry>> {
        pages.reverse();
        let read = async |_| pages.pop().expect("no more is read");
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a thread is enough");
        runtime.block_on(read_whole("", read))
    }

    #[test]
    fn an_export_begins_anew_when_its_revision_is_compacted() {
        let entries = export(vec![
            Ok(page(entry("a", 1), Some(1))),
            Err(compacted()),
            Ok(page(entry("a", 300), Some(300))),
            Ok(page(entry("b", 2), None)),
        ]);

        let expected = vec![entry("a", 300), entry("b", 2)];
        assert_eq!(entries.expect("it is read"), expected);
    }

    #[test]
    fn an_export_that_writers_outrun_says_what_to_do() {
        let error = export((0..5).map(|_| Err(compacted())).collect());

        let error = error.expect_err("it is never read").to_string();
        assert!(error.contains("part by part"), "{error}");
        assert!(error.contains("`liferaft backup`"), "{error}");
    }
}
