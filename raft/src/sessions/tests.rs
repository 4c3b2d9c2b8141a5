mod owners;

use std::convert::Infallible;

use serde::{Deserialize, Deserializer, Serializer};

use super::*;
use crate::ids::Term;

fn at(index: u64, millis: u64) -> ApplyContext {
    ApplyContext {
        index: Index(index),
        term: Term(1),
        time: ClusterTime(millis),
    }
}

fn command(session: Index, sequence: u64, acknowledged_through: u64) -> CommandHeader {
    CommandHeader {
        session,
        sequence,
        acknowledged_through,
    }
}

/// Applies a command whose reply is `reply`; `None` if it was refused.
fn execute<R: Clone + Serialize>(
    sessions: &mut Sessions<R>,
    at: ApplyContext,
    header: CommandHeader,
    reply: R,
) -> Result<R, Outcome<'static, R>> {
    let Ok(outcome) = sessions.execute(at, &header, || Ok::<_, Infallible>(reply));
    match outcome {
        Outcome::Done(reply) => Ok(reply.into_owned()),
        Outcome::Acknowledged => Err(Outcome::Acknowledged),
        Outcome::Expired => Err(Outcome::Expired),
        Outcome::TooFarAhead => Err(Outcome::TooFarAhead),
        Outcome::Early => Err(Outcome::Early),
        Outcome::Unreadable => Err(Outcome::Unreadable),
    }
}

fn must_not_apply() -> Result<u32, Infallible> {
    panic!("a second copy was applied")
}

const EXPIRY_MILLIS: u64 = SESSION_EXPIRY.as_secs() * 1000;

#[test]
fn a_second_copy_is_not_applied_and_gets_the_first_ones_reply() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    execute(&mut sessions, at(2, 0), command(session, 1, 0), 10).unwrap();

    let Ok(outcome) = sessions.execute(at(3, 0), &command(session, 1, 0), must_not_apply);

    assert_eq!(outcome, Outcome::Done(Cow::Borrowed(&10)));
}

#[test]
fn a_lost_reply_is_kept_until_it_is_acknowledged() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    execute(&mut sessions, at(2, 0), command(session, 1, 0), 10).unwrap();
    execute(&mut sessions, at(3, 0), command(session, 2, 0), 20).unwrap();

    execute(&mut sessions, at(4, 0), command(session, 3, 1), 30).unwrap();

    assert_eq!(
        sessions.replies(session).collect::<Vec<_>>(),
        [(2, Some(&20)), (3, Some(&30))]
    );
}

#[test]
fn an_acknowledged_command_is_never_applied_even_if_it_never_was() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    execute(&mut sessions, at(2, 0), command(session, 5, 4), 50).unwrap();

    let late = execute(&mut sessions, at(3, 0), command(session, 3, 0), 30);

    assert_eq!(late, Err(Outcome::Acknowledged));
}

#[test]
fn commands_may_arrive_in_any_order() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    let third = execute(&mut sessions, at(2, 0), command(session, 3, 0), 30);
    let first = execute(&mut sessions, at(3, 0), command(session, 1, 0), 10);
    let second = execute(&mut sessions, at(4, 0), command(session, 2, 0), 20);
    let Ok(again) = sessions.execute(at(5, 0), &command(session, 3, 0), must_not_apply);

    assert_eq!((first, second, third), (Ok(10), Ok(20), Ok(30)));
    assert_eq!(again, Outcome::Done(Cow::Borrowed(&30)));
}

#[test]
fn the_commands_of_an_ordered_session_take_effect_in_the_order_of_their_numbers() {
    let mut sessions = Sessions::default();
    let session = sessions.register_ordered(at(1, 0), 77);

    let early = execute(&mut sessions, at(2, 0), command(session, 2, 0), 20);
    let first = execute(&mut sessions, at(3, 0), command(session, 1, 0), 10);
    let second = execute(&mut sessions, at(4, 0), command(session, 2, 0), 20);
    let Ok(again) = sessions.execute(at(5, 0), &command(session, 1, 0), must_not_apply);

    assert_eq!(early, Err(Outcome::Early));
    assert_eq!((first, second), (Ok(10), Ok(20)));
    assert_eq!(again, Outcome::Done(Cow::Borrowed(&10)));
}

