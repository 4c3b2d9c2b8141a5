//! Makes the folder that the members of a demo, or of a cluster for trying out, have their folders in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::Context as _;

/// A folder among the temporary files, removed when this is dropped.
pub(crate) struct Root(PathBuf);

/// The threads of a storage that was dropped may finish what they have begun, and make a file meanwhile. They take no
/// longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(1);

impl Root {
    /// Makes one of a name that no other has.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let name = format!("liferaft-{:016x}", liferaft::platform::entropy_u64());
        let root = std::env::temp_dir().join(name);
        fs::create_dir(&root).with_context(|| format!("cannot make {}", root.display()))?;
        Ok(Self(root))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match fs::remove_dir_all(&self.0) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            crate::tell_error(format_args!("{} is left: {error}", self.0.display()));
        }
    }
}
