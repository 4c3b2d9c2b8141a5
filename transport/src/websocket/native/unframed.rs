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

/// The most bytes from whoever has dialed this end and was not answered: what is no opening of a handshake, however
/// often that is repeated.
const UNANSWERED_BYTES_MAX: usize = 2 * READ_BYTES;

/// How many bytes have come on a connection since the last message.
#[derive(Clone, Debug)]
pub(crate) struct Unframed(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    bytes: AtomicUsize,
    bytes_max: AtomicUsize,
}

impl Unframed {
    /// On a connection that this end dials.
    pub(super) fn of_dialed() -> Self {
        Self::at_most(UNFRAMED_BYTES_MAX)
    }

    /// On a connection of another.
    pub(super) fn of_accepted() -> Self {
        Self::at_most(UNANSWERED_BYTES_MAX)
    }

    fn at_most(bytes: usize) -> Self {
        Self(Arc::new(Counts {
            bytes: AtomicUsize::new(0),
            bytes_max: AtomicUsize::new(bytes),
        }))
    }

    /// Counts what is read from a stream.
    pub(super) fn count(&self, stream: impl Stream + 'static) -> Box<dyn Stream> {
        let counts = Arc::clone(&self.0);
        let count = move |read: &[u8]| {
            counts.bytes.fetch_add(read.len(), Ordering::Relaxed);
        };
        Box::new(InspectReader::new(stream, count))
    }

    /// A message has come, from an end that was answered.
    pub(crate) fn on_message(&self) {
        let Counts { bytes, bytes_max } = &*self.0;
        bytes.store(0, Ordering::Relaxed);
        bytes_max.store(UNFRAMED_BYTES_MAX, Ordering::Relaxed);
    }

    /// Waits until too many bytes have come without a message. It looks whenever it is polled: beside what reads.
    pub(crate) async fn too_many(&self) {
        let Counts { bytes, bytes_max } = &*self.0;
        let has_room = || bytes.load(Ordering::Relaxed) <= bytes_max.load(Ordering::Relaxed);
        let poll = |_: &mut Context<'_>| match has_room() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        };
        poll_fn(poll).await;
    }
}
