//! The outbox on disk: the kit that all stores pass, crashes, refusals, damage, and the bytes of its format.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bytes::Bytes;
use futures::executor::block_on;

use super::fake::{Dice, FakeDisk, Refusal, Step, What};
use super::folders::Temporary;
use super::golden::hex;
use crate::ids::Index;
use crate::storage::disk::outbox::{OutboxFile, find};
use crate::storage::disk::pages::PAGE_BYTES;
use crate::storage::disk::worker::Marked as _;
use crate::storage::outbox::conformance::{self, Disk};
use crate::storage::outbox::{
    DiskOutboxStore, OutboxPosition, OutboxStore as _, OutboxWrite, RecoveredOutbox, StoredCommand,
    memory,
};
use crate::storage::records::record::FORMAT;
use crate::storage::{DiskStorage, Repair, Storage as _, StorageError};

const NAME: &str = "outbox-uplink";

/// Room for five batches, so that files come and go.
const FILE_BYTES: u64 = 6 * PAGE_BYTES as u64;

struct Kept(Temporary);

impl Disk for Kept {
    type Store = DiskOutboxStore;

    async fn open(&mut self) -> DiskOutboxStore {
        let opened = DiskOutboxStore::open(self.0.path(), "uplink").await;
        opened.expect("it was closed, and is in order")
    }
}

fn open(disk: &FakeDisk, salt: u64) -> Result<OutboxFile<FakeDisk>, StorageError> {
    let opened = OutboxFile::open(disk.clone(), NAME.to_owned(), FILE_BYTES, salt);
    opened.map(|(file, _)| file)
}

fn command(number: u64, command: &'static [u8]) -> StoredCommand {
    StoredCommand {
        number,
        command: Bytes::from_static(command),
    }
}

fn append(number: u64, bytes: &'static [u8]) -> OutboxWrite {
    OutboxWrite {
        append: vec![command(number, bytes)],
        ..OutboxWrite::default()
    }
}

fn position(sent_through: u64) -> OutboxPosition {
    OutboxPosition {
        nonce: 7,
        session: Some(Index(5)),
        first: 1,
        sent_through,
    }
}

#[test]
fn it_keeps_the_promises_of_an_outbox_store() {
    block_on(conformance::check_all(async || Kept(Temporary::new())));
}

#[test]
fn outboxes_share_a_folder_with_their_member() {
    let folder = Temporary::new();
    let mut member = block_on(DiskStorage::open(folder.path())).unwrap();
    let mut one = block_on(DiskOutboxStore::open(folder.path(), "one")).unwrap();
    let mut other = block_on(DiskOutboxStore::open(folder.path(), "other")).unwrap();
    block_on(one.write(append(1, b"a"))).unwrap();
    block_on(other.write(append(1, b"b"))).unwrap();
    block_on(member.close()).unwrap();
    drop((one, other));

    let member = block_on(DiskStorage::open(folder.path())).unwrap();
    let mut one = block_on(DiskOutboxStore::open(folder.path(), "one")).unwrap();
    let mut other = block_on(DiskOutboxStore::open(folder.path(), "other")).unwrap();

    assert_eq!(member.identity().boot(), 2);
    assert_eq!(
        block_on(one.recover()).unwrap().commands,
        [command(1, b"a")]
    );
    assert_eq!(
        block_on(other.recover()).unwrap().commands,
        [command(1, b"b")]
    );
}

#[test]
fn an_outbox_that_is_open_is_refused_until_it_is_closed() {
    let folder = Temporary::new();
    let first = block_on(DiskOutboxStore::open(folder.path(), "uplink")).unwrap();

    let second = block_on(DiskOutboxStore::open(folder.path(), "uplink"));
    block_on(first.close()).unwrap();
    let third = block_on(DiskOutboxStore::open(folder.path(), "uplink"));

    assert!(matches!(second, Err(StorageError::InUse { .. })));
    assert!(third.is_ok());
}

#[test]
fn a_name_that_is_no_file_name_everywhere_is_refused() {
    let folder = Temporary::new();
    for name in ["", "../up", "Up", "up.new", "a b", &"x".repeat(65)] {
        let opened = block_on(DiskOutboxStore::open(folder.path(), name));

        assert!(
            matches!(opened, Err(StorageError::Unnameable { .. })),
            "{name}"
        );
    }
}

