//! Carries packets until its end is severed: what a kill does to a member that shares its process with others.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use liferaft::ids::ServerId;
use liferaft::transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path, Reach,
};

/// A carrier that can be taken away from its member.
pub(super) struct Severable<C> {
    carrier: Shared<C>,
    taken: Taken,
    scheme: String,
    other_schemes: Vec<&'static str>,
    packet_bytes_max: usize,
    reach: Reach,
    is_inside_process: bool,
    is_reliable: bool,
    stream_bytes_max: usize,
}

/// What becomes of the end of a member that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// It falls silent with its sockets open, as a process that is stopped: peers find out by themselves.
    Pause,
    /// Its sockets are closed, as of a process that has ended: peers may be told.
    Close,
    /// It lives on and is cut off: its connections stay as they are, and no packet passes along them, either way.
    Cut,
}

/// Counts the packets that a member has taken: all that it ever hears.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicU64>);

/// Severs a member's end.
pub(super) struct Knife(Box<dyn Fn(Kill) + Send>);

type Shared<C> = Arc<Mutex<State<C>>>;

enum State<C> {
    Works(C),
    Cut(C),
    /// It is kept as it was, and nobody polls it.
    Paused(C),
    Closed,
}

impl<C: Carrier> Severable<C> {
    pub(super) fn new(carrier: C) -> (Self, Knife) {
        let severable = Self {
            scheme: carrier.scheme().to_owned(),
            other_schemes: carrier.other_schemes().to_vec(),
            packet_bytes_max: carrier.packet_bytes_max(),
            reach: carrier.reach(),
            is_inside_process: carrier.is_inside_process(),
            is_reliable: carrier.is_reliable(),
            stream_bytes_max: carrier.stream_bytes_max(),
            taken: Taken::default(),
            carrier: Arc::new(Mutex::new(State::Works(carrier))),
        };
        let shared = Arc::clone(&severable.carrier);
        let knife = Knife(Box::new(move |kill| sever(&shared, kill)));
        (severable, knife)
    }

    pub(super) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Asks the carrier, which is told to be cut off or not, if it is not away.
    fn with_cut<T>(&self, ask: impl FnOnce(&mut C, bool) -> T) -> Option<T> {
        let mut state = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Works(carrier) => Some(ask(carrier, false)),
            State::Cut(carrier) => Some(ask(carrier, true)),
            State::Paused(_) | State::Closed => None,
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&mut C) -> T) -> Option<T> {
        self.with_cut(|carrier, _| ask(carrier))
    }
}

impl Taken {
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Knife {
    /// One that does this.
    pub(super) fn new(sever: impl Fn(Kill) + Send + 'static) -> Self {
        Self(Box::new(sever))
    }

    /// Nothing that the member says from here on gets out. What is paused stays as it is until this is dropped.
    pub(super) fn sever(&self, kill: Kill) {
        (self.0)(kill);
    }
}

fn sever<C>(carrier: &Shared<C>, kill: Kill) {
    let mut state = carrier.lock().unwrap_or_else(PoisonError::into_inner);
    let before = mem::replace(&mut *state, State::Closed);
    match (before, kill) {
        (State::Works(carrier), Kill::Pause) => *state = State::Paused(carrier),
        (State::Works(carrier), Kill::Cut) => *state = State::Cut(carrier),
        (before, _) => {
            drop(state);
            // Its last words are sent without the lock.
            drop(before);
        }
    }
}

impl<C: Carrier> Carrier for Severable<C> {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn other_schemes(&self) -> &[&'static str] {
        &self.other_schemes
    }

    fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn is_inside_process(&self) -> bool {
        self.is_inside_process
    }

    fn is_reliable(&self) -> bool {
        self.is_reliable
    }

    fn stream_bytes_max(&self) -> usize {
        self.stream_bytes_max
    }

    fn introduce(&mut self, local: ServerId) {
        self.with(|carrier| carrier.introduce(local));
    }

    fn on_signal(&mut self, from: ServerId, by: ServerId, signal: Bytes) {
        self.with_cut(|carrier, is_cut| {
            if !is_cut {
                carrier.on_signal(from, by, signal);
            }
        });
    }

    fn on_linked(&mut self, path: &Path) {
        self.with(|carrier| carrier.on_linked(path));
    }

    fn describe(&self, path: &Path) -> Option<String> {
        self.with(|carrier| carrier.describe(path))?
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        self.with(|carrier| carrier.address_of(server))?
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let unreachable = || Err(DialError::BadAddress(address.clone()));
        self.with(|carrier| carrier.dial(address))
            .unwrap_or_else(unreachable)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        let sent = self.with_cut(|carrier, is_cut| match is_cut {
            true => Ok(()),
            false => carrier.send(path, channel, packet),
        });
        sent.unwrap_or(Err(CarryError::Closed))
    }

    fn close(&mut self, path: &Path) {
        self.with(|carrier| carrier.close(path));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        let polled = self.with_cut(|carrier, is_cut| {
            loop {
                match carrier.poll(context) {
                    Poll::Ready(Some(
                        CarrierEvent::Packet { .. } | CarrierEvent::Signal { .. },
                    )) if is_cut => {}
                    polled => return polled,
                }
            }
        });
        if let Some(Poll::Ready(Some(CarrierEvent::Packet { .. }))) = polled {
            self.taken.0.fetch_add(1, Ordering::Relaxed);
        }
        // Nothing ever wakes a member whose carrier is away but the end of its last handle.
        polled.unwrap_or(Poll::Pending)
    }
}
