//! A transport of the application's own: one UDP socket for each member.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use liferaft::bytes::{Buf, Bytes};
use liferaft::config::Config;
use liferaft::ids::Index;
use liferaft::transport::conformance::{Fixture, check_all};
use liferaft::transport::{DeliveryClass, Event, Frame, SendError};
use liferaft::{
    Configuration, Founding, Kv, KvError, KvHandle, Member, MemoryStorage, ProposeError, ServerId,
    Storage, Transport,
};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, Interval, interval};

use crate::Outcome;

const FRAME_BYTES_MAX: usize = 60_000;
const FRAMES_UNREAD_MAX: usize = 256;
/// A stream has no more under way, so that no buffer of the system overflows, with what that takes beside each frame.
const WINDOW_BYTES: usize = 2 * FRAME_BYTES_MAX;
const OVERHEAD_BYTES: usize = 1024;
/// How often an end says that it is there, and for how long it is believed.
const BEAT: Duration = Duration::from_millis(50);
const SILENCE: Duration = Duration::from_secs(1);

/// The kinds of packets. Each begins with its kind and the numbers of the stream frames that come next both ways.
const HELLO: u8 = 0;
const DATAGRAM: u8 = 1;
const STREAM: u8 = 2;

pub(crate) struct Udp {
    local: ServerId,
    socket: UdpSocket,
    inbox: Receiver<(SocketAddr, Bytes)>,
    peers: Vec<Peer>,
    events: VecDeque<Event>,
    beat: Interval,
}

struct Peer {
    id: ServerId,
    address: SocketAddr,
    /// When it was heard last; `None` while it is down.
    heard: Option<Instant>,
    /// The number of the next stream frame. It begins at the clock, so that a restart repeats none.
    sending: u64,
    receiving: u64,
    /// The lengths of the stream frames that were sent and not acknowledged.
    in_flight: VecDeque<usize>,
}

impl Udp {
    fn new(local: ServerId, socket: UdpSocket, peers: Vec<Peer>) -> io::Result<Self> {
        // Holds up a sender for no longer when the system's buffer is full, and the thread when its end is gone.
        socket.set_write_timeout(Some(Duration::from_millis(1)))?;
        socket.set_read_timeout(Some(SILENCE))?;
        let (unread, inbox) = channel(FRAMES_UNREAD_MAX);
        let receiver = socket.try_clone()?;
        thread::spawn(move || {
            let mut buffer = vec![0; usize::from(u16::MAX)];
            while !unread.is_closed() {
                if let Ok((bytes, from)) = receiver.recv_from(&mut buffer) {
                    let _full = unread.try_send((from, Bytes::copy_from_slice(&buffer[..bytes])));
                }
            }
        });
        let (events, beat) = (VecDeque::new(), interval(BEAT));
        Ok(Self {
            local,
            socket,
            inbox,
            peers,
            events,
            beat,
        })
    }

    fn beat(&mut self) {
        for peer in &mut self.peers {
            let _lost = peer.send(&self.socket, HELLO, &Frame::default());
            if peer
                .heard
                .take_if(|heard| heard.elapsed() > SILENCE)
                .is_some()
            {
                self.events.push_back(Event::PeerDown(peer.id));
            }
        }
    }

    /// Takes a packet; `None` if it is none of ours or comes too late.
    fn receive(&mut self, address: SocketAddr, mut packet: Bytes) -> Option<()> {
        let peer = self.peers.iter_mut().find(|peer| peer.address == address)?;
        let (from, kind) = (peer.id, packet.try_get_u8().ok()?);
        let (number, acknowledged) = (packet.try_get_u64().ok()?, packet.try_get_u64().ok()?);
        if peer.heard.replace(Instant::now()).is_none() {
            peer.receiving = number;
            self.events.push_back(Event::PeerUp(from));
        } else if number > peer.receiving {
            // The frames before it are lost: that stream has ended.
            peer.receiving = number;
            self.events
                .extend([Event::PeerDown(from), Event::PeerUp(from)]);
        }
        while peer.in_flight.len() as u64 > peer.sending.saturating_sub(acknowledged) {
            peer.in_flight.pop_front();
        }
        let class = match kind {
            DATAGRAM => DeliveryClass::Datagram,
            STREAM if number == peer.receiving => {
                peer.receiving += 1;
                let _lost = peer.send(&self.socket, HELLO, &Frame::default());
                DeliveryClass::Stream
            }
            _ => return None,
        };
        self.events.push_back(Event::Frame {
            from,
            class,
            frame: packet.into(),
        });
        Some(())
    }
}

impl Peer {
    fn new(id: ServerId, address: SocketAddr) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        let sending = clock.map_or(0, |since| since.as_micros() as u64);
        Self {
            id,
            address,
            heard: None,
            sending,
            receiving: 0,
            in_flight: VecDeque::new(),
        }
    }

    fn send(&self, socket: &UdpSocket, kind: u8, frame: &Frame) -> io::Result<usize> {
        let (next, expected) = (self.sending.to_be_bytes(), self.receiving.to_be_bytes());
        socket.send_to(
            &[&[kind], &next[..], &expected, &frame.head, &frame.body].concat(),
            self.address,
        )
    }
}

