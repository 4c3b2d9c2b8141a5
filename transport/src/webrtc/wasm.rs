//! In browsers: the data channels of the host, each connection in a task of its own.
//!
//! Objects of JavaScript stay in the tasks that use them, so that the carrier can be sent to wherever it is wanted.

mod carrier;
mod connection;
mod listener;
mod peer;
mod port;
mod statistics;
mod table;

pub use self::carrier::WebRtcCarrier;

/// What only a carrier in a browser is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {}
