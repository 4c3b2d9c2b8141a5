//! A chart as a picture: lifelines downwards, an arrow from where a message is sent to where it arrives.
//!
//! Time is not to scale: each event has a row, and messages that say nothing new have low ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use liferaft_raft::consensus::RoleKind;

use super::{arriving, ms};
use crate::story::{Scene, Story};

const LEFT: usize = 110;
const COLUMN: usize = 270;
const TOP: usize = 92;
const ROW: usize = 19;
const LOW_ROW: usize = 8;

/// How wide a letter is.
const LETTER: usize = 7;

const STYLE: &str = "\
text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#1d2330;paint-order:stroke;stroke:#fff;stroke-width:3px}\
.t{fill:#7a8190}.h{font-size:14px;font-weight:bold}.r{fill:#9aa1ae}.n{fill:#2a4b8d}.x{fill:#c0262d;font-weight:bold}\
line.m{stroke:#39424e;stroke-width:1.2}line.q{stroke:#c3c8d0;stroke-width:1}line.l{stroke:#c0262d;stroke-width:1.2;\
stroke-dasharray:4 3}line.d{stroke:#b9bfc9;stroke-width:1.5;stroke-dasharray:3 5}";

/// What the lifeline of a member looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Role(RoleKind),
    Paused,
    Down,
}

impl Look {
    /// The colour of the lifeline; none for a member that is down.
    const fn colour(self) -> Option<&'static str> {
        match self {
            Self::Role(RoleKind::Follower) => Some("#c9ced8"),
            Self::Role(RoleKind::PreCandidate) => Some("#f3dc9b"),
            Self::Role(RoleKind::Candidate) => Some("#eda53f"),
            Self::Role(RoleKind::Leader) => Some("#3f9e5f"),
            Self::Paused => Some("#8fa8d6"),
            Self::Down => None,
        }
    }
}

/// The picture of a story, under a title: an SVG document that needs nothing else.
#[must_use]
pub fn svg(story: &Story, title: &str) -> String {
    let mut picture = Picture {
        story,
        arriving: arriving(story),
        y: TOP,
        turn: None,
        sent_at: BTreeMap::new(),
        looks: vec![(Look::Role(RoleKind::Follower), TOP - ROW); story.members],
        roles: vec![RoleKind::Follower; story.members],
        alarm: 0,
        lifelines: String::new(),
        arrows: String::new(),
        texts: String::new(),
    };
    for (at, scene) in &story.scenes {
        picture.scene(*at, scene);
    }
    picture.finish(title)
}

struct Picture<'a> {
    story: &'a Story,
    arriving: BTreeSet<usize>,
    /// The row that was drawn last.
    y: usize,
    /// Whose messages leave in this row, and when.
    turn: Option<(u64, usize)>,
    /// The rows in which messages were sent.
    sent_at: BTreeMap<usize, usize>,
    /// How each lifeline looks, and since which row.
    looks: Vec<(Look, usize)>,
    roles: Vec<RoleKind>,
    /// How long the alarm's text is.
    alarm: usize,
    lifelines: String,
    arrows: String,
    texts: String,
}

