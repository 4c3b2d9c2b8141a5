//! Values, keys, and what happens where one kind of key is taken for the other.

mod common;

use bytes::Bytes;
use common::Member;
use liferaft_kv::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use liferaft_kv::{Command, CompareAndSet, Count, Done, Found, Kind, Query, Refused};
use liferaft_raft::state_machine::StateMachine;

fn value(value: &'static str) -> Result<Found, Refused> {
    Ok(Found::Value(Some(value.into())))
}

const ABSENT: Result<Found, Refused> = Ok(Found::Value(None));

#[test]
fn a_value_is_what_was_set_last() {
    let mut member = Member::default();

    let replies = [member.set("k", "1"), member.set("k", "2")];

    assert_eq!(replies, [Ok(Done::Set), Ok(Done::Set)]);
    assert_eq!(member.get("k"), value("2"));
    assert_eq!(member.get("other"), ABSENT);
}

#[test]
fn an_empty_value_exists() {
    let mut member = Member::default();

    member.set("k", "").expect("an empty value is a value");

    assert_eq!(member.get("k"), value(""));
    assert_eq!(member.delete("k"), Ok(Done::Delete(true)));
}

#[test]
fn deleting_tells_whether_the_key_existed() {
    let mut member = Member::default();
    member.set("k", "v").expect("there is room");
    member.append("s", "v").expect("there is room");

    assert_eq!(member.delete("k"), Ok(Done::Delete(true)));
    assert_eq!(member.delete("k"), Ok(Done::Delete(false)));
    assert_eq!(
        member.delete("s"),
        Ok(Done::Delete(true)),
        "a sequence is deleted as a whole"
    );
    assert!(member.kv.is_empty());
}

#[test]
fn comparing_and_setting_replaces_only_what_was_expected() {
    let mut member = Member::default();
    member.set("k", "1").expect("there is room");

    let refused = member.compare_and_set("k", Some("2"), Some("3"));
    let absent = member.compare_and_set("k", None, Some("3"));
    let unchanged = member.get("k");
    let done = member.compare_and_set("k", Some("1"), Some("2"));

    let different = CompareAndSet::Different {
        current: Some("1".into()),
    };
    assert_eq!(refused, Ok(Done::CompareAndSet(different.clone())));
    assert_eq!(absent, Ok(Done::CompareAndSet(different)));
    assert_eq!(unchanged, value("1"));
    assert_eq!(done, Ok(Done::CompareAndSet(CompareAndSet::Set)));
    assert_eq!(member.get("k"), value("2"));
}

#[test]
fn comparing_and_setting_makes_and_removes_keys() {
    let mut member = Member::default();

    let missing = member.compare_and_set("k", Some("1"), Some("2"));
    let made = member.compare_and_set("k", None, Some("1"));
    let removed = member.compare_and_set("k", Some("1"), None);
    let nothing = member.compare_and_set("k", None, None);

    let set = Ok(Done::CompareAndSet(CompareAndSet::Set));
    assert_eq!(
        missing,
        Ok(Done::CompareAndSet(CompareAndSet::Different {
            current: None
        }))
    );
    assert_eq!([made, removed, nothing], [set.clone(), set.clone(), set]);
    assert_eq!(member.get("k"), ABSENT);
}

#[test]
fn what_is_for_values_is_refused_on_a_sequence_and_changes_nothing() {
    let mut member = Member::default();
    member.append("s", "line").expect("there is room");
    let before = member.everything();
    let refused = Err(Refused::WrongKind {
        key: "s".into(),
        is: Kind::Sequence,
    });

    let replies = [
        member.set("s", "v"),
        member.compare_and_set("s", None, Some("v")),
        member.compare_and_set("s", Some("line"), None),
    ];

    assert_eq!(replies, [refused.clone(), refused.clone(), refused]);
    assert_eq!(
        member.get("s"),
        Err(Refused::WrongKind {
            key: "s".into(),
            is: Kind::Sequence
        })
    );
    assert_eq!(member.everything(), before);
}

#[test]
fn what_is_for_sequences_is_refused_on_a_value_and_changes_nothing() {
    let mut member = Member::default();
    member.set("k", "v").expect("there is room");
    let before = member.everything();
    let refused = Err(Refused::WrongKind {
        key: "k".into(),
        is: Kind::Value,
    });

    let appended = member.append("k", "line");
    let compared = member.apply(Command::SeqAppend {
        key: "k".into(),
        count: Count::ZERO,
        value: "line".into(),
    });
    let read = member.kv.query(Query::ReadSequence {
        key: "k".into(),
        from: 0,
        limit: 1,
    });

    assert_eq!([appended, compared], [refused.clone(), refused]);
    assert_eq!(
        read.outcome,
        Err(Refused::WrongKind {
            key: "k".into(),
            is: Kind::Value
        })
    );
    assert_eq!(member.everything(), before);
}

#[test]
fn keys_and_values_at_their_limits_are_taken_and_those_beyond_refused_by_apply() {
    let mut member = Member::default();
    let bytes = |len| Bytes::from(vec![b'x'; len]);
    let mut set = |key, value| {
        member.apply(Command::Set {
            key: bytes(key),
            value: bytes(value),
        })
    };

    assert_eq!(set(0, 1), Err(Refused::KeyEmpty));
    assert_eq!(set(1, 0), Ok(Done::Set));
    assert_eq!(set(KEY_BYTES_MAX, VALUE_BYTES_MAX), Ok(Done::Set));
    assert_eq!(
        set(KEY_BYTES_MAX + 1, 1),
        Err(Refused::KeyTooLong { bytes: 1025 })
    );
    assert_eq!(
        set(1, VALUE_BYTES_MAX + 1),
        Err(Refused::ValueTooLong { bytes: 522_241 })
    );
    assert_eq!(member.kv.len(), 2);
}

#[test]
fn a_refusal_reads_well_and_escapes_the_key() {
    let refused = Refused::WrongKind {
        key: Bytes::from_static(b"a\n\xff"),
        is: Kind::Sequence,
    };
    let long = Refused::SequenceFull {
        key: Bytes::from(vec![b'x'; 65]),
    };

    assert_eq!(refused.to_string(), r#"the key "a\n\xff" holds a sequence"#);
    assert!(long.to_string().contains("xxx…\""), "{long}");
}
