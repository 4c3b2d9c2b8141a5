//! Keeps a carrier's connections: who may have one, how far it has come, and the task that it has.

use std::sync::Arc;

use futures::channel::mpsc;
use liferaft_platform::SortedMap;
use liferaft_platform::now;

use super::super::limits::WebRtcLimits;
use super::super::meter::WebRtcMeter;
use super::super::negotiation::{Action, MediumEvent};
use super::super::places::{Claim, Gate, Places};
use super::super::supply::{Purpose, Supply};
use super::connection::{Order, Task};
use super::port::{Fate, Port};
use crate::carrier::{CarrierEvent, CarryError, Channel, Packet, Path};

/// The connections of a carrier. A connection is here from when it is dialed or offered until its task has ended.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: WebRtcLimits,
    pub(super) meter: WebRtcMeter,
    news: mpsc::UnboundedSender<News>,
    /// To whoever runs tasks.
    tasks: mpsc::UnboundedSender<Task>,
    supply: Supply,
    places: Places,
    /// Connections that have lost their places.
    displaced: Vec<u64>,
    /// By the numbers that end their paths.
    seats: SortedMap<u64, Seat>,
    next: u64,
}

#[derive(Debug)]
struct Seat {
    path: Path,
    side: Side,
    stage: Stage,
    port: Arc<Port>,
    orders: mpsc::UnboundedSender<Order>,
    /// The task, while it has nothing to do.
    waiting: Option<Task>,
    /// How many connections of the browser the task was told to make, one in place of the other.
    generation: u64,
    /// One of the browser's connections was taken for it, and is not made yet.
    is_supplied: bool,
    /// A link has come up by it.
    is_proven: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Dialed,
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    /// Nobody is to be told of it any more.
    Closing,
}

/// What tasks tell the carrier.
#[derive(Debug)]
pub(super) enum News {
    Carrier(CarrierEvent),
    Medium {
        number: u64,
        /// Which of its connections tells.
        generation: u64,
        event: MediumEvent,
    },
}

/// A connection as its task has it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) number: u64,
    pub(super) path: Path,
    pub(super) port: Arc<Port>,
    pub(super) limits: WebRtcLimits,
    pub(super) meter: WebRtcMeter,
    /// What waits for the carrier is bounded by the port.
    news: mpsc::UnboundedSender<News>,
}

impl Table {
    pub(super) fn new(
        limits: WebRtcLimits,
        news: mpsc::UnboundedSender<News>,
        tasks: mpsc::UnboundedSender<Task>,
    ) -> Self {
        Self {
            limits,
            meter: WebRtcMeter::default(),
            news,
            tasks,
            supply: Supply::new(now()),
            places: Places::new(limits),
            displaced: Vec::new(),
            seats: SortedMap::new(),
            next: 0,
        }
    }

    /// Takes a place for a connection that is being dialed, which is an origin of its own. Returns `None` if there are
    /// too many.
    pub(super) fn dial(&mut self) -> Option<(u64, Path)> {
        if self.count(Side::Dialed) >= self.limits.dialed_max {
            return None;
        }
        let path = Path::new(&self.next.to_be_bytes(), &[]);
        Some((self.sit(path, Side::Dialed), path))
    }

    /// Takes a place for a connection that another offers, and one of the browser's. Returns `None`, and counts it, if
    /// there is none.
    pub(super) fn admit(&mut self, claim: Claim) -> Option<u64> {
        let purpose = match claim {
            Claim::Peer(_, Gate::Mesh(_) | Gate::Hand) => Purpose::Peer,
            Claim::Peer(..) | Claim::Host(..) => Purpose::Stranger,
        };
        let is_there = self.supply.has(purpose, now());
        let taken = is_there.then(|| self.places.take(self.next, claim, now()));
        if taken != Some(Ok(None)) {
            self.meter.tally().refused.add_one();
        }
        self.displaced.extend(taken?.ok()?);
        self.meter.tally().accepted.add_one();
        let path = Path::new(&claim.origin(), &self.next.to_be_bytes());
        let number = self.sit(path, Side::Accepted);
        if let Some(seat) = self.seats.get_mut(&number) {
            seat.is_supplied = self.supply.take(purpose, now());
        }
        Some(number)
    }

    /// Returns a connection that has lost its place to another, and is to be closed.
    pub(super) fn next_displaced(&mut self) -> Option<u64> {
        self.displaced.pop()
    }

    /// A link has come up by a connection: it was no waste.
    pub(super) fn on_linked(&mut self, path: &Path) {
        let number = self.number_of(path);
        if let Some((number, seat)) =
            number.and_then(|number| Some((number, self.seats.get_mut(&number)?)))
            && !std::mem::replace(&mut seat.is_proven, true)
        {
            self.places.on_proven(number);
            self.supply.give_back();
        }
    }

    /// Has the task of a connection do something. Returns false if it is to make one of the browser's, and too many
    /// have come to nothing.
    pub(super) fn order(&mut self, number: u64, order: Order) -> bool {
        let Some(seat) = self.seats.get_mut(&number) else {
            return true;
        };
        let purpose = match order {
            Order::Reach(_) => Some(Purpose::Listener),
            Order::Do(Action::MakeOffer | Action::TakeOffer(_)) => Some(Purpose::Peer),
            Order::Do(_) => None,
        };
        if let Some(purpose) = purpose
            && !std::mem::take(&mut seat.is_supplied)
            && !self.supply.take(purpose, now())
        {
            return false;
        }
        if let Some(task) = seat.waiting.take() {
            let sent = self.tasks.unbounded_send(task);
            assert!(
                sent.is_ok(),
                "whoever runs tasks lives as long as the carrier"
            );
        }
        if matches!(order, Order::Do(Action::MakeOffer | Action::TakeOffer(_))) {
            seat.generation += 1;
        }
        // A task that has ended has told so.
        let _ended = seat.orders.unbounded_send(order);
        true
    }

