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
use liferaft::transport::memory::AttachError;
use liferaft::transport::{DeliveryClass, SendError};
use liferaft::{
    ClusterId, Configuration, Exclusion, Kv, KvError, KvHandle, LeaveError, Member,
    MembershipError, OutboxError, ParseIdError, ProposeError, ReadError, ServerId, ShutdownError,
    StartError, StopReason, Transport, UnknownCause, WaitError,
};

use crate::bank::{Bank, Command, Note, Query};
use crate::{Outcome, Site, udp};

const SECOND: Duration = Duration::from_secs(1);

/// Takes the error out of an outcome, which is of this variant, and prints what it says.
macro_rules! met {
    ($outcome:expr, $variant:pat) => {{
        let error = $outcome.err().expect("it is refused");
        println!("{} | {error}", stringify!($variant));
        assert!(matches!(error, $variant), "{error:?}");
        error
    }};
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
    assert!(met!(bob.propose(note).await, ProposeError::Unserialisable(_)).is_definite());
    let long = bob.propose(open(2 << 20)).await;
    assert!(met!(long, ProposeError::TooLarge { .. }).is_definite());
    met!(
        bob.read(Query::Balance("nobody")).await,
        ReadError::Panicked
    );

    assert_eq!(bob.propose(open(1)).await?, Ok(()));
    site.network.partition(&[&[bob.id()]]);
    let hasty = bob.within(SECOND / 2);
    let sent = hasty.propose(open(2)).await;
    assert!(!met!(sent, ProposeError::Unknown(UnknownCause::NoReply)).is_definite());
    bob.wait_for(|status| status.leader().is_none()).await?;
    assert!(met!(hasty.propose(open(3)).await, ProposeError::TimedOut).is_definite());
    met!(hasty.read(Query::Total).await, ReadError::TimedOut);

    eve.shutdown().await?;
    assert!(met!(eve.propose(open(4)).await, ProposeError::Stopped).is_definite());
    met!(eve.read(Query::Total).await, ReadError::Stopped);
    met!(eve.joined().await, WaitError::Stopped(StopReason::Shutdown));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_no_part_learns_why() -> Outcome {
    let site = Site::new();
    let [ada, bob, eve] = site.three::<Bank>().await?;
    let elsewhere = Site {
        cluster: ClusterId::random(),
        network: site.network.clone(),
    };
    let lost = elsewhere
        .member::<Bank>()
        .join(ada.id())
        .start()
        .await?
        .within(3 * SECOND);
    let other = elsewhere.member::<Bank>().first_server().start().await?;
    let twice = site.member::<Bank>().first_server().start().await?;

    let wrong = lost.joined().await;
    met!(wrong, WaitError::Excluded(Exclusion::WrongCluster { .. }));
    let open = Command::Open {
        account: "mill".to_owned(),
        cents: 1,
    };
    let wrong = lost.propose(open).await;
    assert!(
        met!(
            wrong,
            ProposeError::Excluded(Exclusion::WrongCluster { .. })
        )
        .is_definite()
    );
    met!(
        lost.read(Query::Total).await,
        ReadError::Excluded(Exclusion::WrongCluster { .. })
    );
    ada.remove_server(eve.id()).await?;
    met!(
        eve.within(3 * SECOND).joined().await,
        WaitError::Excluded(Exclusion::Removed)
    );

    let add = |id| ada.add_server(id);
    assert!(met!(add(other.id()).await, MembershipError::WrongCluster(_)).is_definite());
    assert!(met!(add(twice.id()).await, MembershipError::AnotherHistory(_)).is_definite());
    assert!(met!(add(ServerId(7)).await, MembershipError::Unreachable(_)).is_definite());
    assert!(met!(add(bob.id()).await, MembershipError::AlreadyMember(_)).is_definite());
    let removed = ada.remove_server(ServerId(7)).await;
    assert!(met!(removed, MembershipError::NotMember(_)).is_definite());
    let nothing = ada
        .change_membership(MembershipChange { steps: vec![] })
        .await;
    assert!(met!(nothing, MembershipError::Invalid(_)).is_definite());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn members_start_wait_and_stop_with_these() -> Outcome {
    let site = Site::new();
    let both = site.member::<Kv>().first_server().join(ServerId(1));
    met!(both.start().await, StartError::FoundsAndJoins);
    let others = site
        .member::<Kv>()
        .bootstrap(Configuration::of_voters([ServerId(1)]));
    met!(others.start().await, StartError::Bootstrap(_));
    let id = ServerId::random();
    let short = udp::connect(&[id])?.remove(0);
    let short = Member::builder(site.cluster, Kv::new(), short);
    let short = short.bootstrap(Configuration::of_voters([id]));
    met!(short.start().await, StartError::FramesTooShort { .. });

    let ada = site.member::<Kv>().first_server().start().await?;
    ada.joined().await?;
    let never = ada.within(SECOND).wait_for(|_| false).await;
    assert!(met!(never, WaitError::TimedOut).is_definite());
    assert!(met!(ada.shutdown().await, ShutdownError::OnlyVoter(_)).is_definite());
    assert!(met!(ada.leave().await, LeaveError::OnlyVoter(_)).is_definite());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_store_refuses_with_these() -> Outcome {
    let site = Site::new();
    let ada = KvHandle::new(site.member::<Kv>().first_server().start().await?);
    let now = ada.set("value", "1").await?;
    ada.append("sequence", "1").await?;
    let many = |steps: usize| vec![Step::set("a", "b"); steps];

    met!(ada.get("").await, KvError::Refused(Refused::KeyEmpty));
    met!(
        ada.get("sequence").await,
        KvError::Refused(Refused::WrongKind { .. })
    );
    met!(
        ada.set("k".repeat(2_000), "").await,
        KvError::Refused(Refused::KeyTooLong { .. })
    );
    met!(
        ada.set("k", vec![0; 600_000]).await,
        KvError::Refused(Refused::ValueTooLong { .. })
    );
    met!(
        ada.batch(many(129)).await,
        KvError::Refused(Refused::TooMuchAtOnce { .. })
    );
    let future = Scan::of(Keys::all()).at(Revision(now.0 + 1_000));
    met!(
        ada.scan(future).await,
        KvError::Refused(Refused::RevisionAhead { .. })
    );
    let short = ada.grant_lease(Duration::from_millis(1)).await;
    met!(short, KvError::Refused(Refused::LeaseTtl { .. }));
    let lease = ada.grant_lease(5 * SECOND).await?;
    lease.revoke().await?;
    met!(
        lease.keep_alive().await,
        KvError::Refused(Refused::LeaseEnded { .. })
    );
    for thousand in 0..9 {
        let keys = (0..128).map(|key| Step::set(format!("many/{thousand}/{key}"), ""));
        ada.batch(keys).await?;
    }
    let all = Txn::always().then([Step::delete_keys(Keys::prefix("many/"))]);
    met!(
        ada.txn(all).await,
        KvError::Refused(Refused::TooMuchDeleted)
    );
    ada.raft().stop().await;
    met!(
        ada.set("k", "").await,
        KvError::Propose(ProposeError::Stopped)
    );
    met!(ada.get("k").await, KvError::Read(ReadError::Stopped));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn outboxes_refuse_and_end_with_these() -> Outcome {
    let site = Site::new();
    let alone = KvHandle::new(site.member::<Kv>().start().await?);
    let config = OutboxConfig::default().commands_max(1);
    let outbox = alone
        .outbox(config.store(MemoryOutboxStore::default()))
        .await?;

    let mut waiting = outbox.set("camp", "hill")?;
    assert!(waiting.stored().await);
    met!(outbox.set("", ""), KvPushError::Refused(Refused::KeyEmpty));
    met!(
        outbox.set("camp", "mill"),
        KvPushError::Push(PushError::Full { .. })
    );
    assert_eq!(outbox.close().await.len(), 1);
    met!(
        outbox.set("camp", "mill"),
        KvPushError::Push(PushError::Closed(_))
    );
    met!(
        waiting.await,
        KvOutboxError::Outbox(OutboxError::Interrupted(_))
    );
    Ok(())
}

#[tokio::test]
async fn values_and_links_are_refused_with_these() -> Outcome {
    met!("31".parse::<ServerId>(), ParseIdError::NoPrefix);
    met!("seven".parse::<Count>(), ParseCountError { .. });
    met!(decode::<bool>(&[7]), CodecError::Decode { .. });
    met!(decode::<bool>(&[1, 1]), CodecError::Left { .. });
    let config = Config::builder()
        .limits(|limits| limits.reads_max = 0)
        .build();
    met!(config, ConfigError::ZeroLimit { .. });

    let network = Site::new().network;
    let mut end = network.attach(ServerId(1))?;
    met!(network.attach(ServerId(1)), AttachError::InUse(_));
    let long = vec![0; end.frame_bytes_max() + 1].into();
    let _other = network.attach(ServerId(2))?;
    let sent = end.send(ServerId(2), DeliveryClass::Datagram, long);
    met!(sent, SendError::TooLarge { .. });
    let sent = end.send(ServerId(3), DeliveryClass::Stream, "hello".into());
    met!(sent, SendError::NoLink(ServerId(3)));
    Ok(())
}
