//! Introduces peers that want to reach each other over WebRTC: a signaling server.
//!
//! Two peers that cannot reach each other yet need somebody to carry their first messages: descriptions and candidates.
//! This server does that for whoever connects to it, by the protocol of [PeerJS](https://peerjs.com), and keeps rooms
//! in which exactly one visitor founds a cluster. It is a door and not a foundation: once peers are connected it is
//! needed no more, and what it says of who is there proves nothing. Members of a cluster prove to each other who they
//! are.
//!
//! [`Rooms`] is the server as a value: it has no clock, no sockets and no randomness. [`Hub`] gives it those, as a
//! [`Router`](axum::Router) to embed; [`Server`] listens by itself, with bounds on connections too.
//! `docs/signaling.md` has the protocol and every bound.

mod config;
mod figures;
mod hosts;
mod hub;
mod message;
mod names;
mod origin;
mod rate;
mod rooms;
mod routes;
mod server;
mod site;
mod socket;

pub use self::config::{Config, ConfigError, Limits, Origins};
pub use self::figures::Figures;
pub use self::hosts::Host;
pub use self::hub::Hub;
pub use self::names::{Channel, Key, NameError, PeerId, Token};
pub use self::rate::Rate;
pub use self::rooms::{Action, Attach, Claim, Closing, ConnectionId, Ending, Refusal, Rooms};
pub use self::server::Server;
pub use self::site::{File, NoStartPage, Site};
