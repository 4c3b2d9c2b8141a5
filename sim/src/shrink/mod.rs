//! Shrinking: from a schedule that ends with an alarm, a small one that ends with the same kind of alarm.
//!
//! Each attempt is a replay. Actions, members, requests and choices are left out for as long as the alarm stays; then times
//! are shortened and settings made plain. One pass makes room for another, so that they are repeated until none helps.

pub mod ddmin;
mod members;

use std::time::{Duration, Instant};

use crate::action::Action;
use crate::choices::{Choices, Series};
use crate::clock::{MILLI, Nanos};
use crate::invariants::Alarm;
use crate::plan::{FaultPlan, Plan, WorkloadPlan};
use crate::replay::replay;
use crate::schedule::{Raised, Schedule, Timed, spell_trace};

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

/// Shrinks a schedule that ends with an alarm, for so long at most, in real time. `None` if its replay ends without that
/// alarm.
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
        alarm,
        wanted,
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
    fn attempt(&mut self, candidate: Schedule) -> bool {
        self.is_over |= !(self.may_go_on)();
        if self.is_over {
            return false;
        }
        self.replays += 1;
        let Some(alarm) = replay(&candidate).alarm else {
            return false;
        };
        let is_wanted = self.wanted.is_like(&alarm);
        if is_wanted {
            self.best = candidate;
            self.alarm = alarm;
        }
        is_wanted
    }

    /// Nothing needs to be said of what comes after the alarm.
    fn cut_off(&mut self) {
        let mut candidate = self.best.clone();
        let end = self.alarm.at;
        candidate.actions.retain(|timed| timed.at <= end);
        let phase = candidate.plan.safety_phase;
        candidate.plan.safety_phase = if end < phase {
            end + 1
        } else {
            // The alarm is one of the last phase, which the actions must not run into.
            candidate
                .actions
                .last()
                .map_or(0, |last| last.at + 1)
                .min(phase)
        };
        if candidate.plan != self.best.plan || candidate.actions != self.best.actions {
            self.attempt(candidate);
        }
    }

    fn fewer_actions(&mut self) {
        let actions = self.best.actions.clone();
        ddmin::minimize(actions, |actions| {
            let mut candidate = self.best.clone();
            candidate.actions = actions.to_vec();
            self.attempt(candidate)
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
            let mut candidate = self.best.clone();
            candidate.choices = pick(&self.best.choices, named);
            self.attempt(candidate)
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
                    let mut candidate = self.best.clone();
                    candidate.actions[place].action = Action::Propose(at, requests.to_vec());
                    !requests.is_empty() && self.attempt(candidate)
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
const PLAINER: [fn(&mut Plan); 6] = [
    |plan| plan.skew_max = 0,
    |plan| plan.turn_max = 0,
    |plan| plan.machine.padding_bytes = 0,
    |plan| plan.machine.snapshot_at_bytes = u64::MAX,
    |plan| plan.clients.session_hurry = 1,
    |plan| plan.network.latency = (MILLI, MILLI),
];
