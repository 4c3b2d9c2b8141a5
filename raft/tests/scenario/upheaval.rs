//! Leaders that are killed one after another, and configurations that never come to rest.

use liferaft_raft::consensus::{ChangeId, MembershipChange};
use liferaft_raft::ids::ServerId;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id};

/// Kills the leader, and removes it under the next, which it tells.
fn kill_and_remove(cluster: &mut Cluster, leader: Id) -> Id {
    cluster.crash(leader);
    let next = cluster.elect_any();
    let removed = cluster.change(next, MembershipChange::remove(ServerId(leader)));
    cluster.run_until("the dead is removed", |cluster| {
        cluster.change_result(removed).is_some()
    });
    cluster.assert_changed(removed);
    next
}

#[test]
fn leaders_are_killed_in_turn_until_two_of_five_are_left_and_those_go_on() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.commit(1, "five");

    let second = kill_and_remove(&mut cluster, 1);
    cluster.commit(second, "four");
    let third = kill_and_remove(&mut cluster, second);
    cluster.commit(third, "three");
    let last = kill_and_remove(&mut cluster, third);
    cluster.commit(last, "two");

    assert_eq!(cluster.voters(last).len(), 2);
    let read = cluster.read(last);
    cluster.settle();
    cluster.assert_read_served(read);
    assert_eq!(cluster.applied(last), ["five", "four", "three", "two"]);
    cluster.assert_applied_everywhere("two");
}

#[test]
fn leaders_are_killed_in_turn_and_without_removals_three_of_five_are_the_fewest() {
    let mut cluster = Cluster::of(5).with_leader(1);
    cluster.crash(1);
    let second = cluster.elect_any();
    cluster.crash(second);
    let third = cluster.elect_any();
    cluster.commit(third, "three");

    cluster.crash(third);
    cluster.run_for(10 * ELECTION_TIMEOUT);
    cluster.assert_no_leader();
    cluster.restart(1);
    let leader = cluster.elect_any();
    cluster.commit(leader, "three again");

    assert_eq!(cluster.applied(leader), ["three", "three again"]);
}

/// So many servers there are; three begin.
const SERVERS: Id = 7;

/// So many changes are asked for in a story.
const CHANGES: u32 = 200;

/// So many of them are made at least, on a network that loses a fifth.
const CHANGES_MADE_MIN: usize = 150;

/// So many stories are told.
const STORIES: u64 = 5;

struct Upheaval {
    cluster: Cluster,
    rng: ChaCha8Rng,
}

impl Upheaval {
    fn with_seed(seed: u64) -> Self {
        let cluster = Cluster::with_limits(3, |limits| limits.trailing_entries = 5);
        let mut cluster = cluster.over_a_bad_network(seed);
        for id in 4..=SERVERS {
            cluster.add_blank(id);
        }
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { cluster, rng }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    /// Adds, promotes, demotes or removes some server, the leader among them.
    fn step(&mut self, leader: Id) -> MembershipChange {
        let about = ServerId(Id::from(self.draw(7)) + 1);
        let configuration = self.cluster.status(leader).configuration;
        match (configuration.contains(about), self.draw(2)) {
            (true, 0) => MembershipChange::remove(about),
            (true, _) if configuration.is_voter(about) => MembershipChange::add_learner(about),
            (false, 0) => MembershipChange::add_learner(about),
            (true | false, _) => MembershipChange::add_voter(about),
        }
    }

    /// Asks the leader for a change of one step or two, and for a command beside it, and waits for what comes of it.
    fn change(&mut self, number: u32) -> ChangeId {
        let leader = self.cluster.elect_any();
        let mut change = self.step(leader);
        if self.draw(3) == 0 {
            change = change.and(self.step(leader));
        }
        let id = self.cluster.change(leader, change);
        // It may be refused, and what is taken may be lost.
        let _ = self.cluster.propose(leader, &format!("beside {number}"));
        self.cluster.run_until("the change has an end", |cluster| {
            cluster.change_result(id).is_some()
        });
        if self.draw(4) == 0 {
            let id = self.cluster.elect_any();
            self.cluster.take_snapshot(id);
        }
        self.cluster.run_for(HEARTBEAT / 2);
        self.cluster.forget_sent();
        id
    }
}

#[test]
fn whatever_is_added_and_removed_the_cluster_stays_safe_and_goes_on() {
    for seed in 0..STORIES {
        println!("seed {seed}");
        let mut upheaval = Upheaval::with_seed(seed);

        let changes: Vec<ChangeId> = (0..CHANGES).map(|number| upheaval.change(number)).collect();

        let mut cluster = upheaval.cluster;
        let made = |id: &&ChangeId| matches!(cluster.change_result(**id), Some(Ok(_)));
        let count = changes.iter().filter(made).count();
        assert!(count >= CHANGES_MADE_MIN, "{count} changes were made");
        cluster.heal();
        cluster.run_for(5 * ELECTION_TIMEOUT);
        let leader = cluster.elect_any();
        cluster
            .propose(leader, "after all")
            .expect("the leader takes proposals");
        cluster.run_for(3 * ELECTION_TIMEOUT);
        for voter in cluster.voters(leader) {
            cluster.assert_applied_on([voter], "after all");
        }
    }
}
