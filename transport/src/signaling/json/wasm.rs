//! JSON by the host's `JSON`.

use js_sys::{Array, JSON, Reflect};
use wasm_bindgen::JsValue;

/// A value that was read.
pub(in crate::signaling) struct Json(JsValue);

impl Json {
    /// Reads a value. `None` if the text is none.
    pub(in crate::signaling) fn read(text: &str) -> Option<Self> {
        JSON::parse(text).ok().map(Self)
    }

    /// Returns a property; null if there is none.
    pub(in crate::signaling) fn get(&self, name: &str) -> Self {
        Self(Reflect::get(&self.0, &name.into()).unwrap_or_default())
    }

    /// Returns a property that is a text.
    pub(in crate::signaling) fn text(&self, name: &str) -> Option<String> {
        self.get(name).0.as_string()
    }

    /// Returns the texts of a list; none if it is no list.
    pub(in crate::signaling) fn texts(&self) -> impl Iterator<Item = String> {
        let items = if Array::is_array(&self.0) {
            Array::from(&self.0)
        } else {
            Array::new()
        };
        items.into_iter().filter_map(|item| item.as_string())
    }
}

/// Writes a text.
pub(in crate::signaling) fn quoted(text: &str) -> String {
    let written = JSON::stringify(&text.into()).expect("a text has a JSON");
    written.into()
}
