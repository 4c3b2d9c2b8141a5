//! A state machine that shows what was applied, in which order and how often.

use std::sync::{Arc, Condvar, Mutex};

use liferaft_raft::state_machine::{ApplyContext, Capture, RestoreError, StateMachine};

/// Keeps every number it is given. Its replies say how many it has.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    numbers: Vec<u64>,
    /// What may hold up the application of a command.
    brake: Option<Brake>,
    /// What may hold up the encoding of snapshots, and the way back from them.
    snapshot_brake: Brake,
}

/// Blocks the thread that it is on, as a state machine that takes its time would, until it is let go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brake(Arc<(Mutex<Braking>, Condvar)>);

#[derive(Debug, Default)]
struct Braking {
    on: bool,
    /// Whether somebody is being held up.
    holds: bool,
}

impl Brake {
    /// Whoever passes from now on is held up.
    pub(crate) fn set(&self) {
        self.change(|braking| braking.on = true);
    }

    /// Lets everybody pass.
    pub(crate) fn release(&self) {
        self.change(|braking| braking.on = false);
    }

    /// Whether somebody is being held up.
    pub(crate) fn holds(&self) -> bool {
        let (braking, _) = &*self.0;
        braking.lock().unwrap().holds
    }

    fn pass(&self) {
        let (braking, changed) = &*self.0;
        let mut braking = braking.lock().unwrap();
        while braking.on {
            braking.holds = true;
            braking = changed.wait(braking).unwrap();
        }
        braking.holds = false;
    }

    fn change(&self, change: impl FnOnce(&mut Braking)) {
        let (braking, changed) = &*self.0;
        change(&mut braking.lock().unwrap());
        changed.notify_all();
    }
}

impl Journal {
    pub(crate) fn with_brake(brake: &Brake) -> Self {
        Self {
            brake: Some(brake.clone()),
            ..Self::default()
        }
    }

    pub(crate) fn with_snapshot_brake(brake: &Brake) -> Self {
        Self {
            snapshot_brake: brake.clone(),
            ..Self::default()
        }
    }
}

impl StateMachine for Journal {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, _: ApplyContext, number: u64) -> u64 {
        if let Some(brake) = &self.brake {
            brake.pass();
        }
        self.numbers.push(number);
        self.numbers.len() as u64
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.numbers.clone()
    }

    fn snapshot(&self) -> impl Capture {
        let numbers = self.numbers.clone();
        let brake = self.snapshot_brake.clone();
        move || {
            brake.pass();
            numbers
                .iter()
                .flat_map(|number| number.to_be_bytes())
                .collect()
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.snapshot_brake.pass();
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
