//! The key-value store, used by a client that is no member, over links that prove who is there.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use liferaft_kv::limits::HISTORY_CHANGES_MAX;
use liferaft_kv::{
    ClientWatch, Compare, CompareAndSet, Count, Keys, Kv, KvError, KvHandle, Refused, Revision,
    Scan, Step, Txn, WatchEvent,
};
use liferaft_node::driver::{
    Client, ClientRefused, Founding, Handle, Member, ProposeError, ReadError, Terms,
};
use liferaft_node::identity::Identity;
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::config::Config;
use liferaft_transport::memory::MemoryNetwork;

/// Three members of a closed cluster that serve clients, and their network.
async fn cluster() -> (MemoryNetwork, Vec<Handle<Kv>>) {
    let network = MemoryNetwork::new(1);
    let mut members: Vec<Handle<Kv>> = Vec::new();
    for _ in 0..3 {
        let mut disk = MemoryStorage::default();
        let invitation = match members.first() {
            Some(first) => Some(first.invite(Terms::membership()).await.expect("it leads")),
            None => {
                let founding = Founding::by(disk.identity()).closed();
                founding.found(&mut disk).await.expect("the disk is blank");
                None
            }
        };
        let end = network.connect(disk.identity().clone());
        let end = end.expect("the id is free");
        let config = Config::builder().election_timeout(Duration::from_millis(500));
        let mut member = Member::builder(Kv::new(), end, disk)
            .config(config.build().expect("it makes sense"))
            .request_timeout(Duration::from_secs(60))
            .serve_clients();
        if let Some(invitation) = invitation {
            member = member.invited(invitation);
        }
        let member = member.start().await.expect("it starts");
        member.joined().await.expect("it is invited");
        members.push(member);
    }
    (network, members)
}

async fn client(network: &MemoryNetwork, member: &Handle<Kv>) -> KvHandle<Client<Kv>> {
    client_by(Terms::writing(), network, member).await
}

