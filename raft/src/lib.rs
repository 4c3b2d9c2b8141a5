//! Raft, as in Diego Ongaro's dissertation "Consensus: Bridging Theory and Practice" (cited as § throughout).
//!
//! All of it is values, which ask neither for time nor for I/O, and need no std:
//!
//! - [`consensus`] is the protocol, deterministic: events and the time go in, outputs come out;
//! - [`wire`] encodes what members say to one another and what they store;
//! - [`sessions`] makes each command take effect once on a [`StateMachine`](state_machine::StateMachine), and
//!   [`applier`] has both, and takes the log's entries;
//! - [`policy`] decides who should take part.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod admission;
pub mod applier;
pub mod boots;
pub mod codec;
pub mod config;
pub mod configuration;
pub mod consensus;
pub mod entry;
pub mod ids;
pub mod message;
pub mod policy;
pub mod sessions;
pub mod sorted;
pub mod state_machine;
pub mod time;
pub mod wire;
