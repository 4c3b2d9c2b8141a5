//! What applications see of a queue.

use super::Queue;
use crate::driver::outbox::status::{OutboxState, OutboxStatus, PendingCommand, PendingState};
use crate::time::Instant;

impl<R: Clone> Queue<R> {
    pub(in crate::driver::outbox) fn status(&self) -> OutboxStatus {
        let settled_through = self.settled_through();
        let reported = self.reported_through.saturating_sub(settled_through);
        let sent = self
            .maybe_sent_through()
            .saturating_sub(settled_through.max(self.reported_through));
        OutboxStatus {
            pending: self.unsettled.len(),
            bytes: self.unsettled.bytes(),
            sent: usize::try_from(sent).unwrap_or(usize::MAX),
            reported: usize::try_from(reported).unwrap_or(usize::MAX),
            accepted_through: self.last(),
            stored_through: self.stored.through,
            settled_through,
            state: match &self.closed {
                Some(cause) => OutboxState::Closed(cause.clone()),
                None if self.halted => OutboxState::Halted,
                None => OutboxState::Running,
            },
        }
    }

    pub(in crate::driver::outbox) fn pending(&self, now: Instant) -> Vec<PendingCommand> {
        self.unsettled
            .iter()
            .map(|(number, item)| PendingCommand {
                number,
                bytes: item.command.len(),
                age: now.since(item.since),
                stored: number <= self.stored.through,
                state: if number <= self.reported_through {
                    PendingState::Reported
                } else if number <= self.maybe_sent_through() {
                    PendingState::Sent
                } else {
                    PendingState::Queued
                },
            })
            .collect()
    }
}
