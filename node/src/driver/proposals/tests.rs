mod clients;

use tokio::sync::oneshot::Receiver;

use super::*;
use crate::ids::{ServerId, Term};
use crate::sessions::{Envelope, HEADER_BYTES};

const RESEND: Duration = Duration::from_secs(1);
const SESSION: Index = Index(100);

type Outcome = Receiver<Result<u64, ProposeError>>;

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

fn proposals() -> Proposals<u64> {
    Proposals::new(7, RESEND, Arc::new(Budget::default()))
}

/// With a session that is open.
fn with_session() -> Proposals<u64> {
    let mut proposals = proposals();
    let _caller = admit(&mut proposals, 0, 1);
    proposals.next_batch(at(0), usize::MAX);
    proposals.on_registered(nonce(1), SESSION);
    proposals.expire(at(1));
    proposals.reroute();
    proposals
}

fn nonce(registration: u128) -> u128 {
    7 << 64 | registration
}

fn admit(proposals: &mut Proposals<u64>, body: u8, deadline: u64) -> Outcome {
    let (caller, outcome) = oneshot::channel();
    let mut command = vec![0; HEADER_BYTES];
    command.push(body);
    assert!(proposals.budget.take(command.len()));
    proposals.admit(command, at(deadline), caller);
    outcome
}

/// A command in a batch: `(sequence, acknowledged_through, body)`.
type Sent = (u64, u64, u8);

fn read(commands: &[Bytes]) -> Vec<Sent> {
    let of = |command: &Bytes| match Envelope::decode(command).unwrap() {
        Envelope::Command { header, body, .. } => {
            (header.sequence, header.acknowledged_through, body[0])
        }
        Envelope::Register { .. } | Envelope::RegisterOrdered { .. } => (0, 0, 0),
    };
    commands.iter().map(of).collect()
}

fn forward(proposals: &mut Proposals<u64>, now: u64) -> Option<(u64, Vec<Sent>)> {
    let (request, commands) = proposals.next_batch(at(now), usize::MAX)?;
    proposals.forwarded(request, true, at(now));
    Some((request, read(&commands)))
}

const NOT_LEADER: ProposeRefused = ProposeRefused::NotLeader {
    leader: Some(ServerId(2)),
};
const POSITION: LogPosition = LogPosition::new(Term(1), Index(9));

#[test]
fn the_first_command_registers_and_follows_once_the_session_is_open() {
    let mut proposals = proposals();
    let mut outcome = admit(&mut proposals, 5, 9);

    let (_, registration) = proposals.next_batch(at(0), usize::MAX).unwrap();
    let nothing_else = proposals.next_batch(at(0), usize::MAX);
    proposals.on_registered(nonce(1), SESSION);
    let command = forward(&mut proposals, 0).unwrap().1;
    proposals.on_reply(SESSION, 1, Some(50));

    assert_eq!(
        Envelope::decode(&registration[0]),
        Ok(Envelope::Register {
            owner: None,
            nonce: nonce(1)
        })
    );
    assert_eq!(nothing_else, None);
    assert_eq!(command, [(1, 0, 5)]);
    assert_eq!(outcome.try_recv(), Ok(Ok(50)));
}

#[test]
fn another_runs_registration_opens_no_session_here() {
    let mut proposals = proposals();
    let _outcome = admit(&mut proposals, 5, 9);
    proposals.next_batch(at(0), usize::MAX);

    proposals.on_registered(8 << 64 | 1, SESSION);

    assert_eq!(forward(&mut proposals, 0), None);
}

#[test]
fn a_command_is_sent_again_under_its_number_until_it_is_answered() {
    let mut proposals = with_session();
    let mut outcome = admit(&mut proposals, 5, 99);

    let first = forward(&mut proposals, 2).unwrap();
    proposals.expire(at(2));
    let too_early = forward(&mut proposals, 2);
    proposals.expire(at(3));
    let second = forward(&mut proposals, 3).unwrap();
    proposals.on_reply(SESSION, 2, Some(50));
    proposals.expire(at(50));

    assert_eq!(first.1, second.1);
    assert_ne!(first.0, second.0);
    assert_eq!(too_early, None);
    assert_eq!(forward(&mut proposals, 50), None);
    assert_eq!(outcome.try_recv(), Ok(Ok(50)));
}

#[test]
fn what_the_leader_has_appended_is_sent_again_only_to_another_leader() {
    let mut proposals = with_session();
    let _outcome = admit(&mut proposals, 5, 99);
    let (request, commands) = forward(&mut proposals, 2).unwrap();

    proposals.on_forward_answer(request, true, at(2));
    proposals.expire(at(50));
    let to_the_same = forward(&mut proposals, 50);
    proposals.reroute();

    assert_eq!(to_the_same, None);
    assert_eq!(forward(&mut proposals, 51).unwrap().1, commands);
}

#[test]
fn a_command_that_was_never_sent_is_not_done_at_its_deadline() {
    let mut proposals = with_session();
    let mut unsent = admit(&mut proposals, 5, 9);

    proposals.expire(at(9));

    assert_eq!(unsent.try_recv(), Ok(Err(ProposeError::TimedOut)));
}

