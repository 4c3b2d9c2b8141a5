//! A store: one write after the other, each durable before the next.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use liferaft_platform::CACHED_BYTES_MAX;

use super::Repair;
use super::errors::{absent, io};
use super::files::Files;
use super::header::{self, Header, Secret};
use super::lane::{Lane, Shelf};
use super::log_reader::EntryReader;
use super::names::{RESERVE, UNFINISHED, segment_name, snapshot_name};
use super::places::{Placed, SharedPlaces};
use super::recovery::{self, Found};
use super::segment::{Holdings, Layout, NewBatch, SegmentHead};
use crate::configuration::History;
use crate::consensus::HardState;
use crate::identity::draw_secret_key;
use crate::ids::ClusterId;
use crate::storage::StorageError;
use crate::storage::records::change::{Change, Gathered, Shape};
use crate::storage::records::damaged;
use crate::storage::{Recovered, Write};

/// As many bytes of a segment are filled with zeros at once, ahead of the batches that come to be there.
const AHEAD_BYTES: u64 = 256 << 10;

/// A batch that has more than this part of them gets no zeros behind it: they would cost more than they save.
const AHEAD_SHARE: u64 = 8;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// The length of a segment, unless a batch needs more.
    pub(super) segment_bytes: u64,
    /// Random. Segments that are made while the store is open are told from others by it.
    pub(super) nonce: u64,
}

/// What was found when a store was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// How much longer the log since the snapshot in force is than its entries weigh.
    pub(super) padding: u64,
    pub(super) recovered: Recovered,
    pub(super) repairs: Vec<Repair>,
}

/// An open store.
#[derive(Debug)]
pub(super) struct Store<F> {
    files: F,
    options: Options,
    header: Header,
    segments: VecDeque<KeptSegment>,
    /// The last segment, which batches go to.
    active: SegmentHead,
    /// Where the next batch goes in it.
    offset: u64,
    shape: Shape,
    /// Where its entries are.
    places: SharedPlaces,
    /// Batches up to this one are durable.
    synced: u64,
    /// What the lane has finished.
    shelf: Shelf,
    /// The number of the first snapshot's file that the lane writes.
    next_snapshot: u64,
    /// Files that nothing refers to once the last batch is marked as durable.
    superfluous: Vec<String>,
    /// Why nothing more is written.
    failed: Option<String>,
    reserve: Reserve,
}

/// A file that takes up room, to be given up when there is no other.
#[derive(Clone, Debug, Default)]
struct Reserve {
    /// Its length; 0 if there is to be none.
    bytes: u64,
    /// True until it is given up.
    is_there: bool,
    /// True from when something found no room until the reserve is made again.
    is_low: Arc<AtomicBool>,
    /// When to try that, if writes follow one another too closely for [`Store::mark`].
    next_try: Duration,
}

/// A store without room that is never idle tries to make its reserve after so long: that costs as much as a large
/// write.
const TRY_AFTER: Duration = Duration::from_secs(10);

/// A segment, and what it is kept for.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeptSegment {
    pub(super) number: u64,
    pub(super) holdings: Holdings,
}

impl<F: Files> Store<F> {
    /// Opens the store in this folder, or makes one if it is empty. A backup is refused.
    ///
    /// Nothing is written before all that is there has been read and found in order.
    pub(super) fn open(mut files: F, options: Options) -> Result<(Self, Opened), StorageError> {
        let found = match recovery::find(&mut files, CACHED_BYTES_MAX)? {
            Some(found) if found.header.is_backup => {
                let folder = "the store".to_owned();
                return Err(StorageError::Backup { folder });
            }
            Some(found) => found,
            None => {
                create(&mut files, options)?;
                recovery::find(&mut files, 0)?.expect("the header was made just before")
            }
        };
        Self::open_found(files, options, found)
    }

