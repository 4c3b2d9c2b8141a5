//! An adversary in the middle, who sees and changes every message, and holds no key.

use super::kit::{CLUSTER, OTHER_CLUSTER, Server, Steps, expecting, member, public};
use crate::handshake::message::{Exchange, Head, Hint, kind};
use crate::handshake::schedule::{Transcript, cluster_tag};
use crate::handshake::{Addressee, HandshakeError, Heading, MESSAGE_BYTES_MAX, Output};

fn members() -> (Server, Server) {
    (Server::new(1, &[1, 2, 3]), Server::new(2, &[1, 2, 3]))
}

/// A handshake in which no message has been taken, and all four messages as they will be.
fn recorded() -> (Steps, Vec<bytes::Bytes>) {
    let (from, to) = members();
    let messages = Steps::new(&from, &to).run().messages;
    (Steps::new(&from, &to), messages)
}

/// Gives each end all that `change` makes of each message before the message itself, and asserts that nothing comes of
/// it.
fn assert_useless(change: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let (mut steps, messages) = recorded();
    let [opening, answer, claim, verdict] = &messages[..] else {
        panic!("four messages");
    };
    let (_, to) = members();

    for changed in change(opening) {
        let output = to.responder().on_message(&changed, &to.table);
        assert!(
            matches!(output, Output::Wait | Output::Failed { .. }),
            "{output:?}"
        );
    }
    assert_eq!(steps.give_responder(opening).as_ref(), Some(answer));
    for changed in change(answer) {
        assert_eq!(steps.give_initiator(&changed), None);
    }
    assert_eq!(steps.give_initiator(answer).as_ref(), Some(claim));
    for changed in change(claim) {
        assert_eq!(steps.give_responder(&changed), None);
    }
    assert_eq!(steps.give_responder(claim).as_ref(), Some(verdict));
    for changed in change(verdict) {
        assert_eq!(steps.give_initiator(&changed), None);
    }
    assert!(steps.ends.0.is_none());
    steps.give_initiator(verdict);
    assert!(matches!(steps.ends, (Some(Ok(_)), Some(Ok(_)))));
}

#[test]
fn a_message_cut_at_any_length_changes_nothing() {
    assert_useless(|message| {
        (0..message.len())
            .map(|length| message[..length].to_vec())
            .collect()
    });
}

#[test]
fn a_message_with_any_bit_flipped_changes_nothing() {
    assert_useless(|message| {
        let flip = |bit: usize| {
            let mut flipped = message.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        };
        (0..8 * message.len()).map(flip).collect()
    });
}

#[test]
fn a_message_that_goes_on_changes_nothing() {
    assert_useless(|message| {
        let longer = |more: usize| [message, &vec![0; more]].concat();
        [1, 16, 4096].map(longer).into()
    });
}

#[test]
fn a_reflected_opening_leads_to_no_link_with_oneself() {
    let (server, _) = members();

    let run = Steps::new(&server, &server).run();

    assert_eq!(run.responder.unwrap_err(), HandshakeError::Ourselves);
    assert!(run.initiator.is_err());
}

#[test]
fn reflected_messages_change_nothing() {
    let (mut steps, messages) = recorded();
    let answer = steps.give_responder(&messages[0]).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();

    assert_eq!(steps.give_responder(&answer), None);
    assert_eq!(steps.give_initiator(&claim), None);
    let as_verdict = relabelled(&claim, kind::VERDICT);
    assert_eq!(steps.give_initiator(&as_verdict), None);

    assert!(steps.give_responder(&claim).is_some());
}

/// The message with another kind in its head.
fn relabelled(message: &[u8], kind: u8) -> Vec<u8> {
    let mut relabelled = message.to_vec();
    relabelled[5] = kind;
    relabelled
}

#[test]
fn a_handshake_relayed_to_another_member_is_noticed() {
    let (from, to) = members();

    let run = Steps::with(&from, &to, expecting(&[3])).run();

    let peer = public(2);
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Unexpected { peer }
    );
}

