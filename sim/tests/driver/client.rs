//! Clients: they ask members through the public handle, and write down what they hear.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use liferaft_kv::{CompareAndSet, KvError, KvHandle, SequencePart};
use liferaft_node::driver::Local;
use liferaft_raft::ids::Index;
use liferaft_sim::dice::{Dice, PerMillion};
use liferaft_sim::operation::{Answer, Change, Listed, Question, is_sequence, key_bytes};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{Cluster, Running};
use crate::history::{Heard, History, in_time};

/// How many appends a deaf member is asked for before it is deaf, and as many after.
const APPENDS_AT_THE_DEAF: u32 = 4;

/// What is wrong with the clients or the disks, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A client takes *unknown* for *not done*.
    UnknownIsNotDone,
    /// A client asks again when it hears *unknown*, and believes the second answer.
    UnknownIsRetried,
    /// A client takes what one member knows for what the cluster knows.
    LocalIsCurrent,
    /// A disk loses in a crash what it acknowledged.
    DiskForgets,
}

/// What all clients of a run share.
pub(crate) struct Clients {
    pub(crate) cluster: Arc<Cluster>,
    history: Mutex<History>,
    flaw: Option<Flaw>,
}

impl Clients {
    pub(crate) fn new(cluster: Arc<Cluster>, flaw: Option<Flaw>) -> Self {
        Self {
            cluster,
            history: Mutex::new(History::new()),
            flaw,
        }
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("nothing panics under this lock")
    }

    /// The history, once nobody adds to it.
    pub(crate) fn take_history(&self) -> History {
        std::mem::replace(&mut *self.history(), History::new())
    }

    /// One client calls members until `end`.
    pub(crate) async fn call_until(self: Arc<Self>, number: u64, end: Instant) {
        let plan = &self.cluster.plan;
        let mut dice = Dice::new(plan.seed, 100 + number);
        let thinking = u64::try_from(plan.thinking.as_millis()).expect("a short time");
        let mut changes = 0;
        let lull = plan.lull.map(|(from, lasts)| {
            let began = end - plan.faults_last;
            began + from..began + from + lasts
        });
        while Instant::now() < end {
            if let Some(lull) = &lull
                && lull.contains(&Instant::now())
            {
                tokio::time::sleep_until(lull.end).await;
            }
            tokio::time::sleep(Duration::from_millis(dice.between(0, 2 * thinking))).await;
            let Some(member) = dice
                .pick(&(1..=plan.servers).collect::<Vec<_>>())
                .and_then(|id| self.cluster.running(id))
            else {
                continue;
            };
            let key = u8::try_from(dice.between(1, plan.keys.into())).expect("few keys");
            changes += 1;
            let fresh = number << 32 | changes;
            let question = self.question(&mut dice, key, fresh);
            let patience = if dice.falls(PerMillion::percent(20)) {
                plan.request_timeout / 4
            } else {
                plan.request_timeout
            };
            let local =
                !matches!(question, Question::Change(_)) && dice.falls(PerMillion::percent(30));
            if local {
                let trusting = self.flaw == Some(Flaw::LocalIsCurrent);
                self.look(&member, key, question, trusting).await;
            } else {
                self.ask(&member, key, question, patience).await;
            }
        }
    }

    /// One client appends at each member that is to be deaf, a while before and a while after it has begun to be, and
    /// waits for all of it until that member has heard again.
    pub(crate) async fn append_at_the_deaf(self: Arc<Self>, end: Instant) {
        let plan = &self.cluster.plan;
        let began = end - plan.faults_last;
        let mut dice = Dice::new(plan.seed, 6);
        let sequences: Vec<u8> = (1..=plan.keys).filter(|key| is_sequence(*key)).collect();
        let timeout = plan.config.election_timeout();
        let mut appends = JoinSet::new();
        for deafness in &plan.deaf {
            for place in 0..2 * APPENDS_AT_THE_DEAF {
                let at = deafness.at + timeout * place / APPENDS_AT_THE_DEAF;
                let at = (began + at).checked_sub(timeout).unwrap_or(began);
                tokio::time::sleep_until(at.min(end)).await;
                let Some(member) = self.cluster.running(deafness.whom) else {
                    continue;
                };
                let key = dice.pick(&sequences).expect("there are sequences");
                let fresh = 2_000 << 32 | (deafness.at.as_secs() << 8 | u64::from(place));
                let append = Question::Change(Change::Append(fresh));
                let patience = 2 * deafness.lasts;
                let clients = Arc::clone(&self);
                appends.spawn(async move { clients.ask(&member, key, append, patience).await });
            }
        }
        appends.join_all().await;
    }

    /// The values of all sequences, as far as this member itself knows.
    ///
    /// # Errors
    /// It does not tell, or tells what nobody wrote.
    pub(crate) async fn sequences(
        &self,
        member: &Running,
    ) -> Result<BTreeMap<u8, Vec<u64>>, String> {
        let mut sequences = BTreeMap::new();
        for key in (1..=self.cluster.plan.keys).filter(|key| is_sequence(*key)) {
            let part = member.kv.read_sequence_local(key_bytes(key), 0, usize::MAX);
            let part = part.await.map_err(|error| error.to_string())?.answer;
            let values = part.values.iter().map(word).collect::<Result<_, _>>()?;
            sequences.insert(key, values);
        }
        Ok(sequences)
    }

    fn question(&self, dice: &mut Dice, key: u8, fresh: u64) -> Question {
        let change = dice.falls(PerMillion::percent(60));
        match (is_sequence(key), change) {
            (true, false) => Question::List,
            (true, true) => Question::Change(Change::Append(fresh)),
            (false, false) => Question::Get,
            (false, true) => Question::Change(match dice.between(0, 6) {
                0..=2 => Change::Set(fresh),
                3..=5 => Change::CompareAndSet(self.history().last_value(key), fresh),
                _ => Change::Delete,
            }),
        }
    }

