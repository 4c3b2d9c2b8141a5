//! Other programs, with a deadline.
//!
//! Each runs in a process group of its own, so that at its deadline or at Ctrl-C all that it started ends with it: a
//! hung test is a grandchild, and would outlive its cargo.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use process_wrap::std::{ChildWrapper, CommandWrap};

/// Enough to build all of the workspace on a slow machine.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How soon an exit, a deadline or Ctrl-C is noticed.
const POLL: Duration = Duration::from_millis(20);
/// How long output is awaited from a program that has ended: one that it left behind may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(1);
/// Lines that may wait to be handled. A program that writes faster is slowed down.
const LINES_MAX: usize = 1024;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ctrl-C, or a request to terminate.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From here on, Ctrl-C ends the running program and is answered with [`Interrupted`].
pub(crate) fn watch_for_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("watching for Ctrl-C")
}

/// A program, its arguments and its deadline.
pub(crate) struct Program {
    command: Command,
    deadline: Duration,
}

/// How a program ended, and what it wrote to both outputs.
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) output: String,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        // What cargo tells this program of itself is not for others: a cargo that hears it builds anew what one without
        // it has built.
        for (name, _) in std::env::vars_os() {
            let is_of_package = name.to_str().is_some_and(|name| {
                name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")
            });
            if is_of_package {
                command.env_remove(name);
            }
        }
        Self {
            command,
            deadline: DEADLINE,
        }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Adds arguments that hold no spaces, written as in a shell.
    pub(crate) fn args(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// How long it may run; half an hour if not said.
    pub(crate) fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it, its output going where ours goes.
    pub(crate) fn run(self) -> Result<()> {
        let name = self.announce();
        check(&name, self.drive(|_| ())?)
    }

    /// Runs it and hands over each line that it writes to standard output, shown as well.
    pub(crate) fn run_with_lines(mut self, mut on_line: impl FnMut(&str)) -> Result<()> {
        let name = self.announce();
        self.command.stdout(Stdio::piped());
        let status = self.drive(|line| {
            println!("{line}");
            on_line(&line);
        })?;
        check(&name, status)
    }

    /// Runs it and returns what it writes to standard output, which is not shown.
    pub(crate) fn stdout(mut self) -> Result<String> {
        let name = self.name();
        self.command.stdout(Stdio::piped());
        let mut output = String::new();
        let status = self.drive(|line| {
            output.push_str(&line);
            output.push('\n');
        })?;
        check(&name, status)?;
        Ok(output)
    }

    /// Runs it where failure is an answer too; nothing is shown.
    pub(crate) fn attempt(mut self) -> Result<Finished> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut output = String::new();
        let status = self.drive(|line| {
            output.push_str(&line);
            output.push('\n');
        })?;
        Ok(Finished {
            success: status.success(),
            output,
        })
    }

    /// Runs it with this input, which does not end, and kills it once it has written this line to standard output.
    pub(crate) fn kill_at(mut self, input: &str, last: &str) -> Result<()> {
        let name = self.announce();
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let deadline = Instant::now() + self.deadline;
        let mut child = spawn(self.command).with_context(|| format!("starting `{name}`"))?;
        let mut stdin = child.stdin().take().expect("it is piped");
        let written = stdin.write_all(input.as_bytes());
        let lines = lines_of(&mut *child);
        let next = || lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let is_last = std::iter::from_fn(|| next().ok()).any(|line| line == last);
        end(&mut *child)?;
        written.with_context(|| format!("writing to `{name}`"))?;
        ensure!(is_last, "`{name}` did not write {last:?}");
        Ok(())
    }

    fn announce(&self) -> String {
        let name = self.name();
        eprintln!("$ {name}");
        name
    }

    /// The command as one would type it, `cargo` without its path.
    fn name(&self) -> String {
        let program = Path::new(self.command.get_program());
        let mut name = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned();
        for argument in self.command.get_args() {
            name.push(' ');
            name.push_str(&argument.to_string_lossy());
        }
        name
    }

    /// Starts it and waits for its end, handing over the lines of what is piped.
    fn drive(self, mut on_line: impl FnMut(String)) -> Result<ExitStatus> {
        let name = self.name();
        let started = Instant::now();
        let mut child = spawn(self.command).with_context(|| format!("starting `{name}`"))?;
        let lines = lines_of(&mut *child);
        let status = loop {
            match lines.recv_timeout(POLL) {
                Ok(line) => on_line(line),
                Err(RecvTimeoutError::Timeout) => {}
                // Nothing is piped, or all pipes are closed.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
            }
            if INTERRUPTED.load(Ordering::SeqCst) {
                end(&mut *child)?;
                return Err(Interrupted.into());
            }
            if started.elapsed() > self.deadline {
                end(&mut *child)?;
                bail!(
                    "`{name}` was ended: it ran for more than {} s",
                    self.deadline.as_secs()
                );
            }
            if let Some(status) = child.try_wait()? {
                break status;
            }
        };
        let drained = Instant::now() + DRAIN;
        while let Ok(line) = lines.recv_timeout(drained.saturating_duration_since(Instant::now())) {
            on_line(line);
        }
        Ok(status)
    }
}

fn spawn(command: Command) -> std::io::Result<Box<dyn ChildWrapper>> {
    let mut command = CommandWrap::from(command);
    #[cfg(unix)]
    command.wrap(process_wrap::std::ProcessGroup::leader());
    command.spawn()
}

/// The lines of all that is piped, as they come.
fn lines_of(child: &mut dyn ChildWrapper) -> Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(LINES_MAX);
    if let Some(stdout) = child.stdout().take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr().take() {
        forward(stderr, sender);
    }
    lines
}

fn forward(pipe: impl Read + Send + 'static, lines: SyncSender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line)
                .trim_end_matches('\r')
                .to_owned();
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

/// Ends a program and all that it started.
fn end(child: &mut dyn ChildWrapper) -> Result<()> {
    child.kill().context("ending a program")
}

fn check(name: &str, status: ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(anyhow!("`{name}` failed ({status})"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_outlives_its_deadline_is_ended() {
        let program = Program::new("sleep").arg("600").deadline(Duration::ZERO);

        let error = program.run().expect_err("the deadline has passed");

        assert_eq!(
            error.to_string(),
            "`sleep 600` was ended: it ran for more than 0 s"
        );
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("(sleep 20; echo survived) & echo started; wait")
            .stdout(writer);
        let mut child = spawn(command).expect("sh starts");
        let mut output = BufReader::new(reader);
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");

        end(&mut *child).expect("it can be ended");

        // The pipe ends when nobody is left who could write to it.
        output.read_line(&mut line).expect("the end");
        assert_eq!(line, "started\n");
    }

    #[test]
    fn all_output_of_a_program_is_handed_over() {
        let finished = Program::new("sh")
            .arg("-c")
            .arg("echo out; echo err >&2; exit 3")
            .attempt()
            .expect("sh runs");

        assert!(!finished.success);
        assert!(finished.output.contains("out\n") && finished.output.contains("err\n"));
    }
}
