//! Bounds what a peer sends that ends no message: frames without content cost no memory, but time, for as long as they
//! come.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// This end has dialed, or has answered: until then no message means anything.
    is_meant: AtomicBool,
}

impl Unframed {
    /// On a connection that this end has dialed, or another.
    pub(super) fn new(is_dialed: bool) -> Self {
        Self(Arc::new(Counts {
            bytes: AtomicUsize::new(0),
            is_meant: AtomicBool::new(is_dialed),
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

    /// Something is sent.
    pub(super) fn on_sent(&self) {
        self.0.is_meant.store(true, Ordering::Relaxed);
    }

    /// A message has come.
    pub(crate) fn on_message(&self) {
        if self.0.is_meant.load(Ordering::Relaxed) {
            self.0.bytes.store(0, Ordering::Relaxed);
        }
    }

    /// Waits until too many bytes have come without a message. It looks whenever it is polled: beside what reads.
    pub(crate) async fn too_many(&self) {
        let poll = |_: &mut Context<'_>| {
            let bytes_max = match self.0.is_meant.load(Ordering::Relaxed) {
                true => UNFRAMED_BYTES_MAX,
                false => UNANSWERED_BYTES_MAX,
            };
            match self.0.bytes.load(Ordering::Relaxed) > bytes_max {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        };
        poll_fn(poll).await;
    }
}
