//! Opens the sockets by which others reach a member, and says at which addresses they do.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use liferaft::configuration::{ADDRESSES_MAX, Address};
use liferaft::transport::endpoint::Endpoint;
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcIdentity};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig, WebSocketLimits};
use liferaft::{Identity, Invitation};

use super::advertised::Advertised;
use super::{Place, Web, certificate};
use crate::files;

/// Where others reach a process.
pub(crate) struct Doors {
    /// It dials in any case: whoever is reached by nothing else is reached by WebSocket.
    websocket: WebSocketCarrier,
    rtc: Option<WebRtcCarrier>,
    /// The certificate of `rtc`, if it is a new one.
    new_certificate: Option<WebRtcIdentity>,
    /// What other members are told, what is preferred first.
    addresses: Vec<Address>,
    pub(super) web: Option<Web>,
}

impl Doors {
    /// Listens. The certificate is that of the member's folder, if there is one.
    pub(super) async fn open(place: &Place, data: Option<&Path>) -> anyhow::Result<Self> {
        let websocket = websocket(place).await?;
        let kept = match data {
            Some(data) if place.rtc.is_some() => certificate::kept(data)?,
            _ => None,
        };
        let (rtc, new_certificate) = match (place.rtc, kept) {
            (None, _) => (None, None),
            (Some(at), Some(kept)) => (Some(rtc(place, at, kept).await?), None),
            (Some(at), None) => {
                let new = WebRtcIdentity::generate();
                (Some(rtc(place, at, new.clone()).await?), Some(new))
            }
        };
        let mut doors = Self {
            websocket,
            rtc,
            new_certificate,
            addresses: Vec::new(),
            web: None,
        };
        doors.addresses = doors.addresses(place)?;
        if let Some(address) = place.monitor {
            doors.web = Some(Web::listen(address).await?);
        }
        Ok(doors)
    }

    /// Keeps the certificate in the member's folder, which its storage has made.
    pub(crate) fn keep_certificate(&self, data: &Path) -> anyhow::Result<()> {
        let new = self.new_certificate.as_ref();
        new.map_or(Ok(()), |new| certificate::keep(data, new))
    }

    /// Returns what other members are told.
    pub(super) fn told(&self) -> &[Address] {
        &self.addresses
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

    /// Returns where others reach what listens: where the operator says, or at the address that it listens on.
    fn addresses(&self, place: &Place) -> anyhow::Result<Vec<Address>> {
        let (mut of_rtc, mut of_websocket) = (Vec::new(), Vec::new());
        for advertised in &place.advertise {
            match (advertised, &self.rtc, place.listen) {
                (Advertised::Rtc(host), Some(rtc), _) => {
                    let address = rtc.address_at(host);
                    of_rtc.push(address.with_context(|| format!("--advertise rtc://{host}"))?);
                }
                (Advertised::Rtc(host), None, _) => {
                    bail!("--advertise rtc://{host}: it is --rtc that listens for WebRTC");
                }
                (Advertised::Host(text) | Advertised::Url(text), _, None) => {
                    bail!(
                        "--advertise {text}: it is --listen that listens for WebSocket; for --rtc it is rtc://HOST:PORT"
                    );
                }
                (Advertised::Host(host), _, Some(_)) => {
                    let address = self.websocket.address_at(host);
                    of_websocket.push(address.with_context(|| format!("--advertise {host}"))?);
                }
                (Advertised::Url(url), _, Some(_)) => {
                    let address = url.parse();
                    of_websocket.push(address.with_context(|| format!("--advertise {url}"))?);
                }
            }
        }
        if let Some(rtc) = self.rtc.as_ref().filter(|_| of_rtc.is_empty()) {
            check_interface(place.rtc, "rtc://HOST:PORT")?;
            of_rtc.extend(rtc.local_address());
        }
        if of_websocket.is_empty() {
            check_interface(place.listen, "HOST:PORT")?;
            of_websocket.extend(self.websocket.local_address());
        }
        let addresses = [of_rtc, of_websocket].concat();
        ensure!(
            addresses.len() <= ADDRESSES_MAX,
            "--advertise: at most {ADDRESSES_MAX} addresses are told to others, of --listen and --rtc together"
        );
        Ok(addresses)
    }
}

/// Refuses all interfaces, at which others cannot be told to look.
fn check_interface(listens: Option<SocketAddr>, form: &str) -> anyhow::Result<()> {
    let is_all = listens.is_some_and(|address| address.ip().is_unspecified());
    ensure!(
        !is_all,
        "it would listen on all interfaces: --advertise {form} says where others reach it"
    );
    Ok(())
}

async fn websocket(place: &Place) -> anyhow::Result<WebSocketCarrier> {
    let mut config = WebSocketConfig::default();
    if place.is_open {
        config = config.on_this_machine();
    }
    let files = files::raise_limit();
    let mut limits = WebSocketLimits::default();
    limits.accepted_max = files::accepted_max(files, limits.accepted_max);
    limits.dialed_max = files::dialed_max(files, limits.dialed_max);
    let config = config.with_limits(limits);
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
    address: SocketAddr,
    identity: WebRtcIdentity,
) -> anyhow::Result<WebRtcCarrier> {
    let mut config = WebRtcConfig::default().with_identity(identity);
    if place.is_open {
        config = config.on_this_machine();
    }
    let carrier = WebRtcCarrier::listen(config, address).await;
    carrier.context(refused_by(place, "--rtc"))
}

/// Names the flag by which it does not listen.
const fn refused_by(place: &Place, flag: &'static str) -> &'static str {
    if place.is_open {
        "--open is for loopback addresses"
    } else {
        flag
    }
}
