//! Two carriers with media that do as they are told, and a network for signals that does not.

mod by_hand;
mod ends;
mod hostile;

use self::ends::{End, Pair};
use super::super::description::tests::{candidate, description};
use super::super::limits::WebRtcLimits;
use super::super::negotiations::{Negotiations, Output};
use super::*;
use crate::hosts::Fingerprint;

const SERVER: Way = Way::Server(0);

fn id(number: u128) -> ServerId {
    ServerId::from(number)
}

fn signal(number: u64, round: u8, body: Body) -> Signal {
    Signal::new(Session { number, round }, body)
}

/// What an end that was described as the first number says of itself when it restarts ICE.
fn again(end: u8, number: u8) -> Description {
    let mut description = description(number);
    description.fingerprint = Fingerprint([end; 32]);
    description
}

const NOW: Duration = Duration::from_secs(100);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_offer_is_made_only_when_somebody_is_there() {
    let mut end = End::new(1);

    let number = end.dial(2, NOW);
    assert_eq!((end.actions(), end.bodies()), (vec![], vec![Body::Ask]));
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);

    assert_eq!(end.done, [(number, Action::MakeOffer)]);
}

#[test]
fn nobody_there_costs_no_connection_and_is_told_in_time() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);

    while let Some(at) = end.negotiations.deadline() {
        end.wait(at);
    }

    let why = Action::Close(Unreached::NobodyThere);
    assert_eq!(end.done, [(number, why)]);
    // After 0.25 s and 0.75 s, and then each second.
    assert_eq!(end.bodies(), vec![Body::Ask; 7]);
}

#[test]
fn asking_costs_whoever_is_asked_nothing() {
    let mut end = End::new(1);

    for number in 0..100 {
        let asker = id(2 + u128::from(number));
        end.take(asker, SERVER, &signal(number, 0, Body::Ask), NOW);
    }

    assert_eq!(end.negotiations.deadline(), None);
    assert_eq!(end.bodies(), vec![Body::Ready; 100]);
}

#[test]
fn whoever_asks_without_end_is_answered_now_and_then() {
    let mut end = End::new(1);

    for number in 0..100 {
        let ask = signal(number, 0, Body::Ask);
        end.take(id(2), SERVER, &ask, NOW + Duration::from_millis(number));
        // Links have bounds of their own.
        end.take(id(3), Way::Mesh, &ask, NOW);
    }

    let answered = std::mem::take(&mut end.sent).into_iter();
    let by_server = answered.filter(|(to, ..)| *to == id(2)).count();
    assert_eq!(by_server, 1);
}

#[test]
fn two_ends_connect_by_one_connection_each() {
    let mut pair = Pair::new();

    pair.dial(1, 2);
    pair.run_for(5 * SECOND);

    assert_eq!((pair.made, pair.open.len()), (2, 2));
    assert_eq!(pair.end(1).negotiations.deadline(), None);
}

#[test]
fn whatever_is_lost_at_first_is_made_up_for() {
    for lost in 0..7 {
        let mut pair = Pair::new();
        pair.lost = lost;

        pair.dial(2, 1);
        pair.run_for(5 * SECOND);

        assert_eq!((pair.made, pair.open.len()), (2, 2), "{lost} are lost");
    }
}

#[test]
fn both_dial_and_the_offer_of_the_smaller_id_counts() {
    for lost in 0..6 {
        let mut pair = Pair::new();
        pair.lost = lost;

        let numbers = [pair.dial(1, 2), pair.dial(2, 1)];
        pair.run_for(5 * SECOND);

        let open: Vec<_> = pair.open.values().flatten().copied().collect();
        assert_eq!(open, numbers, "{lost} are lost");
        assert!(pair.made <= 3, "{lost} are lost, {} were made", pair.made);
    }
}

