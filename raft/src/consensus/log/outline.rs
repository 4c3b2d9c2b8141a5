//! Remembers of entries that are in storage alone what the protocol asks of them: their terms, and what they weigh.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::configuration::Configuration;
use crate::consensus::recovery::error::RecoveryError;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, LogPosition, Term};
use crate::time::ClusterTime;

/// Where weights are rounded to: they are known at marks so far apart, in bytes, or one entry further.
pub(super) const MARK_BYTES: u64 = 64 << 10;

/// The beginning of a log, without its entries: what a server keeps in memory of those that only its storage has.
///
/// A storage that recovers a long log gives the beginning of it as an outline, to which it shows each entry once
/// ([`push`](Self::push)), and the rest as entries.
///
/// It tells the term of every entry exactly. Weights are summed up at marks, of which one follows each 64 KiB of
/// entries: sums that begin or end elsewhere are rounded to the next mark.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::consensus::Outline;
/// use liferaft::entry::{Entry, Payload};
/// use liferaft::ids::{Index, LogPosition, Term};
/// use liferaft::time::ClusterTime;
///
/// let mut outline = Outline::default();
///
/// outline.push(&Entry {
///     index: Index(1),
///     term: Term(4),
///     stamp: ClusterTime::ZERO,
///     payload: Payload::Noop,
/// })?;
///
/// assert_eq!(outline.last(), LogPosition::new(Term(4), Index(1)));
/// # Ok::<(), liferaft::consensus::RecoveryError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    base: LogPosition,
    /// The position of the last entry; `base` if there is none.
    last: LogPosition,
    last_stamp: ClusterTime,
    /// Where a term begins, and which. The first one may begin before the base.
    runs: Vec<(Index, Term)>,
    /// What the entries up to an index weigh, those before the base included: after each [`MARK_BYTES`] of them.
    marks: Vec<(Index, u64)>,
    /// What all entries weigh, those before the base included.
    total: u64,
    /// What those before the base weigh, rounded down to a mark.
    compacted: u64,
    configurations: Vec<(Index, Arc<Configuration>)>,
}

impl Outline {
    /// Begins an outline of what follows this position, which has this stamp; [`Outline::default`] begins at the first
    /// entry of all.
    ///
    /// Storage that has no entry at `base` any more need not know its term or stamp, if a snapshot covers it.
    #[must_use]
    pub fn starting_after(base: LogPosition, stamp: ClusterTime) -> Self {
        Self {
            base,
            last: base,
            last_stamp: stamp,
            ..Self::default()
        }
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`RecoveryError::Gap`] unless it follows the last one, [`RecoveryError::ImpossibleTerm`] if its term is earlier.
    /// The outline is what it was.
    pub fn push(&mut self, entry: &Entry) -> Result<(), RecoveryError> {
        let (after, found) = (self.last.index, entry.index);
        if after.0.checked_add(1) != Some(found.0) {
            return Err(RecoveryError::Gap { after, found });
        }
        if entry.term < self.last.term {
            return Err(RecoveryError::ImpossibleTerm {
                index: entry.index,
                term: entry.term,
            });
        }
        self.note(entry);
        if let Payload::Configuration(configuration) = &entry.payload {
            let configuration = Arc::clone(configuration);
            self.configurations.push((entry.index, configuration));
        }
        Ok(())
    }

