//! Runs that are spelled out, and runs of what is spelled out.

use crate::chance::Chance;
use crate::course::Course;
use crate::plan::Plan;
use crate::run::{Extent, Outcome, play};
use crate::schedule::{FORMAT, Raised, Schedule, spell_trace};
use crate::story::Story;

/// Runs a plan and spells the run out.
///
/// It is the run that [`run`](crate::run::run) makes of the plan. Only a run that is worth it is made this way, a
/// second time: to keep what was drawn costs time.
#[must_use]
pub fn record(plan: Plan) -> (Outcome, Schedule) {
    let chance = Chance::kept(plan.seed);
    let (outcome, world) = play(plan.clone(), chance, Course::kept(), None, Extent::WHOLE);
    let (actions, choices) = world
        .map(|world| (world.course.into_kept(), world.chance.into_kept()))
        .unwrap_or_default();
    let schedule = Schedule {
        format: FORMAT,
        about: format!("seed {}, as it ran", plan.seed),
        planted: None,
        alarm: outcome.alarm.as_ref().map(Raised::from),
        trace: Some(spell_trace(outcome.trace)),
        plan,
        actions,
        choices,
    };
    (outcome, schedule)
}

/// Runs a schedule, with the same checks and the same last phase as the run of a seed.
#[must_use]
pub fn replay(schedule: &Schedule) -> Outcome {
    begin(schedule, None, Extent::WHOLE).0
}

/// Runs a schedule and tells what happens.
#[must_use]
pub fn retell(schedule: &Schedule) -> (Outcome, Story) {
    let story = Story::new(schedule.plan.members);
    let (outcome, story) = begin(schedule, Some(story), Extent::WHOLE);
    (outcome, story.unwrap_or_default())
}

/// Runs as much of a schedule.
pub(crate) fn attempt(schedule: &Schedule, extent: Extent) -> Outcome {
    begin(schedule, None, extent).0
}

fn begin(schedule: &Schedule, story: Option<Story>, extent: Extent) -> (Outcome, Option<Story>) {
    let chance = Chance::scripted(schedule.choices.clone());
    let course = Course::scripted(schedule.actions.clone());
    let (outcome, world) = play(schedule.plan.clone(), chance, course, story, extent);
    (outcome, world.and_then(|world| world.story))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::run::run;

    #[test]
    fn a_schedule_of_a_run_has_the_trace_of_its_seed() {
        for seed in 1..=36 {
            let mut plan = Plan::of_seed(seed);
            plan.safety_phase = 2 * SECOND;
            let trace = run(plan.clone()).trace;

            let (recorded, schedule) = record(plan);
            let read = Schedule::parse(&schedule.text()).expect("what is written can be read");
            let replayed = replay(&read);

            assert_eq!(recorded.trace, trace, "seed {seed}");
            assert_eq!(replayed.trace, trace, "seed {seed}");
            assert_eq!(replayed.counts.inputs, recorded.counts.inputs);
        }
    }

    #[test]
    fn a_schedule_replays_though_the_dice_fall_otherwise() {
        let (_, mut schedule) = record(Plan::of_seed(7));
        let trace = replay(&schedule).trace;

        schedule.plan.seed += 1;

        assert_eq!(replay(&schedule).trace, trace);
    }
}
