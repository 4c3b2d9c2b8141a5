//! The outbox: for callers who would rather wait than be told that nobody answers.
//!
//! [`Handle::propose`] has a deadline, and what is unknown then stays so. An outbox has none: a command that was pushed
//! waits until it is done, through leader changes, partitions and the absence of its own member, and takes effect
//! exactly once and in order.
//!
//! It has an ordered [session](crate::sessions) of its own. Many commands are under way at once; the session sees to it
//! that each takes effect after the one before, however the network treats them. Only the expiry of that session, after
//! a day of the cluster's time in which it was not heard of, can cost a command, and then its ticket says so.

mod config;
mod error;
mod queue;
mod status;
mod task;
mod ticket;
mod unsettled;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use liferaft_platform as platform;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot, watch};

pub use config::{OnExpiry, OutboxConfig};
pub use error::{FlushError, OpenOutboxError, OutboxCause, OutboxError, PushError};
pub use status::{OutboxEvent, OutboxState, OutboxStatus, PendingCommand, PendingState};
pub use ticket::Ticket;

use self::queue::Queue;
use self::task::{Disk, Task};
use self::unsettled::Room;
use super::handle::Handle;
use super::lanes::{LANE_EVENTS_MAX, LANES_MAX, LaneRequest};
use super::request::Request;
use crate::codec;
use crate::sessions::HEADER_BYTES;
use crate::state_machine::StateMachine;
use crate::storage::outbox::{RecoveredOutbox, StoredCommand};
use crate::time::Instant;

/// What became of a command.
type Outcome<R> = Result<R, OutboxError>;

/// The most events that a slow reader of [`Outbox::events`] may be behind.
const EVENTS_MAX: usize = 1024;

/// Commands that wait until they are done: bounded, in order, exactly once. [`Handle::outbox`] makes one.
///
/// - **Bounded**: by the number of commands and by their bytes. A full outbox refuses ([`push`](Self::push)) or has its
///   caller wait ([`push_when_free`](Self::push_when_free)).
/// - **In order**: a command takes effect after those that were pushed before it, on every schedule. Between two
///   outboxes, or an outbox and [`Handle::propose`], there is no order but that of waiting for a reply.
/// - **Exactly once**: each is sent as often as it takes, under one number of one session.
/// - **Durable with a [store](OutboxConfig::store)**: commands and session position are written together, before
///   anything is sent, so that a restart neither doubles nor loses one. [`Ticket::stored`] says when a command is that
///   safe.
///
/// There are no deadlines. A command waits through leader changes and partitions, and through the removal of its own
/// member until that is added again. Its session lasts for
/// [`ORDERED_SESSION_EXPIRY`](crate::sessions::ORDERED_SESSION_EXPIRY) of the cluster's time after it was used last, or
/// until more than [`SESSIONS_MAX`](crate::sessions::SESSIONS_MAX) others were used since, or until the replies that
/// wait for this member are too heavy ([`SESSION_REPLY_BYTES_MAX`](crate::sessions::SESSION_REPLY_BYTES_MAX)). If it is
/// gone, what may have been sent under it is never sent again: its tickets are told [`OutboxError::Unknown`], or
/// [`OutboxError::NotDone`] where this member has seen that nothing of it was applied. What was never sent takes
/// another session, at once or when the application [resumes](Self::resume), as [`OnExpiry`] says.
///
/// Clones share one outbox, which keeps its member running as a [`Handle`] does. When the last clone is dropped it
/// closes, at once; so it does when the member stops.
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*, liferaft_transport as transport}; }
/// use liferaft::driver::{Member, OutboxConfig};
/// # use liferaft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
/// # use liferaft::storage::{MemoryStorage, Storage};
/// # use liferaft::transport::memory::MemoryNetwork;
/// # #[derive(Default)]
/// # struct Counter(u64);
/// # impl StateMachine for Counter {
/// #     type Command = u64;
/// #     type Reply = u64;
/// #     type Query = ();
/// #     type Answer = u64;
/// #     fn apply(&mut self, _: ApplyContext, add: u64) -> u64 {
/// #         self.0 += add;
/// #         self.0
/// #     }
/// #     fn query(&self, (): ()) -> u64 {
/// #         self.0
/// #     }
/// #     fn snapshot(&self) -> impl Capture {
/// #         let state = self.0;
/// #         move || state.to_be_bytes().to_vec()
/// #     }
/// #     fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
/// #         self.0 = u64::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
/// #         Ok(())
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut storage = MemoryStorage::default();
/// # Member::found(&mut storage).await?;
/// # let transport = MemoryNetwork::new(1).attach(storage.identity().id())?;
/// # let handle = Member::builder(Counter::default(), transport, storage).start().await?;
/// let outbox = handle.outbox(OutboxConfig::default()).await?;
/// let first = outbox.push(&1)?;
/// let second = outbox.push(&2)?;
///
/// assert_eq!(second.await, Ok(3));
/// assert_eq!(first.await, Ok(1));
/// assert!(outbox.pending().is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Outbox<S: StateMachine> {
    owner: Arc<Owner<S>>,
}

