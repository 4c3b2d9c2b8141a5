//! Five members as processes that are killed and paused, and clients that write and read a few keys meanwhile: what
//! they hear has an order that explains it, and nothing acknowledged is lost.
//!
//! It takes 20 seconds, or as many as `LIFERAFT_SOAK_SECONDS` says: `cargo xtask soak`.

#![cfg(unix)]

#[path = "../processes/node.rs"]
#[expect(dead_code, reason = "the tests of single processes use more of it")]
mod node;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use liferaft::driver::Client;
use liferaft::kv::{CompareAndSet, Kv, KvError, KvHandle};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{Endpoint, Identity, Invitation};
use liferaft_sim::linearizability::{Budget, Judgement, Operation, judge};
use liferaft_sim::model::KeyModel;
use liferaft_sim::operation::{Answer, Change, Question};
use rustix::process::{Pid, Signal, kill_process};

use self::node::{Folder, Node, init, join, run};

type Store = KvHandle<Client<Kv>>;
type Asked = Operation<Question, Answer>;

const MEMBERS: usize = 5;
const CLIENTS: u64 = 6;

/// Keys of even numbers hold values.
const KEYS: u64 = 6;

/// Each client asks so often: enough to have calls under way whenever something happens, and few enough to be judged.
const PACE: Duration = Duration::from_millis(10);

/// A call takes at most so long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The log that all append to.
const LOG: &str = "log";

/// What all clients share.
#[derive(Default)]
struct Heard {
    is_over: AtomicBool,
    /// Numbers the calls and returns of all clients as they happen.
    moment: AtomicU64,
    last_value: AtomicU64,
    history: Mutex<Vec<Asked>>,
    /// What was appended, and the place that it was told.
    appended: Mutex<Vec<(u64, u64)>>,
}

impl Heard {
    fn now(&self) -> u64 {
        self.moment.fetch_add(1, Ordering::SeqCst)
    }

