//! Shows the last starts of a storage together, so that a copy of it is told from it however often it is started.

use core::fmt;

use crate::Boot;

/// The most starts before the newest one that [`Starts`] tells of. So many fit into the longest message of a handshake
/// and into the page in which a disk storage keeps them.
pub const EARLIER_STARTS_MAX: usize = 48;

/// The newest start of a storage, and the marks of those before it: what a server shows of itself to its peers.
///
/// A storage keeps it durably, and takes the [`next`](Self::next) one each time that it is opened. A peer remembers the
/// newest [`Boot`] that it has met, and takes a server for the same only if its starts [may follow](Self::may_follow)
/// that one. The number alone would not do: a copy that is started more often than the storage itself has a higher one.
///
/// The mark of a start is the low 16 bits of its nonce, so that two storages that have parted are taken for one once in
/// 65,536 times. Against somebody who has stolen the key no mark helps, of whatever length; and half the length tells
/// of twice as many starts.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// use liferaft::platform::Starts;
///
/// let first = Starts::default().next(7);
/// let (second, copied) = (first.next(8), first.next(9));
///
/// assert!(second.next(10).may_follow(&second.newest()));
/// assert!(!copied.next(11).next(12).may_follow(&second.newest()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Starts {
    newest: Boot,
    /// The latest first. There is nothing but zeros behind the first `earlier_count` of them.
    marks: [u16; EARLIER_STARTS_MAX],
    /// Invariant: at most [`EARLIER_STARTS_MAX`], and lower than the number of the newest start, if that is not 0.
    earlier_count: usize,
}

impl Starts {
    /// Returns a start with the marks of those before it, the latest first, as a storage or a message has them.
    ///
    /// `None` if there are more of them than [`EARLIER_STARTS_MAX`], or than there can have been starts.
    #[must_use]
    pub fn new(newest: Boot, earlier: &[u16]) -> Option<Self> {
        let mut starts = Self::from(newest);
        starts
            .marks
            .get_mut(..earlier.len())?
            .copy_from_slice(earlier);
        starts.earlier_count = earlier.len();
        let before = newest.number.saturating_sub(1);
        (earlier.len() as u64 <= before).then_some(starts)
    }

    /// Returns what these are once the storage is started again, with the nonce that was drawn for that.
    #[must_use]
    pub fn next(&self, nonce: u64) -> Self {
        let number = self.newest.number.saturating_add(1);
        let mut next = Self::from(Boot { number, nonce });
        if self.newest.number > 0 {
            let kept = self.earlier_count.min(EARLIER_STARTS_MAX - 1);
            next.marks[0] = mark(self.newest.nonce);
            next.marks[1..=kept].copy_from_slice(&self.marks[..kept]);
            next.earlier_count = kept + 1;
        }
        next
    }

    /// Returns the newest start.
    #[must_use]
    pub const fn newest(&self) -> Boot {
        self.newest
    }

    /// Returns the marks of the starts before it, the latest first.
    #[must_use]
    pub fn earlier(&self) -> &[u16] {
        &self.marks[..self.earlier_count]
    }

    /// Returns true if a server that was met at the boot `met` may show these: it is the newest of them, or there is no
    /// other one in its place.
    ///
    /// Where these do not reach back to the number of `met`, the higher number decides: a copy whose number is more
    /// than [`EARLIER_STARTS_MAX`] higher is not told from the storage itself.
    #[must_use]
    pub fn may_follow(&self, met: &Boot) -> bool {
        let Some(since) = self.newest.number.checked_sub(met.number) else {
            return false;
        };
        let Some(place) = since.checked_sub(1) else {
            return self.newest.nonce == met.nonce;
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let shown = self.earlier().get(place);
        shown.is_none_or(|shown| *shown == mark(met.nonce))
    }
}

/// Returns what is kept of a nonce.
const fn mark(nonce: u64) -> u16 {
    let [low, high, ..] = nonce.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// A start of which nothing before is known.
impl From<Boot> for Starts {
    fn from(newest: Boot) -> Self {
        Self {
            newest,
            marks: [0; EARLIER_STARTS_MAX],
            earlier_count: 0,
        }
    }
}

/// Of a storage that was never started.
impl Default for Starts {
    fn default() -> Self {
        Self::from(Boot::default())
    }
}

impl fmt::Debug for Starts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Starts")
            .field("newest", &self.newest)
            .field("earlier", &self.earlier())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn boot(number: u64, nonce: u64) -> Boot {
        Boot { number, nonce }
    }

    /// A storage that was started with each of these nonces.
    fn started(nonces: impl IntoIterator<Item = u64>) -> Starts {
        let nonces = nonces.into_iter();
        nonces.fold(Starts::default(), |starts, nonce| starts.next(nonce))
    }

    #[test]
    fn each_start_tells_of_those_before_it() {
        let starts = started([0x1_0007, 8, 9]);

        assert_eq!(starts.newest(), boot(3, 9));
        assert_eq!(starts.earlier(), [8, 7]);
    }

    #[test]
    fn the_same_start_and_those_after_it_may_follow() {
        let starts = started([7, 8, 9]);

        for met in [boot(1, 7), boot(2, 8), boot(3, 9)] {
            assert!(starts.may_follow(&met), "{met:?}");
        }
    }

    #[test]
    fn a_storage_that_was_set_back_may_not_follow() {
        assert!(!started([7, 8]).may_follow(&boot(3, 9)));
    }

    #[test]
    fn a_copy_may_not_follow_however_often_it_was_started() {
        let original = started([7, 8]).newest();
        let as_often = started([7, 1]);
        let more_often = started([7, 1, 2, 3, 4, 5, 6]);

        assert!(!as_often.may_follow(&original));
        assert!(!more_often.may_follow(&original));
    }

    #[test]
    fn whoever_has_met_both_before_they_parted_takes_either() {
        let common = started([7]).newest();

        assert!(started([7, 8]).may_follow(&common));
        assert!(started([7, 9, 9]).may_follow(&common));
    }

    #[test]
    fn beyond_what_is_told_the_number_decides() {
        let last = EARLIER_STARTS_MAX as u64 + 2;
        let starts = started(1..=last);

        assert_eq!(starts.earlier().len(), EARLIER_STARTS_MAX);
        assert!(!starts.may_follow(&boot(2, 0)));
        assert!(starts.may_follow(&boot(1, 0)));
        assert!(Starts::from(boot(9, 9)).may_follow(&boot(8, 0)));
    }

    #[test]
    fn more_earlier_starts_than_there_can_be_are_refused() {
        let marks = [1; EARLIER_STARTS_MAX + 1];

        assert!(Starts::new(boot(3, 9), &marks[..2]).is_some());
        assert_eq!(Starts::new(boot(3, 9), &marks[..3]), None);
        assert_eq!(Starts::new(boot(0, 9), &marks[..1]), None);
        assert_eq!(Starts::new(boot(u64::MAX, 9), &marks), None);
    }

    #[test]
    fn what_is_told_makes_the_same_starts_again() {
        let starts = started(1..=60);

        assert_eq!(Starts::new(starts.newest(), starts.earlier()), Some(starts));
    }
}
