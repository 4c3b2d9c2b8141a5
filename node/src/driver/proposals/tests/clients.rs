//! Tests what a client, which has no applier, makes of what it hears of its commands.

use super::*;
use crate::sessions::{OWNED_HEADER_BYTES, Owner};

const CLIENT: ServerId = ServerId(0xc1);

fn admit(proposals: &mut Proposals<u64>, body: u8) -> Outcome {
    let (caller, outcome) = oneshot::channel();
    let mut command = vec![0; OWNED_HEADER_BYTES];
    command.push(body);
    assert!(proposals.budget.take(command.len()));
    proposals.admit(command, at(99), caller);
    outcome
}

/// A client whose session is open, with two commands that were sent once, in this request.
fn with_two_sent() -> (Proposals<u64>, [Outcome; 2], u64) {
    let mut proposals = proposals().of_client(CLIENT);
    let outcomes = [1, 2].map(|body| admit(&mut proposals, body));
    proposals.next_batch(at(0), usize::MAX);
    proposals.on_registered(nonce(1), SESSION);
    let (request, sent) = forward(&mut proposals, 0).expect("they wait");
    assert_eq!(sent, [(1, 0, 1), (2, 0, 2)]);
    (proposals, outcomes, request)
}

/// Opens the next session, and returns what is sent under it.
fn sent_anew(proposals: &mut Proposals<u64>) -> Vec<Sent> {
    let (_, registration) = proposals.next_batch(at(3), usize::MAX).expect("it asks");
    let nonce = nonce(2);
    let owner = Some(Owner {
        id: CLIENT,
        token: None,
    });
    let expected = Ok(Envelope::Register { owner, nonce });
    assert_eq!(Envelope::decode(&registration[0]), expected);
    proposals.on_registered(nonce, Index(200));
    forward(proposals, 3).expect("they wait").1
}

#[test]
fn what_was_sent_once_and_expired_is_done_in_the_next_session() {
    let (mut proposals, _outcomes, _) = with_two_sent();

    proposals.on_copy_expired(SESSION, 1);
    let meanwhile = forward(&mut proposals, 1);
    proposals.on_copy_expired(SESSION, 2);

    assert_eq!(meanwhile, None, "of the second nothing is known");
    assert_eq!(sent_anew(&mut proposals), [(1, 0, 1), (2, 0, 2)]);
}

#[test]
fn a_reply_under_a_session_that_is_over_still_counts() {
    let (mut proposals, [_first, mut second], _) = with_two_sent();

    proposals.on_copy_expired(SESSION, 1);
    proposals.on_reply(SESSION, 2, Some(20));

    assert_eq!(second.try_recv(), Ok(Ok(20)));
    assert_eq!(sent_anew(&mut proposals), [(1, 0, 1)]);
}

#[test]
fn a_command_that_was_sent_twice_and_expired_is_unknown() {
    let (mut proposals, [mut first, _second], _) = with_two_sent();
    proposals.reroute();
    forward(&mut proposals, 1).expect("they are sent again");

    proposals.on_copy_expired(SESSION, 1);

    let unknown = ProposeError::Unknown(UnknownCause::SessionExpired);
    assert_eq!(first.try_recv(), Ok(Err(unknown)));
}

#[test]
fn a_declined_copy_is_in_no_log() {
    let (mut proposals, [mut first, _second], request) = with_two_sent();

    proposals.on_forward_declined(request, at(1));
    proposals.expire(at(99));

    assert_eq!(first.try_recv(), Ok(Err(ProposeError::TimedOut)));
}

#[test]
fn a_declined_copy_tells_nothing_of_another() {
    let (mut proposals, [mut first, _second], request) = with_two_sent();
    proposals.reroute();
    forward(&mut proposals, 1).expect("they are sent again");

    proposals.on_forward_declined(request, at(1));
    proposals.expire(at(99));

    let unknown = ProposeError::Unknown(UnknownCause::NoReply);
    assert_eq!(first.try_recv(), Ok(Err(unknown)));
}

#[test]
fn what_is_refused_for_good_is_sent_no_more() {
    let (mut proposals, [mut first, _second], request) = with_two_sent();
    let mut third = admit(&mut proposals, 3);

    proposals.on_forward_refused(request, &ProposeError::NoRoom, at(1));

    assert_eq!(first.try_recv(), Ok(Err(ProposeError::NoRoom)));
    assert_eq!(third.try_recv(), Ok(Err(ProposeError::NoRoom)));
    assert_eq!(forward(&mut proposals, 2), None);
}

#[test]
fn a_second_session_leaves_open_what_was_done_under_the_first() {
    let (mut proposals, [mut first, mut second], _) = with_two_sent();

    proposals.on_registered(nonce(1), Index(150));
    let meanwhile = forward(&mut proposals, 1);
    proposals.on_reply(SESSION, 1, Some(10));
    proposals.on_reply(SESSION, 2, Some(20));

    assert_eq!(meanwhile, None);
    assert_eq!(first.try_recv(), Ok(Ok(10)));
    assert_eq!(second.try_recv(), Ok(Ok(20)));
}
