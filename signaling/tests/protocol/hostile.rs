//! Visitors who mean no good: none of them takes anything from the others.

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{SinkExt as _, StreamExt as _};
use liferaft_signaling::{Config, Limits, Origins};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::OPEN;
use super::peer::{DEADLINE, Peer, Served};

/// Two peers are still introduced.
async fn assert_works(server: &Served) {
    let mut bob = server.attach("witness-1").await;
    let mut ada = server.attach("witness-2").await;
    assert_eq!(
        (bob.hear().await, ada.hear().await),
        (OPEN.into(), OPEN.into())
    );
    ada.say(r#"{"type":"OFFER","dst":"witness-1"}"#).await;
    let offer = bob.hear().await;
    assert!(offer.contains(r#""src":"witness-2""#), "{offer}");
}

#[tokio::test]
async fn garbage_ends_a_connection_in_the_end() {
    let server = Served::start(Config::default()).await;
    let mut eve = server.attach("eve").await;
    eve.hear().await;

    for _ in 0..17 {
        eve.say("{{{").await;
    }

    assert_eq!(eve.closed().await, Some((1008, "no messages".into())));
    assert_works(&server).await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_its_connection() {
    let server = Served::start(Config::default()).await;
    let mut eve = server.attach("eve").await;
    eve.hear().await;

    eve.say(&"a".repeat(64 * 1024 + 1)).await;

    assert_eq!(eve.closed().await, Some((1009, "frame too long".into())));
    assert_works(&server).await;
}

#[tokio::test]
async fn the_longest_frame_is_carried() {
    let server = Served::start(Config::default()).await;
    let (mut ada, mut bob) = (server.attach("ada").await, server.attach("bob").await);
    ada.hear().await;
    bob.hear().await;
    let head = r#"{"type":"OFFER","dst":"bob","payload":""#;
    let payload = "a".repeat(64 * 1024 - head.len() - 2);

    ada.say(&format!("{head}{payload}\"}}")).await;

    assert!(bob.hear().await.contains(&payload));
}

#[tokio::test]
async fn frames_that_end_no_message_end_their_connection() {
    let server = Served::start(Config::default()).await;
    let frame = |opcode| {
        let header = FrameHeader {
            is_final: false,
            opcode: OpCode::Data(opcode),
            ..FrameHeader::default()
        };
        Message::Frame(Frame::from_payload(header, Bytes::new()))
    };
    let mut eve = server.attach("eve").await;
    eve.hear().await;

    eve.send(frame(Data::Text)).await;
    while eve.0.send(frame(Data::Continue)).await.is_ok() {}

    // She is told nothing: whoever says a goodbye listens for the answer.
    assert_eq!(eve.closed().await, None);
    assert_works(&server).await;
}

#[tokio::test]
async fn a_binary_frame_ends_its_connection() {
    let server = Served::start(Config::default()).await;
    let mut eve = server.attach("eve").await;
    eve.hear().await;

    eve.send(Message::binary(vec![0; 10])).await;

    assert_eq!(eve.closed().await, Some((1003, "binary frame".into())));
    assert_works(&server).await;
}

#[tokio::test]
async fn text_that_is_no_utf_8_ends_its_connection() {
    let server = Served::start(Config::default()).await;
    let mut eve = server.attach("eve").await;
    eve.hear().await;
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Text),
        ..FrameHeader::default()
    };

    eve.send(Message::Frame(Frame::from_payload(
        header,
        vec![0xff, 0xfe].into(),
    )))
    .await;

    assert_eq!(eve.closed().await, Some((1007, "no UTF-8".into())));
    assert_works(&server).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected() {
    let server = Served::start(Config::default()).await;
    let mut slow = server.attach("slow").await;
    slow.hear().await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;
    let payload = "a".repeat(60 * 1024);
    let offer = format!(r#"{{"type":"OFFER","dst":"slow","payload":"{payload}"}}"#);

    // What the system keeps for a socket comes on top of the server's bound.
    while server.hub.figures().slow == 0 {
        ada.say(&offer).await;
    }

    assert!(server.hub.figures().outgoing_bytes <= Limits::default().outgoing_bytes_max);
    assert_works(&server).await;
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let server = Served::start(Config::default()).await;
    let foreign = Some("https://evil.example");
    let own = format!("http://{}", server.address);

    let refused = Peer::connect(server.address, "key=peerjs&id=e&token=t", foreign).await;
    let allowed = Peer::connect(server.address, "key=peerjs&id=a&token=t", Some(&own)).await;
    let id = server
        .ask("GET", "/peerjs/id", "Origin: https://evil.example\r\n")
        .await;

    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403));
    assert_eq!(allowed.expect("its own page").hear().await, OPEN);
    assert_eq!(id.status, 403);
    assert_eq!(id.header("access-control-allow-origin"), None);
    assert_eq!(server.hub.figures().strangers, 2);
}

#[tokio::test]
async fn pages_of_listed_origins_are_allowed() {
    let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
    let config = Config::default().with_origins(listed).expect("an origin");
    let server = Served::start(config).await;

    let id = server
        .ask("GET", "/peerjs/id", "Origin: https://app.example\r\n")
        .await;

    assert_eq!(id.status, 200);
    assert_eq!(
        id.header("access-control-allow-origin"),
        Some("https://app.example")
    );
}

#[tokio::test]
async fn nothing_that_a_visitor_says_is_echoed() {
    let server = Served::start(Config::default()).await;

    for path in [
        "/?channel=%22%3E%3Cscript%3E",
        "/?zz=\"><script>",
        "/<script>",
        "/<script>/id",
        "/<script>/peers",
        "/peers/<script>",
        "/%3Cscript%3E",
        "/new?et=<script>",
        "/new?server=%3Cscript%3E",
        "/new?script>=1",
        "/new?channel=%3Cscript%3E",
    ] {
        let answer = server.ask("GET", path, "Accept: text/html\r\n").await;
        let said = format!("{}{}", answer.head, answer.body).to_ascii_lowercase();
        assert!(
            !said.contains("script>") && !said.contains("%3cscript"),
            "{path}: {said}"
        );
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_pages() {
    let server = Served::start(Config::default()).await;

    for path in [
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/pages/index.html",
        "//etc/passwd",
        "/style.css%00",
        "/./style.css",
    ] {
        assert!(matches!(server.get(path).await.status, 400 | 404), "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_guard_it() {
    let server = Served::start(Config::default()).await;

    for path in [
        "/",
        "/new",
        "/style.css",
        "/peerjs",
        "/nothing",
        "/peerjs/id",
    ] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_huge_query_is_refused() {
    let server = Served::start(Config::default()).await;

    let answer = server
        .get(&format!("/?channel={}", "a".repeat(1 << 20)))
        .await;
    let many = "X-Header: value\r\n".repeat(500);
    let with_many = server.ask("GET", "/", &many).await;

    assert!(matches!(answer.status, 0 | 400..=499), "{}", answer.status);
    assert!(
        matches!(with_many.status, 0 | 400..=499),
        "{}",
        with_many.status
    );
    assert_works(&server).await;
}

#[tokio::test]
async fn a_flood_of_connections_is_refused_and_others_are_served() {
    let mut limits = Limits::default();
    limits.connections_per_host_max = 4;
    let server = Served::start(Config::default().with_limits(limits)).await;
    let query = |id: usize| format!("key=peerjs&id=e{id}&token=t");

    let mut held = Vec::new();
    let mut refused = 0;
    for id in 0..20 {
        match Peer::connect(server.address, &query(id), None).await {
            Ok(peer) => held.push(peer),
            Err(Error::Http(answer)) if answer.status() == 429 => refused += 1,
            Err(error) => panic!("neither let in nor refused: {error}"),
        }
    }

    assert_eq!((held.len(), refused), (4, 16));
    for mut peer in held {
        peer.0.close(None).await.expect("it says goodbye");
        peer.closed().await;
    }
    while server.hub.figures().connections > 0 {
        tokio::task::yield_now().await;
    }
    assert_works(&server).await;
}

#[tokio::test]
async fn connections_that_ask_nothing_are_few_and_end() {
    let server = Served::start(Config::default()).await;

    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(
            TcpStream::connect(server.address)
                .await
                .expect("it listens"),
        );
    }
    let read =
        async |stream: &mut TcpStream| stream.read(&mut [0; 1]).await.is_ok_and(|read| read > 0);
    let mut reads: FuturesUnordered<_> = held.iter_mut().map(read).collect();
    for _ in 64..200 {
        let answered = timeout(DEADLINE, reads.next()).await.expect("it is closed");
        assert_eq!(answered, Some(false));
    }
    drop(reads);

    drop(held);
    // The places of those that have gone are free once the server has noticed.
    let served = async { while server.get("/peerjs/id").await.status != 200 {} };
    timeout(DEADLINE, served)
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let server = Served::start(Config::default()).await;
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

    let wrong_version = server
        .ask("GET", "/peerjs?key=peerjs&id=a&token=t", upgrade)
        .await;
    let no_upgrade = server.get("/peerjs?key=peerjs&id=a&token=t").await;

    assert_eq!((wrong_version.status, no_upgrade.status), (426, 426));
    assert_eq!(server.hub.figures().connections, 0);
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused() {
    let server = Served::start(Config::default()).await;
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");

    let _early = stream.write_all(&[0xff; 100]).await;
    let mut answer = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut answer)).await;

    assert!(read.is_ok(), "it is closed");
    assert_works(&server).await;
}
