//! This member's membership changes and transfers of leadership on their way to the leader and back.
//!
//! Unlike a command, an operation has no session. What keeps a lost answer from turning into a false one: the same
//! server knows the request by its number and tells its answer again (see [`Served`](super::served::Served)), so that
//! one which refused it because it did not lead never begins it; and once an attempt may have been made under another
//! leader, a refusal that says *it is so already* means that it was made.

use std::time::Duration;

use liferaft_platform::SortedMap;
use tokio::sync::oneshot;

use super::attempt::{Attempt, Due, Stage};
use super::bounds::OPERATIONS_PENDING_MAX;
use super::error::{Busy, MembershipError, TransferLeadershipError};
use crate::configuration::{Configuration, Suffrage, TokenFault};
use crate::consensus::{
    Addition, ChangeError, InvalidChange, MembershipChange, MembershipStep, TransferError,
};
use crate::ids::{Index, ServerId, Term};
use crate::time::Instant;
use crate::wire::Content;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Change(MembershipChange),
    Transfer(Option<ServerId>),
}

impl Operation {
    /// How the leader of a term is asked for it.
    pub(super) fn into_content(self, request: u64, term: Term) -> Content {
        match self {
            Self::Change(change) => Content::Change {
                request,
                term,
                change,
            },
            Self::Transfer(to) => Content::Transfer { request, term, to },
        }
    }
}

/// Where the caller waits.
#[derive(Debug)]
pub(super) enum Caller {
    Change(oneshot::Sender<Result<(), MembershipError>>),
    Transfer(oneshot::Sender<Result<ServerId, TransferLeadershipError>>),
}

/// The pending operations of this member.
#[derive(Debug)]
pub(super) struct Operations {
    pending: SortedMap<u64, Pending>,
    last: u64,
    due: Due,
    resend_after: Duration,
}

#[derive(Debug)]
struct Pending {
    operation: Operation,
    deadline: Instant,
    caller: Caller,
    attempt: Attempt,
    /// The leader that was asked last.
    asked: Option<ServerId>,
    /// Whether an attempt under an earlier leader may have been made.
    maybe_made: bool,
    /// The server to be added to which the leader that answered last has no link.
    unlinked: Option<ServerId>,
}

impl Operations {
    /// None yet. They are numbered after `first`, whose upper bits name this run of the member.
    pub(super) fn new(first: u64, resend_after: Duration) -> Self {
        Self {
            pending: SortedMap::new(),
            last: first,
            due: Due::never(),
            resend_after,
        }
    }

