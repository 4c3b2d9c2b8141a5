//! Keeps a carrier's connections: who may have one, and how far it has come.

use std::fmt::Display;
use std::sync::Arc;

use futures::SinkExt;
use futures::channel::mpsc;
use liferaft_platform::SortedMap;

use super::limits::WebSocketLimits;
use super::meter::WebSocketMeter;
use super::pipe::{Fate, Pipe};
use crate::carrier::{Address, CarrierEvent, CarryError, Channel, Packet, Path};

/// The connections of a carrier. A connection is here from when it is dialed or accepted until its task has ended.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) limits: WebSocketLimits,
    pub(super) meter: WebSocketMeter,
    arrivals: mpsc::Sender<CarrierEvent>,
    /// By the numbers that end their paths.
    connections: SortedMap<u64, Connection>,
    next: u64,
}

#[derive(Debug)]
struct Connection {
    path: Path,
    pipe: Arc<Pipe>,
    side: Side,
    stage: Stage,
    /// Where the other end is, in words.
    other_end: String,
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

/// A connection as its task has it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) path: Path,
    pub(super) pipe: Arc<Pipe>,
    pub(super) limits: WebSocketLimits,
    pub(super) meter: WebSocketMeter,
    pub(super) arrivals: mpsc::Sender<CarrierEvent>,
}

impl Table {
    pub(super) fn new(limits: WebSocketLimits, arrivals: mpsc::Sender<CarrierEvent>) -> Self {
        Self {
            limits,
            meter: WebSocketMeter::default(),
            arrivals,
            connections: SortedMap::new(),
            next: 0,
        }
    }

    /// Takes in a connection to an address that is being dialed, which is an origin of its own. Returns `None` if there
    /// are too many.
    pub(super) fn dialed(&mut self, address: &Address) -> Option<End> {
        let dialed = self.connections.values();
        let dialed = dialed.filter(|connection| connection.side == Side::Dialed);
        if dialed.count() >= self.limits.dialed_max {
            return None;
        }
        let number = self.next;
        let path = Path::new(&number.to_be_bytes(), &[]);
        Some(self.insert(path, Side::Dialed, format!("to {address}")))
    }

    /// Takes in a connection from an origin, by an address there. Returns `None`, and counts it, if there are too many.
    pub(super) fn accepted(&mut self, origin: &[u8], from: impl Display) -> Option<End> {
        let accepted = self.connections.values();
        let accepted = accepted.filter(|connection| connection.side == Side::Accepted);
        let (mut all, mut of_origin) = (0, 0);
        for connection in accepted {
            all += 1;
            of_origin += usize::from(connection.path.origin() == origin);
        }
        if all >= self.limits.accepted_max || of_origin >= self.limits.accepted_per_origin_max {
            self.meter.on_refused();
            return None;
        }
        self.meter.on_accepted();
        let path = Path::new(origin, &self.next.to_be_bytes());
        Some(self.insert(path, Side::Accepted, format!("from {from}")))
    }

    pub(super) fn send(
        &mut self,
        path: &Path,
        channel: Channel,
        packet: Packet,
    ) -> Result<(), CarryError> {
        let connection = self.connection(path).ok_or(CarryError::Closed)?;
        match connection.stage {
            Stage::Opening => return Err(CarryError::Full),
            Stage::Closing => return Err(CarryError::Closed),
            Stage::Open => {}
        }
        if connection.pipe.push(channel, packet)? == Fate::Dropped {
            self.meter.on_datagram_dropped();
        }
        Ok(())
    }

    /// Closes a connection, once all that waits is sent.
    pub(super) fn close(&mut self, path: &Path) {
        if let Some(connection) = self.connection(path) {
            connection.stage = Stage::Closing;
            connection.pipe.close();
        }
    }

    /// Takes what the task of a connection tells, and returns what of it is news.
    pub(super) fn take(&mut self, event: CarrierEvent) -> Option<CarrierEvent> {
        let path = event.path()?;
        let connection = self.connection(path)?;
        // Of another's connection nobody knows before it is open.
        let is_unknown = (connection.side, connection.stage) == (Side::Accepted, Stage::Opening);
        let is_opened = matches!(event, CarrierEvent::Opened { .. });
        let number = number_of(path);
        let is_news = connection.stage != Stage::Closing && (is_opened || !is_unknown);
        match event {
            CarrierEvent::Opened { .. } if is_news => connection.stage = Stage::Open,
            CarrierEvent::Closed { .. } | CarrierEvent::Unopened { .. } => {
                self.connections.remove(&number);
            }
            _ => {}
        }
        is_news.then_some(event)
    }

