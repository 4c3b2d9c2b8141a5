//! One server: the core, its clock, its disk and its state machine, each of which moves only when a script says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::config::{Config, Timing};
use liferaft_raft::configuration::Configuration;
use liferaft_raft::consensus::{
    Apply, Event, Input, Output, Raft, Recovered, RoleKind, Shelf, Snapshot, Status, Write,
};
use liferaft_raft::entry::{Entry, Payload};
use liferaft_raft::ids::{Index, LogPosition, ServerId, Term};
use liferaft_raft::message::{Message, SnapshotMetadata};
use liferaft_raft::time::{ClusterTime, Instant};

use super::disk::Disk;

/// How long a tick of the scripts lasts: a heartbeat interval.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How many ticks the scripts' election timeout has.
pub(super) const ELECTION_TICKS: u64 = 3;
/// The scripts' election timeout.
pub(super) const ELECTION_TIMEOUT: Duration = Duration::from_millis(300);

/// What a script sets for the servers that it adds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The snapshot that they start from; without one they start blank.
    pub(crate) start: Option<Start>,
    /// Writes and applications end when the script says so, not at once.
    pub(crate) asynchronous: bool,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    pub(crate) step_down_on_removal: bool,
    pub(crate) validation_disabled: bool,
    pub(crate) lease_reads: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) index: u64,
    pub(crate) configuration: Configuration,
    pub(crate) content: String,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: ServerId,
    pub(crate) options: Options,
    pub(super) raft: Raft,
    pub(super) now: Instant,
    /// What came out and was not looked at yet: etcd's `Ready`.
    pub(super) ready: Output,
    pub(crate) disk: Disk,
    pub(super) appending: VecDeque<Vec<Write>>,
    pub(super) applying: VecDeque<Vec<Apply>>,
    machine: Machine,
    shelf: Shelf,
    /// The configurations of the snapshots that the log has begun with, and their indices, in order.
    bases: Vec<(Index, Arc<Configuration>)>,
    /// The ticks after which it campaigns, if the script has said so, and those gone by.
    pub(super) patience: Option<u64>,
    pub(super) silence: u64,
    /// The roles that it has played, with the leaders that it knew.
    roles: Vec<(RoleKind, Option<ServerId>)>,
    /// It was told to forget its leader and has not heard it since.
    pub(crate) forgot_leader: bool,
}

/// The scripts' state machine: all commands, one after the other.
#[derive(Debug, Default)]
struct Machine {
    states: BTreeMap<Index, Vec<u8>>,
}

impl Machine {
    fn as_of(&self, index: Index) -> Vec<u8> {
        let state = self.states.range(..=index).next_back();
        state.map(|(_, state)| state.clone()).unwrap_or_default()
    }

    fn apply(&mut self, entry: &Entry) {
        let mut state = self.as_of(entry.index);
        if let Payload::Command(command) = &entry.payload {
            state.extend_from_slice(command);
        }
        self.states.insert(entry.index, state);
    }

    fn restore(&mut self, last: Index, state: &[u8]) {
        self.states.clear();
        self.states.insert(last, state.to_vec());
    }
}

