//! A network that does to messages what the story says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::entry::Entry;
use liferaft_raft::ids::ServerId;
use liferaft_raft::message::{Body, Message};
use liferaft_raft::time::Instant;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::filter::Filter;

pub(super) struct Network {
    latency: Duration,
    link_latency: BTreeMap<(ServerId, ServerId), Duration>,
    narrow: BTreeMap<(ServerId, ServerId), Narrow>,
    cuts: BTreeSet<(ServerId, ServerId)>,
    jams: BTreeSet<(ServerId, ServerId)>,
    rules: Vec<Rule>,
    held: Vec<(ServerId, ServerId, Message)>,
    sent: Vec<Sent>,
    badness: Option<Badness>,
}

/// A message that was sent, whatever became of it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) from: ServerId,
    pub(super) to: ServerId,
    pub(super) message: Message,
}

struct Rule {
    filter: Filter,
    action: Action,
    /// How many messages it still applies to.
    remaining: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Action {
    Drop,
    Hold,
    Double,
}

/// A link on which each message waits for those before it.
struct Narrow {
    bytes_per_second: u64,
    idle_at: Instant,
    bytes: u64,
}

struct Badness {
    rng: ChaCha8Rng,
    loss_percent: u64,
    duplication_percent: u64,
    jitter: Duration,
}

impl Network {
    pub(super) fn new(latency: Duration) -> Self {
        Self {
            latency,
            link_latency: BTreeMap::new(),
            narrow: BTreeMap::new(),
            cuts: BTreeSet::new(),
            jams: BTreeSet::new(),
            rules: Vec::new(),
            held: Vec::new(),
            sent: Vec::new(),
            badness: None,
        }
    }

    pub(super) fn worsen(&mut self, seed: u64, loss: u64, duplication: u64, jitter: Duration) {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (loss_percent, duplication_percent) = (loss, duplication);
        self.badness = Some(Badness {
            rng,
            loss_percent,
            duplication_percent,
            jitter,
        });
    }

    pub(super) fn improve(&mut self) {
        self.badness = None;
    }

    pub(super) fn connects(&self, from: ServerId, to: ServerId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    pub(super) fn cut(&mut self, from: ServerId, to: ServerId) {
        self.cuts.insert((from, to));
    }

    pub(super) fn mend(&mut self, from: ServerId, to: ServerId) {
        self.cuts.remove(&(from, to));
    }

    pub(super) fn mend_all(&mut self) {
        self.cuts.clear();
    }

    /// Jams a link, or clears it.
    pub(super) fn jam(&mut self, from: ServerId, to: ServerId, is_jammed: bool) {
        if is_jammed {
            self.jams.insert((from, to));
        } else {
            self.jams.remove(&(from, to));
        }
    }

    /// Whether a link takes a message: a jammed one takes neither entries nor parts of snapshots.
    pub(super) fn takes(&self, from: ServerId, to: ServerId, message: &Message) -> bool {
        let is_bulk = match &message.body {
            Body::AppendEntries(append) => !append.entries.is_empty(),
            Body::InstallSnapshot(chunk) => !chunk.data.is_empty(),
            _ => false,
        };
        !is_bulk || !self.jams.contains(&(from, to))
    }

    pub(super) fn slow_down(&mut self, from: ServerId, to: ServerId, latency: Duration) {
        self.link_latency.insert((from, to), latency);
    }

    pub(super) fn narrow(&mut self, from: ServerId, to: ServerId, bytes_per_second: u64) {
        let narrow = Narrow {
            bytes_per_second,
            idle_at: Instant::ORIGIN,
            bytes: 0,
        };
        self.narrow.insert((from, to), narrow);
    }

    pub(super) fn bytes_on(&self, from: ServerId, to: ServerId) -> u64 {
        self.narrow[&(from, to)].bytes
    }

    pub(super) fn add_rule(&mut self, filter: Filter, action: Action, remaining: usize) {
        self.rules.push(Rule {
            filter,
            action,
            remaining,
        });
    }

    pub(super) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    pub(super) fn take_held(&mut self) -> Vec<(ServerId, ServerId, Message)> {
        std::mem::take(&mut self.held)
    }

    pub(super) fn sent(&self) -> &[Sent] {
        &self.sent
    }

    pub(super) fn forget_sent(&mut self) {
        self.sent.clear();
    }

    /// After what times a message that is sent arrives: at no time, if it is lost or kept back.
    pub(super) fn send(
        &mut self,
        at: Instant,
        from: ServerId,
        to: ServerId,
        message: &Message,
    ) -> Vec<Duration> {
        self.sent.push(Sent {
            at,
            from,
            to,
            message: message.clone(),
        });
        if !self.connects(from, to) {
            return Vec::new();
        }
        let mut after = vec![self.latency_of(from, to)];
        if let Some(narrow) = self.narrow.get_mut(&(from, to)) {
            after[0] += narrow.send(at, bytes_of(message));
        }
        let rule = self
            .rules
            .iter_mut()
            .find(|rule| rule.remaining > 0 && rule.filter.means(from, to, message));
        if let Some(rule) = rule {
            rule.remaining -= 1;
            match rule.action {
                Action::Drop => return Vec::new(),
                Action::Hold => {
                    self.held.push((from, to, message.clone()));
                    return Vec::new();
                }
                Action::Double => after.push(after[0] + self.latency),
            }
        }
        if let Some(badness) = &mut self.badness {
            if badness.happens(badness.loss_percent) {
                return Vec::new();
            }
            if badness.happens(badness.duplication_percent) {
                after.push(after[0]);
            }
            for latency in &mut after {
                *latency += badness.delay();
            }
        }
        after
    }

    fn latency_of(&self, from: ServerId, to: ServerId) -> Duration {
        self.link_latency
            .get(&(from, to))
            .copied()
            .unwrap_or(self.latency)
    }
}

impl Narrow {
    /// How long a message waits for others, and is being sent itself.
    fn send(&mut self, at: Instant, bytes: u64) -> Duration {
        let takes = Duration::from_micros(bytes * 1_000_000 / self.bytes_per_second);
        self.idle_at = self.idle_at.max(at) + takes;
        self.bytes += bytes;
        self.idle_at.since(at)
    }
}

/// About what a message takes on a link.
fn bytes_of(message: &Message) -> u64 {
    const HEAD: u64 = 64;
    HEAD + match &message.body {
        Body::AppendEntries(append) => append.entries.iter().map(Entry::weight).sum(),
        Body::InstallSnapshot(chunk) => chunk.data.len() as u64 + HEAD,
        _ => 0,
    }
}

impl Badness {
    fn happens(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    fn delay(&mut self) -> Duration {
        let jitter = u64::try_from(self.jitter.as_nanos()).expect("delays are short");
        Duration::from_nanos(self.rng.next_u64() % jitter.max(1))
    }
}