#[test]
fn in_an_ordered_session_the_turn_comes_after_what_is_acknowledged() {
    let mut sessions = Sessions::default();
    let session = sessions.register_ordered(at(1, 0), 77);
    execute(&mut sessions, at(2, 0), command(session, 1, 0), 10).unwrap();

    let second = execute(&mut sessions, at(3, 0), command(session, 2, 1), 20);
    let fourth = execute(&mut sessions, at(4, 0), command(session, 4, 1), 40);
    let first = execute(&mut sessions, at(5, 0), command(session, 1, 0), 10);

    assert_eq!(second, Ok(20));
    assert_eq!(fourth, Err(Outcome::Early));
    assert_eq!(first, Err(Outcome::Acknowledged));
}

#[test]
fn the_order_of_a_session_survives_a_snapshot() {
    let mut sessions = Sessions::default();
    let session = sessions.register_ordered(at(1, 0), 77);
    execute(&mut sessions, at(2, 0), command(session, 1, 0), 10).unwrap();
    let bytes = sessions.encode();

    let mut restored = Sessions::<u32>::decode(&bytes, Index(2)).unwrap();

    let third = execute(&mut restored, at(3, 0), command(session, 3, 0), 30);
    let second = execute(&mut restored, at(4, 0), command(session, 2, 0), 20);
    assert_eq!((third, second), (Err(Outcome::Early), Ok(20)));
}

#[test]
fn an_ordered_session_outlives_a_partition_of_hours_and_expires_after_a_day() {
    let day = u64::try_from(ORDERED_SESSION_EXPIRY.as_millis()).unwrap();
    let mut sessions = Sessions::default();
    let session = sessions.register_ordered(at(1, 0), 77);

    let in_time = execute(&mut sessions, at(2, day), command(session, 1, 0), 10);
    let late = execute(
        &mut sessions,
        at(3, 2 * day + 1),
        command(session, 2, 0),
        20,
    );

    assert_eq!(in_time, Ok(10));
    assert_eq!(late, Err(Outcome::Expired));
}

#[test]
fn a_registration_sent_twice_opens_one_session() {
    let mut sessions = Sessions::<u32>::default();

    let first = sessions.register(at(1, 0), 77);
    let second = sessions.register(at(2, 0), 77);
    let other = sessions.register(at(3, 0), 78);

    assert_eq!((first, second, other), (Index(1), Index(1), Index(3)));
    assert_eq!(sessions.len(), 2);
}

#[test]
fn a_command_of_a_session_that_never_was_is_refused() {
    let mut sessions = Sessions::default();

    let refused = execute(&mut sessions, at(2, 0), command(Index(1), 1, 0), 10);

    assert_eq!(refused, Err(Outcome::Expired));
}

#[test]
fn a_session_expires_by_cluster_time_and_not_a_moment_earlier() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    let in_time = execute(
        &mut sessions,
        at(2, EXPIRY_MILLIS),
        command(session, 1, 0),
        10,
    );
    let late = execute(
        &mut sessions,
        at(3, 2 * EXPIRY_MILLIS + 1),
        command(session, 1, 0),
        11,
    );

    assert_eq!(in_time, Ok(10));
    assert_eq!(late, Err(Outcome::Expired));
}

#[test]
fn an_expired_session_never_comes_back_and_its_nonce_opens_another() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    let next = sessions.register(at(2, EXPIRY_MILLIS + 1), 77);
    let old = execute(
        &mut sessions,
        at(3, EXPIRY_MILLIS + 1),
        command(session, 1, 0),
        10,
    );

    assert_eq!(next, Index(2));
    assert_eq!(old, Err(Outcome::Expired));
    assert_eq!(sessions.len(), 1);
}

