//! Shrinking: from a schedule that ends with an alarm, a small one that ends with the same kind of alarm.
//!
//! Each attempt is a replay. Actions, members, requests and choices are left out for as long as the alarm stays; then
//! times are shortened and settings made plain. One pass makes room for another, so that they are repeated until none
//! helps.

pub mod ddmin;
mod members;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::choices::{Choices, Series};
use crate::clock::{MILLI, Nanos};
use crate::invariants::Alarm;
use crate::plan::{FaultPlan, Plan, WorkloadPlan};
use crate::replay::{attempt, replay};
use crate::run::Extent;
use crate::schedule::{Raised, Schedule, Timed, spell_trace};

/// How many inputs an attempt may take beside twice those of the run that is shrunk.
const INPUTS_SPARE: u64 = 10_000;

/// How much later an alarm may come in an attempt than in the best one so far, in election timeouts.
const LATER_ELECTION_TIMEOUTS: Nanos = 4;

/// What shrinking has come to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest schedule that was found.
    pub schedule: Schedule,
    /// How many replays it took.
    pub replays: u64,
    /// Whether nothing more can be left out, one thing at a time.
    pub is_minimal: bool,
}

/// Shrinks a schedule that ends with an alarm, for so long at most, in real time. `None` if its replay ends without
/// that alarm.
#[must_use]
pub fn shrink(schedule: &Schedule, budget: Duration) -> Option<Shrunk> {
    let began = Instant::now();
    shrink_while(schedule, || began.elapsed() < budget)
}

/// As [`shrink`], for as long as `may_go_on` says so. It is asked before each replay.
#[must_use]
pub fn shrink_while(schedule: &Schedule, may_go_on: impl FnMut() -> bool) -> Option<Shrunk> {
    let outcome = replay(schedule);
    let alarm = outcome.alarm?;
    let wanted = schedule.alarm.clone();
    let wanted = wanted.unwrap_or_else(|| Raised::from(&alarm));
    if !wanted.is_like(&alarm) {
        return None;
    }
    let mut work = Work {
        best: schedule.clone(),
        wanted,
        extent: Extent {
            has_last_phase: alarm.at >= schedule.plan.safety_phase,
            inputs_max: outcome.counts.inputs.saturating_mul(2) + INPUTS_SPARE,
        },
        alarm,
        may_go_on,
        replays: 1,
        is_over: false,
    };
    // Nothing is drawn in a replay: what would be drawn how often says nothing of it.
    work.best.plan.faults = FaultPlan::default();
    work.best.plan.workload = WorkloadPlan::default();
    while work.round() {}
    Some(work.finish(schedule))
}

struct Work<F> {
    best: Schedule,
    /// The alarm of the best schedule.
    alarm: Alarm,
    wanted: Raised,
    /// How much of a run an attempt is.
    extent: Extent,
    may_go_on: F,
    replays: u64,
    is_over: bool,
}