async fn client_by(
    terms: Terms,
    network: &MemoryNetwork,
    member: &Handle<Kv>,
) -> KvHandle<Client<Kv>> {
    let invitation = member.invite(terms).await.expect("somebody leads");
    let identity = Identity::draw();
    let end = network.connect(identity.clone());
    let client = Client::builder(identity, end.expect("the id is free"), invitation);
    let client = client.request_timeout(Duration::from_secs(60));
    KvHandle::new(client.start().expect("its transport is its own"))
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_operations_of_a_member() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;

    kv.set("camp", "hill").await?;
    let swapped = kv.compare_and_set("camp", "hill", "river").await?;
    let place = kv.append("log", "08:15").await?;
    let count = kv.read_sequence("log", 0, usize::MAX).await?.count;
    let appended = kv.seq_append("log", count, "08:20").await?;
    let stale = kv.seq_append("log", Count::ZERO, "late").await?;
    let moved = Txn::when([Compare::value("camp", "river")])
        .then([Step::delete("camp"), Step::set("base", "river")]);
    let moved = kv.txn(moved).await?;
    let page = kv.scan(Scan::of(Keys::all())).await?;

    assert_eq!(swapped.into_value(), CompareAndSet::Set);
    assert_eq!(
        (*place, appended.succeeded, stale.succeeded),
        (0, true, false)
    );
    assert!(moved.succeeded);
    let keys: Vec<_> = page.entries.iter().map(|entry| &entry.key[..]).collect();
    assert_eq!(keys, [&b"base"[..], b"log"]);
    assert_eq!(kv.get("camp").await?.as_deref(), None);
    assert!(*kv.delete("base").await?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_clients_append_is_there_once_although_the_leader_dies() {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;
    let leader = members[0].status().borrow().leader().expect("one leads");

    let appending = (0..40).map(|number: u64| {
        let kv = &kv;
        async move {
            tokio::time::sleep(Duration::from_millis(20 * number)).await;
            kv.append("log", number.to_string()).await
        }
    });
    let dying = async {
        tokio::time::sleep(Duration::from_millis(410)).await;
        network.kill(leader);
    };
    let (appended, ()) = futures::join!(join_all(appending), dying);

    let log = kv.read_sequence("log", 0, usize::MAX).await;
    let mut numbers: Vec<u64> = log
        .expect("two are left")
        .values
        .iter()
        .map(|value| String::from_utf8_lossy(value).parse().expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert!(appended.iter().all(Result::is_ok));
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_clients_lease_ends_its_keys_when_it_is_kept_alive_no_more() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;
    let lease = kv.grant_lease(Duration::from_secs(5)).await?;
    lease.set("present/ada", "here").await?;

    let kept = lease.kept_alive();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let during = kv.get("present/ada").await?.as_deref().is_some();
    drop(kept);
    tokio::time::sleep(Duration::from_secs(30)).await;

    assert!(during);
    assert_eq!(kv.get("present/ada").await?.as_deref(), None);
    Ok(())
}

/// The changes that a watch tells, as texts, until it has told so many.
async fn told(watch: &mut ClientWatch, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let event = watch.next().await.expect("it goes on");
        if let WatchEvent::Changes(changes) = event.expect("nothing is compacted") {
            told.extend(changes.iter().map(|change| format!("{change:?}")));
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_clients_watch_tells_what_changes_as_it_does() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;
    let mut watch = kv.watch(Keys::prefix("camp/"));
    let begun = watch.next().await;

    kv.set("else", "no").await?;
    kv.set("camp/1", "hill").await?;
    let written = tokio::time::Instant::now();
    let first = told(&mut watch, 1).await;
    let after = written.elapsed();
    tokio::time::sleep(Duration::from_secs(60)).await;
    kv.delete("camp/1").await?;
    let second = told(&mut watch, 1).await;

    assert!(matches!(begun, Some(Ok(WatchEvent::Progress(_)))));
    assert_eq!(first, ["set(camp/1, 4 bytes)"]);
    assert!(after < Duration::from_millis(100), "{after:?}");
    assert_eq!(second, ["delete(camp/1)"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_clients_watch_survives_the_leader_and_leaves_nothing_out() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;
    let from = kv.revision().await?.next();
    let mut watch = kv.watch_from(Keys::all(), from);
    let leader = members[0].status().borrow().leader().expect("one leads");

    let writing = async {
        for number in 0..40 {
            if number == 20 {
                network.kill(leader);
            }
            kv.set("count", number.to_string()).await?;
        }
        Ok::<_, KvError>(())
    };
    let (written, told) = futures::join!(writing, told(&mut watch, 40));

    written?;
    let expected: Vec<_> = (0..40)
        .map(|number: u64| format!("set(count, {} bytes)", number.to_string().len()))
        .collect();
    assert_eq!(told, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_clients_watch_of_what_is_compacted_ends() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let kv = client(&network, &members[1]).await;
    let changes = (0..=HISTORY_CHANGES_MAX).collect::<Vec<_>>();
    for numbers in changes.chunks(100) {
        let steps = numbers
            .iter()
            .map(|number| Step::set("count", number.to_string()));
        let _done = kv.batch(steps).await?;
    }

    let mut watch = kv.watch_from(Keys::all(), Revision(1));
    let ended = watch.next().await;

    let cause = ended.and_then(Result::err).map(|error| error.cause);
    assert!(matches!(
        cause,
        Some(KvError::Refused(Refused::Compacted { .. }))
    ));
    assert!(watch.next().await.is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_limited_to_a_prefix_has_its_keys_alone() -> Result<(), KvError> {
    let (network, members) = cluster().await;
    let terms = Terms::writing().within_prefixes(["camp/"]);
    let terms = terms.expect("it is short");
    let kv = client_by(terms, &network, &members[1]).await;
    let mut watch = kv.watch(Keys::prefix("camp/"));
    let begun = watch.next().await;

    // Made together, they travel together.
    let (within, outside, gotten) = futures::join!(
        kv.set("camp/1", "hill"),
        kv.set("tent/1", "red"),
        kv.get("tent/1")
    );
    let across = Txn::when([Compare::value("camp/1", "hill")]).then([Step::set("tent/1", "red")]);
    let across = kv.txn(across).await.map(drop);
    let scanned = kv.scan(Scan::of(Keys::all())).await.map(drop);
    let own = kv.scan(Scan::of(Keys::prefix("camp/"))).await?;
    let foreign = kv.watch(Keys::all()).next().await;
    let told = told(&mut watch, 1).await;

    within?;
    let write = KvError::Propose(ProposeError::Refused(ClientRefused::OutOfScope));
    let read = KvError::Read(ReadError::Refused(ClientRefused::OutOfScope));
    assert_eq!(outside.map(drop), Err(write.clone()));
    assert_eq!(across, Err(write));
    assert_eq!(gotten.map(drop), Err(read.clone()));
    assert_eq!(scanned, Err(read.clone()));
    let cause = foreign.and_then(Result::err).map(|error| error.cause);
    assert_eq!(cause, Some(read));
    assert_eq!(own.entries.len(), 1);
    assert!(matches!(begun, Some(Ok(WatchEvent::Progress(_)))));
    assert_eq!(told, ["set(camp/1, 4 bytes)"]);
    let everything = KvHandle::new(members[0].clone());
    assert_eq!(everything.get("tent/1").await?.as_deref(), None);
    Ok(())
}
