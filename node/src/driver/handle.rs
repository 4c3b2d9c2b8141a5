//! Gives callers a handle on their member.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use liferaft_platform as platform;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::budget::{Budget, CommandBytes};
use super::error::{
    Busy, LeaveError, MembershipError, OnlyVoter, ProposeError, ReadError, ShutdownError,
    StopReason, TransferLeadershipError, UnknownCause, WaitError,
};
use super::events::{Entrance, Events};
use super::joining::Exclusion;
use super::local::{Bound, Local, LocalRead, Unread};
use super::request::{Read, ReadCaller, Request};
use super::status::{MemberStatus, wait_until};
use crate::codec;
use crate::config::Timing;
use crate::configuration::{Address, PublicKey, Suffrage};
use crate::consensus::{MembershipChange, TransferError};
use crate::ids::{ClusterId, Index, ServerId};
use crate::sessions::HEADER_BYTES;
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// A running member of a cluster. Clones are handles of the same member, which stops when the last one is dropped, at
/// once and without a word to the others: [`shutdown`](Self::shutdown) is the polite way.
///
/// Every call works on every member, whether it leads or not, and is answered at its deadline at the latest: the
/// member's request timeout, or what [`within`](Self::within) says.
///
/// A call may be dropped before it is answered. What it asked may then still be done, or not, as when its answer is
/// unknown; it is no longer waited for nor sent again.
pub struct Handle<S: StateMachine> {
    shared: Arc<Shared<S>>,
    timeout: Duration,
}

pub(super) struct Shared<S: StateMachine> {
    pub(super) id: ServerId,
    pub(super) public_key: PublicKey,
    /// Where others reach it, as it was told.
    pub(super) addresses: Vec<Address>,
    pub(super) label: Arc<str>,
    pub(super) cluster: ClusterId,
    pub(super) requests: mpsc::Sender<Request<S>>,
    pub(super) status: watch::Receiver<MemberStatus>,
    pub(super) events: Entrance,
    pub(super) budget: Arc<Budget>,
    pub(super) command_bytes_max: Arc<CommandBytes>,
    /// How many voters the member's own policy wants; none if it has no policy.
    pub(super) voters_wanted: Option<usize>,
}

/// A change is asked for again after so long, while something is in its way that passes.
const CHANGE_AGAIN: Duration = Duration::from_millis(50);

/// Returns true for what stands in the way of a change for a while, and changed nothing.
const fn passes(error: &MembershipError) -> bool {
    matches!(
        error,
        MembershipError::Pending
            | MembershipError::Busy(_)
            | MembershipError::Unreachable(_)
            | MembershipError::TooSlow(_)
    )
}

impl<S: StateMachine> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            timeout: self.timeout,
        }
    }
}