#[test]
fn a_file_that_is_full_gives_way_to_one_without_what_was_removed() {
    let mut disk = FakeDisk::new(0, None);
    let mut file = open(&disk, 1).unwrap();
    for number in 1..=1000 {
        let write = OutboxWrite {
            position: Some(position(number)),
            remove_through: Some(number - 1),
            append: vec![command(number, b"command")],
        };
        file.write(write).unwrap();
    }

    let files = disk.files();
    let stored = find(&mut disk, NAME).unwrap().stored;

    assert_eq!(files.len(), 1);
    assert_eq!(files[NAME].len() as u64, FILE_BYTES);
    assert_eq!(stored.commands, [command(1000, b"command")]);
    assert_eq!(stored.position, Some(position(1000)));
}

#[test]
fn a_gap_between_commands_is_refused_and_ends_the_store() {
    let mut disk = FakeDisk::new(0, None);
    let mut file = open(&disk, 1).unwrap();
    file.write(append(1, b"a")).unwrap();

    let gap = file.write(append(3, b"c"));
    let next = file.write(append(2, b"b"));

    assert!(matches!(gap, Err(StorageError::OutboxDamaged { .. })));
    assert!(matches!(next, Err(StorageError::Stopped { .. })));
    let stored = find(&mut disk, NAME).unwrap().stored;
    assert_eq!(stored.commands, [command(1, b"a")]);
}

/// What is stored, as far as it is known: one of two states while a write is under way, or failed.
#[derive(Debug, Default)]
struct Known {
    state: RecoveredOutbox,
    maybe: Option<RecoveredOutbox>,
    /// The number of the last command that was drawn.
    last: u64,
}

impl Known {
    fn draw(&mut self, dice: &mut Dice) -> OutboxWrite {
        let last = self
            .state
            .commands
            .last()
            .map_or(self.last, |last| last.number);
        let mut write = OutboxWrite::default();
        if dice.once_in(2) {
            write.position = Some(OutboxPosition {
                nonce: dice.roll().into(),
                session: dice.once_in(2).then_some(Index(dice.below(100))),
                first: dice.below(100),
                sent_through: dice.below(100),
            });
        }
        if dice.once_in(2) {
            write.remove_through = Some(dice.below(last + 2));
        }
        for number in last + 1..=last + dice.below(4) {
            let end = if dice.once_in(9) { 9000 } else { 100 };
            let command = dice.bytes_below(end);
            write.append.push(StoredCommand { number, command });
        }
        write
    }

    fn after(&self, write: OutboxWrite) -> RecoveredOutbox {
        let mut state = self.state.clone();
        memory::store(&mut state, write).expect("what is drawn is in order");
        state
    }

    fn acknowledge(&mut self, write: OutboxWrite) {
        self.last = write.append.last().map_or(self.last, |last| last.number);
        self.state = self.after(write);
    }

    fn recover(&mut self, found: RecoveredOutbox) -> Result<(), String> {
        let maybe = self.maybe.take();
        if found != self.state && maybe.as_ref() != Some(&found) {
            return Err(format!(
                "found {found:?}, where {:?} was acknowledged",
                self.state
            ));
        }
        self.last = found.commands.last().map_or(self.last, |last| last.number);
        self.state = found;
        Ok(())
    }
}

/// As many crashes as one history has.
const CRASHES: u32 = 40;

/// How many histories are told: 1,000 crashes in all.
const HISTORIES: u64 = 25;

/// Every sync that something depends on.
const SYNCS: [Step; 3] = [
    Step::Sync(What::NewSegment),
    Step::SyncNames(What::NewSegment),
    Step::Sync(What::Batch),
];

/// Writes until the process is killed or the power fails, opens the outbox again, and so on. Returns the steps at which
/// it died.
fn history(seed: u64, flaw: Option<Step>) -> Result<BTreeSet<Step>, String> {
    let mut dice = Dice(seed);
    let disk = FakeDisk::new(seed, flaw);
    let mut known = Known::default();
    let mut deaths = BTreeSet::new();
    for crash in 0..CRASHES {
        let most = if dice.once_in(2) { 5 } else { 40 };
        disk.dies_after(dice.below(most));
        let told = |what: String| format!("seed {seed}, before crash {crash}: {what}");
        run(&disk, &mut known, &mut dice).map_err(told)?;
        deaths.extend(disk.last_step());
        if dice.once_in(4) {
            disk.restart_process();
        } else {
            disk.lose_power();
        }
    }
    Ok(deaths)
}

