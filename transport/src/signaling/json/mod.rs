//! Reads and writes JSON by what the host has: a module for browsers need not bring what every browser knows.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::{Json, quoted};
#[cfg(target_arch = "wasm32")]
pub(super) use wasm::{Json, quoted};

/// Writes an object: names that need no escapes, and values that are JSON.
pub(super) fn object(fields: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (place, (name, value)) in fields.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        for part in [comma, "\"", name, "\":", value] {
            text.push_str(part);
        }
    }
    text.push('}');
    text
}
