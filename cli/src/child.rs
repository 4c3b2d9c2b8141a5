//! Starts this program again as a process that ends with this one, and reads what it tells as lines of JSON.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// So long a process may take to stop when its input has ended.
const STOPPING_TIME_MAX: Duration = Duration::from_secs(5);

/// The longest line of a process that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A process of this program, killed when this is dropped.
pub(crate) struct Child(tokio::process::Child);

/// What a process tells.
pub(crate) struct Output {
    lines: BufReader<ChildStdout>,
    line: String,
    last_error: JoinHandle<String>,
}

/// Something that a process told.
pub(crate) enum Told<T> {
    /// A line.
    News(T),
    /// Its output has ended, and with it the process: what it said last on standard error.
    Ended(String),
}

impl Child {
    /// Starts this program with what is arranged. Nothing that was meant for this process reaches it by its
    /// environment.
    pub(crate) fn start(
        arrange: impl FnOnce(&mut Command) -> &mut Command,
    ) -> anyhow::Result<(Self, Output)> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LIFERAFT_") {
                command.env_remove(name);
            }
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C is for this process, which ends all others.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = arrange(&mut command)
            .spawn()
            .context("cannot start this program again")?;
        let output = process.stdout.take().context("its output is piped")?;
        let errors = process.stderr.take().context("its errors are piped")?;
        let output = Output {
            lines: BufReader::new(output),
            line: String::new(),
            last_error: tokio::spawn(last_line(errors)),
        };
        Ok((Self(process), output))
    }

    /// Returns its number, as long as it runs.
    #[cfg(unix)]
    pub(crate) fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// Returns its input, once: it is told to end by the end of that.
    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    /// Kills it, as the end of power would, without waiting until it is gone.
    pub(crate) fn start_kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.start_kill();
    }

    /// Kills it, and returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        let _ended = self.0.kill().await;
    }

    /// Ends it: by the end of its input, and if that is not enough, by force.
    pub(crate) async fn end(&mut self) {
        drop(self.take_input());
        if timeout(STOPPING_TIME_MAX, self.0.wait()).await.is_err() {
            self.kill().await;
        }
    }
}

impl Output {
    /// Returns what it tells next. Lines that are something else are passed over.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Told<T> {
        while matches!(read_line(&mut self.lines, &mut self.line).await, Ok(1..)) {
            if let Ok(news) = serde_json::from_str(&self.line) {
                return Told::News(news);
            }
        }
        Told::Ended((&mut self.last_error).await.unwrap_or_default())
    }
}

async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut String,
) -> std::io::Result<usize> {
    line.clear();
    from.take(LINE_BYTES_MAX).read_line(line).await
}

/// Reads to the end, and returns the last line.
async fn last_line(from: impl AsyncRead + Unpin) -> String {
    let (mut from, mut line, mut last) = (BufReader::new(from), String::new(), String::new());
    while matches!(read_line(&mut from, &mut line).await, Ok(1..)) {
        last = line.trim_end().to_owned();
    }
    last
}