#[test]
fn both_have_offered_and_the_greater_id_gives_up_its_own() {
    let mut greater = End::new(2);
    let number = greater.dial(1, NOW);
    greater.take(id(1), Way::Mesh, &signal(1_001, 0, Body::Ready), NOW);
    greater.tell(number, MediumEvent::Described(description(2)), NOW);
    greater.actions();

    let offer = signal(77, 0, Body::Offer(description(1)));
    greater.take(id(1), Way::Mesh, &offer, NOW);
    let answer = signal(1_001, 0, Body::Answer(description(1)));
    greater.take(id(1), Way::Mesh, &answer, NOW);

    assert_eq!(greater.done, [(number, Action::TakeOffer(description(1)))]);
}

#[test]
fn both_have_offered_and_the_smaller_id_keeps_to_its_own() {
    let mut smaller = End::new(1);
    let number = smaller.dial(2, NOW);
    smaller.take(id(2), Way::Mesh, &signal(2_001, 0, Body::Ready), NOW);
    smaller.tell(number, MediumEvent::Described(description(1)), NOW);
    smaller.actions();

    smaller.take(
        id(2),
        Way::Mesh,
        &signal(77, 0, Body::Offer(description(2))),
        NOW,
    );
    smaller.take(
        id(2),
        Way::Mesh,
        &signal(2_001, 0, Body::Answer(description(2))),
        NOW,
    );

    assert_eq!(smaller.done, [(number, Action::TakeAnswer(description(2)))]);
}

#[test]
fn an_offer_that_is_repeated_is_answered_again_by_one_connection() {
    let mut end = End::new(2);
    let offer = signal(7, 0, Body::Offer(description(1)));
    end.take(id(1), SERVER, &offer, NOW);
    end.tell(1, MediumEvent::Described(description(2)), NOW);

    end.take(id(1), SERVER, &offer, NOW);

    assert_eq!(end.actions(), [Action::TakeOffer(description(1))]);
    assert_eq!(end.bodies(), vec![Body::Answer(description(2)); 2]);
}

#[test]
fn an_offer_that_is_replayed_after_its_end_makes_no_connection() {
    let mut end = End::new(2);
    let offer = signal(7, 0, Body::Offer(description(1)));
    end.take(id(1), SERVER, &offer, NOW);
    end.negotiations.remove(1, NOW);
    end.actions();

    end.take(id(1), SERVER, &offer, NOW);

    assert_eq!((end.actions(), end.bodies()), (vec![], vec![]));
}

#[test]
fn an_offer_made_up_does_not_end_an_open_connection() {
    let mut end = End::new(2);
    end.take(
        id(1),
        Way::Mesh,
        &signal(7, 0, Body::Offer(description(1))),
        NOW,
    );
    end.tell(1, MediumEvent::Described(description(2)), NOW);
    end.tell(1, MediumEvent::Open, NOW);
    end.actions();

    end.take(
        id(1),
        SERVER,
        &signal(8, 0, Body::Offer(description(3))),
        NOW,
    );
    end.take(
        id(1),
        SERVER,
        &signal(7, 0, Body::Offer(description(3))),
        NOW,
    );
    end.take(
        id(1),
        SERVER,
        &signal(7, 1, Body::Offer(description(1))),
        NOW,
    );

    assert_eq!(end.done, [(2, Action::TakeOffer(description(3)))]);
}

#[test]
fn an_offer_for_which_there_is_no_place_is_taken_when_there_is_one() {
    let mut end = End::new(2);
    let offer = || signal(7, 0, Body::Offer(description(1)));

    end.negotiations
        .on_signal(id(1), SERVER, offer(), NOW, || None);
    end.run();
    assert_eq!(end.actions(), []);
    end.take(id(1), SERVER, &offer(), NOW + REPEAT_AFTER);

    assert_eq!(end.actions(), [Action::TakeOffer(description(1))]);
}

#[test]
fn candidates_are_tried_once_and_only_so_many() {
    let mut end = End::new(2);
    end.take(
        id(1),
        SERVER,
        &signal(7, 0, Body::Offer(description(1))),
        NOW,
    );
    end.actions();

    for _ in 0..2 {
        for number in 0..=255 {
            let body = Body::Candidate(candidate(number));
            end.take(id(1), SERVER, &signal(7, 0, body), NOW);
        }
    }

    // One was in the offer.
    assert_eq!(end.actions().len(), CANDIDATES_MAX - 1);
}

