//! Has an address at a server of TURN, and sends and receives through it (RFC 8656).
//!
//! It has no socket and no clock: datagrams and the time go in, and steps come out. Each relay has a socket of its own,
//! so that a server which still holds an earlier allocation for the carrier's socket, of a process that was killed or
//! of credentials that have expired, is in nobody's way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_proto::agent::Transmit;
use stun_proto::types::TransportType;
use stun_proto::types::attribute::{ErrorCode, MessageIntegrity};
use stun_proto::types::message::{BINDING, Message, MessageClass, MessageWriteVec, TransactionId};
use stun_proto::types::prelude::{AttributeStaticType, MessageWrite};
use thiserror::Error;
use turn_client_proto::api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION};
use turn_client_proto::udp::TurnClientUdp;

use super::binding::is_sendable;
use super::{Epoch, OURS, REQUEST_WAIT, REQUEST_WAIT_LAST, REQUEST_WAIT_MAX, REQUESTS_MAX};
use crate::webrtc::ice_servers::User;

/// The most hosts that a relay may be spoken to by, for as long as it is there.
pub(in super::super) const RELAY_HOSTS_MAX: usize = 256;

/// The most sockets of these hosts that a channel of TURN is bound to.
const CHANNELS_MAX: usize = 256;

/// After so many datagrams to a socket a channel is bound to it, which saves 32 bytes for each: less are sent where ICE
/// only looks whether there is a way.
const CHANNEL_AFTER: u32 = 16;

/// How long a server may take to allocate.
const ALLOCATION_TIME_MAX: Duration = Duration::from_secs(8);

/// After so long without a datagram to the server it is sent one that keeps what NATs know of the socket.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

/// After so long without anything from the server it is not certain that the allocation is still there.
const PROVEN_FOR: Duration = Duration::from_secs(5);

/// The requests of which it is remembered that they are ours.
const REQUESTS_REMEMBERED_MAX: usize = 128;

/// The steps that are taken in a row before the time goes on.
const STEPS_MAX: usize = 1_024;

/// How long the client of TURN waits at least, whatever it says.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// The longest reason of a server that is shown, in characters.
const REASON_CHARS_MAX: usize = 64;

/// An allocation at a server, or the attempt to have one.
pub(super) struct Relay {
    client: TurnClientUdp,
    server: SocketAddr,
    epoch: Epoch,
    stage: Stage,
    /// The requests that were sent last, and whether they were signed.
    requests: VecDeque<(TransactionId, bool)>,
    /// The hosts that the server was asked to let datagrams of through.
    hosts: BTreeSet<IpAddr>,
    /// Whether the server has just refused one.
    has_refused: bool,
    /// How many datagrams were sent to a socket.
    sockets: BTreeMap<SocketAddr, u32>,
    due: Instant,
    /// When the server was last sent something.
    sent: Instant,
    /// When a peer was first sent something after which nothing has come from the server.
    unanswered: Option<Instant>,
    /// When a datagram of a peer last went either way.
    used: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking { until: Instant },
    Allocated(SocketAddr),
    Over,
}

/// What comes of giving a relay something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send this to the server.
    Send(Vec<u8>),
    Allocated(SocketAddr),
    /// A peer has sent this to the relayed address.
    Received(SocketAddr, Vec<u8>),
    /// There is no allocation any more, or never was.
    Lost(Loss),
}

/// Why there is no relay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(in super::super) enum Loss {
    #[error("the server does not answer")]
    NoAnswer,
    #[error("the server does not take the credentials: {0}")]
    Credentials(Refusal),
    #[error("the server refuses: {0}")]
    Refused(Refusal),
    #[error("the server has forgotten the allocation: {0}")]
    Forgotten(Refusal),
    #[error("the server has said nothing for too long to be relied upon")]
    Unproven,
    #[error("the allocation has expired, or the server breaks the protocol")]
    Expired,
}

/// What a server says when it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Refusal {
    code: u16,
    reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

impl Relay {
    /// Makes a relay that asks for an allocation at the first [`on_time`](Self::on_time).
    pub(super) fn new(server: SocketAddr, user: &User, now: Instant) -> Self {
        let credentials = TurnCredentials::new(&user.name, &user.credential);
        let mut config = TurnConfig::new(credentials);
        config.set_request_retransmits(
            REQUEST_WAIT,
            REQUEST_WAIT_MAX,
            REQUESTS_MAX,
            REQUEST_WAIT_LAST,
        );
        Self {
            client: TurnClientUdp::allocate(OURS, server, config),
            server,
            epoch: Epoch(now),
            stage: Stage::Asking {
                until: now + ALLOCATION_TIME_MAX,
            },
            requests: VecDeque::new(),
            hosts: BTreeSet::new(),
            has_refused: false,
            sockets: BTreeMap::new(),
            due: now,
            sent: now,
            unanswered: None,
            used: now,
        }
    }

