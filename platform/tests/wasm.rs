//! Tests what the clock, the timers and the tasks promise in Node and in browsers.
#![cfg(target_arch = "wasm32")]

use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};
use liferaft_platform::{
    WallTime, breathe, compute, entropy_u64, entropy_u128, now, sleep_until, spawn,
};
use wasm_bindgen_test::wasm_bindgen_test;

const SHORT: Duration = Duration::from_millis(20);
const LONGER_THAN_A_TIMEOUT: Duration = Duration::from_secs(100 * 24 * 60 * 60);

#[wasm_bindgen_test]
async fn a_sleep_ends_at_its_deadline_and_not_before() {
    let deadline = now() + SHORT;

    sleep_until(deadline).await;

    assert!(now() >= deadline);
}

#[wasm_bindgen_test]
async fn a_wait_longer_than_a_timeout_is_not_cut_short() {
    let long = Box::pin(sleep_until(now() + LONGER_THAN_A_TIMEOUT));
    let short = Box::pin(sleep_until(now() + SHORT));

    let first = select(long, short).await;

    assert!(
        matches!(first, Either::Right(_)),
        "the short wait ends first"
    );
}

#[wasm_bindgen_test]
async fn an_aborted_task_does_not_go_on() {
    let (sender, receiver) = oneshot::channel();
    let task = spawn(async move {
        sleep_until(now() + LONGER_THAN_A_TIMEOUT).await;
        sender.send(()).expect("the test still listens");
    });

    task.abort();

    assert!(
        receiver.await.is_err(),
        "the task's future is dropped with its sender"
    );
}

#[wasm_bindgen_test]
async fn a_task_whose_handle_is_dropped_goes_on() {
    let (sender, receiver) = oneshot::channel();

    drop(spawn(async move {
        sleep_until(now() + SHORT).await;
        sender.send(()).expect("the test still listens");
    }));

    assert_eq!(receiver.await, Ok(()));
}

#[wasm_bindgen_test]
async fn a_computation_lets_timers_ring() {
    let (sender, mut receiver) = oneshot::channel();
    spawn(async move {
        sleep_until(now() + SHORT).await;
        sender.send("rung").expect("the computation goes on");
    });

    let result = compute(move || receiver.try_recv().ok().flatten()).await;

    assert_eq!(result, "rung");
}

// Tasks that wake each other without end kept every event from a page: its timers, and the messages by which it
// computes.
#[wasm_bindgen_test]
async fn work_that_breathes_lets_timers_ring() {
    let (sender, mut receiver) = oneshot::channel();
    spawn(async move {
        sleep_until(now() + SHORT).await;
        sender.send("rung").expect("the work goes on");
    });

    let result = loop {
        breathe().await;
        if let Some(result) = receiver.try_recv().expect("the timer rings") {
            break result;
        }
    };

    assert_eq!(result, "rung");
}

#[wasm_bindgen_test]
fn the_time_of_day_is_after_this_was_written() {
    assert!(WallTime::now().to_string().as_str() > "2025");
}

#[wasm_bindgen_test]
fn entropy_differs_from_draw_to_draw() {
    assert_ne!(entropy_u64(), entropy_u64());
    assert_ne!(entropy_u128(), entropy_u128());
}