#[test]
fn who_relays_all_messages_learns_nothing_and_changes_nothing() {
    let (from, to) = members();

    let run = Steps::new(&from, &to).run();

    let seen = run.messages.concat();
    for key in [from.local.key, to.local.key] {
        assert!(!seen.windows(32).any(|window| window == key.0));
    }
    assert!(run.initiator.is_ok() && run.responder.is_ok());
}

#[test]
fn a_replayed_handshake_gets_an_answer_and_nothing_else() {
    let (_, messages) = recorded();
    let (_, to) = members();
    let mut responder = to.responder_with(99);

    let answered = responder.on_message(&messages[0], &to.table);
    let claimed = responder.on_message(&messages[2], &to.table);

    let Output::Send(answer) = answered else {
        panic!("{answered:?}");
    };
    assert_ne!(answer, messages[1]);
    assert!(matches!(claimed, Output::Wait), "{claimed:?}");
}

#[test]
fn a_replayed_responder_gets_no_claim_that_it_can_use() {
    let (from, _) = members();
    let (_, messages) = recorded();
    let mut initiator = from.initiator_with(member(), 99);

    let mut answer = messages[1].to_vec();
    answer[6..22].copy_from_slice(&initiator.unanswered().unwrap()[6..22]);

    assert!(matches!(
        initiator.on_message(&messages[1], &from.table),
        Output::Wait
    ));
    assert!(matches!(
        initiator.on_message(&answer, &from.table),
        Output::Wait
    ));
}

#[test]
fn messages_of_two_runs_do_not_mix() {
    let (from, to) = members();
    let mut later = to.clone();
    later.local.starts = later.local.starts.next(9);
    let [mut one, mut other] = [&to, &later].map(|to| Steps::new(&from, to));
    other.responder = later.responder_with(99);
    let opening = one.opening();
    let [answer, other_answer] =
        [&mut one, &mut other].map(|steps| steps.give_responder(&opening).unwrap());
    let claim = one.give_initiator(&answer).unwrap();

    assert_eq!(one.give_initiator(&other_answer), None);
    assert_eq!(other.give_responder(&claim), None);

    let other_claim = other.give_initiator(&other_answer).unwrap();
    let other_verdict = other.give_responder(&other_claim).unwrap();
    assert_eq!(one.give_responder(&other_claim), None);
    assert_eq!(one.give_initiator(&other_verdict), None);
    assert!(one.give_responder(&claim).is_some());
}

#[test]
fn a_made_up_hint_ends_no_handshake() {
    let (mut steps, _) = recorded();
    let index = steps.initiator.index();
    let hint = Hint::OtherCluster.encode(index);

    assert_eq!(steps.give_initiator(&hint), None);

    let answer = steps.give_responder(&steps.opening()).unwrap();
    let claim = steps.give_initiator(&answer).unwrap();
    assert_eq!(steps.give_initiator(&hint), None);
    let verdict = steps.give_responder(&claim).unwrap();
    steps.give_initiator(&verdict);
    assert!(matches!(steps.ends, (Some(Ok(_)), Some(Ok(_)))));
}

#[test]
fn a_hint_for_another_handshake_explains_nothing() {
    let (mut steps, _) = recorded();
    let (other, _) = members();
    let index = other.initiator_with(member(), 99).index();

    steps.give_initiator(&Hint::OtherCluster.encode(index));

    let Output::Failed { error, .. } = steps.initiator.time_out() else {
        panic!("it was not over");
    };
    assert_eq!(error, HandshakeError::TimedOut { hint: None });
}

#[test]
fn a_hint_after_an_answer_explains_nothing() {
    let (mut steps, _) = recorded();
    let answer = steps.give_responder(&steps.opening()).unwrap();
    steps.give_initiator(&answer).unwrap();

    steps.give_initiator(&Hint::OtherCluster.encode(steps.initiator.index()));

    let Output::Failed { error, .. } = steps.initiator.time_out() else {
        panic!("it was not over");
    };
    assert_eq!(error, HandshakeError::TimedOut { hint: None });
}

