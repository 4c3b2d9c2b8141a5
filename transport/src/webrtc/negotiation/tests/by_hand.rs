//! Offers and answers that people carry.

use super::super::super::by_hand::{BY_HAND_MAX, BY_HAND_TIME_MAX};
use super::super::super::negotiations::Taken;
use super::*;
use crate::signaling::{Note, NoteKind};

const NOW: Duration = Duration::from_secs(100);

/// An end with an offer by hand, and what is carried of it.
fn offering() -> (End, Note) {
    let mut end = End::new(1);
    let number = end.number();
    end.negotiations.offer_by_hand(number, 7, NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    let offer = end.negotiations.note(number).expect("it is described");
    (end, offer)
}

/// An end that has taken an offer, its connection, and what is carried back.
fn answering(offer: Note) -> (End, u64, Note) {
    let mut end = End::new(2);
    let number = end.number();
    end.negotiations.answer_by_hand(number, offer, NOW);
    end.tell(number, MediumEvent::Described(description(2)), NOW);
    let answer = end.negotiations.note(number).expect("it is described");
    (end, number, answer)
}

#[test]
fn an_offer_waits_ten_minutes_and_nothing_of_it_is_sent() {
    let (mut end, offer) = offering();
    assert_eq!(end.actions(), [Action::MakeOffer]);
    assert_eq!((offer.from, offer.kind), (id(1), NoteKind::Offer));

    end.tell(1, MediumEvent::Candidate(candidate(9)), NOW);
    end.wait(NOW + BY_HAND_TIME_MAX - Duration::from_millis(1));
    assert_eq!(end.actions(), []);
    end.wait(NOW + BY_HAND_TIME_MAX);

    assert_eq!(end.actions(), [Action::Close(Unreached::Unanswered)]);
    assert_eq!(end.bodies(), []);
}

/// Whoever begins with DTLS gives up after some minutes: that is whoever has the answer.
#[test]
fn whoever_answers_waits_for_the_other_to_begin() {
    let (_, offer) = offering();

    let (mut end, _, answer) = answering(offer.clone());

    let mut taken = offer.description;
    taken.setup = Setup::Active;
    assert_eq!(end.actions(), [Action::TakeOffer(taken)]);
    assert_eq!((answer.from, answer.session), (id(2), 7));
}

#[test]
fn an_answer_is_taken_once_and_within_ten_minutes() {
    let (mut end, offer) = offering();
    let (_, _, answer) = answering(offer);
    end.actions();

    let late = NOW + BY_HAND_TIME_MAX - Duration::from_secs(1);
    assert!(end.negotiations.take_answer_by_hand(answer.clone(), late));
    end.run();
    assert_eq!(
        end.actions(),
        [Action::TakeAnswer(answer.description.clone())]
    );
    assert!(!end.negotiations.take_answer_by_hand(answer, late));
    end.wait(late + BY_HAND_CONNECTING_TIME_MAX);

    assert_eq!(end.actions(), [Action::Close(Unreached::Unconnected)]);
}

#[test]
fn addresses_of_an_offer_are_tried_again_when_ice_has_given_up() {
    let (_, offer) = offering();
    let candidates: Vec<_> = offer.description.candidates().to_vec();
    let (mut end, number, _) = answering(offer);
    end.actions();

    end.tell(number, MediumEvent::Failed, NOW + Duration::from_secs(20));

    let again: Vec<_> = candidates.into_iter().map(Action::AddCandidate).collect();
    assert_eq!(end.actions(), again);
}

#[test]
fn an_open_connection_is_for_who_dials_the_peer_next() {
    let (_, offer) = offering();
    let (mut end, number, _) = answering(offer);
    let dialed = end.dial(1, NOW);
    end.actions();
    assert_eq!(end.negotiations.claim(id(1)), None);

    end.tell(number, MediumEvent::Open, NOW);

    assert_eq!(end.done, [(dialed, Action::Close(Unreached::MadeByHand))]);
    assert_eq!(end.negotiations.claim(id(1)), Some(number));
    assert_eq!(end.negotiations.claim(id(1)), None);
}

#[test]
fn an_offer_is_taken_once() {
    let (_, offer) = offering();
    let (mut end, number, _) = answering(offer.clone());
    assert_eq!(end.negotiations.taken_by_hand(&offer), Taken::Waits(number));

    end.negotiations.remove(number, NOW);

    assert_eq!(end.negotiations.taken_by_hand(&offer), Taken::Before);
    let another = Note {
        session: 8,
        ..offer
    };
    assert_eq!(end.negotiations.taken_by_hand(&another), Taken::Not);
}

#[test]
fn so_many_wait_and_no_more() {
    let mut end = End::new(1);
    for session in 0..BY_HAND_MAX {
        assert!(end.negotiations.has_room_by_hand());
        let (number, session) = (end.number(), u64::try_from(session).unwrap());
        end.negotiations.offer_by_hand(number, session, NOW);
    }

    assert!(!end.negotiations.has_room_by_hand());
}

/// Signals of links and servers say whose they are; nobody is "anybody".
#[test]
fn an_offer_by_hand_is_not_answered_by_signals() {
    let (mut end, offer) = offering();
    let (_, _, answer) = answering(offer);
    end.actions();
    let session = Session {
        number: 7,
        round: 0,
    };
    let signal = Signal::new(session, Body::Answer(answer.description));

    end.take(ANYBODY, SERVER, &signal, NOW);
    end.take(id(2), SERVER, &signal, NOW);

    assert_eq!(end.actions(), []);
}
