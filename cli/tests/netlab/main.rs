//! Five members, each in a network namespace, reach each other over WebRTC through a network that delays, loses,
//! doubles and reorders packets: what their clients hear has an order that explains it, in each of the four modes that
//! the channel of consensus has, and how soon commands are committed in each of them is told.
//!
//! Before that, two members behind NATs find each other at a signaling server, and what links them is checked.
//!
//! It takes a few seconds and checks no times, or as many for each mode as `LIFERAFT_NETLAB_SECONDS` says, and then
//! compares the modes: `cargo xtask netlab`. With `nat` for `LIFERAFT_NETLAB_STORY` it is about NATs alone. What
//! happens to packets is drawn from `LIFERAFT_NETLAB_SEED`, which is printed; when they are sent, only the system
//! knows.
//!
//! It is a program of its own, and not a function among tests, so that it can start itself anew in network namespaces
//! before it has threads, and so that what it tells is seen.

#[cfg(unix)]
#[path = "../soak/clients.rs"]
#[expect(dead_code, reason = "the soak has clients of its own")]
mod clients;
#[cfg(unix)]
mod comparison;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
#[path = "../soak/group.rs"]
mod group;
#[cfg(unix)]
#[path = "../soak/judging.rs"]
mod judging;
#[cfg(unix)]
#[path = "../lab/mod.rs"]
mod lab;
#[cfg(unix)]
mod load;
#[path = "../soak/lone.rs"]
mod lone;
#[cfg(unix)]
mod members;
#[cfg(unix)]
mod nat;
#[cfg(unix)]
#[path = "../processes/node.rs"]
#[expect(dead_code, reason = "here members are no processes")]
mod node;

/// What `cargo test NAME` must be a part of, or it is another test that is wanted.
const NAME: &str = "what_clients_hear_has_an_order_in_each_mode_of_the_channel";

fn main() {
    lone::main(NAME, || {
        #[cfg(unix)]
        run();
        #[cfg(not(unix))]
        println!("skipped: netlab: there are no network namespaces here");
    });
}

#[cfg(unix)]
fn run() {
    if let Err(missing) = lab::enter() {
        println!("skipped: netlab: no network of namespaces can be made here: {missing}");
        return;
    }
    match std::env::var("LIFERAFT_NETLAB_STORY").as_deref() {
        Ok("nat") => nat::run(),
        Ok(other) => panic!("there is no story {other}"),
        Err(_) => {
            nat::run();
            comparison::run();
        }
    }
}
