//! The task of an outbox: has written what is to be stored, sends what may be sent, and tells what became of it.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, OptionFuture};
use tokio::sync::{mpsc, watch};

use super::error::OutboxCause;
use super::queue::Order;
use super::{Shared, now};
use crate::driver::lanes::{LaneEvent, LaneId, LaneRequest};
use crate::driver::request::Request;
use crate::driver::status::MemberStatus;
use crate::state_machine::StateMachine;
use crate::storage::StorageError;
use crate::storage::outbox::{OutboxStore, OutboxWrite};

/// The most events of the lane that are taken in at once.
const TAKEN_AT_ONCE_MAX: usize = 256;

pub(super) struct Task<S: StateMachine> {
    pub(super) shared: Arc<Shared<S::Reply>>,
    pub(super) lane: LaneId,
    pub(super) lane_events: mpsc::Receiver<LaneEvent<S::Reply>>,
    pub(super) disk: Disk,
    pub(super) requests: mpsc::Sender<Request<S>>,
    pub(super) member: watch::Receiver<MemberStatus>,
}

/// The store, and the write that is under way there.
pub(super) enum Disk {
    /// There is none: all that is written is written.
    None,
    Idle(Box<dyn OutboxStore>),
    Writing(Writing),
}

type Writing = BoxFuture<'static, (Box<dyn OutboxStore>, Result<(), StorageError>)>;

impl<S: StateMachine> Task<S> {
    /// Works until the outbox is closed or cannot go on.
    pub(super) async fn run(mut self) {
        let durable = !matches!(self.disk, Disk::None);
        let cause = self.work().await;
        // Whoever hears of the end may open the store again.
        self.disk = Disk::None;
        let cause = self.shared.end(cause).clone();
        self.shared.queue().close(cause, durable);
        self.shared.commands.close();
        self.shared.bytes.close();
        self.shared.publish();
    }

    /// Works until there is a cause not to.
    async fn work(&mut self) -> OutboxCause {
        let mut events = Vec::new();
        loop {
            let leader_known = self.member.borrow_and_update().leader().is_some();
            let ending = self.shared.ending.get();
            let waits = matches!(self.disk, Disk::Writing(_)) && !self.shared.is_abandoned();
            match ending {
                Some(cause) if !waits => return cause.clone(),
                Some(_) | None => {}
            }
            if ending.is_none() {
                self.write_next(leader_known);
                if self.send_next(leader_known).await.is_err() {
                    return OutboxCause::MemberStopped;
                }
            }
            self.shared.publish();
            let watches_leader = self.shared.queue().len() > 0;
            tokio::select! {
                biased;
                Some(written) = OptionFuture::from(self.disk.writing()) => {
                    if let Err(cause) = self.on_written(written) {
                        return cause;
                    }
                }
                count = self.lane_events.recv_many(&mut events, TAKEN_AT_ONCE_MAX) => {
                    // The lane goes when the member does.
                    if count == 0 {
                        return OutboxCause::MemberStopped;
                    }
                    let mut queue = self.shared.queue();
                    events.drain(..).for_each(|event| queue.on_lane_event(event));
                }
                () = self.shared.wake.notified() => {}
                Ok(()) = self.member.changed(), if watches_leader => {}
            }
        }
    }

    /// Begins the next write, if there is one and the store is idle.
    fn write_next(&mut self, leader_known: bool) {
        let mut queue = self.shared.queue();
        match std::mem::replace(&mut self.disk, Disk::None) {
            Disk::None => {
                if queue.next_write(leader_known, now()).is_some() {
                    queue.written();
                }
            }
            Disk::Idle(store) => {
                self.disk = match queue.next_write(leader_known, now()) {
                    Some(write) => Disk::Writing(begin(store, write)),
                    None => Disk::Idle(store),
                };
            }
            writing @ Disk::Writing(_) => self.disk = writing,
        }
    }

    fn on_written(
        &mut self,
        (store, result): (Box<dyn OutboxStore>, Result<(), StorageError>),
    ) -> Result<(), OutboxCause> {
        self.disk = Disk::Idle(store);
        result.map_err(|error| {
            tracing::error!(%error, "the store of an outbox failed");
            OutboxCause::Store(error.to_string())
        })?;
        self.shared.queue().written();
        Ok(())
    }

    /// Asks of the lane what is to be asked. An error means that the member has stopped.
    async fn send_next(&mut self, leader_known: bool) -> Result<(), ()> {
        loop {
            let order = self.shared.queue().next_order(leader_known, now());
            let lane = self.lane;
            let request = match order {
                None => return Ok(()),
                Some(Order::Register) => LaneRequest::Register { lane },
                Some(Order::Send {
                    session,
                    first,
                    commands,
                }) => LaneRequest::Send {
                    lane,
                    session,
                    first,
                    commands,
                },
            };
            let sent = self.requests.send(Request::Lane(request)).await;
            sent.map_err(|_stopped| ())?;
        }
    }
}

impl Disk {
    pub(super) fn new(store: Option<Box<dyn OutboxStore>>) -> Self {
        store.map_or(Self::None, Self::Idle)
    }

    fn writing(&mut self) -> Option<&mut Writing> {
        match self {
            Self::Writing(writing) => Some(writing),
            Self::None | Self::Idle(_) => None,
        }
    }
}

fn begin(mut store: Box<dyn OutboxStore>, write: OutboxWrite) -> Writing {
    async move {
        let result = store.write(write).await;
        (store, result)
    }
    .boxed()
}
