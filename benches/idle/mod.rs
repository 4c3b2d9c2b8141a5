//! A state machine that costs nothing.

use bytes::Bytes;
use liferaft::{ApplyContext, Capture, RestoreError, StateMachine};

/// A state machine that has no state.
pub(crate) struct Idle;

impl StateMachine for Idle {
    type Command = (Bytes, Bytes);
    type Reply = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: ApplyContext, _: Self::Command) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self) -> impl Capture {
        Vec::new
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
}
