//! A member on a real file system that another file fills: it refuses commands and hands leadership over, then stops,
//! and goes on from what is there once there is room again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use liferaft::kv::KvError;
use liferaft::storage::{DiskStorage, Storage, StorageError, Verdict, inspect};
use liferaft::{
    ClusterId, Kv, KvHandle, Member, MemberStatus, MemoryNetwork, ProposeError, ServerId,
    StopReason,
};
use tokio::time::{sleep, timeout};

/// How long anything may take, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the whole story may take: seconds, mostly.
const STORY_MAX: Duration = Duration::from_secs(50);

/// How often a condition is looked at that nobody tells of.
const POLL: Duration = Duration::from_millis(5);

const KEY: &str = "book";

/// Long enough that the reserve is spent after some hundred values.
const VALUE_BYTES: usize = 8000;

/// The reserve, and all that was there before, has room for fewer values.
const VALUES_MAX: u64 = 5000;

/// How many values are read at once.
const PAGE: usize = 100;

/// Tells the story with one member on this file system, and two in a folder beside it.
pub(crate) fn run(mount: &Path, beside: &Path) -> Result<String, String> {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let told = runtime.block_on(async { timeout(STORY_MAX, story(mount, beside)).await });
    told.unwrap_or_else(|_| Err("it takes too long".to_owned()))
}

async fn story(mount: &Path, beside: &Path) -> Result<String, String> {
    let (folder, filler) = (mount.join("member"), mount.join("filler"));
    let network = MemoryNetwork::new(1);
    let small = start(&network, &folder, None).await?;
    let (id, cluster) = (small.raft().id(), small.raft().cluster());
    let mut others = Vec::new();
    for name in ["one", "other"] {
        let other = start(&network, &beside.join(name), Some((cluster, id))).await?;
        other.raft().joined().await.map_err(text)?;
        others.push(other);
    }

    // There is room but for the reserve: it takes no commands, and hands leadership over.
    let mut written = 0;
    append(&small, &mut written).await.map_err(text)?;
    fill(&filler).map_err(text)?;
    loop {
        match append(&small, &mut written).await {
            Ok(()) if written < VALUES_MAX => {}
            Ok(()) => return Err(format!("{written} values found room where there is none")),
            Err(KvError::Propose(ProposeError::NoRoom)) => break,
            Err(error) => return Err(format!("without room it said: {error}")),
        }
    }
    let on_reserve = written;
    shows(&small, |status| {
        status.leader().is_some_and(|leads| leads != id)
    })
    .await?;
    if !small.raft().status().borrow().storage.is_low {
        return Err("its status does not say that the disk is full".to_owned());
    }
    append(&small, &mut written).await.map_err(text)?;

    // Nor is there a reserve: it stops, and the others go on.
    fill(&filler).map_err(text)?;
    while small.raft().status().borrow().stopped.is_none() {
        append(&others[0], &mut written).await.map_err(text)?;
        if written > VALUES_MAX {
            return Err(format!("it goes on after {written} values"));
        }
    }
    let stopped = small.raft().status().borrow().stopped.clone();
    match stopped {
        Some(StopReason::Storage(why)) if why.contains("the disk is full") => {}
        stopped => return Err(format!("it stopped for another reason: {stopped:?}")),
    }
    let without_it = written;
    append(&others[0], &mut written).await.map_err(text)?;
    drop(small);

    // There is room again: it goes on from what is there.
    fs::remove_file(&filler).map_err(text)?;
    let found = inspect(&folder).map_err(text)?;
    if !matches!(found.verdict, Verdict::Sound) || found.entries.is_empty() {
        return Err(format!("its store is not in order: {:?}", found.verdict));
    }
    let small = start(&network, &folder, None).await?;
    if small.raft().id() != id {
        return Err("it came back as another server".to_owned());
    }
    append(&small, &mut written).await.map_err(text)?;
    check(&small, written).await?;
    shows(&small, |status| !status.storage.is_low).await?;
    Ok(format!(
        "with {on_reserve} values it had no room but its reserve, and another led; with {without_it} it stopped; after \
         its restart all {written} are there, once and in order"
    ))
}

/// Starts the member of this folder; a blank one founds a cluster, or joins this one.
async fn start(
    network: &MemoryNetwork,
    folder: &Path,
    joins: Option<(ClusterId, ServerId)>,
) -> Result<KvHandle, String> {
    let mut disk = timeout(PATIENCE, opened(folder)).await.map_err(text)??;
    if joins.is_none() && disk.cluster().is_none() {
        Member::found(&mut disk).await.map_err(text)?;
    }
    let transport = network.attach(disk.identity().id()).map_err(text)?;
    let mut member = Member::builder(Kv::new(), transport, disk).request_timeout(PATIENCE);
    if let Some((cluster, server)) = joins {
        member = member.join(cluster, server);
    }
    Ok(KvHandle::new(member.start().await.map_err(text)?))
}

/// Opens a folder, once the member that had it before is gone.
async fn opened(folder: &Path) -> Result<DiskStorage, String> {
    loop {
        match DiskStorage::open(folder).await {
            Err(StorageError::InUse { .. }) => sleep(POLL).await,
            opened => return opened.map_err(text),
        }
    }
}

/// Waits until a member shows this.
async fn shows(member: &KvHandle, is_meant: impl Fn(&MemberStatus) -> bool) -> Result<(), String> {
    let mut status = member.raft().status();
    let shown = timeout(PATIENCE, status.wait_for(is_meant)).await;
    shown.map_err(text)?.map(drop).map_err(text)
}

/// Appends the next value through a member.
async fn append(member: &KvHandle, written: &mut u64) -> Result<(), KvError> {
    member.append(KEY, value(*written)).await?;
    *written += 1;
    Ok(())
}

/// What is written to this place.
fn value(place: u64) -> Bytes {
    format!("{place} {}", ".".repeat(VALUE_BYTES)).into()
}

/// Reads all that was written through a member.
async fn check(member: &KvHandle, written: u64) -> Result<(), String> {
    let mut count = 0;
    loop {
        let part = member.read_sequence(KEY, count, PAGE).await;
        let values = part.map_err(text)?.values.clone();
        for found in &values {
            if *found != value(count) {
                return Err(format!("another value is at place {count}"));
            }
            count += 1;
        }
        if values.len() < PAGE {
            break;
        }
    }
    if count == written {
        Ok(())
    } else {
        Err(format!(
            "{written} values were acknowledged, {count} are there"
        ))
    }
}

/// Writes to this file until the file system has no room.
fn fill(filler: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(filler)?;
    for length in [1 << 16, 1 << 12] {
        let piece = vec![0x5a; length];
        loop {
            match file.write_all(&piece) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    file.sync_all()
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
