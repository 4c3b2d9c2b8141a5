//! Tells stories of members that reach each other through a third alone.

use std::time::Duration;

use liferaft_raft::driver::Handle;
use liferaft_raft::ids::ServerId;
use liferaft_transport::links::LinkPath;
use tokio::time::timeout;

use crate::links_faults::three;
use crate::machine::Journal;

/// Waits until a member says that its link to a server runs as wanted.
async fn linked(member: &Handle<Journal>, peer: ServerId, wanted: impl Fn(&LinkPath) -> bool) {
    let mut status = member.status();
    let is_linked = status.wait_for(|now| {
        let mut links = now.links.iter();
        links.any(|link| link.peer == peer && link.path.as_ref().is_some_and(&wanted))
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
    linked(&members[0], b, |path| path.relay == Some(c)).await;
    linked(&members[1], a, |path| path.relay == Some(c)).await;
    write_and_read(&members, 3).await;
    site.network.heal_all();
    linked(&members[0], b, |path| path.carrier == "memory").await;
    linked(&members[1], a, |path| path.carrier == "memory").await;
    write_and_read(&members, 6).await;
}
