//! From what storage gave back to a server that may go on.

use alloc::sync::Arc;

pub(super) mod error;

pub use error::RecoveryError;

use super::log::{Log, Outline};
use super::membership::ConfigurationLog;
use super::output::{HardState, Recovered, Snapshot};
use super::planted::{Bug, is_planted};
use crate::config::ELECTION_TIMEOUT_MAX;
use crate::entry::{Entry, Payload};
use crate::ids::{Index, LogPosition, Term};
use crate::time::ClusterTime;

impl Recovered {
    /// Moves entries into the outline, of those that are known to be committed the first ones, until the rest takes no
    /// more than `bytes_max` of memory ([`Entry::memory`]): what a storage does that reads no more than that.
    ///
    /// # Errors
    /// When the entries do not follow the outline, or one another: see [`Outline::push`].
    pub fn outlined(mut self, bytes_max: u64) -> Result<Self, RecoveryError> {
        let covered = self.snapshot.as_ref().map(|of| of.metadata.last.index);
        let known = self.hard_state.commit.max(covered.unwrap_or_default());
        let mut bytes: u64 = self.entries.iter().map(Entry::memory).sum();
        let mut count = 0;
        for entry in &self.entries {
            if bytes <= bytes_max || entry.index > known {
                break;
            }
            self.outline.push_stored(entry)?;
            bytes -= entry.memory();
            count += 1;
        }
        self.entries.drain(..count);
        Ok(self)
    }
}

#[derive(Debug)]
pub(super) struct Restored {
    pub(super) hard_state: HardState,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) log: Log,
    pub(super) configurations: ConfigurationLog,
    /// What is stored from here on contradicts the snapshot, and must be dropped before anything follows it.
    pub(super) stale_from: Option<Index>,
}

impl Restored {
    pub(super) fn from_stored(recovered: Recovered) -> Result<Self, RecoveryError> {
        let Recovered {
            hard_state,
            snapshot,
            outline,
            mut entries,
            peer_boots: _,
        } = recovered;
        if hard_state.promise > ELECTION_TIMEOUT_MAX {
            let promise = hard_state.promise;
            return Err(RecoveryError::ImpossiblePromise { promise });
        }
        let (covered, stamp, configuration_index, configuration) = match &snapshot {
            None => (
                LogPosition::ZERO,
                ClusterTime::ZERO,
                Index::ZERO,
                Arc::default(),
            ),
            Some(Snapshot { metadata, .. }) => {
                let last = metadata.last;
                if last.term > hard_state.term {
                    return Err(RecoveryError::ImpossibleTerm {
                        index: last.index,
                        term: last.term,
                    });
                }
                let configuration = Arc::clone(&metadata.configuration);
                (
                    last,
                    metadata.stamp,
                    metadata.configuration_index,
                    configuration,
                )
            }
        };
        // What ends before the snapshot does, or contradicts it, is of no use, and the entries that come next would not
        // follow it.
        let outlined = (!outline.is_empty()).then(|| (outline.base().index, outline.last().index));
        let first = match outlined {
            Some((base, _)) => Some(base.next()),
            None => entries.first().map(|first| first.index),
        };
        let last = entries.last().map(|last| last.index);
        let last = last.or(outlined.map(|(_, last)| last));
        let ends_before = last.is_some_and(|last| last < covered.index);
        let mut stale_from = first.filter(|_| ends_before);
        let mut configurations =
            ConfigurationLog::starting_with(configuration_index, configuration);
        let mut log = Log::starting_after(covered, stamp);
        if let Some((base, last)) = outlined {
            let found = entries.first().map_or(last.next(), |first| first.index);
            expect_next(base.min(covered.index), base.next())?;
            expect_next(last, found)?;
            match outline.following(covered, stamp) {
                Some(outline) => {
                    expect_terms(&outline, hard_state.term)?;
                    for (index, configuration) in outline.configurations() {
                        configurations.append(*index, Arc::clone(configuration));
                    }
                    log = Log::continuing(outline);
                }
                None => {
                    stale_from = first;
                    entries.clear();
                }
            }
        }
        // The snapshot covers these.
        let is_covered = |entry: &&Entry| entry.index <= covered.index;
        let of_snapshot = entries.iter().take_while(is_covered).count();
        let last_of_snapshot = entries[..of_snapshot].last();
        if last_of_snapshot
            .is_some_and(|last| last.index == covered.index && last.term != covered.term)
        {
            // It contradicts the snapshot, and so does all that follows it.
            stale_from = first;
            entries.clear();
        }
        entries.drain(..of_snapshot.min(entries.len()));
        let mut last = log.last();
        for entry in &entries {
            expect_next(last.index, entry.index)?;
            if entry.term < last.term || entry.term > hard_state.term {
                return Err(RecoveryError::ImpossibleTerm {
                    index: entry.index,
                    term: entry.term,
                });
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.append(entry.index, configuration.clone());
            }
            last = entry.position();
        }
        log.adopt(entries);
        if is_planted(Bug::StaleTailKept) {
            stale_from = None;
        }
        let last = log.last_index();
        if hard_state.commit > last {
            let commit = hard_state.commit;
            return Err(RecoveryError::CommittedMissing { commit, last });
        }
        Ok(Self {
            hard_state,
            snapshot,
            log,
            configurations,
            stale_from,
        })
    }
}

