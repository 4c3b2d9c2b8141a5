//! Takes a member out of its cluster.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use liferaft::storage::{DiskStorage, Storage};

use crate::member::{Ending, News, Place, block_on, end, explained, note_left, stored_name};

/// Take a member out of its cluster, for good
///
/// The member must have been stopped: it is run once more, until it has left. The folder stays, and nothing in it
/// counts any more; `liferaft node` refuses to run it, but by an invitation.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the member
    #[arg(long, value_name = "DIR", env = "LIFERAFT_DATA")]
    data: PathBuf,

    #[command(flatten)]
    place: Place,
}

/// So long it waits for its cluster, at most.
const JOINING_TIME_MAX: Duration = Duration::from_secs(60);

/// What to do where a member cannot leave since it was never taken in.
const NEVER_TAKEN_IN: &str = "whoever was never taken in by a closed one has nothing to leave: if it is listed there, an \
                              operator takes it out by `liferaft members --at OPERATOR remove NAME`";

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(leave(options))
}

async fn leave(options: &Options) -> anyhow::Result<()> {
    let Options { data, place } = options;
    if !data.is_dir() {
        bail!("{} is no folder", data.display());
    }
    let name = stored_name(data);
    let doors = place.open(Some(data)).await?;
    let disk = DiskStorage::open(data).await?;
    if disk.cluster().is_none() {
        bail!("{} holds no member", data.display());
    }
    let (member, _web) = place.member(doors, disk, None, name, true);
    let member = member
        .start()
        .await
        .map_err(|error| explained(error, NEVER_TAKEN_IN))?;
    let report = place.report();
    report.tell(&News::started(&member, None));
    let mut signals = place.signals()?;
    let patient = member.within(JOINING_TIME_MAX);
    let takes_part = patient.wait_for(|status| {
        let configuration = &status.raft.configuration;
        status.leader().is_some() && configuration.contains(status.raft.id)
    });
    tokio::select! {
        joined = patient.joined() => {
            joined.context("it cannot leave")?;
        }
        // A learner that is to be a voter has not joined yet, and may wait for that for ever.
        Ok(_) = takes_part => {}
        () = signals.next() => bail!("interrupted: it has not left"),
    }
    tokio::select! {
        ended = end(&member, &report, Ending::Leave) => {
            ended?;
            note_left(data)
        }
        () = signals.next() => bail!("interrupted: whether it has left is not known"),
    }
}
