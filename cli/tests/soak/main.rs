//! Five members as processes that are killed, paused, cut off one way and restarted, and whose disks hang, while
//! clients read and write a few keys: what these hear has an order that explains it, and nothing acknowledged is lost.
//!
//! It takes 30 seconds, or as many as `LIFERAFT_SOAK_SECONDS` says: `cargo xtask soak`. With `evictions` for
//! `LIFERAFT_SOAK_STORY` the members reach each other over WebRTC, and are paused for as long as none is to be evicted
//! for; with `signaling` their leaders are killed while the signaling server, by which they found each other, is away.
//! All faults are drawn from
//! `LIFERAFT_SOAK_SEED`, which is printed; when they meet what, only the system knows. What clients heard is written to
//! a file in the target directory, as `docs/simulation.md` says.
//!
//! It is a program of its own, and not a function among tests, so that it can start itself anew in network namespaces
//! before it has threads, and so that what it tells is seen.

#[cfg(unix)]
mod clients;
#[cfg(unix)]
mod disk;
#[cfg(unix)]
mod door;
#[cfg(unix)]
mod evictions;
#[cfg(unix)]
mod faults;
#[cfg(unix)]
mod group;
#[cfg(unix)]
mod joins;
#[cfg(unix)]
mod judging;
#[cfg(unix)]
#[path = "../lab/mod.rs"]
#[expect(dead_code, reason = "the comparison of channels uses more of it")]
mod lab;
mod lone;
#[cfg(unix)]
mod network;
#[cfg(unix)]
#[path = "../processes/node.rs"]
#[expect(dead_code, reason = "the tests of single processes use more of it")]
mod node;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod seats;
#[cfg(unix)]
mod signaling;
#[cfg(unix)]
mod soak;

/// What `cargo test NAME` must be a part of, or it is another test that is wanted.
const NAME: &str = "what_clients_hear_has_an_order_while_members_are_hurt";

fn main() {
    lone::main(NAME, || {
        #[cfg(unix)]
        soak::run();
        #[cfg(not(unix))]
        println!("skipped: soak: members are killed and paused by signals");
    });
}
