//! Opens files that hold secrets.

use std::fs::OpenOptions;

/// Returns how a file is opened for writing, and made if there is none, that nobody but its owner may read. Where files
/// have no owners it is as readable as any.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
