//! The run: a cluster for each mode of the channel, one after the other, over the same network and under the same load.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use liferaft::MembershipPolicy;
use liferaft::transport::webrtc::DatagramMode;
use liferaft_sim::dice::{Dice, PerMillion};

use crate::clients::{Book, Caller};
use crate::lab::{Lab, Weather};
use crate::members::{MEMBERS, Members};
use crate::node::PATIENCE;
use crate::{crash, group, judging, load};

/// What happens to each packet.
pub(crate) const WEATHER: Weather = Weather {
    delay: Duration::from_millis(50),
    jitter: Duration::from_millis(10),
    loss: PerMillion::percent(5),
    doubles: PerMillion::percent(2),
};

/// So long each mode is tried where nobody says for how long.
const SECONDS: u64 = 1;

/// At the 99th percentile, commands over either unordered channel take at most this part of the time that they take
/// over either ordered one.
const P99_RATIO_MAX: f64 = 0.5;

/// The search for an order takes longer than in proportion to what is asked of one group.
const GROUP_CALLS: u64 = 200;

/// The modes: that of TCP first, those that are ordered before those that are not, and the default last.
pub(crate) const MODES: [(&str, DatagramMode); 4] = [
    ("ordered, reliable", mode(true, true)),
    ("ordered, with a lifetime", mode(true, false)),
    ("unordered, reliable", mode(false, true)),
    ("unordered, with a lifetime", mode(false, false)),
];

const fn mode(is_ordered: bool, is_reliable: bool) -> DatagramMode {
    DatagramMode {
        is_ordered,
        is_reliable,
    }
}

/// What was measured of a mode.
struct Row {
    name: &'static str,
    /// How long commands took, the shortest first.
    times: Vec<Duration>,
    elections: u64,
}

pub(crate) fn run() {
    group::check();
    let seconds = setting("LIFERAFT_NETLAB_SECONDS");
    let seed = setting("LIFERAFT_NETLAB_SEED").unwrap_or_else(liferaft::platform::entropy_u64);
    println!("{MEMBERS} members, {WEATHER:?}: LIFERAFT_NETLAB_SEED={seed}");
    let runtime = tokio::runtime::Runtime::new().expect("there are threads");
    let lasts = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let rows = MODES.map(|(name, mode)| {
        println!("{name}:");
        let lab = Lab::new(MEMBERS, WEATHER, seed);
        runtime.block_on(tried(&lab, name, mode, seed, lasts))
    });
    if seconds.is_some() {
        tell(&rows);
        runtime.block_on(crash::run(seed));
    }
}

/// Tries a mode, and checks what its clients heard.
async fn tried(
    lab: &Lab,
    name: &'static str,
    mode: DatagramMode,
    seed: u64,
    lasts: Duration,
) -> Row {
    let members = Members::start(lab, mode, MembershipPolicy::default()).await;
    let elections = members.elections();
    let book = Arc::new(Book::new(GROUP_CALLS));
    let mut dice = Dice::new(seed, u64::MAX);
    let times = load::run(&members, &book, &mut dice, lasts).await;
    let elections = members.elections() - elections;
    let reader = members.stores().next().expect("there are some");
    let reader = Caller::by(reader.within(PATIENCE), MEMBERS, &book);
    let sequences = judging::in_the_end(&reader, &book).await;
    let history = book.take();
    judging::keep("netlab", seed, &history);
    judging::check(&history, &sequences);

    let counts = lab.counts();
    println!("{counts:?}");
    assert!(counts.lost > 0 && counts.doubled > 0 && counts.overtaking > 0);
    for counters in members.meters() {
        assert!(counters.udp_received > 0, "links go over UDP");
        assert_eq!(counters.datagrams_dropped, 0, "each has room: {counters:?}");
        assert_eq!(counters.broken, 0, "nobody breaks the rules: {counters:?}");
    }
    drop(reader);
    members.stop();
    Row {
        name,
        times,
        elections,
    }
}

/// Prints the table, the target and whether it is met.
fn tell(rows: &[Row; MODES.len()]) {
    println!(
        "{:22}{:>9}{:>9}{:>9}{:>9}{:>11}",
        "commands in ms", "count", "p50", "p99", "longest", "elections"
    );
    for row in rows {
        let [p50, p99, longest] = [50, 99, 100].map(|percent| row.millis(percent));
        println!(
            "{:22}{:>9}{p50:>9.0}{p99:>9.0}{longest:>9.0}{:>11}",
            row.name,
            row.times.len(),
            row.elections
        );
    }
    let (ordered, unordered) = rows.split_at(MODES.len() / 2);
    let p99 = |row: &Row| row.millis(99);
    let best_ordered = ordered.iter().map(p99).fold(f64::INFINITY, f64::min);
    let worst_unordered = unordered.iter().map(p99).fold(0.0, f64::max);
    let ratio = worst_unordered / best_ordered;
    println!(
        "the worse p99 of an unordered channel is {ratio:.2} of the better one of an ordered channel; target: \
         {P99_RATIO_MAX} at most"
    );
    assert!(ratio <= P99_RATIO_MAX, "the target is missed");
}

impl Row {
    fn millis(&self, percent: usize) -> f64 {
        let last = self.times.len() - 1;
        self.times[last * percent / 100].as_secs_f64() * 1000.0
    }
}

/// The number that an environment variable has, if it is set.
fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}
