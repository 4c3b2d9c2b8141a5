//! Entries that are in storage alone, on their way from there to whoever needs them.

use super::log::Log;
use super::output::{EntriesRead, EntriesReader, Output};
use super::planted::{Bug, is_planted};
use crate::entry::Entry;
use crate::ids::Index;
use crate::message::ENTRIES_MAX;
use crate::sorted::SortedMap;

/// What is being read.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    generation: u64,
    /// At most one for each reader, of whichever generation.
    under_way: SortedMap<EntriesReader, EntriesRead>,
}

impl Fetches {
    /// What is being read is of no use any more: another log may have taken the place of the one that it is of, or
    /// another leadership that of the one that it was for.
    pub(super) fn begin_generation(&mut self) {
        self.generation += 1;
    }

    /// Has entries read that were evicted, from `from` on as far as `through`, unless this reader waits for some.
    pub(super) fn ask(
        &mut self,
        whose: EntriesReader,
        (from, through): (Index, Index),
        bytes_max: u64,
        out: &mut Output,
    ) {
        if self.under_way.contains_key(&whose) {
            return;
        }
        let read = EntriesRead {
            whose,
            generation: self.generation,
            from,
            through: through.min(from.plus(ENTRIES_MAX as u64 - 1)),
            bytes_max,
        };
        self.under_way.insert(whose, read);
        out.entries.push(read);
    }

    /// Takes an answer. Returns true if it is of the present generation.
    ///
    /// # Panics
    /// When it does not answer what was asked, or is not what `log` has there.
    pub(super) fn take(&mut self, read: &EntriesRead, entries: &[Entry], log: &Log) -> bool {
        let asked = self.under_way.remove(&read.whose);
        assert!(
            asked.as_ref() == Some(read),
            "only what was asked for is read"
        );
        assert!(
            self.fits(read, entries, log),
            "storage gives what it was given"
        );
        read.generation == self.generation || is_planted(Bug::StaleReadUsed)
    }

    /// Whether `log` has these entries where they were read, as far as that is known: what an earlier generation had
    /// is not.
    pub(super) fn fits(&self, read: &EntriesRead, entries: &[Entry], log: &Log) -> bool {
        if read.generation != self.generation {
            return true;
        }
        let base = log.base().index;
        // What was compacted meanwhile may be missing, and is of no log that is known any more.
        let has_any = !entries.is_empty() || read.from <= base;
        let mut numbered = (read.from.0..).map(Index).zip(entries);
        has_any
            && numbered.all(|(index, entry)| {
                let is_asked = entry.index == index && index <= read.through;
                is_asked && (index <= base || log.matches(entry.position()))
            })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::entry::Payload;
    use crate::ids::{LogPosition, Term};
    use crate::time::ClusterTime;

    const LOG: [(u64, u64); 4] = [(1, 1), (2, 1), (3, 2), (4, 2)];

    fn entry((index, term): (u64, u64)) -> Entry {
        Entry {
            index: Index(index),
            term: Term(term),
            stamp: ClusterTime::ZERO,
            payload: Payload::Noop,
        }
    }

    /// A log that holds nothing in memory, and was compacted up to its first entry.
    fn evicted() -> Log {
        let mut log = Log::starting_after(LogPosition::ZERO, ClusterTime::ZERO);
        LOG.map(entry)
            .into_iter()
            .for_each(|entry| log.append(entry));
        log.evict(Index(4), 0);
        log.compact_to(Index(1));
        log
    }

    /// What is under way after entries 2 to 3 were asked for.
    fn asked() -> (Fetches, EntriesRead) {
        let (mut fetches, mut out) = (Fetches::default(), Output::default());
        let range = (Index(2), Index(3));
        fetches.ask(EntriesReader::Apply, range, 1, &mut out);
        fetches.ask(EntriesReader::Apply, (Index(4), Index(4)), 1, &mut out);
        assert_eq!(out.entries.len(), 1, "one read at a time");
        (fetches, out.entries[0])
    }

    fn take(entries: &[(u64, u64)]) -> bool {
        let (mut fetches, read) = asked();
        let entries: Vec<_> = entries.iter().copied().map(entry).collect();
        fetches.take(&read, &entries, &evicted())
    }

    #[test]
    fn an_answer_counts_until_another_generation_begins() {
        let (mut fetches, read) = asked();
        fetches.begin_generation();

        let late = fetches.take(&read, &[entry((2, 1))], &evicted());

        assert!(take(&[(2, 1)]) && take(&[(2, 1), (3, 2)]));
        assert!(!late);
    }

    #[test]
    #[should_panic(expected = "what it was given")]
    fn an_entry_that_is_not_compacted_is_not_missing() {
        take(&[]);
    }

    #[test]
    #[should_panic(expected = "what it was given")]
    fn an_entry_of_another_term_is_not_taken() {
        take(&[(2, 1), (3, 1)]);
    }

    #[test]
    #[should_panic(expected = "what it was given")]
    fn more_than_was_asked_for_is_not_taken() {
        take(&[(2, 1), (3, 2), (4, 2)]);
    }

    #[test]
    #[should_panic(expected = "only what was asked for")]
    fn what_was_not_asked_for_is_not_taken() {
        let (mut fetches, read) = asked();
        let other = EntriesRead {
            from: Index(3),
            ..read
        };
        fetches.take(&other, &[entry((3, 2))], &evicted());
    }
}