impl<F: FnMut() -> bool> Work<F> {
    /// One pass after the other; whether one of them helped.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.cut_off();
        self.fewer_actions();
        self.fewer_members();
        self.fewer_choices();
        self.fewer_requests();
        self.plainer();
        self.cut_off();
        self.sooner();
        !self.is_over
            && (self.best.actions != before.actions || self.best.choices != before.choices)
    }

    /// Takes a candidate if it ends with the alarm that is wanted.
    ///
    /// An alarm may come a little later than before. If it is not one of the last phase, that phase is not waited for.
    fn attempt(&mut self, mut candidate: Schedule) -> bool {
        self.is_over |= !(self.may_go_on)();
        if self.is_over {
            return false;
        }
        self.replays += 1;
        if !self.extent.has_last_phase {
            let timeout = candidate.plan.config.election_timeout().as_nanos();
            let timeout = Nanos::try_from(timeout).unwrap_or(Nanos::MAX);
            let later = timeout.saturating_mul(LATER_ELECTION_TIMEOUTS);
            candidate.plan.safety_phase = self.alarm.at.saturating_add(later);
        }
        let Some(alarm) = attempt(&candidate, self.extent).alarm else {
            return false;
        };
        let is_wanted = self.wanted.is_like(&alarm);
        if is_wanted {
            if !self.extent.has_last_phase {
                candidate.plan.safety_phase = alarm.at + 1;
            }
            self.best = candidate;
            self.alarm = alarm;
        }
        is_wanted
    }

    /// Takes the best schedule with a change if it ends with the alarm that is wanted. Breaks off when time is up.
    fn attempt_if_time(&mut self, change: impl FnOnce(&mut Schedule)) -> ControlFlow<(), bool> {
        // Where there is much to leave out, the candidates themselves take time to make.
        if self.is_over {
            return ControlFlow::Break(());
        }
        let mut candidate = self.best.clone();
        change(&mut candidate);
        ControlFlow::Continue(self.attempt(candidate))
    }

    /// Nothing needs to be said of what comes after the alarm.
    fn cut_off(&mut self) {
        let mut candidate = self.best.clone();
        let end = self.alarm.at;
        candidate.actions.retain(|timed| timed.at <= end);
        if self.extent.has_last_phase {
            let last = candidate.actions.last().map_or(0, |last| last.at + 1);
            candidate.plan.safety_phase = last.min(candidate.plan.safety_phase);
        }
        if candidate.plan != self.best.plan || candidate.actions != self.best.actions {
            self.attempt(candidate);
        }
    }

    fn fewer_actions(&mut self) {
        let actions = self.best.actions.clone();
        ddmin::minimize(actions, |actions| {
            self.attempt_if_time(|candidate| candidate.actions = actions.to_vec())
        });
    }

    fn fewer_members(&mut self) {
        for member in (0..self.best.plan.members).rev() {
            if let Some(candidate) = members::without_member(&self.best, member) {
                self.attempt(candidate);
            }
        }
    }

    fn fewer_choices(&mut self) {
        let mut named: Vec<Named> = self
            .best
            .choices
            .fresh
            .keys()
            .map(|at| Named::Fresh(*at))
            .collect();
        for (series, made) in &self.best.choices.made {
            named.extend(made.keys().map(|place| Named::Made(*series, *place)));
        }
        ddmin::minimize(named, |named| {
            self.attempt_if_time(|candidate| candidate.choices = pick(&candidate.choices, named))
        });
    }

    /// Fewer requests at once, and shorter ones.
    fn fewer_requests(&mut self) {
        for place in 0..self.best.actions.len() {
            let Action::Propose(at, requests) = self.best.actions[place].action.clone() else {
                continue;
            };
            if requests.len() > 1 {
                ddmin::minimize(requests, |requests| {
                    if requests.is_empty() {
                        return ControlFlow::Continue(false);
                    }
                    self.attempt_if_time(|candidate| {
                        candidate.actions[place].action = Action::Propose(at, requests.to_vec());
                    })
                });
            }
            let mut candidate = self.best.clone();
            let Action::Propose(_, requests) = &mut candidate.actions[place].action else {
                continue;
            };
            let bytes = requests.iter().map(|request| request.bytes).max();
            requests.iter_mut().for_each(|request| request.bytes = 1);
            if bytes > Some(1) {
                self.attempt(candidate);
            }
        }
    }

    /// Settings that do not matter become plain, and times round.
    fn plainer(&mut self) {
        for plain in PLAINER {
            let mut candidate = self.best.clone();
            plain(&mut candidate.plan);
            if candidate.plan != self.best.plan {
                self.attempt(candidate);
            }
        }
        for grain in [MILLI, MILLI / 10] {
            let mut candidate = self.best.clone();
            for timed in &mut candidate.actions {
                timed.at -= timed.at % grain;
                timed.after = 0;
            }
            if candidate.actions != self.best.actions && self.attempt(candidate) {
                break;
            }
        }
    }

    /// Actions come sooner after those before them.
    fn sooner(&mut self) {
        for place in 0..self.best.actions.len() {
            for share in [0, 1, 2, 3] {
                let before = place.checked_sub(1);
                let before = before.map_or(0, |before| self.best.actions[before].at);
                let gap = self.best.actions[place].at - before;
                let shorter = gap * share / 4;
                if gap - shorter < MILLI {
                    break;
                }
                let mut candidate = self.best.clone();
                shift(&mut candidate, place, gap - shorter);
                if self.attempt(candidate) {
                    break;
                }
            }
        }
    }

    fn finish(self, of: &Schedule) -> Shrunk {
        let mut schedule = self.best;
        let outcome = replay(&schedule);
        let (from, to) = (of.actions.len(), schedule.actions.len());
        let choices = (of.choices.len(), schedule.choices.len());
        schedule.about = format!(
            "seed {}, shrunk: {from} actions to {to}, {} choices to {}",
            of.plan.seed, choices.0, choices.1
        );
        schedule.alarm = outcome.alarm.as_ref().map(Raised::from);
        schedule.trace = Some(spell_trace(outcome.trace));
        Shrunk {
            schedule,
            replays: self.replays + 1,
            is_minimal: !self.is_over,
        }
    }
}