/// What the clones share. The task goes when it is dropped.
struct Owner<S: StateMachine> {
    handle: Handle<S>,
    shared: Arc<Shared<S::Reply>>,
    /// For the first who asks for events: nothing that happened before is lost.
    first_reader: Mutex<Option<broadcast::Receiver<OutboxEvent>>>,
    commands_max: usize,
    bytes_max: usize,
}

/// What the clones and the task share.
struct Shared<R> {
    queue: Mutex<Queue<R>>,
    /// Wakes the task.
    wake: Notify,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    status: watch::Sender<OutboxStatus>,
    events: broadcast::Sender<OutboxEvent>,
    /// Why it ends, by whoever knows first: nothing is accepted from here on, though the task may not have come to it.
    ending: OnceLock<OutboxCause>,
    /// There is nobody left to wait for the end.
    abandoned: AtomicBool,
}

impl<S: StateMachine> Handle<S> {
    /// Opens an outbox, and goes on with what its store holds, if it has one.
    ///
    /// # Errors
    /// See [`OpenOutboxError`].
    pub async fn outbox(&self, config: OutboxConfig) -> Result<Outbox<S>, OpenOutboxError> {
        let OutboxConfig {
            commands_max,
            bytes_max,
            on_expiry,
            mut store,
        } = config;
        let recovered = match &mut store {
            Some(store) => store.recover().await?,
            None => RecoveredOutbox::default(),
        };
        // Sent, it would stop every member.
        for StoredCommand { number, command } in &recovered.commands {
            codec::check::<S::Command>(command).map_err(|reason| OpenOutboxError::Undecodable {
                number: *number,
                reason,
            })?;
        }
        let commands = Arc::new(Semaphore::new(commands_max));
        let bytes = Arc::new(Semaphore::new(bytes_max));
        let queue = Queue::new(
            recovered,
            platform::entropy_u128(),
            on_expiry,
            now(),
            // What is stored is taken whole. If there is more of it than of room, it takes all room that there is.
            |length| {
                Some(Room {
                    _command: Arc::clone(&commands).try_acquire_owned().ok()?,
                    _bytes: Arc::clone(&bytes)
                        .try_acquire_many_owned(permits(length.min(bytes.available_permits())))
                        .ok()?,
                })
            },
        );
        let (events, first_reader) = broadcast::channel(EVENTS_MAX);
        let (lane_sender, lane_events) = mpsc::channel(LANE_EVENTS_MAX);
        let (opened, lane) = oneshot::channel();
        let request = LaneRequest::Open {
            nonce: queue.nonce(),
            events: lane_sender,
            opened,
        };
        let requests = self.shared().requests.clone();
        if requests.send(Request::Lane(request)).await.is_err() {
            return Err(OpenOutboxError::Stopped);
        }
        let lane = lane
            .await
            .map_err(|_| OpenOutboxError::Stopped)?
            .ok_or(OpenOutboxError::TooMany(LANES_MAX))?;
        let shared = Arc::new(Shared {
            status: watch::Sender::new(queue.status()),
            queue: Mutex::new(queue),
            wake: Notify::new(),
            commands,
            bytes,
            events,
            ending: OnceLock::new(),
            abandoned: AtomicBool::new(false),
        });
        let task = Task {
            shared: Arc::clone(&shared),
            lane,
            lane_events,
            disk: Disk::new(store),
            requests,
            member: self.status(),
        };
        platform::spawn(task.run());
        Ok(Outbox {
            owner: Arc::new(Owner {
                handle: self.clone(),
                shared,
                first_reader: Mutex::new(Some(first_reader)),
                commands_max,
                bytes_max,
            }),
        })
    }
}