/// Opens the outbox and writes until the disk dies.
fn run(disk: &FakeDisk, known: &mut Known, dice: &mut Dice) -> Result<(), String> {
    let opened = OutboxFile::open(disk.clone(), NAME.to_owned(), FILE_BYTES, dice.roll());
    let mut file = match opened {
        Ok((file, _)) => file,
        Err(_) if disk.is_dead() => return Ok(()),
        Err(error) => return Err(format!("it does not open: {error}")),
    };
    known.recover(find(&mut disk.clone(), NAME).expect("it is open").stored)?;
    loop {
        let write = known.draw(dice);
        match file.write(write.clone()) {
            Ok(()) => known.acknowledge(write),
            Err(_) if disk.is_dead() => {
                known.maybe = Some(known.after(write));
                return Ok(());
            }
            Err(error) => return Err(format!("it does not write: {error}")),
        }
        if dice.once_in(10) && file.mark().is_err() {
            return Ok(());
        }
    }
}

#[test]
fn an_outbox_loses_nothing_acknowledged_at_1000_crashes() {
    let deaths: Result<Vec<_>, _> = (0..HISTORIES).map(|seed| history(seed, None)).collect();

    let deaths = deaths.unwrap_or_else(|lost| panic!("{lost}"));
    let deaths: BTreeSet<_> = deaths.into_iter().flatten().collect();
    for step in [Step::Write(What::Batch), Step::Rename(What::NewSegment)]
        .into_iter()
        .chain(SYNCS)
    {
        assert!(
            deaths.contains(&step),
            "none of the crashes came at {step:?}"
        );
    }
}

#[test]
fn an_outbox_without_any_one_of_its_syncs_loses_something() {
    for sync in SYNCS {
        let lost = (0..HISTORIES).find_map(|seed| history(seed, Some(sync)).err());

        assert!(lost.is_some(), "nothing was lost without {sync:?}");
    }
}

/// Writes until a step is refused, and shows what comes of it. Returns false if none was.
fn story(seed: u64, refused_step: u64, refusal: Refusal) -> bool {
    let mut dice = Dice(seed);
    let mut disk = FakeDisk::new(seed, None);
    let mut known = Known::default();
    disk.refuses_after(refused_step, refusal);

    if let Ok(mut file) = open(&disk, 1) {
        for _ in 0..20 {
            let write = known.draw(&mut dice);
            if file.write(write.clone()).is_ok() {
                known.acknowledge(write);
                continue;
            }
            let steps = disk.steps();
            known.maybe = Some(known.after(write.clone()));
            assert!(matches!(
                file.write(write),
                Err(StorageError::Stopped { .. })
            ));
            assert!(matches!(file.mark(), Err(StorageError::Stopped { .. })));
            assert_eq!(disk.steps(), steps, "something was tried again");
            break;
        }
    }
    if !disk.has_refused() {
        return false;
    }

    // What the next process finds is durable from then on, whatever the failed step left in memory.
    disk.restart_process();
    open(&disk, 2).expect("nothing is refused any more");
    let found = find(&mut disk.clone(), NAME).expect("it was opened");
    known
        .recover(found.stored.clone())
        .unwrap_or_else(|lost| panic!("step {refused_step}: {lost}"));
    disk.lose_power();
    assert_eq!(find(&mut disk, NAME).unwrap(), found);
    true
}

#[test]
fn a_refused_step_of_an_outbox_loses_nothing_acknowledged() {
    for refusal in [Refusal::NoRoom, Refusal::Broken] {
        for seed in 0..4 {
            let refused = (0..).take_while(|step| story(seed, *step, refusal)).count();

            assert!(refused > 40, "only {refused} steps were refused");
        }
    }
}

/// A file of three batches: all that was stored when it was opened, and two more, of which the last is unmarked unless
/// it was closed.
fn small(is_closed: bool) -> (Vec<u8>, [RecoveredOutbox; 3]) {
    let disk = FakeDisk::new(0, None);
    let mut file = open(&disk, 1).unwrap();
    file.write(append(1, b"one")).unwrap();
    drop(file);
    let mut file = open(&disk, 0x1234_5678_9abc_def0).unwrap();
    let stored = || find(&mut disk.clone(), NAME).unwrap().stored;
    let first = stored();
    file.write(OutboxWrite {
        position: Some(position(1)),
        ..OutboxWrite::default()
    })
    .unwrap();
    let second = stored();
    file.write(OutboxWrite {
        remove_through: Some(1),
        append: vec![command(2, b"two")],
        position: None,
    })
    .unwrap();
    let third = stored();
    if is_closed {
        file.mark().unwrap();
    }
    (disk.files()[NAME].clone(), [first, second, third])
}

