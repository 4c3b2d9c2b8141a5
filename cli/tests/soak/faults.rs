//! Draws faults from a seed, and hurts one or two members at a time by them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use liferaft_sim::dice::{Dice, PerMillion};

use crate::clients::{Book, Entry};
use crate::seats::{MEMBERS, Seats};

/// What happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Its process is killed, and started again later.
    Kill,
    /// Its process is stopped as a supervisor does, and started again later.
    Restart,
    /// Its process stands still.
    Pause,
    /// What it sends one other is lost.
    Cut,
    /// All that it sends other members is lost.
    Mute,
    /// All that other members send it is lost.
    Deaf,
    /// Its disk hangs.
    Hang,
}

const ALL: [Fault; 7] = [
    Fault::Kill,
    Fault::Restart,
    Fault::Pause,
    Fault::Cut,
    Fault::Mute,
    Fault::Deaf,
    Fault::Hang,
];

/// What may happen to another member meanwhile.
const BESIDE: [Fault; 3] = [Fault::Kill, Fault::Pause, Fault::Cut];

/// One in three faults has another beside it.
const BESIDE_CHANCE: PerMillion = PerMillion::percent(33);

/// One in two falls on the leader.
const LEADER_CHANCE: PerMillion = PerMillion::percent(50);

/// So long a fault lasts, in milliseconds; one on a leader lasts until another leads, if that is longer.
const LASTS: (u64, u64) = (500, 2_500);

/// So long all is well between faults, in milliseconds.
const CALM: (u64, u64) = (200, 1_000);

/// A fault that was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strike {
    pub(crate) fault: Fault,
    pub(crate) is_on_leader: bool,
    pub(crate) beside: Option<Fault>,
    /// From when to when, in nanoseconds of the run.
    from: u64,
    to: u64,
}

/// What happened to whom.
#[derive(Clone, Copy, Debug)]
struct Hurt {
    fault: Fault,
    victim: usize,
    /// To whom a cut is.
    other: usize,
}

/// Returns the faults that can happen here.
pub(crate) fn possible(disks_can_hang: bool) -> Vec<Fault> {
    let is_possible = |fault: &Fault| *fault != Fault::Hang || disks_can_hang;
    ALL.into_iter().filter(is_possible).collect()
}

/// Hurts members until the time is over, and by each of these faults at least once; at the end all are well.
pub(crate) fn hurt(
    seats: &mut Seats<'_>,
    faults: &[Fault],
    book: &Book,
    dice: &mut Dice,
    until: Instant,
) -> Vec<Strike> {
    let mut strikes = Vec::new();
    let mut deck = faults.to_vec();
    while Instant::now() < until || strikes.len() < faults.len() {
        if deck.is_empty() {
            deck = faults.to_vec();
        }
        let fault = deck.swap_remove(dice.below(deck.len()));
        let leader = seats.until_led(&[]);
        // The first of each falls on the leader: then another leads in the end, which shows that it was felt.
        let is_first = !strikes.iter().any(|strike: &Strike| strike.fault == fault);
        let is_on_leader = dice.falls(LEADER_CHANCE) || is_first;
        let mut others: Vec<_> = (0..MEMBERS).filter(|member| *member != leader).collect();
        let mut other = |dice: &mut Dice| others.swap_remove(dice.below(others.len()));
        let victim = if is_on_leader { leader } else { other(dice) };
        let mut hurts = vec![Hurt {
            fault,
            victim,
            other: other(dice),
        }];
        if dice.falls(BESIDE_CHANCE) {
            hurts.push(Hurt {
                fault: dice.pick(&BESIDE).expect("there are some"),
                victim: other(dice),
                other: other(dice),
            });
        }
        let from = book.now();
        println!("{:7.2} s: {hurts:?}, {leader} leads", seconds(from));
        for hurt in &hurts {
            begin(seats, *hurt);
        }
        pass(dice, LASTS);
        if is_on_leader && fault != Fault::Cut {
            seats.until_led(&[leader]);
        }
        end(seats, &hurts);
        strikes.push(Strike {
            fault,
            is_on_leader,
            beside: hurts.get(1).map(|hurt| hurt.fault),
            from,
            to: book.now(),
        });
        pass(dice, CALM);
    }
    strikes
}

fn begin(seats: &mut Seats<'_>, hurt: Hurt) {
    let Hurt { victim, .. } = hurt;
    match hurt.fault {
        Fault::Kill => seats.kill(victim),
        Fault::Restart => seats.stop(victim),
        Fault::Pause => seats.pause(victim),
        Fault::Cut => seats.network.cut(victim, hurt.other),
        Fault::Mute => others(victim).for_each(|other| seats.network.cut(victim, other)),
        Fault::Deaf => others(victim).for_each(|other| seats.network.cut(other, victim)),
        Fault::Hang => seats.freeze(victim),
    }
}

fn others(victim: usize) -> impl Iterator<Item = usize> {
    (0..MEMBERS).filter(move |other| *other != victim)
}

/// All is well again, and who was hurt catches up.
fn end(seats: &mut Seats<'_>, hurts: &[Hurt]) {
    seats.network.heal();
    for Hurt { fault, victim, .. } in hurts {
        match fault {
            Fault::Kill | Fault::Restart => seats.restart(*victim),
            Fault::Pause => seats.resume(*victim),
            Fault::Hang => seats.thaw(*victim),
            Fault::Cut | Fault::Mute | Fault::Deaf => {}
        }
    }
    for hurt in hurts {
        seats.until_caught_up(hurt.victim);
    }
}

/// Lets a time pass that is drawn.
pub(crate) fn pass(dice: &mut Dice, (from, to): (u64, u64)) {
    thread::sleep(Duration::from_millis(dice.between(from, to)));
}

/// Prints how often each fault was, and for how long at most nobody was answered meanwhile.
pub(crate) fn tell(strikes: &[Strike], history: &[Entry]) {
    let mut answers: Vec<_> = history.iter().filter_map(|told| told.r#return).collect();
    answers.sort_unstable();
    let mut kinds = BTreeMap::<(Fault, bool, bool), (u32, u64)>::new();
    for strike in strikes {
        let kind = (strike.fault, strike.is_on_leader, strike.beside.is_some());
        let (count, silence) = kinds.entry(kind).or_default();
        *count += 1;
        *silence = (*silence).max(longest_silence(&answers, strike.from, strike.to));
    }
    for ((fault, is_on_leader, is_beside), (count, silence)) in kinds {
        let whom = if is_on_leader {
            "the leader"
        } else {
            "another"
        };
        let beside = if is_beside { " beside one more" } else { "" };
        println!(
            "  {count:3} x {fault:?} of {whom}{beside}: nobody was answered for {:.2} s at most",
            seconds(silence)
        );
    }
}

/// Returns for how long at most nobody was answered in a part of a run, by when clients were, the earliest first.
pub(crate) fn longest_silence(answers: &[u64], from: u64, to: u64) -> u64 {
    let first = answers.partition_point(|at| *at < from).saturating_sub(1);
    let last = answers.partition_point(|at| *at <= to);
    let during = answers.get(first..=last).unwrap_or(&answers[first..]);
    let silences = during.windows(2).map(|pair| pair[1] - pair[0]);
    silences.max().unwrap_or(to - from)
}

pub(crate) fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}
