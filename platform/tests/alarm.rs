//! Tests that all sleeps share one alarm, whoever rings it.
#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use liferaft_platform::{compute, now, rung, sleep_until, spawn, wake_by};
use wasm_bindgen_test::wasm_bindgen_test;

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(100);

/// What an alarm was told, one after the other.
type Told = Rc<RefCell<Vec<Option<u32>>>>;

/// Sets an alarm that never rings by itself.
fn listen() -> Told {
    let told = Told::default();
    let telling = Rc::clone(&told);
    wake_by(move |milliseconds| telling.borrow_mut().push(milliseconds));
    told
}

fn sleep_for(wait: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
    let mut sleep = Box::pin(sleep_until(now() + wait));
    assert_eq!(sleep.as_mut().now_or_never(), None);
    sleep
}

/// What holds a sleep until it is dropped, as the waker of a task does.
struct Sleeper<Sleep>(#[expect(dead_code, reason = "it is held")] Mutex<Pin<Box<Sleep>>>);

impl<Sleep: Send + 'static> Wake for Sleeper<Sleep> {
    fn wake(self: Arc<Self>) {}
}

/// Whole seconds, rounded up.
fn seconds(told: &Told) -> Vec<Option<u32>> {
    let told = told.borrow();
    let seconds = |milliseconds: u32| milliseconds.div_ceil(1_000);
    told.iter().map(|told| told.map(seconds)).collect()
}

fn wait_for(deadline: Duration) {
    while now() < deadline {}
}

#[wasm_bindgen_test]
fn one_alarm_is_set_for_the_earliest_of_all_sleeps() {
    let told = listen();

    let sleeps = [40, 20, 30].map(|wait| sleep_for(SECOND * wait));

    assert_eq!(seconds(&told), [Some(40), Some(20)]);
    drop(sleeps);
}

#[wasm_bindgen_test]
fn an_alarm_is_told_once_nobody_waits() {
    let told = listen();
    let [one, other] = [20, 10].map(|wait| sleep_for(SECOND * wait));

    drop(other);
    let while_one_waits = seconds(&told);
    drop(one);

    assert_eq!(while_one_waits, [Some(20), Some(10)]);
    assert_eq!(seconds(&told), [Some(20), Some(10), None]);
}

// The waker of the one was dropped while all timers were borrowed, and the other's end borrowed them again.
#[wasm_bindgen_test]
fn a_waker_that_is_dropped_may_end_another_sleep() {
    let told = listen();
    let [mut outer, mut inner] = [10, 20].map(|wait| Box::pin(sleep_until(now() + SECOND * wait)));
    assert_eq!(inner.as_mut().now_or_never(), None);
    let waker = Waker::from(Arc::new(Sleeper(Mutex::new(inner))));
    let polled = outer.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());

    drop(waker);
    drop(outer);

    assert_eq!(seconds(&told), [Some(20), Some(10), None]);
}

#[wasm_bindgen_test]
fn an_alarm_that_rings_too_early_is_set_again() {
    let told = listen();
    let mut sleep = sleep_for(SECOND * 10);

    rung();

    assert_eq!(sleep.as_mut().now_or_never(), None);
    assert_eq!(seconds(&told), [Some(10), Some(10)]);
}

#[wasm_bindgen_test]
fn a_ring_is_for_all_who_are_due_and_sets_the_next() {
    let told = listen();
    let deadline = now() + SHORT;
    let [mut one, mut other] = [SHORT, SHORT].map(sleep_for);
    let mut later = sleep_for(SECOND * 10);

    wait_for(deadline + SHORT);
    rung();

    assert_eq!(seconds(&told), [Some(1), Some(10)]);
    assert_eq!(one.as_mut().now_or_never(), Some(()));
    assert_eq!(other.as_mut().now_or_never(), Some(()));
    assert_eq!(later.as_mut().now_or_never(), None);
}

#[wasm_bindgen_test]
fn an_alarm_takes_over_what_another_was_set_for() {
    let before = listen();
    let sleep = sleep_for(SECOND * 10);

    let after = listen();

    assert_eq!(seconds(&before), [Some(10), None]);
    assert_eq!(seconds(&after), [Some(10)]);
    drop(sleep);
}

#[wasm_bindgen_test]
fn a_wait_without_end_is_set_for_as_long_as_a_timeout_can() {
    let told = listen();

    let mut sleep = Box::pin(sleep_until(Duration::MAX));

    assert_eq!(sleep.as_mut().now_or_never(), None);
    assert_eq!(*told.borrow(), [Some(i32::MAX.unsigned_abs())]);
}

#[wasm_bindgen_test]
async fn a_task_that_sleeps_goes_on_when_the_alarm_rings() {
    let told = listen();
    let sleeps_until = Arc::new(OnceLock::new());
    let deadline = Arc::clone(&sleeps_until);
    let (sender, receiver) = oneshot::channel();
    // It sleeps at once: a page that is busy may begin the task when a deadline of before is over.
    spawn(async move {
        sleep_until(*sleeps_until.get_or_init(|| now() + SECOND / 4)).await;
        sender.send(()).expect("the test still listens");
    });

    compute(move || deadline.get().filter(|at| now() > **at).map(drop)).await;
    rung();

    assert_eq!(receiver.await, Ok(()));
    assert_eq!(seconds(&told), [Some(1)]);
}
