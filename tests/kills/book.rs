//! What the member's process tells, line by line, and what it writes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// How many tasks write at the same time, each to a sequence of its own.
pub(crate) const WRITERS: usize = 9;

/// The one of them that writes through an outbox on disk. A write of its own counts as acknowledged when it is stored
/// there: from then on it is to be done, once and in order.
pub(crate) const OUTBOX: usize = WRITERS - 1;

/// It pushes at most this many writes before it tells of the first of them.
pub(crate) const BURST: u64 = 8;

/// How many writes a writer has under way at most, of which nothing was told.
pub(crate) fn under_way_max(writer: usize) -> u64 {
    if writer == OUTBOX { BURST } else { 1 }
}

/// What the member's process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The storage is open, for the time that its boot counter says.
    Opened { boot: u64 },
    /// The outbox is open, and has this many writes left from earlier times.
    Waiting { count: u64 },
    /// A writer's sequence has so many values, all of them as they were written.
    Found { writer: usize, count: u64 },
    /// A value is acknowledged, and got this place.
    Done { writer: usize, place: u64 },
    /// It ends by itself.
    Stopped { why: String },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { boot } => write!(f, "opened {boot}"),
            Self::Waiting { count } => write!(f, "waiting {count}"),
            Self::Found { writer, count } => write!(f, "found {writer} {count}"),
            Self::Done { writer, place } => write!(f, "done {writer} {place}"),
            Self::Stopped { why } => write!(f, "stopped {why}"),
        }
    }
}

impl FromStr for Told {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let nonsense = || format!("the member's process says {line:?}");
        let (what, rest) = line.split_once(' ').ok_or_else(nonsense)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| nonsense());
        let pair = || {
            let (writer, number_) = rest.split_once(' ').ok_or_else(nonsense)?;
            let writer = writer.parse().ok().filter(|writer| *writer < WRITERS);
            Ok((writer.ok_or_else(nonsense)?, number(number_)?))
        };
        match what {
            "opened" => Ok(Self::Opened {
                boot: number(rest)?,
            }),
            "waiting" => Ok(Self::Waiting {
                count: number(rest)?,
            }),
            "found" => pair().map(|(writer, count)| Self::Found { writer, count }),
            "done" => pair().map(|(writer, place)| Self::Done { writer, place }),
            "stopped" => Ok(Self::Stopped {
                why: rest.to_owned(),
            }),
            _ => Err(nonsense()),
        }
    }
}

/// The sequence of a writer.
pub(crate) fn key(writer: usize) -> String {
    format!("writer {writer}")
}

/// What a writer writes to this place of its sequence: no two values are the same, and some take more than a page.
pub(crate) fn value(writer: usize, place: u64) -> Bytes {
    let filling = usize::try_from(place * 37 % 101).expect("it is small");
    let filling = if place % 50 == 7 {
        50 * filling
    } else {
        filling
    };
    format!("{writer} {place} {}", ".".repeat(filling)).into()
}
