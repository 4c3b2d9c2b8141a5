//! Ends that are handed out when all of their links are direct and agreed upon, for the conformance kit.
//!
//! On a busy machine a link through a third end may be up before the direct one, which takes its place then; and where
//! both ends dial, one may have the link up that it has begun while the other one has its own, of which the lesser id's
//! stays. That a link goes down for another one is told, and is none of the kit's promises.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, select_biased};
use liferaft_platform::{ServerId, now, sleep_until};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::links::UPGRADE_BACK_OFF_MAX;
use liferaft_transport::{DeliveryClass, Event, Frame, SendError, Transport};

/// Longer than ends wait at most before they try a better way again.
const UPGRADED_WITHIN: Duration = UPGRADE_BACK_OFF_MAX.saturating_mul(2);

/// An end, and what it has still to tell of the time before it was handed out.
pub(crate) struct Direct {
    end: Endpoint,
    told: VecDeque<Event>,
}

/// Waits until each two of these ends have the same link, and a direct one: whatever else they had begun is given up
/// then. They tell that all are up.
pub(crate) async fn direct(mut ends: Vec<Endpoint>) -> Vec<Direct> {
    let ids: Vec<_> = ends.iter().map(Endpoint::local).collect();
    let mut linked = poll_fn(|context| {
        for end in &mut ends {
            while let Poll::Ready(Some(_)) = end.poll_event(context) {}
        }
        let is_direct = |end: &Endpoint, peer: &Endpoint| {
            let path = end.link_path(peer.local());
            path.is_some_and(|path| path.relay.is_none())
        };
        let generation =
            |end: &Endpoint, peer: &Endpoint| end.link(peer.local()).map(|link| link.generation);
        let is_agreed = |(end, peer): (&Endpoint, &Endpoint)| {
            end.local() == peer.local()
                || is_direct(end, peer) && generation(end, peer) == generation(peer, end)
        };
        let others = |end| ends.iter().map(move |other| (end, other));
        if ends.iter().flat_map(others).all(is_agreed) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .fuse();
    let mut late = pin!(sleep_until(now() + UPGRADED_WITHIN).fuse());
    select_biased! {
        () = linked => {}
        () = late => panic!("not all are linked"),
    }
    let handed_out = ends.into_iter().map(|end| {
        let others = ids.iter().copied().filter(|id| *id != end.local());
        let told = others.map(Event::PeerUp).collect();
        Direct { end, told }
    });
    handed_out.collect()
}

impl Transport for Direct {
    fn local(&self) -> ServerId {
        self.end.local()
    }

    fn frame_bytes_max(&self) -> usize {
        self.end.frame_bytes_max()
    }

    fn send(&mut self, to: ServerId, class: DeliveryClass, frame: Frame) -> Result<(), SendError> {
        self.end.send(to, class, frame)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        match self.told.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.end.poll_event(context),
        }
    }
}
