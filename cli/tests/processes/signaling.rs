//! Runs signaling servers: what they tell, what ends them, and which settings they refuse.

use std::net::SocketAddr;

use crate::monitor::get;
use crate::node::{ANYWHERE, Node, misuse_of};

#[test]
fn a_signaling_server_opens_rooms_and_is_monitored_elsewhere() {
    let server = Node::start(&["serve", "--listen", ANYWHERE, "--monitor", ANYWHERE]);
    let started = server.until("started", |_| true);
    let address = |of: &str| -> SocketAddr {
        let url = started[of].as_str().expect("it listens");
        url.trim_start_matches("http://")
            .parse()
            .expect("an address")
    };

    let room = get(address("address"), "/new");
    let metrics = get(address("monitor"), "/metrics");
    let hidden = get(address("address"), "/metrics");

    assert!(room.starts_with("HTTP/1.1 302 "), "{room}");
    assert!(room.contains("#firstServer"), "{room}");
    assert!(
        metrics.contains("liferaft_signaling_channels 1\n"),
        "{metrics}"
    );
    assert!(hidden.starts_with("HTTP/1.1 404 "), "{hidden}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_signaling_server_refuses_what_makes_no_sense() {
    let serve = |flag: &str, value: &str| misuse_of(&["serve", "--listen", ANYWHERE, flag, value]);

    let origin = serve("--allow-origin", "example.org");
    let key = serve("--peerjs-key", "a/b");

    assert!(
        origin.contains("--allow-origin: `example.org` is no origin"),
        "{origin}"
    );
    assert!(key.contains("--peerjs-key: `a/b` is no key"), "{key}");
}
