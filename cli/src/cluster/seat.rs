//! One member as a process: started, heard, paused, killed and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::member::{News, Standing};
use crate::members::Purpose;

/// So long a member may take to stop when it is asked to.
const STOPPING_TIME_MAX: Duration = Duration::from_secs(5);

/// The longest line of a member that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What a member said.
pub(super) struct Heard {
    /// Which one, counted from 1.
    pub(super) number: usize,
    /// In which of its lives.
    life: u32,
    what: What,
}

enum What {
    News(News),
    /// Its output has ended, and with it the process.
    Ended(String),
}

/// A member, whether it runs or not.
pub(super) struct Seat {
    number: usize,
    folder: PathBuf,
    heard: mpsc::Sender<Heard>,
    life: u32,
    process: Option<Child>,
    standing: Option<Standing>,
    address: Option<String>,
    is_paused: bool,
    failed: Option<String>,
}

impl Seat {
    pub(super) fn new(number: usize, root: &Path, heard: mpsc::Sender<Heard>) -> Self {
        Self {
            number,
            folder: root.join(number.to_string()),
            heard,
            life: 0,
            process: None,
            standing: None,
            address: None,
            is_paused: false,
            failed: None,
        }
    }

    /// Makes a cluster.
    pub(super) fn found(&mut self) -> anyhow::Result<()> {
        self.start("init", |command| command.args(["--invite-uses", "1000"]))
    }

    /// Comes as a newcomer.
    pub(super) fn join(&mut self, invitation: &str) -> anyhow::Result<()> {
        // In the environment nobody else sees it, as they would among the arguments.
        self.start("node", |command| command.env("LIFERAFT_JOIN", invitation))
    }

    /// Runs again where it was.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.start("node", |command| command)
    }

    fn start(
        &mut self,
        what: &str,
        tell: impl FnOnce(&mut Command) -> &mut Command,
    ) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let listen = self.address().unwrap_or("127.0.0.1:0").to_owned();
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LIFERAFT_") {
                command.env_remove(name);
            }
        }
        command
            .args([what, "--open", "--json", "--until-eof", "--listen", &listen])
            .args(["--name", &format!("member-{}", self.number)])
            .arg("--data")
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C is for this process, which ends all others.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = tell(&mut command)
            .spawn()
            .with_context(|| format!("cannot start member {}", self.number))?;
        self.life += 1;
        self.listen(&mut process)?;
        self.process = Some(process);
        self.is_paused = false;
        self.failed = None;
        Ok(())
    }

    /// Passes on what a process says, until it says nothing more.
    fn listen(&self, process: &mut Child) -> anyhow::Result<()> {
        let (number, life, heard) = (self.number, self.life, self.heard.clone());
        let output = process.stdout.take().context("its output is piped")?;
        let errors = process.stderr.take().context("its errors are piped")?;
        tokio::spawn(async move {
            let told = |what| heard.send(Heard { number, life, what });
            let mut output = BufReader::new(output);
            let mut last_error = tokio::spawn(last_line(errors));
            let mut line = String::new();
            while matches!(read_line(&mut output, &mut line).await, Ok(1..)) {
                if let Ok(news) = serde_json::from_str(&line)
                    && told(What::News(news)).await.is_err()
                {
                    return;
                }
            }
            let why = (&mut last_error).await.unwrap_or_default();
            let _over = told(What::Ended(why)).await;
        });
        Ok(())
    }

    /// Takes what a member said. Returns an invitation, if it was one.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<String> {
        if heard.life != self.life {
            return None;
        }
        match heard.what {
            What::News(News::Started { addresses, .. }) => {
                let address = addresses.first()?;
                self.address = Some(address.trim_start_matches("ws://").to_owned());
            }
            What::News(News::Status(standing)) => self.standing = Some(standing),
            What::News(News::Invited {
                purpose: Purpose::Member,
                invitation,
            }) => return Some(invitation),
            What::News(_) => {}
            What::Ended(why) => {
                self.failed = Some(why);
                self.process = None;
            }
        }
        None
    }

    /// Where it listens, as `127.0.0.1:4000`.
    pub(super) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    /// What it said last of itself.
    pub(super) const fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }

    /// What its process said last on standard error, if it has ended.
    pub(super) fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    pub(super) const fn is_running(&self) -> bool {
        self.process.is_some() && !self.is_paused
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.process.is_some() && self.is_paused
    }

    /// Whether it ran and does not.
    pub(super) const fn is_dead(&self) -> bool {
        self.life > 0 && self.process.is_none()
    }

    /// Kills it, as the end of power would.
    pub(super) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ended = process.kill().await;
        }
        self.is_paused = false;
    }

    /// Stops it in the middle of whatever it does.
    pub(super) fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Stop)?;
        self.is_paused = true;
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Continue)?;
        self.is_paused = false;
        Ok(())
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal as Unix, kill_process};
        let id = self.process.as_ref().and_then(Child::id);
        let id = id.and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let Some(id) = id else { return Ok(()) };
        let signal = match signal {
            Signal::Stop => Unix::STOP,
            Signal::Continue => Unix::CONT,
        };
        kill_process(id, signal).context("cannot signal a member")
    }

    #[cfg(not(unix))]
    fn signal(&self, _: Signal) -> anyhow::Result<()> {
        anyhow::bail!("this system pauses no processes")
    }

    /// Ends it: by the end of its input, and if that is not enough, by force.
    pub(super) async fn end(&mut self) {
        if self.is_paused() {
            let _gone = self.resume();
        }
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            if timeout(STOPPING_TIME_MAX, process.wait()).await.is_err() {
                let _ended = process.kill().await;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Stop,
    Continue,
}

async fn read_line(
    from: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut String,
) -> std::io::Result<usize> {
    use tokio::io::AsyncReadExt as _;
    line.clear();
    from.take(LINE_BYTES_MAX).read_line(line).await
}

/// Reads to the end, and returns the last line.
async fn last_line(from: impl tokio::io::AsyncRead + Unpin) -> String {
    let (mut from, mut line, mut last) = (BufReader::new(from), String::new(), String::new());
    while matches!(read_line(&mut from, &mut line).await, Ok(1..)) {
        last = line.trim_end().to_owned();
    }
    last
}
