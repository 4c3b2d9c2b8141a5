//! Waits for the signatures of handshakes: a key that is not in memory takes its time, and may never sign.

use std::task::{Context, Poll};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::links::HALF_OPEN_MAX;
use crate::signing::SIGNATURE_BYTES;

type Signature = Option<[u8; SIGNATURE_BYTES]>;

/// The signatures that are waited for. When there are as many as handshakes under way may be, whoever is to sign does
/// not answer any more: all of them are given up, as their handshakes will be.
#[derive(Default)]
pub(super) struct Signing(FuturesUnordered<BoxFuture<'static, (u64, Signature)>>);

impl Signing {
    /// Waits for the signature of an attempt to come to a link.
    pub(super) fn begin(&mut self, attempt: u64, signature: BoxFuture<'static, Signature>) {
        if self.0.len() >= HALF_OPEN_MAX {
            tracing::warn!("the key of this server signs nothing");
            self.0.clear();
        }
        self.0
            .push(Box::pin(async move { (attempt, signature.await) }));
    }

    /// Returns the next attempt whose signature is there, or will not come.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<(u64, Signature)> {
        match self.0.poll_next_unpin(context) {
            Poll::Ready(Some(signed)) => Poll::Ready(signed),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_key_that_never_signs_is_not_waited_for_without_bound() {
        let mut signing = Signing::default();
        let asked = Arc::new(());
        let never = || {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let _asked = asked;
                pending::<Signature>().await
            })
        };

        for attempt in 0..10 * HALF_OPEN_MAX as u64 {
            signing.begin(attempt, never());
            assert!(Arc::strong_count(&asked) <= 1 + HALF_OPEN_MAX);
        }
        signing.begin(u64::MAX, Box::pin(ready(None)));
        let signed = signing.poll(&mut Context::from_waker(Waker::noop()));

        assert_eq!(signed, Poll::Ready((u64::MAX, None)));
    }
}
