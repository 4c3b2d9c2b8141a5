//! Three members, each in a network namespace and on WebRTC and WebSocket at once, use the best way to each other that
//! works: while UDP is cut between two of them WebSocket, while everything is cut the third member, and WebRTC again
//! when all is well.
//!
//! It is a program of its own, and not a function among tests, so that it can start itself anew in network namespaces
//! before it has threads.

#[cfg(unix)]
#[path = "../lab/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod lab;
#[path = "../soak/lone.rs"]
mod lone;
#[cfg(unix)]
mod member;
#[cfg(unix)]
mod story;

/// What `cargo test NAME` must be a part of, or it is another test that is wanted.
const NAME: &str = "each_pair_uses_the_best_carrier_that_works_and_comes_back_to_it";

fn main() {
    lone::main(NAME, || {
        #[cfg(unix)]
        story::run();
        #[cfg(not(unix))]
        println!("skipped: carriers: there are no network namespaces here");
    });
}
