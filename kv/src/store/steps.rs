//! Several steps in one entry.

use liferaft_raft::consensus::planted::{Bug, is_planted};

use super::Store;
use super::deleting::Deleted;
use crate::error::Refused;
use crate::limits::STEPS_READ_BYTES_MAX;
use crate::step::{Step, StepDone};
use crate::txn::{Txn, TxnDone};

/// What the steps of one command have read and deleted, both of which are bounded.
#[derive(Default)]
struct Spent {
    read_bytes: u64,
    deleted: Deleted,
}

impl Store {
    /// Does the steps of one branch, together or not at all.
    pub(crate) fn txn(&mut self, txn: Txn) -> Result<TxnDone, Refused> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let steps = if succeeded { txn.then } else { txn.otherwise };
        let before = self.clone();
        let mut spent = Spent::default();
        let done = steps
            .into_iter()
            .map(|step| self.step(step, &mut spent))
            .collect();
        match done {
            Ok(steps) => Ok(TxnDone { succeeded, steps }),
            Err(refused) => {
                if !is_planted(Bug::TransactionNotUndone) {
                    *self = before;
                }
                Err(refused)
            }
        }
    }

    /// Does the steps, each for itself.
    pub(crate) fn batch(&mut self, steps: Vec<Step>) -> Vec<Result<StepDone, Refused>> {
        let mut spent = Spent::default();
        steps
            .into_iter()
            .map(|step| self.step(step, &mut spent))
            .collect()
    }

    /// Does a step, unless it reads more than is left to read. No step that changes anything is refused for that.
    fn step(&mut self, step: Step, spent: &mut Spent) -> Result<StepDone, Refused> {
        let done = match step {
            Step::Get { key } => StepDone::Got(self.entry(key)),
            Step::Set { key, value, lease } => {
                self.set(key, value, lease)?;
                StepDone::Set
            }
            Step::Delete { key } => StepDone::Deleted(self.delete(&key)),
            Step::CompareAndSet { key, expected, new } => {
                StepDone::CompareAndSet(self.compare_and_set(key, expected.as_ref(), new)?)
            }
            Step::SeqAppend { key, count, value } => {
                StepDone::SeqAppend(self.append(key, Some(count), value)?)
            }
            Step::Append { key, value } => StepDone::Appended(self.append(key, None, value)?.count),
            Step::Scan(scan) => StepDone::Scanned(self.scan_within_entry(&scan)?),
            Step::TrimBefore { key, count } => StepDone::TrimBefore(self.trim_before(key, count)?),
            Step::DeleteKeys(keys) => {
                StepDone::DeletedKeys(self.delete_all_keys(&keys, &mut spent.deleted)?)
            }
        };
        let total = spent.read_bytes + done.reply_bytes();
        if total > STEPS_READ_BYTES_MAX {
            return Err(Refused::TooMuchRead);
        }
        spent.read_bytes = total;
        Ok(done)
    }
}
