//! Raft, as in Diego Ongaro's dissertation "Consensus: Bridging Theory and Practice" (cited as § throughout).
//!
//! The crate has two halves, and the first knows nothing of the second:
//!
//! - values, `no_std` + alloc, which are all that remains with `default-features = false`: [`consensus`] is the
//!   protocol, deterministic. Events and the time go in, outputs come out: no async, no clock, no I/O. [`wire`] encodes
//!   what members say to one another and what they store, [`sessions`] makes each command take effect once on a
//!   [`StateMachine`](state_machine::StateMachine), and [`policy`] decides who should take part.
//! - [`driver`] (feature `driver`, on by default): one task that gives a [`consensus::Raft`] time, disk, network and a
//!   state machine, behind a cloneable handle.

#![cfg_attr(not(feature = "driver"), no_std)]

extern crate alloc;

pub mod admission;
pub mod boots;
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
pub mod sessions;
pub mod sorted;
pub mod state_machine;
#[cfg(feature = "driver")]
pub mod storage;
pub mod time;
pub mod wire;
