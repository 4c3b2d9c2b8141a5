//! Runs a member in this process for a demo in another one: does what its input says, and tells all that happens.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc as channel;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use liferaft::driver::Handle;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::chronicle::Deed;
use super::here::{self, Acquaintance, Disk, Here, Opened};
use super::medium::Medium;
use super::recorder::{Applied, Record, Recorder};
use super::words::{Order, PAGE_LINES, Standing, Word};
use crate::files;
use crate::runtime::run_in;

/// Orders that have been read and wait.
const ORDERS_MAX: usize = 64;

/// Words that wait to be written. There are no more than the demo has lines, elections and changes of membership, both
/// of which are bounded.
type Words = channel::Sender<Word>;

/// Runs the member until its input ends.
pub(crate) fn run() -> ExitCode {
    match run_in(Builder::new_current_thread(), serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::tell_error(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let (mut orders, (words, writing)) = (read_orders(), write_words());
    let Some(Order::Open(part)) = orders.recv().await else {
        bail!("this is for `liferaft demo --processes`, which says what to do on standard input");
    };
    files::raise_limit();
    let disk = Disk::new(part.folder.clone());
    let medium = Medium::of_processes(part.settings.transport)?;
    let mut opened = Opened::new(&disk, &medium).await?;
    let contact = opened.contact().clone();
    tell(&words, Word::Opened { contact });
    let joins = match orders.recv().await {
        Some(Order::Found) => {
            opened.found().await?;
            None
        }
        Some(Order::Join { invitation }) => Some(Acquaintance::Invited(invitation.parse()?)),
        Some(Order::Return) => None,
        _ => return Ok(()),
    };
    let observed = words.clone();
    let observer = move |_, event: &_| {
        if let Some(deed) = Deed::of(event) {
            tell(&observed, Word::Did { deed });
        }
    };
    let mut here = opened.start(&part, joins, observer).await?;
    let cluster = here.cluster();
    tell(&words, Word::Started { cluster });
    follow(&mut here, &mut orders, &words).await?;
    here.handle().stop().await;
    let carried = here.carried();
    tell(&words, Word::Stopped { carried });
    // A process that ends takes its threads with it.
    let _written = writing.join();
    Ok(())
}

/// Does what is ordered and tells what becomes of the member, until there are no more orders.
async fn follow(
    here: &mut Here,
    orders: &mut mpsc::Receiver<Order>,
    words: &Words,
) -> anyhow::Result<()> {
    let handle = here.handle();
    let (answer, mut answers) = mpsc::channel(ORDERS_MAX);
    let (mut told, mut stood) = (Teller::default(), None);
    let status = &mut here.status;
    let record = &mut here.record;
    status.mark_changed();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => act(order, &handle, &answer),
                None => return Ok(()),
            },
            Some(answered) = answers.recv() => {
                // Whoever reads has been told before of all that was applied before.
                told.tell(record, words);
                for word in answered {
                    tell(words, word);
                }
            }
            changed = status.changed() => {
                changed.context("the member has stopped")?;
                let standing = Standing::of(&status.borrow_and_update());
                if stood.as_ref() != Some(&standing) {
                    stood = Some(standing.clone());
                    tell(words, Word::Standing { standing });
                }
            }
            changed = record.changed() => {
                changed.context("the member has stopped")?;
                told.tell(record, words);
            }
        }
    }
}

/// Does what is ordered, beside all else, and passes on the answer.
fn act(order: Order, handle: &Handle<Recorder>, answer: &mpsc::Sender<Vec<Word>>) {
    let (handle, answer) = (handle.clone(), answer.clone());
    tokio::spawn(async move {
        let answered = match order {
            Order::Append { request, line } => {
                let outcome = here::append(&handle, line.into()).await;
                vec![Word::Appended { request, outcome }]
            }
            Order::Read { request } => match here::read(&handle).await {
                Ok(lines) => pages(request, &lines),
                Err(error) => {
                    let why = format!("{error:#}");
                    vec![Word::Unread { request, why }]
                }
            },
            Order::Open(_) | Order::Found | Order::Join { .. } | Order::Return => return,
        };
        let _ending = answer.send(answered).await;
    });
}

/// A chat, in parts.
fn pages(request: u64, lines: &[Bytes]) -> Vec<Word> {
    let page = |lines: &[Bytes], is_last| Word::Read {
        request,
        lines: lines.iter().map(text).collect(),
        is_last,
    };
    let pages = lines.chunks(PAGE_LINES).map(|lines| page(lines, false));
    pages.chain([page(&[], true)]).collect()
}

/// What was told of what the state machine has applied.
#[derive(Default)]
struct Teller {
    count: usize,
    last: Option<Applied>,
}

impl Teller {
    /// Tells what is new.
    fn tell(&mut self, record: &mut Record, words: &Words) {
        let record = record.borrow_and_update();
        let last = self.count.checked_sub(1);
        if last.is_some_and(|last| record.get(last) != self.last.as_ref()) {
            tell(words, Word::Restored);
            self.count = 0;
        }
        for page in record[self.count..].chunks(PAGE_LINES) {
            let lines = page.iter().map(|applied| text(&applied.line)).collect();
            tell(words, Word::Applied { lines });
        }
        self.count = record.len();
        self.last = record.last().cloned();
    }
}

/// All lines of the demo are text.
fn text(line: &Bytes) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn tell(words: &Words, word: Word) {
    // Whoever does not listen any more ends this process.
    let _gone = words.send(word);
}

/// Reads orders in a thread of its own: it cannot be interrupted, so a runtime would wait for it.
fn read_orders() -> mpsc::Receiver<Order> {
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else {
                return;
            };
            if sender.blocking_send(order).is_err() {
                return;
            }
        }
    });
    orders
}

/// Writes words in a thread of its own, each at once: moments are those at which they are read. The thread ends after
/// the last word.
fn write_words() -> (Words, JoinHandle<()>) {
    let (words, queue) = channel::channel();
    let writing = thread::spawn(move || {
        let mut output = std::io::stdout().lock();
        for word in queue {
            let is_last = matches!(word, Word::Stopped { .. });
            let mut line = serde_json::to_vec(&word).expect("a word is JSON");
            line.push(b'\n');
            let written = output.write_all(&line).and_then(|()| output.flush());
            if written.is_err() || is_last {
                return;
            }
        }
    });
    (words, writing)
}
