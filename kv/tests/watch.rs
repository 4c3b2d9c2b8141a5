//! Watches: exactly the committed changes, in order, whatever happens to the cluster.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use cluster::patience::soon;
use cluster::{Cluster, applied};
use common::Member;
use futures::{FutureExt, StreamExt};
use liferaft_kv::limits::{HISTORY_CHANGES_MAX, STEPS_MAX, WATCH_QUEUE_MAX, WATCHES_MAX};
use liferaft_kv::{
    ChangeKind, Command, Keys, Kv, KvError, KvHandle, Polled, Refused, Revision, Step, Txn, Watch,
    WatchEvent, Watcher,
};
use liferaft_raft::ids::{Index, Term};
use liferaft_raft::state_machine::{ApplyContext, StateMachine};
use liferaft_raft::time::ClusterTime;

/// What a watcher has to tell at the moment, asking the state machine as often as it wants.
fn told(watcher: &mut Watcher, member: &Member) -> Vec<WatchEvent> {
    let mut events = Vec::new();
    loop {
        match watcher.poll(None) {
            Polled::Event(event) => events.push(event),
            Polled::Ask => {
                let answer = member.kv.query(watcher.query());
                watcher.answered(answer).expect("the history reaches back");
            }
            Polled::Nothing => return events,
        }
    }
}

/// The changes among events, each as its revision and what it did.
fn changes(events: &[WatchEvent]) -> Vec<String> {
    let changes = events.iter().filter_map(|event| match event {
        WatchEvent::Changes(changes) => Some(format!("{changes:?}")),
        WatchEvent::Progress(_) => None,
    });
    changes.collect()
}

/// Waits for the next changes.
async fn next_changes(watch: &mut Watch) -> String {
    loop {
        match soon(watch.next()).await {
            Some(Ok(WatchEvent::Changes(changes))) => return format!("{changes:?}"),
            Some(Ok(WatchEvent::Progress(_))) => {}
            ended => panic!("the watch goes on: {ended:?}"),
        }
    }
}

/// Waits until a watch has told how far it has come, and tells that and the changes before.
async fn until_progress(watch: &mut Watch) -> (Revision, Vec<String>) {
    let mut events = Vec::new();
    loop {
        match soon(watch.next()).await {
            Some(Ok(WatchEvent::Progress(revision))) => return (revision, changes(&events)),
            Some(Ok(event)) => events.push(event),
            ended => panic!("the watch goes on: {ended:?}"),
        }
    }
}

/// A watch that has begun.
async fn begun(kv: &KvHandle, keys: Keys) -> Watch {
    let mut watch = kv.watch(keys);
    until_progress(&mut watch).await;
    watch
}

#[test]
fn a_watch_is_told_of_its_keys_and_of_no_others_in_order() {
    let mut member = Member::default();
    let mut prefix = Watcher::new(Keys::prefix("a/"), None);
    let mut one = Watcher::new(Keys::one("a/1"), None);
    let mut range = Watcher::new(Keys::range("a/2", "b"), None);
    let watchers = [&mut prefix, &mut one, &mut range].map(|watcher| told(watcher, &member));

    let _ = member.set("a/1", "v");
    let _ = member.set("b", "v");
    let _ = member.append("a/2", "line");
    let _ = member.delete("a/1");

    let begun = WatchEvent::Progress(Revision(0));
    assert_eq!(watchers, [[begun.clone()], [begun.clone()], [begun]]);
    assert_eq!(
        changes(&told(&mut prefix, &member)),
        [
            "1: [set(a/1, 1 bytes)]",
            "3: [append(a/2, 4 bytes, 1@1)]",
            "4: [delete(a/1)]"
        ]
    );
    assert_eq!(
        changes(&told(&mut one, &member)),
        ["1: [set(a/1, 1 bytes)]", "4: [delete(a/1)]"]
    );
    assert_eq!(
        changes(&told(&mut range, &member)),
        ["3: [append(a/2, 4 bytes, 1@1)]"]
    );
}

