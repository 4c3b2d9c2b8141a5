//! Has clients ask a few keys all the time, and notes what they hear.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use liferaft::Invitation;
use liferaft::driver::{Calls, Client};
use liferaft::kv::{
    Compare, CompareAndSet, Keys, Kv, KvError, KvHandle, Scan, SequencePart, Step, StepDone, Txn,
    TxnDone,
};
use liferaft_sim::client_history::{Outcome, Told};
use liferaft_sim::dice::Dice;
use liferaft_sim::operation::{Answer, Change, Listed, Question};

use crate::group::{Ask, Heard, SEQUENCE, VALUES};
use crate::node::client;

pub(crate) type Entry = Told<Ask, Heard>;

pub(crate) const CLIENTS: usize = 6;

/// Each client asks so often: enough to have calls under way whenever something happens, and few enough to be judged.
const PACE: Duration = Duration::from_millis(10);

/// A call takes at most so long: less than a leader needs to find out that its disk hangs, so that outcomes are
/// unknown, and not so much less that each client has several, which takes the judge long.
const TIMEOUT: Duration = Duration::from_secs(3);

/// More than is ever in a sequence: each call of a group appends one at most.
const SEQUENCE_MAX: usize = 2_000;

/// What all clients share.
pub(crate) struct Book {
    began: Instant,
    /// After so many calls all clients go over to the next group.
    group_calls: u64,
    is_over: AtomicBool,
    calls: AtomicU64,
    last_value: AtomicU64,
    history: Mutex<Vec<Entry>>,
    failures: Mutex<Vec<(u64, u64)>>,
}

impl Book {
    pub(crate) fn new(group_calls: u64) -> Self {
        Self {
            began: Instant::now(),
            group_calls,
            is_over: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            last_value: AtomicU64::new(0),
            history: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        let elapsed = self.began.elapsed().as_nanos();
        elapsed.try_into().expect("no run takes centuries")
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> u64 {
        self.calls
            .load(Ordering::Relaxed)
            .div_ceil(self.group_calls)
    }

    /// Counts a call, and says of which group it is to be.
    pub(crate) fn next_group(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) / self.group_calls
    }

    pub(crate) fn fresh(&self) -> u64 {
        self.last_value.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes what was noted, in the order of the calls.
    pub(crate) fn take(&self) -> Vec<Entry> {
        let mut history = self.history.lock().expect("nobody panics");
        history.sort_by_key(|told| told.call);
        std::mem::take(&mut *history)
    }

    /// Takes from when to when calls were under way that failed.
    pub(crate) fn take_failures(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.failures.lock().expect("nobody panics"))
    }
}

/// A client, which is no member unless it is said to be.
pub(crate) struct Caller<H = Client<Kv>> {
    store: KvHandle<H>,
    number: usize,
    book: Arc<Book>,
}

impl Caller {
    pub(crate) fn new(invitation: &str, number: usize, book: &Arc<Book>) -> Self {
        let invitation: Invitation = invitation.parse().expect("it was just printed");
        Self::by(client(invitation, TIMEOUT), number, book)
    }
}

impl<H: Calls<Kv>> Caller<H> {
    pub(crate) fn by(store: KvHandle<H>, number: usize, book: &Arc<Book>) -> Self {
        Self {
            store,
            number,
            book: Arc::clone(book),
        }
    }

    /// Waits longer for answers.
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.store = self.store.within(time);
        self
    }

    /// Asks until it is over.
    pub(crate) async fn ask(self, mut dice: Dice) {
        let mut pace = tokio::time::interval(PACE);
        let mut known = [0; VALUES];
        let mut last_group = 0;
        while !self.book.is_over.load(Ordering::Relaxed) {
            pace.tick().await;
            let group = self.book.next_group();
            if group != last_group {
                (last_group, known) = (group, [0; VALUES]);
            }
            let ask = draw(&mut dice, &known, || self.book.fresh());
            // What became of it is in the book.
            let _noted = self.call(group, &ask, &mut known).await;
        }
    }

