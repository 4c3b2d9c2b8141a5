//! Sequences: the four rules of `seqAppend` in "Raft over WebRTC", §3.5, and what they are good for.

mod common;

use common::Member;
use liferaft_kv::{Command, Count, Done, Found, Query, Refused, SeqAppend};
use liferaft_raft::state_machine::StateMachine;

#[test]
fn rule_1_a_sequence_keeps_its_values_in_order_with_a_counter_of_them() {
    let mut member = Member::default();

    let first = member.seq_append("s", Count::ZERO, "a");
    let second = member.seq_append("s", first.count, "b");

    let sequence = member.sequence("s");
    assert_eq!(sequence.values, ["a", "b"]);
    assert_eq!(sequence.count, second.count);
    assert_eq!(sequence.count.len(), 2);
}

#[test]
fn rule_2_a_value_is_appended_only_if_the_count_is_the_counter() {
    let mut member = Member::default();
    let first = member.seq_append("s", Count::ZERO, "a");
    let second = member.seq_append("s", first.count, "b");
    let before = member.everything();

    let too_low = member.seq_append("s", first.count, "c");
    let zero = member.seq_append("s", Count::ZERO, "c");
    let too_high = member.seq_append("s", "3@1".parse().expect("a count"), "c");

    assert_eq!([first.succeeded, second.succeeded], [true, true]);
    let failed = SeqAppend {
        succeeded: false,
        count: second.count,
    };
    assert_eq!([too_low, zero, too_high], [failed; 3]);
    assert_eq!(
        member.everything(),
        before,
        "a failed append changes nothing"
    );
}

#[test]
fn rule_3_the_first_append_makes_the_sequence_and_its_count_must_be_zero() {
    let mut member = Member::default();

    let early = member.seq_append("s", "1@1".parse().expect("a count"), "a");
    let untouched = member.everything();
    let first = member.seq_append("s", Count::ZERO, "a");

    assert_eq!(
        early,
        SeqAppend {
            succeeded: false,
            count: Count::ZERO
        }
    );
    assert_eq!(
        untouched,
        Member::default().everything(),
        "nothing is made by a failed append"
    );
    assert!(first.succeeded);
    assert_eq!(first.count.len(), 1);
    assert_eq!(member.sequence("s").values, ["a"]);
}

#[test]
fn rule_4_the_counter_comes_back_either_way_and_a_retry_with_it_succeeds() {
    let mut member = Member::default();
    member.append("s", "theirs").expect("there is room");

    let failed = member.seq_append("s", Count::ZERO, "mine");
    let retried = member.seq_append("s", failed.count, "mine");

    assert!(!failed.succeeded);
    assert!(retried.succeeded);
    assert_eq!(member.sequence("s").count, retried.count);
    assert_eq!(member.sequence("s").values, ["theirs", "mine"]);
}

#[test]
fn a_retry_after_a_lost_reply_does_not_append_twice() {
    let mut member = Member::default();

    let lost = member.seq_append("s", Count::ZERO, "line");
    let retried = member.seq_append("s", Count::ZERO, "line");

    assert!(lost.succeeded);
    assert_eq!(
        retried,
        SeqAppend {
            succeeded: false,
            count: lost.count
        }
    );
    assert_eq!(member.sequence("s").values, ["line"]);
}

#[test]
fn of_two_racing_appenders_one_succeeds_and_the_other_learns_the_counter() {
    let mut member = Member::default();
    let seen = member.seq_append("s", Count::ZERO, "start").count;

    let ada = member.seq_append("s", seen, "ada");
    let bob = member.seq_append("s", seen, "bob");
    let bob_again = member.seq_append("s", bob.count, "bob");

    assert!(ada.succeeded);
    assert_eq!(
        bob,
        SeqAppend {
            succeeded: false,
            count: ada.count
        }
    );
    assert!(bob_again.succeeded);
    assert_eq!(member.sequence("s").values, ["start", "ada", "bob"]);
}

#[test]
fn of_two_racing_first_appenders_one_makes_the_sequence() {
    let mut member = Member::default();

    let ada = member.seq_append("s", Count::ZERO, "ada");
    let bob = member.seq_append("s", Count::ZERO, "bob");

    assert!(ada.succeeded);
    assert_eq!(
        bob,
        SeqAppend {
            succeeded: false,
            count: ada.count
        }
    );
    assert_eq!(member.sequence("s").values, ["ada"]);
}

#[test]
fn a_sequence_made_again_does_not_accept_a_count_from_before() {
    let mut member = Member::default();
    let old = member.seq_append("s", Count::ZERO, "old").count;
    member.delete("s").expect("keys can be deleted");
    let new = member.seq_append("s", Count::ZERO, "new").count;

    let stale = member.seq_append("s", old, "stale");

    assert_eq!(old.len(), new.len(), "the bare numbers are equal");
    assert_eq!(
        stale,
        SeqAppend {
            succeeded: false,
            count: new
        }
    );
    assert_eq!(member.sequence("s").values, ["new"]);
}

#[test]
fn a_count_from_before_is_not_accepted_after_a_restored_snapshot_either() {
    let mut member = Member::default();
    let old = member.seq_append("s", Count::ZERO, "old").count;
    member.delete("s").expect("keys can be deleted");

    let mut restored = member.restored();
    let new = restored.seq_append("s", Count::ZERO, "new").count;

    assert_eq!(
        restored.seq_append("s", old, "stale"),
        SeqAppend {
            succeeded: false,
            count: new
        }
    );
}

#[test]
fn a_deleted_sequence_has_the_count_of_a_key_that_never_was() {
    let mut member = Member::default();
    let old = member.seq_append("s", Count::ZERO, "old").count;
    member.delete("s").expect("keys can be deleted");

    let stale = member.seq_append("s", old, "stale");
    let afresh = member.seq_append("s", Count::ZERO, "afresh");

    assert_eq!(
        stale,
        SeqAppend {
            succeeded: false,
            count: Count::ZERO
        }
    );
    assert!(afresh.succeeded);
}

#[test]
fn append_answers_with_the_place_at_which_the_value_can_be_read() {
    let mut member = Member::default();

    let places = ["a", "b", "c"].map(|value| member.append("s", value));

    assert_eq!(
        places,
        [
            Ok(Done::Append(0)),
            Ok(Done::Append(1)),
            Ok(Done::Append(2))
        ]
    );
    let Ok(Found::Sequence(part)) = member
        .kv
        .query(Query::ReadSequence {
            key: "s".into(),
            from: 1,
            limit: 1,
        })
        .outcome
    else {
        panic!("the key holds a sequence");
    };
    assert_eq!(part.values, ["b"]);
    assert_eq!(part.count.len(), 3);
}

#[test]
fn a_sequence_that_does_not_exist_reads_as_empty() {
    let member = Member::default();

    let sequence = member.sequence("s");

    assert!(sequence.values.is_empty());
    assert_eq!(sequence.count, Count::ZERO);
}

#[test]
fn a_value_that_is_too_long_is_refused_by_apply_whatever_the_count() {
    let mut member = Member::default();
    let value = vec![0; liferaft_kv::limits::VALUE_BYTES_MAX + 1];

    let reply = member.apply(Command::SeqAppend {
        key: "s".into(),
        count: Count::ZERO,
        value: value.into(),
    });

    assert_eq!(
        reply,
        Err(Refused::ValueTooLong {
            bytes: 510 * 1024 + 1
        })
    );
    assert!(member.kv.is_empty());
}
