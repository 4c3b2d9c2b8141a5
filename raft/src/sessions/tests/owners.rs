//! Sessions of clients: who may use them, and whose give way to whose.

use super::*;
use crate::configuration::{PublicKey, TokenKey};
use crate::ids::ServerId;

const ADA: ServerId = ServerId(0xada);
const BOB: ServerId = ServerId(0xb0b);

/// A client that came without a token.
const fn untokened(id: ServerId) -> Owner {
    Owner { id, token: None }
}

/// A client of a key that nobody else has, which came by this token.
const fn holder(token: u8, key: u64) -> Owner {
    let id = ServerId((token as u128) << 64 | key as u128);
    let token = Some(TokenKey(PublicKey([token; 32])));
    Owner { id, token }
}

/// Registers as many clients of fresh keys as there are indices, all by this token.
fn crowd<R: Clone>(sessions: &mut Sessions<R>, token: u8, indices: std::ops::RangeInclusive<u64>) {
    for index in indices {
        sessions.register_owned(at(index, 0), holder(token, index), 1);
    }
}

/// Whether a command of this owner is applied under this session.
fn may_use(sessions: &mut Sessions<u32>, owner: Option<ServerId>, session: Index) -> bool {
    let header = command(session, 1, 0);
    let Ok(outcome) =
        sessions.execute_for(owner, at(1 << 20, 0), &header, || Ok::<_, Infallible>(7));
    matches!(outcome, Outcome::Done(_))
}

#[test]
fn a_session_serves_its_owner_alone() {
    let mut sessions = Sessions::default();
    let of_ada = sessions.register_owned(at(1, 0), untokened(ADA), 77);
    let of_member = sessions.register(at(2, 0), 77);

    let by_others = [(Some(BOB), of_ada), (None, of_ada), (Some(ADA), of_member)]
        .map(|(owner, session)| may_use(&mut sessions, owner, session));

    assert_eq!(by_others, [false; 3]);
    assert!(may_use(&mut sessions, Some(ADA), of_ada));
    assert!(may_use(&mut sessions, None, of_member));
}

#[test]
fn a_registration_that_comes_twice_opens_one_session() {
    let mut sessions = Sessions::<u32>::default();

    let names = [at(1, 0), at(2, 0)].map(|at| sessions.register_owned(at, untokened(ADA), 77));

    assert_eq!((names, sessions.len()), ([Index(1); 2], 1));
}

#[test]
fn one_session_too_many_of_a_client_ends_its_own_idlest() {
    let mut sessions = Sessions::<u32>::default();
    let of_bob = sessions.register_owned(at(1, 0), untokened(BOB), 1);
    let of_member = sessions.register(at(2, 0), 1);
    for nonce in 3..=18 {
        sessions.register_owned(at(nonce, 0), untokened(ADA), u128::from(nonce));
    }

    sessions.register_owned(at(19, 0), untokened(ADA), 19);

    assert_eq!(sessions.len(), 2 + OWNER_SESSIONS_MAX);
    assert!(!may_use(&mut sessions, Some(ADA), Index(3)));
    assert!(may_use(&mut sessions, Some(ADA), Index(4)));
    assert!(may_use(&mut sessions, Some(BOB), of_bob));
    assert!(may_use(&mut sessions, None, of_member));
}

#[test]
fn a_crowd_of_clients_ends_no_session_of_a_member() {
    let mut sessions = Sessions::<u32>::default();
    let of_member = sessions.register(at(1, 0), 1);
    for owner in 0..=CLIENT_SESSIONS_MAX as u64 {
        sessions.register_owned(at(2 + owner, 0), untokened(ServerId(owner.into())), 1);
    }

    assert_eq!(sessions.len(), 1 + CLIENT_SESSIONS_MAX);
    assert!(may_use(&mut sessions, None, of_member));
    assert!(!may_use(&mut sessions, Some(ServerId(0)), Index(2)));
    assert!(may_use(&mut sessions, Some(ServerId(1)), Index(3)));
}

#[test]
fn a_token_evicts_no_session_of_another() {
    let mut sessions = Sessions::<u32>::default();
    let bob = holder(2, 0);
    let of_bob = sessions.register_owned(at(1, 0), bob, 1);
    let of_open = sessions.register_owned(at(2, 0), untokened(ADA), 1);
    let of_member = sessions.register(at(3, 0), 1);

    crowd(&mut sessions, 1, 4..=10_000);

    assert_eq!(sessions.len(), 3 + TOKEN_SESSIONS_MAX);
    assert!(may_use(&mut sessions, Some(bob.id), of_bob));
    assert!(may_use(&mut sessions, Some(ADA), of_open));
    assert!(may_use(&mut sessions, None, of_member));
}

