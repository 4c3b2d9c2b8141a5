//! Members that a signaling server introduces to each other, and that do not need it any more then; and clients of
//! PeerJS that dial them.

#[path = "../../../transport/tests/websocket_kit/cluster.rs"]
mod cluster;
#[path = "../../../transport/tests/websocket/polling.rs"]
#[allow(dead_code, reason = "not every test polls in all ways")]
mod polling;
mod visitors;

use std::net::SocketAddr;

use liferaft_platform::{Address, ServerId};
use liferaft_signaling::{Config, Hub, Server};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::signaling::SignalingServer;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcIdentity};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::cluster::{endpoint, id, wanted};
use crate::polling::{PATIENCE, assert_linked, connect, during};

/// The address of an end of which nothing is known but its id.
fn address_of(server: ServerId) -> Address {
    let address = format!("rtc:{:032x}", u128::from(server));
    address.parse().expect("an address")
}

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("a socket address")
}

/// A signaling server on loopback, for as long as it is held.
struct Served {
    address: SocketAddr,
    hub: Hub,
    ends: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(address: SocketAddr) -> Self {
        Self::start_with(address, Config::default()).await
    }

    async fn start_with(address: SocketAddr, config: Config) -> Self {
        let server = Server::bind(address, config).await;
        let server = server.expect("the port is free");
        let address = server.address().expect("it listens");
        let hub = server.hub().clone();
        let (ends, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            let _ends = ended.await;
        }));
        Self {
            address,
            hub,
            ends,
            task,
        }
    }

    async fn stop(self) -> SocketAddr {
        drop(self.ends);
        self.task.await.expect("it does not panic");
        self.address
    }
}

fn registered(server: SocketAddr) -> WebRtcCarrier {
    registered_at(&format!("ws://{server}/peerjs"))
}

fn registered_at(server: &str) -> WebRtcCarrier {
    let server = SignalingServer::at(server).expect("an address");
    let config = WebRtcConfig::default()
        .on_this_machine()
        .with_signaling(server);
    WebRtcCarrier::dial_only(config)
}

async fn pair(server: SocketAddr) -> (Endpoint, Endpoint) {
    let mut a = endpoint(1, registered(server));
    let mut b = endpoint(2, registered(server));
    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;
    (a, b)
}

#[tokio::test]
async fn a_server_introduces_ends_that_know_ids_alone() {
    let served = Served::start(loopback()).await;

    let (mut a, mut b) = pair(served.address).await;

    assert_linked(&mut a, &mut b).await;
}

#[tokio::test]
async fn an_address_that_names_the_server_is_all_that_it_takes() {
    let served = Served::start(loopback()).await;
    let mut a = endpoint(1, registered(served.address));
    let config = WebRtcConfig::default().on_this_machine();
    let mut b = endpoint(2, WebRtcCarrier::dial_only(config));
    let text = format!(
        "rtc+ws://{}/peerjs/{:032x}",
        served.address,
        u128::from(id(1))
    );
    let address: Address = text.parse().expect("an address");

    b.want(&[wanted(1, &address)]);

    connect(&mut a, &mut b).await;
}

#[tokio::test]
async fn links_outlive_the_server_and_ids_are_taken_back_when_it_returns() {
    let served = Served::start(loopback()).await;
    let (mut a, mut b) = pair(served.address).await;
    let generation = a.link(id(2)).map(|link| link.generation);

    let address = during(&mut a, &mut b, served.stop()).await;
    assert_linked(&mut a, &mut b).await;
    let served = during(&mut a, &mut b, Served::start(address)).await;
    let mut c = endpoint(3, registered(served.address));
    c.want(&[wanted(1, &address_of(id(1)))]);
    connect(&mut a, &mut c).await;

    let now = a.link(id(2)).map(|link| link.generation);
    assert_eq!(now, generation, "the link is the same");
}

/// Their ids stayed behind at the server, which keeps those of whoever says no goodbye.
#[tokio::test]
async fn an_end_whose_token_nobody_keeps_gives_up_its_id() {
    let served = Served::start(loopback()).await;
    let room = format!("ws://{}/peerjs", served.address);
    let kept = WebRtcConfig::default()
        .on_this_machine()
        .with_identity(WebRtcIdentity::generate())
        .with_signaling(SignalingServer::at(&room).expect("an address"));
    let mut a = endpoint(1, registered(served.address));
    let mut b = endpoint(2, WebRtcCarrier::dial_only(kept));
    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;
    let peers = served.hub.figures().peers;

    drop((a, b));
    let is_over = async {
        while served.hub.figures().connections > 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, is_over).await.expect("both have gone");

    assert_eq!((peers, served.hub.figures().peers), (2, 1));
}

/// npm's `peer`, whose address is in `PEERJS_SERVER` as `ws://127.0.0.1:9000/peerjs`.
#[tokio::test]
#[ignore = "needs npm's peer, which cargo xtask test --only browser has"]
async fn a_published_server_introduces_ends_and_gives_ids_back() {
    let server = std::env::var("PEERJS_SERVER").expect("PEERJS_SERVER says where it is");
    let mut a = endpoint(1, registered_at(&server));

    for _ in 0..2 {
        // The second has another token: it gets its id as the first one has given it up.
        let mut b = endpoint(2, registered_at(&server));
        b.want(&[wanted(1, &address_of(id(1)))]);
        connect(&mut a, &mut b).await;
        assert_linked(&mut a, &mut b).await;
        drop(b);
    }
}
