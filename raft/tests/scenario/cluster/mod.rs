//! A cluster of servers on a virtual clock.

mod assertions;
mod build;
pub(crate) mod changes;
mod checker;
mod commands;
mod disk;
pub(crate) mod filter;
pub(crate) mod forge;
mod machine;
mod network;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liferaft_raft::config::Config;
use liferaft_raft::consensus::{
    ChangeError, ChangeId, EntriesRead, Event as RaftEvent, Input, Output, ProposalId,
    ProposeRefused, ReadId, ReadRefused, TransferError,
};
use liferaft_raft::ids::{Index, LogPosition, ServerId};
use liferaft_raft::message::Message;
use liferaft_raft::time::Instant;

use self::checker::Checker;
use self::network::Network;
use self::server::Server;

/// A server's name in a story.
pub(crate) type Id = u128;

/// The election timeout of the default settings, on which the stories run.
pub(crate) const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The heartbeat interval of the default settings.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(200);

/// How long a message travels, unless the story says otherwise.
pub(crate) const LATENCY: Duration = Duration::from_millis(5);

/// How long a write takes, unless the story says otherwise.
pub(crate) const DISK_LATENCY: Duration = Duration::from_millis(2);

/// How long it takes to read entries of the log.
pub(crate) const READ_LATENCY: Duration = Duration::from_millis(1);

/// How long the state machine takes for what it is handed at once.
pub(crate) const APPLY_LATENCY: Duration = Duration::from_millis(1);

/// Longer than a command takes to be applied everywhere on an idle cluster, and shorter than a heartbeat interval.
pub(crate) const ONE_COMMAND: Duration = Duration::from_millis(50);

/// So many steps at one moment mean that time has stopped.
const STEPS_AT_ONCE_MAX: u32 = 100_000;

/// A cluster of servers, with all that surrounds them.
pub(crate) struct Cluster {
    now: Instant,
    config: Config,
    servers: BTreeMap<ServerId, Server>,
    network: Network,
    happenings: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    steps_at_once: u32,
    /// Only this server's clock wakes it, if there is one.
    only_timer_of: Option<ServerId>,
    checker: Checker,
    outcomes: Outcomes,
    next_name: u64,
    /// The servers for which all links vouch.
    vouched: BTreeSet<ServerId>,
}

/// What will happen at its moment.
enum Happening {
    Arrival {
        from: ServerId,
        to: ServerId,
        message: Message,
    },
    Written {
        server: ServerId,
        boot: u64,
    },
    Applied {
        server: ServerId,
        boot: u64,
    },
    Read {
        server: ServerId,
        boot: u64,
        read: EntriesRead,
    },
}

/// What the servers have answered.
#[derive(Default)]
struct Outcomes {
    proposals: BTreeMap<ProposalId, Result<LogPosition, ProposeRefused>>,
    reads: BTreeMap<ReadId, Result<Index, ReadRefused>>,
    changes: BTreeMap<ChangeId, Result<Index, ChangeError>>,
    transfers: Vec<Result<ServerId, TransferError>>,
    events: Vec<(ServerId, RaftEvent)>,
}

