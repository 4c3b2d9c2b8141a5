//! Leader append-only (§3.2, plan 2.1 no. 2): a leader never overwrites or deletes entries in its log.

use super::{Turn, Verdict, demand};

pub(super) fn check(turn: &Turn<'_>) -> Verdict {
    let (before, after) = (turn.before, turn.after());
    if !before.leads() || !after.leads() || before.term != after.term {
        return Ok(());
    }
    demand!(
        turn.change.truncated_from.is_none() && !turn.change.replaced,
        "the leader of term {} cuts its log: {:?}",
        after.term,
        turn.change
    );
    demand!(
        after.positions.last >= before.positions.last,
        "the leader's log ends at {} after {}",
        after.positions.last,
        before.positions.last
    );
    Ok(())
}