#[test]
fn candidates_that_overtake_the_answer_are_tried_after_it() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    end.actions();

    end.take(
        id(2),
        SERVER,
        &signal(2_001, 0, Body::Candidate(candidate(9))),
        NOW,
    );
    end.take(
        id(2),
        SERVER,
        &signal(2_001, 0, Body::Answer(description(2))),
        NOW,
    );

    let expected = [
        Action::TakeAnswer(description(2)),
        Action::AddCandidate(candidate(9)),
    ];
    assert_eq!(end.actions(), expected);
}

#[test]
fn a_candidate_found_late_is_told_and_is_in_what_is_repeated() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    end.bodies();

    end.tell(number, MediumEvent::Candidate(candidate(9)), NOW);
    end.wait(NOW + REPEAT_AFTER);

    let mut complete = description(1);
    complete.add(candidate(9));
    let expected = [Body::Candidate(candidate(9)), Body::Offer(complete)];
    assert_eq!(end.bodies(), expected);
}

#[test]
fn a_connection_that_is_disconnected_gets_one_restart() {
    let mut pair = Pair::new();
    let number = pair.dial(1, 2);
    pair.run_for(SECOND);

    let now = pair.now;
    for end in [1, 2] {
        pair.end(end).tell(1, MediumEvent::Disconnected, now);
    }
    pair.run_for(SECOND);
    assert_eq!(pair.made, 2);
    let restarted = pair.open[&id(1)].clone();
    let now = pair.now;
    pair.end(1).tell(number, MediumEvent::Disconnected, now);
    pair.lost = usize::MAX;
    pair.end(1).run();
    pair.settle();
    let at = pair.end(1).negotiations.deadline().expect("it waits");
    assert!(at <= now + RESTART_TIME_MAX);
    for _ in 0..10 {
        if let Some(at) = pair.end(1).negotiations.deadline() {
            pair.now = at;
            pair.end(1).wait(at);
        }
    }

    assert_eq!(restarted, [number, number]);
    let done = pair.end(1).actions();
    assert_eq!(done, [Action::Close(Unreached::Lost)]);
}

/// An end whose connection was offered to it and is open.
fn answerer() -> End {
    let mut end = End::new(2);
    let offer = signal(7, 0, Body::Offer(description(1)));
    end.take(id(1), SERVER, &offer, NOW);
    let number = end.next;
    end.tell(number, MediumEvent::Described(description(2)), NOW);
    end.tell(number, MediumEvent::Open, NOW);
    end.actions();
    end
}

/// The offer of the first restart was lost, and the connection came back without it.
#[test]
fn a_restart_after_one_that_was_lost_is_taken() {
    let mut end = answerer();
    let number = end.next;
    end.tell(number, MediumEvent::Disconnected, NOW);
    end.tell(number, MediumEvent::Connected, NOW);
    end.tell(number, MediumEvent::Disconnected, NOW);

    let offer = signal(7, 2, Body::Offer(description(1)));
    end.take(id(1), SERVER, &offer, NOW);

    assert_eq!(end.actions(), [Action::TakeRestart(description(1))]);
}

#[test]
fn a_connection_that_comes_back_by_itself_is_kept() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    let answer = signal(2_001, 0, Body::Answer(description(2)));
    end.take(id(2), SERVER, &answer, NOW);
    end.tell(number, MediumEvent::Open, NOW);
    end.actions();

    end.tell(number, MediumEvent::Disconnected, NOW);
    end.tell(number, MediumEvent::Described(description(3)), NOW);
    end.tell(number, MediumEvent::Connected, NOW);
    for _ in 0..20 {
        if let Some(at) = end.negotiations.deadline() {
            end.wait(at);
        }
    }

    assert_eq!(end.actions(), [Action::MakeRestart]);
    assert_eq!(end.negotiations.deadline(), None);
}

/// An end that has offered its connection, which was open and is disconnected.
fn disconnected() -> (End, u64) {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    let answer = signal(2_001, 0, Body::Answer(description(2)));
    end.take(id(2), SERVER, &answer, NOW);
    end.tell(number, MediumEvent::Open, NOW);
    end.tell(number, MediumEvent::Disconnected, NOW);
    (end, number)
}

