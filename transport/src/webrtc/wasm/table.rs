//! Keeps a carrier's connections: who may have one, and how far it has come.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::channel::mpsc;

use super::super::limits::WebRtcLimits;
use super::super::meter::WebRtcMeter;
use super::port::{Fate, Port};
use crate::carrier::{CarrierEvent, CarryError, Channel, Packet, Path};

/// The connections of a carrier. A connection is here from when it is dialed until its task has ended.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: WebRtcLimits,
    pub(super) meter: WebRtcMeter,
    arrivals: mpsc::UnboundedSender<CarrierEvent>,
    /// By the numbers that are their paths.
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    port: Arc<Port>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Open,
    /// Nobody is to be told of it any more.
    Closing,
}

/// A connection as its task has it.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) path: Path,
    pub(super) port: Arc<Port>,
    pub(super) limits: WebRtcLimits,
    pub(super) meter: WebRtcMeter,
    /// What waits for the carrier is bounded by the port.
    arrivals: mpsc::UnboundedSender<CarrierEvent>,
}

impl Table {
    pub(super) fn new(limits: WebRtcLimits, arrivals: mpsc::UnboundedSender<CarrierEvent>) -> Self {
        Self {
            limits,
            meter: WebRtcMeter::default(),
            arrivals,
            connections: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes in a connection that is being dialed, which is an origin of its own. Returns `None` if there are too many.
    pub(super) fn dialed(&mut self) -> Option<End> {
        if self.connections.len() >= self.limits.dialed_max {
            return None;
        }
        let port = Arc::new(Port::new(&self.limits));
        let connection = Connection {
            port: Arc::clone(&port),
            stage: Stage::Opening,
        };
        let path = Path::new(&self.next.to_be_bytes(), &[]);
        self.connections.insert(self.next, connection);
        self.next += 1;
        Some(End {
            path,
            port,
            limits: self.limits,
            meter: self.meter.clone(),
            arrivals: self.arrivals.clone(),
        })
    }

    pub(super) fn send(
        &mut self,
        path: &Path,
        channel: Channel,
        packet: Packet,
    ) -> Result<(), CarryError> {
        let connection = self.connection(path).ok_or(CarryError::Closed)?;
        let sent = match connection.stage {
            Stage::Opening => Err(CarryError::Full),
            Stage::Closing => Err(CarryError::Closed),
            Stage::Open => connection.port.push(channel, packet),
        };
        let tally = self.meter.tally();
        match sent {
            Ok(Fate::Dropped) => tally.datagrams_dropped.add_one(),
            Err(CarryError::Full) if channel == Channel::Ordered => tally.ordered_refused.add_one(),
            _ => {}
        }
        sent.map(drop)
    }

    pub(super) fn close(&mut self, path: &Path) {
        if let Some(connection) = self.connection(path) {
            connection.stage = Stage::Closing;
            connection.port.close();
        }
    }

    pub(super) fn describe(&self, path: &Path) -> Option<String> {
        let connection = self.connections.get(&number_of(path)?)?;
        (connection.stage == Stage::Open)
            .then(|| connection.port.description())
            .flatten()
    }

    /// Takes what the task of a connection tells, and returns what of it is news.
    pub(super) fn take(&mut self, event: CarrierEvent) -> Option<CarrierEvent> {
        let path = event.path()?;
        let number = number_of(path)?;
        let connection = self.connections.get_mut(&number)?;
        let is_news = connection.stage != Stage::Closing;
        match &event {
            CarrierEvent::Opened { .. } if is_news => connection.stage = Stage::Open,
            CarrierEvent::Packet {
                channel, packet, ..
            } => connection.port.on_taken(*channel, packet.len()),
            CarrierEvent::Closed { .. } | CarrierEvent::Unopened { .. } => {
                self.connections.remove(&number);
            }
            _ => {}
        }
        is_news.then_some(event)
    }

    fn connection(&mut self, path: &Path) -> Option<&mut Connection> {
        self.connections.get_mut(&number_of(path)?)
    }
}

/// The tasks tell peers goodbye.
impl Drop for Table {
    fn drop(&mut self) {
        let connections = self.connections.values();
        connections.for_each(|connection| connection.port.close());
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.as_bytes().try_into().ok().map(u64::from_be_bytes)
}

impl End {
    /// Tells the carrier of something.
    pub(super) fn tell(&self, event: CarrierEvent) {
        // A carrier that is gone wants to know nothing.
        let _gone = self.arrivals.unbounded_send(event);
    }
}
