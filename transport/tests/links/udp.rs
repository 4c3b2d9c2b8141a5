//! A carrier over UDP: what it takes to write one.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use liferaft_transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path,
};
use liferaft_transport::links::Wanted;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::memory::{connect, endpoint, frames, key};
use crate::world::{DATAGRAM, STREAM};

pub(crate) struct Udp {
    socket: UdpSocket,
    /// The paths that were refused while the system's buffer was full.
    full: BTreeSet<Path>,
}

impl Udp {
    pub(crate) async fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            socket,
            full: BTreeSet::new(),
        })
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        let address = format!("udp:{}", self.socket.local_addr()?).parse();
        Ok(address.expect("a socket address is short"))
    }
}

impl Carrier for Udp {
    fn scheme(&self) -> &str {
        "udp"
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MIN
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let socket: Result<SocketAddr, _> = address.rest().parse();
        socket
            .map(Path::from)
            .map_err(|_| DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, path: &Path, _channel: Channel, packet: Packet) -> Result<(), CarryError> {
        let to = path.socket_address().ok_or(CarryError::Closed)?;
        match self.socket.try_send_to(&packet.into_bytes(), to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full.insert(*path);
                Err(CarryError::Full)
            }
            // Whatever else it is, such as an unreachable host, may pass: the packet is lost.
            _ => Ok(()),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        if !self.full.is_empty() && self.socket.poll_send_ready(context).is_ready() {
            let path = self.full.pop_first();
            return Poll::Ready(path.map(|path| CarrierEvent::Writable { path }));
        }
        let mut packet = BytesMut::zeroed(PACKET_BYTES_MIN);
        let mut buffer = ReadBuf::new(&mut packet);
        // An error is what became of an earlier packet, such as a closed port: the next call tells of another.
        let from = loop {
            if let Ok(from) = ready!(self.socket.poll_recv_from(context, &mut buffer)) {
                break from;
            }
        };
        let length = buffer.filled().len();
        packet.truncate(length);
        Poll::Ready(Some(CarrierEvent::Packet {
            path: Path::from(from),
            channel: Channel::Datagram,
            packet: packet.freeze().into(),
        }))
    }
}

#[tokio::test]
async fn links_over_udp_carry_frames_of_both_classes() -> io::Result<()> {
    let (a, b) = (Udp::bind().await?, Udp::bind().await?);
    let addresses = vec![b.address()?];
    let (mut a, mut b) = (endpoint(1, a), endpoint(2, b));
    let peer = b.local();
    a.want(&[Wanted {
        peer,
        keys: vec![key(2)],
        addresses,
    }]);
    connect(&mut a, &mut b).await;

    let bulk = Bytes::from(vec![7; 1024 * 1024]);
    a.send(peer, STREAM, bulk.clone().into())
        .expect("there is room");
    a.send(peer, DATAGRAM, "hello".into())
        .expect("there is room");
    let arrived = frames(&mut a, &mut b, 2).await;

    assert_eq!(arrived, [Bytes::from_static(b"hello"), bulk]);
    Ok(())
}
