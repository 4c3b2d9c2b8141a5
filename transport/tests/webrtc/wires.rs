//! Paths of UDP that a test cuts: each address has another one in front, at which others see it and which
//! passes datagrams on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::UdpSocket;

use crate::ends::socket;

/// What every candidate of this machine begins with in the compact form of a signal. The port follows.
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// The fronts of all addresses.
#[derive(Clone, Default)]
pub(crate) struct Wires(Arc<Mutex<BTreeMap<SocketAddr, Front>>>);

#[derive(Clone)]
struct Front {
    socket: Arc<UdpSocket>,
    is_cut: Arc<AtomicBool>,
}

impl Wires {
    /// Returns a signal in which all addresses are those of fronts.
    pub(crate) fn rewrite(&self, signal: &Bytes) -> Bytes {
        let mut bytes = signal.to_vec();
        for at in 0..bytes.len().saturating_sub(5) {
            if bytes[at..at + 4] == LOOPBACK {
                let port = u16::from_be_bytes([bytes[at + 4], bytes[at + 5]]);
                let front = self.front((LOOPBACK, port).into());
                let port = front.socket.local_addr().expect("it is bound").port();
                bytes[at + 4..at + 6].copy_from_slice(&port.to_be_bytes());
            }
        }
        bytes.into()
    }

    /// Lets nothing through any more. Addresses that are told from here on get other fronts.
    pub(crate) fn cut(&self) {
        let fronts = std::mem::take(&mut *self.0.lock().expect("nobody panics with it"));
        for front in fronts.into_values() {
            front.is_cut.store(true, Ordering::Relaxed);
        }
    }

    fn front(&self, address: SocketAddr) -> Front {
        let mut fronts = self.0.lock().expect("nobody panics with it");
        let front = fronts.entry(address).or_insert_with(|| {
            let bound = std::net::UdpSocket::bind(socket("127.0.0.1:0"));
            let bound = bound.expect("loopback has free ports");
            bound.set_nonblocking(true).expect("it is a socket");
            let front = Front {
                socket: Arc::new(UdpSocket::from_std(bound).expect("there is a runtime")),
                is_cut: Arc::default(),
            };
            tokio::spawn(self.clone().pass(front.clone(), address));
            front
        });
        front.clone()
    }

    /// Passes on what comes to a front, from the front of whoever has sent it.
    async fn pass(self, front: Front, to: SocketAddr) {
        let mut datagram = [0; 2_000];
        // An error is what became of an earlier datagram.
        loop {
            let received = front.socket.recv_from(&mut datagram).await;
            if front.is_cut.load(Ordering::Relaxed) {
                return;
            }
            if let Ok((length, from)) = received {
                let behind = self.front(from);
                let _lost = behind.socket.send_to(&datagram[..length], to).await;
            }
        }
    }
}
