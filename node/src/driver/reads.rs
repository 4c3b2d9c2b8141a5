//! Linearizable reads on their way to the state machine (§6.4).
//!
//! All reads that arrive together are confirmed by one question to the core. A read changes nothing, so one whose
//! confirmation fails, or takes too long, is asked again until its deadline.

use std::mem;
use std::time::Duration;

use super::attempt::Due;
use super::error::{Busy, ReadError};
use super::request::Read;
use crate::consensus::{ReadId, ReadRefused};
use crate::ids::Index;
use crate::sorted::SortedMap;
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// The pending reads of this member.
pub(super) struct Reads<S: StateMachine> {
    /// To be asked about as soon as `ask_at` has come.
    waiting: Vec<Read<S>>,
    ask_at: Instant,
    /// Asked about, with the moment from which on the answer is taken to be lost.
    asked: SortedMap<ReadId, (Instant, Vec<Read<S>>)>,
    /// Confirmed, to be served once this index is applied.
    confirmed: SortedMap<Index, Vec<Read<S>>>,
    count: usize,
    count_max: usize,
    last_id: ReadId,
    due: Due,
    retry_after: Duration,
    lost_after: Duration,
}

impl<S: StateMachine> Reads<S> {
    /// None yet. A refused read is asked about again after `retry_after`, an unanswered one after `lost_after`.
    pub(super) fn new(count_max: usize, retry_after: Duration, lost_after: Duration) -> Self {
        Self {
            waiting: Vec::new(),
            ask_at: Instant::ORIGIN,
            asked: SortedMap::new(),
            confirmed: SortedMap::new(),
            count: 0,
            count_max,
            last_id: ReadId(0),
            due: Due::never(),
            retry_after,
            lost_after,
        }
    }

    /// A refused read is asked about again after `refused`, an unanswered one after `lost`; what waits already waits as
    /// it was told.
    pub(super) fn retry_after(&mut self, refused: Duration, lost: Duration) {
        self.retry_after = refused;
        self.lost_after = lost;
    }

    /// How many reads wait.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// When [`expire`](Self::expire) is to be called, or [`ask`](Self::ask).
    pub(super) fn due(&self) -> Instant {
        if self.waiting.is_empty() {
            self.due.at()
        } else {
            self.due.at().min(self.ask_at)
        }
    }

    /// Takes a caller's read. Whether it did: too many are busy.
    pub(super) fn admit(&mut self, read: Read<S>) -> bool {
        if self.count >= self.count_max {
            let busy = Busy::of(self.count_max, "reads");
            read.caller.refuse(ReadError::Busy(busy));
            return false;
        }
        self.count += 1;
        self.due.no_later_than(read.deadline);
        self.waiting.push(read);
        true
    }

    /// The next question to the core, for all reads that wait.
    pub(super) fn ask(&mut self, now: Instant) -> Option<ReadId> {
        if self.waiting.is_empty() || now < self.ask_at {
            return None;
        }
        self.last_id = ReadId(self.last_id.0 + 1);
        for read in &mut self.waiting {
            read.caller.asked(now);
        }
        let lost_at = now + self.lost_after;
        self.due.no_later_than(lost_at);
        self.asked
            .insert(self.last_id, (lost_at, std::mem::take(&mut self.waiting)));
        Some(self.last_id)
    }

    /// Another leader may confirm what the last one did not: ask at once.
    pub(super) fn reroute(&mut self) {
        self.ask_at = Instant::ORIGIN;
    }

    /// The core's answer.
    pub(super) fn on_answer(
        &mut self,
        id: ReadId,
        result: &Result<Index, ReadRefused>,
        now: Instant,
    ) {
        let Some((_, mut reads)) = self.asked.remove(&id) else {
            return;
        };
        match result {
            Ok(index) => {
                for read in reads.extract_if(.., |read| read.not_before > *index) {
                    let waiting = self.confirmed.entry(read.not_before);
                    waiting.or_default().push(read);
                }
                self.confirmed.entry(*index).or_default().append(&mut reads);
            }
            Err(ReadRefused::NotLeader { .. }) => {
                self.ask_at = now + self.retry_after;
                self.waiting.append(&mut reads);
            }
            Err(ReadRefused::Busy { waiting }) => {
                self.count -= reads.len();
                let busy = Busy::of(*waiting, "reads");
                for read in reads {
                    read.caller.refuse(ReadError::Busy(busy));
                }
            }
        }
    }

    /// The reads that can be served when entries are applied up to here.
    pub(super) fn take_served(&mut self, applied: Index) -> Vec<Read<S>> {
        let later = self.confirmed.split_off(&applied.next());
        let served = mem::replace(&mut self.confirmed, later);
        let served: Vec<_> = served.into_values().flatten().collect();
        self.count -= served.len();
        served
    }

    /// Gives up what has passed its deadline, and puts what was not answered back among those to ask about.
    pub(super) fn expire(&mut self, now: Instant) {
        if !self.due.begin(now) {
            return;
        }
        let is_lost = |_: &ReadId, (lost_at, _): &(Instant, _)| *lost_at <= now;
        while let Some((_, (_, mut reads))) = self.asked.pop_first_if(is_lost) {
            self.waiting.append(&mut reads);
        }
        let due = &mut self.due;
        if let Some((lost_at, _)) = self.asked.values().next() {
            due.no_later_than(*lost_at);
        }
        let count = &mut self.count;
        let lists = self
            .asked
            .values_mut()
            .map(|(_, reads)| reads)
            .chain(self.confirmed.values_mut());
        for reads in lists.chain([&mut self.waiting]) {
            for read in reads.extract_if(.., |read| read.deadline <= now || read.caller.is_closed())
            {
                *count -= 1;
                read.caller.refuse(ReadError::TimedOut);
            }
            for read in reads.iter() {
                due.no_later_than(read.deadline);
            }
        }
        due.end(now);
    }

