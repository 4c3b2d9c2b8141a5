//! Entries are read again from any index on, and what is not as it was written is never given.

use std::cell::Cell;

use bytes::Bytes;

use super::fake::FakeDisk;
use super::histories::{Known, store_state};
use crate::entry::{Entry, Payload};
use crate::ids::{Index, Term};
use crate::storage::conformance::{entry, metadata};
use crate::storage::disk::files::Files;
use crate::storage::disk::log_reader;
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::places::SPACING_BYTES;
use crate::storage::disk::store::{Options, Store};
use crate::storage::{Snapshot, StorageError, Write};

fn open(disk: &FakeDisk, segment_bytes: u64) -> Store<FakeDisk> {
    let options = Options {
        segment_bytes,
        nonce: 0x1234_5678_9abc_def0,
    };
    let (store, _) = Store::open(disk.clone(), options).expect("it is in order");
    store
}

/// An entry with a command of so many bytes.
fn long(index: u64, term: u64, bytes: usize) -> Entry {
    let filled = vec![index.to_le_bytes()[0]; bytes];
    Entry {
        payload: Payload::Command(Bytes::from(filled)),
        ..entry(index, term, "")
    }
}

fn append(store: &mut Store<FakeDisk>, entries: Vec<Entry>) {
    let write = Write {
        entries,
        ..Write::default()
    };
    store.write(vec![write]).expect("nothing is refused");
}

/// Puts a snapshot in force, and drops the log up to its end.
fn compact(store: &mut Store<FakeDisk>, disk: &FakeDisk, through: u64) {
    let metadata = metadata(through, 1, b"state");
    let name = store_state(&mut store.lane(disk.clone()), &metadata, b"state");
    let name = name.expect("nothing is refused");
    let write = Write {
        snapshot: Some(Snapshot { name, metadata }),
        compact: Some(Index(through)),
        ..Write::default()
    };
    store.write(vec![write]).expect("nothing is refused");
}

/// A log of 600 entries of 3,000 bytes, of which the last 300 are of term 2, in batches of 1, 2, 3 and so on, in
/// several segments.
fn long_log(disk: &FakeDisk) -> (Store<FakeDisk>, Vec<Entry>) {
    let mut store = open(disk, 1 << 19);
    let log: Vec<_> = (1..=600)
        .map(|index| long(index, 1 + index / 301, 3000))
        .collect();
    let mut rest = &log[..];
    for count in 1.. {
        let (batch, behind) = rest.split_at(rest.len().min(count));
        if batch.is_empty() {
            break;
        }
        append(&mut store, batch.to_vec());
        rest = behind;
    }
    (store, log)
}

#[test]
fn a_range_of_any_begin_and_weight_is_read() {
    let disk = FakeDisk::new(0, None);
    let (store, log) = long_log(&disk);
    let mut reader = store.log(disk.clone());
    let weight = log[0].weight();

    let all = reader.read(Index(1), Index(600), u64::MAX).unwrap();

    assert_eq!(all, log);
    for from in (1..=600_u64).step_by(7) {
        let at = usize::try_from(from).unwrap() - 1;
        let rest = &log[at..];
        let read = |through, bytes_max| {
            let mut reader = store.log(disk.clone());
            reader.read(Index(from), Index(through), bytes_max).unwrap()
        };
        assert_eq!(read(600, 0), rest[..1]);
        assert_eq!(read(from, u64::MAX), rest[..1]);
        assert_eq!(read(from - 1, u64::MAX), []);
        assert_eq!(read(9999, 50 * weight), rest[..rest.len().min(50)]);
        assert_eq!(read(600, 50 * weight - 1), rest[..rest.len().min(49)]);
    }
}

#[test]
fn a_read_takes_from_the_disk_little_more_than_its_entries() {
    let disk = FakeDisk::new(0, None);
    let (store, log) = long_log(&disk);
    let mut reader = store.log(disk.clone());
    let before = disk.bytes_read();

    for index in 1..=600 {
        reader.read(Index(index), Index(index), 0).unwrap();
    }

    let most = log[0].weight() + 2 * SPACING_BYTES;
    assert!(disk.bytes_read() - before <= 600 * most);
}

