//! Tells a page what became of its writes and what its questions found: lists of the properties that
//! `web/types/liferaft.d.ts` has. Counts are written as texts, which the façade takes apart.

use std::time::Duration;

use liferaft::kv::{
    Answer, Change, ChangeKind, Command, CompareAndSet, Content, Count, Done, Entry, Found, Reply,
    SeqAppend, SequencePart, StepDone, StepPage, TrimBefore, WatchEvent,
};
use wasm_bindgen::JsValue;

use crate::error::Fault;
use crate::plain::{array, list, number, object};

type Fields = Vec<(&'static str, JsValue)>;

/// Tells what a write did.
pub(crate) fn of_write(reply: Reply) -> Result<JsValue, Fault> {
    let mut fields = match reply.outcome? {
        Done::Set | Done::KeepAlive | Done::GrantLease(_) | Done::RevokeLease(_) => Vec::new(),
        Done::Delete(existed) => deleted(u64::from(existed), false),
        Done::CompareAndSet(outcome) => swapped(&outcome),
        Done::SeqAppend(outcome) => appended(outcome),
        Done::Append(place) => vec![("place", number(place))],
        Done::TrimBefore(outcome) => trimmed(outcome),
        Done::DeleteKeys(outcome) => deleted(outcome.deleted, outcome.more),
        Done::Txn(done) => {
            let results = done.steps.into_iter().map(of_step);
            vec![
                ("succeeded", done.succeeded.into()),
                ("results", list(results)),
            ]
        }
        Done::Batch(outcomes) => {
            let results = outcomes.into_iter().map(|outcome| match outcome {
                Ok(done) => of_step(done),
                Err(refused) => object(&[("error", Fault::from(refused).into())]),
            });
            vec![("results", list(results))]
        }
        _ => return Err(newer()),
    };
    fields.push(("revision", number(reply.revision.0)));
    Ok(object(&fields))
}

/// Tells what a question found, and how old the state may be that was asked.
pub(crate) fn of_read(answer: Answer, age: Option<Duration>) -> Result<JsValue, Fault> {
    let mut fields = match answer.outcome? {
        Found::Value(value) => {
            let value = value.map_or(JsValue::UNDEFINED, |value| array(&value));
            vec![("bytes", value)]
        }
        Found::Sequence(part) => sequence(part),
        Found::Entry(entry) => {
            let entry = entry.map_or(JsValue::UNDEFINED, |entry| of_entry(&entry));
            vec![("entry", entry)]
        }
        Found::Page(page) => {
            let has_more = page.next.is_some();
            let after = page.entries.last().filter(|_| has_more);
            let after = after.map_or(JsValue::UNDEFINED, |entry| array(&entry.key));
            vec![
                ("entries", list(page.entries.iter().map(of_entry))),
                ("after", after),
                ("revision", number(page.revision.0)),
            ]
        }
        _ => return Err(newer()),
    };
    if fields.iter().all(|(name, _)| *name != "revision") {
        fields.push(("revision", number(answer.revision.0)));
    }
    if let Some(age) = age {
        fields.push(("ageMs", milliseconds(age)));
    }
    Ok(object(&fields))
}

/// Tells what a watch tells.
pub(crate) fn of_watch(event: WatchEvent) -> JsValue {
    match event {
        WatchEvent::Changes(changes) => object(&[
            ("type", "changes".into()),
            ("revision", number(changes.revision().0)),
            ("changes", list(changes.iter().map(of_change))),
        ]),
        WatchEvent::Progress(revision) => object(&[
            ("type", "progress".into()),
            ("revision", number(revision.0)),
        ]),
    }
}

/// Tells which operation a command is, and its key and value if it has them.
pub(crate) fn of_command(command: &Command) -> Fields {
    let (operation, key, value) = match command {
        Command::Set { key, value } => ("set", Some(key), Some(value)),
        Command::Delete { key } => ("delete", Some(key), None),
        Command::CompareAndSet { key, new, .. } => ("compareAndSet", Some(key), new.as_ref()),
        Command::SeqAppend { key, value, .. } => ("seqAppend", Some(key), Some(value)),
        Command::Append { key, value } => ("append", Some(key), Some(value)),
        Command::TrimBefore { key, .. } => ("trimBefore", Some(key), None),
        Command::DeleteKeys(_) => ("delete", None, None),
        Command::Txn(_) => ("txn", None, None),
        Command::Batch(_) => ("batch", None, None),
        _ => ("other", None, None),
    };
    let optional =
        |bytes: Option<&bytes::Bytes>| bytes.map_or(JsValue::UNDEFINED, |bytes| array(bytes));
    vec![
        ("operation", operation.into()),
        ("key", optional(key)),
        ("value", optional(value)),
    ]
}

pub(crate) fn milliseconds(time: Duration) -> JsValue {
    JsValue::from_f64(time.as_secs_f64() * 1000.0)
}

fn of_step(done: StepDone) -> JsValue {
    let fields = match done {
        StepDone::Got(entry) => {
            let entry = entry.map_or(JsValue::UNDEFINED, |entry| of_entry(&entry));
            vec![("entry", entry)]
        }
        StepDone::Deleted(existed) => deleted(u64::from(existed), false),
        StepDone::CompareAndSet(outcome) => swapped(&outcome),
        StepDone::SeqAppend(outcome) => appended(outcome),
        StepDone::Appended(count) => vec![
            ("place", number(count.len().saturating_sub(1))),
            ("count", of_count(count)),
        ],
        StepDone::Scanned(StepPage {
            entries,
            more_after,
            ..
        }) => {
            let after = more_after.map_or(JsValue::UNDEFINED, |after| array(&after));
            vec![
                ("entries", list(entries.iter().map(of_entry))),
                ("after", after),
            ]
        }
        StepDone::TrimBefore(outcome) => trimmed(outcome),
        StepDone::DeletedKeys(count) => deleted(count, false),
        _ => Vec::new(),
    };
    object(&fields)
}

fn of_change(change: &Change) -> JsValue {
    let mut fields = match change.kind() {
        ChangeKind::Set { value, .. } => vec![("type", "set".into()), ("value", array(value))],
        ChangeKind::Appended { value, count } => vec![
            ("type", "appended".into()),
            ("value", array(value)),
            ("count", of_count(*count)),
        ],
        ChangeKind::Trimmed { first, count } => vec![
            ("type", "trimmed".into()),
            ("first", number(*first)),
            ("count", of_count(*count)),
        ],
        _ => vec![("type", "deleted".into())],
    };
    fields.push(("key", array(change.key())));
    object(&fields)
}

fn of_entry(entry: &Entry) -> JsValue {
    let (value, count) = match &entry.content {
        Content::Value(value) => (array(value), JsValue::UNDEFINED),
        Content::Sequence(count) => (JsValue::UNDEFINED, of_count(*count)),
        Content::ValueOf { .. } => (JsValue::UNDEFINED, JsValue::UNDEFINED),
    };
    object(&[
        ("key", array(&entry.key)),
        ("value", value),
        ("count", count),
        ("created", number(entry.meta.created.0)),
        ("modified", number(entry.meta.modified.0)),
        ("version", number(entry.meta.version)),
    ])
}

fn sequence(part: SequencePart) -> Fields {
    vec![
        ("values", list(part.values.iter().map(|value| array(value)))),
        ("first", number(part.from)),
        ("count", of_count(part.count)),
    ]
}

fn deleted(count: u64, has_more: bool) -> Fields {
    vec![("deleted", number(count)), ("more", has_more.into())]
}

fn swapped(outcome: &CompareAndSet) -> Fields {
    let current = match outcome {
        CompareAndSet::Different {
            current: Some(current),
        } => array(current),
        CompareAndSet::Set | CompareAndSet::Different { current: None } => JsValue::UNDEFINED,
    };
    vec![("swapped", outcome.is_set().into()), ("current", current)]
}

fn appended(outcome: SeqAppend) -> Fields {
    vec![
        ("appended", outcome.succeeded.into()),
        ("count", of_count(outcome.count)),
    ]
}

fn trimmed(outcome: TrimBefore) -> Fields {
    vec![
        ("trimmed", number(outcome.trimmed)),
        ("first", number(outcome.first)),
        ("count", of_count(outcome.count)),
    ]
}

fn of_count(count: Count) -> JsValue {
    count.to_string().into()
}

fn newer() -> Fault {
    Fault::unknown(
        "internal",
        "the reply is of a version that is not known here",
    )
}
