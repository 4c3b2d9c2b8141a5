//! Tests that members of different versions work together over real links, one of them as a process.

use std::error::Error;
use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use liferaft::{
    Config, Endpoint, Founding, Invitation, Kv, KvHandle, Member, MemoryStorage, ServerId, Storage,
    Terms,
};

use crate::dialect::{Dialect, LATER_ENTRY, MARK, Version};
use crate::node::{ANYWHERE, Folder, Node, liferaft, run};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const LOG: &str = "log";

/// Starts a member of another version in this process: one that is invited, or the founder.
async fn start(
    disk: MemoryStorage,
    version: Version,
    invitation: Option<Invitation>,
) -> Outcome<(KvHandle, Arc<AtomicU64>)> {
    let carrier = WebSocketCarrier::listen(WebSocketConfig::default(), ANYWHERE.parse()?).await?;
    let addresses = carrier.local_address();
    let end = Endpoint::new(disk.identity().clone(), carrier);
    let (end, translated) = Dialect::new(end, version);
    let config = Config::builder().election_timeout(Duration::from_millis(500));
    let mut member = Member::builder(Kv::new(), end, disk)
        .config(config.build()?)
        .serve_clients()
        .addresses(addresses);
    if let Some(invitation) = invitation {
        member = member.invited(invitation);
    }
    Ok((KvHandle::new(member.start().await?), translated))
}

/// Two members of other versions here, and one of this version in a process.
struct Mixed {
    ada: KvHandle,
    bob: KvHandle,
    eve: Node,
    /// How many frames ada and bob have written otherwise than this version.
    translated: [Arc<AtomicU64>; 2],
    _folder: Folder,
}

impl Mixed {
    async fn start(name: &str, versions: [Version; 2]) -> Outcome<Self> {
        let folder = Folder::new(name);
        let mut disk = MemoryStorage::default();
        Founding::by(disk.identity())
            .closed()
            .found(&mut disk)
            .await?;
        let (ada, of_ada) = start(disk, versions[0], None).await?;
        let invitation = ada.raft().invite(Terms::membership().with_uses(2)).await?;
        let invited = Some(invitation.clone());
        let (bob, of_bob) = start(MemoryStorage::default(), versions[1], invited).await?;
        bob.raft().joined().await?;
        let data = folder.of("eve");
        let mut command = liferaft();
        command.stderr(Stdio::piped());
        let eve = Node::start_by(
            command,
            &[
                "node",
                "--data",
                &data,
                "--listen",
                ANYWHERE,
                "--name",
                "eve",
                "--join",
                &invitation.to_string(),
            ],
        );
        Ok(Self {
            ada,
            bob,
            eve,
            translated: [of_ada, of_bob],
            _folder: folder,
        })
    }
}

/// Has a server lead, as one member asks for it.
async fn lead(by: &KvHandle, server: ServerId) -> Outcome {
    let leads = || by.raft().status().borrow().raft.leader == Some(server);
    while !leads() {
        // On a busy machine a transfer may take too long, and is given up.
        let _given_up = by.raft().transfer_leadership(Some(server)).await;
    }
    Ok(())
}

async fn lines(member: &KvHandle) -> Outcome<Vec<Bytes>> {
    let read = member.read_sequence(LOG, 0, usize::MAX).await?;
    Ok(read.value.values)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_whose_fields_differ_work_together() -> Outcome {
    let mixed = Mixed::start("fields", [Version::Next, Version::Last]).await?;
    let Mixed { ada, bob, eve, .. } = &mixed;
    let started = eve.until("started", |_| true);
    let of_eve: ServerId = started["server"].as_str().ok_or("it has an id")?.parse()?;
    eve.until_voters(3);
    let operator = ada.raft().invite(Terms::operating()).await?.to_string();

    // Back and forth: whoever leads, all write, one of them as a client from a shell.
    let mut expected = Vec::new();
    let leaders = [
        of_eve,
        bob.raft().id(),
        ada.raft().id(),
        bob.raft().id(),
        of_eve,
    ];
    for (round, leader) in leaders.into_iter().enumerate() {
        lead(ada, leader).await?;
        let [a, b, c] = ["ada", "bob", "a client"].map(|who| format!("{round} {who}"));
        ada.append(LOG, a.clone()).await?;
        bob.append(LOG, b.clone()).await?;
        let appended = run(&["kv", "--at", &operator, "append", LOG, &c]);
        assert_eq!(appended.status.code(), Some(0), "{appended:?}");
        expected.extend([a, b, c]);
    }

    assert_eq!(lines(ada).await?, expected);
    assert_eq!(lines(bob).await?, expected);
    // Which leads, so that what a client reads is its own state.
    let read = run(&["kv", "--at", &operator, "read", LOG]);
    assert_eq!(String::from_utf8(read.stdout)?, expected.join("\n") + "\n");
    for translated in &mixed.translated {
        assert!(translated.load(Ordering::Relaxed) > 0);
    }
    assert_eq!(mixed.eve.stop(), Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_entry_stops_only_whoever_does_not_know_it() -> Outcome {
    let mut mixed = Mixed::start("entries", [Version::Next; 2]).await?;
    mixed.eve.until_voters(3);
    let Mixed { ada, bob, eve, .. } = &mut mixed;
    lead(bob, ada.raft().id()).await?;
    ada.append(LOG, "known to all").await?;

    // The majority of those who know it commits it.
    let commit = ada.raft().status().borrow().raft.commit;
    let place = ada.append(LOG, MARK).await?;
    let code = eve.ended();
    let mut errors = String::new();
    let told = eve.process.0.stderr.take().ok_or("it is piped")?;
    std::io::BufReader::new(told).read_to_string(&mut errors)?;
    // The others go on, whoever of them leads.
    bob.append(LOG, "after it").await?;
    lead(ada, bob.raft().id()).await?;
    ada.append(LOG, "and after that").await?;

    assert_eq!(place.value, 1);
    assert_eq!(code, Some(1), "{errors}");
    let said = format!("is of the unknown kind {LATER_ENTRY}: upgrade this member");
    assert!(errors.contains(&said), "{errors}");
    let (_, index) = errors
        .split_once("the entry at index ")
        .ok_or("it is named")?;
    let index: u64 = index.split(' ').next().ok_or("a number")?.parse()?;
    assert!(index > commit.0, "{errors}");
    let expected = [
        Bytes::from("known to all"),
        Bytes::from_static(MARK),
        Bytes::from("after it"),
        Bytes::from("and after that"),
    ];
    assert_eq!(lines(ada).await?, expected);
    assert_eq!(lines(bob).await?, expected);
    Ok(())
}
