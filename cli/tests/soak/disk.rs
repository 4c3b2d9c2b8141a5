//! Makes a file system of its own for a member, which can be frozen: writes hang until it thaws.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::lab::run;

/// A member's log and snapshots take a few MiB.
const IMAGE_BYTES: u64 = 256 << 20;

/// A file system is busy for a moment after its last user has ended.
const UNMOUNT_WITHIN: Duration = Duration::from_secs(10);

/// A file system in a file.
pub(crate) struct Disk {
    point: PathBuf,
}

/// A file system that is frozen, until this is dropped.
pub(crate) struct Freeze(Child);

/// Says what is missing to mount file systems; nothing if they can be.
pub(crate) fn missing(folder: &Path) -> Option<String> {
    let (image, point) = (folder.join("probe.img"), folder.join("probe"));
    let probe = || -> Result<(), String> {
        let file = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        file.map_err(|error| error.to_string())?;
        let (image, point) = (image.display(), point.display());
        let lines = [
            format!("mkdir {point}"),
            format!("mkfs.ext4 -q {image}"),
            format!("mount -o loop {image} {point}"),
            format!("fsfreeze --freeze {point}"),
            format!("fsfreeze --unfreeze {point}"),
            format!("umount {point}"),
            "setsid true".to_owned(),
        ];
        for line in lines {
            let output = Command::new("sh").args(["-c", &line]).output();
            let output = output.map_err(|error| error.to_string())?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
            }
        }
        Ok(())
    };
    let missing = probe().err();
    let _removed = fs::remove_file(image);
    missing
}

impl Disk {
    /// Makes one and mounts it at this folder.
    pub(crate) fn new(point: &Path) -> Self {
        let image = point.with_extension("img");
        let file = File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        file.expect("there is room");
        fs::create_dir(point).expect("nobody else has the name");
        run(&format!("mkfs.ext4 -q {}", image.display()));
        run(&format!(
            "mount -o loop {} {}",
            image.display(),
            point.display()
        ));
        Self {
            point: point.to_owned(),
        }
    }

    /// Freezes it.
    pub(crate) fn freeze(&self) -> Freeze {
        let point = self.point.display();
        // It thaws also if this process is killed: nobody could end a process that waits for a frozen disk.
        let script = format!(
            "fsfreeze --freeze {point} && echo frozen && read -r _; fsfreeze --unfreeze {point}"
        );
        let mut keeper = Command::new("setsid")
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was tried");
        let output = keeper.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        let told = BufReader::new(output).read_line(&mut line);
        assert!(told.is_ok() && line == "frozen\n", "it is frozen: {line}");
        Freeze(keeper)
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _thawed = self.0.wait();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let deadline = Instant::now() + UNMOUNT_WITHIN;
        let unmount = || Command::new("umount").arg(&self.point).output();
        while !unmount().is_ok_and(|output| output.status.success()) {
            if Instant::now() >= deadline {
                eprintln!("{} stays mounted", self.point.display());
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
