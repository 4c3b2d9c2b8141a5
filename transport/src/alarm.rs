//! Rings when something is due, for what is polled.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use liferaft_platform::sleep_until;

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What wakes its task at a deadline.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Duration, Sleep)>);

impl Alarm {
    /// Returns true if the deadline has come. Until then it wakes the task at that time, and at no earlier one that it
    /// was asked about before.
    pub(crate) fn is_due(&mut self, deadline: Option<Duration>, context: &mut Context<'_>) -> bool {
        let Some(deadline) = deadline else {
            self.0 = None;
            return false;
        };
        if self.rings_at() != Some(deadline) {
            self.0 = Some((deadline, Box::pin(sleep_until(deadline))));
        }
        let sleep = self.0.as_mut();
        let is_due = sleep.is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready());
        if is_due {
            self.0 = None;
        }
        is_due
    }

    /// Returns when it wakes its task; `None` if it does not.
    pub(crate) fn rings_at(&self) -> Option<Duration> {
        self.0.as_ref().map(|(at, _)| *at)
    }
}