impl Node {
    /// # Errors
    /// When the core refuses to start from what the script says.
    pub(super) fn new(id: ServerId, options: Options) -> Result<Self, String> {
        let config = Config::builder()
            .election_timeout(ELECTION_TIMEOUT)
            .heartbeat_interval(TICK)
            .limits(|limits| {
                limits.trailing_entries = 0;
                limits.catch_up_bytes_max = 0;
            })
            .build()
            .map_err(|error| error.to_string())?;
        let mut shelf = Shelf::default();
        let start = options.start.as_ref();
        let snapshot = start.map(|start| starting_snapshot(start, &mut shelf));
        let base = snapshot.as_ref().map(base_of).unwrap_or_default();
        let recovered = Recovered {
            snapshot,
            ..Recovered::default()
        };
        let now = Instant::from_origin(Duration::from_secs(3600));
        // The scripts say who campaigns and when: what is drawn does not matter.
        let seed = u64::try_from(id.0).unwrap_or(0);
        let raft =
            Raft::new(id, config, recovered, now, seed).map_err(|error| error.to_string())?;
        let mut node = Self {
            id,
            options,
            raft,
            now,
            ready: Output::default(),
            disk: Disk::default(),
            appending: VecDeque::new(),
            applying: VecDeque::new(),
            machine: Machine::default(),
            shelf,
            bases: vec![base],
            patience: None,
            silence: 0,
            roles: vec![(RoleKind::Follower, None)],
            forgot_leader: false,
        };
        node.raft.inputs(now, [], &mut node.ready);
        let restore = std::mem::take(&mut node.ready.apply);
        node.apply(restore);
        Ok(node)
    }

    pub(super) fn input(&mut self, input: Input) {
        self.raft.input(self.now, input, &mut self.ready);
        self.remember_role();
        // Etcd's snapshots are in memory: what is done with them is done at once.
        for step in std::mem::take(&mut self.ready.snapshots) {
            if let Some(answer) = self.shelf.step(step) {
                self.input(answer);
            }
        }
    }

    fn remember_role(&mut self) {
        let role = (self.raft.role(), self.raft.leader());
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
    }

    /// Whether it has ever played such a role under this leader.
    pub(crate) fn has_played(
        &self,
        leader: Option<ServerId>,
        fits: impl Fn(RoleKind) -> bool,
    ) -> bool {
        let mut roles = self.roles.iter();
        roles.any(|(role, under)| fits(*role) && *under == leader)
    }

    pub(crate) fn role(&self) -> RoleKind {
        self.raft.role()
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft.role() == RoleKind::Leader
    }

    pub(crate) fn leader(&self) -> Option<ServerId> {
        self.raft.leader()
    }

    pub(crate) fn status(&self) -> Status {
        self.raft.status()
    }

    /// The configuration of the last committed entry. etcd's is in force when it is applied, ours when it is appended
    /// (§4.1): this is where both meet.
    pub(crate) fn committed_configuration(&self) -> Arc<Configuration> {
        self.configuration_at(self.raft.status().commit)
    }

    /// The configuration of the last entry up to `through`.
    pub(crate) fn configuration_at(&self, through: Index) -> Arc<Configuration> {
        let entries = self.committed_entries(through);
        let last = entries.filter_map(|entry| match &entry.payload {
            Payload::Configuration(configuration) => Some(configuration),
            Payload::Noop | Payload::Command(_) => None,
        });
        let bases = self.bases.iter().rev();
        let mut bases = bases.filter(|(index, _)| *index <= through);
        let base = bases.next().map(|(_, base)| base);
        last.last().or(base).map(Arc::clone).unwrap_or_default()
    }

    /// The configurations that it knows to have been committed.
    pub(crate) fn configurations(&self) -> impl Iterator<Item = &Configuration> {
        let commit = self.raft.status().commit;
        let bases = self.bases.iter().map(|(_, base)| base);
        let committed = self.committed_entries(commit);
        let committed = committed.filter_map(|entry| match &entry.payload {
            Payload::Configuration(configuration) => Some(configuration),
            Payload::Noop | Payload::Command(_) => None,
        });
        bases.chain(committed).map(AsRef::as_ref)
    }

    /// The entries of the log, durable or not.
    pub(crate) fn log(&self) -> impl Iterator<Item = &Entry> {
        self.raft.log_from(Index::ZERO)
    }

    /// The committed entries that are still in the log.
    pub(crate) fn committed_entries(&self, commit: Index) -> impl Iterator<Item = &Entry> {
        self.log().take_while(move |entry| entry.index <= commit)
    }