/// Its answer comes after the connection has come back: the other end has restarted, and so must this one.
#[test]
fn a_restart_that_is_answered_late_is_completed() {
    let (mut end, number) = disconnected();
    end.tell(number, MediumEvent::Described(description(3)), NOW);
    end.tell(number, MediumEvent::Connected, NOW);
    end.actions();

    let answer = signal(2_001, 1, Body::Answer(again(2, 4)));
    end.take(id(2), SERVER, &answer, NOW);

    assert_eq!(end.actions(), [Action::TakeAnswer(again(2, 4))]);
    assert_eq!(end.negotiations.deadline(), None);
}

#[test]
fn a_server_that_swaps_answers_does_not_win_twice() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    end.take(
        id(2),
        SERVER,
        &signal(2_001, 0, Body::Answer(description(6))),
        NOW,
    );
    end.tell(number, MediumEvent::Open, NOW);
    end.negotiations.remove(number, NOW + SECOND);
    end.actions();

    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_002, 0, Body::Ready), NOW);
    assert_eq!(end.actions(), []);
    end.take(id(2), Way::Mesh, &signal(2_002, 0, Body::Ready), NOW);
    end.tell(number, MediumEvent::Described(description(1)), NOW);
    end.take(
        id(2),
        SERVER,
        &signal(2_002, 0, Body::Answer(description(6))),
        NOW + SECOND,
    );
    end.take(
        id(2),
        Way::Mesh,
        &signal(2_002, 0, Body::Answer(description(2))),
        NOW + SECOND,
    );

    let expected = [Action::MakeOffer, Action::TakeAnswer(description(2))];
    assert_eq!(end.actions(), expected);
}

/// The server has seen the number of the session, and is quicker than the peer's offer by another way.
#[test]
fn an_offer_that_is_made_up_keeps_the_true_one_from_nothing() {
    let mut end = End::new(2);
    let forged = signal(7, 0, Body::Offer(description(6)));
    let offer = signal(7, 0, Body::Offer(description(1)));

    end.take(id(1), SERVER, &forged, NOW);
    end.tell(1, MediumEvent::Described(description(2)), NOW);
    end.take(id(1), Way::Mesh, &offer, NOW);
    end.tell(2, MediumEvent::Described(description(3)), NOW);
    end.take(id(1), Way::Mesh, &offer, NOW);

    let taken = [description(6), description(1)].map(Action::TakeOffer);
    assert_eq!(end.actions(), taken);
    let answers = [2, 3, 3].map(|number| Body::Answer(description(number)));
    assert_eq!(end.bodies(), answers);
}

#[test]
fn a_server_that_is_the_only_way_is_believed_again_after_a_second() {
    let mut end = End::new(1);
    let number = end.dial(2, NOW);
    end.take(id(2), SERVER, &signal(2_001, 0, Body::Ready), NOW);
    end.negotiations.remove(number, NOW);
    end.actions();

    end.dial(2, NOW);
    end.take(
        id(2),
        SERVER,
        &signal(2_002, 0, Body::Ready),
        NOW + HEAD_START,
    );

    assert_eq!(end.actions(), [Action::MakeOffer]);
}

#[test]
fn a_way_that_opens_is_asked_at_once() {
    let mut end = End::new(1);
    end.dial(2, NOW);
    end.bodies();

    end.negotiations.on_way_ready(SERVER, |_| true);
    end.run();

    let ways: Vec<_> = end.sent.iter().map(|(_, ways, _)| *ways).collect();
    assert_eq!(ways, [Ways::One(SERVER)]);
    assert_eq!(end.bodies(), [Body::Ask]);
}

#[test]
fn nobody_dials_itself_or_before_it_knows_who_it_is() {
    let mut nobody = Negotiations::new(WebRtcLimits::default());
    let mut end = End::new(1);

    assert!(!nobody.dial(1, id(2), 7, NOW));
    assert!(!end.negotiations.dial(1, id(1), 7, NOW));
    end.take(id(1), SERVER, &signal(7, 0, Body::Ask), NOW);
    assert_eq!(end.bodies(), []);
}
