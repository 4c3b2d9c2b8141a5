//! A state machine for the tests of this module's parts.

use crate::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};

/// Remembers every command, and answers how many there are.
#[derive(Debug, Default)]
pub(super) struct Log(pub(super) Vec<u64>);

impl StateMachine for Log {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, _: ApplyContext, command: u64) -> u64 {
        self.0.push(command);
        self.0.len() as u64
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self) -> impl Capture {
        let state = self.0.clone();
        move || postcard::to_allocvec(&state).expect("numbers can be serialised")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.0 = postcard::from_bytes(state).map_err(RestoreError::new)?;
        Ok(())
    }
}
