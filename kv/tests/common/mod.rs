//! A state machine that applies commands as a member would, one log index each.

use liferaft_kv::{Answer, Command, Count, Done, Found, Kv, Query, Reply, SeqAppend, SequencePart};
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::state_machine::{ApplyContext, StateMachine};
use liferaft_raft::time::ClusterTime;

#[derive(Default)]
pub(crate) struct Member {
    pub(crate) kv: Kv,
    applied: Index,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Member {
    pub(crate) fn apply(&mut self, command: Command) -> Reply {
        self.applied = self.applied.next();
        let context = ApplyContext {
            index: self.applied,
            term: Term(1),
            time: ClusterTime::ZERO,
        };
        self.kv.apply(context, command)
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.kv.snapshot()()
    }

    /// Another member with the state of this one.
    pub(crate) fn restored(&self) -> Self {
        let mut kv = Kv::new();
        kv.restore(&self.snapshot()).expect("it is a snapshot");
        Self {
            kv,
            applied: self.applied,
        }
    }

    pub(crate) fn set(&mut self, key: &'static str, value: &'static str) -> Reply {
        self.apply(Command::Set {
            key: key.into(),
            value: value.into(),
        })
    }

    pub(crate) fn delete(&mut self, key: &'static str) -> Reply {
        self.apply(Command::Delete { key: key.into() })
    }

    pub(crate) fn compare_and_set(
        &mut self,
        key: &'static str,
        expected: Option<&'static str>,
        new: Option<&'static str>,
    ) -> Reply {
        let (expected, new) = (expected.map(Into::into), new.map(Into::into));
        self.apply(Command::CompareAndSet {
            key: key.into(),
            expected,
            new,
        })
    }

    pub(crate) fn append(&mut self, key: &'static str, value: &'static str) -> Reply {
        self.apply(Command::Append {
            key: key.into(),
            value: value.into(),
        })
    }

    #[track_caller]
    pub(crate) fn seq_append(
        &mut self,
        key: &'static str,
        count: Count,
        value: &'static str,
    ) -> SeqAppend {
        let command = Command::SeqAppend {
            key: key.into(),
            count,
            value: value.into(),
        };
        match self.apply(command) {
            Ok(Done::SeqAppend(outcome)) => outcome,
            other => panic!("not an outcome of seq_append: {other:?}"),
        }
    }

    pub(crate) fn get(&self, key: &'static str) -> Answer {
        self.kv.query(Query::Get { key: key.into() })
    }

    #[track_caller]
    pub(crate) fn sequence(&self, key: &'static str) -> SequencePart {
        let query = Query::ReadSequence {
            key: key.into(),
            from: 0,
            limit: usize::MAX,
        };
        match self.kv.query(query) {
            Ok(Found::Sequence(part)) => part,
            other => panic!("not a sequence: {other:?}"),
        }
    }
}
