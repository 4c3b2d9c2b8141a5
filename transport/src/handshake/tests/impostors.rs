//! Ends that know the cluster and the protocol, and lie about who they are.

use bytes::Bytes;
use liferaft_platform::Boot;

use super::kit::{CLUSTER, Server, Steps, joining, member, public, token_terms};
use crate::access::{Refusal, Role};
use crate::handshake::initiator::STRANGER;
use crate::handshake::message::{Exchange, Head, kind};
use crate::handshake::schedule::{Ephemeral, Keys, Side, Transcript, cluster_tag};
use crate::handshake::statement::{Claim, Granted, Introduction, Verdict, signed, text};
use crate::handshake::{HandshakeError, Index, Output, Protection};
use crate::signing::SIGNATURE_BYTES;
use crate::token::TokenSecret;

const ENTROPY: [u8; 32] = [0x5a; 32];

/// An initiator in the hands of the test: all it needs to make any claim.
struct FalseInitiator {
    keys: Keys,
    index: Index,
    answered: Transcript,
}

impl FalseInitiator {
    /// Opens a handshake with the responder of these steps.
    fn open(steps: &mut Steps) -> Self {
        let (ephemeral, index) = Ephemeral::with_index(&ENTROPY);
        let mut opening = Head::new(kind::OPENING, index).to_bytes().to_vec();
        opening.extend_from_slice(&ephemeral.public());
        let transcript = Transcript::new(CLUSTER);
        opening.extend_from_slice(&cluster_tag(CLUSTER, transcript, &opening));
        let answer = steps.give_responder(&opening).expect("an answer");
        let answered = transcript.with(&opening).with(&answer);
        let peer = Exchange::read(&answer).expect("an answer").ephemeral;
        Self {
            keys: ephemeral.agree(peer, answered).expect("an honest answer"),
            index,
            answered,
        }
    }

    fn seal(&self, text: &[u8]) -> Bytes {
        let head = Head::new(kind::CLAIM, self.index);
        self.keys.initiator.seal(&head.to_bytes(), text)
    }

    fn claim(&self, statement: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Bytes {
        self.seal(&text(
            &self.keys.initiator,
            self.answered,
            statement,
            signature,
        ))
    }

    /// What an initiator signs.
    fn to_sign(&self, statement: &[u8]) -> Bytes {
        signed(Side::Initiator, self.answered, statement)
    }
}

/// What a server would say as an initiator.
fn claim_of(server: &Server) -> Claim {
    Claim {
        introduction: Introduction::of(&server.local, Side::Initiator),
        role: Role::Member,
        token: None,
    }
}

/// A responder in the hands of the test, in place of the one of the steps.
struct FalseResponder {
    keys: Keys,
    index: Index,
    claimed: Transcript,
}

impl FalseResponder {
    /// Answers the initiator of these steps, and takes its claim.
    fn answer(steps: &mut Steps) -> Self {
        let opening = steps.opening();
        let ephemeral = Ephemeral::new(&ENTROPY);
        let index = steps.initiator.index();
        let opened = Transcript::new(CLUSTER).with(&opening);
        let mut answer = Head::new(kind::ANSWER, index).to_bytes().to_vec();
        answer.extend_from_slice(&ephemeral.public());
        answer.extend_from_slice(&cluster_tag(CLUSTER, opened, &answer));
        let answered = opened.with(&answer);
        let peer = Exchange::read(&opening).expect("an opening").ephemeral;
        let keys = ephemeral.agree(peer, answered).expect("an honest opening");
        let claim = steps.give_initiator(&answer).expect("a claim");
        Self {
            keys,
            index,
            claimed: answered.with(&claim),
        }
    }

    fn seal(&self, text: &[u8]) -> Bytes {
        let head = Head::new(kind::VERDICT, self.index);
        self.keys.responder.seal(&head.to_bytes(), text)
    }

