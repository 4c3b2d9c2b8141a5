//! The run: a cluster, its clients and its faults, and the judgement of what was heard.

use std::env;
use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liferaft_sim::dice::Dice;

use crate::clients::{Book, CLIENTS, Caller};
use crate::node::{Folder, PATIENCE, run as run_program};
use crate::seats::{ELECTIONS, INSTALLED, Seats, TAKEN};
use crate::{disk, faults, group, judging, network};

/// After so many calls all clients go over to the next group: the search for an order takes longer than in
/// proportion to what is asked of one group.
const GROUP_CALLS: u64 = 1_000;

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
    let missing = disk::missing(&folder.0);
    if let Some(missing) = missing.as_deref().and_then(|told| told.lines().next()) {
        println!("skipped: soak: no disk can hang here: {missing}");
    }
    let faults = faults::possible(missing.is_none());
    let mut seats = Seats::start(&folder.0, is_inside, missing.is_none());
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
    let until = Instant::now() + Duration::from_secs(seconds);
    let strikes = faults::hurt(&mut seats, &faults, &book, &mut Dice::new(seed, 0), until);
    book.end();
    let sequences = runtime.block_on(async {
        for caller in callers {
            caller.await.expect("it ends by itself");
        }
        let reader = Caller::new(&writer, CLIENTS, &book).within(PATIENCE);
        judging::in_the_end(&reader, &book).await
    });
    let (_seats, totals) = seats.totals();

    let history = book.take();
    judging::keep("soak", seed, &history);
    let [taken, installed, elections] = [TAKEN, INSTALLED, ELECTIONS].map(|name| totals[name]);
    println!("{elections} elections, {taken} snapshots taken, {installed} installed");
    faults::tell(&strikes, &history);

    for fault in faults {
        let is_it = |strike: &faults::Strike| strike.fault == fault && strike.is_on_leader;
        assert!(strikes.iter().any(is_it), "{fault:?} of a leader");
    }
    assert!(taken > 0 && installed > 0, "snapshots were taken and sent");
    judging::check(&history, &sequences);
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