    /// Reads all that a group holds in the end.
    pub(crate) async fn read(&self, group: u64) -> Result<(), KvError> {
        let mut known = [0; VALUES];
        self.call(group, &Ask::All, &mut known).await?;
        let list = Ask::Key(SEQUENCE, Question::List);
        self.call(group, &list, &mut known).await
    }

    /// Reads the sequence of a group.
    pub(crate) async fn sequence(&self, group: u64) -> Vec<u64> {
        let part = self.part(group).await.expect("a majority is there");
        let values = part.values.iter();
        values.map(|value| number(Some(value))).collect()
    }

    async fn part(&self, group: u64) -> Result<SequencePart, KvError> {
        let name = name(group, SEQUENCE);
        let part = self.store.read_sequence(name, 0, SEQUENCE_MAX).await?;
        Ok(part.value)
    }

    /// Asks, and notes what it hears.
    pub(crate) async fn call(
        &self,
        group: u64,
        ask: &Ask,
        known: &mut [u64; VALUES],
    ) -> Result<(), KvError> {
        let call = self.book.now();
        let result = self.done(group, ask).await;
        let returned = self.book.now();
        let (outcome, result) = match result {
            Ok(heard) => {
                learn(known, ask, &heard);
                (Outcome::Done(heard), Ok(()))
            }
            // A read has no effect, whatever became of it.
            Err(error) if error.is_definite() || is_read(ask) => (Outcome::NotDone, Err(error)),
            Err(error) => (Outcome::Unknown, Err(error)),
        };
        let told = Told {
            client: Some(self.number),
            call,
            r#return: matches!(outcome, Outcome::Done(_)).then_some(returned),
            key: group,
            operation: ask.clone(),
            outcome,
        };
        self.book.history.lock().expect("nobody panics").push(told);
        if result.is_err() {
            let mut failures = self.book.failures.lock().expect("nobody panics");
            failures.push((call, returned));
        }
        result
    }

    async fn done(&self, group: u64, ask: &Ask) -> Result<Heard, KvError> {
        let store = &self.store;
        Ok(match ask {
            Ask::All => {
                let page = store
                    .scan(Scan::of(Keys::prefix(prefix(group, 'v'))))
                    .await?;
                let mut values = [0; VALUES];
                for entry in &page.entries {
                    let key = entry.key.last().expect("it has a name") - b'0';
                    values[usize::from(key)] = number(entry.value().map(|value| &**value));
                }
                Heard::All(values)
            }
            Ask::Move {
                keys,
                from,
                to,
                append,
            } => {
                let names = keys.map(|key| name(group, key));
                let is = |at: usize| match from[at] {
                    0 => Compare::absent(names[at].clone()),
                    value => Compare::value(names[at].clone(), bytes(value)),
                };
                let txn = Txn::when([is(0), is(1)])
                    .then([
                        Step::set(names[0].clone(), bytes(to[0])),
                        Step::set(names[1].clone(), bytes(to[1])),
                        Step::append(name(group, SEQUENCE), bytes(*append)),
                    ])
                    .otherwise(names.map(Step::get));
                moved(&store.txn(txn).await?.value)
            }
            Ask::Key(key, question) => {
                let name = name(group, *key);
                Heard::Key(match *question {
                    Question::Get => {
                        let got = store.get(name).await?;
                        Answer::Value(number(got.value.as_deref()))
                    }
                    Question::List => {
                        let listed = Listed::of(&self.part(group).await?);
                        Answer::List(listed.expect("all values are ours"))
                    }
                    Question::Change(Change::Set(value)) => {
                        store.set(name, bytes(value)).await?;
                        Answer::Set
                    }
                    Question::Change(Change::CompareAndSet(from, to)) => {
                        let expected = (from > 0).then(|| bytes(from));
                        let done = store.compare_and_set(name, expected, bytes(to)).await?;
                        match done.value {
                            CompareAndSet::Set => Answer::Set,
                            CompareAndSet::Different { current } => {
                                Answer::Different(number(current.as_deref()))
                            }
                        }
                    }
                    Question::Change(Change::Append(value)) => {
                        let place = store.append(name, bytes(value)).await?;
                        Answer::Place(place.value)
                    }
                    Question::Change(Change::Delete) => {
                        Answer::Deleted(store.delete(name).await?.value)
                    }
                    Question::Change(other) => unreachable!("nobody draws {other:?}"),
                })
            }
        })
    }
}

