//! Natively: UDP by tokio, and WebRTC by str0m, in Rust alone (`docs/decisions/0006-webrtc.md` in the repository).

mod carrier;
mod certificate;
mod connection;
mod crypto;
mod gathering;
mod interfaces;
mod resolving;
mod socket;
mod table;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use liferaft_platform::{Address, AddressError};

pub use self::carrier::WebRtcCarrier;
pub use self::certificate::{WebRtcIdentity, WebRtcIdentityError};

use self::socket::Socket;
use super::address::SCHEME;
use super::config::WebRtcConfig;
use super::meter::WebRtcMeter;
use crate::hosts::{ListenError, PIN_MARK};

/// What only a native carrier is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    identity: Option<WebRtcIdentity>,
    is_on_this_machine: bool,
}

impl WebRtcConfig {
    /// Shows this certificate. Without it each carrier makes one of its own, and the address of a listener is another
    /// at each start.
    #[must_use]
    pub fn with_identity(mut self, identity: WebRtcIdentity) -> Self {
        self.host.identity = Some(identity);
        self
    }

    /// Stays on this machine: listens on and dials loopback addresses only, so that an open cluster may be run over it
    /// ([`Reach::Machine`](crate::carrier::Reach::Machine)).
    ///
    /// A page in a browser of this machine can reach it if it knows the fingerprint.
    #[must_use]
    pub fn on_this_machine(mut self) -> Self {
        self.host.is_on_this_machine = true;
        self
    }
}

impl WebRtcCarrier {
    /// Makes a carrier that dials, and listens on a socket of UDP. With port 0 the system chooses a free one.
    ///
    /// # Errors
    /// When it cannot listen there: see [`ListenError`].
    pub async fn listen(config: WebRtcConfig, address: SocketAddr) -> Result<Self, ListenError> {
        if config.host.is_on_this_machine && !address.ip().is_loopback() {
            return Err(ListenError::NotOnThisMachine { address });
        }
        let meter = WebRtcMeter::default();
        let socket = Socket::listening(address, meter.clone())
            .map_err(|error| ListenError::Socket { address, error })?;
        Ok(Self::over(config, meter, vec![socket]))
    }

    /// Returns the address at which peers dial the socket that it listens on; `None` if it does not listen. A socket of
    /// all interfaces (`0.0.0.0`, `::`) is dialed at the [address of a host](Self::address_at).
    #[must_use]
    pub fn local_address(&self) -> Option<Address> {
        let bound = self.socket_address()?.to_string();
        Some(self.address_at(&bound).expect("a socket address is short"))
    }

    /// Returns the address at which peers dial this carrier by a host, as `example.org:4000`: with the scheme and the
    /// fingerprint.
    ///
    /// # Errors
    /// When the host makes it no address.
    pub fn address_at(&self, host: &str) -> Result<Address, AddressError> {
        let fingerprint = self.fingerprint();
        format!("{SCHEME}://{host}{PIN_MARK}{fingerprint}").parse()
    }
}
