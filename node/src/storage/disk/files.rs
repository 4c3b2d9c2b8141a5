//! Names what a store asks of a file system: one trait, so that tests can lose, tear and refuse what was not synced.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use liferaft_platform::private_file;

/// The files of one folder, by name.
///
/// What is written, created, renamed or removed may be lost, in part and in any order, until it is synced: contents by
/// [`sync`](Self::sync), names by [`sync_directory`](Self::sync_directory).
pub(super) trait Files: Send + 'static {
    /// The names of all files.
    fn list(&mut self) -> io::Result<Vec<String>>;
    /// All that a file holds.
    fn read(&mut self, name: &str) -> io::Result<Vec<u8>>;
    /// What a file holds from here on, at most so many bytes.
    fn read_at(&mut self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// How many bytes a file has.
    fn length(&mut self, name: &str) -> io::Result<u64>;
    /// How many bytes of the disk a file takes up; its length where the system does not tell.
    fn allocated(&mut self, name: &str) -> io::Result<u64>;
    /// Makes a file of so many bytes, all zero, in place of any that is there.
    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()>;
    /// Writes to a file that is there, which grows if it ends before.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was written to a file durable, and its length.
    fn sync(&mut self, name: &str) -> io::Result<()>;
    /// Renames a file whose contents are durable, in place of any that is there.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// The file that the process locks that has a member's store open. It is empty.
pub(super) const LOCK: &str = "lock";

/// As much of a file is copied at once, or left out if it is zero.
const COPY_BYTES: u64 = 64 << 10;

/// A folder of the system's file system.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: Option<File>,
    /// The files that were written to since the last one was created.
    open: BTreeMap<String, File>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            lock: None,
            open: BTreeMap::new(),
        }
    }

    /// Makes the folder if there is none, and locks what this file stands for; false if it is locked already.
    pub(super) fn lock(&mut self, name: &str) -> io::Result<bool> {
        let made = make_private_folder(&self.path);
        let made = made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        });
        made.map_err(at(&self.path))?;
        if let Some(parent) = self.path.parent() {
            let is_here = parent.as_os_str().is_empty();
            sync_directory(if is_here { Path::new(".") } else { parent })?;
        }
        let path = self.path.join(name);
        let file = private_file().truncate(false).open(&path);
        let file = file.map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    /// Moves these files to a folder that it makes in this one, in order. Whichever are gone already are passed over.
    pub(super) fn move_to(&mut self, folder: &Path, names: &[String]) -> io::Result<()> {
        self.open.clear();
        fs::create_dir(folder).map_err(at(folder))?;
        for name in names {
            let path = self.path.join(name);
            match fs::rename(&path, folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
            // In this order on the disk as well.
            sync_directory(folder)?;
            sync_directory(&self.path)?;
        }
        Ok(())
    }

    /// Copies a file of this name from another folder, durably but for its name. What is zero there takes no room here.
    pub(super) fn copy_from(&mut self, folder: &Path, name: &str) -> io::Result<()> {
        let path = folder.join(name);
        let original = File::open(&path).map_err(at(&path))?;
        let bytes = original.metadata().map_err(at(&path))?.len();
        self.create(name, bytes)?;
        let (mut offset, mut block) = (0, Vec::new());
        loop {
            block.clear();
            let read = (&original).take(COPY_BYTES).read_to_end(&mut block);
            if read.map_err(at(&path))? == 0 {
                return self.sync(name);
            }
            if block.iter().any(|byte| *byte != 0) {
                self.write_at(name, offset, &block)?;
            }
            offset += block.len() as u64;
        }
    }

    /// Returns true if this file is locked. It does so by locking it, for a moment in which others cannot.
    pub(super) fn is_locked(&self, name: &str) -> io::Result<bool> {
        let path = self.path.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(at(&path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    /// Does something with a file that is open for writing.
    fn with_open<T>(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = self.path.join(name);
        if !self.open.contains_key(name) {
            let file = OpenOptions::new().write(true).open(&path);
            self.open.insert(name.to_owned(), file.map_err(at(&path))?);
        }
        let file = self.open.get_mut(name);
        act(file.expect("it was opened just before")).map_err(at(&path))
    }

    /// Does something with the path of a file.
    fn with_path<T>(&self, name: &str, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        let path = self.path.join(name);
        act(&path).map_err(at(&path))
    }
}

impl Files for Folder {
    fn list(&mut self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path).and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.filter_map(Result::transpose).collect()
        });
        names.map_err(at(&self.path))
    }

    fn read(&mut self, name: &str) -> io::Result<Vec<u8>> {
        self.with_path(name, |path| fs::read(path))
    }

    fn read_at(&mut self, name: &str, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.with_path(name, |path| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(bytes_max as u64).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }

    fn length(&mut self, name: &str) -> io::Result<u64> {
        self.with_path(name, |path| Ok(fs::metadata(path)?.len()))
    }

    fn allocated(&mut self, name: &str) -> io::Result<u64> {
        self.with_path(name, |path| Ok(allocated(&fs::metadata(path)?)))
    }

    fn create(&mut self, name: &str, bytes: u64) -> io::Result<()> {
        self.open.clear();
        let file = self.with_path(name, |path| {
            let file = private_file().truncate(true).open(path)?;
            file.set_len(bytes)?;
            Ok(file)
        })?;
        self.open.insert(name.to_owned(), file);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with_open(name, |file| {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(bytes)
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.with_open(name, |file| file.sync_data())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.open.remove(from);
        self.open.remove(to);
        self.with_path(to, |path| fs::rename(self.path.join(from), path))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        self.with_path(name, |path| fs::remove_file(path))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        sync_directory(&self.path)
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(at(path))
}

/// What the system said, and of which file.
#[derive(Debug)]
struct AtPath {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for AtPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl Error for AtPath {}

/// Adds the path of a file or folder to what the system says of it. The kind of the error stays.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| {
        let path = path.to_owned();
        io::Error::new(error.kind(), AtPath { path, error })
    }
}

/// Returns the number that the system gave an error, also if it has a path.
pub(super) fn os_error(error: &io::Error) -> Option<i32> {
    let inner = error.get_ref();
    let of_path = inner.and_then(|inner| inner.downcast_ref::<AtPath>());
    of_path.map_or(error, |of| &of.error).raw_os_error()
}

#[cfg(unix)]
fn allocated(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    /// What the blocks of `stat` have, whatever the file system's own are.
    const BLOCK_BYTES: u64 = 512;
    file.blocks() * BLOCK_BYTES
}

#[cfg(not(unix))]
fn allocated(file: &fs::Metadata) -> u64 {
    file.len()
}

/// Makes a folder, with those above it, that nobody but its owner may enter; one that is there is left as it is.
#[cfg(unix)]
fn make_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}
