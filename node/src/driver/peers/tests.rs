//! Whom a server lets in and whom it wants, by what it knows.

use std::time::Duration;

use liferaft_transport::token::TokenSecret;

use super::*;
use crate::configuration::{Address, Member};

const CLUSTER: ClusterId = ClusterId(7);
const OURSELVES: u64 = 1;

fn identity(number: u64) -> Identity {
    Identity::from_seed(number)
}

fn id(number: u64) -> ServerId {
    identity(number).id()
}

fn key(number: u64) -> PublicKey {
    identity(number).public_key()
}

fn address(number: u64) -> Address {
    let text = format!("memory:{number}");
    text.parse().expect("it is an address")
}

fn peers(invitation: Option<Invitation>) -> Peers {
    let identity = identity(OURSELVES);
    let description = Description::of(identity.public_key());
    Peers::new(
        (identity, CLUSTER),
        description,
        invitation,
        Boots::default(),
    )
}

/// A closed cluster of these voters, each at an address.
fn voters(numbers: impl IntoIterator<Item = u64>) -> Configuration {
    let voters = numbers.into_iter().map(|number| {
        let description = Description::of(key(number)).with_addresses([address(number)]);
        (id(number), Member::voter(description))
    });
    Configuration::from_members(voters).with_open(false)
}

fn invitation(by: u64) -> Invitation {
    let invitation = Invitation::new(CLUSTER, [key(by)]).expect("it names somebody");
    let invitation = invitation.with_addresses([address(99)]);
    let token = TokenSecret::from_bytes([5; 32]);
    invitation.expect("it is one").with_token(token)
}

fn introduced(peers: &mut Peers, configuration: &Configuration) -> Introduction {
    peers.stir();
    let introduction = peers.introduce(configuration, true);
    introduction.expect("something may have changed")
}

/// What the transport is told of a server that claims to be a member.
fn judged(introduction: &Introduction, number: u64) -> Result<Role, Refusal> {
    let claimant = Claimant {
        key: key(number),
        role: Role::Member,
        token: None,
        vouched_by: Vec::new(),
        starts: *identity(number).starts(),
        versions: crate::configuration::PROTOCOL_VERSIONS,
    };
    let grant = introduction.authorizer.authorize(&claimant);
    grant.map(|grant| grant.role)
}

fn wanted(introduction: &Introduction) -> SortedSet<ServerId> {
    let wanted = introduction.wanted.iter();
    wanted.map(|wanted| wanted.peer).collect()
}

#[test]
fn a_member_wants_all_others_by_their_keys_and_addresses() {
    let mut peers = peers(None);

    let introduction = introduced(&mut peers, &voters([OURSELVES, 2]));

    let second = Wanted {
        peer: id(2),
        keys: vec![key(2)],
        addresses: vec![address(2)],
    };
    assert_eq!(introduction.wanted, [second]);
    assert_eq!(introduction.credentials.role, Role::Member);
}

/// The leader is reached without a third server.
fn directly(_: ServerId) -> bool {
    false
}

/// A cluster of these voters, in which this server learns beside another.
fn learning(numbers: impl IntoIterator<Item = u64>) -> Configuration {
    let voters = voters(numbers);
    let learners = [OURSELVES, 9].map(|number| {
        let description = Description::of(key(number)).with_addresses([address(number)]);
        (id(number), Member::learner(description))
    });
    let members = voters.members().map(|(id, member)| (id, member.clone()));
    Configuration::from_members(members.chain(learners)).with_open(false)
}

#[test]
fn a_learner_wants_links_to_voters_alone() {
    let mut peers = peers(None);

    let learns = introduced(&mut peers, &learning([2, 3]));
    let votes = introduced(&mut peers, &voters([OURSELVES, 2, 3, 9]));

    assert_eq!(wanted(&learns), [id(2), id(3)].into());
    assert_eq!(wanted(&votes), [id(2), id(3), id(9)].into());
    // Whoever comes is let in all the same.
    assert_eq!(judged(&learns, 9), Ok(Role::Member));
}

