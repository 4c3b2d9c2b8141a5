use super::*;
use crate::configuration::{AccessToken, PublicKey, Scope, TokenKey, Versions, Voucher};
use crate::consensus::input::NewToken;

const NOW: ClusterTime = ClusterTime(1000);

fn target(
    current: &Configuration,
    change: &MembershipChange,
) -> Result<Configuration, ChangeError> {
    target_of(current, change, NOW)
}

fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

/// What the server with this key says of itself, under this label.
fn described(n: u8, label: &str) -> Description {
    Description::of(key(n)).with_label(label.parse().expect("it is a label"))
}

fn voucher(n: u8) -> Voucher {
    Voucher {
        by: key(n),
        signature: [n; 64],
    }
}

fn token(n: u8, uses_left: u32) -> AccessToken {
    AccessToken {
        key: TokenKey(key(n)),
        grants: Grants::Membership,
        expires_at: ClusterTime(5000),
        uses_left,
        scope: Scope::everything(),
    }
}

/// This server joins by the first token.
fn joins(id: u128) -> MembershipStep {
    MembershipStep::AddLearner(Addition {
        token: Some(token(1, 0).key),
        ..Addition::of(ServerId(id))
    })
}

fn ids(of: &[u128]) -> Vec<ServerId> {
    of.iter().map(|id| ServerId(*id)).collect()
}

#[test]
fn a_truncated_configuration_gives_way_to_the_one_before_it() {
    let first = Arc::new(Configuration::of_voters(ids(&[1])));
    let second = Arc::new(Configuration::of_voters(ids(&[1, 2])));
    let mut log = ConfigurationLog::starting_with(Index(1), first.clone());
    log.append(Index(4), second);

    assert!(log.truncate_from(Index(4)));

    assert_eq!(log.current(), &*first);
    assert_eq!(log.current_index(), Index(1));
}

#[test]
fn a_snapshot_carries_no_later_configuration() {
    let first = Arc::new(Configuration::of_voters(ids(&[1])));
    let mut log = ConfigurationLog::starting_with(Index(1), first.clone());
    log.append(Index(4), Arc::new(Configuration::of_voters(ids(&[1, 2]))));

    assert_eq!(log.as_of(Index(3)), (Index(1), &first));
    log.compact_to(Index(3));

    assert_eq!(log.as_of(Index(3)), (Index(1), &first));
    assert_eq!(log.current_index(), Index(4));
}

#[test]
fn a_configuration_that_a_snapshot_made_old_is_forgotten() {
    let one = Arc::new(Configuration::of_voters(ids(&[1])));
    let mut log = ConfigurationLog::starting_with(Index(1), one.clone());
    log.append(Index(4), one);

    log.compact_to(Index(4));

    assert_eq!(log.configurations.len(), 1);
    assert!(!log.truncate_from(Index(5)));
}

#[test]
fn as_many_servers_take_part_as_a_configuration_may_name_and_no_more() {
    let most = u128::try_from(SERVERS_MAX).expect("it is a small number");
    let current = Configuration::of_voters((1..most).map(ServerId));
    let add = |id| MembershipChange::add_learner(ServerId(id));

    let full = target(&current, &add(most)).expect("there is room for one");
    let over = target(&full, &add(most + 1));

    let error = InvalidChange::TooManyServers;
    assert_eq!(over, Err(ChangeError::Invalid(error)));
}

// Those who leave are still named by the joint configuration, beside those who come.
#[test]
fn no_change_leads_through_a_configuration_that_names_too_many() {
    let most = u128::try_from(SERVERS_MAX).expect("it is a small number");
    let current = Configuration::of_voters((1..=most).map(ServerId));
    let swap = |leaves, comes| {
        MembershipChange::remove(ServerId(leaves)).and(MembershipChange::add_voter(ServerId(comes)))
    };

    let refused = target(&current, &swap(1, most + 1));

    let error = InvalidChange::TooManyServers;
    assert!(refused == Err(ChangeError::Invalid(error)));
    let smaller = Configuration::of_voters((2..=most).map(ServerId));
    assert!(target(&smaller, &swap(2, 1)).is_ok());
}

