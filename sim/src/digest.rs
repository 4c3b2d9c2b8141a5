//! Digests of what happened: quick, the same on every machine, and no match for an adversary.

use core::num::ParseIntError;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::entry::{Entry, Payload};
use serde::{Deserialize, Serialize};

/// A running digest. In files it is a number in base 16, since not every reader of JSON knows numbers of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub u64);

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        format!("{:016x}", digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Digest {
    /// This digest and then a number.
    #[must_use]
    pub const fn with(self, number: u64) -> Self {
        let mixed = (self.0 ^ number).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self(mixed ^ (mixed >> 32))
    }

    /// This digest and then some bytes.
    #[must_use]
    pub fn with_bytes(self, bytes: &[u8]) -> Self {
        let mut digest = self.with(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            digest = digest.with(u64::from_le_bytes(word));
        }
        digest
    }
}

/// The digest of all that an entry says.
#[must_use]
pub fn of_entry(entry: &Entry) -> u64 {
    let head = Digest::default()
        .with(entry.index.0)
        .with(entry.term.0)
        .with(entry.stamp.0);
    match &entry.payload {
        Payload::Noop => head.with(1),
        Payload::Command(command) => head.with(2).with_bytes(command),
        Payload::Configuration(configuration) => head.with(3).with(of_configuration(configuration)),
    }
    .0
}

/// The digest of a configuration.
#[must_use]
pub fn of_configuration(configuration: &Configuration) -> u64 {
    let members = configuration.members();
    members
        .fold(Digest::default(), |digest, (id, member)| {
            let suffrage = member.suffrage.map_or(0, |suffrage| suffrage as u64 + 1);
            let low = u64::try_from(id.0).unwrap_or(u64::MAX);
            digest
                .with(low)
                .with(suffrage * 2 + u64::from(member.outgoing_voter))
        })
        .0
}
