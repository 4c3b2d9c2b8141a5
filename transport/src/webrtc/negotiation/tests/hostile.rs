//! Ways of signals that lie.

use super::*;

/// A signaling server, by its number.
const fn server(number: usize) -> Way {
    Way::Server(number)
}

/// Dials a peer, of which each of these ways says after a while that it is there. Returns the way that is taken, and
/// when nothing has come of that.
fn lead_nowhere(end: &mut End, ways: &[(Way, Duration)], now: Duration) -> (Option<Way>, Duration) {
    let number = end.dial(2, now);
    let ready = signal(2_000 + number, 0, Body::Ready);
    let mut ways = ways.iter();
    let taken = ways.find(|(way, after)| {
        end.take(id(2), *way, &ready, now + *after);
        end.actions() == [Action::MakeOffer]
    });
    let over = now + 5 * SECOND;
    end.negotiations.remove(number, over);
    (taken.map(|(way, _)| *way), over)
}

/// Each of them was forgotten when the other one had led nowhere.
#[test]
fn two_servers_that_lead_nowhere_do_not_win_for_ever() {
    let mut end = End::new(1);
    let ways = [
        (server(0), Duration::ZERO),
        (server(1), Duration::ZERO),
        (Way::Mesh, SECOND / 2),
    ];
    let mut now = NOW;

    let taken = [(); 4].map(|()| {
        let (taken, over) = lead_nowhere(&mut end, &ways, now);
        now = over;
        taken
    });

    let expected = [server(0), server(1), Way::Mesh, Way::Mesh].map(Some);
    assert_eq!(taken, expected);
}

/// The peer may have been away when the last of the ways was tried.
#[test]
fn servers_that_have_all_led_nowhere_are_believed_in_turn() {
    let mut end = End::new(1);
    let mut now = NOW;

    let taken = [0, 0, 0, 5, 5, 5, 5].map(|quarters| {
        let after = HEAD_START / 4 * quarters;
        let ways = [0, 1, 2].map(|number| (server(number), after));
        let (taken, over) = lead_nowhere(&mut end, &ways, now);
        now = over;
        taken
    });

    let expected = [0, 1, 2, 0, 1, 2, 0].map(|number| Some(server(number)));
    assert_eq!(taken, expected);
}

#[test]
fn what_led_nowhere_long_ago_counts_no_more() {
    let mut end = End::new(1);
    let ways = [(server(0), Duration::ZERO), (server(1), SECOND / 2)];

    let (_, over) = lead_nowhere(&mut end, &ways, NOW);
    let (soon, over) = lead_nowhere(&mut end, &ways, over);
    let (later, _) = lead_nowhere(&mut end, &ways, over + 3_600 * SECOND);

    assert_eq!([soon, later], [server(1), server(0)].map(Some));
}

/// It made up as many as are remembered, and the smallest id was forgotten.
#[test]
fn peers_that_are_made_up_erase_nothing_that_is_remembered() {
    let mut end = End::new(1);
    let ways = [(server(0), Duration::ZERO), (Way::Mesh, SECOND / 2)];
    let (_, mut now) = lead_nowhere(&mut end, &ways, NOW);

    for invented in 10..3_000 {
        now += SECOND / 100;
        let offer = signal(7, 0, Body::Offer(description(1)));
        end.take(id(invented), server(0), &offer, now);
        let number = end.next;
        end.negotiations.remove(number, now);
    }
    end.actions();
    let (taken, _) = lead_nowhere(&mut end, &ways, now);

    assert_eq!(taken, Some(Way::Mesh));
}

/// As many candidates as nobody has, by a server that makes them up.
fn made_up(end: &mut End, from: u128, session: u64) {
    for number in 100..200 {
        let body = Body::Candidate(candidate(number));
        end.take(id(from), server(1), &signal(session, 0, body), NOW);
    }
}

/// The server has heard the number of the session: whoever dials asks by all ways.
#[test]
fn a_server_keeps_out_no_candidate_of_whoever_answers() {
    for way in [Way::Mesh, server(0)] {
        let mut end = End::new(1);
        let number = end.dial(2, NOW);
        let answer = description(2).without_candidates();
        let mut repeated = answer.clone();
        repeated.add(candidate(79));
        let mut forged = answer.clone();
        forged.add(candidate(99));

        let ready = signal(2_001, 0, Body::Ready);
        let early = signal(2_001, 0, Body::Candidate(candidate(77)));
        let late = signal(2_001, 0, Body::Candidate(candidate(78)));
        made_up(&mut end, 2, 2_001);
        end.take(id(2), way, &ready, NOW);
        end.take(id(2), way, &early, NOW);
        end.tell(number, MediumEvent::Described(description(1)), NOW);
        let answer = signal(2_001, 0, Body::Answer(answer));
        end.take(id(2), way, &answer, NOW);
        made_up(&mut end, 2, 2_001);
        let forged = signal(2_001, 0, Body::Answer(forged));
        end.take(id(2), server(1), &forged, NOW);
        end.take(id(2), way, &late, NOW);
        let repeated = signal(2_001, 0, Body::Answer(repeated));
        end.take(id(2), Way::Mesh, &repeated, NOW);

        let tried = end.actions().split_off(2);
        let expected = [77, 78, 79].map(candidate).map(Action::AddCandidate);
        assert_eq!(tried, expected, "{way:?}");
    }
}

