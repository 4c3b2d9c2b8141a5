//! Defines what a command of the log looks like from outside: who asks, and for the how-manieth time.
//!
//! The encoding is fixed in width, so that a command is serialised once, behind room for its header, and the header is
//! filled in when its session and number are known. It is replicated verbatim: a kind that a member does not know must
//! stop it, since others may apply what it would skip.

use alloc::vec;
use alloc::vec::Vec;

use thiserror::Error;

use super::Owner;
use crate::configuration::{PublicKey, TokenKey};
use crate::ids::{Index, ServerId};

/// The room that a command's header takes, in bytes.
pub const HEADER_BYTES: usize = 21;

/// The room that a client's command takes for its header and its owner, in bytes.
pub const OWNED_HEADER_BYTES: usize = HEADER_BYTES + OWNER_BYTES;

const OWNER_BYTES: usize = size_of::<u128>();
const NONCE_BYTES: usize = size_of::<u128>();

const REGISTER: u8 = 1;
const COMMAND: u8 = 2;
const REGISTER_ORDERED: u8 = 3;
const REGISTER_OWNED: u8 = 4;
const OWNED_COMMAND: u8 = 5;

/// A command of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Opens a session.
    Register {
        /// The client that it is for; `None`: a member. Without a token as the client sends it: the leader adds it.
        owner: Option<Owner>,
        /// Drawn at random for each registration, so that one which arrives twice opens one session.
        nonce: u128,
    },
    /// Opens an ordered session.
    RegisterOrdered {
        /// As above.
        nonce: u128,
    },
    /// A command of a session.
    Command {
        /// The client that proposes it, which must own the session; `None`: a member.
        owner: Option<ServerId>,
        /// Whose, and which.
        header: CommandHeader,
        /// The state machine's command.
        body: &'a [u8],
    },
}

/// Whose command it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHeader {
    /// The session: the index of the entry that registered it.
    pub session: Index,
    /// The command's number in its session, from 1.
    pub sequence: u64,
    /// All commands up to this number, which is smaller, are answered or given up and are sent no more.
    pub acknowledged_through: u64,
}

/// Why bytes are not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// The kind is none that this version knows.
    #[error("the kind of command {0} is not known to this version")]
    UnknownKind(u8),
    /// The kind is known and the rest does not fit it.
    #[error("a command is malformed")]
    Malformed,
}

impl<'a> Envelope<'a> {
    /// Reads a command.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let (&kind, rest) = bytes.split_first().ok_or(EnvelopeError::Malformed)?;
        match kind {
            REGISTER => Ok(Self::Register {
                owner: None,
                nonce: decode_nonce(rest)?,
            }),
            REGISTER_OWNED => {
                let (id, rest) = decode_owner(rest)?;
                let (nonce, token) = rest
                    .split_at_checked(NONCE_BYTES)
                    .ok_or(EnvelopeError::Malformed)?;
                let token = decode_token(token)?;
                Ok(Self::Register {
                    owner: Some(Owner { id, token }),
                    nonce: decode_nonce(nonce)?,
                })
            }
            REGISTER_ORDERED => Ok(Self::RegisterOrdered {
                nonce: decode_nonce(rest)?,
            }),
            COMMAND => {
                let (header, body) = CommandHeader::decode(rest).ok_or(EnvelopeError::Malformed)?;
                Ok(Self::Command {
                    owner: None,
                    header,
                    body,
                })
            }
            OWNED_COMMAND => {
                let (header, rest) = CommandHeader::decode(rest).ok_or(EnvelopeError::Malformed)?;
                let (owner, body) = decode_owner(rest)?;
                Ok(Self::Command {
                    owner: Some(owner),
                    header,
                    body,
                })
            }
            unknown => Err(EnvelopeError::UnknownKind(unknown)),
        }
    }
}

fn decode_nonce(bytes: &[u8]) -> Result<u128, EnvelopeError> {
    let nonce = bytes.try_into().map_err(|_| EnvelopeError::Malformed)?;
    Ok(u128::from_be_bytes(nonce))
}

