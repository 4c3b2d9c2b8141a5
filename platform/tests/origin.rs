//! A process of its own, because the origin of the clock is chosen once for each process.
#![cfg(not(target_arch = "wasm32"))]

use std::time::Duration;

use liferaft_platform::now;

#[test]
fn a_clock_that_was_stopped_before_the_origin_was_chosen_still_counts() {
    let lagging = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    let origin = now();
    let lagging_start = lagging.block_on(async { now() });

    let lagging_end = lagging.block_on(async {
        tokio::time::advance(Duration::from_nanos(1_000_000)).await;
        now()
    });

    assert!(
        lagging_start < origin,
        "the stopped clock stands behind the origin"
    );
    assert_eq!(lagging_end, lagging_start + Duration::from_millis(1));
}