#[test]
fn a_server_keeps_out_no_candidate_of_whoever_offers() {
    for way in [Way::Mesh, server(0)] {
        let mut end = End::new(2);
        let offer = description(1).without_candidates();
        let mut forged = offer.clone();
        forged.add(candidate(99));

        end.take(id(1), way, &signal(7, 0, Body::Offer(offer)), NOW);
        made_up(&mut end, 1, 7);
        let forged = signal(7, 0, Body::Offer(forged));
        end.take(id(1), server(1), &forged, NOW);
        let told = signal(7, 0, Body::Candidate(candidate(77)));
        end.take(id(1), way, &told, NOW);

        let tried = end.actions().split_off(1);
        assert_eq!(tried, [Action::AddCandidate(candidate(77))], "{way:?}");
    }
}

/// An end that has offered its connection, which was open and is disconnected. Its restart is offered.
fn restarting() -> End {
    let (mut end, number) = disconnected();
    let again = again(1, 3);
    end.tell(number, MediumEvent::Described(again), NOW);
    end.actions();
    end.bodies();
    end
}

/// A browser would refuse it, and close the connection.
#[test]
fn a_restart_is_answered_by_the_proven_end_alone() {
    let mut end = restarting();
    let answer = |description| signal(2_001, 1, Body::Answer(description));

    end.take(id(2), SERVER, &answer(description(6)), NOW);
    let of_forged = end.actions();
    let repeated_at = end.negotiations.deadline().expect("it waits on");
    end.wait(repeated_at);
    end.take(id(2), SERVER, &answer(again(2, 4)), repeated_at);

    assert_eq!(of_forged, []);
    assert_eq!(end.bodies(), [Body::Offer(again(1, 3))]);
    assert_eq!(end.actions(), [Action::TakeAnswer(again(2, 4))]);
}

/// The server has seen the certificate's fingerprint: whoever carries a description has.
#[test]
fn an_answer_by_members_outdoes_one_that_a_server_made_up() {
    let mut end = restarting();
    let number = end.next;
    let answer = |round, number| signal(2_001, round, Body::Answer(again(2, number)));

    end.take(id(2), SERVER, &answer(1, 6), NOW);
    end.take(id(2), Way::Mesh, &answer(1, 4), NOW);
    end.take(id(2), Way::Mesh, &answer(1, 4), NOW);
    end.tell(number, MediumEvent::Described(again(1, 5)), NOW);
    end.take(id(2), SERVER, &answer(2, 6), NOW);
    end.take(id(2), Way::Mesh, &answer(2, 7), NOW);
    end.take(id(2), SERVER, &answer(2, 6), NOW);

    let done = [
        Action::TakeAnswer(again(2, 6)),
        Action::MakeRestart,
        Action::TakeAnswer(again(2, 7)),
    ];
    assert_eq!(end.actions(), done);
    let sent: Vec<_> = end.sent.iter().map(|(_, ways, _)| *ways).collect();
    assert_eq!(sent, [Ways::One(Way::Mesh)]);
}

#[test]
fn an_offer_by_members_outdoes_one_that_a_server_made_up() {
    let mut end = answerer();
    let number = end.next;
    let offer = |round, number| signal(7, round, Body::Offer(again(1, number)));
    end.bodies();
    end.tell(number, MediumEvent::Disconnected, NOW);

    end.take(id(1), SERVER, &offer(255, 6), NOW);
    end.tell(number, MediumEvent::Described(again(2, 3)), NOW);
    end.take(id(1), Way::Mesh, &offer(1, 4), NOW);
    end.take(id(1), SERVER, &offer(254, 6), NOW);
    end.tell(number, MediumEvent::Described(again(2, 5)), NOW);
    end.take(id(1), Way::Mesh, &offer(1, 4), NOW);

    let taken = [6, 4].map(|number| Action::TakeRestart(again(1, number)));
    assert_eq!(end.actions(), taken);
    let answers = [3, 5, 5].map(|number| Body::Answer(again(2, number)));
    assert_eq!(end.bodies(), answers);
}