    fn fresh(&self) -> u64 {
        self.last_value.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Notes what became of a call. One that certainly was not done says nothing.
    fn note(&self, key: u64, called: u64, input: Question, result: Result<Answer, KvError>) {
        let returned = match result {
            Ok(answer) => Some((self.now(), answer)),
            Err(error) if error.is_definite() || input == Question::Get => return,
            Err(_) => None,
        };
        let asked = Asked {
            key,
            called,
            returned,
            input,
        };
        self.history.lock().expect("nobody panics").push(asked);
    }
}

fn client(invitation: &str) -> Store {
    let invitation: Invitation = invitation.parse().expect("it was just printed");
    let identity = Identity::draw();
    let carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let client = Client::builder(
        identity.clone(),
        Endpoint::new(identity, carrier),
        invitation,
    );
    let client = client.request_timeout(TIMEOUT).start();
    KvHandle::new(client.expect("its transport is its own"))
}

fn number(value: Option<&[u8]>) -> u64 {
    let text = std::str::from_utf8(value.unwrap_or(b"0")).expect("it is text");
    text.parse().expect("it is a number")
}

/// Asks until it is over.
async fn ask(store: Store, seed: u64, heard: Arc<Heard>) {
    let mut pace = tokio::time::interval(PACE);
    let mut known = BTreeMap::new();
    for turn in seed.. {
        pace.tick().await;
        if heard.is_over.load(Ordering::Relaxed) {
            return;
        }
        let key = 2 * (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (2 * KEYS);
        let name = format!("key-{key}");
        let called = heard.now();
        match turn % 4 {
            0 | 1 => {
                let got = store.get(&name).await;
                let got = got.map(|got| number(got.value.as_deref()));
                if let Ok(value) = got {
                    known.insert(key, value);
                }
                heard.note(key, called, Question::Get, got.map(Answer::Value));
            }
            2 => {
                let value = heard.fresh();
                let set = store.set(&name, value.to_string()).await;
                let input = Question::Change(Change::Set(value));
                heard.note(key, called, input, set.map(|_| Answer::Set));
            }
            _ => {
                let (expected, value) = (known.get(&key).copied().unwrap_or(0), heard.fresh());
                let before = (expected > 0).then(|| expected.to_string().into());
                let set = store
                    .compare_and_set(&name, before, value.to_string())
                    .await;
                let input = Question::Change(Change::CompareAndSet(expected, value));
                let answer = set.map(|outcome| match outcome.value {
                    CompareAndSet::Set => Answer::Set,
                    CompareAndSet::Different { current } => {
                        Answer::Different(number(current.as_deref()))
                    }
                });
                heard.note(key, called, input, answer);
            }
        }
        let value = heard.fresh();
        if let Ok(place) = store.append(LOG, value.to_string()).await {
            let mut appended = heard.appended.lock().expect("nobody panics");
            appended.push((place.value, value));
        }
    }
}

/// A member's folder and address, and its process while it runs.
struct Seat {
    folder: String,
    address: String,
    node: Option<Node>,
}

impl Seat {
    fn signal(&self, signal: Signal) {
        let process = &self.node.as_ref().expect("it runs").process.0;
        let id = Pid::from_raw(process.id().try_into().expect("it is small"));
        kill_process(id.expect("it is one"), signal).expect("it runs");
    }

    fn start(&mut self) {
        let arguments = ["node", "--data", &self.folder, "--listen", &self.address];
        self.node = Some(Node::start(&arguments));
    }
}

/// Kills and pauses members, two at a time at most, until the time is over; at the end all run.
fn hurt(seats: &mut [Seat], until: Instant) -> (u32, u32) {
    let (mut kills, mut pauses) = (0, 0);
    let mut turn: usize = 0;
    while Instant::now() < until {
        turn += 1;
        let (one, other) = (turn * 3 % MEMBERS, (turn * 3 + 1 + turn % 4) % MEMBERS);
        // Killed without a word to the others.
        seats[one].node = None;
        kills += 1;
        if turn.is_multiple_of(2) && other != one {
            seats[other].signal(Signal::STOP);
            pauses += 1;
            thread::sleep(Duration::from_millis(1_500));
            seats[other].signal(Signal::CONT);
        } else {
            thread::sleep(Duration::from_millis(500));
        }
        seats[one].start();
        thread::sleep(Duration::from_millis(1_500));
    }
    (kills, pauses)
}

#[test]
fn what_clients_hear_has_an_order_while_members_are_hurt() {
    let seconds = std::env::var("LIFERAFT_SOAK_SECONDS").map(|text| text.parse());
    let seconds = seconds
        .unwrap_or(Ok(20))
        .expect("it is a number of seconds");
    let folder = Folder::new("soak");
    let names = ["ada", "bob", "eve", "sue", "tom"];
    let first = init(&folder.of("ada"));
    let mut addresses = vec![first.address()];
    let (invitation, operator) = (first.invitation(), first.invitation_for("operator"));
    let mut nodes = vec![first];
    for name in &names[1..] {
        let node = join(&folder.of(name), &invitation, name);
        addresses.push(node.address());
        nodes.push(node);
    }
    nodes[MEMBERS - 1].until_voters(MEMBERS);
    let invited = run(&["members", "--at", &operator, "invite", "writer"]);
    let writer = String::from_utf8(invited.stdout).expect("it is text");
    let seats = names.iter().zip(addresses).zip(nodes);
    let mut seats: Vec<Seat> = seats
        .map(|((name, address), node)| Seat {
            folder: folder.of(name),
            address,
            node: Some(node),
        })
        .collect();

    let heard = Arc::new(Heard::default());
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    let callers: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let _inside = runtime.enter();
            let store = client(writer.trim());
            runtime.spawn(ask(store, seed, Arc::clone(&heard)))
        })
        .collect();
    let (kills, pauses) = hurt(&mut seats, Instant::now() + Duration::from_secs(seconds));
    heard.is_over.store(true, Ordering::Relaxed);
    let log = runtime.block_on(async {
        for caller in callers {
            caller.await.expect("it ends by itself");
        }
        whole_log(&client(writer.trim()).within(node::PATIENCE)).await
    });

    let history = heard.history.lock().expect("nobody panics");
    let unknown = history.iter().filter(|asked| asked.returned.is_none());
    println!(
        "{seconds} s, {kills} kills, {pauses} pauses: {} calls, {} of unknown outcome, {} appended",
        history.len(),
        unknown.count(),
        log.len()
    );
    assert_eq!(
        judge::<KeyModel>(&history, Budget::default()),
        Judgement::Linearizable
    );
    for (place, value) in heard.appended.lock().expect("nobody panics").iter() {
        let at = usize::try_from(*place).expect("it is small");
        assert_eq!(log.get(at), Some(value), "acknowledged at {place}");
    }
    let mut once = log.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), log.len(), "each was appended once");
}

/// Reads all that was appended, from the first place on.
async fn whole_log(store: &Store) -> Vec<u64> {
    let mut log = Vec::new();
    loop {
        let part = store.read_sequence(LOG, log.len() as u64, 1_000).await;
        let part = part.expect("a majority is there");
        log.extend(part.values.iter().map(|value| number(Some(value))));
        if part.values.is_empty() || log.len() as u64 >= part.count.len() {
            return log;
        }
    }
}