    /// Asks a member, and writes down what it answers.
    pub(crate) async fn ask(
        &self,
        member: &Running,
        key: u8,
        question: Question,
        patience: Duration,
    ) -> Heard {
        let call = self.history().begin(key, question);
        let called = Instant::now();
        let kv = member.kv.within(patience);
        let mut answer = member.ask(ask(&kv, key, question)).await;
        if answer.is_some() {
            let check = in_time(&format!("{question:?}"), called, patience);
            self.cluster.check(check);
        }
        if self.flaw == Some(Flaw::UnknownIsRetried) && answer == Some(Ok(Heard::Unknown)) {
            answer = member.ask(ask(&kv, key, question)).await;
        }
        let mut heard = match answer {
            Some(Ok(heard)) => heard,
            Some(Err(wrong)) => {
                self.cluster.alarm(format!("{question:?}: {wrong}"));
                Heard::Unknown
            }
            None => Heard::Nothing,
        };
        if self.flaw == Some(Flaw::UnknownIsNotDone) && heard == Heard::Unknown {
            heard = Heard::NotDone;
        }
        self.history().end(call, heard.clone());
        heard
    }

    /// Asks for what a member itself knows, and writes it down; one who is trusting, as what the cluster knows.
    pub(crate) async fn look(
        &self,
        member: &Running,
        key: u8,
        question: Question,
        trusting: bool,
    ) -> Heard {
        let call = self.history().begin(key, question);
        let called = Instant::now();
        let mut heard = match member.ask(look(&member.kv, key, question)).await {
            Some(Ok(heard)) => heard,
            Some(Err(wrong)) => {
                self.cluster.alarm(format!("{question:?}: {wrong}"));
                Heard::Nothing
            }
            None => Heard::Nothing,
        };
        self.cluster
            .check(in_time("a local read", called, Duration::ZERO));
        if trusting && let Heard::Local(answer, ..) = heard {
            heard = Heard::Done(answer);
        }
        self.history().end(call, heard.clone());
        heard
    }
}

/// Asks through the handle.
///
/// # Errors
/// What no member may answer.
async fn ask(kv: &KvHandle, key: u8, question: Question) -> Result<Heard, String> {
    let bytes = key_bytes(key);
    let answer = match question {
        Question::Get => kv.get(bytes).await.map(|value| of_value(value.as_ref())),
        Question::List => {
            let part = kv.read_sequence(bytes, 0, usize::MAX).await;
            part.map(|part| of_sequence(&part))
        }
        Question::Change(Change::Set(value)) => {
            let set = kv.set(bytes, value_bytes(value)).await;
            set.map(|_| Ok(Answer::Set))
        }
        Question::Change(Change::CompareAndSet(from, to)) => {
            let expected = (from > 0).then(|| value_bytes(from));
            let outcome = kv.compare_and_set(bytes, expected, Some(value_bytes(to)));
            outcome.await.map(|outcome| match outcome.value {
                CompareAndSet::Set => Ok(Answer::Set),
                CompareAndSet::Different { current } => {
                    word_or_none(current.as_ref()).map(Answer::Different)
                }
            })
        }
        Question::Change(Change::Delete) => kv
            .delete(bytes)
            .await
            .map(|existed| Ok(Answer::Deleted(existed.value))),
        Question::Change(Change::Append(value)) => {
            let place = kv.append(bytes, value_bytes(value)).await;
            place.map(|place| Ok(Answer::Place(place.value)))
        }
        Question::Change(other) => return Err(format!("{other:?} is not asked here")),
    };
    match answer {
        Ok(answer) => Ok(Heard::Done(answer?)),
        Err(KvError::Read(_)) => Ok(Heard::NotDone),
        Err(KvError::Propose(error)) if error.is_definite() => Ok(Heard::NotDone),
        Err(KvError::Propose(_)) => Ok(Heard::Unknown),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks for what the member itself knows.
///
/// # Errors
/// What no member may answer.
async fn look(kv: &KvHandle, key: u8, question: Question) -> Result<Heard, String> {
    let bytes = key_bytes(key);
    let answer = if question == Question::Get {
        let local = kv.get_local(bytes).await;
        local.map(|local| of_local(&local, of_value(local.answer.as_ref())))
    } else {
        let local = kv.read_sequence_local(bytes, 0, usize::MAX).await;
        local.map(|local| of_local(&local, of_sequence(&local.answer)))
    };
    match answer {
        Ok((answer, age, applied)) => Ok(Heard::Local(answer?, age, applied)),
        Err(KvError::Read(_)) => Ok(Heard::NotDone),
        Err(error) => Err(error.to_string()),
    }
}

type LocalAnswer = (Result<Answer, String>, Option<Duration>, Index);

fn of_local<A>(local: &Local<A>, answer: Result<Answer, String>) -> LocalAnswer {
    (answer, local.age, local.applied)
}

fn of_value(value: Option<&Bytes>) -> Result<Answer, String> {
    word_or_none(value).map(Answer::Value)
}

fn of_sequence(part: &SequencePart) -> Result<Answer, String> {
    Listed::of(part).map(Answer::List)
}

pub(crate) fn value_bytes(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_le_bytes())
}

fn word(bytes: &Bytes) -> Result<u64, String> {
    let word = bytes.as_ref().try_into();
    let word = word.map_err(|_| "a value that nobody wrote".to_owned())?;
    Ok(u64::from_le_bytes(word))
}

fn word_or_none(bytes: Option<&Bytes>) -> Result<u64, String> {
    bytes.map_or(Ok(0), word)
}
