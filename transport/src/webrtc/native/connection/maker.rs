//! Makes connections: to listeners, of those who dial one, with servers that signals have found, and with visitors.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::channel::{ChannelConfig, Reliability};
use str0m::net::Protocol;
use str0m::{Candidate, IceCreds, Rtc, RtcConfig};

use super::super::super::channels::{
    BULK, BULK_LIFETIME_MS, DATAGRAM_LIFETIME_MS, DATAGRAMS, DatagramMode, LABEL,
};
use super::super::super::credentials::Credentials;
use super::super::super::description::{Description, Setup};
use super::super::super::flow::Outgoing;
use super::super::super::ice_servers::IceTransportPolicy;
use super::super::super::limits::{PACKET_BYTES_MAX, WebRtcLimits};
use super::super::super::meter::WebRtcMeter;
use super::super::super::visitors::VISIT_TIME_MAX;
use super::super::certificate::WebRtcIdentity;
use super::super::crypto::provider;
use super::visiting::Reception;
use super::{Connection, Ending, OURS, Restart, Stage, UNPROVEN_BYTES_MAX, Use, failed};
use crate::carrier::Path;
use crate::hosts::Fingerprint;
use crate::signaling::Serialization;

/// What both channels of a connection may hold together, in bytes. It is never reached: each is bounded before.
const SCTP_BYTES_MAX: usize = 1024 * 1024;

/// What all connections of a carrier are made with.
#[derive(Debug)]
pub(in super::super) struct Maker {
    pub(in super::super) identity: WebRtcIdentity,
    pub(in super::super) limits: WebRtcLimits,
    pub(in super::super) delivery: Delivery,
    pub(in super::super) meter: WebRtcMeter,
    pub(in super::super) policy: IceTransportPolicy,
}

/// How the channels of a link deliver what this end sends.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Delivery {
    pub(in super::super) is_ordered: bool,
    pub(in super::super) datagrams: Reliability,
    pub(in super::super) bulk: Reliability,
}

impl Default for Delivery {
    fn default() -> Self {
        DatagramMode::default().into()
    }
}

impl From<DatagramMode> for Delivery {
    fn from(mode: DatagramMode) -> Self {
        let given_up_after = |lifetime| Reliability::MaxPacketLifetime { lifetime };
        Self {
            is_ordered: mode.is_ordered,
            datagrams: if mode.is_reliable {
                Reliability::Reliable
            } else {
                given_up_after(DATAGRAM_LIFETIME_MS)
            },
            bulk: given_up_after(BULK_LIFETIME_MS),
        }
    }
}

impl Maker {
    /// Makes a connection to a listener that is known by its fingerprint. ICE tries all of its addresses.
    pub(in super::super) fn dial(
        &self,
        path: Path,
        listener: &Fingerprint,
        addresses: &[SocketAddr],
        now: Instant,
    ) -> Result<Connection, Ending> {
        let own = ice(Credentials::random());
        let mut connection = self.connection(path, self.config(own), now);
        for address in addresses {
            let candidate = Candidate::host(*address, Protocol::Udp).map_err(failed)?;
            connection.rtc.add_remote_candidate(candidate);
        }
        let mut api = connection.rtc.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(ice(Credentials::of_listener(listener)));
        api.set_remote_fingerprint(in_str0m(listener));
        api.start_dtls(true).map_err(failed)?;
        api.start_sctp(true);
        Ok(connection)
    }

    /// Makes the listener's end of a connection that another dials, who is known by a name in ICE alone.
    pub(in super::super) fn accept(
        &self,
        path: Path,
        ufrag: &str,
        now: Instant,
    ) -> Result<Connection, Ending> {
        let own = ice(Credentials::of_listener(&self.identity.fingerprint()));
        let config = self
            .config(own)
            .set_ice_lite(true)
            .set_fingerprint_verification(false);
        let mut connection = self.connection(path, config, now);
        let mut api = connection.rtc.direct_api();
        api.set_ice_controlling(false);
        // A listener asks for nothing, and needs no password for it. Nor does it know which certificate it will be
        // shown: links find out whose it is.
        api.set_remote_ice_credentials(IceCreds {
            ufrag: ufrag.to_owned(),
            pass: Credentials::random().password,
        });
        api.set_remote_fingerprint(in_str0m(&Fingerprint([0; 32])));
        api.start_dtls(false).map_err(failed)?;
        api.start_sctp(false);
        Ok(connection)
    }

    /// Makes this end of a connection that is found by signaling, and offers it. Returns the connection and what the
    /// other end is told, without candidates.
    pub(in super::super) fn offer(&self, path: Path, now: Instant) -> (Connection, Description) {
        let own = Credentials::random();
        let mut connection = self.signaled(path, self.config(ice(own.clone())), now);
        connection.stage = Stage::Offered;
        connection.rtc.direct_api().set_ice_controlling(true);
        let fingerprint = self.identity.fingerprint();
        let offer = Description::new(own, fingerprint, Setup::ActivePassive);
        (connection, offer)
    }

