//! Makes happen what a story tells.

use std::time::Duration;

use bytes::Bytes;
use liferaft_raft::config::{Config, Timing};
use liferaft_raft::configuration::{Configuration, Foreign};
use liferaft_raft::consensus::{
    ChangeId, Input, MembershipChange, Output, Proposal, ProposalId, ProposeRefused, Raft, ReadId,
    Recovered, SnapshotStep,
};
use liferaft_raft::ids::{Index, LogPosition, ServerId};
use liferaft_raft::message::Message;
use liferaft_raft::time::ClusterTime;

use super::disk::Disk;
use super::filter::Filter;
use super::network::Action;
use super::{Cluster, ELECTION_TIMEOUT, Id, LATENCY};

/// Leadership.
impl Cluster {
    /// Waits until this server leads. Meanwhile no other server's clock runs.
    #[track_caller]
    pub(crate) fn elect(&mut self, id: Id) {
        self.only_timer_of = Some(ServerId(id));
        self.run_until(&format!("server {id} leads"), |cluster| cluster.leads(id));
        self.only_timer_of = None;
        self.run_for(2 * LATENCY);
    }

    /// Waits until some server leads, and tells which.
    #[track_caller]
    pub(crate) fn elect_any(&mut self) -> Id {
        self.run_until("some server leads", |cluster| cluster.leader().is_some());
        self.leader().expect("it was just there")
    }

    /// Lets half an election timeout pass: what was said is answered, and no new election begins.
    pub(crate) fn settle(&mut self) {
        self.run_for(ELECTION_TIMEOUT / 2);
    }

    /// Asks this server to hand leadership over.
    pub(crate) fn transfer(&mut self, id: Id, to: Option<Id>) {
        self.feed(ServerId(id), [Input::Transfer(to.map(ServerId))]);
    }
}

/// Requests of clients and operators.
impl Cluster {
    /// Asks this server to append a command, and tells what it answers.
    #[track_caller]
    pub(crate) fn propose(&mut self, id: Id, command: &str) -> Result<LogPosition, ProposeRefused> {
        let name = ProposalId(self.next_name());
        let command = Bytes::copy_from_slice(command.as_bytes());
        self.feed(
            ServerId(id),
            [Input::Propose(vec![Proposal { id: name, command }])],
        );
        self.outcomes
            .proposals
            .remove(&name)
            .expect("proposals are answered at once")
    }

    /// Proposes, and waits until all servers that are up have applied.
    #[track_caller]
    pub(crate) fn commit(&mut self, id: Id, command: &str) {
        let position = self
            .propose(id, command)
            .expect("the leader takes proposals");
        self.run_until(&format!("{command:?} is applied everywhere"), |cluster| {
            let mut up = cluster
                .servers
                .values()
                .filter(|server| server.raft.is_some());
            up.all(|server| server.machine.applied() >= position.index)
        });
    }

    /// Asks this server for a linearizable read.
    pub(crate) fn read(&mut self, id: Id) -> ReadId {
        let name = ReadId(self.next_name());
        self.checker.begin_read(name);
        self.feed(ServerId(id), [Input::Read(name)]);
        name
    }

    /// Asks this server for another configuration.
    pub(crate) fn change(&mut self, id: Id, change: MembershipChange) -> ChangeId {
        let name = ChangeId(self.next_name());
        self.feed(ServerId(id), [Input::Change(name, change)]);
        name
    }

    /// Tells this server that its link to a peer is up again.
    pub(crate) fn announce_link(&mut self, id: Id, peer: Id) {
        self.feed(ServerId(id), [Input::PeerUp(ServerId(peer))]);
    }

    /// Tells this server that another one says that it belongs elsewhere.
    pub(crate) fn say_foreign(&mut self, id: Id, server: Id, why: Foreign) {
        self.feed(ServerId(id), [Input::Foreign(ServerId(server), why)]);
    }

    /// Tells this server that it is the first of a cluster.
    pub(crate) fn found(&mut self, id: Id, configuration: Configuration) {
        self.feed(ServerId(id), [Input::Bootstrap(Box::new(configuration))]);
    }

