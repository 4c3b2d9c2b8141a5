//! A state machine of an application's own, on a cluster of three: the highest level that a river has reached.

use std::error::Error;

use liferaft::{
    ApplyContext, Capture, ClusterId, Member, MemoryNetwork, RestoreError, ServerId, StateMachine,
};

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

    fn snapshot(&self) -> impl Capture {
        let centimetres = self.centimetres;
        move || centimetres.to_be_bytes().to_vec()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.centimetres = u32::from_be_bytes(state.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (cluster, network) = (ClusterId::random(), MemoryNetwork::new(1));
    // An id belongs to the storage of its member. In memory that ends with the program: each run draws other ids.
    let member = || {
        let transport = network
            .attach(ServerId::random())
            .expect("ids that are drawn differ");
        Member::builder(cluster, HighWater::default(), transport)
    };
    let bridge = member().first_server().start().await?;
    let mill = member().join(bridge.id()).start().await?;
    let weir = member().join(mill.id()).start().await?;
    mill.joined().await?;
    weir.joined().await?;

    assert!(bridge.propose(412).await?, "the first is the highest");
    assert!(
        !mill.propose(390).await?,
        "what the bridge measured is known at the mill"
    );
    for member in [&bridge, &mill, &weir] {
        assert_eq!(member.read(()).await?, 412);
    }
    println!("highest level: {} cm", weir.read(()).await?);
    Ok(())
}
