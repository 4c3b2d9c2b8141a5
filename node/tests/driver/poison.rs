//! Commands that serde encodes and does not decode again, queries that panic, and what a later version has said.

use liferaft_node::driver::{
    Handle, MachineFault, Member, OpenOutboxError, OutboxConfig, ProposeError, PushError,
    ReadError, StartError, StopReason, UnknownCause,
};
use liferaft_node::storage::MemoryStorage;
use liferaft_node::storage::outbox::MemoryOutboxStore;
use liferaft_raft::ids::Index;
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_transport::memory::MemoryNetwork;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cluster::{CLUSTER, disk, founder, server};

/// Counts the commands that it applies, of any type, and replies with their number as any type.
struct Tally<C, R = u64> {
    count: u64,
    types: std::marker::PhantomData<fn(C) -> R>,
}

impl<C, R> Default for Tally<C, R> {
    fn default() -> Self {
        Self {
            count: 0,
            types: std::marker::PhantomData,
        }
    }
}

impl<C, R> StateMachine for Tally<C, R>
where
    C: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Clone + Send + Sync + From<u64> + 'static,
{
    type Command = C;
    type Reply = R;
    /// Whether to panic.
    type Query = bool;
    type Answer = u64;

    fn apply(&mut self, _: ApplyContext, _: C) -> R {
        self.count += 1;
        self.count.into()
    }

    fn query(&self, panics: bool) -> u64 {
        assert!(!panics, "a question too hard");
        self.count
    }

    fn snapshot(&self) -> impl Capture {
        let count = self.count;
        move || count.to_be_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.count = u64::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

/// Starts the only member of a cluster, over this disk.
async fn start<S: StateMachine>(
    machine: S,
    disk: &MemoryStorage,
    snapshot_after_log_bytes: u64,
) -> Result<Handle<S>, StartError> {
    let transport = MemoryNetwork::new(1).attach(server(1)).unwrap();
    let member = Member::builder(machine, transport, disk.clone());
    let member = member.snapshot_after_log_bytes(snapshot_after_log_bytes);
    member.start().await
}

/// The only member of its cluster, over this disk. It takes no snapshots.
async fn alone<C>(disk: &MemoryStorage) -> Handle<Tally<C>>
where
    C: Serialize + DeserializeOwned + Send + 'static,
{
    start(Tally::default(), disk, NEVER).await.unwrap()
}

const NEVER: u64 = u64::MAX;
const ALWAYS: u64 = 1;

/// Waits until a member has taken a snapshot, and stops it.
async fn stop_after_snapshot<S: StateMachine>(member: Handle<S>) {
    let mut status = member.status();
    let taken = status.wait_for(|status| status.counters.snapshots_taken > 0);
    taken.await.expect("it runs");
    member.stop().await;
}

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Number(u64),
    Poison(Untagged),
}

/// Which variant it is cannot be told from its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
}