#[test]
fn a_transaction_is_told_in_one_piece_of_all_that_the_watch_follows() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::prefix("a"), None);
    told(&mut watcher, &member);

    let _ = member.txn(Txn::always().then([
        Step::set("a1", "x"),
        Step::set("b", "x"),
        Step::append("a2", "xy"),
        Step::set("a1", "xyz"),
    ]));

    assert_eq!(
        changes(&told(&mut watcher, &member)),
        ["1: [set(a1, 1 bytes), append(a2, 2 bytes, 1@1), set(a1, 3 bytes)]"]
    );
}

#[test]
fn a_refused_transaction_is_not_told() {
    let mut member = Member::default();
    let _ = member.append("s", "line");
    let mut watcher = Watcher::new(Keys::all(), None);
    told(&mut watcher, &member);

    let refused = member.apply(Command::Txn(
        Txn::always().then([Step::set("a", "x"), Step::set("s", "x")]),
    ));

    assert!(refused.is_err());
    assert_eq!(told(&mut watcher, &member), []);
}

#[test]
fn a_change_tells_the_value_its_revisions_and_what_was_there_before() {
    let mut member = Member::default();
    let _ = member.set("k", "old");
    let mut watcher = Watcher::new(Keys::one("k"), Some(Revision(2)));
    let _ = member.set("k", "new");

    let events = told(&mut watcher, &member);

    let [WatchEvent::Changes(changes), WatchEvent::Progress(_)] = &events[..] else {
        panic!("one change: {events:?}");
    };
    let change = changes.iter().next().expect("one change");
    let ChangeKind::Set { value, meta } = change.kind() else {
        panic!("it was set: {change:?}");
    };
    assert_eq!(
        (value.as_ref(), meta.created, meta.version),
        (&b"new"[..], Revision(1), 2)
    );
    assert_eq!(
        change.value_before().map(|value| &value[..]),
        Some(&b"old"[..])
    );
}

#[test]
fn a_watch_from_a_revision_tells_that_and_all_after_it_once() {
    let mut member = Member::default();
    for key in ["a", "b", "c"] {
        let _ = member.set(key, "v");
    }
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(2)));

    let first = told(&mut watcher, &member);
    let _ = member.set("d", "v");
    let second = told(&mut watcher, &member);

    assert_eq!(
        changes(&first),
        ["2: [set(b, 1 bytes)]", "3: [set(c, 1 bytes)]"]
    );
    assert_eq!(first.last(), Some(&WatchEvent::Progress(Revision(3))));
    assert_eq!(changes(&second), ["4: [set(d, 1 bytes)]"]);
    assert_eq!(watcher.next(), Some(Revision(5)));
}

#[test]
fn a_watch_from_a_future_revision_tells_nothing_before_it() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(3)));

    let present = told(&mut watcher, &member);
    for key in ["a", "b", "c"] {
        let _ = member.set(key, "v");
    }

    assert_eq!(present, []);
    assert_eq!(
        changes(&told(&mut watcher, &member)),
        ["3: [set(c, 1 bytes)]"]
    );
}

#[test]
fn a_watch_from_a_future_revision_is_told_no_progress_before_it() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(5_000)));
    let present = told(&mut watcher, &member);

    let _ = member.kv.query(watcher.progress_query());
    let on_request = told(&mut watcher, &member);
    // Far enough for the marks that are told without a request.
    (1..4_999).for_each(|_| member.advance_at(0));
    let by_itself = told(&mut watcher, &member);
    member.advance_at(0);
    let begun = told(&mut watcher, &member);

    assert_eq!([present, on_request, by_itself], [vec![], vec![], vec![]]);
    assert_eq!(begun, [WatchEvent::Progress(Revision(4_999))]);
    assert_eq!(watcher.next(), Some(Revision(5_000)));
}

#[test]
fn progress_requested_before_a_watch_begins_is_told() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::one("watched"), None);

    let request = watcher.progress_query();
    told(&mut watcher, &member);
    let _ = member.set("other", "v");
    let _ = member.kv.query(request);

    assert_eq!(
        told(&mut watcher, &member),
        [WatchEvent::Progress(Revision(1))]
    );
}

