//! A transport that does all of its I/O when it is polled for events, as one over a bare socket does.

use std::collections::{BTreeSet, VecDeque};
use std::task::{Context, Poll};

use bytes::Bytes;
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

/// The first byte of a frame that only says that its sender is there.
const GREETING: &[u8] = &[0];
/// The first byte of a frame that carries one.
const FRAME: &[u8] = &[1];

/// The most frames that wait until this end is polled.
const WAITING_MAX: usize = 64;

/// Greets a peer, tells that it is up and passes frames on only while it is polled.
pub(crate) struct Lazy<T> {
    inner: T,
    waiting: VecDeque<(ServerId, DeliveryClass, Frame)>,
    up: BTreeSet<ServerId>,
}

impl<T: Transport> Lazy<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            waiting: VecDeque::new(),
            up: BTreeSet::new(),
        }
    }

    /// Passes on what the inner transport has room for. Returns true if something is left.
    fn pass_on(&mut self) -> bool {
        while let Some((to, class, frame)) = self.waiting.pop_front() {
            if let Err(SendError::QueueFull(_)) = self.inner.send(to, class, frame.clone()) {
                self.waiting.push_front((to, class, frame));
                return true;
            }
        }
        false
    }
}

impl<T: Transport> Transport for Lazy<T> {
    fn local(&self) -> ServerId {
        self.inner.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max() - 1
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        let (bytes, bytes_max) = (frame.len(), self.frame_bytes_max());
        if bytes > bytes_max {
            return Err(SendError::TooLarge { bytes, bytes_max });
        }
        if !self.up.contains(&to) {
            return Err(SendError::NoLink(to));
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(SendError::QueueFull(to));
        }
        let marked = Frame::new(FRAME.into(), frame.into_bytes());
        self.waiting.push_back((to, class, marked));
        Ok(())
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if self.pass_on() {
                // The inner transport tells nobody when it has room again.
                context.waker().wake_by_ref();
            }
            let Poll::Ready(event) = self.inner.poll_event(context) else {
                return Poll::Pending;
            };
            let told = match event {
                Some(Event::PeerUp(peer)) => {
                    let greeting = Bytes::from_static(GREETING).into();
                    self.waiting
                        .push_back((peer, DeliveryClass::Stream, greeting));
                    None
                }
                Some(Event::PeerDown(peer)) => {
                    self.up.remove(&peer).then_some(Event::PeerDown(peer))
                }
                Some(Event::Frame { from, frame, .. }) if frame == Frame::from(GREETING) => {
                    self.up.insert(from).then_some(Event::PeerUp(from))
                }
                Some(Event::Frame { from, class, frame }) => Some(Event::Frame {
                    from,
                    class,
                    frame: frame.into_bytes().slice(1..).into(),
                }),
                other => return Poll::Ready(other),
            };
            if told.is_some() {
                return Poll::Ready(told);
            }
        }
    }
}
