//! Runs servers as processes that end with the measurement, in a folder that is removed then.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The servers of a cluster.
pub(crate) const MEMBERS: usize = 3;

/// Nothing takes so long, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is killed when it is dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts a server, whose standard output is piped.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let log = File::create(log).with_context(|| format!("writing {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log);
        let child = command.spawn();
        Ok(Self(child.with_context(|| format!("starting {name}"))?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Returns its standard output.
    ///
    /// # Panics
    /// The second time.
    pub(crate) fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("it is taken once")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A folder that is removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns where a file of this name is in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a folder in it.
    pub(crate) fn of(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}

/// Returns so many ports that are free.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All are open at once: the system gives each once.
    let listeners = (0..count).map(bind).collect::<Result<Vec<_>, _>>()?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports.collect()
}