#[test]
fn a_change_fits_into_an_entry_while_it_is_joint_too() {
    let three = Configuration::of_voters(ids(&[1, 2, 3]));
    let swap = MembershipChange::remove(ServerId(1))
        .and(MembershipChange::remove(ServerId(2)))
        .and(MembershipChange::add_voter(ServerId(4)))
        .and(MembershipChange::add_voter(ServerId(5)));
    let bytes = Configuration::of_voters(ids(&[1, 2, 3, 4, 5]))
        .with_dismissed(ids(&[6, 7]).into_iter().map(|id| (id, Dismissal::Removed)))
        .weight();

    let fits = target(&three.clone().with_entry_bytes_max(bytes), &swap);
    let over = target(&three.with_entry_bytes_max(bytes - 1), &swap);

    let bytes_max = bytes - 1;
    let error = InvalidChange::TooLarge { bytes, bytes_max };
    assert!(fits.is_ok());
    assert_eq!(over, Err(ChangeError::Invalid(error)));
}

#[test]
fn one_voter_changes_in_one_step_and_two_in_a_joint_one() {
    let current = Configuration::of_voters(ids(&[1, 2, 3]));

    let one = first_step(&current, &Configuration::of_voters(ids(&[1, 2])));
    let two = first_step(&current, &Configuration::of_voters(ids(&[1, 2, 4])));

    assert!(!one.is_joint());
    assert!(two.is_joint());
}

#[test]
fn a_change_that_leaves_no_voter_is_refused() {
    let current = Configuration::of_voters(ids(&[1]));

    let refused = target(&current, &MembershipChange::remove(ServerId(1)));

    assert_eq!(refused, Err(ChangeError::Invalid(InvalidChange::NoVoters)));
}

#[test]
fn a_removal_dismisses_until_an_addition_and_an_eviction_not() {
    let current = Configuration::of_voters(ids(&[1, 2, 3]));
    let change = MembershipChange::remove(ServerId(2)).and(MembershipChange::evict(ServerId(3)));

    let left = target(&current, &change).expect("both are members");
    let back = target(&left, &MembershipChange::add_learner(ServerId(2)));

    assert_eq!(left.dismissed(), [(ServerId(2), Dismissal::Removed)]);
    assert_eq!(back.expect("it is no member").dismissed(), []);
}

#[test]
fn a_change_of_suffrage_keeps_what_is_known_of_a_server() {
    let described = |n| (described(n, "old"), Some(voucher(n)));
    let member = |n, suffrage| {
        let (description, voucher) = described(n);
        let member = Member {
            suffrage: Some(suffrage),
            outgoing_voter: false,
            description,
            voucher,
        };
        (key(n).server_id(), member)
    };
    let voters = [1, 2].map(|n| member(n, Suffrage::Voter));
    let learners = [3, 4].map(|n| member(n, Suffrage::Learner));
    let current = Configuration::from_members(voters.into_iter().chain(learners));
    let renamed = Description::default().with_label("new".parse().expect("it is a label"));
    let renamed = MembershipStep::AddVoter(Addition {
        description: Some(renamed),
        ..Addition::of(key(4).server_id())
    });
    let change = MembershipChange::add_voter(key(3).server_id())
        .and(MembershipChange::add_learner(key(2).server_id()))
        .and(renamed.into());

    let target = target(&current, &change).expect("all of it is new");

    let joint = current.joined_with(&target).left_joint();
    let known = |n: u8| {
        let member = joint.member(key(n).server_id()).expect("none left");
        (member.description.clone(), member.voucher)
    };
    assert_eq!([1, 2, 3].map(known), [1, 2, 3].map(described));
    assert_eq!(known(4), (self::described(4, "new"), Some(voucher(4))));
}

