//! A carrier that loses, doubles and reorders, and signers that take their time.

use bytes::Bytes;
use proptest::prelude::*;

use super::kit::{Server, Steps, member};
use crate::handshake::Output;

fn members() -> (Server, Server) {
    (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]))
}

/// Both ends, up to the message after the claim.
fn steps() -> Steps {
    let (from, to) = members();
    Steps::new(&from, &to)
}

fn is_agreed(steps: &Steps) -> bool {
    match &steps.ends {
        (Some(Ok(one)), Some(Ok(two))) => one.generation == two.generation,
        _ => false,
    }
}

#[test]
fn a_lost_opening_is_sent_again() {
    let mut steps = steps();
    let _lost = steps.opening();

    let answer = steps.give_responder(&steps.opening()).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    let verdict = steps.give_responder(&claim).unwrap();
    steps.give_initiator(&verdict);

    assert!(is_agreed(&steps));
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut steps = steps();
    let lost = steps.give_responder(&steps.opening());

    let again = steps.give_responder(&steps.initiator.unanswered().unwrap());

    assert!(lost.is_some());
    assert_eq!(again, lost);
}

#[test]
fn a_lost_claim_is_sent_again() {
    let mut steps = steps();
    let answer = steps.give_responder(&steps.opening()).unwrap();
    let lost = steps.give_initiator(&answer);

    assert_eq!(steps.initiator.unanswered(), lost);
    assert_eq!(steps.give_initiator(&answer), lost);
}

#[test]
fn a_lost_verdict_is_given_again() {
    let mut steps = steps();
    let answer = steps.give_responder(&steps.opening()).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    let lost = steps.give_responder(&claim);

    let again = steps.give_responder(&steps.initiator.unanswered().unwrap());

    assert!(lost.is_some());
    assert_eq!(again, lost);
    steps.give_initiator(&again.unwrap());
    assert!(is_agreed(&steps));
}

#[test]
fn a_lost_refusal_is_given_again() {
    let mut steps = Steps::new(&Server::new(1, &[2]), &Server::new(2, &[2]));
    let answer = steps.give_responder(&steps.opening()).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    let lost = steps.give_responder(&claim);

    let again = steps.give_responder(&claim);

    assert!(lost.is_some());
    assert_eq!(again, lost);
}

#[test]
fn doubles_of_each_message_change_nothing() {
    let mut steps = steps();
    let opening = steps.opening();
    let answer = steps.give_responder(&opening).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    let verdict = steps.give_responder(&claim).unwrap();
    steps.give_initiator(&verdict);
    assert!(is_agreed(&steps));

    let doubles = [
        steps.give_responder(&opening),
        steps.give_initiator(&answer),
        steps.give_initiator(&verdict),
    ];

    assert_eq!(doubles, [const { None }; 3]);
    assert_eq!(steps.give_responder(&claim), Some(verdict));
    assert!(is_agreed(&steps));
}

#[test]
fn messages_that_come_before_their_time_change_nothing() {
    let (from, to) = members();
    let run = Steps::new(&from, &to).run();
    let [opening, answer, claim, verdict] = &run.messages[..] else {
        panic!("four messages");
    };
    let mut steps = Steps::new(&from, &to);

    assert_eq!(steps.give_responder(claim), None);
    assert_eq!(steps.give_initiator(verdict), None);
    assert_eq!(steps.give_initiator(opening), None);
    assert_eq!(steps.give_responder(answer), None);

    assert!(steps.run().initiator.is_ok());
}

#[test]
fn doubles_wait_while_a_signer_takes_its_time() {
    let (from, to) = members();
    let (mut initiator, mut responder) = (from.initiator(), to.responder());
    let opening = initiator.unanswered().unwrap();
    let Output::Send(answer) = responder.on_message(&opening, &to.table) else {
        panic!("no answer");
    };
    let Output::Sign(bytes) = initiator.on_message(&answer, &from.table) else {
        panic!("nothing to sign");
    };

    assert!(matches!(
        initiator.on_message(&answer, &from.table),
        Output::Wait
    ));
    assert_eq!(initiator.unanswered(), None);
    let Output::Send(claim) = initiator.on_signed(&from.sign(&bytes)) else {
        panic!("no claim");
    };
    let Output::Sign(bytes) = responder.on_message(&claim, &to.table) else {
        panic!("nothing to sign");
    };
    assert!(matches!(
        responder.on_message(&claim, &to.table),
        Output::Wait
    ));

    let done = responder.on_signed(&to.sign(&bytes));
    assert!(matches!(done, Output::Done { .. }), "{done:?}");
}

#[test]
fn a_signature_that_nobody_asked_for_changes_nothing() {
    let (from, to) = members();
    let mut steps = Steps::new(&from, &to);

    assert!(matches!(steps.initiator.on_signed(&[7; 64]), Output::Wait));
    assert!(matches!(steps.responder.on_signed(&[7; 64]), Output::Wait));

    let answer = steps.give_responder(&steps.opening()).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    assert!(matches!(steps.initiator.on_signed(&[7; 64]), Output::Wait));
    assert!(matches!(steps.responder.on_signed(&[7; 64]), Output::Wait));
    let verdict = steps.give_responder(&claim).unwrap();
    steps.give_initiator(&verdict);
    assert!(is_agreed(&steps));
}

#[test]
fn an_end_that_has_timed_out_says_no_more() {
    let mut steps = steps();
    let answer = steps.give_responder(&steps.opening()).unwrap();

    assert!(matches!(steps.initiator.time_out(), Output::Failed { .. }));
    assert!(matches!(steps.responder.time_out(), Output::Failed { .. }));

    assert_eq!(steps.give_initiator(&answer), None);
    assert_eq!(steps.give_responder(&steps_opening()), None);
    assert_eq!(steps.initiator.unanswered(), None);
    assert!(matches!(steps.initiator.time_out(), Output::Wait));
    assert!(matches!(steps.responder.time_out(), Output::Wait));
}

fn steps_opening() -> Bytes {
    steps().opening()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Messages of the handshake, of another one of the same ends, and changed ones, in any order. Then the carrier
    /// loses nothing.
    #[test]
    fn whatever_a_carrier_does_both_ends_agree_in_the_end(
        deliveries in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..4_u8, any::<u16>()), 0..40)
    ) {
        let (from, to) = members();
        let mut steps = Steps::new(&from, &to);
        let opening = steps.opening();
        let mut other = Steps::new(&from, &to);
        other.initiator = from.initiator_with(member(), 3);
        other.responder = to.responder_with(4);
        let mut seen = other.run().messages;
        seen.push(opening.clone());
        for (to_initiator, which, change, bit) in deliveries {
            let mut message = which.get(&seen).to_vec();
            // Another opening would make another responder.
            if change == 0 && message[5] != 1 {
                let bit = usize::from(bit) % (8 * message.len());
                message[bit / 8] ^= 1 << (bit % 8);
            }
            if message[5] == 1 && message != opening {
                continue;
            }
            let sent = if to_initiator {
                steps.give_initiator(&message)
            } else {
                steps.give_responder(&message)
            };
            seen.extend(sent);
        }

        for _ in 0..3 {
            let Some(message) = steps.initiator.unanswered() else {
                break;
            };
            if let Some(answer) = steps.give_responder(&message) {
                steps.give_initiator(&answer);
            }
        }

        prop_assert!(is_agreed(&steps));
    }
}
