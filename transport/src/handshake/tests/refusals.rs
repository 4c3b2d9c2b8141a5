//! Who is refused, what it is told of it, and what it learns.

use liferaft_platform::{Boot, Versions};

use super::kit::{
    CLUSTER, OTHER_CLUSTER, Run, Server, expecting, joining, member, public, run, run_with,
    token_terms,
};
use crate::access::{Permit, Refusal, Role};
use crate::handshake::{HandshakeError, Hint, Intent, Output, Protection};

/// What both ends say of a handshake that a server of number 2 refused to one of number 1.
fn outcome(run: Run) -> (HandshakeError, HandshakeError) {
    (run.initiator.unwrap_err(), run.responder.unwrap_err())
}

/// A refusal that the responder proves, and both ends know the reason of.
fn told(refusal: Refusal) -> (HandshakeError, HandshakeError) {
    let rejected = HandshakeError::Rejected {
        refusal,
        by: Some(public(2)),
    };
    let refused = HandshakeError::Refused {
        peer: public(1),
        refusal,
    };
    (rejected, refused)
}

/// A refusal that nobody proves.
fn untold(refusal: Refusal) -> (HandshakeError, HandshakeError) {
    let (_, refused) = told(refusal);
    (HandshakeError::Rejected { refusal, by: None }, refused)
}

fn newcomer(role: Role) -> Intent {
    Intent { role, ..member() }
}

#[test]
fn a_member_of_another_cluster_gets_a_hint_and_no_answer() {
    let mut foreign = Server::new(1, &[1, 2]);
    foreign.local.cluster = OTHER_CLUSTER;

    let run = run(&foreign, &Server::new(2, &[1, 2]));

    assert_eq!(run.messages.len(), 2);
    let hint = Some(Hint::OtherCluster);
    assert_eq!(
        outcome(run),
        (
            HandshakeError::TimedOut { hint },
            HandshakeError::OtherCluster
        )
    );
}

#[test]
fn another_version_of_the_handshake_gets_a_hint_and_no_answer() {
    let (from, to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    let mut initiator = from.initiator();
    let mut opening = initiator.unanswered().unwrap().to_vec();
    opening[4] = 3;

    let output = to.responder().on_message(&opening, &to.table);

    let Output::Failed {
        last: Some(hint),
        error: HandshakeError::UnknownVersion { version: 3 },
    } = output
    else {
        panic!("{output:?}");
    };
    assert!(matches!(
        initiator.on_message(&hint, &from.table),
        Output::Wait
    ));
    let told = initiator.time_out();
    let Output::Failed { error, .. } = told else {
        panic!("{told:?}");
    };
    let hint = Some(Hint::UnknownVersion);
    assert_eq!(error, HandshakeError::TimedOut { hint });
}

#[test]
fn a_stranger_is_refused_by_nobody_in_particular() {
    let refusing = Server::new(2, &[2]);
    let stranger = Server::new(1, &[2]);

    let run = run_with(&stranger, &refusing, newcomer(Role::Stranger));

    // A head, one byte, and a tag: no key, no signature, no start, no version.
    assert_eq!(run.messages[3].len(), 22 + 1 + 16);
    assert_eq!(outcome(run), untold(Refusal::Stranger));
}

#[test]
fn strangers_of_all_kinds_are_told_the_same() {
    let refusing = Server::new(2, &[2]);
    let stranger = Server::new(1, &[2]);
    let kinds = [
        (newcomer(Role::Joiner), Refusal::NotOpen),
        (newcomer(Role::Member), Refusal::Forgotten),
        (joining(&[2]), Refusal::TokenUnknown),
    ];

    for (intent, refusal) in kinds {
        let run = run_with(&stranger, &refusing, intent);

        assert_eq!(run.messages[3].len(), 22 + 1 + 16);
        assert_eq!(outcome(run), untold(refusal));
    }
}

#[test]
fn the_responder_signs_nothing_for_a_stranger() {
    let (from, to) = (Server::new(1, &[2]), Server::new(2, &[2]));
    let (mut initiator, mut responder) = (from.initiator(), to.responder());
    let opening = initiator.unanswered().unwrap();
    let Output::Send(answer) = responder.on_message(&opening, &to.table) else {
        panic!("no answer");
    };
    let Output::Sign(bytes) = initiator.on_message(&answer, &from.table) else {
        panic!("no claim");
    };
    let Output::Send(claim) = initiator.on_signed(&from.sign(&bytes)) else {
        panic!("no claim");
    };

    let output = responder.on_message(&claim, &to.table);

    assert!(
        matches!(output, Output::Failed { last: Some(_), .. }),
        "{output:?}"
    );
}

#[test]
fn an_expelled_server_is_told_so() {
    let mut refusing = Server::new(2, &[2]);
    refusing.table.dismissed.insert(public(1).server_id());

    let run = run(&Server::new(1, &[1, 2]), &refusing);

    assert_eq!(outcome(run), told(Refusal::Expelled));
}

#[test]
fn an_expelled_server_that_answers_gets_no_link_either() {
    let mut dialing = Server::new(1, &[1, 2]);
    dialing.table.dismissed.insert(public(2).server_id());

    let run = run(&dialing, &Server::new(2, &[1, 2]));

    let refusal = Refusal::Expelled;
    let peer = public(2);
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Refused { peer, refusal }
    );
}

