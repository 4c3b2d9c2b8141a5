//! What is logged, and what is not.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use liferaft_node::driver::{Founding, Handle, Member, ReadError};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ClusterId, ServerId};
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_transport::memory::{Faults, MemoryNetwork, Probability};
use liferaft_transport::{DeliveryClass, Transport};
use tracing_subscriber::fmt::MakeWriter;

const CLUSTER: ClusterId = ClusterId(1);

/// What stands for the users' secrets, in commands, replies, queries, answers and snapshots.
const MARKER: &str = "opensesame";

/// A question that makes the state machine panic, and what it says then.
const TOO_HARD: &str = "what is the answer to everything";

/// Keeps what it was told last.
#[derive(Default)]
struct Secret(String);

impl StateMachine for Secret {
    type Command = String;
    type Reply = String;
    type Query = String;
    type Answer = String;

    fn apply(&mut self, _: ApplyContext, command: String) -> String {
        std::mem::replace(&mut self.0, command)
    }

    fn query(&self, question: String) -> String {
        assert!(question != TOO_HARD, "{TOO_HARD}");
        self.0.clone()
    }

    fn snapshot(&self) -> impl Capture {
        let state = self.0.clone();
        move || state.into_bytes()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.0 = String::from_utf8(state.to_vec()).map_err(RestoreError::new)?;
        Ok(())
    }
}

/// All that was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Logs all that a cluster says while it does what it can: commands from all members, snapshots, a joiner, a change of
/// leader, loss, strangers and nonsense.
async fn an_eventful_life(network: &MemoryNetwork) {
    let voters = Configuration::of_voters([1, 2, 3].map(server));
    let founding = Founding::of(CLUSTER, voters);
    let mut members = Vec::new();
    for number in 1..=3 {
        let mut disk = MemoryStorage::from_seed(number);
        founding.found(&mut disk).await.unwrap();
        members.push(start(network, disk).await);
    }
    for number in 0..200 {
        let member: &Handle<Secret> = &members[number % 3];
        member.propose(format!("{MARKER}{number}")).await.unwrap();
        member.read(MARKER.to_owned()).await.unwrap();
    }
    let answer = members[0].read(TOO_HARD.to_owned()).await;
    assert_eq!(answer, Err(ReadError::Panicked));
    network.set_faults(Faults::none().with_loss(Probability::percent(10)));
    let mut stranger = network.attach(ServerId(66)).unwrap();
    for member in &members {
        let nonsense = MARKER.as_bytes().to_vec().into();
        stranger
            .send(member.id(), DeliveryClass::Datagram, nonsense)
            .unwrap();
    }
    let joiner = start(network, MemoryStorage::from_seed(4)).await;
    members[0].add_server(joiner.id()).await.unwrap();
    members[0]
        .transfer_leadership(Some(joiner.id()))
        .await
        .unwrap();
    joiner.propose(MARKER.to_owned()).await.unwrap();
    network.kill(joiner.id());
    members[1].propose(MARKER.to_owned()).await.unwrap();
    members[1].shutdown().await.unwrap();
}

async fn start(network: &MemoryNetwork, disk: MemoryStorage) -> Handle<Secret> {
    let transport = network.attach(disk.identity().id()).unwrap();
    let member = Member::builder(Secret::default(), transport, disk)
        .cluster(CLUSTER)
        .snapshot_after_log_bytes(2_000);
    member.start().await.unwrap()
}

fn server(number: u64) -> ServerId {
    MemoryStorage::from_seed(number).identity().id()
}

/// The lines of an eventful life, at the finest level.
///
/// What listens does so on all threads of the process, from before the first member starts, and no other test runs
/// here. Were it on one thread only, a member on another could be the first to come to a line or a span, and decide
/// that nobody listens to it.
static LOGGED: LazyLock<String> = LazyLock::new(|| {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .init();
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(an_eventful_life(&MemoryNetwork::new(5)));
    lines.text()
});

#[test]
fn no_line_has_anything_of_a_users_in_it() {
    let spelled_out = MARKER.bytes().map(|byte| byte.to_string());
    let in_numbers = spelled_out.collect::<Vec<_>>().join(", ");
    let in_hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();

    assert!(LOGGED.lines().count() > 50, "much has happened");
    for text in [MARKER, &in_numbers, &in_hex] {
        assert!(!LOGGED.contains(text), "{text} is in the log");
    }
}

#[test]
fn a_query_that_panics_is_logged_with_its_message() {
    let panics: Vec<&str> = LOGGED
        .lines()
        .filter(|line| line.contains(TOO_HARD))
        .collect();

    assert_eq!(panics.len(), 1, "{panics:?}");
    assert!(panics[0].contains("ERROR") && panics[0].contains("index="));
}

#[test]
fn every_line_of_a_member_names_its_server_and_term() {
    let lines = LOGGED.lines().filter(|line| line.contains("liferaft_node"));
    let nameless: Vec<&str> = lines
        .clone()
        .filter(|line| !line.contains("server=") || !line.contains("term="))
        .collect();

    assert!(lines.count() > 50, "much has happened");
    assert_eq!(nameless, [""; 0]);
}
