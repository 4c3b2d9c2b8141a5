//! JSON by `serde_json`.

use serde_json::Value;

/// A value that was read.
pub(in crate::signaling) struct Json(Value);

impl Json {
    /// Reads a value. `None` if the text is none.
    pub(in crate::signaling) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Returns a property; null if there is none.
    pub(in crate::signaling) fn get(&self, name: &str) -> Self {
        Self(self.0.get(name).cloned().unwrap_or_default())
    }

    /// Returns a property that is a text.
    pub(in crate::signaling) fn text(&self, name: &str) -> Option<String> {
        Some(self.0.get(name)?.as_str()?.to_owned())
    }

    /// Returns the texts of a list; none if it is no list.
    pub(in crate::signaling) fn texts(&self) -> impl Iterator<Item = String> {
        let items = self.0.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned))
    }
}

/// Writes a text.
pub(in crate::signaling) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