#[test]
fn a_copied_invitation_is_refused_beyond_its_uses() {
    let mut refusing = Server::new(2, &[2]);
    refusing.table.tokens.extend(token_terms(Role::Joiner, 0));

    let run = run_with(&Server::new(1, &[2]), &refusing, joining(&[2]));

    assert_eq!(outcome(run), told(Refusal::TokenUsedUp));
}

#[test]
fn an_expired_invitation_is_refused() {
    let mut refusing = Server::new(2, &[2]);
    refusing.table.tokens.extend(token_terms(Role::Joiner, 1));
    refusing.table.cluster_time = u64::MAX;

    let run = run_with(&Server::new(1, &[2]), &refusing, joining(&[2]));

    assert_eq!(outcome(run), told(Refusal::TokenExpired));
}

#[test]
fn an_invitation_for_clients_makes_no_server() {
    let mut refusing = Server::new(2, &[2]);
    let client = Role::Client(Permit::Write);
    refusing.table.tokens.extend(token_terms(client, 1));

    let run = run_with(&Server::new(1, &[2]), &refusing, joining(&[2]));

    assert_eq!(outcome(run), told(Refusal::RoleNotGranted));
}

#[test]
fn a_clone_of_a_storage_is_refused() {
    let mut refusing = Server::new(2, &[1, 2]);
    let original = Boot {
        number: 5,
        nonce: 77,
    };
    refusing.table.boots.insert(public(1).server_id(), original);

    let run = run(&Server::new(1, &[1, 2]), &refusing);

    assert_eq!(outcome(run), told(Refusal::OldBoot));
}

#[test]
fn a_clone_is_refused_though_it_was_started_more_often() {
    let mut refusing = Server::new(2, &[1, 2]);
    let mut clone = Server::new(1, &[1, 2]);
    let original = clone.local.starts.next(77);
    let met = [(public(1).server_id(), original.newest())];
    refusing.table.boots.extend(met);
    clone.local.starts = clone.local.starts.next(78).next(79);

    let refused = run(&clone, &refusing);
    clone.local.starts = original.next(80);
    let taken = run(&clone, &refusing);

    assert_eq!(outcome(refused), told(Refusal::OldBoot));
    assert!(taken.responder.is_ok());
}

#[test]
fn a_clone_that_answers_gets_no_link_either() {
    let mut dialing = Server::new(1, &[1, 2]);
    let later = Boot {
        number: 6,
        nonce: 2,
    };
    dialing.table.boots.insert(public(2).server_id(), later);

    let run = run(&dialing, &Server::new(2, &[1, 2]));

    let refusal = Refusal::OldBoot;
    let peer = public(2);
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Refused { peer, refusal }
    );
}

