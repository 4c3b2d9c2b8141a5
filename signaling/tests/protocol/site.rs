//! Pages that are handed in, and what becomes of them while signaling is stopped.

use bytes::Bytes;
use liferaft_signaling::{Config, File, Site};
use tokio_tungstenite::tungstenite::Error;

use super::OPEN;
use super::peer::{Peer, Served};

const PEOPLE: &str = "Accept: text/html,*/*;q=0.8\r\n";

fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File {
        path: path.into(),
        content_type: content_type.into(),
        bytes: Bytes::from_static(text.as_bytes()),
        gzip: None,
        is_immutable: false,
    }
}

/// A server of a page, its script, and a module that is named after its hash.
async fn served() -> Served {
    let module = File {
        gzip: Some(Bytes::from_static(b"short")),
        is_immutable: true,
        ..file("member-0a1b2c3d.wasm", "application/wasm", "long")
    };
    let files = vec![
        file("js/chat.js", "text/javascript; charset=utf-8", "chat()"),
        file("chat.html", "text/html; charset=utf-8", "<p>chat"),
        module,
    ];
    let site = Site::new(files, "chat.html").expect("it is among them");
    Served::start(Config::default().with_site(site)).await
}

#[tokio::test]
async fn people_without_a_room_get_a_new_one() {
    let server = served().await;

    let people = server.ask("GET", "/?et=300", PEOPLE).await;
    let program = server.get("/").await;

    let location = people.header("location").unwrap_or_default();
    assert_eq!(people.status, 302);
    assert!(location.starts_with("/?channel="), "{location}");
    assert!(location.ends_with("&et=300#firstServer"), "{location}");
    assert!(program.body.starts_with(r#"{"name":"PeerJS Server","#));
}

#[tokio::test]
async fn the_start_page_is_shown_to_whoever_has_a_room() {
    let server = served().await;

    for path in ["/?channel=N", "/?et=300&channel=N", "/chat.html"] {
        let page = server.ask("GET", path, PEOPLE).await;

        assert_eq!(
            (page.status, page.body.as_str()),
            (200, "<p>chat"),
            "{path}"
        );
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"));
    }
    assert_eq!(server.get("/js/chat.js").await.body, "chat()");
    assert_eq!(server.ask("POST", "/chat.html", "").await.status, 404);
    assert_eq!(server.get("/style.css").await.status, 404);
}

#[tokio::test]
async fn files_that_never_change_are_kept_by_browsers() {
    let server = served().await;

    let module = server.get("/member-0a1b2c3d.wasm").await;
    let script = server.get("/js/chat.js").await;

    let kept = "public, max-age=31536000, immutable";
    assert_eq!(module.header("cache-control"), Some(kept));
    assert_eq!(script.header("cache-control"), Some("no-store"));
    assert_eq!(module.header("content-type"), Some("application/wasm"));
}

#[tokio::test]
async fn only_who_takes_gzip_gets_it() {
    let server = served().await;
    let asked = async |codings: &str| {
        let header = format!("Accept-Encoding: {codings}\r\n");
        let answer = server.ask("GET", "/member-0a1b2c3d.wasm", &header).await;
        let coding = answer.header("content-encoding").map(str::to_owned);
        (coding, answer.body)
    };

    let (taken, not_taken) = ((Some("gzip".into()), "short".into()), (None, "long".into()));
    assert_eq!(asked("br, gzip").await, taken);
    assert_eq!(asked("GZIP;q=0.5").await, taken);
    assert_eq!(asked("br, gzip;q=0").await, not_taken);
    assert_eq!(asked("identity").await, not_taken);
}

#[tokio::test]
async fn pages_are_served_while_signaling_is_stopped() {
    let server = served().await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;

    server.hub.set_open(false);
    let closed = ada.closed().await;
    let page = server.ask("GET", "/", PEOPLE).await;
    let refused = Peer::connect(server.address, "key=peerjs&id=a&token=t", None).await;

    assert_eq!(closed, Some((1001, "the server ends".into())));
    assert_eq!((page.status, page.body.as_str()), (200, "<p>chat"));
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 503));
    for path in ["/new", "/peerjs/id", "/peerjs/peers", "/peers/N"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "signaling is stopped\n"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn peers_take_their_ids_back_when_signaling_goes_on() {
    let server = served().await;
    let mut ada = server.attach("ada").await;
    ada.hear().await;

    server.hub.set_open(false);
    ada.closed().await;
    server.hub.set_open(true);
    let mut eve = server.attach_to("peerjs", "ada", "another").await;
    let mut ada = server.attach("ada").await;

    assert!(eve.hear().await.contains("ID-TAKEN"));
    assert_eq!(ada.hear().await, OPEN);
}
