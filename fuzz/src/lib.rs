//! Holds what the fuzzer feeds: functions of bytes that panic when a promise is broken. The corpora under
//! `fuzz/corpus/` run through them as ordinary tests, and so do bytes from a seed.
//!
//! The promise of every decoder: any bytes are either refused or understood, without a panic, and what was understood
//! is encoded to something that is understood in the same way. The promise of the core: nothing that the network, the
//! disk or a client can do makes it panic. The promise of a handshake: nothing that the network does makes a link with
//! anybody but the other end, and the promise of links that no frame arrives twice or by another link than its own.

mod cluster;
mod forge;
mod handshake;
mod links;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use liferaft_kv::Kv;
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::sessions::{
    Envelope, HEADER_BYTES, OWNED_HEADER_BYTES, Sessions, ordered_registration, owned_registration,
    registration,
};
use liferaft_raft::state_machine::{ApplyContext, Capture, StateMachine};
use liferaft_raft::time::ClusterTime;
use liferaft_raft::wire::Frame;
use liferaft_transport::handshake::{Heading, MESSAGE_BYTES_MAX};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::sealing::{Opener, Secret};

/// A target: its name, which is also that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("frame", frame),
    ("envelope", envelope),
    ("sessions", sessions),
    ("kv_snapshot", kv_snapshot),
    ("kv_commands", kv_commands),
    ("core", core),
    ("invitation", invitation),
    ("handshake", handshake),
    ("links", links),
];

/// A frame from another member.
///
/// # Panics
/// When a decoded frame does not survive encoding.
pub fn frame(data: &[u8]) {
    if let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) {
        let again = Frame::decode(frame.encode()).expect("an encoded frame is understood");
        assert_eq!(again, frame, "encoding changed the frame");
    }
}

/// A command of the log, as its session wrapped it.
///
/// # Panics
/// Never, or the decoder has a fault.
pub fn envelope(data: &[u8]) {
    let again = match Envelope::decode(data) {
        Ok(Envelope::Command {
            owner,
            header,
            body,
        }) => {
            let header_bytes = owner.map_or(HEADER_BYTES, |_| OWNED_HEADER_BYTES);
            let mut again = vec![0; header_bytes];
            again.extend_from_slice(body);
            match owner {
                Some(owner) => header.write_owned_to(owner, &mut again),
                None => header.write_to(&mut again),
            }
            again
        }
        Ok(Envelope::Register {
            owner: Some(owner),
            nonce,
        }) => owned_registration(owner, nonce),
        Ok(Envelope::Register { owner: None, nonce }) => registration(nonce),
        Ok(Envelope::RegisterOrdered { nonce }) => ordered_registration(nonce),
        Err(_) => return,
    };
    assert_eq!(again, data, "encoding changed the command");
}

/// The session table in a snapshot.
///
/// # Panics
/// When a decoded table does not survive encoding.
pub fn sessions(data: &[u8]) {
    if let Ok(table) = Sessions::<u64>::decode(data, Index(1 << 40)) {
        let encoded = table.encode();
        Sessions::<u64>::decode(&encoded, Index(1 << 40)).expect("an encoded table is understood");
    }
}

/// The key-value store in a snapshot.
///
/// # Panics
/// When a restored store does not survive its own snapshot.
pub fn kv_snapshot(data: &[u8]) {
    let mut kv = Kv::new();
    if kv.restore(data).is_ok() {
        let mut again = Kv::new();
        again
            .restore(&kv.snapshot().encode())
            .expect("its own snapshot is understood");
        assert_eq!(again, kv, "a snapshot changed the store");
    }
}

/// Commands of the key-value store, whatever checks their sender left out.
///
/// # Panics
/// When the store cannot be restored from its own snapshot.
pub fn kv_commands(data: &[u8]) {
    let mut kv = Kv::new();
    let mut rest = data;
    for index in 1.. {
        let Ok((command, after)) = postcard::take_from_bytes(rest) else {
            break;
        };
        rest = after;
        let time = ClusterTime(index);
        drop(kv.apply(
            ApplyContext {
                index: Index(index),
                term: Term(1),
                time,
            },
            command,
        ));
    }
    let mut again = Kv::new();
    again
        .restore(&kv.snapshot().encode())
        .expect("its own snapshot is understood");
    assert_eq!(again, kv, "a snapshot changed the store");
}

/// Three servers under arbitrary inputs: messages delivered in any order, twice or never, and forged ones among them.
///
/// # Panics
/// Never, or the core has a fault.
pub fn core(data: &[u8]) {
    cluster::run(data);
}

/// A text that somebody pasted for an invitation, and a body within a text that is whole: no fuzzer finds a checksum.
///
/// # Panics
/// When an invitation does not survive its own text.
pub fn invitation(data: &[u8]) {
    for text in [str::from_utf8(data).ok().map(str::to_owned), whole(data)] {
        let Some(Ok(invitation)) = text.map(|text| text.parse::<Invitation>()) else {
            continue;
        };
        let written = invitation.to_string();
        let again: Invitation = written.parse().expect("its own text is understood");
        assert_eq!(again.to_string(), written, "its text changed it");
    }
}

/// The text of an invitation with this body, unless no text has so long a one.
fn whole(body: &[u8]) -> Option<String> {
    let mut bytes = vec![1];
    bytes.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    bytes.extend(body);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    Some(Base64UrlUnpadded::encode_string(&bytes))
}

/// A handshake with an adversary in the middle, and what arrives before anybody is believed: statements that somebody
/// has sealed who knows the cluster's id, and packets.
///
/// # Panics
/// When a link is made with somebody else, or a decoded statement does not survive encoding.
pub fn handshake(data: &[u8]) {
    handshake::run(data);
    for again in liferaft_transport::handshake::recode(data)
        .into_iter()
        .flatten()
    {
        assert_eq!(again, data, "encoding changed the statement");
    }
    if Heading::read(data).is_some() {
        assert!(data.len() <= MESSAGE_BYTES_MAX, "too long for a handshake");
    }
    let opened = Opener::new(Secret::from_bytes([7; 32])).open(Bytes::copy_from_slice(data));
    assert!(
        opened.is_err(),
        "a packet that nobody has sealed was opened"
    );
}

/// Links whose packets an adversary delivers in any order, changes and makes up, while carriers refuse and time passes.
///
/// # Panics
/// When a frame arrives twice, by another link than it was sent on, or from nobody, or when a stranger costs too much.
pub fn links(data: &[u8]) {
    links::run(data);
}
