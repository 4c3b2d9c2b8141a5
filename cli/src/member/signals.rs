//! Listens for what ends a member: Ctrl-C, a request to terminate, the end of its standard input.

use std::io::Read as _;
use std::thread;

use anyhow::Context as _;
use tokio::sync::mpsc;

/// Ctrl-C, on Unix SIGTERM, which supervisors send, and the end of the standard input if that counts.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// Never read without the thread that writes it.
    input_ended: mpsc::Receiver<()>,
}

impl Signals {
    /// From here on they do not end the process.
    pub(crate) fn listen(until_eof: bool) -> anyhow::Result<Self> {
        let (ended, input_ended) = mpsc::channel(1);
        if until_eof {
            // A thread that reads cannot be interrupted, so it is none of the runtime, which would wait for it.
            thread::spawn(move || {
                let mut unread = [0; 64];
                while matches!(std::io::stdin().read(&mut unread), Ok(1..)) {}
                let _ending = ended.blocking_send(());
            });
        }
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("cannot listen for requests to terminate")?,
            input_ended,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        let terminate = self.terminate.recv();
        #[cfg(not(unix))]
        let terminate = std::future::pending::<Option<()>>();
        tokio::select! {
            // An error means that there will be none.
            Ok(()) = tokio::signal::ctrl_c() => {}
            Some(()) = terminate => {}
            Some(()) = self.input_ended.recv() => {}
            else => std::future::pending().await,
        }
    }
}