#[test]
fn one_session_too_many_evicts_the_one_used_least_lately() {
    let mut sessions = Sessions::default();
    let kept = sessions.register(at(1, 0), 1);
    let idlest = sessions.register(at(2, 0), 2);
    for nonce in 3..=SESSIONS_MAX as u64 {
        sessions.register(at(nonce, 0), u128::from(nonce));
    }
    execute(&mut sessions, at(10_000, 0), command(kept, 1, 0), 10).unwrap();

    sessions.register(at(10_001, 0), 10_001);

    assert_eq!(sessions.len(), SESSIONS_MAX);
    assert_eq!(
        execute(&mut sessions, at(10_002, 0), command(kept, 2, 0), 20),
        Ok(20)
    );
    assert_eq!(
        execute(&mut sessions, at(10_003, 0), command(idlest, 1, 0), 1),
        Err(Outcome::Expired)
    );
}

#[test]
fn a_flood_of_registrations_evicts_in_the_order_of_the_last_use() {
    let mut sessions = Sessions::default();
    for nonce in 1..=SESSIONS_MAX as u64 {
        sessions.register(at(nonce, 0), u128::from(nonce));
    }

    sessions.register(at(5000, 0), 5000);
    execute(&mut sessions, at(5001, 0), command(Index(2), 1, 0), 10).unwrap();
    sessions.register(at(5002, 0), 5002);

    let is_open = |nonce: u128| sessions.find(nonce..=nonce).is_some();
    assert_eq!(
        [1, 2, 3, 4, 5000, 5002].map(is_open),
        [false, true, false, true, true, true]
    );
}

#[test]
fn a_command_too_far_ahead_is_refused_and_takes_no_memory() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    let last = execute(
        &mut sessions,
        at(2, 0),
        command(session, OUTSTANDING_MAX, 0),
        1,
    );
    let beyond = execute(
        &mut sessions,
        at(3, 0),
        command(session, OUTSTANDING_MAX + 1, 0),
        2,
    );
    let hostile = execute(&mut sessions, at(4, 0), command(session, u64::MAX, 0), 3);

    assert_eq!(last, Ok(1));
    assert_eq!(beyond, Err(Outcome::TooFarAhead));
    assert_eq!(hostile, Err(Outcome::TooFarAhead));
}

#[test]
fn a_command_that_cannot_be_applied_leaves_no_reply() {
    let mut sessions = Sessions::<u32>::default();
    let session = sessions.register(at(1, 0), 77);

    let failed = sessions.execute(at(2, 0), &command(session, 1, 0), || Err("no command"));

    assert_eq!(failed, Err("no command"));
    assert_eq!(sessions.replies(session).count(), 0);
}

/// A reply of 1 MiB that takes no memory here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mebibyte;

impl Serialize for Mebibyte {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        serializer.serialize_bytes(&ZEROS)
    }
}

impl<'de> Deserialize<'de> for Mebibyte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let zeros = <&[u8]>::deserialize(deserializer)?;
        assert_eq!(zeros.len(), 1 << 20);
        Ok(Self)
    }
}

const OF_SESSION_MAX: u64 = SESSION_REPLY_BYTES_MAX >> 20;

/// Has a session keep as many replies of a mebibyte as it may, with those there are.
fn fill(sessions: &mut Sessions<Mebibyte>, session: Index, count: u64) {
    for sequence in 1..=count {
        let header = command(session, sequence, 0);
        execute(sessions, at(100, 0), header, Mebibyte).unwrap();
    }
}

// A follower asks 1,200 batches that read a megabyte each, all at once, and dies: nobody acknowledges the replies. They
// filled every member's memory and made every snapshot longer than allowed.
#[test]
fn the_replies_of_a_session_that_acknowledges_nothing_are_bounded() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    for sequence in 1..=1200 {
        let _ = execute(
            &mut sessions,
            at(1 + sequence, 0),
            command(session, sequence, 0),
            Mebibyte,
        );
        assert!(sessions.reply_bytes() <= SESSION_REPLY_BYTES_MAX);
    }

    assert!(sessions.encode().len() as u64 <= SESSION_REPLY_BYTES_MAX);
}

