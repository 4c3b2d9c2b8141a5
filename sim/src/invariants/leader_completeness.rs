//! Leader completeness (§3.6.3, plan 2.1 no. 4): what is committed is in the logs of all leaders of later terms.

use liferaft_raft::ids::Term;

use super::{Turn, Verdict, demand};
use crate::history::History;

pub(super) fn check(turn: &Turn<'_>, history: &History) -> Verdict {
    if !turn.begins_to_lead() {
        return Ok(());
    }
    // One that is elected late, in a term that others have left behind, need not know what they commit.
    let last = history.last_before(turn.after().term);
    let log = turn.log();
    let committed = history.entry(last).map_or(Term::ZERO, |entry| entry.term);
    // By log matching, who has the last committed entry has all before it.
    demand!(
        log.base().index >= last || log.term_at(last) == Some(committed),
        "leads term {} without {last}@{committed}, which is committed; its log ends at {}",
        turn.after().term,
        log.last()
    );
    Ok(())
}