#[test]
fn servers_without_a_common_version_are_told_so() {
    let (mut from, to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    from.local.versions = Versions::only(9);

    let run = run(&from, &to);

    let versions = to.local.versions;
    assert_eq!(outcome(run), told(Refusal::NoCommonVersion { versions }));
}

#[test]
fn ends_of_two_connections_are_told_of_who_is_between_them() {
    let (mut from, mut to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    let bound = |own, peer| Protection::Bound {
        own: [own; 32],
        peer: [peer; 32],
    };
    // The one between them has the certificate 9 and shows it to both.
    from.local.protection = bound(1, 9);
    to.local.protection = bound(2, 9);

    let run = run(&from, &to);

    assert_eq!(outcome(run), told(Refusal::WrongBinding));
}

#[test]
fn a_link_inside_a_process_is_none_that_leaves_it() {
    let (mut from, to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    from.local.protection = Protection::Inside;

    let run = run(&from, &to);

    assert_eq!(outcome(run), told(Refusal::WrongBinding));
}

#[test]
fn a_crowded_server_tells_clients_so() {
    let mut refusing = Server::new(2, &[2]);
    let role = Role::Client(Permit::Read);
    refusing.table.tokens.extend(token_terms(role, 1));
    refusing.table.is_crowded = true;
    let intent = Intent {
        role,
        ..joining(&[2])
    };

    let run = run_with(&Server::new(1, &[2]), &refusing, intent);

    assert_eq!(outcome(run), told(Refusal::Crowded));
}

#[test]
fn a_member_that_was_not_looked_for_is_not_taken_for_another() {
    let (from, to) = (Server::new(1, &[1, 2, 3]), Server::new(2, &[1, 2, 3]));

    let run = run_with(&from, &to, expecting(&[3]));

    let peer = public(2);
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Unexpected { peer }
    );
}

#[test]
fn who_looks_for_any_server_takes_none_that_serves_no_more() {
    let mut from = Server::new(1, &[1, 3]);
    from.table.evicted.insert(public(2).server_id());

    let run = run(&from, &Server::new(2, &[1, 2, 3]));

    let peer = public(2);
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Unexpected { peer }
    );
}

#[test]
fn a_broken_chain_of_vouchers_vouches_for_nobody() {
    let knowing = Server::new(2, &[2, 3]);
    let mut newcomer = Server::new(1, &[2]);
    let [member, other] = [3, 4].map(|number| Server::new(number, &[]));
    let mut forged = member.voucher(CLUSTER, 4);
    forged.signature[0] ^= 1;
    newcomer.local.vouchers = [other.voucher(CLUSTER, 1), forged].into();

    let run = run(&newcomer, &knowing);

    assert_eq!(outcome(run), untold(Refusal::Forgotten));
}

#[test]
fn vouchers_for_another_server_or_cluster_vouch_for_nobody() {
    let knowing = Server::new(2, &[2, 3]);
    let member = Server::new(3, &[]);
    let [mut copied, mut foreign] = [(); 2].map(|()| Server::new(1, &[2]));
    copied.local.vouchers = [member.voucher(CLUSTER, 4)].into();
    foreign.local.vouchers = [member.voucher(OTHER_CLUSTER, 1)].into();

    assert_eq!(outcome(run(&copied, &knowing)), untold(Refusal::Forgotten));
    assert_eq!(outcome(run(&foreign, &knowing)), untold(Refusal::Forgotten));
}

#[test]
fn a_chain_beyond_the_longest_does_not_reach_a_member() {
    let knowing = Server::new(2, &[2, 30]);
    let mut newcomer = Server::new(21, &[2]);
    let chain = (21..30).map(|subject| Server::new(subject + 1, &[]).voucher(CLUSTER, subject));
    newcomer.local.vouchers = chain.collect();

    let run = run(&newcomer, &knowing);

    let by = None;
    let refusal = Refusal::Forgotten;
    assert_eq!(
        run.initiator.unwrap_err(),
        HandshakeError::Rejected { refusal, by }
    );
}

#[test]
fn errors_are_written_for_people() {
    let timed_out = HandshakeError::TimedOut {
        hint: Some(Hint::OtherCluster),
    };
    let silent = HandshakeError::TimedOut { hint: None };
    let (rejected, refused) = told(Refusal::Expelled);

    assert_eq!(
        timed_out.to_string(),
        "no answer to the handshake; perhaps the other end belongs to another cluster"
    );
    assert_eq!(silent.to_string(), "no answer to the handshake");
    assert_eq!(
        rejected.to_string(),
        "refused: the server was expelled from the cluster"
    );
    assert!(refused.to_string().starts_with("server 0x"));
}
