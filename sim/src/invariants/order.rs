//! The order of positions (plan 2.1 no. 9): purged ≤ snapshot ≤ commit ≤ last, and applied ≤ commit; and what the core
//! says of its log is what it has written.

use super::{Turn, Verdict, demand};

pub(super) fn check(turn: &Turn<'_>) -> Verdict {
    let positions = turn.after().positions;
    let last = positions.last.index;
    demand!(
        positions.compacted <= positions.snapshot || turn.change.replaced || is_restoring(turn),
        "the log is cut up to {}, past the snapshot: {positions:?}",
        positions.compacted
    );
    demand!(
        positions.snapshot <= positions.commit
            && positions.applied <= positions.commit
            && positions.commit <= last
            && positions.persisted <= last,
        "{positions:?}"
    );
    let log = turn.log();
    demand!(
        log.last() == positions.last && log.base().index == positions.compacted,
        "its log goes from {} to {}, its writes make it {} to {}",
        positions.compacted,
        positions.last,
        log.base().index,
        log.last()
    );
    // What it takes to be durable is.
    let persisted = positions.persisted;
    let term = log.term_at(persisted);
    demand!(
        persisted <= log.base().index
            || term.is_some_and(|term| turn.durable().holds(persisted, term)),
        "{persisted}@{term:?} is said to be persisted and is not"
    );
    Ok(())
}

/// Whether another server's snapshot is on its way to disk: the log gives way to it before it is durable.
fn is_restoring(turn: &Turn<'_>) -> bool {
    turn.log().base().index > turn.durable().snapshot_index()
        || turn.after().positions.persisted < turn.log().base().index
}
