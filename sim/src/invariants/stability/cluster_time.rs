//! Cluster time (§6.3): it never runs faster than the clocks of those who lead, never goes back, and stands still while
//! nobody leads, while a leader sleeps, and when no quorum answers it.
//!
//! A leader's clock is asked here, not the leader: it goes as wrong as the plan says, and no further. The time that a
//! leader may count is that up to two election timeouts after a quorum has last answered it: one until it has to give
//! up, and one more in which it may have slept past that.

use std::time::Duration;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::Entry;
use liferaft_raft::ids::{Index, ServerId, Term};
use liferaft_raft::time::{ClusterTime, Instant};

use super::Watched;
use crate::invariants::{Turn, Verdict, demand};

/// For so many election timeouts after a quorum's answer a leader counts the time.
const CERTAIN_ELECTION_TIMEOUTS: u32 = 2;

/// How long a leader has led, as far as it may count it.
#[derive(Debug)]
pub(super) struct Led {
    term: Term,
    /// The cluster time when it began.
    began_with: ClusterTime,
    /// How long it has led since.
    counted: Duration,
    /// Until then by its clock it is counted.
    counted_to: Instant,
    /// A moment since which a quorum has answered it, or at which the count began anew.
    contact: Instant,
    /// The last entry that was looked at.
    last: (Index, ClusterTime),
}

impl Led {
    /// The count begins anew: the leader waits for a quorum of another configuration, or at another pace.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.contact = now;
    }
}

/// Counts the time before this turn, by what was known before it.
pub(super) fn count(watched: &mut Watched, turn: &Turn<'_>) {
    let now = watched.now(turn);
    let Some(led) = &watched.led else {
        return;
    };
    let election_timeout = watched.timing.election_timeout();
    let longest = election_timeout.max(turn.heard.election_timeout_max);
    let certain = longest * CERTAIN_ELECTION_TIMEOUTS;
    let mut contact = led.contact;
    if now > contact + certain {
        let (_, configuration) = turn.configuration_before;
        contact = contact.max(heard_by_quorum(watched, configuration, led.counted_to));
    }
    if let Some(led) = &mut watched.led {
        let until = now.min(contact + certain);
        led.counted += until.since(led.counted_to);
        led.counted_to = now;
        led.contact = contact;
    }
}

/// A moment since which a quorum has answered the leader, which hears itself in each turn.
fn heard_by_quorum(
    watched: &Watched,
    configuration: Option<&Configuration>,
    last_turn: Instant,
) -> Instant {
    let heard_at = |voter: &ServerId| {
        if *voter == watched.id {
            return last_turn;
        }
        watched.answers.get(voter).copied().unwrap_or_default()
    };
    let halves = configuration.map(|it| [it.voters(), it.outgoing()]);
    let halves = halves.into_iter().flatten().filter(|half| !half.is_empty());
    let contacts = halves.map(|half| {
        let mut heard: Vec<Instant> = half.iter().map(heard_at).collect();
        heard.sort_unstable();
        heard[(heard.len() - 1) / 2]
    });
    contacts.min().unwrap_or(last_turn)
}

/// Checks the stamps of the entries that the leader has appended.
pub(super) fn check(watched: &mut Watched, turn: &Turn<'_>) -> Verdict {
    let views = [turn.before, turn.after()];
    let leads_in = |term: Term| views.iter().any(|view| view.leads() && view.term == term);
    if !views.iter().any(|view| view.leads()) {
        return Ok(());
    }
    let entries = turn.output.writes.iter().flat_map(|write| &write.entries);
    for entry in entries.filter(|entry| leads_in(entry.term)) {
        check_entry(watched, turn, entry)?;
    }
    if !turn.after().leads() {
        watched.led = None;
    }
    Ok(())
}

fn check_entry(watched: &mut Watched, turn: &Turn<'_>, entry: &Entry) -> Verdict {
    let now = watched.now;
    let is_another = |led: &Led| led.term != entry.term;
    if watched.led.as_ref().is_none_or(is_another) {
        let previous = entry.index.previous();
        let stamp = turn.log().stamp_at(previous).unwrap_or(entry.stamp);
        watched.led = Some(Led {
            term: entry.term,
            began_with: stamp,
            counted: Duration::ZERO,
            counted_to: now,
            contact: now,
            last: (previous, stamp),
        });
    }
    let Some(led) = &mut watched.led else {
        return Ok(());
    };
    let (last, stamp) = core::mem::replace(&mut led.last, (entry.index, entry.stamp));
    demand!(
        entry.stamp >= stamp,
        "cluster time goes from {stamp:?} at {last} back to {:?} at {}",
        entry.stamp,
        entry.index
    );
    let passed = entry.stamp.since(led.began_with);
    demand!(
        passed <= led.counted,
        "cluster time has run {passed:?} up to {}, in {:?} of leading with a quorum",
        entry.index,
        led.counted
    );
    Ok(())
}
