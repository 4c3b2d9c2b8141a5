//! The hub behind its lock, and the task that delivers what arrives later.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::select;

use super::flights::Flight;
use super::hub::Hub;
use super::inbox::Inbox;
use super::locked;
use crate::SendError;

#[derive(Debug)]
pub(super) struct Shared {
    /// The hub's version, to be read without its lock.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    pump: Pump,
}

/// The one task of a network. It runs from the first frame that arrives later than it is sent until all ends are gone.
#[derive(Debug)]
enum Pump {
    Idle,
    Running,
    /// It sleeps until the time at which the next frame arrives, or for want of frames.
    Asleep(Option<Duration>, Waker),
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            hub: Hub::new(seed),
            pump: Pump::Idle,
        };
        Self {
            version: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    /// What [`Hub::version`] was at some moment of late.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Hub) -> T) -> T {
        read(&locked(&self.state).hub)
    }

    /// Changes what decides how frames travel.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Hub) -> T) -> T {
        self.with(|state| {
            state.hub.version += 1;
            change(&mut state.hub)
        })
    }

    /// Sends a frame, as [`Hub::send`] does. Tells the version for which its answer is good.
    pub(super) fn send(
        self: &Arc<Self>,
        attachment: u64,
        flight: Flight,
    ) -> (Result<Option<Arc<Inbox>>, SendError>, u64) {
        let (sent, version, starts) = self.with(|state| {
            let sent = state.hub.send(attachment, flight);
            let starts = matches!(state.pump, Pump::Idle) && state.hub.flights.next_at().is_some();
            if starts {
                state.pump = Pump::Running;
            }
            (sent, state.hub.version, starts)
        });
        if starts {
            // Outside the lock: a runtime that is shutting down drops the task at once, and it locks when it ends.
            let running = Running {
                shared: Arc::clone(self),
                ended: false,
            };
            liferaft_platform::spawn(pump(running));
        }
        (sent, version)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = locked(&self.state);
        let result = act(&mut state);
        self.version.store(state.hub.version, Ordering::Release);
        state.wake_pump_if_late();
        result
    }
}

impl State {
    fn wake_pump_if_late(&mut self) {
        if let Pump::Asleep(until, waker) = &self.pump
            && (*until != self.hub.flights.next_at() || self.hub.is_deserted())
        {
            waker.wake_by_ref();
        }
    }
}

/// What the pump holds. If its runtime ends before it does, the next late frame starts another.
struct Running {
    shared: Arc<Shared>,
    /// Whether it has said by itself that it ends: the pump that is there by then is another.
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.with(|state| state.pump = Pump::Idle);
        }
    }
}

async fn pump(mut running: Running) {
    let shared = &running.shared;
    while let Some(next_at) = shared.with(deliver) {
        let changed = pin!(changed(shared, next_at));
        match next_at {
            None => changed.await,
            Some(at) => {
                select(pin!(liferaft_platform::sleep_until(at)), changed).await;
            }
        }
    }
    running.ended = true;
}

/// Delivers what has arrived. Returns when the next frame arrives, if one is under way; `None` when all ends are gone.
fn deliver(state: &mut State) -> Option<Option<Duration>> {
    if state.hub.is_deserted() {
        state.pump = Pump::Idle;
        return None;
    }
    state.pump = Pump::Running;
    state.hub.deliver_arrived(liferaft_platform::now());
    Some(state.hub.flights.next_at())
}

/// Waits until another frame is the next, or until all ends are gone.
fn changed(shared: &Shared, next_at: Option<Duration>) -> impl Future<Output = ()> {
    poll_fn(move |context| {
        shared.with(|state| {
            if state.hub.flights.next_at() != next_at || state.hub.is_deserted() {
                return Poll::Ready(());
            }
            state.pump = Pump::Asleep(next_at, context.waker().clone());
            Poll::Pending
        })
    })
}