#[test]
fn a_hint_of_any_version_is_understood() {
    let (mut steps, _) = recorded();
    let mut hint = Hint::UnknownVersion
        .encode(steps.initiator.index())
        .to_vec();
    hint[4] = 2;

    steps.give_initiator(&hint);

    let Output::Failed { error, .. } = steps.initiator.time_out() else {
        panic!("it was not over");
    };
    let hint = Some(Hint::UnknownVersion);
    assert_eq!(error, HandshakeError::TimedOut { hint });
}

#[test]
fn a_changed_claim_after_the_verdict_is_not_answered() {
    let (mut steps, messages) = recorded();
    steps.give_responder(&messages[0]);
    steps.give_responder(&messages[2]);
    let mut changed = messages[2].to_vec();
    changed[100] ^= 1;

    assert_eq!(steps.give_responder(&changed), None);
    assert_eq!(
        steps.give_responder(&messages[2]).as_ref(),
        Some(&messages[3])
    );
}

#[test]
fn who_does_not_know_the_cluster_can_answer_nobody() {
    let (mut steps, messages) = recorded();
    let opened = Transcript::new(CLUSTER).with(&messages[0]);
    let mut forged = Exchange::tagged(&messages[1]).to_vec();
    forged[40] ^= 1;
    let tag = cluster_tag(OTHER_CLUSTER, opened, &forged);
    forged.extend_from_slice(&tag);

    assert_eq!(steps.give_initiator(&forged), None);
}

#[test]
fn keys_that_make_the_secret_known_to_all_are_refused() {
    let (mut steps, messages) = recorded();
    let opened = Transcript::new(CLUSTER).with(&messages[0]);
    let mut answer = messages[1][..22].to_vec();
    answer.extend_from_slice(&[0; 32]);
    let tag = cluster_tag(CLUSTER, opened, &answer);
    answer.extend_from_slice(&tag);

    assert_eq!(steps.give_initiator(&answer), None);

    let (_, to) = members();
    let mut opening = messages[0][..22].to_vec();
    opening.extend_from_slice(&[0; 32]);
    let tag = cluster_tag(CLUSTER, Transcript::new(CLUSTER), &opening);
    opening.extend_from_slice(&tag);
    let mut responder = to.responder();
    let Output::Send(_) = responder.on_message(&opening, &to.table) else {
        panic!("no answer");
    };
    let output = responder.on_message(&messages[2], &to.table);
    let part = "ephemeral key";
    let Output::Failed { last: None, error } = output else {
        panic!("{output:?}");
    };
    assert_eq!(error, HandshakeError::Malformed { part });
}

#[test]
fn a_heading_says_for_whom_a_message_is() {
    let (steps, messages) = recorded();
    let index = steps.initiator.index();

    let read = [0, 1, 2, 3].map(|i| Heading::read(&messages[i]));

    let heading = |addressee| Some(Heading { index, addressee });
    assert_eq!(
        read,
        [
            heading(Addressee::NewResponder),
            heading(Addressee::Initiator),
            heading(Addressee::Responder),
            heading(Addressee::Initiator),
        ]
    );
    assert_eq!(Heading::read(&messages[0][..21]), None);
    assert_eq!(Heading::read(&[0; 70]), None);
    let too_long = [&messages[0][..], &[0; MESSAGE_BYTES_MAX - 69]].concat();
    assert_eq!(Heading::read(&too_long), None);
    assert_eq!(Heading::read(&relabelled(&messages[0], 9)), None);
}

#[test]
fn no_sealed_packet_is_taken_for_a_message_of_a_handshake() {
    let head = Head::new(
        kind::OPENING,
        Steps::new(&members().0, &members().1).initiator.index(),
    );

    let first = u64::from_be_bytes(head.to_bytes()[..8].try_into().unwrap());

    assert!(first >= crate::sealing::NUMBER_END);
}
