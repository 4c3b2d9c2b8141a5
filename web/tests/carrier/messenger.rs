//! Hands the signals of carriers to each other, in place of the links that would carry them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use liferaft_transport::ServerId;
use liferaft_transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path,
};

/// The signals that wait for each server.
#[derive(Clone, Default)]
pub(crate) struct Post(Arc<Mutex<BTreeMap<ServerId, Letters>>>);

#[derive(Default)]
struct Letters {
    waiting: VecDeque<(ServerId, Bytes)>,
    waker: Option<Waker>,
}

/// A carrier whose signals go by the post.
pub(crate) struct Messenger<C> {
    carrier: C,
    local: Option<ServerId>,
    post: Post,
}

impl<C> Messenger<C> {
    pub(crate) fn new(carrier: C, post: Post) -> Self {
        Self {
            carrier,
            local: None,
            post,
        }
    }
}

impl Post {
    fn send(&self, from: ServerId, to: ServerId, signal: Bytes) {
        let mut post = self.0.lock().expect("nobody panics with it");
        let letters = post.entry(to).or_default();
        letters.waiting.push_back((from, signal));
        if let Some(waker) = letters.waker.take() {
            waker.wake();
        }
    }

    fn poll(&self, local: ServerId, context: &mut Context<'_>) -> Option<(ServerId, Bytes)> {
        let mut post = self.0.lock().expect("nobody panics with it");
        let letters = post.entry(local).or_default();
        letters.waker = Some(context.waker().clone());
        letters.waiting.pop_front()
    }
}

impl<C: Carrier> Carrier for Messenger<C> {
    fn scheme(&self) -> &str {
        self.carrier.scheme()
    }

    fn packet_bytes_max(&self) -> usize {
        self.carrier.packet_bytes_max()
    }

    fn is_reliable(&self) -> bool {
        self.carrier.is_reliable()
    }

    fn stream_bytes_max(&self) -> usize {
        self.carrier.stream_bytes_max()
    }

    fn introduce(&mut self, local: ServerId) {
        self.local = Some(local);
        self.carrier.introduce(local);
    }

    fn on_linked(&mut self, path: &Path) {
        self.carrier.on_linked(path);
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        self.carrier.dial(address)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.carrier.send(path, channel, packet)
    }

    fn close(&mut self, path: &Path) {
        self.carrier.close(path);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        let local = self.local.expect("it is introduced first");
        loop {
            while let Some((from, signal)) = self.post.poll(local, context) {
                self.carrier.on_signal(from, from, signal);
            }
            match self.carrier.poll(context) {
                Poll::Ready(Some(CarrierEvent::Signal { to, signal })) => {
                    self.post.send(local, to, signal);
                }
                event => return event,
            }
        }
    }
}
