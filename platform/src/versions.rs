//! Agrees on the protocol version that two servers speak.

use core::fmt;

/// The range of protocol versions that a server speaks, both ends included. A range whose `min` is above its `max`
/// holds no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Versions {
    /// The lowest version.
    pub min: u32,
    /// The highest version.
    pub max: u32,
}

impl Versions {
    /// Returns the range that holds this version alone.
    #[must_use]
    pub const fn only(version: u32) -> Self {
        Self {
            min: version,
            max: version,
        }
    }

    /// Returns true if the range holds `version`.
    #[must_use]
    pub const fn contains(&self, version: u32) -> bool {
        self.min <= version && version <= self.max
    }

    /// Returns the highest version that both speak, `None` if there is none.
    #[must_use]
    pub fn common(a: Self, b: Self) -> Option<u32> {
        let highest = a.max.min(b.max);
        (a.contains(highest) && b.contains(highest)).then_some(highest)
    }
}

/// `3`, or `1 to 3`.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{} to {}", self.min, self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const fn range(min: u32, max: u32) -> Versions {
        Versions { min, max }
    }

    #[test]
    fn the_highest_version_that_both_speak_is_common() {
        assert_eq!(Versions::common(range(1, 4), range(2, 9)), Some(4));
        assert_eq!(Versions::common(range(2, 9), range(1, 4)), Some(4));
        assert_eq!(Versions::common(range(1, 9), Versions::only(3)), Some(3));
        assert_eq!(
            Versions::common(range(0, u32::MAX), range(0, u32::MAX)),
            Some(u32::MAX)
        );
    }

    #[test]
    fn ranges_that_do_not_meet_have_no_common_version() {
        assert_eq!(Versions::common(range(1, 2), range(3, 4)), None);
        assert_eq!(Versions::common(range(3, 4), range(1, 2)), None);
    }

    #[test]
    fn a_reversed_range_has_nothing_in_common_with_any() {
        assert_eq!(Versions::common(range(3, 1), range(0, 9)), None);
        assert_eq!(Versions::common(range(0, 9), range(3, 1)), None);
    }

    #[test]
    fn a_range_is_written_as_people_say_it() {
        assert_eq!(Versions::only(3).to_string(), "3");
        assert_eq!(range(1, 3).to_string(), "1 to 3");
    }
}
