//! Answers a handshake: judges the initiator first, and shows this end only to one that may see it.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use liferaft_platform::Versions;
use zeroize::Zeroizing;

use super::initiator::STRANGER;
use super::message::{EPHEMERAL_BYTES, Exchange, Head, Hint, Index, kind};
use super::schedule::{Ephemeral, KEY_BYTES, Keys, Side, Transcript, cluster_tag, has_cluster_tag};
use super::statement::{Claim, Granted, Introduction, Text, Verdict, binding, signed, text};
use super::{ENTROPY_BYTES, Established, HANDSHAKE_VERSION, HandshakeError, Local, Output};
use crate::access::{Authorizer, Claimant, Refusal, Role};
use crate::signing::{SIGNATURE_BYTES, verifies};

/// The end of a handshake that is spoken to.
///
/// It is made for an opening ([`Addressee::NewResponder`](super::Addressee)) and given that first. Keep it for a while
/// after it is over: if its last message is lost, the initiator repeats its claim, and is given that message again. The
/// first packet that the peer has sealed shows that it has arrived.
pub struct Responder {
    local: Local,
    ephemeral: Ephemeral,
    state: State,
}

enum State {
    New,
    /// The answer was sent.
    Answered(Box<Answered>),
    /// The verdict waits for its signature.
    Signing(Box<Judged>),
    /// The claim was judged, or there will be none: `verdict` is what was said to it.
    Over {
        claim: Bytes,
        verdict: Option<Bytes>,
    },
}

/// What is known since an opening was taken.
struct Answered {
    index: Index,
    opening: Bytes,
    answer: Bytes,
    transcript: Transcript,
    peer: [u8; EPHEMERAL_BYTES],
    /// Derived for the first claim: an opening alone is not worth it.
    keys: Option<Arc<Keys>>,
}

/// What is known since a claim was judged.
struct Judged {
    index: Index,
    keys: Arc<Keys>,
    claim: Bytes,
    claimed: Transcript,
    peer: Claimant,
    decision: Result<Granted, Refusal>,
    statement: Vec<u8>,
}

impl Responder {
    /// Waits for an opening. The entropy must be drawn for it alone, and be as hard to guess as a key.
    #[must_use]
    pub fn new(local: Local, entropy: [u8; ENTROPY_BYTES]) -> Self {
        Self {
            local,
            ephemeral: Ephemeral::new(&Zeroizing::new(entropy)),
            state: State::New,
        }
    }

    /// Takes a message. One that is not of this handshake, or not now, changes nothing.
    pub fn on_message(&mut self, message: &[u8], authorizer: &dyn Authorizer) -> Output {
        let Some(head) = Head::read(message) else {
            return Output::Wait;
        };
        match (&mut self.state, head.kind) {
            (State::New, kind::OPENING) => self.on_opening(head, message),
            (State::Answered(answered), kind::OPENING) if answered.opening == message => {
                Output::Send(answered.answer.clone())
            }
            (State::Answered(_), kind::CLAIM) => self.on_claim(message, authorizer),
            (
                State::Over {
                    claim,
                    verdict: Some(verdict),
                },
                kind::CLAIM,
            ) if claim == message => Output::Send(verdict.clone()),
            _ => Output::Wait,
        }
    }

    /// Takes the signature that was asked for.
    pub fn on_signed(&mut self, signature: &[u8; SIGNATURE_BYTES]) -> Output {
        let judged = match mem::replace(&mut self.state, State::NOTHING_SAID) {
            State::Signing(judged) => *judged,
            other => {
                self.state = other;
                return Output::Wait;
            }
        };
        let keys = &judged.keys.responder;
        let text = text(keys, judged.claimed, &judged.statement, signature);
        let verdict = keys.seal(&Head::new(kind::VERDICT, judged.index).to_bytes(), &text);
        self.state = State::Over {
            claim: judged.claim,
            verdict: Some(verdict.clone()),
        };
        let granted = match judged.decision {
            Ok(granted) => granted,
            Err(refusal) => {
                return Output::Failed {
                    last: Some(verdict),
                    error: HandshakeError::Refused {
                        peer: judged.peer.key,
                        refusal,
                    },
                };
            }
        };
        let session = judged
            .keys
            .session(judged.claimed.with(&verdict), Side::Responder);
        Output::Done {
            last: Some(verdict),
            established: Box::new(Established {
                peer: judged.peer.key,
                role: granted.role,
                own_role: Role::Member,
                starts: judged.peer.starts,
                versions: judged.peer.versions,
                version: granted.version,
                token: judged.peer.token,
                generation: session.generation,
                datagrams: session.datagrams,
                ordered: session.ordered,
            }),
        }
    }

    /// Gives up, if the handshake is not over.
    pub fn time_out(&mut self) -> Output {
        match self.state {
            State::Over { .. } => Output::Wait,
            State::New | State::Answered(_) | State::Signing(_) => {
                self.fail(None, HandshakeError::TimedOut { hint: None })
            }
        }
    }

