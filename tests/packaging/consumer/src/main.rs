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
    let network = MemoryNetwork::new(1);
    let member = |peer| {
        let transport = network
            .attach(ServerId(peer))
            .expect("each peer is attached once");
        Member::builder(ClusterId(1), HighWater::default(), transport)
    };
    let bridge = member(1).first_server().start().await?;
    let (mill, weir) = (member(2).start().await?, member(3).start().await?);
    bridge.add_server(mill.id()).await?;
    bridge.add_server(weir.id()).await?;

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