    /// Appends an entry that storage has. The first one begins the outline: if storage has none before it, a snapshot
    /// covers those, and what their terms and stamps were does not matter.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub fn push_stored(&mut self, entry: &Entry) -> Result<(), RecoveryError> {
        if self.is_empty() {
            let base = LogPosition::new(Term::ZERO, entry.index.previous());
            *self = Self::starting_after(base, ClusterTime::ZERO);
        }
        self.push(entry)
    }

    /// Appends an entry that follows the last one, and no configuration: the core has those.
    pub(super) fn note(&mut self, entry: &Entry) {
        if self.runs.is_empty() || entry.term > self.last.term {
            self.runs.push((entry.index, entry.term));
        }
        self.last = entry.position();
        self.last_stamp = entry.stamp;
        self.total += entry.weight();
        let marked = self.marks.last().map_or(self.compacted, |mark| mark.1);
        if self.total - marked >= MARK_BYTES {
            self.marks.push((entry.index, self.total));
        }
    }

    /// Drops the entries up to `index`, or all that there are.
    pub fn compact_to(&mut self, index: Index) {
        if index >= self.last.index {
            *self = Self::starting_after(self.last, self.last_stamp);
            return;
        }
        if index <= self.base.index {
            return;
        }
        let term = self.term_at(index).expect("it is within the outline");
        self.base = LogPosition::new(term, index);
        let begun = self.runs.partition_point(|(first, _)| *first <= index);
        self.runs.drain(..begun.saturating_sub(1));
        let passed = self.marks.partition_point(|(at, _)| *at <= index);
        if let Some((_, weight)) = self.marks.drain(..passed).next_back() {
            self.compacted = weight;
        }
        self.configurations.retain(|(at, _)| *at > index);
    }

    /// Returns what of it follows a snapshot that ends with this position and stamp, where its base is at or before
    /// that; `None` if it contradicts the snapshot.
    pub(in crate::consensus) fn following(
        mut self,
        covered: LogPosition,
        stamp: ClusterTime,
    ) -> Option<Self> {
        let is_known = self.base.index < covered.index;
        let contradicts = |term| term != covered.term;
        if is_known && self.term_at(covered.index).is_some_and(contradicts) {
            return None;
        }
        if self.last.index <= covered.index {
            return Some(Self::starting_after(covered, stamp));
        }
        self.compact_to(covered.index);
        self.base = covered;
        Some(self)
    }

    /// Returns true if it outlines no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.index == self.last.index
    }

    /// Returns the position before the first entry.
    #[must_use]
    pub const fn base(&self) -> LogPosition {
        self.base
    }

    /// Returns the position of the last entry; the base if there is none.
    #[must_use]
    pub const fn last(&self) -> LogPosition {
        self.last
    }

    /// Returns the stamp of the last entry; that at the base if there is none.
    #[must_use]
    pub const fn last_stamp(&self) -> ClusterTime {
        self.last_stamp
    }

    /// Returns what the entries weigh, in bytes. After a compaction it may be too much, by what lies between two marks.
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.total - self.compacted
    }

    /// Returns the term of the entry there, also at the base; `None` elsewhere.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let begun = self.runs.partition_point(|(first, _)| *first <= index);
        Some(self.runs[begun - 1].1)
    }

    /// Returns the position of the first entry whose term is later than this one.
    pub(in crate::consensus) fn first_beyond(&self, term: Term) -> Option<LogPosition> {
        let late = self.runs.iter().find(|run| run.1 > term);
        late.map(|(first, term)| LogPosition::new(*term, (*first).max(self.base.index.next())))
    }

    /// Returns the configurations among its entries that were [pushed](Self::push), with their indices.
    pub(in crate::consensus) fn configurations(&self) -> &[(Index, Arc<Configuration>)] {
        &self.configurations
    }

    /// Forgets the configurations: the core has them.
    pub(super) fn without_configurations(mut self) -> Self {
        self.configurations = Vec::new();
        self
    }

    /// Returns the last position at or before `index` whose term is not later than `term`; the base if there is none.
    pub(super) fn last_position_within(&self, index: Index, term: Term) -> LogPosition {
        let index = index.min(self.last.index);
        if index <= self.base.index {
            return self.base;
        }
        let begun = self
            .runs
            .partition_point(|run| run.0 <= index && run.1 <= term);
        let Some((first, term)) = begun.checked_sub(1).map(|last| self.runs[last]) else {
            return self.base;
        };
        let next = self
            .runs
            .get(begun)
            .map_or(index, |(next, _)| next.previous());
        let found = LogPosition::new(term, index.min(next));
        debug_assert!(found.index >= first, "a run has entries");
        if found.index <= self.base.index {
            self.base
        } else {
            found
        }
    }

    /// Returns the lowest index such that what follows it, up to `through`, weighs no more than `bytes_max`: the lowest
    /// of those with a mark, the base and `through`, where the weight up to `through` is rounded up to the next mark.
    pub(super) fn tail_start(&self, through: Index, bytes_max: u64) -> Index {
        let next = self.marks.partition_point(|(at, _)| *at < through);
        let weight = self.marks.get(next).map_or(self.total, |mark| mark.1);
        let before = weight.saturating_sub(bytes_max);
        if self.compacted >= before {
            return self.base.index.min(through);
        }
        let first = self.marks.partition_point(|mark| mark.1 < before);
        let mark = self.marks.get(first);
        mark.map_or(through, |(at, _)| (*at).min(through))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::ENTRY_OVERHEAD_BYTES;
    use alloc::vec;

    /// An entry of a quarter of the distance between two marks.
    fn entry(index: u64, term: u64) -> Entry {
        let bytes = usize::try_from(MARK_BYTES / 4 - ENTRY_OVERHEAD_BYTES).expect("it is small");
        Entry {
            index: Index(index),
            term: Term(term),
            stamp: ClusterTime(index),
            payload: Payload::Command(vec![0; bytes].into()),
        }
    }

    fn outline_of(terms: &[u64]) -> Outline {
        let mut outline = Outline::default();
        for (index, term) in (1..).zip(terms) {
            outline.push(&entry(index, *term)).expect("it follows");
        }
        outline
    }

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition::new(Term(term), Index(index))
    }

    fn terms(outline: &Outline, indices: impl Iterator<Item = u64>) -> Vec<Option<u64>> {
        let term = |index| outline.term_at(Index(index)).map(|term| term.0);
        indices.map(term).collect()
    }

    #[test]
    fn every_term_is_told_and_none_outside() {
        let mut outline = outline_of(&[1, 1, 2, 5, 5]);

        let all = terms(&outline, 0..=6);
        outline.compact_to(Index(2));
        let rest = terms(&outline, 0..=6);

        let [base, one, two, five] = [0, 1, 2, 5].map(Some);
        assert_eq!(all, [base, one, one, two, five, five, None]);
        assert_eq!(rest, [None, None, one, two, five, five, None]);
        assert_eq!((outline.base(), outline.last()), (at(1, 2), at(5, 5)));
    }

    #[test]
    fn only_what_follows_in_index_and_term_is_pushed() {
        let mut outline = outline_of(&[1, 3]);
        let before = outline.clone();

        let gap = outline.push(&entry(4, 3));
        let again = outline.push(&entry(2, 3));
        let back = outline.push(&entry(3, 2));

        let gap_to = |found| {
            let (after, found) = (Index(2), Index(found));
            Err(RecoveryError::Gap { after, found })
        };
        let (index, term) = (Index(3), Term(2));
        assert_eq!([gap, again], [gap_to(4), gap_to(2)]);
        assert_eq!(back, Err(RecoveryError::ImpossibleTerm { index, term }));
        assert_eq!(outline, before);
    }

    #[test]
    fn the_search_for_agreement_skips_later_terms() {
        let mut outline = outline_of(&[1, 1, 2, 5, 5, 5]);
        let within =
            |outline: &Outline, index, term| outline.last_position_within(Index(index), Term(term));

        assert_eq!(within(&outline, 6, 4), at(2, 3));
        assert_eq!(within(&outline, u64::MAX, 5), at(5, 6));
        assert_eq!(within(&outline, 5, 9), at(5, 5));
        assert_eq!(within(&outline, 2, 5), at(1, 2));
        assert_eq!(within(&outline, 6, 0), LogPosition::ZERO);

        outline.compact_to(Index(4));

        assert_eq!(within(&outline, 6, 4), at(5, 4), "the base");
        assert_eq!(within(&outline, 2, 5), at(5, 4), "the base");
        assert_eq!(within(&outline, 5, 5), at(5, 5));
    }

    #[test]
    fn a_tail_is_never_heavier_than_allowed() {
        let outline = outline_of(&[1; 10]);
        let quarter = MARK_BYTES / 4;
        let start = |through, quarters| outline.tail_start(Index(through), quarters * quarter).0;

        // Marks are after the entries 4 and 8; the weight up to 10 is known, that up to 6 is rounded to 8.
        assert_eq!([start(10, 0), start(10, 1), start(10, 2)], [10, 10, 8]);
        assert_eq!([start(10, 5), start(10, 6), start(10, 9)], [8, 4, 4]);
        assert_eq!([start(10, 10), start(10, 99)], [0, 0]);
        assert_eq!([start(6, 3), start(6, 4), start(6, 8)], [6, 4, 0]);
    }

    #[test]
    fn what_is_left_weighs_no_less_than_it_does() {
        let mut outline = outline_of(&[1; 10]);
        let quarter = MARK_BYTES / 4;
        assert_eq!(outline.weight(), 10 * quarter);

        outline.compact_to(Index(6));
        let (rounded, whole_tail) = (outline.weight(), outline.tail_start(Index(10), u64::MAX));
        outline.compact_to(Index(99));

        assert_eq!((rounded, whole_tail), (6 * quarter, Index(6)));
        assert_eq!((outline.weight(), outline.is_empty()), (0, true));
        assert_eq!(outline.last_stamp(), ClusterTime(10));
        assert_eq!(outline.push(&entry(11, 1)), Ok(()));
        assert_eq!(outline.weight(), quarter);
    }

    #[test]
    fn configurations_are_remembered_until_they_are_compacted_away() {
        let configuration = Arc::new(Configuration::default());
        let configured = |index| Entry {
            payload: Payload::Configuration(Arc::clone(&configuration)),
            ..entry(index, 1)
        };
        let mut outline = Outline::default();
        for entry in [configured(1), entry(2, 1), configured(3), entry(4, 1)] {
            outline.push(&entry).expect("it follows");
        }

        outline.compact_to(Index(1));

        assert_eq!(
            outline.configurations(),
            [(Index(3), configuration.clone())]
        );
    }
}
