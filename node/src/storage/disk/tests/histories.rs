//! Random writes, and the states that they may leave.

use bytes::Bytes;

use super::fake::Dice;
use crate::configuration::Configuration;
use crate::consensus::HardState;
use crate::entry::{ENTRY_OVERHEAD_BYTES, Entry, Payload};
use crate::ids::{Boot, Index, LogPosition, ServerId, Term};
use crate::message::SnapshotMetadata;
use crate::storage::disk::files::Files;
use crate::storage::disk::inspection::{EntryKind, EntryOutline, LogOutline, examine};
use crate::storage::disk::lane::Lane;
use crate::storage::{Recovered, Snapshot, SnapshotName, StorageError, Write, memory};
use crate::time::ClusterTime;

/// What is stored, as far as it is known: one of several states while a write is under way, or failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) state: Recovered,
    /// With the hard state of a write that failed, and after all of it.
    maybe: Vec<Recovered>,
}

impl Known {
    /// Draws the writes of one drain, which follow what is stored, and has the lane store the snapshots that they name.
    /// In between it is given some that nobody names, and is told to remove those that are not needed.
    ///
    /// # Errors
    /// When the lane cannot go on.
    pub(super) fn draw_writes(
        &self,
        lane: &mut Lane<impl Files>,
        dice: &mut Dice,
    ) -> Result<Vec<Write>, StorageError> {
        let mut state = self.state.clone();
        let mut writes = Vec::new();
        for _ in 0..=dice.below(2) {
            let write = draw_write(&state, lane, dice)?;
            memory::store(&mut state, write.clone()).expect("what is drawn is in order");
            writes.push(write);
        }
        if dice.once_in(12) {
            let name = lane.begin()?;
            lane.append(name, &draw_bytes(dice))?;
            if dice.once_in(2) {
                lane.remove(name)?;
            }
        }
        if dice.once_in(12) {
            let unnamed = draw_snapshot(Index(1), Term(1), lane, dice)?;
            lane.remove(unnamed.name)?;
        }
        Ok(writes)
    }

    /// Has the lane remove the snapshots that these writes, which were made, have replaced.
    pub(super) fn remove_replaced(
        &self,
        before: Option<&Snapshot>,
        writes: &[Write],
        lane: &mut Lane<impl Files>,
    ) -> Result<(), StorageError> {
        let named = writes.iter().filter_map(|write| write.snapshot.as_ref());
        let in_force = self.state.snapshot.as_ref().map(|snapshot| snapshot.name);
        let replaced = before
            .into_iter()
            .chain(named)
            .map(|snapshot| snapshot.name);
        replaced
            .filter(|name| Some(*name) != in_force)
            .try_for_each(|name| lane.remove(name))
    }

    /// These writes were made.
    pub(super) fn acknowledge(&mut self, writes: Vec<Write>) {
        for write in writes {
            memory::store(&mut self.state, write).expect("it was drawn for this state");
        }
    }

    /// These writes may have been made, their hard state first, with the boots of other servers, and all else together.
    pub(super) fn doubt(&mut self, writes: Vec<Write>) {
        let hard_state = writes.iter().rev().find_map(|write| write.hard_state);
        let peer_boots = writes
            .iter()
            .rev()
            .find_map(|write| write.peer_boots.clone());
        // They are durable with the hard state, or with all else.
        let peer_boots = peer_boots.filter(|_| hard_state.is_some());
        let mut all = self.clone();
        all.acknowledge(writes);
        let promised = Recovered {
            hard_state: hard_state.unwrap_or(self.state.hard_state),
            peer_boots: peer_boots.unwrap_or_else(|| self.state.peer_boots.clone()),
            ..self.state.clone()
        };
        self.maybe = vec![promised, all.state];
    }

    /// This was recovered: it holds all that was acknowledged, and is what is stored from here on.
    pub(super) fn recover(&mut self, recovered: Recovered) -> Result<(), String> {
        if recovered != self.state && !self.maybe.contains(&recovered) {
            let (found, wanted) = (outline_of(&recovered), outline_of(&self.state));
            return Err(format!("found {found}, where {wanted} was acknowledged"));
        }
        *self = Self {
            state: recovered,
            maybe: Vec::new(),
        };
        Ok(())
    }

