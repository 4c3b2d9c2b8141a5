//! §5, snapshots that finish: over slow links, while writes go on, in bounded memory.

use std::time::Duration;

use liferaft_raft::config::Limits;
use liferaft_raft::consensus::Event;
use liferaft_raft::ids::{Index, ServerId};
use liferaft_raft::message::{Body, InstallSnapshot};

use crate::cluster::filter::{chunk_replies, chunks};
use crate::cluster::forge::{chunk, position, snapshot};
use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id};

const KILOBYTE: usize = 1000;

/// Nothing stays behind a snapshot, unless a peer needs it.
fn nothing_trails(limits: &mut Limits) {
    limits.trailing_entries = 0;
}

/// A command of about a kilobyte.
fn large(number: usize) -> String {
    format!("{number:0>KILOBYTE$}")
}

impl Cluster {
    /// The leader takes so many commands of a kilobyte, which all that hear it apply.
    fn write(&mut self, leader: Id, kilobytes: usize) {
        for number in 0..kilobytes {
            self.propose(leader, &large(number))
                .expect("the leader takes proposals");
        }
        self.settle();
    }

    /// The leader takes so many commands that weigh more in the log than in a snapshot.
    fn write_little(&mut self, leader: Id, commands: usize) {
        for number in 0..commands {
            self.propose(leader, &number.to_string())
                .expect("the leader takes proposals");
        }
        self.settle();
    }

    /// Three servers; 1 leads, and 3 has missed so many commands of a kilobyte, which are in a snapshot by now. The
    /// link to it carries 100 kB in a second.
    fn with_a_slow_one_left_behind(kilobytes: usize) -> Self {
        let mut cluster = Self::with_limits(3, nothing_trails).with_leader(1);
        cluster.narrow(1, 3, 100_000);
        cluster.isolate(3);
        cluster.write(1, kilobytes);
        cluster.compact(1);
        cluster.heal();
        cluster
    }

    /// A server takes a snapshot, and cuts its log.
    fn compact(&mut self, id: Id) {
        self.take_snapshot(id);
        self.settle();
    }

    /// Those that were away are back, and have time for what they missed.
    fn reunite(&mut self) {
        self.heal();
        self.run_for(4 * ELECTION_TIMEOUT);
    }

    fn has_caught_up(&self, id: Id, leader: Id) -> bool {
        self.applied(id).len() == self.applied(leader).len()
    }

    fn snapshots_sent(&self, leader: Id, to: Id) -> usize {
        let started = Event::SnapshotStarted { to: ServerId(to) };
        self.events(leader)
            .filter(|event| **event == started)
            .count()
    }

    /// What has been sent of snapshots to a server, and not been forgotten.
    fn chunks_to(&self, to: Id) -> Vec<InstallSnapshot> {
        let sent = self.sent(chunks().to(to)).into_iter();
        let chunk = |message: &liferaft_raft::message::Message| match &message.body {
            Body::InstallSnapshot(chunk) => (**chunk).clone(),
            _ => unreachable!("only chunks are asked for"),
        };
        sent.map(|message| chunk(&message)).collect()
    }
}

#[test]
fn a_snapshot_on_a_slow_link_starves_no_heartbeat_and_is_sent_about_once() {
    let mut cluster = Cluster::with_a_slow_one_left_behind(1000);
    let term = cluster.term(1);
    let before = cluster.bytes_on(1, 3);

    cluster.run_for(Duration::from_secs(14));

    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.term(3), term, "nobody has missed the leader");
    let sent = cluster.bytes_on(1, 3) - before;
    assert!(sent < 1_300_000, "{sent} bytes for a snapshot of a million");
}

#[test]
fn entries_on_a_slow_link_starve_no_heartbeat_and_are_sent_about_once() {
    let mut cluster = Cluster::of(3).with_leader(1);
    cluster.narrow(1, 3, 100_000);
    cluster.isolate(3);
    cluster.write(1, 1000);
    let term = cluster.term(1);
    cluster.heal();
    let before = cluster.bytes_on(1, 3);

    cluster.run_for(Duration::from_secs(14));

    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.term(3), term, "nobody has missed the leader");
    let sent = cluster.bytes_on(1, 3) - before;
    assert!(sent < 1_300_000, "{sent} bytes for entries of a million");
}

#[test]
fn a_follower_on_a_slow_link_catches_up_while_writes_and_snapshots_go_on() {
    let mut cluster = Cluster::with_a_slow_one_left_behind(300);

    // Half of what the link carries, and a snapshot each time that as much has been written as the first one had.
    for number in 0..500 {
        cluster
            .propose(1, &large(number))
            .expect("the leader takes proposals");
        cluster.run_for(Duration::from_millis(20));
        if number % 60 == 59 {
            cluster.take_snapshot(1);
        }
    }

    let behind = cluster.applied(1).len() - cluster.applied(3).len();
    assert!(behind < 50, "{behind} entries behind");
    assert_eq!(cluster.snapshots_sent(1, 3), 1, "it went on by the log");
}

#[test]
fn entries_stay_for_a_peer_as_long_as_they_weigh_less_than_the_snapshot() {
    let mut cluster = Cluster::with_limits(3, nothing_trails).with_leader(1);
    cluster.write(1, 20);
    cluster.isolate(3);
    cluster.write(1, 15);

    cluster.compact(1);
    cluster.reunite();

    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.snapshots_sent(1, 3), 0);
}

