//! Stands between two ends.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use liferaft_transport::carrier::{Address, Carrier, CarrierEvent, Path};
use liferaft_transport::webrtc::WebRtcCarrier;

/// One who stands between two ends, and passes on all packets as they are: to each end by a connection of its own.
pub(crate) struct Between {
    front: WebRtcCarrier,
    back: WebRtcCarrier,
    to: Address,
    /// The path behind for each in front.
    paths: BTreeMap<Path, Path>,
    /// So many packets it has passed on.
    pub(crate) passed: usize,
}

impl Between {
    /// Makes one who is dialed in `front`, and dials `to` by the carrier at the `back`.
    pub(crate) fn new(front: WebRtcCarrier, back: WebRtcCarrier, to: Address) -> Self {
        Self {
            front,
            back,
            to,
            paths: BTreeMap::new(),
            passed: 0,
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Poll::Ready(Some(event)) = self.front.poll(context) {
                match event {
                    CarrierEvent::Opened { path, .. } => {
                        let behind = self.back.dial(&self.to).expect("it is an address");
                        self.paths.insert(path, behind);
                    }
                    CarrierEvent::Packet {
                        path,
                        channel,
                        packet,
                    } => {
                        self.passed += 1;
                        // What is refused before the connection is open is sent again.
                        let _full = self.back.send(&self.paths[&path], channel, packet);
                    }
                    _ => {}
                }
            } else if let Poll::Ready(Some(event)) = self.back.poll(context) {
                // Whoever dials at the back has nobody in front.
                if let CarrierEvent::Packet {
                    path,
                    channel,
                    packet,
                } = event
                    && let Some((front, _)) = self.paths.iter().find(|(_, behind)| **behind == path)
                {
                    self.passed += 1;
                    let _full = self.front.send(front, channel, packet);
                }
            } else {
                return Poll::Pending;
            }
        }
    }
}
