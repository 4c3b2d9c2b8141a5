//! The operator: asks members to change the cluster, one errand after the other, and remembers what the answers
//! promise.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::ServerId;
use tokio::time::Instant;

use crate::cluster::{Cluster, Running, server};
use crate::history::in_time;
use crate::plan::{Asked, Errand};

/// What the operator knows of each server's part in the cluster.
#[derive(Debug)]
pub(crate) struct Expectations {
    servers: BTreeMap<u64, Expected>,
    /// Errands that were done, not done, and of unknown outcome.
    pub(crate) outcomes: [usize; 3],
}

#[derive(Debug)]
struct Expected {
    /// What the last change that was made said.
    made: Part,
    /// What changes of unknown outcome say: each may be made at any later time.
    open: BTreeSet<Part>,
}

/// A server's part in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Voter,
    Learner,
    None,
}

/// How an errand ended.
enum End {
    Made,
    NotMade,
    Unknown,
}

/// Runs all errands, and tells what the configuration may be after them.
pub(crate) async fn run(cluster: Arc<Cluster>, end: Instant) -> Expectations {
    let plan = &cluster.plan;
    let expected = |id| {
        let made = if id <= plan.voters {
            Part::Voter
        } else {
            Part::None
        };
        let open = BTreeSet::new();
        (id, Expected { made, open })
    };
    let mut expectations = Expectations {
        servers: (1..=plan.servers).map(expected).collect(),
        outcomes: [0; 3],
    };
    for errand in &plan.errands {
        tokio::time::sleep(errand.after).await;
        if Instant::now() >= end {
            break;
        }
        if let Some(member) = cluster.running(errand.via) {
            expectations.run(&cluster, &member, errand).await;
        }
    }
    expectations
}

impl Expectations {
    async fn run(&mut self, cluster: &Cluster, member: &Running, errand: &Errand) {
        let (id, part) = match errand.what {
            Asked::AddVoter(id) => (id, Part::Voter),
            Asked::AddLearner(id) => (id, Part::Learner),
            Asked::Remove(id) => (id, Part::None),
            Asked::Transfer(to) => {
                let end = transfer(cluster, member, to).await;
                self.count(&end);
                return;
            }
        };
        if part != Part::Voter && self.voters_without(id) < 2 {
            return;
        }
        let end = change(cluster, member, server(id), part).await;
        self.count(&end);
        let Some(expected) = self.servers.get_mut(&id) else {
            return;
        };
        match end {
            End::Made => expected.made = part,
            End::NotMade => {}
            End::Unknown => {
                expected.open.insert(part);
            }
        }
    }

    fn count(&mut self, end: &End) {
        self.outcomes[match end {
            End::Made => 0,
            End::NotMade => 1,
            End::Unknown => 2,
        }] += 1;
    }

    /// How many others are voters whatever became of changes of unknown outcome.
    fn voters_without(&self, id: u64) -> usize {
        let is_voter = |(other, expected): &(&u64, &Expected)| {
            **other != id
                && expected.made == Part::Voter
                && expected.open.iter().all(|part| *part == Part::Voter)
        };
        self.servers.iter().filter(is_voter).count()
    }

    /// Whether a configuration is what the answers allow.
    ///
    /// # Errors
    /// The server whose part is another.
    pub(crate) fn allow(&self, configuration: &Configuration) -> Result<(), String> {
        for (id, expected) in &self.servers {
            let part = if configuration.is_voter(server(*id)) {
                Part::Voter
            } else if configuration.is_learner(server(*id)) {
                Part::Learner
            } else {
                Part::None
            };
            if part != expected.made && !expected.open.contains(&part) {
                return Err(format!("server {id} is {part:?}, expected {expected:?}"));
            }
        }
        Ok(())
    }
}

async fn change(cluster: &Cluster, member: &Running, id: ServerId, part: Part) -> End {
    let raft = member.kv.raft();
    let called = Instant::now();
    let answer = member
        .ask(async {
            match part {
                Part::Voter => raft.add_server(id).await,
                Part::Learner => raft.add_learner(id).await,
                Part::None => raft.remove_server(id).await,
            }
        })
        .await;
    let Some(answer) = answer else {
        return End::Unknown;
    };
    cluster.check(in_time("a change", called, cluster.plan.request_timeout));
    match answer {
        Ok(()) => End::Made,
        Err(error) if !error.is_definite() => End::Unknown,
        Err(_) => End::NotMade,
    }
}

async fn transfer(cluster: &Cluster, member: &Running, to: Option<u64>) -> End {
    let called = Instant::now();
    let raft = member.kv.raft();
    let Some(answer) = member.ask(raft.transfer_leadership(to.map(server))).await else {
        return End::Unknown;
    };
    cluster.check(in_time("a transfer", called, cluster.plan.request_timeout));
    match answer {
        Ok(_) => End::Made,
        Err(error) if !error.is_definite() => End::Unknown,
        Err(_) => End::NotMade,
    }
}
