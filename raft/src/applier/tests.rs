use alloc::vec;
use core::time::Duration;

use super::*;
use crate::configuration::Configuration;
use crate::ids::{LogPosition, Term};
use crate::message::SnapshotMetadata;
use crate::sessions::{
    CommandHeader, HEADER_BYTES, SESSION_EXPIRY, join_snapshot, ordered_registration, registration,
};
use crate::state_machine::{Capture, RestoreError};

/// Remembers every command, and answers how many there are.
#[derive(Debug, Default)]
struct Log(Vec<u64>);

impl StateMachine for Log {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, _: ApplyContext, command: u64) -> u64 {
        self.0.push(command);
        self.0.len() as u64
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self) -> impl Capture {
        let state = self.0.clone();
        move || postcard::to_allocvec(&state).expect("numbers can be serialised")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.0 = postcard::from_bytes(state).map_err(RestoreError::new)?;
        Ok(())
    }
}

const BOOT: u64 = 7;
const OWN_NONCE: u128 = (BOOT as u128) << 64 | 1;

fn applier() -> Applier<Log> {
    Applier::new(Log::default(), BOOT)
}

fn entry(index: u64, payload: Payload) -> Entry {
    Entry {
        index: Index(index),
        term: Term(1),
        stamp: ClusterTime(0),
        payload,
    }
}

fn register(index: u64, nonce: u128) -> Entry {
    entry(index, Payload::Command(Bytes::from(registration(nonce))))
}

fn register_ordered(index: u64, nonce: u128) -> Entry {
    entry(
        index,
        Payload::Command(Bytes::from(ordered_registration(nonce))),
    )
}

fn command(index: u64, session: u64, sequence: u64, number: u64) -> Entry {
    let mut bytes = vec![0; HEADER_BYTES];
    let header = CommandHeader {
        session: Index(session),
        sequence,
        acknowledged_through: 0,
    };
    header.write_to(&mut bytes);
    let bytes = postcard::to_extend(&number, bytes).unwrap();
    entry(index, Payload::Command(Bytes::from(bytes)))
}

/// The same entry, appended after every session that was used before it has expired.
fn after_expiry(entry: Entry) -> Entry {
    let stamp = ClusterTime(0) + SESSION_EXPIRY + Duration::from_millis(1);
    Entry { stamp, ..entry }
}

fn apply(applier: &mut Applier<Log>, entries: &[Entry]) -> Result<Vec<Own<u64>>, MachineFault> {
    let mut own = Vec::new();
    entries
        .iter()
        .try_for_each(|entry| applier.apply(entry, false, &mut own))?;
    Ok(own)
}

/// Replies only, as `(sequence, reply)`.
fn replies(own: &[Own<u64>]) -> Vec<(u64, u64)> {
    own.iter()
        .filter_map(|own| match own {
            Own::Reply {
                sequence, reply, ..
            } => reply.map(|reply| (*sequence, reply)),
            Own::Registered { .. }
            | Own::Expired { .. }
            | Own::Early { .. }
            | Own::Acknowledged { .. }
            | Own::Told { .. } => None,
        })
        .collect()
}

fn captured(applier: &Applier<Log>) -> (SnapshotMetadata, Vec<u8>) {
    let data = join_snapshot(&applier.sessions, applier.machine.snapshot()).unwrap();
    let metadata = SnapshotMetadata {
        last: LogPosition::new(Term(1), applier.applied),
        stamp: ClusterTime(0),
        configuration: Configuration::default().into(),
        configuration_index: Index(0),
        length: data.len() as u64,
        digest: crc32fast::hash(&data),
    };
    (metadata, data)
}

/// Restores a snapshot from its bytes, which come in pieces.
fn restored(
    applier: Applier<Log>,
    snapshot: &SnapshotMetadata,
    state: &[u8],
) -> Result<Applier<Log>, Unrestored> {
    let pieces = state.chunks(5);
    let restoring = pieces.fold(applier.restoring(), |restoring, piece| restoring.and(piece));
    restoring.finish(snapshot)
}

