//! Judges what a folder holds: what is stored, what was torn and never acknowledged, and what is damaged.
//!
//! Nothing is written here, and no lock is needed. Segments are judged one after the other, each by its bytes alone.

use std::collections::VecDeque;
use std::io::ErrorKind;

use super::errors::io;
use super::files::Files;
use super::header::{self, Header, Judged};
use super::log_reader;
use super::names::{RESERVE, SEGMENT_PREFIX, SNAPSHOT_PREFIX, segment_name, snapshot_name};
use super::pages::PAGE_BYTES;
use super::places::{Placed, Places, SPACING_BYTES};
use super::segment::{Batch, Batches, Holdings, SegmentHead, Tail};
use super::snapshot_file;
use super::store::KeptSegment;
use super::{Repair, StorageError};
use crate::config::Config;
use crate::consensus::Raft;
use crate::ids::{Index, ServerId};
use crate::storage::held::Held;
use crate::storage::records::change::{Change, Replay, Replayed, Shape};
use crate::storage::records::{damaged, fault};
use crate::storage::{Outline, Recovered, Snapshot};
use crate::time::Instant;
use crate::wire::NUMBER_END;

/// What a folder holds.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    pub(super) segments: VecDeque<KeptSegment>,
    pub(super) active: SegmentHead,
    /// Where the next batch goes in the last segment.
    pub(super) offset: u64,
    /// What the last batch changes, and what the log was before it, unless it is known to be durable.
    pub(super) unmarked: Option<(Vec<Change>, Shape)>,
    /// The number of the last batch.
    pub(super) last_batch: u64,
    pub(super) shape: Shape,
    /// Where the entries of the log are.
    pub(super) places: Places,
    pub(super) next_snapshot: u64,
    /// Some of the disk is kept in reserve.
    pub(super) has_reserve: bool,
    /// Files that were never finished.
    pub(super) unfinished: Vec<String>,
    /// Files that nothing refers to once the last batch is durable.
    pub(super) superfluous: Vec<String>,
    /// The last segment ends with something that is no batch.
    pub(super) tail_dropped: bool,
    /// How much more the log since the snapshot in force takes on the disk than its entries weigh.
    pub(super) padding: u64,
    pub(super) recovered: Recovered,
    pub(super) repairs: Vec<Repair>,
}

/// Reads and judges what a folder holds; `None` if no store was ever made there. Of the log it holds the end that
/// weighs no more than `log_bytes_max`, or all that may not be committed, and one segment at a time.
pub(super) fn find<F: Files>(
    files: &mut F,
    log_bytes_max: u64,
) -> Result<Option<Found>, StorageError> {
    let names = Names::of(files.list().map_err(io("list the folder"))?);
    if !names.has_header {
        return expect_blank(files, &names).map(|()| None);
    }
    let header = files.read(header::NAME).map_err(io("read the header"))?;
    let Judged {
        mut header,
        broken_copy,
    } = Header::judge(&header).map_err(|flaw| fault("header", header::NAME, &flaw))?;
    let mut repairs =
        Vec::from_iter(broken_copy.map(|(copy, reason)| Repair::HeaderCopy { copy, reason }));

    let mut log = Reading::holding(log_bytes_max, &header);
    let run = names.last_segments();
    for (number, next) in run.iter().zip(run.iter().skip(1).map(Some).chain([None])) {
        let repeated_from = next.and_then(|next| first_batch(files, *next));
        let name = segment_name(*number);
        let bytes = files.read(&name).map_err(io("read a segment"))?;
        log.read(*number, &bytes, repeated_from, next.is_none())?;
        if next.is_some() {
            let taken = files.allocated(&name);
            log.count_rest(taken.map_err(io("look at a segment"))?);
        }
    }
    let Log {
        segments,
        last,
        places,
        padding,
        replayed:
            Replayed {
                shape,
                outline,
                entries,
                snapshot,
                peer_boots,
            },
    } = log.finish(&header)?;
    if let Some(peer_boots) = peer_boots {
        header.peer_boots = peer_boots;
    }
    let outline = match outline {
        Some(outline) => outline,
        None => outline_before(files, &places, &shape, entries.len())?,
    };
    let name = segment_name(last.head.number);
    let tail_dropped = match &last.tail {
        Tail::Blank => false,
        Tail::Broken { at, reason, .. } => {
            let (offset, reason) = (*at as u64, reason.clone());
            repairs.push(Repair::TailDropped {
                file: name,
                offset,
                reason,
            });
            true
        }
    };
    if let Some(snapshot) = &snapshot {
        expect_snapshot(files, snapshot)?;
    }
    let in_force = shape.snapshot.map(|of| of.file);
    let unused_snapshots = names
        .snapshots
        .iter()
        .filter(|file| Some(**file) != in_force);
    let unused_segments = &names.segments[..names.segments.len() - run.len()];
    let superfluous = unused_snapshots
        .map(|file| snapshot_name(*file))
        .chain(unused_segments.iter().map(|number| segment_name(*number)))
        .collect();
    let last_batch = last.next_batch - 1;
    let next_snapshot = names.snapshots.iter().copied().chain(in_force).max();
    Ok(Some(Found {
        segments,
        active: last.head,
        offset: last.end as u64,
        unmarked: last.unmarked.filter(|_| last_batch > header.mark),
        last_batch,
        shape,
        places,
        next_snapshot: next_snapshot.unwrap_or(0) + 1,
        has_reserve: names.has_reserve,
        unfinished: names.unfinished,
        superfluous,
        tail_dropped,
        padding,
        recovered: Recovered {
            hard_state: header.hard_state,
            snapshot,
            outline,
            entries,
            peer_boots: header.peer_boots.clone(),
        },
        header,
        repairs,
    }))
}

