//! Honest peers: in a cluster where nobody lies, no message is refused as one that only a liar could send.

use liferaft_raft::consensus::{Event, Refusal};

use super::{Turn, Verdict, demand};
use crate::strangers::is_stranger;

pub(super) fn check(turn: &Turn<'_>) -> Verdict {
    for event in &turn.output.events {
        if let Event::Refused { from, reason } = event
            && !is_stranger(*from)
        {
            demand!(
                matches!(
                    reason,
                    Refusal::NotAPeer | Refusal::SnapshotTooLarge | Refusal::StorageBusy
                ),
                "refuses a message of {from}: {reason:?}"
            );
        }
    }
    Ok(())
}
