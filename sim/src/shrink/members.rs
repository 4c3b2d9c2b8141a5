//! A schedule without one of its members.

use liferaft_raft::consensus::{MembershipChange, MembershipStep};
use liferaft_raft::ids::ServerId;

use crate::action::Action;
use crate::choices::{Choice, Choices, Series};
use crate::schedule::{Schedule, Timed};

/// The schedule without the member at this place: later ones move up. `None` if no voter would be left.
pub(super) fn without_member(schedule: &Schedule, gone: usize) -> Option<Schedule> {
    let mut less = schedule.clone();
    less.plan.members -= 1;
    if gone < less.plan.voters {
        less.plan.voters -= 1;
    }
    if less.plan.voters == 0 {
        return None;
    }
    let left = Left { gone };
    let actions = schedule.actions.iter();
    less.actions = actions
        .filter_map(|timed| {
            let action = left.action(&timed.action)?;
            Some(Timed { action, ..*timed })
        })
        .collect();
    less.choices = left.choices(&schedule.choices);
    Some(less)
}

/// Those who are left.
struct Left {
    gone: usize,
}

impl Left {
    fn place(&self, at: usize) -> Option<usize> {
        (at != self.gone).then(|| at - usize::from(at > self.gone))
    }

    fn id(&self, id: ServerId) -> Option<ServerId> {
        let place = usize::try_from(id.0).ok()?.checked_sub(1)?;
        Some(ServerId(self.place(place)? as u128 + 1))
    }

    fn action(&self, action: &Action) -> Option<Action> {
        Some(match action {
            Action::Crash(at, survival) => Action::Crash(self.place(*at)?, *survival),
            Action::CrashInTurn(at, doom) => Action::CrashInTurn(self.place(*at)?, *doom),
            Action::Restart(at) => Action::Restart(self.place(*at)?),
            Action::Pause(at) => Action::Pause(self.place(*at)?),
            Action::Resume(at) => Action::Resume(self.place(*at)?),
            Action::Cut(from, to) => Action::Cut(self.place(*from)?, self.place(*to)?),
            Action::Mend(from, to) => Action::Mend(self.place(*from)?, self.place(*to)?),
            Action::DropInFlight => Action::DropInFlight,
            Action::SlowDisk(at, slowness) => Action::SlowDisk(self.place(*at)?, *slowness),
            Action::ClockForward(at, by) => Action::ClockForward(self.place(*at)?, *by),
            Action::ClockBack(at, by) => Action::ClockBack(self.place(*at)?, *by),
            Action::ClockRate(at, rate) => Action::ClockRate(self.place(*at)?, *rate),
            Action::Propose(at, requests) => Action::Propose(self.place(*at)?, requests.clone()),
            Action::Read(at, key) => Action::Read(self.place(*at)?, *key),
            Action::Change(at, change) => Action::Change(self.place(*at)?, self.change(change)?),
            Action::Transfer(at, None) => Action::Transfer(self.place(*at)?, None),
            Action::Transfer(at, Some(to)) => {
                Action::Transfer(self.place(*at)?, Some(self.place(*to)?))
            }
            Action::Capture(at) => Action::Capture(self.place(*at)?),
            Action::SetTiming(at, times) => Action::SetTiming(self.place(*at)?, *times),
            Action::FailSync(at, survival) => Action::FailSync(self.place(*at)?, *survival),
            Action::FillDisk(at, survival) => Action::FillDisk(self.place(*at)?, *survival),
            Action::FreeDisk(at) => Action::FreeDisk(self.place(*at)?),
            Action::Wipe(at) => Action::Wipe(self.place(*at)?),
            Action::Rot(at, drawn) => Action::Rot(self.place(*at)?, *drawn),
            Action::ReplaceLost => Action::ReplaceLost,
            Action::PartWhenJoint(at, lasts) => Action::PartWhenJoint(self.place(*at)?, *lasts),
            Action::CrashInInstall(at) => Action::CrashInInstall(self.place(*at)?),
            Action::MarkTime(at, times) => Action::MarkTime(self.place(*at)?, *times),
            Action::HangDisk(at) => Action::HangDisk(self.place(*at)?),
            Action::ResumeDisk(at) => Action::ResumeDisk(self.place(*at)?),
            Action::StallMachine(at) => Action::StallMachine(self.place(*at)?),
            Action::ResumeMachine(at) => Action::ResumeMachine(self.place(*at)?),
            Action::Stranger(at, saying) => Action::Stranger(self.place(*at)?, *saying),
            Action::Blank(at) => Action::Blank(self.place(*at)?),
            Action::Retire(at) => Action::Retire(self.place(*at)?),
            Action::Impostor(at, saying) => Action::Impostor(self.place(*at)?, *saying),
            Action::CopyDisk(at) => Action::CopyDisk(self.place(*at)?),
            Action::ShowCopy(at) => Action::ShowCopy(self.place(*at)?),
        })
    }

