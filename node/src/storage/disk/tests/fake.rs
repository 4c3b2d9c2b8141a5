//! A file system that does what real ones do to what was not synced: loses it, tears it, and refuses to write it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::storage::disk::files::Files;
use crate::storage::disk::pages::PAGE_BYTES;

/// What a disk writes at once.
const SECTOR_BYTES: usize = 512;

/// Random numbers (SplitMix64), the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// True once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn place(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("it is below a usize")
    }

    /// Draws bytes, fewer than this many.
    pub(super) fn bytes_below(&mut self, end: u64) -> Bytes {
        let length = usize::try_from(self.below(end)).expect("few bytes are drawn");
        let mut bytes = vec![0; length];
        // Eight of a roll: byte by byte, they would take a third of a test's time.
        for piece in bytes.chunks_mut(size_of::<u64>()) {
            piece.copy_from_slice(&self.roll().to_le_bytes()[..piece.len()]);
        }
        bytes.into()
    }
}

/// A step that a store takes, by what it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Create(What),
    Write(What),
    Sync(What),
    Rename(What),
    SyncNames(What),
    Remove,
}

/// What a step is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    NewHeader,
    NewSegment,
    NewSnapshot,
    FirstCopy,
    SecondCopy,
    Batch,
    /// Names that were found when the store was opened.
    Found,
}

/// What a refused step says, and whether part of it was done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    NoRoom,
    Broken,
}

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct FakeDisk(Arc<Mutex<Machine>>);

#[derive(Debug)]
struct Machine {
    dice: Dice,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Naming>,
    /// What the last rename was of, until the names are synced.
    renamed: Option<What>,
    header_writes: u64,
    steps: u64,
    /// As many bytes were read in parts of files.
    bytes_read: u64,
    /// At this step the machine, or the process, dies.
    dies_at: Option<u64>,
    refuses_at: Option<(u64, Refusal)>,
    is_dead: bool,
    /// The step that was refused.
    refused: Option<Step>,
    /// Syncs of this are not made, though they say so.
    flaw: Option<Step>,
    last_step: Option<Step>,
}

/// A file: as the system shows it, and as it is on the disk.
#[derive(Clone, Debug, Default)]
struct Inode {
    /// What is not beyond the last byte that was written: the rest is a hole.
    allocated: usize,
    shown: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Edit>,
}

#[derive(Clone, Debug)]
enum Edit {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

#[derive(Clone, Debug)]
enum Naming {
    Named(String, usize),
    Renamed(String, String, usize),
    Removed(String, usize),
}

impl FakeDisk {
    pub(super) fn new(seed: u64, flaw: Option<Step>) -> Self {
        Self(Arc::new(Mutex::new(Machine {
            dice: Dice(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            renamed: None,
            header_writes: 0,
            steps: 0,
            bytes_read: 0,
            dies_at: None,
            refuses_at: None,
            is_dead: false,
            refused: None,
            flaw,
            last_step: None,
        })))
    }

    /// A disk on which all of this is durable.
    pub(super) fn holding(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::new(0, None);
        let mut machine = disk.machine();
        for (name, bytes) in files {
            machine.inodes.push(Inode {
                allocated: bytes.len(),
                shown: bytes.clone(),
                durable: bytes.clone(),
                unsynced: Vec::new(),
            });
            let inode = machine.inodes.len() - 1;
            machine.names.insert(name.clone(), inode);
        }
        machine.durable_names = machine.names.clone();
        drop(machine);
        disk
    }

    /// All files, as the system shows them.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let machine = self.machine();
        let files = machine.names.iter();
        files
            .map(|(name, inode)| (name.clone(), machine.inodes[*inode].shown.clone()))
            .collect()
    }

    /// The process, or the machine, dies at the step after so many.
    pub(super) fn dies_after(&self, steps: u64) {
        let mut machine = self.machine();
        machine.dies_at = Some(machine.steps + steps);
    }

    /// The step after so many is refused.
    pub(super) fn refuses_after(&self, steps: u64, refusal: Refusal) {
        let mut machine = self.machine();
        machine.refuses_at = Some((machine.steps + steps, refusal));
    }

    pub(super) fn is_dead(&self) -> bool {
        self.machine().is_dead
    }

    pub(super) fn has_refused(&self) -> bool {
        self.refused().is_some()
    }

    /// The step that was refused.
    pub(super) fn refused(&self) -> Option<Step> {
        self.machine().refused
    }