#[test]
fn a_command_that_the_transport_did_not_take_is_not_done_at_its_deadline() {
    let mut proposals = with_session();
    let mut outcome = admit(&mut proposals, 5, 9);
    let (request, _) = proposals.next_batch(at(2), usize::MAX).unwrap();

    proposals.forwarded(request, false, at(2));
    proposals.expire(at(9));

    assert_eq!(outcome.try_recv(), Ok(Err(ProposeError::TimedOut)));
}

#[test]
fn a_command_that_was_sent_is_unknown_at_its_deadline_even_if_it_was_refused() {
    let mut proposals = with_session();
    let mut outcome = admit(&mut proposals, 5, 9);
    let (request, _) = forward(&mut proposals, 2).unwrap();

    proposals.on_forward_answer(request, false, at(2));
    proposals.expire(at(9));

    let unknown = ProposeError::Unknown(UnknownCause::NoReply);
    assert!(!unknown.is_definite());
    assert_eq!(outcome.try_recv(), Ok(Err(unknown)));
}

#[test]
fn what_the_own_core_refuses_was_not_done() {
    let mut proposals = with_session();
    let mut busy = admit(&mut proposals, 5, 9);
    let mut not_leader = admit(&mut proposals, 6, 9);
    proposals.propose(|_, _| {});

    let refused = Err(ProposeRefused::Busy {
        pending_bytes: 1,
        pending_bytes_max: 7,
    });
    proposals.on_core_answer(2, &refused, at(2));
    proposals.on_core_answer(3, &Err(NOT_LEADER), at(2));
    proposals.expire(at(9));

    let uncommitted = Busy {
        max: 7,
        what: "bytes of uncommitted or unwritten entries",
    };
    assert_eq!(busy.try_recv(), Ok(Err(ProposeError::Busy(uncommitted))));
    assert_eq!(not_leader.try_recv(), Ok(Err(ProposeError::TimedOut)));
}

#[test]
fn what_the_own_core_appended_is_unknown_when_the_member_stops() {
    let mut proposals = with_session();
    let mut appended = admit(&mut proposals, 5, 9);
    proposals.propose(|_, _| {});
    proposals.on_core_answer(2, &Ok(POSITION), at(2));
    let mut unsent = admit(&mut proposals, 6, 9);

    proposals.stop();

    assert_eq!(
        appended.try_recv(),
        Ok(Err(ProposeError::Unknown(UnknownCause::MemberStopped)))
    );
    assert_eq!(unsent.try_recv(), Ok(Err(ProposeError::Stopped)));
}

#[test]
fn the_acknowledgement_never_passes_a_command_that_may_still_be_sent() {
    let mut proposals = with_session();
    let _first = admit(&mut proposals, 1, 99);
    let _second = admit(&mut proposals, 2, 99);
    forward(&mut proposals, 2);
    proposals.on_reply(SESSION, 3, Some(20));

    let _third = admit(&mut proposals, 3, 99);
    let behind_the_first = forward(&mut proposals, 2).unwrap().1;
    proposals.on_reply(SESSION, 2, Some(10));
    let _fourth = admit(&mut proposals, 4, 99);
    let behind_the_third = forward(&mut proposals, 2).unwrap().1;

    assert_eq!(behind_the_first, [(4, 1, 3)]);
    assert_eq!(behind_the_third, [(5, 3, 4)]);
}

#[test]
fn a_command_whose_caller_has_gone_is_given_up_and_acknowledged() {
    let mut proposals = with_session();
    let outcome = admit(&mut proposals, 1, 99);
    forward(&mut proposals, 2);

    drop(outcome);
    proposals.expire(at(3));
    let _next = admit(&mut proposals, 2, 99);

    assert_eq!(forward(&mut proposals, 3).unwrap().1, [(3, 2, 2)]);
}

#[test]
fn an_expired_session_is_replaced_and_what_was_pending_is_done_in_the_next() {
    let mut proposals = with_session();
    let mut first = admit(&mut proposals, 1, 99);
    let _second = admit(&mut proposals, 2, 99);
    forward(&mut proposals, 2);

    proposals.on_expired(SESSION);
    let (_, registration) = proposals.next_batch(at(2), usize::MAX).unwrap();
    proposals.on_registered(nonce(2), Index(200));
    let again = forward(&mut proposals, 2).unwrap().1;
    proposals.on_expired(SESSION);
    proposals.on_reply(Index(200), 1, Some(10));

    assert_eq!(
        Envelope::decode(&registration[0]),
        Ok(Envelope::Register {
            owner: None,
            nonce: nonce(2)
        })
    );
    assert_eq!(again, [(1, 0, 1), (2, 0, 2)]);
    assert_eq!(first.try_recv(), Ok(Ok(10)));
}