#[test]
fn progress_requested_before_a_watch_overflows_is_told() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::one("s"), None);
    told(&mut watcher, &member);

    let request = watcher.progress_query();
    for _ in 0..=WATCH_QUEUE_MAX {
        let _ = member.append("s", "x");
    }
    told(&mut watcher, &member);
    let _ = member.set("other", "v");
    let unseen = member.kv.revision();
    let _ = member.kv.query(request);

    assert_eq!(told(&mut watcher, &member), [WatchEvent::Progress(unseen)]);
}

#[test]
fn progress_requested_before_a_snapshot_is_installed_is_told() {
    let mut ahead = Member::default();
    let mut behind = Member::default();
    let mut watcher = Watcher::new(Keys::one("watched"), None);
    told(&mut watcher, &behind);

    let request = watcher.progress_query();
    let _ = ahead.set("other", "v");
    behind.restore(&ahead);
    told(&mut watcher, &behind);
    let _ = behind.set("other", "w");
    let _ = behind.kv.query(request);

    assert_eq!(
        told(&mut watcher, &behind),
        [WatchEvent::Progress(Revision(2))]
    );
}

#[test]
fn a_progress_mark_is_never_behind_the_changes_told_before_it() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), None);
    told(&mut watcher, &member);

    let _ = member.kv.query(watcher.progress_query());
    let _ = member.set("k", "v");
    let events = told(&mut watcher, &member);

    assert_eq!(changes(&events), ["1: [set(k, 1 bytes)]"]);
    assert_eq!(events.last(), Some(&WatchEvent::Progress(Revision(1))));
}

#[test]
fn an_entry_applied_by_half_is_neither_told_nor_marked() {
    let mut kv = Kv::new();
    let at = ApplyContext {
        index: Index(1),
        term: Term(1),
        time: ClusterTime::ZERO,
    };
    let set = |key: &'static str| Command::Set {
        key: key.into(),
        value: "v".into(),
    };
    let mut early = Watcher::new(Keys::all(), None);
    let answer = kv.query(early.query());
    early.answered(answer).expect("it begins");
    let begun = early.poll(None);

    kv.apply(at, set("a"));
    let _ = kv.query(early.progress_query());
    let marked = early.poll(None);
    let mut late = Watcher::new(Keys::all(), Some(Revision(1)));
    let answer = kv.query(late.query());
    late.answered(answer).expect("it begins");
    let midway = late.poll(None);
    kv.apply(at, set("b"));
    kv.advance(at);

    let zero = Polled::Event(WatchEvent::Progress(Revision(0)));
    assert_eq!([&begun, &marked, &midway], [&zero, &zero, &zero]);
    for watcher in [&mut early, &mut late] {
        let Polled::Event(WatchEvent::Changes(changes)) = watcher.poll(None) else {
            panic!("the entry is told");
        };
        assert_eq!(
            format!("{changes:?}"),
            "1: [set(a, 1 bytes), set(b, 1 bytes)]"
        );
    }
}

#[test]
fn a_query_that_is_answered_twice_tells_nothing_twice() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), Some(Revision(1)));
    let query = watcher.query();

    let _ = member.kv.query(query.clone());
    let _ = member.set("a", "v");
    let answer = member.kv.query(query);
    watcher.answered(answer).expect("it begins");
    let _ = member.set("b", "v");

    assert_eq!(
        changes(&told(&mut watcher, &member)),
        ["1: [set(a, 1 bytes)]", "2: [set(b, 1 bytes)]"]
    );
}

#[test]
fn a_watcher_that_lags_is_served_from_the_history_without_gap_or_duplicate() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), None);
    told(&mut watcher, &member);
    let revisions = 3 * WATCH_QUEUE_MAX;

    for _ in 0..revisions {
        let _ = member.append("s", "x");
    }
    let events = told(&mut watcher, &member);

    let seen: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Changes(changes) => Some(changes.revision().0),
            WatchEvent::Progress(_) => None,
        })
        .collect();
    assert!(seen.iter().copied().eq(1..=revisions as u64), "{seen:?}");
}