fn decode_owner(bytes: &[u8]) -> Result<(ServerId, &[u8]), EnvelopeError> {
    let (owner, rest) = bytes.split_first_chunk().ok_or(EnvelopeError::Malformed)?;
    Ok((ServerId(u128::from_be_bytes(*owner)), rest))
}

/// Reads the token at the end of a registration, where there may be none.
fn decode_token(bytes: &[u8]) -> Result<Option<TokenKey>, EnvelopeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = bytes.try_into().map_err(|_| EnvelopeError::Malformed)?;
    Ok(Some(TokenKey(PublicKey(key))))
}

/// The command that opens a plain session.
#[must_use]
pub fn registration(nonce: u128) -> Vec<u8> {
    encode_registration(REGISTER, nonce)
}

/// The command that opens an ordered session.
#[must_use]
pub fn ordered_registration(nonce: u128) -> Vec<u8> {
    encode_registration(REGISTER_ORDERED, nonce)
}

/// The command that opens a plain session for a client: its id, the nonce, and the token's key if there is one.
#[must_use]
pub fn owned_registration(owner: Owner, nonce: u128) -> Vec<u8> {
    let mut bytes = vec![REGISTER_OWNED];
    bytes.extend_from_slice(&owner.id.0.to_be_bytes());
    bytes.extend_from_slice(&nonce.to_be_bytes());
    bytes.extend(owner.token.iter().flat_map(|token| token.0.0));
    bytes
}

fn encode_registration(kind: u8, nonce: u128) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17);
    bytes.push(kind);
    bytes.extend_from_slice(&nonce.to_be_bytes());
    bytes
}

impl CommandHeader {
    /// Fills in the first [`HEADER_BYTES`] of a command.
    ///
    /// # Panics
    /// When the command is shorter than its header, or its number not within 32 bits beyond what is acknowledged: both
    /// are the caller's to hold.
    pub fn write_to(&self, command: &mut [u8]) {
        let behind = (self.sequence - 1)
            .checked_sub(self.acknowledged_through)
            .and_then(|behind| u32::try_from(behind).ok())
            .expect("a command is numbered after what is acknowledged, and within the window");
        command[0] = COMMAND;
        command[1..9].copy_from_slice(&self.session.0.to_be_bytes());
        command[9..17].copy_from_slice(&self.sequence.to_be_bytes());
        command[17..HEADER_BYTES].copy_from_slice(&behind.to_be_bytes());
    }

