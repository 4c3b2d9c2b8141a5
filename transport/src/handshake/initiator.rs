//! Opens a handshake: shows this end first, to whoever answers and knows the cluster, and then judges the answer.

use std::fmt;
use std::mem;

use bytes::Bytes;
use liferaft_platform::{PublicKey, ServerId, Versions};
use zeroize::Zeroizing;

use super::message::{Exchange, Head, Hint, Index, kind};
use super::schedule::{Ephemeral, Keys, Side, Transcript, cluster_tag, has_cluster_tag};
use super::statement::{Claim, Granted, Introduction, Text, Verdict, binding, signed, text};
use super::{ENTROPY_BYTES, Established, HandshakeError, Local, Output};
use crate::access::{Authorizer, Claimant, Refusal, Role};
use crate::signing::SIGNATURE_BYTES;
use crate::token::TokenSecret;

/// What an initiator wants of its peer.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The role that it claims.
    pub role: Role,
    /// The token of its invitation, if it has one to use.
    pub token: Option<TokenSecret>,
    /// The servers of which the peer must be one, or be vouched for by one. Empty: any peer that the authorizer takes
    /// for a member, or vouched for.
    pub expected: Vec<ServerId>,
}

/// The end of a handshake that begins it.
///
/// Send [`unanswered`](Self::unanswered) first, and again as often as no answer comes. Give it every message whose
/// [`Heading`](super::Heading) names its [`index`](Self::index), until it is done, has failed, or takes too long.
pub struct Initiator {
    local: Local,
    intent: Intent,
    index: Index,
    ephemeral: Ephemeral,
    opening: Bytes,
    opened: Transcript,
    hint: Option<Hint>,
    state: State,
}

enum State {
    /// The opening was sent.
    Opened,
    /// The claim waits for its signature.
    Signing(Box<Answered>, Vec<u8>),
    /// The claim was sent.
    Claimed(Box<Answered>, Bytes),
    Over,
}

/// What is known since an answer was taken.
struct Answered {
    answer: Bytes,
    keys: Keys,
    transcript: Transcript,
}

impl Initiator {
    /// Begins a handshake. The entropy must be drawn for it alone, and be as hard to guess as a key.
    #[must_use]
    pub fn new(local: Local, intent: Intent, entropy: [u8; ENTROPY_BYTES]) -> Self {
        let (ephemeral, index) = Ephemeral::with_index(&Zeroizing::new(entropy));
        let mut opening = Head::new(kind::OPENING, index).to_bytes().to_vec();
        opening.extend_from_slice(&ephemeral.public());
        let transcript = Transcript::new(local.cluster);
        opening.extend_from_slice(&cluster_tag(local.cluster, transcript, &opening));
        Self {
            opened: transcript.with(&opening),
            opening: opening.into(),
            local,
            intent,
            index,
            ephemeral,
            hint: None,
            state: State::Opened,
        }
    }

    /// Returns the index that is in each message of this handshake.
    #[must_use]
    pub const fn index(&self) -> Index {
        self.index
    }

    /// Returns the message that the peer has not answered yet. On a carrier that loses packets it is sent again.
    #[must_use]
    pub fn unanswered(&self) -> Option<Bytes> {
        match &self.state {
            State::Opened => Some(self.opening.clone()),
            State::Claimed(_, claim) => Some(claim.clone()),
            State::Signing(..) | State::Over => None,
        }
    }

    /// Takes a message. One that is not of this handshake, or not now, changes nothing.
    pub fn on_message(&mut self, message: &[u8], authorizer: &dyn Authorizer) -> Output {
        // The version needs no look: tags and seals of another differ, and hints are the same in all.
        let head = Head::read(message).filter(|head| head.index == self.index);
        match head.map(|head| head.kind) {
            Some(kind::ANSWER) => self.on_answer(message),
            Some(kind::VERDICT) => self.on_verdict(message, authorizer),
            Some(kind::HINT) if matches!(self.state, State::Opened) => {
                // Anybody may have made this up: it only explains why nothing else has come.
                self.hint = Hint::read(message).or(self.hint);
                Output::Wait
            }
            _ => Output::Wait,
        }
    }

    /// Returns true if a hint has come, and no answer.
    #[must_use]
    pub const fn is_hinted(&self) -> bool {
        self.hint.is_some() && matches!(self.state, State::Opened)
    }

    /// Takes the signature that was asked for.
    pub fn on_signed(&mut self, signature: &[u8; SIGNATURE_BYTES]) -> Output {
        let (answered, statement) = match mem::replace(&mut self.state, State::Over) {
            State::Signing(answered, statement) => (answered, statement),
            other => {
                self.state = other;
                return Output::Wait;
            }
        };
        let keys = &answered.keys.initiator;
        let text = text(keys, answered.transcript, &statement, signature);
        let claim = keys.seal(&Head::new(kind::CLAIM, self.index).to_bytes(), &text);
        self.state = State::Claimed(answered, claim.clone());
        Output::Send(claim)
    }

    /// Gives up, if the handshake is not over.
    pub fn time_out(&mut self) -> Output {
        match mem::replace(&mut self.state, State::Over) {
            State::Over => Output::Wait,
            _ => failed(HandshakeError::TimedOut { hint: self.hint }),
        }
    }