impl Cluster {
    /// Lets time pass.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is so.
    #[track_caller]
    pub(crate) fn run_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = self.now + 100 * ELECTION_TIMEOUT;
        while !is_so(self) {
            assert!(
                self.step(end),
                "{what}: still not so after 100 election timeouts\n{self:?}"
            );
        }
    }

    /// Does what comes next, if it comes before `end`. Messages and completions come before clocks.
    fn step(&mut self, end: Instant) -> bool {
        let happening = self.happenings.first_key_value().map(|((at, _), _)| *at);
        let timer = self
            .servers
            .values()
            .filter(|server| self.only_timer_of.is_none_or(|only| only == server.id))
            .filter_map(|server| server.deadline().map(|at| (at.max(self.now), server.id)))
            .min();
        match (happening, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(other, _)| at <= other) => {
                self.advance_to(at);
                let (_, happening) = self.happenings.pop_first().expect("it was just seen");
                self.happen(happening);
                true
            }
            (_, Some((at, server))) if at <= end => {
                self.advance_to(at);
                self.feed(server, [Input::Timer]);
                true
            }
            (_, _) => false,
        }
    }

    fn advance_to(&mut self, at: Instant) {
        self.steps_at_once = if at > self.now {
            0
        } else {
            self.steps_at_once + 1
        };
        assert!(
            self.steps_at_once < STEPS_AT_ONCE_MAX,
            "time stands still\n{self:?}"
        );
        self.now = at;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { from, to, message } => {
                if self.network.connects(from, to) {
                    self.deliver(from, to, message);
                }
            }
            Happening::Written { server, boot } => {
                let on = self.server_mut(server);
                if on.boot == boot
                    && let Some(id) = on.disk.finish_write()
                {
                    self.feed(server, [Input::Persisted(id)]);
                }
            }
            Happening::Applied { server, boot } => {
                let on = self
                    .servers
                    .get_mut(&server)
                    .expect("servers are never taken out");
                if on.boot == boot
                    && let Some(applied) = on.machine.finish(&on.shelf, &mut self.checker)
                {
                    self.feed(server, [Input::Applied(applied)]);
                }
            }
            Happening::Read { server, boot, read } => {
                if self.server(server).boot == boot {
                    self.answer_read(server, read);
                }
            }
        }
    }

    /// Reads entries of a server's log, and gives them to it.
    fn answer_read(&mut self, id: ServerId, read: EntriesRead) {
        let entries = self.server(id).disk.read(&read);
        self.feed(id, [Input::EntriesRead { read, entries }]);
    }

    /// Gives a server a message from the link with another.
    fn deliver(&mut self, from: ServerId, to: ServerId, message: Message) {
        let input = if self.vouched.contains(&from) {
            let message = Box::new(message);
            Input::VouchedMessage { from, message }
        } else {
            Input::Message { from, message }
        };
        self.feed(to, [input]);
    }

    /// Gives a server inputs, and does what it answers.
    fn feed(&mut self, id: ServerId, inputs: impl IntoIterator<Item = Input>) {
        let true_now = self.now;
        let server = self.server_mut(id);
        let now = server.clock.shows(true_now);
        if let Some(inbox) = &mut server.inbox {
            inbox.extend(inputs);
            return;
        }
        let Some(raft) = &mut server.raft else { return };
        let mut output = Output::default();
        raft.inputs(now, inputs, &mut output);
        self.carry_out(id, output);
    }

    fn carry_out(&mut self, id: ServerId, output: Output) {
        let server = self.servers.get_mut(&id).expect("it has just answered");
        for (to, message) in &output.messages {
            self.checker
                .check_promise(id, *to, message, server.disk.stored());
        }
        for write in output.writes {
            server.disk.begin(write, &mut self.checker);
        }
        server.machine.begin(output.apply);
        let answers = server.take_steps(output.snapshots);
        let reads = match &mut server.reads {
            Some(held) => {
                held.extend(output.entries);
                Vec::new()
            }
            None => output.entries,
        };
        let boot = server.boot;
        if let Some(raft) = &server.raft {
            let stored = server.disk.stored();
            self.checker
                .check_status(server.boot, &raft.status(), stored);
        }
        for read in reads {
            let server = id;
            self.schedule(READ_LATENCY, Happening::Read { server, boot, read });
        }
        let mut unsent = Vec::new();
        for (to, message) in output.messages {
            if self.network.takes(id, to, &message) {
                self.send(id, to, &message);
            } else {
                let message = Box::new(message);
                unsent.push(Input::Unsent { to, message });
            }
        }
        for (read, answer) in output.reads {
            self.checker.check_read(read, &answer);
            let twice = self.outcomes.reads.insert(read, answer);
            assert!(twice.is_none(), "read {read:?} was answered twice");
        }
        for (change, result) in output.changes {
            let twice = self.outcomes.changes.insert(change, result);
            assert!(twice.is_none(), "change {change:?} was answered twice");
        }
        for event in &output.events {
            self.checker.check_event(event);
        }
        self.outcomes.proposals.extend(output.proposals);
        self.outcomes.transfers.extend(output.transfers);
        self.outcomes
            .events
            .extend(output.events.into_iter().map(|event| (id, event)));
        if !answers.is_empty() {
            self.feed(id, answers);
        }
        if !unsent.is_empty() {
            self.feed(id, unsent);
        }
        self.start_work(id);
    }

    /// Lets disk and state machine begin what waits for them.
    fn start_work(&mut self, id: ServerId) {
        let server = self.server_mut(id);
        let (boot, disk_latency) = (server.boot, server.disk.latency);
        let (writes, applies) = (server.disk.start(), server.machine.start());
        if writes {
            self.schedule(disk_latency, Happening::Written { server: id, boot });
        }
        if applies {
            self.schedule(APPLY_LATENCY, Happening::Applied { server: id, boot });
        }
    }

    fn send(&mut self, from: ServerId, to: ServerId, message: &Message) {
        for after in self.network.send(self.now, from, to, message) {
            let message = message.clone();
            self.schedule(after, Happening::Arrival { from, to, message });
        }
    }

    fn schedule(&mut self, after: Duration, happening: Happening) {
        self.sequence += 1;
        self.happenings
            .insert((self.now + after, self.sequence), happening);
    }

    #[track_caller]
    fn server(&self, id: ServerId) -> &Server {
        self.servers
            .get(&id)
            .unwrap_or_else(|| panic!("there is no server {id}"))
    }

    #[track_caller]
    fn server_mut(&mut self, id: ServerId) -> &mut Server {
        self.servers
            .get_mut(&id)
            .unwrap_or_else(|| panic!("there is no server {id}"))
    }

    fn next_name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }
}

/// What each server does, for when a story goes wrong.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "at {:?}", self.now)?;
        for server in self.servers.values() {
            writeln!(f, "{server:?}")?;
        }
        Ok(())
    }
}
