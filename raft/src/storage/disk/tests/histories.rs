//! Random writes, and the states that they may leave.

use bytes::Bytes;

use super::fake::Dice;
use crate::configuration::Configuration;
use crate::consensus::{HardState, Recovered, Snapshot, Write};
use crate::entry::{Entry, Payload};
use crate::ids::{Index, LogPosition, ServerId, Term};
use crate::message::SnapshotMetadata;
use crate::storage::memory;
use crate::time::ClusterTime;

/// What is stored, as far as it is known: one of several states while a write is under way, or failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) state: Recovered,
    /// With the hard state of a write that failed, and after all of it.
    maybe: Vec<Recovered>,
}

impl Known {
    /// Draws the writes of one drain, which follow what is stored.
    pub(super) fn draw_writes(&self, dice: &mut Dice) -> Vec<Write> {
        let mut state = self.state.clone();
        let mut writes = Vec::new();
        for _ in 0..=dice.below(2) {
            let write = draw_write(&state, dice);
            memory::store(&mut state, write.clone()).expect("what is drawn is in order");
            writes.push(write);
        }
        writes
    }

    /// These writes were made.
    pub(super) fn acknowledge(&mut self, writes: Vec<Write>) {
        for write in writes {
            memory::store(&mut self.state, write).expect("it was drawn for this state");
        }
    }

    /// These writes may have been made, their hard state first and all else together.
    pub(super) fn doubt(&mut self, writes: Vec<Write>) {
        let hard_state = writes.iter().rev().find_map(|write| write.hard_state);
        let mut all = self.clone();
        all.acknowledge(writes);
        let promised = Recovered {
            hard_state: hard_state.unwrap_or(self.state.hard_state),
            ..self.state.clone()
        };
        self.maybe = vec![promised, all.state];
    }

    /// This was recovered: it holds all that was acknowledged, and is what is stored from here on.
    pub(super) fn recover(&mut self, recovered: Recovered) -> Result<(), String> {
        if recovered != self.state && !self.maybe.contains(&recovered) {
            let (found, wanted) = (outline(&recovered), outline(&self.state));
            return Err(format!("found {found}, where {wanted} was acknowledged"));
        }
        *self = Self {
            state: recovered,
            maybe: Vec::new(),
        };
        Ok(())
    }
}

/// A state in a line.
fn outline(state: &Recovered) -> String {
    let snapshot = state
        .snapshot
        .as_ref()
        .map(|snapshot| snapshot.metadata.last);
    let log = [state.entries.first(), state.entries.last()];
    let log = log.map(|entry| entry.map(Entry::position));
    format!("{:?}, snapshot {snapshot:?}, log {log:?}", state.hard_state)
}

fn draw_write(state: &Recovered, dice: &mut Dice) -> Write {
    let covered = state.snapshot.as_ref();
    let covered = covered.map_or(Index::ZERO, |snapshot| snapshot.metadata.last.index);
    let last = state.entries.last().map_or(covered, |last| last.index);
    let first = state
        .entries
        .first()
        .map_or(last.next(), |first| first.index);
    let mut write = Write::default();
    let mut term = state.hard_state.term;
    if dice.once_in(5) {
        term = term.next();
        write.hard_state = Some(HardState {
            term,
            voted_for: dice.once_in(2).then_some(ServerId(dice.roll().into())),
            commit: covered,
            promise: std::time::Duration::from_nanos(dice.below(1000)),
        });
    }
    let uncommitted = last.distance_from(covered);
    let mut end = last;
    match dice.below(12) {
        0 if uncommitted > 0 => {
            let from = covered.plus(1 + dice.below(uncommitted));
            write.truncate = Some(from);
            end = from.previous();
        }
        1 if uncommitted > 0 => {
            let through = covered.plus(1 + dice.below(uncommitted));
            write.snapshot = Some(draw_snapshot(through, term, dice));
            write.compact = Some(Index(dice.below(through.0 + 1)));
        }
        // From a leader, in place of the whole log.
        2 => {
            end = last.plus(1 + dice.below(3));
            write.snapshot = Some(draw_snapshot(end, term, dice));
            write.truncate = Some(first);
        }
        3 => write.compact = Some(covered),
        _ => {}
    }
    for place in 0..dice.below(4) {
        write.entries.push(Entry {
            index: end.plus(1 + place),
            term,
            stamp: ClusterTime(dice.below(1000)),
            payload: Payload::Command(draw_bytes(dice)),
        });
    }
    write
}

fn draw_snapshot(through: Index, term: Term, dice: &mut Dice) -> Snapshot {
    let data = draw_bytes(dice);
    Snapshot {
        metadata: SnapshotMetadata {
            last: LogPosition::new(term, through),
            stamp: ClusterTime(dice.below(1000)),
            configuration: Configuration::of_voters([ServerId(1)]).into(),
            configuration_index: Index(1),
            length: data.len() as u64,
            digest: crc32fast::hash(&data),
        },
        data,
    }
}

/// Mostly a few bytes, now and then more than a page.
fn draw_bytes(dice: &mut Dice) -> Bytes {
    let length = if dice.once_in(4) { 9000 } else { 100 };
    let length = dice.below(length);
    (0..length).map(|_| dice.roll().to_le_bytes()[0]).collect()
}