    /// Whether there is something to send, to write or to apply.
    pub(super) fn has_ready(&self) -> bool {
        let Output {
            messages,
            writes,
            apply,
            ..
        } = &self.ready;
        !(messages.is_empty() && writes.is_empty() && apply.is_empty())
    }

    /// Does what came out. Returns what is to be sent: at once, or because a write is durable by now.
    pub(super) fn process_ready(&mut self) -> Vec<(ServerId, Message)> {
        let mut sent = std::mem::take(&mut self.ready.messages);
        let writes = std::mem::take(&mut self.ready.writes);
        let apply = std::mem::take(&mut self.ready.apply);
        if self.options.asynchronous {
            // A script says when entries are durable. A term or a vote alone is written on the spot: the candidate
            // itself asks for votes only after that, where etcd's asks before.
            let waits = !self.appending.is_empty() || writes.iter().any(concerns_log);
            if !writes.is_empty() && waits {
                self.appending.push_back(writes);
            } else {
                self.persist(&writes);
            }
            if !apply.is_empty() {
                self.applying.push_back(apply);
            }
        } else {
            self.persist(&writes);
            self.apply(apply);
        }
        sent.append(&mut self.ready.messages);
        sent
    }

    /// Finishes what one `process_ready` began to write. `None` if there is nothing.
    pub(super) fn process_append(&mut self) -> Option<Vec<(ServerId, Message)>> {
        let writes = self.appending.pop_front()?;
        self.persist(&writes);
        Some(std::mem::take(&mut self.ready.messages))
    }

    /// Applies what one `process_ready` began to apply. Tells whether there was something.
    pub(super) fn process_apply(&mut self) -> bool {
        let Some(apply) = self.applying.pop_front() else {
            return false;
        };
        self.apply(apply);
        true
    }

    fn persist(&mut self, writes: &[Write]) {
        for write in writes {
            if let Some(snapshot) = &write.snapshot {
                self.bases.push(base_of(snapshot));
            }
            self.disk.write(write);
        }
        if let Some(last) = writes.last() {
            self.input(Input::Persisted(last.id));
        }
    }

    fn apply(&mut self, apply: Vec<Apply>) {
        for task in apply {
            let through = match task {
                Apply::Entries(entries) => {
                    for entry in &entries {
                        self.machine.apply(entry);
                    }
                    entries.last().map(|entry| entry.index)
                }
                Apply::Restore(snapshot) => {
                    let last = snapshot.metadata.last.index;
                    let state = self.shelf.state(snapshot.name);
                    let state = state.expect("a snapshot stays until it is restored");
                    self.machine.restore(last, state);
                    Some(last)
                }
            };
            if let Some(through) = through {
                self.input(Input::Applied(through));
            }
        }
    }

    /// Takes a snapshot and cuts the log, as far as it is applied.
    pub(super) fn compact(&mut self, index: u64) {
        let status = self.raft.status();
        let through = Index(index).min(status.applied);
        if through <= status.snapshot {
            return;
        }
        let data = Bytes::from(self.machine.as_of(through));
        let covered = self.log().find(|entry| entry.index == through);
        let stamp = covered.map_or(ClusterTime::ZERO, |entry| entry.stamp);
        let taken = self.shelf.taken(through, stamp, data);
        self.input(taken);
        // Two writes: the snapshot, and once that is durable, the cut.
        for _ in 0..2 {
            let writes = std::mem::take(&mut self.ready.writes);
            if self.appending.is_empty() {
                self.persist(&writes);
            } else if !writes.is_empty() {
                self.appending.push_back(writes);
            }
        }
    }