#[test]
fn a_learner_that_reaches_no_voter_for_long_wants_links_to_all() {
    let mut peers = peers(None);
    let configuration = learning([2]);
    introduced(&mut peers, &configuration);
    // Who led is known for a while after its link is down.
    let leader = Some(id(2));
    peers.loneliness(&configuration, leader, directly, Instant::ORIGIN);
    peers.on_not_linked(id(2), None);

    let due = peers.due();
    peers.loneliness(&configuration, leader, directly, due);
    let lost = peers.introduce(&configuration, true);
    peers.linked.insert(id(2), true);
    peers.loneliness(&configuration, leader, |_| true, due);
    let relayed = peers.introduce(&configuration, true);
    peers.loneliness(&configuration, leader, directly, due);
    let found = peers.introduce(&configuration, true);

    let wanted_by =
        |introduction: Option<Introduction>| introduction.map(|introduction| wanted(&introduction));
    assert_eq!(wanted_by(lost), Some([id(2), id(9)].into()));
    // Whoever passes on what comes of the leader is wanted until it is reached without.
    assert_eq!(wanted_by(relayed), Some([id(2), id(9)].into()));
    assert_eq!(wanted_by(found), Some([id(2)].into()));
}

#[test]
fn who_is_invited_looks_for_those_who_invite_it() {
    let mut peers = peers(Some(invitation(2)));

    let introduction = introduced(&mut peers, &Configuration::default());

    let inviter = Wanted {
        peer: id(2),
        keys: vec![key(2)],
        addresses: vec![address(99)],
    };
    assert_eq!(introduction.wanted, [inviter]);
    assert_eq!(introduction.credentials.role, Role::Joiner);
    assert!(introduction.credentials.token.is_some());
    assert_eq!(judged(&introduction, 2), Ok(Role::Member));
    assert_eq!(judged(&introduction, 3), Err(Refusal::Forgotten));
}

#[test]
fn a_member_goes_by_an_invitation_only_when_it_reaches_nobody() {
    let mut peers = peers(Some(invitation(3)));
    let configuration = voters([OURSELVES, 2]);
    let before = introduced(&mut peers, &configuration);
    let now = Instant::ORIGIN;
    let early = peers.loneliness(&configuration, None, directly, now);
    peers.on_not_linked(id(2), None);

    let due = peers.due();
    let late = peers.loneliness(&configuration, None, directly, due);
    let after = peers.introduce(&configuration, true);

    let after = after.expect("the invitation counts");
    assert_eq!((early, late), (None, Some(Loneliness::NoPeer)));
    assert_eq!(due, now + Duration::from_secs(30));
    assert_eq!(wanted(&before), [id(2)].into());
    assert_eq!(wanted(&after), [id(2), id(3)].into());
    assert_eq!(judged(&before, 3), Ok(Role::Member));
}

/// The founder of a cluster counted none of its links: those who joined had come before they were named.
#[test]
fn a_newcomer_with_a_link_counts_once_it_is_named() {
    let mut peers = peers(None);
    // As a joiner's link comes up.
    peers.linked.insert(id(2), false);
    introduced(&mut peers, &voters([OURSELVES]));
    let before = peers.servers_linked().count();

    introduced(&mut peers, &voters([OURSELVES, 2]));

    assert_eq!((before, peers.servers_linked().count()), (0, 1));
}

#[test]
fn a_removal_counts_once_it_is_committed() {
    let mut peers = peers(None);
    let before = voters([OURSELVES, 2, 3]);
    let after = voters([OURSELVES, 2]).with_dismissed([(id(3), Dismissal::Removed)]);
    let on_up = peers.on_up(id(3), None, &before);
    assert_eq!(on_up, Ok(None));
    introduced(&mut peers, &before);

    peers.stir();
    let appended = peers.introduce(&after, false).expect("it is news");
    let judged_then = judged(&appended, 3);
    let committed = introduced(&mut peers, &after);

    assert_eq!(judged_then, Ok(Role::Member));
    assert!(appended.forbidden.is_empty());
    assert_eq!(judged(&committed, 3), Err(Refusal::Expelled));
    assert_eq!(committed.forbidden, [id(3)]);
}