#[test]
fn a_watcher_that_lags_behind_the_history_ends_and_says_from_where_it_may_go_on() {
    let mut member = Member::default();
    let mut watcher = Watcher::new(Keys::all(), None);
    told(&mut watcher, &member);
    for _ in 0..=HISTORY_CHANGES_MAX / STEPS_MAX + WATCH_QUEUE_MAX {
        let _ = member.apply(Command::Batch(vec![Step::set("k", "v"); STEPS_MAX]));
    }
    while let Polled::Event(_) = watcher.poll(None) {}

    let answer = member.kv.query(watcher.query());
    let ended = watcher.answered(answer);

    let Err(KvError::Refused(Refused::Compacted { through })) = ended else {
        panic!("changes are missing: {ended:?}");
    };
    assert!(watcher.next() <= Some(through));
    let mut anew = Watcher::new(Keys::all(), Some(through.next()));
    assert!(!told(&mut anew, &member).is_empty());
}

#[test]
fn a_restored_member_serves_watches_from_the_history_of_the_snapshot() {
    let mut ahead = Member::default();
    let mut behind = Member::default();
    let mut watcher = Watcher::new(Keys::all(), None);
    for member in [&mut ahead, &mut behind] {
        let _ = member.set("a", "v");
    }
    told(&mut watcher, &behind);
    for key in ["b", "c"] {
        let _ = ahead.set(key, "v");
    }

    behind.restore(&ahead);
    let _ = behind.set("d", "v");

    assert_eq!(
        changes(&told(&mut watcher, &behind)),
        [
            "2: [set(b, 1 bytes)]",
            "3: [set(c, 1 bytes)]",
            "4: [set(d, 1 bytes)]"
        ]
    );
}

