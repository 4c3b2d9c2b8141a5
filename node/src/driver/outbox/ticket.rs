//! What stands for a command that was pushed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};

use super::Outcome;
use super::error::{OutboxCause, OutboxError};
use super::status::{OutboxState, OutboxStatus};

/// A command in an outbox: awaiting it gives what became of it, its reply or an [`OutboxError`].
///
/// Dropping it changes nothing for the command.
#[must_use = "what became of the command is told to its ticket"]
pub struct Ticket<R> {
    number: u64,
    outcome: oneshot::Receiver<Outcome<R>>,
    status: watch::Receiver<OutboxStatus>,
}

impl<R> Ticket<R> {
    pub(super) fn new(
        number: u64,
        outcome: oneshot::Receiver<Outcome<R>>,
        status: watch::Receiver<OutboxStatus>,
    ) -> Self {
        Self {
            number,
            outcome,
            status,
        }
    }

    /// The command's number in its outbox: from 1, in the order of the pushes, never given twice over one store.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the command is in the outbox's store, so that it survives a restart. Returns whether it is: an
    /// outbox that closes first may not have stored it. Without a store there is nothing to wait for.
    pub async fn stored(&mut self) -> bool {
        let number = self.number;
        let is_over = |status: &OutboxStatus| {
            matches!(status.state, OutboxState::Closed(_)) || number <= status.stored_through
        };
        // Once the outbox is gone, its last status says it.
        drop(self.status.wait_for(is_over).await);
        number <= self.status.borrow().stored_through
    }
}

impl<R> Future for Ticket<R> {
    type Output = Outcome<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map(|outcome| {
            // An outbox tells all tickets before it ends; one that panicked does not, and nobody knows how far it got.
            outcome.unwrap_or(Err(OutboxError::Unknown(OutboxCause::Closed)))
        })
    }
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
