//! A chart as text: one column for each member, one row for each event. A message has its row where it arrives.

use std::collections::BTreeSet;

use liferaft_raft::consensus::RoleKind;

use super::{arriving, ms};
use crate::clock::Nanos;
use crate::story::{Scene, Story, Word};

/// How far members' columns lie apart, in characters.
const COLUMN: usize = 8;

/// What stands before the first column.
const MARGIN: usize = 15;

/// The chart of a story.
#[must_use]
pub fn text(story: &Story) -> String {
    let mut chart = Chart {
        story,
        arriving: arriving(story),
        lines: vec!['│'; story.members],
        rows: String::new(),
        previous: 0,
        earlier: 0,
        routine: 0,
    };
    let ids = (1..=story.members).map(|id| format!("{id:<COLUMN$}"));
    let head = format!("{:>12}   {}", "ms", ids.collect::<String>());
    chart.rows.push_str(head.trim_end());
    chart.rows.push('\n');
    for (at, scene) in &story.scenes {
        chart.scene(*at, scene);
    }
    chart.tell_routine();
    chart.rows
}

struct Chart<'a> {
    story: &'a Story,
    arriving: BTreeSet<usize>,
    /// How each member's lifeline is drawn at present.
    lines: Vec<char>,
    rows: String,
    /// The time of the row before, and that of the last row with another time.
    previous: Nanos,
    earlier: Nanos,
    /// Messages left out since then, since they say nothing that was not said before.
    routine: usize,
}

impl Chart<'_> {
    fn scene(&mut self, at: Nanos, scene: &Scene) {
        match scene {
            Scene::Sent(word) if self.arriving.contains(word) => {}
            Scene::Sent(word) => self.word(at, *word, End::Half, " (does not arrive)"),
            Scene::Lost(word) => self.word(at, *word, End::Half, " (lost)"),
            Scene::Heard(word) => self.word(at, *word, End::Heard, ""),
            Scene::Unheard(word) => self.word(at, *word, End::Unheard, " (not heard)"),
            Scene::Crashed(member) => {
                self.mark(at, *member, '╳', "crashes");
                self.lines[*member] = ' ';
            }
            Scene::Started(member) => {
                self.lines[*member] = '│';
                self.mark(at, *member, '▲', "starts");
            }
            Scene::Paused(member) => {
                self.mark(at, *member, '■', "pauses");
                self.lines[*member] = '┊';
            }
            Scene::Resumed(member) => {
                if self.lines[*member] == '┊' {
                    self.lines[*member] = '│';
                }
                self.mark(at, *member, '▶', "goes on");
            }
            Scene::Became(member, role, text) => {
                let (mark, line) = match role {
                    RoleKind::Follower => ('F', '│'),
                    RoleKind::PreCandidate => ('P', '│'),
                    RoleKind::Candidate => ('C', '│'),
                    RoleKind::Leader => ('L', '║'),
                };
                self.lines[*member] = line;
                self.mark(at, *member, mark, text);
            }
            Scene::Note(member, text) => self.mark(at, *member, '◆', text),
            Scene::Around(text) => self.row(at, &self.lifelines(), text),
            Scene::Alarm(Some(member), text) => {
                let mut cells = self.lifelines();
                cells[member * COLUMN] = '!';
                self.row(at, &cells, &format!("ALARM {text}"));
            }
            Scene::Alarm(None, text) => {
                self.row(at, &self.lifelines(), &format!("ALARM {text}"));
            }
        }
    }

    fn mark(&mut self, at: Nanos, member: usize, mark: char, text: &str) {
        let mut cells = self.lifelines();
        cells[member * COLUMN] = mark;
        self.row(at, &cells, &format!("{} {text}", member + 1));
    }

    fn word(&mut self, at: Nanos, word: usize, end: End, fate: &str) {
        let word = &self.story.words[word];
        if word.is_routine && end == End::Heard {
            self.routine += 1;
            return;
        }
        self.tell_routine();
        // Rows between the two ends of an arrow would hide when it began.
        let between = if self.previous < at {
            self.previous
        } else {
            self.earlier
        };
        let sent = if word.sent < between {
            format!(" (sent {})", ms(word.sent))
        } else {
            String::new()
        };
        let mut cells = self.lifelines();
        draw(&mut cells, word, end);
        self.row(at, &cells, &format!("{}{fate}{sent}", word.text));
    }

    fn tell_routine(&mut self) {
        if self.routine > 0 {
            let lines: String = self.lifelines().into_iter().collect();
            let count = self.routine;
            self.rows.push_str(&format!(
                "{:>MARGIN$}{lines}⋮ {count} that repeat what was said\n",
                ""
            ));
            self.routine = 0;
        }
    }

    fn lifelines(&self) -> Vec<char> {
        let mut cells = vec![' '; self.story.members * COLUMN];
        for (member, line) in self.lines.iter().enumerate() {
            cells[member * COLUMN] = *line;
        }
        cells
    }

    fn row(&mut self, at: Nanos, cells: &[char], text: &str) {
        self.tell_routine();
        let cells: String = cells.iter().collect();
        self.rows
            .push_str(&format!("{:>12}   {cells}{text}\n", ms(at)));
        if self.previous < at {
            self.earlier = self.previous;
            self.previous = at;
        }
    }
}

/// How an arrow ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Heard,
    Unheard,
    /// On its way.
    Half,
}

fn draw(cells: &mut [char], word: &Word, end: End) {
    let (from, to) = (word.from * COLUMN, word.to * COLUMN);
    let is_rightward = to > from;
    let step = |x: usize, by: usize| if is_rightward { x + by } else { x - by };
    let length = match end {
        End::Heard | End::Unheard => from.abs_diff(to) - 1,
        End::Half => from.abs_diff(to) / 2,
    };
    cells[from] = if is_rightward { '├' } else { '┤' };
    for by in 1..length {
        let cell = &mut cells[step(from, by)];
        *cell = if by % COLUMN == 0 { '┼' } else { '─' };
    }
    cells[step(from, length)] = match end {
        End::Heard if is_rightward => '▶',
        End::Heard => '◀',
        End::Unheard | End::Half => '×',
    };
}
