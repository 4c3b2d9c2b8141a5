//! Describes a member: its key, by which others know that it is who it says, and where and how they speak to it.

use alloc::vec::Vec;

pub use liferaft_platform::{ADDRESSES_MAX, Address, LABEL_BYTES_MAX, Label, PublicKey, Versions};

use crate::ids::ServerId;

/// The length of a [`Voucher`]'s signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// The versions of the protocol between members that this build speaks.
pub const PROTOCOL_VERSIONS: Versions = Versions::only(1);

/// What a member says of itself. The log carries it to all others.
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::configuration::Description;
///
/// let description = Description::default()
///     .with_label("Ada's boat".parse()?)
///     .with_addresses(["udp:127.0.0.1:4000".parse()?]);
///
/// assert_eq!(description.label().as_str(), "Ada's boat");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    public_key: Option<PublicKey>,
    label: Label,
    /// Invariant: at most [`ADDRESSES_MAX`].
    addresses: Vec<Address>,
    versions: Versions,
}

/// One without a key, a label and addresses, of a server that speaks [`PROTOCOL_VERSIONS`].
impl Default for Description {
    fn default() -> Self {
        Self {
            public_key: None,
            label: Label::default(),
            addresses: Vec::new(),
            versions: PROTOCOL_VERSIONS,
        }
    }
}

impl Description {
    /// Returns the description of a server with this key, and nothing else to say.
    #[must_use]
    pub fn of(public_key: PublicKey) -> Self {
        Self {
            public_key: Some(public_key),
            ..Self::default()
        }
    }

    /// This description, with this name for people.
    #[must_use]
    pub fn with_label(mut self, label: Label) -> Self {
        self.label = label;
        self
    }

    /// This description, of a server that can be reached at these addresses: the first [`ADDRESSES_MAX`] of them, the
    /// others are dropped.
    #[must_use]
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.addresses = addresses.into_iter().take(ADDRESSES_MAX).collect();
        self
    }

    /// This description, of a server that speaks these versions of the protocol.
    #[must_use]
    pub const fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// This description, of the server with this key.
    #[must_use]
    pub const fn with_public_key(mut self, key: PublicKey) -> Self {
        self.public_key = Some(key);
        self
    }

    /// This description, with the key that was known before if it has none itself.
    #[must_use]
    pub(crate) fn keeping_key_of(mut self, before: Option<&Self>) -> Self {
        let known = before.and_then(|before| before.public_key);
        self.public_key = self.public_key.or(known);
        self
    }

    /// Returns the server's public key; `None` where identities are not authenticated.
    #[must_use]
    pub const fn public_key(&self) -> Option<PublicKey> {
        self.public_key
    }

    /// Returns what people call the server, which may be nothing.
    #[must_use]
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// Returns where the server can be reached, the address to try first in front; at most [`ADDRESSES_MAX`].
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns the versions of the protocol that the server speaks.
    #[must_use]
    pub const fn versions(&self) -> Versions {
        self.versions
    }

    /// Returns true if this can be the description of the server with this id: its key, if it has one, is the one that
    /// the id is the digest of.
    #[must_use]
    pub fn can_be_of(&self, id: ServerId) -> bool {
        self.public_key.is_none_or(|key| key.server_id() == id)
    }

    /// Returns what it adds to the [weight](super::Configuration::weight) of a configuration, in bytes.
    #[must_use]
    pub fn weight(&self) -> u64 {
        /// Its length, and the keys of its versions.
        const BYTES: u64 = 5;
        /// The key and the length of a field of at most 128 bytes.
        const FIELD: u64 = 3;
        let versions = encoded_len(self.versions.min) + encoded_len(self.versions.max);
        let key = self.public_key.map_or(0, |key| 2 + key.0.len() as u64);
        let label = match self.label.as_str().len() as u64 {
            0 => 0,
            bytes => 2 + bytes,
        };
        let addresses = self.addresses.iter();
        let addresses: u64 = addresses
            .map(|address| FIELD + address.as_str().len() as u64)
            .sum();
        BYTES + versions + key + label + addresses
    }
}

/// A member's word for a server that it has admitted: its signature, made with the secret half of `by`, over the
/// server's key and the cluster. Who signs and who checks it are outside this crate; the log carries it unread.
///
/// A server that was away while all whom it knew were replaced knows by a chain of such words whom it may believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The key of the member that vouches.
    pub by: PublicKey,
    /// Its Ed25519 signature.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Voucher {
    /// What it adds to the [weight](super::Configuration::weight) of a configuration, in bytes.
    pub const WEIGHT: u64 = 102;
}

/// The most bytes that a number takes in an encoding.
pub(super) const fn encoded_len(number: u32) -> u64 {
    let bits = 32 - (number | 1).leading_zeros();
    bits.div_ceil(7) as u64
}
