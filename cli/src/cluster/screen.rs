//! Draws the members as a table that is brought up to date in place, or where there is no terminal as lines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use console::{Term, style};

use super::names;
use super::seat::Seat;

/// Commits a second are counted over so long.
const RATE_TIME: Duration = Duration::from_secs(2);

/// How many entries were committed of late.
#[derive(Debug, Default)]
pub(super) struct Rate {
    noted: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// This many are committed by now.
    pub(super) fn note(&mut self, commit: u64) {
        let now = Instant::now();
        if self.noted.back().is_some_and(|(_, last)| *last >= commit) {
            return;
        }
        self.noted.push_back((now, commit));
    }

    /// Returns how many a second.
    fn a_second(&mut self) -> u64 {
        let now = Instant::now();
        // The last one from before the time is where it begins.
        while let [_, (second, _), ..] = self.noted.make_contiguous()
            && now.duration_since(*second) > RATE_TIME
        {
            self.noted.pop_front();
        }
        match (self.noted.front(), self.noted.back()) {
            (Some((_, first)), Some((_, last))) => (last - first) / RATE_TIME.as_secs(),
            _ => 0,
        }
    }
}

/// Where the table is drawn.
pub(super) struct Screen {
    terminal: Option<Term>,
    drawn: Vec<String>,
}

impl Screen {
    pub(super) fn new(is_terminal: bool) -> Self {
        let terminal = is_terminal.then(Term::stdout);
        Self {
            terminal,
            drawn: Vec::new(),
        }
    }

    /// Draws what is to be seen, if it is something else than before.
    pub(super) fn draw(&mut self, seats: &[Seat], rate: &mut Rate) -> anyhow::Result<()> {
        let Some(terminal) = &self.terminal else {
            let lines = table(seats, None);
            let news = lines.iter().filter(|line| !self.drawn.contains(line));
            let text: String = news.map(|line| format!("{line}\n")).collect();
            self.drawn = lines;
            return crate::print(&text);
        };
        let mut lines = table(seats, Some(rate.a_second()));
        lines.push(String::new());
        lines.push(keys_line());
        if lines == self.drawn {
            return Ok(());
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        terminal
            .clear_last_lines(self.drawn.len())
            .and_then(|()| terminal.write_str(&text))
            .context("cannot draw the table")?;
        self.drawn = lines;
        Ok(())
    }
}

fn keys_line() -> String {
    let key = |key, does| format!("{} {does}", style(key).bold());
    [
        key("k", "kills the leader"),
        key("p", "pauses one, or lets it go on"),
        key("r", "restarts the dead"),
        key("q", "ends all"),
    ]
    .join("   ")
}

/// Returns a line for each member, with a head; in a terminal also how many entries are committed a second.
fn table(seats: &[Seat], rate: Option<u64>) -> Vec<String> {
    let names = names(seats);
    let commit_of = |seat: &Seat| seat.standing().map_or(0, |standing| standing.commit);
    let commit_max = seats.iter().map(commit_of).max().unwrap_or(0);
    let mut lines = Vec::new();
    if let Some(rate) = rate {
        lines.push(format!(
            "{:<10} {:<17} {:<10} {:>5} {:>10} {:>7}   follows   {rate} commits/s",
            "member", "address", "role", "term", "commit", "lag"
        ));
    }
    for seat in seats {
        let name = format!("member-{}", seat.number());
        let address = seat.address().unwrap_or("");
        let Some(standing) = seat.standing() else {
            let state = match seat.failed() {
                Some(why) => format!("ended: {why}"),
                None => "starts".to_owned(),
            };
            lines.push(format!("{name:<10} {address:<17} {state}"));
            continue;
        };
        let role = if seat.is_dead() {
            "dead"
        } else if seat.is_paused() {
            "paused"
        } else {
            &standing.role
        };
        let role = format!("{role:<10}");
        let role = match role.trim_end() {
            "leader" => style(role).green().bold(),
            "dead" => style(role).red(),
            "paused" | "candidate" => style(role).yellow(),
            _ => style(role),
        };
        // Without a terminal only what changes seldom is told.
        let Some(_) = rate else {
            lines.push(format!(
                "{name:<10} {address:<17} {role} {:>5}",
                standing.term
            ));
            continue;
        };
        let lag = commit_max - standing.commit;
        let leader = standing
            .leader
            .as_ref()
            .and_then(|leader| names.get(leader));
        let follows = leader.filter(|leader| **leader != standing.name);
        lines.push(format!(
            "{name:<10} {address:<17} {role} {:>5} {:>10} {lag:>7}   {}",
            standing.term,
            standing.commit,
            follows.map_or("", String::as_str),
        ));
    }
    lines
}
