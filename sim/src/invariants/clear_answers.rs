//! Clear answers (plan 2.5 no. 29): a command that was refused is never applied anywhere, and one that was appended is
//! told where.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_raft::consensus::{ProposalId, ProposeRefused};
use liferaft_raft::ids::LogPosition;

use super::{Verdict, demand};

/// What was answered to those who proposed.
#[derive(Debug, Default)]
pub struct ClearAnswers {
    /// The copies of commands proposed, until they are answered.
    proposed: BTreeMap<ProposalId, Option<u64>>,
    refused: BTreeSet<u64>,
}

impl ClearAnswers {
    /// This copy of a command is proposed; or a registration, which may be repeated and has no name.
    pub fn propose(&mut self, id: ProposalId, copy: Option<u64>) {
        self.proposed.insert(id, copy);
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
        let Some(copy) = self.proposed.remove(&id) else {
            return Err(format!("proposal {} is answered twice", id.0));
        };
        if answer.is_err() {
            self.refused.extend(copy);
        }
        Ok(())
    }

    /// This copy of a command is applied.
    ///
    /// # Errors
    /// When it was refused.
    pub fn apply(&self, copy: u64) -> Verdict {
        demand!(
            !self.refused.contains(&copy),
            "copy {copy} of a command is applied, which was refused"
        );
        Ok(())
    }
}
