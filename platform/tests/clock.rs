//! Tests what the clock, the timers and the tasks promise natively, in virtual time.
#![cfg(not(target_arch = "wasm32"))]

use std::time::Duration;

use futures::FutureExt;
use liferaft_platform::{WallTime, entropy_u64, entropy_u128, now, sleep_until, spawn};

const HOUR: Duration = Duration::from_secs(3_600);

fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built")
}

#[test]
fn outside_a_runtime_the_clock_does_not_run_backward() {
    let before = now();

    let after = now();

    assert!(after >= before);
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_moves_only_when_it_is_told_to() {
    let before = now();
    assert_eq!(now(), before);

    tokio::time::advance(HOUR).await;

    assert_eq!(now(), before + HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_sleep_ends_at_its_deadline_and_not_before() {
    let deadline = now() + HOUR;

    sleep_until(deadline).await;

    let late = now()
        .checked_sub(deadline)
        .expect("the deadline is reached");
    assert!(late <= Duration::from_millis(1), "late by {late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_is_no_wait() {
    let passed = now();

    assert!(sleep_until(passed).now_or_never().is_some());
    assert!(sleep_until(Duration::ZERO).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_at_the_end_of_time_is_waited_for() {
    assert!(sleep_until(Duration::MAX).now_or_never().is_none());
}

#[test]
fn a_paused_runtime_runs_ahead_of_another_and_neither_saturates() {
    let early = paused_runtime();
    let ahead = paused_runtime();
    let early_start = early.block_on(async { now() });

    let ahead_end = ahead.block_on(async {
        tokio::time::advance(10_000 * HOUR).await;
        now()
    });
    let early_end = early.block_on(async {
        tokio::time::advance(HOUR).await;
        now()
    });

    assert_eq!(early_end, early_start + HOUR);
    assert!(ahead_end >= early_start + 10_000 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_task_does_not_go_on() {
    let (sender, receiver) = futures::channel::oneshot::channel();
    let task = spawn(async move {
        sleep_until(now() + HOUR).await;
        sender.send(()).expect("the test still listens");
    });

    task.abort();

    assert!(
        receiver.await.is_err(),
        "the task's future is dropped with its sender"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_handle_is_dropped_goes_on() {
    let (sender, receiver) = futures::channel::oneshot::channel();

    drop(spawn(async move {
        sleep_until(now() + HOUR).await;
        sender.send(()).expect("the test still listens");
    }));

    assert_eq!(receiver.await, Ok(()));
}

#[test]
fn the_time_of_day_is_after_this_was_written() {
    assert!(WallTime::now().to_string().as_str() > "2025");
}

#[test]
fn entropy_differs_from_draw_to_draw() {
    assert_ne!(entropy_u64(), entropy_u64());
    assert_ne!(entropy_u128(), entropy_u128());
}
