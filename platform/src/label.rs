//! Names servers for people, within bounds that every list and log line can afford.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The longest label, in bytes.
pub const LABEL_BYTES_MAX: usize = 32;

/// What people call a server: at most [`LABEL_BYTES_MAX`] bytes of UTF-8 without control characters. It may be empty,
/// and says nothing about who the server is: two may have the same.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::{Label, LabelError};
///
/// let label: Label = "Ada's boat".parse()?;
/// assert_eq!(label.to_string(), "Ada's boat");
/// # Ok::<(), LabelError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Label(Box<str>);

/// Why a text is no label.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It is longer than [`LABEL_BYTES_MAX`].
    #[error("a label has at most {LABEL_BYTES_MAX} bytes, not {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It holds a control character, such as the end of a line.
    #[error("{character:?} at byte {position} of a label is a control character")]
    Control {
        /// The first such character.
        character: char,
        /// Where it begins, in bytes from the start of the text.
        position: usize,
    },
}

impl Label {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(text: &str) -> Result<(), LabelError> {
    if text.len() > LABEL_BYTES_MAX {
        return Err(LabelError::TooLong { bytes: text.len() });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((position, character)) => Err(LabelError::Control {
            character,
            position,
        }),
        None => Ok(()),
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        check(&text)?;
        Ok(Self(text.into()))
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.into()
    }
}

/// The text.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text, in quotes.
impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_any_text_of_up_to_32_bytes() {
        let longest = "é".repeat(16);

        let read = ["", "Ada's boat", &longest].map(|text| text.parse::<Label>().unwrap());

        assert_eq!(
            read.each_ref().map(Label::as_str),
            ["", "Ada's boat", &longest]
        );
        assert!(read[0].is_empty() && read[0] == Label::default());
        assert_eq!(
            (longest + "a").parse::<Label>(),
            Err(LabelError::TooLong { bytes: 33 })
        );
    }

    #[test]
    fn a_label_breaks_no_line_of_a_log() {
        let refused = "a\nb".parse::<Label>();

        assert_eq!(
            refused,
            Err(LabelError::Control {
                character: '\n',
                position: 1,
            })
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn serde_reads_no_label_that_parsing_refuses() {
        let label: Label = serde_json::from_str("\"Ada\"").unwrap();

        assert_eq!(serde_json::to_string(&label).unwrap(), "\"Ada\"");
        assert!(serde_json::from_str::<Label>("\"a\\nb\"").is_err());
    }
}
