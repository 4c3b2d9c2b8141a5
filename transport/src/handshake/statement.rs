//! Lays out what each end says of itself, and what it signs.
//!
//! The layout is fixed, big-endian, without names and without optional parts but those that a count or a flag
//! announces: what is read is written in one way only, and a byte too many is as wrong as one too few. A text is a
//! statement, the signature over it, and a MAC over both.

use bytes::Bytes;
use liferaft_platform::{
    Boot, ClusterId, EARLIER_STARTS_MAX, PUBLIC_KEY_BYTES, PublicKey, Starts, TokenKey, Versions,
};
use sha2::{Digest, Sha256};

use super::schedule::{KEY_BYTES, StatementKeys, Transcript};
use super::{HandshakeError, Local, Protection};
use crate::access::{Permit, Refusal, Role};
use crate::signing::{Purpose, SIGNATURE_BYTES, verifies};
use crate::voucher::{VOUCHERS_MAX, Voucher, vouching};

/// Which end speaks, as the binding to a connection names them.
pub(super) use super::schedule::Side;

/// What either end says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub(super) key: PublicKey,
    pub(super) versions: Versions,
    pub(super) starts: Starts,
    /// The digest of how this end sees the connection.
    pub(super) binding: [u8; KEY_BYTES],
    /// Who vouches, nearest first: on the wire without the subjects, which follow from the order.
    pub(super) vouchers: Vec<Voucher>,
}

impl Introduction {
    pub(super) fn of(local: &Local, side: Side) -> Self {
        let mut subject = local.key;
        let mut vouchers = Vec::new();
        for voucher in local.vouchers.iter().take(VOUCHERS_MAX) {
            if voucher.subject != subject {
                break;
            }
            subject = voucher.by;
            vouchers.push(voucher.clone());
        }
        Self {
            key: local.key,
            versions: local.versions,
            starts: local.starts,
            binding: binding(&local.protection, side),
            vouchers,
        }
    }

    /// Returns who vouches for the key, as far as the signatures hold.
    pub(super) fn vouched_by(&self, cluster: ClusterId) -> Vec<PublicKey> {
        vouching(cluster, self.key, &self.vouchers)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&self.versions.min.to_be_bytes());
        out.extend_from_slice(&self.versions.max.to_be_bytes());
        let (boot, earlier) = (self.starts.newest(), self.starts.earlier());
        out.extend_from_slice(&boot.number.to_be_bytes());
        out.extend_from_slice(&boot.nonce.to_be_bytes());
        out.push(u8::try_from(earlier.len()).expect("they are few"));
        for mark in earlier {
            out.extend_from_slice(&mark.to_be_bytes());
        }
        out.extend_from_slice(&self.binding);
        out.push(u8::try_from(self.vouchers.len()).expect("a chain is short"));
        for voucher in &self.vouchers {
            out.extend_from_slice(voucher.by.as_bytes());
            out.extend_from_slice(&voucher.signature);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let key = PublicKey(reader.take()?);
        let versions = Versions {
            min: reader.u32()?,
            max: reader.u32()?,
        };
        let starts = reader.starts()?;
        let binding = reader.take()?;
        let count = usize::from(reader.u8()?);
        if count > VOUCHERS_MAX {
            return None;
        }
        let mut subject = key;
        let mut vouchers = Vec::with_capacity(count);
        for _ in 0..count {
            let voucher = Voucher {
                subject,
                by: PublicKey(reader.take()?),
                signature: reader.take()?,
            };
            subject = voucher.by;
            vouchers.push(voucher);
        }
        Some(Self {
            key,
            versions,
            starts,
            binding,
            vouchers,
        })
    }
}

/// What an initiator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) introduction: Introduction,
    pub(super) role: Role,
    /// The token, and the signature by its secret over [`Self::token_statement`].
    pub(super) token: Option<(TokenKey, [u8; SIGNATURE_BYTES])>,
}