/// The number of the first batch of a segment. If that cannot be told, reading the segment tells why.
fn first_batch<F: Files>(files: &mut F, number: u64) -> Option<u64> {
    let page = files.read_at(&segment_name(number), 0, PAGE_BYTES).ok()?;
    SegmentHead::decode(&page).ok().map(|head| head.first_batch)
}

/// Outlines the log but for its last entries, by reading it once more.
fn outline_before<F: Files>(
    files: &mut F,
    places: &Places,
    shape: &Shape,
    held: usize,
) -> Result<Outline, StorageError> {
    let last = Index(shape.next.0 - 1 - held as u64);
    let mut log = Held::default();
    let mut next = shape.first;
    while next <= last {
        let find = |index| places.find(index);
        let entries = log_reader::read(files, find, next..=last, SPACING_BYTES)?;
        let read = entries.last().map(|entry| entry.index);
        next = read.expect("what was read before is there").next();
        entries.into_iter().for_each(|entry| log.push(entry));
        let evicted = log.evict(0, last);
        evicted.map_err(|error| damaged("log", error.to_string()))?;
    }
    let (outline, _) = log.into_parts();
    Ok(outline.expect("nothing was dropped"))
}

/// Has the core take up what was found, as when a member starts: it judges what the files cannot know.
///
/// # Errors
/// When it would not go on from that.
pub(super) fn begin(recovered: Recovered) -> Result<Raft, StorageError> {
    let (nobody, now) = (ServerId(0), Instant::ORIGIN);
    let raft = Raft::new(nobody, Config::default(), recovered, now, 0);
    raft.map_err(|error| damaged("log", error.to_string()))
}

/// The files of a store, by what they are. Others are none of its business.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) has_header: bool,
    has_reserve: bool,
    /// By number.
    pub(super) segments: Vec<u64>,
    pub(super) snapshots: Vec<u64>,
    unfinished: Vec<String>,
}

impl Names {
    pub(super) fn of(all: Vec<String>) -> Self {
        let mut names = Self::default();
        for name in all {
            let is_unfinished = |name: &str| {
                name.strip_suffix(super::names::UNFINISHED)
                    .is_some_and(|name| {
                        [header::NAME, RESERVE].contains(&name) || numbered(name).is_some()
                    })
            };
            match numbered(&name) {
                _ if name == header::NAME => names.has_header = true,
                Some((SEGMENT_PREFIX, number)) => names.segments.push(number),
                Some((_, file)) => names.snapshots.push(file),
                _ if name == RESERVE => names.has_reserve = true,
                None if is_unfinished(&name) => names.unfinished.push(name),
                None => {}
            }
        }
        names.segments.sort_unstable();
        names.snapshots.sort_unstable();
        names
    }

    /// All of them. The header comes first: without it, what is left is refused.
    pub(super) fn into_all(self) -> Vec<String> {
        let header = self.has_header.then(|| header::NAME.to_owned());
        let segments = self.segments.into_iter().map(segment_name);
        let snapshots = self.snapshots.into_iter().map(snapshot_name);
        let all = header.into_iter().chain(segments).chain(snapshots);
        all.chain(self.unfinished).collect()
    }

