//! What two honest ends agree on.

use liferaft_platform::{EARLIER_STARTS_MAX, Starts, Versions};

use super::kit::{CLUSTER, Server, TOKEN, expecting, joining, public, run, run_with, token_terms};
use crate::access::{Permit, Role};
use crate::handshake::{Intent, MESSAGE_BYTES_MAX, Protection};
use crate::sealing::{Opener, Sealer, Secrets};
use crate::token::TokenSecret;
use crate::voucher::VOUCHERS_MAX;

fn is_carried(from: &Secrets, to: &Secrets) -> bool {
    let packet = Sealer::new(from.outgoing.clone()).seal(b"head ", b"body");
    let opened = Opener::new(to.incoming.clone()).open(packet.unwrap());
    opened.is_ok_and(|opened| opened == "head body")
}

#[test]
fn two_members_agree_on_all_that_a_link_needs() {
    let run = run(&Server::new(1, &[1, 2]), &Server::new(2, &[1, 2]));

    let (one, two) = (run.initiator.unwrap(), run.responder.unwrap());
    assert_eq!((one.peer, two.peer), (public(2), public(1)));
    assert_eq!((one.role, two.role), (Role::Member, Role::Member));
    assert_eq!((one.own_role, two.own_role), (Role::Member, Role::Member));
    assert_eq!((one.version, two.version), (3, 3));
    assert_eq!(one.starts.newest().nonce, 2);
    assert_eq!(two.starts.newest().nonce, 1);
    assert_eq!(one.generation, two.generation);
}

