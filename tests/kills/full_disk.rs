//! A member on a real file system that another file fills. For want of room for its log it refuses commands and hands
//! leadership over, then stops, and goes on from what is there once there is room again. For want of room for a
//! snapshot it does not stop.

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

/// A snapshot of so many values is due, and is longer than [`SNAPSHOT_ROOM`].
const SNAPSHOT_VALUES: u64 = 500;

/// So much of the disk is left for a snapshot and the log, beside the reserve.
const SNAPSHOT_ROOM: u64 = 3 << 19;

/// The others' snapshots, and that member's own where they are not the matter, come after so many bytes of log.
const SNAPSHOT_AFTER: u64 = 4 << 20;

/// The length of the reserve.
const RESERVE_BYTES: u64 = 4 << 20;

/// How many values are read at once.
const PAGE: usize = 100;

/// Tells the stories, each with one member on this file system, and two in a folder beside it.
pub(crate) fn run(mount: &Path, beside: &Path) -> Result<String, String> {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let told = runtime.block_on(async {
        let by_log = timeout(STORY_MAX, by_log(mount, &beside.join("log"))).await;
        let by_log = by_log.map_err(|_| "it takes too long")??;
        let by_snapshot = timeout(STORY_MAX, by_snapshot(mount, &beside.join("snapshot"))).await;
        Ok::<_, String>((by_log, by_snapshot.map_err(|_| "it takes too long")??))
    });
    told.map(|(by_log, by_snapshot)| format!("{by_log}\n{by_snapshot}"))
}

/// One member on a small file system, and two beside it.
struct Members {
    network: MemoryNetwork,
    small: KvHandle,
    others: Vec<KvHandle>,
}

impl Members {
    /// Starts them. The small one takes a snapshot after so many bytes of log.
    async fn start(folder: &Path, beside: &Path, snapshot_after: u64) -> Result<Self, String> {
        let network = MemoryNetwork::new(1);
        let small = start(&network, folder, None, snapshot_after).await?;
        let joins = Some((small.raft().cluster(), small.raft().id()));
        let mut others = Vec::new();
        for name in ["one", "other"] {
            let other = start(&network, &beside.join(name), joins, SNAPSHOT_AFTER).await?;
            other.raft().joined().await.map_err(text)?;
            others.push(other);
        }
        Ok(Self {
            network,
            small,
            others,
        })
    }
}

/// The log fills the disk.
async fn by_log(mount: &Path, beside: &Path) -> Result<String, String> {
    let (folder, filler) = (mount.join("log"), mount.join("filler"));
    let members = Members::start(&folder, beside, SNAPSHOT_AFTER).await?;
    let Members {
        network,
        small,
        others,
    } = members;
    let id = small.raft().id();

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
        Some(StopReason::StorageFull(_)) => {}
        stopped => return Err(format!("it stopped for another reason: {stopped:?}")),
    }
    let without_it = written;
    append(&others[0], &mut written).await.map_err(text)?;
    drop(small);

    // There is room again: it goes on from what is there.
    fs::remove_file(&filler).map_err(text)?;
    let found = inspect(&folder, 0).map_err(text)?;
    if !matches!(found.verdict, Verdict::Sound) || found.log.is_none() {
        return Err(format!("its store is not in order: {:?}", found.verdict));
    }
    let small = start(&network, &folder, None, SNAPSHOT_AFTER).await?;
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

/// A snapshot fills the disk.
async fn by_snapshot(mount: &Path, beside: &Path) -> Result<String, String> {
    let (folder, filler) = (mount.join("snapshot"), mount.join("filler"));
    let mut members = Members::start(&folder, beside, u64::MAX).await?;
    let id = members.small.raft().id();
    let mut written = 0;
    while written < SNAPSHOT_VALUES {
        append(&members.small, &mut written).await.map_err(text)?;
    }
    members.small.raft().stop().await;

    // There is room for the log, and less than its snapshot takes: that is given up, and nothing else.
    fill(&filler).map_err(text)?;
    cut(&filler, SNAPSHOT_ROOM).map_err(text)?;
    members.small = start(&members.network, &folder, None, SNAPSHOT_AFTER / 2).await?;
    let Members { small, others, .. } = &members;
    let low = |status: &MemberStatus| {
        status.counters.snapshots_refused > 0 && status.storage.is_low && status.leader().is_some()
    };
    shows(small, low).await?;
    // It hands leadership back.
    let term = small.raft().status().borrow().raft.term;
    let led = others[0].raft().transfer_leadership(Some(id)).await;
    led.map_err(text)?;
    shows(small, |status| {
        let handed_on = status.raft.term > term.next();
        handed_on && status.leader().is_some_and(|leads| leads != id)
    })
    .await?;
    append(small, &mut written).await.map_err(text)?;
    let without_room = written;
    check(small, written).await?;
    let status = small.raft().status().borrow().clone();
    if status.stopped.is_some() || status.counters.snapshots_taken > 0 {
        return Err(format!("it is not as without room: {status:?}"));
    }
    let reserve = fs::metadata(folder.join("reserve")).map_err(text)?.len();
    let left = unfinished(&folder).map_err(text)?;
    if reserve != RESERVE_BYTES || !left.is_empty() {
        return Err(format!(
            "{reserve} bytes are in reserve, and {left:?} is left of a snapshot"
        ));
    }

    // There is room again: it has a snapshot, and takes commands.
    fs::remove_file(&filler).map_err(text)?;
    shows(small, |status| !status.storage.is_low).await?;
    while small.raft().status().borrow().counters.snapshots_taken == 0 {
        append(&others[0], &mut written).await.map_err(text)?;
        if written > VALUES_MAX {
            return Err(format!("no snapshot is taken after {written} values"));
        }
    }
    let led = others[0].raft().transfer_leadership(Some(id)).await;
    led.map_err(text)?;
    append(small, &mut written).await.map_err(text)?;
    check(small, written).await?;
    Ok(format!(
        "with {without_room} values it had no room for a snapshot, and another led; it did not stop, and with room it \
         took one; all {written} are there, once and in order"
    ))
}

/// The snapshots in this folder that are not finished.
fn unfinished(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let names: io::Result<Vec<_>> = names.collect();
    let names = names?.into_iter().map(|name| name.to_string_lossy().into());
    Ok(names
        .filter(|name: &String| name.starts_with("snapshot") && name.ends_with(".new"))
        .collect())
}

/// Starts the member of this folder; a blank one founds a cluster, or joins this one.
async fn start(
    network: &MemoryNetwork,
    folder: &Path,
    joins: Option<(ClusterId, ServerId)>,
    snapshot_after: u64,
) -> Result<KvHandle, String> {
    let mut disk = timeout(PATIENCE, opened(folder)).await.map_err(text)??;
    if joins.is_none() && disk.cluster().is_none() {
        Member::found(&mut disk).await.map_err(text)?;
    }
    let transport = network.attach(disk.identity().id()).map_err(text)?;
    let mut member = Member::builder(Kv::new(), transport, disk)
        .request_timeout(PATIENCE)
        .snapshot_after_log_bytes(snapshot_after);
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

/// Makes so much room again.
fn cut(filler: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().append(true).open(filler)?;
    file.set_len(file.metadata()?.len() - bytes)?;
    file.sync_all()
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn text(error: impl ToString) -> String {
    error.to_string()
}
