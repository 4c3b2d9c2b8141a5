//! Gives a gatherer sockets and the time, as a carrier does.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::webrtc::ice_servers::{IceServer, IceServers, IceTransportPolicy};
use crate::webrtc::meter::WebRtcMeter;
use crate::webrtc::native::gathering::asking::ask;
use crate::webrtc::native::gathering::{Gathered, Gatherer, Place, RelayId};

/// How long a test waits for whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long a datagram that has not arrived is sent again.
const SEND_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The number of the socket that connections would share.
const SHARED: usize = 0;

pub(super) struct Shell {
    pub(super) gatherer: Gatherer,
    pub(super) meter: WebRtcMeter,
    /// What it has told, except what it sent and received.
    pub(super) told: Vec<Gathered>,
    /// How often the servers were asked for.
    pub(super) asked: usize,
    servers: Box<dyn FnMut() -> Vec<IceServer>>,
    sockets: BTreeMap<Place, UdpSocket>,
    received: Vec<(SocketAddr, Vec<u8>)>,
    questions: usize,
    /// Somebody may come to what was gathered however late.
    pub(super) is_awaited: bool,
    /// A server was sent a request, and has said nothing since then.
    has_asked: bool,
    /// How far the time is ahead of the clock.
    ahead: Duration,
    /// The length of the last datagram to a server of TURN, in bytes.
    pub(super) last_wrapped_bytes: usize,
}

impl Shell {
    pub(super) fn new(
        policy: IceTransportPolicy,
        servers: impl FnMut() -> Vec<IceServer> + 'static,
    ) -> Self {
        let meter = WebRtcMeter::default();
        Self {
            gatherer: Gatherer::new(policy, meter.clone()),
            meter,
            told: Vec::new(),
            asked: 0,
            servers: Box::new(servers),
            sockets: BTreeMap::from([(Place::Shared(SHARED), socket())]),
            received: Vec::new(),
            questions: 0,
            is_awaited: false,
            has_asked: false,
            ahead: Duration::ZERO,
            last_wrapped_bytes: 0,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.sockets[&Place::Shared(SHARED)].local_addr().unwrap()
    }

    pub(super) fn gather(&mut self) {
        let mut out = Vec::new();
        self.gatherer.gather(SHARED, self.now(), &mut out);
        self.carry_out(out);
    }

    pub(super) fn close(&mut self) {
        let mut out = Vec::new();
        self.gatherer.close(self.now(), &mut out);
        self.carry_out(out);
    }

    pub(super) fn permit(&mut self, host: IpAddr) {
        let (relay, _) = self.relay().expect("there is a relay");
        let mut out = Vec::new();
        self.gatherer.permit(relay, host, self.now(), &mut out);
        self.carry_out(out);
    }

    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        let Some((relay, _)) = self.relay() else {
            return;
        };
        let mut out = Vec::new();
        let now = self.now();
        self.gatherer.send(relay, to, datagram, now, &mut out);
        self.carry_out(out);
    }

    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// Lets a time pass without waiting for it. What is due meanwhile is done, and servers answer it.
    pub(super) async fn let_pass(&mut self, time: Duration) {
        let until = self.now() + time;
        while let Some(deadline) = self.gatherer.deadline().filter(|due| *due <= until) {
            self.ahead += deadline.saturating_duration_since(self.now());
            self.step().await;
            while self.has_asked {
                let answer = timeout(PATIENCE, self.receive()).await;
                let out = self.take(answer.expect("the server answers"));
                self.carry_out(out);
            }
        }
        self.ahead += until.saturating_duration_since(self.now());
    }

    /// Waits for the address under which a server sees the shared socket.
    pub(super) async fn reflexive(&mut self) -> SocketAddr {
        self.until(|end| {
            end.told.iter().find_map(|told| match told {
                Gathered::Reflexive { address, .. } => Some(*address),
                _ => None,
            })
        })
        .await
    }

    /// Waits for a relayed address.
    pub(super) async fn relayed(&mut self) -> SocketAddr {
        self.until(|end| end.relay().map(|(_, address)| address))
            .await
    }

    /// Waits until a relayed address is lost, and for the next.
    pub(super) async fn relayed_again(&mut self) -> SocketAddr {
        self.until(Self::is_lost).await;
        self.relayed().await
    }

    /// Waits until a relay is lost.
    pub(super) fn is_lost(&self) -> Option<()> {
        let is_lost = |told: &Gathered| matches!(told, Gathered::Lost { .. });
        self.told.iter().any(is_lost).then_some(())
    }

