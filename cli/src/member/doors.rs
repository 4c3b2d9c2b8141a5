//! Opens the sockets by which others reach a member, and says at which addresses they do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use liferaft::configuration::{ADDRESSES_MAX, Address};
use liferaft::transport::endpoint::Endpoint;
use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcIdentity};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig, WebSocketLimits};
use liferaft::{Identity, Invitation, ServerId};
use tokio::task::spawn_blocking;

use super::advertised::Advertised;
use super::{Place, Web, certificate, ice_servers};
use crate::failure::Misuse;
use crate::files;

/// Where others reach a process.
pub(crate) struct Doors {
    /// It dials in any case: whoever is reached by nothing else is reached by WebSocket.
    websocket: WebSocketCarrier,
    rtc: Option<WebRtcCarrier>,
    /// The certificate of `rtc`, if it is a new one.
    new_certificate: Option<WebRtcIdentity>,
    /// Where others reach what listens, what is preferred first.
    addresses: Vec<Address>,
    /// Where others find the member by its id.
    rooms: Vec<SignalingServer>,
    pub(super) web: Option<Web>,
}

impl Doors {
    /// Listens. The certificate is that of the member's folder, if there is one.
    pub(super) async fn open(place: &Place, data: Option<&Path>) -> anyhow::Result<Self> {
        let rooms = rooms(place)?;
        let config = websocket_config(place);
        let websocket = websocket(place, config.clone()).await?;
        let mut doors = Self {
            websocket,
            rtc: None,
            new_certificate: None,
            addresses: Vec::new(),
            rooms,
            web: None,
        };
        let has_rtc = place.rtc.is_some() || !doors.rooms.is_empty();
        if !has_rtc && place.ice_servers.is_some() {
            let wrong = "--ice-servers: it is --rtc or --room by which others reach it over WebRTC";
            return Err(Misuse(wrong.to_owned()).into());
        }
        if has_rtc {
            let kept = data.map(certificate::kept).transpose()?.flatten();
            let identity = kept.clone().unwrap_or_else(WebRtcIdentity::generate);
            let signaling = doors.rooms.iter().cloned();
            let signaling = signaling.map(|room| room.with_websocket(config.clone()));
            doors.rtc = Some(rtc(place, identity.clone(), signaling).await?);
            doors.new_certificate = kept.is_none().then_some(identity);
        }
        doors.addresses = doors.addresses(place)?;
        if let Some(address) = place.monitor {
            let signaling = doors.rtc.as_ref().map(WebRtcCarrier::signaling);
            doors.web = Some(Web::listen(address, signaling).await?);
        }
        Ok(doors)
    }

    /// Keeps the certificate in the member's folder, which its storage has made.
    pub(crate) fn keep_certificate(&self, data: &Path) -> anyhow::Result<()> {
        let new = self.new_certificate.as_ref();
        new.map_or(Ok(()), |new| certificate::keep(data, new))
    }

    /// Returns what other members are told of this one.
    pub(super) fn told(&self, server: ServerId) -> Vec<Address> {
        let rooms = self.rooms.iter().map(|room| room.address_of(server));
        self.addresses.iter().cloned().chain(rooms).collect()
    }

    /// Says at the doors how an open cluster is joined.
    pub(super) fn tell_contact(&self, contact: &Invitation) {
        self.websocket.tell_contact(contact);
    }

    /// Returns the end of the member's links. What comes first is preferred.
    pub(super) fn endpoint(self, identity: Identity) -> Endpoint {
        match self.rtc {
            Some(rtc) => Endpoint::new(identity, rtc).with_carrier(self.websocket),
            None => Endpoint::new(identity, self.websocket),
        }
    }

