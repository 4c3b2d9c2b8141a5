//! `cargo xtask soak`: members as processes are killed, paused, cut off one way and restarted, and their disks hang,
//! while clients write and read, for as long as one likes. The test `soak` of the program does it, for 30 seconds. With
//! `--evictions` they are paused, over links that lose packets, and nobody is to be evicted. With `--signaling` leaders
//! are killed while the signaling server is away, and the next ones are to be there as soon as with it. With `--tabs`
//! they are tabs of Chromium, which are killed, or hidden for longer than in CI.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Error, Result};

use crate::browser::{Browser, HIDDEN, KILLS, RELOADS, build_program, drive};
use crate::web;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long the members are hurt [default: 600]; with --signaling, how long the server is away each time [default:
    /// 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Pauses members that reach each other over WebRTC through a network that loses 10 %, for as long as none is to be
    /// evicted for; needs Linux and network namespaces with TUN devices
    #[arg(long)]
    evictions: bool,
    /// Kills leaders of 5 and of 11 members that have found each other by a signaling server, while that is killed,
    /// stopped, late by 30 s or loses everything, and compares how soon the next one answers; and times how soon a
    /// newcomer has joined that waited for the server's return
    #[arg(long, conflicts_with = "evictions")]
    signaling: bool,
    /// Kills tabs of clusters of 5, 7 and 11 in Chromium, just under half of them at once, and hides three for six
    /// minutes
    #[arg(long, conflicts_with_all = ["evictions", "signaling", "seconds", "seed"])]
    tabs: bool,
    /// Repeats the faults of a run that printed this seed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// How long members are hurt where nobody says.
const SECONDS: u64 = 600;

/// How long the signaling server is away where nobody says.
const OUTAGE_SECONDS: u64 = 60;

/// The members are hurt for so many times as long as the server is away: twice, each of four ways, and half as long
/// with the server beside each.
const OUTAGES: u64 = 12;

/// Of how many tabs the clusters are.
const TABS: [&str; 3] = ["5", "7", "11"];

/// How many seconds three tabs are hidden: Chromium lets the timers of pages ring less often after five minutes.
const HIDDEN_SECONDS: &str = "360";

/// How long each story of tabs may take.
const TABS_DEADLINE: Duration = Duration::from_secs(900);

/// What building, starting, ending and judging take.
const MARGIN: Duration = Duration::from_secs(1800);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.tabs {
        return drive_tabs(&Workspace::load()?);
    }
    let (default, times) = if args.signaling {
        (OUTAGE_SECONDS, OUTAGES)
    } else {
        (SECONDS, 1)
    };
    let seconds = args.seconds.unwrap_or(default);
    let mut soak = Workspace::load()?
        .cargo()
        .args("test --quiet --package liferaft-cli --test soak --locked")
        .deadline(MARGIN + Duration::from_secs(times.saturating_mul(seconds)))
        .env("LIFERAFT_SOAK_SECONDS", seconds.to_string());
    if args.evictions {
        soak = soak.env("LIFERAFT_SOAK_STORY", "evictions");
    }
    if args.signaling {
        soak = soak.env("LIFERAFT_SOAK_STORY", "signaling");
    }
    if let Some(seed) = args.seed {
        soak = soak.env("LIFERAFT_SOAK_SEED", seed.to_string());
    }
    soak.run()?;
    Ok(ExitCode::SUCCESS)
}

fn drive_tabs(workspace: &Workspace) -> Result<ExitCode> {
    let Browser { chromium, modules } = Browser::find(workspace)?.map_err(Error::msg)?;
    let site = web::make(workspace, true)?.site;
    let program = build_program(workspace, &site)?;
    let drive = |script, arguments: &[&Path]| drive(workspace, script, arguments, TABS_DEADLINE);
    for tabs in TABS.map(Path::new) {
        for story in [KILLS, RELOADS] {
            drive(story, &[&program, &chromium, &modules, &site, tabs])?;
        }
    }
    let seconds = Path::new(HIDDEN_SECONDS);
    drive(HIDDEN, &[&program, &chromium, &site, seconds])?;
    Ok(ExitCode::SUCCESS)
}
