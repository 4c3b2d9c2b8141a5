//! Runs a member of a cluster in a browser tab, for the pages in `web/pages`; elsewhere there is nothing in it.
//!
//! JavaScript has the page, and this has the cluster: what the page shows and what people type in passes through
//! `Member` alone.

#[cfg(target_arch = "wasm32")]
pub mod alarm;
#[cfg(target_arch = "wasm32")]
mod key;
#[cfg(target_arch = "wasm32")]
mod member;
#[cfg(target_arch = "wasm32")]
mod network;
#[cfg(target_arch = "wasm32")]
mod status;
