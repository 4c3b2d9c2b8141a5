//! The member's clock and its one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use liferaft_platform as platform;

use crate::time::Instant;

/// A clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Instant,
}

impl Clock {
    pub(super) fn now(&mut self) -> Instant {
        self.last = self.last.max(Instant::from_origin(platform::now()));
        self.last
    }
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One timer for all that is due.
///
/// It is set anew only for an earlier moment. For a later one it is left to ring too early, which is harmless and far
/// cheaper: under load the next moment moves with every message.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Option<(Instant, Sleep)>,
}

impl Alarm {
    /// Ready when `due` has come, or earlier.
    pub(super) fn poll(&mut self, due: Instant, context: &mut Context<'_>) -> Poll<()> {
        if due == Instant::MAX && self.armed.is_none() {
            return Poll::Pending;
        }
        let (_, sleep) = match &mut self.armed {
            Some(armed) if armed.0 <= due => armed,
            armed => armed.insert((due, Box::pin(platform::sleep_until(due.since_origin())))),
        };
        let rung = sleep.as_mut().poll(context);
        if rung.is_ready() {
            self.armed = None;
        }
        rung
    }
}