#[test]
fn each_end_shows_its_starts() {
    let (mut from, to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    from.local.starts = from.local.starts.next(0x1_fffe).next(0x1_ffff);

    let run = run(&from, &to);

    let (one, two) = (run.initiator.unwrap(), run.responder.unwrap());
    assert_eq!(
        (one.starts, two.starts),
        (to.local.starts, from.local.starts)
    );
    assert_eq!(two.starts.earlier(), [0xfffe, 1]);
}

#[test]
fn each_direction_of_each_channel_has_its_own_secret() {
    let run = run(&Server::new(1, &[1, 2]), &Server::new(2, &[1, 2]));

    let (one, two) = (run.initiator.unwrap(), run.responder.unwrap());
    assert!(is_carried(&one.datagrams, &two.datagrams));
    assert!(is_carried(&two.datagrams, &one.datagrams));
    assert!(is_carried(&one.ordered, &two.ordered));
    assert!(is_carried(&two.ordered, &one.ordered));
    assert!(!is_carried(&one.datagrams, &one.datagrams));
    assert!(!is_carried(&one.datagrams, &two.ordered));
    assert!(!is_carried(&one.ordered, &two.datagrams));
}

#[test]
fn another_handshake_of_the_same_ends_has_other_secrets() {
    let (from, to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    let first = run(&from, &to).initiator.unwrap();

    let mut restarted = to;
    restarted.local.starts = restarted.local.starts.next(9);
    let second = run(&from, &restarted).responder.unwrap();

    assert_ne!(first.generation, second.generation);
    assert!(!is_carried(&first.datagrams, &second.datagrams));
}

#[test]
fn a_joiner_is_let_in_by_its_token_and_finds_who_invited_it() {
    let mut inviting = Server::new(2, &[2, 3]);
    inviting.table.tokens.extend(token_terms(Role::Joiner, 1));
    let joiner = Server::new(9, &[2]);

    let run = run_with(&joiner, &inviting, joining(&[2]));

    let (joiner, inviting) = (run.initiator.unwrap(), run.responder.unwrap());
    assert_eq!((joiner.role, joiner.own_role), (Role::Member, Role::Joiner));
    assert_eq!(inviting.role, Role::Joiner);
    assert_eq!(inviting.token, Some(TokenSecret::from_bytes(TOKEN).key()));
}

#[test]
fn a_client_is_what_its_token_grants() {
    let mut server = Server::new(2, &[2]);
    let role = Role::Client(Permit::Read);
    server.table.tokens.extend(token_terms(role, 1));
    let intent = Intent {
        role,
        ..joining(&[2])
    };

    let run = run_with(&Server::new(9, &[2]), &server, intent);

    assert_eq!(run.initiator.unwrap().own_role, role);
    assert_eq!(run.responder.unwrap().role, role);
}

#[test]
fn a_cut_off_member_follows_servers_that_were_vouched_for() {
    // A and B are 1 and 2, F is 6; C and D, 3 and 4, replaced A and B while F was cut off.
    let cut_off = Server::new(6, &[1, 2, 6]);
    let [a, c] = [1, 3].map(|number| Server::new(number, &[3, 4, 6]));
    let mut d = Server::new(4, &[3, 4, 6]);
    d.local.vouchers = [c.voucher(CLUSTER, 4), a.voucher(CLUSTER, 3)].into();

    let dialed = run(&d, &cut_off);
    let dialing = run_with(&cut_off, &d, expecting(&[1, 2]));

    assert_eq!(dialed.responder.unwrap().role, Role::Vouched);
    assert_eq!(dialed.initiator.unwrap().role, Role::Member);
    assert_eq!(dialing.initiator.unwrap().role, Role::Vouched);
    assert_eq!(dialing.responder.unwrap().role, Role::Member);
}

#[test]
fn an_evicted_server_comes_back_without_an_invitation() {
    let mut member = Server::new(2, &[2, 3]);
    member.table.evicted.insert(public(9).server_id());

    let run = run(&Server::new(9, &[2, 3, 9]), &member);

    assert_eq!(run.responder.unwrap().role, Role::Joiner);
    assert_eq!(run.initiator.unwrap().own_role, Role::Joiner);
}

#[test]
fn the_highest_common_version_is_agreed_on() {
    let (mut from, mut to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    from.local.versions = Versions { min: 2, max: 7 };
    to.local.versions = Versions { min: 4, max: 5 };

    let run = run(&from, &to);

    assert_eq!(run.initiator.unwrap().version, 5);
    assert_eq!(run.responder.unwrap().version, 5);
}

#[test]
fn both_ends_of_one_connection_see_it_alike() {
    let (mut from, mut to) = (Server::new(1, &[1, 2]), Server::new(2, &[1, 2]));
    let bound = |own, peer| Protection::Bound {
        own: [own; 32],
        peer: [peer; 32],
    };
    from.local.protection = bound(1, 2);
    to.local.protection = bound(2, 1);

    let run = run(&from, &to);

    assert!(run.initiator.is_ok() && run.responder.is_ok());
}

#[test]
fn the_longest_messages_fit_a_datagram() {
    let mut from = Server::new(1, &[2]);
    let mut to = Server::new(2, &[1]);
    let chain = |first: u8, others: u8| {
        let subjects = std::iter::once(first).chain(others..);
        subjects
            .zip(others..)
            .map(|(subject, by)| Server::new(by, &[]).voucher(CLUSTER, subject))
            .take(VOUCHERS_MAX + 1)
            .collect()
    };
    from.local.vouchers = chain(1, 20);
    to.local.vouchers = chain(2, 40);
    for end in [&mut from, &mut to] {
        let nonces = 0..=EARLIER_STARTS_MAX as u64;
        end.local.starts = nonces.fold(Starts::default(), |starts, nonce| starts.next(nonce));
    }

    let run = run_with(&from, &to, joining(&[2]));

    assert!(run.initiator.is_ok() && run.responder.is_ok());
    let lengths: Vec<_> = run.messages.iter().map(|message| message.len()).collect();
    assert_eq!(lengths, [70, 70, 1186, 1094]);
    assert!(lengths.iter().all(|length| *length <= MESSAGE_BYTES_MAX));
}