    fn verdict(&self, statement: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Bytes {
        self.seal(&text(
            &self.keys.responder,
            self.claimed,
            statement,
            signature,
        ))
    }

    fn to_sign(&self, statement: &[u8]) -> Bytes {
        signed(Side::Responder, self.claimed, statement)
    }
}

fn verdict_of(server: &Server, decision: Result<Granted, Refusal>) -> Vec<u8> {
    Verdict {
        introduction: Introduction::of(&server.local, Side::Responder),
        decision,
    }
    .encode()
}

const GRANTED: Result<Granted, Refusal> = Ok(Granted {
    role: Role::Member,
    version: 3,
});

fn steps() -> Steps {
    Steps::new(&Server::new(1, &[1, 2]), &Server::new(2, &[1, 2]))
}

fn responder_error(steps: &Steps) -> HandshakeError {
    let end = steps.ends.1.as_ref().expect("an end");
    *end.as_ref().expect_err("a failure")
}

fn initiator_error(steps: &Steps) -> HandshakeError {
    let end = steps.ends.0.as_ref().expect("an end");
    *end.as_ref().expect_err("a failure")
}

#[test]
fn a_forged_id_is_not_proven() {
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let statement = claim_of(&Server::new(1, &[])).encode();
    let by_another = Server::new(9, &[]).sign(&forger.to_sign(&statement));

    let said = steps.give_responder(&forger.claim(&statement, &by_another));

    assert_eq!(said, None);
    let key = "key";
    assert_eq!(responder_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_forged_id_of_a_responder_is_not_proven() {
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&Server::new(2, &[]), GRANTED);
    let by_another = Server::new(9, &[]).sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &by_another));

