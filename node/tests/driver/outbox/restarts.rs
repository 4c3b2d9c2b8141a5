use async_trait::async_trait;
use liferaft_node::driver::{
    Outbox, OutboxCause, OutboxConfig, OutboxError, OutboxState, PendingState, PushError,
};
use liferaft_node::storage::StorageError;
use liferaft_node::storage::outbox::{
    MemoryOutboxStore, OutboxStore, OutboxWrite, RecoveredOutbox,
};

use crate::cluster::Cluster;
use crate::machine::Journal;

/// A store whose process dies at one of its writes, before that is made or right after.
struct Crashing {
    store: MemoryOutboxStore,
    writes_left: u32,
    after: bool,
}

#[async_trait]
impl OutboxStore for Crashing {
    async fn recover(&mut self) -> Result<RecoveredOutbox, StorageError> {
        self.store.recover().await
    }

    async fn write(&mut self, write: OutboxWrite) -> Result<(), StorageError> {
        tokio::task::yield_now().await;
        let dies = self.writes_left == 0;
        if !dies || self.after {
            self.store.write(write).await?;
        }
        if dies {
            return Err(StorageError::Damaged {
                what: "process",
                reason: "it crashed".to_owned(),
            });
        }
        self.writes_left -= 1;
        Ok(())
    }
}

/// Stops a member as a crash does, and starts it again over its disk.
async fn crash_and_restart(cluster: &mut Cluster, id: u128, outbox: Outbox<Journal>) {
    drop(outbox);
    cluster.kill(id);
    tokio::task::yield_now().await;
    cluster.start(id, |member| member).await;
}

async fn open(cluster: &Cluster, id: u128, store: impl OutboxStore) -> Outbox<Journal> {
    let config = OutboxConfig::default().store(store);
    let member = cluster.member(id);
    member.outbox(config).await.expect("the member runs")
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_neither_doubles_nor_loses_a_command() {
    let mut crashes = 0;
    for writes_left in 0..12 {
        for after in [false, true] {
            crashes += u32::from(crash_once(writes_left, after).await);
        }
    }
    assert!(crashes >= 16, "most of them happen: {crashes}");
}

/// Whether the crash came before all was done.
async fn crash_once(writes_left: u32, after: bool) -> bool {
    let mut cluster = Cluster::of(3).await;
    let member = cluster.others(&[cluster.leader().await])[0];
    let store = MemoryOutboxStore::default();
    let crashing = Crashing {
        store: store.clone(),
        writes_left,
        after,
    };
    let first = open(&cluster, member, crashing).await;
    let mut stored_through = 0;
    for number in 1..=6 {
        let Ok(mut ticket) = first.push(&number) else {
            break;
        };
        if ticket.stored().await {
            stored_through = number;
        }
    }
    let crashed = first.flush().await.is_err();

    crash_and_restart(&mut cluster, member, first).await;
    let second = open(&cluster, member, store).await;
    let accepted = second.status().borrow().accepted_through;
    for number in accepted + 1..=8 {
        drop(second.push(&number).unwrap());
    }

    assert!(accepted >= stored_through, "what was stored is there");
    assert_eq!(second.flush().await, Ok(()));
    let all = cluster.settled().await;
    assert_eq!(
        all,
        (1..=8).collect::<Vec<_>>(),
        "crash at {writes_left}, after: {after}"
    );
    crashed
}

#[tokio::test(start_paused = true)]
async fn an_outbox_goes_on_after_a_restart_with_what_it_stored_and_tells_its_replies() {
    let mut cluster = Cluster::of(3).await;
    let member = cluster.others(&[cluster.leader().await])[0];
    let store = MemoryOutboxStore::default();
    let first = open(&cluster, member, store.clone()).await;
    first.push(&1).unwrap().await.unwrap();
    cluster.isolate(member);
    let mut sent = first.push(&2).unwrap();
    assert!(sent.stored().await);

    crash_and_restart(&mut cluster, member, first).await;
    let second = open(&cluster, member, store).await;
    let states: Vec<_> = second
        .pending()
        .iter()
        .map(|pending| (pending.number, pending.state, pending.stored))
        .collect();
    let again = second.ticket(2).unwrap();
    cluster.network.heal_all();

    let closed = OutboxCause::Closed;
    assert_eq!(sent.await, Err(OutboxError::Interrupted(closed)));
    assert_eq!(states, [(2, PendingState::Sent, true)]);
    assert_eq!(again.await, Ok(2));
    assert_eq!(second.push(&3).unwrap().await, Ok(3));
    assert_eq!(cluster.settled().await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_closed_and_opened_again_in_one_run_goes_on() {
    let cluster = Cluster::of(3).await;
    let member = cluster.others(&[cluster.leader().await])[0];
    let store = MemoryOutboxStore::default();
    let first = open(&cluster, member, store.clone()).await;
    let tickets: Vec<_> = (1..=50).map(|n| first.push(&n).unwrap()).collect();
    for mut ticket in tickets {
        assert!(ticket.stored().await);
    }

    first.close().await;
    let second = open(&cluster, member, store).await;

    assert_eq!(second.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, (1..=50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_closes_its_outbox_and_nobody_else() {
    let cluster = Cluster::of(3).await;
    let member = cluster.others(&[cluster.leader().await])[0];
    let failing = Crashing {
        store: MemoryOutboxStore::default(),
        writes_left: 0,
        after: false,
    };
    let outbox = open(&cluster, member, failing).await;

    let mut ticket = outbox.push(&1).unwrap();

    assert!(!ticket.stored().await);
    assert!(matches!(
        ticket.await,
        Err(OutboxError::NotDone(OutboxCause::Store(_))
            | OutboxError::Interrupted(OutboxCause::Store(_)))
    ));
    assert!(matches!(
        outbox.status().borrow().state,
        OutboxState::Closed(OutboxCause::Store(_))
    ));
    assert!(matches!(outbox.push(&2), Err(PushError::Closed(_))));
    assert_eq!(cluster.member(member).propose(9).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn members_that_restart_around_an_outbox_do_not_disturb_it() {
    let mut cluster = Cluster::of(3).await;
    let member = 1;
    let outbox = open(&cluster, member, MemoryOutboxStore::default()).await;
    for number in 1..=300 {
        drop(outbox.push(&number).unwrap());
        if number % 100 == 0 {
            let other = u128::from(2 + number / 100 % 2);
            cluster.kill(other);
            tokio::task::yield_now().await;
            cluster.start(other, |member| member).await;
            cluster.leader().await;
        }
    }

    assert_eq!(outbox.flush().await, Ok(()));
    assert_eq!(cluster.settled().await, (1..=300).collect::<Vec<_>>());
}