    /// Has this leader append an entry for the sake of cluster time.
    pub(crate) fn mark_time(&mut self, id: Id) {
        self.feed(ServerId(id), [Input::MarkTime]);
    }

    /// Has this leader ask all others whether they are there.
    pub(crate) fn ask(&mut self, id: Id) {
        self.feed(ServerId(id), [Input::Ask]);
    }

    /// Captures this server's state machine.
    pub(crate) fn take_snapshot(&mut self, id: Id) {
        let captured = self.capture(id);
        self.hand_in(id, captured);
    }

    /// What this server's state machine has applied, with its stamp, and its state.
    pub(crate) fn capture(&self, id: Id) -> (Index, ClusterTime, Bytes) {
        let machine = &self.server(ServerId(id)).machine;
        let (applied, stamp) = machine.applied_at();
        (applied, stamp, machine.snapshot())
    }

    /// Gives this server a snapshot of its own state machine.
    pub(crate) fn hand_in(&mut self, id: Id, (through, stamp, data): (Index, ClusterTime, Bytes)) {
        let shelf = &mut self.server_mut(ServerId(id)).shelf;
        let taken = shelf.taken(through, stamp, data);
        self.feed(ServerId(id), [taken]);
    }

    /// Changes this server's times.
    pub(crate) fn set_timing(&mut self, id: Id, timing: Timing) {
        self.feed(ServerId(id), [Input::SetTiming(timing)]);
    }
}

/// Crashes, disks and sleep.
impl Cluster {
    /// The server loses all that is not on its disk, and says nothing any more. Its disk is no longer held.
    pub(crate) fn crash(&mut self, id: Id) {
        self.server_mut(ServerId(id)).crash();
    }

    /// As [`crash`](Self::crash), in the middle of a write of which so many parts are done: of the hard state, the
    /// snapshot, the truncation, the entries and the compaction.
    pub(crate) fn crash_within_a_write(&mut self, id: Id, parts: usize) {
        self.server_mut(ServerId(id)).disk.tear(parts);
        self.crash(id);
    }

    /// The crashed server comes back with what is on its disk.
    pub(crate) fn restart(&mut self, id: Id) {
        let id = ServerId(id);
        assert!(self.server(id).raft.is_none(), "server {id} is up");
        self.boot(id);
    }

    /// The server comes back at once with an empty disk, and with the id that belonged to what was on it.
    pub(crate) fn wipe(&mut self, id: Id) {
        self.crash(id);
        let id = ServerId(id);
        self.checker.note_wiped(id);
        self.server_mut(id).disk = Disk::with(Recovered::default());
        self.boot(id);
    }

    /// From its next start on this server has settings of its own.
    pub(crate) fn configure(&mut self, id: Id, config: Config) {
        self.server_mut(ServerId(id)).config = Some(config);
    }

    /// This server's clock leaps back.
    pub(crate) fn set_clock_back(&mut self, id: Id, by: Duration) {
        self.server_mut(ServerId(id)).clock.behind += by;
    }

    /// From now on this server's writes take so long.
    pub(crate) fn slow_disk(&mut self, id: Id, latency: Duration) {
        self.server_mut(ServerId(id)).disk.latency = latency;
    }

    /// From now on this server's writes do not finish.
    pub(crate) fn hold_disk(&mut self, id: Id) {
        self.server_mut(ServerId(id)).disk.hold();
    }

    /// This server's writes go on.
    pub(crate) fn release_disk(&mut self, id: Id) {
        let id = ServerId(id);
        self.server_mut(id).disk.release();
        self.start_work(id);
    }

    /// From now on nothing is read or written of the states of this server's snapshots.
    pub(crate) fn hold_lane(&mut self, id: Id) {
        self.server_mut(ServerId(id)).lane = Some(Vec::new());
    }

    /// What was held of them is done.
    pub(crate) fn release_lane(&mut self, id: Id) {
        let id = ServerId(id);
        let server = self.server_mut(id);
        let held = server.lane.take().unwrap_or_default();
        let answers = server.take_steps(held);
        self.feed(id, answers);
    }

