//! Keeps a carrier's connections: who may have one, how far it has come, and the task that it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::channel::mpsc;

use super::super::limits::WebRtcLimits;
use super::super::meter::WebRtcMeter;
use super::super::negotiation::{Action, MediumEvent};
use super::connection::{Order, Task};
use super::port::{Fate, Port};
use crate::ServerId;
use crate::carrier::{CarrierEvent, CarryError, Channel, Packet, Path};

/// The connections of a carrier. A connection is here from when it is dialed or offered until its task has ended.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: WebRtcLimits,
    pub(super) meter: WebRtcMeter,
    news: mpsc::UnboundedSender<News>,
    /// To whoever runs tasks.
    tasks: mpsc::UnboundedSender<Task>,
    /// By the numbers that end their paths.
    seats: BTreeMap<u64, Seat>,
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
            seats: BTreeMap::new(),
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

    /// Takes a place for a connection that another offers. Returns `None`, and counts it, if there are too many.
    pub(super) fn accept(&mut self, from: ServerId) -> Option<u64> {
        let tally = self.meter.tally();
        if self.count(Side::Accepted) >= self.limits.accepted_max {
            tally.refused.add_one();
            return None;
        }
        tally.accepted.add_one();
        let path = Path::new(&from.0.to_be_bytes(), &self.next.to_be_bytes());
        Some(self.sit(path, Side::Accepted))
    }

    /// Has the task of a connection do something.
    pub(super) fn order(&mut self, number: u64, order: Order) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
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
            self.seats.remove(&number);
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
            CarrierEvent::Opened { .. } if is_news => seat.stage = Stage::Open,
            CarrierEvent::Packet {
                channel, packet, ..
            } => seat.port.on_taken(*channel, packet.len()),
            CarrierEvent::Closed { .. } | CarrierEvent::Unopened { .. } => {
                self.seats.remove(&number);
            }
            _ => {}
        }
        is_news.then_some(event)
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
