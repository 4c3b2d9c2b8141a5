//! Founds a cluster anew from the best survivor of one whose majority is gone for ever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use liferaft::Configuration;
use liferaft::ids::{ClusterId, Index, LogPosition, ServerId};
use liferaft::storage::{Inspection, StorageError, Verdict, found_anew, inspect};

use crate::print;

/// Found a cluster anew from the last survivor of one whose majority is gone for ever
///
/// The store in DIR becomes that of a new cluster, with its server as the only voter; all others join it as new
/// servers, with empty folders. WHAT WAS ACKNOWLEDGED AND IS NOT IN THIS STORE IS LOST, and what is in its log and was
/// never committed takes effect. The old members keep the old cluster's id: what they send is dropped, so that none of
/// them can disturb the new one. Name all other stores that are left, so that the one with the longest log is taken: of
/// two logs, the one whose last entry has the later term is the longer one, or the later index if the terms are the
/// same. One that is damaged is not compared, and named in the report. If those that are named are a majority of the
/// voters nothing is recovered: their members are started instead, and nothing is lost. If DIR is damaged itself,
/// another survivor is recovered, or a backup: nothing else brings back what it held. Without --accept-data-loss it
/// says what it would do, and changes nothing.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the survivor
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The folders of all others that are left: none of them may have a longer log
    #[arg(value_name = "OTHER")]
    others: Vec<PathBuf>,

    /// Do it
    #[arg(long)]
    accept_data_loss: bool,
}

/// Founds the cluster, or says what that would do.
pub(crate) fn run(options: &Options) -> ExitCode {
    match recover(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A store that could be recovered.
struct Survivor {
    server: ServerId,
    configuration: Option<Arc<Configuration>>,
    cluster: Option<ClusterId>,
    last: LogPosition,
    commit: Index,
}

fn recover(options: &Options) -> anyhow::Result<()> {
    let folder = &options.folder;
    let survivor = match survivor(folder)? {
        Ok(survivor) => survivor,
        Err(why) => bail!(
            "{}: {why}; recover another survivor, or a backup",
            folder.display()
        ),
    };
    let mut left = BTreeSet::from([survivor.server]);
    let mut damaged = Vec::new();
    for other in &options.others {
        let found = match self::survivor(other)? {
            Ok(found) => found,
            Err(why) => {
                damaged.push(format!("not compared: {}: {why}\n", other.display()));
                continue;
            }
        };
        if !left.insert(found.server) {
            bail!("{} is of a server that is named twice", other.display());
        }
        if found.cluster != survivor.cluster {
            bail!("{} is the store of another cluster", other.display());
        }
        if found.last > survivor.last {
            let (shown, other) = (folder.display(), other.display());
            bail!(
                "{other} has the longer log, to {}; {shown} ends at {}: recover {other}",
                found.last,
                survivor.last
            );
        }
    }
    let configuration = survivor.configuration.as_deref();
    if configuration.is_some_and(|configuration| is_majority(configuration, &left)) {
        bail!(
            "a majority of the voters is in order: start their members instead, and nothing is lost"
        );
    }
    let compared = match options.others.len() - damaged.len() {
        0 => "no other store was compared: name those that are left".to_owned(),
        1 => "the other store has no longer log".to_owned(),
        count => format!("none of the {count} other stores has a longer log"),
    };
    let Survivor { last, commit, .. } = survivor;
    let plan = format!(
        "{}: the log ends at {last}, and is known to be committed to {commit} at least\n\
         kept: all up to {last}, also what was never committed\n\
         lost: whatever was acknowledged beyond {last}; {compared}\n{}",
        folder.display(),
        damaged.concat(),
    );
    if !options.accept_data_loss {
        print(&plan)?;
        bail!("nothing was changed: this needs --accept-data-loss");
    }
    let founded = found_anew(folder)?;
    print(&format!(
        "{plan}founded: cluster {}, with server {:?} as its only voter\n\
         next: start it, and let the others join as new servers, with empty folders\n",
        founded.cluster, founded.server,
    ))
}

/// Reads a store that no member has open. Returns what is wrong with it if it is damaged.
fn survivor(folder: &Path) -> anyhow::Result<Result<Survivor, String>> {
    let shown = folder.display();
    let inspection = inspect(folder, 0).with_context(|| shown.to_string())?;
    if inspection.in_use {
        bail!("{shown}: a member has it open; stop all members first");
    }
    let last = last(&inspection);
    match inspection.verdict {
        // Not what the error advises: there is no majority that a new server could join.
        Verdict::Refused(StorageError::Damaged { what, reason }) => {
            return Ok(Err(format!("the {what} is damaged: {reason}")));
        }
        Verdict::Refused(StorageError::Io { action, error }) => {
            return Ok(Err(format!("cannot {action}: {error}")));
        }
        Verdict::Refused(error) => return Err(error).with_context(|| shown.to_string()),
        Verdict::Blank | Verdict::Sound => {}
    }
    let Some(header) = inspection.header else {
        bail!("{shown}: there is no store");
    };
    Ok(Ok(Survivor {
        server: header.server,
        configuration: inspection
            .configuration
            .map(|(_, configuration)| configuration),
        cluster: header.cluster,
        last,
        commit: header.hard_state.commit,
    }))
}

/// Returns true if these servers can elect a leader and commit.
fn is_majority(configuration: &Configuration, left: &BTreeSet<ServerId>) -> bool {
    let is_left = |voters: &[ServerId]| {
        let count = voters.iter().filter(|voter| left.contains(voter)).count();
        count > voters.len() / 2
    };
    is_left(configuration.voters())
        && (!configuration.is_joint() || is_left(configuration.outgoing()))
}

/// Where the log ends.
fn last(inspection: &Inspection) -> LogPosition {
    let of_log = inspection.log.map(|log| log.last);
    let of_snapshot = inspection.snapshot.as_ref().map(|snapshot| snapshot.last);
    of_log.max(of_snapshot).unwrap_or(LogPosition::ZERO)
}
