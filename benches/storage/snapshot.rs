//! Measures how long callers wait for what they write while a large snapshot is taken and written.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use liferaft::{ApplyContext, Capture, Handle, RestoreError, StateMachine};

use crate::crowd::runtime;
use crate::member::{self, COMMAND, Groups};

/// The most that a call may take meanwhile, but for a hundredth of the time, as a multiple of what it takes without.
const TARGET: f64 = 2.0;

const CALLERS: usize = 64;

/// The snapshot comes after so many bytes of log: long enough that there are many writes without one.
const LOG_BYTES: u64 = 32 << 20;
const LOG_BYTES_UNMEASURED: u64 = 64 << 10;

/// A write: when it was asked for, and when it was answered.
type Sample = (Instant, Instant);

/// Returns true if the target is met.
pub(crate) fn measure(folder: &Path, snapshot_bytes: u64, is_measured: bool) -> bool {
    println!(
        "{CALLERS} callers write {} B each while a snapshot of {} MiB is taken and written:",
        COMMAND.len(),
        snapshot_bytes >> 20
    );
    let captured = Captured::default();
    let machine = Heavy {
        bytes: usize::try_from(snapshot_bytes).expect("it fits into memory"),
        captured: captured.clone(),
    };
    let log_bytes = if is_measured {
        LOG_BYTES
    } else {
        LOG_BYTES_UNMEASURED
    };
    let (writes, end) = runtime().block_on(async {
        let member = member::start(folder, machine, log_bytes, Groups::default()).await;
        write_until_a_snapshot(&member).await
    });
    let begin = captured
        .0
        .lock()
        .expect("nobody panics")
        .expect("it was captured");
    let (without, meanwhile) = (
        p99(&writes, |sample| sample.1 < begin),
        p99(&writes, |sample| sample.1 >= begin && sample.0 <= end),
    );
    let ratio = meanwhile.as_secs_f64() / without.as_secs_f64();
    let met = ratio <= TARGET;
    println!(
        "snapshot/p99: {without:.2?} without, {meanwhile:.2?} while it was taken and written ({:.2?}): {ratio:.2} \
         times; target at most {TARGET}: {}",
        end - begin,
        if met { "met" } else { "missed" }
    );
    met
}

/// Has callers write until a snapshot is in force. Returns the writes, and when that was.
async fn write_until_a_snapshot(member: &Handle<Heavy>) -> (Vec<Sample>, Instant) {
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(write(member.clone(), Arc::clone(&stop))))
        .collect();
    let mut status = member.status();
    let taken = status.wait_for(|status| status.raft.snapshot.0 > 0).await;
    taken.expect("the member runs");
    let end = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let mut writes = Vec::new();
    for caller in callers {
        writes.extend(caller.await.expect("a caller ends without a panic"));
    }
    (writes, end)
}

async fn write(member: Handle<Heavy>, stop: Arc<AtomicBool>) -> Vec<Sample> {
    let mut samples = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        member.propose(COMMAND).await.expect("it is answered");
        samples.push((asked, Instant::now()));
    }
    samples
}

/// How long a call takes that is under way at a moment, but for the worst hundredth of all moments. Of the calls alone
/// it would say little: callers who all wait for one long write make few of them.
fn p99(writes: &[Sample], counts: impl Fn(&Sample) -> bool) -> Duration {
    let counted = writes.iter().filter(|sample| counts(sample));
    let mut took: Vec<Duration> = counted
        .map(|(asked, answered)| *answered - *asked)
        .collect();
    took.sort_unstable();
    let end = took.iter().sum::<Duration>() * 99 / 100;
    let mut passed = Duration::ZERO;
    let reached = took.into_iter().find(|took| {
        passed += *took;
        passed >= end
    });
    reached.expect("there were writes")
}

/// When the state was captured.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Option<Instant>>>);

/// A state machine that does nothing, and whose snapshot is large.
struct Heavy {
    bytes: usize,
    captured: Captured,
}

impl StateMachine for Heavy {
    type Command = Bytes;
    type Reply = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: ApplyContext, _: Bytes) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> impl Capture {
        let mut first = self.captured.0.lock().expect("nobody panics");
        first.get_or_insert_with(Instant::now);
        let bytes = self.bytes;
        move || vec![7; bytes]
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}
