//! Defines the calls that a member's handle and a client share, for what is written over either.

use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::{ProposeError, ReadError};
use super::handle::Handle;
use crate::state_machine::StateMachine;

/// What has commands of a state machine applied and asks queries of it: a member's [`Handle`], or a [`Client`].
pub trait Calls<S: StateMachine>: Clone + Send + Sync + 'static {
    /// Has a command applied, exactly once, and returns its reply.
    ///
    /// # Errors
    /// Those of [`Handle::propose`].
    fn propose(
        &self,
        command: S::Command,
    ) -> impl Future<Output = Result<S::Reply, ProposeError>> + Send;

    /// Asks the state machine, linearizably.
    ///
    /// # Errors
    /// Those of [`Handle::read`].
    fn read(&self, query: S::Query) -> impl Future<Output = Result<S::Answer, ReadError>> + Send;

    /// The same with another deadline for each call: this long after it is made.
    #[must_use]
    fn within(&self, timeout: Duration) -> Self;
}

impl<S: StateMachine> Calls<S> for Handle<S> {
    async fn propose(&self, command: S::Command) -> Result<S::Reply, ProposeError> {
        Self::propose(self, command).await
    }

    async fn read(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        Self::read(self, query).await
    }

    fn within(&self, timeout: Duration) -> Self {
        Self::within(self, timeout)
    }
}

impl<S: StateMachine> Calls<S> for Client<S>
where
    S::Query: Serialize,
    S::Answer: DeserializeOwned,
{
    async fn propose(&self, command: S::Command) -> Result<S::Reply, ProposeError> {
        Self::propose(self, command).await
    }

    async fn read(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        Self::read(self, query).await
    }

    fn within(&self, timeout: Duration) -> Self {
        Self::within(self, timeout)
    }
}