/// The name of a choice.
#[derive(Clone, Copy)]
enum Named {
    Made(Series, u32),
    Fresh(u32),
}

fn pick(from: &Choices, named: &[Named]) -> Choices {
    let mut picked = Choices::default();
    for name in named {
        match *name {
            Named::Made(series, place) => {
                if let Some(choice) = from.get(series, place) {
                    picked.enter(series, place, choice);
                }
            }
            Named::Fresh(place) => {
                let request = from.fresh.get(&place);
                picked
                    .fresh
                    .extend(request.map(|request| (place, *request)));
            }
        }
    }
    picked
}

/// This action and all after it come sooner, and so does the end of the phase.
fn shift(schedule: &mut Schedule, from: usize, by: Nanos) {
    for Timed { at, after, .. } in &mut schedule.actions[from..] {
        *at -= by;
        *after = 0;
    }
    let last = schedule.actions.last().map_or(0, |last| last.at);
    let phase = schedule.plan.safety_phase;
    schedule.plan.safety_phase = phase.saturating_sub(by).max(last + 1).min(phase);
}

/// Settings as plain as they can be.
const PLAINER: [fn(&mut Plan); 7] = [
    |plan| plan.skew_max = 0,
    |plan| plan.turn_max = 0,
    |plan| plan.membership = None,
    |plan| plan.machine.padding_bytes = 0,
    |plan| plan.machine.snapshot_at_bytes = u64::MAX,
    |plan| plan.clients.session_hurry = 1,
    |plan| plan.network.latency = (MILLI, MILLI),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::flaw::Flaw;
    use crate::replay::record;

    /// A run that ends with an alarm, since commands that are sent twice take effect twice.
    fn failure() -> Schedule {
        let flawed = (1..=30).map(|seed| {
            let mut plan = Plan::of_seed(seed);
            plan.flaw = Some(Flaw::SessionsSkipped);
            // A short run has few attempts to be made.
            plan.safety_phase = 2 * SECOND;
            record(plan).1
        });
        let mut failures = flawed.filter(|schedule| schedule.alarm.is_some());
        failures.next().expect("one of them fails")
    }

    #[test]
    fn a_failure_is_shrunk_to_what_it_takes_and_keeps_its_alarm() {
        let failure = failure();
        let mut replays = 0;

        let shrunk = shrink_while(&failure, || {
            replays += 1;
            replays < 600
        });

        let shrunk = shrunk.expect("it fails again").schedule;
        let alarm = replay(&shrunk).alarm.expect("the alarm");
        let raised = failure.alarm.expect("the alarm");
        assert!(raised.is_like(&alarm), "{alarm}");
        assert!(shrunk.actions.len() * 3 < failure.actions.len());
        assert!(shrunk.choices.len() * 4 < failure.choices.len());
        assert_eq!(shrunk.alarm, Some(Raised::from(&alarm)));
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        let mut sound = failure();
        sound.plan.flaw = None;

        assert!(shrink_while(&sound, || true).is_none());
    }

    #[test]
    fn where_there_is_no_time_the_failure_stays_as_it_is() {
        let failure = failure();

        let shrunk = shrink_while(&failure, || false).expect("it fails again");

        assert!(!shrunk.is_minimal);
        assert_eq!(shrunk.schedule.actions, failure.actions);
    }
}
