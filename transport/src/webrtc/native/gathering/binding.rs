//! Asks a server under which address it sees a socket of ours: the server-reflexive address of ICE (RFC 8489, RFC
//! 8445).
//!
//! It has no socket and no clock: datagrams and the time go in, datagrams and an address come out.

use std::net::SocketAddr;
use std::time::Instant;

use stun_proto::agent::{StunAgent, StunAgentPollRet};
use stun_proto::types::TransportType;
use stun_proto::types::attribute::XorMappedAddress;
use stun_proto::types::message::{BINDING, Message, MessageClass, MessageWriteVec};
use stun_proto::types::prelude::MessageWrite;

use super::{Epoch, OURS, REQUEST_WAIT, REQUEST_WAIT_LAST, REQUEST_WAIT_MAX, REQUESTS_MAX};

/// What one server says of one socket.
pub(super) struct Binding {
    agent: StunAgent,
    server: SocketAddr,
    epoch: Epoch,
    stage: Stage,
    asked: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server has not answered yet. What it answered before still counts.
    Asking {
        due: Instant,
    },
    Known(SocketAddr),
    /// It did not answer.
    Unknown,
}

impl Binding {
    pub(super) fn new(server: SocketAddr, now: Instant) -> Self {
        Self {
            agent: StunAgent::builder(TransportType::Udp, OURS)
                .remote_addr(server)
                .request_retransmits(
                    REQUEST_WAIT,
                    REQUEST_WAIT_MAX,
                    REQUESTS_MAX,
                    REQUEST_WAIT_LAST,
                )
                .build(),
            server,
            epoch: Epoch(now),
            stage: Stage::Unknown,
            asked: now,
        }
    }

    /// Returns the address, if the server answered the last question.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.stage {
            Stage::Known(address) => Some(address),
            Stage::Asking { .. } | Stage::Unknown => None,
        }
    }

    /// Returns when the server was last asked.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// Asks the server, and returns the request to send to it; `None` while it is being asked.
    pub(super) fn ask(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Stage::Asking { .. } = self.stage {
            return None;
        }
        let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
        let at = self.epoch.at(now);
        let sent = self.agent.send_request(request, self.server, at).ok()?;
        let request = sent.data.to_vec();
        self.asked = now;
        self.stage = Stage::Asking {
            due: now + REQUEST_WAIT,
        };
        Some(request)
    }

    /// Takes a datagram from the server's address. Returns false if it answers no question of ours.
    pub(super) fn on_datagram(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Ok(message) = Message::from_bytes(datagram) else {
            return false;
        };
        let at = self.epoch.at(now);
        if !message.is_response()
            || !self
                .agent
                .handle_stun_message_with_time(&message, self.server, at)
        {
            return false;
        }
        let address = message.attribute::<XorMappedAddress>();
        self.stage = match address.map(|address| address.addr(message.transaction_id())) {
            Ok(address) if message.has_class(MessageClass::Success) && self.may_be(address) => {
                Stage::Known(address)
            }
            _ => Stage::Unknown,
        };
        true
    }

    /// Returns when [`on_time`](Self::on_time) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asking { due } => Some(due),
            Stage::Known(_) | Stage::Unknown => None,
        }
    }

    /// Returns the request if it is to be sent again.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.deadline().is_none_or(|due| due > now) {
            return None;
        }
        let at = self.epoch.at(now);
        let again = self
            .agent
            .poll_transmit(at)
            .map(|again| again.data.to_vec());
        self.stage = match self.agent.poll(at) {
            StunAgentPollRet::WaitUntil(due) => Stage::Asking {
                due: self.epoch.after(due, now),
            },
            StunAgentPollRet::TransactionTimedOut(_)
            | StunAgentPollRet::TransactionCancelled(_) => Stage::Unknown,
        };
        again
    }

    /// Returns false for what is no address of a host that anybody could send to.
    fn may_be(&self, address: SocketAddr) -> bool {
        address.is_ipv4() == self.server.is_ipv4() && is_sendable(address)
    }
}

/// Returns true if a datagram may be sent there.
pub(super) fn is_sendable(address: SocketAddr) -> bool {
    let ip = address.ip();
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}