    /// The last segments among which none is missing. What comes before a missing one was being removed.
    pub(super) fn last_segments(&self) -> &[u64] {
        let gap = self
            .segments
            .windows(2)
            .rposition(|pair| pair[0] + 1 != pair[1]);
        &self.segments[gap.map_or(0, |gap| gap + 1)..]
    }
}

/// Takes the name of a segment or of a snapshot apart.
fn numbered(name: &str) -> Option<(&'static str, u64)> {
    [SEGMENT_PREFIX, SNAPSHOT_PREFIX]
        .into_iter()
        .find_map(|prefix| {
            let digits = name.strip_prefix(prefix)?;
            let number = u64::from_str_radix(digits, 16).ok()?;
            // No other name for the same number, and none that a store never comes to.
            let is_ours = number < NUMBER_END && format!("{prefix}{number:016x}") == name;
            is_ours.then_some((prefix, number))
        })
}

/// Without a header, a folder has at most what a store has before its header is made.
fn expect_blank<F: Files>(files: &mut F, names: &Names) -> Result<(), StorageError> {
    let is_blank = match names.segments[..] {
        [] => true,
        [1] => {
            let bytes = files.read(&segment_name(1)).map_err(io("read a segment"))?;
            let flawed = |flaw| fault("log", &segment_name(1), &flaw);
            let head = SegmentHead::of(&bytes).map_err(flawed)?;
            let mut batches = Batches::<Change>::new(&bytes, head.salt, head.first_batch);
            let first = batches.next().transpose().map_err(flawed)?;
            first.is_none() && batches.into_tail() == Tail::Blank
        }
        _ => false,
    };
    if is_blank && names.snapshots.is_empty() {
        Ok(())
    } else {
        Err(damaged(
            "header",
            "it is missing, and there is a log or a snapshot",
        ))
    }
}

/// Reads the file of the snapshot in force, which must be whole.
fn expect_snapshot<F: Files>(files: &mut F, snapshot: &Snapshot) -> Result<(), StorageError> {
    let name = snapshot_name(snapshot.name.0);
    match snapshot_file::judge(files, snapshot) {
        Ok(judged) => judged.map_err(|flaw| fault("snapshot", &name, &flaw)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(damaged("snapshot", format!("{name} is missing")))
        }
        Err(error) => Err(io("read the snapshot")(error)),
    }
}

/// The log, segment by segment.
#[derive(Debug)]
struct Reading {
    log_bytes_max: u64,
    commit: Index,
    /// The header has the boots of other servers as of this batch, or of a later one.
    mark: u64,
    segments: VecDeque<KeptSegment>,
    places: Places,
    /// How much more the log since the last snapshot takes on the disk than its entries weigh.
    padding: u64,
    replay: Option<Replay>,
    last: Option<LastSegment>,
}

/// The last segment that was read.
#[derive(Debug)]
struct LastSegment {
    head: SegmentHead,
    /// The number of the batch that comes next, and where that begins.
    next_batch: u64,
    end: usize,
    /// How long the batches are that the next segment does not repeat.
    counted: u64,
    tail: Tail,
    /// What its last batch changes, and what the log was before, if no segment follows it.
    unmarked: Option<(Vec<Change>, Shape)>,
}

/// A log that is in order.
#[derive(Debug)]
struct Log {
    segments: VecDeque<KeptSegment>,
    last: LastSegment,
    places: Places,
    padding: u64,
    replayed: Replayed,
}

impl Reading {
    /// Begins with nothing. Of the entries that are committed by this header it holds those at the end of the log,
    /// while they take no more than `log_bytes_max` of memory with those that follow them.
    fn holding(log_bytes_max: u64, header: &Header) -> Self {
        Self {
            log_bytes_max,
            commit: header.hard_state.commit,
            mark: header.mark,
            segments: VecDeque::new(),
            places: Places::default(),
            padding: 0,
            replay: None,
            last: None,
        }
    }

