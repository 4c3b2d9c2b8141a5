//! File systems in files, mounted as loop devices, for the commands that break them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Program;

/// A file system is busy for a moment after its last user has ended.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);

/// A file system that is made in a file and mounted. It is not mounted any more when this is dropped.
pub(crate) struct Mounted {
    pub(crate) image: PathBuf,
    pub(crate) point: PathBuf,
    is_mounted: bool,
}

impl Mounted {
    /// Makes one of this length in this folder.
    pub(crate) fn new(folder: &Path, system: &str, bytes: u64) -> Result<Self> {
        let (image, point) = (folder.join(format!("{system}.img")), folder.join(system));
        fs::create_dir_all(&point).with_context(|| format!("making {}", point.display()))?;
        // Of a run that was killed itself.
        let _not_mounted = command("umount", &[&point]);
        let file = File::create(&image).and_then(|file| file.set_len(bytes));
        file.with_context(|| format!("making {}", image.display()))?;
        command(&format!("mkfs.{system}"), &[Path::new("-q"), &image])?;
        command(
            "mount",
            &[Path::new("-o"), Path::new("loop"), &image, &point],
        )?;
        Ok(Self {
            image,
            point,
            is_mounted: true,
        })
    }

    /// Unmounts it after a test of this outcome, and removes its file unless the test failed.
    pub(crate) fn end(mut self, outcome: Result<()>) -> Result<()> {
        self.is_mounted = false;
        unmount(&self.point)?;
        let image = self.image.display();
        outcome.with_context(|| format!("the file system is kept in {image}"))?;
        fs::remove_file(&self.image).with_context(|| format!("removing {image}"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = unmount(&self.point)
        {
            eprintln!("{} stays mounted: {error:#}", self.point.display());
        }
    }
}

/// Says all that is missing to make and mount these file systems, and of these programs.
pub(crate) fn ensure_possible(systems: &[String], programs: &[&str]) -> Result<()> {
    let user = Program::new("id").arg("-u").stdout();
    let is_root = user.is_ok_and(|user| user.trim() == "0");
    let makers = systems.iter().map(|system| format!("mkfs.{system}"));
    let programs = ["mount", "umount"].iter().chain(programs);
    let programs = makers.chain(programs.map(|program| (*program).to_owned()));
    let missing = programs.filter(|program| Program::new(program).arg("-V").attempt().is_err());
    let mut missing: Vec<_> = missing.collect();
    if !is_root {
        missing.insert(0, "the rights of root".to_owned());
    }
    ensure!(
        missing.is_empty(),
        "file systems cannot be mounted here: {} missing (mkfs.ext4 is in the package e2fsprogs, mkfs.xfs and xfs_io are \
         in xfsprogs)",
        missing.join(", ")
    );
    Ok(())
}

fn unmount(point: &Path) -> Result<()> {
    let deadline = Instant::now() + UNMOUNT_WITHIN;
    loop {
        match command("umount", &[point]) {
            // The test was interrupted between unmounting and mounting again.
            Err(error) if error.to_string().contains("not mounted") => return Ok(()),
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
}

/// Runs a program that ends soon, also after Ctrl-C: it cleans up.
fn command(program: &str, arguments: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}", told.trim());
    }
    Ok(())
}