    /// The steps that concern those who are left; `None` if there are none.
    fn change(&self, change: &MembershipChange) -> Option<MembershipChange> {
        let steps = change.steps.iter().filter_map(|step| {
            // What concerns no server stays as it is.
            let Some(server) = step.server() else {
                return Some(step.clone().into());
            };
            let id = self.id(server)?;
            Some(match step {
                MembershipStep::AddVoter(_) => MembershipChange::add_voter(id),
                MembershipStep::AddLearner(_) => MembershipChange::add_learner(id),
                MembershipStep::Remove(_) => MembershipChange::remove(id),
                MembershipStep::Evict(_) => MembershipChange::evict(id),
                MembershipStep::Retire(_) => MembershipChange::retire(id),
                MembershipStep::Describe(_, description) => {
                    MembershipChange::describe(id, description.clone())
                }
                MembershipStep::Issue(_)
                | MembershipStep::Revoke(_)
                | MembershipStep::RaiseVersion(_) => return None,
            })
        });
        let change = steps.fold(MembershipChange::default(), |change, step| change.and(step));
        (!change.steps.is_empty()).then_some(change)
    }

    fn choices(&self, choices: &Choices) -> Choices {
        let mut less = Choices {
            fresh: choices.fresh.clone(),
            ..Choices::default()
        };
        for (series, made) in &choices.made {
            let Some(series) = self.series(*series) else {
                continue;
            };
            for (place, choice) in made {
                if let Some(choice) = self.choice(series, *choice) {
                    less.enter(series, *place, choice);
                }
            }
        }
        less
    }

    fn series(&self, series: Series) -> Option<Series> {
        Some(match series {
            Series::ClockOrigin(at) => Series::ClockOrigin(self.place(at)?),
            Series::ClockRate(at) => Series::ClockRate(self.place(at)?),
            Series::CoreSeed(at) => Series::CoreSeed(self.place(at)?),
            Series::TurnWait(at) => Series::TurnWait(self.place(at)?),
            Series::Write(at) => Series::Write(self.place(at)?),
            Series::Apply(at) => Series::Apply(self.place(at)?),
            Series::Capture(at) => Series::Capture(self.place(at)?),
            Series::Lane(at) => Series::Lane(self.place(at)?),
            Series::Read(at) => Series::Read(self.place(at)?),
            Series::Patience(_) | Series::Pause(_) | Series::Somebody(_) => series,
            Series::Link(from, to) => Series::Link(self.place(from)?, self.place(to)?),
        })
    }

    fn choice(&self, series: Series, choice: Choice) -> Option<Choice> {
        match (series, choice) {
            (Series::Somebody(_), Choice::Number(id)) => {
                let id = self.id(ServerId(u128::from(id)))?;
                u64::try_from(id.0).ok().map(Choice::Number)
            }
            _ => Some(choice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::plan::Plan;
    use crate::replay::record;

    fn schedule() -> Schedule {
        let mut plan = Plan::of_seed(3);
        plan.safety_phase = SECOND;
        record(plan).1
    }

    #[test]
    fn the_members_after_the_one_that_goes_move_up() {
        let left = Left { gone: 1 };
        let change =
            MembershipChange::add_voter(ServerId(3)).and(MembershipChange::remove(ServerId(2)));

        assert_eq!(left.action(&Action::Cut(0, 2)), Some(Action::Cut(0, 1)));
        assert_eq!(left.action(&Action::Cut(0, 1)), None);
        assert_eq!(
            left.action(&Action::Change(0, change)),
            Some(Action::Change(0, MembershipChange::add_voter(ServerId(2))))
        );
    }

    #[test]
    fn a_schedule_without_a_member_makes_sense() {
        let schedule = schedule();

        let less = without_member(&schedule, 1).expect("voters are left");

        assert_eq!(less.plan.members, schedule.plan.members - 1);
        Schedule::parse(&less.text()).expect("it makes sense");
    }

    #[test]
    fn the_last_voter_cannot_go() {
        let mut schedule = schedule();
        schedule.plan.voters = 1;

        assert!(without_member(&schedule, 0).is_none());
    }
}
