//! Keeps the certificate by which others know a member over WebRTC, in its folder: the addresses that it has told them
//! have its fingerprint.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use liferaft::platform::private_file;
use liferaft::transport::webrtc::WebRtcIdentity;

/// The file, with the key.
const NAME: &str = "webrtc.pem";

/// What the file is called before it is whole.
const NAME_BEFORE: &str = "webrtc.pem.new";

/// Reads the certificate of a folder; `None` if it has none, or is not there.
pub(super) fn kept(data: &Path) -> anyhow::Result<Option<WebRtcIdentity>> {
    let path = data.join(NAME);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let identity = WebRtcIdentity::from_pem(&text).with_context(|| {
        format!(
            "{} is damaged: once it is removed another is made, and addresses of this member by WebRTC from before lead \
             nowhere",
            path.display()
        )
    })?;
    Ok(Some(identity))
}

/// Writes the certificate of a folder, durably: it is there as a whole or not at all. Nobody but the owner may read it.
pub(super) fn keep(data: &Path, identity: &WebRtcIdentity) -> anyhow::Result<()> {
    let (before, path) = (data.join(NAME_BEFORE), data.join(NAME));
    let write = || {
        let mut file = private_file().truncate(true).open(&before)?;
        file.write_all(identity.to_pem().as_bytes())?;
        file.sync_all()?;
        fs::rename(&before, &path)?;
        sync_folder(data)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(unix)]
fn sync_folder(data: &Path) -> std::io::Result<()> {
    fs::File::open(data)?.sync_all()
}

/// Elsewhere no folder can be opened for that.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
