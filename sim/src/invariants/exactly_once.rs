//! Exactly once (§6.3): a command of a session takes effect at one index, and what an entry does is the same
//! everywhere.

use std::collections::HashMap;

use liferaft_raft::ids::Index;
use liferaft_raft::sessions::CommandHeader;

use super::{Verdict, demand};
use crate::digest::Digest;
use crate::machine::{Effect, Head, Machine};

/// Where commands took effect, and to what.
#[derive(Debug, Default)]
pub struct ExactlyOnce {
    executed: HashMap<(Index, u64), Index>,
}

impl ExactlyOnce {
    /// An entry was applied on some member.
    ///
    /// # Errors
    /// When its command has taken effect at another index.
    pub fn applied(&mut self, index: Index, effect: &Effect) -> Verdict {
        if let Effect::Command {
            header: CommandHeader {
                session, sequence, ..
            },
            executed: true,
            ..
        } = effect
        {
            let before = *self.executed.entry((*session, *sequence)).or_insert(index);
            demand!(
                before == index,
                "command {sequence} of session {session} takes effect at {before} and at {index}"
            );
        }
        Ok(())
    }
}

/// What entries did on the member that applied them first.
#[derive(Debug, Default)]
pub struct SameEffects {
    by_index: Vec<Digest>,
    states: HashMap<Index, Digest>,
}

impl SameEffects {
    /// A machine has applied an entry.
    ///
    /// # Errors
    /// When another machine did something else there.
    pub fn applied(&mut self, machine: &Machine) -> Verdict {
        let at = usize::try_from(machine.applied.0).unwrap_or(usize::MAX);
        if self.by_index.is_empty() {
            self.by_index.push(Digest::default());
        }
        if at == self.by_index.len() {
            self.by_index.push(machine.effects);
        }
        demand!(
            self.by_index.get(at) == Some(&machine.effects),
            "entry {} did something else on another member",
            machine.applied
        );
        Ok(())
    }

    /// A machine was captured.
    ///
    /// # Errors
    /// When it differs from what another was there.
    pub fn captured(&mut self, head: &Head) -> Verdict {
        self.state(head.applied, head.state)
    }

    /// The state of a machine after an entry.
    ///
    /// # Errors
    /// When it differs from what another was there.
    pub fn state(&mut self, applied: Index, state: Digest) -> Verdict {
        let before = *self.states.entry(applied).or_insert(state);
        demand!(
            before == state,
            "the state at {applied} is not what another member has there"
        );
        Ok(())
    }
}
