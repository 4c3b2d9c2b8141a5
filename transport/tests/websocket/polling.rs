//! Polls endpoints until their links do what a test of any carrier expects.

use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use liferaft_transport::DeliveryClass;
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::LinkEvent;
use tokio::time::timeout;

/// What happens at all happens in this time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn next(end: &mut Endpoint) -> LinkEvent {
    let event = timeout(PATIENCE, poll_fn(|context| end.poll_link_event(context)));
    event
        .await
        .expect("an event comes in time")
        .expect("the end is not closed")
}

/// Polls both ends until both links are up.
pub(crate) async fn connect(a: &mut Endpoint, b: &mut Endpoint) {
    let both_up = async {
        while a.link(b.local()).is_none() || b.link(a.local()).is_none() {
            tokio::select! { event = next(a) => drop(event), event = next(b) => drop(event) }
        }
    };
    let up = timeout(PATIENCE, both_up);
    up.await.expect("the links come up");
}

/// Polls both ends as long as something else goes on.
pub(crate) async fn during<T>(
    a: &mut Endpoint,
    b: &mut Endpoint,
    other: impl Future<Output = T>,
) -> T {
    let polled = async {
        loop {
            tokio::select! { _ = quietly(a) => {}, _ = quietly(b) => {} }
        }
    };
    let both = async {
        tokio::select! { done = other => done, never = polled => never }
    };
    let done = timeout(PATIENCE, both);
    done.await.expect("it is over in time")
}

/// An event, however long it takes.
async fn quietly(end: &mut Endpoint) -> Option<LinkEvent> {
    poll_fn(|context| end.poll_link_event(context)).await
}

/// Polls both ends until the second has read `count` frames.
pub(crate) async fn frames(a: &mut Endpoint, b: &mut Endpoint, count: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let event = tokio::select! { _ = next(a) => continue, event = next(b) => event };
        if let LinkEvent::Frame { frame, .. } = event {
            frames.push(frame.into_bytes());
        }
    }
    frames
}

/// Sends a frame of each class, and asserts that they arrive.
pub(crate) async fn assert_linked(a: &mut Endpoint, b: &mut Endpoint) {
    let bulk = Bytes::from(vec![7; 1024 * 1024]);
    let to = b.local();
    a.send(to, DeliveryClass::Stream, bulk.clone().into())
        .expect("the link is up");
    a.send(to, DeliveryClass::Datagram, "hello".into())
        .expect("the link is up");

    let mut arrived = frames(a, b, 2).await;

    arrived.sort_by_key(Bytes::len);
    assert_eq!(arrived, [Bytes::from_static(b"hello"), bulk]);
}
