//! Durable writes beside the bare disk.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use liferaft::Handle;
use liferaft::entry::{Entry, Payload};
use liferaft::ids::{Index, Term};
use liferaft::storage::{DiskStorage, Storage, Write};
use liferaft::time::ClusterTime;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::bare::Bare;
use crate::crowd::{runtime, share_out};
use crate::idle::Idle;
use crate::member::{self, COMMAND, Groups};
use crate::spread::spread;

/// As many callers, writes of a round, and the most that a round may take, as a multiple of what the bare disk takes
/// for the same groups: one write costs at most 1.25 syncs, and 64 callers are given at least 0.8 of what it gives.
const CASES: [(usize, u64, Option<f64>); 3] = [
    (1, 1_000, Some(1.25)),
    (64, 30_000, Some(1.25)),
    (1024, 200_000, None),
];

const PAIRS: usize = 7;

/// Returns true if all targets are met.
pub(crate) fn measure(folder: &Path, is_measured: bool) -> bool {
    println!(
        "writes of {} B, beside the bare disk with the same groups:",
        COMMAND.len()
    );
    let runtime = runtime();
    let mut bare = Bare::new(folder);
    let mut met = true;
    for (callers, writes, target) in CASES {
        let (pairs, writes) = if is_measured {
            (PAIRS, writes)
        } else {
            (1, 2 * callers as u64)
        };
        let groups = Groups::default();
        let storing = runtime.block_on(storing(&folder.join("storage"), groups.clone()));
        let name = format!("storage/{callers}");
        met &= compare(&name, pairs, writes, target, &groups, &mut bare, || {
            store(&runtime, &storing, callers, writes)
        });
        drop(storing);

        let groups = Groups::default();
        let folder = folder.join("member");
        let member = member::start(&folder, Idle, u64::MAX, groups.clone());
        let member = runtime.block_on(member);
        let name = format!("member/{callers}");
        met &= compare(&name, pairs, writes, target, &groups, &mut bare, || {
            propose(&runtime, &member, callers, writes)
        });
        runtime.block_on(member.stop());
    }
    met
}

/// Measures pairs of rounds and prints what a round costs beside the bare disk. Returns true if the target is met.
fn compare(
    name: &str,
    pairs: usize,
    writes: u64,
    target: Option<f64>,
    groups: &Groups,
    bare: &mut Bare,
    mut round: impl FnMut() -> Duration,
) -> bool {
    round();
    groups.take();
    let mut count = 0;
    let measured: Vec<_> = (0..pairs)
        .map(|_| {
            let took = round();
            let groups = groups.take();
            count += groups.len();
            (took.as_secs_f64(), bare.append(&groups).as_secs_f64())
        })
        .collect();
    let rate = |took: f64| writes as f64 / took;
    let [_, own, _] = spread(measured.iter().map(|(own, _)| rate(*own)));
    let [_, bare, _] = spread(measured.iter().map(|(_, bare)| rate(*bare)));
    let [least, ratio, most] = spread(measured.iter().map(|(own, bare)| own / bare));
    let grouped = (writes * pairs as u64) as f64 / count as f64;
    let met = target.is_none_or(|target| ratio <= target);
    let told = match target {
        None => "no target".to_owned(),
        Some(target) if met => format!("target at most {target}: met"),
        Some(target) => format!("target at most {target}: missed"),
    };
    println!(
        "{name}: {own:.0} writes/s, bare disk {bare:.0}, in groups of {grouped:.1}: takes {ratio:.2} times as long in \
         the median of {pairs} pairs, {least:.2} to {most:.2}; {told}"
    );
    met
}

/// A caller's write: answered when it is durable.
type Asked = oneshot::Sender<()>;

/// How many callers may wait to be taken in.
const QUEUE_MAX: usize = 4096;

/// Makes one write of all that has gathered during the last one, as a member does.
async fn storing(folder: &Path, groups: Groups) -> mpsc::Sender<Asked> {
    let mut disk = DiskStorage::open(folder).await.expect("it is in order");
    let recovered = disk
        .recover(u64::MAX)
        .await
        .expect("it was opened just now");
    let mut last = recovered
        .entries
        .last()
        .map_or(Index::ZERO, |last| last.index);
    let (asking, mut asked) = mpsc::channel::<Asked>(QUEUE_MAX);
    tokio::spawn(async move {
        let mut callers = Vec::new();
        while asked.recv_many(&mut callers, QUEUE_MAX).await > 0 {
            let entries = callers.iter().map(|_| {
                last = last.next();
                entry(last)
            });
            let write = Write {
                entries: entries.collect(),
                ..Write::default()
            };
            let writes = vec![write];
            groups.note(&writes);
            disk.write(writes).await.expect("it is written");
            for caller in callers.drain(..) {
                caller.send(()).expect("the caller waits");
            }
        }
    });
    asking
}

fn entry(index: Index) -> Entry {
    Entry {
        index,
        term: Term(1),
        stamp: ClusterTime::ZERO,
        payload: Payload::Command(COMMAND),
    }
}

fn store(
    runtime: &Runtime,
    storing: &mpsc::Sender<Asked>,
    callers: usize,
    writes: u64,
) -> Duration {
    let storing = std::slice::from_ref(storing);
    runtime.block_on(share_out(
        storing,
        callers,
        writes,
        |storing, share| async move {
            for _ in share {
                let (ask, asked) = oneshot::channel();
                storing.send(ask).await.expect("it is stored");
                asked.await.expect("it is stored");
            }
        },
    ))
}

fn propose(runtime: &Runtime, member: &Handle<Idle>, callers: usize, writes: u64) -> Duration {
    let member = std::slice::from_ref(member);
    runtime.block_on(share_out(
        member,
        callers,
        writes,
        |member, share| async move {
            for _ in share {
                let command = (Bytes::new(), COMMAND);
                member.propose(command).await.expect("it is answered");
            }
        },
    ))
}
