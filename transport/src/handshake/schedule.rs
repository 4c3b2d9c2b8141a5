//! Derives the keys of a handshake, each for one use, from all that both ends have sent.

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use liferaft_platform::ClusterId;
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey as EphemeralKey, StaticSecret};
use zeroize::Zeroizing;

use super::ENTROPY_BYTES;
use super::message::{EPHEMERAL_BYTES, HEAD_BYTES, INDEX_BYTES, Index, TAG_BYTES};
use crate::sealing::{Secret, Secrets};

/// The length of keys, digests and of a MAC, in bytes.
pub(super) const KEY_BYTES: usize = 32;

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// A digest over all that was sent, in order. It begins with the cluster's id, without which nobody knows it.
#[derive(Clone, Copy)]
pub(super) struct Transcript([u8; KEY_BYTES]);

impl Transcript {
    pub(super) fn new(cluster: ClusterId) -> Self {
        let digest = Sha256::new()
            .chain_update(b"liferaft 1: handshake")
            .chain_update(cluster.0.to_be_bytes());
        Self(digest.finalize().into())
    }

    /// Returns the transcript with this message at its end.
    pub(super) fn with(self, message: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(self.0).chain_update(message);
        Self(digest.finalize().into())
    }

    pub(super) const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

/// Proves to have been made by somebody who knows the cluster's id, after what the transcript holds.
pub(super) fn cluster_tag(
    cluster: ClusterId,
    before: Transcript,
    tagged: &[u8],
) -> [u8; TAG_BYTES] {
    let tag = cluster_mac(cluster, before, tagged).finalize().into_bytes();
    let (tag, _) = tag.split_first_chunk().expect("a MAC is longer than a tag");
    *tag
}

/// Returns true if the tag is [`cluster_tag`]. It takes the same time for any wrong one.
pub(super) fn has_cluster_tag(
    cluster: ClusterId,
    before: Transcript,
    tagged: &[u8],
    tag: &[u8; TAG_BYTES],
) -> bool {
    cluster_mac(cluster, before, tagged)
        .verify_truncated_left(tag)
        .is_ok()
}

fn cluster_mac(cluster: ClusterId, before: Transcript, tagged: &[u8]) -> Hmac<Sha256> {
    hmac(&cluster.0.to_be_bytes())
        .chain_update(before.0)
        .chain_update(tagged)
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// One end's half of the key exchange, for one handshake.
pub(super) struct Ephemeral(StaticSecret);

impl Ephemeral {
    /// Makes the half of an initiator, and the index, which says nothing about it.
    pub(super) fn with_index(entropy: &[u8; ENTROPY_BYTES]) -> (Self, Index) {
        let mut index = [0; INDEX_BYTES];
        expand(entropy, b"liferaft 1: index", &mut index);
        (Self::new(entropy), Index(index))
    }

    pub(super) fn new(entropy: &[u8; ENTROPY_BYTES]) -> Self {
        let mut secret = Key::default();
        expand(entropy, b"liferaft 1: ephemeral", &mut *secret);
        Self(StaticSecret::from(*secret))
    }

    pub(super) fn public(&self) -> [u8; EPHEMERAL_BYTES] {
        EphemeralKey::from(&self.0).to_bytes()
    }

    /// Derives the keys that both ends share after opening and answer. `None` if the peer's half is one of the few that
    /// make the result known to everybody.
    pub(super) fn agree(&self, peer: [u8; EPHEMERAL_BYTES], answered: Transcript) -> Option<Keys> {
        let shared = self.0.diffie_hellman(&EphemeralKey::from(peer));
        shared
            .was_contributory()
            .then(|| Keys::new(shared.as_bytes(), answered))
    }
}

/// The keys of one handshake. Each seals one message, or signs it, or is expanded.
pub(super) struct Keys {
    pub(super) initiator: StatementKeys,
    pub(super) responder: StatementKeys,
    session: Key,
}

impl Keys {
    fn new(shared: &[u8; KEY_BYTES], answered: Transcript) -> Self {
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(&answered.0), shared);
        let key = |label: &[u8]| {
            let mut key = Key::default();
            hkdf.expand(label, &mut *key).expect(FEW_BYTES);
            key
        };
        Self {
            initiator: StatementKeys {
                sealing: key(b"liferaft 1: claim, sealing"),
                mac: key(b"liferaft 1: claim, mac"),
            },
            responder: StatementKeys {
                sealing: key(b"liferaft 1: verdict, sealing"),
                mac: key(b"liferaft 1: verdict, mac"),
            },
            session: key(b"liferaft 1: session"),
        }
    }

    /// Derives what the link is sealed with, from all four messages, as the end on this side holds it.
    pub(super) fn session(&self, ended: Transcript, side: Side) -> Session {
        let (_, hkdf) = Hkdf::<Sha256>::extract(Some(&ended.0), &*self.session);
        let secret = |label: &[u8]| {
            let mut secret = Key::default();
            hkdf.expand(label, &mut *secret).expect(FEW_BYTES);
            Secret::from_key(secret)
        };
        let secrets = |of_initiator: &[u8], of_responder: &[u8]| match side {
            Side::Initiator => Secrets {
                outgoing: secret(of_initiator),
                incoming: secret(of_responder),
            },
            Side::Responder => Secrets {
                outgoing: secret(of_responder),
                incoming: secret(of_initiator),
            },
        };
        let mut generation = [0; size_of::<u64>()];
        hkdf.expand(b"liferaft 1: generation", &mut generation)
            .expect(FEW_BYTES);
        Session {
            generation: u64::from_be_bytes(generation),
            datagrams: secrets(
                b"liferaft 1: datagrams of initiator",
                b"liferaft 1: datagrams of responder",
            ),
            ordered: secrets(
                b"liferaft 1: ordered of initiator",
                b"liferaft 1: ordered of responder",
            ),
        }
    }
}

/// Which end of a handshake holds the keys.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Initiator,
    Responder,
}

