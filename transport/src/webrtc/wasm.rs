//! In browsers: the data channels of the host, each connection in a task of its own.
//!
//! Objects of JavaScript stay in the tasks that use them, so that the carrier can be sent to wherever it is wanted.

mod carrier;
mod connection;
mod listener;
mod peer;
mod port;
mod statistics;
mod table;

use std::fmt;
use std::pin::pin;
use std::time::Duration;

pub use self::carrier::WebRtcCarrier;

use futures::future::{Either, select};
use liferaft_platform::{now, sleep_until};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::config::WebRtcConfig;
use crate::endpoint::Signer;
use crate::signing::Purpose;

/// A key that takes longer does not sign: nobody waits for tokens for ever.
const SIGNING_TIME_MAX: Duration = Duration::from_secs(2);

/// What only a carrier in a browser is told.
#[derive(Clone, Default)]
pub(super) struct Options {
    /// What tokens are made from, if a page comes back with them.
    token_secret: Option<Zeroizing<[u8; 32]>>,
}

/// The secret stays out of logs.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

impl WebRtcConfig {
    /// Takes this server's id back at signaling servers after its page has crashed or was loaded anew: by tokens that
    /// are made from a signature of its key, which is the same each time. Without it, or if the key does not sign
    /// within 2 seconds, they are made by chance, and a signaling server keeps the id from whoever comes back, for a
    /// while after a crash.
    #[must_use]
    pub async fn with_tokens_of(mut self, key: &impl Signer) -> Self {
        let signing = key.sign(Purpose::SIGNALING.statement(&[]));
        let late = pin!(sleep_until(now() + SIGNING_TIME_MAX));
        let signature = match select(signing, late).await {
            Either::Left((signature, _)) => signature,
            Either::Right(_) => None,
        };
        self.host.token_secret = signature.map(|signature| {
            let signature = Zeroizing::new(signature);
            Zeroizing::new(Sha256::digest(*signature).into())
        });
        self
    }
}