    /// Fills in the first [`OWNED_HEADER_BYTES`] of a client's command.
    ///
    /// # Panics
    /// As [`write_to`](Self::write_to) does.
    pub fn write_owned_to(&self, owner: ServerId, command: &mut [u8]) {
        self.write_to(command);
        command[0] = OWNED_COMMAND;
        command[HEADER_BYTES..OWNED_HEADER_BYTES].copy_from_slice(&owner.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (session, bytes) = bytes.split_first_chunk()?;
        let (sequence, bytes) = bytes.split_first_chunk()?;
        let (behind, body) = bytes.split_first_chunk()?;
        let sequence = u64::from_be_bytes(*sequence);
        let acknowledged_through = sequence
            .checked_sub(1)?
            .checked_sub(u64::from(u32::from_be_bytes(*behind)))?;
        let session = Index(u64::from_be_bytes(*session));
        Some((
            Self {
                session,
                sequence,
                acknowledged_through,
            },
            body,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: CommandHeader = CommandHeader {
        session: Index(7),
        sequence: 12,
        acknowledged_through: 9,
    };

    #[test]
    fn a_command_is_read_as_it_was_written() {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(b"body");

        HEADER.write_to(&mut bytes);

        assert_eq!(
            Envelope::decode(&bytes),
            Ok(Envelope::Command {
                owner: None,
                header: HEADER,
                body: b"body"
            })
        );
    }

    #[test]
    fn a_clients_command_names_its_owner() {
        let mut bytes = vec![0; OWNED_HEADER_BYTES];
        bytes.extend_from_slice(b"body");
        let owner = ServerId(9);

        HEADER.write_owned_to(owner, &mut bytes);

        let owner = Some(owner);
        let (header, body) = (HEADER, &b"body"[..]);
        let command = Envelope::Command {
            owner,
            header,
            body,
        };
        assert_eq!(Envelope::decode(&bytes), Ok(command));
    }

    #[test]
    fn a_clients_registration_names_its_token_if_it_has_one() {
        for token in [None, Some(TokenKey(PublicKey([7; 32])))] {
            let id = ServerId(9);
            let owner = Owner { id, token };

            let bytes = owned_registration(owner, 5);

            let (owner, nonce) = (Some(owner), 5);
            let opened = Envelope::Register { owner, nonce };
            assert_eq!(Envelope::decode(&bytes), Ok(opened));
        }
    }

    #[test]
    fn a_registration_is_read_as_it_was_written() {
        let bytes = registration(5);

        assert_eq!(
            Envelope::decode(&bytes),
            Ok(Envelope::Register {
                owner: None,
                nonce: 5
            })
        );
        assert_eq!(
            Envelope::decode(&ordered_registration(6)),
            Ok(Envelope::RegisterOrdered { nonce: 6 })
        );
    }

    #[test]
    fn a_command_has_these_bytes_for_ever() {
        let mut bytes = vec![0; HEADER_BYTES];

        HEADER.write_to(&mut bytes);

        assert_eq!(
            bytes,
            [
                2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 2
            ]
        );
        assert_eq!(
            registration(1),
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(
            ordered_registration(1),
            [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        let mut owned = [0; OWNED_HEADER_BYTES];
        HEADER.write_owned_to(ServerId(1), &mut owned);
        assert_eq!(owned[..HEADER_BYTES], [&[5], &bytes[1..]].concat());
        assert_eq!(owned[HEADER_BYTES..], 1_u128.to_be_bytes());
        let owner = |token| Owner {
            id: ServerId(1),
            token,
        };
        let (one, two) = (1_u128.to_be_bytes(), 2_u128.to_be_bytes());
        let untokened = [&[4], &one[..], &two[..]].concat();
        assert_eq!(owned_registration(owner(None), 2), untokened);
        let token = TokenKey(PublicKey([3; 32]));
        let tokened = [&untokened, &[3; 32][..]].concat();
        assert_eq!(owned_registration(owner(Some(token)), 2), tokened);
    }

    #[test]
    fn an_unknown_kind_is_told_from_a_damaged_command() {
        assert_eq!(
            Envelope::decode(&[9, 1, 2]),
            Err(EnvelopeError::UnknownKind(9))
        );
        assert_eq!(Envelope::decode(&[]), Err(EnvelopeError::Malformed));
        assert_eq!(
            Envelope::decode(&[REGISTER, 1]),
            Err(EnvelopeError::Malformed)
        );
        assert_eq!(
            Envelope::decode(&[COMMAND, 1, 2, 3]),
            Err(EnvelopeError::Malformed)
        );
        let owned = [&[REGISTER_OWNED][..], &[0; OWNER_BYTES + NONCE_BYTES]].concat();
        for length in [4, owned.len() - 1, owned.len() + 1, owned.len() + 33] {
            let mut wrong = owned.clone();
            wrong.resize(length, 1);
            assert_eq!(
                Envelope::decode(&wrong),
                Err(EnvelopeError::Malformed),
                "{length}"
            );
        }
    }

    #[test]
    fn a_number_of_zero_and_an_acknowledgement_from_the_future_are_refused() {
        let mut zero = [0; HEADER_BYTES];
        zero[0] = COMMAND;
        let mut ahead = [0; HEADER_BYTES];
        HEADER.write_to(&mut ahead);
        ahead[HEADER_BYTES - 1] = 200;

        assert_eq!(Envelope::decode(&zero), Err(EnvelopeError::Malformed));
        assert_eq!(Envelope::decode(&ahead), Err(EnvelopeError::Malformed));
    }
}