// A copy of the registration that opens another session shows that the first is over. Commands sent under the first are
// refused from there on, and reported as those of a session that is not this member's.
#[test]
fn a_second_session_of_the_same_registration_ends_the_first() {
    let mut proposals = with_session();
    let mut pending = admit(&mut proposals, 1, 99);
    forward(&mut proposals, 2);

    proposals.on_registered(nonce(1), Index(150));
    let (_, registration) = proposals.next_batch(at(2), usize::MAX).expect("it asks");
    proposals.on_registered(nonce(2), Index(200));
    let again = forward(&mut proposals, 2).unwrap().1;
    proposals.on_reply(Index(200), 1, Some(10));

    assert_eq!(
        Envelope::decode(&registration[0]),
        Ok(Envelope::Register {
            owner: None,
            nonce: nonce(2)
        })
    );
    assert_eq!(again, [(1, 0, 1)]);
    assert_eq!(pending.try_recv(), Ok(Ok(10)));
}

#[test]
fn a_registration_that_finds_the_session_open_changes_nothing() {
    let mut proposals = with_session();
    let mut pending = admit(&mut proposals, 1, 99);
    forward(&mut proposals, 2);

    proposals.on_registered(nonce(1), SESSION);
    proposals.on_reply(SESSION, 2, Some(10));

    assert_eq!(pending.try_recv(), Ok(Ok(10)));
}

#[test]
fn a_snapshot_without_the_session_leaves_what_was_sent_unknown_and_resends_the_rest() {
    let mut proposals = with_session();
    let mut sent = admit(&mut proposals, 1, 99);
    forward(&mut proposals, 2);
    let mut unsent = admit(&mut proposals, 2, 99);

    proposals.on_restored(None);
    proposals.next_batch(at(2), usize::MAX);
    proposals.on_registered(nonce(2), Index(200));

    assert_eq!(
        sent.try_recv(),
        Ok(Err(ProposeError::Unknown(UnknownCause::SessionExpired)))
    );
    assert!(unsent.try_recv().is_err());
    assert_eq!(forward(&mut proposals, 2).unwrap().1, [(1, 0, 2)]);
}

#[test]
fn a_snapshot_with_the_session_brings_the_replies_that_the_log_would_have_brought() {
    let mut proposals = with_session();
    let mut done = admit(&mut proposals, 1, 99);
    let mut pending = admit(&mut proposals, 2, 99);
    forward(&mut proposals, 2);

    proposals.on_restored(Some((nonce(1), SESSION)));
    proposals.on_reply(SESSION, 2, Some(10));

    assert_eq!(done.try_recv(), Ok(Ok(10)));
    assert!(pending.try_recv().is_err());
}

#[test]
fn a_snapshot_with_the_registration_opens_the_session() {
    let mut proposals = proposals();
    let _outcome = admit(&mut proposals, 5, 9);
    proposals.next_batch(at(0), usize::MAX);

    proposals.on_restored(Some((nonce(1), SESSION)));

    assert_eq!(forward(&mut proposals, 0).unwrap().1, [(1, 0, 5)]);
}

// The leader has the registration in its log and is asked no more, unless another leads. But a snapshot covers that
// part of the log, and what it opened is over: nothing would ever be told of it.
#[test]
fn a_registration_that_a_snapshot_knows_nothing_of_is_sent_again() {
    let mut proposals = proposals();
    let mut outcome = admit(&mut proposals, 5, 99);
    let (request, first) = proposals.next_batch(at(0), usize::MAX).unwrap();
    proposals.forwarded(request, true, at(0));
    proposals.on_forward_answer(request, true, at(1));

    proposals.on_restored(None);
    let (_, again) = proposals.next_batch(at(2), usize::MAX).expect("it asks");

    assert_eq!(again, first);
    assert!(outcome.try_recv().is_err(), "the command waits for it");
}

#[test]
fn a_batch_ends_where_the_frame_is_full_and_the_next_goes_on() {
    let mut proposals = with_session();
    let _outcomes = [admit(&mut proposals, 1, 99), admit(&mut proposals, 2, 99)];

    let (_, first) = proposals.next_batch(at(2), HEADER_BYTES + 1).unwrap();
    let (_, second) = proposals.next_batch(at(2), HEADER_BYTES + 1).unwrap();

    assert_eq!(read(&first), [(2, 1, 1)]);
    assert_eq!(read(&second), [(3, 1, 2)]);
}

#[test]
fn one_command_too_many_is_busy_and_gives_its_bytes_back() {
    let mut proposals = with_session();
    let _outcomes: Vec<_> = (0..COMMANDS_PENDING_MAX)
        .map(|_| admit(&mut proposals, 1, 99))
        .collect();

    let mut refused = admit(&mut proposals, 1, 99);
    proposals.stop();

    assert_eq!(
        refused.try_recv(),
        Ok(Err(ProposeError::Busy(Busy::COMMANDS)))
    );
    assert!(
        proposals
            .budget
            .take(crate::driver::bounds::COMMAND_BYTES_PENDING_MAX)
    );
    assert!(!proposals.budget.take(1));
}
