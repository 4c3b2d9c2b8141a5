//! What a crash leaves of the writes that were under way, and what an honest storage makes of it.
//!
//! Between two syncs a disk writes in an order of its own: any subset of the parts may be there, and a part may be
//! torn. The storage is a log of checksummed records, two slots for term and vote, and files of snapshots; and it syncs
//! before it begins a snapshot and after it, since what follows one drops what it replaces. After a crash it takes
//!
//! - the last term and vote that is whole, also one of a later write than a snapshot that is not there: a torn one lies
//!   in the slot that was not in use;
//! - of the records, those before the first that is missing or torn, or of a term that no slot knows;
//! - a snapshot if all before it is there, and what follows it if it is there itself.
//!
//! That is a log which the server had on its way, and a term and vote that are at least as late.

use serde::{Deserialize, Serialize};

use super::durable::Durable;
use super::part::Part;
use crate::digest::Digest;

/// How much of the writes under way a crash keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// So many thousandths of their parts, from the first on.
    Prefix(u64),
    /// As with a prefix, and the part after it is torn.
    Torn(u64),
    /// Any subset, as this number draws it; some parts are torn.
    Scattered(u64),
    /// All up to the last snapshot among them, and nothing after it; nothing if there is none.
    ToSnapshot,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    Torn,
    Missing,
}

impl Survival {
    /// What became of a part, of so many, up to the last snapshot among them so many.
    fn of(self, at: u64, count: u64, to_snapshot: u64) -> State {
        match self {
            Self::ToSnapshot if at < to_snapshot => State::Whole,
            Self::ToSnapshot => State::Missing,
            Self::Nothing => State::Missing,
            Self::Prefix(thousandths) if at < count * thousandths / 1000 => State::Whole,
            Self::Torn(thousandths) if at < count * thousandths / 1000 => State::Whole,
            Self::Prefix(_) => State::Missing,
            Self::Torn(thousandths) if at == count * thousandths / 1000 => State::Torn,
            Self::Torn(_) => State::Missing,
            Self::Scattered(drawn) => match Digest(drawn).with(at).0 % 8 {
                0..=4 => State::Whole,
                5 | 6 => State::Missing,
                _ => State::Torn,
            },
        }
    }
}

/// Whether something was there that a storage had to leave out, because it was torn or lay behind a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// A torn part.
    pub torn: bool,
    /// A whole record behind a missing one.
    pub behind_gap: bool,
}

/// Stores what survives of these parts. With `checks` off, what is torn is taken for whole.
///
/// # Errors
/// When what survives does not follow what is stored.
pub(super) fn store_survivors(
    durable: &mut Durable,
    parts: Vec<Part>,
    survival: Survival,
    checks: bool,
) -> Result<LeftOut, String> {
    let count = parts.len() as u64;
    let is_snapshot = |part: &Part| matches!(part, Part::Snapshot(_));
    let to_snapshot = parts.iter().rposition(is_snapshot);
    let to_snapshot = to_snapshot.map_or(0, |last| last as u64 + 1);
    let mut left_out = LeftOut::default();
    let mut parts = (0..).zip(parts).peekable();
    loop {
        let mut group = Vec::new();
        while let Some(part) = parts.next_if(|(_, part)| !matches!(part, Part::Snapshot(_))) {
            group.push(part);
        }
        let mut is_complete = true;
        let mut records = Vec::new();
        for (at, part) in group {
            let state = survival.of(at, count, to_snapshot);
            is_complete &= state == State::Whole;
            let part = match state {
                State::Whole => Some(part),
                State::Torn => {
                    left_out.torn = true;
                    (!checks).then(|| part.damaged())
                }
                State::Missing => None,
            };
            match part {
                Some(Part::HardState(hard_state)) => {
                    durable.store(Part::HardState(hard_state))?;
                }
                part => records.push(part),
            }
        }
        store_records(durable, records, &mut left_out)?;
        let Some((at, snapshot)) = parts.next() else {
            return Ok(left_out);
        };
        // A file gets its name when it is whole and synced.
        if !is_complete || survival.of(at, count, to_snapshot) != State::Whole {
            for (at, part) in parts {
                let is_whole = survival.of(at, count, to_snapshot) == State::Whole;
                if is_whole && matches!(part, Part::HardState(_)) {
                    durable.store(part)?;
                }
            }
            return Ok(left_out);
        }
        durable.store(snapshot)?;
    }
}

/// The records up to the first gap.
fn store_records(
    durable: &mut Durable,
    records: Vec<Option<Part>>,
    left_out: &mut LeftOut,
) -> Result<(), String> {
    let mut is_cut = false;
    for record in records {
        match record {
            Some(Part::Entry(entry)) if entry.term > durable.hard_state().term => is_cut = true,
            Some(_) if is_cut => left_out.behind_gap = true,
            Some(record) => durable.store(record)?,
            None => is_cut = true,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use liferaft_raft::consensus::HardState;
    use liferaft_raft::entry::{Entry, Payload};
    use liferaft_raft::ids::{Index, Term};
    use liferaft_raft::time::ClusterTime;

    use super::*;

    fn entry(index: u64, term: u64) -> Part {
        Part::Entry(Entry {
            index: Index(index),
            term: Term(term),
            stamp: ClusterTime::ZERO,
            payload: Payload::Noop,
        })
    }

    fn term(term: u64) -> Part {
        Part::HardState(HardState {
            term: Term(term),
            ..HardState::default()
        })
    }

    fn entries_after(parts: Vec<Part>, survival: Survival) -> Vec<u64> {
        let mut durable = Durable::default();
        store_survivors(&mut durable, parts, survival, true).expect("parts in order");
        let recovered = durable.recover(true).expect("nothing rots");
        recovered
            .entries
            .iter()
            .map(|entry| entry.index.0)
            .collect()
    }

    #[test]
    fn a_log_ends_where_the_first_record_is_missing_or_torn() {
        let log = || vec![term(1), entry(1, 1), entry(2, 1), entry(3, 1)];

        assert_eq!(entries_after(log(), Survival::Prefix(750)), [1, 2]);
        assert_eq!(entries_after(log(), Survival::Torn(500)), [1]);
        for drawn in 0..100 {
            let kept = entries_after(log(), Survival::Scattered(drawn));
            assert!([1, 2, 3].starts_with(&kept), "{kept:?}");
        }
    }

    #[test]
    fn an_entry_of_a_term_that_did_not_survive_is_left_out() {
        let drawn = (0..1000).find(|drawn| {
            let survival = Survival::Scattered(*drawn);
            survival.of(0, 2, 0) == State::Missing && survival.of(1, 2, 0) == State::Whole
        });
        let survival = Survival::Scattered(drawn.expect("one of a thousand"));

        let kept = entries_after(vec![term(4), entry(1, 4)], survival);

        assert_eq!(kept, [0; 0]);
    }
}
