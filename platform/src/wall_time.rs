//! The time of day, for people: it tells when something happened, and decides nothing.

use core::fmt;
use core::time::Duration;

/// A time of day, which is written as people and other logs write it: `2026-11-28T19:25:45.007Z`, in UTC.
///
/// It leaps forward and back whenever the system's clock is set, so nothing is decided by it: for that there is
/// [`now`](crate::now).
///
/// ```
/// use std::time::Duration;
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::WallTime;
///
/// let billionth = WallTime::from_unix_epoch(Duration::from_secs(1_000_000_000));
/// assert_eq!(billionth.to_string(), "2001-09-09T01:46:40.000Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(Duration);

impl WallTime {
    /// Returns the time of day that is `elapsed` after the first moment of 1970 in UTC.
    #[must_use]
    pub const fn from_unix_epoch(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns how long after the first moment of 1970 in UTC it is.
    #[must_use]
    pub const fn since_unix_epoch(self) -> Duration {
        self.0
    }
}

/// As RFC 3339 has it, in UTC, with milliseconds.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = date(seconds / DAY);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        let milliseconds = self.0.subsec_millis();
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z"
        )
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In seconds.
const DAY: u64 = 86_400;

/// Returns year, month and day of a number of days after the first of January 1970, in the Gregorian calendar: Howard
/// Hinnant's `civil_from_days`. Its years begin in March, so that a leap day is their last.
const fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;

    let days = days + DAYS_BEFORE_1970;
    let of_era = days % DAYS_OF_400_YEARS;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let january_or_february = (month <= 2) as u64;
    (
        days / DAYS_OF_400_YEARS * 400 + year + january_or_february,
        month,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_turns_of_years_are_told() {
        let days = [0, 58, 59, 11_016, 11_017, 19_782, 20_818, 47_540, 47_541];

        let told = days.map(|days| {
            let text = WallTime::from_unix_epoch(Duration::from_secs(days * DAY)).to_string();
            text.split_once('T').map(|(date, _)| date.to_owned())
        });

        let dates = [
            "1970-01-01",
            "1970-02-28",
            "1970-03-01",
            "2000-02-29",
            "2000-03-01",
            "2024-02-29",
            "2026-12-31",
            "2100-02-28",
            "2100-03-01",
        ];
        assert_eq!(told, dates.map(|date| Some(date.to_owned())));
    }

    #[test]
    fn the_time_within_a_day_is_told_to_the_millisecond() {
        let last = WallTime::from_unix_epoch(Duration::from_millis(86_399_999));

        assert_eq!(format!("{last:?}"), "1970-01-01T23:59:59.999Z");
    }
}