    pub(super) fn steps(&self) -> u64 {
        self.machine().steps
    }

    /// How many bytes were read in parts of files.
    pub(super) fn bytes_read(&self) -> u64 {
        self.machine().bytes_read
    }

    /// The step that was taken last.
    pub(super) fn last_step(&self) -> Option<Step> {
        self.machine().last_step
    }

    /// Another process has the disk. Nothing is lost that the last one wrote, synced or not.
    pub(super) fn restart_process(&self) {
        let mut machine = self.machine();
        machine.header_writes = 0;
        machine.renamed = None;
        machine.dies_at = None;
        machine.refuses_at = None;
        machine.is_dead = false;
        machine.refused = None;
    }

    /// The power fails: of what was not synced, anything may be there.
    pub(super) fn lose_power(&self) {
        self.restart_process();
        let mut machine = self.machine();
        let Machine {
            dice,
            inodes,
            unsynced_names,
            durable_names,
            names,
            ..
        } = &mut *machine;
        for inode in inodes.iter_mut() {
            inode.lose_power(dice);
        }
        // Names of one file change in order, those of several files independently.
        let mut lost = vec![dice.once_in(3); inodes.len()];
        for naming in unsynced_names.drain(..) {
            let (Naming::Named(_, inode)
            | Naming::Renamed(_, _, inode)
            | Naming::Removed(_, inode)) = naming;
            lost[inode] |= dice.once_in(4);
            if !lost[inode] {
                naming.apply(durable_names);
            }
        }
        *names = durable_names.clone();
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0
            .lock()
            .expect("no test panics while it holds the disk")
    }

    /// The disk, for a process that lives.
    fn alive(&self) -> io::Result<MutexGuard<'_, Machine>> {
        let machine = self.machine();
        if machine.is_dead {
            return Err(io::Error::other("the process is dead"));
        }
        Ok(machine)
    }
}

impl Inode {
    fn lose_power(&mut self, dice: &mut Dice) {
        let keeps_nothing = dice.once_in(3);
        let keeps_all = dice.once_in(3);
        for edit in std::mem::take(&mut self.unsynced) {
            match edit {
                _ if keeps_nothing => {}
                edit if keeps_all => edit.apply(&mut self.durable),
                Edit::Length(_) if dice.once_in(2) => {}
                Edit::Length(length) => Edit::Length(length).apply(&mut self.durable),
                Edit::Bytes(offset, mut bytes) if dice.once_in(3) => {
                    bytes.truncate(dice.place(bytes.len() + 1));
                    Edit::Bytes(offset, bytes).apply(&mut self.durable);
                }
                Edit::Bytes(offset, mut bytes) => {
                    for (sector, bytes) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
                        // A sector is there, or not, or was under the head when the power failed.
                        match dice.below(3) {
                            0 => continue,
                            1 => bytes.fill(0xa5),
                            _ => {}
                        }
                        let offset = offset + sector * SECTOR_BYTES;
                        Edit::Bytes(offset, bytes.to_vec()).apply(&mut self.durable);
                    }
                }
            }
        }
        self.shown = self.durable.clone();
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => {
                bytes.truncate(*length);
                lengthen(bytes, *length);
            }
            Self::Bytes(offset, new) => {
                let end = offset + new.len();
                lengthen(bytes, end);
                bytes[*offset..end].copy_from_slice(new);
            }
        }
    }
}

/// Appends zeros up to this length. `Vec::resize` does so byte by byte where nothing is optimized, which is slow.
fn lengthen(bytes: &mut Vec<u8>, length: usize) {
    let lacking = length.saturating_sub(bytes.len());
    bytes.extend_from_slice(&vec![0; lacking]);
}

impl Naming {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Named(name, inode) => {
                names.insert(name, inode);
            }
            Self::Renamed(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
            Self::Removed(name, _) => {
                names.remove(&name);
            }
        }
    }
}

impl Machine {
    /// Counts a step, which fails if it is the one at which the process dies, or that is refused.
    fn step(&mut self, step: Step) -> io::Result<()> {
        self.last_step = Some(step);
        let at = self.steps;
        self.steps += 1;
        if self.dies_at == Some(at) {
            self.is_dead = true;
            return Err(io::Error::other("the process dies"));
        }
        match self.refuses_at {
            Some((refused, refusal)) if refused == at => {
                self.refused = Some(step);
                Err(match refusal {
                    Refusal::NoRoom => io::Error::from(io::ErrorKind::StorageFull),
                    Refusal::Broken => io::Error::from_raw_os_error(5),
                })
            }
            _ => Ok(()),
        }
    }