    /// Answers all callers, because the member stops.
    pub(super) fn stop(&mut self) {
        let asked = std::mem::take(&mut self.asked)
            .into_values()
            .flat_map(|(_, reads)| reads);
        let confirmed = std::mem::take(&mut self.confirmed).into_values().flatten();
        for read in asked.chain(confirmed).chain(self.waiting.drain(..)) {
            read.caller.refuse(ReadError::Stopped);
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::{self, Receiver};

    use super::*;
    use crate::driver::request::ReadCaller;
    use crate::driver::testing::Log;

    type Answer = Receiver<Result<Vec<u64>, ReadError>>;

    fn at(seconds: u64) -> Instant {
        Instant::from_origin(Duration::from_secs(seconds))
    }

    fn reads() -> Reads<Log> {
        Reads::new(2, Duration::from_secs(1), Duration::from_secs(5))
    }

    fn admit(reads: &mut Reads<Log>, deadline: u64) -> Answer {
        let (caller, answer) = oneshot::channel();
        reads.admit(Read {
            query: (),
            not_before: Index::ZERO,
            deadline: at(deadline),
            caller: ReadCaller::Linearizable(caller),
        });
        answer
    }

    #[test]
    fn reads_that_arrive_together_are_confirmed_together_and_wait_for_their_index() {
        let mut reads = reads();
        let _callers = [admit(&mut reads, 9), admit(&mut reads, 9)];

        let id = reads.ask(at(0)).unwrap();
        reads.on_answer(id, &Ok(Index(7)), at(0));

        assert_eq!(reads.ask(at(0)), None);
        assert_eq!(reads.take_served(Index(6)).len(), 0);
        assert_eq!(reads.take_served(Index(7)).len(), 2);
    }

    #[test]
    fn a_read_waits_for_the_index_that_it_names() {
        let mut reads = reads();
        let (caller, _answer) = oneshot::channel();
        reads.admit(Read {
            query: (),
            not_before: Index(9),
            deadline: at(99),
            caller: ReadCaller::Linearizable(caller),
        });

        let id = reads.ask(at(0)).unwrap();
        reads.on_answer(id, &Ok(Index(7)), at(0));

        assert_eq!(reads.take_served(Index(8)).len(), 0);
        assert_eq!(reads.take_served(Index(9)).len(), 1);
    }

    #[test]
    fn a_refused_read_is_asked_again_later_or_when_there_is_another_leader() {
        let mut reads = reads();
        let _caller = admit(&mut reads, 9);
        let id = reads.ask(at(0)).unwrap();

        reads.on_answer(id, &Err(ReadRefused::NotLeader { leader: None }), at(0));

        assert_eq!(reads.ask(at(0)), None);
        assert_eq!(reads.due(), at(1));
        reads.reroute();
        assert!(reads.ask(at(0)).is_some());
    }

    #[test]
    fn an_unanswered_read_is_asked_again_and_a_late_answer_to_the_first_is_ignored() {
        let mut reads = reads();
        let _caller = admit(&mut reads, 9);
        let first = reads.ask(at(0)).unwrap();

        reads.expire(at(5));
        let second = reads.ask(at(5)).unwrap();
        reads.on_answer(first, &Ok(Index(1)), at(5));

        assert_ne!(first, second);
        assert_eq!(reads.take_served(Index(1)).len(), 0);
    }

    #[test]
    fn a_read_times_out_wherever_it_waits() {
        let mut reads = reads();
        let mut asked = admit(&mut reads, 3);
        reads.ask(at(0)).unwrap();
        let mut waiting = admit(&mut reads, 4);

        reads.expire(at(3));
        reads.expire(at(4));

        assert_eq!(asked.try_recv(), Ok(Err(ReadError::TimedOut)));
        assert_eq!(waiting.try_recv(), Ok(Err(ReadError::TimedOut)));
    }

    #[test]
    fn a_read_too_many_is_busy_until_one_is_answered() {
        let mut reads = reads();
        let _callers = [admit(&mut reads, 3), admit(&mut reads, 3)];
        let mut refused = admit(&mut reads, 3);

        reads.expire(at(3));
        let mut admitted = admit(&mut reads, 9);

        assert_eq!(
            refused.try_recv(),
            Ok(Err(ReadError::Busy(Busy::of(2, "reads"))))
        );
        assert!(admitted.try_recv().is_err());
    }

    #[test]
    fn a_stopping_member_answers_all_reads() {
        let mut reads = reads();
        let mut asked = admit(&mut reads, 9);
        reads.ask(at(0)).unwrap();
        let mut waiting = admit(&mut reads, 9);

        reads.stop();

        assert_eq!(asked.try_recv(), Ok(Err(ReadError::Stopped)));
        assert_eq!(waiting.try_recv(), Ok(Err(ReadError::Stopped)));
    }
}
