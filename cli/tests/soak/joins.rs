//! Has newcomers wait for the signaling server to return, and times how soon they are in then.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::door::{Door, OUTAGES};
use crate::node::Node;

/// Whoever has waited for the server has joined so soon after its return.
const JOINED_WITHIN: Duration = Duration::from_secs(5);

/// So long the server is away at most: by then peers wait as long as they ever do between two attempts.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// Takes the server away once in each way, for no longer than this, and has a member join who waits for it. Prints how
/// soon each is in. Returns true if the target is met.
pub(crate) fn are_soon(folder: &Path, lasts: Duration) -> bool {
    let mut door = Door::open();
    let room = door.room();
    let start = |command: &str, name: &str, more: &[&str]| {
        let data = folder.join(name);
        let data = data.to_str().expect("it is text");
        let flags = [command, "--data", data, "--room", &room, "--name", name];
        Node::start(&[&flags[..], more].concat())
    };
    let ada = start("init", "ada", &[]);
    let invitation = ada.invitation();
    println!("server's return → who has waited for it has joined, in ms");
    println!("  {:22}{:>8}{:>9}", "server", "joined", "target");
    let mut is_met = true;
    let mut newcomers = Vec::new();
    for (outage, name) in OUTAGES.into_iter().zip(["bob", "eve", "sue", "tom"]) {
        door.begin(outage);
        let newcomer = start("node", name, &["--join", &invitation]);
        thread::sleep(lasts.min(AWAY_MAX));
        door.end(outage);
        let returned_at = Instant::now();
        // Those who came before, this one, and the founder.
        newcomer.until_voters(newcomers.len() + 2);
        let took = returned_at.elapsed();
        newcomers.push(newcomer);
        is_met &= took <= JOINED_WITHIN;
        let outage = format!("{outage:?}");
        let (took, target) = (took.as_millis(), JOINED_WITHIN.as_millis());
        println!("  {outage:22}{took:>8}{target:>9}");
    }
    is_met
}
