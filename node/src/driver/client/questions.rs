//! A client's queries that wait for their answers.
//!
//! A query changes nothing. It is asked again when no answer comes, or another member leads, and whichever answer comes
//! first is as new as the call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::driver::attempt::{Attempt, Due, Stage};
use crate::driver::budget::Budget;
use crate::driver::error::{Busy, ClientRefused, ReadError};
use crate::driver::forwards::room_behind;
use crate::ids::Index;
use crate::time::Instant;
use crate::wire::{ClientQuery, QUERIES_MAX, QueryOutcome};

/// The most queries of a client that wait.
pub(super) const PENDING_MAX: usize = 1 << 14;

/// What a query takes in its frame beside its bytes, at most.
const OVERHEAD_BYTES: usize = 32;

/// Requests of queries have this bit, and those of commands have not.
pub(super) const QUESTION: u64 = 1 << 63;

/// A query that waits for an entry is asked again after so long, at first: nothing may happen for longer.
const WAIT_AFTER: Duration = Duration::from_secs(2);

/// Where the caller of a query waits.
pub(super) type Caller = oneshot::Sender<Result<Bytes, ReadError>>;

#[derive(Debug)]
pub(super) struct Questions {
    pending: BTreeMap<u64, Question>,
    last: u64,
    /// Those to be sent, in their order, and perhaps others.
    unsent: VecDeque<u64>,
    requests: u64,
    due: Due,
    resend_after: Duration,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Question {
    query: Bytes,
    not_before: Index,
    deadline: Instant,
    caller: Caller,
    attempt: Attempt,
}

impl Questions {
    /// None yet. A query is sent again when no answer has come for `resend_after`.
    pub(super) fn new(resend_after: Duration, budget: Arc<Budget>) -> Self {
        Self {
            pending: BTreeMap::new(),
            last: 0,
            unsent: VecDeque::new(),
            requests: QUESTION,
            due: Due::never(),
            resend_after,
            budget,
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(super) const fn due(&self) -> Instant {
        self.due.at()
    }

    /// Takes a caller's query, or refuses it if too many wait. It is answered once the entry at this index is applied.
    pub(super) fn admit(
        &mut self,
        query: Bytes,
        not_before: Index,
        deadline: Instant,
        caller: Caller,
    ) {
        if self.pending.len() >= PENDING_MAX {
            self.budget.release(query.len());
            drop(caller.send(Err(ReadError::Busy(Busy::of(PENDING_MAX, "queries")))));
            return;
        }
        self.due.no_later_than(deadline);
        self.last += 1;
        self.unsent.push_back(self.last);
        let question = Question {
            query,
            not_before,
            deadline,
            caller,
            attempt: Attempt::unsent(),
        };
        self.pending.insert(self.last, question);
    }

    /// The next queries for the leader, of about this many bytes, with their request.
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        bytes_max: usize,
    ) -> Option<(u64, Vec<ClientQuery>)> {
        let mut queries = Vec::new();
        let mut bytes = 0;
        let request = self.requests + 1;
        while let Some(number) = self.unsent.front().copied()
            && queries.len() < QUERIES_MAX
        {
            let question = self.pending.get_mut(&number);
            let unsent = question.filter(|question| question.attempt.is_unsent());
            if let Some(question) = unsent {
                if question.query.len() > room_behind(bytes, bytes_max) {
                    break;
                }
                bytes += question.query.len() + OVERHEAD_BYTES;
                let patience = if question.not_before == Index::ZERO {
                    self.resend_after
                } else {
                    WAIT_AFTER
                };
                question.attempt.sent(request, now, patience);
                self.due.no_later_than(question.attempt.again_at());
                queries.push(ClientQuery {
                    number,
                    not_before: question.not_before,
                    query: question.query.clone(),
                });
            }
            self.unsent.pop_front();
        }
        if queries.is_empty() {
            return None;
        }
        self.requests = request;
        Some((request, queries))
    }

    /// A batch did not leave, or the leader cannot take it at this time.
    pub(super) fn put_off(&mut self, request: u64, now: Instant) {
        for question in self.pending.values_mut() {
            if question.attempt.stage == Stage::Sent(request) {
                question.attempt.put_off(now, self.resend_after);
                self.due.no_later_than(question.attempt.again_at());
            }
        }
    }

    /// No query of a batch is answered, for a reason that stays.
    pub(super) fn refuse(&mut self, request: u64, refused: ClientRefused) {
        let of_batch = |question: &Question| question.attempt.stage == Stage::Sent(request);
        let numbers = self
            .pending
            .iter()
            .filter(|(_, question)| of_batch(question));
        for number in numbers.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.complete(number, Err(ReadError::Refused(refused)));
        }
    }

    /// The leader has answered a query.
    pub(super) fn on_answer(&mut self, number: u64, outcome: QueryOutcome, now: Instant) {
        let result = match outcome {
            QueryOutcome::Answer(bytes) => Ok(bytes),
            QueryOutcome::Busy => {
                if let Some(question) = self.pending.get_mut(&number) {
                    question.attempt.put_off(now, self.resend_after);
                    self.due.no_later_than(question.attempt.again_at());
                }
                return;
            }
            QueryOutcome::Panicked => Err(ReadError::Panicked),
            QueryOutcome::NotUnderstood => Err(ReadError::Refused(ClientRefused::NotUnderstood)),
            QueryOutcome::OutOfScope => Err(ReadError::Refused(ClientRefused::OutOfScope)),
            QueryOutcome::TooLarge { bytes, bytes_max } => {
                Err(ReadError::TooLarge { bytes, bytes_max })
            }
        };
        self.complete(number, result);
    }

