//! The errors that an application meets, each provoked: `cargo test errors -- --nocapture` prints what they say.

use std::time::Duration;

use liferaft::codec::{CodecError, decode};
use liferaft::config::{Config, ConfigError};
use liferaft::consensus::MembershipChange;
use liferaft::driver::{OutboxConfig, PushError};
use liferaft::kv::{
    Count, Keys, KvOutboxError, KvPushError, ParseCountError, Refused, Revision, Scan, Step, Txn,
};
use liferaft::storage::outbox::MemoryOutboxStore;
use liferaft::transport::links::LinkLimits;
use liferaft::transport::memory::AttachError;
use liferaft::transport::{DeliveryClass, SendError};
use liferaft::{
    ClusterId, Configuration, Endpoint, Exclusion, FoundError, Founding, Kv, KvError, KvHandle,
    LeaveError, Member, MembershipError, MemoryStorage, OutboxError, ParseIdError, ProposeError,
    ReadError, ServerId, ShutdownError, StartError, StopReason, Storage, StorageError, Transport,
    UnknownCause, WaitError,
};

use crate::bank::{Bank, Command, Note, Query};
use crate::udp::Udp;
use crate::{Outcome, Site};

const SECOND: Duration = Duration::from_secs(1);

/// Takes the error out of an outcome, which is of this variant and says this, and prints it.
macro_rules! met {
    ($outcome:expr, $variant:pat, $text:literal) => {{
        let error = $outcome.err().expect("it is refused");
        println!("{} | {error}", stringify!($variant));
        assert!(matches!(error, $variant), "{error:?}");
        assert_eq!(without_drawn_ids(&error.to_string()), $text);
        error
    }};
}

/// What an error says, where it names ids that were drawn.
fn without_drawn_ids(text: &str) -> String {
    let is_drawn = |word: &&str| word.starts_with("0x") && word.len() > 10;
    let name = |word| if is_drawn(&word) { "0x…" } else { word };
    let parts = text.split_inclusive([' ', ',']).map(|part| {
        let word = part.trim_end_matches([' ', ',']);
        format!("{}{}", name(word), &part[word.len()..])
    });
    parts.collect()
}

