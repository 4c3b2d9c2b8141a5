//! Measures how long a member takes that has a long log to read again, and how much memory.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use bytes::Bytes;
use liferaft::storage::DiskStorage;

use crate::crowd::{runtime, share_out};
use crate::idle::Idle;
use crate::member::{self, Groups};

/// The argument of the process that opens the store; a folder follows.
pub(crate) const OPEN: &str = "--reopen-store";

/// The argument of the process that restarts the member; a folder follows.
pub(crate) const REOPEN: &str = "--reopen";

/// What either returns when it took too much memory.
const TOO_MUCH: u8 = 2;

/// How much of its log a member holds, in MiB: the default.
const HELD_MIB: u64 = 64;

/// What a restart may take beside that, in MiB: a segment of 16 MiB as it is on the disk, and once more as entries, and
/// 16 MiB for the process.
const BESIDE_MIB: u64 = 48;

/// What the log holds that a member begins with.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) commands: u64,
    /// How many bytes of the log a command has.
    pub(crate) command_bytes: usize,
    callers: usize,
}

impl Load {
    /// A log of so many bytes.
    pub(crate) const fn heavy(log_bytes: u64) -> Self {
        let command_bytes = 16 << 10;
        Self {
            commands: log_bytes / command_bytes as u64,
            command_bytes,
            callers: 64,
        }
    }

    /// A log of commands that weigh little beside what else their entries take.
    pub(crate) const fn light(commands: u64) -> Self {
        Self {
            commands,
            command_bytes: 10,
            callers: 1024,
        }
    }
}

/// Writes a log, and has other processes begin with it: their memory at the peak is that of a restart. Returns true if
/// that met the target.
pub(crate) fn measure(folder: &Path, load: Load) -> bool {
    let Load {
        commands,
        command_bytes,
        callers,
    } = load;
    let runtime = runtime();
    let member = member::start(folder, Idle, u64::MAX, Groups::default());
    let member = runtime.block_on(member);
    let command = Bytes::from(vec![7; command_bytes]);
    let members = std::slice::from_ref(&member);
    runtime.block_on(share_out(
        members,
        callers,
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
        "restart with a log of {commands} commands of {command_bytes} B, in the system's cache:"
    );
    let program = env::current_exe().expect("it is known");
    // Each in a process of its own: what one has freed counts for the next one otherwise.
    [OPEN, REOPEN].into_iter().fold(true, |met, argument| {
        let reopened = Command::new(&program).arg(argument).arg(folder).status();
        let reopened = reopened.expect("it begins");
        let took_too_much = reopened.code() == Some(TOO_MUCH.into());
        assert!(reopened.success() || took_too_much, "it did not restart");
        met && !took_too_much
    })
}

/// Opens the store in this folder and prints what that took.
pub(crate) fn open(folder: &Path) -> ExitCode {
    let started = Instant::now();
    let opened = runtime().block_on(DiskStorage::open(folder));
    opened.expect("it was closed, and is in order");
    judge(&format!("restart/open: {:.2?}", started.elapsed()))
}

/// Restarts the member in this folder and prints what that took.
pub(crate) fn reopen(folder: &Path) -> ExitCode {
    let runtime = runtime();
    let started = Instant::now();
    let applied = runtime.block_on(async {
        let member = member::start(folder, Idle, u64::MAX, Groups::default()).await;
        let mut status = member.status();
        let applied = status.wait_for(|status| status.raft.applied == status.raft.last.index);
        applied.await.expect("the member runs").raft.applied
    });
    judge(&format!(
        "restart/member: {:.2?} until it leads and has applied {applied} entries",
        started.elapsed()
    ))
}

/// Prints how long something took, with the memory that this process took for it.
fn judge(took: &str) -> ExitCode {
    let most = HELD_MIB + BESIDE_MIB;
    let peak = peak_memory_mib();
    let met = peak.is_none_or(|mib| mib <= most);
    println!(
        "{took}, memory at the peak {}; target at most {most} MiB, {HELD_MIB} of which are the log that it holds: {}",
        peak.map_or("unknown".to_owned(), |mib| format!("{mib} MiB")),
        if met { "met" } else { "missed" },
    );
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(TOO_MUCH)
    }
}

/// The most memory that this process has had so far in MiB, as the system tells it.
fn peak_memory_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = peak.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib >> 10)
}