#[test]
fn a_command_is_applied_once_and_each_copy_gets_the_same_reply() {
    let mut applier = applier();

    let own = apply(
        &mut applier,
        &[
            register(1, OWN_NONCE),
            command(2, 1, 1, 10),
            command(3, 1, 1, 10),
            command(4, 1, 2, 20),
        ],
    )
    .unwrap();

    assert_eq!(applier.machine.0, [10, 20]);
    assert_eq!(replies(&own), [(1, 1), (1, 1), (2, 2)]);
}

#[test]
fn other_members_sessions_are_applied_without_a_word() {
    let mut applier = applier();

    let own = apply(&mut applier, &[register(1, 5), command(2, 1, 1, 10)]).unwrap();

    assert_eq!(applier.machine.0, [10]);
    assert!(own.is_empty());
}

#[test]
fn noops_and_configurations_only_advance_the_index() {
    let mut applier = applier();

    let configuration = Payload::Configuration(Configuration::default().into());
    let own = apply(
        &mut applier,
        &[entry(1, Payload::Noop), entry(2, configuration)],
    )
    .unwrap();

    assert_eq!(applier.applied, Index(2));
    assert!(own.is_empty() && applier.machine.0.is_empty());
}

#[test]
fn entries_that_are_applied_already_are_passed_over() {
    let mut applier = applier();
    apply(&mut applier, &[register(1, 5), command(2, 1, 1, 10)]).unwrap();

    apply(&mut applier, &[command(2, 1, 2, 99), command(3, 1, 2, 20)]).unwrap();

    assert_eq!(applier.machine.0, [10, 20]);
}

#[test]
fn what_no_version_of_this_state_machine_said_stops_the_member() {
    let unknown_kind = entry(1, Payload::Command(Bytes::from_static(&[9])));
    let mut cut_off = vec![0; HEADER_BYTES];
    CommandHeader {
        session: Index(1),
        sequence: 1,
        acknowledged_through: 0,
    }
    .write_to(&mut cut_off);
    let no_command = entry(2, Payload::Command(Bytes::from(cut_off)));

    let unknown = apply(&mut applier(), &[unknown_kind]);
    let malformed = apply(&mut applier(), &[register(1, 5), no_command]);

    let at = |outcome: Result<_, MachineFault>| match outcome {
        Err(MachineFault::Undecodable {
            index, type_name, ..
        }) => (index, type_name),
        other => panic!("{other:?}"),
    };
    assert_eq!(at(malformed), (Index(2), "u64"));
    assert_eq!(at(unknown).0, Index(1));
}

#[test]
fn a_snapshot_carries_state_and_sessions_to_another_member() {
    let mut first = applier();
    apply(&mut first, &[register(1, 5), command(2, 1, 1, 10)]).unwrap();

    let (snapshot, state) = captured(&first);
    let mut second = restored(applier(), &snapshot, &state).unwrap();
    apply(&mut second, &[command(3, 1, 1, 10), command(4, 1, 2, 20)]).unwrap();

    assert_eq!(second.machine.0, [10, 20]);
    assert_eq!(second.applied, Index(4));
}

#[test]
fn a_member_finds_its_session_and_its_replies_in_a_snapshot() {
    let mut other = Applier::new(Log::default(), 99);
    apply(&mut other, &[register(1, OWN_NONCE), command(2, 1, 1, 10)]).unwrap();

    let (snapshot, state) = captured(&other);
    let restored = restored(applier(), &snapshot, &state).unwrap();
    let known = restored.known();

    let session = Some((OWN_NONCE, Index(1)));
    assert_eq!((restored.applied(), known.session), (Index(2), session));
    assert!(known.ordered.is_empty());
    assert_eq!(replies(&known.replies), [(1, 1)]);
}

