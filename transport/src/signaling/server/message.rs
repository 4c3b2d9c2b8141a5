//! Reads and writes the messages of a PeerJS server: JSON objects of a type, a source, a destination and a payload.
//!
//! Offers, answers and candidates are as PeerJS's own clients send them, so that these and we understand each other. A
//! session and its round are in `connectionId`: `liferaft_`, 16 hexadecimal digits, `_` and the round. What asks
//! whether anybody is there, and what says so, are candidates with the field `liferaft` and without a candidate:
//! PeerJS's server carries no other types, and its clients make nothing of them. Any other `connectionId` is of a
//! visitor: a client of PeerJS that has dialed this server.

use liferaft_platform::SortedSet;

use super::super::json::{Json, object, quoted};
use super::super::{Body, Serialization, Session, Signal, Visit, VisitBody, Visitor};
use crate::ServerId;
use crate::webrtc::description::{Description, IceCandidate, MID};

/// The longest message that is read or written, in bytes: the longest frame that our server carries.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The most peers of a room that are taken from a server's list: as many as our server has in one.
pub(super) const PRESENT_MAX: usize = 256;

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
    Visit(Visit),
    /// What is nothing of ours. It shows that the server is there.
    Other,
}

/// Reads the list of those who are registered in a room: servers that are not this one. Others are left out.
pub(super) fn read_present(text: &str, own: ServerId) -> Vec<ServerId> {
    let listed = match text.len() {
        0..=MESSAGE_BYTES_MAX => Json::read(text),
        _ => None,
    };
    let ids = listed.iter().flat_map(Json::texts);
    let servers = ids.filter_map(|id| read_id(&id));
    let servers: SortedSet<_> = servers.filter(|id| *id != own).take(PRESENT_MAX).collect();
    servers.into_iter().collect()
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
        let message = Json::read(text)?;
        let kind = &message.text("type")?[..];
        let payload = &message.get("payload");
        match kind {
            "OPEN" => return Some(Self::Open),
            "ID-TAKEN" => return Some(Self::IdTaken),
            "ERROR" => {
                let why = payload.text("msg").unwrap_or_default();
                return Some(Self::Error(why.chars().take(200).collect()));
            }
            _ => {}
        }
        let source = &message.text("src")?[..];
        if kind == "EXPIRE" {
            return Some(Self::Expired(read_id(source)?));
        }
        let connection = &payload.text("connectionId")?[..];
        if !connection.starts_with(SESSION_MARK) {
            let visitor = Visitor::new(source, connection)?;
            let body = read_visit(kind, payload)?;
            return Some(Self::Visit(Visit { visitor, body }));
        }
        let from = read_id(source)?;
        let session = read_session(connection)?;
        let sdp = || read_sdp(payload);
        let body = match (kind, payload.text("liferaft").as_deref()) {
            ("OFFER", _) => Body::Offer(sdp()?),
            ("ANSWER", _) => Body::Answer(sdp()?),
            ("CANDIDATE", Some("ask")) => Body::Ask,
            ("CANDIDATE", Some("ready")) => Body::Ready,
            ("CANDIDATE", None) => Body::Candidate(read_candidate(payload)?),
            _ => return None,
        };
        Some(Self::Signal(from, Signal::new(session, body)))
    }
}

/// Reads what a client of PeerJS says of a connection that it offers. Those of media are none.
fn read_visit(kind: &str, payload: &Json) -> Option<VisitBody> {
    match (kind, &payload.text("type")?[..]) {
        ("OFFER", "data") => {
            let serialization = Serialization::of_name(payload.text("serialization").as_deref());
            Some(VisitBody::Offer(read_sdp(payload)?, serialization))
        }
        ("CANDIDATE", "data") => Some(VisitBody::Candidate(read_candidate(payload)?)),
        _ => None,
    }
}

fn read_sdp(payload: &Json) -> Option<Description> {
    Description::from_sdp(&payload.get("sdp").text("sdp")?).ok()
}

fn read_candidate(payload: &Json) -> Option<IceCandidate> {
    IceCandidate::from_sdp(&payload.get("candidate").text("candidate")?)
}

/// Writes what answers a visitor's offer; `None` if it is nothing that members say.
pub(super) fn write_answer(answer: &Visit) -> Option<String> {
    let VisitBody::Answer(description) = &answer.body else {
        return None;
    };
    let sdp = ("sdp", &write_sdp("answer", description)[..]);
    let payload = write_payload(answer.visitor.connection(), None, Some(sdp));
    Some(write_message("ANSWER", answer.visitor.peer(), &payload))
}

/// Writes a signal for a server.
pub(super) fn write(to: ServerId, signal: &Signal) -> String {
    let Session { number, round } = signal.session;
    let connection = format!("{SESSION_MARK}{number:016x}_{round}");
    let (kind, candidate, field) = match &signal.body {
        Body::Ask => ("CANDIDATE", None, Some(("liferaft", quoted("ask")))),
        Body::Ready => ("CANDIDATE", None, Some(("liferaft", quoted("ready")))),
        Body::Offer(offer) => ("OFFER", None, Some(("sdp", write_sdp("offer", offer)))),
        Body::Answer(answer) => ("ANSWER", None, Some(("sdp", write_sdp("answer", answer)))),
        Body::Candidate(candidate) => {
            let candidate = object(&[
                ("candidate", &quoted(&candidate.to_sdp())),
                ("sdpMLineIndex", "0"),
                ("sdpMid", &quoted(MID)),
            ]);
            ("CANDIDATE", Some(candidate), None)
        }
    };
    let field = field.as_ref().map(|(name, value)| (*name, &value[..]));
    let payload = write_payload(&connection, candidate.as_deref(), field);
    write_message(kind, &write_id(to), &payload)
}

