//! Each role and each refusal, from the facts that lead to it.

use super::*;

const KEY: PublicKey = PublicKey([1; 32]);
const MEMBER: PublicKey = PublicKey([2; 32]);
const OTHER: PublicKey = PublicKey([3; 32]);
const TOKEN: TokenKey = TokenKey(PublicKey([9; 32]));
const READER: Role = Role::Client(Permit::Read);
const WRITER: Role = Role::Client(Permit::Write);

/// A configuration with one member, at the cluster time 100.
fn table() -> AccessTable {
    AccessTable {
        members: [MEMBER.server_id()].into(),
        cluster_time: 100,
        ..AccessTable::default()
    }
}

fn with_token(role: Role, expires_at: u64, uses_left: u32) -> AccessTable {
    let terms = TokenTerms {
        role,
        expires_at,
        uses_left,
    };
    AccessTable {
        tokens: [(TOKEN, terms)].into(),
        ..table()
    }
}

/// A key that nobody knows, and that shows nothing.
fn claimant(role: Role) -> Claimant {
    Claimant {
        key: KEY,
        role,
        token: None,
        vouched_by: Vec::new(),
        starts: Boot {
            number: 5,
            nonce: 50,
        }
        .into(),
        versions: Versions::only(1),
    }
}

fn of_member() -> Claimant {
    Claimant {
        key: MEMBER,
        ..claimant(Role::Member)
    }
}

fn with_invitation(role: Role) -> Claimant {
    Claimant {
        token: Some(TOKEN),
        ..claimant(role)
    }
}

fn vouched_by(keys: &[PublicKey]) -> Claimant {
    Claimant {
        vouched_by: keys.to_vec(),
        ..claimant(Role::Member)
    }
}

fn role(table: &AccessTable, claimant: &Claimant) -> Result<Role, Refusal> {
    table.authorize(claimant).map(|grant| grant.role)
}

#[test]
fn a_key_of_the_configuration_is_a_member_whatever_it_claims() {
    let client = Claimant {
        role: WRITER,
        ..of_member()
    };

    assert_eq!(role(&table(), &of_member()), Ok(Role::Member));
    assert_eq!(role(&table(), &client), Ok(Role::Member));
}

#[test]
fn an_unknown_key_that_claims_membership_was_forgotten() {
    assert_eq!(
        role(&table(), &claimant(Role::Member)),
        Err(Refusal::Forgotten)
    );
}

#[test]
fn a_newcomer_without_an_invitation_is_refused() {
    assert_eq!(
        role(&table(), &claimant(Role::Joiner)),
        Err(Refusal::NotOpen)
    );
    assert_eq!(role(&table(), &claimant(READER)), Err(Refusal::NotOpen));
    assert_eq!(
        role(&table(), &claimant(Role::Stranger)),
        Err(Refusal::Stranger)
    );
}

#[test]
fn an_open_cluster_takes_anybody_for_what_they_claim() {
    let open = AccessTable {
        is_open: true,
        ..table()
    };

    assert_eq!(role(&open, &claimant(Role::Joiner)), Ok(Role::Joiner));
    assert_eq!(role(&open, &claimant(WRITER)), Ok(WRITER));
    assert_eq!(role(&open, &claimant(Role::Member)), Ok(Role::Vouched));
    assert_eq!(
        role(&open, &claimant(Role::Stranger)),
        Err(Refusal::Stranger)
    );
}

#[test]
fn an_expelled_server_is_refused_whatever_it_shows() {
    let mut table = with_token(Role::Joiner, 200, 1);
    table.dismissed.insert(KEY.server_id());
    table.members.insert(KEY.server_id());
    table.is_open = true;
    let shows_all = Claimant {
        vouched_by: vec![MEMBER],
        ..with_invitation(Role::Joiner)
    };

    assert_eq!(role(&table, &shows_all), Err(Refusal::Expelled));
}

#[test]
fn an_evicted_server_needs_no_invitation() {
    let mut table = table();
    table.evicted.insert(KEY.server_id());

    assert_eq!(role(&table, &claimant(Role::Member)), Ok(Role::Joiner));
    assert_eq!(role(&table, &claimant(Role::Joiner)), Ok(Role::Joiner));
    assert_eq!(role(&table, &claimant(WRITER)), Err(Refusal::NotOpen));
}

#[test]
fn a_chain_that_ends_in_a_member_vouches() {
    assert_eq!(role(&table(), &vouched_by(&[MEMBER])), Ok(Role::Vouched));
    assert_eq!(
        role(&table(), &vouched_by(&[OTHER, MEMBER])),
        Ok(Role::Vouched)
    );
    assert_eq!(
        role(&table(), &vouched_by(&[OTHER])),
        Err(Refusal::Forgotten)
    );
}

#[test]
fn the_word_of_an_expelled_server_counts_for_nothing() {
    let mut table = table();
    table.dismissed.insert(OTHER.server_id());

    let through_expelled = vouched_by(&[OTHER, MEMBER]);

    assert_eq!(role(&table, &through_expelled), Err(Refusal::Forgotten));
}

#[test]
fn a_voucher_makes_nobody_a_client() {
    let client = Claimant {
        role: READER,
        ..vouched_by(&[MEMBER])
    };

    assert_eq!(role(&table(), &client), Err(Refusal::NotOpen));
}

