//! Says which bytes the base of a log has: what is true before the first drain that counts, and whose storage it is.
//!
//! It is what a folder has in its header and at the head of its first segment. It changes when the storage is opened or
//! bound, and in the transaction that frees drains.

use bytes::{Buf, BufMut};

use super::drain::{put_hard_state, take_hard_state};
use crate::boots::Boots;
use crate::configuration::History;
use crate::consensus::HardState;
use crate::ids::{ClusterId, Index, LogPosition, Starts, Term};
use crate::storage::records::change::{Change, Shape, SnapshotRef};
use crate::storage::records::record::{self, Flaw, Kind, Record, broken, contradictory};
use crate::storage::records::{BatchRecord, starts};
use crate::storage::{Bound, Snapshot};
use crate::wire::NUMBER_END;

/// The key of the base.
pub(super) const KEY: &[u8] = b"base";

/// What a log begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) bound: Bound,
    pub(super) starts: Starts,
    /// The number of the first drain that counts; there may be none with this number yet.
    pub(super) first: u64,
    /// What the log was before that drain.
    pub(super) shape: Shape,
    /// The hard state as of that drain, or later.
    pub(super) hard_state: HardState,
    /// The boots of other servers as of that drain, or later.
    pub(super) peer_boots: Boots,
    /// The snapshot in force, unless one of the drains that count says what it is.
    pub(super) snapshot: Option<Snapshot>,
}

impl Default for Base {
    fn default() -> Self {
        Self {
            bound: Bound::default(),
            starts: Starts::default(),
            first: 1,
            shape: Shape::default(),
            hard_state: HardState::default(),
            peer_boots: Boots::default(),
            snapshot: None,
        }
    }
}

impl Base {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        record::put_first(&mut value, Kind::Base, self.first, |body| self.put(body));
        let snapshot = self.snapshot.clone().map(Change::Snapshot);
        let peer_boots = Change::PeerBoots(self.peer_boots.clone());
        for change in snapshot.into_iter().chain([peer_boots]) {
            change.put(&mut value);
        }
        value
    }

    fn put(&self, body: &mut Vec<u8>) {
        let Bound { cluster, history } = self.bound;
        let Shape {
            first,
            next,
            snapshot,
        } = self.shape;
        let (file, last) = snapshot.map_or((0, LogPosition::ZERO), |of| (of.file, of.last));
        put_hard_state(&self.hard_state, body);
        body.put_u64_le(cluster.is_some().into());
        body.put_u64_le(history.is_some().into());
        body.put_u128(cluster.map_or(0, |cluster| cluster.0));
        body.put_u64_le(history.map_or(0, |history| history.0));
        for field in [first.0, next.0, file, last.index.0, last.term.0] {
            body.put_u64_le(field);
        }
        starts::put(&self.starts, body);
    }

    pub(super) fn decode(mut value: &[u8]) -> Result<Self, Flaw> {
        let first = record::take_first(&mut value, Kind::Base)?;
        let mut body = first.body;
        let hard_state = take_hard_state(&mut body)?;
        let short = |_| broken("its body is too short");
        let mut field = || body.try_get_u64_le().map_err(short);
        let (has_cluster, has_history) = (field()? != 0, field()? != 0);
        let cluster = Some(ClusterId(body.try_get_u128().map_err(short)?));
        let mut field = || body.try_get_u64_le().map_err(short);
        let history = Some(History(field()?));
        let [begins, next, file, index, term] = [field()?, field()?, field()?, field()?, field()?];
        let numbers = [first.index, begins, next, file, index, term];
        let is_sound = numbers.iter().all(|number| *number < NUMBER_END);
        if !is_sound || first.index == 0 || begins == 0 || begins > next {
            return Err(contradictory("it has impossible numbers"));
        }
        let starts = starts::take(&mut body)?;
        if !body.is_empty() {
            return Err(contradictory("its body is too long"));
        }
        let last = LogPosition::new(Term(term), Index(index));
        let mut base = Self {
            bound: Bound {
                cluster: cluster.filter(|_| has_cluster),
                history: history.filter(|_| has_history),
            },
            starts,
            first: first.index,
            shape: Shape {
                first: Index(begins),
                next: Index(next),
                snapshot: (file != 0).then_some(SnapshotRef { file, last }),
            },
            hard_state,
            ..Self::default()
        };
        while !value.is_empty() {
            match Change::decode(&Record::take(&mut value)?)? {
                Change::Snapshot(snapshot) => base.snapshot = Some(snapshot),
                Change::PeerBoots(boots) => base.peer_boots = boots,
                _ => return Err(contradictory("it has changes of a log")),
            }
        }
        Ok(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SnapshotName;
    use crate::storage::conformance::{boots, hard_state, metadata};

    fn full() -> Base {
        let snapshot = Snapshot {
            name: SnapshotName(4),
            metadata: metadata(6, 2, b"state"),
        };
        Base {
            bound: Bound {
                cluster: Some(ClusterId(7)),
                history: Some(History(8)),
            },
            starts: Starts::default().next(1).next(2).next(3),
            first: 12,
            shape: Shape {
                first: Index(7),
                next: Index(9),
                snapshot: Some((&snapshot).into()),
            },
            hard_state: hard_state(3, Some(1)),
            peer_boots: boots([(8, 2), (9, 5)]),
            snapshot: Some(snapshot),
        }
    }

    #[test]
    fn all_fields_of_a_base_come_back() {
        for base in [Base::default(), full()] {
            assert_eq!(Base::decode(&base.encode()), Ok(base));
        }
    }

    #[test]
    fn a_base_with_any_bit_flipped_is_refused() {
        let value = full().encode();

        for bit in 0..8 * value.len() {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Base::decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