    let key = "key";
    assert_eq!(initiator_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_proof_passed_on_to_another_exchange_is_none() {
    // The adversary exchanges keys with both ends, and passes on what the initiator signed for it.
    let mut deceived = steps();
    let towards_initiator = FalseResponder::answer(&mut deceived);
    let claim = deceived.initiator.unanswered().expect("a claim");
    let text = towards_initiator
        .keys
        .initiator
        .open(&claim)
        .expect("its own exchange");
    let (macced, _mac) = text.split_last_chunk::<32>().expect("a MAC");
    let (statement, signature) = macced.split_last_chunk::<64>().expect("a signature");

    let mut target = steps();
    let towards_responder = FalseInitiator::open(&mut target);
    target.give_responder(&towards_responder.claim(statement, signature));

    let key = "key";
    assert_eq!(responder_error(&target), HandshakeError::NotProven { key });
}

#[test]
fn a_proof_is_not_bound_to_another_identity() {
    // The adversary claims its own key with what a member signed, and the member's key with its own signature.
    let member = Server::new(1, &[]);
    let adversary = Server::new(9, &[]);
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let members = claim_of(&member).encode();
    let signature = member.sign(&forger.to_sign(&members));
    let own = claim_of(&adversary).encode();

    steps.give_responder(&forger.claim(&own, &signature));

    let key = "key";
    assert_eq!(responder_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_signature_without_the_mac_of_the_exchange_is_not_enough() {
    let member = Server::new(1, &[]);
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let statement = claim_of(&member).encode();
    let signature = member.sign(&forger.to_sign(&statement));
    let mut text = [&statement[..], &signature].concat();
    // The key of the other end's MAC is another one.
    text.extend_from_slice(&forger.keys.responder.mac(forger.answered, &text));

    steps.give_responder(&forger.seal(&text));

    let part = "MAC";
    assert_eq!(responder_error(&steps), HandshakeError::Malformed { part });
}

#[test]
fn a_verdict_without_the_mac_of_the_exchange_is_not_enough() {
    let responder = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&responder, GRANTED);
    let signature = responder.sign(&forger.to_sign(&statement));
    let mut text = [&statement[..], &signature].concat();
    text.extend_from_slice(&forger.keys.initiator.mac(forger.claimed, &text));

    steps.give_initiator(&forger.seal(&text));

    let part = "MAC";
    assert_eq!(initiator_error(&steps), HandshakeError::Malformed { part });
}

#[test]
fn an_initiator_compares_the_connection_itself() {
    let mut responder = Server::new(2, &[]);
    responder.local.protection = Protection::Inside;
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&responder, GRANTED);
    let signature = responder.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    let peer = public(2);
    let refusal = Refusal::WrongBinding;
    assert_eq!(
        initiator_error(&steps),
        HandshakeError::Refused { peer, refusal }
    );
}

#[test]
fn a_responder_with_our_own_key_is_refused() {
    let twin = Server::new(1, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&twin, GRANTED);
    let signature = twin.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    assert_eq!(initiator_error(&steps), HandshakeError::Ourselves);
}

#[test]
fn a_proof_of_an_initiator_is_none_of_a_responder() {
    let responder = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&responder, GRANTED);
    let as_initiator = signed(Side::Initiator, forger.claimed, &statement);

    steps.give_initiator(&forger.verdict(&statement, &responder.sign(&as_initiator)));

    let key = "key";
    assert_eq!(initiator_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_token_without_its_secret_is_not_proven() {
    let newcomer = Server::new(9, &[2]);
    let mut inviting = Server::new(2, &[2]);
    inviting.table.tokens.extend(token_terms(Role::Joiner, 1));
    let mut steps = Steps::with(&newcomer, &inviting, joining(&[2]));
    let forger = FalseInitiator::open(&mut steps);
    let token = TokenSecret::from_bytes(super::kit::TOKEN).key();
    let for_token = Claim::token_statement(forger.answered, &newcomer.local.key);
    let statement = Claim {
        role: Role::Joiner,
        token: Some((token, newcomer.sign(&for_token))),
        ..claim_of(&newcomer)
    }
    .encode();
    let signature = newcomer.sign(&forger.to_sign(&statement));

    steps.give_responder(&forger.claim(&statement, &signature));

    let key = "token";
    assert_eq!(responder_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_token_shown_by_one_lets_no_other_in() {
    let (owner, thief) = (Server::new(8, &[2]), Server::new(9, &[2]));
    let mut inviting = Server::new(2, &[2]);
    inviting.table.tokens.extend(token_terms(Role::Joiner, 1));
    let mut steps = Steps::with(&thief, &inviting, member());
    let forger = FalseInitiator::open(&mut steps);
    let token = TokenSecret::from_bytes(super::kit::TOKEN);
    let for_owner = Claim::token_statement(forger.answered, &owner.local.key);
    let statement = Claim {
        role: Role::Joiner,
        token: Some((token.key(), token.sign(&for_owner))),
        ..claim_of(&thief)
    }
    .encode();
    let signature = thief.sign(&forger.to_sign(&statement));

    steps.give_responder(&forger.claim(&statement, &signature));

    let key = "token";
    assert_eq!(responder_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_downgraded_version_is_noticed() {
    let responder = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let granted = Granted {
        role: Role::Member,
        version: 1,
    };
    let statement = verdict_of(&responder, Ok(granted));
    let signature = responder.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    let version = 1;
    assert_eq!(
        initiator_error(&steps),
        HandshakeError::Downgraded { version }
    );
}

#[test]
fn the_refusal_of_an_unknown_server_is_not_believed() {
    let unknown = Server::new(9, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&unknown, Err(Refusal::Expelled));
    let signature = unknown.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    let peer = public(9);
    let refusal = Refusal::Forgotten;
    assert_eq!(
        initiator_error(&steps),
        HandshakeError::Refused { peer, refusal }
    );
}

#[test]
fn a_refusal_that_nobody_proves_is_marked_as_such() {
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);

    steps.give_initiator(&forger.seal(&STRANGER));

    let refusal = Refusal::Forgotten;
    assert_eq!(
        initiator_error(&steps),
        HandshakeError::Rejected { refusal, by: None }
    );
}

#[test]
fn a_refusal_that_is_never_told_is_malformed() {
    let responder = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let statement = verdict_of(&responder, Err(Refusal::Stranger));
    let signature = responder.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    let part = "verdict";
    assert_eq!(initiator_error(&steps), HandshakeError::Malformed { part });
}

#[test]
fn a_sealed_text_of_any_length_is_read_within_its_bounds() {
    let member = Server::new(1, &[]);
    let statement = claim_of(&member).encode();

    for length in 0..statement.len() + 2 {
        let mut steps = steps();
        let forger = FalseInitiator::open(&mut steps);
        let mut changed = statement.clone();
        changed.resize(length, 0);
        if length == statement.len() {
            continue;
        }
        let signature = member.sign(&forger.to_sign(&changed));

        let said = steps.give_responder(&forger.claim(&changed, &signature));

        assert_eq!(said, None);
        let part = "claim";
        assert_eq!(responder_error(&steps), HandshakeError::Malformed { part });
    }
}

#[test]
fn a_verdict_that_goes_on_is_malformed() {
    let responder = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseResponder::answer(&mut steps);
    let mut statement = verdict_of(&responder, GRANTED);
    statement.push(0);
    let signature = responder.sign(&forger.to_sign(&statement));

    steps.give_initiator(&forger.verdict(&statement, &signature));

    let part = "verdict";
    assert_eq!(initiator_error(&steps), HandshakeError::Malformed { part });
}

#[test]
fn a_chain_that_says_to_be_too_long_is_malformed() {
    let member = Server::new(1, &[]);
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let mut statement = claim_of(&member).encode();
    let count_at = 32 + 8 + 16 + 1 + 32;
    assert_eq!(statement[count_at], 0);
    statement[count_at] = 9;
    statement.splice(count_at + 1..count_at + 1, [0; 9 * 96]);
    let signature = member.sign(&forger.to_sign(&statement));

    steps.give_responder(&forger.claim(&statement, &signature));

    let part = "claim";
    assert_eq!(responder_error(&steps), HandshakeError::Malformed { part });
}

#[test]
fn more_starts_than_there_can_have_been_are_malformed() {
    // At its fifth start there were four before, and of no start are more told than there is room for.
    for (number, earlier) in [(5, 5), (1_000, 49), (1_000, 255)] {
        let mut member = Server::new(1, &[]);
        member.local.starts = Boot { number, nonce: 1 }.into();
        let mut steps = steps();
        let forger = FalseInitiator::open(&mut steps);
        let mut statement = claim_of(&member).encode();
        let count_at = 32 + 8 + 16;
        assert_eq!(statement[count_at], 0);
        statement[count_at] = earlier;
        let marks = vec![0; 2 * usize::from(earlier)];
        statement.splice(count_at + 1..count_at + 1, marks);
        let signature = member.sign(&forger.to_sign(&statement));

        steps.give_responder(&forger.claim(&statement, &signature));

        let part = "claim";
        assert_eq!(responder_error(&steps), HandshakeError::Malformed { part });
    }
}

#[test]
fn a_key_of_small_order_proves_nothing() {
    let mut server = Server::new(1, &[]);
    // The neutral element, for which one signature holds over every text unless verification is strict.
    server.local.key.0 = [0; 32];
    server.local.key.0[0] = 1;
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let statement = claim_of(&server).encode();
    let mut signature = [0; 64];
    signature[0] = 1;

    steps.give_responder(&forger.claim(&statement, &signature));

    let key = "key";
    assert_eq!(responder_error(&steps), HandshakeError::NotProven { key });
}

#[test]
fn a_server_with_our_own_key_is_refused() {
    let twin = Server::new(2, &[]);
    let mut steps = steps();
    let forger = FalseInitiator::open(&mut steps);
    let statement = claim_of(&twin).encode();
    let signature = twin.sign(&forger.to_sign(&statement));

    let output = steps.give_responder(&forger.claim(&statement, &signature));

    assert_eq!(output, None);
    assert_eq!(responder_error(&steps), HandshakeError::Ourselves);
    assert!(matches!(steps.responder.time_out(), Output::Wait));
}
