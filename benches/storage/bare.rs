//! The bare disk: one file, and nothing but appends and syncs.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Bare(File);

impl Bare {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(File::create(folder.join("bare")).expect("a file can be made"))
    }

    /// Appends each group, of so many bytes, and syncs it before the next. Returns how long that took.
    pub(crate) fn append(&mut self, groups: &[usize]) -> Duration {
        let longest = groups.iter().copied().max().unwrap_or_default();
        let bytes = vec![0xa5; longest];
        let started = Instant::now();
        for group in groups {
            self.0.write_all(&bytes[..*group]).expect("it is written");
            self.0.sync_data().expect("it is synced");
        }
        started.elapsed()
    }
}
