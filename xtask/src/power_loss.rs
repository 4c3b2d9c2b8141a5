//! `cargo xtask power-loss`: a member writes to a file system that is shut down under load, which loses what was not
//! synced. Then the file system is mounted again, and all that the member acknowledged must be there.
//!
//! The file systems are in files, mounted as loop devices. What they have handed to such a device is not lost, synced
//! or not: a sync that a file system forgets to hand on is not found here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::kills;
use crate::process::Program;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the power fails, on each file system
    #[arg(long, value_name = "N", default_value_t = 50)]
    cycles: u32,
    /// Repeats the moments of a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file systems
    #[arg(long, value_name = "TYPE", default_values = ["ext4", "xfs"], value_parser = ["ext4", "xfs"])]
    on: Vec<String>,
}

/// XFS makes none that is smaller than 300 MB.
const IMAGE_BYTES: u64 = 512 << 20;

/// A file system is busy for a moment after its last user has ended.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure_possible(&args.on)?;
    let workspace = Workspace::load()?;
    for system in &args.on {
        let mounted = Mounted::new(&workspace.target.join("power-loss"), system)?;
        let done = kills::program(&workspace, args.cycles, args.seed)?
            .arg("--folder")
            .arg(&mounted.point)
            .arg("--image")
            .arg(&mounted.image)
            .run();
        let kept = mounted.image.clone();
        mounted.unmount()?;
        done.with_context(|| format!("on {system}, which is kept in {}", kept.display()))?;
        fs::remove_file(&kept).with_context(|| format!("removing {}", kept.display()))?;
        println!(
            "{system}: {} power losses, nothing acknowledged was lost",
            args.cycles
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Says all that is missing.
fn ensure_possible(systems: &[String]) -> Result<()> {
    let user = Program::new("id").arg("-u").stdout();
    let is_root = user.is_ok_and(|user| user.trim() == "0");
    let makers = systems.iter().map(|system| format!("mkfs.{system}"));
    let programs = makers.chain(["mount", "umount", "xfs_io"].map(str::to_owned));
    let missing = programs.filter(|program| Program::new(program).arg("-V").attempt().is_err());
    let mut missing: Vec<_> = missing.collect();
    if !is_root {
        missing.insert(0, "the rights of root".to_owned());
    }
    ensure!(
        missing.is_empty(),
        "file systems cannot be mounted and shut down here: {} missing (mkfs.ext4 is in the package e2fsprogs, \
         mkfs.xfs and xfs_io are in xfsprogs)",
        missing.join(", ")
    );
    Ok(())
}

/// A file system that is made in a file and mounted. It is not mounted any more when this is dropped.
struct Mounted {
    image: PathBuf,
    point: PathBuf,
    is_mounted: bool,
}

impl Mounted {
    fn new(folder: &Path, system: &str) -> Result<Self> {
        let (image, point) = (folder.join(format!("{system}.img")), folder.join(system));
        fs::create_dir_all(&point).with_context(|| format!("making {}", point.display()))?;
        // Of a run that was killed itself.
        let _not_mounted = command("umount", &[&point]);
        let file = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
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

    fn unmount(mut self) -> Result<()> {
        self.is_mounted = false;
        unmount(&self.point)
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
