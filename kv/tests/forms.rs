//! Keys and values are given in whatever form an application has them, borrowed or owned, everywhere.

#[path = "common/cluster.rs"]
mod cluster;

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cluster::Cluster;
use cluster::patience::soon;
use futures::StreamExt;
use liferaft_kv::{Compare, Count, Keys, KvError, Order, Revision, Scan, Step, Txn};
use liferaft_node::driver::OutboxConfig;

/// What an expression becomes with "k" in each of its forms.
macro_rules! with_each_form {
    ($form:ident => $result:expr) => {{
        let text = String::from("k");
        let vector = b"k".to_vec();
        let shared = Bytes::from_static(b"k");
        [
            {
                let $form = "k";
                $result
            },
            {
                let $form = &text[..];
                $result
            },
            {
                let $form = &&text[..];
                $result
            },
            {
                let $form = &text;
                $result
            },
            {
                let $form = text.clone();
                $result
            },
            {
                let $form = text.clone().into_boxed_str();
                $result
            },
            {
                let $form = Cow::Borrowed(&text[..]);
                $result
            },
            {
                let $form = b"k";
                $result
            },
            {
                let $form = *b"k";
                $result
            },
            {
                let $form = &vector[..];
                $result
            },
            {
                let $form = &vector;
                $result
            },
            {
                let $form = vector.clone();
                $result
            },
            {
                let $form = vector.clone().into_boxed_slice();
                $result
            },
            {
                let $form = Cow::Borrowed(&vector[..]);
                $result
            },
            {
                let $form = &shared;
                $result
            },
            {
                let $form = shared.clone();
                $result
            },
            {
                let $form = BytesMut::from(&b"k"[..]);
                $result
            },
        ]
    }};
}

#[track_caller]
fn assert_all<T: PartialEq + std::fmt::Debug>(results: impl IntoIterator<Item = T>, wanted: &T) {
    for (form, result) in results.into_iter().enumerate() {
        assert_eq!(result, *wanted, "of form {form}");
    }
}

#[test]
fn keys_prefixes_and_ranges_take_every_form() {
    let key = || Bytes::from("k");

    assert_all(with_each_form!(form => Keys::one(form)), &Keys::One(key()));
    assert_all(
        with_each_form!(form => Keys::prefix(form)),
        &Keys::Prefix(key()),
    );
    assert_all(
        with_each_form!(form => Keys::since(form)),
        &Keys::Range(key(), None),
    );
    assert_all(
        with_each_form!(form => Keys::range(form, "z")),
        &Keys::range("k", "z"),
    );
    assert_all(
        with_each_form!(form => Keys::range("a", form)),
        &Keys::range("a", "k"),
    );
    let after = Scan::of(Keys::all()).after("k");
    assert_all(
        with_each_form!(form => Scan::of(Keys::all()).after(form)),
        &after,
    );
}

#[test]
fn steps_take_every_form() {
    let (key, value) = (Bytes::from("k"), Bytes::from("v"));
    let count = Count::ZERO;
    let set = |key: &Bytes, value: &Bytes| Step::Set {
        key: key.clone(),
        value: value.clone(),
        lease: None,
    };
    let append = |key: &Bytes, value: &Bytes| Step::Append {
        key: key.clone(),
        value: value.clone(),
    };
    let seq_append = |key: &Bytes, value: &Bytes| Step::SeqAppend {
        key: key.clone(),
        count,
        value: value.clone(),
    };
    let compare_and_set =
        |key: &Bytes, expected: Option<&Bytes>, new: Option<&Bytes>| Step::CompareAndSet {
            key: key.clone(),
            expected: expected.cloned(),
            new: new.cloned(),
        };

    assert_all(
        with_each_form!(form => Step::get(form)),
        &Step::Get { key: key.clone() },
    );
    assert_all(
        with_each_form!(form => Step::delete(form)),
        &Step::Delete { key: key.clone() },
    );
    assert_all(
        with_each_form!(form => Step::set(form, "v")),
        &set(&key, &value),
    );
    assert_all(
        with_each_form!(form => Step::set("v", form)),
        &set(&value, &key),
    );
    assert_all(
        with_each_form!(form => Step::append(form, "v")),
        &append(&key, &value),
    );
    assert_all(
        with_each_form!(form => Step::append("v", form)),
        &append(&value, &key),
    );
    assert_all(
        with_each_form!(form => Step::seq_append(form, count, "v")),
        &seq_append(&key, &value),
    );
    assert_all(
        with_each_form!(form => Step::seq_append("v", count, form)),
        &seq_append(&value, &key),
    );
    assert_all(
        with_each_form!(form => Step::compare_and_set(form, None, "v")),
        &compare_and_set(&key, None, Some(&value)),
    );
    assert_all(
        with_each_form!(form => Step::compare_and_set("v", form, None)),
        &compare_and_set(&value, Some(&key), None),
    );
    assert_all(
        with_each_form!(form => Step::compare_and_set("v", Some("v".into()), form)),
        &compare_and_set(&value, Some(&value), Some(&key)),
    );
    assert_all(
        with_each_form!(form => Step::trim_before(form, count)),
        &Step::TrimBefore { key, count },
    );
}

