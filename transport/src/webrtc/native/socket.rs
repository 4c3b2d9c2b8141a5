//! Sends and receives datagrams of UDP: many connections on one socket.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::super::meter::WebRtcMeter;

/// The longest datagram that is read, in bytes: no end of WebRTC sends a longer one.
const DATAGRAM_BYTES_MAX: usize = 2_000;

/// The kernel's receive buffer that is asked for, in bytes. The system may give less: Linux gives `net.core.rmem_max`.
/// What overruns it is lost, and repaired after a second.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The most datagrams that wait for the system to take them. More are dropped, as on any full queue of a network.
const UNSENT_MAX: usize = 1_024;

/// After so many errors others of this thread have their turn.
const ERRORS_IN_A_ROW_MAX: usize = 16;

/// A socket and what it has not sent.
pub(super) struct Socket {
    udp: UdpSocket,
    pub(super) bound: SocketAddr,
    pub(super) purpose: Purpose,
    unsent: VecDeque<(SocketAddr, Vec<u8>)>,
    meter: WebRtcMeter,
    buffer: Box<[u8; DATAGRAM_BYTES_MAX]>,
}

/// What a socket is for. No two connections run between the same two sockets, so that each purpose has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Strangers who know the address are answered, and connections run that are found by signaling.
    Listening,
    /// Listeners are dialed by their addresses.
    Dialing,
    /// Connections run that are found by signaling.
    Signaled,
    /// A server of TURN relays.
    Relayed,
}

impl Socket {
    /// Makes a socket that listens at an address.
    pub(super) fn listening(address: SocketAddr, meter: WebRtcMeter) -> io::Result<Self> {
        Self::bind(address, Purpose::Listening, meter)
    }

    /// Makes a socket that does not listen, by IPv6 and IPv4 or by what of these there is.
    pub(super) fn of_any_port(purpose: Purpose, meter: &WebRtcMeter) -> io::Result<Self> {
        let [v6, v4] = [
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ];
        Self::bind((v6, 0).into(), purpose, meter.clone())
            .or_else(|_| Self::bind((v4, 0).into(), purpose, meter.clone()))
    }

    /// Makes a socket that only this machine reaches.
    pub(super) fn of_this_machine(purpose: Purpose, meter: &WebRtcMeter) -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), purpose, meter.clone())
    }

    fn bind(address: SocketAddr, purpose: Purpose, meter: WebRtcMeter) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        // It serves with the buffer that it has.
        let _less = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        socket.bind(&address.into())?;
        let udp = UdpSocket::from_std(socket.into())?;
        Ok(Self {
            bound: udp.local_addr()?,
            udp,
            purpose,
            unsent: VecDeque::new(),
            meter,
            buffer: Box::new([0; DATAGRAM_BYTES_MAX]),
        })
    }

    /// Returns true if the socket reaches hosts with addresses of this kind.
    pub(super) fn reaches(&self, ip: IpAddr) -> bool {
        self.bound.is_ipv6() || ip.is_ipv4()
    }

    /// Sends a datagram, or keeps it until the system takes it.
    pub(super) fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.unsent.is_empty() && self.try_send(to, &datagram) {
            return;
        }
        if self.unsent.len() < UNSENT_MAX {
            self.unsent.push_back((to, datagram));
        } else {
            self.meter.tally().udp_unsent.add_one();
        }
    }

    /// Returns true if datagrams wait for the system to take them.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what waits, as soon as the system takes it.
    pub(super) fn poll_unsent(&mut self, context: &mut Context<'_>) {
        while let Some((to, datagram)) = self.unsent.front() {
            if self.try_send(*to, datagram) {
                self.unsent.pop_front();
            } else if self.udp.poll_send_ready(context).is_pending() {
                return;
            }
        }
    }

    /// Receives a datagram, and returns it with where it came from.
    pub(super) fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<(SocketAddr, &[u8])> {
        let mut buffer = ReadBuf::new(&mut self.buffer[..]);
        for _ in 0..ERRORS_IN_A_ROW_MAX {
            // An error is what became of an earlier datagram, such as a closed port: the next call tells of another.
            if let Ok(from) = ready!(self.udp.poll_recv_from(context, &mut buffer)) {
                let length = buffer.filled().len();
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                return Poll::Ready((from, &self.buffer[..length]));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns false if the system takes nothing for now.
    fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> bool {
        let to = match (to.ip(), self.bound.is_ipv6()) {
            (IpAddr::V4(ip), true) => (ip.to_ipv6_mapped(), to.port()).into(),
            _ => to,
        };
        match self.udp.try_send_to(datagram, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // Whatever else it is, such as an unreachable host, may pass: the datagram is lost.
            Err(error) => tracing::debug!(%to, %error, "a datagram was not sent"),
            Ok(_) => self.meter.tally().udp_sent.add_one(),
        }
        true
    }
}
