//! The ways in which a member's process comes to its end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How a member's process comes to its end.
#[derive(Debug)]
pub(crate) enum Crash {
    /// By SIGKILL.
    Kill,
    /// The file system that it writes to is shut down, which loses what was not synced. The process must then end by
    /// itself, and tell why. Unlike one whose power has failed it goes on for a moment, and what it tells then may be
    /// wrong: ext4 says of a sync that was under way that it was made, though its journal has dropped what the sync
    /// waits for.
    PowerLoss {
        /// Where the file system is mounted.
        mount: PathBuf,
        /// What it is mounted from.
        image: PathBuf,
    },
}

/// A file system is busy for a moment after its last user has ended.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);

impl Crash {
    /// Lets it happen.
    pub(crate) fn strike(&self, child: &mut Child) -> Result<(), String> {
        match self {
            Self::Kill => child
                .kill()
                .map_err(|error| format!("it cannot be killed: {error}")),
            Self::PowerLoss { mount, .. } => run(Command::new("xfs_io")
                .args(["-x", "-c", "shutdown"])
                .arg(mount)),
        }
    }

    /// Returns true if a process must say why it ends.
    pub(crate) fn is_noticed(&self) -> bool {
        matches!(self, Self::PowerLoss { .. })
    }

    /// Once the process has ended: the machine comes back.
    pub(crate) fn recover(&self) -> Result<(), String> {
        let Self::PowerLoss { mount, image } = self else {
            return Ok(());
        };
        unmount(mount)?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(image)
            .arg(mount))
    }
}

fn unmount(mount: &Path) -> Result<(), String> {
    let deadline = Instant::now() + UNMOUNT_WITHIN;
    loop {
        match run(Command::new("umount").arg(mount)) {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            done => return done,
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        let told = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {}", told.trim()))
    }
}
