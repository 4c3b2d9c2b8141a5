//! Copies a store while its member runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use liferaft::storage::back_up;

use crate::print;

/// Copy the store of a member, which may be running
///
/// The copy holds all that the member had acknowledged to its callers, and is the store of a new server, without votes
/// and outboxes. No member can be started from it: `liferaft recover --accept-data-loss TO` restores it, by founding a
/// cluster from it, which all members join as new servers. It appears under its name when it is whole and durable.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The folder of the member
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// The folder to make
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// Makes the copy.
pub(crate) fn run(options: &Options) -> ExitCode {
    let told = back_up(&options.folder, &options.to)
        .map_err(anyhow::Error::from)
        .and_then(|backup| {
            print(&format!(
                "backup: {}, to {}, committed to {} at least\n",
                options.to.display(),
                backup.last,
                backup.commit
            ))
        });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
