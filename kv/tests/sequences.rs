//! Sequences: the four rules of `seqAppend` in "Raft over WebRTC", §3.5, and what they are good for.

mod common;

use common::Member;
use liferaft_kv::limits::SEQUENCE_VALUES_MAX;
use liferaft_kv::{
    ChangeKind, Command, Count, Done, Found, Keys, Kind, Polled, Query, Refused, Revision,
    SeqAppend, Step, TrimBefore, Txn, WatchEvent, Watcher,
};
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

#[track_caller]
fn trim(member: &mut Member, key: &'static str, count: Count) -> TrimBefore {
    let key = key.into();
    match member.apply(Command::TrimBefore { key, count }) {
        Ok(Done::TrimBefore(outcome)) => outcome,
        other => panic!("not an outcome of trim_before: {other:?}"),
    }
}

/// A sequence of four values, with its counter.
fn member_with_four() -> (Member, Count) {
    let mut member = Member::default();
    for value in ["a", "b", "c", "d"] {
        member.append("s", value).expect("there is room");
    }
    let count = member.sequence("s").count;
    (member, count)
}

#[test]
fn a_trimmed_sequence_keeps_its_places_and_its_counter() {
    let (mut member, count) = member_with_four();

    let outcome = trim(&mut member, "s", count.less(1));
    let left = member.sequence("s");
    let appended = member.append("s", "e");
    let next = member.seq_append("s", member.sequence("s").count, "f");

    assert_eq!(
        outcome,
        TrimBefore {
            trimmed: 3,
            first: 3,
            count
        }
    );
    assert_eq!(
        (left.values, left.from, left.count),
        (vec!["d".into()], 3, count)
    );
    assert_eq!(appended, Ok(Done::Append(4)));
    assert!(next.succeeded);
    assert_eq!(member.sequence("s").values, ["d", "e", "f"]);
}

#[test]
fn a_sequence_trimmed_of_all_its_values_goes_on() {
    let (mut member, count) = member_with_four();

    let outcome = trim(&mut member, "s", count);
    let empty = member.sequence("s");
    let afresh = member.seq_append("s", Count::ZERO, "x");
    let goes_on = member.seq_append("s", count, "e");

    assert_eq!((outcome.trimmed, outcome.first), (4, 4));
    assert_eq!((empty.values.len(), empty.count), (0, count));
    assert_eq!([afresh.succeeded, goes_on.succeeded], [false, true]);
    assert_eq!(goes_on.count.incarnation(), count.incarnation());
    assert_eq!(
        (member.sequence("s").values, member.sequence("s").from),
        (vec!["e".into()], 4)
    );
}

#[test]
fn a_count_of_another_life_or_of_the_future_trims_nothing() {
    let (mut member, count) = member_with_four();
    let before = member.everything();

    let ahead = trim(&mut member, "s", "5@1".parse().expect("a count"));
    let other = trim(&mut member, "s", "4@2".parse().expect("a count"));
    let nothing = trim(&mut member, "s", Count::ZERO);
    let absent = trim(&mut member, "none", count);

    let kept = TrimBefore {
        trimmed: 0,
        first: 0,
        count,
    };
    let count = Count::ZERO;
    assert_eq!([ahead, other, nothing], [kept; 3]);
    assert_eq!(absent, TrimBefore { count, ..kept });
    assert_eq!(member.everything(), before);
}

#[test]
fn trimming_again_does_no_harm_and_changes_nothing() {
    let (mut member, count) = member_with_four();
    let first = trim(&mut member, "s", count.less(2));
    let before = member.everything();

    let again = [count.less(2), count.less(3)].map(|count| trim(&mut member, "s", count));

    let kept = TrimBefore {
        trimmed: 0,
        ..first
    };
    assert_eq!(again, [kept; 2]);
    assert_eq!(member.everything(), before);
}

#[test]
fn a_value_cannot_be_trimmed() {
    let mut member = Member::default();
    member.set("k", "v").expect("there is room");

    let refused = member.apply(Command::TrimBefore {
        key: "k".into(),
        count: "1@1".parse().expect("a count"),
    });

    let is = Kind::Value;
    let key = "k".into();
    assert_eq!(refused, Err(Refused::WrongKind { key, is }));
}

#[test]
fn trimming_gives_back_what_the_values_weighed() {
    let (mut member, count) = member_with_four();
    let mut one = Member::default();
    one.append("s", "d").expect("there is room");

    trim(&mut member, "s", count.less(1));

    assert_eq!(member.kv.weight(), one.kv.weight());
}

#[test]
fn watches_are_told_what_is_trimmed() {
    let (mut member, count) = member_with_four();
    let before = member.everything();
    let mut watcher = Watcher::new(Keys::one("s"), Some(Revision(5)));

    trim(&mut member, "s", count.less(2));
    let answer = member.kv.query(watcher.query());
    watcher.answered(answer).expect("the history reaches back");

    let Polled::Event(WatchEvent::Changes(changes)) = watcher.poll(None) else {
        panic!("the sequence was trimmed");
    };
    let kinds: Vec<_> = changes.iter().map(|change| change.kind().clone()).collect();
    assert_eq!(kinds, [ChangeKind::Trimmed { first: 2, count }]);
    let past = liferaft_kv::Scan::of(Keys::all()).at(Revision(4));
    assert_eq!(member.scan(past), Ok(before));
}

#[test]
fn a_trimmed_journal_outgrows_the_bound_of_a_sequence() {
    let mut member = Member::default();
    let steps = 128;
    let batch = || Command::Batch(vec![Step::append("s", "x"); steps]);
    for _ in 0..SEQUENCE_VALUES_MAX / steps as u64 {
        assert!(member.apply(batch()).is_ok());
    }
    let full = member.append("s", "one more");

    let count = member.sequence("s").count;
    let trimmed = member.txn(Txn::always().then([
        Step::trim_before("s", count.less(1)),
        Step::append("s", "one more"),
    ]));

    assert_eq!(full, Err(Refused::SequenceFull { key: "s".into() }));
    assert!(trimmed.succeeded);
    assert_eq!(member.sequence("s").values, ["x", "one more"]);
    assert_eq!(member.sequence("s").count.len(), SEQUENCE_VALUES_MAX + 1);
    let restored = member.restored();
    assert!(restored.kv == member.kv);
    assert_eq!(restored.sequence("s"), member.sequence("s"));
}
