//! Deleting a prefix or a range of keys: at one revision, within bounds, told to watches.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use bytes::Bytes;
use cluster::Cluster;
use common::Member;
use liferaft_kv::limits::{DELETE_BYTES_MAX, DELETE_KEYS_MAX, STEPS_MAX, VALUE_BYTES_MAX};
use liferaft_kv::{
    ChangeKind, Command, Compare, DeleteKeys, Done, Keys, KvError, Polled, Refused, Revision, Scan,
    Step, StepDone, Txn, WatchEvent, Watcher,
};
use liferaft_raft::state_machine::StateMachine;

#[track_caller]
fn delete(member: &mut Member, keys: Keys) -> DeleteKeys {
    match member.apply(Command::DeleteKeys(keys)) {
        Ok(Done::DeleteKeys(outcome)) => outcome,
        other => panic!("not an outcome of delete_keys: {other:?}"),
    }
}

fn with_keys(keys: impl IntoIterator<Item = &'static str>) -> Member {
    let mut member = Member::default();
    for key in keys {
        member.set(key, "v").expect("there is room");
    }
    member
}

/// Ascending keys under "k", in batches.
fn with_many_keys(count: usize) -> Member {
    let mut member = Member::default();
    let keys: Vec<_> = (0..count).collect();
    for some in keys.chunks(STEPS_MAX) {
        let steps = some.iter().map(|key| Step::set(format!("k{key:05}"), "v"));
        assert!(member.apply(Command::Batch(steps.collect())).is_ok());
    }
    member
}

fn left(member: &Member) -> Vec<Bytes> {
    let entries = member.everything().entries;
    entries.into_iter().map(|entry| entry.key).collect()
}

#[test]
fn a_prefix_a_range_or_one_key_is_deleted_and_nothing_beside_it() {
    let keys = ["a", "b/1", "b/2", "c"];
    let after = |deleted: Keys| {
        let mut member = with_keys(keys);
        let outcome = delete(&mut member, deleted);
        assert!(!outcome.more);
        (outcome.deleted, left(&member))
    };

    assert_eq!(after(Keys::prefix("b/")), (2, vec!["a".into(), "c".into()]));
    assert_eq!(after(Keys::range("b/2", "c")).1, ["a", "b/1", "c"]);
    assert_eq!(after(Keys::since("b/2")).1, ["a", "b/1"]);
    assert_eq!(after(Keys::one("c")).1, ["a", "b/1", "b/2"]);
    assert_eq!(
        after(Keys::range("c", "a")),
        (0, keys.map(Bytes::from).to_vec())
    );
    assert_eq!(after(Keys::all()), (4, vec![]));
}

#[test]
fn each_key_deleted_at_once_is_told_at_one_revision() {
    let mut member = with_keys(["a", "b/1", "b/2"]);
    member.append("b/3", "line").expect("there is room");
    let before = member.everything();
    let weight = with_keys(["a"]).kv.weight();
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(5)));

    let _ = delete(&mut member, Keys::prefix("b/"));
    let answer = member.kv.query(watcher.query());
    watcher.answered(answer).expect("the history reaches back");

    let Polled::Event(WatchEvent::Changes(changes)) = watcher.poll(None) else {
        panic!("keys were deleted");
    };
    let deleted: Vec<_> = changes.iter().map(|change| &change.key()[..]).collect();
    assert_eq!(deleted, [b"b/1", b"b/2", b"b/3"]);
    assert!(
        changes
            .iter()
            .all(|change| *change.kind() == ChangeKind::Deleted { ended: None })
    );
    assert_eq!(changes.revision(), Revision(5));
    assert_eq!(member.kv.weight(), weight);
    assert_eq!(
        member.scan(Scan::of(Keys::all()).at(Revision(4))),
        Ok(before)
    );
}

#[test]
fn deleting_nothing_makes_no_revision() {
    let mut member = with_keys(["a"]);

    let reply = member.reply(Command::DeleteKeys(Keys::prefix("b")));

    let nothing = DeleteKeys {
        deleted: 0,
        more: false,
    };
    assert_eq!(reply.outcome, Ok(Done::DeleteKeys(nothing)));
    assert_eq!(reply.revision, Revision(1));
}

