//! A carrier of the application's own: one UDP socket for each member, and nothing that links do anyway.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use liferaft::bytes::BytesMut;
use liferaft::transport::carrier::{
    Address, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path, Reach,
};
use liferaft::{
    Carrier, Config, Endpoint, Founding, Invitation, Kv, KvHandle, Member, MemoryStorage, Storage,
    Terms,
};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::Outcome;

pub(crate) struct Udp {
    socket: UdpSocket,
    /// The paths that were refused while the system's buffer was full.
    full: BTreeSet<Path>,
}

impl Udp {
    pub(crate) async fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let full = BTreeSet::new();
        Ok(Self { socket, full })
    }

    fn address(&self) -> io::Result<Address> {
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

    fn reach(&self) -> Reach {
        match self.socket.local_addr() {
            Ok(address) if address.ip().is_loopback() => Reach::Machine,
            _ => Reach::Anywhere,
        }
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let socket = address.rest().parse::<SocketAddr>();
        socket
            .map(Path::from)
            .map_err(|_| DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, path: &Path, _: Channel, packet: Packet) -> Result<(), CarryError> {
        let to = path.socket_address().ok_or(CarryError::Closed)?;
        match self.socket.try_send_to(&packet.into_bytes(), to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full.insert(*path);
                Err(CarryError::Full)
            }
            // Whatever else it is, as a host that is not there, may pass: the packet is lost.
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
        // An error tells of an earlier packet, as of one to a closed port.
        let from = loop {
            if let Ok(from) = ready!(self.socket.poll_recv_from(context, &mut buffer)) {
                break from;
            }
        };
        let length = buffer.filled().len();
        packet.truncate(length);
        Poll::Ready(Some(CarrierEvent::Packet {
            path: from.into(),
            channel: Channel::Datagram,
            packet: packet.freeze().into(),
        }))
    }
}

/// Starts a member on a port of its own: one that is invited, or the founder.
async fn start(
    disk: MemoryStorage,
    invitation: Option<Invitation>,
) -> Result<KvHandle, Box<dyn Error>> {
    let udp = Udp::bind().await?;
    let address = udp.address()?;
    let config = Config::builder().election_timeout(Duration::from_millis(250));
    let end = Endpoint::new(disk.identity().clone(), udp);
    let member = Member::builder(Kv::new(), end, disk).config(config.build()?);
    let mut member = member.addresses([address]);
    if let Some(invitation) = invitation {
        member = member.invited(invitation);
    }
    Ok(KvHandle::new(member.start().await?))
}

#[tokio::test]
async fn it_carries_a_closed_cluster_of_three_and_the_death_of_its_leader() -> Outcome {
    let mut disk = MemoryStorage::default();
    let founding = Founding::by(disk.identity()).closed();
    founding.found(&mut disk).await?;
    let ada = start(disk, None).await?;
    let map = vec![7; 300_000];
    ada.set("map", &map).await?;
    let invitation = ada.raft().invite(Terms::membership().with_uses(2)).await?;

    let bob = start(MemoryStorage::default(), Some(invitation.clone())).await?;
    let eve = start(MemoryStorage::default(), Some(invitation)).await?;
    bob.raft().joined().await?;
    eve.raft().joined().await?;
    drop(ada);

    bob.set("camp", "hill").await?;
    assert_eq!(eve.get("camp").await?.as_deref(), Some(&b"hill"[..]));
    assert_eq!(eve.get("map").await?.as_deref(), Some(&map[..]));
    Ok(())
}
