//! Outboxes of members in one process, as their applications see them.

mod chaos;
mod durable;
mod expiry;
mod restarts;
mod stories;

use std::time::Duration;

use bytes::Bytes;
use liferaft_node::driver::{Handle, MembershipError, Outbox, OutboxConfig};
use liferaft_raft::config::Config;
use liferaft_raft::sessions::{SESSIONS_MAX, registration};
use liferaft_raft::wire::{Content, Frame};
use liferaft_transport::{DeliveryClass, Transport};

use crate::cluster::{CLUSTER, Cluster, found, server, wait_for};
use crate::machine::Journal;

pub(crate) const UNHURRIED_ELECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// No snapshot is taken.
pub(crate) const NEVER: u64 = u64::MAX;

async fn outbox(member: &Handle<Journal>) -> Outbox<Journal> {
    member
        .outbox(OutboxConfig::default())
        .await
        .expect("the member runs")
}

/// Members 1 to 3 with heartbeats so rare that hours pass quickly.
pub(crate) async fn unhurried_cluster(snapshot_after_log_bytes: u64) -> Cluster {
    let config = Config::builder()
        .election_timeout(UNHURRIED_ELECTION_TIMEOUT)
        // Whoever is behind is sent the snapshot, if there is one.
        .limits(|limits| {
            limits.trailing_entries = 10;
            limits.catch_up_bytes_max = 0;
        })
        .build()
        .expect("it makes sense");
    let mut cluster = Cluster::founded(1..=3).await;
    for id in 1..=3 {
        cluster
            .start(id, |member| {
                member
                    .config(config.clone())
                    .snapshot_after_log_bytes(snapshot_after_log_bytes)
                    .request_timeout(Duration::from_secs(3600))
            })
            .await;
    }
    cluster.leader().await;
    cluster
}

/// Waits until all of these members follow one of them, and names it.
async fn leader_among(cluster: &Cluster, ids: &[u128]) -> u128 {
    let members: Vec<_> = ids.iter().map(|id| cluster.member(*id)).collect();
    let follow = |id: u128| {
        let mut statuses = members.iter().map(Handle::status);
        statuses.all(|status| status.borrow().leader() == Some(server(id)))
    };
    found(members.iter(), || {
        ids.iter().copied().find(|id| follow(*id))
    })
    .await
}

/// Has the leader open so many sessions that all others are gone, as after a day in which they were not used.
pub(crate) async fn expire_all_sessions(cluster: &Cluster, among: &[u128], nonces: u128) {
    let mut learner = cluster.network.attach(server(66)).expect("the id is free");
    let commands: Vec<_> = (0..SESSIONS_MAX as u128)
        .map(|nonce| Bytes::from(registration(nonces << 32 | nonce)))
        .collect();
    loop {
        let leader = leader_among(cluster, among).await;
        let member = cluster.member(leader);
        // Only members may pass commands on.
        let added = member.within(PATIENCE).add_learner(server(66)).await;
        if !matches!(added, Ok(()) | Err(MembershipError::AlreadyMember(_))) {
            continue;
        }
        let before = member.status().borrow().applied();
        for (request, commands) in (1..).zip(commands.chunks(1024)) {
            let content = Content::Propose {
                request,
                commands: commands.to_vec(),
            };
            let frame = Frame {
                cluster: CLUSTER,
                to: server(leader),
                content,
            };
            learner
                .send(server(leader), DeliveryClass::Stream, frame.encode().into())
                .expect("the network takes it");
        }
        let applied = wait_for(&member, |status| {
            status.applied().0 >= before.0 + SESSIONS_MAX as u64
        });
        // A leader that was about to fall may not have appended all of them.
        if tokio::time::timeout(PATIENCE, applied).await.is_ok() {
            return;
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
