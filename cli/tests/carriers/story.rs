//! Cuts the ways between two members one after another, and heals them.

use std::time::{Duration, Instant};

use liferaft_sim::dice::PerMillion;

use crate::lab::{self, Lab, Weather};
use crate::member::{self, Seat};

/// A network as there are many.
const WEATHER: Weather = Weather {
    delay: Duration::from_millis(5),
    jitter: Duration::from_millis(1),
    loss: PerMillion::percent(0),
    doubles: PerMillion::percent(0),
};

/// Where IPv4 says what a packet holds, and that it is UDP.
const PROTOCOL_AT: usize = 9;
const UDP: u8 = 17;

pub(crate) fn run() {
    if let Err(missing) = lab::enter() {
        println!("skipped: carriers: no network of namespaces can be made here: {missing}");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    runtime.block_on(tell());
}

async fn tell() {
    let lab = Lab::new(3, WEATHER, 1);
    let seats = member::start(&lab, 3).await;
    let [a, b, c] = &seats[..] else {
        unreachable!("there are three");
    };

    each_to_the_other("by WebRTC", [a, b], "rtc").await;
    each_to_the_other("by WebRTC", [b, c], "rtc").await;
    write_by_each(&seats, "1").await;

    cut(&lab, |packet| packet.get(PROTOCOL_AT) == Some(&UDP));
    each_to_the_other("by WebSocket without UDP", [a, b], "ws").await;
    write_by_each(&seats, "2").await;

    cut(&lab, |_| true);
    each_to_the_other("through the third member", [a, b], "relay").await;
    let path = a.linked(b.id(), |path| path.relay == Some(c.id())).await;
    assert_eq!(path.description, None, "it has no path of its own");
    write_by_each(&seats, "3").await;

    lab.heal();
    each_to_the_other("by WebRTC again", [a, b], "rtc").await;
    write_by_each(&seats, "4").await;

    for seat in seats {
        seat.stop();
    }
}

/// Lets nothing of a kind pass between the first two.
fn cut(lab: &Lab, is_cut: fn(&[u8]) -> bool) {
    lab.cut(0, 1, is_cut);
    lab.cut(1, 0, is_cut);
}

/// Waits until both ends say that their link runs over this carrier, and tells how long that took.
async fn each_to_the_other(how: &str, [a, b]: [&Seat; 2], carrier: &str) {
    let began = Instant::now();
    for (end, other) in [(a, b), (b, a)] {
        let path = end.linked(other.id(), |path| path.carrier == carrier).await;
        println!("{how} after {:.1?}: {path}", began.elapsed());
        if carrier == "rtc" {
            let description = path.description.expect("the selected pair is known");
            assert_eq!(description.matches("10.77.0.").count(), 2, "{description}");
        }
    }
}

/// Writes by each member, and reads what was written by all.
async fn write_by_each(seats: &[Seat], value: &str) {
    for (member, seat) in seats.iter().enumerate() {
        let key = format!("member-{member}");
        let written = seat.store().set(key.as_str(), value).await;
        written.expect("it is written");
    }
    for seat in seats {
        for member in 0..seats.len() {
            let read = seat.store().get(format!("member-{member}").as_str()).await;
            let read = read.expect("it is read").value.expect("it was written");
            assert_eq!(&read[..], value.as_bytes());
        }
    }
}
