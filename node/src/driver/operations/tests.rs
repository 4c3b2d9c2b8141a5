use tokio::sync::oneshot::Receiver;

use super::*;
use crate::consensus::InvalidChange;

const LEADER: ServerId = ServerId(1);
const NEXT_LEADER: ServerId = ServerId(2);
const JOINER: ServerId = ServerId(9);

fn at(seconds: u64) -> Instant {
    Instant::from_origin(Duration::from_secs(seconds))
}

fn operations() -> Operations {
    Operations::new(1 << 32, Duration::from_secs(1))
}

fn change(
    operations: &mut Operations,
    change: MembershipChange,
) -> Receiver<Result<(), MembershipError>> {
    let (caller, outcome) = oneshot::channel();
    operations.admit(Operation::Change(change), at(30), Caller::Change(caller));
    outcome
}

fn transfer(
    operations: &mut Operations,
    to: Option<ServerId>,
) -> Receiver<Result<ServerId, TransferLeadershipError>> {
    let (caller, outcome) = oneshot::channel();
    operations.admit(Operation::Transfer(to), at(30), Caller::Transfer(caller));
    outcome
}

/// Sends the next operation to this leader.
fn send(operations: &mut Operations, leader: ServerId, now: u64) -> u64 {
    let (request, _) = operations.next_for_leader(leader, at(now)).unwrap();
    operations.sent(request, true, at(now));
    request
}

fn answer(operations: &mut Operations, request: u64, result: Result<Index, ChangeError>) {
    operations.on_change_answer(request, result, Configuration::default, at(1));
}

#[test]
fn a_change_is_sent_again_under_its_number_until_it_is_answered() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));

    let first = send(&mut operations, LEADER, 0);
    operations.expire(Some(LEADER), at(1));
    let second = send(&mut operations, LEADER, 1);
    answer(&mut operations, second, Ok(Index(5)));

    assert_eq!(first, second);
    assert_eq!(outcome.try_recv(), Ok(Ok(())));
}

#[test]
fn a_server_that_was_a_member_before_is_already_one() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let request = send(&mut operations, LEADER, 0);

    answer(
        &mut operations,
        request,
        Err(ChangeError::AlreadyMember(JOINER)),
    );

    assert_eq!(
        outcome.try_recv(),
        Ok(Err(MembershipError::AlreadyMember(JOINER)))
    );
}

#[test]
fn a_change_that_an_earlier_leader_may_have_made_is_done_when_the_next_finds_it_so() {
    let mut operations = operations();
    let mut added = change(&mut operations, MembershipChange::add_voter(JOINER));
    send(&mut operations, LEADER, 0);

    operations.reroute(Some(NEXT_LEADER), at(1));
    let request = send(&mut operations, NEXT_LEADER, 1);
    answer(
        &mut operations,
        request,
        Err(ChangeError::AlreadyMember(JOINER)),
    );

    assert_eq!(added.try_recv(), Ok(Ok(())));
}

// The answer of a leader that stepped down was late. The change was about to be sent again when there was no leader,
// and the next one's *it is no member* was told as if the change had not been made.
#[test]
fn a_change_that_was_about_to_be_sent_again_when_its_leader_fell_may_have_been_made() {
    let mut operations = operations();
    let mut removed = change(&mut operations, MembershipChange::remove(JOINER));
    send(&mut operations, LEADER, 0);
    operations.expire(None, at(1));

    operations.reroute(Some(NEXT_LEADER), at(2));
    let request = send(&mut operations, NEXT_LEADER, 2);
    answer(
        &mut operations,
        request,
        Err(ChangeError::NotMember(JOINER)),
    );

    assert_eq!(removed.try_recv(), Ok(Ok(())));
}

#[test]
fn a_change_that_an_earlier_leader_may_have_made_is_unknown_when_the_next_cannot_make_it() {
    for refused in [
        ChangeError::Unreachable(JOINER),
        ChangeError::TooSlow(JOINER),
        ChangeError::Invalid(InvalidChange::NoVoters),
    ] {
        let mut operations = operations();
        let mut added = change(&mut operations, MembershipChange::add_voter(JOINER));
        send(&mut operations, LEADER, 0);
        operations.reroute(Some(NEXT_LEADER), at(1));

        let request = send(&mut operations, NEXT_LEADER, 1);
        answer(&mut operations, request, Err(refused));

        let unknown = MembershipError::Unknown {
            leader: Some(NEXT_LEADER),
        };
        assert_eq!(added.try_recv(), Ok(Err(unknown)));
    }
}

// A refusal for want of leadership was taken back when a late copy of the request found the same server leading again.
#[test]
fn a_refused_attempt_is_over_and_the_next_has_another_number() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let refused = send(&mut operations, LEADER, 0);
    let not_leader = || Err(ChangeError::NotLeader { leader: None });

    answer(&mut operations, refused, not_leader());
    operations.expire(Some(LEADER), at(2));
    let next = send(&mut operations, LEADER, 2);
    answer(&mut operations, refused, Ok(Index(5)));

    assert_ne!(refused, next);
    assert!(outcome.try_recv().is_err());
}

