//! A state machine: registers, and a digest of every command that was applied.
//!
//! The digest makes any difference between two machines visible, and the registers give clients something to read.

use bytes::Bytes;
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::Index;

use crate::digest::Digest;

/// What a client's command says. It is padded to any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The register to write.
    pub register: u8,
    /// The value: no two commands of a run write the same.
    pub value: u64,
}

impl Command {
    /// The shortest encoding, in bytes.
    pub const BYTES_MIN: usize = 9;

    /// Its bytes, so many of them.
    #[must_use]
    pub fn encode(self, bytes: usize) -> Bytes {
        let mut encoded = vec![0; bytes.max(Self::BYTES_MIN)];
        encoded[0] = self.register;
        encoded[1..Self::BYTES_MIN].copy_from_slice(&self.value.to_le_bytes());
        encoded.into()
    }

    /// What this entry's command says; `None` if it has none.
    #[must_use]
    pub fn decode_entry(entry: &Entry) -> Option<Self> {
        match &entry.payload {
            Payload::Command(bytes) => Self::decode(bytes),
            Payload::Noop | Payload::Configuration(_) => None,
        }
    }

    /// What these bytes say; `None` if they are no command.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (register, rest) = bytes.split_first()?;
        let value = u64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
        Some(Self {
            register: *register,
            value,
        })
    }
}

/// The state of one member's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The last entry applied.
    pub applied: Index,
    /// The digest of all that was applied.
    pub digest: Digest,
    /// What was last written to each register; 0 if nothing was.
    pub registers: Vec<u64>,
}

impl Machine {
    /// Applies a committed entry.
    pub fn apply(&mut self, entry: &Entry, entry_digest: u64) {
        self.applied = entry.index;
        self.digest = self.digest.with(entry_digest);
        if let Some(command) = Command::decode_entry(entry) {
            let at = usize::from(command.register);
            if self.registers.len() <= at {
                self.registers.resize(at + 1, 0);
            }
            self.registers[at] = command.value;
        }
    }

    /// The state as bytes, padded so that it takes several chunks to send.
    #[must_use]
    pub fn capture(&self, padding_bytes: usize) -> Bytes {
        let numbers = [self.applied.0, self.digest.0, self.registers.len() as u64];
        let mut bytes: Vec<u8> = numbers
            .iter()
            .chain(&self.registers)
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let kept = bytes.len();
        // The padding differs along the way, so that chunks in the wrong order are noticed.
        let filler = (0..padding_bytes).map(|at| (at as u64 ^ self.digest.0).to_le_bytes()[0]);
        bytes.extend(filler);
        debug_assert_eq!(bytes.len(), kept + padding_bytes);
        bytes.into()
    }

    /// The state that these bytes hold; `None` if they hold none.
    #[must_use]
    pub fn restore(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let word = bytes.get(at * 8..at * 8 + 8)?;
            Some(u64::from_le_bytes(word.try_into().ok()?))
        };
        let count = usize::try_from(number(2)?).ok()?;
        let registers = (0..count.min(256)).map(|at| number(3 + at));
        Some(Self {
            applied: Index(number(0)?),
            digest: Digest(number(1)?),
            registers: registers.collect::<Option<_>>()?,
        })
    }
}
