//! The client's own task: gives its tables time and links, and does what they say.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use liferaft_transport::access::{AccessTable, Permit, Role};
use liferaft_transport::invitation::Invitation;
use liferaft_transport::links::{Credentials, Wanted};
use liferaft_transport::{Event, Frame};
use tokio::sync::{mpsc, oneshot, watch};

use super::ClientStatus;
use super::questions::{self, QUESTION, Questions};
use super::reports::{self, Reports};
use super::route::Route;
use super::unreached::{Failures, Reached, Unreached};
use crate::configuration::Configuration;
use crate::driver::budget::{Budget, CommandBytes};
use crate::driver::clock::{Alarm, Clock};
use crate::driver::error::{
    ClientRefused, MembershipError, ProposeError, ReadError, TransferLeadershipError, UnknownCause,
};
use crate::driver::links::Links;
use crate::driver::operations::{self, Operation, Operations};
use crate::driver::peers::{Access, Introduction};
use crate::driver::proposals::{self, Proposals};
use crate::driver::status::Counters;
use crate::driver::yielding::yield_now;
use crate::ids::{ClusterId, Index, ServerId, Term};
use crate::time::Instant;
use crate::wire::{ClientAnswer, ClientAsk, CommandOutcome, Content, Decline, RawFrame};

/// The most events, and the most calls, that are taken in at once.
const TAKEN_AT_ONCE_MAX: usize = 1024;

/// What was sent is sent again after so long without an answer, at first, and then after twice as long each time.
pub(super) const RESEND_AFTER: Duration = Duration::from_millis(250);

/// The number of what needs none: whatever is answered last is true.
const UNNUMBERED: u64 = 0;

/// What a caller asks.
pub(super) enum Call {
    /// A command, serialised behind room for its header and its owner.
    Propose {
        command: Vec<u8>,
        deadline: Instant,
        caller: proposals::Caller<Bytes>,
    },
    /// A query, to be answered once the entry at an index is applied.
    Read {
        query: Bytes,
        not_before: Index,
        deadline: Instant,
        caller: questions::Caller,
    },
    /// A change of membership, or a transfer of leadership.
    Operate {
        operation: Operation,
        deadline: Instant,
        caller: operations::Caller,
    },
    /// Where a member stands.
    Report(reports::Waiting),
    /// Whom to believe, and where they are.
    Contact(oneshot::Sender<Invitation>),
}

/// The owner of a client's links.
pub(super) struct Task {
    pub(super) id: ServerId,
    pub(super) cluster: ClusterId,
    pub(super) credentials: Credentials,
    pub(super) access: Arc<Access>,
    pub(super) links: Links,
    pub(super) route: Route,
    pub(super) proposals: Proposals<Bytes>,
    pub(super) questions: Questions,
    pub(super) operations: Operations,
    pub(super) reports: Reports,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) board: watch::Sender<ClientStatus>,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: Arc<CommandBytes>,
    pub(super) clock: Clock,
    pub(super) alarm: Alarm,
    /// The member that requests were sent to last, and the term in which it leads.
    pub(super) target: Option<(ServerId, Term)>,
    /// Whether the link to it takes no more for now.
    pub(super) is_blocked: bool,
    /// What the addresses that are tried have answered.
    pub(super) failures: Failures,
    /// To whom links are wanted.
    pub(super) wanted: Vec<Wanted>,
    /// Why there is no link to the leader.
    pub(super) unreached: Option<Arc<Unreached>>,
    pub(super) arrived: Vec<Call>,
    pub(super) counters: Counters,
}

/// What a look at all that may have happened has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Calls,
    Others,
    /// Nobody holds a handle any more, or the transport is closed.
    End,
}

impl Task {
    /// Runs the client until its last handle is dropped, or its transport closes.
    pub(super) async fn run(mut self) {
        loop {
            self.round();
            let found = poll_fn(|context| match self.poll(context) {
                Found::Nothing => Poll::Pending,
                found => Poll::Ready(found),
            })
            .await;
            if found == Found::Calls {
                // The first of many callers has woken this task, and the others are about to ask as well: let them.
                yield_now().await;
                if poll_fn(|context| Poll::Ready(self.poll(context))).await == Found::End {
                    break;
                }
            }
            if found == Found::End {
                break;
            }
        }
        self.calls.close();
        self.stop_tables();
        while let Ok(call) = self.calls.try_recv() {
            self.take_call(call);
        }
        self.stop_tables();
    }

