//! Judges what clients heard: that there is an order that explains it, and nothing acknowledged is lost.

use std::path::Path;
use std::time::Duration;

use liferaft::driver::Calls;
use liferaft::kv::Kv;
use liferaft_sim::client_history;
use liferaft_sim::linearizability::{Budget, Judgement, Operation, judge};
use liferaft_sim::operation::Answer;

use crate::clients::{Book, Caller, Entry, appended, appends};
use crate::group::{Ask, Group, Heard};

/// How long the judge may search.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(300),
    memory_words: 1 << 26,
};

/// Writes what was heard to a file in a folder of this name, and says what it is.
pub(crate) fn keep(name: &str, seed: u64, history: &[Entry]) {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let written = client_history::write(&to, seed, history).expect("a file is written");
    let done = history.iter().filter(|told| told.r#return.is_some());
    let unknown = history.iter().filter(|told| is_unknown(told)).count();
    println!(
        "{} operations, {} done, {unknown} of unknown outcome: {}",
        history.len(),
        done.count(),
        written.display()
    );
}

/// Checks all of it. The sequences are those of all groups in the end.
pub(crate) fn check(history: &[Entry], sequences: &[Vec<u64>]) {
    check_kept(history, sequences);
    let asked = history.iter().filter_map(|told| asked(told, sequences));
    let asked: Vec<_> = asked.collect();
    let judgement = judge::<Group>(&asked, BUDGET);
    if let Judgement::Violated { prefix, .. } = &judgement {
        prefix.iter().for_each(|at| println!("{:?}", asked[*at]));
    }
    assert_eq!(judgement, Judgement::Linearizable);
    println!("linearizable, and nothing acknowledged was lost");
}

/// Reads all groups, also what the judge sees of them, once nobody writes any more.
pub(crate) async fn in_the_end<H: Calls<Kv>>(reader: &Caller<H>, book: &Book) -> Vec<Vec<u64>> {
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
