use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use liferaft_node::driver::{Handle, Member, MemberStatus, ProposeError, ReadError, StopReason};
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_transport::memory::{MemoryNetwork, MemoryTransport};
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};
use tokio::sync::watch;

use crate::cluster::{Cluster, ELECTION_TIMEOUT, founder, server};
use crate::hampered::Hampered;
use crate::machine::Journal;

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_shut_down_hands_over_first() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let started = tokio::time::Instant::now();

    cluster.member(leader).shutdown().await.unwrap();
    let follower = cluster.member(cluster.others(&[leader])[0]);
    let reply = follower.propose(1).await;

    assert_eq!(reply, Ok(1));
    assert!(
        started.elapsed() < ELECTION_TIMEOUT,
        "no election timeout had to pass"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_stopped_says_so_and_why() {
    let cluster = Cluster::of(1).await;
    let member = cluster.member(1);

    member.stop().await;

    assert_eq!(member.propose(1).await, Err(ProposeError::Stopped));
    assert_eq!(member.read(()).await, Err(ReadError::Stopped));
    assert_eq!(member.status().borrow().stopped, Some(StopReason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_member_stops_when_its_last_handle_is_dropped() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let mut status = cluster.member(leader).status();

    cluster.kill(leader);

    let stopped = status
        .wait_for(|status| status.stopped.is_some())
        .await
        .unwrap()
        .stopped
        .clone();
    assert_eq!(stopped, Some(StopReason::Dropped));
}

// A stopping member whose handles were all dropped was woken by that without end: it spun until its hand-over was over,
// and on a paused clock for ever.
#[tokio::test(start_paused = true)]
async fn a_shutdown_goes_on_when_nobody_waits_for_it() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let member = cluster.member(leader);
    let mut status = member.status();
    cluster.isolate(leader);

    let caller = tokio::spawn(async move { member.shutdown().await });
    tokio::time::sleep(ELECTION_TIMEOUT / 10).await;
    caller.abort();
    cluster.kill(leader);

    let stopped = status
        .wait_for(|status| status.stopped.is_some())
        .await
        .unwrap()
        .stopped
        .clone();
    assert_eq!(stopped, Some(StopReason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_disk_fails_stops_and_says_so() {
    let mut cluster = Cluster::founded([1]).await;
    let transport = cluster.network.attach(server(1)).unwrap();
    let disk = Hampered::over(cluster.disk(1)).broken();
    let member = cluster
        .start_on(1, Journal::default(), transport, disk, |member| member)
        .await;

    let outcome = member.within(Duration::from_secs(60)).propose(1).await;

    assert!(
        matches!(
            outcome,
            Err(ProposeError::Stopped | ProposeError::Unknown(_))
        ),
        "{outcome:?}"
    );
    let stopped = member.status().borrow().stopped.clone();
    assert!(
        matches!(stopped, Some(StopReason::Storage(_))),
        "{stopped:?}"
    );
}

// The storage was dropped in the member's task, which froze its thread, and with it all that ran there.
#[tokio::test]
async fn a_hanging_disk_holds_nobody_up_when_its_member_stops() {
    for is_broken in [false, true] {
        let mut cluster = Cluster::founded([1]).await;
        let transport = cluster.network.attach(server(1)).unwrap();
        let disk = Hampered::over(cluster.disk(1));
        let disk = if is_broken { disk.broken() } else { disk };
        let (disk, tell, gave_up) = disk.held();
        let gate = Arc::clone(&disk.gate);
        let member = cluster
            .start_on(1, Journal::default(), transport, disk, |member| {
                member.storage_stalls_after(Duration::from_millis(100))
            })
            .await;
        let shut = gate.acquire().await.unwrap();
        let shut = if is_broken {
            drop(shut);
            None
        } else {
            Some(shut)
        };

        let asked = member.within(Duration::from_secs(1)).propose(1).await;
        member.stop().await;
        let held_up = gave_up.load(Ordering::Relaxed);
        drop((tell, shut));

        assert!(asked.is_err(), "{asked:?}");
        assert!(!held_up, "broken: {is_broken}");
        let stopped = member.status().borrow().stopped.clone();
        let expected = matches!(
            (is_broken, &stopped),
            (false, Some(StopReason::Shutdown)) | (true, Some(StopReason::Storage(_)))
        );
        assert!(expected, "{stopped:?}");
    }
}

// The reason was posted once the storage was closed. Callers were told before that the member had stopped, and found
// nothing in its status.
#[tokio::test(start_paused = true)]
async fn whoever_hears_that_a_member_stopped_finds_out_why() {
    let mut cluster = Cluster::founded([1, 2]).await;
    let transport = cluster.network.attach(server(1)).unwrap();
    let disk = Hampered::over(cluster.disk(1)).slow_to_close(ELECTION_TIMEOUT);
    let member = cluster
        .start_on(1, Journal::default(), transport, disk, |member| member)
        .await;
    let why = |member: &Handle<Journal>| member.status().borrow().stopped.clone();

    let asking = tokio::spawn({
        let member = member.within(Duration::from_secs(60));
        async move { (member.read(()).await, why(&member)) }
    });
    tokio::task::yield_now().await;
    let stopping = tokio::spawn({
        let member = member.clone();
        async move { member.stop().await }
    });
    let waiting = asking.await.unwrap();
    let late = (member.propose(1).await, why(&member));

    assert!(!stopping.is_finished(), "the storage is not closed yet");
    assert_eq!(
        waiting,
        (Err(ReadError::Stopped), Some(StopReason::Shutdown))
    );
    assert_eq!(
        late,
        (Err(ProposeError::Stopped), Some(StopReason::Shutdown))
    );
    stopping.await.unwrap();
}

/// A transport that does something whenever it is polled, and drops something with it.
struct Hooked<P, D> {
    inner: MemoryTransport,
    polled: P,
    _dropped: D,
}

impl<P: FnMut() + Send + 'static, D: Send + 'static> Transport for Hooked<P, D> {
    fn local(&self) -> ServerId {
        self.inner.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max()
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        self.inner.send(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        (self.polled)();
        self.inner.poll_event(context)
    }
}

/// A state machine that tells when it is dropped.
struct Mortal(mpsc::Sender<()>);

impl Drop for Mortal {
    fn drop(&mut self) {
        // Nobody may be waiting any more.
        self.0.send(()).ok();
    }
}

impl StateMachine for Mortal {
    type Command = ();
    type Reply = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: ApplyContext, (): ()) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> impl Capture {
        Vec::new
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}

// A runtime that ends drops its tasks one by one. A member that saw its state machine go before itself blamed it of a
// panic.
#[test]
fn a_member_whose_runtime_ends_does_not_blame_the_state_machine() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (hold, told_to_hold) = mpsc::channel();
    let (holds, held) = mpsc::channel();
    let (goes, gone) = mpsc::channel();
    let founder = futures::executor::block_on(founder());
    let network = MemoryNetwork::new(1);
    // Holds up its member, once told to, until the state machine is gone.
    let transport = Hooked {
        inner: network.attach(server(1)).unwrap(),
        polled: move || {
            if told_to_hold.try_recv().is_ok() {
                holds.send(()).unwrap();
                gone.recv().unwrap();
            }
        },
        _dropped: (),
    };
    let member = Member::builder(Mortal(goes), transport, founder);
    let member = runtime.block_on(member.start()).unwrap();
    let mut status = member.status();

    hold.send(()).unwrap();
    let _other = network.attach(server(2)).unwrap();
    held.recv().unwrap();
    runtime.shutdown_background();

    let stopped = futures::executor::block_on(status.wait_for(|status| status.stopped.is_some()));
    assert_eq!(stopped.unwrap().stopped, Some(StopReason::RuntimeEnded));
}

/// Tells, when it is dropped, what the status of its member says.
struct Witness {
    watched: Arc<OnceLock<watch::Receiver<MemberStatus>>>,
    tell: mpsc::Sender<Option<StopReason>>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        let status = self.watched.get().unwrap().borrow();
        self.tell.send(status.stopped.clone()).unwrap();
    }
}

// A runtime that ends drops its tasks, and with them those who wait for an answer before the status.
#[test]
fn a_member_that_goes_with_its_runtime_says_so_first() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let founder = futures::executor::block_on(founder());
    let (tell, told) = mpsc::channel();
    let watched = Arc::new(OnceLock::new());
    let transport = Hooked {
        inner: MemoryNetwork::new(1).attach(server(1)).unwrap(),
        polled: || {},
        _dropped: Witness {
            watched: Arc::clone(&watched),
            tell,
        },
    };
    let member = Member::builder(Journal::default(), transport, founder);
    let member = runtime.block_on(member.start()).unwrap();
    watched.set(member.status()).unwrap();

    drop(runtime);

    assert_eq!(told.recv(), Ok(Some(StopReason::RuntimeEnded)));
}
