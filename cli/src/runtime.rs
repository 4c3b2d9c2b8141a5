//! Runs what a command does in a runtime of its own.

use std::future::Future;

use anyhow::Context as _;
use tokio::runtime::Builder;

/// Runs a task to its end, in a runtime that is not waited for after it.
pub(crate) fn run_in(
    mut runtime: Builder,
    task: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(task);
    // Lookups of names may hang in a thread of their own.
    runtime.shutdown_background();
    ended
}