impl Transport for Udp {
    fn local(&self) -> ServerId {
        self.local
    }

    fn frame_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let (bytes, bytes_max) = (frame.len(), FRAME_BYTES_MAX);
        if bytes > bytes_max {
            return Err(SendError::TooLarge { bytes, bytes_max });
        }
        let mut peers = self.peers.iter_mut();
        let peer = peers.find(|peer| peer.id == to && peer.heard.is_some());
        let peer = peer.ok_or(SendError::NoLink(to))?;
        if class == DeliveryClass::Datagram {
            let sent = peer.send(&self.socket, DATAGRAM, &frame);
            return sent.map(|_| ()).map_err(|_| SendError::QueueFull(to));
        }
        let has_room = peer.in_flight.iter().sum::<usize>() + bytes <= WINDOW_BYTES;
        if !has_room || peer.send(&self.socket, STREAM, &frame).is_err() {
            return Err(SendError::QueueFull(to));
        }
        peer.sending += 1;
        peer.in_flight.push_back(bytes + OVERHEAD_BYTES);
        Ok(())
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        while self.events.is_empty() {
            if let Poll::Ready(packet) = self.inbox.poll_recv(context) {
                let Some((address, packet)) = packet else {
                    return Poll::Ready(None);
                };
                self.receive(address, packet);
            } else {
                ready!(self.beat.poll_tick(context));
                self.beat();
            }
        }
        Poll::Ready(self.events.pop_front())
    }
}

/// Ends on free ports, each of which knows the others.
pub(crate) fn connect(ids: &[ServerId]) -> io::Result<Vec<Udp>> {
    let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let sockets: Vec<_> = ids.iter().map(bind).collect::<io::Result<_>>()?;
    let address = |socket: &UdpSocket| socket.local_addr();
    let addresses: Vec<_> = sockets.iter().map(address).collect::<io::Result<_>>()?;
    let end = |(local, socket)| {
        let all = ids.iter().zip(&addresses);
        let others = all.filter(|(id, _)| **id != local);
        Udp::new(
            local,
            socket,
            others
                .map(|(id, address)| Peer::new(*id, *address))
                .collect(),
        )
    };
    ids.iter().copied().zip(sockets).map(end).collect()
}

struct Loopback;

impl Fixture for Loopback {
    type End = Udp;

    async fn connect(&mut self, ends: usize) -> Vec<Udp> {
        let ids: Vec<_> = (0..ends).map(|_| ServerId::random()).collect();
        connect(&ids).expect("the loopback has free ports")
    }

    fn silence(&self) -> Duration {
        2 * BEAT
    }

    fn unread_bytes_max(&self) -> usize {
        2 * FRAMES_UNREAD_MAX * FRAME_BYTES_MAX
    }
}

#[tokio::test]
async fn the_transport_keeps_what_transports_promise() {
    assert_eq!(check_all(&mut Loopback).await, Ok(()));
}

#[tokio::test]
async fn it_carries_a_cluster_of_three_and_the_death_of_its_leader() -> Outcome {
    let mut disks = [(); 3].map(|()| MemoryStorage::default());
    let ids = disks.each_ref().map(|disk| disk.identity().id());
    let founding = Founding::new(Configuration::of_voters([ids[0]])).within_frames(FRAME_BYTES_MAX);
    founding.found(&mut disks[0]).await?;
    let config = Config::builder()
        .election_timeout(Duration::from_millis(250))
        .limits(|limits| (limits.trailing_entries, limits.catch_up_bytes_max) = (0, 0))
        .build()?;
    let cluster = founding.cluster();
    let member = |(transport, disk): (Udp, MemoryStorage)| {
        let member = Member::builder(Kv::new(), transport, disk);
        member.config(config.clone()).snapshot_after_log_bytes(1)
    };
    let mut ends = connect(&ids)?.into_iter().zip(disks);
    let mut next = || ends.next().expect("there are three");
    let ada = KvHandle::new(member(next()).start().await?);
    let map = vec![7; FRAME_BYTES_MAX / 2];
    for sheet in 0..10_u8 {
        ada.set([sheet], &map).await?;
    }

    let bob = KvHandle::new(member(next()).join(cluster, ids[0]).start().await?);
    let eve = KvHandle::new(member(next()).join(cluster, ids[1]).start().await?);
    bob.raft().joined().await?;
    eve.raft().joined().await?;
    assert!(
        eve.raft().status().borrow().raft.snapshot > Index::ZERO,
        "it came in chunks"
    );
    let longer = bob.set("map", vec![7; FRAME_BYTES_MAX]).await;
    assert!(matches!(
        longer,
        Err(KvError::Propose(ProposeError::TooLarge { .. }))
    ));
    drop(ada);

    bob.set("camp", "hill").await?;
    assert_eq!(eve.get("camp").await?.as_deref(), Some(&b"hill"[..]));
    assert_eq!(eve.get([9]).await?.as_deref(), Some(&map[..]));
    Ok(())
}
