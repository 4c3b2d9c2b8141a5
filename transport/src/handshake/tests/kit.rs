//! Two ends with keys of their own, and the messages between them in the hands of the test.

use std::sync::Arc;

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use liferaft_platform::{Boot, ClusterId, PublicKey, TokenKey, Versions};

use crate::access::{AccessTable, Role, TokenTerms};
use crate::handshake::{
    Established, HandshakeError, Initiator, Intent, Local, Output, Protection, Responder,
};
use crate::token::TokenSecret;
use crate::voucher::Voucher;

pub(super) const CLUSTER: ClusterId = ClusterId(0x11fe_4af7);
pub(super) const OTHER_CLUSTER: ClusterId = ClusterId(0x11fe_4af8);

/// A server: its key, and what it knows of others.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) key: SigningKey,
    pub(super) local: Local,
    pub(super) table: AccessTable,
}

impl Server {
    /// The server of this number, which knows those of these numbers as members.
    pub(super) fn new(number: u8, members: &[u8]) -> Self {
        let key = signing_key(number);
        Self {
            local: Local {
                cluster: CLUSTER,
                key: public(number),
                versions: Versions { min: 1, max: 3 },
                starts: Boot {
                    number: 5,
                    nonce: u64::from(number),
                }
                .into(),
                vouchers: Arc::default(),
                protection: Protection::Sealed,
            },
            key,
            table: AccessTable {
                members: members
                    .iter()
                    .map(|member| public(*member).server_id())
                    .collect(),
                ..AccessTable::default()
            },
        }
    }

    pub(super) fn initiator(&self) -> Initiator {
        self.initiator_with(member(), 1)
    }

    pub(super) fn initiator_with(&self, intent: Intent, entropy: u8) -> Initiator {
        let entropy = [entropy ^ self.local.key.0[0]; 32];
        Initiator::new(self.local.clone(), intent, entropy)
    }

    pub(super) fn responder(&self) -> Responder {
        self.responder_with(2)
    }

    pub(super) fn responder_with(&self, entropy: u8) -> Responder {
        Responder::new(self.local.clone(), [entropy ^ self.local.key.0[0]; 32])
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    /// Its word for the server of this number.
    pub(super) fn voucher(&self, cluster: ClusterId, subject: u8) -> Voucher {
        let subject = public(subject);
        Voucher {
            subject,
            by: self.local.key,
            signature: self.sign(&Voucher::statement(cluster, &subject)),
        }
    }
}

pub(super) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(super) fn public(number: u8) -> PublicKey {
    PublicKey(signing_key(number).verifying_key().to_bytes())
}

/// A member that takes any other.
pub(super) fn member() -> Intent {
    Intent {
        role: Role::Member,
        token: None,
        expected: Vec::new(),
    }
}

/// A member that looks for those of these numbers.
pub(super) fn expecting(numbers: &[u8]) -> Intent {
    Intent {
        expected: numbers
            .iter()
            .map(|number| public(*number).server_id())
            .collect(),
        ..member()
    }
}

/// The secret of a token.
pub(super) const TOKEN: [u8; 32] = [0x70; 32];

/// A joiner with [`TOKEN`], which was invited by those of these numbers.
pub(super) fn joining(inviting: &[u8]) -> Intent {
    Intent {
        role: Role::Joiner,
        token: Some(TokenSecret::from_bytes(TOKEN)),
        ..expecting(inviting)
    }
}

/// The terms of [`TOKEN`], which expires late.
pub(super) fn token_terms(role: Role, uses_left: u32) -> [(TokenKey, TokenTerms); 1] {
    let terms = TokenTerms {
        role,
        expires_at: 1_000,
        uses_left,
    };
    [(TokenSecret::from_bytes(TOKEN).key(), terms)]
}

/// The four messages of a handshake, and how each end of it ended.
pub(super) struct Run {
    pub(super) messages: Vec<Bytes>,
    pub(super) initiator: Result<Established, HandshakeError>,
    pub(super) responder: Result<Established, HandshakeError>,
}

/// Has two servers make a handshake, without anybody between them.
pub(super) fn run(from: &Server, to: &Server) -> Run {
    run_with(from, to, member())
}

pub(super) fn run_with(from: &Server, to: &Server, intent: Intent) -> Run {
    Steps::with(from, to, intent).run()
}

/// A handshake whose messages the test passes on, or does not. Each end signs at once when it is asked to.
pub(super) struct Steps {
    from: Server,
    to: Server,
    pub(super) initiator: Initiator,
    pub(super) responder: Responder,
    /// How the initiator ended, and how the responder did.
    pub(super) ends: (End, End),
}

type End = Option<Result<Established, HandshakeError>>;

impl Steps {
    pub(super) fn new(from: &Server, to: &Server) -> Self {
        Self::with(from, to, member())
    }

    pub(super) fn with(from: &Server, to: &Server, intent: Intent) -> Self {
        Self {
            initiator: from.initiator_with(intent, 1),
            responder: to.responder_with(2),
            from: from.clone(),
            to: to.clone(),
            ends: (None, None),
        }
    }

    /// The first message.
    pub(super) fn opening(&self) -> Bytes {
        self.initiator.unanswered().expect("an opening")
    }

    /// Gives the initiator a message, and returns what it sends.
    pub(super) fn give_initiator(&mut self, message: &[u8]) -> Option<Bytes> {
        let output = match self.initiator.on_message(message, &self.from.table) {
            Output::Sign(bytes) => self.initiator.on_signed(&self.from.sign(&bytes)),
            output => output,
        };
        settle(output, &mut self.ends.0)
    }

    /// Gives the responder a message, and returns what it sends.
    pub(super) fn give_responder(&mut self, message: &[u8]) -> Option<Bytes> {
        let output = match self.responder.on_message(message, &self.to.table) {
            Output::Sign(bytes) => self.responder.on_signed(&self.to.sign(&bytes)),
            output => output,
        };
        settle(output, &mut self.ends.1)
    }

    /// Passes on all that is sent, until both ends are silent or done, and has them time out otherwise.
    pub(super) fn run(mut self) -> Run {
        let opening = self.opening();
        let mut messages = vec![opening.clone()];
        let mut next = Some(opening);
        while let Some(message) = next {
            let answer = self.give_responder(&message);
            messages.extend(answer.clone());
            next = answer.and_then(|answer| self.give_initiator(&answer));
            messages.extend(next.clone());
        }
        let over = |output| match output {
            Output::Failed { error, .. } => Err(error),
            other => panic!("an end has neither ended nor timed out: {other:?}"),
        };
        let (initiator, responder) = self.ends;
        Run {
            messages,
            initiator: initiator.unwrap_or_else(|| over(self.initiator.time_out())),
            responder: responder.unwrap_or_else(|| over(self.responder.time_out())),
        }
    }
}

fn settle(output: Output, end: &mut End) -> Option<Bytes> {
    match output {
        Output::Wait => None,
        Output::Send(bytes) => Some(bytes),
        Output::Sign(_) => panic!("signed once already"),
        Output::Done { last, established } => {
            *end = Some(Ok(*established));
            last
        }
        Output::Failed { last, error } => {
            *end = Some(Err(error));
            last
        }
    }
}
