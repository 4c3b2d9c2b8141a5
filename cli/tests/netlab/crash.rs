//! Cuts one member after another off, as a crash does, and measures when it is evicted.

use std::time::{Duration, Instant};

use liferaft::MembershipPolicy;
use liferaft::config::Config;
use tokio::time::timeout;

use crate::comparison::{MODES, WEATHER};
use crate::lab::Lab;
use crate::members::{MEMBERS, Members};
use crate::node::PATIENCE;

/// Silence after which a member is evicted.
const EVICT_AFTER: Duration = Duration::from_millis(2_500);

/// The longest time from a crash to the eviction, as its leader sees it.
const EVICTED_WITHIN: Duration = Duration::from_secs(3);

const CRASHES: usize = 5;

pub(crate) async fn run(seed: u64) {
    let policy = MembershipPolicy::default().with_evict_after(EVICT_AFTER);
    let [.., (_, mode)] = MODES;
    let lab = Lab::new(MEMBERS, WEATHER, seed);
    let members = Members::start(&lab, mode, policy).await;
    let mut times = Vec::new();
    for _ in 0..CRASHES {
        members.until_all_vote().await;
        let leader = members.leader().expect("one leads");
        let victim = (leader + 1) % MEMBERS;
        let began = Instant::now();
        for other in (0..MEMBERS).filter(|other| *other != victim) {
            lab.cut(victim, other, |_| true);
            lab.cut(other, victim, |_| true);
        }
        let evicted = members.until_evicted(leader, victim);
        timeout(PATIENCE, evicted).await.expect("it is evicted");
        times.push(began.elapsed());
        // It comes back by itself.
        lab.heal();
    }
    members.stop();
    let (least, most) = (times.iter().min(), times.iter().max());
    let (least, most) = least.zip(most).expect("there were some");
    println!(
        "evicted {least:.2?} to {most:.2?} after a crash; target: {EVICT_AFTER:?} to {EVICTED_WITHIN:?}"
    );
    // Where its last answer is lost, a member seems to be silent from a heartbeat interval before it is.
    let lost = Config::default().heartbeat_interval();
    assert!(*least + lost >= EVICT_AFTER, "never before");
    assert!(*most <= EVICTED_WITHIN, "the target is missed");
}