#[test]
fn one_session_too_many_of_a_token_ends_its_idlest() {
    let mut sessions = Sessions::<u32>::default();
    let last = TOKEN_SESSIONS_MAX as u64;
    crowd(&mut sessions, 1, 1..=last);
    let first = command(Index(1), 1, 0);
    let used = sessions.execute_for(Some(holder(1, 1).id), at(last + 1, 0), &first, || {
        Ok::<_, Infallible>(7)
    });
    assert_eq!(used, Ok(Outcome::Done(Cow::Borrowed(&7))));

    crowd(&mut sessions, 1, last + 2..=last + 2);

    let is_open = |sessions: &mut _, key| may_use(sessions, Some(holder(1, key).id), Index(key));
    assert_eq!(sessions.len(), TOKEN_SESSIONS_MAX);
    assert!(!is_open(&mut sessions, 2), "the idlest");
    assert_eq!(sessions.replies(Index(1)).count(), 1, "it was used since");
    assert!([3, last, last + 2].map(|key| is_open(&mut sessions, key)) == [true; 3]);
}

/// A full table: the tokens from 1 to 8 have as many sessions as one may have.
fn full() -> Sessions<u32> {
    let mut sessions = Sessions::default();
    let of_each = TOKEN_SESSIONS_MAX as u64;
    for token in 1..=8 {
        let first = (u64::from(token) - 1) * of_each + 1;
        crowd(&mut sessions, token, first..=first + of_each - 1);
    }
    assert_eq!(sessions.len(), CLIENT_SESSIONS_MAX);
    sessions
}

/// How many sessions each of the tokens from 1 to 9 has.
fn counts(sessions: &Sessions<u32>) -> [usize; 9] {
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map(|token| sessions.of_clients.count_of(holder(token, 0).token))
}

#[test]
fn where_the_table_is_full_a_token_gets_an_equal_share() {
    let mut sessions = full();

    crowd(&mut sessions, 9, 10_000..=20_000);

    assert_eq!(
        counts(&sessions),
        [455, 455, 455, 455, 455, 455, 455, 456, 455]
    );
}

#[test]
fn who_has_no_more_than_its_share_loses_nothing_to_others() {
    let mut sessions = full();
    crowd(&mut sessions, 9, 10_000..=10_099);
    let of_ninth: Vec<_> = (10_000..=10_099).map(Index).collect();

    for token in 1..=8 {
        let first = 20_000 + u64::from(token) * 1000;
        crowd(&mut sessions, token, first..=first + 999);
    }

    assert_eq!(counts(&sessions)[8], 100);
    let are_open = of_ninth
        .iter()
        .all(|name| may_use(&mut sessions, Some(holder(9, name.0).id), *name));
    assert!(are_open);
}

#[test]
fn the_first_that_gives_way_is_the_idlest_of_the_token() {
    let mut sessions = full();
    let first = command(Index(1), 1, 0);
    let of_first = Some(holder(1, 1).id);
    sessions
        .execute_for(of_first, at(9_999, 0), &first, || Ok::<_, Infallible>(7))
        .expect("it is open");

    crowd(&mut sessions, 9, 10_000..=10_000);

    assert!(!may_use(&mut sessions, Some(holder(1, 2).id), Index(2)));
    assert_eq!(counts(&sessions)[0], TOKEN_SESSIONS_MAX - 1);
}

#[test]
fn a_registration_by_another_token_opens_no_second_session() {
    let mut sessions = Sessions::<u32>::default();
    let Owner { id, .. } = holder(1, 7);
    let first = sessions.register_owned(at(1, 0), holder(1, 7), 5);

    let by_another = Owner { id, ..holder(2, 7) };
    let again = sessions.register_owned(at(2, 0), by_another, 5);

    assert_eq!((again, sessions.len()), (first, 1));
    assert_eq!(counts(&sessions)[..2], [1, 0]);
}

#[test]
fn heavy_replies_of_a_token_end_no_session_of_another() {
    let mut sessions = Sessions::<Vec<u8>>::default();
    sessions.bound_replies(ReplyBounds {
        session_bytes_max: 1000,
        bytes_max: 4000,
    });
    let bob = holder(2, 0);
    let of_bob = sessions.register_owned(at(1, 0), bob, 1);
    let header = command(of_bob, 1, 0);
    let heavy = || Ok::<_, Infallible>(vec![1; 900]);
    let heaviest = sessions.execute_for(Some(bob.id), at(2, 0), &header, heavy);
    assert!(matches!(heaviest, Ok(Outcome::Done(_))));

    crowd(&mut sessions, 1, 3..=22);
    for name in 3..=22 {
        let header = command(Index(name), 1, 0);
        let heavy = || Ok::<_, Infallible>(vec![1; 300]);
        let owner = Some(holder(1, name).id);
        let outcome = sessions.execute_for(owner, at(name + 20, 0), &header, heavy);
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{name}");
    }

    assert_eq!(sessions.replies(of_bob).count(), 1);
    assert!(sessions.reply_bytes() <= 4000);
}

