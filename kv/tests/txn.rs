//! Transactions: all or nothing, at one revision, exactly once.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use bytes::Bytes;
use cluster::Cluster;
use common::Member;
use liferaft_kv::limits::{STEPS_MAX, VALUE_BYTES_MAX};
use liferaft_kv::{
    Command, Compare, Count, Keys, Kind, KvError, Order, Refused, Revision, Scan, Step, StepDone,
    Txn,
};

#[test]
fn the_first_branch_is_taken_if_all_conditions_hold_and_the_other_if_one_does_not() {
    let mut member = Member::default();
    assert!(member.set("a", "1").is_ok());
    let txn = |second| {
        Txn::when([Compare::value("a", "1"), second])
            .then([Step::set("b", "then")])
            .otherwise([Step::set("b", "otherwise"), Step::get("a")])
    };

    let then = member.txn(txn(Compare::absent("b")));
    let set = member.get("b");
    let otherwise = member.txn(txn(Compare::absent("b")));

    assert_eq!((then.succeeded, then.steps), (true, vec![StepDone::Set]));
    assert_eq!(set, Ok(liferaft_kv::Found::Value(Some("then".into()))));
    assert!(!otherwise.succeeded);
    let a = otherwise.entry(1).expect("it exists");
    assert_eq!(a.value(), Some(&Bytes::from("1")));
}

#[test]
fn every_condition_holds_when_it_says_so_and_only_then() {
    let mut member = Member::default();
    assert!(member.set("v", "1").is_ok() && member.set("v", "2").is_ok());
    assert!(member.append("s", "x").is_ok());
    let count = member.sequence("s").count;
    let entry = member.entry("v").expect("it exists");

    let holding = [
        Compare::value("v", "2"),
        Compare::exists("v"),
        Compare::exists("s"),
        Compare::absent("none"),
        Compare::unchanged(&entry),
        Compare::modified("v", Order::Less, Revision(3)),
        Compare::modified("none", Order::Equal, Revision::ZERO),
        Compare::created("v", Order::Equal, Revision(1)),
        Compare::version("v", Order::Greater, 1),
        Compare::count("s", count),
        Compare::count("none", Count::ZERO),
    ];
    let failing = [
        Compare::value("v", "1"),
        Compare::value("s", "x"),
        Compare::value("none", ""),
        Compare::exists("none"),
        Compare::absent("s"),
        Compare::modified("v", Order::Equal, Revision(1)),
        Compare::created("v", Order::Greater, Revision(1)),
        Compare::version("v", Order::Less, 2),
        Compare::count("s", Count::ZERO),
        Compare::count("v", Count::ZERO),
    ];

    for condition in holding {
        assert!(
            member.txn(Txn::when([condition.clone()])).succeeded,
            "{condition:?}"
        );
    }
    for condition in failing {
        assert!(
            !member.txn(Txn::when([condition.clone()])).succeeded,
            "{condition:?}"
        );
    }
}

#[test]
fn a_step_that_is_refused_undoes_the_steps_before_it() {
    let mut member = Member::default();
    assert!(member.set("v", "1").is_ok() && member.append("s", "x").is_ok());
    let before = member.scan(Keys::all());

    let refused = member.apply(Command::Txn(Txn::always().then([
        Step::set("v", "2"),
        Step::append("s", "y"),
        Step::append("made", "z"),
        Step::delete("v"),
        Step::set("s", "a value over a sequence"),
    ])));

    assert_eq!(
        refused,
        Err(Refused::WrongKind {
            key: "s".into(),
            is: Kind::Sequence
        })
    );
    assert_eq!(member.scan(Keys::all()), before);
    // Not even a sequence was counted.
    assert!(member.append("made", "z").is_ok());
    assert_eq!(member.sequence("made").count.incarnation(), 2);
}

#[test]
fn all_steps_happen_at_one_revision_and_see_the_steps_before_them() {
    let mut member = Member::default();

    let done = member.txn(Txn::always().then([
        Step::set("a", "1"),
        Step::get("a"),
        Step::append("s", "x"),
        Step::scan(Keys::all()),
        Step::delete("a"),
        Step::scan(Scan::of(Keys::all()).count_only()),
    ]));

    let entry = done.entry(1).expect("it was just made");
    assert_eq!(entry.meta.modified, Revision(1));
    let page = done.page(3).expect("it was read");
    assert_eq!(page.entries.len(), 2);
    assert!(
        page.entries
            .iter()
            .all(|entry| entry.meta.modified == Revision(1))
    );
    assert_eq!(done.page(5).map(|page| page.count), Some(1));
    assert_eq!(done.steps[4], StepDone::Deleted(true));
}

