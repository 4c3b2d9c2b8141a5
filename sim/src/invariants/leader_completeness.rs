//! Leader completeness (§3.6.3, plan 2.1 no. 4): what is committed is in the logs of all leaders of later terms.

use super::{Turn, Verdict, demand};
use crate::history::History;

pub(super) fn check(turn: &Turn<'_>, history: &History) -> Verdict {
    if !turn.begins_to_lead() {
        return Ok(());
    }
    let (log, last) = (turn.log(), history.last_index());
    let committed = history.last().term;
    // By log matching, who has the last committed entry has all before it.
    demand!(
        log.base().index >= last || log.term_at(last) == Some(committed),
        "leads term {} without {last}@{committed}, which is committed; its log ends at {}",
        turn.after().term,
        log.last()
    );
    Ok(())
}
