//! Linearizable reads (§6.4, plan 2.1 no. 13), as far as indices tell: a read is granted no index below what was
//! committed anywhere when it was asked.

use std::collections::BTreeMap;

use liferaft_raft::consensus::ReadId;
use liferaft_raft::ids::Index;

use super::{Verdict, demand};

/// The reads that wait for an answer, with what was committed when they were asked.
#[derive(Debug, Default)]
pub struct Reads {
    asked: BTreeMap<ReadId, Index>,
}

impl Reads {
    /// A read is asked.
    pub fn ask(&mut self, id: ReadId, committed: Index) {
        self.asked.insert(id, committed);
    }

    /// A read comes to nothing.
    pub fn forget(&mut self, id: ReadId) {
        self.asked.remove(&id);
    }

    /// A read is granted.
    ///
    /// # Errors
    /// When it would see less than was committed when it was asked, or was granted before.
    pub fn grant(&mut self, id: ReadId, index: Index) -> Verdict {
        let Some(committed) = self.asked.remove(&id) else {
            return Err(format!("read {} is answered twice", id.0));
        };
        demand!(
            index >= committed,
            "a read is granted at {index}, {committed} was committed when it was asked"
        );
        Ok(())
    }
}
