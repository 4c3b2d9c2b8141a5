//! Damage of every kind to every part of a small store: each time the right one of three answers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use futures::executor::block_on;

use super::fake::FakeDisk;
use super::folders::Temporary;
use super::histories::store_state;
use crate::entry::Entry;
use crate::ids::Index;
use crate::storage::conformance::{boots, entry, hard_state, metadata};
use crate::storage::disk::inspection::examine;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::recovery;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{
    DiskStorage, Recovered, Repair, Snapshot, StorageError, Verdict, Write, inspect, set_aside,
};

type Files = BTreeMap<String, Vec<u8>>;

const HEADER: &str = "header";
const FIRST: &str = "log-0000000000000001";
const SECOND: &str = "log-0000000000000002";
const SNAPSHOT: &str = "snapshot-0000000000000001";

/// Room for four batches.
const SEGMENT_BYTES: usize = 5 * PAGE_BYTES;

/// What a store answers that was damaged.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// All is there.
    Whole,
    /// All is there, and one copy of the header has to be written again.
    HeaderMended,
    /// All up to here is there, and something after it was dropped.
    Dropped { last: Index },
    /// An error that names this.
    Damaged(&'static str),
}

/// A small store: a snapshot, and a log of seven batches in two segments. Of the three in the second segment, the first
/// is marked by the header, the second by the third, and the third by nothing unless the store was closed.
struct Small {
    files: Files,
    stored: Recovered,
    answers: Cell<u32>,
}

impl Small {
    fn new(is_closed: bool) -> Self {
        let disk = FakeDisk::new(0, None);
        let options = Options {
            segment_bytes: SEGMENT_BYTES as u64,
            nonce: 0x1234_5678_9abc_def0,
        };
        let (mut store, _) = Store::open(disk.clone(), options).unwrap();
        let first = Write {
            hard_state: Some(hard_state(1, Some(7))),
            peer_boots: Some(boots([(8, 1)])),
            snapshot: Some(stored_snapshot(&store, &disk, 2, b"state")),
            entries: vec![entry(3, 1, "c")],
            ..Write::default()
        };
        store.write(vec![first]).unwrap();
        for index in 4..=9 {
            let entries = vec![entry(index, 1, "command")];
            let write = Write {
                entries,
                // In a batch behind the last header.
                peer_boots: (index == 8).then(|| boots([(8, 1), (9, 2)])),
                ..Write::default()
            };
            store.write(vec![write]).unwrap();
        }
        if is_closed {
            store.mark().unwrap();
        }
        let files = disk.files();
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(names, [HEADER, FIRST, SECOND, SNAPSHOT]);
        let stored = stored(&files).unwrap().0;
        assert_eq!(stored.entries.len(), 7);
        assert_eq!(stored.peer_boots, boots([(8, 1), (9, 2)]));
        Self {
            files,
            stored,
            answers: Cell::default(),
        }
    }

    /// What comes of it when a file holds this instead.
    fn answer_with(&self, name: &str, bytes: Vec<u8>) -> Answer {
        let mut files = self.files.clone();
        files.insert(name.to_owned(), bytes);
        self.answer(&files)
    }

    fn answer_without(&self, name: &str) -> Answer {
        let mut files = self.files.clone();
        files.remove(name);
        self.answer(&files)
    }

    fn answer(&self, files: &Files) -> Answer {
        let stored = stored(files);
        // An inspection reads all of it twice more: of thousands of damages, some are inspected.
        let answers = self.answers.replace(self.answers.get() + 1);
        if answers < 32 || answers.is_multiple_of(17) {
            assert_inspection_agrees(files, &stored);
        }
        let (found, repairs) = match stored {
            Ok(found) => found,
            Err(StorageError::Damaged { what, reason }) => {
                assert!(!reason.is_empty());
                return Answer::Damaged(what);
            }
            Err(other) => panic!("{other}"),
        };
        let mut kept = self.stored.clone();
        kept.entries.truncate(found.entries.len());
        assert_eq!(found, kept, "other data was recovered, {repairs:?}");
        let is_whole = found == self.stored;
        match &repairs[..] {
            [] if is_whole => Answer::Whole,
            [Repair::HeaderCopy { .. }] if is_whole => Answer::HeaderMended,
            [Repair::TailDropped { .. }] => {
                let last = found.entries.last().expect("seven batches were written");
                Answer::Dropped { last: last.index }
            }
            _ => panic!("{} entries and {repairs:?}", found.entries.len()),
        }
    }