#[test]
fn conditions_take_every_form() {
    let is_checked = |condition| Txn::when([condition]).check().is_ok();
    let at = Revision(1);

    let conditions = [
        with_each_form!(form => is_checked(Compare::value(form, "v"))),
        with_each_form!(form => is_checked(Compare::value("k", form))),
        with_each_form!(form => is_checked(Compare::exists(form))),
        with_each_form!(form => is_checked(Compare::absent(form))),
        with_each_form!(form => is_checked(Compare::modified(form, Order::Less, at))),
        with_each_form!(form => is_checked(Compare::created(form, Order::Less, at))),
        with_each_form!(form => is_checked(Compare::version(form, Order::Less, 1))),
        with_each_form!(form => is_checked(Compare::count(form, Count::ZERO))),
    ];

    assert_all(conditions.into_iter().flatten(), &true);
}

#[tokio::test(start_paused = true)]
async fn the_handle_takes_every_form_of_keys_and_values() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let age_max = Duration::from_secs(9);

    let _ = with_each_form!(form => kv.set(form, "k").await?);
    let _ = with_each_form!(form => kv.set("k", form).await?);
    let held = Some(Bytes::from("k"));
    assert_all(
        with_each_form!(form => kv.get(form).await?.into_value()),
        &held,
    );
    assert_all(
        with_each_form!(form => kv.get_local(form).await?.answer.into_value()),
        &held,
    );
    let within = with_each_form!(form => kv.get_local_within(form, age_max).await?.answer);
    assert_all(within.map(|answer| answer.value), &held);
    assert_all(
        with_each_form!(form => kv.entry(form).await?.is_some()),
        &true,
    );
    let swapped = [
        with_each_form!(form => kv.compare_and_set(form, "k", "k").await?.is_set()),
        with_each_form!(form => kv.compare_and_set("k", form, "k").await?.is_set()),
        with_each_form!(form => kv.compare_and_set("k", held.clone(), form).await?.is_set()),
    ];
    assert_all(swapped.into_iter().flatten(), &true);
    let mut deleted = with_each_form!(form => *kv.delete(form).await?).into_iter();
    assert_eq!(deleted.next(), Some(true));
    assert_all(deleted, &false);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_handle_takes_every_form_of_sequences_and_their_values() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let (age_max, none) = (Duration::from_secs(9), Count::ZERO);

    let appended = with_each_form!(form => kv.append(form, "v").await?.into_value());
    let of_values = with_each_form!(form => kv.append("k", form).await?.into_value());
    let places = appended.into_iter().chain(of_values);
    assert!(places.eq(0..34), "{appended:?}, {of_values:?}");
    let refused = [
        with_each_form!(form => kv.seq_append(form, none, "v").await?.succeeded),
        with_each_form!(form => kv.seq_append("k", none, form).await?.succeeded),
    ];
    assert_all(refused.into_iter().flatten(), &false);
    let lengths = [
        with_each_form!(form => kv.read_sequence(form, 0, 0).await?.count.len()),
        with_each_form!(form => kv.read_sequence_local(form, 0, 0).await?.answer.count.len()),
        with_each_form!(form => {
            kv.read_sequence_local_within(form, 0, 0, age_max).await?.answer.count.len()
        }),
        with_each_form!(form => kv.trim_before(form, none).await?.count.len()),
    ];
    assert_all(lengths.into_iter().flatten(), &34);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn leases_and_the_outbox_take_every_form() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let outbox = kv.outbox(OutboxConfig::default()).await?;
    let lease = kv.grant_lease(Duration::from_secs(9)).await?;
    let none = Count::ZERO;

    let _ = with_each_form!(form => lease.set(form, "v").await?);
    let _ = with_each_form!(form => lease.set("v", form).await?);
    drop(with_each_form!(form => Step::set_with_lease(form, "v", lease.id())));
    drop(with_each_form!(form => Step::set_with_lease("k", form, lease.id())));
    drop(with_each_form!(form => outbox.set(form, "k")?));
    drop(with_each_form!(form => outbox.set("k", form)?));
    drop(with_each_form!(form => outbox.compare_and_set(form, "k", "k")?));
    drop(with_each_form!(form => outbox.compare_and_set("k", form, "k")?));
    drop(with_each_form!(form => outbox.compare_and_set("k", "k", form)?));
    soon(outbox.flush()).await?;
    drop(with_each_form!(form => outbox.delete(form)?));
    drop(with_each_form!(form => outbox.append(form, "v")?));
    drop(with_each_form!(form => outbox.append("k", form)?));
    drop(with_each_form!(form => outbox.seq_append(form, none, "v")?));
    drop(with_each_form!(form => outbox.seq_append("k", none, form)?));
    drop(with_each_form!(form => outbox.trim_before(form, none)?));
    soon(outbox.flush()).await?;

    assert_eq!(kv.read_sequence("k", 0, 0).await?.count.len(), 34);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn watches_transactions_and_batches_take_borrowed_keys() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let tents = [String::from("tents/1"), String::from("tents/2")];
    let prefix = &tents[0][..6];
    let mut watch = kv.watch(Keys::prefix(prefix));
    let begun = soon(watch.next()).await;

    let txn = Txn::when(tents.iter().map(Compare::absent)).then(
        tents
            .iter()
            .map(|tent| Step::set(tent, tent.len().to_string())),
    );
    let done = kv.txn(txn).await?;
    let read = kv.batch(tents.iter().map(Step::get)).await?;
    let told = soon(watch.next()).await;

    assert!(matches!(begun, Some(Ok(_))), "{begun:?}");
    assert!(done.succeeded);
    assert!(read.iter().all(|step| {
        let entry = step.as_ref().ok().and_then(|step| step.entry());
        entry.is_some_and(|entry| entry.value() == Some(&Bytes::from("7")))
    }));
    assert!(matches!(told, Some(Ok(_))), "{told:?}");
    Ok(())
}