#[tokio::test(start_paused = true)]
async fn commands_and_reads_end_in_these() -> Outcome {
    let site = Site::new();
    let [_, bob, eve] = site.three::<Bank>().await?;
    let open = |bytes| Command::Open {
        account: "a".repeat(bytes),
        cents: 1,
    };

    let note = Command::Note(Note::Number(1));
    let error = met!(
        bob.propose(note).await,
        ProposeError::Unserialisable(_),
        "not done: the command cannot be serialised and read back: the bytes are no `newcomer::bank::Command`: This is a feature that PostCard will never implement"
    );
    assert!(error.is_definite());
    let long = bob.propose(open(2 << 20)).await;
    assert!(
        met!(
            long,
            ProposeError::TooLarge { .. },
            "not done: the command has 2097179 bytes, 1048576 are allowed"
        )
        .is_definite()
    );
    met!(
        bob.read(Query::Balance("nobody")).await,
        ReadError::Panicked,
        "not done: the state machine panicked over the query"
    );

    assert_eq!(bob.propose(open(1)).await?, Ok(()));
    site.network.partition(&[&[bob.id()]]);
    let hasty = bob.within(SECOND / 2);
    let sent = hasty.propose(open(2)).await;
    assert!(
        !met!(
            sent,
            ProposeError::Unknown(UnknownCause::NoReply),
            "unknown: the command was sent, and no reply came before the deadline"
        )
        .is_definite()
    );
    bob.wait_for(|status| status.leader().is_none()).await?;
    assert!(
        met!(
            hasty.propose(open(3)).await,
            ProposeError::TimedOut,
            "not done: no leader could be asked before the deadline"
        )
        .is_definite()
    );
    met!(
        hasty.read(Query::Total).await,
        ReadError::TimedOut,
        "not done: no leader confirmed the read before the deadline"
    );

    eve.shutdown().await?;
    assert!(
        met!(
            eve.propose(open(4)).await,
            ProposeError::Stopped,
            "not done: the member has stopped"
        )
        .is_definite()
    );
    met!(
        eve.read(Query::Total).await,
        ReadError::Stopped,
        "not done: the member has stopped"
    );
    met!(
        eve.joined().await,
        WaitError::Stopped(StopReason::Shutdown),
        "not met: the member has stopped: it was shut down"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_part_learns_why() -> Outcome {
    let site = Site::new();
    let [ada, bob, eve] = site.three::<Bank>().await?;
    let lost = site
        .member::<Bank>()
        .join(ClusterId::random(), ada.id())
        .start()
        .await?
        .within(3 * SECOND);
    let other = site.founder::<Bank>().await?.start().await?;
    let mut twice = MemoryStorage::default();
    let voters = Configuration::of_voters([twice.identity().id()]);
    let founding = Founding::of(ada.cluster(), voters);
    founding.found(&mut twice).await?;
    let twice = site.member_on::<Bank>(twice).start().await?;

    let wrong = lost.joined().await;
    met!(
        wrong,
        WaitError::Excluded(Exclusion::WrongCluster { .. }),
        "not met: server 0x…, which was asked, belongs to another cluster"
    );
    let open = Command::Open {
        account: "mill".to_owned(),
        cents: 1,
    };
    let wrong = lost.propose(open).await;
    assert!(
        met!(
            wrong,
            ProposeError::Excluded(Exclusion::WrongCluster { .. }),
            "not done: server 0x…, which was asked, belongs to another cluster"
        )
        .is_definite()
    );
    met!(
        lost.read(Query::Total).await,
        ReadError::Excluded(Exclusion::WrongCluster { .. }),
        "not done: server 0x…, which was asked, belongs to another cluster"
    );
    ada.remove_server(eve.id()).await?;
    met!(
        eve.within(3 * SECOND).joined().await,
        WaitError::Excluded(Exclusion::Removed),
        "not met: an operator removed this server from its cluster: one has to add it, or it comes as a new server"
    );

    let add = |id| ada.add_server(id);
    assert!(
        met!(
            add(other.id()).await,
            MembershipError::WrongCluster(_),
            "not done: server 0x… belongs to another cluster"
        )
        .is_definite()
    );
    let error = met!(
        add(twice.id()).await,
        MembershipError::AnotherHistory(_),
        "not done: server 0x… belongs to another history of this cluster, which was founded twice"
    );
    assert!(error.is_definite());
    assert!(
        met!(
            add(ServerId(7)).await,
            MembershipError::Unreachable(_),
            "not done: server 0x7 does not answer"
        )
        .is_definite()
    );
    assert!(
        met!(
            add(bob.id()).await,
            MembershipError::AlreadyMember(_),
            "not done: server 0x… is that already"
        )
        .is_definite()
    );
    let removed = ada.remove_server(ServerId(7)).await;
    assert!(
        met!(
            removed,
            MembershipError::NotMember(_),
            "not done: server 0x7 is not a member"
        )
        .is_definite()
    );
    let nothing = ada
        .change_membership(MembershipChange { steps: vec![] })
        .await;
    assert!(
        met!(
            nothing,
            MembershipError::Invalid(_),
            "not done: the change cannot be made: it has no steps"
        )
        .is_definite()
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn members_start_wait_and_stop_with_these() -> Outcome {
    let site = Site::new();
    met!(
        site.member::<Kv>().start().await,
        StartError::NoCluster,
        "not started: the storage belongs to no cluster: name the one to join, also if the storage was lost; only the first server of a new cluster founds, once: to found again makes a second cluster, an empty one"
    );
    let others = Founding::new(Configuration::of_voters([ServerId(1)]));
    let mut disk = MemoryStorage::default();
    met!(
        others.found(&mut disk).await,
        FoundError::Bootstrap(_),
        "not founded: no cluster begins with this configuration: server 0x… does not take part in it"
    );
    let cluster = Member::found(&mut disk).await?;
    met!(
        Member::found(&mut disk).await,
        FoundError::Belongs(_),
        "not founded: the storage belongs to cluster 0x… already: start the member"
    );
    let elsewhere = site.member_on::<Kv>(disk.clone());
    met!(
        elsewhere.join(ClusterId(7), ServerId(1)).start().await,
        StartError::Storage(StorageError::Foreign { .. }),
        "not started: the storage belongs to history 0x… of cluster 0x…, not to cluster 0x7: keep it; if the other one was founded by mistake, its founder joins this one, with empty storage"
    );
    let id = disk.identity().id();
    let transport = site.network.connect(disk.identity().clone())?;
    let other = Member::builder(Kv::new(), transport, MemoryStorage::default());
    met!(
        other.cluster(cluster).start().await,
        StartError::WrongServer { .. },
        "not started: the transport is that of server 0x…, and the storage that of server 0x…"
    );
    let on_machine = Endpoint::new(disk.identity().clone(), Udp::bind().await?);
    let on_machine = Member::builder(Kv::new(), on_machine, disk.clone());
    met!(
        on_machine.start().await,
        StartError::OpenToMachine,
        "not started: every process of this machine would be let in: found a closed cluster, and join it by an invitation, or allow it to be `open`"
    );
    let mut limits = LinkLimits::default();
    limits.datagram_frame_bytes_max = 60_000;
    let carrier = site.network.attach_carrier(id)?;
    let short = Endpoint::new(disk.identity().clone(), carrier).with_limits(limits);
    let short = Member::builder(Kv::new(), short, disk);
    met!(
        short.start().await,
        StartError::FramesTooShort { .. },
        "not started: the transport carries frames of 60000 bytes, 1049600 may be needed"
    );

    let ada = site.founder::<Kv>().await?.start().await?;
    ada.joined().await?;
    let never = ada.within(SECOND).wait_for(|_| false).await;
    assert!(met!(never, WaitError::TimedOut, "not met: the deadline passed").is_definite());
    let error = met!(
        ada.shutdown().await,
        ShutdownError::OnlyVoter(_),
        "not stopped: it is the only voter: without it the state up to index 2 is lost, unless its storage keeps it, and 0 other members stand still"
    );
    assert!(error.is_definite());
    let error = met!(
        ada.leave().await,
        LeaveError::OnlyVoter(_),
        "not left: it is the only voter: without it the state up to index 2 is lost, unless its storage keeps it, and 0 other members stand still"
    );
    assert!(error.is_definite());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_store_refuses_with_these() -> Outcome {
    let site = Site::new();
    let ada = KvHandle::new(site.founder::<Kv>().await?.start().await?);
    let now = ada.set("value", "1").await?;
    ada.append("sequence", "1").await?;
    let many = |steps: usize| vec![Step::set("a", "b"); steps];

    met!(
        ada.get("").await,
        KvError::Refused(Refused::KeyEmpty),
        "not done: the key is empty, 1 to 1024 bytes are allowed"
    );
    met!(
        ada.get("sequence").await,
        KvError::Refused(Refused::WrongKind { .. }),
        "not done: the key \"sequence\" holds a sequence"
    );
    met!(
        ada.set("k".repeat(2_000), "").await,
        KvError::Refused(Refused::KeyTooLong { .. }),
        "not done: the key has 2000 bytes, 1 to 1024 are allowed"
    );
    met!(
        ada.set("k", vec![0; 600_000]).await,
        KvError::Refused(Refused::ValueTooLong { .. }),
        "not done: the value has 600000 bytes, 522240 are allowed"
    );
    met!(
        ada.batch(many(129)).await,
        KvError::Refused(Refused::TooMuchAtOnce { .. }),
        "not done: there are 129 conditions and steps of 258 bytes, 128 of 1024000 bytes are allowed"
    );
    let future = Scan::of(Keys::all()).at(Revision(now.0 + 1_000));
    met!(
        ada.scan(future).await,
        KvError::Refused(Refused::RevisionAhead { .. }),
        "not done: revision 1004 is ahead of 5, which is applied"
    );
    let short = ada.grant_lease(Duration::from_millis(1)).await;
    met!(
        short,
        KvError::Refused(Refused::LeaseTtl { .. }),
        "not done: a lease lives between 100 and 2592000000 ms, not 1 ms"
    );
    let lease = ada.grant_lease(5 * SECOND).await?;
    lease.revoke().await?;
    met!(
        lease.keep_alive().await,
        KvError::Refused(Refused::LeaseEnded { .. }),
        "not done: lease 6 has ended"
    );
    for thousand in 0..9 {
        let keys = (0..128).map(|key| Step::set(format!("many/{thousand}/{key}"), ""));
        ada.batch(keys).await?;
    }
    let all = Txn::always().then([Step::delete_keys(Keys::prefix("many/"))]);
    met!(
        ada.txn(all).await,
        KvError::Refused(Refused::TooMuchDeleted),
        "not done: the steps delete more than 1024 keys or 1048576 bytes by prefix or range"
    );
    ada.raft().stop().await;
    met!(
        ada.set("k", "").await,
        KvError::Propose(ProposeError::Stopped),
        "not done: the member has stopped"
    );
    met!(
        ada.get("k").await,
        KvError::Read(ReadError::Stopped),
        "not done: the member has stopped"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn outboxes_refuse_and_end_with_these() -> Outcome {
    let site = Site::new();
    let alone = site.member::<Kv>().cluster(ClusterId::random());
    let alone = KvHandle::new(alone.start().await?);
    let config = OutboxConfig::default().commands_max(1);
    let outbox = alone
        .outbox(config.store(MemoryOutboxStore::default()))
        .await?;

    let mut waiting = outbox.set("camp", "hill")?;
    assert!(waiting.stored().await);
    met!(
        outbox.set("", ""),
        KvPushError::Refused(Refused::KeyEmpty),
        "not done: the key is empty, 1 to 1024 bytes are allowed"
    );
    met!(
        outbox.set("camp", "mill"),
        KvPushError::Push(PushError::Full { .. }),
        "not done: the outbox is full: 1 commands of 1 and 11 bytes of 16777216 are pending"
    );
    assert_eq!(outbox.close().await.len(), 1);
    met!(
        outbox.set("camp", "mill"),
        KvPushError::Push(PushError::Closed(_)),
        "not done: the outbox is closed: the outbox was closed"
    );
    met!(
        waiting.await,
        KvOutboxError::Outbox(OutboxError::Interrupted(_)),
        "pending: the command waits in the store for the next outbox: the outbox was closed"
    );
    Ok(())
}

#[tokio::test]
async fn values_and_links_are_refused_with_these() -> Outcome {
    met!(
        "31".parse::<ServerId>(),
        ParseIdError::NoPrefix,
        "an id begins with 0x, as in 0x1f"
    );
    met!(
        "seven".parse::<Count>(),
        ParseCountError { .. },
        "not a count: it looks like 7@42, or 0"
    );
    met!(
        decode::<bool>(&[7]),
        CodecError::Decode { .. },
        "the bytes are no `bool`: Found a bool that wasn't 0 or 1"
    );
    met!(
        decode::<bool>(&[1, 1]),
        CodecError::Left { .. },
        "1 bytes follow a `bool`"
    );
    let config = Config::builder()
        .limits(|limits| limits.reads_max = 0)
        .build();
    met!(
        config,
        ConfigError::ZeroLimit { .. },
        "the limit reads_max is zero"
    );

    let network = Site::new().network;
    let mut end = network.attach(ServerId(1))?;
    met!(
        network.attach(ServerId(1)),
        AttachError::InUse(_),
        "not attached: server 0x1 is attached already"
    );
    let long = vec![0; end.frame_bytes_max() + 1].into();
    let _other = network.attach(ServerId(2))?;
    let sent = end.send(ServerId(2), DeliveryClass::Datagram, long);
    met!(
        sent,
        SendError::TooLarge { .. },
        "not sent: the frame has 1114113 bytes, 1114112 are allowed"
    );
    let sent = end.send(ServerId(3), DeliveryClass::Stream, "hello".into());
    met!(
        sent,
        SendError::NoLink(ServerId(3)),
        "not sent: there is no link to server 0x3"
    );
    Ok(())
}
