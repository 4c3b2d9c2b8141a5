//! Natively there is no browser.

use super::{BrowserOptions, BrowserStorage, StorageError};

#[expect(
    clippy::unused_async,
    reason = "the other of the pair waits for the browser"
)]
pub(super) async fn open(_: String, _: BrowserOptions) -> Result<BrowserStorage, StorageError> {
    Err(StorageError::Unavailable {
        reason: "this is no browser".to_owned(),
    })
}
