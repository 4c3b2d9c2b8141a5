//! Clients of a cluster whose network loses, doubles, reorders and delays, and is cut again and again: what they are
//! told of each command is true.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::{join_all, select};
use liferaft_node::driver::{Client, ProposeError, Terms};
use liferaft_raft::ids::ServerId;
use liferaft_transport::memory::{Delay, Faults, Probability};
use tokio::time::sleep;

use crate::cluster::ELECTION_TIMEOUT;
use crate::links::{Site, invite};
use crate::machine::Journal;

const CLIENTS: u64 = 3;
const COMMANDS: u64 = 60;

/// What clients were told of their commands.
#[derive(Debug, Default)]
struct Told {
    done: BTreeSet<u64>,
    not_done: BTreeSet<u64>,
    /// A read that did not hold what the same client had been told was done.
    stale: Option<u64>,
}

/// Numbers that look drawn, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX.
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn weather() -> Faults {
    let some = Probability::percent(5);
    Faults::none()
        .with_loss(some)
        .with_duplication(some)
        .with_reordering(Probability::percent(20))
        .with_delay(Delay::uniform(
            Duration::from_millis(1)..=Duration::from_millis(20),
        ))
}

/// Writes numbers of its own, and reads after each that was done.
async fn write(client: &Client<Journal>, first: u64, seed: u64) -> Told {
    let mut told = Told::default();
    let mut dice = Dice(seed);
    for number in first..first + COMMANDS {
        let patience = Duration::from_millis(100 + dice.throw(3000));
        match client.within(patience).propose(number).await {
            Ok(_) => {
                told.done.insert(number);
            }
            Err(ProposeError::Unknown(_)) => {}
            Err(error) => {
                assert!(error.is_definite(), "{error}");
                told.not_done.insert(number);
            }
        }
        if let Ok(read) = client.within(patience).read(()).await {
            let read: BTreeSet<_> = read.into_iter().collect();
            if !told.done.is_subset(&read) {
                told.stale = Some(number);
            }
        }
        sleep(Duration::from_millis(dice.throw(200))).await;
    }
    told
}

/// Cuts the network anew every few election timeouts, and never ends.
async fn cut(site: &Site, ends: &[ServerId], seed: u64) {
    let mut dice = Dice(seed);
    loop {
        sleep(ELECTION_TIMEOUT * u32::try_from(1 + dice.throw(6)).expect("a small number")).await;
        site.network.heal_all();
        let mut lonely = || ends[usize::try_from(dice.throw(ends.len() as u64)).unwrap_or(0)];
        let (one, other) = (lonely(), lonely());
        match dice.throw(3) {
            0 => {}
            1 => site.network.partition(&[&[one]]),
            _ => site.network.cut(one, other),
        }
    }
}

async fn story(seed: u64) {
    let (site, [second, third]) = Site::three().await;
    let invitation = invite(&site.founder, Terms::writing()).await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| site.client(invitation.clone()))
        .collect();
    let mut ends = vec![site.founder.id(), second.id(), third.id()];
    ends.extend(clients.iter().map(Client::id));
    site.network.set_faults(weather());

    let writing = (0..).zip(&clients).map(|(place, client)| {
        let first = place * COMMANDS;
        write(client, first, seed * CLIENTS + place)
    });
    let cutting = Box::pin(cut(&site, &ends, seed));
    let told = match select(join_all(writing), cutting).await {
        futures::future::Either::Left((told, _)) => told,
        futures::future::Either::Right(_) => unreachable!("it never ends"),
    };
    site.network.set_faults(Faults::none());
    site.network.heal_all();
    let written = site.founder.read(()).await.expect("all are there again");

    let numbers: BTreeSet<_> = written.iter().copied().collect();
    assert_eq!(numbers.len(), written.len(), "seed {seed}: done once");
    for told in &told {
        assert!(told.done.is_subset(&numbers), "seed {seed}: {told:?}");
        assert!(told.not_done.is_disjoint(&numbers), "seed {seed}: {told:?}");
        assert_eq!(told.stale, None, "seed {seed}");
    }
    let done = told.iter().map(|told| told.done.len()).sum::<usize>();
    assert!(done > 20, "seed {seed}: {done} were done");
}

#[tokio::test(start_paused = true)]
async fn what_clients_are_told_is_true_whatever_the_network_does() {
    for seed in 1..=6 {
        story(seed).await;
    }
}
