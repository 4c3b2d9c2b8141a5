//! One member as a process: started, heard, paused, killed and started again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::child::{Child, Told};
use crate::member::{News, Standing};
use crate::members::Purpose;

/// What a member said.
pub(super) struct Heard {
    /// Which one, counted from 1.
    pub(super) number: usize,
    /// In which of its lives.
    life: u32,
    what: Told<News>,
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
        let listen = self.address().unwrap_or("127.0.0.1:0").to_owned();
        let name = format!("member-{}", self.number);
        let started = Child::start(|command| {
            command
                .args([what, "--open", "--json", "--until-eof", "--listen", &listen])
                // The last line that it writes there says why it has ended.
                .args(["--name", &name, "--log", "error"])
                .arg("--data")
                .arg(&self.folder);
            tell(command)
        });
        let (process, mut output) =
            started.with_context(|| format!("cannot start member {}", self.number))?;
        self.life += 1;
        let (number, life, heard) = (self.number, self.life, self.heard.clone());
        tokio::spawn(async move {
            loop {
                let what = output.next().await;
                let is_over = matches!(what, Told::Ended(_));
                let is_heard = heard.send(Heard { number, life, what }).await.is_ok();
                if is_over || !is_heard {
                    return;
                }
            }
        });
        self.process = Some(process);
        self.is_paused = false;
        self.failed = None;
        Ok(())
    }

    /// Takes what a member said. Returns an invitation, if it was one.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<String> {
        if heard.life != self.life {
            return None;
        }
        match heard.what {
            Told::News(News::Started { addresses, .. }) => {
                let address = addresses.first()?;
                self.address = Some(address.trim_start_matches("ws://").to_owned());
            }
            Told::News(News::Status(standing)) => self.standing = Some(standing),
            Told::News(News::Invited {
                purpose: Purpose::Member,
                invitation,
            }) => return Some(invitation),
            Told::News(_) => {}
            Told::Ended(why) => {
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
            process.kill().await;
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
            process.end().await;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Stop,
    Continue,
}
