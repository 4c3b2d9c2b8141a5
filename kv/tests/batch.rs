//! Batches: independent steps in one entry of the log.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use cluster::Cluster;
use common::Member;
use liferaft_kv::limits::STEPS_MAX;
use liferaft_kv::{Command, Done, Kind, KvError, Refused, Revision, Step, StepDone};

#[test]
fn a_step_that_is_refused_does_not_hold_up_the_others() {
    let mut member = Member::default();
    assert!(member.append("s", "x").is_ok());

    let done = member.apply(Command::Batch(vec![
        Step::set("a", "1"),
        Step::set("s", "a value over a sequence"),
        Step::append("s", "y"),
        Step::delete("none"),
    ]));

    let Ok(Done::Batch(outcomes)) = done else {
        panic!("the batch as a whole is not refused: {done:?}");
    };
    let wrong_kind = Refused::WrongKind {
        key: "s".into(),
        is: Kind::Sequence,
    };
    let count = member.sequence("s").count;
    assert_eq!(
        outcomes,
        [
            Ok(StepDone::Set),
            Err(wrong_kind),
            Ok(StepDone::Appended(count)),
            Ok(StepDone::Deleted(false)),
        ]
    );
    assert_eq!(member.sequence("s").values, ["x", "y"]);
}

#[test]
fn a_batch_that_is_too_long_changes_nothing() {
    let mut member = Member::default();

    let refused = member.apply(Command::Batch(vec![Step::set("k", "v"); STEPS_MAX + 1]));

    assert!(matches!(refused, Err(Refused::TooMuchAtOnce { .. })));
    assert_eq!(member.entry("k"), None);
}

#[tokio::test(start_paused = true)]
async fn the_steps_of_a_batch_share_one_revision() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [kv, _] = cluster.followers();
    let before = kv.set("before", "").await?;

    let done = kv.batch([Step::set("a", "1"), Step::set("b", "2")]).await?;
    let [a, b] = [kv.entry("a").await?, kv.entry("b").await?];

    let revision = done.revision;
    assert_eq!(revision, before.next());
    let modified = |entry: Option<&liferaft_kv::Entry>| entry.map(|entry| entry.meta.modified);
    assert_eq!(
        [modified(a.as_ref()), modified(b.as_ref())],
        [Some(revision); 2]
    );
    assert_ne!(revision, Revision::ZERO);
    Ok(())
}
