//! Tells when the time of a connection is over.

use std::sync::atomic::{AtomicBool, Ordering};

use liferaft_platform::{now, sleep_until};

use super::limits::WebSocketLimits;
use super::pipe::Pipe;

/// Waits until a connection may no longer be opened.
pub(super) async fn late_opening(limits: &WebSocketLimits) {
    sleep_until(now() + limits.opening_time_max).await;
}

/// Waits until no packet has come for too long. Whoever reads one sets `is_heard`.
pub(super) async fn silence(is_heard: &AtomicBool, limits: &WebSocketLimits) {
    loop {
        sleep_until(now() + limits.idle_time_max).await;
        if !is_heard.swap(false, Ordering::Relaxed) {
            return;
        }
    }
}

/// Waits until a connection that was closed has had its time to send what waits.
pub(super) async fn late_close(pipe: &Pipe, limits: &WebSocketLimits) {
    pipe.closed().await;
    sleep_until(now() + limits.closing_time_max).await;
}
