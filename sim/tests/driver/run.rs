//! One run: a cluster under the strikes of its plan, then its recovery, then the judgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::{Clients, Flaw};
use crate::cluster::{Cluster, server};
use crate::history::{History, Tally};
use crate::operator::{self, Expectations};
use crate::outboxes::{Application, OUTBOXES};
use crate::plan::{Plan, Strike, Whom};
#[cfg(feature = "planted-bugs")]
use crate::planted::unplanted;
use crate::recovery;

/// What came of a run.
pub(crate) struct Outcome {
    /// What must not be, if it is.
    pub(crate) alarm: Option<String>,
    pub(crate) history: History,
    pub(crate) tally: Tally,
    /// How often each kind of strike struck somebody.
    pub(crate) strikes: [usize; Strike::KINDS.len()],
    /// Errands of the operator: done, not done, unknown.
    pub(crate) errands: [usize; 3],
    /// Snapshots that members took.
    pub(crate) snapshots: u64,
    /// Copies of disks that were refused.
    pub(crate) copies_refused: usize,
}

/// Runs a plan, on a clock of its own.
pub(crate) fn run(plan: &Plan, flaw: Option<Flaw>) -> Outcome {
    unplanted(|| played(plan, flaw))
}

#[cfg(not(feature = "planted-bugs"))]
fn unplanted<T>(run: impl FnOnce() -> T) -> T {
    run()
}

/// As [`run`], with whatever is planted.
pub(crate) fn played(plan: &Plan, flaw: Option<Flaw>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    runtime.block_on(play(plan, flaw))
}

async fn play(plan: &Plan, flaw: Option<Flaw>) -> Outcome {
    let end = Instant::now() + plan.faults_last;
    let forgetful = flaw == Some(Flaw::DiskForgets);
    let cluster = Arc::new(Cluster::start(plan, forgetful).await);
    let clients = Arc::new(Clients::new(Arc::clone(&cluster), flaw));
    let operator = tokio::spawn(operator::run(Arc::clone(&cluster), end));
    let applications = 1..=OUTBOXES.min(plan.servers);
    let pushing: Vec<_> = applications
        .map(|server| Application::new(Arc::clone(&clients), server))
        .map(|application| tokio::spawn(application.push_until(end)))
        .collect();
    let mut calling: Vec<_> = (1..=plan.clients)
        .map(|number| tokio::spawn(Arc::clone(&clients).call_until(number, end)))
        .collect();
    calling.push(tokio::spawn(Arc::clone(&clients).append_at_the_deaf(end)));

    let strikes = Strikes::new(Arc::clone(&cluster)).strike_until(end).await;
    cluster.stop_faults().await;
    for client in calling {
        client.await.expect("clients do not panic");
    }
    let mut applications = Vec::new();
    for pushing in pushing {
        applications.push(pushing.await.expect("applications do not panic"));
    }
    let expectations = operator.await.expect("the operator does not panic");

    let mut sequences = BTreeMap::new();
    let recovered = recover(
        &cluster,
        &clients,
        &mut applications,
        &expectations,
        &mut sequences,
    )
    .await;
    let snapshots = cluster
        .all_running()
        .iter()
        .map(|(_, member)| member.status().counters.snapshots_taken)
        .sum();
    let history = clients.take_history();
    let judged = history.judge(&sequences);
    let mut applications = applications.iter();
    let in_order = applications.try_for_each(|application| application.check(&sequences));
    let alarms = [
        cluster.first_alarm(),
        judged.err(),
        in_order.err(),
        recovered.err(),
    ];
    let alarms: Vec<String> = alarms.into_iter().flatten().collect();
    Outcome {
        alarm: (!alarms.is_empty()).then(|| alarms.join("; and ")),
        tally: history.tally(),
        history,
        strikes,
        errands: expectations.outcomes,
        snapshots,
        copies_refused: cluster.copies_refused(),
    }
}

async fn recover(
    cluster: &Cluster,
    clients: &Clients,
    applications: &mut [Application],
    expectations: &Expectations,
    sequences: &mut BTreeMap<u8, Vec<u64>>,
) -> Result<(), String> {
    let configuration = recovery::one_leader(cluster).await?;
    recovery::fresh_calls(cluster, clients, &configuration).await?;
    recovery::flush(cluster, applications, &configuration).await?;
    // A change of unknown outcome may have been made meanwhile.
    let configuration = recovery::one_leader(cluster).await?;
    expectations.allow(&configuration)?;
    let configuration = recovery::fresh_change(cluster, &configuration).await?;
    // Whoever is a member only now has not sent what its outbox holds, and no transfer waits for a log that grows so.
    recovery::flush(cluster, applications, &configuration).await?;
    *sequences = recovery::convergence(cluster, clients, &configuration).await?;
    recovery::fresh_transfer(cluster, &configuration).await
}

/// What ends a strike.
enum Relief {
    Return(u64),
    Revive(u64),
    LiftPartition,
    Heal(u64, u64),
    CalmLinks,
    RunCopy(u64),
    StopCopy(u64),
}

