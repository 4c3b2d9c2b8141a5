//! Reads transactions from JSON, and writes what became of them.

use anyhow::{Context as _, bail};
use liferaft::kv::{Compare, Content, Entry, Step, StepDone, Txn, TxnDone};
use serde_json::{Map, Value, json};

use super::text::{bytes_of, value_of};

/// A transaction that was read.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) txn: Txn,
    /// It says what is to be done if the conditions do not hold, be it nothing.
    pub(super) has_otherwise: bool,
}

/// Reads a transaction, as `liferaft kv txn --help` shows one.
pub(super) fn parse(text: &[u8]) -> anyhow::Result<Asked> {
    let read: Value = serde_json::from_slice(text).context("the transaction is no JSON")?;
    let parts = read.as_object().context("a transaction is an object")?;
    if let Some(unknown) = parts
        .keys()
        .find(|key| !["when", "then", "otherwise"].contains(&key.as_str()))
    {
        bail!("a transaction has no {unknown:?}: it has when, then and otherwise");
    }
    let conditions = each(parts, "when", condition)?;
    let (then, otherwise) = (each(parts, "then", step)?, each(parts, "otherwise", step)?);
    Ok(Asked {
        txn: Txn::when(conditions).then(then).otherwise(otherwise),
        has_otherwise: parts.contains_key("otherwise"),
    })
}

fn each<T>(
    parts: &Map<String, Value>,
    part: &str,
    read: fn(&Map<String, Value>) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let Some(items) = parts.get(part) else {
        return Ok(Vec::new());
    };
    let items = items
        .as_array()
        .with_context(|| format!("{part:?} is no list"))?;
    let read = items.iter().map(|item| {
        let item_read = item.as_object().context("it is no object").and_then(read);
        item_read.with_context(|| format!("in {part:?}, {item}"))
    });
    read.collect()
}

/// Takes the only field that one of these names.
fn field<'a>(item: &'a Map<String, Value>, name: &str) -> anyhow::Result<&'a Value> {
    item.get(name)
        .with_context(|| format!("there is no {name:?}"))
}

fn has_only(item: &Map<String, Value>, names: &[&str]) -> anyhow::Result<()> {
    match item.keys().find(|key| !names.contains(&key.as_str())) {
        Some(unknown) => bail!("{unknown:?} means nothing here"),
        None => Ok(()),
    }
}

fn condition(item: &Map<String, Value>) -> anyhow::Result<Compare> {
    let key = bytes_of(field(item, "key")?)?;
    if let Some(value) = item.get("is") {
        has_only(item, &["key", "is"])?;
        return Ok(Compare::value(key, bytes_of(value)?));
    }
    has_only(item, &["key", "exists"])?;
    match field(item, "exists").context("a condition has \"is\" or \"exists\"")? {
        Value::Bool(true) => Ok(Compare::exists(key)),
        Value::Bool(false) => Ok(Compare::absent(key)),
        _ => bail!("\"exists\" is true or false"),
    }
}

fn step(item: &Map<String, Value>) -> anyhow::Result<Step> {
    if let Some(key) = item.get("set") {
        has_only(item, &["set", "to"])?;
        return Ok(Step::set(bytes_of(key)?, bytes_of(field(item, "to")?)?));
    }
    if let Some(key) = item.get("append") {
        has_only(item, &["append", "value"])?;
        return Ok(Step::append(
            bytes_of(key)?,
            bytes_of(field(item, "value")?)?,
        ));
    }
    if let Some(key) = item.get("delete") {
        has_only(item, &["delete"])?;
        return Ok(Step::delete(bytes_of(key)?));
    }
    if let Some(key) = item.get("get") {
        has_only(item, &["get"])?;
        return Ok(Step::get(bytes_of(key)?));
    }
    bail!("a step is a set, append, delete or get")
}

/// What became of a transaction, as JSON, with the branch that was done.
pub(super) fn told(done: &TxnDone, branch: Option<&str>, revision: u64) -> Value {
    let steps: Vec<Value> = done.steps.iter().map(step_told).collect();
    json!({ "succeeded": done.succeeded, "branch": branch, "steps": steps, "revision": revision })
}

fn step_told(step: &StepDone) -> Value {
    match step {
        StepDone::Got(None) => Value::Null,
        StepDone::Got(Some(entry)) => entry_told(entry),
        StepDone::Deleted(existed) => json!({ "existed": existed }),
        StepDone::Appended(count) => json!({ "count": count.to_string() }),
        _ => json!({}),
    }
}

/// A key and what it holds, as JSON.
pub(super) fn entry_told(entry: &Entry) -> Value {
    let key = value_of(&entry.key);
    match &entry.content {
        Content::Value(value) => json!({ "key": key, "value": value_of(value) }),
        Content::ValueOf { bytes } => json!({ "key": key, "bytes": bytes }),
        Content::Sequence(count) => json!({ "key": key, "count": count.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        let error = parse(text.as_bytes()).expect_err("it is none");
        format!("{error:#}")
    }

    #[test]
    fn a_transaction_is_read_with_all_its_parts() {
        let text = r#"{
            "when": [{"key": "a", "is": "1"}, {"key": "b", "exists": false}],
            "then": [{"set": "a", "to": {"base64": "AP8="}}, {"delete": "b"}, {"append": "c", "value": "x"}],
            "otherwise": [{"get": "a"}]
        }"#;

        let read = parse(text.as_bytes()).expect("it is one");

        let meant = Txn::when([Compare::value("a", "1"), Compare::absent("b")])
            .then([
                Step::set("a", vec![0, 255]),
                Step::delete("b"),
                Step::append("c", "x"),
            ])
            .otherwise([Step::get("a")]);
        assert_eq!((read.txn, read.has_otherwise), (meant, true));
        assert!(!parse(b"{}").expect("it is one").has_otherwise);
    }

    #[test]
    fn what_is_no_transaction_is_named() {
        assert!(fault("[").contains("no JSON"));
        assert!(fault(r#"{"than": []}"#).contains("\"than\""));
        assert!(fault(r#"{"then": [{"put": "a"}]}"#).contains("put"));
        assert!(fault(r#"{"then": [{"set": "a"}]}"#).contains("no \"to\""));
        assert!(fault(r#"{"then": [{"get": "a", "to": 1}]}"#).contains("\"to\""));
        assert!(fault(r#"{"when": [{"key": "a"}]}"#).contains("\"exists\""));
        assert!(fault(r#"{"when": [{"key": 1, "is": "1"}]}"#).contains("base64"));
    }
}