#[test]
fn a_reply_beyond_the_bound_is_given_and_ends_its_session() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    let other = sessions.register(at(2, 0), 78);
    fill(&mut sessions, session, OF_SESSION_MAX - 1);
    let kept = sessions.reply_bytes();

    let last = command(session, OF_SESSION_MAX, 0);
    let beyond = execute(&mut sessions, at(200, 0), last, Mebibyte);
    let again = execute(&mut sessions, at(201, 0), last, Mebibyte);

    assert!(kept <= SESSION_REPLY_BYTES_MAX, "{kept}");
    assert_eq!((beyond, again), (Ok(Mebibyte), Err(Outcome::Expired)));
    assert_eq!((sessions.reply_bytes(), sessions.len()), (0, 1));
    assert!(execute(&mut sessions, at(202, 0), command(other, 1, 0), Mebibyte).is_ok());
}

#[test]
fn what_is_acknowledged_makes_room() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    fill(&mut sessions, session, OF_SESSION_MAX - 1);

    let next = command(session, OF_SESSION_MAX, OF_SESSION_MAX - 1);
    execute(&mut sessions, at(200, 0), next, Mebibyte).unwrap();

    assert_eq!(sessions.reply_bytes(), (1 << 20) + 3 + REPLY_OVERHEAD_BYTES);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn beyond_the_bound_over_all_the_heaviest_session_ends() {
    let mut sessions = Sessions::default();
    let light = sessions.register(at(1, 0), 1);
    let names: Vec<_> = (2..=5)
        .map(|index| sessions.register(at(index, 0), u128::from(index)))
        .collect();
    for name in &names {
        fill(&mut sessions, *name, OF_SESSION_MAX - 2);
    }
    let heaviest = names[2];
    let one_more = command(heaviest, OF_SESSION_MAX - 1, 0);
    execute(&mut sessions, at(200, 0), one_more, Mebibyte).unwrap();

    for sequence in 1..=6 {
        let header = command(light, sequence, 0);
        execute(&mut sessions, at(201, 0), header, Mebibyte).unwrap();
    }
    let before = sessions.len();
    execute(&mut sessions, at(202, 0), command(light, 7, 0), Mebibyte).unwrap();

    assert_eq!((before, sessions.len()), (5, 4));
    assert_eq!(
        execute(
            &mut sessions,
            at(203, 0),
            command(heaviest, 100, 0),
            Mebibyte
        ),
        Err(Outcome::Expired)
    );
    assert_eq!(sessions.replies(light).count(), 7);
}

#[test]
fn of_equally_heavy_sessions_the_first_that_was_opened_ends() {
    let mut sessions = Sessions::default();
    let names: Vec<_> = (1..=5)
        .map(|index| sessions.register(at(index, 0), u128::from(index)))
        .collect();
    for name in &names[..4] {
        fill(&mut sessions, *name, 60);
    }

    fill(&mut sessions, names[4], 16);

    let is_open = |nonce: u128| sessions.find(nonce..=nonce).is_some();
    assert_eq!(
        [1, 2, 3, 4, 5].map(is_open),
        [false, true, true, true, true]
    );
}

#[test]
fn a_command_far_ahead_takes_no_memory_for_those_between() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);

    let last = command(session, OUTSTANDING_MAX, 0);
    execute(&mut sessions, at(2, 0), last, 1).unwrap();
    let between = command(session, OUTSTANDING_MAX / 2, 0);
    execute(&mut sessions, at(3, 0), between, 2).unwrap();

    assert!(sessions.encode().len() < 100);
    assert_eq!(
        sessions.replies(session).collect::<Vec<_>>(),
        [(OUTSTANDING_MAX / 2, Some(&2)), (OUTSTANDING_MAX, Some(&1))]
    );
    let Ok(again) = sessions.execute(at(4, 0), &last, must_not_apply);
    assert_eq!(again, Outcome::Done(Cow::Borrowed(&1)));
}

