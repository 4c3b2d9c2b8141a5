//! Stores the states of snapshots beside the log, in pieces of one length, each a value of its own.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use liferaft_platform::{SortedMap, SortedSet};

use super::table::{Fault, Shelf, Step, numbered, numbered_in};
use super::task::{Jobs, Shared};
use crate::storage::memory::not_begun;
use crate::storage::records::record::{Kind, Record};
use crate::storage::records::{damaged, fault};
use crate::storage::{Snapshot, SnapshotLane, SnapshotName, StorageError};

/// How long the pieces of a state are, in bytes, but for the last one.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Snapshots that are being written, and those that can be read.
#[derive(Debug, Default)]
pub(super) struct Lane {
    drafts: SortedMap<u64, Draft>,
    /// The lengths of those that are finished, by name.
    finished: SortedMap<u64, u64>,
    /// Finished ones that nobody needs: they go once another one is in force.
    unwanted: SortedSet<u64>,
    /// The one that the last write put in force.
    in_force: Option<u64>,
    /// The last name that was given.
    last: u64,
}

/// A snapshot that is being written.
#[derive(Debug, Default)]
struct Draft {
    length: u64,
    digest: crc32fast::Hasher,
    /// How many pieces are stored.
    pieces: u64,
    /// What follows them.
    rest: BytesMut,
}

impl Lane {
    /// A lane with one snapshot, or none.
    pub(super) fn holding(snapshot: Option<&Snapshot>) -> Self {
        let in_force = snapshot.map(|snapshot| snapshot.name.0);
        let finished = snapshot.map(|snapshot| (snapshot.name.0, snapshot.metadata.length));
        Self {
            finished: finished.into_iter().collect(),
            in_force,
            last: in_force.unwrap_or(0),
            ..Self::default()
        }
    }

    /// Returns true if this snapshot is finished and has the length that it should have.
    pub(super) fn has(&self, snapshot: &Snapshot) -> bool {
        self.finished.get(&snapshot.name.0) == Some(&snapshot.metadata.length)
    }

    /// Takes note that a write puts this one in force.
    pub(super) fn put_in_force(&mut self, name: SnapshotName) {
        self.in_force = Some(name.0);
    }

    fn take_draft(&mut self, name: SnapshotName) -> Result<Draft, StorageError> {
        self.drafts.remove(&name.0).ok_or_else(|| not_begun(name))
    }
}

/// The steps that remove all states but that of the snapshot in force.
pub(super) fn stray(in_force: Option<&Snapshot>) -> Vec<Step> {
    let remove = |from: u64, through: u64| Step::Remove {
        shelf: Shelf::Snapshots,
        keys: numbered_in(&numbered(from), 0)..=numbered_in(&numbered(through), u64::MAX),
    };
    match in_force.map_or(0, |snapshot| snapshot.name.0) {
        0 => vec![remove(0, u64::MAX)],
        name => vec![remove(0, name - 1), remove(name + 1, u64::MAX)],
    }
}

/// The step that removes the state of a snapshot.
fn removal(name: u64) -> Step {
    let name = numbered(name);
    Step::Remove {
        shelf: Shelf::Snapshots,
        keys: numbered_in(&name, 0)..=numbered_in(&name, u64::MAX),
    }
}

/// The step that stores a piece.
fn piece(name: SnapshotName, number: u64, state: &[u8]) -> Step {
    let mut value = Vec::new();
    Record::put(&mut value, Kind::Piece, (number, name.0), |body| {
        body.extend_from_slice(state);
    });
    Step::Put {
        shelf: Shelf::Snapshots,
        key: numbered_in(&numbered(name.0), number),
        value,
    }
}

async fn append(shared: Rc<Shared>, name: SnapshotName, state: Bytes) -> Result<(), StorageError> {
    let mut draft = shared.lane.borrow_mut().take_draft(name)?;
    draft.digest.update(&state);
    draft.length += state.len() as u64;
    draft.rest.extend_from_slice(&state);
    let mut steps = Vec::new();
    while draft.rest.len() >= PIECE_BYTES {
        steps.push(piece(name, draft.pieces, &draft.rest.split_to(PIECE_BYTES)));
        draft.pieces += 1;
    }
    store(&shared, name, &steps).await?;
    shared.lane.borrow_mut().drafts.insert(name.0, draft);
    Ok(())
}

async fn finish(
    shared: Rc<Shared>,
    name: SnapshotName,
    length: u64,
    digest: u32,
) -> Result<bool, StorageError> {
    let draft = shared.lane.borrow_mut().take_draft(name)?;
    if (draft.length, draft.digest.finalize()) != (length, digest) {
        remove_state(&shared, name.0).await?;
        return Ok(false);
    }
    if !draft.rest.is_empty() {
        store(&shared, name, &[piece(name, draft.pieces, &draft.rest)]).await?;
    }
    shared.lane.borrow_mut().finished.insert(name.0, length);
    Ok(true)
}