#[test]
fn no_entries_stay_for_a_peer_that_the_snapshot_serves_better() {
    let mut cluster = Cluster::with_limits(3, nothing_trails).with_leader(1);
    cluster.isolate(3);
    cluster.write(1, 20);

    cluster.compact(1);

    assert_eq!(cluster.status(1).log_bytes, 0);
    cluster.reunite();
    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.snapshots_sent(1, 3), 1);
}

#[test]
fn as_many_bytes_as_allowed_stay_for_a_peer_whatever_the_snapshot_has() {
    let mut cluster = Cluster::with_limits(3, |limits| {
        nothing_trails(limits);
        limits.catch_up_bytes_max = 30_000;
    })
    .with_leader(1);
    cluster.isolate(3);
    cluster.write(1, 20);

    cluster.compact(1);
    cluster.reunite();

    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.snapshots_sent(1, 3), 0);
}

#[test]
fn no_more_entries_than_allowed_stay_for_a_peer_however_light() {
    let mut cluster = Cluster::with_limits(3, |limits| {
        nothing_trails(limits);
        limits.catch_up_bytes_max = 30_000;
        limits.catch_up_entries = 15;
    })
    .with_leader(1);
    cluster.isolate(3);
    cluster.write_little(1, 20);

    cluster.compact(1);
    let kept = cluster.stored_terms(1).len();
    cluster.reunite();

    assert_eq!(kept, 0, "the peer needs more than 15");
    assert!(cluster.has_caught_up(3, 1));
    assert_eq!(cluster.snapshots_sent(1, 3), 1);
}

#[test]
fn entries_that_trail_a_snapshot_are_bounded_in_bytes_too() {
    let mut cluster =
        Cluster::with_limits(3, |limits| limits.trailing_bytes_max = 5_000).with_leader(1);
    cluster.write(1, 20);

    cluster.compact(2);

    let kept = cluster.status(2).log_bytes;
    assert!((4_000..=5_000).contains(&kept), "{kept} bytes");
}

#[test]
fn the_log_of_a_leader_stays_bounded_while_a_peer_is_away_and_writes_go_on() {
    let mut cluster = Cluster::with_limits(3, |limits| {
        nothing_trails(limits);
        limits.catch_up_bytes_max = 5_000;
    })
    .with_leader(1);
    cluster.isolate(3);
    let mut most = 0;

    for _ in 0..20 {
        cluster.write_little(1, 50);
        most = most.max(cluster.status(1).log_bytes);
        cluster.compact(1);
    }

    // What is kept for the peer, and the fifty commands since.
    assert!(most <= 5_000 + 50 * 50, "{most} bytes");
    cluster.reunite();
    assert!(cluster.has_caught_up(3, 1));
}

/// Each transfer holds the snapshot that it sends: were all of them kept, a leader would hold as many as it has peers.
#[test]
fn of_overtaken_snapshots_only_the_oldest_on_its_way_is_kept() {
    let mut cluster = Cluster::with_limits(5, nothing_trails).with_leader(1);
    cluster.isolate(4);
    cluster.write_little(1, 20);
    cluster.compact(1);
    let oldest = cluster.status(1).snapshot;
    cluster.isolate(5);
    cluster.write_little(1, 50);
    cluster.compact(1);

    cluster.write_little(1, 150);
    cluster.compact(1);
    cluster.forget_sent();
    cluster.settle();

    let latest = cluster.status(1).snapshot;
    let ends = |to| {
        let chunks = cluster.chunks_to(to);
        let mut ends: Vec<Index> = chunks
            .iter()
            .filter_map(|chunk| chunk.metadata.as_ref())
            .map(|metadata| metadata.last.index)
            .collect();
        ends.dedup();
        ends
    };
    assert_eq!(ends(4), [oldest], "it is not begun again");
    assert_eq!(ends(5), [latest]);
    let number = |to| cluster.chunks_to(to)[0].transfer;
    assert!(number(4) < number(5), "each transfer has its own number");
    cluster.reunite();
    assert!(cluster.has_caught_up(4, 1) && cluster.has_caught_up(5, 1));
}

#[test]
fn a_heartbeat_during_a_transfer_carries_no_data() {
    let mut cluster = Cluster::with_a_slow_one_left_behind(100);
    cluster.run_for(HEARTBEAT);
    cluster.forget_sent();

    cluster.run_for(2 * HEARTBEAT);

    let heartbeats = cluster.chunks_to(3);
    let heartbeats = heartbeats.iter().filter(|chunk| chunk.data.is_empty());
    assert_eq!(heartbeats.count(), 2);
}

#[test]
fn a_snapshot_that_is_being_written_is_not_followed_by_another() {
    let mut cluster = Cluster::of(3).with_leader(1);
    let term = cluster.term(1);
    let first = snapshot(term, position(term, 90), [1, 2, 3], "state");
    let mut second = snapshot(term, position(term, 91), [1, 2, 3], "other");
    second.transfer = first.transfer + 1;
    second.data.truncate(3);
    cluster.hold_disk(3);
    cluster.forge(1, 3, chunk(term, first));

    cluster.forget_sent();
    cluster.forge(1, 3, chunk(term, second));

    let answers = cluster.sent(chunk_replies());
    let offsets = answers.iter().map(|message| match &message.body {
        Body::InstallSnapshotReply(reply) => reply.next_offset,
        _ => unreachable!("only replies to chunks are asked for"),
    });
    assert_eq!(offsets.collect::<Vec<_>>(), [0], "nothing of it is kept");
}
