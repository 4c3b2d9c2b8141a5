//! One run: a phase in which faults strike, then one in which the cluster must recover.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use liferaft_raft::consensus::{MembershipChange, Raft};

use crate::action::Action;
use crate::chance::Chance;
use crate::clock::{Nanos, SECOND};
use crate::counts::Counts;
use crate::course::Course;
use crate::digest::Digest;
use crate::invariants::{Alarm, liveness};
use crate::plan::Plan;
use crate::story::Story;
use crate::world::World;

/// The longest that a cluster may take to recover, even if it gets on.
const RECOVERY_MAX: Nanos = 600 * SECOND;

/// How long a cluster may stand still before it has recovered, in election timeouts.
const RECOVERY_ELECTION_TIMEOUTS: u32 = 60;

/// What the alarms of this phase are about.
pub(crate) const LIVENESS: &str = "liveness";

/// How often a write is tried that nobody takes.
const WRITE_ATTEMPTS: u32 = 3;

/// How often a read or a change is asked for before it counts as stuck.
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
}

/// Runs a plan to its end or to the first alarm. A panic is an alarm.
#[must_use]
pub fn run(plan: Plan) -> Outcome {
    let chance = Chance::new(plan.seed);
    play(plan, chance, Course::default(), None).0
}

/// As [`run`], where chance and course decide what happens, and a story is told if one is begun. Gives back the world as it
/// was at the end, unless it had no beginning.
pub(crate) fn play(
    plan: Plan,
    chance: Chance,
    course: Course,
    story: Option<Story>,
) -> (Outcome, Option<World>) {
    quiet_panics();
    LAST_PANIC.set(Some(String::new()));
    let mut world = None;
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::begin(plan, chance, course)?);
        world.story = story;
        phases(world)
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

fn phases(world: &mut World) -> Result<(), Alarm> {
    let end = world.plan.safety_phase;
    world.run_until(end)?;
    world.calm()?;
    recover(world, |_| None)?;
    write_everywhere(world)?;
    read_everywhere(world)?;
    change_membership(world)?;
    world.judge_clients()
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
fn change_membership(world: &mut World) -> Result<(), Alarm> {
    let Some(leader) = world.members.iter().position(|member| member.leads()) else {
        return Ok(());
    };
    let Some(other) = (0..world.members.len()).find(|at| *at != leader) else {
        return Ok(());
    };
    let id = world.members[other].id;
    let voters = world.members[leader]
        .log
        .configuration()
        .1
        .map_or(0, |it| it.voters().len());
    let change = if !is_member(world, other) {
        MembershipChange::add_voter(id)
    } else if voters > 1 || !is_voter(world, leader, other) {
        MembershipChange::remove(id)
    } else {
        return Ok(());
    };
    let before = world.answers.changes;
    // It is refused while another is under way, whose server catches up, and by a leader that steps down.
    let (mut attempts, mut reached) = (0, 0);
    while world.answers.changes == before {
        world.perform(Action::Change(leader, change.clone()))?;
        world.run_until(world.now + election_timeout(world))?;
        recover(world, |_| None)?;
        attempts += 1;
        if progress(world) > reached + 1 {
            reached = progress(world);
            attempts = 0;
        }
        if attempts >= ATTEMPTS {
            return Err(ailing(world, "a fresh change of membership is not made"));
        }
    }
    Ok(())
}

fn ailing(world: &World, text: &str) -> Alarm {
    Alarm {
        invariant: LIVENESS,
        at: world.now,
        member: None,
        text: format!("{text}{}", describe(world)),
    }
}

fn election_timeout(world: &World) -> Nanos {
    let timeout = world.plan.config.election_timeout();
    Nanos::try_from(timeout.as_nanos()).unwrap_or(SECOND)
}

fn is_voter(world: &World, leader: usize, at: usize) -> bool {
    let configuration = world.members[leader].log.configuration().1;
    configuration.is_some_and(|configuration| configuration.is_voter(world.members[at].id))
}

fn is_member(world: &World, at: usize) -> bool {
    let leader = world.members.iter().find(|member| member.leads());
    leader
        .and_then(|leader| leader.log.configuration().1)
        .is_some_and(|configuration| configuration.contains(world.members[at].id))
}

/// Lets time pass until nothing ails the cluster, or too long.
fn recover(world: &mut World, also: impl Fn(&World) -> Option<String>) -> Result<(), Alarm> {
    let timeout = election_timeout(world);
    let patience = timeout * Nanos::from(RECOVERY_ELECTION_TIMEOUTS) + 2 * SECOND;
    let last_moment = world.now + RECOVERY_MAX;
    let mut deadline = world.now + patience;
    let mut reached = 0;
    loop {
        world.run_until(world.now + timeout / 4)?;
        // With a tiny window a long log takes long: what counts is that it gets on.
        let progress = progress(world);
        if progress > reached {
            reached = progress;
            deadline = (world.now + patience).min(last_moment);
        }
        let ailment = liveness::ailment(&world.members, world.history.last_index());
        let Some(ailment) = ailment.or_else(|| also(world)) else {
            return Ok(());
        };
        if world.now >= deadline {
            return Err(ailing(world, &ailment));
        }
    }
}

/// How far all members have got, taken together. Nothing strikes any more, so it cannot grow for ever.
fn progress(world: &World) -> u64 {
    let reached = world.members.iter().map(|member| {
        let positions = member.view.positions;
        positions.persisted.0 + positions.commit.0 + positions.applied.0
    });
    reached.sum()
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