#[test]
fn a_member_is_described_anew_without_a_joint_configuration() {
    let id = key(2).server_id();
    let current = Configuration::from_members([
        (key(1).server_id(), Member::voter(described(1, "ada"))),
        (id, Member::voter(described(2, "bob"))),
    ]);
    let at = Description::default().with_addresses(["memory:7".parse().expect("it is one")]);

    let described = target(&current, &MembershipChange::describe(id, at.clone()));
    let stranger = target(
        &current,
        &MembershipChange::describe(ServerId(9), at.clone()),
    );
    let not_his = target(
        &current,
        &MembershipChange::describe(id, self::described(1, "bob")),
    );

    let described = described.expect("it is a member");
    let member = described.member(id).expect("it stays");
    assert_eq!(
        member.description,
        Description::of(key(2)).with_addresses(at.addresses().to_vec())
    );
    assert!(!first_step(&current, &described).is_joint());
    assert_eq!(stranger, Err(ChangeError::NotMember(ServerId(9))));
    assert_eq!(
        not_his,
        Err(ChangeError::Invalid(InvalidChange::WrongKey(id)))
    );
}

#[test]
fn a_server_is_added_under_no_key_but_its_own() {
    let current = Configuration::of_voters(ids(&[1]));
    let with_key = |id| {
        MembershipStep::AddLearner(Addition {
            description: Some(described(7, "ada")),
            ..Addition::of(id)
        })
    };

    let own = target(&current, &with_key(key(7).server_id()).into());
    let other = target(&current, &with_key(ServerId(2)).into());

    assert!(own.is_ok());
    let error = InvalidChange::WrongKey(ServerId(2));
    assert_eq!(other, Err(ChangeError::Invalid(error)));
}

#[test]
fn an_evicted_server_is_remembered_until_it_is_added_or_removed() {
    let current = Configuration::of_voters(ids(&[1, 2, 3]));
    let change = MembershipChange::evict(ServerId(2)).and(MembershipChange::evict(ServerId(3)));

    let left = target(&current, &change).expect("both are members");
    let joint = first_step(&current, &left);
    let back = target(&left, &MembershipChange::add_learner(ServerId(2)));
    let back = back.expect("it is no member");
    let removed = target(&back, &MembershipChange::remove(ServerId(2)));

    assert_eq!(left.evicted(), ids(&[2, 3]));
    assert_eq!(joint.left_joint(), left);
    assert_eq!(back.evicted(), ids(&[3]));
    let removed = removed.expect("it is a member");
    assert_eq!(removed.evicted(), ids(&[3]));
    assert!(removed.is_dismissed(ServerId(2)));
}

/// A change that is refused because it is too large is called for again and again.
#[test]
fn the_oldest_evictions_are_forgotten_where_an_entry_has_no_room() {
    let current = Configuration::of_voters(ids(&[1, 2, 3])).with_evicted(ids(&[7, 8, 9]));
    let bytes = current.weight();
    let tight = current.with_entry_bytes_max(bytes);

    let added = target(&tight, &MembershipChange::add_learner(ServerId(4)));

    let added = added.expect("there is room once two are forgotten");
    assert_eq!(added.evicted(), ids(&[9]));
    assert!(added.weight() <= bytes);
}

/// Servers 1 to 3, of which each has let in the next, and then 2 was evicted.
fn after_the_middle_left() -> Configuration {
    let member = |n: u8, voucher| {
        let voter = Member::voter(Description::of(key(n)));
        (key(n).server_id(), Member { voucher, ..voter })
    };
    let chain = Configuration::from_members([
        member(1, None),
        member(2, Some(voucher(1))),
        member(3, Some(voucher(2))),
    ]);
    let evicted = target(&chain, &MembershipChange::evict(key(2).server_id()));
    evicted.expect("it is a member")
}

