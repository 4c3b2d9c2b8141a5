//! Tells stories of members that reach each other through a third alone.

use std::time::Duration;

use liferaft_raft::driver::{Handle, LinkStatus};
use liferaft_raft::ids::ServerId;
use tokio::time::timeout;

use crate::links_faults::three;
use crate::machine::Journal;

/// Waits until a member says that its link to a server runs as wanted.
async fn linked(member: &Handle<Journal>, peer: ServerId, wanted: impl Fn(&LinkStatus) -> bool) {
    let mut status = member.status();
    let is_linked = status.wait_for(|now| {
        now.links
            .iter()
            .any(|link| link.peer == peer && wanted(link))
    });
    let waited = timeout(Duration::from_secs(120), is_linked).await;
    waited.expect("in time").expect("it runs");
}

/// Writes a number by each member, and sees all of them at each.
async fn write_and_read(members: &[Handle<Journal>], written: usize) {
    for member in members {
        let written = member.propose(7).await;
        written.expect("it is written within a minute");
    }
    for member in members {
        let read = member.read(()).await;
        assert_eq!(read.map(|numbers| numbers.len()), Ok(written));
    }
}

#[tokio::test(start_paused = true)]
async fn members_reach_each_other_through_a_third_until_they_can_without() {
    let (site, members) = three().await;
    let [a, b, c] = [0, 1, 2].map(|place: usize| members[place].id());

    site.network.cut(a, b);
    site.network.cut(b, a);
    linked(&members[0], b, |link| link.path.relay == Some(c)).await;
    linked(&members[1], a, |link| link.path.relay == Some(c)).await;
    write_and_read(&members, 3).await;
    site.network.heal_all();
    linked(&members[0], b, |link| link.path.carrier == "memory").await;
    linked(&members[1], a, |link| link.path.carrier == "memory").await;
    write_and_read(&members, 6).await;
}
