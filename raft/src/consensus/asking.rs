//! Paces what is asked of other servers: a question that may be lost is asked again after the round trip that was
//! measured.
//!
//! Repeats neither flood a slow link nor wait for an election timeout where the network is fast and lossy. An answer
//! that may be to any of several repeats measures nothing exactly (Karn's algorithm): it only bounds the next wait, so
//! that the next question is likely to be asked once, and then measures exactly.

use core::time::Duration;

use super::common::Common;
use super::round_trip::Retry;
use crate::ids::ServerId;
use crate::time::Instant;

/// A question on its way to a server.
#[derive(Debug)]
pub(super) struct Question {
    to: ServerId,
    /// How long a round trip takes at least, if it was not measured.
    at_least: Duration,
    asked_at: Instant,
    is_repeated: bool,
    retry: Retry,
}

impl Question {
    /// It is asked for the first time. Other messages tell that a round trip takes at least this long.
    pub(super) fn asked(common: &Common, to: ServerId, at_least: Duration) -> Self {
        let mut question = Self {
            to,
            at_least,
            asked_at: common.now,
            is_repeated: false,
            retry: Retry::default(),
        };
        question.wait(common);
        question
    }

    /// When to ask again unless it is answered.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.retry.at()
    }

    /// Returns true if it is to be asked again at this moment, and doubles the next wait.
    pub(super) fn is_due(&mut self, common: &Common) -> bool {
        let is_due = self.retry.is_over(common.now);
        if is_due {
            self.is_repeated = true;
            self.wait(common);
        }
        is_due
    }

    /// It is answered: that tells how long the next may take.
    pub(super) fn answered(&self, common: &mut Common) {
        let after = common.now.since(self.asked_at);
        common
            .promptness_mut(self.to)
            .answered(after, self.is_repeated);
    }

    fn wait(&mut self, common: &Common) {
        let heartbeat = common.config.heartbeat_interval();
        // Where nothing was measured it is asked a few times within a heartbeat, so that what a lossy network swallows
        // costs no election timeout. A server that was slow once is asked again within one.
        let timeout = common
            .promptness(self.to)
            .and_then(|promptness| promptness.timeout(heartbeat))
            .unwrap_or(self.at_least.max(heartbeat / 4))
            .min(common.config.election_timeout());
        self.retry.arm(common.now, timeout, timeout.max(heartbeat));
    }
}