    /// This was recovered with as little held of the log as can be: it tells the same.
    pub(super) fn expect_outlined(&self, recovered: &Recovered) -> Result<(), String> {
        let Recovered {
            hard_state,
            snapshot,
            entries,
            peer_boots,
            ..
        } = &self.state;
        let covered = snapshot
            .as_ref()
            .map(|snapshot| snapshot.metadata.last.index);
        let committed = hard_state.commit.max(covered.unwrap_or_default());
        let held = entries.partition_point(|entry| entry.index <= committed);
        let (before, held) = entries.split_at(held);
        let outline = &recovered.outline;
        let is_outlined = match (before.first(), before.last()) {
            (Some(first), Some(last)) => {
                let ends = (
                    outline.base().index.next(),
                    outline.last(),
                    outline.last_stamp(),
                );
                ends == (first.index, last.position(), last.stamp)
                    && before
                        .iter()
                        .all(|entry| outline.term_at(entry.index) == Some(entry.term))
            }
            _ => outline.is_empty(),
        };
        let is_same = recovered.hard_state == *hard_state
            && recovered.snapshot == *snapshot
            && recovered.peer_boots == *peer_boots
            && recovered.entries == held;
        if is_outlined && is_same {
            return Ok(());
        }
        let wanted = outline_of(&self.state);
        Err(format!(
            "found {} behind {outline:?} of {wanted}",
            outline_of(recovered)
        ))
    }
}

impl Known {
    /// An inspection, which reads the log from its end, tells the same of it.
    pub(super) fn expect_inspected(&self, files: &mut impl Files) -> Result<(), String> {
        let entries = &self.state.entries;
        let outlines = entries.iter().map(|entry| EntryOutline {
            position: entry.position(),
            kind: EntryKind::Command,
            bytes: entry.weight() - ENTRY_OVERHEAD_BYTES,
        });
        let outlines = Vec::from_iter(outlines);
        let last = &outlines[outlines.len().saturating_sub(2)..];
        let log = outlines.first().zip(outlines.last());
        let log = log.map(|(first, last)| LogOutline {
            first: first.position,
            last: last.position,
            entries: outlines.len() as u64,
            bytes: outlines.iter().map(|entry| entry.bytes).sum(),
        });
        let found = examine(files, 2).map_err(|error| error.to_string())?;
        let has_boots = found.peer_boots == self.state.peer_boots;
        if found.log == log && found.last_entries == last && has_boots {
            return Ok(());
        }
        let wanted = outline_of(&self.state);
        Err(format!(
            "found {:?} and {:?} of {wanted}",
            found.log, found.last_entries
        ))
    }
}

/// A state in a line.
fn outline_of(state: &Recovered) -> String {
    let snapshot = state
        .snapshot
        .as_ref()
        .map(|snapshot| snapshot.metadata.last);
    let log = [state.entries.first(), state.entries.last()];
    let log = log.map(|entry| entry.map(Entry::position));
    let (hard_state, boots) = (state.hard_state, &state.peer_boots);
    format!("{hard_state:?}, {boots:?}, snapshot {snapshot:?}, log {log:?}")
}

fn draw_write(
    state: &Recovered,
    lane: &mut Lane<impl Files>,
    dice: &mut Dice,
) -> Result<Write, StorageError> {
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
    if dice.once_in(6) {
        let mut boots = state.peer_boots.clone();
        let server = ServerId(dice.below(5).into());
        let met = boots.newest(server).unwrap_or_default();
        let boot = Boot {
            number: met.number + 1,
            nonce: dice.roll(),
        };
        boots
            .remember(server, &boot.into(), |_| true)
            .expect("its number is higher");
        write.peer_boots = Some(boots);
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
            write.snapshot = Some(draw_snapshot(through, term, lane, dice)?);
            write.compact = Some(Index(dice.below(through.0 + 1)));
        }
        // From a leader, in place of the whole log.
        2 => {
            end = last.plus(1 + dice.below(3));
            write.snapshot = Some(draw_snapshot(end, term, lane, dice)?);
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
    Ok(write)
}

fn draw_snapshot(
    through: Index,
    term: Term,
    lane: &mut Lane<impl Files>,
    dice: &mut Dice,
) -> Result<Snapshot, StorageError> {
    let state = draw_bytes(dice);
    let metadata = SnapshotMetadata {
        last: LogPosition::new(term, through),
        stamp: ClusterTime(dice.below(1000)),
        configuration: Configuration::of_voters([ServerId(1)]).into(),
        configuration_index: Index(1),
        length: state.len() as u64,
        digest: crc32fast::hash(&state),
    };
    let name = store_state(lane, &metadata, &state)?;
    Ok(Snapshot { name, metadata })
}

/// Has the lane store a state in pieces.
pub(super) fn store_state(
    lane: &mut Lane<impl Files>,
    metadata: &SnapshotMetadata,
    state: &[u8],
) -> Result<SnapshotName, StorageError> {
    let name = lane.begin()?;
    for piece in state.chunks(4000) {
        lane.append(name, piece)?;
    }
    let is_whole = lane.finish(name, metadata.length, metadata.digest)?;
    assert!(is_whole, "it is what it says");
    Ok(name)
}

/// Mostly a few bytes, now and then more than a page.
fn draw_bytes(dice: &mut Dice) -> Bytes {
    let end = if dice.once_in(4) { 9000 } else { 100 };
    dice.bytes_below(end)
}
