//! Says by what a member reaches others and is reached.

use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{IceServer, IceTransportPolicy, WebRtcConfig};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

/// By what a member reaches others and is reached: by links and by hand in any case.
#[wasm_bindgen]
#[derive(Clone, Debug, Default)]
pub struct Network {
    room: Option<String>,
    ice_servers: Vec<IceServer>,
    is_relayed: bool,
}

#[wasm_bindgen]
impl Network {
    /// Has others find the member in this room of a signaling server, if one is named: its address, as
    /// `ws://host:port/room`, or its link, as `https://host/?channel=room`.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(room: Option<String>) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Uses a server of STUN or TURN.
    #[wasm_bindgen(js_name = addIceServer)]
    pub fn add_ice_server(
        &mut self,
        urls: Vec<String>,
        username: Option<String>,
        credential: Option<String>,
    ) {
        let mut server = IceServer::stun("");
        server.urls = urls;
        server.username = username;
        server.credential = credential;
        self.ice_servers.push(server);
    }

    /// Lets others reach the member through servers of TURN alone.
    #[wasm_bindgen(js_name = relayOnly)]
    pub fn relay_only(&mut self) {
        self.is_relayed = true;
    }
}

impl Network {
    /// Returns the room in which others find the member.
    pub(crate) fn room(&self) -> Result<Option<SignalingServer>, JsError> {
        let room = self.room.as_deref().map(SignalingServer::at);
        Ok(room.transpose()?)
    }

    pub(crate) fn config(self) -> Result<WebRtcConfig, JsError> {
        let mut config = WebRtcConfig::default();
        if let Some(room) = self.room()? {
            config = config.with_signaling(room);
        }
        if self.is_relayed {
            config = config.with_ice_transport_policy(IceTransportPolicy::Relay);
        }
        let servers = self.ice_servers;
        Ok(config.with_ice_servers(move || std::future::ready(servers.clone())))
    }
}
