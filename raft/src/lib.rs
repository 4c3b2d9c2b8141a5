//! Raft, as in Diego Ongaro's dissertation "Consensus: Bridging Theory and Practice" (cited as § throughout).
//!
//! The crate has two halves, and the first knows nothing of the second:
//!
//! - [`consensus`]: the protocol as a deterministic value. Events and the time go in, outputs come out: no async, no
//!   clock, no I/O. It is `no_std` + alloc, and all that remains with `default-features = false`.
//! - [`driver`] (feature `driver`, on by default): one task that gives a [`consensus::Raft`] time, disk,
//!   network and a [`StateMachine`](crate::state_machine::StateMachine), behind a cloneable handle.
//!
//! [`wire`] is the encoding of what members say to one another and of what they store.

#![cfg_attr(not(feature = "driver"), no_std)]

extern crate alloc;

pub mod admission;
pub mod boots;
#[cfg(feature = "driver")]
pub mod codec;
pub mod config;
pub mod configuration;
pub mod consensus;
#[cfg(feature = "driver")]
pub mod driver;
pub mod entry;
#[cfg(feature = "driver")]
pub mod identity;
pub mod ids;
pub mod message;
pub mod policy;
#[cfg(feature = "driver")]
pub mod sessions;
pub mod sorted;
#[cfg(feature = "driver")]
pub mod state_machine;
#[cfg(feature = "driver")]
pub mod storage;
pub mod time;
pub mod wire;