impl<S: StateMachine> Outbox<S> {
    /// The member that it sends through.
    #[must_use]
    pub fn handle(&self) -> &Handle<S> {
        &self.owner.handle
    }

    /// Puts a command behind those that are pending, and returns at once.
    ///
    /// # Errors
    /// See [`PushError`]. The command then was not taken.
    pub fn push(&self, command: &S::Command) -> Result<Ticket<S::Reply>, PushError> {
        let command = self.serialise(command)?;
        let shared = &self.owner.shared;
        let (one, many) = (Arc::clone(&shared.commands), Arc::clone(&shared.bytes));
        let room = one.try_acquire_owned().and_then(|one| {
            let many = many.try_acquire_many_owned(permits(command.len()))?;
            Ok(Room {
                _command: one,
                _bytes: many,
            })
        });
        match room {
            Ok(room) => self.accept(command, room),
            Err(_refused) => Err(self.refusal()),
        }
    }

    /// Puts a command behind those that are pending as soon as there is room. Those who wait for room get it in turn.
    ///
    /// Dropped before it returns, it leaves nothing behind.
    ///
    /// # Errors
    /// As of [`push`](Self::push), but for [`PushError::Full`].
    pub async fn push_when_free(
        &self,
        command: &S::Command,
    ) -> Result<Ticket<S::Reply>, PushError> {
        let command = self.serialise(command)?;
        let shared = &self.owner.shared;
        let one = Arc::clone(&shared.commands).acquire_owned().await;
        let one = one.map_err(|_| self.refusal())?;
        let many = Arc::clone(&shared.bytes).acquire_many_owned(permits(command.len()));
        let many = many.await.map_err(|_| self.refusal())?;
        let room = Room {
            _command: one,
            _bytes: many,
        };
        self.accept(command, room)
    }

