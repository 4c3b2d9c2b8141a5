//! Tells when the time of a connection is over.

use std::sync::atomic::{AtomicBool, Ordering};

use liferaft_platform::{now, sleep_until};

use super::limits::WebSocketLimits;
use super::pipe::Pipe;

/// Waits until a connection may no longer be opened.
pub(super) async fn late_opening(limits: &WebSocketLimits) {
    sleep_until(now() + limits.opening_time_max).await;
}

/// Waits until for too long no packet has come, or none was to be sent. Whoever reads one sets `is_heard`.
///
/// Links answer whoever means them, and keep those alive that are up: a peer that gets nothing has said nothing that
/// means anything, and is not to keep a place by that.
pub(super) async fn silence(is_heard: &AtomicBool, pipe: &Pipe, limits: &WebSocketLimits) {
    loop {
        sleep_until(now() + limits.idle_time_max).await;
        let is_used = pipe.take_used();
        if !is_heard.swap(false, Ordering::Relaxed) || !is_used {
            return;
        }
    }
}

/// Waits until a connection that was closed has had its time to send what waits.
pub(super) async fn late_close(pipe: &Pipe, limits: &WebSocketLimits) {
    pipe.closed().await;
    sleep_until(now() + limits.closing_time_max).await;
}
