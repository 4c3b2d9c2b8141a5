//! Tells who opens a connection whom it has reached, so that an address alone leads a client into an open cluster.
//!
//! A handshake needs the key of a member and the id of its cluster. A carrier may tell both, as an invitation without a
//! token, in the response to the upgrade. Nobody has to believe it: what it names is proven in the handshake, and
//! whoever goes by an address alone trusts whoever is there.

use std::time::Duration;

use liferaft_platform::{Address, now, sleep_until};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

use super::super::carrier::WebSocketCarrier;
use super::super::config::WebSocketConfig;
use super::super::target::Target;
use super::Host;
use super::opening::OpenError;
use crate::invitation::Invitation;

/// The header of the response that has it.
pub(super) const CONTACT: HeaderName = HeaderName::from_static("liferaft-contact");

/// How long an answer is waited for.
const ASKING_TIME_MAX: Duration = Duration::from_secs(10);

/// Why nothing is known of who is at an address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContactError {
    /// The address is none of WebSocket's.
    #[error("no WebSocket address: {0}")]
    BadAddress(Address),
    /// There is no connection to it.
    #[error("{address} is not reached: {why}")]
    NotReached {
        /// The address.
        address: Address,
        /// Why, in words.
        why: String,
    },
    /// Whoever is there does not tell: it is a member of a closed cluster, or something else.
    #[error(
        "whoever is at {0} does not say who it is: a closed cluster is reached by an invitation"
    )]
    Untold(Address),
}

impl WebSocketCarrier {
    /// Tells whoever opens a connection from here on what this invitation says, but for its token: the cluster, its
    /// members' keys and addresses. Only for an open cluster, where anybody may know them.
    pub fn tell_contact(&self, contact: &Invitation) {
        let text = contact.clone().without_token().to_string();
        let header = HeaderValue::try_from(text).expect("an invitation is ASCII");
        // Told once: it does not change as long as the carrier is there.
        let _told = self.host.opener.contact.set(header);
    }
}

/// Asks who is at an address, and returns the [contact](WebSocketCarrier::tell_contact) that is told there.
///
/// # Errors
/// See [`ContactError`].
pub async fn contact_at(
    config: WebSocketConfig,
    address: &Address,
) -> Result<Invitation, ContactError> {
    let bad = || ContactError::BadAddress(address.clone());
    let target = Target::read(address).ok_or_else(bad)?;
    let opener = Host::new(config.host).opener;
    let reached = tokio::select! {
        reached = opener.upgrade(&target) => reached,
        () = sleep_until(now() + ASKING_TIME_MAX) => Err(OpenError::TooLong),
    };
    let (_, response) = reached.map_err(|error| ContactError::NotReached {
        address: address.clone(),
        why: error.to_string(),
    })?;
    told(&response).ok_or_else(|| ContactError::Untold(address.clone()))
}

fn told(response: &Response) -> Option<Invitation> {
    let header = response.headers().get(CONTACT)?;
    header.to_str().ok()?.parse().ok()
}