    /// There is no room for the snapshot whose parts are held.
    pub(crate) fn refuse_lane(&mut self, id: Id) {
        let id = ServerId(id);
        let held = self.server_mut(id).lane.replace(Vec::new());
        let reception = held.unwrap_or_default().iter().find_map(|step| match step {
            SnapshotStep::Append { reception, .. } | SnapshotStep::Finish { reception, .. } => {
                Some(*reception)
            }
            SnapshotStep::Read(_) | SnapshotStep::Remove(_) => None,
        });
        let reception = reception.expect("a part of a snapshot is held");
        self.feed(id, vec![Input::SnapshotNotStored { reception }]);
    }

    /// From now on nothing is read of this server's log.
    pub(crate) fn hold_reads(&mut self, id: Id) {
        self.server_mut(ServerId(id)).reads = Some(Vec::new());
    }

    /// What was held of that is read.
    pub(crate) fn release_reads(&mut self, id: Id) {
        let id = ServerId(id);
        let held = self.server_mut(id).reads.take().unwrap_or_default();
        for read in held {
            self.answer_read(id, read);
        }
    }

    /// From now on this server's state machine applies nothing.
    pub(crate) fn hold_apply(&mut self, id: Id) {
        self.server_mut(ServerId(id)).machine.hold();
    }

    /// This server's state machine goes on.
    pub(crate) fn release_apply(&mut self, id: Id) {
        let id = ServerId(id);
        self.server_mut(id).machine.release();
        self.start_work(id);
    }

    /// The server is suspended, as a tab or a laptop is: what comes for it waits.
    pub(crate) fn put_to_sleep(&mut self, id: Id) {
        self.server_mut(ServerId(id)).inbox.get_or_insert_default();
    }

    /// The server wakes: it is given what has come, and then the time.
    pub(crate) fn wake(&mut self, id: Id) {
        let id = ServerId(id);
        let waiting = self.server_mut(id).inbox.take().expect("the server sleeps");
        for input in waiting {
            self.feed(id, [input]);
        }
        self.feed(id, [Input::Timer]);
    }

    pub(super) fn boot(&mut self, id: ServerId) {
        let (true_now, config) = (self.now, self.config.clone());
        let server = self.server_mut(id);
        let config = server.config.clone().unwrap_or(config);
        let now = server.clock.shows(true_now);
        let seed = u64::try_from(id.0).expect("stories name servers by small numbers");
        // The storage, too, reads no more into memory than the server may hold.
        let stored = server.disk.stored().clone();
        let recovered = stored.outlined(config.limits().log_memory_bytes_max);
        let recovered = recovered.expect("what was stored is sound");
        let mut raft = Raft::new(id, config, recovered, now, seed + 1000 * server.boot)
            .expect("what was stored is sound");
        let mut output = Output::default();
        // A superfluous timer does no harm and brings out what the server has to do at once.
        raft.input(now, Input::Timer, &mut output);
        server.raft = Some(raft);
        self.carry_out(id, output);
    }
}

/// The network.
impl Cluster {
    /// Cuts all links of this server, both ways.
    pub(crate) fn isolate(&mut self, id: Id) {
        let others: Vec<ServerId> = self.servers.keys().copied().collect();
        for other in others.into_iter().filter(|other| other.0 != id) {
            self.network.cut(ServerId(id), other);
            self.network.cut(other, ServerId(id));
        }
    }

    /// Cuts all links between the two sides.
    pub(crate) fn partition<const N: usize, const M: usize>(
        &mut self,
        one: [Id; N],
        other: [Id; M],
    ) {
        for a in one.map(ServerId) {
            for b in other.map(ServerId) {
                self.network.cut(a, b);
                self.network.cut(b, a);
            }
        }
    }

    /// Cuts the link one way.
    pub(crate) fn cut(&mut self, from: Id, to: Id) {
        self.network.cut(ServerId(from), ServerId(to));
    }

