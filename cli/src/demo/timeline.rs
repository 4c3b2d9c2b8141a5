//! Shows people on standard error what happens: a line for each event, and on a terminal a bar below them that moves.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use console::{Style, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use liferaft::time::Instant;

use super::options::{Options, Transport};
use super::recorder::now;
use super::summary::milliseconds;

/// The most members whose states have room in front of the text.
const INLINE_MAX: usize = 11;

/// The most members whose states have room in one line of their own.
const STRIP_COLUMNS: usize = 84;

/// How wide a text is made, so that the figures behind stand in a column.
const TEXT_COLUMNS: usize = 58;

/// Where it is told. Clones tell the same.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    origin: Instant,
    /// `None` if nothing is told.
    bar: Option<ProgressBar>,
}

/// What kind of thing has happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Something was done.
    Step,
    /// Somebody leads.
    Leads,
    /// Somebody was killed, or something is wrong.
    Killed,
    /// All is well.
    Good,
}

/// The states of all members at a moment.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// How many there are.
    pub(super) members: usize,
    /// Which of them live, counted from 0.
    pub(super) living: Vec<usize>,
    /// Which one leads.
    pub(super) leader: Option<usize>,
}

impl Timeline {
    /// One that tells nothing.
    pub(super) fn silent() -> Self {
        Self {
            origin: now(),
            bar: None,
        }
    }

    /// One that tells, and counts this many lines of chat.
    pub(super) fn of(lines: usize) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(lines as u64), target);
        let template = "  {spinner:.cyan} {msg:30} {bar:40.cyan/dim} {pos}/{len} lines";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        Self {
            origin: now(),
            bar: Some(bar),
        }
    }

    /// Says what is going to be told.
    pub(super) fn title(&self, options: &Options, seed: u64) {
        let members = match options.nodes {
            1 => "1 member".to_owned(),
            nodes => format!("{nodes} members"),
        };
        let loss = match options.loss {
            0 => String::new(),
            loss => format!(" · {loss} % of messages lost"),
        };
        let lab = if options.lab { " · laboratory" } else { "" };
        let place = if options.processes {
            "in processes of their own"
        } else {
            "in this process"
        };
        let over = match options.transport() {
            Transport::Memory => "",
            Transport::WebSocket => ", over WebSocket",
            Transport::WebRtc => ", over WebRTC",
        };
        let about = format!(
            "{members} {place}{over} · election timeout {} ms · evicted after {} ms{lab}{loss} · seed {seed}",
            options.election_timeout().as_millis(),
            options.evict_after().as_millis()
        );
        self.print(&format!(
            "\n  {}  {about}\n",
            style("liferaft demo").for_stderr().bold()
        ));
    }

    /// Says what is being done.
    pub(super) fn act(&self, what: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what);
            bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// A line of chat is written.
    pub(super) fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Something happened at a moment, and took this long.
    pub(super) fn tell(&self, at: Instant, mark: Mark, text: &str, took: Option<Duration>) {
        self.entry(at, mark, text, took);
    }

    /// Something happened that left the members in these states.
    pub(super) fn tell_with(
        &self,
        strip: &Strip,
        at: Instant,
        mark: Mark,
        text: &str,
        took: Option<Duration>,
    ) {
        if strip.members <= INLINE_MAX {
            let text = format!("{text:36} {}", states(strip, 0..strip.members));
            // The states may carry colours, which take no room: they are padded here.
            let padding = TEXT_COLUMNS.saturating_sub(37 + strip.members);
            self.entry(at, mark, &format!("{text}{:padding$}", ""), took);
        } else {
            self.entry(at, mark, text, took);
            let starts = (0..strip.members).step_by(STRIP_COLUMNS);
            for start in starts {
                let end = strip.members.min(start + STRIP_COLUMNS);
                self.print(&format!("{:14}{}", "", states(strip, start..end)));
            }
        }
    }

    /// Nothing more happens.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn entry(&self, at: Instant, mark: Mark, text: &str, took: Option<Duration>) {
        if self.bar.is_none() {
            return;
        }
        let seconds = at.since(self.origin).as_secs_f64();
        let time = style(format!("{seconds:8.3} s")).for_stderr().dim();
        let took = took.map_or_else(String::new, |took| format!("{:>10} ms", milliseconds(took)));
        let took = style(took).for_stderr().bold();
        let line = format!("{time}  {}  {text:TEXT_COLUMNS$}{took}", mark.glyph());
        self.print(line.trim_end());
    }

    fn print(&self, line: &str) {
        match &self.bar {
            None => {}
            Some(bar) if bar.is_hidden() => {
                // Nobody may be reading: that is no reason to stop.
                drop(writeln!(std::io::stderr(), "{line}"));
            }
            Some(bar) => bar.println(line),
        }
    }
}

impl Mark {
    fn glyph(self) -> impl std::fmt::Display {
        let (glyph, style) = match self {
            Self::Step => ("·", Style::new()),
            Self::Leads => (LEADER, Style::new().yellow()),
            Self::Killed => (KILLED, Style::new().red()),
            Self::Good => ("✔", Style::new().green()),
        };
        style.for_stderr().apply_to(glyph)
    }
}

const LEADER: &str = "★";
const LIVING: &str = "●";
const KILLED: &str = "✖";

fn states(strip: &Strip, members: std::ops::Range<usize>) -> String {
    let mut states = String::new();
    for member in members {
        let state = if strip.leader == Some(member) {
            style(LEADER).yellow()
        } else if strip.living.contains(&member) {
            style(LIVING).green()
        } else {
            style(KILLED).red()
        };
        write!(states, "{}", state.for_stderr()).expect("a string takes any text");
    }
    states
}
