//! Measures what a snapshot does to the heartbeats beside it, between two members over WebRTC on loopback, each on a
//! thread of its own: `cargo bench --features webrtc --bench webrtc_snapshot`.
//!
//! A member with 16 MB of state, whose log does not reach back to its beginning, takes in a newcomer. Two tabs of
//! Chromium do the same in `cargo xtask webrtc --tabs`.

mod newcomer;

use std::process::ExitCode;
use std::sync::mpsc;
use std::time::SystemTime;

use liferaft::platform::Address;
use liferaft::transport::webrtc::{
    UNACKNOWLEDGED_BYTES_MAX, WebRtcCarrier, WebRtcConfig, WebRtcMeter,
};

use crate::newcomer::{Report, Side};

/// The snapshot has 8 MB besides, of the changes that watchers may ask for.
const VALUES: usize = 16;
const RUNS: usize = 5;

/// In milliseconds.
const TIME_MAX: f64 = 3_000.0;
const GAP_MAX: f64 = 300.0;
const P99_MAX: f64 = 150.0;

fn main() -> ExitCode {
    // `cargo test` runs it as well, to see that it works.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (values, runs) = if is_measured { (VALUES, RUNS) } else { (1, 1) };
    let measured: Vec<Measured> = (0..runs).map(|_| run(values)).collect();
    let bulk_bytes = measured.iter().map(|run| run.newcomer.bulk_bytes).min();
    println!(
        "a snapshot of {} MB from one member to another, over WebRTC, {runs} runs:",
        bulk_bytes.expect("there was a run") / 1_000_000
    );
    let mut met = true;
    let mut line = |about: &str, of: fn(&Measured) -> f64, target: f64| {
        let most = measured.iter().map(of).fold(0.0, f64::max);
        let is_met = most <= target;
        met &= is_met;
        let verdict = if is_met { "met" } else { "missed" };
        println!("  {about:40}{most:>8.1} ms   target {target:.0}: {verdict}");
    };
    let time = |run: &Measured| run.joined_at - run.leader.began;
    line("first byte sent → the newcomer votes", time, TIME_MAX);
    line(
        "longest gap, at the newcomer",
        |run| run.newcomer.gap,
        GAP_MAX,
    );
    line("longest gap, at the leader", |run| run.leader.gap, GAP_MAX);
    line(
        "heartbeats to the newcomer, p99",
        |run| run.newcomer.p99,
        P99_MAX,
    );
    line(
        "heartbeats to the leader, p99",
        |run| run.leader.p99,
        P99_MAX,
    );
    for Measured {
        newcomer, leader, ..
    } in &measured
    {
        println!(
            "  ({} and {} heartbeats, p50 {:.1} and {:.1} ms)",
            newcomer.heartbeats, leader.heartbeats, newcomer.p50, leader.p50
        );
    }
    if met || !is_measured {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Measured {
    leader: Report,
    newcomer: Report,
    joined_at: f64,
}

fn run(values: usize) -> Measured {
    let (invite, invited) = mpsc::channel();
    let (finish, finished) = tokio::sync::oneshot::channel();
    let leading = std::thread::spawn(move || {
        on_this_thread(async move {
            let (carrier, address, meter) = carrier().await;
            let leader = Side::founded(carrier, address, now, values).await;
            let invitation = leader.invite().await;
            invite.send(invitation).expect("somebody joins");
            let _joined = finished.await;
            ended(leader, 1, &meter).await
        })
    });
    let invitation = invited.recv().expect("the other member is there");
    let (newcomer, joined_at) = on_this_thread(async {
        let (carrier, address, meter) = carrier().await;
        let newcomer = Side::asking(carrier, address, now, invitation).await;
        let joined_at = newcomer.joined().await;
        (ended(newcomer, 0, &meter).await, joined_at)
    });
    let _ended = finish.send(());
    Measured {
        leader: leading.join().expect("it has stopped"),
        newcomer,
        joined_at,
    }
}

fn now() -> f64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.expect("it is later").as_secs_f64() * 1_000.0
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there is a thread");
    runtime.block_on(future)
}

async fn carrier() -> (WebRtcCarrier, Option<Address>, WebRtcMeter) {
    let address = "127.0.0.1:0".parse().expect("a socket address");
    let config = WebRtcConfig::default().on_this_machine();
    let carrier = WebRtcCarrier::listen(config, address).await;
    let carrier = carrier.expect("loopback has free ports");
    let (address, meter) = (carrier.local_address(), carrier.meter());
    (carrier, address, meter)
}

/// Stops a member, and asserts that it stood for election so often, and that nothing was dropped or broken.
async fn ended(side: Side, elections: u64, meter: &WebRtcMeter) -> Report {
    let report = side.report().expect("there was a snapshot");
    assert_eq!(report.elections, elections);
    let counters = meter.read();
    assert!(counters.udp_received > 0, "{counters:?}");
    let spoilt = [
        counters.datagrams_dropped,
        counters.udp_unsent,
        counters.broken,
    ];
    assert_eq!(spoilt, [0; 3], "{counters:?}");
    let under_way = counters.ordered_unacknowledged_peak;
    assert!(under_way <= UNACKNOWLEDGED_BYTES_MAX as u64, "{counters:?}");
    side.handle.stop().await;
    report
}
