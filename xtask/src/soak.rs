//! `cargo xtask soak`: members as processes are killed, paused, cut off one way and restarted, and their disks hang,
//! while clients write and read, for as long as one likes. The test `soak` of the program does it, for 30 seconds. With
//! `--evictions` they are paused, over links that lose packets, and nobody is to be evicted.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the members are hurt
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Pauses members that reach each other over WebRTC through a network that loses 10 %, for as long as none is to be
    /// evicted for; needs Linux and network namespaces with TUN devices
    #[arg(long)]
    evictions: bool,
    /// Repeats the faults of a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What building, starting, ending and judging take.
const MARGIN: Duration = Duration::from_secs(1800);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut soak = Workspace::load()?
        .cargo()
        .args("test --quiet --package liferaft-cli --test soak --locked")
        .deadline(MARGIN + Duration::from_secs(args.seconds))
        .env("LIFERAFT_SOAK_SECONDS", args.seconds.to_string());
    if args.evictions {
        soak = soak.env("LIFERAFT_SOAK_STORY", "evictions");
    }
    if let Some(seed) = args.seed {
        soak = soak.env("LIFERAFT_SOAK_SEED", seed.to_string());
    }
    soak.run()?;
    Ok(ExitCode::SUCCESS)
}