    /// Returns true if a connection of the browser is the one that counts.
    pub(super) fn is_current(&self, number: u64, generation: u64) -> bool {
        let seat = self.seats.get(&number);
        seat.is_some_and(|seat| seat.generation == generation)
    }

    /// Returns the number of the connection with a path.
    pub(super) fn number_of(&self, path: &Path) -> Option<u64> {
        let number = path
            .as_bytes()
            .last_chunk()
            .copied()
            .map(u64::from_be_bytes)?;
        (self.seats.get(&number)?.path == *path).then_some(number)
    }

    pub(super) fn send(
        &mut self,
        path: &Path,
        channel: Channel,
        packet: Packet,
    ) -> Result<(), CarryError> {
        let seat = self
            .number_of(path)
            .and_then(|number| self.seats.get(&number));
        let seat = seat.ok_or(CarryError::Closed)?;
        let sent = match seat.stage {
            Stage::Opening => Err(CarryError::Full),
            Stage::Closing => Err(CarryError::Closed),
            Stage::Open => seat.port.push(channel, packet),
        };
        let tally = self.meter.tally();
        match sent {
            Ok(Fate::Dropped) => tally.datagrams_dropped.add_one(),
            Err(CarryError::Full) if channel == Channel::Ordered => tally.ordered_refused.add_one(),
            _ => {}
        }
        sent.map(drop)
    }

    /// Closes a connection. Returns true if links know of it, and would wait for its end to be told.
    pub(super) fn close(&mut self, number: u64) -> bool {
        let Some(seat) = self.seats.get_mut(&number) else {
            return false;
        };
        let is_known = seat.is_known();
        seat.stage = Stage::Closing;
        seat.port.close();
        // Without a task nobody tells that it has ended.
        if seat.waiting.is_some() {
            self.remove(number);
        }
        is_known
    }

    pub(super) fn is_open(&self, number: u64) -> bool {
        let seat = self.seats.get(&number);
        seat.is_some_and(|seat| seat.stage == Stage::Open)
    }

    pub(super) fn path(&self, number: u64) -> Option<Path> {
        self.seats.get(&number).map(|seat| seat.path)
    }

    pub(super) fn describe(&self, path: &Path) -> Option<String> {
        let seat = self.seats.get(&self.number_of(path)?)?;
        let is_open = seat.stage == Stage::Open;
        is_open.then(|| seat.port.description()).flatten()
    }

    /// Takes what the task of a connection tells, and returns what of it is news.
    pub(super) fn take(&mut self, event: CarrierEvent) -> Option<CarrierEvent> {
        let number = self.number_of(event.path()?)?;
        let seat = self.seats.get_mut(&number)?;
        let is_opened = matches!(event, CarrierEvent::Opened { .. });
        let is_news = seat.stage != Stage::Closing && (is_opened || seat.is_known());
        match &event {
            CarrierEvent::Opened { .. } if is_news => {
                seat.stage = Stage::Open;
                self.places.on_open(number, now());
            }
            CarrierEvent::Packet { packet, .. } => {
                seat.port.on_taken(packet.len());
                self.meter.tally().packets_received.add_one();
            }
            CarrierEvent::Closed { .. } | CarrierEvent::Unopened { .. } => self.remove(number),
            _ => {}
        }
        is_news.then_some(event)
    }

    fn remove(&mut self, number: u64) {
        self.places.give_back(number);
        self.seats.remove(&number);
    }

    fn count(&self, side: Side) -> usize {
        let seats = self.seats.values();
        seats.filter(|seat| seat.side == side).count()
    }

    fn sit(&mut self, path: Path, side: Side) -> u64 {
        let number = self.next;
        self.next += 1;
        let port = Arc::new(Port::new(&self.limits));
        let (orders, ordered) = mpsc::unbounded();
        let end = End {
            number,
            path,
            port: Arc::clone(&port),
            limits: self.limits,
            meter: self.meter.clone(),
            news: self.news.clone(),
        };
        let seat = Seat {
            path,
            side,
            stage: Stage::Opening,
            port,
            orders,
            waiting: Some(Task {
                end,
                orders: ordered,
            }),
            generation: 0,
            is_supplied: false,
            is_proven: false,
        };
        self.seats.insert(number, seat);
        number
    }
}

impl Seat {
    /// Of another's connection nobody knows before it is open.
    fn is_known(&self) -> bool {
        match self.stage {
            Stage::Opening => self.side == Side::Dialed,
            Stage::Open => true,
            Stage::Closing => false,
        }
    }
}

/// The tasks tell peers goodbye.
impl Drop for Table {
    fn drop(&mut self) {
        for seat in self.seats.values() {
            seat.port.close();
        }
    }
}

impl End {
    /// Tells the carrier of something.
    pub(super) fn tell(&self, event: CarrierEvent) {
        // A carrier that is gone wants to know nothing.
        let _gone = self.news.unbounded_send(News::Carrier(event));
    }

    /// Tells what the browser has told of a connection.
    pub(super) fn tell_medium(&self, generation: u64, event: MediumEvent) {
        let number = self.number;
        let _gone = self.news.unbounded_send(News::Medium {
            number,
            generation,
            event,
        });
    }
}