    /// Opens the store that was found in this folder, be it a backup.
    pub(super) fn open_found(
        files: F,
        options: Options,
        found: Found,
    ) -> Result<(Self, Opened), StorageError> {
        let mut store = Self {
            files,
            options,
            header: found.header,
            segments: found.segments,
            active: found.active,
            offset: found.offset,
            shape: found.shape,
            places: SharedPlaces::new(found.places),
            synced: found.last_batch,
            shelf: Shelf::holding(found.recovered.snapshot.as_ref()),
            next_snapshot: found.next_snapshot,
            superfluous: found.unfinished,
            failed: None,
            // What is written below may need its room.
            reserve: Reserve {
                is_there: found.has_reserve,
                ..Reserve::default()
            },
        };
        store.remove_superfluous()?;
        store
            .files
            .sync_directory()
            .map_err(io("sync the folder"))?;
        store.header.starts = store.header.starts.next(options.nonce);
        if let Some((changes, before)) = found.unmarked {
            // It may be nowhere but in the system's memory, and the system may take it for written: a sync of it that
            // failed is never tried again. So it is written again, to another file.
            store.synced -= 1;
            store.shape = before;
            let batch = NewBatch::of(&changes);
            let layout = batch.layout().clone();
            store.begin_segment(Some((batch, Holdings::of(&changes))))?;
            store.note(&changes, &layout, found.shape);
        } else if found.tail_dropped {
            store.begin_segment(None)?;
        } else {
            store.write_header()?;
        }
        store.superfluous = found.superfluous;
        let dead = store.dead_segments();
        store.superfluous.extend(dead);
        store.remove_superfluous()?;
        let opened = Opened {
            padding: found.padding,
            recovered: found.recovered,
            repairs: found.repairs,
        };
        Ok((store, opened))
    }

    /// The lane beside this store, through another handle of the same files.
    pub(super) fn lane(&self, files: F) -> Lane<F> {
        Lane::new(files, self.shelf.clone(), self.next_snapshot, self.low())
    }

