//! A state machine that applies commands as a member would, one log index each.

use liferaft_kv::{
    Command, Count, Done, Entry, Found, Keys, Kv, Page, Query, Refused, Reply, Scan, SeqAppend,
    SequencePart, Txn, TxnDone,
};

pub(crate) type Outcome = Result<Done, Refused>;
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::state_machine::{ApplyContext, Capture, StateMachine};
use liferaft_raft::time::ClusterTime;

#[derive(Default)]
pub(crate) struct Member {
    pub(crate) kv: Kv,
    applied: Index,
}

#[allow(dead_code, reason = "each test uses its part")]
impl Member {
    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.apply_at(0, command)
    }

    /// Applies a command at a cluster time, in milliseconds.
    pub(crate) fn apply_at(&mut self, time: u64, command: Command) -> Outcome {
        self.reply_at(time, command).outcome
    }

    pub(crate) fn reply(&mut self, command: Command) -> Reply {
        self.reply_at(0, command)
    }

    fn reply_at(&mut self, time: u64, command: Command) -> Reply {
        self.applied = self.applied.next();
        let context = ApplyContext {
            index: self.applied,
            term: Term(1),
            time: ClusterTime(time),
        };
        let reply = self.kv.apply(context, command);
        self.kv.advance(context);
        reply
    }

    /// Applies an entry without a command, at a cluster time in milliseconds.
    pub(crate) fn advance_at(&mut self, time: u64) {
        self.applied = self.applied.next();
        self.kv.advance(ApplyContext {
            index: self.applied,
            term: Term(1),
            time: ClusterTime(time),
        });
    }

    #[track_caller]
    pub(crate) fn txn(&mut self, txn: Txn) -> TxnDone {
        match self.apply(Command::Txn(txn)) {
            Ok(Done::Txn(outcome)) => outcome,
            other => panic!("not an outcome of a transaction: {other:?}"),
        }
    }

    pub(crate) fn scan(&self, scan: impl Into<Scan>) -> Result<Page, Refused> {
        match self.kv.query(Query::Scan(scan.into())).outcome {
            Ok(Found::Page(page)) => Ok(page),
            Ok(other) => panic!("not a page: {other:?}"),
            Err(refused) => Err(refused),
        }
    }

    /// All keys, what they hold and when they changed.
    #[track_caller]
    pub(crate) fn everything(&self) -> Page {
        self.scan(Keys::all()).expect("the present can be read")
    }

    #[track_caller]
    pub(crate) fn entry(&self, key: &'static str) -> Option<Entry> {
        match self.kv.query(Query::Entry { key: key.into() }).outcome {
            Ok(Found::Entry(entry)) => entry,
            other => panic!("not an entry: {other:?}"),
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        self.kv.snapshot().encode()
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

    /// Takes the state of another member.
    pub(crate) fn restore(&mut self, other: &Self) {
        self.kv
            .restore(&other.snapshot())
            .expect("it is a snapshot");
        self.applied = other.applied;
    }

    pub(crate) fn set(&mut self, key: &'static str, value: &'static str) -> Outcome {
        self.apply(Command::Set {
            key: key.into(),
            value: value.into(),
        })
    }

    pub(crate) fn delete(&mut self, key: &'static str) -> Outcome {
        self.apply(Command::Delete { key: key.into() })
    }

    pub(crate) fn compare_and_set(
        &mut self,
        key: &'static str,
        expected: Option<&'static str>,
        new: Option<&'static str>,
    ) -> Outcome {
        let (expected, new) = (expected.map(Into::into), new.map(Into::into));
        self.apply(Command::CompareAndSet {
            key: key.into(),
            expected,
            new,
        })
    }

    pub(crate) fn append(&mut self, key: &'static str, value: &'static str) -> Outcome {
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

    pub(crate) fn get(&self, key: &'static str) -> Result<Found, Refused> {
        self.kv.query(Query::Get { key: key.into() }).outcome
    }

    #[track_caller]
    pub(crate) fn sequence(&self, key: &'static str) -> SequencePart {
        let query = Query::ReadSequence {
            key: key.into(),
            from: 0,
            limit: usize::MAX,
        };
        match self.kv.query(query).outcome {
            Ok(Found::Sequence(part)) => part,
            other => panic!("not a sequence: {other:?}"),
        }
    }
}
