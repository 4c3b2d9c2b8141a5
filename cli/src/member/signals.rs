//! Listens for what ends a member: Ctrl-C, a request to terminate, the end of its terminal or of its standard input.

use std::io::Read as _;
use std::thread;

use anyhow::Context as _;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Ctrl-C, on Unix SIGTERM, which supervisors send, and SIGHUP, which a terminal sends that is closed, and the end of
/// the standard input if that counts.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: Signal,
    /// `None` if it is ignored.
    #[cfg(unix)]
    hangup: Option<Signal>,
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
            terminate: signal(SignalKind::terminate())
                .context("cannot listen for requests to terminate")?,
            #[cfg(unix)]
            hangup: (!is_hangup_ignored())
                .then(|| signal(SignalKind::hangup()))
                .transpose()
                .context("cannot listen for the end of the terminal")?,
            input_ended,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        let (terminate, hangup) = (self.terminate.recv(), async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        });
        #[cfg(not(unix))]
        let (terminate, hangup) = (
            std::future::pending::<Option<()>>(),
            std::future::pending::<Option<()>>(),
        );
        tokio::select! {
            // An error means that there will be none.
            Ok(()) = tokio::signal::ctrl_c() => {}
            Some(()) = terminate => {}
            Some(()) = hangup => {}
            Some(()) = self.input_ended.recv() => {}
            else => std::future::pending().await,
        }
    }
}

/// Returns true if whoever started this process has it outlive its terminal, as `nohup` does. Only Linux tells.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signals are counted from 1, which is SIGHUP.
    ignored.is_some_and(|mask| mask & 1 != 0)
}
