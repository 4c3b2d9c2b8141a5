//! Writes bytes as text, where they are text.

use anyhow::Context as _;
use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use serde_json::{Value, json};

/// Returns bytes as JSON: text as it is, anything else as `{"base64": …}`.
pub(super) fn value_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": Base64::encode_string(bytes) }),
    }
}

/// Reads what [`value_of`] has written.
pub(super) fn bytes_of(value: &Value) -> anyhow::Result<Bytes> {
    if let Some(text) = value.as_str() {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let encoded = value.get("base64").and_then(Value::as_str);
    let encoded = encoded.context("a value is text, or {\"base64\": …}")?;
    let decoded = Base64::decode_vec(encoded);
    let decoded = decoded.map_err(|_| anyhow::anyhow!("{encoded:?} is not base64"))?;
    Ok(decoded.into())
}

/// Returns bytes as people read them.
pub(super) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("{} bytes", bytes.len()),
    }
}