/// Stores pieces. Without room for them the snapshot is given up: what it took is free again.
async fn store(shared: &Shared, name: SnapshotName, steps: &[Step]) -> Result<(), StorageError> {
    if steps.is_empty() {
        return Ok(());
    }
    let stored = shared.database.transact(steps).await;
    if stored == Err(Fault::Full) {
        shared.is_low.store(true, Ordering::Relaxed);
        remove_state(shared, name.0).await?;
    }
    stored.map_err(|fault| fault.during("write a snapshot"))
}

/// Removes the state of a snapshot. That ends the lane if it fails, also for want of room: what cannot be removed
/// stays.
async fn remove_state(shared: &Shared, name: u64) -> Result<(), StorageError> {
    let removed = shared.database.transact(&[removal(name)]).await;
    removed.map_err(|fault| {
        match fault {
            Fault::Full => Fault::Refused("there is no room to remove it".to_owned()),
            other => other,
        }
        .during("remove a snapshot")
    })
}

async fn read(
    shared: Rc<Shared>,
    name: SnapshotName,
    offset: u64,
    bytes_max: usize,
) -> Result<Option<Bytes>, StorageError> {
    let length_of = || shared.lane.borrow().finished.get(&name.0).copied();
    let Some(length) = length_of() else {
        return Ok(None);
    };
    let begin = offset.min(length);
    let end = begin.saturating_add(bytes_max as u64).min(length);
    if begin == end {
        return Ok(Some(Bytes::new()));
    }
    let piece_bytes = PIECE_BYTES as u64;
    let (first, last) = (begin / piece_bytes, (end - 1) / piece_bytes);
    let key = |number| numbered_in(&numbered(name.0), number);
    let count = u32::try_from(last - first + 1).unwrap_or(u32::MAX);
    let values = shared
        .database
        .list(Shelf::Snapshots, key(first)..=key(last), count);
    let values = values
        .await
        .map_err(|fault| fault.during("read a snapshot"))?;
    let mut state = BytesMut::new();
    for (number, value) in (first..).zip(&values) {
        let shown = format!("piece {number} of snapshot {name}");
        let record = Record::take(&mut &value[..]);
        let record = record.map_err(|flaw| fault("snapshot", &shown, &flaw))?;
        if (record.kind, record.index, record.term) != (Kind::Piece as u32, number, name.0) {
            return Err(damaged(
                "snapshot",
                format!("{shown}: another one is there"),
            ));
        }
        state.extend_from_slice(record.body);
    }
    let skipped = usize::try_from(begin - first * piece_bytes).unwrap_or(usize::MAX);
    let wanted = usize::try_from(end - begin).unwrap_or(usize::MAX);
    if state.len() >= skipped + wanted {
        return Ok(Some(state.freeze().slice(skipped..skipped + wanted)));
    }
    // It may have been removed just now.
    match length_of() {
        None => Ok(None),
        Some(_) => Err(damaged(
            "snapshot",
            format!("pieces {first} to {last} of snapshot {name} are not whole"),
        )),
    }
}

async fn remove(shared: Rc<Shared>, name: SnapshotName) -> Result<(), StorageError> {
    let mut removed = Vec::new();
    {
        let mut lane = shared.lane.borrow_mut();
        if lane.drafts.remove(&name.0).is_some() {
            removed.push(name.0);
        }
        if lane.finished.contains_key(&name.0) {
            lane.unwanted.insert(name.0);
        }
        let kept = lane.in_force.filter(|name| lane.unwanted.remove(name));
        for name in std::mem::take(&mut lane.unwanted) {
            lane.finished.remove(&name);
            removed.push(name);
        }
        lane.unwanted.extend(kept);
    }
    for name in removed {
        remove_state(&shared, name).await?;
    }
    Ok(())
}

#[async_trait]
impl SnapshotLane for Jobs {
    async fn begin(&self) -> Result<SnapshotName, StorageError> {
        self.ask(async |shared| {
            let mut lane = shared.lane.borrow_mut();
            lane.last += 1;
            let name = lane.last;
            lane.drafts.insert(name, Draft::default());
            Ok(SnapshotName(name))
        })
        .await
    }

    async fn append(&self, name: SnapshotName, piece: Bytes) -> Result<(), StorageError> {
        self.ask(move |shared| append(shared, name, piece)).await
    }

    async fn finish(
        &self,
        name: SnapshotName,
        length: u64,
        digest: u32,
    ) -> Result<bool, StorageError> {
        self.ask(move |shared| finish(shared, name, length, digest))
            .await
    }

    async fn read(
        &self,
        name: SnapshotName,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StorageError> {
        self.ask(move |shared| read(shared, name, offset, bytes_max))
            .await
    }

    async fn remove(&self, name: SnapshotName) -> Result<(), StorageError> {
        self.ask(move |shared| remove(shared, name)).await
    }
}
