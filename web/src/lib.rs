//! Runs members of clusters in a browser or in Node, for the JavaScript in `web/js`; elsewhere there is nothing in it.
//!
//! What is exported is for that alone, which checks arguments, makes errors of JavaScript's, and has what pages see. A
//! member is a `RawNode`, started by `start` (`node`).
#![cfg(target_arch = "wasm32")]

pub mod alarm;
mod command;
mod error;
pub mod init;
mod machine;
pub mod node;
mod options;
pub mod outbox;
mod plain;
mod qr;
mod reach;
mod reply;
mod starting;
mod status;
mod storage;
mod tabs;
pub mod watch;
