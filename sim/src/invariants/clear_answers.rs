//! Clear answers (plan 2.5 no. 29): a command that was refused is never applied anywhere, and one that was appended is told
//! where.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::consensus::{ProposalId, ProposeRefused};
use liferaft_raft::ids::LogPosition;

use super::{Verdict, demand};

/// What was answered to those who proposed.
#[derive(Debug, Default)]
pub struct ClearAnswers {
    /// The values proposed, until they are answered.
    proposed: BTreeMap<ProposalId, u64>,
    refused: BTreeSet<u64>,
}

impl ClearAnswers {
    /// A command that writes this value is proposed.
    pub fn propose(&mut self, id: ProposalId, value: u64) {
        self.proposed.insert(id, value);
    }

    /// A proposal is answered.
    ///
    /// # Errors
    /// When it was answered before.
    pub fn answer(
        &mut self,
        id: ProposalId,
        answer: &Result<LogPosition, ProposeRefused>,
    ) -> Verdict {
        let Some(value) = self.proposed.remove(&id) else {
            return Err(format!("proposal {} is answered twice", id.0));
        };
        if answer.is_err() {
            self.refused.insert(value);
        }
        Ok(())
    }

    /// A command that writes this value is applied.
    ///
    /// # Errors
    /// When it was refused.
    pub fn apply(&self, value: u64) -> Verdict {
        demand!(
            !self.refused.contains(&value),
            "a command that was refused is applied; it writes {value}"
        );
        Ok(())
    }
}
