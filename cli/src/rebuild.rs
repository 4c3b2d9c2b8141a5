//! Sets a damaged store aside, so that its member joins its cluster as a new server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use liferaft::storage::set_aside;

use crate::print;

/// Set a damaged store aside, so that its member joins as a new server
///
/// Damage to what was acknowledged cannot be repaired by the member alone: it may have forgotten a vote or an entry
/// that others count on. The files of the store are moved to a folder in DIR, from which nothing is read; outboxes
/// stay, but for those that are damaged themselves. Then the member is started as a newcomer is: with an empty store it
/// is another server, which joins and gets all that the others have, also if it founded the cluster: do not found
/// again, that would make a second cluster. An operator removes the old one if the cluster does not evict it. A store
/// that is in order is left as it is.
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
        .and_then(|aside| {
            print(&format!(
                "set aside: {}\nnext: start the member so that it joins its cluster, as a new server\n",
                aside.display()
            ))
        });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