#[test]
fn a_token_grants_the_role_that_it_was_issued_for() {
    let joining = with_token(Role::Joiner, 200, 1);
    let writing = with_token(WRITER, 200, 1);

    assert_eq!(
        role(&joining, &with_invitation(Role::Joiner)),
        Ok(Role::Joiner)
    );
    assert_eq!(
        role(&joining, &with_invitation(Role::Member)),
        Ok(Role::Joiner)
    );
    assert_eq!(role(&writing, &with_invitation(WRITER)), Ok(WRITER));
    assert_eq!(role(&writing, &with_invitation(READER)), Ok(READER));
}

#[test]
fn a_client_that_may_only_read_may_not_write() {
    let reading = with_token(READER, 200, 1);

    assert_eq!(role(&reading, &with_invitation(WRITER)), Ok(READER));
}

#[test]
fn a_token_grants_no_other_role() {
    let denied = Err(Refusal::RoleNotGranted);
    let joining = with_token(Role::Joiner, 200, 1);
    let reading = with_token(READER, 200, 1);
    // A table that is wrong grants nothing that a token cannot be for.
    let ruling = with_token(Role::Member, 200, 1);

    assert_eq!(role(&joining, &with_invitation(READER)), denied);
    assert_eq!(role(&reading, &with_invitation(Role::Joiner)), denied);
    assert_eq!(role(&ruling, &with_invitation(Role::Member)), denied);
}

#[test]
fn a_token_that_was_not_issued_or_was_revoked_is_unknown() {
    let joiner = with_invitation(Role::Joiner);

    assert_eq!(role(&table(), &joiner), Err(Refusal::TokenUnknown));
}

#[test]
fn a_token_counts_until_it_expires() {
    let joiner = with_invitation(Role::Joiner);

    assert_eq!(
        role(&with_token(Role::Joiner, 101, 1), &joiner),
        Ok(Role::Joiner)
    );
    assert_eq!(
        role(&with_token(Role::Joiner, 100, 1), &joiner),
        Err(Refusal::TokenExpired)
    );
}

#[test]
fn a_copied_token_is_refused_beyond_its_uses() {
    let used_up = with_token(Role::Joiner, 200, 0);

    assert_eq!(
        role(&used_up, &with_invitation(Role::Joiner)),
        Err(Refusal::TokenUsedUp)
    );
}

#[test]
fn the_token_that_a_member_used_up_does_not_count_against_it() {
    let used_up = with_token(Role::Joiner, 200, 0);
    let member = Claimant {
        token: Some(TOKEN),
        ..of_member()
    };

    assert_eq!(role(&used_up, &member), Ok(Role::Member));
}

#[test]
fn a_copy_of_a_storage_is_refused_where_the_original_was_met() {
    let at = |number, nonce| Boot { number, nonce };
    let met = |boot| AccessTable {
        boots: [(MEMBER.server_id(), boot)].into(),
        ..table()
    };

    assert_eq!(role(&met(at(5, 50)), &of_member()), Ok(Role::Member));
    assert_eq!(role(&met(at(4, 40)), &of_member()), Ok(Role::Member));
    assert_eq!(role(&met(at(5, 51)), &of_member()), Err(Refusal::OldBoot));
    assert_eq!(role(&met(at(6, 50)), &of_member()), Err(Refusal::OldBoot));
}

#[test]
fn a_copy_that_was_started_more_often_is_refused_as_well() {
    let parted = of_member().starts;
    let original = parted.next(60);
    let met = AccessTable {
        boots: [(MEMBER.server_id(), original.newest())].into(),
        ..table()
    };
    let showing = |starts| Claimant {
        starts,
        ..of_member()
    };

    let copy = showing(parted.next(61).next(62).next(63));
    let restarted = showing(original.next(64));

    assert_eq!(role(&met, &copy), Err(Refusal::OldBoot));
    assert_eq!(role(&met, &restarted), Ok(Role::Member));
}

#[test]
fn a_stranger_is_not_told_what_was_met() {
    let mut table = table();
    table.boots.insert(
        KEY.server_id(),
        Boot {
            number: 9,
            nonce: 1,
        },
    );
    table.is_crowded = true;

    assert_eq!(role(&table, &claimant(Role::Joiner)), Err(Refusal::NotOpen));
}

#[test]
fn a_crowd_keeps_no_server_out() {
    let crowded = AccessTable {
        is_crowded: true,
        ..with_token(READER, 200, 1)
    };

    assert_eq!(
        role(&crowded, &with_invitation(READER)),
        Err(Refusal::Crowded)
    );
    assert_eq!(role(&crowded, &of_member()), Ok(Role::Member));
    assert_eq!(role(&crowded, &vouched_by(&[MEMBER])), Ok(Role::Vouched));
}

#[test]
fn a_reason_is_told_only_to_who_is_known() {
    let told = [
        Refusal::Expelled,
        Refusal::TokenExpired,
        Refusal::TokenUsedUp,
        Refusal::RoleNotGranted,
        Refusal::OldBoot,
        Refusal::NoCommonVersion {
            versions: Versions::only(1),
        },
        Refusal::WrongBinding,
        Refusal::Crowded,
    ];
    let untold = [
        Refusal::Stranger,
        Refusal::Forgotten,
        Refusal::TokenUnknown,
        Refusal::NotOpen,
    ];

    assert!(told.iter().all(Refusal::is_told));
    assert!(!untold.iter().any(Refusal::is_told));
}

#[test]
fn a_refusal_reads_well_after_the_word_refused() {
    let versions = Versions { min: 2, max: 4 };

    assert_eq!(
        Refusal::NoCommonVersion { versions }.to_string(),
        "no common protocol version: the refusing server speaks 2 to 4"
    );
    assert_eq!(WRITER.to_string(), "client that may write");
}