/// Let in again by a server that rests on its own word, it would stand on nothing else.
#[test]
fn a_server_that_comes_back_keeps_the_voucher_that_others_rest_on() {
    let current = after_the_middle_left();
    let addition = Addition {
        voucher: Some(voucher(3)),
        ..Addition::of(key(2).server_id())
    };

    let back = target(&current, &MembershipStep::AddLearner(addition).into());

    let back = back.expect("it is no member");
    let member = back.member(key(2).server_id()).expect("it is one");
    assert_eq!(member.voucher, Some(voucher(1)));
    assert_eq!(back.past_vouchers().len(), 0);
}

#[test]
fn vouchers_of_those_who_left_give_way_where_an_entry_has_no_room() {
    let current = after_the_middle_left();
    let bytes = current.weight();
    let tight = current.with_entry_bytes_max(bytes);

    let added = target(&tight, &MembershipChange::add_learner(ServerId(4)));

    let added = added.expect("there is room once they are forgotten");
    assert_eq!(tight.past_vouchers().len(), 1);
    assert_eq!(added.past_vouchers().len(), 0);
    assert!(added.weight() <= bytes);
}

#[test]
fn a_token_lets_in_as_many_as_it_has_uses() {
    let current = Configuration::of_voters(ids(&[1])).with_tokens([token(1, 2)]);

    let both = MembershipChange::from(joins(2)).and(joins(3).into());
    let two = target(&current, &both).expect("it has two uses");
    let third = target(&two, &joins(4).into());
    let at_once = target(&current, &both.and(joins(4).into()));

    let used_up = Err(ChangeError::Token(token(1, 0).key, TokenFault::UsedUp));
    assert_eq!(two.tokens(), [token(1, 0)]);
    assert_eq!([third, at_once], [used_up.clone(), used_up]);
}

#[test]
fn a_token_that_is_expired_unknown_or_a_clients_lets_nobody_in() {
    let key = token(1, 1).key;
    let expired = AccessToken {
        expires_at: NOW,
        ..token(1, 1)
    };
    let clients = AccessToken {
        grants: Grants::Writing,
        ..token(1, 1)
    };
    let faults = [
        (Some(expired), TokenFault::Expired),
        (None, TokenFault::Unknown),
        (Some(clients), TokenFault::GrantsOther),
    ];
    for (token, fault) in faults {
        let current = Configuration::of_voters(ids(&[1])).with_tokens(token);

        let refused = target(&current, &joins(2).into());

        assert_eq!(refused, Err(ChangeError::Token(key, fault)));
    }
}

/// What is issued as this token.
fn new(token: AccessToken) -> NewToken {
    NewToken {
        key: token.key,
        grants: token.grants,
        valid_for: token.expires_at.since(NOW),
        uses: token.uses_left,
        scope: token.scope,
    }
}

#[test]
fn a_token_is_issued_once_and_revoked_once() {
    let current = Configuration::of_voters(ids(&[1]));

    let issued = target(&current, &MembershipChange::issue(new(token(1, 2))));
    let issued = issued.expect("there is room");
    let again = target(&issued, &MembershipChange::issue(new(token(1, 3))));
    let revoked = target(&issued, &MembershipChange::revoke(token(1, 0).key));
    let revoked = revoked.expect("it is known");
    let twice = target(&revoked, &MembershipChange::revoke(token(1, 0).key));

    assert_eq!(issued.tokens(), [token(1, 2)]);
    let known = InvalidChange::IssuedBefore(token(1, 0).key);
    assert_eq!(again, Err(ChangeError::Invalid(known)));
    assert_eq!(revoked.tokens(), []);
    let unknown = ChangeError::Token(token(1, 0).key, TokenFault::Unknown);
    assert_eq!(twice, Err(unknown));
}

#[test]
fn a_token_that_lets_nobody_in_or_has_no_room_is_not_issued() {
    let full = (0..64).map(|n| token(n, 1));
    let full = Configuration::of_voters(ids(&[1])).with_tokens(full);
    let key = token(99, 1).key;

    let no_room = target(&full, &MembershipChange::issue(new(token(99, 1))));
    let no_uses = target(&full, &MembershipChange::issue(new(token(99, 0))));

    let too_many = ChangeError::Invalid(InvalidChange::TooManyTokens);
    assert_eq!(no_room, Err(too_many));
    assert_eq!(no_uses, Err(ChangeError::Token(key, TokenFault::UsedUp)));
}