/// What a link is sealed with.
pub(super) struct Session {
    pub(super) generation: u64,
    pub(super) datagrams: Secrets,
    pub(super) ordered: Secrets,
}

/// The keys of what one end says.
pub(super) struct StatementKeys {
    sealing: Key,
    mac: Key,
}

impl StatementKeys {
    /// Seals the one text that these keys are for. The head of its message is not sealed, but proven.
    pub(super) fn seal(&self, head: &[u8; HEAD_BYTES], text: &[u8]) -> Bytes {
        let sealed = self
            .cipher()
            .encrypt(
                &ONLY_NONCE.into(),
                Payload {
                    msg: text,
                    aad: head,
                },
            )
            .expect("a statement is shorter than the 256 GiB of RFC 8439");
        [head.as_slice(), &sealed].concat().into()
    }

    /// Opens a message that was sealed; `None` if any bit of it is wrong.
    pub(super) fn open(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = message.split_at_checked(HEAD_BYTES)?;
        let payload = Payload {
            msg: sealed,
            aad: head,
        };
        self.cipher().decrypt(&ONLY_NONCE.into(), payload).ok()
    }

    /// Binds a statement, which names a key, to the exchange: only the two ends of it can.
    pub(super) fn mac(&self, before: Transcript, signed: &[u8]) -> [u8; KEY_BYTES] {
        self.hmac(before, signed).finalize().into_bytes().into()
    }

    /// Returns true if the MAC is [`mac`](Self::mac). It takes the same time for any wrong one.
    pub(super) fn has_mac(&self, before: Transcript, signed: &[u8], mac: &[u8; KEY_BYTES]) -> bool {
        self.hmac(before, signed).verify_slice(mac).is_ok()
    }

    fn hmac(&self, before: Transcript, signed: &[u8]) -> Hmac<Sha256> {
        hmac(&*self.mac).chain_update(before.0).chain_update(signed)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.sealing).into())
    }
}

/// A sealing key of a handshake seals one text, so that its nonce never comes twice.
const ONLY_NONCE: [u8; 12] = [0; 12];

const FEW_BYTES: &str = "a key is short enough to expand to";

fn expand(entropy: &[u8; ENTROPY_BYTES], label: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::from_prk(entropy)
        .expect("entropy is as long as a digest")
        .expand(label, out)
        .expect(FEW_BYTES);
}
