//! The limits that transports share, so that a frame that one carries is carried by all.

/// The longest frame, in bytes, that every transport carries unless it says otherwise: a payload of 1 MiB
/// ([`PAYLOAD_BYTES_MAX`]) and what is wrapped around it.
///
/// Longer things, such as snapshots, are cut into chunks by those who send them.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADROOM_BYTES;

/// The longest payload, in bytes, that a frame is meant for: one command, or one chunk of a snapshot.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What is left, in bytes, for the message around a payload: its type, terms, indexes and lengths.
pub const HEADROOM_BYTES: usize = 64 * 1024;
