//! The key-value store, with a witness: what each member's state machine was made to apply, and when.

use bytes::Bytes;
use liferaft::kv::{Answer, Command, Done, Found, Kv, Query, Reply};
use liferaft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft::time::{ClusterTime, Instant};
use tokio::sync::watch;

/// The key of the sequence that the chat is.
pub(super) const CHAT: Bytes = Bytes::from_static(b"chat");

/// A [`Kv`] that notes each line of the chat as it is applied.
pub(super) struct Recorder {
    kv: Kv,
    record: watch::Sender<Vec<Applied>>,
    forges: bool,
}

/// What one member has applied, in order: to look at, or to wait for more of.
pub(super) type Record = watch::Receiver<Vec<Applied>>;

/// A line in one member's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    /// When it was applied, or restored with a snapshot.
    pub(super) at: Instant,
    /// What was applied.
    pub(super) line: Bytes,
}

impl Recorder {
    /// An empty store, and its record.
    pub(super) fn new() -> (Self, Record) {
        let (record, reader) = watch::channel(Vec::new());
        let recorder = Self {
            kv: Kv::new(),
            record,
            forges: false,
        };
        (recorder, reader)
    }

    /// Makes it apply something else than the first line that it is told to apply.
    pub(super) fn forging(mut self) -> Self {
        self.forges = true;
        self
    }
}

/// The moment that it is.
pub(super) fn now() -> Instant {
    Instant::from_origin(liferaft::platform::now())
}

/// The question for the whole chat.
pub(super) fn whole_chat() -> Query {
    Query::ReadSequence {
        key: CHAT,
        from: 0,
        limit: usize::MAX,
    }
}

/// The lines in the answer to [`whole_chat`]; `None` for any other.
pub(super) fn lines_of(answer: Answer) -> Option<Vec<Bytes>> {
    match answer.outcome {
        Ok(Found::Sequence(part)) => Some(part.values),
        Ok(_) | Err(_) => None,
    }
}

impl StateMachine for Recorder {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Answer;

    fn apply(&mut self, context: ApplyContext, mut command: Command) -> Reply {
        if let Command::Append { value, .. } = &mut command
            && std::mem::take(&mut self.forges)
        {
            *value = Bytes::from_static(b"a forged line");
        }
        let line = match &command {
            Command::Append { key, value } if *key == CHAT => Some(value.clone()),
            _ => None,
        };
        let reply = self.kv.apply(context, command);
        if let (Some(line), Ok(Done::Append(_))) = (line, &reply.outcome) {
            let at = now();
            self.record
                .send_modify(|record| record.push(Applied { at, line }));
        }
        reply
    }

    fn advance(&mut self, at: ApplyContext) {
        self.kv.advance(at);
    }

    fn wakes_at(&self) -> Option<ClusterTime> {
        self.kv.wakes_at()
    }

    fn query(&self, query: Query) -> Answer {
        self.kv.query(query)
    }

    fn snapshot(&self) -> impl Capture {
        self.kv.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.kv.restore(state)?;
        let lines = lines_of(self.kv.query(whole_chat()))
            .ok_or_else(|| RestoreError::new("the chat is not a sequence"))?;
        let at = now();
        let restored = lines.into_iter().map(|line| Applied { at, line }).collect();
        self.record.send_replace(restored);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use liferaft::ids::{Index, Term};

    use super::*;

    const CONTEXT: ApplyContext = ApplyContext {
        index: Index(1),
        term: Term(1),
        time: ClusterTime::ZERO,
    };

    fn append(line: &'static str) -> Command {
        Command::Append {
            key: CHAT,
            value: line.into(),
        }
    }

    fn lines(record: &Record) -> Vec<Bytes> {
        let record = record.borrow();
        record.iter().map(|applied| applied.line.clone()).collect()
    }

    #[test]
    fn it_notes_the_lines_of_the_chat_in_order() {
        let (mut recorder, record) = Recorder::new();

        recorder
            .apply(CONTEXT, append("one"))
            .outcome
            .expect("it is a chat");
        recorder
            .apply(CONTEXT, append("two"))
            .outcome
            .expect("it is a chat");

        assert_eq!(lines(&record), ["one", "two"]);
        assert!(record.borrow()[0].at <= record.borrow()[1].at);
    }

    #[test]
    fn what_is_refused_is_not_history() {
        let (mut recorder, record) = Recorder::new();
        let set = Command::Set {
            key: CHAT,
            value: "a value".into(),
        };

        recorder
            .apply(CONTEXT, set)
            .outcome
            .expect("the key is free");
        recorder
            .apply(CONTEXT, append("one"))
            .outcome
            .expect_err("the key holds a value");

        assert!(record.borrow().is_empty());
    }

    #[test]
    fn a_snapshot_brings_the_history_before_it() {
        let (mut recorder, _) = Recorder::new();
        recorder
            .apply(CONTEXT, append("one"))
            .outcome
            .expect("it is a chat");
        let snapshot = recorder.snapshot().encode();
        let (mut restored, record) = Recorder::new();

        restored.restore(&snapshot).expect("it is a snapshot");

        assert_eq!(lines(&record), ["one"]);
    }

    #[test]
    fn a_forger_applies_something_else_once() {
        let (recorder, record) = Recorder::new();
        let mut recorder = recorder.forging();

        recorder
            .apply(CONTEXT, append("one"))
            .outcome
            .expect("it is a chat");
        recorder
            .apply(CONTEXT, append("two"))
            .outcome
            .expect("it is a chat");

        assert_eq!(lines(&record), ["a forged line", "two"]);
        assert_eq!(lines_of(recorder.query(whole_chat())), Some(lines(&record)));
    }
}
