//! Lets a client operate the cluster: change who is a member, who leads and who is invited, as a member's own handle
//! does.
//!
//! The leader is asked in the same words as members ask it, and keeps its answers for a while as it does for them, so
//! that an answer that was lost is told again and a false no is never heard. Only an invitation
//! [for that](crate::driver::Terms::operating) lets a client do so.

use liferaft_transport::invitation::Invitation;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::reports::Waiting;
use super::task::Call;
use super::{Client, ClientStatus};
use crate::configuration::TokenKey;
use crate::consensus::{MembershipChange, TransferError};
use crate::driver::error::{Busy, MembershipError, ReadError, StopReason, TransferLeadershipError};
use crate::driver::invite::{NewInvitation, Terms};
use crate::driver::operations::{Caller, Operation};
use crate::driver::status::wait_until;
use crate::ids::ServerId;
use crate::state_machine::StateMachine;
use crate::wire::Report;

impl<S: StateMachine> Client<S> {
    /// Makes several changes of membership as one: all of them or none. Returns when the configuration is committed,
    /// and not joint.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn change_membership(&self, change: MembershipChange) -> Result<(), MembershipError> {
        let (caller, outcome) = oneshot::channel();
        let call = Call::Operate {
            operation: Operation::Change(change),
            deadline: self.deadline(),
            caller: Caller::Change(caller),
        };
        match self.shared.calls.try_send(call) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(MembershipError::Busy(Busy::REQUESTS)),
            Err(TrySendError::Closed(_)) => return Err(MembershipError::Stopped),
        }
        let unheard = Err(MembershipError::Unknown { leader: None });
        let outcome = outcome.await.unwrap_or(unheard);
        outcome.map_err(|error| match (error, self.unreached()) {
            (MembershipError::NotLeader { .. }, Some(why)) => MembershipError::Unreached(why),
            (error, _) => error,
        })
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
        let deadline = self.deadline();
        let (caller, outcome) = oneshot::channel();
        let call = Call::Operate {
            operation: Operation::Transfer(to),
            deadline,
            caller: Caller::Transfer(caller),
        };
        match self.shared.calls.try_send(call) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(TransferLeadershipError::Busy(Busy::REQUESTS));
            }
            Err(TrySendError::Closed(_)) => return Err(TransferLeadershipError::Stopped),
        }
        let unheard = Err(TransferLeadershipError::Unknown { leader: None });
        let outcome = outcome.await.unwrap_or(unheard);
        // Who was to take over still may: whether it leads is heard of before the deadline.
        if let Err(TransferLeadershipError::Transfer(TransferError::NoTakeover(to))) = outcome {
            let leads = |status: &ClientStatus| status.leader == Some(to);
            let stopped = || StopReason::TransportClosed;
            let led = wait_until(deadline, self.status(), leads, stopped).await;
            return led.map(|_| to).or(outcome);
        }
        outcome.map_err(|error| match (error, self.unreached()) {
            (TransferLeadershipError::Transfer(TransferError::NotLeader { .. }), Some(why)) => {
                TransferLeadershipError::Unreached(why)
            }
            (error, _) => error,
        })
    }

    /// Invites to the cluster, as [`Handle::invite`](crate::driver::Handle::invite) does.
    ///
    /// # Errors
    /// See [`MembershipError`]. A token that was issued although that is not known expires as it was to.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    pub async fn invite(&self, terms: Terms) -> Result<Invitation, MembershipError> {
        let NewInvitation { token, issue } = NewInvitation::draw(terms);
        self.change_membership(issue).await?;
        let (caller, contact) = oneshot::channel();
        // Without a contact nobody can use the token.
        let lost = |_| MembershipError::Stopped;
        let asked = self.shared.calls.send(Call::Contact(caller)).await;
        asked.map_err(|_| MembershipError::Stopped)?;
        Ok(contact.await.map_err(lost)?.with_token(token))
    }

    /// Returns where a member stands, by its own word: whether it leads or not.
    ///
    /// # Errors
    /// See [`ReadError`]. A client has links to eight members at most: of more they take turns, those that are asked
    /// first.
    pub async fn report(&self, server: ServerId) -> Result<Report, ReadError> {
        let (caller, report) = oneshot::channel();
        let call = Call::Report(Waiting {
            server,
            deadline: self.deadline(),
            caller,
        });
        match self.shared.calls.try_send(call) {
            Ok(()) => report.await.unwrap_or(Err(ReadError::Stopped)),
            Err(TrySendError::Full(_)) => Err(ReadError::Busy(Busy::REQUESTS)),
            Err(TrySendError::Closed(_)) => Err(ReadError::Stopped),
        }
    }

    /// Takes the token of an invitation back, as [`Handle::revoke`](crate::driver::Handle::revoke) does.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn revoke(&self, token: TokenKey) -> Result<(), MembershipError> {
        self.change_membership(MembershipChange::revoke(token))
            .await
    }
}
