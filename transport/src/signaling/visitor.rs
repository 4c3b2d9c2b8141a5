//! Describes visitors: clients of PeerJS that dial a member. Each is answered, so as to be told what it takes to join.
//!
//! Nothing is proven of a visitor, and nothing is kept of it but the two names by which its server and its client tell
//! connections apart.

use super::json::quoted;
use crate::webrtc::description::{Description, IceCandidate};

/// The longest name of a visitor or of its connection, in bytes: the longest id that our server gives.
const NAME_BYTES_MAX: usize = 64;

/// The longest string of BinaryPack whose length has one byte of its own with the kind, in bytes.
const SHORT_STRING_BYTES_MAX: usize = 15;

/// The longest string that is sent to a visitor, in bytes.
const STRING_BYTES_MAX: usize = 1_024;

/// One message of a visitor, or to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) body: VisitBody,
}

/// A client of PeerJS, and which of its connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Visitor {
    peer: String,
    connection: String,
}

/// What is told of a visitor's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VisitBody {
    /// The visitor offers it, and reads messages of this kind.
    Offer(Description, Serialization),
    /// The member answers.
    Answer(Description),
    /// The visitor has one more candidate.
    Candidate(IceCandidate),
}

/// How a client of PeerJS reads messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serialization {
    /// BinaryPack, which PeerJS uses if nothing else is asked for.
    BinaryPack,
    /// JSON in binary messages.
    Json,
    /// Messages as they are.
    Raw,
}

impl Visitor {
    /// Takes the id of a client and of its connection: letters, digits and what PeerJS's own ids have. `None` if
    /// they are none.
    pub(crate) fn new(peer: &str, connection: &str) -> Option<Self> {
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b" -_".contains(&byte);
        let is_name = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
        };
        (is_name(peer) && is_name(connection)).then(|| Self {
            peer: peer.to_owned(),
            connection: connection.to_owned(),
        })
    }

    /// Returns the id of the client at its signaling server.
    pub(crate) fn peer(&self) -> &str {
        &self.peer
    }

    /// Returns what the client calls the connection.
    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }
}

impl Serialization {
    /// Reads the name that PeerJS gives it. Those that are not PeerJS's own are sent texts as they are.
    pub(crate) fn of_name(name: Option<&str>) -> Self {
        match name {
            Some("binary" | "binary-utf8") | None => Self::BinaryPack,
            Some("json") => Self::Json,
            Some(_) => Self::Raw,
        }
    }

    /// Returns a message that a client reads as this string, and true if the message is a binary one.
    ///
    /// # Panics
    /// When the string has more than 1,024 bytes.
    pub(crate) fn write(self, string: &str) -> (bool, Vec<u8>) {
        assert!(string.len() <= STRING_BYTES_MAX, "what is said is short");
        match self {
            Self::BinaryPack => {
                let length = u16::try_from(string.len()).expect("it is short");
                let [high, low] = length.to_be_bytes();
                let mut bytes = if string.len() <= SHORT_STRING_BYTES_MAX {
                    vec![0xb0 + low]
                } else {
                    vec![0xd8, high, low]
                };
                bytes.extend(string.as_bytes());
                (true, bytes)
            }
            Self::Json => (true, quoted(string).into_bytes()),
            Self::Raw => (false, string.as_bytes().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_written_as_each_client_reads_it() {
        let long = "a".repeat(300);

        let short = Serialization::BinaryPack.write("join");
        assert_eq!(short, (true, b"\xb4join".to_vec()));
        let (is_binary, bytes) = Serialization::BinaryPack.write(&long);
        assert!(is_binary && bytes[..3] == [0xd8, 1, 44] && bytes.len() == 303);
        let json = Serialization::Json.write("\"join\"");
        assert_eq!(json, (true, br#""\"join\"""#.to_vec()));
        assert_eq!(Serialization::Raw.write("join"), (false, b"join".to_vec()));
    }

    #[test]
    fn names_are_those_that_peerjs_has() {
        for (name, serialization) in [
            (None, Serialization::BinaryPack),
            (Some("binary"), Serialization::BinaryPack),
            (Some("binary-utf8"), Serialization::BinaryPack),
            (Some("json"), Serialization::Json),
            (Some("raw"), Serialization::Raw),
            (Some("MsgPack"), Serialization::Raw),
        ] {
            assert_eq!(Serialization::of_name(name), serialization);
        }
    }

    #[test]
    fn a_visitor_with_a_strange_name_is_none() {
        assert!(Visitor::new("5a1f9d2c-5c5e-4b4d", "dc_xk3v").is_some());
        for name in ["", "a\n", "<b>", "a\"", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(Visitor::new(name, "dc_1"), None);
            assert_eq!(Visitor::new("ada", name), None);
        }
    }
}