const POISON: Command = Command::Poison(Untagged::Number(1));

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_decode_is_refused_unsent() {
    let member = alone::<Command>(&founder().await).await;

    let poison = member.propose(POISON).await;
    let number = member.propose(Command::Number(1)).await;

    assert!(
        matches!(&poison, Err(error @ ProposeError::Unserialisable(_)) if error.is_definite()),
        "{poison:?}"
    );
    assert_eq!(number, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_outbox_refuses_a_command_that_does_not_decode() {
    let member = alone::<Command>(&founder().await).await;
    let outbox = member.outbox(OutboxConfig::default()).await.unwrap();

    let poison = outbox.push(&POISON).map(drop);
    let waiting = outbox.push_when_free(&POISON).await.map(drop);
    let number = outbox.push(&Command::Number(1)).unwrap();

    for refused in [poison, waiting] {
        assert!(
            matches!(refused, Err(PushError::Unserialisable(_))),
            "{refused:?}"
        );
    }
    assert_eq!(number.await, Ok(1));
}

impl From<u64> for Untagged {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_decode_keeps_no_member_from_starting() {
    let disk = founder().await;
    let machine = Tally::<u64, Untagged>::default;
    let member = start(machine(), &disk, ALWAYS).await.unwrap();
    let reply = member.propose(7).await;
    stop_after_snapshot(member).await;

    let again = start(machine(), &disk, ALWAYS).await.unwrap();

    assert!(matches!(reply, Ok(Untagged::Number(1))), "{reply:?}");
    assert_eq!(again.read(false).await, Ok(1));
}

/// A number that is encoded, and that panics when it is decoded unless it is 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Brittle(u64);

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert_eq!(number, 0, "one number too many");
        Ok(Self(number))
    }
}

impl From<u64> for Brittle {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_panics_when_it_is_decoded_is_refused_unsent() {
    let member = alone::<Brittle>(&founder().await).await;
    let outbox = member.outbox(OutboxConfig::default()).await.unwrap();

    let proposed = member.propose(Brittle(7)).await;
    let pushed = outbox.push(&Brittle(7)).map(drop);

    let told = |text: &str| text.contains("one number too many");
    assert!(
        matches!(&proposed, Err(ProposeError::Unserialisable(why)) if told(why)),
        "{proposed:?}"
    );
    assert!(
        matches!(&pushed, Err(PushError::Unserialisable(why)) if told(why)),
        "{pushed:?}"
    );
    assert_eq!(member.propose(Brittle(0)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_panics_when_it_is_decoded_keeps_no_member_from_starting() {
    let disk = founder().await;
    let machine = Tally::<u64, Brittle>::default;
    let member = start(machine(), &disk, ALWAYS).await.unwrap();
    let reply = member.propose(7).await;
    stop_after_snapshot(member).await;

    let again = start(machine(), &disk, ALWAYS)
        .await
        .map(|again| async move { again.read(false).await });

    assert_eq!(reply, Ok(Brittle(1)));
    assert_eq!(again.expect("it starts").await, Ok(1));
}

/// A list, each element of which is held by the one before.
#[derive(Debug, Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

impl Chain {
    fn of(links: usize) -> Self {
        (0..links).fold(Self::End, |chain, _| Self::Link(Box::new(chain)))
    }
}

/// Whoever proposes has a larger stack than the tasks of members may have, and all members would end over the entry.
#[test]
fn a_command_too_deep_for_the_stacks_of_members_is_refused_unsent() {
    let with_a_large_stack = std::thread::Builder::new().stack_size(64 << 20);
    let proposing = with_a_large_stack.spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let member = alone::<Chain>(&founder().await).await;

            let deep = member.propose(Chain::of(20_000)).await;
            let shallow = member.propose(Chain::of(100)).await;

            assert!(
                matches!(&deep, Err(ProposeError::Unserialisable(why)) if why.contains("too deeply")),
                "{deep:?}"
            );
            assert_eq!(shallow, Ok(1));
        });
    });
    proposing.unwrap().join().unwrap();
}

/// The commands of a later version: those of this one, and one more.
#[derive(Debug, Serialize, Deserialize)]
enum Later {
    Number(u64),
    Clear,
}

/// The commands of this version.
#[derive(Debug, Serialize, Deserialize)]
enum Earlier {
    Number(u64),
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_a_later_version_stops_the_member_by_its_index() {
    let disk = founder().await;
    let later = alone::<Later>(&disk).await;
    later.propose(Later::Number(1)).await.unwrap();
    later.propose(Later::Clear).await.unwrap();
    let index = later.read_local(false).await.unwrap().applied;
    later.stop().await;

    let earlier = alone::<Earlier>(&disk).await;
    let stopped = stop_of(&earlier).await;

    let text = stopped.to_string();
    assert!(
        matches!(&stopped, StopReason::StateMachine(MachineFault::Undecodable { index: at, .. }) if *at == index),
        "{text}"
    );
    assert!(text.contains("::poison::Earlier`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_outbox_of_a_later_version_is_not_opened() {
    let store = MemoryOutboxStore::default();
    let config = || OutboxConfig::default().store(store.clone());
    let transport = MemoryNetwork::new(1).attach(server(1)).unwrap();
    // It was not added to its cluster, so that nothing is sent and all stays in the store.
    let later = Member::builder(Tally::<Later>::default(), transport, disk(1));
    let later = later.cluster(CLUSTER).start().await.unwrap();
    let outbox = later.outbox(config()).await.unwrap();
    let mut number = outbox.push(&Later::Number(1)).unwrap();
    let mut clear = outbox.push(&Later::Clear).unwrap();
    assert!(number.stored().await && clear.stored().await);
    drop((outbox, later));

    let earlier = alone::<Earlier>(&founder().await).await;
    let opened = earlier.outbox(config()).await;

    assert!(
        matches!(opened, Err(OpenOutboxError::Undecodable { number: 2, .. })),
        "{opened:?}"
    );
    assert_eq!(earlier.propose(Earlier::Number(1)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_panics_fails_its_own_read_and_no_other() {
    let member = alone::<u64>(&founder().await).await;
    member.propose(7).await.unwrap();

    let (panics, answers) = futures::join!(member.read(true), member.read(false));
    let local = member.read_local(true).await.map(drop);
    let young = member
        .read_local_within(true, std::time::Duration::ZERO)
        .await
        .map(drop);

    assert_eq!(panics, Err(ReadError::Panicked));
    assert_eq!(answers, Ok(1));
    assert_eq!(local, Err(ReadError::Panicked));
    assert_eq!(young, Err(ReadError::Panicked));
    assert!(!ReadError::Panicked.to_string().contains("too hard"));
    assert_eq!(member.propose(8).await, Ok(2));
}

/// Why a member has stopped, once it has.
async fn stop_of<S: StateMachine>(member: &Handle<S>) -> StopReason {
    let mut status = member.status();
    let stopped = status.wait_for(|status| status.stopped.is_some()).await;
    stopped.unwrap().stopped.clone().unwrap()
}

/// What panics, or says that it failed, at a command or because it is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Panicky {
    ApplyingFrom(Index),
    Advancing,
    Waking,
    Capturing,
    Encoding,
    Restoring,
    Failing,
}

impl StateMachine for Panicky {
    type Command = ();
    type Reply = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, at: ApplyContext, (): ()) {
        let panics = matches!(*self, Self::ApplyingFrom(index) if at.index >= index);
        assert!(!panics, "one command too many");
    }

    fn advance(&mut self, at: ApplyContext) {
        assert!(
            *self != Self::Advancing || at.index < Index(3),
            "one entry too many"
        );
    }

    fn wakes_at(&self) -> Option<liferaft_raft::time::ClusterTime> {
        assert!(*self != Self::Waking, "one wish too many");
        None
    }

    fn failure(&self) -> Option<String> {
        (*self == Self::Failing).then(|| "one failure too many".to_owned())
    }

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> impl Capture {
        assert!(*self != Self::Capturing, "one capture too many");
        let panics = *self == Self::Encoding;
        move || {
            assert!(!panics, "one snapshot too many");
            Vec::new()
        }
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        assert!(*self != Self::Restoring, "one state too many");
        Ok(())
    }
}

/// Why a member has stopped, once its state machine cannot go on.
async fn fault_of(member: &Handle<Panicky>) -> MachineFault {
    match stop_of(member).await {
        StopReason::StateMachine(fault) => fault,
        other => panic!("{other}"),
    }
}

/// Why a member with this state machine has stopped after a command, and what became of that.
async fn fault_after(
    machine: Panicky,
    snapshot_after_log_bytes: u64,
) -> (MachineFault, Result<(), ProposeError>) {
    let disk = founder().await;
    let started = start(machine, &disk, snapshot_after_log_bytes).await;
    let member = started.unwrap();
    let outcome = member.propose(()).await;
    (fault_of(&member).await, outcome)
}

/// Entry 1 is the configuration, 2 the leader's own, 3 registers the session, 4 is the first command.
const FIRST: Index = Index(4);

/// A command that is in the log, and of which its member will learn nothing more.
const UNKNOWN: Result<(), ProposeError> = Err(ProposeError::Unknown(UnknownCause::MemberStopped));

#[tokio::test(start_paused = true)]
async fn a_panic_at_an_entry_stops_the_member_by_its_index() {
    let at = |index, message: &str| MachineFault::Panicked {
        index: Index(index),
        message: message.to_owned(),
    };

    let (applying, applied) = fault_after(Panicky::ApplyingFrom(FIRST), NEVER).await;
    let (advancing, unsent) = fault_after(Panicky::Advancing, NEVER).await;
    let (waking, unread) = fault_after(Panicky::Waking, NEVER).await;

    assert_eq!(applying, at(4, "one command too many"));
    assert_eq!(advancing, at(3, "one entry too many"));
    assert_eq!(waking, at(2, "one wish too many"));
    assert_eq!(applied, UNKNOWN);
    assert_eq!([unsent, unread], [const { Err(ProposeError::Stopped) }; 2]);
    let text = StopReason::StateMachine(applying).to_string();
    assert!(text.contains("entry 4: one command too many"), "{text}");
}

// A command that was applied had an unknown outcome if one that is applied with it stopped the member.
#[tokio::test(start_paused = true)]
async fn what_was_applied_before_a_fault_is_answered() {
    let failing = Panicky::ApplyingFrom(FIRST.next());
    let member = start(failing, &founder().await, NEVER).await.unwrap();

    let outcomes = futures::join!(member.propose(()), member.propose(()), member.propose(()));

    assert_eq!(outcomes, (Ok(()), UNKNOWN, UNKNOWN));
    let message = "one command too many".to_owned();
    let index = FIRST.next();
    assert_eq!(
        fault_of(&member).await,
        MachineFault::Panicked { index, message }
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_a_snapshot_stops_the_member_and_is_told() {
    let of = |fault| match fault {
        MachineFault::Snapshot { through, reason } if through > Index::ZERO => reason,
        other => panic!("{other}"),
    };

    // What becomes of the command depends on how long the capture takes.
    let capturing = of(fault_after(Panicky::Capturing, ALWAYS).await.0);
    let encoding = of(fault_after(Panicky::Encoding, ALWAYS).await.0);

    assert_eq!(capturing, "it panicked: one capture too many");
    assert_eq!(encoding, "it panicked: one snapshot too many");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_says_it_failed_stops_its_member() {
    let message = "one failure too many".to_owned();

    let (applying, outcome) = fault_after(Panicky::Failing, NEVER).await;
    let (capturing, _) = fault_after(Panicky::Failing, ALWAYS).await;

    let index = FIRST;
    assert_eq!(applying, MachineFault::Failed { index, message });
    assert_eq!(outcome, UNKNOWN);
    assert!(
        matches!(&capturing, MachineFault::Snapshot { reason, .. } if reason == "one failure too many"),
        "{capturing}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_that_panics_when_it_is_restored_starts_no_member() {
    let disk = founder().await;
    let member = start(Panicky::Restoring, &disk, ALWAYS).await.unwrap();
    member.propose(()).await.unwrap();
    stop_after_snapshot(member).await;

    let started = start(Panicky::Restoring, &disk, ALWAYS).await.map(drop);

    let text = started.unwrap_err().to_string();
    assert!(text.contains("one state too many"), "{text}");
}
