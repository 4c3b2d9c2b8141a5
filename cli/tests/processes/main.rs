//! Members as processes: `liferaft init`, `node`, `leave`, `cluster` and `serve`, as a shell or a supervisor runs them.

#[path = "../../../transport/tests/webrtc/between.rs"]
mod between;
mod clients;
mod cluster;
mod commands;
mod contacts;
mod dialect;
mod flags;
mod joining;
mod liar;
mod monitor;
mod node;
#[cfg(unix)]
mod procedures;
#[cfg(unix)]
#[path = "../../../transport/tests/qr/reader.rs"]
mod reader;
mod rooms;
mod rtc;
mod signaling;
#[cfg(unix)]
mod stopping;
#[cfg(unix)]
mod surroundings;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod tls;
mod upgrade;