    /// Every flip of one bit in a file, a bit of each byte.
    fn flips(&self, name: &str) -> impl Iterator<Item = (usize, Answer)> {
        let whole = &self.files[name];
        (0..whole.len()).map(move |at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            (at, self.answer_with(name, bytes))
        })
    }
}

/// A snapshot of term 1 on the lane of a store.
fn stored_snapshot(store: &Store<FakeDisk>, disk: &FakeDisk, last: u64, state: &[u8]) -> Snapshot {
    let metadata = metadata(last, 1, state);
    let name = store_state(&mut store.lane(disk.clone()), &metadata, state);
    let name = name.expect("nothing is refused");
    Snapshot { name, metadata }
}

fn stored(files: &Files) -> Result<(Recovered, Vec<Repair>), StorageError> {
    let found = recovery::find(&mut FakeDisk::holding(files), u64::MAX)?;
    let found = found.ok_or_else(|| StorageError::Damaged {
        what: "folder",
        reason: "it would be taken for a blank one".to_owned(),
    })?;
    Ok((found.recovered, found.repairs))
}

/// Whatever a folder holds, an inspection tells of it what a member would be told, and what can be read.
fn assert_inspection_agrees(
    files: &Files,
    stored: &Result<(Recovered, Vec<Repair>), StorageError>,
) {
    let disk = FakeDisk::holding(files);
    let inspection = examine(&mut disk.clone(), usize::MAX).expect("the folder can be listed");
    assert_eq!((disk.steps(), &disk.files()), (0, files), "it writes");
    let is_whole = |name: &str| inspection.flaws.iter().all(|flaw| flaw.file != name);
    match (stored, inspection.verdict) {
        (Ok((recovered, repairs)), Verdict::Sound) => {
            let entries = recovered.entries.iter().map(Entry::position);
            let outlines = inspection.last_entries.iter().map(|entry| entry.position);
            assert!(outlines.eq(entries));
            assert_eq!(inspection.repairs, *repairs);
            assert_eq!(inspection.peer_boots, recovered.peer_boots);
            assert!(inspection.header.is_some() && inspection.snapshot.is_some());
        }
        (Err(StorageError::Damaged { what: "folder", .. }), Verdict::Blank) => {}
        (Err(wanted), Verdict::Refused(found)) => {
            assert_eq!(found.to_string(), wanted.to_string());
            let has = |name: &str| files.contains_key(name);
            assert_eq!(inspection.header.is_some(), has(HEADER) && is_whole(HEADER));
            assert_eq!(
                inspection.peer_boots.is_empty(),
                inspection.header.is_none()
            );
            // What it is stands in the first segment.
            let is_known = has(FIRST) && is_whole(FIRST) || inspection.snapshot.is_some();
            assert_eq!(
                inspection.snapshot.is_some(),
                is_known && has(SNAPSHOT) && is_whole(SNAPSHOT)
            );
            assert!(inspection.log.is_some(), "no entry can be read: {found}");
        }
        (stored, verdict) => panic!("{stored:?} is called {verdict:?}"),
    }
}

const DAMAGED_LOG: Answer = Answer::Damaged("log");

#[test]
fn a_flipped_bit_in_the_header_is_mended_from_its_other_copy() {
    let small = Small::new(false);

    for (at, answer) in small.flips(HEADER) {
        assert_eq!(answer, Answer::HeaderMended, "byte {at}");
    }
}

#[test]
fn a_flipped_bit_in_the_snapshot_is_an_error() {
    let small = Small::new(false);

    for (at, answer) in small.flips(SNAPSHOT) {
        assert_eq!(answer, Answer::Damaged("snapshot"), "byte {at}");
    }
}

#[test]
fn a_flipped_bit_in_a_full_segment_is_an_error() {
    let small = Small::new(false);

    for (at, answer) in small.flips(FIRST) {
        assert_eq!(answer, DAMAGED_LOG, "byte {at}");
    }
}

/// The one exception: the last batch of a store that was not closed cannot be told from a torn one.
#[test]
fn a_flipped_bit_in_the_last_unmarked_batch_drops_it() {
    let small = Small::new(false);
    let last_batch = 3 * PAGE_BYTES;

    for (at, answer) in small.flips(SECOND) {
        let expected = match at {
            _ if at < last_batch => DAMAGED_LOG,
            _ if at < last_batch + PAGE_BYTES => Answer::Dropped { last: Index(8) },
            _ => Answer::Dropped { last: Index(9) },
        };
        assert_eq!(answer, expected, "byte {at}");
    }
}