    /// An operation is sent again when no answer has come for so long; what waits already waits as it was told.
    pub(super) fn resend_after(&mut self, interval: Duration) {
        self.resend_after = interval;
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(super) fn due(&self) -> Instant {
        self.due.at()
    }

    /// Whether none is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many operations are pending.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Takes a caller's operation. Whether it did: too many are busy.
    pub(super) fn admit(
        &mut self,
        operation: Operation,
        deadline: Instant,
        caller: Caller,
    ) -> bool {
        if self.pending.len() >= OPERATIONS_PENDING_MAX {
            caller.busy();
            return false;
        }
        self.last += 1;
        self.due.no_later_than(deadline);
        let attempt = Attempt::unsent();
        let pending = Pending {
            operation,
            deadline,
            caller,
            attempt,
            asked: None,
            maybe_made: false,
            unlinked: None,
        };
        self.pending.insert(self.last, pending);
        true
    }

    /// Returns the server that a request was sent to last: only its answer counts.
    pub(super) fn asked(&self, request: u64) -> Option<ServerId> {
        self.pending.get(&request)?.asked
    }

    /// The next operation that is to be given to this server's own core.
    pub(super) fn next_for_core(&mut self) -> Option<(u64, Operation)> {
        let (request, pending) = self
            .pending
            .iter_mut()
            .find(|(_, pending)| pending.attempt.is_unsent())?;
        pending.attempt.own();
        pending.attempt.maybe_taken = true;
        pending.asked = None;
        Some((*request, pending.operation.clone()))
    }

    /// The next operation that is to be sent to this leader. The caller says whether it was
    /// [`sent`](Self::sent).
    pub(super) fn next_for_leader(
        &mut self,
        leader: ServerId,
        now: Instant,
    ) -> Option<(u64, Operation)> {
        let (request, pending) = self
            .pending
            .iter_mut()
            .find(|(_, pending)| pending.attempt.is_unsent())?;
        pending.asked = Some(leader);
        pending.attempt.sent(*request, now, self.resend_after);
        self.due.no_later_than(pending.attempt.again_at());
        Some((*request, pending.operation.clone()))
    }

    /// Whether the transport took it.
    pub(super) fn sent(&mut self, request: u64, sent: bool, now: Instant) {
        let Some(pending) = self.pending.get_mut(&request) else {
            return;
        };
        if sent {
            pending.attempt.maybe_taken = true;
        } else {
            pending.attempt.put_off(now, self.resend_after);
            self.due.no_later_than(pending.attempt.again_at());
        }
    }

    /// Another leader, or another term of it. What was asked of the last one and is not answered may have been done.
    pub(super) fn reroute(&mut self, leader: Option<ServerId>, now: Instant) {
        let handed_over = |pending: &Pending| match &pending.operation {
            Operation::Transfer(_) if !pending.may_be_with_leader() => None,
            Operation::Transfer(Some(to)) => leader.filter(|leader| leader == to),
            Operation::Transfer(None) => leader.filter(|_| leader != pending.asked),
            Operation::Change(_) => None,
        };
        let done = self
            .pending
            .iter()
            .filter_map(|(request, pending)| Some((*request, handed_over(pending)?)));
        for (request, leader) in done.collect::<Vec<_>>() {
            self.on_transfer_answer(request, Ok(leader), Some(leader), now);
        }
        for pending in self.pending.values_mut() {
            // What the own core was given, it answers.
            if pending.attempt.stage != Stage::Own {
                pending.maybe_made |= pending.may_be_with_leader();
                pending.attempt.reroute();
            }
        }
    }

    /// What became of a change, by the word of the own core or of the leader that was asked. `configuration` is the
    /// one in force here.
    pub(super) fn on_change_answer(
        &mut self,
        request: u64,
        result: Result<Index, ChangeError>,
        configuration: impl FnOnce() -> Configuration,
        now: Instant,
    ) {
        let Some(pending) = self.pending.get_mut(&request) else {
            return;
        };
        let Operation::Change(change) = &pending.operation else {
            return;
        };
        let outcome = match result {
            Ok(_) => Ok(()),
            Err(ChangeError::NotLeader { .. }) => return self.ask_anew(request, now),
            Err(ChangeError::AskerNotMember) => return self.put_off_copy(request, now),
            Err(ChangeError::NotLinked(server)) => {
                pending.unlinked = Some(server);
                return self.ask_anew(request, now);
            }
            Err(ChangeError::Unknown { .. }) => {
                pending.maybe_made = true;
                return self.ask_anew(request, now);
            }
            // It may be this very change, which another leader goes on with.
            Err(ChangeError::Pending) if pending.maybe_made => return self.put_off(request, now),
            Err(ChangeError::AlreadyMember(_) | ChangeError::NotMember(_))
                if pending.maybe_made =>
            {
                // The only step of a change is what was found done. Of several, one may be another's doing.
                if change.steps.len() > 1 && !is_made(change, &configuration()) {
                    return self.put_off(request, now);
                }
                Ok(())
            }
            // A token is drawn for one change alone, and one that nobody knows lets nobody in.
            Err(
                ChangeError::Invalid(InvalidChange::IssuedBefore(_))
                | ChangeError::Token(_, TokenFault::Unknown),
            ) if pending.maybe_made && is_of_token(change) => Ok(()),
            // Or this very change has been made.
            Err(
                ChangeError::Token(..)
                | ChangeError::Invalid(
                    InvalidChange::IssuedBefore(_) | InvalidChange::VersionNotRaised(_),
                ),
            ) if pending.maybe_made => match is_made(change, &configuration()) {
                true => Ok(()),
                false => Err(MembershipError::Unknown {
                    leader: pending.asked,
                }),
            },
            // This leader does not make it, and an earlier one may have.
            Err(
                ChangeError::Invalid(_)
                | ChangeError::Unreachable(_)
                | ChangeError::TooSlow(_)
                | ChangeError::Foreign(..),
            ) if pending.maybe_made => Err(MembershipError::Unknown {
                leader: pending.asked,
            }),
            Err(
                error @ (ChangeError::Pending
                | ChangeError::AlreadyMember(_)
                | ChangeError::NotMember(_)
                | ChangeError::Token(..)
                | ChangeError::Invalid(_)
                | ChangeError::Unreachable(_)
                | ChangeError::TooSlow(_)
                | ChangeError::Foreign(..)),
            ) => Err(error.into()),
        };
        if let Some(Pending {
            caller: Caller::Change(caller),
            ..
        }) = self.pending.remove(&request)
        {
            drop(caller.send(outcome));
        }
    }

    /// What became of a transfer, by the word of the own core or of the leader that was asked.
    pub(super) fn on_transfer_answer(
        &mut self,
        request: u64,
        result: Result<ServerId, TransferError>,
        leader: Option<ServerId>,
        now: Instant,
    ) {
        let Some(pending) = self.pending.get(&request) else {
            return;
        };
        let Operation::Transfer(to) = pending.operation else {
            return;
        };
        if let Err(TransferError::AskerNotMember) = result {
            return self.put_off_copy(request, now);
        }
        if let Err(TransferError::NotLeader { .. }) = result
            && (to.is_none() || leader != to)
        {
            // The leader that was asked has stepped down in the meantime: the next one is asked.
            return self.ask_anew(request, now);
        }
        let outcome = match (result, leader) {
            (Err(TransferError::NotLeader { .. }), Some(leader)) => Ok(leader),
            (result, _) => result.map_err(TransferLeadershipError::Transfer),
        };
        if let Some(Pending {
            caller: Caller::Transfer(caller),
            ..
        }) = self.pending.remove(&request)
        {
            drop(caller.send(outcome));
        }
    }

    /// An operator has removed this server: what it asked for itself is done, whose links may have been cut before it
    /// heard so.
    pub(super) fn on_removed(&mut self, this: ServerId) {
        let removal = MembershipChange::remove(this);
        let is_made = |pending: &Pending| {
            let is_removal =
                matches!(&pending.operation, Operation::Change(change) if *change == removal);
            is_removal && pending.is_open()
        };
        let made = self.pending.iter().filter(|(_, pending)| is_made(pending));
        for request in made.map(|(request, _)| *request).collect::<Vec<_>>() {
            if let Some(Pending {
                caller: Caller::Change(caller),
                ..
            }) = self.pending.remove(&request)
            {
                drop(caller.send(Ok(())));
            }
        }
    }

    /// Gives up what has passed its deadline or has no caller any more, and wakes what is to be sent again.
    pub(super) fn expire(&mut self, leader: Option<ServerId>, now: Instant) {
        if !self.due.begin(now) {
            return;
        }
        let over = |pending: &Pending| pending.deadline <= now || pending.caller.is_closed();
        let requests = self
            .pending
            .iter()
            .filter(|(_, pending)| over(pending))
            .map(|(request, _)| *request);
        for request in requests.collect::<Vec<_>>() {
            if let Some(pending) = self.pending.remove(&request) {
                pending.time_out(leader);
            }
        }
        for pending in self.pending.values_mut() {
            self.due.no_later_than(pending.deadline);
            self.due.look_at(&mut pending.attempt, now);
        }
        self.due.end(now);
    }

    /// Answers all callers of a client that cannot have anything of this done.
    pub(super) fn refuse(&mut self, change: &MembershipError, transfer: &TransferLeadershipError) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            if pending.is_open() {
                pending.time_out(None);
                continue;
            }
            match pending.caller {
                Caller::Change(caller) => drop(caller.send(Err(change.clone()))),
                Caller::Transfer(caller) => drop(caller.send(Err(transfer.clone()))),
            }
        }
    }

    /// Answers all callers, because the member stops.
    pub(super) fn stop(&mut self, leader: Option<ServerId>) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            pending.stop(leader);
        }
    }

    /// An attempt was refused for want of leadership, or its outcome is unknown. The server that said so says it for
    /// ever, whatever copies of it arrive later, so the next one needs another number.
    fn ask_anew(&mut self, request: u64, now: Instant) {
        if let Some(pending) = self.pending.remove(&request) {
            self.last += 1;
            self.pending.insert(self.last, pending);
            self.put_off(self.last, now);
        }
    }

    fn put_off(&mut self, request: u64, now: Instant) {
        if let Some(pending) = self.pending.get_mut(&request) {
            // This attempt is answered: it was not made.
            pending.attempt.maybe_taken = false;
        }
        self.put_off_copy(request, now);
    }

    /// The copy that was sent last was not taken. That tells nothing of those before it.
    fn put_off_copy(&mut self, request: u64, now: Instant) {
        if let Some(pending) = self.pending.get_mut(&request) {
            pending.attempt.put_off(now, self.resend_after);
            self.due.no_later_than(pending.attempt.again_at());
        }
    }
}