/// Voters 1 and 2, of which each speaks these versions.
fn speaking(one: (u32, u32), two: (u32, u32)) -> Configuration {
    let member = |(id, (min, max))| {
        let description = Description::default().with_versions(Versions { min, max });
        (ServerId(id), Member::voter(description))
    };
    Configuration::from_members([(1, one), (2, two)].map(member))
}

#[test]
fn a_version_is_raised_when_all_members_speak_it_and_never_lowered() {
    let current = speaking((1, 3), (1, 2));

    let raised = target(&current, &MembershipChange::raise_version(2));
    let raised = raised.expect("both speak it");
    let beyond = target(&current, &MembershipChange::raise_version(3));
    let back = target(&raised, &MembershipChange::raise_version(1));

    assert_eq!(raised.version(), 2);
    let (server, version) = (ServerId(2), 3);
    let not_spoken = InvalidChange::VersionNotSpoken { server, version };
    assert_eq!(beyond, Err(ChangeError::Invalid(not_spoken)));
    let lowered = InvalidChange::VersionNotRaised(1);
    assert_eq!(back, Err(ChangeError::Invalid(lowered)));
}

/// While the configuration is joint, it votes.
#[test]
fn a_version_is_not_raised_as_the_last_leaves_that_lacks_it() {
    let current = speaking((1, 2), (1, 1));
    let change = MembershipChange::remove(ServerId(2)).and(MembershipChange::raise_version(2));

    let refused = target(&current, &change);

    let (server, version) = (ServerId(2), 2);
    let not_spoken = InvalidChange::VersionNotSpoken { server, version };
    assert_eq!(refused, Err(ChangeError::Invalid(not_spoken)));
}

#[test]
fn nobody_is_added_who_does_not_speak_the_version_of_the_cluster() {
    let current = speaking((1, 3), (1, 3)).with_version(2);
    let added = |versions| {
        let description = Description::default().with_versions(versions);
        let addition = Addition {
            description: Some(description),
            ..Addition::of(ServerId(3))
        };
        target(&current, &MembershipStep::AddLearner(addition).into())
    };

    let (server, version) = (ServerId(3), 2);
    let not_spoken = InvalidChange::VersionNotSpoken { server, version };
    let refused = Err(ChangeError::Invalid(not_spoken));
    assert!(added(Versions { min: 2, max: 9 }).is_ok());
    assert_eq!(added(Versions { min: 3, max: 9 }), refused);
    assert_eq!(added(Versions { min: 9, max: 1 }), refused);
}

#[test]
fn the_id_of_a_server_that_forgot_is_never_added_again() {
    let current = Configuration::of_voters(ids(&[1, 2, 3]));
    let forgot = ChangeError::Invalid(InvalidChange::Forgot(ServerId(2)));

    let left = target(&current, &MembershipChange::retire(ServerId(2)));
    let left = left.expect("it is a member");
    let voter = target(&left, &MembershipChange::add_voter(ServerId(2)));
    let learner = target(&left, &MembershipChange::add_learner(ServerId(2)));

    assert_eq!(left.dismissed(), [(ServerId(2), Dismissal::Forgot)]);
    assert_eq!(voter, Err(forgot.clone()));
    assert_eq!(learner, Err(forgot));
}

#[test]
fn removing_a_stranger_and_adding_a_voter_twice_are_refused() {
    let current = Configuration::of_voters(ids(&[1, 2]));

    let stranger = target(&current, &MembershipChange::remove(ServerId(9)));
    let again = target(&current, &MembershipChange::add_voter(ServerId(2)));

    assert_eq!(stranger, Err(ChangeError::NotMember(ServerId(9))));
    assert_eq!(again, Err(ChangeError::AlreadyMember(ServerId(2))));
}