#[test]
fn a_flipped_bit_in_the_last_batch_of_a_closed_store_is_an_error() {
    let small = Small::new(true);
    let end = 4 * PAGE_BYTES;

    for (at, answer) in small.flips(SECOND) {
        let expected = if at < end {
            DAMAGED_LOG
        } else {
            Answer::Dropped { last: Index(9) }
        };
        assert_eq!(answer, expected, "byte {at}");
    }
}

#[test]
fn a_file_that_is_cut_short_anywhere_is_an_error() {
    let small = Small::new(false);

    for (name, what) in [(FIRST, "log"), (SECOND, "log"), (SNAPSHOT, "snapshot")] {
        for length in 0..small.files[name].len() {
            let answer = small.answer_with(name, small.files[name][..length].to_vec());
            assert_eq!(answer, Answer::Damaged(what), "{name} of {length} bytes");
        }
    }
}

#[test]
fn a_header_that_is_cut_short_needs_one_whole_copy() {
    let small = Small::new(false);

    for length in 0..small.files[HEADER].len() {
        let answer = small.answer_with(HEADER, small.files[HEADER][..length].to_vec());
        let is_whole = length >= PAGE_BYTES;
        let expected = if is_whole {
            Answer::HeaderMended
        } else {
            Answer::Damaged("header")
        };
        assert_eq!(answer, expected, "{length} bytes");
    }
}

#[test]
fn a_file_of_zeros_or_that_is_longer_is_an_error() {
    let small = Small::new(false);

    for (name, what) in [
        (HEADER, "header"),
        (FIRST, "log"),
        (SECOND, "log"),
        (SNAPSHOT, "snapshot"),
    ] {
        let length = small.files[name].len();
        let longer = [&small.files[name][..], &[0]].concat();
        assert_eq!(
            small.answer_with(name, vec![0; length]),
            Answer::Damaged(what)
        );
        assert_eq!(small.answer_with(name, longer), Answer::Damaged(what));
    }
}

#[test]
fn a_batch_of_zeros_before_another_is_an_error() {
    let small = Small::new(false);
    let mut bytes = small.files[SECOND].clone();
    bytes[PAGE_BYTES..][..PAGE_BYTES].fill(0);

    assert_eq!(small.answer_with(SECOND, bytes), DAMAGED_LOG);
}

#[test]
fn a_file_that_is_missing_or_another_is_an_error() {
    let small = Small::new(false);

    assert_eq!(small.answer_without(HEADER), Answer::Damaged("header"));
    assert_eq!(small.answer_without(FIRST), DAMAGED_LOG);
    assert_eq!(small.answer_without(SECOND), DAMAGED_LOG);
    assert_eq!(small.answer_without(SNAPSHOT), Answer::Damaged("snapshot"));
    let other = small.files[FIRST].clone();
    assert_eq!(small.answer_with(SECOND, other), DAMAGED_LOG);
}

