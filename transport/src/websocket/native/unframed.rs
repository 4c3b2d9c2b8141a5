//! Bounds what a peer sends that ends no message: frames without content cost no memory, but time, for as long as they
//! come.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio_util::io::InspectReader;

use super::super::limits::PACKET_BYTES_MAX;
use super::opening::{READ_BYTES, Stream};

/// The most bytes between two messages: the longest one in frames whose heads are as long as what they carry, with
/// what is read ahead.
const UNFRAMED_BYTES_MAX: usize = 2 * PACKET_BYTES_MAX + READ_BYTES;

/// How many bytes have come on a connection since the last message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unframed(Arc<AtomicUsize>);

impl Unframed {
    /// Counts what is read from a stream.
    pub(super) fn count(&self, stream: impl Stream + 'static) -> Box<dyn Stream> {
        let bytes = Arc::clone(&self.0);
        let count = move |read: &[u8]| {
            bytes.fetch_add(read.len(), Ordering::Relaxed);
        };
        Box::new(InspectReader::new(stream, count))
    }

    /// A message has come.
    pub(crate) fn on_message(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Waits until too many bytes have come without a message. It looks whenever it is polled: beside what reads.
    pub(crate) async fn too_many(&self) {
        let poll = |_: &mut Context<'_>| match self.0.load(Ordering::Relaxed) {
            ..=UNFRAMED_BYTES_MAX => Poll::Pending,
            _ => Poll::Ready(()),
        };
        poll_fn(poll).await;
    }
}
