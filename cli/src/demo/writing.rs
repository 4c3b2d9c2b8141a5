//! Who writes the chat, and what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::cluster::Writer;
use super::timeline::Timeline;
use super::verify::Line;

/// What they talk about.
const PHRASES: [&str; 8] = [
    "camp reached",
    "the bridge is open",
    "two hikers found, both well",
    "battery at 40 %",
    "fog on the ridge",
    "moving to grid D4",
    "radio check",
    "all clear here",
];

/// Composes the lines of all members; no two are the same.
#[derive(Debug, Default)]
pub(super) struct Composer {
    composed: AtomicUsize,
}

impl Composer {
    /// The next line, from this member.
    pub(super) fn line(&self, member: usize) -> Bytes {
        let n = self.composed.fetch_add(1, Ordering::Relaxed);
        let phrase = PHRASES[n % PHRASES.len()];
        Bytes::from(format!("{:05} member {}: {phrase}", n + 1, member + 1))
    }
}

/// What one member wrote.
pub(super) struct Written {
    /// The member, counted from 0.
    pub(super) member: usize,
    /// The lines, and what came of each.
    pub(super) lines: Vec<Line>,
    /// How many of its share are left, if it was killed.
    pub(super) unwritten: usize,
}

/// Has a member write its share, one line after the other, as long as it lives.
pub(super) async fn write_share(
    member: usize,
    mut writer: Writer,
    share: usize,
    composer: Arc<Composer>,
    timeline: Timeline,
) -> Written {
    let mut lines = Vec::with_capacity(share);
    while lines.len() < share && !writer.is_killed() {
        let text = composer.line(member);
        let outcome = writer.append(text.clone()).await;
        timeline.advance();
        lines.push(Line { text, outcome });
    }
    let unwritten = share - lines.len();
    Written {
        member,
        lines,
        unwritten,
    }
}
