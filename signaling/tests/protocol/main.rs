//! The server over real sockets: PeerJS's protocol, rooms, and visitors who mean no good.

mod hostile;
mod peer;
mod rooms;
mod site;

use std::time::Duration;

use liferaft_signaling::{Config, Limits};

use self::peer::Served;

const OPEN: &str = r#"{"type":"OPEN"}"#;

#[tokio::test]
async fn two_peers_are_introduced_to_each_other() {
    let server = Served::start(Config::default()).await;
    let (mut ada, mut bob) = (server.attach("ada").await, server.attach("bob").await);
    assert_eq!(
        (ada.hear().await, bob.hear().await),
        (OPEN.into(), OPEN.into())
    );

    ada.say(r#"{"type":"OFFER","dst":"bob","payload":{"sdp":"o"}}"#)
        .await;
    let offer = bob.hear().await;
    bob.say(r#"{"type":"ANSWER","dst":"ada","payload":{"sdp":"a"}}"#)
        .await;
    let answer = ada.hear().await;

    assert_eq!(
        offer,
        r#"{"type":"OFFER","src":"ada","dst":"bob","payload":{"sdp":"o"}}"#
    );
    assert_eq!(
        answer,
        r#"{"type":"ANSWER","src":"bob","dst":"ada","payload":{"sdp":"a"}}"#
    );
}

#[tokio::test]
async fn a_peer_takes_its_id_back_while_its_old_socket_looks_alive() {
    let server = Served::start(Config::default()).await;
    let (mut old, mut ada) = (server.attach("bob").await, server.attach("ada").await);
    assert_eq!(
        (old.hear().await, ada.hear().await),
        (OPEN.into(), OPEN.into())
    );

    let mut bob = server.attach("bob").await;
    let old_closed = old.closed().await;
    ada.say(r#"{"type":"OFFER","dst":"bob"}"#).await;

    assert_eq!(
        bob.hear().await,
        r#"{"type":"OFFER","src":"ada","dst":"bob"}"#
    );
    assert_eq!(old_closed, Some((1008, "connected anew".into())));
}

#[tokio::test]
async fn another_token_does_not_get_the_id() {
    let server = Served::start(Config::default()).await;
    let mut bob = server.attach("bob").await;
    bob.hear().await;

    let mut eve = server.attach_to("peerjs", "bob", "another").await;

    assert_eq!(
        eve.hear().await,
        r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#
    );
    assert!(eve.closed().await.is_some());
}

#[tokio::test]
async fn a_peer_that_was_cut_off_comes_back_and_no_other_for_it() {
    let server = Served::start(Config::default()).await;
    let mut bob = server.attach("bob").await;
    bob.hear().await;
    drop(bob);

    let mut eve = server.attach_to("peerjs", "bob", "another").await;
    let refused = eve.hear().await;
    eve.closed().await;
    while server.hub.figures().connections > 0 {
        tokio::task::yield_now().await;
    }
    let mut bob = server.attach("bob").await;

    assert!(refused.contains("ID-TAKEN"), "{refused}");
    assert_eq!(bob.hear().await, OPEN);
}

#[tokio::test]
async fn an_offer_for_nobody_comes_back_expired() {
    let mut limits = Limits::default();
    limits.expire_timeout = Duration::from_millis(50);
    let server = Served::start(Config::default().with_limits(limits)).await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;

    ada.say(r#"{"type":"OFFER","dst":"bob"}"#).await;

    assert_eq!(
        ada.hear().await,
        r#"{"type":"EXPIRE","src":"bob","dst":"ada"}"#
    );
}

#[tokio::test]
async fn peers_come_back_to_a_restarted_server() {
    let server = Served::start(Config::default()).await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;

    let address = server.stop().await;
    assert_eq!(ada.closed().await, Some((1001, "the server ends".into())));
    let server = Served::start_at(address, Config::default()).await;
    let mut ada = server.attach("ada").await;

    assert_eq!(ada.hear().await, OPEN);
}

#[tokio::test]
async fn what_is_missing_is_told_over_the_socket() {
    let server = Served::start(Config::default()).await;

    let peer = peer::Peer::connect(server.address, "key=peerjs&id=ada", None).await;
    let mut peer = peer.expect("it is told there");

    let error =
        r#"{"type":"ERROR","payload":{"msg":"No id, token, or key supplied to websocket server"}}"#;
    assert_eq!(peer.hear().await, error);
    assert_eq!(peer.closed().await, Some((1008, "refused".into())));
}

#[tokio::test]
async fn a_client_without_an_id_is_given_one() {
    let server = Served::start(Config::default()).await;

    let (id, other) = (
        server.get("/peerjs/id?ts=1").await,
        server.get("/peerjs/id").await,
    );

    assert_eq!((id.status, id.body.len()), (200, 36));
    assert_ne!(id.body, other.body);
    assert_eq!(server.get("/unknown/id").await.status, 404);
}

#[tokio::test]
async fn ids_of_the_common_place_are_listed_if_that_is_allowed() {
    let closed = Served::start(Config::default()).await;
    let listed = Served::start(Config::default().listed()).await;
    let mut ada = listed.attach("ada").await;
    ada.hear().await;

    assert_eq!(closed.get("/peerjs/peers").await.status, 401);
    assert_eq!(listed.get("/peerjs/peers").await.body, r#"["ada"]"#);
}

#[tokio::test]
async fn programs_get_a_banner_and_people_a_page() {
    let server = Served::start(Config::default()).await;

    let banner = server.get("/").await;
    let page = server
        .ask("GET", "/", "Accept: text/html,*/*;q=0.8\r\n")
        .await;

    assert_eq!(banner.header("content-type"), Some("application/json"));
    assert!(banner.body.starts_with(r#"{"name":"PeerJS Server","#));
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.contains(r#"href="/new""#));
    assert_eq!(server.get("/style.css").await.status, 200);
}

#[tokio::test]
async fn operators_ask_at_an_address_of_their_own() {
    let server = Served::start(Config::default()).await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;

    let metrics = peer::ask(server.operators, "GET", "/metrics", "").await;
    let health = peer::ask(server.operators, "GET", "/healthz", "").await;

    assert!(
        metrics.body.contains("\nliferaft_signaling_peers 1\n"),
        "{}",
        metrics.body
    );
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(server.get("/metrics").await.status, 404);
    assert_eq!(server.get("/healthz").await.status, 404);
}
