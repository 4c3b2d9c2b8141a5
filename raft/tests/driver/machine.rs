//! A state machine that shows what was applied, in which order and how often.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use liferaft_raft::state_machine::{ApplyContext, RestoreError, StateMachine};

/// Keeps every number it is given. Its replies say how many it has.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    numbers: Vec<u64>,
    /// What blocks each application of a command: see [`Brake`].
    brake: Option<Brake>,
}

/// Blocks the thread of the applier as a slow state machine would, on a clock that stands still for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brake(Arc<Mutex<Duration>>);

impl Brake {
    pub(crate) fn set(&self, pause: Duration) {
        *self.0.lock().unwrap() = pause;
    }
}

impl Journal {
    pub(crate) fn with_brake(brake: &Brake) -> Self {
        Self {
            numbers: Vec::new(),
            brake: Some(brake.clone()),
        }
    }
}

impl StateMachine for Journal {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, _: ApplyContext, number: u64) -> u64 {
        if let Some(Brake(pause)) = &self.brake {
            std::thread::sleep(*pause.lock().unwrap());
        }
        self.numbers.push(number);
        self.numbers.len() as u64
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.numbers.clone()
    }

    fn snapshot(&self) -> impl FnOnce() -> Vec<u8> + Send + 'static {
        let numbers = self.numbers.clone();
        move || {
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        let (numbers, rest) = state.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(RestoreError::new("half a number is left"));
        }
        self.numbers = numbers
            .iter()
            .map(|number| u64::from_be_bytes(*number))
            .collect();
        Ok(())
    }
}
