//! What the tests of the memory transport share.

use std::task::{Context, Poll, Waker};

use liferaft_transport::memory::{MemoryNetwork, MemoryTransport};
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, ServerId, Transport};

pub(crate) const A: ServerId = ServerId(0xa);
pub(crate) const B: ServerId = ServerId(0xb);
pub(crate) const C: ServerId = ServerId(0xc);
pub(crate) const DATAGRAM: DeliveryClass = DeliveryClass::Datagram;
pub(crate) const STREAM: DeliveryClass = DeliveryClass::Stream;

/// A and B, who have seen each other come up.
pub(crate) fn a_and_b(network: &MemoryNetwork) -> (MemoryTransport, MemoryTransport) {
    let mut a = network.attach(A).expect("a is attached once");
    let mut b = network.attach(B).expect("b is attached once");
    assert_eq!(events(&mut a), [Event::PeerUp(B)]);
    assert_eq!(events(&mut b), [Event::PeerUp(A)]);
    (a, b)
}

/// A, B and C, who have seen each other come up.
pub(crate) fn a_b_and_c(
    network: &MemoryNetwork,
) -> (MemoryTransport, MemoryTransport, MemoryTransport) {
    let (mut a, mut b) = a_and_b(network);
    let mut c = network.attach(C).expect("c is attached once");
    assert_eq!(events(&mut a), [Event::PeerUp(C)]);
    assert_eq!(events(&mut b), [Event::PeerUp(C)]);
    assert_eq!(events(&mut c), [Event::PeerUp(A), Event::PeerUp(B)]);
    (a, b, c)
}

/// Sends frames that hold these numbers.
pub(crate) fn send(
    end: &mut MemoryTransport,
    to: ServerId,
    class: DeliveryClass,
    numbers: impl IntoIterator<Item = u32>,
) {
    for number in numbers {
        end.send(to, class, frame(number))
            .expect("the queue has room");
    }
}

pub(crate) fn try_send(
    end: &mut MemoryTransport,
    to: ServerId,
    number: u32,
) -> Result<(), SendError> {
    end.send(to, DATAGRAM, frame(number))
}

pub(crate) fn frame(number: u32) -> Frame {
    Frame::from(number.to_be_bytes().to_vec())
}

/// What the end tells without waiting.
pub(crate) fn events(end: &mut MemoryTransport) -> Vec<Event> {
    let mut context = Context::from_waker(Waker::noop());
    std::iter::from_fn(|| match end.poll_event(&mut context) {
        Poll::Ready(event) => event,
        Poll::Pending => None,
    })
    .collect()
}

/// The numbers in the frames that the end tells of without waiting. Fails on any other event.
pub(crate) fn numbers(end: &mut MemoryTransport) -> Vec<u32> {
    events(end).iter().map(number).collect()
}

pub(crate) fn number(event: &Event) -> u32 {
    let Event::Frame { frame, .. } = event else {
        panic!("{event:?} is not a frame");
    };
    let bytes = frame.clone().into_bytes();
    u32::from_be_bytes(bytes[..].try_into().expect("the frame holds a number"))
}

pub(crate) async fn next_event(end: &mut MemoryTransport) -> Option<Event> {
    std::future::poll_fn(|context| end.poll_event(context)).await
}

pub(crate) fn is_closed(end: &mut MemoryTransport) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    end.poll_event(&mut context) == Poll::Ready(None)
}

/// A frame that carries a number, as the end tells of it.
pub(crate) fn arrival(from: ServerId, class: DeliveryClass, number: u32) -> Event {
    Event::Frame {
        from,
        class,
        frame: frame(number),
    }
}
