//! Reads what a page asks of keys: lists, of which the first element names the operation and the others are its
//! arguments, in the order of `web/js/keys.js`.

use bytes::Bytes;
use js_sys::Array;
use liferaft::kv::{Command, Compare, Count, Keys, Order, Query, Revision, Scan, Step, Txn};
use wasm_bindgen::JsValue;

use crate::error::Fault;
use crate::plain::{bytes, whole};

/// Reads a write.
pub(crate) fn command(asked: &JsValue) -> Result<Command, Fault> {
    let list = Array::from(asked);
    let steps = |at| -> Result<Vec<Step>, Fault> {
        let steps = Array::from(&list.get(at));
        steps.iter().map(|asked| step(&asked)).collect()
    };
    match &*name(&list) {
        "txn" => {
            let conditions = Array::from(&list.get(1));
            let conditions: Result<Vec<_>, Fault> =
                conditions.iter().map(|asked| compare(&asked)).collect();
            let txn = Txn::when(conditions?).then(steps(2)?);
            Ok(Command::Txn(txn.otherwise(steps(3)?)))
        }
        "batch" => Ok(Command::Batch(steps(1)?)),
        _ => match step(asked)? {
            Step::Set { key, value, .. } => Ok(Command::Set { key, value }),
            Step::Delete { key } => Ok(Command::Delete { key }),
            Step::CompareAndSet { key, expected, new } => {
                Ok(Command::CompareAndSet { key, expected, new })
            }
            Step::SeqAppend { key, count, value } => Ok(Command::SeqAppend { key, count, value }),
            Step::Append { key, value } => Ok(Command::Append { key, value }),
            Step::TrimBefore { key, count } => Ok(Command::TrimBefore { key, count }),
            Step::DeleteKeys(keys) => Ok(Command::DeleteKeys(keys)),
            _ => Err(unknown()),
        },
    }
}

/// Reads a question.
pub(crate) fn query(asked: &JsValue) -> Result<Query, Fault> {
    let list = Array::from(asked);
    let key = || bytes(&list.get(1));
    match &*name(&list) {
        "get" => Ok(Query::Get { key: key() }),
        "entry" => Ok(Query::Entry { key: key() }),
        "sequence" => {
            let limit = whole(&list.get(3)).and_then(|limit| usize::try_from(limit).ok());
            Ok(Query::ReadSequence {
                key: key(),
                from: whole(&list.get(2)).unwrap_or(0),
                limit: limit.unwrap_or(usize::MAX),
            })
        }
        "scan" => {
            let scan = scan(&list);
            Ok(Query::Scan(match whole(&list.get(4)) {
                Some(revision) => scan.at(Revision(revision)),
                None => scan,
            }))
        }
        _ => Err(unknown()),
    }
}

/// Reads which keys are meant.
pub(crate) fn keys(asked: &JsValue) -> Keys {
    let list = Array::from(asked);
    let first = bytes(&list.get(1));
    match &*name(&list) {
        "one" => Keys::one(first),
        "prefix" => Keys::prefix(first),
        _ => match optional(&list.get(2)) {
            Some(end) => Keys::range(first, end),
            None => Keys::since(first),
        },
    }
}

fn step(asked: &JsValue) -> Result<Step, Fault> {
    let list = Array::from(asked);
    let key = || bytes(&list.get(1));
    let value = |at| bytes(&list.get(at));
    Ok(match &*name(&list) {
        "get" => Step::get(key()),
        "set" => Step::set(key(), value(2)),
        "delete" => Step::delete(key()),
        "deleteKeys" => Step::delete_keys(keys(&list.get(1))),
        "compareAndSet" => {
            Step::compare_and_set(key(), optional(&list.get(2)), optional(&list.get(3)))
        }
        "seqAppend" => Step::seq_append(key(), count(&list.get(2))?, value(3)),
        "append" => Step::append(key(), value(2)),
        "trimBefore" => Step::trim_before(key(), count(&list.get(2))?),
        "scan" => Step::scan(scan(&list)),
        _ => return Err(unknown()),
    })
}

fn compare(asked: &JsValue) -> Result<Compare, Fault> {
    let list = Array::from(asked);
    let (key, value) = (bytes(&list.get(1)), list.get(2));
    let order = match list.get(3).as_string().as_deref() {
        Some("<") => Order::Less,
        Some(">") => Order::Greater,
        _ => Order::Equal,
    };
    let number = || whole(&value).unwrap_or(0);
    Ok(match &*name(&list) {
        "value" => Compare::value(key, bytes(&value)),
        "exists" if value.is_truthy() => Compare::exists(key),
        "exists" => Compare::absent(key),
        "count" => Compare::count(key, count(&value)?),
        "version" => Compare::version(key, order, number()),
        "modified" => Compare::modified(key, order, Revision(number())),
        "created" => Compare::created(key, order, Revision(number())),
        _ => return Err(unknown()),
    })
}

/// Reads a scan: its keys, how many, and behind which.
fn scan(list: &Array) -> Scan {
    let mut scan = Scan::of(keys(&list.get(1)));
    if let Some(limit) = whole(&list.get(2)) {
        scan = scan.limit(u32::try_from(limit).unwrap_or(u32::MAX));
    }
    match optional(&list.get(3)) {
        Some(after) => scan.after(after),
        None => scan,
    }
}

/// Reads a count as it is written.
fn count(value: &JsValue) -> Result<Count, Fault> {
    let text = value.as_string().unwrap_or_default();
    text.parse()
        .map_err(|error| Fault::not_done("invalid-argument", error))
}

fn optional(value: &JsValue) -> Option<Bytes> {
    value.is_object().then(|| bytes(value))
}

fn name(list: &Array) -> String {
    list.get(0).as_string().unwrap_or_default()
}

fn unknown() -> Fault {
    Fault::not_done("invalid-argument", "there is no such operation")
}