#[test]
fn who_leaves_with_a_joint_configuration_keeps_its_links() {
    let mut peers = peers(None);
    let target = voters([OURSELVES, 2])
        .with_dismissed([(id(3), Dismissal::Removed), (id(4), Dismissal::Removed)]);
    let joint = voters([OURSELVES, 2, 3, 4]).joined_with(&target);

    let introduction = introduced(&mut peers, &joint);

    assert_eq!(judged(&introduction, 3), Ok(Role::Member));
    assert!(wanted(&introduction).contains(&id(4)));
}

/// A peer has a link, which it was let in to so.
fn let_in(peers: &mut Peers, number: u64, role: Role, token: Option<TokenKey>) {
    peers.linked.insert(id(number), role == Role::Vouched);
    peers.on_let_in(id(number), role, token);
}

#[test]
fn who_was_vouched_for_proves_it_anew_after_an_expulsion() {
    let mut peers = peers(None);
    let before = voters([OURSELVES, 2, 3]);
    let after = voters([OURSELVES, 2]).with_dismissed([(id(3), Dismissal::Removed)]);
    introduced(&mut peers, &before);
    let_in(&mut peers, 4, Role::Vouched, None);
    let unchanged = introduced(&mut peers, &before);

    let expelled = introduced(&mut peers, &after);
    let later = introduced(&mut peers, &after);

    assert!(unchanged.forbidden.is_empty());
    assert_eq!(expelled.forbidden, [id(4)]);
    assert!(later.forbidden.is_empty());
}

#[test]
fn a_client_that_comes_up_after_its_revocation_is_cut_off() {
    let mut peers = peers(None);
    let configuration = voters([OURSELVES, 2]);
    introduced(&mut peers, &configuration);
    let token = TokenSecret::from_bytes([5; 32]).key();

    let_in(&mut peers, 4, Role::Client(Permit::Operate), Some(token));
    let introduction = peers.introduce(&configuration, true);

    let introduction = introduction.expect("it is to be cut off");
    assert_eq!(introduction.forbidden, [id(4)]);
}

#[test]
fn those_that_are_about_to_be_added_are_bounded() {
    let mut peers = peers(None);

    for number in 0..1000 {
        peers.await_server(ServerId(number), Duration::ZERO, Instant::ORIGIN);
    }

    assert_eq!(peers.awaited.len(), AWAITED_MAX);
    assert!(peers.awaited.contains_key(&ServerId(999)));
}

#[test]
fn a_removed_server_gets_a_link_while_it_is_added_again() {
    let mut peers = peers(None);
    let configuration = voters([OURSELVES, 2]).with_dismissed([(id(3), Dismissal::Removed)]);
    introduced(&mut peers, &configuration);
    peers.on_unlinked(id(3), &configuration);

    let now = Instant::ORIGIN;
    peers.await_server(id(3), Duration::ZERO, now);
    let awaited = peers.introduce(&configuration, true).expect("it is news");
    let judged_then = judged(&awaited, 3);
    // It may only just have tried.
    peers.give_up_awaited(now + BACK_OFF_MAX);
    assert!(peers.introduce(&configuration, true).is_none());
    peers.give_up_awaited(peers.due());
    let over = peers.introduce(&configuration, true).expect("it is news");

    assert_eq!(judged_then, Ok(Role::Joiner));
    assert!(wanted(&awaited).contains(&id(3)));
    assert_eq!(judged(&over, 3), Err(Refusal::Expelled));
    assert!(!wanted(&over).contains(&id(3)));
}

#[test]
fn a_newcomer_wants_and_believes_the_leader_that_is_named_to_it() {
    let mut peers = peers(Some(invitation(2)));
    let leader = Description::of(key(3)).with_addresses([address(3)]);
    let of_another = Description::of(key(4));

    peers.on_introduced(id(3), &leader);
    peers.on_introduced(id(5), &of_another);
    let newcomer = introduced(&mut peers, &Configuration::default());
    let judged_then = judged(&newcomer, 3);
    let configuration = voters([OURSELVES, 2]);
    peers.loneliness(&configuration, Some(id(2)), directly, Instant::ORIGIN);
    let member = introduced(&mut peers, &configuration);

    assert_eq!(judged_then, Ok(Role::Member));
    let of_leader = newcomer.wanted.iter().find(|wanted| wanted.peer == id(3));
    assert_eq!(
        of_leader.map(|wanted| &*wanted.addresses),
        Some(&[address(3)][..])
    );
    assert!(!wanted(&newcomer).contains(&id(5)), "it has no such key");
    assert!(!wanted(&member).contains(&id(3)), "another leads");
}

