//! The process that is killed: a member, and tasks that write to it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use liferaft::driver::OutboxConfig;
use liferaft::kv::KvOutbox;
use liferaft::storage::outbox::DiskOutboxStore;
use liferaft::storage::{DiskStorage, Storage};
use liferaft::{Kv, KvHandle, Member, MemoryNetwork};
use tokio::task::JoinSet;

use crate::book::{BURST, OUTBOX, Told, key, value};

/// Small, so that snapshots and compactions come under load.
const SNAPSHOT_AFTER_LOG_BYTES: u64 = 16 << 10;

/// How many values are read at once.
const PAGE: usize = 1000;

/// How long a caller waits, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until it is killed, or something fails.
pub(crate) fn run(folder: &Path) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let why = match runtime.block_on(serve(folder)) {
        Ok(()) => "all writers have ended".to_owned(),
        Err(why) => why,
    };
    tell(&Told::Stopped { why });
    ExitCode::FAILURE
}

async fn serve(folder: &Path) -> Result<(), String> {
    let mut disk = DiskStorage::open(folder)
        .await
        .map_err(|error| error.to_string())?;
    tell(&Told::Opened {
        boot: disk.identity().boot(),
    });
    if disk.cluster().is_none() {
        let founded = Member::found(&mut disk).await;
        founded.map_err(|error| error.to_string())?;
    }
    let transport = MemoryNetwork::new(1).attach(disk.identity().id());
    let member = Member::builder(Kv::new(), transport.expect("the id is free"), disk)
        .snapshot_after_log_bytes(SNAPSHOT_AFTER_LOG_BYTES)
        .request_timeout(PATIENCE);
    let member = member.start().await.map_err(|error| error.to_string())?;
    let kv = KvHandle::new(member);

    let mut counts = Vec::new();
    for writer in 0..OUTBOX {
        counts.push(check(&kv, writer).await?);
    }
    let (outbox, count) = open_outbox(&kv, folder).await?;
    let mut writers = JoinSet::new();
    writers.spawn(push(outbox, count));
    for (writer, count) in counts.into_iter().enumerate() {
        writers.spawn(write(kv.clone(), writer, count));
    }
    // Ends with the first that ends, as all do if the member stops.
    writers
        .join_next()
        .await
        .expect("there are some")
        .map_err(|error| error.to_string())?
}

/// Opens the outbox, has it do what it has left from earlier times, and returns how much has gone through it.
async fn open_outbox(kv: &KvHandle, folder: &Path) -> Result<(KvOutbox, u64), String> {
    let store = DiskOutboxStore::open(folder, "uplink").await;
    let config = OutboxConfig::default().store(store.map_err(|error| error.to_string())?);
    let outbox = kv.outbox(config).await.map_err(|error| error.to_string())?;
    tell(&Told::Waiting {
        count: outbox.pending().len() as u64,
    });
    outbox.flush().await.map_err(|error| error.to_string())?;
    let count = check(kv, OUTBOX).await?;
    let accepted = outbox.raft().status().borrow().accepted_through;
    if accepted == count {
        Ok((outbox, count))
    } else {
        Err(format!(
            "the outbox has taken {accepted} writes, and {count} of them are there"
        ))
    }
}

/// Reads all that a writer has written, tells how much that is and returns it.
async fn check(kv: &KvHandle, writer: usize) -> Result<u64, String> {
    let mut count = 0;
    loop {
        let part = kv.read_sequence(key(writer), count, PAGE).await;
        let part = part.map_err(|error| error.to_string())?;
        for found in &part.values {
            if *found != value(writer, count) {
                return Err(format!(
                    "another value is at place {count} of writer {writer}: {found:?}"
                ));
            }
            count += 1;
        }
        if part.values.len() < PAGE {
            tell(&Told::Found { writer, count });
            return Ok(count);
        }
    }
}

/// Writes one value after the other, the next when the last is acknowledged.
async fn write(kv: KvHandle, writer: usize, count: u64) -> Result<(), String> {
    for next in count.. {
        let done = kv.append(key(writer), value(writer, next)).await;
        let place = *done.map_err(|error| error.to_string())?;
        tell(&Told::Done { writer, place });
    }
    Ok(())
}

/// Pushes bursts of values, tells of each when it is stored, and awaits what became of the burst before. So at any
/// moment there are some that are stored, and not done yet.
async fn push(outbox: KvOutbox, count: u64) -> Result<(), String> {
    let mut next = count;
    let mut before = Vec::new();
    loop {
        let mut burst = Vec::new();
        for place in next..=next + next % BURST {
            let pushed = outbox.append(key(OUTBOX), value(OUTBOX, place));
            burst.push((place, pushed.map_err(|error| error.to_string())?));
        }
        for (place, ticket) in &mut burst {
            if !ticket.stored().await {
                return Err(format!("write {place} of the outbox was not stored"));
            }
            let (writer, place) = (OUTBOX, *place);
            tell(&Told::Done { writer, place });
        }
        next += burst.len() as u64;
        for (place, ticket) in std::mem::replace(&mut before, burst) {
            let done = *ticket.await.map_err(|error| error.to_string())?;
            if done != place {
                return Err(format!("write {place} of the outbox got place {done}"));
            }
        }
    }
}

/// Tells the process that kills this one. If that one is gone, this one ends.
fn tell(told: &Told) {
    if writeln!(std::io::stdout(), "{told}").is_err() {
        std::process::exit(1);
    }
}