    /// Another leader: what the last one was asked it may not answer.
    pub(super) fn reroute(&mut self) {
        for question in self.pending.values_mut() {
            question.attempt.reroute();
        }
        self.unsent = self.pending.keys().copied().collect();
    }

    /// Gives up what has passed its deadline or has no caller any more, and wakes what is to be sent again.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.due.begin(now) {
            return;
        }
        let is_over = |question: &Question| question.deadline <= now || question.caller.is_closed();
        let over = self
            .pending
            .iter()
            .filter(|(_, question)| is_over(question));
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.complete(number, Err(ReadError::TimedOut));
        }
        for (number, question) in &mut self.pending {
            let was_unsent = question.attempt.is_unsent();
            self.due.no_later_than(question.deadline);
            self.due.look_at(&mut question.attempt, now);
            if question.attempt.is_unsent() && !was_unsent {
                self.unsent.push_back(*number);
            }
        }
        self.due.end(now);
    }

    /// Answers all callers, because the client stops, or will reach no leader.
    pub(super) fn end(&mut self, error: &ReadError) {
        for number in self.pending.keys().copied().collect::<Vec<_>>() {
            self.complete(number, Err(error.clone()));
        }
    }

    fn complete(&mut self, number: u64, result: Result<Bytes, ReadError>) {
        if let Some(question) = self.pending.remove(&number) {
            self.budget.release(question.query.len());
            // Its caller may have stopped waiting.
            drop(question.caller.send(result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<Bytes, ReadError>>;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn questions() -> Questions {
        Questions::new(Duration::from_secs(1), Arc::default())
    }

    fn ask(questions: &mut Questions, query: &'static [u8], deadline: u64) -> Answer {
        let (caller, answer) = oneshot::channel();
        assert!(questions.budget.take(query.len()));
        let query = Bytes::from_static(query);
        questions.admit(query, Index::ZERO, at(deadline), caller);
        answer
    }

    fn numbers(questions: &mut Questions, now: u64) -> Vec<u64> {
        let batch = questions.next_batch(at(now), 1000);
        let queries = batch.into_iter().flat_map(|(_, queries)| queries);
        queries.map(|asked| asked.number).collect()
    }

    #[test]
    fn queries_that_wait_are_sent_together_and_answered_one_by_one() {
        let mut questions = questions();
        let mut first = ask(&mut questions, b"a", 9);
        let mut second = ask(&mut questions, b"b", 9);

        let sent = numbers(&mut questions, 0);
        questions.on_answer(2, QueryOutcome::Answer(Bytes::from_static(b"x")), at(0));

        assert_eq!((sent, numbers(&mut questions, 0)), (vec![1, 2], vec![]));
        assert_eq!(second.try_recv(), Ok(Ok(Bytes::from_static(b"x"))));
        assert!(first.try_recv().is_err());
        assert_eq!(questions.budget.used(), 1);
    }

    #[test]
    fn a_query_without_an_answer_is_asked_again() {
        let mut questions = questions();
        let _answer = ask(&mut questions, b"a", 9);
        numbers(&mut questions, 0);

        questions.expire(at(1));

        assert_eq!(numbers(&mut questions, 1), [1]);
    }

    #[test]
    fn another_leader_is_asked_at_once() {
        let mut questions = questions();
        let _answer = ask(&mut questions, b"a", 9);
        numbers(&mut questions, 0);

        questions.reroute();

        assert_eq!(numbers(&mut questions, 0), [1]);
    }

    #[test]
    fn a_batch_holds_no_more_bytes_than_a_frame() {
        let mut questions = questions();
        let _answers = [
            ask(&mut questions, b"long", 9),
            ask(&mut questions, b"long", 9),
        ];

        let first = questions.next_batch(at(0), 5).map(|(_, batch)| batch.len());
        let second = questions.next_batch(at(0), 5).map(|(_, batch)| batch.len());

        assert_eq!((first, second), (Some(1), Some(1)));
    }

    #[test]
    fn a_query_times_out_wherever_it_is() {
        let mut questions = questions();
        let mut sent = ask(&mut questions, b"a", 3);
        numbers(&mut questions, 0);
        let mut unsent = ask(&mut questions, b"b", 3);

        questions.expire(at(3));

        assert_eq!(sent.try_recv(), Ok(Err(ReadError::TimedOut)));
        assert_eq!(unsent.try_recv(), Ok(Err(ReadError::TimedOut)));
        assert_eq!(questions.budget.used(), 0);
    }

    #[test]
    fn a_refused_batch_is_asked_no_more() {
        let mut questions = questions();
        let mut answer = ask(&mut questions, b"a", 9);
        let (request, _) = questions.next_batch(at(0), 1000).expect("one waits");

        questions.refuse(request, ClientRefused::NotServed);

        let refused = ReadError::Refused(ClientRefused::NotServed);
        assert_eq!(answer.try_recv(), Ok(Err(refused)));
    }
}