    /// Returns where others reach what listens: where the operator says, or at the address that it listens on. Whoever
    /// listens for WebRTC on all interfaces and says nothing is found in rooms alone.
    fn addresses(&self, place: &Place) -> anyhow::Result<Vec<Address>> {
        let (mut of_rtc, mut of_websocket) = (Vec::new(), Vec::new());
        let listening = self.rtc.as_ref().filter(|_| place.rtc.is_some());
        for advertised in &place.advertise {
            match (advertised, listening, place.listen) {
                (Advertised::Rtc(host), Some(rtc), _) => {
                    let address = rtc.address_at(host);
                    of_rtc.push(
                        address.with_context(|| Misuse(format!("--advertise rtc://{host}")))?,
                    );
                }
                (Advertised::Rtc(host), None, _) => {
                    let wrong = "it is --rtc that listens for WebRTC";
                    return Err(Misuse(format!("--advertise rtc://{host}: {wrong}")).into());
                }
                (Advertised::Host(text) | Advertised::Url(text), _, None) => {
                    let wrong = "it is --listen that listens for WebSocket; for --rtc it is rtc://HOST:PORT";
                    return Err(Misuse(format!("--advertise {text}: {wrong}")).into());
                }
                (Advertised::Host(host), _, Some(_)) => {
                    let address = self.websocket.address_at(host);
                    of_websocket
                        .push(address.with_context(|| Misuse(format!("--advertise {host}")))?);
                }
                (Advertised::Url(url), _, Some(_)) => {
                    let address = url.parse();
                    of_websocket
                        .push(address.with_context(|| Misuse(format!("--advertise {url}")))?);
                }
            }
        }
        let is_found_in_rooms = is_all(place.rtc) && !self.rooms.is_empty();
        if let Some(rtc) = listening.filter(|_| of_rtc.is_empty() && !is_found_in_rooms) {
            check_interface(place.rtc, "rtc://HOST:PORT")?;
            of_rtc.extend(rtc.local_address());
        }
        if of_websocket.is_empty() {
            check_interface(place.listen, "HOST:PORT")?;
            of_websocket.extend(self.websocket.local_address());
        }
        let addresses = [of_rtc, of_websocket].concat();
        if addresses.len() + self.rooms.len() > ADDRESSES_MAX {
            return Err(Misuse(format!(
                "--advertise, --room: at most {ADDRESSES_MAX} addresses are told to others, of --listen, --rtc and \
                 rooms together"
            ))
            .into());
        }
        Ok(addresses)
    }
}

/// Refuses all interfaces, at which others cannot be told to look.
fn check_interface(listens: Option<SocketAddr>, form: &str) -> Result<(), Misuse> {
    if is_all(listens) {
        return Err(Misuse(format!(
            "it would listen on all interfaces: --advertise {form} says where others reach it"
        )));
    }
    Ok(())
}

fn is_all(listens: Option<SocketAddr>) -> bool {
    listens.is_some_and(|address| address.ip().is_unspecified())
}

/// Reads where others find the member.
pub(super) fn rooms(place: &Place) -> anyhow::Result<Vec<SignalingServer>> {
    let rooms = place.room.iter().map(|room| SignalingServer::at(room));
    let rooms: Result<Vec<_>, _> = rooms.collect();
    let mut rooms = rooms.map_err(|error| Misuse(format!("--room {error}")))?;
    // Its link and its address are the same room.
    let mut addresses = BTreeSet::new();
    rooms.retain(|room| addresses.insert(room.address_of(ServerId(0))));
    Ok(rooms)
}

fn websocket_config(place: &Place) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    if place.is_open {
        config = config.on_this_machine();
    }
    let files = files::raise_limit();
    let mut limits = WebSocketLimits::default();
    limits.accepted_max = files::accepted_max(files, limits.accepted_max);
    limits.dialed_max = files::dialed_max(files, limits.dialed_max);
    config.with_limits(limits)
}

async fn websocket(place: &Place, config: WebSocketConfig) -> anyhow::Result<WebSocketCarrier> {
    match place.listen {
        Some(address) => {
            let carrier = WebSocketCarrier::listen(config, address).await;
            carrier.context(refused_by(place, "--listen"))
        }
        None => Ok(WebSocketCarrier::dial_only(config)),
    }
}

async fn rtc(
    place: &Place,
    identity: WebRtcIdentity,
    signaling: impl Iterator<Item = SignalingServer>,
) -> anyhow::Result<WebRtcCarrier> {
    let mut config = WebRtcConfig::default().with_identity(identity);
    if place.is_open {
        config = config.on_this_machine();
    }
    if let Some(file) = &place.ice_servers {
        // Whoever starts a member hears at once what is wrong with it.
        ice_servers::read(file).context(Misuse("--ice-servers".to_owned()))?;
        let file = file.clone();
        config = config.with_ice_servers(move || {
            let file = file.clone();
            // A file system that hangs holds up no link.
            let reading = spawn_blocking(move || ice_servers::read_again(&file));
            async { reading.await.unwrap_or_default() }
        });
    }
    let config = signaling.fold(config, WebRtcConfig::with_signaling);
    match place.rtc {
        Some(address) => {
            let carrier = WebRtcCarrier::listen(config, address).await;
            carrier.context(refused_by(place, "--rtc"))
        }
        None => Ok(WebRtcCarrier::dial_only(config)),
    }
}

/// Names the flag by which it does not listen.
const fn refused_by(place: &Place, flag: &'static str) -> &'static str {
    if place.is_open {
        "--open is for loopback addresses"
    } else {
        flag
    }
}