/// Carries out an agenda.
struct Strikes {
    cluster: Arc<Cluster>,
    /// By the moment since the beginning, and a number for those that come together.
    reliefs: BTreeMap<(Duration, usize), Relief>,
    struck: [usize; Strike::KINDS.len()],
    /// Members that are being shut down.
    ending: Vec<JoinHandle<()>>,
    began: Instant,
}

impl Strikes {
    fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            reliefs: BTreeMap::new(),
            struck: [0; Strike::KINDS.len()],
            ending: Vec::new(),
            began: Instant::now(),
        }
    }

    async fn strike_until(mut self, end: Instant) -> [usize; Strike::KINDS.len()] {
        let agenda = self.cluster.plan.agenda.clone();
        for (at, strike) in agenda {
            self.relieve_until(at).await;
            tokio::time::sleep_until(self.began + at).await;
            self.strike(&strike).await;
        }
        self.relieve_until(end - self.began).await;
        tokio::time::sleep_until(end).await;
        // Whoever stops only now is to be started again with all others.
        for ending in self.ending {
            ending.await.expect("a shutdown does not panic");
        }
        self.struck
    }

    async fn relieve_until(&mut self, end: Duration) {
        while let Some(entry) = self.reliefs.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), relief) = entry.remove_entry();
            tokio::time::sleep_until(self.began + at).await;
            self.relieve(relief).await;
        }
    }

    fn relieve_after(&mut self, lasts: Duration, relief: Relief) {
        let at = self.began.elapsed() + lasts;
        self.reliefs.insert((at, self.struck.iter().sum()), relief);
    }

    fn find(&self, whom: Whom) -> u64 {
        match whom {
            Whom::Leader(otherwise) => self.cluster.leader().unwrap_or(otherwise),
            Whom::Server(id) => id,
        }
    }

    async fn strike(&mut self, strike: &Strike) {
        self.struck[strike.kind()] += 1;
        let cluster = Arc::clone(&self.cluster);
        match *strike {
            Strike::Crash {
                whom,
                noticed,
                back_after,
            } => {
                let id = self.find(whom);
                cluster.crash(id, noticed).await;
                self.relieve_after(back_after, Relief::Return(id));
            }
            Strike::Blackout { back_after } => {
                for id in 1..=cluster.plan.servers {
                    cluster.crash(id, false).await;
                    self.struck[strike.kind()] += 1;
                    self.relieve_after(back_after, Relief::Return(id));
                }
            }
            Strike::Shutdown { whom, back_after } => {
                let id = self.find(whom);
                let ending = tokio::spawn(async move { cluster.shut_down(id).await });
                self.ending.push(ending);
                self.relieve_after(back_after, Relief::Return(id));
            }
            Strike::DiskFailure { whom, back_after } => {
                let id = self.find(whom);
                cluster.disk(id).fail_next(true);
                self.relieve_after(back_after, Relief::Return(id));
            }
            Strike::DiskStall { whom, lasts } => {
                let disk = cluster.disk(self.find(whom));
                disk.stall_until(Instant::now() + lasts);
            }
            Strike::Silence { whom, lasts } => {
                let id = self.find(whom);
                cluster.network.kill(server(id));
                self.relieve_after(lasts, Relief::Revive(id));
            }
            Strike::Isolation { whom, lasts } => {
                cluster.partition(&[self.find(whom)]);
                self.relieve_after(lasts, Relief::LiftPartition);
            }
            Strike::Partition { ref group, lasts } => {
                cluster.partition(group);
                self.relieve_after(lasts, Relief::LiftPartition);
            }
            Strike::Cut { from, to, lasts } => {
                cluster.network.cut(server(from), server(to));
                self.relieve_after(lasts, Relief::Heal(from, to));
            }
            Strike::Links { faults, lasts } => {
                cluster.network.set_faults(faults);
                self.relieve_after(lasts, Relief::CalmLinks);
            }
            Strike::Copy {
                whom,
                back_after,
                runs_after,
                lasts,
            } => {
                let id = self.find(whom);
                cluster.copy_disk(id);
                cluster.crash(id, true).await;
                self.relieve_after(back_after, Relief::Return(id));
                let runs_after = back_after + runs_after;
                self.relieve_after(runs_after, Relief::RunCopy(id));
                self.relieve_after(runs_after + lasts, Relief::StopCopy(id));
            }
        }
    }

    async fn relieve(&mut self, relief: Relief) {
        let cluster = &self.cluster;
        match relief {
            Relief::StopCopy(id) if !cluster.stop_copy(id) => {}
            Relief::Return(id) | Relief::StopCopy(id) => {
                // Whoever has not stopped by now, or failed, crashes.
                cluster.disk(id).fail_next(false);
                cluster.crash(id, true).await;
                // The member must have let go of the network before another takes its place.
                tokio::time::sleep(Duration::from_millis(1)).await;
                cluster.start_member(id).await;
            }
            Relief::Revive(id) => cluster.revive(id),
            Relief::LiftPartition => cluster.network.partition(&[]),
            Relief::Heal(from, to) => cluster.network.heal(server(from), server(to)),
            Relief::CalmLinks => cluster.network.set_faults(cluster.plan.links),
            Relief::RunCopy(id) => cluster.start_copy(id).await,
        }
    }
}
