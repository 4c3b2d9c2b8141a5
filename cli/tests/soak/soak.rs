//! The run: a cluster, its clients and its faults, and the judgement of what was heard.

use std::env;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liferaft_sim::dice::Dice;

use crate::clients::{Book, CLIENTS, Caller, Entry};
use crate::network::{self, Network};
use crate::node::{Folder, PATIENCE, run as run_program};
use crate::seats::{ELECTIONS, INSTALLED, MEMBERS, Seats, TAKEN, Wiring};
use crate::{disk, evictions, faults, group, judging, signaling};

/// After so many calls all clients go over to the next group: the search for an order takes longer than in
/// proportion to what is asked of one group.
const GROUP_CALLS: u64 = 1_000;

/// Few bytes, so that there are snapshots all the time, and whoever was away for a second gets one.
const WIRING: Wiring<'_> = Wiring {
    members: MEMBERS,
    listen: "--listen",
    found_by: None,
    flags: &["--snapshot-after", "16384"],
};

pub(crate) fn run() {
    group::check();
    let seconds = setting("LIFERAFT_SOAK_SECONDS").unwrap_or(30);
    if seconds == 0 {
        return;
    }
    let is_inside = network::enter();
    let seed = setting("LIFERAFT_SOAK_SEED").unwrap_or_else(liferaft::platform::entropy_u64);
    println!("soak of {seconds} s: LIFERAFT_SOAK_SEED={seed}");
    let folder = Folder::new("soak");
    let lasts = Duration::from_secs(seconds);
    match env::var("LIFERAFT_SOAK_STORY").as_deref() {
        Ok("evictions") if !is_inside => {
            println!("skipped: soak: no network can lose packets here");
        }
        Ok("evictions") => evictions::run(&folder.0, seed, lasts),
        Ok("signaling") => signaling::run(&folder.0, seed, lasts),
        Ok(other) => panic!("there is no story {other}"),
        Err(_) => {
            hurt(&folder.0, is_inside, seed, lasts);
            signaling::run_briefly(&folder.0, seed);
        }
    }
}

/// Hurts members in all ways that there are.
fn hurt(folder: &Path, is_inside: bool, seed: u64, lasts: Duration) {
    let missing = disk::missing(folder);
    if let Some(missing) = missing.as_deref().and_then(|told| told.lines().next()) {
        println!("skipped: soak: no disk can hang here: {missing}");
    }
    let faults = faults::possible(missing.is_none());
    let network = Network::new(MEMBERS, is_inside);
    let mut seats = Seats::start(folder, network, WIRING, missing.is_none());
    let heard = while_asked(&mut seats, seed, lasts, |seats, book, dice, until| {
        faults::hurt(seats, &faults, book, dice, until)
    });
    let (_seats, totals) = seats.totals();

    judging::keep("soak", seed, &heard.history);
    let [taken, installed, elections] = [TAKEN, INSTALLED, ELECTIONS].map(|name| totals[name]);
    println!("{elections} elections, {taken} snapshots taken, {installed} installed");
    faults::tell(&heard.strikes, &heard.history);

    for fault in faults {
        let is_it = |strike: &faults::Strike| strike.fault == fault && strike.is_on_leader;
        assert!(heard.strikes.iter().any(is_it), "{fault:?} of a leader");
    }
    assert!(taken > 0 && installed > 0, "snapshots were taken and sent");
    judging::check(&heard.history, &heard.sequences);
}

/// What came of a run.
pub(crate) struct Heard<T> {
    /// What was done to members.
    pub(crate) strikes: T,
    pub(crate) history: Vec<Entry>,
    /// From when to when calls were under way that failed.
    pub(crate) failures: Vec<(u64, u64)>,
    /// The sequences of all groups in the end.
    pub(crate) sequences: Vec<Vec<u64>>,
}

/// Does something to members while clients ask them.
pub(crate) fn while_asked<T>(
    seats: &mut Seats<'_>,
    seed: u64,
    lasts: Duration,
    strike: impl FnOnce(&mut Seats<'_>, &Book, &mut Dice, Instant) -> T,
) -> Heard<T> {
    let writer = invite(&seats.operator);
    let book = Arc::new(Book::new(GROUP_CALLS));
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    let callers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let _inside = runtime.enter();
            let dice = Dice::new(seed, 1 + number as u64);
            runtime.spawn(Caller::new(&writer, number, &book).ask(dice))
        })
        .collect();
    let strikes = strike(
        seats,
        &book,
        &mut Dice::new(seed, 0),
        Instant::now() + lasts,
    );
    book.end();
    let sequences = runtime.block_on(async {
        for caller in callers {
            caller.await.expect("it ends by itself");
        }
        let reader = Caller::new(&writer, CLIENTS, &book).within(PATIENCE);
        judging::in_the_end(&reader, &book).await
    });
    Heard {
        strikes,
        history: book.take(),
        failures: book.take_failures(),
        sequences,
    }
}

/// Returns an invitation to clients that write.
fn invite(operator: &str) -> String {
    let invited = run_program(&["members", "--at", operator, "invite", "writer"]);
    let writer = String::from_utf8(invited.stdout).expect("it is text");
    writer.trim().to_owned()
}

/// The number that an environment variable has, if it is set.
fn setting<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}