#[test]
fn a_removed_server_is_believed_while_members_say_it_leads() {
    let mut peers = peers(None);
    let configuration = voters([OURSELVES, 2]).with_dismissed([(id(3), Dismissal::Removed)]);
    let judged_after = |peers: &mut Peers, leader| {
        peers.loneliness(&configuration, leader, directly, Instant::ORIGIN);
        let introduction = introduced(peers, &configuration);
        (
            judged(&introduction, 3),
            wanted(&introduction).contains(&id(3)),
        )
    };

    let before = judged_after(&mut peers, None);
    peers.on_introduced(id(3), &Description::of(key(3)));
    let named = judged_after(&mut peers, None);
    let led = judged_after(&mut peers, Some(id(3)));
    let led_by_another = judged_after(&mut peers, Some(id(2)));

    assert_eq!(before, (Err(Refusal::Expelled), false));
    assert_eq!(named, (Ok(Role::Member), true));
    assert_eq!(led, (Ok(Role::Member), true));
    assert_eq!(led_by_another, (Err(Refusal::Expelled), false));
}

#[test]
fn leaders_named_to_a_newcomer_are_bounded() {
    let mut peers = peers(Some(invitation(2)));

    for number in 3..103 {
        peers.on_introduced(id(number), &Description::of(key(number)));
    }

    let newcomer = introduced(&mut peers, &Configuration::default());
    assert_eq!(newcomer.wanted.len(), 1 + INTRODUCED_MAX);
    assert!(wanted(&newcomer).contains(&id(102)));
}

#[test]
fn those_wanted_beside_the_configuration_are_bounded() {
    let mut peers = peers(None);
    let configuration = voters([OURSELVES, 2]);

    for number in 0..200 {
        peers.on_unlinked(ServerId(number), &configuration);
    }

    let introduction = introduced(&mut peers, &configuration);
    assert_eq!(introduction.wanted.len(), 1 + UNNAMED_MAX);
    assert!(wanted(&introduction).contains(&ServerId(199)));
}

#[test]
fn a_member_shows_who_vouches_for_it_also_of_those_who_left() {
    let mut peers = peers(None);
    let by = |number: u64| {
        Some(configuration::Voucher {
            by: key(number),
            signature: [0; 64],
        })
    };
    let member = |number: u64, voucher| {
        let voter = Member::voter(Description::of(key(number)));
        (id(number), Member { voucher, ..voter })
    };
    let before =
        Configuration::from_members([member(3, None), member(2, by(3)), member(OURSELVES, by(2))]);
    let after = before.with_members([member(OURSELVES, by(2))]);

    let shown = introduced(&mut peers, &after).credentials.vouchers;

    let chain: Vec<_> = shown.iter().map(|voucher| voucher.by).collect();
    assert_eq!(chain, [key(2), key(3)]);
}

#[test]
fn nothing_is_told_twice() {
    let mut peers = peers(None);
    let configuration = voters([OURSELVES, 2]);
    introduced(&mut peers, &configuration);

    assert!(peers.introduce(&configuration, true).is_none());
}

#[test]
fn whoever_has_a_link_is_asked_in_place_of_who_has_none() {
    let mut peers = peers(None);
    let on_up = peers.on_up(id(2), None, &voters([OURSELVES, 2, 3]));

    let asked = [2, 3].map(|number| peers.reachable_instead_of(id(number)));
    peers.on_down(id(2));

    assert_eq!(on_up, Ok(None));
    assert_eq!(asked, [id(2), id(2)]);
    assert_eq!(peers.reachable_instead_of(id(3)), id(3));
}
