//! Makes a network inside of this machine that delays, loses, doubles and reorders packets, and cuts ways.
//!
//! Each member has a network namespace with a TUN device, whose other end a router holds: a thread of this program,
//! which needs no queueing discipline of the kernel. Next to the members there is the namespace of the program itself,
//! whose packets always pass, so that it sees its members however bad their network is. All of it is in namespaces of
//! this run, so that it leaves nothing behind and meets no other run.
//!
//! It takes Linux and the rights of root, or of whoever may be root of namespaces of its own.

use std::process::Command;
use std::time::Duration;

use liferaft_sim::dice::PerMillion;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod router;

#[cfg(not(target_os = "linux"))]
pub(crate) use self::elsewhere::{Lab, enter};
#[cfg(target_os = "linux")]
pub(crate) use self::linux::{Lab, enter};

/// What happens to packets between members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// So long each is under way at least.
    pub(crate) delay: Duration,
    /// And by chance up to so much longer, so that some overtake others.
    pub(crate) jitter: Duration,
    pub(crate) loss: PerMillion,
    /// So many arrive twice.
    pub(crate) doubles: PerMillion,
}

/// What has happened to packets between members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// So many arrived before one that was sent earlier.
    pub(crate) overtaking: u64,
    /// So many met a cut.
    pub(crate) cut: u64,
}

/// Where a member is.
pub(crate) fn address(member: usize) -> String {
    format!("10.77.0.{}", member + 1)
}

/// The name of a member's namespace, and of its device.
pub(crate) fn space(member: usize) -> String {
    format!("member-{member}")
}

/// Runs a command of words without spaces.
pub(crate) fn run(line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {told}");
}
