//! Says which bytes a drain has: what one write of a member changes, as one value of the database.

use std::time::Duration;

use bytes::{Buf, BufMut};

use crate::consensus::HardState;
use crate::ids::{Index, ServerId, Term};
use crate::storage::records::BatchRecord;
use crate::storage::records::change::Change;
use crate::storage::records::record::{self, Flaw, Kind, Record, broken, contradictory};
use crate::wire::NUMBER_END;

/// A drain that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// The hard state once it is made.
    pub(super) hard_state: HardState,
    pub(super) changes: Vec<Change>,
}

/// Encodes the drain of this number.
pub(super) fn encode(number: u64, hard_state: &HardState, changes: &[Change]) -> Vec<u8> {
    let mut value = Vec::new();
    record::put_first(&mut value, Kind::Drain, number, |body| {
        put_hard_state(hard_state, body);
    });
    changes.iter().for_each(|change| change.put(&mut value));
    value
}

/// Decodes what should be the drain of this number.
pub(super) fn decode(mut value: &[u8], number: u64) -> Result<Drain, Flaw> {
    let first = record::take_first(&mut value, Kind::Drain)?;
    if first.index != number {
        return Err(broken(format!("drain {} is there", first.index)));
    }
    let mut body = first.body;
    let hard_state = take_hard_state(&mut body)?;
    if !body.is_empty() {
        return Err(contradictory("its hard state is too long"));
    }
    let mut changes = Vec::new();
    while !value.is_empty() {
        changes.push(Change::decode(&Record::take(&mut value)?)?);
    }
    Ok(Drain {
        hard_state,
        changes,
    })
}

/// How many bytes a hard state takes.
const HARD_STATE_BYTES: usize = 48;

/// Appends a hard state.
pub(super) fn put_hard_state(hard_state: &HardState, body: &mut Vec<u8>) {
    let HardState {
        term,
        voted_for,
        commit,
        promise,
    } = *hard_state;
    body.put_u64_le(term.0);
    body.put_u64_le(commit.0);
    // 584 years, and the core promises minutes at most.
    body.put_u64_le(u64::try_from(promise.as_nanos()).unwrap_or(u64::MAX));
    body.put_u64_le(voted_for.is_some().into());
    body.put_u128(voted_for.map_or(0, |server| server.0));
}

/// Takes a hard state from the front of a body.
pub(super) fn take_hard_state(body: &mut &[u8]) -> Result<HardState, Flaw> {
    if body.len() < HARD_STATE_BYTES {
        return Err(contradictory("its hard state is too short"));
    }
    let (term, commit) = (body.get_u64_le(), body.get_u64_le());
    let promise = Duration::from_nanos(body.get_u64_le());
    let (has_voted, voted_for) = (body.get_u64_le() != 0, ServerId(body.get_u128()));
    if term >= NUMBER_END || commit >= NUMBER_END {
        return Err(contradictory("its hard state has impossible numbers"));
    }
    Ok(HardState {
        term: Term(term),
        voted_for: has_voted.then_some(voted_for),
        commit: Index(commit),
        promise,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{boots, entry, hard_state, metadata};
    use crate::storage::{Snapshot, SnapshotName};

    #[test]
    fn all_changes_of_a_drain_come_back() {
        let changes = vec![
            Change::Snapshot(Snapshot {
                name: SnapshotName(3),
                metadata: metadata(2, 1, b"state"),
            }),
            Change::Truncate(Index(1)),
            Change::Entry(entry(3, 2, "c")),
            Change::Compact(Index(2)),
            Change::PeerBoots(boots([(8, 2)])),
        ];
        let hard_state = hard_state(2, Some(7));

        let value = encode(9, &hard_state, &changes);

        let expected = Drain {
            hard_state,
            changes,
        };
        assert_eq!(decode(&value, 9), Ok(expected));
    }

    #[test]
    fn a_drain_of_another_number_is_refused() {
        let value = encode(9, &HardState::default(), &[]);

        assert_eq!(decode(&value, 8), Err(broken("drain 9 is there")));
    }

    #[test]
    fn a_drain_with_any_bit_flipped_is_refused() {
        let value = encode(9, &hard_state(2, None), &[Change::Entry(entry(3, 2, "c"))]);

        for bit in 0..8 * value.len() {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 9).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_drain_that_was_cut_within_a_record_is_refused() {
        let value = encode(9, &hard_state(2, None), &[Change::Entry(entry(3, 2, "c"))]);
        let whole = encode(9, &hard_state(2, None), &[]).len();

        for length in (0..value.len()).filter(|length| *length != whole) {
            assert!(decode(&value[..length], 9).is_err(), "{length} bytes");
        }
    }
}
