//! Links over WebRTC: between ends on loopback, by addresses and by signals, over paths that go away, and beside
//! peers and signaling servers that keep to no rule.

mod bad_peers;
mod between;
mod binding;
mod bulk;
mod by_hand;
#[path = "../websocket_kit/cluster.rs"]
mod cluster;
mod conformance;
#[path = "../../src/webrtc/native/gathering/tests/coturn.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod coturn;
mod crowds;
#[path = "../websocket_kit/direct.rs"]
mod direct;
mod ends;
mod exchange;
mod hostile;
mod links;
mod misuse;
#[path = "../websocket/polling.rs"]
mod polling;
mod raw;
mod relayed;
mod restarts;
mod roster;
mod signaled;
mod wires;
