//! What chance decided in a run, spelled out: with it a run can be repeated without the dice.
//!
//! Each choice is named by its series and its place there, the third write of a member's disk for example. Only those
//! are kept that differ from what is usual (the least latency, no loss), so that a schedule that lost its interesting
//! parts is short, and that taking one choice out does not move the others.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clients::Request;
use crate::clock::Nanos;
use crate::network::Fate;

/// Choices of one kind that concern one member, link or client. Places and clients count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// What a member's clock shows at the beginning; only one.
    ClockOrigin(usize),
    /// What it shows for a million nanoseconds; only one.
    ClockRate(usize),
    /// The seeds that a member's core starts with, one for each start.
    CoreSeed(usize),
    /// How long what arrives at a member waits for its turn.
    TurnWait(usize),
    /// How long a member's writes take.
    Write(usize),
    /// How long its state machine takes for what it is given at once.
    Apply(usize),
    /// How long its state machine takes to be captured.
    Capture(usize),
    /// How long each step takes that a disk does with the state of a snapshot.
    Lane(usize),
    /// How long a disk takes until it has read entries of the log, and until the member has them.
    Read(usize),
    /// How long a client waits for answers.
    Patience(usize),
    /// How long a client waits after it was refused.
    Pause(usize),
    /// Whom a client turns to that knows nobody better.
    Somebody(usize),
    /// What becomes of the messages from one member to another, in the order in which they are sent.
    Link(usize, usize),
}

/// One choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A time in nanoseconds or another number. Of a message: how long it takes.
    Number(u64),
    /// A message is lost.
    Lost,
    /// A message arrives twice, after these times.
    Twice(Nanos, Nanos),
}

/// Choices that are not the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// By series, and in it by their place from 0.
    pub made: BTreeMap<Series, BTreeMap<u32, Choice>>,
    /// What clients write in the liveness phase, by place from 0.
    #[serde(default)]
    pub fresh: BTreeMap<u32, Request>,
}

impl Choices {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.made.values().map(BTreeMap::len).sum::<usize>() + self.fresh.len()
    }

    /// Whether all is as usual.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A choice that is not the usual one.
    #[must_use]
    pub fn get(&self, series: Series, place: u32) -> Option<Choice> {
        self.made.get(&series)?.get(&place).copied()
    }

    /// Enters a choice that is not the usual one.
    pub fn enter(&mut self, series: Series, place: u32, choice: Choice) {
        self.made.entry(series).or_default().insert(place, choice);
    }
}

impl From<Fate> for Choice {
    fn from(fate: Fate) -> Self {
        match (fate.takes, fate.copy_takes) {
            (Some(takes), Some(copy)) => Self::Twice(takes, copy),
            (Some(takes), None) => Self::Number(takes),
            (None, _) => Self::Lost,
        }
    }
}

impl From<Choice> for Fate {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Number(takes) => Self {
                takes: Some(takes),
                copy_takes: None,
            },
            Choice::Lost => Self::default(),
            Choice::Twice(takes, copy) => Self {
                takes: Some(takes),
                copy_takes: Some(copy),
            },
        }
    }
}

/// The word for a message that is lost.
const LOST: &str = "lost";

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, \"lost\" or two numbers was expected")]
enum Spelled {
    Number(u64),
    Twice(Nanos, Nanos),
    Word(String),
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Number(number) => Spelled::Number(number),
            Self::Lost => Spelled::Word(LOST.to_owned()),
            Self::Twice(takes, copy) => Spelled::Twice(takes, copy),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Spelled::deserialize(deserializer)? {
            Spelled::Number(number) => Ok(Self::Number(number)),
            Spelled::Twice(takes, copy) => Ok(Self::Twice(takes, copy)),
            Spelled::Word(word) if word == LOST => Ok(Self::Lost),
            Spelled::Word(word) => Err(de::Error::custom(format!("no choice: {word}"))),
        }
    }
}

/// The name of a series that has one number, and the series of that number.
type Name = (&'static str, fn(usize) -> Series);

/// The names of the series that have one number: of a member, which counts from 1 in files, or of a client.
const MEMBERS: [Name; 9] = [
    ("clock origin", Series::ClockOrigin),
    ("clock rate", Series::ClockRate),
    ("core seed", Series::CoreSeed),
    ("turn wait", Series::TurnWait),
    ("write", Series::Write),
    ("apply", Series::Apply),
    ("capture", Series::Capture),
    ("lane", Series::Lane),
    ("read", Series::Read),
];
const CLIENTS: [Name; 3] = [
    ("patience of client", Series::Patience),
    ("pause of client", Series::Pause),
    ("target of client", Series::Somebody),
];
const LINK: &str = "link";

/// As `write 3`, `link 1>2`, `patience of client 0`: members by their ids, which are their places counted from 1.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match *self {
            Self::ClockOrigin(at)
            | Self::ClockRate(at)
            | Self::CoreSeed(at)
            | Self::TurnWait(at)
            | Self::Write(at)
            | Self::Apply(at)
            | Self::Capture(at)
            | Self::Lane(at)
            | Self::Read(at)
            | Self::Patience(at)
            | Self::Pause(at)
            | Self::Somebody(at) => at,
            Self::Link(from, to) => return write!(f, "{LINK} {}>{}", from + 1, to + 1),
        };
        let same = |(_, series): &&Name| series(number) == *self;
        if let Some((name, _)) = MEMBERS.iter().find(same) {
            return write!(f, "{name} {}", number + 1);
        }
        let (name, _) = CLIENTS
            .iter()
            .find(same)
            .expect("each series that is no link has a name");
        write!(f, "{name} {number}")
    }
}

impl FromStr for Series {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.rsplit_once(' ').and_then(|(name, of)| {
            let place = |id: &str| id.parse::<usize>().ok()?.checked_sub(1);
            if name == LINK {
                let (from, to) = of.split_once('>')?;
                return Some(Self::Link(place(from)?, place(to)?));
            }
            if let Some((_, series)) = MEMBERS.iter().find(|(known, _)| *known == name) {
                return place(of).map(series);
            }
            let (_, series) = CLIENTS.iter().find(|(known, _)| *known == name)?;
            of.parse().ok().map(series)
        });
        parsed.ok_or_else(|| format!("no series of choices: {text}"))
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_read_as_it_is_written() {
        let members = MEMBERS.iter().map(|(_, series)| series(2));
        let clients = CLIENTS.iter().map(|(_, series)| series(0));
        for series in members.chain(clients).chain([Series::Link(0, 4)]) {
            assert_eq!(series.to_string().parse(), Ok(series));
        }
    }

    #[test]
    fn what_is_no_series_is_refused() {
        assert!("write 0".parse::<Series>().is_err());
        assert!("link 1>".parse::<Series>().is_err());
        assert!("dream 1".parse::<Series>().is_err());
    }

    #[test]
    fn choices_are_spelled_as_numbers_pairs_and_a_word() {
        let all = [Choice::Number(7), Choice::Lost, Choice::Twice(1, 2)];

        let json = serde_json::to_string(&all).expect("choices");

        assert_eq!(json, r#"[7,"lost",[1,2]]"#);
        let read: [Choice; 3] = serde_json::from_str(&json).expect("choices");
        assert_eq!(read, all);
    }
}
