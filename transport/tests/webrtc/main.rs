//! Links over WebRTC: between ends on loopback, and beside peers that keep to no rule.

mod bad_peers;
mod binding;
mod bulk;
#[path = "../websocket_kit/cluster.rs"]
mod cluster;
mod conformance;
mod ends;
mod links;
#[path = "../websocket/polling.rs"]
mod polling;
mod raw;
