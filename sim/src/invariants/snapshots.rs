//! Snapshots (§5, plan 2.1 no. 12): a snapshot is the replay of the prefix that it names, bit for bit, with the
//! configuration as of its end.

use liferaft_raft::consensus::{Apply, Snapshot};

use super::{Turn, Verdict, demand};
use crate::history::History;
use crate::machine::Head;

pub(super) fn check(turn: &Turn<'_>, history: &History) -> Verdict {
    let written = turn
        .output
        .writes
        .iter()
        .filter_map(|write| write.snapshot.as_ref());
    let restored = turn.output.apply.iter().filter_map(|apply| match apply {
        Apply::Restore(snapshot) => Some(snapshot),
        Apply::Entries(_) => None,
    });
    written
        .chain(restored)
        .try_for_each(|snapshot| equals_replay(turn, history, snapshot))
}

fn equals_replay(turn: &Turn<'_>, history: &History, snapshot: &Snapshot) -> Verdict {
    let last = snapshot.metadata.last;
    let Some(committed) = history.entry(last.index) else {
        return Err(format!(
            "the snapshot ends at {last}, which is not committed"
        ));
    };
    demand!(
        committed.term == last.term,
        "the snapshot ends at {last}, committed there is an entry of term {}",
        committed.term
    );
    let shelf = &turn.members[turn.member].disk.shelf;
    let Some(bytes) = shelf.state(snapshot.name) else {
        return Err(format!("the snapshot of {last} is not in storage"));
    };
    let state = Head::of(bytes);
    demand!(
        state
            .as_ref()
            .is_some_and(|state| state.applied == last.index && state.digest == committed.state),
        "the snapshot of {last} is not what a replay gives"
    );
    let metadata = &snapshot.metadata;
    demand!(
        history.configuration_as_of(last.index)
            == Some((
                metadata.configuration_index,
                crate::digest::of_configuration(&metadata.configuration)
            )),
        "the snapshot of {last} names the configuration of {}: {:?}",
        metadata.configuration_index,
        metadata.configuration
    );
    Ok(())
}