#[test]
fn what_was_truncated_is_not_read_and_what_replaces_it_is() {
    let disk = FakeDisk::new(0, None);
    let mut store = open(&disk, 1 << 20);
    append(
        &mut store,
        (1..=6).map(|index| long(index, 1, 10)).collect(),
    );
    let replaced = Write {
        truncate: Some(Index(4)),
        entries: vec![long(4, 2, 20), long(5, 2, 20)],
        ..Write::default()
    };
    store.write(vec![replaced]).unwrap();
    append(&mut store, vec![long(6, 2, 20)]);

    let read = store.log(disk).read(Index(2), Index(9), u64::MAX).unwrap();

    let terms: Vec<_> = read
        .iter()
        .map(|entry| (entry.index.0, entry.term.0))
        .collect();
    assert_eq!(terms, [(2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]);
}

#[test]
fn a_compacted_entry_is_gone_and_the_rest_is_read() {
    let disk = FakeDisk::new(0, None);
    let (mut store, log) = long_log(&disk);
    let mut reader = store.log(disk.clone());

    compact(&mut store, &disk, 450);

    assert_eq!(reader.read(Index(450), Index(600), u64::MAX).unwrap(), []);
    let rest = reader.read(Index(451), Index(600), u64::MAX).unwrap();
    assert_eq!(rest, log[450..]);
}

/// Between the lookup and the read, the entry is compacted and its segment removed.
#[test]
fn an_entry_that_is_compacted_while_it_is_read_is_gone() {
    let disk = FakeDisk::new(0, None);
    let (store, _) = long_log(&disk);
    let lookups = Cell::new(0);
    let stretch = store.places().find(Index(1)).expect("it is there");
    let store = Cell::new(Some(store));
    let find = |index| {
        lookups.set(lookups.get() + 1);
        let mut store = store.take()?;
        compact(&mut store, &disk, 450);
        // What a batch made superfluous is removed when the next one is durable.
        append(&mut store, vec![long(601, 2, 10)]);
        assert_eq!(store.places().find(index), None);
        Some(stretch)
    };

    let read = log_reader::read(&mut disk.clone(), find, Index(1)..=Index(9), u64::MAX);

    assert_eq!(read.unwrap(), []);
    assert_eq!(lookups.get(), 2);
}

#[test]
fn a_segment_that_is_missing_is_an_error() {
    let disk = FakeDisk::new(0, None);
    let (store, _) = long_log(&disk);
    disk.clone().remove("log-0000000000000002").unwrap();
    let mut reader = store.log(disk);

    let read = reader.read(Index(1), Index(600), u64::MAX);

    let error = read.unwrap_err().to_string();
    assert!(
        error.contains("in log-0000000000000002: the segment is missing"),
        "{error}"
    );
}

/// A segment, and where what is read of it begins and ends.
type Part = (String, usize, usize);

/// A store with entries in two segments, the first of which is full.
fn small(disk: &FakeDisk) -> (Store<FakeDisk>, [Part; 2], Vec<Entry>) {
    let mut store = open(disk, 5 * PAGE_BYTES as u64);
    let log: Vec<_> = (1..=7).map(|index| entry(index, 1, "command")).collect();
    for entry in &log {
        append(&mut store, vec![entry.clone()]);
    }
    let files = disk.files();
    let segments = [1, 5].map(|index| {
        let place = store
            .places()
            .find(Index(index))
            .expect("it is there")
            .place;
        let name = format!("log-{:016x}", place.segment);
        let end = files[&name].iter().rposition(|byte| *byte != 0);
        let start = usize::try_from(place.offset).unwrap();
        (name, start, 1 + end.expect("it has entries"))
    });
    (store, segments, log)
}

#[test]
fn a_flipped_bit_in_what_is_read_is_an_error() {
    let disk = FakeDisk::new(0, None);
    let (store, segments, log) = small(&disk);
    let files = disk.files();
    let mut reader = store.log(disk.clone());

    for (name, start, end) in segments {
        for (at, byte) in files[&name].iter().enumerate() {
            let flip = |byte: u8| disk.clone().write_at(&name, at as u64, &[byte]).unwrap();
            flip(byte ^ (1 << (at % 8)));
            let read = reader.read(Index(1), Index(7), u64::MAX);
            flip(*byte);
            match read {
                Err(StorageError::Damaged {
                    what: "log",
                    reason,
                }) => {
                    assert!((start..end).contains(&at), "byte {at} of {name}: {reason}");
                    assert!(reason.contains(&name), "{reason}");
                }
                read => {
                    assert!(
                        !(start..end).contains(&at),
                        "byte {at} of {name} is not read"
                    );
                    assert_eq!(read.unwrap(), log);
                }
            }
        }
    }
}

#[test]
fn a_segment_that_was_cut_short_is_an_error() {
    let disk = FakeDisk::new(0, None);
    let (store, segments, log) = small(&disk);
    let (name, _, end) = &segments[0];
    let files = disk.files();

    for length in 0..*end {
        let mut cut = files.clone();
        cut.get_mut(name).expect("it is there").truncate(length);
        let mut reader = store.log(FakeDisk::holding(&cut));

        let read = reader.read(Index(1), Index(7), u64::MAX);

        assert!(
            matches!(read, Err(StorageError::Damaged { .. })),
            "{length} bytes: {read:?}"
        );
    }
    let whole = store.log(disk).read(Index(1), Index(7), u64::MAX);
    assert_eq!(whole.unwrap(), log);
}

/// Entries that were committed later are outlined while the log is read, and dropped again: they were truncated once.
#[test]
fn a_log_is_outlined_as_it_became_after_truncations() {
    let disk = FakeDisk::new(0, None);
    let mut store = open(&disk, 4 * PAGE_BYTES as u64);
    append(
        &mut store,
        (1..=5).map(|index| long(index, 1, 10)).collect(),
    );
    append(&mut store, vec![long(6, 1, 10)]);
    let replaced = Write {
        truncate: Some(Index(4)),
        entries: (4..=7).map(|index| long(index, 3, 2000)).collect(),
        ..Write::default()
    };
    store.write(vec![replaced]).unwrap();
    let committed = Write {
        hard_state: Some(crate::consensus::HardState {
            term: Term(3),
            commit: Index(6),
            ..Default::default()
        }),
        ..Write::default()
    };
    store.write(vec![committed]).unwrap();
    let mut known = Known::default();
    known.state = store.recover(u64::MAX).unwrap();

    let outlined = store.recover(0).unwrap();

    known.expect_outlined(&outlined).unwrap();
    let held: Vec<_> = outlined.entries.iter().map(|entry| entry.index.0).collect();
    assert_eq!((held, outlined.outline.last().index), (vec![7], Index(6)));
}

#[test]
fn what_is_held_of_a_log_is_bounded() {
    let disk = FakeDisk::new(0, None);
    let (mut store, log) = long_log(&disk);
    let noted = Write {
        hard_state: Some(crate::consensus::HardState {
            term: Term(2),
            commit: Index(590),
            ..Default::default()
        }),
        ..Write::default()
    };
    store.write(vec![noted]).unwrap();
    let memory = log[0].memory();

    let held = |store: &mut Store<FakeDisk>, bytes_max| store.recover(bytes_max).unwrap().entries;

    assert_eq!(held(&mut store, 0), log[590..]);
    assert_eq!(held(&mut store, 10 * memory - 1), log[590..]);
    assert_eq!(held(&mut store, 100 * memory), log[500..]);
    assert_eq!(held(&mut store, 100 * memory - 1), log[501..]);
    assert_eq!(held(&mut store, 600 * memory), log);
}

/// In each life it is killed after one entry.
#[test]
fn what_kills_leave_on_the_disk_is_counted() {
    let mut disk = FakeDisk::new(0, None);
    let options = Options {
        segment_bytes: 1 << 20,
        nonce: 0x1234_5678_9abc_def0,
    };
    for index in 1..=8 {
        let (mut store, _) = Store::open(disk.clone(), options).expect("it is in order");
        append(&mut store, vec![entry(index, 1, "command")]);
        disk.restart_process();
    }

    let segments = disk.files().into_keys();
    let mut segments: Vec<_> = segments.filter(|name| name.starts_with("log-")).collect();
    segments.pop();
    let taken = |name: String| disk.allocated(&name).expect("it is there");
    let taken: u64 = segments.into_iter().map(taken).sum();
    let (_, opened) = Store::open(disk.clone(), options).expect("it is in order");

    assert!(taken >= 6 << 18, "{taken}");
    // The last segment has two batches.
    let differs_by = opened.padding.abs_diff(taken);
    assert!(
        differs_by < 3 * PAGE_BYTES as u64,
        "{} of {taken}",
        opened.padding
    );
}
