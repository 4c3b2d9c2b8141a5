//! Natively there is no browser.

use super::{BrowserOptions, BrowserStorage, StorageError};
use crate::identity::Identity;
use crate::ids::ServerId;

/// A key pair that the browser keeps: there are none.
pub(super) enum KeyPair {}

impl KeyPair {
    #[expect(
        clippy::unused_async,
        reason = "the other of the pair waits for the browser"
    )]
    pub(super) async fn generate() -> Option<Self> {
        None
    }

    pub(super) const fn identity(&self) -> Identity {
        match *self {}
    }
}

#[expect(
    clippy::unused_async,
    reason = "the other of the pair waits for the browser"
)]
pub(super) async fn open(_: String, _: BrowserOptions) -> Result<BrowserStorage, StorageError> {
    Err(unavailable())
}

#[expect(
    clippy::unused_async,
    reason = "the other of the pair waits for the browser"
)]
pub(super) async fn forget(_: String, _: ServerId) -> Result<(), StorageError> {
    Err(unavailable())
}

fn unavailable() -> StorageError {
    StorageError::Unavailable {
        reason: "this is no browser".to_owned(),
    }
}
