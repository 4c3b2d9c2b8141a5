//! Reads what a page wants its member to be.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use js_sys::{Array, Function, Promise};
use liferaft::platform::Address;
use liferaft::policy::Target;
use liferaft::transport::signaling::SignalingServer;
use liferaft::transport::webrtc::{IceServer, IceTransportPolicy, WebRtcConfig};
use liferaft::transport::websocket::WebSocketConfig;
use liferaft::{Config, Invitation, MembershipPolicy, ServerId};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use crate::error::Fault;
use crate::plain::{is_set, property, text, texts, whole};

/// The most questions for servers of STUN and TURN that wait for the page. Beyond it there are none for the connection.
const ICE_QUESTIONS_MAX: usize = 16;

/// How a member is to be.
pub(crate) struct Options(JsValue);

impl Options {
    pub(crate) fn new(options: JsValue) -> Self {
        Self(options)
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(&self.0, name)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        is_set(&self.0, name)
    }

    /// Returns the invitation to the cluster that it joins; `None` if it joins none.
    pub(crate) fn invitation(&self) -> Result<Option<Invitation>, Fault> {
        let parsed = self
            .text("invitation")
            .map(|text| text.parse::<Invitation>());
        let invalid = |error| Fault::not_done("invalid-invitation", error);
        parsed.transpose().map_err(invalid)
    }

    /// Returns the state machine of the page's, if it has one.
    pub(crate) fn machine(&self) -> Option<JsValue> {
        let machine = property(&self.0, "machine");
        machine.is_object().then_some(machine)
    }

    /// Returns the default deadline of calls.
    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        self.time("timeoutMs")
    }

    /// Returns the rooms of signaling servers in which others find it.
    pub(crate) fn rooms(&self) -> Result<Vec<SignalingServer>, Fault> {
        let rooms = texts(&self.0, "signaling");
        let rooms = rooms.iter().map(|room| SignalingServer::at(room));
        rooms.collect::<Result<_, _>>().map_err(invalid)
    }

    /// Returns where others reach it: in its rooms, and at the addresses that were given.
    pub(crate) fn addresses(
        &self,
        rooms: &[SignalingServer],
        own: ServerId,
    ) -> Result<Vec<Address>, Fault> {
        let given = texts(&self.0, "addresses");
        let given: Result<Vec<Address>, _> = given.iter().map(|address| address.parse()).collect();
        let mut addresses = given.map_err(invalid)?;
        addresses.extend(rooms.iter().map(|room| room.address_of(own)));
        Ok(addresses)
    }

    pub(crate) fn config(&self) -> Result<Config, Fault> {
        let builder = Config::builder();
        let builder = match self.time("electionTimeoutMs") {
            Some(timeout) => builder.election_timeout(timeout),
            None => builder,
        };
        builder.build().map_err(invalid)
    }

    pub(crate) fn membership(&self, election_timeout: Duration) -> MembershipPolicy {
        let mut policy = if self.is_set("laboratory") {
            MembershipPolicy::laboratory(election_timeout)
        } else {
            MembershipPolicy::default()
        };
        if let Some(silence) = self.time("evictAfterMs") {
            policy = policy.with_evict_after(silence);
        }
        if let Some(voters) = self.count("votersMin") {
            policy = policy.with_voters_min(voters);
        }
        if let Some(voters) = self.count("voters") {
            policy = policy.with_voters(Target::Count(voters));
        }
        policy
    }

    /// Returns how it connects by WebRTC; `None` in hosts that have none.
    pub(crate) fn webrtc(&self, rooms: Vec<SignalingServer>) -> Option<WebRtcConfig> {
        if !self.is_set("hasWebRtc") {
            return None;
        }
        let mut config = WebRtcConfig::default();
        for room in rooms {
            config = config.with_signaling(room);
        }
        if self.is_set("relayOnly") {
            config = config.with_ice_transport_policy(IceTransportPolicy::Relay);
        }
        Some(match property(&self.0, "iceServers").dyn_into() {
            Ok(ask) => with_ice_servers(config, ask),
            Err(_) => config,
        })
    }

    pub(crate) fn websocket(&self) -> WebSocketConfig {
        match property(&self.0, "makeSocket").dyn_into() {
            Ok(make) => WebSocketConfig::default().with_sockets(make),
            Err(_) => WebSocketConfig::default(),
        }
    }

    fn time(&self, name: &str) -> Option<Duration> {
        whole(&property(&self.0, name)).map(Duration::from_millis)
    }

    fn count(&self, name: &str) -> Option<usize> {
        let count = whole(&property(&self.0, name))?;
        Some(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// Asks a function of the page for servers of STUN and TURN. It stays with a task, and this is what asks that.
fn with_ice_servers(config: WebRtcConfig, ask: Function) -> WebRtcConfig {
    let (questions, mut asked) = mpsc::channel::<oneshot::Sender<_>>(ICE_QUESTIONS_MAX);
    spawn_local(async move {
        while let Some(answer) = asked.next().await {
            // Whoever has asked may have gone.
            let _unheard = answer.send(ice_servers(&ask).await);
        }
    });
    config.with_ice_servers(move || {
        let mut questions = questions.clone();
        let (answer, servers) = oneshot::channel();
        let _full = questions.try_send(answer);
        async { servers.await.unwrap_or_default() }
    })
}

/// Has the page name its servers. One that throws has none.
async fn ice_servers(ask: &Function) -> Vec<IceServer> {
    let Ok(answer) = ask.call0(&JsValue::UNDEFINED) else {
        return Vec::new();
    };
    let Ok(servers) = JsFuture::from(Promise::resolve(&answer)).await else {
        return Vec::new();
    };
    let servers = Array::from(&servers);
    let servers = servers.iter().map(|given| {
        let mut server = IceServer::stun("");
        server.urls = texts(&given, "urls");
        server.username = text(&given, "username");
        server.credential = text(&given, "credential");
        server
    });
    servers.collect()
}

fn invalid(error: impl std::fmt::Display) -> Fault {
    Fault::not_done("invalid-argument", error)
}