#[test]
fn one_command_deletes_a_bounded_number_of_keys() {
    let mut member = with_many_keys(DELETE_KEYS_MAX + 1);

    let outcomes = [(); 3].map(|()| delete(&mut member, Keys::prefix("k")));

    let outcome = |deleted, more| DeleteKeys { deleted, more };
    let most = DELETE_KEYS_MAX as u64;
    assert_eq!(
        outcomes,
        [outcome(most, true), outcome(1, false), outcome(0, false)]
    );
}

#[test]
fn one_command_deletes_bounded_bytes_but_always_one_key() {
    let mut member = Member::default();
    for key in ["a", "b", "c"] {
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
        let key = key.into();
        assert!(member.apply(Command::Set { key, value }).is_ok());
    }
    for _ in 0..=DELETE_BYTES_MAX / VALUE_BYTES_MAX as u64 {
        let (key, value) = ("long".into(), vec![0; VALUE_BYTES_MAX].into());
        assert!(member.apply(Command::Append { key, value }).is_ok());
    }

    let outcomes = [(); 3].map(|()| delete(&mut member, Keys::all()));

    let deleted = outcomes.map(|outcome| (outcome.deleted, outcome.more));
    assert_eq!(deleted, [(2, true), (1, true), (1, false)]);
}

#[test]
fn a_transaction_sees_that_the_keys_of_a_prefix_are_gone() {
    let mut member = with_keys(["a", "b/1", "b/2"]);

    let done = member.txn(Txn::when([Compare::exists("a")]).then([
        Step::delete_keys(Keys::prefix("b/")),
        Step::scan(Scan::of(Keys::all()).count_only()),
        Step::set("b/3", "v"),
        Step::delete_keys(Keys::prefix("b/")),
    ]));

    assert_eq!(done.steps[0], StepDone::DeletedKeys(2));
    assert_eq!(done.page(1).map(|page| page.count), Some(1));
    assert_eq!(done.steps[3], StepDone::DeletedKeys(1));
    assert_eq!(left(&member), ["a"]);
}

#[test]
fn steps_share_the_bound_on_deletions_or_are_refused() {
    let mut member = with_many_keys(DELETE_KEYS_MAX + 1);
    let before = member.everything();
    let halves = || {
        let half = [Keys::range("k", "k00512"), Keys::since("k00512")];
        half.map(Step::delete_keys)
    };

    let txn = member.apply(Command::Txn(Txn::always().then(halves())));
    let untouched = member.everything();
    let batch = member.apply(Command::Batch(halves().into()));

    assert_eq!(txn, Err(Refused::TooMuchDeleted));
    assert_eq!(untouched, before);
    let outcomes = vec![Ok(StepDone::DeletedKeys(512)), Err(Refused::TooMuchDeleted)];
    assert_eq!(batch, Ok(Done::Batch(outcomes)));
    assert_eq!(member.kv.len(), DELETE_KEYS_MAX + 1 - 512);
}

#[test]
fn keys_deleted_with_others_leave_their_lease() {
    let mut member = Member::default();
    let Ok(Done::GrantLease(lease)) = member.apply(Command::GrantLease { ttl_ms: 500 }) else {
        panic!("there is room");
    };
    let steps = vec![Step::set_with_lease("k", "v", lease)];
    assert!(member.apply(Command::Batch(steps)).is_ok());

    let _ = delete(&mut member, Keys::all());
    member.set("k", "again").expect("there is room");
    member.advance_at(500);

    assert_eq!(left(&member), ["k"]);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_is_deleted_through_any_member() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    ada.batch(["a", "b/1", "b/2"].map(|key| Step::set(key, "v")))
        .await?;

    let deleted = bob.delete_keys(Keys::prefix("b/")).await?;
    let left = ada.scan(Scan::of(Keys::all()).count_only()).await?;

    assert_eq!((deleted.deleted, deleted.more, left.count), (2, false, 1));
    assert_eq!(left.revision, deleted.revision);
    Ok(())
}
