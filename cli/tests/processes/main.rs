//! Members as processes: `liferaft init`, `node`, `leave`, `cluster` and `serve`, as a shell or a supervisor runs them.

mod clients;
mod cluster;
mod dialect;
mod flags;
mod joining;
mod monitor;
mod node;
mod procedures;
mod signaling;
#[cfg(unix)]
mod surroundings;
mod upgrade;
