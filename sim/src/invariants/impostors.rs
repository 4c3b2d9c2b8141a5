//! Impostors: what a server says that is no member has no effect at all, not in the present term either.

use liferaft_raft::consensus::{Event, Output};
use liferaft_raft::ids::ServerId;

use super::{Verdict, demand};
use crate::member::View;

/// What a member says of itself, and whom it follows.
type State = (View, Option<ServerId>);

/// Checks that nothing came of what an impostor said, but that it was refused.
///
/// # Errors
/// What came of it.
pub fn check(impostor: ServerId, before: State, after: State, output: &Output) -> Verdict {
    demand!(
        before == after,
        "believes {impostor}, which it does not know: from {before:?} to {after:?}"
    );
    let refusals =
        |event: &Event| matches!(event, Event::Refused { from, .. } if *from == impostor);
    let is_refused = output.events.iter().all(refusals);
    let mut rest = output.clone();
    rest.events.clear();
    demand!(
        is_refused && rest.is_empty(),
        "answers {impostor}, which it does not know: {output:?}"
    );
    Ok(())
}