    /// Mends the link, both ways.
    pub(crate) fn mend(&mut self, one: Id, other: Id) {
        self.network.mend(ServerId(one), ServerId(other));
        self.network.mend(ServerId(other), ServerId(one));
    }

    /// Mends all links.
    pub(crate) fn mend_all(&mut self) {
        self.network.mend_all();
    }

    /// Mends all links, and lets all messages pass again.
    pub(crate) fn heal(&mut self) {
        self.network.mend_all();
        self.network.clear_rules();
        self.network.improve();
    }

    /// Lets a link carry no more than so many bytes in a second, one message after the other.
    pub(crate) fn narrow(&mut self, from: Id, to: Id, bytes_per_second: u64) {
        self.network
            .narrow(ServerId(from), ServerId(to), bytes_per_second);
    }

    /// How many bytes a narrow link has been given.
    pub(crate) fn bytes_on(&self, from: Id, to: Id) -> u64 {
        self.network.bytes_on(ServerId(from), ServerId(to))
    }

    /// Messages from one to the other take so long.
    pub(crate) fn slow_down(&mut self, from: Id, to: Id, latency: Duration) {
        self.network
            .slow_down(ServerId(from), ServerId(to), latency);
    }

    /// Messages between any two take so long.
    pub(crate) fn slow_down_all(&mut self, latency: Duration) {
        let ids: Vec<Id> = self.servers.keys().map(|id| id.0).collect();
        for from in &ids {
            for to in &ids {
                self.slow_down(*from, *to, latency);
            }
        }
    }

    /// Loses these messages, until [`heal`](Self::heal).
    pub(crate) fn drop_all(&mut self, filter: Filter) {
        self.network.add_rule(filter, Action::Drop, usize::MAX);
    }

    /// Loses the next of these messages.
    pub(crate) fn drop_next(&mut self, filter: Filter) {
        self.network.add_rule(filter, Action::Drop, 1);
    }

    /// Keeps these messages back, until they are delivered.
    pub(crate) fn hold(&mut self, filter: Filter) {
        self.network.add_rule(filter, Action::Hold, usize::MAX);
    }

    /// Doubles these messages.
    pub(crate) fn double(&mut self, filter: Filter) {
        self.network.add_rule(filter, Action::Double, usize::MAX);
    }

    /// Lets all messages pass again. What was kept back stays so.
    pub(crate) fn let_pass(&mut self) {
        self.network.clear_rules();
    }

    /// Delivers what was kept back, in the order in which it was sent.
    pub(crate) fn deliver_held(&mut self) {
        for (from, to, message) in self.network.take_held() {
            self.deliver(from, to, message);
        }
    }

    /// Delivers what was kept back, the last first.
    pub(crate) fn deliver_held_backwards(&mut self) {
        for (from, to, message) in self.network.take_held().into_iter().rev() {
            self.deliver(from, to, message);
        }
    }

    /// Delivers a message that nobody has sent.
    pub(crate) fn forge(&mut self, from: Id, to: Id, message: Message) {
        self.deliver(ServerId(from), ServerId(to), message);
    }

    /// From now on the link takes neither entries nor parts of snapshots, and the sender is told of each.
    pub(crate) fn jam(&mut self, from: Id, to: Id) {
        self.network.jam(ServerId(from), ServerId(to), true);
    }

    /// The link takes all again, and nobody says so.
    pub(crate) fn clear_silently(&mut self, from: Id, to: Id) {
        self.network.jam(ServerId(from), ServerId(to), false);
    }

    /// The link takes all again, and the sender is told.
    pub(crate) fn clear(&mut self, from: Id, to: Id) {
        self.clear_silently(from, to);
        self.feed(ServerId(from), [Input::Writable(ServerId(to))]);
    }

    /// From now on all links vouch for this server.
    pub(crate) fn vouch_for(&mut self, id: Id) {
        self.vouched.insert(ServerId(id));
    }

    /// Forgets what was sent so far.
    pub(crate) fn forget_sent(&mut self) {
        self.network.forget_sent();
    }
}
