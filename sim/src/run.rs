//! One run: a phase in which faults strike, then one in which the cluster must recover.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use liferaft_raft::consensus::{MembershipChange, Raft};

use crate::action::Action;
use crate::chance::Chance;
use crate::client_history::Told;
use crate::clock::Nanos;
use crate::counts::Counts;
use crate::course::Course;
use crate::digest::Digest;
use crate::invariants::{Alarm, liveness, vacuous};
use crate::patience::{Patience, election_timeout};
use crate::plan::Plan;
use crate::story::Story;
use crate::world::World;

/// What the alarms of this phase are about.
pub(crate) const LIVENESS: &str = "liveness";

/// How often a write is tried that nobody takes.
const WRITE_ATTEMPTS: u32 = 3;

/// How often a read is asked for before it counts as stuck.
const ATTEMPTS: u32 = 20;

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The alarm that ended it, if one did.
    pub alarm: Option<Alarm>,
    /// The digest of all that happened.
    pub trace: Digest,
    /// What happened how often.
    pub counts: Counts,
    /// How long it was.
    pub lasted: Nanos,
    /// What clients asked and heard, in the order of the calls, if that was to be kept.
    pub history: Vec<Told>,
}

/// What an alarm is called that only says that a run was given up.
pub(crate) const GIVEN_UP: &str = "given up";

/// How much of a run is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Whether the cluster must recover when faults have stopped.
    pub(crate) has_last_phase: bool,
    /// The run is given up when members have been told more than this.
    pub(crate) inputs_max: u64,
}

impl Extent {
    /// All of it.
    pub(crate) const WHOLE: Self = Self {
        has_last_phase: true,
        inputs_max: u64::MAX,
    };
}

/// Runs a plan to its end or to the first alarm. A panic is an alarm.
#[must_use]
pub fn run(plan: Plan) -> Outcome {
    let chance = Chance::new(plan.seed);
    play(plan, chance, Course::default(), None, Extent::WHOLE).0
}

/// As [`run`], where chance and course decide what happens, and a story is told if one is begun. Gives back the world
/// as it was at the end, unless it had no beginning.
pub(crate) fn play(
    plan: Plan,
    chance: Chance,
    course: Course,
    story: Option<Story>,
    extent: Extent,
) -> (Outcome, Option<World>) {
    quiet_panics();
    LAST_PANIC.set(Some(String::new()));
    let mut world = None;
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::begin(plan, chance, course)?);
        world.story = story;
        world.inputs_max = extent.inputs_max;
        phases(world, extent.has_last_phase)
    }));
    let panicked = LAST_PANIC.take();
    let mut alarm = played.unwrap_or_else(|_| {
        Err(Alarm {
            invariant: "panic",
            at: 0,
            member: None,
            text: panicked.unwrap_or_default(),
        })
    });
    let mut outcome = Outcome::default();
    if let Some(world) = &mut world {
        world.counts.committed = world.history.last_index().0;
        outcome.trace = world.trace;
        outcome.counts = world.counts.clone();
        outcome.lasted = world.now;
        if world.plan.keeps_history {
            outcome.history = world.told();
        }
        if let Err(alarm) = &mut alarm {
            alarm.at = world.now;
            if let Some(story) = &mut world.story {
                story.alarmed(alarm);
            }
        }
    }
    outcome.alarm = alarm.err();
    (outcome, world)
}

fn phases(world: &mut World, has_last_phase: bool) -> Result<(), Alarm> {
    let end = world.plan.safety_phase;
    world.run_until(end)?;
    if !has_last_phase {
        return Ok(());
    }
    vacuous::check(world)?;
    world.calm()?;
    recover(world, |_| None)?;
    replace_lost(world)?;
    write_everywhere(world)?;
    read_everywhere(world)?;
    change_membership(world)?;
    world.judge_clients()
}

/// Servers whose disks are gone leave the configuration.
fn replace_lost(world: &mut World) -> Result<(), Alarm> {
    let mut patience = Patience::new(world);
    while world.replace_lost() {
        world.run_until(world.now + election_timeout(world))?;
        recover(world, |_| None)?;
        if patience.is_over(world) {
            return Err(ailing(world, "a server whose disk is gone is not replaced"));
        }
    }
    Ok(())
}

/// A write is taken and committed, if not at the first attempt: it is refused while leadership is being handed over.
fn write_everywhere(world: &mut World) -> Result<(), Alarm> {
    let committed = world.history.last_index();
    let mut attempts = 0;
    loop {
        for at in 0..world.members.len() {
            let request = world.chance.fresh_request(&mut world.chaos);
            world.perform(Action::Propose(at, vec![request]))?;
        }
        let written = recover(world, |world| {
            (world.history.last_index() <= committed)
                .then(|| "a fresh write is not committed".into())
        });
        attempts += 1;
        match written {
            Err(alarm) if alarm.invariant == LIVENESS && attempts < WRITE_ATTEMPTS => {}
            Err(_) | Ok(()) => return written,
        }
    }
}

