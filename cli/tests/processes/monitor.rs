//! Tests what monitors are told over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::node::{ANYWHERE, Folder, PATIENCE, init, init_with, join, join_with};

/// So many ask for much and read nothing.
const UNREAD: usize = 16;

/// So many ask for nothing. They would have places for minutes if each had one until it is closed.
const IDLE: usize = 500;

#[test]
fn monitors_are_told_figures_and_whether_it_takes_part() {
    let folder = Folder::new("monitor");
    let ada = init_with(&folder.of("ada"), &["--monitor", ANYWHERE]);
    let address = ada.monitor();
    ada.invitation();

    let metrics = get(address, "/metrics");
    let (healthy, ready) = (get(address, "/healthz"), get(address, "/readyz"));

    assert!(metrics.contains("liferaft_is_leader{"), "{metrics}");
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(get(address, "/elsewhere").starts_with("HTTP/1.1 404 "));
}

#[test]
fn who_waits_for_its_cluster_is_well_and_not_ready() {
    let folder = Folder::new("unready");
    let ada = init(&folder.of("ada"));
    let invitation = ada.invitation();
    assert_eq!(ada.stop(), Some(0));

    let bob = join_with(
        &folder.of("bob"),
        &invitation,
        "bob",
        &["--monitor", ANYWHERE],
    );
    let address = bob.monitor();

    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "));
    let ready = get(address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains("it is no member yet"), "{ready}");
}

#[test]
fn monitors_are_answered_beside_those_that_never_ask_or_read() {
    let folder = Folder::new("crowd");
    let ada = init_with(&folder.of("ada"), &["--monitor", ANYWHERE]);
    let address = ada.monitor();
    let connect = || TcpStream::connect(address).expect("it listens");
    let requests = b"GET /metrics HTTP/1.1\r\nHost: ada\r\n\r\n".repeat(2_000);

    let mut crowd = Vec::new();
    for _ in 0..UNREAD {
        let mut unread = connect();
        unread.set_nonblocking(true).expect("it is one");
        // It takes what it takes.
        let _some = unread.write(&requests);
        crowd.push(unread);
    }
    crowd.extend((0..IDLE).map(|_| connect()));

    assert!(get(address, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(crowd);
    assert_eq!(ada.stop(), Some(0));
}

#[test]
fn who_knows_no_leader_is_well_and_not_ready() {
    let folder = Folder::new("leaderless");
    let ada = init(&folder.of("ada"));
    let invitation = ada.invitation();
    let bob = join_with(
        &folder.of("bob"),
        &invitation,
        "bob",
        &["--monitor", ANYWHERE],
    );
    let address = bob.monitor();
    let eve = join(&folder.of("eve"), &invitation, "eve");
    bob.until_voters(3);
    eve.until_voters(3);
    let before = get(address, "/readyz");

    drop((ada, eve));
    bob.until("led", |told| told["leader"].is_null());

    let (ready, healthy) = (get(address, "/readyz"), get(address, "/healthz"));
    assert!(before.starts_with("HTTP/1.1 200 "), "{before}");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains("it knows no leader"), "{ready}");
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
}

/// Returns the whole response.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("it is not zero");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("it answers");
    response
}