    /// Returns the relayed address, if there is one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.stage {
            Stage::Allocated(address) => Some(address),
            Stage::Asking { .. } | Stage::Over => None,
        }
    }

    /// Returns when a datagram of a peer last went either way.
    pub(super) fn used(&self) -> Instant {
        self.used
    }

    /// Returns false if peers were sent something for some time, and nothing came from the server: it may have been
    /// restarted.
    pub(super) fn is_proven(&self, now: Instant) -> bool {
        self.unanswered
            .is_none_or(|unanswered| now < unanswered + PROVEN_FOR)
    }

    /// Asks the server to let datagrams of a host through, and to send datagrams there.
    pub(super) fn permit(&mut self, host: IpAddr, now: Instant, steps: &mut Vec<Step>) {
        let is_known = self.hosts.contains(&host);
        // The allocation is one of IPv4, and no port makes an address one of nobody.
        let is_servable = host.is_ipv4() && is_sendable((host, 1).into());
        if is_known || !is_servable || self.hosts.len() >= RELAY_HOSTS_MAX {
            return;
        }
        let asked = self
            .client
            .create_permission(TransportType::Udp, host, self.epoch.at(now));
        if asked.is_ok() {
            self.hosts.insert(host);
            self.drive(now, steps);
        }
    }

    /// Sends a datagram to a peer. It is dropped where the server has not said yet that it may be sent: ICE sends
    /// again.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        datagram: &[u8],
        now: Instant,
        steps: &mut Vec<Step>,
    ) {
        self.permit(to.ip(), now, steps);
        let at = self.epoch.at(now);
        let Ok(Some(wrapped)) = self.client.send_to(TransportType::Udp, to, datagram, at) else {
            return;
        };
        self.used = now;
        self.sent = now;
        self.unanswered.get_or_insert(now);
        steps.push(Step::Send(wrapped.build().data));
        self.bind_channel(to, now, steps);
    }

    /// Has a channel bound to a socket to which much is sent.
    fn bind_channel(&mut self, to: SocketAddr, now: Instant, steps: &mut Vec<Step>) {
        if self.sockets.len() >= CHANNELS_MAX && !self.sockets.contains_key(&to) {
            return;
        }
        let count = self.sockets.entry(to).or_default();
        *count = count.saturating_add(1);
        // Without it indications serve as well.
        if *count == CHANNEL_AFTER
            && self
                .client
                .bind_channel(TransportType::Udp, to, self.epoch.at(now))
                .is_ok()
        {
            self.drive(now, steps);
        }
    }

    /// Takes a datagram from the server's address.
    pub(super) fn on_datagram(&mut self, datagram: &[u8], now: Instant, steps: &mut Vec<Step>) {
        if self.stage == Stage::Over {
            return;
        }
        match self.refusal_in(datagram) {
            Some(Ok(loss)) => return self.lose(loss, steps),
            Some(Err(refusal)) => {
                tracing::debug!(server = %self.server, %refusal, "a server of TURN refuses a peer");
                self.has_refused = true;
            }
            None => {}
        }
        let received = Transmit::new(datagram, TransportType::Udp, self.server, OURS);
        match self.client.recv(received, self.epoch.at(now)) {
            TurnRecvRet::PeerData(data) if is_sendable(data.peer) => {
                self.unanswered = None;
                self.used = now;
                steps.push(Step::Received(data.peer, data.data().to_vec()));
            }
            TurnRecvRet::Handled => {
                self.unanswered = None;
                self.drive(now, steps);
            }
            // What a router said on the way to a peer tells nothing that ICE does not find out.
            TurnRecvRet::PeerData(_) | TurnRecvRet::PeerIcmp { .. } | TurnRecvRet::Ignored(_) => {}
        }
        self.has_refused = false;
    }

    /// Returns when [`on_time`](Self::on_time) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Asking { until } => Some(self.due.min(until)),
            Stage::Allocated(_) => Some(self.due.min(self.sent + KEEP_ALIVE_AFTER)),
            Stage::Over => None,
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if let Stage::Asking { until } = self.stage
            && until <= now
        {
            return self.lose(Loss::NoAnswer, steps);
        }
        if self.due <= now {
            self.drive(now, steps);
        }
        if self.address().is_some() && self.sent + KEEP_ALIVE_AFTER <= now {
            let indication = Message::builder_indication(BINDING, MessageWriteVec::new());
            self.sent = now;
            steps.push(Step::Send(indication.finish()));
        }
    }

    /// Gives the allocation back, without waiting for what the server says.
    pub(super) fn delete(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let at = self.epoch.at(now);
        if self.address().is_some() && self.client.delete(at).is_ok() {
            // The client sends no two requests within 50 ms. By this one nobody is kept waiting.
            let after = self.epoch.at(now + Duration::from_millis(50));
            while let Some(sent) = self.client.poll_transmit(after) {
                steps.push(Step::Send(sent.data.to_vec()));
            }
        }
        self.stage = Stage::Over;
    }

    /// Does all that the client of TURN wants.
    fn drive(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let at = self.epoch.at(now);
        self.due = now + WAIT_MIN;
        for _ in 0..STEPS_MAX {
            if self.stage == Stage::Over {
                return;
            }
            if let Some(sent) = self.client.poll_transmit(at) {
                let request = sent.data.to_vec();
                self.remember(&request);
                self.sent = now;
                steps.push(Step::Send(request));
                continue;
            }
            if let Some(event) = self.client.poll_event() {
                self.on_event(&event, steps);
                continue;
            }
            match self.client.poll(at) {
                TurnPollRet::WaitUntil(due) if due > at => {
                    self.due = self.epoch.after(due, now);
                    return;
                }
                TurnPollRet::Closed => return self.lose(Loss::Expired, steps),
                // Something became due by this, and is next.
                TurnPollRet::WaitUntil(_)
                | TurnPollRet::AllocateTcpSocket { .. }
                | TurnPollRet::TcpClose { .. } => {}
            }
        }
    }

    fn on_event(&mut self, event: &TurnEvent, steps: &mut Vec<Step>) {
        match *event {
            TurnEvent::AllocationCreated(TransportType::Udp, address) if is_sendable(address) => {
                self.stage = Stage::Allocated(address);
                steps.push(Step::Allocated(address));
            }
            TurnEvent::AllocationCreated(..) => self.lose(Loss::Expired, steps),
            TurnEvent::AllocationCreateFailed(_) => self.lose(Loss::NoAnswer, steps),
            // That the server says nothing means that it is gone; that it refuses one host means nothing for others.
            TurnEvent::PermissionCreateFailed(..) if !self.has_refused => {
                self.lose(Loss::NoAnswer, steps);
            }
            TurnEvent::ChannelCreateFailed(_, socket) => {
                // Not again: indications serve as well.
                self.sockets.insert(socket, CHANNEL_AFTER);
            }
            TurnEvent::PermissionCreated(..)
            | TurnEvent::PermissionCreateFailed(..)
            | TurnEvent::ChannelCreated(..)
            | TurnEvent::TcpConnected(_)
            | TurnEvent::TcpConnectFailed(_) => {}
        }
    }

    /// The first loss counts.
    fn lose(&mut self, loss: Loss, steps: &mut Vec<Step>) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            steps.push(Step::Lost(loss));
        }
    }

    fn remember(&mut self, request: &[u8]) {
        let Ok(message) = Message::from_bytes(request) else {
            return;
        };
        let is_signed = message.has_attribute(MessageIntegrity::TYPE);
        let request = (message.transaction_id(), is_signed);
        if self.requests.contains(&request) {
            return;
        }
        if self.requests.len() >= REQUESTS_REMEMBERED_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    /// Reads why the server refuses one of our requests: what it means for the whole allocation, or, as an error, for
    /// one peer. The client of TURN tells neither. A server need not sign it: its transaction proves that it is an
    /// answer.
    fn refusal_in(&self, datagram: &[u8]) -> Option<Result<Loss, Refusal>> {
        let message = Message::from_bytes(datagram).ok()?;
        if !message.has_class(MessageClass::Error) {
            return None;
        }
        let transaction = message.transaction_id();
        let mut requests = self.requests.iter();
        let (_, is_signed) = requests.find(|(request, _)| *request == transaction)?;
        let error = message.attribute::<ErrorCode>().ok()?;
        let shown = error.reason().chars().filter(|shown| !shown.is_control());
        let refusal = Refusal {
            code: error.code(),
            reason: shown.take(REASON_CHARS_MAX).collect(),
        };
        match (error.code(), message.method()) {
            // So a server says by what a request is to be signed: first, and again after some time.
            (ErrorCode::UNAUTHORIZED, _) if !is_signed => None,
            (ErrorCode::STALE_NONCE, _) => None,
            (ErrorCode::UNAUTHORIZED | ErrorCode::WRONG_CREDENTIALS, _) => {
                Some(Ok(Loss::Credentials(refusal)))
            }
            (_, ALLOCATE) => Some(Ok(Loss::Refused(refusal))),
            // The second is what coturn says of a permission when it knows no allocation.
            (ErrorCode::ALLOCATION_MISMATCH, _) | (ErrorCode::BAD_REQUEST, CREATE_PERMISSION) => {
                Some(Ok(Loss::Forgotten(refusal)))
            }
            (_, CREATE_PERMISSION | CHANNEL_BIND) => Some(Err(refusal)),
            _ => Some(Ok(Loss::Refused(refusal))),
        }
    }
}
