//! Clients of PeerJS that dial a member.

use futures::{SinkExt, StreamExt};
use liferaft_signaling::{Config, Origins};
use liferaft_transport::endpoint::Endpoint;
use liferaft_transport::webrtc::{WebRtcCarrier, WebRtcCounters, WebRtcMeter};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::cluster::{endpoint, id, wanted};
use crate::polling::{assert_linked, connect, during, next};
use crate::{Served, address_of, loopback, registered};

/// What Chromium offers for a data channel, without candidates.
const OFFER: &str = "v=0\r\n\
    o=- 2890844526199712453 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:4ZcD\r\n\
    a=ice-pwd:2/1muCWoOi3uLifh0NuRHlK+\r\n\
    a=ice-options:trickle\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=sctp-port:5000\r\n\
    a=max-message-size:262144\r\n";

/// The most visitors that a member receives within 5 s.
const VISITORS_MAX: usize = 16;

/// A member that is linked with another, and what reads its counters.
async fn member(served: &Served) -> (Endpoint, Endpoint, WebRtcMeter) {
    let carrier: WebRtcCarrier = registered(served.address);
    let meter = carrier.meter();
    let mut a = endpoint(1, carrier);
    let mut b = endpoint(2, registered(served.address));
    a.want(&[wanted(2, &address_of(id(2)))]);
    connect(&mut a, &mut b).await;
    (a, b, meter)
}

fn offer(number: usize) -> Value {
    json!({
        "type": "OFFER",
        "dst": format!("{:032x}", u128::from(id(1))),
        "payload": {
            "sdp": { "type": "offer", "sdp": OFFER },
            "type": "data",
            "connectionId": format!("dc_{number}"),
            "label": "whatever",
            "serialization": "binary",
        },
    })
}

fn candidate(number: usize, port: usize) -> Value {
    let candidate = format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host");
    let mut message = offer(number);
    message["type"] = json!("CANDIDATE");
    message["payload"] = json!({
        "type": "data",
        "connectionId": format!("dc_{number}"),
        "candidate": { "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0 },
    });
    message
}

/// It offers connections that lead nowhere, each with many candidates, and changes offers at random.
#[tokio::test]
async fn visitors_without_end_take_no_room_from_members() {
    let served = Served::start(loopback()).await;
    let (mut a, mut b, meter) = member(&served).await;
    let generation = a.link(id(2)).map(|link| link.generation);
    let url = format!(
        "ws://{}/peerjs?key=peerjs&id=eve&token=t&version=1.5.5",
        served.address
    );

    let attack = async {
        let (mut socket, _) = connect_async(url).await.expect("it is served");
        for number in 0..60 {
            let mut messages = vec![offer(number), offer(number)];
            messages.extend((1..4).map(|port| candidate(number, port)));
            let mut texts: Vec<_> = messages.iter().map(Value::to_string).collect();
            // Cut, and with one letter of another kind.
            let whole = &texts[0];
            let at = number * whole.len() / 60;
            texts.push(format!("{}#{}", &whole[..at], &whole[at + 1..]));
            for text in texts {
                socket.send(Message::text(text)).await.expect("it is open");
            }
        }
        // The first are answered, of all that are received.
        let mut answers = 0;
        while answers < VISITORS_MAX {
            let message = socket.next().await.expect("it is open").expect("it is");
            let text = message.into_text().unwrap_or_default();
            answers += usize::from(text.contains("\"ANSWER\""));
        }
    };
    during(&mut a, &mut b, attack).await;

    // Another member gets in, and the link is what it was.
    let mut c = endpoint(3, registered(served.address));
    c.want(&[wanted(1, &address_of(id(1)))]);
    connect(&mut a, &mut c).await;
    assert_linked(&mut a, &mut b).await;
    assert_eq!(a.link(id(2)).map(|link| link.generation), generation);
    let counters: WebRtcCounters = meter.read();
    assert_eq!((counters.refused, counters.visitors_refused), (0, 0));
    assert!(counters.accepted <= 2, "{counters:?}");
}

/// npm's `peerjs` in Chromium, which are in the folder `PEERJS_MODULES` and at `CHROMIUM`.
#[tokio::test]
#[ignore = "needs npm's peerjs and Chromium, which cargo xtask test --only browser has"]
async fn a_published_client_is_told_to_get_an_invitation() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let config = Config::default().with_origins(Origins::Any);
    let served = Served::start_with(loopback(), config.expect("all are origins")).await;
    let (mut a, mut b, meter) = member(&served).await;

    let mut node = Command::new("node")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/browser/visitor.mjs"
        ))
        .args([variable("CHROMIUM"), variable("PEERJS_MODULES")])
        .arg(served.address.port().to_string())
        .arg(format!("{:032x}", u128::from(id(1))))
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed");
    let status = loop {
        tokio::select! {
            status = node.wait() => break status.expect("it is our child"),
            event = next(&mut a) => drop(event),
            event = next(&mut b) => drop(event),
        }
    };

    assert!(status.success());
    assert_eq!(meter.read().visitors_refused, 3);
    assert_linked(&mut a, &mut b).await;
}