    /// Sends datagrams both ways until all of them have arrived: this end and the other are reached by these addresses.
    pub(super) async fn exchange(
        &mut self,
        other: &mut Self,
        addresses: [SocketAddr; 2],
        count: u8,
    ) {
        let [own, others] = addresses;
        let exchanging = async {
            for number in 0..count {
                let mine = (own, vec![number; 1_200]);
                let theirs = (others, vec![number; 1_200]);
                while !other.received.contains(&mine) || !self.received.contains(&theirs) {
                    self.send(others, &mine.1);
                    other.send(own, &theirs.1);
                    let arriving = async {
                        while !other.received.contains(&mine) || !self.received.contains(&theirs) {
                            tokio::select! {
                                () = self.step() => {}
                                () = other.step() => {}
                            }
                        }
                    };
                    let _late = timeout(SEND_AGAIN_AFTER, arriving).await;
                }
            }
        };
        let exchanged = timeout(PATIENCE, exchanging).await;
        exchanged.expect("all datagrams arrive");
    }

    /// Runs until there is what is looked for.
    pub(super) async fn until<T>(&mut self, find: impl Fn(&Self) -> Option<T>) -> T {
        let finding = async {
            loop {
                if let Some(found) = find(self) {
                    return found;
                }
                self.step().await;
            }
        };
        let found = timeout(PATIENCE, finding).await;
        found.expect("what is waited for happens")
    }

    /// Returns the relay that there is, and its address.
    fn relay(&self) -> Option<(RelayId, SocketAddr)> {
        self.told.iter().rev().find_map(|told| match told {
            Gathered::Relayed { relay, address } => {
                let lost = Gathered::Lost { relay: *relay };
                (!self.told.contains(&lost)).then_some((*relay, *address))
            }
            _ => None,
        })
    }

    /// Answers a question, receives a datagram, or lets the time go on.
    async fn step(&mut self) {
        let mut out = Vec::new();
        if self.questions > 0 {
            let servers = (self.servers)();
            let servers = IceServers::new(move || std::future::ready(servers.clone()));
            let servers = ask(servers, true).await;
            self.questions -= 1;
            self.asked += 1;
            self.gatherer.on_servers(servers, self.now(), &mut out);
            return self.carry_out(out);
        }
        let wait = self.gatherer.deadline().map_or(PATIENCE, |deadline| {
            deadline.saturating_duration_since(self.now())
        });
        match timeout(wait, self.receive()).await {
            Ok(datagram) => out = self.take(datagram),
            Err(_due) => self.gatherer.on_time(self.now(), self.is_awaited, &mut out),
        }
        self.carry_out(out);
    }

    fn take(&mut self, (place, from, datagram): (Place, SocketAddr, Vec<u8>)) -> Vec<Gathered> {
        let mut out = Vec::new();
        let now = self.now();
        self.has_asked = false;
        self.gatherer
            .on_datagram(place, from, &datagram, now, &mut out);
        out
    }

    async fn receive(&mut self) -> (Place, SocketAddr, Vec<u8>) {
        poll_fn(|context| {
            for (place, socket) in &self.sockets {
                let mut bytes = [0; 2_000];
                let mut buffer = ReadBuf::new(&mut bytes);
                if let Poll::Ready(Ok(from)) = socket.poll_recv_from(context, &mut buffer) {
                    return Poll::Ready((*place, from, buffer.filled().to_vec()));
                }
            }
            Poll::Pending
        })
        .await
    }

    fn carry_out(&mut self, out: Vec<Gathered>) {
        for what in out {
            match what {
                Gathered::Ask => self.questions += 1,
                Gathered::Open(relay) => {
                    self.sockets.insert(Place::Relay(relay), socket());
                }
                Gathered::Close(relay) => {
                    // Whatever is answered to it is heard by nobody.
                    self.has_asked = false;
                    self.sockets.remove(&Place::Relay(relay));
                }
                Gathered::Send { by, to, datagram } => {
                    if let Place::Relay(_) = by {
                        self.last_wrapped_bytes = datagram.len();
                    }
                    self.has_asked |= is_request(&datagram);
                    // A socket that was made just now takes it, and whatever else is lost is sent again.
                    let _sent = std_send(&self.sockets[&by], to, &datagram);
                }
                Gathered::Received { from, datagram, .. } => self.received.push((from, datagram)),
                told => self.told.push(told),
            }
        }
    }
}

/// Returns true for a request of STUN or TURN (RFC 8489, section 5), which is answered.
fn is_request(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if *first < 4 && first & 1 == 0 && second & 0x10 == 0)
}

fn socket() -> UdpSocket {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    UdpSocket::from_std(socket).unwrap()
}

/// Sends without asking tokio, which does not yet know of a new socket that it is writable.
fn std_send(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> std::io::Result<usize> {
    socket2::SockRef::from(socket).send_to(datagram, &to.into())
}
