//! A peer that sends datagrams of its own over UDP.

use std::net::{Ipv4Addr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use liferaft_transport::webrtc::Fingerprint;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use str0m::ice::{StunMessage, TransId};
use tokio::net::UdpSocket;

pub(crate) struct Raw {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Raw {
    pub(crate) async fn new(to: SocketAddr) -> Self {
        Self::on(Ipv4Addr::LOCALHOST, to).await
    }

    /// Sends from another address of this machine.
    pub(crate) async fn on(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from, 0)).await;
        let socket = socket.expect("all of 127.0.0.0/8 is this machine");
        Self { socket, to }
    }

    /// Sends a datagram, and lets others have their turn.
    pub(crate) async fn send(&self, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, self.to).await;
        assert_eq!(sent.ok(), Some(datagram.len()));
        tokio::task::yield_now().await;
    }

    /// Waits for an answer.
    pub(crate) async fn receive(&self) -> Vec<u8> {
        let mut datagram = vec![0; 2_000];
        let received = self.socket.recv(&mut datagram).await;
        datagram.truncate(received.expect("the socket is open"));
        datagram
    }
}

/// Asks a listener for a connection, as whoever dials does, by a name in ICE.
pub(crate) fn binding_request(listener: Fingerprint, ufrag: &str) -> Vec<u8> {
    let (ours, password) = credentials(listener);
    let username = format!("{ours}:{ufrag}");
    let request = StunMessage::binding_request(&username, TransId::new(), true, 7, 1, true);
    let mut datagram = vec![0; 500];
    let length = request.to_bytes(Some(password.as_bytes()), &mut datagram, hmac_sha1);
    datagram.truncate(length.expect("it is short"));
    datagram
}

/// Returns name and password of a listener, by the rule in `docs/webrtc.md`.
fn credentials(listener: Fingerprint) -> (String, String) {
    let digest = Sha256::digest([b"liferaft ICE credentials 1", &listener.0[..]].concat());
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (text[..16].to_owned(), text[16..48].to_owned())
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
