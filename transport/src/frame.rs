//! Defines what a transport carries: frames in two parts, and the limits that transports share.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The longest frame, in bytes, that every transport carries unless it says otherwise: a payload of 1 MiB
/// ([`PAYLOAD_BYTES_MAX`]) and what is wrapped around it.
///
/// Longer things, such as snapshots, are cut into chunks by those who send them.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADROOM_BYTES;

/// The longest payload, in bytes, that a frame is meant for: one command, or one chunk of a snapshot.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What is left, in bytes, for the message around a payload: its type, terms, indexes and lengths.
pub const HEADROOM_BYTES: usize = 64 * 1024;

/// A frame in two parts: a short head of its own, and a body that the frames to many peers share without a copy.
///
/// The parts are for the sender's sake. Where one ends and the other begins means nothing: frames are equal if their
/// bytes are, and a transport may join or cut them anywhere.
///
/// ```
/// # mod liferaft { pub use {bytes, liferaft_transport as transport}; }
/// use liferaft::bytes::Bytes;
/// use liferaft::transport::frame::Frame;
///
/// let body = Bytes::from_static(b" is at the bridge");
/// let frame = Frame::new(Bytes::from_static(b"ada"), body.clone());
///
/// assert_eq!(frame.len(), 20);
/// assert_eq!(frame, Frame::from("ada is at the bridge"));
/// assert_eq!(frame.into_bytes(), "ada is at the bridge");
/// ```
#[derive(Clone, Default)]
pub struct Frame {
    /// What comes first.
    pub head: Bytes,
    /// What comes after it.
    pub body: Bytes,
}

impl Frame {
    /// A frame of these parts.
    #[must_use]
    pub const fn new(head: Bytes, body: Bytes) -> Self {
        Self { head, body }
    }

    /// Returns the length of both parts together, in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Returns true if there is not a byte in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the whole of it as one piece. Copies only if neither part is empty.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        if self.head.is_empty() {
            return self.body;
        }
        if self.body.is_empty() {
            return self.head;
        }
        let mut bytes = BytesMut::with_capacity(self.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }

    /// Iterates over its bytes.
    fn bytes(&self) -> impl Iterator<Item = &u8> {
        self.head.iter().chain(self.body.iter())
    }
}

/// A frame in one piece.
impl<B: Into<Bytes>> From<B> for Frame {
    fn from(bytes: B) -> Self {
        Self::new(Bytes::new(), bytes.into())
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && if self.head.len() == other.head.len() {
                self.head == other.head && self.body == other.body
            } else {
                self.bytes().eq(other.bytes())
            }
    }
}

impl Eq for Frame {}

/// Shows its length and first bytes: a frame may be long, and its end a user's.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 16;
        write!(f, "Frame({} bytes:", self.len())?;
        for byte in self.bytes().take(SHOWN_MAX) {
            write!(f, " {byte:02x}")?;
        }
        f.write_str(if self.len() > SHOWN_MAX { " …)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_equal_if_their_bytes_are() {
        let cut = |at| Frame::new("ada is here"[..at].into(), "ada is here"[at..].into());

        assert_eq!(cut(3), cut(7));
        assert_eq!(cut(0), Frame::from("ada is here"));
        assert_ne!(cut(3), Frame::new("ada".into(), " is herE".into()));
        assert_ne!(cut(3), Frame::from("ada is her"));
    }

    #[test]
    fn a_frame_in_one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);

        let behind = Frame::from(bytes.clone()).into_bytes();
        let before = Frame::new(bytes.clone(), Bytes::new()).into_bytes();

        assert!(behind.as_ptr() == bytes.as_ptr() && before.as_ptr() == bytes.as_ptr());
    }
}
