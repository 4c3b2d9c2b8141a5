//! Runs signaling servers: what they tell, what ends them, and which settings they refuse.

use std::net::SocketAddr;

use crate::monitor::get;
use crate::node::{ANYWHERE, Node, misuse_of, run};

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

#[test]
fn a_client_is_told_that_a_signaling_server_is_no_member() {
    let server = Node::start(&["serve", "--listen", ANYWHERE]);
    let started = server.until("started", |_| true);
    let url = started["address"].as_str().expect("it listens");

    let asked = run(&["kv", "--at", &url["http://".len()..], "get", "camp"]);
    let of_peer = format!("rtc+{}/room/{:032x}", url.replace("http", "ws"), 7);
    let named = misuse_of(&["kv", "--at", &of_peer, "get", "camp"]);

    let told = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(5), "{told}");
    assert!(told.contains("no member, but a signaling server"), "{told}");
    assert!(named.contains("an invitation does"), "{named}");
}