impl Claim {
    /// Returns what the holder of a token signs: the exchange, and the key that is to be let in.
    pub(super) fn token_statement(answered: Transcript, key: &PublicKey) -> Bytes {
        Purpose::TOKEN.statement(&[answered.as_bytes(), key.as_bytes()])
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.introduction.write(&mut out);
        out.push(role_code(self.role));
        match &self.token {
            None => out.push(0),
            Some((key, signature)) => {
                out.push(1);
                out.extend_from_slice(key.0.as_bytes());
                out.extend_from_slice(signature);
            }
        }
        out
    }

    pub(super) fn decode(statement: &[u8]) -> Option<Self> {
        let mut reader = Reader(statement);
        let claim = Self {
            introduction: Introduction::read(&mut reader)?,
            role: role_of(reader.u8()?)?,
            token: match reader.u8()? {
                0 => None,
                1 => Some((TokenKey(PublicKey(reader.take()?)), reader.take()?)),
                _ => return None,
            },
        };
        reader.is_at_end().then_some(claim)
    }
}

/// What a responder decided, if it tells who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) introduction: Introduction,
    pub(super) decision: Result<Granted, Refusal>,
}

/// What a responder grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) role: Role,
    pub(super) version: u32,
}

impl Verdict {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.introduction.write(&mut out);
        match &self.decision {
            Ok(granted) => {
                out.push(GRANTED);
                out.push(role_code(granted.role));
                out.extend_from_slice(&granted.version.to_be_bytes());
            }
            Err(refusal) => out.push(refusal_code(refusal)),
        }
        out
    }

    pub(super) fn decode(statement: &[u8]) -> Option<Self> {
        let mut reader = Reader(statement);
        let introduction = Introduction::read(&mut reader)?;
        let decision = match reader.u8()? {
            GRANTED => Ok(Granted {
                role: role_of(reader.u8()?)?,
                version: reader.u32()?,
            }),
            code => Err(refusal_of(code, introduction.versions)?),
        };
        reader.is_at_end().then_some(Self {
            introduction,
            decision,
        })
    }
}

/// Decodes the bytes as each kind of statement, and encodes what was understood: for the fuzzer, which cannot seal.
#[doc(hidden)]
#[must_use]
pub fn recode(statement: &[u8]) -> [Option<Vec<u8>>; 2] {
    [
        Claim::decode(statement).map(|claim| claim.encode()),
        Verdict::decode(statement).map(|verdict| verdict.encode()),
    ]
}

/// Returns what the identity key signs: the exchange before the statement, and the statement.
pub(super) fn signed(side: Side, before: Transcript, statement: &[u8]) -> Bytes {
    let digest = Sha256::digest(statement);
    let purpose = match side {
        Side::Initiator => Purpose::INITIATOR,
        Side::Responder => Purpose::RESPONDER,
    };
    purpose.statement(&[before.as_bytes(), &digest])
}

/// Returns the text to be sealed: the statement, its signature, and the MAC over both.
pub(super) fn text(
    keys: &StatementKeys,
    before: Transcript,
    statement: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Vec<u8> {
    let mut text = [statement, signature].concat();
    let mac = keys.mac(before, &text);
    text.extend_from_slice(&mac);
    text
}

/// A text whose MAC is right, taken apart. The signature is not verified yet.
pub(super) struct Text<'a> {
    pub(super) statement: &'a [u8],
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Text<'a> {
    pub(super) fn read(
        keys: &StatementKeys,
        before: Transcript,
        text: &'a [u8],
    ) -> Result<Self, HandshakeError> {
        let parts = || {
            let (macced, mac) = text.split_last_chunk()?;
            let (statement, signature) = macced.split_last_chunk()?;
            Some((macced, mac, statement, signature))
        };
        let (macced, mac, statement, signature) =
            parts().ok_or(HandshakeError::Malformed { part: "statement" })?;
        if !keys.has_mac(before, macced, mac) {
            return Err(HandshakeError::Malformed { part: "MAC" });
        }
        Ok(Self {
            statement,
            signature: *signature,
        })
    }

    /// Verifies that this key signed the text.
    pub(super) fn prove(
        &self,
        side: Side,
        before: Transcript,
        key: &PublicKey,
    ) -> Result<(), HandshakeError> {
        if verifies(key, &signed(side, before, self.statement), &self.signature) {
            Ok(())
        } else {
            Err(HandshakeError::NotProven { key: "key" })
        }
    }
}