    fn inode(&mut self, name: &str) -> io::Result<&mut Inode> {
        let inode = self.names.get(name);
        let inode = inode.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(&mut self.inodes[*inode])
    }

    fn what(&self, name: &str) -> What {
        let is_new = name.ends_with(".new");
        match name {
            _ if name.starts_with("header") && is_new => What::NewHeader,
            _ if name.starts_with("snapshot-") => What::NewSnapshot,
            _ if is_new => What::NewSegment,
            "header" if self.header_writes % 2 == 1 => What::FirstCopy,
            "header" => What::SecondCopy,
            _ => What::Batch,
        }
    }

    fn rename(&mut self, naming: Naming) {
        naming.clone().apply(&mut self.names);
        self.unsynced_names.push(naming);
    }
}

impl Files for FakeDisk {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.names.keys().cloned().collect())
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.alive()?.inode(name)?.shown.clone())
    }

    fn read_at(&mut self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut machine = self.alive()?;
        let offset = usize::try_from(offset).expect("small files");
        let rest = machine.inode(name)?.shown.get(offset..).unwrap_or_default();
        let bytes = rest[..rest.len().min(bytes_max)].to_vec();
        machine.bytes_read += bytes.len() as u64;
        Ok(bytes)
    }

    fn length(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.read(name)?.len() as u64)
    }

    fn allocated(&mut self, name: &str) -> io::Result<u64> {
        Ok(self.alive()?.inode(name)?.allocated as u64)
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        let mut machine = self.alive()?;
        let what = machine.what(name);
        let made = machine.step(Step::Create(what));
        let length = usize::try_from(bytes).expect("small files");
        machine.inodes.push(Inode {
            allocated: 0,
            shown: vec![0; length],
            durable: Vec::new(),
            unsynced: vec![Edit::Length(length)],
        });
        let inode = machine.inodes.len() - 1;
        machine.rename(Naming::Named(name.to_owned(), inode));
        made
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.alive()?;
        if name == "header" {
            assert!(bytes.len() == PAGE_BYTES, "a copy of the header is a page");
            machine.header_writes += 1;
        }
        let what = machine.what(name);
        let made = machine.step(Step::Write(what));
        let mut bytes = bytes.to_vec();
        if made.is_err() {
            let length = machine.dice.place(bytes.len() + 1);
            bytes.truncate(length);
        }
        let offset = usize::try_from(offset).expect("small files");
        let end = offset + bytes.len();
        let edit = Edit::Bytes(offset, bytes);
        let inode = machine.inode(name)?;
        inode.allocated = inode.allocated.max(end);
        edit.apply(&mut inode.shown);
        inode.unsynced.push(edit);
        made
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut machine = self.alive()?;
        let step = Step::Sync(machine.what(name));
        let made = machine.step(step);
        let (is_dead, ignored) = (machine.is_dead, machine.flaw == Some(step));
        let inode = machine.inode(name)?;
        if is_dead || ignored {
            return made;
        }
        // After a failed sync, the system takes for written what is not.
        let unsynced = std::mem::take(&mut inode.unsynced);
        if made.is_ok() {
            for edit in unsynced {
                edit.apply(&mut inode.durable);
            }
        }
        made
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.alive()?;
        let what = machine.what(from);
        let made = machine.step(Step::Rename(what));
        let dies = machine.is_dead && machine.dice.once_in(2);
        if made.is_ok() || dies {
            let inode = *machine.names.get(from).expect("it was created");
            machine.rename(Naming::Renamed(from.to_owned(), to.to_owned(), inode));
        }
        machine.renamed = Some(what);
        made
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut machine = self.alive()?;
        machine.step(Step::Remove)?;
        let inode = *machine
            .names
            .get(name)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        machine.rename(Naming::Removed(name.to_owned(), inode));
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut machine = self.alive()?;
        let what = machine.renamed.take().unwrap_or(What::Found);
        let step = Step::SyncNames(what);
        machine.step(step)?;
        if machine.flaw != Some(step) {
            let names = std::mem::take(&mut machine.unsynced_names);
            for naming in names {
                naming.apply(&mut machine.durable_names);
            }
        }
        Ok(())
    }
}