impl Pending {
    /// Whether the leader that was asked may have it, by an attempt that is not answered.
    fn may_be_with_leader(&self) -> bool {
        self.attempt.maybe_taken && self.attempt.stage != Stage::Own
    }

    fn is_open(&self) -> bool {
        self.maybe_made || self.attempt.maybe_taken
    }

    fn time_out(self, leader: Option<ServerId>) {
        let open = self.is_open();
        match self.caller {
            Caller::Change(caller) if open => {
                drop(caller.send(Err(MembershipError::Unknown { leader })));
            }
            Caller::Change(caller) => drop(caller.send(Err(match self.unlinked {
                Some(server) => MembershipError::Unreachable(server),
                None => MembershipError::NotLeader { leader },
            }))),
            Caller::Transfer(caller) if open => {
                drop(caller.send(Err(TransferLeadershipError::Unknown { leader })));
            }
            Caller::Transfer(caller) => {
                drop(caller.send(Err(TransferError::NotLeader { leader }.into())));
            }
        }
    }

    fn stop(self, leader: Option<ServerId>) {
        let open = self.is_open();
        match self.caller {
            Caller::Change(caller) => drop(caller.send(Err(match open {
                true => MembershipError::Unknown { leader },
                false => MembershipError::Stopped,
            }))),
            Caller::Transfer(caller) => drop(caller.send(Err(match open {
                true => TransferLeadershipError::Unknown { leader },
                false => TransferLeadershipError::Stopped,
            }))),
        }
    }
}