    /// Makes this end of a connection that another offers by signals. Returns the connection and the answer, without
    /// candidates.
    pub(in super::super) fn answer(
        &self,
        path: Path,
        offer: &Description,
        now: Instant,
    ) -> Result<(Connection, Description), Ending> {
        let own = Credentials::random();
        let connection = self.signaled(path, self.config(ice(own.clone())), now);
        self.answered(connection, own, offer)
    }

    /// Makes this end of a connection that a visitor offers. Returns the connection and the answer, without candidates.
    pub(in super::super) fn receive(
        &self,
        path: Path,
        offer: &Description,
        serialization: Serialization,
        now: Instant,
    ) -> Result<(Connection, Description), Ending> {
        let own = Credentials::random();
        let rtc = Box::new(self.config(ice(own.clone())).build(now));
        let mut connection = self.over(path, rtc, Use::Visit(Reception::new(serialization)), now);
        connection.look_at = now + VISIT_TIME_MAX;
        self.answered(reached(connection), own, offer)
    }

    /// Lets a connection answer an offer.
    fn answered(
        &self,
        mut connection: Connection,
        own: Credentials,
        offer: &Description,
    ) -> Result<(Connection, Description), Ending> {
        // One that makes no checks has to be checked.
        let mut api = connection.rtc.direct_api();
        api.set_ice_controlling(offer.is_lite);
        let is_active = offer.setup != Setup::Active;
        connection.connect(offer, is_active)?;
        let setup = if is_active {
            Setup::Active
        } else {
            Setup::Passive
        };
        let mut answer = Description::new(own, self.identity.fingerprint(), setup);
        answer.mid = offer.mid.clone();
        Ok((connection, answer))
    }

    fn config(&self, own: IceCreds) -> RtcConfig {
        RtcConfig::new()
            .clear_codecs()
            .clear_extension_map()
            .set_crypto_provider(provider())
            .set_dtls_cert(self.identity.certificate().clone())
            .set_local_ice_credentials(own)
            .set_sctp_max_buffered_amount(SCTP_BYTES_MAX)
            .set_sctp_max_message_size(u32::try_from(PACKET_BYTES_MAX).expect("it is short"))
    }

    /// Makes a connection that is reached by the socket that all share.
    fn connection(&self, path: Path, config: RtcConfig, now: Instant) -> Connection {
        reached(self.unreached(path, config, now))
    }

    /// Makes a connection that is found by signaling.
    fn signaled(&self, path: Path, config: RtcConfig, now: Instant) -> Connection {
        let mut connection = match self.policy {
            IceTransportPolicy::All => self.connection(path, config, now),
            // Not even a check shows where this end is.
            IceTransportPolicy::Relay => self.unreached(path, config, now),
        };
        connection.is_negotiated = true;
        connection
    }

    /// Makes a connection that has no address yet.
    fn unreached(&self, path: Path, config: RtcConfig, now: Instant) -> Connection {
        let mut rtc = Box::new(config.build(now));
        let mut api = rtc.direct_api();
        let mut channel = |stream, ordered, reliability| {
            api.create_data_channel(ChannelConfig {
                label: LABEL.to_owned(),
                ordered,
                reliability,
                negotiated: Some(stream),
                protocol: String::new(),
            })
        };
        let delivery = &self.delivery;
        let datagrams = channel(DATAGRAMS, delivery.is_ordered, delivery.datagrams);
        let bulk = channel(BULK, true, delivery.bulk);
        let channels = Use::Link { datagrams, bulk };
        self.over(path, rtc, channels, now)
    }

    fn over(&self, path: Path, rtc: Box<Rtc>, used_for: Use, now: Instant) -> Connection {
        Connection {
            path,
            stage: Stage::Opening,
            rtc,
            own: self.identity.fingerprint(),
            used_for,
            unproven_bytes: Some(UNPROVEN_BYTES_MAX),
            outgoing: Outgoing::new(self.limits.ordered_queue_bytes_max),
            told: now,
            due: now,
            look_at: now + self.limits.opening_time_max,
            is_negotiated: false,
            is_heard: false,
            is_used: false,
            heard_at: now,
            is_disconnected: false,
            restart: Restart::None,
            limits: self.limits,
            meter: self.meter.clone(),
            candidates: Vec::new(),
            relays: Vec::new(),
            ours: Vec::new(),
            sent_to: None,
        }
    }
}

/// Lets a connection be reached by the socket that all share.
fn reached(mut connection: Connection) -> Connection {
    for ours in OURS {
        let candidate = Candidate::host(ours, Protocol::Udp).expect("it is a host's address");
        connection.add_own(candidate);
    }
    connection
}

pub(super) fn ice(credentials: Credentials) -> IceCreds {
    IceCreds {
        ufrag: credentials.ufrag,
        pass: credentials.password,
    }
}

pub(super) fn in_str0m(fingerprint: &Fingerprint) -> str0m::config::Fingerprint {
    str0m::config::Fingerprint {
        hash_func: "sha-256".to_owned(),
        bytes: fingerprint.0.to_vec(),
    }
}
