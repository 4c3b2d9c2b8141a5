//! Reads and writes PeerJS's messages: JSON objects of a type, a source, a destination and a payload.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::names::PeerId;

/// What a peer says to the server.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// It is alive.
    Heartbeat,
    /// It gives up its id.
    Leave,
    /// Something for another peer, which the server does not read.
    Relay(Relayed<'a>),
    /// A type that the server does not know: PeerJS ignores these.
    Unknown,
}

/// A message for another peer.
#[derive(Debug)]
pub(crate) struct Relayed<'a> {
    kind: Kind,
    pub(crate) destination: PeerId,
    payload: Option<&'a RawValue>,
}

/// The types of messages that peers send each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Offer,
    Answer,
    Candidate,
    Leave,
    Expire,
}

/// A message is not one: no JSON, no object, a field twice, or a destination that is no id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Garbage;

impl<'a> Incoming<'a> {
    /// Reads a frame. Its payload stays as it is.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Garbage> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(default, borrow)]
            dst: Option<Cow<'a, str>>,
            #[serde(default, borrow)]
            payload: Option<&'a RawValue>,
        }
        let frame: Frame<'a> = serde_json::from_str(text).map_err(|_| Garbage)?;
        let destination = match frame.dst.as_deref() {
            None | Some("") => None,
            Some(id) => Some(id.parse::<PeerId>().map_err(|_| Garbage)?),
        };
        let kind = match (&*frame.kind, &destination) {
            ("HEARTBEAT", _) => return Ok(Self::Heartbeat),
            ("LEAVE", None) => return Ok(Self::Leave),
            ("LEAVE", Some(_)) => Kind::Leave,
            ("OFFER", _) => Kind::Offer,
            ("ANSWER", _) => Kind::Answer,
            ("CANDIDATE", _) => Kind::Candidate,
            ("EXPIRE", _) => Kind::Expire,
            _ => return Ok(Self::Unknown),
        };
        Ok(Self::Relay(Relayed {
            kind,
            destination: destination.ok_or(Garbage)?,
            payload: frame.payload,
        }))
    }
}

impl Relayed<'_> {
    /// Returns true if it waits for a peer that is not there.
    pub(crate) fn waits(&self) -> bool {
        !matches!(self.kind, Kind::Leave | Kind::Expire)
    }

    /// Writes it with its true source, whatever the sender said.
    pub(crate) fn stamped(&self, source: &PeerId) -> String {
        write(&Frame {
            kind: self.kind,
            src: source.as_str(),
            dst: self.destination.as_str(),
            payload: self.payload,
        })
    }
}

#[derive(Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    src: &'a str,
    dst: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

/// What `source` was sent by `destination` was not delivered in time.
pub(crate) fn expire(source: &PeerId, destination: &PeerId) -> String {
    write(&Frame {
        kind: Kind::Expire,
        src: source.as_str(),
        dst: destination.as_str(),
        payload: None,
    })
}

/// The id belongs to the connection.
pub(crate) fn open() -> String {
    r#"{"type":"OPEN"}"#.to_owned()
}

/// The id belongs to another.
pub(crate) fn id_taken() -> String {
    r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#.to_owned()
}

/// The server refuses, and says why. `why` holds nothing that JSON escapes.
pub(crate) fn error(why: &'static str) -> String {
    format!(r#"{{"type":"ERROR","payload":{{"msg":"{why}"}}}}"#)
}

fn write(frame: &Frame<'_>) -> String {
    serde_json::to_string(frame).expect("strings and JSON are written to memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(text: &str) -> String {
        match Incoming::parse(text) {
            Ok(Incoming::Relay(relayed)) => relayed.stamped(&"ada".parse().expect("an id")),
            other => panic!("it is for nobody: {other:?}"),
        }
    }

    #[test]
    fn the_source_is_the_servers_word_and_the_payload_the_peers() {
        let sent = r#"{"type":"OFFER","src":"eve","dst":"bob","payload":{"sdp": [1.0, "\u00e4"]},"extra":1}"#;

        let relayed = stamped(sent);

        assert_eq!(
            relayed,
            r#"{"type":"OFFER","src":"ada","dst":"bob","payload":{"sdp": [1.0, "\u00e4"]}}"#
        );
    }

    #[test]
    fn a_leave_is_for_the_server_unless_it_names_a_peer() {
        let for_all = Incoming::parse(r#"{"type":"LEAVE"}"#);

        assert!(matches!(for_all, Ok(Incoming::Leave)));
        assert_eq!(
            stamped(r#"{"type":"LEAVE","dst":"bob"}"#),
            r#"{"type":"LEAVE","src":"ada","dst":"bob"}"#
        );
    }

    #[test]
    fn an_unknown_type_is_no_garbage() {
        let parsed = Incoming::parse(r#"{"type":"NEWS","dst":"bob"}"#);

        assert!(matches!(parsed, Ok(Incoming::Unknown)));
    }

    #[test]
    fn garbage_is_told_from_messages() {
        for garbage in [
            "",
            "[]",
            "null",
            "\u{0}",
            r#"{"type":1}"#,
            r#"{"dst":"bob"}"#,
            r#"{"type":"OFFER"}"#,
            r#"{"type":"OFFER","dst":"<b>"}"#,
            r#"{"type":"OFFER","dst":{"a":1}}"#,
            r#"{"type":"OFFER","type":"OFFER","dst":"bob"}"#,
        ] {
            assert_eq!(Incoming::parse(garbage).err(), Some(Garbage), "{garbage}");
        }
    }

    #[test]
    fn deep_payloads_are_carried_without_recursion() {
        let deep = "[".repeat(30_000) + &"]".repeat(30_000);
        let sent = format!(r#"{{"type":"OFFER","dst":"bob","payload":{deep}}}"#);

        assert!(stamped(&sent).contains(&deep));
    }
}