impl Caller {
    fn busy(self) {
        match self {
            Self::Change(caller) => drop(caller.send(Err(MembershipError::Busy(Busy::OPERATIONS)))),
            Self::Transfer(caller) => {
                drop(caller.send(Err(TransferLeadershipError::Busy(Busy::OPERATIONS))));
            }
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Change(caller) => caller.is_closed(),
            Self::Transfer(caller) => caller.is_closed(),
        }
    }
}

/// Whether a change issues or revokes one token, and nothing else.
fn is_of_token(change: &MembershipChange) -> bool {
    matches!(
        &change.steps[..],
        [MembershipStep::Issue(_) | MembershipStep::Revoke(_)]
    )
}

/// Whether all that a change asks for is so.
fn is_made(change: &MembershipChange, configuration: &Configuration) -> bool {
    let suffrage = |id: &ServerId| configuration.member(*id).and_then(|member| member.suffrage);
    change.steps.iter().all(|step| match step {
        MembershipStep::AddVoter(Addition { id, .. }) => suffrage(id) == Some(Suffrage::Voter),
        MembershipStep::AddLearner(Addition { id, .. }) => suffrage(id) == Some(Suffrage::Learner),
        MembershipStep::Remove(id) | MembershipStep::Evict(id) | MembershipStep::Retire(id) => {
            suffrage(id).is_none()
        }
        MembershipStep::Describe(id, description) => configuration
            .member(*id)
            .is_some_and(|member| member.description == *description),
        MembershipStep::Issue(token) => configuration.token(token.key).is_some(),
        MembershipStep::Revoke(key) => configuration.token(*key).is_none(),
        MembershipStep::RaiseVersion(version) => configuration.version() >= *version,
    })
}

#[cfg(test)]
mod tests;
