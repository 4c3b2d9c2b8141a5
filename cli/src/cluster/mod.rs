//! Starts a cluster of processes on this machine, to look at and to hurt.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::sync::mpsc;
use tokio::time::interval;

use crate::keys::Keys;
use crate::member::{Signals, block_on};
use crate::scratch::Root;

mod screen;
mod seat;

use self::screen::{Rate, Screen};
use self::seat::{Heard, Seat};

/// Start a cluster of processes on this machine, and watch it
///
/// Each member is a process of its own, with a folder of its own, at a port of its own; whatever runs on this machine
/// may use the cluster. In a terminal a live table shows them, and keys are: k kills the leader, p pauses a follower or
/// lets it go on, r restarts who is dead, q ends all. Everything is removed at the end.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many members
    #[arg(value_name = "MEMBERS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=9))]
    members: u16,
}

/// So often the table is drawn.
const FRAME_TIME: Duration = Duration::from_millis(250);

/// So long the first member may take to found the cluster.
const FOUNDING_TIME_MAX: Duration = Duration::from_secs(30);

/// What waits of what members say: they are held up beyond that.
const HEARD_MAX: usize = 256;

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(show(options))
}

async fn show(options: &Options) -> anyhow::Result<()> {
    let mut signals = Signals::listen(false)?;
    let root = Root::new()?;
    let (sender, mut heard) = mpsc::channel(HEARD_MAX);
    let mut cluster = Cluster {
        seats: (1..=usize::from(options.members))
            .map(|number| Seat::new(number, root.path(), sender.clone()))
            .collect(),
        invitation: None,
        rate: Rate::default(),
    };
    let ended = tokio::select! {
        ended = cluster.live(&mut heard) => ended,
        () = signals.next() => Ok(()),
    };
    for seat in &mut cluster.seats {
        seat.end().await;
    }
    ended
}

/// The members, and what is known of them.
struct Cluster {
    seats: Vec<Seat>,
    invitation: Option<String>,
    rate: Rate,
}

impl Cluster {
    async fn live(&mut self, heard: &mut mpsc::Receiver<Heard>) -> anyhow::Result<()> {
        self.seats[0].found()?;
        let founding = async {
            while self.invitation.is_none() {
                let news = heard.recv().await.context("a sender is kept")?;
                self.hear(news);
                if let Some(why) = self.seats[0].failed() {
                    bail!("the first member has ended: {why}");
                }
            }
            Ok(())
        };
        tokio::time::timeout(FOUNDING_TIME_MAX, founding)
            .await
            .context("the first member founds no cluster")??;
        let invitation = self.invitation.clone().unwrap_or_default();
        for seat in &mut self.seats[1..] {
            seat.join(&invitation)?;
        }
        let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
        let mut screen = Screen::new(is_terminal);
        let mut keys = Keys::listen(is_terminal);
        let mut frames = interval(FRAME_TIME);
        loop {
            tokio::select! {
                Some(news) = heard.recv() => self.hear(news),
                key = keys.next() => match key {
                    'k' => self.kill_leader().await,
                    'p' => self.pause_or_resume()?,
                    'r' => self.restart()?,
                    'q' => return Ok(()),
                    _ => {}
                },
                _ = frames.tick() => screen.draw(&self.seats, &mut self.rate)?,
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let Some(seat) = self.seats.get_mut(heard.number - 1) else {
            return;
        };
        if let Some(invitation) = seat.hear(heard) {
            self.invitation = Some(invitation);
        }
        let commits = self.seats.iter().filter_map(|seat| seat.standing());
        if let Some(commit) = commits.map(|standing| standing.commit).max() {
            self.rate.note(commit);
        }
    }

    /// Returns the place of the member that leads in the latest term, as far as is known.
    fn leader(&self) -> Option<usize> {
        let leaders = self.seats.iter().enumerate().filter_map(|(at, seat)| {
            let standing = seat.standing().filter(|_| seat.is_running())?;
            (standing.role == "leader").then_some((standing.term, at))
        });
        leaders.max().map(|(_, at)| at)
    }

    async fn kill_leader(&mut self) {
        if let Some(leader) = self.leader() {
            self.seats[leader].kill().await;
        }
    }

    fn pause_or_resume(&mut self) -> anyhow::Result<()> {
        if let Some(paused) = self.seats.iter_mut().find(|seat| seat.is_paused()) {
            return paused.resume();
        }
        let leader = self.leader();
        let mut others = self.seats.iter_mut().enumerate();
        let other = others.find(|(at, seat)| Some(*at) != leader && seat.is_running());
        other.map_or(Ok(()), |(_, seat)| seat.pause())
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        for seat in self.seats.iter_mut().filter(|seat| seat.is_dead()) {
            seat.restart()?;
        }
        Ok(())
    }
}

/// The names of servers by their ids, as they tell them.
fn names(seats: &[Seat]) -> BTreeMap<String, String> {
    let standings = seats.iter().filter_map(Seat::standing);
    standings
        .map(|standing| (standing.server.clone(), standing.name.clone()))
        .collect()
}
