//! Sets a damaged store or outbox aside, and says what comes next.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use liferaft::storage::{SetAside, set_aside};

use crate::print;

/// Set a damaged store aside, so that its member joins as a new server
///
/// Damage to what was acknowledged cannot be repaired by the member alone: it may have forgotten a vote or an entry
/// that others count on. The files of the store are moved to a folder in DIR, from which nothing is read; outboxes
/// stay, but for those that are damaged themselves. Then the member is started as a newcomer is: with an empty store it
/// is another server, which joins and gets all that the others have, also if it founded the cluster: do not found
/// again, that would make a second cluster. An operator removes the old one if the cluster does not evict it. A store
/// that is in order is left as it is; if only outboxes are damaged, only they are moved. The only voter of a cluster
/// has nobody to join: restore a backup.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the member
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Sets the store aside.
pub(crate) fn run(options: &Options) -> ExitCode {
    let told = set_aside(&options.folder)
        .map_err(anyhow::Error::from)
        .and_then(|aside| print(&report(&aside)));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// What was moved, what that costs, and what comes next.
fn report(aside: &SetAside) -> String {
    let store = aside.store.then(|| "the store of the member".to_owned());
    let outboxes = aside.outboxes.iter().map(|name| format!("outbox {name}"));
    let moved: Vec<_> = store.into_iter().chain(outboxes).collect();
    let (moved, folder) = (moved.join(", "), aside.folder.display());
    let mut report = format!("set aside: {moved}, in {folder}\n");
    if !aside.outboxes.is_empty() {
        report += "lost: commands that waited in an outbox and were never sent; what became of others is unknown\n";
    }
    report += match (aside.store, aside.is_only_voter) {
        (false, _) => {
            "next: open the outbox again, it is empty; the store of the member stays as it is\n"
        }
        (true, false) => {
            "next: start the member so that it joins its cluster, as a new server; do not found one again\n"
        }
        (true, true) => {
            "warning: its configuration has no other voter: nobody else has what it held, nor is there a cluster to \
             join\nnext: restore a backup, with `liferaft recover --accept-data-loss BACKUP`\n"
        }
    };
    report
}
