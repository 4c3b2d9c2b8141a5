//! Stories that a seed makes up. The checker watches over them; in the end all is mended, and the cluster must go on.

use liferaft_raft::consensus::MembershipChange;
use liferaft_raft::ids::ServerId;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Id};

/// So many begin together; one more stands by to be added.
const SERVERS: Id = 5;

/// So many mishaps make a story.
const MISHAPS: u32 = 120;

/// So many stories are told.
const STORIES: u64 = 40;

struct Chaos {
    cluster: Cluster,
    rng: ChaCha8Rng,
    commands: u32,
}

impl Chaos {
    fn with_seed(seed: u64) -> Self {
        let cluster = Cluster::with_limits(SERVERS, |limits| {
            limits.trailing_entries = 3;
            limits.snapshot_chunk_bytes = 16;
            limits.append_bytes_max = 150;
            limits.inflight_bytes_max = 400;
        });
        let mut cluster = cluster.over_a_bad_network(seed);
        cluster.add_blank(SERVERS + 1);
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            cluster,
            rng,
            commands: 0,
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn draw_server(&mut self) -> Id {
        Id::from(self.rng.next_u64()) % (SERVERS + 1) + 1
    }

    fn mishap(&mut self) {
        let id = self.draw_server();
        let other = self.draw_server();
        let is_up = self.cluster.is_up(id);
        match self.draw(20) {
            0 if is_up => self.cluster.crash(id),
            1 if is_up => {
                let parts = usize::try_from(self.draw(5)).expect("it is small");
                self.cluster.crash_within_a_write(id, parts);
            }
            2..=4 if !is_up => self.cluster.restart(id),
            5 if id != other => self.cluster.cut(id, other),
            6 => self.cluster.isolate(id),
            7 | 8 => self.cluster.mend_all(),
            9 => self.cluster.hold_disk(id),
            10 | 11 => self.cluster.release_disk(id),
            12 if is_up => self.cluster.take_snapshot(id),
            13 if is_up => self.cluster.transfer(id, Some(other)),
            14 if is_up => self.change(id, other),
            15 if is_up => {
                self.cluster.read(id);
            }
            _ => self.propose(),
        }
    }

    fn propose(&mut self) {
        if let Some(leader) = self.cluster.leader() {
            self.commands += 1;
            // It may be refused, and what is taken may be lost.
            let _ = self
                .cluster
                .propose(leader, &format!("command {}", self.commands));
        }
    }

    fn change(&mut self, id: Id, about: Id) {
        let about = ServerId(about);
        let change = match self.draw(3) {
            0 => MembershipChange::add_voter(about),
            1 => MembershipChange::add_learner(about),
            _ => MembershipChange::remove(about),
        };
        self.cluster.change(id, change);
    }

    fn mend(&mut self) {
        self.cluster.heal();
        for id in 1..=SERVERS + 1 {
            self.cluster.release_disk(id);
            if !self.cluster.is_up(id) {
                self.cluster.restart(id);
            }
        }
    }
}

#[test]
fn whatever_befalls_a_cluster_it_stays_safe_and_goes_on_once_all_is_mended() {
    for seed in 0..STORIES {
        println!("seed {seed}");
        let mut chaos = Chaos::with_seed(seed);
        for _ in 0..MISHAPS {
            chaos.mishap();
            let span = HEARTBEAT * u32::try_from(chaos.draw(8)).expect("it is small") / 2;
            chaos.cluster.run_for(span);
        }

        chaos.mend();
        chaos.cluster.run_for(10 * ELECTION_TIMEOUT);

        let leader = chaos.cluster.elect_any();
        chaos
            .cluster
            .propose(leader, "after all")
            .expect("it leads");
        chaos.cluster.run_for(5 * ELECTION_TIMEOUT);
        for voter in chaos.cluster.voters(leader) {
            chaos.cluster.assert_applied_on([voter], "after all");
        }
    }
}
