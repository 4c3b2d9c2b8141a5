//! Runs a member of a cluster: gives the values of [`liferaft_raft`] time, disk, network and callers.
//!
//! - [`driver`]: one task that owns a [`consensus::Raft`], and the [`Handle`](driver::Handle) by which callers reach
//!   it;
//! - [`storage`]: what must survive, on disk, in a browser or in memory;
//! - [`identity`]: the key of a server, from which its id comes.

pub mod driver;
pub mod identity;
pub mod storage;

// What is said everywhere here, under the paths that it has where it is defined.
use liferaft_raft::{
    admission, applier, boots, codec, config, configuration, consensus, entry, ids, message,
    policy, sessions, sorted, state_machine, time, wire,
};
