//! Asks a member what does not depend on what it replicates.

use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use liferaft::configuration::Suffrage;
use liferaft::{
    ClusterId, Events, Handle, Invitation, MemberStatus, ServerId, StateMachine, Terms,
};
use tokio::sync::watch::Receiver;

use crate::error::Fault;

/// The answer to a call.
pub(crate) type Answering<T> = LocalBoxFuture<'static, Result<T, Fault>>;

/// The deadline of a call; the member's own, if there is none.
pub(crate) type Timeout = Option<Duration>;

/// A member that runs, whatever it replicates.
pub(crate) trait Running {
    fn id(&self) -> ServerId;
    fn cluster(&self) -> ClusterId;
    fn label(&self) -> String;
    fn status(&self) -> Receiver<MemberStatus>;
    fn events(&self) -> Events;
    /// Returns an invitation without a token.
    fn contact(&self) -> Invitation;
    fn joined(&self, timeout: Timeout) -> Answering<Suffrage>;
    fn transfer(&self, to: Option<ServerId>, timeout: Timeout) -> Answering<ServerId>;
    fn remove(&self, server: ServerId, timeout: Timeout) -> Answering<()>;
    fn invite(&self, terms: Terms, timeout: Timeout) -> Answering<Invitation>;
    fn leave(&self, timeout: Timeout) -> Answering<()>;
    fn stop(&self) -> LocalBoxFuture<'static, ()>;
}

/// Returns a handle with this deadline for each call.
pub(crate) fn within<S: StateMachine>(member: &Handle<S>, timeout: Timeout) -> Handle<S> {
    timeout.map_or_else(|| member.clone(), |timeout| member.within(timeout))
}

impl<S: StateMachine> Running for Handle<S> {
    fn id(&self) -> ServerId {
        self.id()
    }

    fn cluster(&self) -> ClusterId {
        self.cluster()
    }

    fn label(&self) -> String {
        self.label().to_owned()
    }

    fn status(&self) -> Receiver<MemberStatus> {
        self.status()
    }

    fn events(&self) -> Events {
        self.events()
    }

    fn contact(&self) -> Invitation {
        self.contact()
    }

    fn joined(&self, timeout: Timeout) -> Answering<Suffrage> {
        let member = within(self, timeout);
        async move { Ok(member.joined().await?) }.boxed_local()
    }

    fn transfer(&self, to: Option<ServerId>, timeout: Timeout) -> Answering<ServerId> {
        let member = within(self, timeout);
        async move { Ok(member.transfer_leadership(to).await?) }.boxed_local()
    }

    fn remove(&self, server: ServerId, timeout: Timeout) -> Answering<()> {
        let member = within(self, timeout);
        async move { Ok(member.remove_server(server).await?) }.boxed_local()
    }

    fn invite(&self, terms: Terms, timeout: Timeout) -> Answering<Invitation> {
        let member = within(self, timeout);
        async move { Ok(member.invite(terms).await?) }.boxed_local()
    }

    fn leave(&self, timeout: Timeout) -> Answering<()> {
        let member = within(self, timeout);
        async move { Ok(member.leave().await?) }.boxed_local()
    }

    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        let member = self.clone();
        async move { member.stop().await }.boxed_local()
    }
}