/// What a file with these bytes holds: `None` if it is damaged.
fn held(bytes: Vec<u8>) -> Option<(RecoveredOutbox, usize)> {
    let files = BTreeMap::from([(NAME.to_owned(), bytes)]);
    match find(&mut FakeDisk::holding(&files), NAME) {
        Ok(found) => {
            let is_tail = |repair: &Repair| matches!(repair, Repair::TailDropped { .. });
            assert!(found.repairs.iter().all(is_tail));
            Some((found.stored, found.repairs.len()))
        }
        Err(StorageError::OutboxDamaged { reason }) => {
            assert!(reason.contains(NAME), "{reason}");
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// The one exception: the last write of an outbox that was not closed cannot be told from a torn one.
#[test]
fn a_flipped_bit_in_an_outbox_is_an_error_but_in_its_last_write() {
    for is_closed in [false, true] {
        let (whole, [_, second, third]) = small(is_closed);
        let last = 3 * PAGE_BYTES;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);

            let expected = match at / PAGE_BYTES {
                0..3 => None,
                3 if is_closed => None,
                3 => Some((second.clone(), 1)),
                _ => Some((third.clone(), 1)),
            };
            assert_eq!(
                held(bytes),
                expected,
                "byte {at}, closed {is_closed}, after {last}"
            );
        }
    }
}

#[test]
fn an_outbox_that_is_cut_zeroed_empty_or_longer_is_an_error() {
    let (whole, _) = small(true);

    for length in 0..whole.len() {
        assert_eq!(held(whole[..length].to_vec()), None, "{length} bytes");
    }
    assert_eq!(held(vec![0; whole.len()]), None);
    assert_eq!(held([&whole[..], &[0]].concat()), None);
}

#[test]
fn the_file_of_another_outbox_or_another_format_is_refused() {
    let (whole, _) = small(true);
    let files = BTreeMap::from([("outbox-other".to_owned(), whole.clone())]);
    let other = find(&mut FakeDisk::holding(&files), "outbox-other");
    let mut newer = whole;
    newer[32] += 1;
    let checksum = crc32fast::hash(&newer[12..40 + 16 + NAME.len()]);
    newer[8..12].copy_from_slice(&checksum.to_le_bytes());
    let files = BTreeMap::from([(NAME.to_owned(), newer)]);

    let newer = find(&mut FakeDisk::holding(&files), NAME);

    assert!(matches!(other, Err(StorageError::OutboxDamaged { .. })));
    assert!(matches!(
        newer,
        Err(StorageError::Unsupported {
            what: "outbox",
            format
        }) if format == FORMAT + 1
    ));
}

#[test]
fn a_folder_in_the_place_of_an_outbox_is_an_error() {
    for name in [NAME, "outbox-uplink.lock"] {
        let folder = Temporary::new();
        fs::create_dir_all(folder.path().join(name)).unwrap();

        let opened = block_on(DiskOutboxStore::open(folder.path(), "uplink"));

        assert!(matches!(opened, Err(StorageError::Io { .. })), "{name}");
    }
}

#[test]
fn an_outbox_has_the_bytes_of_its_format() {
    let (bytes, _) = small(false);

    let pages = bytes.chunks(PAGE_BYTES).map(hex);

    let expected = [
        "6c69666572616674 44b729ac09000000 1d00000000000000 0000000000000000 0500000000000000 \
         f0debc9a78563412 0060000000000000 6f7574626f782d75 706c696e6b",
        "2a7df82204000000 1800000000000000 0100000000000000 0000000000000000 f0debc9a78563412 \
         0000000000000000 2300000000000000 04bbf2c40c000000 0300000000000000 0100000000000000 \
         0000000000000000 6f6e65",
        "dee0ad2b04000000 1800000000000000 0200000000000000 0000000000000000 f0debc9a78563412 \
         0100000000000000 4800000000000000 fe5390e40a000000 2800000000000000 0100000000000000 \
         0000000000000000 0000000000000000 0000000000000007 0100000000000000 0500000000000000 \
         01",
        "3dda4bf004000000 1800000000000000 0300000000000000 0000000000000000 f0debc9a78563412 \
         0200000000000000 4300000000000000 b70969210b000000 0000000000000000 0100000000000000 \
         0000000000000000 3a31020c0c000000 0300000000000000 0200000000000000 0000000000000000 \
         74776f",
        "",
        "",
    ];
    assert_eq!(pages.collect::<Vec<_>>(), expected);
}
