//! Takes the signaling server away from members that found each other through it, and kills their leaders: links go
//! on, whoever is started again is taken back, and the next leader is there as soon as with the server. Newcomers that
//! wait for it are in as soon as it is back.

use std::path::Path;
use std::time::{Duration, Instant};

use liferaft_sim::dice::Dice;

use crate::clients::{Book, Entry};
use crate::door::{Door, OUTAGES, Outage};
use crate::faults::{longest_silence, pass, seconds};
use crate::joins;
use crate::judging;
use crate::network::Network;
use crate::seats::{ELECTIONS, Seats, Wiring};
use crate::soak::while_asked;

/// So many members there are.
const SIZES: [usize; 2] = [5, 11];

/// So many where the whole of it takes seconds.
const SIZE_OF_BRIEF: usize = 5;

/// So long the server is away where the whole of it takes seconds.
const BRIEF: Duration = Duration::from_secs(15);

/// Without the server a leader is replaced within this part more than with it, by the medians of all kills.
const RECOVERY_RATIO_MAX: f64 = 1.1;

/// So long all is well between two kills, in milliseconds: links that a restarted member has by WebSocket are replaced
/// by those of WebRTC meanwhile.
const CALM: (u64, u64) = (1_000, 2_000);

/// What links between members run over: what `status` calls it.
const CARRIER: &str = "rtc";

/// How members are found at the server.
const FOUND_BY: &str = "rtc+ws";

/// A leader that was killed, and started again once another led.
struct Kill {
    /// What the server suffered meanwhile; `None` if it was well.
    outage: Option<Outage>,
    /// From when to when, in nanoseconds of the run.
    from: u64,
    to: u64,
}

/// From when a leader is killed to when the next one answers.
struct Election {
    outage: Option<Outage>,
    from: u64,
    to: u64,
}

/// Everything, with many kills in each outage, so that medians can be compared.
pub(crate) fn run(folder: &Path, seed: u64, lasts: Duration) {
    let are_met = SIZES.map(|members| {
        let folder = folder.join(members.to_string());
        // What is measured with the server is measured beside each outage: the machine may be busier at one time.
        let parts = OUTAGES.map(|outage| [(None, lasts / 2), (Some(outage), lasts)]);
        tell(
            members,
            &tried(&folder, seed, members, parts.as_flattened()),
        )
    });
    let are_joins_soon = joins::are_soon(&folder.join("joins"), lasts);
    let is_met = are_joins_soon && are_met.iter().all(|met| *met);
    assert!(is_met, "a target is missed");
}

/// One of them, drawn, for seconds, and no times.
pub(crate) fn run_briefly(folder: &Path, seed: u64) {
    let outage = Dice::new(seed, u64::MAX).pick(&OUTAGES).expect("some");
    let elections = tried(
        &folder.join("brief"),
        seed,
        SIZE_OF_BRIEF,
        &[(Some(outage), BRIEF)],
    );
    assert!(!elections.is_empty(), "leaders were killed");
}

/// Has members find each other through the server, and kills leaders in each part: what the server suffers, and for how
/// long. Checks what clients heard.
fn tried(
    folder: &Path,
    seed: u64,
    members: usize,
    parts: &[(Option<Outage>, Duration)],
) -> Vec<Election> {
    println!("{members} members, leaders are killed:");
    let mut door = Door::open();
    let room = door.room();
    let wiring = Wiring {
        members,
        // Clients come by WebSocket, and whoever is started again while there is no server. Newcomers do not.
        listen: "--listen",
        found_by: Some(FOUND_BY),
        flags: &["--room", &room],
    };
    let mut seats = Seats::start(folder, Network::loopback(members), wiring, false);
    seats.until_linked_by(CARRIER);
    // How they came together is of no interest.
    seats.news().for_each(drop);
    let lasts = parts.iter().map(|(_, lasts)| *lasts).sum();
    let heard = while_asked(&mut seats, seed, lasts, |seats, book, dice, _| {
        let parts = parts.iter();
        let kills = parts.flat_map(|part| {
            if let Some(outage) = part.0 {
                door.begin(outage);
            }
            let kills = kill_leaders(seats, book, dice, *part);
            if let Some(outage) = part.0 {
                door.end(outage);
            }
            kills
        });
        kills.collect::<Vec<_>>()
    });
    let departures = seats.departures();
    let (_seats, totals) = seats.totals();

    judging::keep("soak", seed, &heard.history);
    println!("{} elections", totals[ELECTIONS]);
    assert!(departures.is_empty(), "nobody leaves: {departures:?}");
    let elections = elections(&heard.strikes, &heard.history);
    for (from, to) in heard.failures {
        let meets = |election: &Election| from < election.to && election.from < to;
        assert!(
            elections.iter().any(meets),
            "{from} to {to}: a call fails while one leads"
        );
    }
    judging::check(&heard.history, &heard.sequences);
    elections
}

/// Kills one leader after another until the time is over, and starts each again. In the end all are linked by WebRTC,
/// whether there is a server or not.
fn kill_leaders(
    seats: &mut Seats<'_>,
    book: &Book,
    dice: &mut Dice,
    (outage, lasts): (Option<Outage>, Duration),
) -> Vec<Kill> {
    let until = Instant::now() + lasts;
    let mut kills = Vec::new();
    while Instant::now() < until {
        let leader = seats.until_led(&[]);
        let from = book.now();
        println!(
            "{:7.2} s: {leader} is killed, server: {outage:?}",
            seconds(from)
        );
        seats.kill(leader);
        seats.until_led(&[leader]);
        seats.restart(leader);
        seats.until_caught_up(leader);
        kills.push(Kill {
            outage,
            from,
            to: book.now(),
        });
        pass(dice, CALM);
    }
    seats.until_linked_by(CARRIER);
    kills
}

fn elections(kills: &[Kill], history: &[Entry]) -> Vec<Election> {
    let mut answers: Vec<_> = history.iter().filter_map(|told| told.r#return).collect();
    answers.sort_unstable();
    let election = |kill: &Kill| Election {
        outage: kill.outage,
        from: kill.from,
        to: kill.from + longest_silence(&answers, kill.from, kill.to),
    };
    kills.iter().map(election).collect()
}

/// Prints for how long nobody was answered after each kill, with the server and without. Returns true if the targets
/// are met.
fn tell(members: usize, elections: &[Election]) -> bool {
    println!("{members} members, leader killed → next answer, in ms");
    println!(
        "  {:22}{:>6}{:>8}{:>9}{:>9}{:>9}",
        "server", "kills", "median", "longest", "ratio", "target"
    );
    let times = |outage| {
        let of = elections
            .iter()
            .filter(|election| election.outage == outage);
        let mut times: Vec<_> = of.map(|election| election.to - election.from).collect();
        times.sort_unstable();
        times
            .into_iter()
            .map(|nanos| seconds(nanos) * 1000.0)
            .collect::<Vec<_>>()
    };
    let median = |times: &[f64]| times[times.len() / 2];
    let well = median(&times(None));
    let mut is_met = true;
    for outage in [None].into_iter().chain(OUTAGES.map(Some)) {
        let times = times(outage);
        let ratio = median(&times) / well;
        is_met &= ratio <= RECOVERY_RATIO_MAX;
        let name = outage.map_or("well".to_owned(), |outage| format!("{outage:?}"));
        let longest = times.last().copied().unwrap_or_default();
        println!(
            "  {name:22}{:>6}{:>8.0}{longest:>9.0}{ratio:>9.2}{RECOVERY_RATIO_MAX:>9}",
            times.len(),
            median(&times)
        );
    }
    is_met
}