/// Fails unless nothing is missing after an index.
fn expect_next(after: Index, found: Index) -> Result<(), RecoveryError> {
    if found == after.next() {
        Ok(())
    } else {
        Err(RecoveryError::Gap { after, found })
    }
}

/// Fails if the first entries have an earlier term than what is before them, or any has one later than the stored one.
/// In between, terms do not decrease.
fn expect_terms(outline: &Outline, stored: Term) -> Result<(), RecoveryError> {
    let base = outline.base();
    let index = base.index.next();
    let impossible = |index, term| Err(RecoveryError::ImpossibleTerm { index, term });
    match (outline.term_at(index), outline.first_beyond(stored)) {
        (Some(term), _) if term < base.term => impossible(index, term),
        (_, Some(beyond)) => impossible(beyond.index, beyond.term),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {

    use core::time::Duration;

    use super::*;
    use crate::configuration::Configuration;
    use crate::consensus::SnapshotName;
    use crate::ids::ServerId;
    use crate::message::SnapshotMetadata;

    /// What a server stored that was in term 5, with a sound snapshot up to the third entry.
    fn stored() -> Recovered {
        let metadata = SnapshotMetadata {
            last: LogPosition::new(Term(2), Index(3)),
            stamp: ClusterTime::ZERO,
            configuration: Arc::new(Configuration::of_voters([ServerId(1)])),
            configuration_index: Index(1),
            length: 5,
            digest: 0,
        };
        Recovered {
            hard_state: HardState {
                term: Term(5),
                ..HardState::default()
            },
            snapshot: Some(Snapshot {
                metadata,
                name: SnapshotName(1),
            }),
            ..Recovered::default()
        }
    }

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index: Index(index),
            term: Term(term),
            stamp: ClusterTime::ZERO,
            payload: Payload::Noop,
        }
    }

    fn error_of(stored: Recovered) -> Option<RecoveryError> {
        Restored::from_stored(stored).err()
    }

    #[test]
    fn a_term_that_goes_back_or_past_the_stored_one_is_impossible() {
        let (mut back, mut past) = (stored(), stored());
        back.entries = alloc::vec![entry(4, 3), entry(5, 2)];
        past.entries = alloc::vec![entry(4, 6)];

        let impossible = |index, term| {
            let (index, term) = (Index(index), Term(term));
            Some(RecoveryError::ImpossibleTerm { index, term })
        };
        assert_eq!(error_of(back), impossible(5, 2));
        assert_eq!(error_of(past), impossible(4, 6));
    }

    #[test]
    fn a_log_that_lacks_what_was_committed_is_damaged() {
        let (mut whole, mut covered) = (stored(), stored());
        whole.hard_state.commit = Index(4);
        whole.entries = alloc::vec![entry(4, 3), entry(5, 3)];
        covered.hard_state.commit = Index(2);
        assert_eq!([error_of(whole.clone()), error_of(covered)], [None, None]);

        whole.entries.clear();

        let (commit, last) = (Index(4), Index(3));
        let missing = RecoveryError::CommittedMissing { commit, last };
        assert_eq!(error_of(whole), Some(missing));
    }

    #[test]
    fn a_promise_above_the_longest_election_timeout_is_impossible() {
        let mut wild = stored();
        wild.hard_state.promise = ELECTION_TIMEOUT_MAX;
        assert_eq!(error_of(wild.clone()), None);
        let promise = ELECTION_TIMEOUT_MAX + Duration::from_nanos(1);

        wild.hard_state.promise = promise;

        let impossible = RecoveryError::ImpossiblePromise { promise };
        assert_eq!(error_of(wild), Some(impossible));
    }

    #[test]
    fn entries_before_the_end_of_a_snapshot_do_not_contradict_it() {
        let mut more = stored();
        more.entries = alloc::vec![entry(2, 1), entry(3, 2), entry(4, 3)];

        let restored = Restored::from_stored(more).expect("it is sound");

        assert_eq!(restored.log.last(), LogPosition::new(Term(3), Index(4)));
        assert_eq!(restored.stale_from, None);
    }

    /// The outline of entries of these terms from this index on, of which storage has nothing before.
    fn outline(first: u64, terms: &[u64]) -> Outline {
        let base = LogPosition::new(Term(0), Index(first - 1));
        let mut outline = Outline::starting_after(base, ClusterTime::ZERO);
        for (index, term) in (first..).zip(terms) {
            outline.push(&entry(index, *term)).expect("it follows");
        }
        outline
    }

    #[test]
    fn a_log_goes_on_from_an_outline_within_a_snapshot_or_at_its_end() {
        let (mut at, mut before) = (stored(), stored());
        (at.outline, before.outline) = (outline(4, &[3, 4]), outline(2, &[1, 2, 3, 4]));
        at.entries = alloc::vec![entry(6, 5)];

        let restored =
            [at, before].map(|stored| Restored::from_stored(stored).expect("it is sound"));

        let [at, before] = restored.map(|restored| (restored.log, restored.stale_from));
        for (log, stale_from) in [&at, &before] {
            assert_eq!(
                (log.base(), *stale_from),
                (LogPosition::new(Term(2), Index(3)), None)
            );
            assert_eq!(
                (log.term_at(Index(4)), log.evicted_to()),
                (Some(Term(3)), Index(5))
            );
        }
        assert_eq!(
            (at.0.last_index(), before.0.last_index()),
            (Index(6), Index(5))
        );
    }

    #[test]
    fn what_is_committed_is_outlined_until_the_rest_is_light_enough() {
        let mut whole = stored();
        whole.hard_state.commit = Index(5);
        whole.entries = alloc::vec![entry(3, 2), entry(4, 3), entry(5, 3), entry(6, 3)];
        let memory = entry(6, 3).memory();
        let outlined = |bytes_max| whole.clone().outlined(bytes_max).expect("it is sound");

        let lengths = [4, 2, 0].map(|count| outlined(count * memory).entries.len());
        let all = Restored::from_stored(outlined(0)).expect("it is sound");
        let none = Restored::from_stored(whole.clone()).expect("it is sound");

        assert_eq!(lengths, [4, 2, 1]);
        assert_eq!(all.log.last(), none.log.last());
        assert_eq!(all.log.evicted_to(), Index(5));
        assert_eq!(all.log.term_at(Index(4)), none.log.term_at(Index(4)));
    }

    #[test]
    fn an_outline_that_does_not_reach_the_end_of_a_snapshot_is_dropped() {
        let (mut short, mut continued) = (stored(), stored());
        (short.outline, continued.outline) = (outline(1, &[1, 1]), outline(1, &[1, 1]));
        continued.entries = alloc::vec![entry(3, 2), entry(4, 3)];

        let restored =
            [short, continued].map(|stored| Restored::from_stored(stored).expect("it is sound"));

        let [short, continued] =
            restored.map(|restored| (restored.log.last(), restored.stale_from));
        assert_eq!(short, (LogPosition::new(Term(2), Index(3)), Some(Index(1))));
        assert_eq!(continued, (LogPosition::new(Term(3), Index(4)), None));
    }

    #[test]
    fn an_outline_that_contradicts_a_snapshot_is_dropped() {
        let mut other = stored();
        other.outline = outline(2, &[1, 1, 1]);
        other.entries = alloc::vec![entry(5, 1)];

        let restored = Restored::from_stored(other).expect("it is sound");

        assert_eq!(restored.log.last(), LogPosition::new(Term(2), Index(3)));
        assert_eq!(restored.stale_from, Some(Index(2)));
    }

    #[test]
    fn an_outline_is_judged_like_the_entries_it_stands_for() {
        let [mut back, mut past, mut early, mut late] = [(); 4].map(|()| stored());
        (back.outline, past.outline) = (outline(4, &[1]), outline(3, &[2, 3, 6]));
        (early.outline, late.outline) = (outline(5, &[3]), outline(3, &[2, 3]));
        late.entries = alloc::vec![entry(6, 3)];

        let impossible = |index, term| {
            let (index, term) = (Index(index), Term(term));
            Some(RecoveryError::ImpossibleTerm { index, term })
        };
        let gap = |after, found| {
            let (after, found) = (Index(after), Index(found));
            Some(RecoveryError::Gap { after, found })
        };
        assert_eq!(error_of(back), impossible(4, 1));
        assert_eq!(error_of(past), impossible(5, 6));
        assert_eq!(error_of(early), gap(3, 5));
        assert_eq!(error_of(late), gap(4, 6));
    }

    #[test]
    fn configurations_of_an_outline_are_in_force_after_it() {
        let mut configured = stored();
        let configuration = Arc::new(Configuration::of_voters([ServerId(7)]));
        let payload = Payload::Configuration(Arc::clone(&configuration));
        let changed = Entry {
            payload,
            ..entry(5, 3)
        };
        configured.outline = outline(3, &[2, 3]);
        configured.outline.push(&changed).expect("it follows");

        let restored = Restored::from_stored(configured).expect("it is sound");

        assert_eq!(restored.configurations.current_index(), Index(5));
        assert_eq!(*restored.configurations.current(), *configuration);
    }

    #[test]
    fn entries_that_contradict_a_snapshot_are_dropped_with_all_that_follow() {
        let mut other = stored();
        other.entries = alloc::vec![entry(2, 1), entry(3, 1), entry(4, 1)];

        let restored = Restored::from_stored(other).expect("it is sound");

        assert_eq!(restored.log.last(), LogPosition::new(Term(2), Index(3)));
        assert_eq!(restored.stale_from, Some(Index(2)));
    }
}