/// Writes what a server carries back to whoever has sent it, which shows that it is there: it answers nothing else.
pub(super) fn echo(own: ServerId) -> String {
    let field = ("liferaft", &quoted("echo")[..]);
    let payload = write_payload("liferaft_echo", None, Some(field));
    write_message("CANDIDATE", &write_id(own), &payload)
}

fn write_message(kind: &str, to: &str, payload: &str) -> String {
    let (kind, to) = (quoted(kind), quoted(to));
    object(&[("dst", &to), ("payload", payload), ("type", &kind)])
}

fn write_payload(connection: &str, candidate: Option<&str>, field: Option<(&str, &str)>) -> String {
    let connection = quoted(connection);
    let candidate = candidate.map(|candidate| ("candidate", candidate));
    let fields = candidate
        .into_iter()
        .chain([("connectionId", &connection[..])]);
    let fields = fields.chain(field).chain([("type", "\"data\"")]);
    object(&fields.collect::<Vec<_>>())
}

fn write_sdp(kind: &str, description: &Description) -> String {
    let (sdp, kind) = (quoted(&description.to_sdp()), quoted(kind));
    object(&[("sdp", &sdp), ("type", &kind)])
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
    use serde_json::{Value, json};

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
    fn a_signal_is_written_in_these_bytes() {
        let session = Session {
            number: 0xad,
            round: 2,
        };

        let written = write(id(), &Signal::new(session, Body::Ready));

        let to = r#""dst":"0000000000000000000000000000001f""#;
        let payload =
            r#"{"connectionId":"liferaft_00000000000000ad_2","liferaft":"ready","type":"data"}"#;
        assert_eq!(
            written,
            format!(r#"{{{to},"payload":{payload},"type":"CANDIDATE"}}"#)
        );
    }

    /// As `JSON.stringify` writes it.
    #[test]
    fn a_text_is_quoted_as_browsers_quote_it() {
        let text = "\"\\/\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}<é\u{2028}😀";

        let quoted = quoted(text);

        let escaped = r#"\"\\/\b\t\n\u000b\f\r\u001f"#;
        assert_eq!(quoted, format!("\"{escaped}\u{7f}<é\u{2028}😀\""));
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

    fn offer_of_peerjs(serialization: &str) -> Value {
        let sdp = crate::webrtc::description::tests::description(1).to_sdp();
        let payload = json!({
            "sdp": { "type": "offer", "sdp": sdp },
            "type": "data",
            "connectionId": "dc_xk3v",
            "metadata": { "of": ["whoever"] },
            "label": "dc_xk3v",
            "reliable": false,
            "serialization": serialization,
        });
        json!({ "type": "OFFER", "src": "5a1f9d2c-5c5e", "dst": write_id(id()), "payload": payload })
    }

    #[test]
    fn an_offer_of_a_client_of_peerjs_is_a_visit() {
        let message = Message::read(&offer_of_peerjs("json").to_string());

        let visitor = Visitor::new("5a1f9d2c-5c5e", "dc_xk3v").expect("names");
        let description = crate::webrtc::description::tests::description(1);
        let body = VisitBody::Offer(description, Serialization::Json);
        assert_eq!(message, Message::Visit(Visit { visitor, body }));
    }

    #[test]
    fn an_offer_of_media_or_without_names_is_no_visit() {
        for (field, value) in [
            ("/payload/type", json!("media")),
            ("/payload/connectionId", json!("<b>")),
            ("/payload/sdp/sdp", json!("v=0")),
            ("/src", json!("a".repeat(65))),
            ("/type", json!("ANSWER")),
        ] {
            let mut message = offer_of_peerjs("binary");
            *message.pointer_mut(field).expect("it has the field") = value;

            let read = Message::read(&message.to_string());

            assert_eq!(read, Message::Other, "{field}");
        }
    }

    #[test]
    fn a_visitor_is_answered_by_the_names_that_it_has_given() {
        let visitor = Visitor::new("ada", "dc_7").expect("names");
        let description = crate::webrtc::description::tests::description(2);
        let body = VisitBody::Answer(description.clone());

        let written = write_answer(&Visit { visitor, body }).expect("it is an answer");

        let message: Value = serde_json::from_str(&written).expect("it is JSON");
        assert_eq!(
            (&message["type"], &message["dst"]),
            (&json!("ANSWER"), &json!("ada"))
        );
        assert_eq!(message["payload"]["connectionId"], "dc_7");
        assert_eq!(message["payload"]["sdp"]["sdp"], description.to_sdp());
    }

    proptest! {
        #[test]
        fn an_offer_of_a_client_that_is_changed_is_read(at in 0..2_000_usize, byte in b' '..b'~') {
            let mut text = offer_of_peerjs("raw").to_string().into_bytes();
            let at = at % text.len();
            text[at] = byte;

            let _any = Message::read(&String::from_utf8(text).expect("it is ASCII"));
        }

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
