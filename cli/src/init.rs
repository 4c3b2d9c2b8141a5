//! Makes a new cluster, once, and runs its first member.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use liferaft::storage::{DiskStorage, Storage, Verdict, inspect};
use liferaft::{Founding, Handle, Kv};

use crate::member::{Ending, News, Place, Report, block_on, run as run_member};
use crate::members::Purpose;

/// Make a new cluster, once, run its first member, and print invitations for others
///
/// The folder must be empty, or not exist: a member whose folder was lost joins the cluster that is there as a new
/// one, by `liferaft node --join`, and must never make a second cluster. What an interrupted `init` has left counts as
/// empty as long as no cluster was made. After this the member is run by `liferaft node`. Ctrl-C stops it; it stays a
/// member.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the first member
    #[arg(long, value_name = "DIR", env = "LIFERAFT_DATA")]
    data: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    invitations: Invitations,
}

/// What the printed invitation allows.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Invitations {
    /// So many servers may come by an invitation to members that is printed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        env = "LIFERAFT_INVITE_USES",
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    invite_uses: u32,

    /// It is good for so many hours
    #[arg(
        long,
        value_name = "HOURS",
        default_value_t = 24,
        env = "LIFERAFT_INVITE_HOURS",
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    invite_hours: u64,
}

impl Invitations {
    /// Has an invitation issued for each of these, and tells it.
    pub(crate) async fn invite(
        self,
        member: &Handle<Kv>,
        purposes: &[Purpose],
        report: &Report,
    ) -> anyhow::Result<()> {
        for purpose in purposes {
            let terms = purpose.terms(self.invite_uses, self.invite_hours);
            let invitation = member.invite(terms).await?;
            report.tell(&News::Invited {
                purpose: *purpose,
                invitation: invitation.to_string(),
            });
        }
        Ok(())
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(init(options))
}

async fn init(options: &Options) -> anyhow::Result<()> {
    let Options {
        data,
        place,
        invitations,
    } = options;
    place.check_rooms()?;
    check_blank(data, place)?;
    let mut signals = place.signals()?;
    let doors = place.open(Some(data)).await?;
    let mut disk = DiskStorage::open(data).await?;
    let mut founding = Founding::by(disk.identity());
    if !place.is_open {
        founding = founding.closed();
    }
    founding.found(&mut disk).await?;
    doors.keep_certificate(data)?;
    let (member, web) = place.member(doors, disk, Some(founding.cluster()), None, true);
    let member = member.start().await?;
    let report = place.report();
    report.tell(&News::started(&member, web.as_ref()));
    member.joined().await.context("it does not lead itself")?;
    let purposes = [Purpose::Member, Purpose::Operator];
    invitations.invite(&member, &purposes, &report).await?;
    run_member(&member, web, &report, &mut signals, Ending::Stay).await
}

/// How the names begin of what a founding leaves that was interrupted before there was a header, and of what file
/// systems have at their roots.
const BEGUN: [&str; 4] = ["header.new", "lock", "log-", "lost+found"];

/// Checks that nothing was ever stored in a folder, unless a founding was interrupted there.
fn check_blank(data: &Path, place: &Place) -> anyhow::Result<()> {
    let shown = data.display();
    let looking = || format!("cannot look into {shown}");
    let mut names = Vec::new();
    match data.read_dir() {
        Ok(entries) => {
            for entry in entries {
                names.push(entry.with_context(looking)?.file_name());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(looking),
    }
    if names.is_empty() {
        return Ok(());
    }
    let found = inspect(data, 0).with_context(looking)?;
    let is_bound = found.header.as_ref().map(|header| header.cluster.is_some());
    let is_begun = match found.verdict {
        // The storage has made sure that the log there is empty: where it is not, the header was lost.
        Verdict::Blank => names.iter().all(|name| {
            let name = name.to_string_lossy();
            BEGUN.iter().any(|begun| name.starts_with(begun))
        }),
        Verdict::Sound => is_bound == Some(false),
        Verdict::Refused(_) => false,
    };
    if is_begun && !found.in_use {
        return Ok(());
    }
    let run = format!("liferaft node --data {shown} {}", place.flags());
    match is_bound {
        Some(true) => bail!("{shown} holds a member already: `{run}` runs it"),
        _ => bail!(
            "{shown} is not empty: a cluster is made in an empty folder, once; if a member is there, `{run}` runs it"
        ),
    }
}
