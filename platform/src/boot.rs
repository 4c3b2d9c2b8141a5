//! Tells the starts of one storage apart, so that a copy of it is noticed.

/// Evidence of one start of a storage: peers remember the newest that they have met.
///
/// A storage counts its starts durably and draws a nonce for each. A lower number than one already met, or an equal one
/// with another nonce, comes from a copy of the storage or from one that was set back.
///
/// Boots are ordered by their number first. The order of two nonces means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Boot {
    /// How often the storage was opened, this time included. It only grows, durably.
    pub number: u64,
    /// The number drawn for this start.
    pub nonce: u64,
}

impl Boot {
    /// Returns true if a server that was met at the boot `met` may show itself at this one: it is the same start or a
    /// later one.
    #[must_use]
    pub const fn may_follow(&self, met: &Self) -> bool {
        self.number > met.number || (self.number == met.number && self.nonce == met.nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MET: Boot = Boot {
        number: 3,
        nonce: 7,
    };

    #[test]
    fn the_same_start_and_later_ones_may_follow() {
        let later = Boot {
            number: 4,
            nonce: 1,
        };

        assert!(MET.may_follow(&MET));
        assert!(later.may_follow(&MET));
    }

    #[test]
    fn a_copy_and_a_storage_set_back_may_not_follow() {
        let copy = Boot {
            number: 3,
            nonce: 8,
        };
        let set_back = Boot {
            number: 2,
            nonce: 7,
        };

        assert!(!copy.may_follow(&MET));
        assert!(!set_back.may_follow(&MET));
    }
}