// The network kept a copy of the first registration until the session that it had opened was over and the member had
// opened another. The copy opens a third. Were it taken for the member's own, no command of the second would ever be
// reported, and each caller would be told that the outcome is unknown although all are done.
#[test]
fn a_late_copy_of_an_old_registration_takes_over_nothing() {
    let mut applier = applier();

    let own = apply(
        &mut applier,
        &[
            register(1, OWN_NONCE),
            after_expiry(register(2, OWN_NONCE + 1)),
            after_expiry(register(3, OWN_NONCE)),
            after_expiry(command(4, 2, 1, 10)),
        ],
    )
    .unwrap();

    assert_eq!(replies(&own), [(1, 1)]);
    assert_eq!(own.len(), 3, "the late copy is not reported: {own:?}");
}

#[test]
fn a_copy_that_opens_the_own_session_again_is_reported() {
    let mut applier = applier();

    let own = apply(
        &mut applier,
        &[register(1, OWN_NONCE), after_expiry(register(2, OWN_NONCE))],
    )
    .unwrap();

    assert!(
        matches!(
            own[..],
            [
                Own::Registered {
                    session: Index(1),
                    ..
                },
                Own::Registered {
                    session: Index(2),
                    ..
                }
            ]
        ),
        "{own:?}"
    );
}

#[test]
fn a_restored_member_goes_on_with_its_newest_nonce() {
    let mut other = Applier::new(Log::default(), 99);
    apply(
        &mut other,
        &[
            register(1, OWN_NONCE),
            after_expiry(register(2, OWN_NONCE + 1)),
            after_expiry(register(3, OWN_NONCE)),
            after_expiry(command(4, 2, 1, 10)),
        ],
    )
    .unwrap();

    let (snapshot, state) = captured(&other);
    let restored = restored(applier(), &snapshot, &state).unwrap();
    let known = restored.known();

    assert_eq!(known.session, Some((OWN_NONCE + 1, Index(2))));
    assert_eq!(replies(&known.replies), [(1, 1)]);
}

#[test]
fn a_watched_ordered_session_is_told_what_came_before_its_turn() {
    let mut applier = applier();
    applier.ordered.insert(5, None);

    let own = apply(
        &mut applier,
        &[
            register_ordered(1, 5),
            command(2, 1, 2, 20),
            command(3, 1, 1, 10),
            command(4, 1, 2, 20),
        ],
    )
    .unwrap();

    assert_eq!(applier.machine.0, [10, 20]);
    assert_eq!(replies(&own), [(1, 1), (2, 2)]);
    assert!(matches!(
        own[..2],
        [
            Own::Registered {
                nonce: 5,
                session: Index(1),
                at: Index(1)
            },
            Own::Early {
                session: Index(1),
                sequence: 2
            }
        ]
    ));
}

#[test]
fn a_snapshot_says_which_watched_ordered_sessions_it_knows() {
    let mut other = applier();
    apply(&mut other, &[register_ordered(1, 5), command(2, 1, 1, 10)]).unwrap();
    let mut applier = applier();
    applier.ordered.insert(5, None);
    applier.ordered.insert(6, Some(Index(1)));

    let (snapshot, state) = captured(&other);
    let restored = restored(applier, &snapshot, &state).unwrap();
    let known = restored.known();

    assert_eq!(known.ordered, [(5, Some(Index(1))), (6, None)]);
    assert_eq!(replies(&known.replies), [(1, 1)]);
}

#[test]
fn a_snapshot_that_is_none_is_refused() {
    let state = [1, 0, 0];
    let (mut snapshot, _) = captured(&applier());
    snapshot.last.index = Index(9);
    snapshot.digest = crc32fast::hash(&state);

    let refused = restored(applier(), &snapshot, &state);

    match refused {
        Err(Unrestored::Refused(error)) => {
            assert!(error.to_string().contains("cut off"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_snapshot_of_another_digest_is_damaged_and_not_restored() {
    let mut other = applier();
    apply(&mut other, &[register(1, 5), command(2, 1, 1, 10)]).unwrap();
    let (mut snapshot, state) = captured(&other);
    snapshot.digest ^= 1;
    let cut_off = &state[..3];

    for bytes in [&state[..], cut_off] {
        let refused = restored(applier(), &snapshot, bytes);

        let is_damaged = matches!(refused, Err(Unrestored::Damaged(_)));
        assert!(is_damaged, "{refused:?}");
    }
}
