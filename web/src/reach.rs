//! Makes what reaches other members, and keeps hold of it while the member has it.

use liferaft::transport::endpoint::Redial;
use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{ByHand, SignalingMeter, WebRtcCarrier};
use liferaft::transport::websocket::WebSocketCarrier;
use liferaft::{ClusterId, Endpoint, Identity};

use crate::error::Fault;
use crate::options::Options;
use crate::tabs::Tabs;

/// What reaches others, while the member has it.
#[derive(Debug)]
pub(crate) struct Reach {
    redial: Redial,
    /// `None` in hosts without WebRTC.
    rtc: Option<Rtc>,
}

#[derive(Debug)]
struct Rtc {
    by_hand: ByHand,
    signaling: SignalingMeter,
}

impl Reach {
    /// Makes it of the connections of the browser, if it has any, and of WebSockets. Tabs of one browser find each
    /// other if they are members of the same cluster. A server that is stored takes its id back at signaling servers.
    pub(crate) async fn make(
        options: &Options,
        rooms: Vec<SignalingServer>,
        identity: &Identity,
        (cluster, is_stored): (Option<ClusterId>, bool),
    ) -> (Endpoint, Self) {
        let websocket = WebSocketCarrier::dial_only(options.websocket());
        let (mut endpoint, rtc) = match options.webrtc(rooms) {
            None => (Endpoint::new(identity.clone(), websocket), None),
            Some(config) => {
                let config = match is_stored {
                    true => config.with_tokens_of(identity).await,
                    false => config,
                };
                let mut carrier = WebRtcCarrier::dial_only(config);
                if let Some(cluster) = cluster {
                    carrier.add_signaling(Tabs::of(cluster));
                }
                let rtc = Rtc {
                    by_hand: carrier.by_hand(),
                    signaling: carrier.signaling(),
                };
                let endpoint = Endpoint::new(identity.clone(), carrier);
                (endpoint.with_carrier(websocket), Some(rtc))
            }
        };
        let redial = endpoint.redial();
        (endpoint, Self { redial, rtc })
    }

    /// Dials whom the member does not reach.
    pub(crate) fn dial_now(&self) {
        self.redial.now();
    }

    /// Returns what tells which signaling servers are reached.
    pub(crate) fn signaling(&self) -> Option<&SignalingMeter> {
        self.rtc.as_ref().map(|rtc| &rtc.signaling)
    }

    /// Returns what connects tabs by texts.
    pub(crate) fn by_hand(&self) -> Result<&ByHand, Fault> {
        let rtc = self.rtc.as_ref();
        let none = || Fault::not_done("unsupported", "this host has no WebRTC");
        rtc.map(|rtc| &rtc.by_hand).ok_or_else(none)
    }
}
