//! Asks the environment: one function for each question, over the pair of files that answers it.

use std::future::Future;
use std::time::Duration;

use futures::future::{AbortHandle, abortable};

use crate::{WallTime, host};

/// The time since an origin that is arbitrary, but the same for the whole process. It never runs backward.
///
/// It counts the time that the machine was suspended where the system tells: on Linux and Android, in steps of ten
/// milliseconds or more; in browsers as `performance.now()` does. Natively it is the clock of the tokio runtime that it
/// is called from, paused or not, and the system's clock outside of any: the clocks of paused runtimes differ from each
/// other, and all of them count from the same origin.
#[must_use]
pub fn now() -> Duration {
    host::now()
}

impl WallTime {
    /// Returns the time of day by the system's clock; its origin where that is set to a time before it.
    #[must_use]
    pub fn now() -> Self {
        Self::from_unix_epoch(host::since_unix_epoch())
    }
}

/// How much of the time that the machine is suspended [`now`] may miss; `None` where it may miss any amount of it, so
/// that nothing may be decided by how little time has passed.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// if liferaft::platform::suspension_uncounted_max().is_none() {
///     println!("a lease that another server gave cannot be relied upon here");
/// }
/// ```
#[must_use]
pub const fn suspension_uncounted_max() -> Option<Duration> {
    host::suspension_uncounted_max()
}

/// Waits until [`now`] has reached `deadline`; at once if it already has.
///
/// It ends up to a few milliseconds late, as the timers beneath are coarse; later in a throttled tab; and after a
/// suspension later by no more than what was left to wait when the machine fell asleep.
///
/// # Panics
/// Natively when polled outside a tokio runtime whose timers are enabled.
pub async fn sleep_until(deadline: Duration) {
    loop {
        let wait = deadline.saturating_sub(now());
        if wait.is_zero() {
            return;
        }
        host::sleep(wait).await;
    }
}

/// In browsers and Node, has `alarm` ring for all that waits for a time: in the place of the host's `setTimeout`, which
/// is held up by a second and more while a page is hidden. Nothing natively.
///
/// `alarm` is told after how many milliseconds to call [`rung`], no more than `setTimeout` takes, or `None` once nobody
/// waits. What it was told before counts no more. It must not call [`rung`] before it returns; calls that come too
/// early, or too often, do no harm.
pub fn wake_by(alarm: impl Fn(Option<u32>) + 'static) {
    host::wake_by(alarm);
}

/// In browsers and Node, wakes whoever has waited until now, as the alarm of [`wake_by`] rings. Nothing natively.
pub fn rung() {
    host::rung();
}

/// Runs `future` beside the caller until it ends or is [aborted](Task::abort).
///
/// The future must be `Send` in browsers too, where nothing needs it, so that a caller that compiles for one compiles
/// for the other.
///
/// # Panics
/// Natively when called outside a tokio runtime.
pub fn spawn<F>(future: F) -> Task
where
    F: Future<Output = ()> + Send + 'static,
{
    let (future, abort) = abortable(future);
    host::spawn(async move {
        // An aborted task has nobody left to tell.
        let _aborted = future.await;
    });
    Task(abort)
}

/// In browsers and Node, has no task of [`spawn`] go on, for good: for a module with a panic, whose tasks hold what
/// nobody has finished. Nothing natively, where a panic ends the task that it is in.
pub fn end_tasks() {
    host::end_tasks();
}

/// A task made by [`spawn`]. Dropping it leaves the task running.
#[derive(Clone, Debug)]
pub struct Task(AbortHandle);

impl Task {
    /// Drops the task's future at its next turn. Nothing happens if it has ended.
    pub fn abort(&self) {
        self.0.abort();
    }
}

/// In browsers and Node, lets events be handled if none were for some milliseconds: for tasks that may wake each other
/// without end, as a page does that asks for more as soon as it is answered. There this is one piece of work. Nothing
/// natively. It is meant to be called often: it looks at the clock, and waits for no timer.
pub async fn breathe() {
    host::breathe().await;
}

/// Calls `step` again and again until it gives a result, for work that takes long, without holding up other tasks.
///
/// Natively it is done on a thread that is there for such work, and that rests between steps, so that it takes no more
/// than a quarter of a core from those whose answers somebody waits for. In browsers there is one thread: as many steps
/// are made as take a few milliseconds, then whatever has happened meanwhile is handled; so a step should take no
/// longer than that. Dropping the future stops it in browsers between two steps; natively it goes on unheard.
///
/// ```
/// # mod liferaft { pub use liferaft_platform as platform; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut left = 3;
/// let countdown = liferaft::platform::compute(move || {
///     left -= 1;
///     (left == 0).then_some("lift-off")
/// });
/// assert_eq!(countdown.await, "lift-off");
/// # }
/// ```
///
/// # Panics
/// When `step` does. Natively when polled outside a tokio runtime.
pub async fn compute<T, F>(step: F) -> T
where
    T: Send + 'static,
    F: FnMut() -> Option<T> + Send + 'static,
{
    host::compute(step).await
}

/// 64 bits from the system's source of randomness, fit for cryptographic use.
///
/// # Panics
/// When the system has none: a member that cannot draw an identity or a seed that differs from the others' would harm
/// the cluster that it joins, so there is nothing to fall back to.
#[must_use]
pub fn entropy_u64() -> u64 {
    u64::from_le_bytes(entropy())
}

/// 128 bits from the system's source of randomness, fit for cryptographic use.
///
/// # Panics
/// When the system has none, like [`entropy_u64`].
#[must_use]
pub fn entropy_u128() -> u128 {
    u128::from_le_bytes(entropy())
}

fn entropy<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes
}