#[test]
fn watches_that_were_dropped_make_room_and_more_than_the_bound_are_refused() {
    let member = Member::default();
    let mut watchers: Vec<_> = (0..WATCHES_MAX)
        .map(|_| Watcher::new(Keys::all(), None))
        .collect();
    for watcher in &mut watchers {
        told(watcher, &member);
    }
    let mut more = Watcher::new(Keys::all(), None);

    let answer = member.kv.query(more.query());
    let refused = more.answered(answer);
    drop(watchers.pop());

    assert_eq!(refused, Err(KvError::Refused(Refused::TooManyWatches)));
    assert_eq!(
        told(&mut more, &member),
        [WatchEvent::Progress(Revision(0))]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_written_on_one_member_is_watched_on_another() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut watch = begun(bob, Keys::prefix("camp")).await;

    let revision = ada.set("camp", "hill").await?;
    let told = next_changes(&mut watch).await;

    assert_eq!(told, format!("{revision}: [set(camp, 4 bytes)]"));
    assert_eq!(watch.resume_from(), Some(revision.next()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_through_a_change_of_leaders() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut watch = begun(bob, Keys::all()).await;

    let before = ada.append("log", "before").await?.revision;
    cluster.network.kill(cluster.leader);
    let after = ada.append("log", "after!").await?.revision;
    let told = [
        next_changes(&mut watch).await,
        next_changes(&mut watch).await,
    ];

    assert_eq!(
        told,
        [
            format!("{before}: [append(log, 6 bytes, 1@1)]"),
            format!("{after}: [append(log, 6 bytes, 2@1)]")
        ]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_reply_is_lost_is_told_once() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [caller, witness] = cluster.followers();
    let mut watch = begun(witness, Keys::all()).await;

    let call = caller.clone();
    let call = async move { call.append("log", "once").await };
    let appended = cluster
        .without_the_first_reply(caller, witness, call)
        .await?;
    watch.request_progress().await?;
    let (progress, told) = until_progress(&mut watch).await;

    assert_eq!(
        told,
        [format!(
            "{}: [append(log, 4 bytes, 1@1)]",
            appended.revision
        )]
    );
    assert!(progress >= appended.revision);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn progress_on_request_comes_after_all_that_was_done_before_anywhere() -> Result<(), KvError>
{
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut watch = begun(bob, Keys::prefix("watched")).await;

    ada.set("watched", "v").await?;
    let unseen = ada.set("other", "v").await?;
    watch.request_progress().await?;
    let (progress, told) = until_progress(&mut watch).await;

    assert_eq!(told.len(), 1);
    assert!(progress >= unseen, "{progress} reflects {unseen}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn progress_requested_before_the_first_poll_is_told() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut watch = bob.watch(Keys::one("watched"));

    let request = watch.request_progress();
    until_progress(&mut watch).await;
    let unseen = ada.set("other", "v").await?;
    request.await?;
    let (progress, _) = until_progress(&mut watch).await;

    assert!(progress >= unseen, "{progress} reflects {unseen}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_cut_off_and_got_a_snapshot_tells_all_it_has_missed()
-> Result<(), KvError> {
    let cluster = Cluster::compacting_after(2_000).await;
    let [ada, bob] = cluster.followers();
    let mut watch = begun(bob, Keys::prefix("k")).await;

    let behind = applied(bob);
    let others: Vec<_> = [cluster.leader(), ada]
        .map(|member| member.raft().id())
        .into();
    cluster.network.partition(&[&others]);
    for number in 0..300 {
        ada.set(format!("k{number}"), vec![0; 100]).await?;
    }
    // What it misses is only in a snapshot.
    let mut status = ada.raft().status();
    let compacted = soon(status.wait_for(|status| status.raft.snapshot > behind)).await;
    drop(compacted.expect("the member runs"));
    let alone = watch.next().now_or_never();
    cluster.network.heal_all();
    let mut told = Vec::new();
    while told.len() < 300 {
        told.push(next_changes(&mut watch).await);
    }

    assert!(alone.is_none(), "{alone:?}");
    let keys = told
        .iter()
        .map(|change| change.split(['(', ',']).nth(1).map(str::to_owned));
    assert!(keys.eq((0..300).map(|number| Some(format!("k{number}")))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_holds_up_nobody_and_misses_nothing() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut slow = begun(bob, Keys::all()).await;

    for _ in 0..2 * WATCH_QUEUE_MAX {
        ada.append("log", "x").await?;
    }
    let mut count = 0;
    while count < 2 * WATCH_QUEUE_MAX {
        next_changes(&mut slow).await;
        count += 1;
    }
    slow.request_progress().await?;
    let (_, more) = until_progress(&mut slow).await;

    assert!(more.is_empty(), "{more:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumed_where_another_ended_tells_what_that_did_not() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();
    let mut first = begun(bob, Keys::all()).await;
    ada.set("a", "v").await?;
    next_changes(&mut first).await;
    let from = first.resume_from().expect("it has told something");
    drop(first);

    let revision = ada.set("b", "v").await?;
    // On another member: revisions are the same everywhere.
    let mut second = ada.watch_from(Keys::all(), from);

    assert_eq!(
        next_changes(&mut second).await,
        format!("{revision}: [set(b, 1 bytes)]")
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_compacted_revision_ends_at_once_and_stays_ended() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    for _ in 0..=HISTORY_CHANGES_MAX / STEPS_MAX {
        ada.batch(vec![Step::set("k", "v"); STEPS_MAX]).await?;
    }
    let mut watch = ada.watch_from(Keys::all(), Revision(1));

    let ended = soon(watch.next()).await;
    let after = soon(watch.next()).await;

    let Some(Err(error)) = ended else {
        panic!("it ends: {ended:?}");
    };
    assert!(
        matches!(error.cause, KvError::Refused(Refused::Compacted { .. })),
        "{error}"
    );
    assert_eq!((error.resume_from, after), (Some(Revision(1)), None));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_its_member_stops() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, _] = cluster.followers();
    let mut watch = begun(ada, Keys::all()).await;

    soon(ada.raft().stop()).await;
    let ended = soon(watch.next()).await;

    let Some(Err(error)) = ended else {
        panic!("it ends: {ended:?}");
    };
    assert!(matches!(error.cause, KvError::Read(_)), "{error}");
    Ok(())
}
