//! Each operation of the key-value store, and the shapes in which keys and values are given.

use std::time::Duration;

use liferaft::bytes::Bytes;
use liferaft::driver::{OutboxConfig, OutboxState};
use liferaft::kv::{
    ChangeKind, Compare, CompareAndSet, Content, Count, Entry, Keys, Order, Page, Refused,
    Revision, Scan, Step, StepDone, Txn, Watch, WatchEvent,
};
use liferaft::platform::{now, sleep_until};
use liferaft::storage::outbox::MemoryOutboxStore;
use liferaft::{Kv, KvError, KvHandle, ReadError, StreamExt};

use crate::{Outcome, Site};

const SECOND: Duration = Duration::from_secs(1);

async fn store() -> Result<[KvHandle; 3], Box<dyn std::error::Error>> {
    Ok(Site::new().three::<Kv>().await?.map(KvHandle::new))
}

fn keys(page: &Page) -> Vec<&[u8]> {
    page.entries.iter().map(|entry| &entry.key[..]).collect()
}

#[tokio::test(start_paused = true)]
async fn set_get_and_delete_take_keys_of_any_shape() -> Outcome {
    let [ada, bob, eve] = &store().await?;
    let owned = String::from("camp");

    ada.set(&owned, "text").await?;
    assert_eq!(bob.get("camp").await?.as_deref(), Some(&b"text"[..]));
    ada.set(&owned[..2], &owned).await?;
    assert_eq!(bob.get(b"ca").await?.value, Some(Bytes::from("camp")));
    ada.set([1, 2, 3], b"three").await?;
    assert_eq!(
        bob.get(&[1, 2, 3][..]).await?.value,
        Some(Bytes::from("three"))
    );
    ada.set(vec![0; 2], vec![7; 2]).await?;
    assert_eq!(
        bob.get(Bytes::from_static(&[0, 0])).await?.value,
        Some(Bytes::from(vec![7, 7]))
    );

    let deleted = eve.delete(owned).await?;
    assert!(deleted.value && !*eve.delete("camp").await?);
    assert_eq!(ada.get("camp").await?.value, None);
    assert_eq!(ada.revision().await?, deleted.revision);
    assert_eq!(
        ada.set("", "").await,
        Err(KvError::Refused(Refused::KeyEmpty))
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn compare_and_set_makes_replaces_and_removes() -> Outcome {
    let [ada, bob, eve] = &store().await?;

    assert!(ada.compare_and_set("cook", None, "ada").await?.is_set());
    let taken = bob.compare_and_set("cook", None, "bob").await?.into_value();
    let current = Some(Bytes::from("ada"));
    assert_eq!(
        taken,
        CompareAndSet::Different {
            current: current.clone()
        }
    );
    assert!(
        eve.compare_and_set("cook", current, &String::from("eve"))
            .await?
            .is_set()
    );
    assert!(eve.compare_and_set(b"cook", "eve", None).await?.is_set());
    assert_eq!(ada.get("cook").await?.value, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sequences_are_appended_to_read_and_trimmed() -> Outcome {
    let [ada, bob, _] = &store().await?;

    let first = ada.seq_append("chat", Count::ZERO, "one").await?;
    let late = bob.seq_append("chat", Count::ZERO, "lost").await?;
    assert!(first.succeeded && !late.succeeded);
    assert_eq!(late.count, first.count);
    assert!(bob.seq_append("chat", late.count, "two").await?.succeeded);
    assert_eq!(*ada.append("chat", "three").await?, 2);

    let all = bob.read_sequence("chat", 0, usize::MAX).await?;
    assert_eq!(all.values, ["one", "two", "three"]);
    let trimmed = ada.trim_before("chat", all.count.less(1)).await?;
    assert_eq!(
        (trimmed.trimmed, trimmed.first, trimmed.count),
        (2, 2, all.count)
    );
    let rest = bob.read_sequence("chat", 0, 10).await?;
    assert_eq!(
        (rest.from, &rest.values[..]),
        (2, &[Bytes::from("three")][..])
    );
    assert_eq!(*ada.append("chat", "four").await?, 3);
    assert_eq!(all.count.to_string().parse::<Count>()?, all.count);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn local_reads_say_their_age_and_entries_their_story() -> Outcome {
    let [ada, bob, _] = &store().await?;
    let made = ada.set("camp", "hill").await?;
    let changed = ada.set("camp", "bridge").await?;
    ada.append("chat", "one").await?;

    let camp = bob.get_local_within("camp", 2 * SECOND).await?;
    assert!(camp.age.is_some_and(|age| age <= 2 * SECOND));
    assert_eq!(camp.answer.value, bob.get_local("camp").await?.answer.value);
    let chat = bob
        .read_sequence_local_within("chat", 0, 9, Duration::ZERO)
        .await?;
    assert_eq!(
        chat.answer.value,
        bob.read_sequence_local("chat", 0, 9).await?.answer.value
    );
    assert_eq!(bob.scan_local(Keys::all()).await?.answer.entries.len(), 2);

    let entry = bob.entry("camp").await?.into_value().expect("it was set");
    assert_eq!(
        (entry.meta.created, entry.meta.modified, entry.meta.version),
        (made, changed, 2)
    );
    assert_eq!(entry.value(), Some(&Bytes::from("bridge")));
    let chat = bob.entry("chat").await?.into_value();
    assert_eq!(
        chat.as_ref().and_then(Entry::count).map(Count::len),
        Some(1)
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn scans_go_by_pages_and_into_the_past() -> Outcome {
    let [ada, bob, _] = &store().await?;
    for tent in ["tents/1", "tents/2", "tents/3", "tools/1"] {
        ada.set(tent, "dry").await?;
    }

    let first = bob.scan(Scan::of(Keys::prefix("tents/")).limit(2)).await?;
    assert_eq!(
        (keys(&first), first.count),
        (vec![&b"tents/1"[..], b"tents/2"], 2)
    );
    ada.set("tents/3", "wet").await?;
    let last = bob.scan(first.next.expect("there is a third")).await?;
    assert_eq!(
        last.entries[0].value(),
        Some(&Bytes::from("dry")),
        "as it was on the first page"
    );
    assert_eq!((last.revision, last.next), (first.revision, None));

    let past = bob
        .scan(Scan::of(Keys::one("tents/3")).at(first.revision))
        .await?;
    assert_eq!(past.entries, last.entries);
    let names = bob
        .scan(Scan::of(Keys::range("tents/2", "tools/1")).keys_only())
        .await?;
    assert_eq!(names.entries[0].content, Content::ValueOf { bytes: 3 });
    assert_eq!(keys(&names), [b"tents/2", b"tents/3"]);
    let count = bob.scan(Scan::of(Keys::all()).count_only()).await?;
    assert_eq!((count.count, count.entries.len()), (4, 0));
    let behind = bob
        .scan(Scan::of(Keys::since("tents/2")).after("tents/3"))
        .await?;
    assert_eq!(keys(&behind), [b"tools/1"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delete_keys_removes_a_prefix_or_a_range_at_one_revision() -> Outcome {
    let [ada, bob, _] = &store().await?;
    let sets = (0..100).map(|tent| Step::set(format!("tents/{tent:02}"), "dry"));
    ada.batch(sets).await?;

    let some = bob.delete_keys(Keys::range("tents/10", "tents/20")).await?;
    assert_eq!((some.deleted, some.more), (10, false));
    let rest = bob.delete_keys(Keys::prefix("tents/")).await?;
    assert_eq!((rest.deleted, rest.more), (90, false));
    assert_eq!(ada.scan(Keys::all()).await?.entries, []);
    let before = ada.scan(
        Scan::of(Keys::all())
            .at(rest.revision.previous())
            .count_only(),
    );
    assert_eq!(before.await?.count, 90);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn transactions_compare_and_change_several_keys() -> Outcome {
    let [ada, bob, _] = &store().await?;
    let revision = ada.set("tent 1", "ada").await?;
    ada.append("log", "ada moves in").await?;
    let entry = ada.entry("tent 1").await?.into_value().expect("it was set");

    let all = [
        Compare::value("tent 1", "ada"),
        Compare::exists("log"),
        Compare::absent("tent 2"),
        Compare::unchanged(&entry),
        Compare::created("tent 1", Order::Equal, revision),
        Compare::modified("log", Order::Greater, revision),
        Compare::version("tent 1", Order::Less, 2),
    ];
    let count = ada.read_sequence("log", 0, 0).await?.count;
    let swap = Txn::when(all)
        .and(Compare::count("log", count))
        .then([Step::delete("tent 1"), Step::set("tent 2", "ada")])
        .then([
            Step::seq_append("log", count, "ada moves on"),
            Step::scan(Keys::prefix("tent")),
        ])
        .otherwise([Step::get("tent 2")]);

    let moved = bob.txn(swap.clone()).await?;
    assert!(moved.succeeded);
    let page = moved.page(3).expect("the fourth step scans");
    assert_eq!(
        (&page.entries[0].key, page.entries.len()),
        (&Bytes::from("tent 2"), 1)
    );
    let again = bob.txn(swap).await?;
    assert!(!again.succeeded);
    assert_eq!(
        again.entry(0).and_then(Entry::value),
        Some(&Bytes::from("ada"))
    );

    let refused =
        bob.txn(Txn::always().then([Step::delete("tent 2"), Step::append("tent 2", "x")]));
    assert!(refused.await?.succeeded, "the key is gone by then");
    let refused = bob.txn(Txn::always().then([Step::delete("log"), Step::set("tent 2", "x")]));
    assert!(matches!(
        refused.await,
        Err(KvError::Refused(Refused::WrongKind { .. }))
    ));
    assert_eq!(
        bob.read_sequence("log", 0, 0).await?.count.len(),
        2,
        "nothing was changed"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_each_step_for_itself() -> Outcome {
    let [ada, bob, _] = &store().await?;

    let done = ada
        .batch([
            Step::set("wind", "NW 7"),
            Step::append("wind", "storm"),
            Step::compare_and_set("wind", "NW 7", None),
            Step::append("wind", "storm"),
            Step::get("wind"),
            Step::trim_before("log", Count::ZERO),
            Step::delete_keys(Keys::prefix("w")),
        ])
        .await?;

    assert!(matches!(done[1], Err(Refused::WrongKind { .. })));
    assert_eq!(done[2], Ok(StepDone::CompareAndSet(CompareAndSet::Set)));
    let got = done[4].as_ref().ok().and_then(StepDone::entry);
    assert_eq!(got.and_then(Entry::count).map(Count::len), Some(1));
    assert_eq!(done[6], Ok(StepDone::DeletedKeys(1)));
    assert_eq!(bob.revision().await?, done.revision);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn keys_end_with_their_lease() -> Outcome {
    let [ada, bob, eve] = &store().await?;
    let lease = ada.grant_lease(10 * SECOND).await?;
    lease.set("present/ada", "bridge").await?;
    bob.batch([Step::set_with_lease("post", "mill", lease.id())])
        .await?;

    let mut kept = lease.kept_alive();
    sleep_until(now() + 60 * SECOND).await;
    let status = bob
        .lease_status(lease.id())
        .await?
        .expect("it is kept alive");
    assert_eq!((status.keys, status.ttl), (2, lease.ttl()));
    assert!(status.remaining <= lease.ttl());
    let elsewhere = eve.lease(lease.id(), lease.ttl())?;
    elsewhere.keep_alive().await?;
    assert_eq!(*elsewhere.revoke().await?, 2);
    assert_eq!(
        kept.ended().await,
        KvError::Refused(Refused::LeaseEnded { lease: lease.id() })
    );
    assert_eq!(eve.get("present/ada").await?.value, None);

    let lease = ada.grant_lease(5 * SECOND).await?;
    lease.set("present/ada", "bridge").await?;
    ada.set("kept", "by nobody's lease").await?;
    sleep_until(now() + 6 * SECOND).await;
    assert_eq!(lease.status().await?, None);
    assert_eq!(bob.scan(Keys::all()).await?.entries[0].key, "kept");
    Ok(())
}

/// The next changes, as key and what happened.
async fn told(
    watch: &mut Watch,
) -> Result<(Revision, Vec<(Bytes, ChangeKind)>), Box<dyn std::error::Error>> {
    loop {
        if let WatchEvent::Changes(changes) = watch.next().await.expect("a watch goes on")? {
            let kinds = changes
                .iter()
                .map(|change| (change.key().clone(), change.kind().clone()));
            return Ok((changes.revision(), kinds.collect()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_changes_and_progress_and_is_resumed() -> Outcome {
    let [ada, bob, eve] = &store().await?;
    let seen = ada.set("tents/1", "dry").await?;

    let mut watch = bob.watch_from(Keys::prefix("tents/"), seen.next());
    let progress = watch.request_progress();
    ada.set("tools/1", "saw").await?;
    let both = ada
        .batch([
            Step::append("tents/log", "rain"),
            Step::set("tents/1", "wet"),
        ])
        .await?;
    let (revision, changes) = told(&mut watch).await?;
    assert_eq!(revision, both.revision);
    assert!(matches!(&changes[0].1, ChangeKind::Appended { value, .. } if value == "rain"));
    assert!(matches!(&changes[1].1, ChangeKind::Set { meta, .. } if meta.version == 2));
    progress.await?;
    assert_eq!(watch.resume_from(), Some(revision.next()));

    let lease = ada.grant_lease(SECOND * 2).await?;
    lease.set("tents/2", "mine").await?;
    drop(watch);
    let mut resumed = eve.watch_from(Keys::prefix("tents/"), revision.next());
    assert!(matches!(
        told(&mut resumed).await?.1[0].1,
        ChangeKind::Set { .. }
    ));
    let (ended, changes) = told(&mut resumed).await?;
    assert_eq!(
        changes[0].1,
        ChangeKind::Deleted {
            ended: Some(lease.id())
        }
    );

    let asked = tokio::spawn(resumed.request_progress());
    loop {
        match resumed.next().await.expect("a watch goes on")? {
            WatchEvent::Progress(revision) if revision >= ended => break,
            other => assert!(matches!(other, WatchEvent::Progress(_)), "{other:?}"),
        }
    }
    asked.await??;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_now_on_tells_no_past() -> Outcome {
    let [ada, bob, _] = &store().await?;
    ada.set("camp", "hill").await?;
    let mut watch = bob.watch(Keys::one("camp"));
    assert_eq!(watch.resume_from(), None);
    let first = watch.next().await.expect("a watch goes on")?;
    assert!(matches!(first, WatchEvent::Progress(_)));

    ada.delete("camp").await?;

    assert_eq!(
        told(&mut watch).await?.1,
        [(Bytes::from("camp"), ChangeKind::Deleted { ended: None })]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_outbox_keeps_writes_in_order_until_they_can_be_done() -> Outcome {
    let site = Site::new();
    let [ada, bob, eve] = site.three::<Kv>().await?.map(KvHandle::new);
    let store = MemoryOutboxStore::default();
    let outbox = eve
        .outbox(OutboxConfig::default().commands_max(20).store(store))
        .await?;

    site.network.partition(&[&[eve.raft().id()]]);
    let set = outbox.set("camp", "bridge")?;
    let mut first = outbox.append("log", "one")?;
    let compared = outbox.compare_and_set("camp", "bridge", "hill")?;
    let counted = outbox.seq_append("log", Count::ZERO, "late")?;
    let trimmed = outbox.trim_before("log", Count::ZERO)?;
    let batch = outbox.batch([Step::set("a/1", "x"), Step::set("a/2", "y")])?;
    let txn = outbox.txn(Txn::when([Compare::exists("a/1")]).then([Step::set("b", "z")]))?;
    let deleted = outbox.delete("b")?;
    let swept = outbox.delete_keys(Keys::prefix("a/"))?;
    assert!(first.stored().await);
    assert_eq!(outbox.pending().len(), 9);
    assert!(outbox.command(first.number()).is_some());
    assert_eq!(ada.get("camp").await?.value, None);

    site.network.heal_all();
    outbox.flush().await?;
    assert!(set.await?.revision < first.await?.revision);
    assert!(compared.await?.is_set() && !counted.await?.succeeded);
    assert_eq!(trimmed.await?.trimmed, 0);
    assert!(batch.await?.iter().all(Result::is_ok) && txn.await?.succeeded);
    assert!(*deleted.await? && swept.await?.deleted == 2);
    assert_eq!(bob.get("camp").await?.value, Some(Bytes::from("hill")));
    assert!(!outbox.resume(), "it had not halted");
    assert_eq!(outbox.raft().status().borrow().state, OutboxState::Running);
    assert_eq!(outbox.close().await.len(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_ones_own_ends_a_call_that_cannot_be_answered() -> Outcome {
    let site = Site::new();
    let [_, _, eve] = site.three::<Kv>().await?.map(KvHandle::new);
    site.network.partition(&[&[eve.raft().id()]]);

    let asked = now();
    let error = eve
        .within(SECOND)
        .get("camp")
        .await
        .expect_err("nobody answers");

    assert!(matches!(error, KvError::Read(ReadError::TimedOut)));
    assert!(now() - asked <= 2 * SECOND);
    Ok(())
}
