//! Pauses members while they reach each other over WebRTC, through a network that loses packets: for as long as a
//! member may be silent, nobody is evicted.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use liferaft_sim::dice::{Dice, PerMillion};

use crate::clients::Book;
use crate::faults::pass;
use crate::judging;
use crate::lab::{Lab, Weather};
use crate::network::Network;
use crate::seats::{ELECTIONS, MEMBERS, Seats, Wiring};
use crate::soak::while_asked;

/// What happens to each packet.
const WEATHER: Weather = Weather {
    delay: Duration::from_millis(10),
    jitter: Duration::from_millis(10),
    loss: PerMillion::percent(10),
    doubles: PerMillion(0),
};

/// Members are evicted after four election timeouts of silence: from then on nobody is whose own silences are shorter,
/// whoever leads.
const WIRING: Wiring<'_> = Wiring {
    members: MEMBERS,
    listen: "--rtc",
    found_by: None,
    flags: &["--evict-after", "4"],
};

/// A member stands still for so long: half of the silence for which it is evicted.
const PAUSE: Duration = Duration::from_secs(2);

/// So long all is well between pauses, in milliseconds.
const CALM: (u64, u64) = (500, 2_000);

/// One in two falls on the leader.
const LEADER_CHANCE: PerMillion = PerMillion::percent(50);

pub(crate) fn run(folder: &Path, seed: u64, lasts: Duration) {
    let network = Network::Lab(Lab::new(MEMBERS, WEATHER, seed));
    let mut seats = Seats::start(folder, network, WIRING, false);
    // How they came together is of no interest.
    seats.news().for_each(drop);
    let heard = while_asked(&mut seats, seed, lasts, pause);
    let evictions = seats.departures();
    let (seats, totals) = seats.totals();

    judging::keep("soak", seed, &heard.history);
    let (pauses, of_leader) = heard.strikes;
    println!(
        "{pauses} pauses of {PAUSE:?}, {of_leader} of them of the leader; {} elections",
        totals[ELECTIONS]
    );
    if let Network::Lab(lab) = &seats.network {
        let counts = lab.counts();
        println!("{counts:?}");
        assert!(counts.lost > 0, "packets are lost");
    }
    assert!(pauses > 0 && of_leader > 0, "members were paused");
    assert!(evictions.is_empty(), "nobody is evicted: {evictions:?}");
    judging::check(&heard.history, &heard.sequences);
    println!("nobody was evicted");
}

/// Pauses one after another until the time is over, and the leader at least once. Returns how often, and how often the
/// leader.
fn pause(seats: &mut Seats<'_>, book: &Book, dice: &mut Dice, until: Instant) -> (u32, u32) {
    let (mut pauses, mut of_leader) = (0, 0);
    while Instant::now() < until || of_leader == 0 {
        let leader = seats.until_led(&[]);
        let victim = if dice.falls(LEADER_CHANCE) {
            leader
        } else {
            dice.below(MEMBERS)
        };
        println!(
            "{:7.2} s: {victim} pauses, {leader} leads",
            Duration::from_nanos(book.now()).as_secs_f64()
        );
        seats.pause(victim);
        thread::sleep(PAUSE);
        seats.resume(victim);
        pauses += 1;
        of_leader += u32::from(victim == leader);
        seats.until_caught_up(victim);
        pass(dice, CALM);
    }
    (pauses, of_leader)
}