    fn on_opening(&mut self, head: Head, message: &[u8]) -> Output {
        if head.version != HANDSHAKE_VERSION {
            let version = head.version;
            let hint = Hint::UnknownVersion.encode(head.index);
            return self.fail(Some(hint), HandshakeError::UnknownVersion { version });
        }
        let Some(opening) = Exchange::read(message) else {
            return self.fail(None, HandshakeError::Malformed { part: "opening" });
        };
        let cluster = self.local.cluster;
        let transcript = Transcript::new(cluster);
        if !has_cluster_tag(cluster, transcript, Exchange::tagged(message), &opening.tag) {
            let hint = Hint::OtherCluster.encode(head.index);
            return self.fail(Some(hint), HandshakeError::OtherCluster);
        }
        let opened = transcript.with(message);
        let mut answer = Head::new(kind::ANSWER, head.index).to_bytes().to_vec();
        answer.extend_from_slice(&self.ephemeral.public());
        answer.extend_from_slice(&cluster_tag(cluster, opened, &answer));
        let answer = Bytes::from(answer);
        self.state = State::Answered(Box::new(Answered {
            index: head.index,
            opening: Bytes::copy_from_slice(message),
            answer: answer.clone(),
            transcript: opened.with(&answer),
            peer: opening.ephemeral,
            keys: None,
        }));
        Output::Send(answer)
    }

    fn on_claim(&mut self, message: &[u8], authorizer: &dyn Authorizer) -> Output {
        let State::Answered(answered) = &mut self.state else {
            return Output::Wait;
        };
        let (index, transcript) = (answered.index, answered.transcript);
        if answered.keys.is_none() {
            let keys = self.ephemeral.agree(answered.peer, transcript);
            answered.keys = keys.map(Arc::new);
        }
        let Some(keys) = answered.keys.clone() else {
            let part = "ephemeral key";
            return self.fail(None, HandshakeError::Malformed { part });
        };
        let Some(text) = keys.initiator.open(message) else {
            return Output::Wait;
        };
        let proven = match self.local.prove(&keys, transcript, &text) {
            Ok(proven) => proven,
            Err(error) => return self.fail(None, error),
        };
        let claim = Bytes::copy_from_slice(message);
        match self.local.decide(&proven, authorizer) {
            Err(refusal) if !refusal.is_told() => {
                let head = Head::new(kind::VERDICT, index).to_bytes();
                let verdict = Some(keys.responder.seal(&head, &STRANGER));
                self.state = State::Over {
                    claim,
                    verdict: verdict.clone(),
                };
                Output::Failed {
                    last: verdict,
                    error: HandshakeError::Refused {
                        peer: proven.claimant.key,
                        refusal,
                    },
                }
            }
            decision => {
                let claimed = transcript.with(message);
                let statement = Verdict {
                    introduction: Introduction::of(&self.local, Side::Responder),
                    decision,
                }
                .encode();
                let to_sign = signed(Side::Responder, claimed, &statement);
                self.state = State::Signing(Box::new(Judged {
                    index,
                    keys,
                    claim,
                    claimed,
                    peer: proven.claimant,
                    decision,
                    statement,
                }));
                Output::Sign(to_sign)
            }
        }
    }

    fn fail(&mut self, last: Option<Bytes>, error: HandshakeError) -> Output {
        self.state = State::NOTHING_SAID;
        Output::Failed { last, error }
    }
}

impl State {
    /// The handshake is over, and no message is answered any more.
    const NOTHING_SAID: Self = Self::Over {
        claim: Bytes::new(),
        verdict: None,
    };
}

/// An initiator that has proven its key.
struct Proven {
    claimant: Claimant,
    /// The digest of how it sees the connection.
    binding: [u8; KEY_BYTES],
}

impl Local {
    /// Verifies all that a claim shows, cheapest first.
    fn prove(
        &self,
        keys: &Keys,
        answered: Transcript,
        text: &[u8],
    ) -> Result<Proven, HandshakeError> {
        let text = Text::read(&keys.initiator, answered, text)?;
        let claim =
            Claim::decode(text.statement).ok_or(HandshakeError::Malformed { part: "claim" })?;
        let peer = &claim.introduction;
        if peer.key == self.key {
            return Err(HandshakeError::Ourselves);
        }
        text.prove(Side::Initiator, answered, &peer.key)?;
        if let Some((token, signature)) = &claim.token
            && !verifies(
                &token.0,
                &Claim::token_statement(answered, &peer.key),
                signature,
            )
        {
            return Err(HandshakeError::NotProven { key: "token" });
        }
        Ok(Proven {
            binding: peer.binding,
            claimant: Claimant {
                key: peer.key,
                role: claim.role,
                token: claim.token.map(|(token, _)| token),
                vouched_by: peer.vouched_by(self.cluster),
                starts: peer.starts,
                versions: peer.versions,
            },
        })
    }

    /// Decides about an initiator. Only one that is let in is told of bindings and versions.
    fn decide(&self, peer: &Proven, authorizer: &dyn Authorizer) -> Result<Granted, Refusal> {
        let role = authorizer.authorize(&peer.claimant)?.role;
        if peer.binding != binding(&self.protection, Side::Responder) {
            return Err(Refusal::WrongBinding);
        }
        let version = Versions::common(self.versions, peer.claimant.versions).ok_or(
            Refusal::NoCommonVersion {
                versions: self.versions,
            },
        )?;
        Ok(Granted { role, version })
    }
}

/// Shows no secret.
impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New => "new",
            State::Answered(_) => "answered",
            State::Signing(_) => "signing",
            State::Over { .. } => "over",
        };
        f.debug_struct("Responder")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
