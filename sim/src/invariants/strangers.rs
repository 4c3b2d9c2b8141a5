//! Strangers: what a server says that is no member, and that nobody asked, moves nobody to another term.

use liferaft_raft::ids::Term;

use super::{Turn, Verdict, demand};

/// The term of founders, which nobody needs to hear of.
const FOUNDING: Term = Term(1);

pub(super) fn check(turn: &Turn<'_>) -> Verdict {
    let (before, after) = (turn.before.term, turn.after().term);
    let known = before
        .max(FOUNDING)
        .max(turn.heard.term.unwrap_or_default());
    // A campaign of its own may follow.
    demand!(
        after <= known.next(),
        "goes from term {before} to {after}, and no member speaks of a later one than {known}"
    );
    Ok(())
}