#[test]
fn an_error_names_the_batch_and_who_says_that_it_was_durable() {
    let mut files = Small::new(false).files;
    files.get_mut(FIRST).unwrap()[2 * PAGE_BYTES + 90] ^= 1;

    let error = stored(&files).unwrap_err().to_string();

    let expected = format!(
        "the stored log is damaged: batch 2 at byte 8192 of {FIRST}: the checksum of a record does not match, at byte 56 \
         of the batch, and {SECOND} says that it was durable"
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_dropped_tail_stays_dropped_and_the_log_goes_on() {
    let mut files = Small::new(false).files;
    files.get_mut(SECOND).unwrap()[3 * PAGE_BYTES + 70] ^= 1;
    let disk = FakeDisk::holding(&files);
    let options = Options {
        segment_bytes: SEGMENT_BYTES as u64,
        nonce: 1,
    };

    let (mut store, opened) = Store::open(disk.clone(), options).unwrap();
    let entries = vec![entry(9, 2, "again")];
    store
        .write(vec![Write {
            entries,
            ..Write::default()
        }])
        .unwrap();
    disk.lose_power();
    let (_, again) = Store::open(disk, options).unwrap();

    assert_eq!(opened.repairs.len(), 1);
    assert_eq!(again.repairs, []);
    assert_eq!(again.recovered.entries.last(), Some(&entry(9, 2, "again")));
}

#[test]
fn a_segment_that_was_begun_after_a_dropped_tail_is_missed() {
    let mut files = Small::new(true).files;
    *files.get_mut(SECOND).unwrap().last_mut().unwrap() = 1;
    let disk = FakeDisk::holding(&files);
    let options = Options {
        segment_bytes: SEGMENT_BYTES as u64,
        nonce: 1,
    };
    let (mut store, _) = Store::open(disk.clone(), options).unwrap();
    let entries = vec![entry(10, 2, "unmarked")];
    let write = Write {
        entries,
        ..Write::default()
    };
    store.write(vec![write]).unwrap();
    let mut files = disk.files();

    let third = files.remove("log-0000000000000003");

    assert!(third.is_some());
    let missing = "the stored log is damaged: log-0000000000000003 is missing";
    let error = stored(&files).unwrap_err().to_string();
    assert!(error.starts_with(missing), "{error}");
}

#[test]
fn a_dropped_switch_leaves_the_earlier_snapshot() {
    let disk = FakeDisk::holding(&Small::new(false).files);
    let options = Options {
        segment_bytes: 1 << 20,
        nonce: 1,
    };
    let (mut store, opened) = Store::open(disk.clone(), options).unwrap();
    let switch = Write {
        snapshot: Some(stored_snapshot(&store, &disk, 6, b"later")),
        compact: Some(Index(6)),
        ..Write::default()
    };
    store.write(vec![switch]).unwrap();
    let mut files = disk.files();
    let (_, segment) = files
        .iter_mut()
        .rfind(|(name, _)| name.starts_with("log-"))
        .unwrap();
    let switched = segment.iter().rposition(|byte| *byte != 0).unwrap();
    segment[switched] ^= 1;

    let (recovered, repairs) = stored(&files).unwrap();

    assert!(matches!(repairs[..], [Repair::TailDropped { .. }]));
    assert_eq!(recovered, opened.recovered);
}

#[test]
fn a_store_that_is_damaged_is_left_as_it_is() {
    let mut files = Small::new(false).files;
    files.get_mut(FIRST).unwrap()[PAGE_BYTES + 70] ^= 1;
    let disk = FakeDisk::holding(&files);
    let options = Options {
        segment_bytes: SEGMENT_BYTES as u64,
        nonce: 1,
    };

    let opened = Store::open(disk.clone(), options);

    assert!(matches!(opened, Err(StorageError::Damaged { .. })));
    assert_eq!((disk.steps(), disk.files()), (0, files));
}

/// A folder with the files of a store, and a folder in the place of one of them.
fn misplaced(small: &Small, name: &str) -> Temporary {
    let folder = Temporary::new();
    fs::create_dir_all(folder.path()).unwrap();
    for (name, bytes) in &small.files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    // Not all of them are there.
    let _absent = fs::remove_file(folder.path().join(name));
    fs::create_dir(folder.path().join(name)).unwrap();
    folder
}

#[test]
fn a_folder_in_the_place_of_any_file_is_an_error() {
    let small = Small::new(false);
    for name in [HEADER, FIRST, SECOND, SNAPSHOT, "lock", "reserve"] {
        let folder = misplaced(&small, name);

        let inspected = inspect(folder.path(), 0).unwrap().verdict;
        let opened = block_on(DiskStorage::open(folder.path()));

        assert!(matches!(opened, Err(StorageError::Io { .. })), "{name}");
        assert!(
            matches!(inspected, Verdict::Refused(StorageError::Io { .. })),
            "{name}: {inspected:?}"
        );
    }
}

/// The store behind it is in order, and nothing of it is set aside.
#[test]
fn a_folder_in_the_way_of_a_file_is_told_and_moved_by_hand() {
    let small = Small::new(false);
    for name in [
        "header.new",
        "log-0000000000000009.new",
        "snapshot-0000000000000009",
        "reserve",
    ] {
        let folder = misplaced(&small, name);

        let inspected = inspect(folder.path(), 0).unwrap().verdict;
        let aside = set_aside(folder.path()).map(|_| ());
        let opened = block_on(DiskStorage::open(folder.path())).map(|_| ());
        fs::remove_dir(folder.path().join(name)).unwrap();
        let again = block_on(DiskStorage::open(folder.path()));

        let Verdict::Refused(told) = inspected else {
            panic!("{name}: {inspected:?}");
        };
        assert!(told.to_string().contains(name), "{told}");
        for refused in [aside, opened] {
            assert!(matches!(refused, Err(StorageError::Io { .. })), "{name}");
        }
        assert!(again.is_ok(), "{name}: {again:?}");
    }
}
