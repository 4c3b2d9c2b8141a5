//! Reads and writes the messages of a PeerJS server: JSON objects of a type, a source, a destination and a payload.
//!
//! Offers, answers and candidates are as PeerJS's own clients send them, so that these and we understand each other. A
//! session and its round are in `connectionId`: `liferaft_`, 16 hexadecimal digits, `_` and the round. What asks whether
//! anybody is there, and what says so, are candidates with the field `liferaft` and without a candidate: PeerJS's server
//! carries no other types, and its clients make nothing of them.

use serde_json::{Value, json};

use super::super::{Body, Session, Signal};
use crate::ServerId;
use crate::webrtc::description::{Description, IceCandidate, MID};

/// The longest message that is read or written, in bytes: the longest frame that our server carries.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What `connectionId` of our sessions begins with.
const SESSION_MARK: &str = "liferaft_";

/// The message that keeps the id.
pub(super) const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;

/// What a server says, or carries from another peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The id is ours.
    Open,
    /// The id is another's.
    IdTaken,
    /// We are refused, for this reason.
    Error(String),
    /// Nobody of this id has taken what we sent.
    Expired(ServerId),
    Signal(ServerId, Signal),
    /// What is nothing of ours. It shows that the server is there.
    Other,
}

impl Message {
    /// Reads a message.
    pub(super) fn read(text: &str) -> Self {
        Self::read_known(text).unwrap_or(Self::Other)
    }

    fn read_known(text: &str) -> Option<Self> {
        if text.len() > MESSAGE_BYTES_MAX {
            return None;
        }
        let message: Value = serde_json::from_str(text).ok()?;
        let kind = message.get("type")?.as_str()?;
        let payload = &message["payload"];
        match kind {
            "OPEN" => return Some(Self::Open),
            "ID-TAKEN" => return Some(Self::IdTaken),
            "ERROR" => {
                let why = payload["msg"].as_str().unwrap_or_default();
                return Some(Self::Error(why.chars().take(200).collect()));
            }
            _ => {}
        }
        let from = read_id(message.get("src")?.as_str()?)?;
        if kind == "EXPIRE" {
            return Some(Self::Expired(from));
        }
        let session = read_session(payload["connectionId"].as_str()?)?;
        let sdp = || Description::from_sdp(payload["sdp"]["sdp"].as_str()?).ok();
        let body = match (kind, payload["liferaft"].as_str()) {
            ("OFFER", _) => Body::Offer(sdp()?),
            ("ANSWER", _) => Body::Answer(sdp()?),
            ("CANDIDATE", Some("ask")) => Body::Ask,
            ("CANDIDATE", Some("ready")) => Body::Ready,
            ("CANDIDATE", None) => {
                let candidate = payload["candidate"]["candidate"].as_str()?;
                Body::Candidate(IceCandidate::from_sdp(candidate)?)
            }
            _ => return None,
        };
        Some(Self::Signal(from, Signal::new(session, body)))
    }
}

/// Writes a signal for a server.
pub(super) fn write(to: ServerId, signal: &Signal) -> String {
    let Session { number, round } = signal.session;
    let mut payload = json!({
        "type": "data",
        "connectionId": format!("{SESSION_MARK}{number:016x}_{round}"),
    });
    let kind = match &signal.body {
        Body::Ask => {
            payload["liferaft"] = json!("ask");
            "CANDIDATE"
        }
        Body::Ready => {
            payload["liferaft"] = json!("ready");
            "CANDIDATE"
        }
        Body::Offer(description) => {
            payload["sdp"] = json!({ "type": "offer", "sdp": description.to_sdp() });
            "OFFER"
        }
        Body::Answer(description) => {
            payload["sdp"] = json!({ "type": "answer", "sdp": description.to_sdp() });
            "ANSWER"
        }
        Body::Candidate(candidate) => {
            let candidate = candidate.to_sdp();
            payload["candidate"] =
                json!({ "candidate": candidate, "sdpMid": MID, "sdpMLineIndex": 0 });
            "CANDIDATE"
        }
    };
    json!({ "type": kind, "dst": write_id(to), "payload": payload }).to_string()
}

