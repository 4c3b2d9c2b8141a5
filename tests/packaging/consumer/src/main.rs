//! A state machine of an application's own: the highest level that a river has reached.

use liferaft_raft::state_machine::{ApplyContext, RestoreError, StateMachine};

#[derive(Default)]
struct HighWater {
    centimetres: u32,
}

impl StateMachine for HighWater {
    type Command = u32;
    type Reply = bool;
    type Query = ();
    type Answer = u32;

    fn apply(&mut self, _: ApplyContext, measured: u32) -> bool {
        let is_higher = measured > self.centimetres;
        self.centimetres = self.centimetres.max(measured);
        is_higher
    }

    fn query(&self, (): ()) -> u32 {
        self.centimetres
    }

    fn snapshot(&self) -> impl FnOnce() -> Vec<u8> + Send + 'static {
        let centimetres = self.centimetres;
        move || centimetres.to_be_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.centimetres = u32::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

fn main() {
    let original = HighWater { centimetres: 412 };
    let mut copy = HighWater::default();

    copy.restore(&original.snapshot()()).expect("it is a snapshot");

    assert_eq!(copy.query(()), 412);
    println!("highest level: {} cm", copy.query(()));
}