    fn on_answer(&mut self, message: &[u8]) -> Output {
        match &self.state {
            State::Opened => {}
            State::Claimed(answered, claim) if answered.answer == message => {
                return Output::Send(claim.clone());
            }
            State::Signing(..) | State::Claimed(..) | State::Over => return Output::Wait,
        }
        let cluster = self.local.cluster;
        let Some(answer) = Exchange::read(message) else {
            return Output::Wait;
        };
        if !has_cluster_tag(cluster, self.opened, Exchange::tagged(message), &answer.tag) {
            return Output::Wait;
        }
        let transcript = self.opened.with(message);
        let Some(keys) = self.ephemeral.agree(answer.ephemeral, transcript) else {
            return Output::Wait;
        };
        let statement = self.claim(transcript).encode();
        let to_sign = signed(Side::Initiator, transcript, &statement);
        let answered = Answered {
            answer: Bytes::copy_from_slice(message),
            keys,
            transcript,
        };
        self.state = State::Signing(Box::new(answered), statement);
        Output::Sign(to_sign)
    }

    fn claim(&self, answered: Transcript) -> Claim {
        let statement = Claim::token_statement(answered, &self.local.key);
        Claim {
            introduction: Introduction::of(&self.local, Side::Initiator),
            role: self.intent.role,
            token: self
                .intent
                .token
                .as_ref()
                .map(|token| (token.key(), token.sign(&statement))),
        }
    }

    fn on_verdict(&mut self, message: &[u8], authorizer: &dyn Authorizer) -> Output {
        let State::Claimed(answered, claim) = &self.state else {
            return Output::Wait;
        };
        let Some(text) = answered.keys.responder.open(message) else {
            return Output::Wait;
        };
        let claimed = answered.transcript.with(claim);
        let output = match self.judge(&answered.keys, claimed, message, &text, authorizer) {
            Ok(established) => Output::Done {
                last: None,
                established: Box::new(established),
            },
            Err(error) => failed(error),
        };
        self.state = State::Over;
        output
    }

    fn judge(
        &self,
        keys: &Keys,
        claimed: Transcript,
        message: &[u8],
        text: &[u8],
        authorizer: &dyn Authorizer,
    ) -> Result<Established, HandshakeError> {
        if text == STRANGER {
            let refusal = self.refused_as_stranger();
            return Err(HandshakeError::Rejected { refusal, by: None });
        }
        let text = Text::read(&keys.responder, claimed, text)?;
        let verdict =
            Verdict::decode(text.statement).ok_or(HandshakeError::Malformed { part: "verdict" })?;
        let peer = &verdict.introduction;
        text.prove(Side::Responder, claimed, &peer.key)?;
        if peer.key == self.local.key {
            return Err(HandshakeError::Ourselves);
        }
        let claimant = Claimant {
            key: peer.key,
            role: Role::Member,
            token: None,
            vouched_by: peer.vouched_by(self.local.cluster),
            starts: peer.starts,
            versions: peer.versions,
        };
        if !self.is_expected(&claimant) {
            return Err(HandshakeError::Unexpected { peer: peer.key });
        }
        let refuse = |refusal| HandshakeError::Refused {
            peer: peer.key,
            refusal,
        };
        let grant = authorizer.authorize(&claimant).map_err(refuse)?;
        if self.intent.expected.is_empty() && !matches!(grant.role, Role::Member | Role::Vouched) {
            return Err(HandshakeError::Unexpected { peer: peer.key });
        }
        // Only the word of a server that this end would have believed counts, also when it says no.
        let Granted { role, version } =
            verdict
                .decision
                .map_err(|refusal| HandshakeError::Rejected {
                    refusal,
                    by: Some(peer.key),
                })?;
        if peer.binding != binding(&self.local.protection, Side::Initiator) {
            return Err(refuse(Refusal::WrongBinding));
        }
        if Versions::common(self.local.versions, peer.versions) != Some(version) {
            return Err(HandshakeError::Downgraded { version });
        }
        let session = keys.session(claimed.with(message), Side::Initiator);
        Ok(Established {
            peer: peer.key,
            role: grant.role,
            own_role: role,
            starts: peer.starts,
            versions: peer.versions,
            version,
            token: None,
            generation: session.generation,
            datagrams: session.datagrams,
            ordered: session.ordered,
        })
    }

    /// Returns true if the peer is one of those looked for, or vouched for by one.
    fn is_expected(&self, peer: &Claimant) -> bool {
        let expected = &self.intent.expected;
        let is_one = |key: &PublicKey| expected.contains(&key.server_id());
        expected.is_empty() || is_one(&peer.key) || peer.vouched_by.iter().any(is_one)
    }

    /// Returns what it means to be refused as a stranger: that nothing of what this end has shown is known there. The
    /// peer, which knows no more of this end, says no more.
    const fn refused_as_stranger(&self) -> Refusal {
        match (&self.intent.token, self.intent.role) {
            (Some(_), _) => Refusal::TokenUnknown,
            (None, Role::Member | Role::Vouched) => Refusal::Forgotten,
            (None, Role::Joiner | Role::Client(_)) => Refusal::NotOpen,
            (None, Role::Stranger) => Refusal::Stranger,
        }
    }
}

/// Shows no secret.
impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Opened => "opened",
            State::Signing(..) => "signing",
            State::Claimed(..) => "claimed",
            State::Over => "over",
        };
        f.debug_struct("Initiator")
            .field("index", &self.index)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// The text of a verdict that refuses and proves nothing.
pub(super) const STRANGER: [u8; 1] = [0];

const fn failed(error: HandshakeError) -> Output {
    Output::Failed { last: None, error }
}