    /// Reads the next segment. The one after it, unless this is the last one, repeats the batches from `repeated_from`
    /// on: a process that was killed leaves its last batch to the next process.
    fn read(
        &mut self,
        number: u64,
        bytes: &[u8],
        repeated_from: Option<u64>,
        is_last: bool,
    ) -> Result<(), StorageError> {
        let name = segment_name(number);
        let flawed = |flaw| fault("log", &name, &flaw);
        let head = SegmentHead::of(bytes).map_err(flawed)?;
        if head.number != number {
            return Err(damaged(
                "log",
                format!("segment {} is in {name}", head.number),
            ));
        }
        if let Some(before) = self.last.take()
            && before.next_batch < head.first_batch
        {
            let witness = format!("{name} says that it was durable");
            return Err(lacking(&before, &witness));
        }
        let (log_bytes_max, commit) = (self.log_bytes_max, self.commit);
        let replay = self
            .replay
            .get_or_insert_with(|| Replay::starting_with(head.shape, log_bytes_max, commit));
        if *replay.shape() != head.shape {
            return Err(damaged(
                "log",
                format!("{name} does not go on where the log was"),
            ));
        }
        let mut batches = Batches::<Change>::new(bytes, head.salt, head.first_batch);
        let mut next = batches.next().transpose().map_err(flawed)?;
        let mut holdings = Holdings::default();
        let mut unmarked = None;
        let mut counted = 0;
        while let Some(mut batch) = next {
            next = batches.next().transpose().map_err(flawed)?;
            if repeated_from.is_some_and(|from| batch.number >= from) {
                continue;
            }
            if is_last && next.is_none() {
                unmarked = Some((batch.changes.clone(), *replay.shape()));
            }
            holdings.add(Holdings::of(&batch.changes));
            self.padding = padding_after(self.padding, &batch);
            counted += batch.layout.bytes();
            let placed = Placed {
                segment: number,
                salt: head.salt,
                at: batch.start(),
                layout: &batch.layout,
            };
            self.places.add(placed, &batch.changes);
            for change in batch.changes.drain(..) {
                // The header has these, or newer ones.
                if matches!(change, Change::PeerBoots(_)) && batch.number <= self.mark {
                    continue;
                }
                replay.apply(change).map_err(|reason| {
                    damaged("log", format!("batch {} of {name}: {reason}", batch.number))
                })?;
            }
            self.places.settle(replay.shape());
        }
        self.segments.push_back(KeptSegment { number, holdings });
        self.last = Some(LastSegment {
            head,
            next_batch: batches.next_batch(),
            end: batches.at(),
            counted,
            tail: batches.into_tail(),
            unmarked,
        });
        Ok(())
    }

    /// Counts what else the segment that was read last, which another follows, takes of the disk: its head, batches
    /// that are repeated, and what is behind them and is never written. Each kill leaves some of that.
    fn count_rest(&mut self, taken: u64) {
        let counted = self.last.as_ref().map_or(0, |last| last.counted);
        self.padding += taken.saturating_sub(counted);
    }

    /// Judges how the log ends.
    fn finish(mut self, header: &Header) -> Result<Log, StorageError> {
        let wanted = segment_name(header.segment);
        let Some(last) = self.last.take() else {
            return Err(damaged(
                "log",
                format!("{wanted} is missing, as all segments are"),
            ));
        };
        if last.head.number < header.segment {
            return Err(damaged("log", format!("{wanted} is missing")));
        }
        if let Tail::Broken {
            marked_by: Some(by),
            ..
        } = last.tail
        {
            return Err(lacking(
                &last,
                &format!("batch {by} says that it was durable"),
            ));
        }
        if last.next_batch <= header.mark {
            let witness = format!("the header says that batch {} was durable", header.mark);
            return Err(lacking(&last, &witness));
        }
        let replay = self.replay.expect("it began with the first segment");
        let first = self.segments.front().map_or(0, |segment| segment.number);
        let replayed = replay.finish().map_err(|reason| {
            let (found, before) = (segment_name(first), segment_name(first.saturating_sub(1)));
            damaged("log", format!("{reason} before {found}: is {before} lost?"))
        })?;
        Ok(Log {
            segments: self.segments,
            last,
            places: self.places,
            padding: self.padding,
            replayed,
        })
    }
}

/// How much longer the batches since the last snapshot are than their entries weigh, after another one.
fn padding_after(before: u64, batch: &Batch<Change>) -> u64 {
    let mut weight = 0;
    for change in &batch.changes {
        match change {
            Change::Entry(entry) => weight += entry.weight(),
            Change::Snapshot(_) => return 0,
            Change::Truncate(_) | Change::Compact(_) | Change::PeerBoots(_) => {}
        }
    }
    before + batch.layout.bytes().saturating_sub(weight)
}

/// What comes after the whole batches of this segment was durable.
fn lacking(segment: &LastSegment, witness: &str) -> StorageError {
    let (batch, name) = (segment.next_batch, segment_name(segment.head.number));
    let (at, reason) = match &segment.tail {
        Tail::Blank => (segment.end, "nothing is there"),
        Tail::Broken { at, reason, .. } => (*at, reason.as_str()),
    };
    damaged(
        "log",
        format!("batch {batch} at byte {at} of {name}: {reason}, and {witness}"),
    )
}