    /// Answers all callers.
    fn stop_tables(&mut self) {
        self.proposals.stop();
        self.questions.end(&ReadError::Stopped);
        self.operations.stop(None);
        self.reports.end(&ReadError::Stopped);
    }

    /// Answers all callers, because no leader will be reached.
    fn give_up(&mut self, why: &Arc<Unreached>) {
        let [unsent, sent] = [Arc::clone(why), Arc::clone(why)];
        self.proposals.end(
            &ProposeError::Unreached(unsent),
            &ProposeError::Unknown(UnknownCause::Unreached(sent)),
        );
        let read = ReadError::Unreached(Arc::clone(why));
        self.questions.end(&read);
        self.reports.end(&read);
        self.operations.refuse(
            &MembershipError::Unreached(Arc::clone(why)),
            &TransferLeadershipError::Unreached(Arc::clone(why)),
        );
    }

    /// Takes in what has happened. What has not will wake this task.
    fn poll(&mut self, context: &mut Context<'_>) -> Found {
        let now = self.clock.now();
        let mut found = Found::Nothing;
        for _ in 0..TAKEN_AT_ONCE_MAX {
            match self.links.poll_event(context) {
                Poll::Ready(Some(event)) => {
                    self.take_event(event, now);
                    found = Found::Others;
                }
                Poll::Ready(None) => return Found::End,
                Poll::Pending => break,
            }
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        let taken = self
            .calls
            .poll_recv_many(context, &mut arrived, TAKEN_AT_ONCE_MAX);
        for call in arrived.drain(..) {
            self.take_call(call);
        }
        self.arrived = arrived;
        match taken {
            Poll::Ready(0) => return Found::End,
            Poll::Ready(_) if found == Found::Nothing => found = Found::Calls,
            Poll::Ready(_) | Poll::Pending => {}
        }
        let due = self.due();
        if self.alarm.poll(due, context).is_ready() {
            found = Found::Others;
        }
        found
    }

    fn due(&self) -> Instant {
        self.proposals
            .due()
            .min(self.questions.due())
            .min(self.operations.due())
            .min(self.reports.due())
            .min(self.route.due())
    }

    fn take_call(&mut self, call: Call) {
        match call {
            Call::Propose {
                command,
                deadline,
                caller,
            } => {
                let (bytes, bytes_max) = (command.len(), self.command_bytes_max.max());
                if bytes > bytes_max {
                    self.budget.release(bytes);
                    drop(caller.send(Err(ProposeError::TooLarge { bytes, bytes_max })));
                } else {
                    let _admitted = self.proposals.admit(command, deadline, caller);
                }
            }
            Call::Read {
                query,
                not_before,
                deadline,
                caller,
            } => self.questions.admit(query, not_before, deadline, caller),
            Call::Operate {
                operation,
                deadline,
                caller,
            } => {
                let _admitted = self.operations.admit(operation, deadline, caller);
            }
            Call::Report(waiting) => self.reports.admit(waiting),
            Call::Contact(caller) => drop(caller.send(self.route.contact())),
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::PeerUp(peer) => {
                tracing::debug!(%peer, "link up");
                self.failures.on_up();
                self.reports.on_up(peer);
                self.route.on_up(peer, now);
            }
            Event::PeerDown(peer) => {
                tracing::debug!(%peer, "link down");
                self.route.on_down(peer, now);
            }
            Event::Frame { from, frame, .. } => self.take_frame(from, frame, now),
            Event::Writable(peer) => {
                self.is_blocked &= self.target.is_none_or(|(target, _)| target != peer);
            }
            Event::NotLinked {
                peer,
                address,
                error,
            } => {
                tracing::debug!(%peer, %address, %error, "no link");
                self.failures.on_failed(peer, address, error, now);
                self.route.on_not_linked(peer);
            }
            _ => {}
        }
    }

    /// Takes the answer of a member, and nothing else.
    fn take_frame(&mut self, from: ServerId, frame: Frame, now: Instant) {
        let link = self.links.link(from);
        let is_server = link.is_some_and(|link| matches!(link.role, Role::Member | Role::Vouched));
        let raw = RawFrame::decode_parts(frame.head, frame.body);
        let Some(raw) = raw
            .ok()
            .filter(|raw| is_server && raw.cluster() == self.cluster && raw.to() == self.id)
        else {
            return;
        };
        match raw.decode_content() {
            Ok(Content::ClientReply { request, answer }) => {
                self.take_answer(from, request, answer, now);
            }
            Ok(Content::ChangeReply { request, result }) => {
                if self.operations.asked(request) == Some(from) {
                    // What it knows of the configuration settles nothing.
                    let configuration = Configuration::default;
                    self.operations
                        .on_change_answer(request, result, configuration, now);
                }
            }
            Ok(Content::TransferReply { request, result }) => {
                if self.operations.asked(request) == Some(from) {
                    let (leader, _) = self.route.leader();
                    self.operations
                        .on_transfer_answer(request, result, leader, now);
                }
            }
            Ok(content) => tracing::debug!(%from, kind = ?content.kind(), "frame not admitted"),
            Err(error) => tracing::debug!(%from, %error, "frame not understood"),
        }
    }

    fn take_answer(&mut self, from: ServerId, request: u64, answer: ClientAnswer, now: Instant) {
        match answer {
            ClientAnswer::Report(report) => self.reports.on_report(from, &report),
            ClientAnswer::View(view) => {
                if view.command_bytes_max > 0 {
                    self.command_bytes_max.lower_to(view.command_bytes_max);
                }
                self.put_off(request, now);
                self.route.on_view(from, view, now);
            }
            ClientAnswer::Declined(Decline::Busy) => self.put_off(request, now),
            ClientAnswer::Declined(decline) => self.refuse(request, decline, now),
            ClientAnswer::Outcomes(outcomes) => {
                for outcome in outcomes {
                    match outcome {
                        CommandOutcome::Registered { nonce, session } => {
                            self.proposals.on_registered(nonce, session);
                        }
                        CommandOutcome::Done {
                            session,
                            sequence,
                            reply,
                        } => self.proposals.on_reply(session, sequence, reply),
                        CommandOutcome::Expired { session, sequence } => {
                            self.proposals.on_copy_expired(session, sequence);
                        }
                        CommandOutcome::OutOfScope { session, sequence } => {
                            let error = ProposeError::Refused(ClientRefused::OutOfScope);
                            self.proposals.on_copy_refused(session, sequence, error);
                        }
                    }
                }
            }
            ClientAnswer::Answers(answers) => {
                for (number, outcome) in answers {
                    self.questions.on_answer(number, outcome, now);
                }
            }
        }
    }

    /// A request was not taken, and is sent again later, or to another leader.
    fn put_off(&mut self, request: u64, now: Instant) {
        if request & QUESTION == 0 {
            self.proposals.on_forward_declined(request, now);
        } else {
            self.questions.put_off(request, now);
        }
    }

    /// A request is not taken, and would not be later.
    fn refuse(&mut self, request: u64, decline: Decline, now: Instant) {
        let refused = match decline {
            Decline::ReadOnly => ClientRefused::ReadOnly,
            Decline::NotServed => ClientRefused::NotServed,
            Decline::NotUnderstood | Decline::TooLarge => ClientRefused::NotUnderstood,
            Decline::TokenOver => ClientRefused::TokenOver,
            Decline::Busy => return self.put_off(request, now),
        };
        if request & QUESTION == 0 {
            let error = ProposeError::Refused(refused);
            self.proposals.on_forward_refused(request, &error, now);
        } else {
            self.questions.refuse(request, refused);
        }
    }

    /// Sends what is to be sent.
    fn round(&mut self) {
        let now = self.clock.now();
        self.proposals.expire(now);
        self.questions.expire(now);
        self.operations.expire(self.route.leader().0, now);
        self.route.seek(self.reports.asked());
        if let Some((wanted, members)) = self.route.take_wanted() {
            self.access.replace(AccessTable {
                members,
                ..AccessTable::default()
            });
            let access = Arc::clone(&self.access);
            self.failures.on_wanted(&wanted);
            self.wanted.clone_from(&wanted);
            self.links.introduce(Introduction {
                credentials: self.credentials.clone(),
                authorizer: access,
                wanted,
                forbidden: Vec::new(),
            });
        }
        if let Some(peer) = self.route.ask(now) {
            self.send(peer, UNNUMBERED, ClientAsk::View);
        }
        for server in self.reports.due_at(now) {
            self.send(server, UNNUMBERED, ClientAsk::Report);
        }
        let target = self.route.target();
        if target != self.target {
            self.target = target;
            self.is_blocked = false;
            if target.is_some() {
                self.proposals.reroute();
                self.questions.reroute();
                let leader = target.map(|(leader, _)| leader);
                self.operations.reroute(leader, now);
            }
        }
        if let Some((target, term)) = target {
            self.send_requests(target, now);
            self.send_operations(target, term, now);
        }
        self.look_for_causes(now);
        self.post();
    }

    /// Finds out why there is no link to the leader, and gives up if that lasts.
    fn look_for_causes(&mut self, now: Instant) {
        if self.target.is_some() {
            self.failures.on_leader();
            self.unreached = None;
            return;
        }
        let reached = Reached {
            members: self.route.linked(),
            leader: self.route.leader().0,
        };
        let unreached = Arc::new(self.failures.unreached(&self.wanted, reached, now));
        if unreached.is_lasting {
            self.give_up(&unreached);
        }
        self.unreached = Some(unreached);
    }

    fn send_requests(&mut self, target: ServerId, now: Instant) {
        let bytes_max = self.links.room_in_frames();
        while !self.is_blocked
            && let Some((request, queries)) = self.questions.next_batch(now, bytes_max)
        {
            self.is_blocked = !self.send(target, request, ClientAsk::Queries(queries));
            if self.is_blocked {
                self.questions.put_off(request, now);
            }
        }
        while !self.is_blocked
            && let Some((request, commands)) = self.proposals.next_batch(now, bytes_max)
        {
            self.is_blocked = !self.send(target, request, ClientAsk::Commands(commands));
            self.proposals.forwarded(request, !self.is_blocked, now);
        }
    }

    fn send_operations(&mut self, target: ServerId, term: Term, now: Instant) {
        if self.operations.is_empty() {
            return;
        }
        // A link that is gone already, of which this task has not heard yet, permits nothing and refuses nothing.
        if self.links.link(target).is_none() {
            return;
        }
        if self.permit() < Some(Permit::Operate) {
            return self.operations.refuse(
                &MembershipError::Refused(ClientRefused::NotOperator),
                &TransferLeadershipError::Refused(ClientRefused::NotOperator),
            );
        }
        while let Some((request, operation)) = self.operations.next_for_leader(target, now) {
            let content = operation.into_content(request, term);
            let sent = self.links.send(target, &content, &mut self.counters);
            self.operations.sent(request, sent, now);
        }
    }

    /// What it may do, as the leader says.
    fn permit(&self) -> Option<Permit> {
        let target = self.target.and_then(|(target, _)| self.links.link(target));
        match target?.role_granted {
            Role::Client(permit) => Some(permit),
            _ => None,
        }
    }

    /// Whether the transport took it.
    fn send(&mut self, to: ServerId, request: u64, ask: ClientAsk) -> bool {
        let content = Content::ClientRequest { request, ask };
        self.links.send(to, &content, &mut self.counters)
    }

    fn post(&self) {
        let (leader, term) = self.route.leader();
        let target = self.target.and_then(|(target, _)| self.links.link(target));
        let status = ClientStatus {
            leader,
            term,
            is_connected: target.is_some(),
            permit: self.permit(),
            links: self.route.linked(),
            members: Arc::clone(self.route.members()),
            unreached: self.unreached.clone(),
        };
        self.board.send_if_modified(|posted| {
            let is_news = *posted != status;
            *posted = status;
            is_news
        });
    }
}