    /// What a snapshot of what is applied is, and its state.
    pub(super) fn snapshot(&self) -> Option<(SnapshotMetadata, Bytes)> {
        let applied = self.raft.status().applied;
        let entry = self
            .raft
            .log_from(applied)
            .find(|entry| entry.index == applied)?;
        let configuration = self.committed_entries(applied);
        let configuration = configuration.filter_map(|entry| match &entry.payload {
            Payload::Configuration(configuration) => Some((entry.index, configuration)),
            Payload::Noop | Payload::Command(_) => None,
        });
        let snapshot = self.raft.status().snapshot;
        let (_, base) = self.bases.last()?;
        let (configuration_index, configuration) = configuration.last().unwrap_or((snapshot, base));
        let data = Bytes::from(self.machine.as_of(applied));
        let metadata = SnapshotMetadata {
            last: entry.position(),
            stamp: entry.stamp,
            configuration: Arc::clone(configuration),
            configuration_index,
            length: data.len() as u64,
            digest: crc32fast::hash(&data),
        };
        Some((metadata, data))
    }

    /// Time passes for this server alone, up to its next deadline, which is met. Tells whether it began a campaign.
    pub(super) fn meet_deadline(&mut self) -> Option<bool> {
        let deadline = self.raft.deadline()?;
        self.now = self.now.max(deadline);
        let mut output = Output::default();
        self.raft.input(self.now, Input::Timer, &mut output);
        let campaigns = output.events.iter().any(|event| {
            matches!(
                event,
                Event::RoleChanged {
                    role: RoleKind::PreCandidate | RoleKind::Candidate,
                    ..
                }
            )
        });
        if !campaigns {
            // It asked again for votes, only because time was made to pass.
            output.messages.clear();
        }
        self.ready.append(&mut output);
        self.remember_role();
        Some(campaigns)
    }

    /// Time passes that is long enough for a follower not to owe its leader loyalty any more. No timer is met.
    pub(super) fn outlast_loyalty(&mut self) {
        self.now = self.now + ELECTION_TIMEOUT;
    }

    /// A tick passes for a leader.
    pub(super) fn tick_as_leader(&mut self) {
        self.lead_until(self.now + TICK);
    }

    /// The time passes after which a leader sends again, at most a tick.
    pub(super) fn wait_to_resend(&mut self) {
        let tick = self.now + TICK;
        let deadline = self.raft.deadline().unwrap_or(tick);
        self.lead_until(deadline.clamp(self.now, tick));
    }

    /// Whether a follower's log is behind this leader's.
    pub(super) fn lags(&self, follower: ServerId) -> bool {
        let status = self.raft.status();
        let mut peers = status.peers.iter();
        peers.any(|peer| peer.id == follower && peer.match_index < status.last.index)
    }

    fn lead_until(&mut self, now: Instant) {
        self.now = now;
        if !self.options.check_quorum {
            // Our leaders always check that they hear a quorum. Setting the times, to what they are, begins that span
            // anew, so it never ends.
            let timing = Timing::new(ELECTION_TIMEOUT, TICK).expect("three ticks and one");
            self.input(Input::SetTiming(timing));
        }
        self.input(Input::Timer);
    }
}

fn base_of(snapshot: &Snapshot) -> (Index, Arc<Configuration>) {
    let metadata = &snapshot.metadata;
    let configuration = Arc::clone(&metadata.configuration);
    (metadata.configuration_index, configuration)
}

/// Whether a write is about more than the term and the vote.
fn concerns_log(write: &Write) -> bool {
    write.snapshot.is_some()
        || write.truncate.is_some()
        || write.compact.is_some()
        || !write.entries.is_empty()
}

/// etcd's servers start with term 0 and a snapshot of term 1, of which no log could be made. Ours is of term 0 as well:
/// the elections that follow have the same terms.
fn starting_snapshot(start: &Start, shelf: &mut Shelf) -> Snapshot {
    let data = Bytes::from(start.content.clone());
    let index = Index(start.index);
    Snapshot {
        metadata: SnapshotMetadata {
            last: LogPosition::new(Term::ZERO, index),
            stamp: ClusterTime::ZERO,
            configuration: Arc::new(start.configuration.clone()),
            configuration_index: index,
            length: data.len() as u64,
            digest: crc32fast::hash(&data),
        },
        name: shelf.put(data),
    }
}