    /// Says where the other end of a connection is.
    pub(super) fn describe(&self, path: &Path) -> Option<String> {
        let connection = self.connections.get(&number_of(path))?;
        (connection.path == *path).then(|| connection.other_end.clone())
    }

    fn insert(&mut self, path: Path, side: Side, other_end: String) -> End {
        let pipe = Arc::new(Pipe::new(&self.limits));
        let connection = Connection {
            path,
            pipe: Arc::clone(&pipe),
            side,
            stage: Stage::Opening,
            other_end,
        };
        self.connections.insert(self.next, connection);
        self.next += 1;
        End {
            path,
            pipe,
            limits: self.limits,
            meter: self.meter.clone(),
            arrivals: self.arrivals.clone(),
        }
    }

    fn connection(&mut self, path: &Path) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(&number_of(path));
        connection.filter(|connection| connection.path == *path)
    }
}

/// The tasks go on until what waits is sent, so that peers are told goodbye.
impl Drop for Table {
    fn drop(&mut self) {
        let connections = self.connections.values();
        connections.for_each(|connection| connection.pipe.close());
    }
}

/// Returns the number in the last eight bytes of a path.
fn number_of(path: &Path) -> u64 {
    let number = path.as_bytes().last_chunk().copied();
    u64::from_be_bytes(number.unwrap_or([0xff; 8]))
}

impl End {
    /// Tells the carrier of something, as soon as it has room.
    pub(super) async fn tell(&mut self, event: CarrierEvent) {
        // A carrier that is gone wants to know nothing.
        let _gone = self.arrivals.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(limits: WebSocketLimits) -> Table {
        Table::new(limits, mpsc::channel(8).0)
    }

    fn dial(table: &mut Table) -> Option<End> {
        table.dialed(&"ws://192.0.2.1:80".parse().expect("an address"))
    }

    fn accept(table: &mut Table, origin: &[u8]) -> Option<End> {
        table.accepted(origin, "192.0.2.2:5000")
    }

    fn few() -> WebSocketLimits {
        WebSocketLimits {
            accepted_max: 3,
            accepted_per_origin_max: 2,
            dialed_max: 1,
            ..WebSocketLimits::default()
        }
    }

    #[test]
    fn connections_are_bounded_in_all_and_for_each_origin() {
        let mut table = table(few());

        let taken =
            [b"a", b"a", b"a", b"b", b"c"].map(|origin| accept(&mut table, origin).is_some());
        let dialed = [(); 2].map(|()| dial(&mut table).is_some());

        assert_eq!(taken, [true, true, false, true, false]);
        assert_eq!(dialed, [true, false]);
        let counters = table.meter.read();
        assert_eq!((counters.accepted, counters.refused), (3, 2));
    }

    #[test]
    fn a_connection_that_is_gone_makes_room_for_another() {
        let mut table = table(few());
        let path = dial(&mut table).expect("it is the first").path;

        table.close(&path);
        assert!(dial(&mut table).is_none(), "it is still there");
        assert_eq!(table.take(CarrierEvent::Closed { path }), None);

        assert!(dial(&mut table).is_some());
    }

    #[test]
    fn packets_are_taken_between_opened_and_closed() {
        let mut table = table(few());
        let path = dial(&mut table).expect("it is the first").path;
        let send = |table: &mut Table| table.send(&path, Channel::Ordered, Packet::default());

        assert_eq!(send(&mut table), Err(CarryError::Full));
        let opened = CarrierEvent::Opened {
            path,
            binding: None,
        };
        assert_eq!(table.take(opened.clone()), Some(opened));
        assert_eq!(send(&mut table), Ok(()));
        table.close(&path);
        assert_eq!(send(&mut table), Err(CarryError::Closed));
    }

    #[test]
    fn a_connection_is_described_by_its_other_end() {
        let mut table = table(few());
        let dialed = dial(&mut table).expect("it is the first").path;
        let accepted = accept(&mut table, b"a").expect("there is room").path;

        let told = [dialed, accepted].map(|path| table.describe(&path));

        let expected = ["to ws://192.0.2.1:80", "from 192.0.2.2:5000"];
        assert_eq!(told, expected.map(|text| Some(text.to_owned())));
        assert_eq!(table.describe(&Path::new(b"b", &[0; 8])), None);
    }

    #[test]
    fn a_path_of_another_origin_is_not_the_connection() {
        let mut table = table(few());
        let path = accept(&mut table, b"a").expect("it is the first").path;
        let forged = Path::new(b"b", &path.as_bytes()[1..]);

        let sent = table.send(&forged, Channel::Ordered, Packet::default());

        assert_eq!(sent, Err(CarryError::Closed));
    }
}