    /// A reader of its log, through another handle of the same files.
    pub(super) fn log(&self, files: F) -> EntryReader<F> {
        EntryReader::new(files, self.places.clone())
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> &SharedPlaces {
        &self.places
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// Returns true if whatever is durable is also marked so, and there is room.
    pub(super) fn is_marked(&self) -> bool {
        let is_marked = self.header.mark == self.synced && !self.is_low();
        is_marked || self.failed.is_some()
    }

    /// Keeps so many bytes of the disk in reserve. If there is no room for them, they are kept later.
    pub(super) fn keep_reserve(&mut self, bytes: u64) -> Result<(), StorageError> {
        self.reserve.bytes = bytes;
        self.unless_failed(|store| {
            if store.reserve.is_there
                && store
                    .reserve_is_whole()
                    .map_err(io("look at the reserve"))?
            {
                return Ok(());
            }
            store.make_reserve()
        })
    }

    /// Returns true if the reserve has its length, and takes up as much room: one that is a hole would free none.
    fn reserve_is_whole(&mut self) -> io::Result<bool> {
        let bytes = self.reserve.bytes;
        Ok(self.files.length(RESERVE)? == bytes && self.files.allocated(RESERVE)? >= bytes)
    }

    /// Returns what is true while there is no room but the reserve, or not even that.
    pub(super) fn low(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reserve.is_low)
    }

    /// Returns true if something found no room since the reserve was made last.
    pub(super) fn is_low(&self) -> bool {
        self.reserve.is_low.load(Ordering::Relaxed)
    }

    /// Looks whether there is room again, also if the store is never idle.
    pub(super) fn look_for_room(&mut self, now: Duration) -> Result<(), StorageError> {
        if self.is_low() && now < self.reserve.next_try {
            return Ok(());
        }
        self.reserve.next_try = now + TRY_AFTER;
        self.unless_failed(|store| {
            if store.is_low() {
                store.make_reserve()?;
            }
            Ok(())
        })
    }

    /// Makes the reserve. One that is there is replaced: if there is room for both, there is room again for whatever
    /// found none.
    fn make_reserve(&mut self) -> Result<(), StorageError> {
        let bytes = self.reserve.bytes;
        if bytes > 0 {
            let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
            let actions = ["create the reserve", "write the reserve"];
            let made = create_file(&mut self.files, RESERVE, bytes, actions, &zeros);
            if let Err(error) = made {
                if !is_full(&error) {
                    return Err(error);
                }
                self.reserve.is_low.store(true, Ordering::Relaxed);
                let unfinished = format!("{RESERVE}{UNFINISHED}");
                let removed = self.files.remove(&unfinished).or_else(absent);
                return removed.map_err(io("remove a file"));
            }
            self.reserve.is_there = true;
        }
        self.reserve.is_low.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Makes room if there is none for what was tried: true if it may be tried again, elsewhere.
    fn spend_reserve(&mut self, error: &StorageError) -> Result<bool, StorageError> {
        if !is_full(error) || !std::mem::take(&mut self.reserve.is_there) {
            return Ok(false);
        }
        self.reserve.is_low.store(true, Ordering::Relaxed);
        let removed = self.files.remove(RESERVE).or_else(absent);
        removed.map_err(io("give the reserve up"))?;
        // The room is there when its name is gone for good.
        self.files.sync_directory().map_err(io("sync the folder"))?;
        Ok(true)
    }

    /// Makes these writes durable, all of them or none; but their hard state may be durable alone.
    pub(super) fn write(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        self.shelf.note_log_written();
        self.unless_failed(|store| store.make(writes))
    }

    /// Marks what is durable, so that damage to it is never taken for a torn write.
    pub(super) fn mark(&mut self) -> Result<(), StorageError> {
        self.unless_failed(|store| {
            if store.header.mark < store.synced {
                store.write_header()?;
            }
            let unwanted = store.shelf.take_unwanted(&[store.in_force()]);
            store
                .superfluous
                .extend(unwanted.into_iter().map(snapshot_name));
            store.remove_superfluous()?;
            if store.is_low() {
                store.make_reserve()?;
            }
            Ok(())
        })
    }

    /// Binds a blank store to a cluster, or checks that it is bound to it.
    pub(super) fn bind(
        &mut self,
        cluster: ClusterId,
        history: Option<History>,
    ) -> Result<(), StorageError> {
        let bound = self.header.bound.to(cluster, history)?;
        if bound == self.header.bound {
            return Ok(());
        }
        self.unless_failed(|store| {
            store.header.bound = bound;
            store.write_header()
        })
    }

    /// Takes it from its cluster to one that there was never before.
    pub(super) fn move_to(
        &mut self,
        cluster: ClusterId,
        hard_state: HardState,
    ) -> Result<(), StorageError> {
        self.unless_failed(|store| {
            (store.header.bound.cluster, store.header.hard_state) = (Some(cluster), hard_state);
            store.write_header()
        })
    }

    /// Makes a backup a store that members open, as of the next mark.
    pub(super) const fn restore(&mut self) {
        self.header.is_backup = false;
    }

    /// Reads what is stored, and holds as much of the log as [`recovery::find`] does. All of it is durable: nothing is
    /// under way.
    pub(super) fn recover(&mut self, log_bytes_max: u64) -> Result<Recovered, StorageError> {
        self.unless_failed(|store| {
            let found = recovery::find(&mut store.files, log_bytes_max)?;
            let found = found.expect("a store is never unmade");
            Ok(found.recovered)
        })
    }

    fn unless_failed<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(reason) = self.failed.clone() {
            return Err(StorageError::Stopped { reason });
        }
        act(self).inspect_err(|error| self.failed = Some(error.to_string()))
    }

    fn make(&mut self, writes: Vec<Write>) -> Result<(), StorageError> {
        let Gathered {
            hard_state,
            peer_boots,
            mut changes,
        } = Gathered::of(writes, |snapshot| self.shelf.has(snapshot))?;
        let mut shape = self.shape;
        for change in &changes {
            shape
                .apply(change)
                .map_err(|reason| damaged("log", reason))?;
        }

        if let Some(peer_boots) = peer_boots {
            self.header.peer_boots = peer_boots;
            // They come with a header or a batch that is written anyway, so no write waits longer for them.
            if hard_state.is_none() {
                changes.push(Change::PeerBoots(self.header.peer_boots.clone()));
            }
        }
        // The hard state may be durable early, but never after entries of its term.
        if let Some(hard_state) = hard_state {
            self.header.hard_state = hard_state;
            self.write_header()?;
        }
        if !changes.is_empty() {
            // What the last batch but this one put in force stays until this one is marked.
            let in_force = [self.in_force(), shape.snapshot.map(|of| of.file)];
            let unwanted = self.shelf.take_unwanted(&in_force);
            self.superfluous
                .extend(unwanted.into_iter().map(snapshot_name));
            let layout = self.append(&changes)?;
            self.note(&changes, &layout, shape);
            self.remove_superfluous()?;
            self.superfluous = self.dead_segments();
        }
        Ok(())
    }

    /// The file of the snapshot in force.
    fn in_force(&self) -> Option<u64> {
        self.shape.snapshot.map(|of| of.file)
    }

    /// Takes note of the batch that was written last, after which the log has this shape.
    fn note(&mut self, changes: &[Change], layout: &Layout, after: Shape) {
        let batch = Placed {
            segment: self.active.number,
            salt: self.active.salt,
            at: self.offset - layout.bytes(),
            layout,
        };
        self.places.add(batch, changes, &after);
        self.shape = after;
    }

    /// Writes a batch, which is durable then. Returns where its records are.
    fn append(&mut self, changes: &[Change]) -> Result<Layout, StorageError> {
        let batch = NewBatch::of(changes);
        let layout = batch.layout().clone();
        let bytes = layout.bytes();
        let holdings = Holdings::of(changes);
        if self.offset + bytes > self.active.bytes {
            return self.begin_segment(Some((batch, holdings))).map(|()| layout);
        }
        let mut encoded = batch.encode(self.synced + 1, self.synced, self.active.salt);
        zero_ahead(&mut encoded, self.offset, self.active.bytes);
        let name = segment_name(self.active.number);
        let written = self.files.write_at(&name, self.offset, &encoded);
        if let Err(error) = written.map_err(io("write to the store")) {
            if self.spend_reserve(&error)? {
                // Of what was begun, nothing counts in another segment.
                let again = Some((NewBatch::of(changes), holdings));
                return self.begin_segment(again).map(|()| layout);
            }
            return Err(error);
        }
        self.files.sync(&name).map_err(io("sync the store"))?;
        self.offset += bytes;
        self.synced += 1;
        if let Some(kept) = self.segments.back_mut() {
            kept.holdings.add(holdings);
        }
        Ok(layout)
    }

    /// Begins a segment with this batch, given with what it holds, or without one. Both are durable then, and the last
    /// segment is never written to again: what it holds behind the last batch but this one does not count.
    fn begin_segment(&mut self, first: Option<(NewBatch, Holdings)>) -> Result<(), StorageError> {
        let (number, salt) = (self.active.number + 1, self.options.nonce);
        let (batch, holdings) = match first {
            Some((batch, holdings)) => (batch.encode(self.synced + 1, self.synced, salt), holdings),
            None => (Vec::new(), Holdings::default()),
        };
        let has_batch = !batch.is_empty();
        let written = PAGE + batch.len() as u64;
        let head = SegmentHead {
            number,
            salt,
            bytes: self.options.segment_bytes.max(written),
            first_batch: self.synced + 1,
            shape: self.shape,
        };
        let made = create_segment(&mut self.files, &head, &batch);
        if let Err(error) = made {
            if !self.spend_reserve(&error)? {
                return Err(error);
            }
            create_segment(&mut self.files, &head, &batch)?;
        }
        self.active = head;
        self.offset = written;
        self.synced += u64::from(has_batch);
        self.segments.push_back(KeptSegment { number, holdings });
        self.write_header()
    }

    /// Forgets the segments that hold no entry of the log any more, nor say what the snapshot in force is, and names
    /// them.
    fn dead_segments(&mut self) -> Vec<String> {
        let mut dead = Vec::new();
        while let [front, _, ..] = *self.segments.make_contiguous()
            && front.holdings.highest < self.shape.first
            && (front.holdings.snapshot.is_none() || front.holdings.snapshot != self.in_force())
        {
            self.segments.pop_front();
            dead.push(segment_name(front.number));
        }
        dead
    }

    /// Removes what nothing refers to: the last batch but one is durable, and marked so.
    fn remove_superfluous(&mut self) -> Result<(), StorageError> {
        for name in std::mem::take(&mut self.superfluous) {
            self.files.remove(&name).map_err(io("remove a file"))?;
        }
        Ok(())
    }

    /// Writes both copies of the header, one durable before the other, and with it that the last batch is durable.
    fn write_header(&mut self) -> Result<(), StorageError> {
        let copies = self.header.advance();
        self.header.mark = self.synced;
        self.header.segment = self.active.number;
        let page = self.header.encode();
        for copy in copies {
            self.write_and_sync(header::NAME, copy * PAGE, &page)?;
        }
        Ok(())
    }

    fn write_and_sync(
        &mut self,
        name: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let written = self.files.write_at(name, offset, bytes);
        written.map_err(io("write to the store"))?;
        self.files.sync(name).map_err(io("sync the store"))
    }
}

const PAGE: u64 = super::pages::PAGE_BYTES as u64;

/// Makes a store, with the key of a server that there was never before. Its header comes last: a folder with a header
/// has had all else.
fn create<F: Files>(files: &mut F, options: Options) -> Result<(), StorageError> {
    let head = SegmentHead {
        number: 1,
        salt: options.nonce,
        bytes: options.segment_bytes,
        first_batch: 1,
        shape: Shape::default(),
    };
    create_segment(files, &head, &[])?;
    let header = Header {
        secret: Secret(draw_secret_key()),
        ..Header::default()
    };
    let copies = [header.encode(), header.encode()].concat();
    let (bytes, actions) = (
        copies.len() as u64,
        ["create the header", "write the header"],
    );
    create_file(files, header::NAME, bytes, actions, &copies)
}

fn create_segment<F: Files>(
    files: &mut F,
    head: &SegmentHead,
    batch: &[u8],
) -> Result<(), StorageError> {
    let mut written = head.encode();
    written.extend_from_slice(batch);
    zero_ahead(&mut written, 0, head.bytes);
    let actions = ["create a segment", "write a segment"];
    create_file(
        files,
        &segment_name(head.number),
        head.bytes,
        actions,
        &written,
    )
}

/// Appends zeros to what is written at this offset of a segment, if that reaches beyond what was filled so before. A
/// sync of what lies within the file's written part need not write which blocks are the file's: on ext4 that takes a
/// third of the time of a small batch.
fn zero_ahead(written: &mut Vec<u8>, offset: u64, segment_bytes: u64) {
    let ahead = AHEAD_BYTES.min(segment_bytes / 3);
    let bytes = written.len() as u64;
    let end = offset + bytes;
    if bytes * AHEAD_SHARE > AHEAD_BYTES || end.div_ceil(ahead) == offset.div_ceil(ahead) {
        return;
    }
    let zeroed = end.next_multiple_of(ahead).min(segment_bytes) - offset;
    written.resize(
        usize::try_from(zeroed).expect("it is a part of a segment"),
        0,
    );
}

/// Makes a file of so many bytes that begins with these, and once it is durable gives it its name. `actions` say
/// what fails if it cannot be created, or not written.
pub(super) fn create_file<F: Files>(
    files: &mut F,
    name: &str,
    bytes: u64,
    [create, write]: [&'static str; 2],
    written: &[u8],
) -> Result<(), StorageError> {
    let new = format!("{name}{UNFINISHED}");
    files.create(&new, bytes).map_err(io(create))?;
    files.write_at(&new, 0, written).map_err(io(write))?;
    files.sync(&new).map_err(io("sync a new file"))?;
    files.rename(&new, name).map_err(io("rename a new file"))?;
    files.sync_directory().map_err(io("sync the folder"))
}

/// Returns true if there was no room on the disk, when something was written and before it was synced.
fn is_full(error: &StorageError) -> bool {
    matches!(error, StorageError::Full { action } if !action.starts_with("sync"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: u64 = 16 << 20;

    /// Where what is written ends, if it is so long and begins here.
    fn end_of(bytes: u64, offset: u64, segment_bytes: u64) -> u64 {
        let mut written = vec![1; usize::try_from(bytes).unwrap()];
        zero_ahead(&mut written, offset, segment_bytes);
        offset + written.len() as u64
    }

    #[test]
    fn a_batch_brings_zeros_only_where_there_are_none() {
        assert_eq!(end_of(PAGE, 0, SEGMENT_BYTES), AHEAD_BYTES);
        assert_eq!(end_of(PAGE, PAGE, SEGMENT_BYTES), 2 * PAGE);
        assert_eq!(end_of(PAGE, AHEAD_BYTES - PAGE, SEGMENT_BYTES), AHEAD_BYTES);
        assert_eq!(end_of(PAGE, AHEAD_BYTES, SEGMENT_BYTES), 2 * AHEAD_BYTES);
        assert_eq!(
            end_of(2 * PAGE, AHEAD_BYTES - PAGE, SEGMENT_BYTES),
            2 * AHEAD_BYTES
        );
    }

    #[test]
    fn a_large_batch_brings_no_zeros() {
        assert_eq!(end_of(AHEAD_BYTES, PAGE, SEGMENT_BYTES), AHEAD_BYTES + PAGE);
    }

    #[test]
    fn zeros_end_with_their_segment() {
        assert_eq!(end_of(PAGE, 4 * PAGE, 5 * PAGE), 5 * PAGE);
    }
}
