//! Gives a server its id: the digest of a public key whose secret half lies in the server's storage.
//!
//! So an id is made with its storage and never used without it: whoever has lost the storage has lost the key, and
//! comes back as another server. [`Storage::identity`](crate::storage::Storage::identity) is the only source of ids
//! that a member takes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use futures::future::BoxFuture;
use liferaft_platform as platform;
use liferaft_transport::endpoint::Signer;
use liferaft_transport::signing::SIGNATURE_BYTES;
use sha2::{Digest, Sha256};

pub use liferaft_platform::{PUBLIC_KEY_BYTES, PublicKey, Starts};

use crate::ids::ServerId;

/// The length of a secret key, in bytes.
pub const SECRET_KEY_BYTES: usize = 32;

/// Who a server is: its Ed25519 key pair, its id, and which of its starts this is. It signs by
/// [`Signer::sign`].
///
/// ```
/// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
/// use liferaft::identity::Identity;
///
/// let ada = Identity::draw();
/// assert_ne!(ada.id(), Identity::draw().id());
/// ```
#[derive(Clone)]
pub struct Identity {
    key: Key,
    public_key: PublicKey,
    id: ServerId,
    starts: Starts,
}

/// Where the secret half of the key pair is.
#[derive(Clone)]
enum Key {
    Memory(Arc<SigningKey>),
    Elsewhere(Arc<dyn Signer>),
}

impl Identity {
    /// Draws a key pair, and with it an id, that nobody else has.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    #[must_use]
    pub fn draw() -> Self {
        Self::from_secret_key(&draw_secret_key())
    }

    /// Derives a key pair from a number: the same pair for the same number, anywhere. For tests and simulations, since
    /// anybody can derive it.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"liferaft: a key for tests");
        digest.update(seed.to_be_bytes());
        Self::from_secret_key(&digest.finalize().into())
    }

    /// Takes the key pair up that [`secret_key`](Self::secret_key) belongs to, as a storage does that keeps it.
    #[must_use]
    pub fn from_secret_key(secret: &[u8; SECRET_KEY_BYTES]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let public_key = PublicKey(key.verifying_key().to_bytes());
        Self::of(Key::Memory(Arc::new(key)), public_key)
    }

    /// Takes up a key pair whose secret half this process cannot read, as a browser keeps it: it may take its time to
    /// sign, and may fail to.
    #[must_use]
    pub fn by(signer: Arc<dyn Signer>) -> Self {
        let public_key = signer.public_key();
        Self::of(Key::Elsewhere(signer), public_key)
    }

    fn of(key: Key, public_key: PublicKey) -> Self {
        Self {
            key,
            public_key,
            id: public_key.server_id(),
            starts: Starts::default(),
        }
    }

    /// This identity, at the newest of these starts.
    #[must_use]
    pub const fn at(mut self, starts: Starts) -> Self {
        self.starts = starts;
        self
    }

    /// Returns the server's id: the first 128 bits of the SHA-256 digest of its public key, as a big-endian number.
    #[must_use]
    pub const fn id(&self) -> ServerId {
        self.id
    }

    /// Returns the Ed25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Returns the Ed25519 secret key, for the storage that keeps it and for nobody else; `None` if it is not
    /// [in memory](Self::by).
    #[must_use]
    pub fn secret_key(&self) -> Option<&[u8; SECRET_KEY_BYTES]> {
        match &self.key {
            Key::Memory(key) => Some(key.as_bytes()),
            Key::Elsewhere(_) => None,
        }
    }

    /// Returns how often the storage was opened, this time included. It only grows, durably: no two starts of a server
    /// have the same number.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        self.starts.newest().number
    }

    /// Returns the number that was drawn for this start. It tells two starts apart even if the storage was copied or
    /// set back, so that both have the same [`boot`](Self::boot).
    #[must_use]
    pub const fn nonce(&self) -> u64 {
        self.starts.newest().nonce
    }

    /// Returns what peers are shown of this start and of those before it. They remember the newest: see
    /// [`boots`](crate::boots).
    #[must_use]
    pub const fn starts(&self) -> &Starts {
        &self.starts
    }
}

/// Draws the secret half of a key pair that nobody else has.
///
/// # Panics
/// When the system has no source of randomness.
pub(crate) fn draw_secret_key() -> [u8; SECRET_KEY_BYTES] {
    let halves = [platform::entropy_u128(), platform::entropy_u128()];
    let mut secret = [0; SECRET_KEY_BYTES];
    for (bytes, half) in secret.chunks_exact_mut(size_of::<u128>()).zip(halves) {
        bytes.copy_from_slice(&half.to_le_bytes());
    }
    secret
}

/// Signs at once if its key is in memory.
impl Signer for Identity {
    fn public_key(&self) -> PublicKey {
        self.public_key
    }

    fn sign(&self, bytes: Bytes) -> BoxFuture<'static, Option<[u8; SIGNATURE_BYTES]>> {
        match &self.key {
            Key::Memory(key) => Box::pin(std::future::ready(Some(key.sign(&bytes).to_bytes()))),
            Key::Elsewhere(signer) => signer.sign(bytes),
        }
    }
}

/// Never shows the secret key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .field("boot", &self.boot())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// The first test of RFC 8032, section 7.1.
    const SECRET: [u8; SECRET_KEY_BYTES] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ];

    #[test]
    fn an_id_is_the_digest_of_the_public_key() {
        let identity = Identity::from_secret_key(&SECRET);

        assert_eq!(identity.public_key().0[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(
            identity.id(),
            ServerId(0x21fe_31df_a154_a261_626b_f854_046f_d227)
        );
    }

    #[test]
    fn a_secret_key_gives_back_the_identity() {
        let drawn = Identity::draw();

        let secret = drawn.secret_key().expect("it is in memory");
        let again = Identity::from_secret_key(secret);

        assert_eq!(again.id(), drawn.id());
        assert_eq!(again.public_key(), drawn.public_key());
    }

    #[test]
    fn a_key_that_is_elsewhere_signs_and_is_not_given_out() {
        let here = Identity::from_secret_key(&SECRET);

        let elsewhere = Identity::by(Arc::new(here.clone()));

        let [one, other] = [&here, &elsewhere].map(|identity| identity.sign(Bytes::new()));
        assert_eq!(elsewhere.id(), here.id());
        assert_eq!(one.now_or_never(), other.now_or_never());
        assert_eq!(elsewhere.secret_key(), None);
    }

    #[test]
    fn one_seed_gives_one_identity_and_another_seed_another() {
        let [one, again, other] = [1, 1, 2].map(|seed| Identity::from_seed(seed).id());

        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn the_secret_key_is_never_shown() {
        let identity = Identity::from_secret_key(&SECRET).at(Starts::default().next(4));

        let shown = format!("{identity:?} {identity:#?}");

        let secret: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            !shown.contains(&secret[..8]) && !shown.contains("157"),
            "{shown}"
        );
        assert!(shown.contains("boot: 1"), "{shown}");
    }
}