// The answer that told so was lost, and a copy of the request was refused for want of leadership: the change was taken
// for undone.
#[test]
fn an_attempt_of_unknown_outcome_is_asked_anew() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let lost = send(&mut operations, LEADER, 0);

    answer(
        &mut operations,
        lost,
        Err(ChangeError::Unknown { leader: None }),
    );
    operations.expire(Some(LEADER), at(2));
    let next = send(&mut operations, LEADER, 2);
    answer(
        &mut operations,
        next,
        Err(ChangeError::AlreadyMember(JOINER)),
    );

    assert_ne!(lost, next);
    assert_eq!(outcome.try_recv(), Ok(Ok(())));
}

#[test]
fn a_change_that_an_earlier_leader_may_have_made_waits_for_the_pending_one() {
    let mut operations = operations();
    let mut removed = change(&mut operations, MembershipChange::remove(JOINER));
    let request = send(&mut operations, LEADER, 0);
    answer(
        &mut operations,
        request,
        Err(ChangeError::Unknown { leader: None }),
    );
    operations.reroute(Some(NEXT_LEADER), at(1));

    let request = send(&mut operations, NEXT_LEADER, 1);
    answer(&mut operations, request, Err(ChangeError::Pending));
    operations.expire(Some(NEXT_LEADER), at(2));
    let request = send(&mut operations, NEXT_LEADER, 2);
    answer(
        &mut operations,
        request,
        Err(ChangeError::NotMember(JOINER)),
    );

    assert_eq!(removed.try_recv(), Ok(Ok(())));
}

#[test]
fn several_steps_are_done_only_when_all_are_seen() {
    let mut operations = operations();
    let both = MembershipChange::add_voter(JOINER).and(MembershipChange::remove(LEADER));
    let mut outcome = change(&mut operations, both);
    send(&mut operations, LEADER, 0);
    operations.reroute(Some(NEXT_LEADER), at(1));
    let request = send(&mut operations, NEXT_LEADER, 1);
    let already = || Err(ChangeError::AlreadyMember(JOINER));

    let half = || Configuration::of_voters([LEADER, JOINER]);
    operations.on_change_answer(request, already(), half, at(1));
    let early = outcome.try_recv();
    let whole = || Configuration::of_voters([JOINER]);
    operations.on_change_answer(request, already(), whole, at(1));

    assert!(early.is_err());
    assert_eq!(outcome.try_recv(), Ok(Ok(())));
}

#[test]
fn each_refusal_is_told_as_what_it_is() {
    let refusals = [
        (ChangeError::Pending, MembershipError::Pending),
        (
            ChangeError::NotMember(JOINER),
            MembershipError::NotMember(JOINER),
        ),
        (
            ChangeError::Unreachable(JOINER),
            MembershipError::Unreachable(JOINER),
        ),
        (
            ChangeError::TooSlow(JOINER),
            MembershipError::TooSlow(JOINER),
        ),
    ];

    for (refused, told) in refusals {
        let mut operations = operations();
        let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
        let request = send(&mut operations, LEADER, 0);
        answer(&mut operations, request, Err(refused));
        assert_eq!(outcome.try_recv(), Ok(Err(told)));
    }
}

#[test]
fn a_change_that_no_leader_took_up_was_not_made() {
    let mut operations = operations();
    let mut unsent = change(&mut operations, MembershipChange::add_voter(JOINER));
    operations.expire(Some(LEADER), at(30));

    let told = MembershipError::NotLeader {
        leader: Some(LEADER),
    };
    assert!(told.is_definite());
    assert_eq!(unsent.try_recv(), Ok(Err(told)));
}

#[test]
fn a_change_that_was_sent_and_not_answered_is_unknown() {
    let mut operations = operations();
    let mut sent = change(&mut operations, MembershipChange::add_voter(JOINER));
    let mut own = change(&mut operations, MembershipChange::add_voter(JOINER));
    send(&mut operations, LEADER, 0);
    operations.next_for_core().unwrap();

    operations.expire(None, at(30));

    assert_eq!(
        sent.try_recv(),
        Ok(Err(MembershipError::Unknown { leader: None }))
    );
    assert_eq!(
        own.try_recv(),
        Ok(Err(MembershipError::Unknown { leader: None }))
    );
}

#[test]
fn a_change_that_was_refused_for_want_of_a_leader_is_tried_with_the_next() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let request = send(&mut operations, LEADER, 0);

    answer(
        &mut operations,
        request,
        Err(ChangeError::NotLeader {
            leader: Some(NEXT_LEADER),
        }),
    );
    operations.reroute(Some(NEXT_LEADER), at(1));
    let request = send(&mut operations, NEXT_LEADER, 1);
    answer(
        &mut operations,
        request,
        Err(ChangeError::AlreadyMember(JOINER)),
    );

    assert_eq!(
        outcome.try_recv(),
        Ok(Err(MembershipError::AlreadyMember(JOINER)))
    );
}

