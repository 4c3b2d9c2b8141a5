//! Rooms: who founds, who is there, and what becomes of a room that is not known.

use liferaft_signaling::{Config, Limits};

use super::OPEN;
use super::peer::{Answer, Served};

/// Opens a room as a browser does, and returns its number.
async fn new_room(server: &Served) -> String {
    let answer = server.get("/new").await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").expect("it leads somewhere");
    let number = location
        .strip_prefix("/?channel=")
        .and_then(|it| it.strip_suffix("#firstServer"));
    number.expect("it leads to a room").to_owned()
}

async fn claim(server: &Served, room: &str, nonce: &str) -> Answer {
    server
        .ask("POST", &format!("/{room}/founder?claim={nonce}"), "")
        .await
}

const FOUNDER: (u16, &str) = (200, r#"{"founder":true}"#);
const NO_FOUNDER: (u16, &str) = (409, r#"{"founder":false}"#);

#[tokio::test]
async fn two_visits_to_new_are_two_rooms() {
    let server = Served::start(Config::default()).await;

    let (one, other) = (new_room(&server).await, new_room(&server).await);

    assert_eq!(one.len(), 20, "100 bits");
    assert_ne!(one, other);
}

#[tokio::test]
async fn of_two_that_found_at_once_one_does() {
    let server = Served::start(Config::default()).await;
    let room = new_room(&server).await;

    let (one, other) = tokio::join!(claim(&server, &room, "a"), claim(&server, &room, "b"));

    let mut claims = [&one, &other].map(|claim| (claim.status, claim.body.as_str()));
    claims.sort();
    assert_eq!(claims, [FOUNDER, NO_FOUNDER]);
}

#[tokio::test]
async fn a_founders_page_that_is_loaded_anew_does_not_found_again() {
    let server = Served::start(Config::default()).await;
    let room = new_room(&server).await;
    let first = claim(&server, &room, "first-visit").await;

    let again = claim(&server, &room, "first-visit").await;
    let reloaded = claim(&server, &room, "second-visit").await;

    assert_eq!((first.status, first.body.as_str()), FOUNDER);
    assert_eq!((again.status, again.body.as_str()), FOUNDER);
    assert_eq!((reloaded.status, reloaded.body.as_str()), NO_FOUNDER);
}

#[tokio::test]
async fn a_server_that_was_restarted_founds_in_no_old_room() {
    let server = Served::start(Config::default()).await;
    let room = new_room(&server).await;

    let address = server.stop().await;
    let server = Served::start_at(address, Config::default()).await;
    let claim = claim(&server, &room, "a").await;
    let mut member = server.attach_to(&room, "ada", "secret").await;

    assert_eq!((claim.status, claim.body.as_str()), NO_FOUNDER);
    assert_eq!(
        member.hear().await,
        OPEN,
        "members of its cluster meet there"
    );
}

#[tokio::test]
async fn a_rooms_peers_are_listed_to_whoever_knows_it() {
    let server = Served::start(Config::default()).await;
    let room = new_room(&server).await;
    let empty = server.get(&format!("/peers/{room}")).await;
    let mut ada = server.attach_to(&room, "ada", "secret").await;
    ada.hear().await;

    let by_paper = server.get(&format!("/peers/{room}")).await;
    let by_peerjs = server.get(&format!("/{room}/peers")).await;

    assert_eq!((empty.status, empty.body.as_str()), (200, "[]"));
    assert_eq!(
        (by_paper.status, by_paper.body.as_str()),
        (200, r#"["ada"]"#)
    );
    assert_eq!(by_peerjs.body, r#"["ada"]"#);
}

#[tokio::test]
async fn an_unknown_room_is_empty_and_its_page_offers_a_new_one() {
    let server = Served::start(Config::default()).await;
    let room = "00000000000000000000";

    let peers = server.get(&format!("/peers/{room}")).await;
    let page = server.get(&format!("/?channel={room}")).await;

    assert_eq!((peers.status, peers.body.as_str()), (200, "[]"));
    assert_eq!(page.status, 200);
    assert!(page.body.contains(r#"<a class="button" href="/new">"#));
    assert!(!page.body.contains("firstServer"));
    assert_eq!(server.hub.figures().channels, 0, "looking makes none");
}

#[tokio::test]
async fn rooms_of_one_host_are_bounded() {
    let server = Served::start(Config::default()).await;
    let mut refused = None;

    for _ in 0..200 {
        let answer = server.get("/new").await;
        if answer.status != 302 {
            refused = Some(answer);
            break;
        }
    }

    let refused = refused.expect("there is a bound");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("10"));
}

#[tokio::test]
async fn a_host_with_as_many_rooms_as_it_may_is_told_so() {
    let mut limits = Limits::default();
    limits.channels_per_host_max = 1;
    let server = Served::start(Config::default().with_limits(limits)).await;
    new_room(&server).await;

    let refused = server.get("/new").await;

    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("600"));
    assert!(refused.body.contains("too many rooms"), "{refused:?}");
}

#[tokio::test]
async fn a_new_room_keeps_what_its_page_was_asked_for() {
    let server = Served::start(Config::default()).await;

    let all = "channel=1&paused&server=https%3A%2F%2Fa.example%3A9000&et=150&et=2&other=1&relay=%0d%0aa:b";
    let answer = server.get(&format!("/new?{all}")).await;

    let location = answer.header("location").expect("it leads somewhere");
    let (_, options) = location.split_once('&').expect("there are some");
    assert_eq!(
        options,
        "et=150&paused&server=https://a.example:9000#firstServer"
    );
}

#[tokio::test]
async fn what_is_no_visit_makes_no_room() {
    let server = Served::start(Config::default()).await;

    let head = server.ask("HEAD", "/new", "").await;
    assert_eq!(head.status, 405);
    for header in ["Sec-Purpose", "Purpose", "X-Moz"] {
        let prefetch = format!("{header}: prefetch\r\n");
        let prefetch = server.ask("GET", "/new", &prefetch).await;
        assert_eq!(prefetch.status, 405);
    }
    assert_eq!(server.hub.figures().channels, 0);
}
