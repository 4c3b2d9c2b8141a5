//! Links over WebSocket: between ends on loopback, through a proxy that cuts, and beside peers that keep to no rule.

mod bad_peers;
#[path = "../websocket_kit/cluster.rs"]
mod cluster;
mod conformance;
mod contact;
#[path = "../websocket_kit/direct.rs"]
mod direct;
mod ends;
mod links;
mod order;
mod polling;
mod proxy;
mod raw;
mod tls;
