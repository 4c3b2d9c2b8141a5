//! The typed handle, on a cluster of three: one story for each operation, and what a lost reply and a race come to.

#[path = "common/cluster.rs"]
mod cluster;

use std::time::Duration;

use cluster::Cluster;
use liferaft_kv::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use liferaft_kv::{CompareAndSet, Count, Kind, KvError, Refused};
use liferaft_node::driver::ReadError;

#[tokio::test(start_paused = true)]
async fn what_is_set_is_read_until_it_is_deleted() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();

    kv.set("k", "v").await?;

    assert_eq!(kv.get("k").await?.as_deref(), Some(&b"v"[..]));
    assert_eq!(kv.get_local("k").await?.answer.as_deref(), Some(&b"v"[..]));
    assert!(*kv.delete("k").await?);
    assert!(!*kv.delete("k").await?);
    assert_eq!(kv.get("k").await?, None);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn local_reads_with_a_bound_are_young_enough_or_time_out() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, other] = cluster.followers();
    let age_max = Duration::from_secs(1);
    kv.set("k", "v").await?;
    kv.append("chat", "hello").await?;

    let value = other.get_local_within("k", age_max).await?;
    let chat = other
        .read_sequence_local_within("chat", 0, 10, Duration::ZERO)
        .await?;
    cluster.network.partition(&[&[other.raft().id()]]);
    tokio::time::sleep(10 * age_max).await;
    let too_old = other.within(age_max).get_local_within("k", age_max).await;

    assert!(value.age.is_some_and(|age| age <= age_max));
    assert_eq!(chat.answer.values, ["hello"]);
    assert!(
        matches!(too_old, Err(KvError::Read(ReadError::TimedOut))),
        "{too_old:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_two_who_compare_and_set_one_learns_what_the_other_set() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();

    let ada = kv.compare_and_set("k", None, Some("ada".into())).await?;
    let bob = kv.compare_and_set("k", None, Some("bob".into())).await?;

    assert!(ada.is_set());
    assert_eq!(
        bob,
        CompareAndSet::Different {
            current: Some("ada".into())
        }
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_two_racing_appenders_the_loser_appends_with_the_counter_it_learnt()
-> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();

    let (first, second) = tokio::join!(
        ada.seq_append("chat", Count::ZERO, "ada"),
        bob.seq_append("chat", Count::ZERO, "bob"),
    );
    let (first, second) = (first?, second?);
    let retried = if first.succeeded {
        bob.seq_append("chat", second.count, "bob").await?
    } else {
        ada.seq_append("chat", first.count, "ada").await?
    };

    assert_ne!(first.succeeded, second.succeeded);
    assert_eq!(
        first.count, second.count,
        "both learn the counter after the one success"
    );
    assert!(retried.succeeded);
    let chat = ada.read_sequence("chat", 0, usize::MAX).await?;
    let mut lines = chat.into_value().values;
    lines.sort();
    assert_eq!(lines, ["ada", "bob"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_appended_line_is_read_at_the_place_it_got() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();

    let places = [
        kv.append("chat", "one").await?,
        kv.append("chat", "two").await?,
    ];

    assert_eq!(places, [0, 1]);
    let part = kv.read_sequence("chat", 1, 1).await?;
    assert_eq!(part.values, ["two"]);
    assert_eq!(part.count.len(), 2);
    assert_eq!(
        kv.read_sequence_local("chat", 0, 9).await?.answer.values,
        ["one", "two"]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_key_and_what_it_holds() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    kv.append("chat", "line").await?;

    let refusals = [
        kv.set("chat", "v").await.expect_err("a sequence"),
        kv.get("chat").await.expect_err("a sequence"),
        kv.get_local("chat").await.expect_err("a sequence"),
    ];

    for refusal in refusals {
        assert!(
            matches!(
                &refusal,
                KvError::Refused(Refused::WrongKind { key, is: Kind::Sequence }) if key == "chat"
            ),
            "{refusal}"
        );
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_beyond_the_limits_never_reaches_the_log() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let before = kv.get_local("k").await?.applied;

    let long_key = kv.set(vec![0; KEY_BYTES_MAX + 1], "v").await;
    let long_value = kv.append("s", vec![0; VALUE_BYTES_MAX + 1]).await;
    let long_comparison = kv
        .compare_and_set("k", Some(vec![0; VALUE_BYTES_MAX + 1].into()), None)
        .await;
    let empty_key = kv.get("").await;

    assert!(matches!(
        long_key,
        Err(KvError::Refused(Refused::KeyTooLong { bytes: 1025 }))
    ));
    assert!(matches!(
        long_value,
        Err(KvError::Refused(Refused::ValueTooLong { .. }))
    ));
    assert!(matches!(
        long_comparison,
        Err(KvError::Refused(Refused::ValueTooLong { .. }))
    ));
    assert!(matches!(
        empty_key,
        Err(KvError::Refused(Refused::KeyEmpty))
    ));
    assert_eq!(kv.get_local("k").await?.applied, before);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_append_whose_reply_is_lost_appends_one_line_and_succeeds() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [caller, witness] = cluster.followers();

    let call = caller.clone();
    let call = async move { call.seq_append("chat", Count::ZERO, "once").await };
    let outcome = cluster
        .without_the_first_reply(caller, witness, call)
        .await?;

    assert!(outcome.succeeded);
    let chat = witness.read_sequence("chat", 0, usize::MAX).await?;
    assert_eq!(chat.values, ["once"]);
    assert_eq!(chat.count, outcome.count);
    Ok(())
}