#[test]
fn a_page_read_between_changes_says_that_there_is_more() {
    let mut member = Member::default();
    assert!(member.set("a", "1").is_ok() && member.set("c", "1").is_ok());

    let done = member.txn(Txn::always().then([
        Step::set("b", "1"),
        Step::scan(Scan::of(Keys::all()).limit(2)),
        Step::scan(Scan::of(Keys::all()).limit(1).count_only()),
        Step::scan(Scan::of(Keys::all()).limit(3)),
        Step::delete("c"),
    ]));

    let [some, counted, all] = [1, 2, 3].map(|step| done.page(step).expect("it was read"));
    let keys: Vec<_> = some.entries.iter().map(|entry| &entry.key[..]).collect();
    assert_eq!(keys, [b"a", b"b"]);
    let more_after = [some, counted, all].map(|page| page.more_after.as_deref());
    assert_eq!(more_after, [Some(&b"b"[..]), Some(b"a"), None]);
    assert_eq!([counted.count, all.count], [1, 3]);
}

#[test]
fn a_step_reads_the_past_and_not_the_revision_that_it_is_making() {
    let mut member = Member::default();
    assert!(member.set("a", "1").is_ok());
    let scan_at = |revision| {
        Txn::always().then([
            Step::set("b", "1"),
            Step::scan(Scan::of(Keys::all()).at(Revision(revision))),
        ])
    };

    let past = member.txn(scan_at(1));
    let present = member.apply(Command::Txn(scan_at(3)));
    let future = member.apply(Command::Txn(scan_at(5)));

    let ahead = |wanted: u64, applied: u64| {
        let (wanted, applied) = (Revision(wanted), Revision(applied));
        Err(Refused::RevisionAhead { wanted, applied })
    };
    assert_eq!(past.page(1).map(|page| page.count), Some(1));
    assert_eq!([present, future], [ahead(3, 2), ahead(5, 3)]);
}

#[test]
fn a_transaction_is_bounded_in_steps_in_bytes_and_in_what_it_reads() {
    let mut member = Member::default();
    let largest = || Bytes::from(vec![0; VALUE_BYTES_MAX]);
    assert!(
        member
            .txn(Txn::always().then([Step::set("a", largest())]))
            .succeeded
    );
    assert!(
        member
            .txn(Txn::always().then([Step::set("b", largest())]))
            .succeeded
    );

    let steps = Txn::always().then((0..=STEPS_MAX).map(|_| Step::get("k")));
    let bytes = Txn::always().then(["a", "b", "c"].map(|key| Step::set(key, largest())));
    let read = Txn::always().then([
        Step::delete("b"),
        Step::get("a"),
        Step::get("a"),
        Step::get("a"),
    ]);

    assert!(matches!(steps.check(), Err(Refused::TooMuchAtOnce { .. })));
    assert!(matches!(bytes.check(), Err(Refused::TooMuchAtOnce { .. })));
    assert_eq!(member.apply(Command::Txn(read)), Err(Refused::TooMuchRead));
    assert!(member.entry("b").is_some(), "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn of_two_racing_transactions_one_finds_what_the_other_did() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    ada.batch([Step::set("radio", "base"), Step::set("holder", "none")])
        .await?;
    let take = |who: &'static str| {
        Txn::when([Compare::value("radio", "base")])
            .then([Step::set("radio", who), Step::set("holder", who)])
            .otherwise([Step::get("radio"), Step::get("holder")])
    };

    let (first, second) = tokio::join!(ada.txn(take("ada")), bob.txn(take("bob")));
    let (first, second) = (first?, second?);

    assert_ne!(first.succeeded, second.succeeded);
    let loser = if first.succeeded { &second } else { &first };
    let [radio, holder] = [0, 1].map(|step| loser.entry(step).expect("it exists"));
    assert_eq!(radio.value(), holder.value());
    assert_eq!(radio.meta.modified, holder.meta.modified);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_reply_is_lost_happens_once() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [caller, witness] = cluster.followers();
    let txn = Txn::when([Compare::absent("once")])
        .then([Step::set("once", "done"), Step::append("log", "done")])
        .otherwise([Step::append("log", "done again")]);

    let call = caller.clone();
    let call = async move { call.txn(txn).await };
    let outcome = cluster
        .without_the_first_reply(caller, witness, call)
        .await?;

    assert!(outcome.succeeded);
    let log = witness.read_sequence("log", 0, usize::MAX).await?;
    assert_eq!(log.values, ["done"]);
    Ok(())
}
