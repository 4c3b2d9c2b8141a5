//! A member in a process of its own, as the demo has it: told what to do by its input, heard by its output.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use liferaft::ids::ClusterId;
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::chronicle::Chronicle;
use super::medium::Carried;
use super::recorder::{Applied, Record, now};
use super::settings::Part;
use super::verify::Outcome;
use super::words::{Contact, Order, Standing, Word};
use crate::child::{Child, Output, Told};

/// What runs such a member: a command of this program that is not for people.
pub(super) const COMMAND: &str = "demo-member";

/// The most orders that wait: whoever has another one waits too.
const ORDERS_MAX: usize = 64;

/// The process of a member.
pub(super) struct Process {
    child: Child,
    contact: Contact,
    orders: Orders,
    /// Ends with the process, and returns what UDP has carried for that.
    listening: JoinHandle<Option<Carried>>,
    /// `None` as long as it does not run.
    pub(super) standing: watch::Receiver<Option<Standing>>,
    pub(super) record: Record,
    started: watch::Receiver<Option<ClusterId>>,
}

/// Tells a member what to do. Clones tell the same one.
#[derive(Clone)]
pub(super) struct Orders {
    queue: mpsc::Sender<Order>,
    unanswered: Arc<Mutex<Unanswered>>,
}

/// What was asked and is not answered.
#[derive(Default)]
struct Unanswered {
    next: u64,
    appends: BTreeMap<u64, oneshot::Sender<Outcome>>,
    reads: BTreeMap<u64, Reading>,
    /// What the process said last, once it has ended.
    ended: Option<String>,
}

struct Reading {
    lines: Vec<Bytes>,
    reader: oneshot::Sender<anyhow::Result<Vec<Bytes>>>,
}

/// What becomes of the words of a member.
struct Ear {
    member: usize,
    chronicle: Chronicle,
    unanswered: Arc<Mutex<Unanswered>>,
    opened: Option<oneshot::Sender<Contact>>,
    started: watch::Sender<Option<ClusterId>>,
    standing: watch::Sender<Option<Standing>>,
    record: watch::Sender<Vec<Applied>>,
}

impl Process {
    /// Starts one, which opens its disk and listens.
    pub(super) async fn open(part: &Part, chronicle: &Chronicle) -> anyhow::Result<Self> {
        let (mut child, output) = Child::start(|command| command.arg(COMMAND))?;
        let input = child.take_input().context("its input is piped")?;
        let (queue, orders) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(pass_on(orders, input));
        let unanswered = Arc::default();
        let (opened, contact) = oneshot::channel();
        let (started, has_started) = watch::channel(None);
        let (standing, stands) = watch::channel(None);
        let (record, reader) = watch::channel(Vec::new());
        let ear = Ear {
            member: part.member,
            chronicle: chronicle.clone(),
            unanswered: Arc::clone(&unanswered),
            opened: Some(opened),
            started,
            standing,
            record,
        };
        let listening = tokio::spawn(ear.listen(output));
        let orders = Orders { queue, unanswered };
        orders.give(Order::Open(part.clone())).await;
        let contact = contact.await;
        let contact = contact.map_err(|_| orders.why_ended(part.member))?;
        Ok(Self {
            child,
            contact,
            orders,
            listening,
            standing: stands,
            record: reader,
            started: has_started,
        })
    }

    pub(super) const fn contact(&self) -> &Contact {
        &self.contact
    }

    pub(super) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Runs the member as this order says. Returns its cluster.
    pub(super) async fn start(&mut self, member: usize, order: Order) -> anyhow::Result<ClusterId> {
        self.orders.give(order).await;
        let started = self.started.wait_for(Option::is_some).await;
        let cluster = started.ok().and_then(|cluster| *cluster);
        cluster.ok_or_else(|| self.orders.why_ended(member))
    }

    /// Kills it, as a power cut would (SIGKILL on Unix), without waiting until it is gone.
    pub(super) fn kill(&mut self) {
        self.child.start_kill();
    }

    /// Ends it by the end of its input, of which this is the last end. Returns when it is gone, and what UDP
    /// has carried for it; `None` if it did not say.
    pub(super) async fn end(self) -> Option<Carried> {
        let Self {
            mut child,
            orders,
            listening,
            ..
        } = self;
        drop(orders);
        child.end().await;
        listening.await.ok()?
    }
}

/// Waits until a member stands so that there is what is wanted, and returns it; `None` if the member has stopped.
pub(super) async fn until<T>(
    standing: &mut watch::Receiver<Option<Standing>>,
    wanted: impl Fn(&Standing) -> Option<T>,
) -> Option<T> {
    let found = |standing: &Option<Standing>| wanted(standing.as_ref()?);
    let standing = standing.wait_for(|now| found(now).is_some()).await.ok()?;
    found(&standing)
}

