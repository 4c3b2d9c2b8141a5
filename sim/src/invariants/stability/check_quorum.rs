//! Check quorum (§6.2): nobody leads for longer than an election timeout without an answer from a quorum.

use super::{SLACK, Watched};
use crate::invariants::{Turn, Verdict, demand, quorum_by_hand};

pub(super) fn check(watched: &Watched, turn: &Turn<'_>) -> Verdict {
    if !turn.after().leads() {
        return Ok(());
    }
    let longest = watched.timing.election_timeout() + SLACK;
    let now = watched.now;
    let (_, configuration) = turn.log().configuration();
    let Some(configuration) = configuration.filter(|_| now.since(watched.leads_since) > longest)
    else {
        return Ok(());
    };
    let answered = |voter| {
        let at = watched.answers.get(&voter);
        let lately = at.is_some_and(|at| now.since(*at) <= longest);
        u8::from(voter == watched.id || lately)
    };
    demand!(
        quorum_by_hand(configuration, answered),
        "leads though no quorum has answered within {longest:?}"
    );
    Ok(())
}