#[test]
fn the_time_of_any_entry_ends_what_has_expired() {
    let mut sessions = Sessions::default();
    let idle = sessions.register(at(1, 0), 77);
    let used = sessions.register(at(2, 0), 78);
    execute(&mut sessions, at(3, 5), command(idle, 1, 0), 10).unwrap();
    execute(&mut sessions, at(4, 9), command(used, 1, 0), 10).unwrap();
    let expires_at = sessions.expires_at();

    sessions.advance(ClusterTime(5 + EXPIRY_MILLIS));
    let before = sessions.len();
    sessions.advance(ClusterTime(5 + EXPIRY_MILLIS + 1));

    assert_eq!(expires_at, Some(ClusterTime(5 + EXPIRY_MILLIS + 1)));
    assert_eq!((before, sessions.len()), (2, 1));
    assert_eq!(sessions.find(0..=u128::MAX), Some((78, used)));
    assert_eq!(sessions.reply_bytes(), 1 + REPLY_OVERHEAD_BYTES);
}

#[test]
fn a_restored_table_knows_when_it_expires_and_what_it_weighs() {
    let mut sessions = sample();
    let bytes = sessions.encode();

    let mut restored = Sessions::<u32>::decode(&bytes, Index(4)).unwrap();

    assert_eq!(restored.expires_at(), sessions.expires_at());
    assert_eq!(restored.reply_bytes(), sessions.reply_bytes());
    assert_eq!(restored.reply_bytes(), 2 * (1 + REPLY_OVERHEAD_BYTES));
}

#[test]
fn a_table_whose_replies_are_too_heavy_is_refused() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 0), 77);
    fill(&mut sessions, session, OF_SESSION_MAX - 1);
    let mut bytes = sessions.encode();
    let in_bounds = Sessions::<Mebibyte>::decode(&bytes, Index(100)).map(|table| table.len());

    let mut reply = bytes[bytes.len() - (2 + 4 + 3 + (1 << 20))..].to_vec();
    reply[1] += 1;
    bytes.extend_from_slice(&reply);
    bytes[FIRST_REPLY_AT - 1] += 1;
    let beyond = Sessions::<Mebibyte>::decode(&bytes, Index(100)).map(|table| table.len());

    let heavy = SessionsError::Invalid("the replies of a session are too heavy");
    assert_eq!((in_bounds, beyond), (Ok(1), Err(heavy)));
}

/// Where the replies of the first session begin, after the version, the count of sessions, the name, the nonce, the
/// kind, the last activity, the last use, what is acknowledged and the count of replies.
const FIRST_REPLY_AT: usize = 1 + 4 + 8 + 16 + 1 + 8 + 8 + 8 + 4;

#[test]
fn a_reply_out_of_its_place_is_refused() {
    let bytes = sample().encode();
    let place = FIRST_REPLY_AT;
    assert_eq!(bytes[place..place + 2], [0, 2], "how far it is ahead");

    for distance in [0, u16::MAX] {
        let mut moved = bytes.clone();
        moved[place..place + 2].copy_from_slice(&distance.to_be_bytes());
        let refused = Sessions::<u32>::decode(&moved, Index(4)).err();
        let out = SessionsError::Invalid("a reply is out of its place");
        assert_eq!(refused, Some(out), "{distance}");
    }
}

fn sample() -> Sessions<u32> {
    let mut sessions = Sessions::default();
    let first = sessions.register(at(1, 5), 77);
    let second = sessions.register(at(2, 6), 78);
    execute(&mut sessions, at(3, 7), command(first, 2, 0), 20).unwrap();
    execute(&mut sessions, at(4, 8), command(second, 9, 8), 90).unwrap();
    sessions
}

#[test]
fn a_table_that_went_through_a_snapshot_answers_as_before() {
    let bytes = sample().encode();

    let mut restored = Sessions::<u32>::decode(&bytes, Index(4)).unwrap();

    assert_eq!(restored.encode(), bytes);
    assert_eq!(restored.find(0..=u128::MAX), Some((78, Index(2))));
    let Ok(again) = restored.execute(at(5, 9), &command(Index(1), 2, 0), must_not_apply);
    assert_eq!(again, Outcome::Done(Cow::Borrowed(&20)));
    assert_eq!(
        execute(&mut restored, at(6, 9), command(Index(1), 1, 0), 10),
        Ok(10)
    );
    assert_eq!(
        execute(&mut restored, at(7, 9), command(Index(2), 8, 0), 80),
        Err(Outcome::Acknowledged)
    );
}