#[test]
fn a_transfer_whose_answer_was_lost_is_done_when_the_other_server_leads() {
    let mut operations = operations();
    let mut named = transfer(&mut operations, Some(NEXT_LEADER));
    let mut any = transfer(&mut operations, None);
    send(&mut operations, LEADER, 0);
    send(&mut operations, LEADER, 0);

    operations.reroute(Some(NEXT_LEADER), at(1));

    assert_eq!(named.try_recv(), Ok(Ok(NEXT_LEADER)));
    assert_eq!(any.try_recv(), Ok(Ok(NEXT_LEADER)));
}

#[test]
fn a_transfer_that_was_about_to_be_sent_again_is_done_when_the_other_server_leads() {
    let mut operations = operations();
    let mut outcome = transfer(&mut operations, Some(NEXT_LEADER));
    send(&mut operations, LEADER, 0);
    operations.expire(None, at(1));

    operations.reroute(Some(NEXT_LEADER), at(2));

    assert_eq!(outcome.try_recv(), Ok(Ok(NEXT_LEADER)));
}

#[test]
fn a_refused_transfer_says_why() {
    let mut operations = operations();
    let mut outcome = transfer(&mut operations, Some(JOINER));
    let request = send(&mut operations, LEADER, 0);

    operations.on_transfer_answer(
        request,
        Err(TransferError::NotVoter(JOINER)),
        Some(LEADER),
        at(1),
    );

    assert_eq!(
        outcome.try_recv(),
        Ok(Err(TransferError::NotVoter(JOINER).into()))
    );
}

#[test]
fn a_transfer_that_the_leader_has_no_room_for_is_busy() {
    let mut operations = operations();
    let mut outcome = transfer(&mut operations, Some(JOINER));
    let request = send(&mut operations, LEADER, 0);

    operations.on_transfer_answer(request, Err(TransferError::Busy), Some(LEADER), at(1));

    assert_eq!(
        outcome.try_recv(),
        Ok(Err(TransferLeadershipError::Transfer(TransferError::Busy)))
    );
}

/// It was a member when its first copy came, and that may have been made.
#[test]
fn a_change_of_a_server_that_is_no_member_any_more_is_asked_again() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let request = send(&mut operations, LEADER, 0);

    let refused = Err(ChangeError::AskerNotMember);
    operations.on_change_answer(request, refused, Configuration::default, at(1));
    operations.expire(Some(LEADER), at(100_000));

    let unknown = MembershipError::Unknown {
        leader: Some(LEADER),
    };
    assert_eq!(outcome.try_recv(), Ok(Err(unknown)));
}

#[test]
fn who_has_no_link_until_the_deadline_is_unreachable() {
    let mut operations = operations();
    let mut outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let request = send(&mut operations, LEADER, 0);

    let refused = Err(ChangeError::NotLinked(JOINER));
    operations.on_change_answer(request, refused, Configuration::default, at(1));
    let before = outcome.try_recv();
    operations.expire(Some(LEADER), at(100_000));

    assert!(before.is_err(), "it is asked again until then");
    let unreachable = MembershipError::Unreachable(JOINER);
    assert_eq!(outcome.try_recv(), Ok(Err(unreachable)));
}

#[test]
fn what_a_removed_server_asked_for_itself_is_done() {
    let mut operations = operations();
    let mut own = change(&mut operations, MembershipChange::remove(JOINER));
    send(&mut operations, LEADER, 0);
    let mut unsent = change(&mut operations, MembershipChange::remove(JOINER));

    operations.on_removed(JOINER);

    assert_eq!(own.try_recv(), Ok(Ok(())));
    assert!(unsent.try_recv().is_err(), "nobody was asked for it");
}

#[test]
fn only_the_server_that_was_sent_a_request_last_is_asked() {
    let mut operations = operations();
    let _outcome = change(&mut operations, MembershipChange::add_voter(JOINER));
    let request = send(&mut operations, LEADER, 0);
    let first = operations.asked(request);

    operations.reroute(Some(NEXT_LEADER), at(1));
    send(&mut operations, NEXT_LEADER, 1);

    assert_eq!(first, Some(LEADER));
    assert_eq!(operations.asked(request), Some(NEXT_LEADER));
    assert_eq!(operations.asked(request + 1), None);
}

#[test]
fn one_operation_too_many_is_busy() {
    let mut operations = operations();
    let _outcomes: Vec<_> = (0..OPERATIONS_PENDING_MAX)
        .map(|_| transfer(&mut operations, None))
        .collect();

    let mut refused = change(&mut operations, MembershipChange::add_voter(JOINER));

    assert_eq!(
        refused.try_recv(),
        Ok(Err(MembershipError::Busy(Busy::OPERATIONS)))
    );
}

#[test]
fn a_stopping_member_tells_what_it_knows() {
    let mut operations = operations();
    let mut sent = change(&mut operations, MembershipChange::add_voter(JOINER));
    send(&mut operations, LEADER, 0);
    let mut unsent = transfer(&mut operations, None);

    operations.stop(None);

    assert_eq!(
        sent.try_recv(),
        Ok(Err(MembershipError::Unknown { leader: None }))
    );
    assert_eq!(unsent.try_recv(), Ok(Err(TransferLeadershipError::Stopped)));
}