#[test]
fn heavy_replies_of_clients_end_sessions_of_clients() {
    let mut sessions = Sessions::<Vec<u8>>::default();
    sessions.bound_replies(ReplyBounds {
        session_bytes_max: 1000,
        bytes_max: 1000,
    });
    let of_member = sessions.register(at(1, 0), 1);
    execute(
        &mut sessions,
        at(2, 0),
        command(of_member, 1, 0),
        vec![0; 800],
    )
    .unwrap();
    let of_ada = sessions.register_owned(at(3, 0), untokened(ADA), 1);

    let header = command(of_ada, 1, 0);
    let heavy = || Ok::<_, Infallible>(vec![1; 300]);
    let Ok(outcome) = sessions.execute_for(Some(ADA), at(4, 0), &header, heavy);

    assert_eq!(outcome, Outcome::Done(Cow::Owned(vec![1; 300])));
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions.replies(of_member).count(), 1);
}

#[test]
fn the_sessions_of_clients_go_through_a_snapshot() {
    let mut sessions = Sessions::default();
    let of_ada = sessions.register_owned(at(1, 0), untokened(ADA), 77);
    sessions.register(at(2, 0), 77);
    assert!(may_use(&mut sessions, Some(ADA), of_ada));

    let bytes = sessions.encode();
    let mut restored = Sessions::<u32>::decode(&bytes, Index(1 << 20)).unwrap();

    assert_eq!(restored.encode(), bytes);
    assert!(!may_use(&mut restored, Some(BOB), of_ada));
    let header = command(of_ada, 1, 0);
    let again = restored.execute_for(Some(ADA), at(1 << 20, 0), &header, must_not_apply);
    assert_eq!(again, Ok(Outcome::Done(Cow::Borrowed(&7))));
}

#[test]
fn a_restored_table_evicts_whom_the_one_that_was_captured_does() {
    let mut sessions = full();
    crowd(&mut sessions, 9, 10_000..=10_099);
    for (index, (token, name)) in (10_100..).zip([(9, 10_000), (2, 600), (2, 601)]) {
        let header = command(Index(name), 1, 0);
        let owner = Some(holder(token, name).id);
        let used = sessions.execute_for(owner, at(index, 0), &header, || Ok::<_, Infallible>(7));
        assert_eq!(used, Ok(Outcome::Done(Cow::Borrowed(&7))));
    }

    let bytes = sessions.encode();
    let mut restored = Sessions::<u32>::decode(&bytes, Index(1 << 20)).expect("it was encoded");
    let first = (restored.encode(), counts(&restored));
    for table in [&mut sessions, &mut restored] {
        crowd(table, 9, 30_000..=30_599);
        crowd(table, 3, 40_000..=40_599);
    }

    assert_eq!(first.0, bytes);
    assert_eq!(counts(&restored), counts(&sessions));
    assert_eq!(restored.encode(), sessions.encode());
}

#[test]
fn a_table_in_which_a_token_has_too_many_sessions_is_refused() {
    let mut sessions = Sessions::<u32>::default();
    let last = TOKEN_SESSIONS_MAX as u64;
    crowd(&mut sessions, 1, 1..=last);
    crowd(&mut sessions, 2, last + 1..=last + 1);
    let mut bytes = sessions.encode();
    let decode = |bytes: &[u8]| Sessions::<u32>::decode(bytes, Index(1 << 20)).err();
    let before = decode(&bytes);

    // The token of the last session is behind its name, nonce, kind and owner, and before the rest of it.
    const REST: usize = 3 * size_of::<u64>() + size_of::<u32>();
    let end = bytes.len() - REST;
    bytes[end - 32..end].fill(1);

    let refused = SessionsError::Invalid("a token has too many sessions");
    assert_eq!((before, decode(&bytes)), (None, Some(refused)));
}

#[test]
fn the_sessions_of_clients_have_these_bytes_in_a_snapshot() {
    let mut sessions = Sessions::<u32>::default();
    sessions.register_owned(at(1, 4), untokened(ServerId(5)), 6);
    sessions.register_owned(at(2, 7), holder(8, 9), 10);

    let bytes = sessions.encode();

    let rest = |time: u64, used: u64| {
        let [time, used, acknowledged] = [time, used, 0].map(u64::to_be_bytes);
        [&time[..], &used, &acknowledged, &[0; 4]].concat()
    };
    let (first, second) = (1_u64.to_be_bytes(), 2_u64.to_be_bytes());
    let [six, ten] = [6_u128, 10].map(u128::to_be_bytes);
    let five = 5_u128.to_be_bytes();
    let second_owner = [8_u64, 9].map(u64::to_be_bytes).concat();
    let expected = [
        &[3, 0, 0, 0, 2][..],
        &[&first[..], &six, &[3], &five, &rest(4, 1)].concat(),
        &[
            &second[..],
            &ten,
            &[4],
            &second_owner,
            &[8; 32],
            &rest(7, 2),
        ]
        .concat(),
    ];
    assert_eq!(bytes, expected.concat());
}
