//! Heartbeats (§3.5): a leader speaks to each server of its configuration once an interval, whatever else it has to
//! send.

use super::{SLACK, Watched};
use crate::invariants::{Turn, Verdict, demand};

pub(super) fn check(watched: &Watched, turn: &Turn<'_>) -> Verdict {
    if !turn.after().leads() {
        return Ok(());
    }
    let (_, configuration) = turn.log().configuration();
    let members = configuration.into_iter().flat_map(|it| it.members());
    for (peer, _) in members.filter(|(id, _)| *id != watched.id) {
        let spoken = watched.spoken.get(&peer).copied();
        let since = spoken.map_or(watched.leads_since, |at| at.max(watched.leads_since));
        let silent = watched.now.since(since);
        demand!(
            silent <= watched.heartbeat_max + SLACK,
            "has not spoken to {peer} for {silent:?}"
        );
    }
    Ok(())
}
