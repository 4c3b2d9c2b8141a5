//! What is measured, through the facade of the `metrics` crate. `docs/observability.md` lists the same names.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use liferaft_node::driver::{Founding, Handle, Member};
use liferaft_node::storage::{MemoryStorage, Storage};
use liferaft_raft::config::Config;
use liferaft_raft::configuration::Configuration;
use liferaft_raft::ids::{ClusterId, ServerId};
use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};
use liferaft_transport::memory::MemoryNetwork;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

const DOCUMENT: &str = include_str!("../../docs/observability.md");

/// Counts.
#[derive(Default)]
struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, _: ApplyContext, more: u64) -> u64 {
        self.0 += more;
        self.0
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }

    fn snapshot(&self) -> impl Capture {
        let sum = self.0;
        move || sum.to_be_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.0 = u64::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

/// The last value of each figure, by its name and labels.
#[derive(Clone, Default)]
struct Figures(Arc<Mutex<BTreeMap<String, Arc<Figure>>>>);

#[derive(Default)]
struct Figure(AtomicU64);

impl CounterFn for Figure {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Gauges are kept in bits.
struct GaugeFigure(Arc<Figure>);

impl GaugeFn for GaugeFigure {
    fn increment(&self, _: f64) {
        unreachable!("gauges are set");
    }

    fn decrement(&self, _: f64) {
        unreachable!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl Figures {
    fn figure(&self, key: &Key) -> Arc<Figure> {
        let labels = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let name = std::iter::once(key.name().to_owned()).chain(labels);
        let name = name.collect::<Vec<_>>().join(" ");
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    fn counter(&self, name: &str) -> u64 {
        self.0.lock().unwrap()[name].0.load(Ordering::Relaxed)
    }

    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.counter(name))
    }

    fn names(&self) -> Vec<String> {
        let figures = self.0.lock().unwrap();
        let names = figures
            .keys()
            .map(|key| key.split(' ').next().unwrap().to_owned());
        names.collect()
    }
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.figure(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(GaugeFigure(self.figure(key))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        unreachable!("there are none");
    }
}

/// Three members that have done ten commands and been idle since, and what was measured by then.
fn measured(then: impl AsyncFnOnce(&MemoryNetwork, Vec<Handle<Sum>>)) -> Figures {
    let figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&figures, || {
        runtime.block_on(async {
            let network = MemoryNetwork::new(1);
            let mut members = Vec::new();
            let disks = [1, 2, 3].map(MemoryStorage::from_seed);
            let voters = disks.each_ref().map(|disk| disk.identity().id());
            let founding = Founding::of(ClusterId(0xc1), Configuration::of_voters(voters));
            for (seed, mut disk) in (1..).zip(disks) {
                founding.found(&mut disk).await.unwrap();
                let transport = network.attach(disk.identity().id()).unwrap();
                let member = Member::builder(Sum::default(), transport, disk).seed(seed);
                members.push(member.start().await.unwrap());
            }
            for _ in 0..10 {
                members[0].propose(1).await.unwrap();
            }
            tokio::time::sleep(Config::default().election_timeout()).await;
            then(&network, members).await;
        });
    });
    figures
}

fn leader(members: &[Handle<Sum>]) -> ServerId {
    members[0].status().borrow().leader().unwrap()
}

#[test]
fn the_names_are_those_of_the_document() {
    let figures = measured(async |_, members| drop(members));

    let mut measured = figures.names();
    measured.dedup();
    let mut documented: Vec<String> = DOCUMENT
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .filter(|name| name.starts_with("liferaft_"))
        .collect();
    measured.sort_unstable();
    documented.sort_unstable();
    assert_eq!(measured, documented);
}

#[test]
fn the_figures_are_those_of_the_status() {
    let mut of_status = None;
    let mut led_by = None;
    let figures = measured(async |_, members| {
        let leader = leader(&members);
        led_by = Some(leader);
        let status = members.iter().find(|member| member.id() == leader);
        of_status = Some(status.unwrap().status().borrow().clone());
    });

    let status = of_status.unwrap();
    let (cluster, server) = (ClusterId(0xc1), led_by.unwrap());
    let of = |name: &str| format!("{name} cluster={cluster} server={server:?}");
    assert_eq!(figures.gauge(&of("liferaft_is_leader")), 1.0);
    assert_eq!(figures.gauge(&of("liferaft_term")), status.term().0 as f64);
    assert_eq!(
        figures.gauge(&of("liferaft_commit_index")),
        status.raft.commit.0 as f64
    );
    assert_eq!(
        figures.gauge(&of("liferaft_applied_index")),
        status.applied().0 as f64
    );
    assert_eq!(figures.gauge(&of("liferaft_voters")), 3.0);
    assert_eq!(figures.counter(&of("liferaft_elections_total")), 1);
    assert!(figures.counter(&of("liferaft_frames_sent_total")) > 0);
    assert_eq!(figures.gauge(&of("liferaft_queue_commands")), 0.0);
}

#[test]
fn a_leader_measures_its_peers_and_one_that_was_deposed_does_not() {
    let mut names = (String::new(), String::new());
    let mut before = f64::NAN;
    let figures = measured(async |network, members| {
        let old = leader(&members);
        let peer = members.iter().map(Handle::id).find(|id| *id != old);
        let peer = peer.unwrap();
        names = (format!("{old:?}"), format!("{peer:?}"));
        let status = members.iter().find(|member| member.id() == old);
        let status = status.unwrap().status();
        let lag = |id| {
            status
                .borrow()
                .raft
                .peers
                .iter()
                .find(|it| it.id == id)
                .map(|it| it.lag_entries)
        };
        before = lag(peer).unwrap() as f64;
        network.partition(&[&[old]]);
        tokio::time::sleep(Duration::from_secs(10)).await;
    });

    let name = format!(
        "liferaft_peer_lag_entries cluster={} server={} peer={}",
        ClusterId(0xc1),
        names.0,
        names.1
    );
    assert_eq!(before, 0.0);
    assert!(figures.gauge(&name).is_nan());
}