/// Every member of the configuration serves a read.
fn read_everywhere(world: &mut World) -> Result<(), Alarm> {
    let mut refused = Vec::new();
    for at in 0..world.members.len() {
        let before = world.answers.reads_granted;
        // A read that a change of leader refuses is asked again.
        for _ in 0..ATTEMPTS {
            if world.answers.reads_granted == before && is_member(world, at) {
                world.perform(Action::Read(at, 0))?;
                world.run_until(world.now + election_timeout(world))?;
                recover(world, |_| None)?;
            }
        }
        if world.answers.reads_granted == before && is_member(world, at) {
            refused.push(world.members[at].id);
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let text = format!("fresh reads are not granted on {refused:?}");
    Err(ailing(world, &text))
}

/// The membership can still be changed: a learner comes, or leaves.
///
/// A change is refused while another is under way, whose server catches up, and by a leader that steps down. Leadership
/// may move meanwhile, so whoever leads is asked, for what makes sense to it.
fn change_membership(world: &mut World) -> Result<(), Alarm> {
    let before = world.answers.changes;
    let mut patience = Patience::new(world);
    while world.answers.changes == before {
        let Some((leader, change)) = fresh_change(world) else {
            return Ok(());
        };
        world.perform(Action::Change(leader, change))?;
        world.run_until(world.now + election_timeout(world))?;
        recover(world, |_| None)?;
        if patience.is_over(world) {
            return Err(ailing(world, "a fresh change of membership is not made"));
        }
    }
    Ok(())
}

/// A change that the leader should be able to make; `None` for a voter that is alone in the world.
///
/// Who was removed long ago may know nobody who vouches for the leader, and does not let it in.
fn fresh_change(world: &World) -> Option<(usize, MembershipChange)> {
    let leader = leader(world)?;
    let configuration = world.members[leader].log.configuration().1?;
    let is_reached = |at: &usize| {
        configuration.contains(world.members[*at].id)
            || world.lets_in(*at, world.members[leader].id)
    };
    let mut others = (0..world.members.len()).filter(|at| *at != leader);
    let id = world.members[others.find(is_reached)?].id;
    let change = if !configuration.contains(id) {
        MembershipChange::add_voter(id)
    } else if configuration.voters().len() > 1 || !configuration.is_voter(id) {
        MembershipChange::remove(id)
    } else {
        return None;
    };
    Some((leader, change))
}

/// Who leads, as of the latest term.
fn leader(world: &World) -> Option<usize> {
    let leaders = (0..world.members.len()).filter(|at| world.members[*at].leads());
    leaders.max_by_key(|at| world.members[*at].view.term)
}

fn ailing(world: &World, text: &str) -> Alarm {
    Alarm {
        invariant: LIVENESS,
        at: world.now,
        member: None,
        text: format!("{text}{}", describe(world)),
    }
}

fn is_member(world: &World, at: usize) -> bool {
    leader(world)
        .and_then(|leader| world.members[leader].log.configuration().1)
        .is_some_and(|configuration| configuration.contains(world.members[at].id))
}

/// Lets time pass until nothing ails the cluster, or too long.
fn recover(world: &mut World, also: impl Fn(&World) -> Option<String>) -> Result<(), Alarm> {
    let mut patience = Patience::new(world);
    loop {
        world.run_until(world.now + election_timeout(world) / 4)?;
        let ailment = liveness::ailment(&world.members, world.history.last_index());
        let ailment = ailment.or_else(|| world.stewards.ailment(&world.members));
        let Some(ailment) = ailment.or_else(|| also(world)) else {
            return Ok(());
        };
        if patience.is_over(world) {
            return Err(ailing(world, &ailment));
        }
    }
}

/// What each member says of itself, for the reader of an alarm.
fn describe(world: &World) -> String {
    let lines = world.members.iter().map(|member| {
        let status = member.raft.as_ref().map(Raft::status);
        let deadline = member.raft.as_ref().and_then(Raft::deadline);
        let now = member.clock.at(world.now);
        format!(
            "\n  now {now:?} deadline {deadline:?} wake {} {status:?}",
            member.wake_at
        )
    });
    lines.collect()
}

thread_local! {
    /// What the panic of a run said; `None` where no run goes on.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what the panic of a run said instead of printing it.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LAST_PANIC.with_borrow_mut(|last| match last {
                Some(text) => *text = info.to_string().replace('\n', ": "),
                None => loud(info),
            });
        }));
    });
}