/// Digests how an end sees the connection, so that both ends see it alike if they are of one.
pub(super) fn binding(protection: &Protection, side: Side) -> [u8; KEY_BYTES] {
    let digest = Sha256::new().chain_update(b"liferaft 1: binding");
    let digest = match protection {
        Protection::Sealed => digest.chain_update([0]),
        Protection::Inside => digest.chain_update([1]),
        Protection::Bound { own, peer } => {
            let (initiator, responder) = match side {
                Side::Initiator => (own, peer),
                Side::Responder => (peer, own),
            };
            digest
                .chain_update([2])
                .chain_update(initiator)
                .chain_update(responder)
        }
    };
    digest.finalize().into()
}

const fn role_code(role: Role) -> u8 {
    match role {
        Role::Stranger => 0,
        Role::Member => 1,
        Role::Vouched => 2,
        Role::Joiner => 3,
        Role::Client(Permit::Read) => 4,
        Role::Client(Permit::Write) => 5,
        Role::Client(Permit::Operate) => 6,
    }
}

const fn role_of(code: u8) -> Option<Role> {
    Some(match code {
        0 => Role::Stranger,
        1 => Role::Member,
        2 => Role::Vouched,
        3 => Role::Joiner,
        4 => Role::Client(Permit::Read),
        5 => Role::Client(Permit::Write),
        6 => Role::Client(Permit::Operate),
        _ => return None,
    })
}

/// The decision that is no refusal.
const GRANTED: u8 = 0;

/// Returns the code of a refusal that is told. Of one that is not, nobody writes a verdict.
const fn refusal_code(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::Expelled => 1,
        Refusal::TokenExpired => 2,
        Refusal::TokenUsedUp => 3,
        Refusal::RoleNotGranted => 4,
        Refusal::OldBoot => 5,
        Refusal::NoCommonVersion { .. } => 6,
        Refusal::WrongBinding => 7,
        Refusal::Crowded => 8,
        Refusal::Stranger | Refusal::Forgotten | Refusal::TokenUnknown | Refusal::NotOpen => UNTOLD,
    }
}

/// The code that no reader takes.
const UNTOLD: u8 = u8::MAX;

const fn refusal_of(code: u8, versions: Versions) -> Option<Refusal> {
    Some(match code {
        1 => Refusal::Expelled,
        2 => Refusal::TokenExpired,
        3 => Refusal::TokenUsedUp,
        4 => Refusal::RoleNotGranted,
        5 => Refusal::OldBoot,
        6 => Refusal::NoCommonVersion { versions },
        7 => Refusal::WrongBinding,
        8 => Refusal::Crowded,
        _ => return None,
    })
}

/// Takes a text apart from its front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn starts(&mut self) -> Option<Starts> {
        let newest = Boot {
            number: self.u64()?,
            nonce: self.u64()?,
        };
        let mut marks = [0; EARLIER_STARTS_MAX];
        let earlier = marks.get_mut(..usize::from(self.u8()?))?;
        for mark in &mut *earlier {
            *mark = u16::from_be_bytes(self.take()?);
        }
        Starts::new(newest, earlier)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// The longest claim, which is longer than any verdict.
pub(super) const STATEMENT_BYTES_MAX: usize = PUBLIC_KEY_BYTES
    + size_of::<[u32; 2]>()
    + size_of::<[u64; 2]>()
    + 1
    + size_of::<[u16; EARLIER_STARTS_MAX]>()
    + KEY_BYTES
    + 1
    + VOUCHERS_MAX * (PUBLIC_KEY_BYTES + SIGNATURE_BYTES)
    + 1
    + (1 + PUBLIC_KEY_BYTES + SIGNATURE_BYTES);

// 16 bytes are the tag of what is sealed.
const _: () = assert!(
    super::message::HEAD_BYTES + STATEMENT_BYTES_MAX + SIGNATURE_BYTES + KEY_BYTES + 16
        <= super::MESSAGE_BYTES_MAX
);