/// Writes the orders to the input of a process, which ends when nobody gives any.
async fn pass_on(mut orders: mpsc::Receiver<Order>, mut input: ChildStdin) {
    while let Some(order) = orders.recv().await {
        let mut line = serde_json::to_vec(&order).expect("an order is JSON");
        line.push(b'\n');
        if input.write_all(&line).await.is_err() {
            return;
        }
    }
}

impl Orders {
    /// Appends a line.
    pub(super) async fn append(&self, line: Bytes) -> Outcome {
        let line = String::from_utf8_lossy(&line).into_owned();
        let (sender, outcome) = oneshot::channel();
        let request = self.asked(|unanswered, request| {
            unanswered.appends.insert(request, sender);
        });
        self.give(Order::Append { request, line }).await;
        outcome.await.unwrap_or(Outcome::Unknown)
    }

    /// Reads the whole chat.
    pub(super) async fn read(&self) -> anyhow::Result<Vec<Bytes>> {
        let (reader, lines) = oneshot::channel();
        let reading = Reading {
            lines: Vec::new(),
            reader,
        };
        let request = self.asked(|unanswered, request| {
            unanswered.reads.insert(request, reading);
        });
        self.give(Order::Read { request }).await;
        match lines.await {
            Ok(lines) => lines,
            Err(_) => bail!("its process has ended"),
        }
    }

    /// Notes what is asked, under a number of its own. What is asked of a process that has ended is forgotten.
    fn asked(&self, note: impl FnOnce(&mut Unanswered, u64)) -> u64 {
        let mut unanswered = locked(&self.unanswered);
        let request = unanswered.next;
        unanswered.next += 1;
        if unanswered.ended.is_none() {
            note(&mut unanswered, request);
        }
        request
    }

    async fn give(&self, order: Order) {
        // One that has ended does nothing more, which whoever waits for its answer is told.
        let _ended = self.queue.send(order).await;
    }

    fn why_ended(&self, member: usize) -> anyhow::Error {
        let why = locked(&self.unanswered).ended.clone().unwrap_or_default();
        anyhow!("the process of member {} has ended: {why}", member + 1)
    }
}

impl Ear {
    async fn listen(mut self, mut output: Output) -> Option<Carried> {
        let mut last = None;
        loop {
            match output.next().await {
                Told::News(Word::Stopped { carried }) => last = carried,
                Told::News(word) => self.hear(word),
                Told::Ended(why) => {
                    let mut unanswered = locked(&self.unanswered);
                    unanswered.ended = Some(why);
                    unanswered.appends.clear();
                    unanswered.reads.clear();
                    return last;
                }
            }
        }
    }

    fn hear(&mut self, word: Word) {
        let at = now();
        match word {
            Word::Opened { contact } => {
                if let Some(opened) = self.opened.take() {
                    let _gone = opened.send(contact);
                }
            }
            Word::Started { cluster } => {
                self.started.send_replace(Some(cluster));
            }
            Word::Did { deed } => self.chronicle.note(self.member, at, deed),
            Word::Standing { standing } => {
                self.standing.send_replace(Some(standing));
            }
            Word::Applied { lines } => {
                let line = |line: String| Applied {
                    at,
                    line: line.into(),
                };
                self.record
                    .send_modify(|record| record.extend(lines.into_iter().map(line)));
            }
            Word::Restored => {
                self.record.send_replace(Vec::new());
            }
            Word::Appended { request, outcome } => {
                if let Some(writer) = locked(&self.unanswered).appends.remove(&request) {
                    let _gone = writer.send(outcome);
                }
            }
            Word::Read {
                request,
                lines,
                is_last,
            } => {
                let mut unanswered = locked(&self.unanswered);
                if let Some(reading) = unanswered.reads.get_mut(&request) {
                    reading.lines.extend(lines.into_iter().map(Bytes::from));
                }
                if is_last && let Some(reading) = unanswered.reads.remove(&request) {
                    let _gone = reading.reader.send(Ok(reading.lines));
                }
            }
            Word::Unread { request, why } => {
                if let Some(reading) = locked(&self.unanswered).reads.remove(&request) {
                    let _gone = reading.reader.send(Err(anyhow!(why)));
                }
            }
            Word::Stopped { .. } => {}
        }
    }
}

fn locked(unanswered: &Mutex<Unanswered>) -> MutexGuard<'_, Unanswered> {
    unanswered.lock().unwrap_or_else(PoisonError::into_inner)
}