#[test]
fn a_table_cut_off_anywhere_is_refused() {
    let bytes = sample().encode();

    for length in 0..bytes.len() {
        assert!(
            Sessions::<u32>::decode(&bytes[..length], Index(4)).is_err(),
            "cut to {length} bytes"
        );
    }
}

/// A reply of a later version, in which a second variant was added, or of a type that does not decode.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Later {
    Number(u32),
    Word(String),
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Earlier {
    Number(u32),
}

#[test]
fn a_reply_that_does_not_decode_costs_its_caller_the_reply_alone() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 5), 77);
    execute(
        &mut sessions,
        at(2, 6),
        command(session, 1, 0),
        Later::Word("hill".into()),
    )
    .unwrap();
    execute(
        &mut sessions,
        at(3, 7),
        command(session, 2, 0),
        Later::Number(7),
    )
    .unwrap();
    let bytes = sessions.encode();

    let mut earlier = Sessions::<Earlier>::decode(&bytes, Index(3)).unwrap();

    assert_eq!(earlier.encode(), bytes, "what is not understood is kept");
    assert_eq!(earlier.reply_bytes(), sessions.reply_bytes());
    let again = |sequence| command(session, sequence, 0);
    let apply = || -> Result<Earlier, Infallible> { panic!("a second copy was applied") };
    let first = earlier.execute(at(4, 8), &again(1), apply);
    assert_eq!(first, Ok(Outcome::Unreadable));
    let second = earlier.execute(at(5, 9), &again(2), apply);
    assert_eq!(second, Ok(Outcome::Done(Cow::Owned(Earlier::Number(7)))));
}

/// A reply that has no encoding at all.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Mute(u32);

impl Serialize for Mute {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it says nothing"))
    }
}

#[test]
fn a_reply_that_does_not_encode_hinders_no_snapshot() {
    let mut sessions = Sessions::default();
    let session = sessions.register(at(1, 5), 77);
    let header = command(session, 1, 0);
    let reply = execute(&mut sessions, at(2, 6), header, Mute(7));

    let mut restored = Sessions::<Mute>::decode(&sessions.encode(), Index(2)).unwrap();

    assert_eq!(reply, Ok(Mute(7)));
    assert_eq!(restored.reply_bytes(), sessions.reply_bytes());
    let again = execute(&mut restored, at(3, 7), header, Mute(8));
    assert_eq!(again, Err(Outcome::Unreadable));
}

#[test]
fn a_table_with_something_behind_it_or_of_another_version_is_refused() {
    let mut longer = sample().encode();
    longer.push(0);
    let mut later = sample().encode();
    later[0] = 4;

    assert!(matches!(
        Sessions::<u32>::decode(&longer, Index(4)),
        Err(SessionsError::Invalid(_))
    ));
    assert_eq!(
        Sessions::<u32>::decode(&later, Index(4)).err(),
        Some(SessionsError::UnknownVersion(4))
    );
}

#[test]
fn a_table_that_claims_too_much_is_refused_before_it_is_believed() {
    let counts = [&[3][..], &u32::MAX.to_be_bytes()].concat();

    assert!(matches!(
        Sessions::<u32>::decode(&counts, Index(4)),
        Err(SessionsError::Invalid(_))
    ));
}

#[test]
fn a_table_from_after_its_snapshot_is_refused() {
    let bytes = sample().encode();

    assert!(matches!(
        Sessions::<u32>::decode(&bytes, Index(3)),
        Err(SessionsError::Invalid(_))
    ));
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_table_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Sessions::<u32>::decode(&bytes, Index(u64::MAX));
            let _ = Envelope::decode(&bytes);
        }

        #[test]
        fn a_damaged_table_is_refused_or_still_makes_sense(place in 0usize..100, bits: u8) {
            let mut bytes = sample().encode();
            let place = place % bytes.len();
            bytes[place] ^= bits;

            if let Ok(mut table) = Sessions::<u32>::decode(&bytes, Index(1 << 60)) {
                table.register(at(u64::MAX, u64::MAX), 1);
                for sequence in [1, 2, 9, u64::MAX] {
                    let _ = execute(&mut table, at(u64::MAX, 0), command(Index(1), sequence, sequence - 1), 0);
                }
            }
        }
    }
}