    /// The commands that are pending, in order: for a user interface.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingCommand> {
        self.owner.shared.queue().pending(now())
    }

    /// A pending command, by the number of its ticket.
    #[must_use]
    pub fn command(&self, number: u64) -> Option<S::Command> {
        let command = self.owner.shared.queue().command(number)?.clone();
        codec::decode(&command).ok()
    }

    /// Another ticket for a pending command, by its number; so also for what waited in the store.
    #[must_use]
    pub fn ticket(&self, number: u64) -> Option<Ticket<S::Reply>> {
        let shared = &self.owner.shared;
        let outcome = shared.queue().wait_for(number)?;
        Some(Ticket::new(number, outcome, shared.status.subscribe()))
    }

    /// How it is doing, to look at or to wait for a change of.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<OutboxStatus> {
        self.owner.shared.status.subscribe()
    }

    /// What happens from here on; to the first who asks, what has happened since it was opened. A reader who falls too
    /// far behind is told how many it has missed; [`pending`](Self::pending) shows what was given up until the outbox
    /// is resumed.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<OutboxEvent> {
        let mut first = self.owner.first_reader.lock();
        let first = first
            .as_mut()
            .map_or_else(|poisoned| poisoned.get_mut().take(), |first| first.take());
        first.unwrap_or_else(|| self.owner.shared.events.subscribe())
    }

    /// Waits until all that was pushed before is settled: done, or given up under [`OnExpiry::Continue`].
    ///
    /// # Errors
    /// See [`FlushError`]; it does not time out.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let through = self.owner.shared.queue().last();
        let mut status = self.status();
        let is_over = |status: &OutboxStatus| {
            status.settled_through >= through || status.state != OutboxState::Running
        };
        let Ok(status) = status.wait_for(is_over).await else {
            return Err(FlushError::OutboxClosed(OutboxCause::Closed));
        };
        match &status.state {
            _ if status.settled_through >= through => Ok(()),
            OutboxState::Closed(cause) => Err(FlushError::OutboxClosed(cause.clone())),
            OutboxState::Running | OutboxState::Halted => Err(FlushError::Halted),
        }
    }

    /// Forgets the commands that were given up, and goes on with those behind them. Returns whether it had halted.
    pub fn resume(&self) -> bool {
        let shared = &self.owner.shared;
        let resumed = shared.queue().resume();
        shared.wake.notify_one();
        resumed
    }

    /// Ends it, once a write of its store that is under way has ended, and returns what was pending. Tickets are told:
    /// [`OutboxError::Interrupted`] if the store has their command, otherwise whether it was ever sent.
    ///
    /// To have all done first, [`flush`](Self::flush).
    pub async fn close(&self) -> Vec<PendingCommand> {
        self.owner.shared.begin_close();
        let mut status = self.status();
        let is_closed = |status: &OutboxStatus| matches!(status.state, OutboxState::Closed(_));
        // The sender lives in what this shares.
        drop(status.wait_for(is_closed).await);
        self.pending()
    }

    fn serialise(&self, command: &S::Command) -> Result<Bytes, PushError> {
        let command = codec::encode_checked(Vec::new(), command)
            .map_err(|error| PushError::Unserialisable(error.to_string()))?;
        let bytes = command.len() + HEADER_BYTES;
        let longest = self.owner.bytes_max.saturating_add(HEADER_BYTES);
        let bytes_max = self
            .owner
            .handle
            .shared()
            .command_bytes_max
            .max()
            .min(longest);
        if bytes > bytes_max {
            return Err(PushError::TooLarge { bytes, bytes_max });
        }
        Ok(Bytes::from(command))
    }

    fn accept(&self, command: Bytes, room: Room) -> Result<Ticket<S::Reply>, PushError> {
        let shared = &self.owner.shared;
        let (number, outcome) = {
            let mut queue = shared.queue();
            // Under the lock of the queue: what is accepted before it ends is told so.
            if let Some(cause) = self.ending() {
                return Err(PushError::Closed(cause.clone()));
            }
            let number = queue.accept(command, room, now());
            let outcome = queue
                .wait_for(number)
                .expect("what was just accepted is pending");
            (number, outcome)
        };
        shared.wake.notify_one();
        Ok(Ticket::new(number, outcome, shared.status.subscribe()))
    }

    /// Why nothing is accepted any more, if so. A member that has stopped ends its outboxes before any of them comes to
    /// it.
    fn ending(&self) -> Option<&OutboxCause> {
        let shared = &self.owner.shared;
        if self.owner.handle.shared().status.borrow().stopped.is_some() {
            return Some(shared.end(OutboxCause::MemberStopped));
        }
        shared.ending.get()
    }

    fn refusal(&self) -> PushError {
        let queue = self.owner.shared.queue();
        match self.ending() {
            Some(cause) => PushError::Closed(cause.clone()),
            None => PushError::Full {
                pending: queue.len(),
                commands_max: self.owner.commands_max,
                bytes: queue.bytes(),
                bytes_max: self.owner.bytes_max,
            },
        }
    }
}

impl<R: Clone> Shared<R> {
    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        // What panics under this lock is a broken invariant of the queue, and so it is for the next who looks.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what has changed.
    fn publish(&self) {
        let (events, status) = {
            let mut queue = self.queue();
            (queue.take_events(), queue.status())
        };
        for event in events {
            // Nobody may be listening.
            drop(self.events.send(event));
        }
        self.status.send_if_modified(|posted| {
            let changed = *posted != status;
            *posted = status;
            changed
        });
    }

    fn begin_close(&self) {
        self.end(OutboxCause::Closed);
        self.wake.notify_one();
    }

    /// Ends it, and returns why: the first cause stays.
    fn end(&self, cause: OutboxCause) -> &OutboxCause {
        self.ending.get_or_init(|| cause)
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

impl<S: StateMachine> Drop for Owner<S> {
    fn drop(&mut self) {
        self.shared.abandoned.store(true, Ordering::Release);
        self.shared.begin_close();
    }
}

impl<S: StateMachine> Clone for Outbox<S> {
    fn clone(&self) -> Self {
        Self {
            owner: Arc::clone(&self.owner),
        }
    }
}

impl<S: StateMachine> fmt::Debug for Outbox<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("handle", &self.owner.handle)
            .field("status", &*self.owner.shared.status.borrow())
            .finish_non_exhaustive()
    }
}

fn now() -> Instant {
    Instant::from_origin(platform::now())
}

/// Bytes as permits of a semaphore: their bounds make them fit.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
