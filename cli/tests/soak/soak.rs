//! The run: a cluster, its clients and its faults, and the judgement of what was heard.

use std::env;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liferaft_sim::client_history;
use liferaft_sim::dice::Dice;
use liferaft_sim::linearizability::{Budget, Judgement, Operation, judge};
use liferaft_sim::operation::Answer;

use crate::clients::{Book, CLIENTS, Caller, Entry, appended, appends};
use crate::faults;
use crate::group::{self, Ask, Group, Heard};
use crate::node::{Folder, PATIENCE, run as run_program};
use crate::seats::{ELECTIONS, INSTALLED, Seats, TAKEN};
use crate::{disk, network};

/// How long the judge may search.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(300),
    memory_words: 1 << 26,
};

pub(crate) fn run() {
    group::check();
    let seconds = setting("LIFERAFT_SOAK_SECONDS").unwrap_or(30);
    if seconds == 0 {
        return;
    }
    network::enter();
    let seed = setting("LIFERAFT_SOAK_SEED").unwrap_or_else(liferaft::platform::entropy_u64);
    println!("soak of {seconds} s: LIFERAFT_SOAK_SEED={seed}");
    let folder = Folder::new("soak");
    let missing = disk::missing(&folder.0);
    if let Some(missing) = missing.as_deref().and_then(|told| told.lines().next()) {
        println!("skipped: soak: no disk can hang here: {missing}");
    }
    let faults = faults::possible(missing.is_none());
    let mut seats = Seats::start(&folder.0, missing.is_none());
    let writer = invite(&seats.operator);

    let book = Arc::new(Book::new(Instant::now()));
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
        in_the_end(&writer, &book).await
    });
    let (_seats, totals) = seats.totals();

    let history = book.take();
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let written = client_history::write(&to, seed, &history).expect("a file is written");
    let done = history.iter().filter(|told| told.r#return.is_some());
    let unknown = history.iter().filter(|told| is_unknown(told)).count();
    println!(
        "{} operations, {} done, {unknown} of unknown outcome, in {} groups: {}",
        history.len(),
        done.count(),
        book.groups(),
        written.display()
    );
    let [taken, installed, elections] = [TAKEN, INSTALLED, ELECTIONS].map(|name| totals[name]);
    println!("{elections} elections, {taken} snapshots taken, {installed} installed");
    faults::tell(&strikes, &history);

    for fault in faults {
        let is_it = |strike: &faults::Strike| strike.fault == fault && strike.is_on_leader;
        assert!(strikes.iter().any(is_it), "{fault:?} of a leader");
    }
    assert!(taken > 0 && installed > 0, "snapshots were taken and sent");
    check_kept(&history, &sequences);
    let asked = history.iter().filter_map(|told| asked(told, &sequences));
    let asked: Vec<_> = asked.collect();
    let judgement = judge::<Group>(&asked, BUDGET);
    if let Judgement::Violated { prefix, .. } = &judgement {
        prefix.iter().for_each(|at| println!("{:?}", asked[*at]));
    }
    assert_eq!(judgement, Judgement::Linearizable);
    println!("linearizable, and nothing acknowledged was lost");
}

/// Reads all groups, also what the judge sees of them, once nobody writes any more.
async fn in_the_end(writer: &str, book: &Arc<Book>) -> Vec<Vec<u64>> {
    let reader = Caller::new(writer, CLIENTS, book).within(PATIENCE);
    let mut sequences = Vec::new();
    for group in 0..book.groups() {
        reader.read(group).await.expect("a majority is there");
        sequences.push(reader.sequence(group).await);
    }
    sequences
}

/// Checks that what was acknowledged is at its place, and everything is there once.
fn check_kept(history: &[Entry], sequences: &[Vec<u64>]) {
    let mut kept = 0;
    for told in history {
        if let Some((value, place)) = appended(told) {
            let group = usize::try_from(told.key).expect("it is small");
            assert_eq!(sequences[group].get(place), Some(&value), "{told:?}");
            kept += 1;
        }
    }
    let mut once: Vec<_> = sequences.concat();
    let all = once.len();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all, "each was appended once");
    assert!(kept > 0, "something was appended");
    println!("{kept} acknowledged appends are at their places, of {all} that are there");
}

/// The operation as the judge takes it. Whether an append of unknown outcome was done, alone or in a transaction, the
/// sequence tells in the end: each that the judge need not guess halves its search.
fn asked(told: &Entry, sequences: &[Vec<u64>]) -> Option<Operation<Ask, Heard>> {
    let mut asked = told.asked()?;
    if asked.returned.is_none()
        && let Some(value) = appends(&told.operation)
    {
        let sequence = &sequences[usize::try_from(told.key).expect("it is small")];
        let place = sequence.iter().position(|kept| *kept == value)? as u64;
        let heard = match told.operation {
            Ask::Move { .. } => Heard::Moved(place),
            Ask::Key(..) | Ask::All => Heard::Key(Answer::Place(place)),
        };
        asked.returned = Some((u64::MAX, heard));
    }
    Some(asked)
}

fn is_unknown(told: &Entry) -> bool {
    matches!(told.outcome, client_history::Outcome::Unknown)
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
