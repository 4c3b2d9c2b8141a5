//! Facade.
pub use liferaft_raft::{config, configuration, consensus, entry, ids, message, time};