impl<S: StateMachine> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("cluster", &self.shared.cluster)
            .field("id", &self.shared.id)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl<S: StateMachine> Handle<S> {
    pub(super) fn new(shared: Shared<S>, timeout: Duration) -> Self {
        Self {
            shared: Arc::new(shared),
            timeout,
        }
    }

    /// The member's server.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.shared.id
    }

    /// Returns the key that the server proves itself by, of which its id is the digest.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.shared.public_key
    }

    /// Returns where others reach it, as its [builder](super::MemberBuilder::addresses) was told.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.shared.addresses
    }

    /// What people [call](super::MemberBuilder::label) it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    /// Its cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.shared.cluster
    }

    /// The same member with another deadline for each call: this long after it is made.
    ///
    /// It is a handle like any clone: the member runs as long as it is kept.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// What the member tells of itself, to look at or to wait for a change of.
    ///
    /// The channel closes when the member has stopped; its last value says why.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<MemberStatus> {
        self.shared.status.clone()
    }

    /// Waits until the member's status is as wanted, and returns it: at once if it is. The status is brought up to date
    /// when its role, term, leader or configuration changes, and at most once each heartbeat otherwise.
    ///
    /// ```
    /// # mod liferaft { pub use {liferaft_node::*, liferaft_raft::*}; }
    /// # use liferaft::driver::{Handle, WaitError};
    /// # use liferaft::state_machine::StateMachine;
    /// # async fn led<S: StateMachine>(member: Handle<S>) -> Result<(), WaitError> {
    /// let status = member.wait_for(|status| status.leader().is_some()).await?;
    /// println!("server {:?} leads in term {}", status.leader(), status.term());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`WaitError::TimedOut`] at the deadline of this handle, [`WaitError::Stopped`] if the member stops before.
    pub async fn wait_for(
        &self,
        wanted: impl FnMut(&MemberStatus) -> bool,
    ) -> Result<MemberStatus, WaitError> {
        let stopped = || self.why_stopped();
        wait_until(self.deadline(), self.status(), wanted, stopped).await
    }

    /// Waits until the member takes part in its cluster, and returns what its voice counts for: until it knows a
    /// leader, and a committed configuration that names it, as a voter, or as the learner that it is to be. It is to be
    /// one if there are as many voters as its own [membership policy](super::MemberBuilder::membership) wants, or if it
    /// has none and an operator made it one.
    ///
    /// What was done before on a cluster of fewer voters is safe on those alone. A member that comes back over its
    /// storage goes by what it knows: it may have been evicted since.
    ///
    /// A newcomer becomes a voter when all voters answer. If one of them is dead, as the server is that this one was
    /// before its storage was lost, that takes until the dead one is evicted:
    /// [`evict_after`](crate::policy::MembershipPolicy::with_evict_after), 10 s by default, which is also the deadline
    /// of a handle by default. Who starts after such a loss waits [longer](Self::within).
    ///
    /// # Errors
    /// [`WaitError::NotJoined`] at the deadline of this handle, with what the member waits for, or
    /// [`WaitError::Excluded`] if it was told why it takes no part; [`WaitError::Stopped`] if it stops before.
    pub async fn joined(&self) -> Result<Suffrage, WaitError> {
        let (id, voters_wanted) = (self.id(), self.shared.voters_wanted);
        let joined = |status: &MemberStatus| status.joined(id, voters_wanted);
        let waited = self.wait_for(|status| joined(status).is_ok()).await;
        match (waited, self.exclusion()) {
            (Err(WaitError::TimedOut), Some(why)) => Err(WaitError::Excluded(why)),
            (Err(WaitError::TimedOut), None) => {
                joined(&self.shared.status.borrow()).map_err(WaitError::NotJoined)
            }
            (Err(error), _) => Err(error),
            (Ok(status), _) => joined(&status).map_err(WaitError::NotJoined),
        }
    }

    /// What happens to the member from here on: changes of role, leader and membership, snapshots, links, refusals,
    /// failures, and why it stops.
    ///
    /// Whoever does not keep up is told how many events were [`Missed`](super::Missed). What must not be missed is in
    /// [`status`](Self::status).
    #[must_use]
    pub fn events(&self) -> Events {
        Events::through(&self.shared.events)
    }

    /// Has a command applied, exactly once, and returns its reply, once this member has applied it too.
    ///
    /// # Errors
    /// [`ProposeError::Unknown`] when the command may or may not be done, and [`ProposeError::ReplyUnreadable`] when it
    /// is done; all others mean that it was not done and never will be. Proposing again after an unknown outcome may do
    /// the command twice.
    pub async fn propose(&self, command: S::Command) -> Result<S::Reply, ProposeError> {
        let command = codec::encode_checked(vec![0; HEADER_BYTES], &command)
            .map_err(|error| ProposeError::Unserialisable(error.to_string()))?;
        let (bytes, bytes_max) = (command.len(), self.shared.command_bytes_max.max());
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes, bytes_max });
        }
        if !self.shared.budget.take(bytes) {
            return Err(ProposeError::Busy(Busy::COMMAND_BYTES));
        }
        let (caller, outcome) = oneshot::channel();
        let request = Request::Propose {
            command,
            deadline: self.deadline(),
            caller,
        };
        if let Err(refused) = self.shared.requests.try_send(request) {
            self.shared.budget.release(bytes);
            return Err(match refused {
                TrySendError::Full(_) => ProposeError::Busy(Busy::REQUESTS),
                TrySendError::Closed(_) => ProposeError::Stopped,
            });
        }
        let unheard = Err(ProposeError::Unknown(UnknownCause::MemberStopped));
        self.heard(outcome)
            .await
            .unwrap_or(unheard)
            .map_err(|error| match (error, self.exclusion()) {
                (ProposeError::TimedOut, Some(why)) => ProposeError::Excluded(why),
                (error, _) => error,
            })
    }

    /// Asks the state machine, linearizably: the answer reflects every command that was done, anywhere in the cluster,
    /// before the read was asked.
    ///
    /// # Errors
    /// See [`ReadError`]. A read changes nothing and can be repeated.
    pub async fn read(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        let (caller, answer) = oneshot::channel();
        let request = Request::Read(Read {
            query,
            not_before: Index::ZERO,
            deadline: self.deadline(),
            caller: ReadCaller::Linearizable(caller),
        });
        match self.shared.requests.try_send(request) {
            Ok(()) => {
                let answer = self.heard(answer).await;
                let answer = answer.unwrap_or(Err(ReadError::Stopped));
                answer.map_err(|error| self.with_reason(error))
            }
            Err(TrySendError::Full(_)) => Err(ReadError::Busy(Busy::REQUESTS)),
            Err(TrySendError::Closed(_)) => Err(ReadError::Stopped),
        }
    }

    /// Asks this member's own state at once, however old it may be, and says how old it may be:
    /// [`Local::age`](super::Local::age), which counts from before the leader spoke and not from when it was heard.
    ///
    /// # Errors
    /// See [`ReadError`]; it does not time out.
    pub async fn read_local(&self, query: S::Query) -> Result<Local<S::Answer>, ReadError> {
        match self.ask_local(query, None).await {
            Ok(local) => Ok(local),
            Err(Unread::Error(error)) => Err(error),
            Err(Unread::TooOld(_)) => unreachable!("no age is too high for a read without a bound"),
        }
    }

    /// Asks this member's own state if it is at most so old, and otherwise waits until it is known to be: the leader is
    /// asked, as by [`read`](Self::read), which makes it as young as the call. A bound of four heartbeat intervals is
    /// nearly always met at once on a member that hears its leader, one of less than two on hardly any follower of a
    /// quiet cluster (see [`Local::age`](super::Local::age)); a bound of zero is a linearizable read that says its age.
    ///
    /// The answer is never older than the bound, unless the leader had to be asked and took longer than that to answer:
    /// then it reflects all that was done before the call.
    ///
    /// # Errors
    /// [`ReadError::TimedOut`] if no state young enough was to be had before the deadline; see [`ReadError`].
    pub async fn read_local_within(
        &self,
        query: S::Query,
        age_max: Duration,
    ) -> Result<Local<S::Answer>, ReadError> {
        let deadline = self.deadline();
        let bound = |anew| Bound {
            age_max,
            deadline,
            anew,
        };
        let query = match self.ask_local(query, Some(bound(false))).await {
            Ok(local) => return Ok(local),
            Err(Unread::Error(error)) => return Err(error),
            Err(Unread::TooOld(query)) => query,
        };
        match self.ask_local(query, Some(bound(true))).await {
            Ok(local) => Ok(local),
            Err(Unread::Error(error)) => Err(self.with_reason(error)),
            Err(Unread::TooOld(_)) => {
                unreachable!("a state made young for the call is not too old for it")
            }
        }
    }

    /// Makes a server a voter: its log catches up first, and the call returns when the configuration with it is
    /// committed. A learner is promoted.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_server(&self, id: ServerId) -> Result<(), MembershipError> {
        self.change_membership(MembershipChange::add_voter(id))
            .await
    }

    /// Makes a server a learner, which receives the log and has no vote. A voter is demoted.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, id: ServerId) -> Result<(), MembershipError> {
        self.change_membership(MembershipChange::add_learner(id))
            .await
    }

    /// Removes a server, and returns when the configuration without it is committed. A leader may be removed: it leads
    /// until then and steps down.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove_server(&self, id: ServerId) -> Result<(), MembershipError> {
        self.change_membership(MembershipChange::remove(id)).await
    }

    /// Makes several changes as one: all of them or none. Returns when the configuration is committed, and not joint.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_membership(&self, change: MembershipChange) -> Result<(), MembershipError> {
        self.change_by(change, self.deadline()).await
    }

    /// Has the membership changed, and asks again while something is in the way that passes, such as a change that the
    /// membership policy has begun.
    pub(super) async fn change_in_turn(
        &self,
        change: MembershipChange,
    ) -> Result<(), MembershipError> {
        let deadline = self.deadline();
        loop {
            let changed = self.change_by(change.clone(), deadline).await;
            let again_at = Instant::from_origin(platform::now()) + CHANGE_AGAIN;
            match changed {
                Err(error) if again_at < deadline && passes(&error) => {
                    platform::sleep_until(again_at.since_origin()).await;
                }
                changed => return changed,
            }
        }
    }

    async fn change_by(
        &self,
        change: MembershipChange,
        deadline: Instant,
    ) -> Result<(), MembershipError> {
        let (caller, outcome) = oneshot::channel();
        let request = Request::Change {
            change,
            deadline,
            caller,
        };
        match self.shared.requests.try_send(request) {
            Ok(()) => {
                let outcome = self.heard(outcome).await;
                let outcome = outcome.unwrap_or(Err(MembershipError::Unknown { leader: None }));
                outcome.map_err(|error| match (error, self.exclusion()) {
                    (MembershipError::NotLeader { leader: None }, Some(why)) => {
                        MembershipError::Excluded(why)
                    }
                    (error, _) => error,
                })
            }
            Err(TrySendError::Full(_)) => Err(MembershipError::Busy(Busy::REQUESTS)),
            Err(TrySendError::Closed(_)) => Err(MembershipError::Stopped),
        }
    }

    /// Has the leader hand over to this voter, or to the most up-to-date one, and returns the server that it was handed
    /// to.
    ///
    /// # Errors
    /// See [`TransferLeadershipError`].
    pub async fn transfer_leadership(
        &self,
        to: Option<ServerId>,
    ) -> Result<ServerId, TransferLeadershipError> {
        let (caller, outcome) = oneshot::channel();
        let request = Request::Transfer {
            to,
            deadline: self.deadline(),
            caller,
        };
        match self.shared.requests.try_send(request) {
            Ok(()) => {
                let outcome = self.heard(outcome).await;
                let unheard = Err(TransferLeadershipError::Unknown { leader: None });
                outcome
                    .unwrap_or(unheard)
                    .map_err(|error| match (error, self.exclusion()) {
                        (
                            TransferLeadershipError::Transfer(TransferError::NotLeader {
                                leader: None,
                            }),
                            Some(why),
                        ) => TransferLeadershipError::Excluded(why),
                        (error, _) => error,
                    })
            }
            Err(TrySendError::Full(_)) => Err(TransferLeadershipError::Busy(Busy::REQUESTS)),
            Err(TrySendError::Closed(_)) => Err(TransferLeadershipError::Stopped),
        }
    }

    /// Changes this member's election timeout and heartbeat interval while it runs. Members need not agree on them, but
    /// a leader's heartbeats must come well within the others' election timeouts.
    ///
    /// Waits for room in the request queue, and does nothing if the member has stopped.
    pub async fn set_timing(&self, timing: Timing) {
        drop(self.shared.requests.send(Request::SetTiming(timing)).await);
    }

    /// Takes the member out of its cluster, and stops it. The vote of a voter goes to a learner whose log has caught
    /// up, if there is one, in the same change; a leader hands leadership over. A server that leaves so may join again;
    /// it is [removed](Self::remove_server) by nobody.
    ///
    /// A member that is asked to leave does not ask to be taken in any more, whatever comes of it. If the call is
    /// dropped the member may have left, or not, and runs on. While those who would stay could not go on without it,
    /// because too few of them answer, it stays.
    ///
    /// # Errors
    /// See [`LeaveError`]: the member runs on.
    pub async fn leave(&self) -> Result<(), LeaveError> {
        let (id, deadline) = (self.id(), self.deadline());
        // A full queue delays this; a closed one means that the member has stopped, or is about to have.
        let (caller, heard) = oneshot::channel();
        drop(self.shared.requests.send(Request::Leave(caller)).await);
        // A member that has heard it has said in its status what it began with.
        let _stopped = heard.await;
        let mut in_the_way = None;
        loop {
            let (takes_part, only) = {
                let status = self.shared.status.borrow();
                let configuration = &status.raft.configuration;
                let only = OnlyVoter::of(id, configuration, status.raft.commit);
                (configuration.contains(id), only)
            };
            let left = match only {
                _ if !takes_part => break,
                Some(only) if only.others == 0 => return Err(LeaveError::OnlyVoter(only)),
                Some(_) | None => self.take_out(id, deadline).await,
            };
            let now = Instant::from_origin(platform::now());
            match left {
                Ok(()) | Err(MembershipError::NotMember(_)) => break,
                Err(error) if now < deadline && passes(&error) => {
                    in_the_way = Some(error);
                    platform::sleep_until((now + CHANGE_AGAIN).min(deadline).since_origin()).await;
                }
                Err(error) => {
                    return Err(match (only, error) {
                        (Some(only), MembershipError::Invalid(_)) => LeaveError::OnlyVoter(only),
                        // There was no time left to ask once more.
                        (_, MembershipError::NotLeader { leader }) => LeaveError::Change(
                            in_the_way.unwrap_or(MembershipError::NotLeader { leader }),
                        ),
                        (_, error) => LeaveError::Change(error),
                    });
                }
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Has this server taken out. Its own log may say that it is out where no answer comes: the leader may close its
    /// link with whom the configuration does not name.
    async fn take_out(&self, id: ServerId, deadline: Instant) -> Result<(), MembershipError> {
        let is_out = |status: &MemberStatus| {
            let raft = &status.raft;
            raft.configuration_index <= raft.commit && !raft.configuration.contains(id)
        };
        let answered = pin!(self.change_by(MembershipChange::evict(id), deadline));
        let out = pin!(self.wait_for(is_out));
        match select(answered, out).await {
            Either::Left((answered, _)) => answered,
            Either::Right((Ok(_), _)) => Ok(()),
            Either::Right((Err(_), answered)) => answered.await,
        }
    }

    /// Stops the member, which stays in the configuration. If it leads, it hands leadership over first, for two
    /// election timeouts at most. Returns when it has stopped; calls that are pending then are answered *stopped*, or
    /// *unknown* if they were sent.
    ///
    /// Once begun it goes on, even if the call is dropped.
    ///
    /// # Errors
    /// [`ShutdownError::OnlyVoter`] if nobody could take over: the member runs on. See [`stop`](Self::stop).
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let (caller, refused) = oneshot::channel();
        self.ask_to_stop(Some(caller)).await;
        // Nobody is told anything by a member that stops.
        if let Ok(error) = refused.await {
            return Err(error);
        }
        self.stopped().await;
        Ok(())
    }

    /// Stops the member as [`shutdown`](Self::shutdown) does, also if it is the only voter: what its storage does not
    /// keep is lost with it. When it returns the storage is closed: its folder can be opened again, which takes a while
    /// after the last handle is dropped. Only a disk that hangs for longer than
    /// [`storage_stalls_after`](super::MemberBuilder::storage_stalls_after) is closed later, once it goes on.
    pub async fn stop(&self) {
        self.ask_to_stop(None).await;
        self.stopped().await;
    }

    async fn ask_to_stop(&self, caller: Option<oneshot::Sender<ShutdownError>>) {
        // A full queue delays this; a closed one means that the member has stopped, or is about to have.
        drop(self.shared.requests.send(Request::Shutdown(caller)).await);
    }

    /// Returns when the member has stopped, and its transport and its storage are closed.
    async fn stopped(&self) {
        let mut status = self.shared.status.clone();
        while status.changed().await.is_ok() {}
    }

    /// Returns the member's answer. A member answers all callers when it stops; one that panicked, or ended with its
    /// runtime, does not: `None` once its status says so, and nobody knows how far it got.
    async fn heard<T>(&self, answer: oneshot::Receiver<T>) -> Option<T> {
        if let Ok(answer) = answer.await {
            return Some(answer);
        }
        drop(self.wait_for(|status| status.stopped.is_some()).await);
        None
    }

    /// Why the member takes no part, as it was told last.
    fn exclusion(&self) -> Option<Exclusion> {
        self.shared.status.borrow().exclusion
    }

    /// A read that timed out, with the reason if the member takes no part.
    fn with_reason(&self, error: ReadError) -> ReadError {
        match (error, self.exclusion()) {
            (ReadError::TimedOut, Some(why)) => ReadError::Excluded(why),
            (error, _) => error,
        }
    }

    /// Why the member stopped, once the channel of its status is closed.
    fn why_stopped(&self) -> StopReason {
        let status = self.shared.status.borrow();
        // The last value says why.
        status.stopped.clone().unwrap_or(StopReason::RuntimeEnded)
    }

    pub(super) fn shared(&self) -> &Shared<S> {
        &self.shared
    }

    fn deadline(&self) -> Instant {
        Instant::from_origin(platform::now()) + self.timeout
    }

    async fn ask_local(
        &self,
        query: S::Query,
        bound: Option<Bound>,
    ) -> Result<Local<S::Answer>, Unread<S::Query>> {
        let (caller, answer) = oneshot::channel();
        let request = Request::ReadLocal(LocalRead {
            query,
            bound,
            caller,
        });
        let error = match self.shared.requests.try_send(request) {
            Ok(()) => match self.heard(answer).await {
                Some(result) => return result,
                None => ReadError::Stopped,
            },
            Err(TrySendError::Full(_)) => ReadError::Busy(Busy::REQUESTS),
            Err(TrySendError::Closed(_)) => ReadError::Stopped,
        };
        Err(Unread::Error(error))
    }
}
