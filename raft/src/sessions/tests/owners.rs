//! Sessions of clients: who may use them, and whose give way to whose.

use super::*;
use crate::ids::ServerId;

const ADA: ServerId = ServerId(0xada);
const BOB: ServerId = ServerId(0xb0b);

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
    let of_ada = sessions.register_owned(at(1, 0), ADA, 77);
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

    let names = [at(1, 0), at(2, 0)].map(|at| sessions.register_owned(at, ADA, 77));

    assert_eq!((names, sessions.len()), ([Index(1); 2], 1));
}

#[test]
fn one_session_too_many_of_a_client_ends_its_own_idlest() {
    let mut sessions = Sessions::<u32>::default();
    let of_bob = sessions.register_owned(at(1, 0), BOB, 1);
    let of_member = sessions.register(at(2, 0), 1);
    for nonce in 3..=18 {
        sessions.register_owned(at(nonce, 0), ADA, u128::from(nonce));
    }

    sessions.register_owned(at(19, 0), ADA, 19);

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
        sessions.register_owned(at(2 + owner, 0), ServerId(owner.into()), 1);
    }

    assert_eq!(sessions.len(), 1 + CLIENT_SESSIONS_MAX);
    assert!(may_use(&mut sessions, None, of_member));
    assert!(!may_use(&mut sessions, Some(ServerId(0)), Index(2)));
    assert!(may_use(&mut sessions, Some(ServerId(1)), Index(3)));
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
    let of_ada = sessions.register_owned(at(3, 0), ADA, 1);

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
    let of_ada = sessions.register_owned(at(1, 0), ADA, 77);
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
