//! A run spelled out: its plan, what strikes it when, and all else that was drawn. It can be replayed, edited and
//! shrunk.
//!
//! A seed says the same only for as long as the dice are thrown for the same things. A schedule survives that: what it
//! does not name goes its usual way (see [`Choices`]), and what no longer occurs is passed over.

mod check;
mod file;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::choices::Choices;
use crate::clock::Nanos;
use crate::digest::Digest;
use crate::invariants::Alarm;
use crate::plan::Plan;

/// The format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

/// A run, spelled out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The version of the format.
    pub format: u32,
    /// What it is about, for people.
    #[serde(default)]
    pub about: String,
    /// The bug or flaw that has to be planted for the alarm; `None` for one of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    /// The alarm that ended it when it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Raised>,
    /// The digest of its trace when it was written: sixteen hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The cluster and all settings.
    pub plan: Plan,
    /// What strikes, and what clients and operators do, in the order of time.
    pub actions: Vec<Timed>,
    /// What else was drawn.
    pub choices: Choices,
}

/// An action and when it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// The time, in nanoseconds since the beginning.
    pub at: Nanos,
    /// How many events of the same nanosecond come before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: u32,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// An alarm as a schedule remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raised {
    /// The property that did not hold.
    pub invariant: String,
    /// When, in nanoseconds.
    pub at: Nanos,
    /// What was wrong.
    pub text: String,
}

impl From<&Alarm> for Raised {
    fn from(alarm: &Alarm) -> Self {
        Self {
            invariant: alarm.invariant.to_owned(),
            at: alarm.at,
            text: alarm.text.clone(),
        }
    }
}

impl Raised {
    /// Whether an alarm is of the same kind: the same property, and for liveness, which covers many ailments, the same
    /// words about the same ailment, whoever has it.
    #[must_use]
    pub fn is_like(&self, alarm: &Alarm) -> bool {
        self.invariant == alarm.invariant
            && (self.invariant != crate::run::LIVENESS || words(&self.text) == words(&alarm.text))
    }
}

/// The words of the first line, without numbers and what follows a colon.
fn words(text: &str) -> Vec<&str> {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(':').next().unwrap_or_default();
    line.split_whitespace()
        .filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()))
        .collect()
}

/// A digest as a schedule spells it.
#[must_use]
pub fn spell_trace(trace: Digest) -> String {
    format!("{:016x}", trace.0)
}
