//! Measures how long a member takes that has a long log to read again, and how much memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use bytes::Bytes;
use liferaft::storage::DiskStorage;

use crate::crowd::{runtime, share_out};
use crate::idle::Idle;
use crate::member::{self, Groups};

/// The argument of the process that restarts; a folder follows.
pub(crate) const REOPEN: &str = "--reopen";

/// How many bytes of the log a command has.
const COMMAND_BYTES: usize = 16 << 10;

const CALLERS: usize = 64;

/// Writes a log of so many bytes, and has another process begin with it: its memory at the peak is that of the restart.
pub(crate) fn measure(folder: &Path, log_bytes: u64) {
    let runtime = runtime();
    let member = member::start(folder, Idle, u64::MAX, Groups::default());
    let member = runtime.block_on(member);
    let command = Bytes::from(vec![7; COMMAND_BYTES]);
    let commands = log_bytes / COMMAND_BYTES as u64;
    let members = std::slice::from_ref(&member);
    runtime.block_on(share_out(
        members,
        CALLERS,
        commands,
        move |member, share| {
            let command = command.clone();
            async move {
                for _ in share {
                    let command = (Bytes::new(), command.clone());
                    member.propose(command).await.expect("it is answered");
                }
            }
        },
    ));
    runtime.block_on(member.stop());
    println!(
        "restart with a log of {} MiB, in the system's cache:",
        log_bytes >> 20
    );
    let program = env::current_exe().expect("it is known");
    let reopened = Command::new(program).arg(REOPEN).arg(folder).status();
    assert!(reopened.expect("it begins").success(), "it did not restart");
}

/// Restarts the member in this folder and prints what that took.
pub(crate) fn reopen(folder: &Path) {
    let runtime = runtime();
    let started = Instant::now();
    let opened = runtime.block_on(DiskStorage::open(folder));
    drop(opened.expect("it was closed, and is in order"));
    let opened = started.elapsed();
    let peak_opened = peak_memory();
    let started = Instant::now();
    let applied = runtime.block_on(async {
        let member = member::start(folder, Idle, u64::MAX, Groups::default()).await;
        let mut status = member.status();
        let applied = status.wait_for(|status| status.raft.applied == status.raft.last.index);
        applied.await.expect("the member runs").raft.applied
    });
    println!(
        "restart/open: {opened:.2?}, {peak_opened} of memory at the peak\n\
         restart/member: {:.2?} until it leads and has applied {applied} entries, {} of memory at the peak; no target",
        started.elapsed(),
        peak_memory(),
    );
}

/// The most memory that this process has had so far, as the system tells it.
fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.map_or("an unknown amount".to_owned(), |kib| {
        format!("{} MiB", kib >> 10)
    })
}