impl Picture<'_> {
    fn scene(&mut self, at: u64, scene: &Scene) {
        match scene {
            Scene::Sent(word) => self.sent(at, *word),
            Scene::Lost(word) => {
                self.row(at, ROW);
                self.half_way(*word, "lost");
            }
            Scene::Heard(word) => self.arrived(at, *word, true),
            Scene::Unheard(word) => self.arrived(at, *word, false),
            Scene::Crashed(member) => {
                self.look(at, *member, Look::Down);
                self.label(*member, "x", "✕ crashes");
            }
            Scene::Started(member) => {
                self.roles[*member] = RoleKind::Follower;
                self.look(at, *member, Look::Role(RoleKind::Follower));
                self.label(*member, "n", "starts");
            }
            Scene::Paused(member) => {
                self.look(at, *member, Look::Paused);
                self.label(*member, "n", "pauses");
            }
            Scene::Resumed(member) => {
                if self.looks[*member].0 == Look::Paused {
                    self.look(at, *member, Look::Role(self.roles[*member]));
                } else {
                    self.row(at, ROW);
                }
                self.label(*member, "n", "goes on");
            }
            Scene::Became(member, role, text) => {
                self.roles[*member] = *role;
                self.look(at, *member, Look::Role(*role));
                self.label(*member, "n", text);
            }
            Scene::Note(member, text) => {
                self.row(at, ROW);
                self.label(*member, "n", text);
            }
            Scene::Around(text) => {
                self.row(at, ROW);
                self.text(LEFT + 8, self.y, "n", text);
            }
            Scene::Alarm(member, text) => {
                self.row(at, ROW);
                let (x, y, width) = (LEFT - 20, self.y - 13, self.width() - LEFT);
                let _ = writeln!(
                    self.lifelines,
                    r##"<rect x="{x}" y="{y}" width="{width}" height="17" fill="#fbdcdc"/>"##
                );
                if let Some(member) = member {
                    let (x, y) = (self.x(*member), self.y - 4);
                    let _ = writeln!(
                        self.arrows,
                        r##"<circle cx="{x}" cy="{y}" r="6" fill="#c0262d"/>"##
                    );
                }
                self.row(at, ROW);
                let text = format!("ALARM {text}");
                self.alarm = text.len();
                self.text(LEFT - 20, self.y, "x", &text);
            }
        }
    }

    fn x(&self, member: usize) -> usize {
        LEFT + member * COLUMN
    }

    fn width(&self) -> usize {
        LEFT + self.story.members * COLUMN
    }

    /// Begins a row. High ones tell the time.
    fn row(&mut self, at: u64, height: usize) {
        self.turn = None;
        self.y += height;
        if height == ROW {
            let y = self.y;
            let _ = writeln!(
                self.texts,
                r#"<text class="t" x="{}" y="{y}" text-anchor="end">{}</text>"#,
                LEFT - 30,
                ms(at)
            );
        }
    }

    fn look(&mut self, at: u64, member: usize, look: Look) {
        self.row(at, ROW);
        self.end_look(member);
        self.looks[member] = (look, self.y - 4);
    }

    /// Draws the lifeline up to here.
    fn end_look(&mut self, member: usize) {
        let (look, from) = self.looks[member];
        let (x, to) = (self.x(member), self.y - 4);
        let height = to - from;
        let _ = match look.colour() {
            Some(colour) => writeln!(
                self.lifelines,
                r#"<rect x="{}" y="{from}" width="6" height="{height}" fill="{colour}"/>"#,
                x - 3
            ),
            None => writeln!(
                self.lifelines,
                r#"<line class="d" x1="{x}" y1="{from}" x2="{x}" y2="{to}"/>"#
            ),
        };
    }

    /// Messages that leave in one turn share a row.
    fn sent(&mut self, at: u64, word: usize) {
        let told = &self.story.words[word];
        if !self.arriving.contains(&word) {
            self.row(at, ROW);
            self.half_way(word, "does not arrive");
            return;
        }
        if self.turn != Some((at, told.from)) {
            self.row(at, LOW_ROW);
            self.turn = Some((at, told.from));
        }
        self.sent_at.insert(word, self.y - 4);
    }

    fn half_way(&mut self, word: usize, fate: &str) {
        let told = &self.story.words[word];
        let (from, to, y) = (self.x(told.from), self.x(told.to), self.y - 4);
        let middle = from.midpoint(to);
        let _ = writeln!(
            self.arrows,
            r#"<line class="l" x1="{from}" y1="{y}" x2="{middle}" y2="{y}"/>"#
        );
        let text = format!("✕ {} ({fate})", told.text);
        let anchor = if to > from { "start" } else { "end" };
        self.anchored(middle, self.y, anchor, "x", &text);
    }

    fn arrived(&mut self, at: u64, word: usize, is_heard: bool) {
        let told = &self.story.words[word];
        let is_quiet = told.is_routine && is_heard;
        self.row(at, if is_quiet { LOW_ROW } else { ROW });
        let y = self.y - 4;
        let sent = self.sent_at.get(&word).copied().unwrap_or(y);
        let is_rightward = told.to > told.from;
        let (from, to) = (self.x(told.from), self.x(told.to));
        let (from, to) = if is_rightward {
            (from + 3, to - 4)
        } else {
            (from - 3, to + 4)
        };
        let (class, head) = match (is_heard, is_quiet) {
            (true, true) => ("q", "q"),
            (true, false) => ("m", "m"),
            (false, _) => ("l", "l"),
        };
        let _ = writeln!(
            self.arrows,
            r##"<line class="{class}" x1="{from}" y1="{sent}" x2="{to}" y2="{y}" marker-end="url(#{head})"/>"##
        );
        if is_quiet {
            return;
        }
        let fate = if is_heard { "" } else { " (not heard)" };
        let text = format!("{}{fate}", told.text);
        let class = if is_heard { "" } else { "x" };
        if is_rightward {
            self.anchored(to - 8, self.y + 7, "end", class, &text);
        } else {
            self.anchored(to + 8, self.y + 7, "start", class, &text);
        }
    }

    fn label(&mut self, member: usize, class: &str, text: &str) {
        self.text(self.x(member) + 8, self.y, class, text);
    }

    fn text(&mut self, x: usize, y: usize, class: &str, text: &str) {
        self.anchored(x, y, "start", class, text);
    }

    fn anchored(&mut self, x: usize, y: usize, anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        let _ = writeln!(
            self.texts,
            r#"<text class="{class}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    fn finish(mut self, title: &str) -> String {
        self.y += ROW;
        for member in 0..self.story.members {
            self.end_look(member);
            let x = self.x(member);
            self.anchored(x, TOP - 24, "middle", "h", &(member + 1).to_string());
        }
        // The alarm and the title may be wider than the columns.
        let longest = self.alarm.max(title.len() * 6 / 5);
        let width = self.width().max(LEFT + longest * LETTER);
        let height = self.y + ROW;
        let mut picture = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">"#
        );
        let _ = writeln!(picture, "\n<style>{STYLE}</style>\n<defs>");
        for (id, colour) in [("m", "#39424e"), ("q", "#c3c8d0"), ("l", "#c0262d")] {
            let _ = writeln!(
                picture,
                r#"<marker id="{id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>"#
            );
        }
        let _ = writeln!(
            picture,
            "</defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"
        );
        let _ = writeln!(
            picture,
            r#"<text class="h" x="20" y="24">{}</text>"#,
            escaped(title)
        );
        picture.push_str(&legend());
        picture.push_str(&self.lifelines);
        picture.push_str(&self.arrows);
        picture.push_str(&self.texts);
        picture.push_str("</svg>\n");
        picture
    }
}

fn legend() -> String {
    let looks = [
        ("follower", Look::Role(RoleKind::Follower)),
        ("pre-candidate", Look::Role(RoleKind::PreCandidate)),
        ("candidate", Look::Role(RoleKind::Candidate)),
        ("leader", Look::Role(RoleKind::Leader)),
        ("paused", Look::Paused),
    ];
    let mut legend = String::new();
    for (place, (name, look)) in looks.into_iter().enumerate() {
        let x = 20 + place * 120;
        let colour = look.colour().unwrap_or("none");
        let _ = writeln!(
            legend,
            r#"<rect x="{x}" y="36" width="12" height="10" fill="{colour}"/><text x="{}" y="45">{name}</text>"#,
            x + 18
        );
    }
    legend
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
