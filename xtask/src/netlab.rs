//! `cargo xtask netlab`: members reach each other over WebRTC through a network that delays, loses, doubles and
//! reorders packets, by each of the four modes of the channel for consensus, and how soon commands are committed is
//! compared. With `--nat` members are behind NATs, and what links them is told. The test `netlab` of the program does
//! both, for a second each and without times.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each mode is measured
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Repeats what happens to packets in a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Puts members behind NATs instead, and tells what links them; needs nftables and coturn too
    #[arg(long, conflicts_with_all = ["seconds", "seed"])]
    nat: bool,
}

/// What building, starting, ending and judging take.
const MARGIN: Duration = Duration::from_secs(1800);

/// So many modes are measured.
const MODES: u64 = 4;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut netlab = Workspace::load()?
        .cargo()
        .args("test --quiet --package liferaft-cli --test netlab --locked")
        .deadline(MARGIN + Duration::from_secs(MODES * args.seconds));
    netlab = if args.nat {
        netlab.env("LIFERAFT_NETLAB_STORY", "nat")
    } else {
        netlab.env("LIFERAFT_NETLAB_SECONDS", args.seconds.to_string())
    };
    if let Some(seed) = args.seed {
        netlab = netlab.env("LIFERAFT_NETLAB_SEED", seed.to_string());
    }
    netlab.run()?;
    Ok(ExitCode::SUCCESS)
}