/// Writes what a server carries back to whoever has sent it, which shows that it is there: it answers nothing else.
pub(super) fn echo(own: ServerId) -> String {
    let payload = json!({ "type": "data", "connectionId": "liferaft_echo", "liferaft": "echo" });
    json!({ "type": "CANDIDATE", "dst": write_id(own), "payload": payload }).to_string()
}

/// Writes a server's id as that of a peer: 32 hexadecimal digits.
pub(crate) fn write_id(id: ServerId) -> String {
    format!("{:032x}", u128::from(id))
}

/// Reads 32 hexadecimal digits.
pub(crate) fn read_id(text: &str) -> Option<ServerId> {
    let is_id = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_id)?;
    Some(ServerId::from(bits))
}

fn read_session(text: &str) -> Option<Session> {
    let (number, round) = text.strip_prefix(SESSION_MARK)?.split_once('_')?;
    let is_number = number.len() == 16 && number.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_round = round.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && is_round).then_some(Session {
        number: u64::from_str_radix(number, 16).ok()?,
        round: round.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::signal::tests::signals;
    use super::*;

    fn id() -> ServerId {
        ServerId::from(0x1f)
    }

    /// Returns what a server carries of a message: it names the sender.
    fn carried(text: &str, from: ServerId) -> String {
        let mut message: Value = serde_json::from_str(text).expect("it is JSON");
        message["src"] = json!(write_id(from));
        message.to_string()
    }

    #[test]
    fn what_a_server_says_is_told_apart() {
        let read = Message::read;

        assert_eq!(read(r#"{"type":"OPEN"}"#), Message::Open);
        assert_eq!(
            read(r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#),
            Message::IdTaken
        );
        assert_eq!(
            read(r#"{"type":"ERROR","payload":{"msg":"Invalid key provided"}}"#),
            Message::Error("Invalid key provided".to_owned())
        );
        let expired = r#"{"type":"EXPIRE","src":"0000000000000000000000000000001f","dst":"a"}"#;
        assert_eq!(read(expired), Message::Expired(id()));
    }

    #[test]
    fn what_is_nothing_of_ours_is_other() {
        for text in [
            "",
            "null",
            "[]",
            r#"{"type":7}"#,
            r#"{"type":"OFFER"}"#,
            r#"{"type":"OFFER","src":"ada","payload":{}}"#,
            r#"{"type":"EXPIRE","src":"1f"}"#,
            r#"{"type":"CANDIDATE","src":"0000000000000000000000000000001f","payload":null}"#,
            r#"{"type":"OFFER","src":"0000000000000000000000000000001f","payload":{"connectionId":"dc_7"}}"#,
        ] {
            assert_eq!(Message::read(text), Message::Other, "{text}");
        }
        let deep = "[".repeat(30_000);
        assert_eq!(Message::read(&deep), Message::Other);
        let long = format!(
            r#"{{"type":"OPEN","x":"{}"}}"#,
            "a".repeat(MESSAGE_BYTES_MAX)
        );
        assert_eq!(Message::read(&long), Message::Other);
    }

    #[test]
    fn an_echo_is_nothing_but_a_sign_of_the_server() {
        assert_eq!(Message::read(&carried(&echo(id()), id())), Message::Other);
    }

    #[test]
    fn an_id_has_32_digits() {
        assert_eq!(read_id(&write_id(id())), Some(id()));
        for text in ["1f", "+000000000000000000000000000001f", "", "0x1f"] {
            assert_eq!(read_id(text), None);
        }
    }

    proptest! {
        #[test]
        fn a_signal_is_read_as_it_is_written(signal in signals()) {
            let text = write(id(), &signal);

            prop_assert!(text.len() < MESSAGE_BYTES_MAX);
            let read = Message::read(&carried(&text, ServerId::from(7)));
            prop_assert_eq!(read, Message::Signal(ServerId::from(7), signal));
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,200}") {
            let _any = Message::read(&text);
        }
    }
}