/// Draws what is asked next, of what was known last.
fn draw(dice: &mut Dice, known: &[u64; VALUES], mut fresh: impl FnMut() -> u64) -> Ask {
    let at = dice.below(VALUES);
    let key = u8::try_from(at).expect("there are few");
    let change = |key, change| Ask::Key(key, Question::Change(change));
    match dice.below(20) {
        0..=5 => Ask::Key(key, Question::Get),
        6 => Ask::Key(SEQUENCE, Question::List),
        7 | 8 => Ask::All,
        9..=11 => change(key, Change::Set(fresh())),
        12 | 13 => change(key, Change::CompareAndSet(known[at], fresh())),
        14 => change(key, Change::Delete),
        15..=17 => change(SEQUENCE, Change::Append(fresh())),
        _ => {
            let other = (at + 1) % VALUES;
            Ask::Move {
                keys: [key, u8::try_from(other).expect("there are few")],
                from: [known[at], known[other]],
                to: [fresh(), fresh()],
                append: fresh(),
            }
        }
    }
}

/// Notes what an answer tells of the values.
fn learn(known: &mut [u64; VALUES], ask: &Ask, heard: &Heard) {
    match (ask, heard) {
        (_, Heard::All(values)) => *known = *values,
        (Ask::Key(key, _), Heard::Key(Answer::Value(value) | Answer::Different(value))) => {
            known[usize::from(*key)] = *value;
        }
        (Ask::Key(key, Question::Change(change)), Heard::Key(Answer::Set | Answer::Deleted(_))) => {
            known[usize::from(*key)] = change.value().unwrap_or(0);
        }
        (Ask::Move { keys, to, .. }, Heard::Moved(_)) => {
            (known[usize::from(keys[0])], known[usize::from(keys[1])]) = (to[0], to[1]);
        }
        (Ask::Move { keys, .. }, Heard::Held(values)) => {
            (known[usize::from(keys[0])], known[usize::from(keys[1])]) = (values[0], values[1]);
        }
        _ => {}
    }
}

/// What an operation appends, if it does.
pub(crate) fn appends(ask: &Ask) -> Option<u64> {
    match ask {
        Ask::Key(_, Question::Change(Change::Append(value))) => Some(*value),
        Ask::Move { append, .. } => Some(*append),
        Ask::Key(..) | Ask::All => None,
    }
}

/// What was appended by an operation, and the place that its client was told; `None` if it appended nothing.
pub(crate) fn appended(told: &Entry) -> Option<(u64, usize)> {
    let value = appends(&told.operation)?;
    let place = match told.outcome {
        Outcome::Done(Heard::Key(Answer::Place(place)) | Heard::Moved(place)) => place,
        Outcome::Done(_) | Outcome::NotDone | Outcome::Unknown => return None,
    };
    Some((value, usize::try_from(place).expect("it is small")))
}

fn is_read(ask: &Ask) -> bool {
    matches!(ask, Ask::All | Ask::Key(_, Question::Get | Question::List))
}

fn moved(done: &TxnDone) -> Heard {
    match &done.steps[..] {
        [StepDone::Set, StepDone::Set, StepDone::Appended(count)] if done.succeeded => {
            Heard::Moved(count.len() - 1)
        }
        [StepDone::Got(one), StepDone::Got(other)] if !done.succeeded => {
            let held = [one, other].map(|entry| entry.as_ref().and_then(|entry| entry.value()));
            Heard::Held(held.map(|value| number(value.map(|value| &**value))))
        }
        other => panic!("a transaction was answered {other:?}"),
    }
}

/// The keys of a group of one kind begin so.
fn prefix(group: u64, kind: char) -> String {
    format!("group-{group}/{kind}")
}

fn name(group: u64, key: u8) -> String {
    let kind = if key == SEQUENCE { 's' } else { 'v' };
    format!("{}{key}", prefix(group, kind))
}

fn bytes(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_le_bytes())
}

fn number(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| {
        u64::from_le_bytes(value.try_into().expect("all values are ours"))
    })
}
