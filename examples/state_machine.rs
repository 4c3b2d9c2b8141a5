//! A state machine of your own, replicated on three members: blankets in depots, handed out only while there are any.

use std::collections::BTreeMap;
use std::error::Error;

use liferaft::codec::{decode, encode};
use liferaft::{
    ApplyContext, Capture, Member, MemoryNetwork, MemoryStorage, RestoreError, StateMachine,
    Storage,
};

/// How many blankets each depot has.
#[derive(Default)]
struct Blankets(BTreeMap<String, u32>);

impl StateMachine for Blankets {
    /// A depot, and how many blankets are brought or, below zero, taken.
    type Command = (String, i32);
    /// How many there are then; as an error, how many there are instead of enough.
    type Reply = Result<u32, u32>;
    type Query = String;
    type Answer = u32;

    fn apply(&mut self, _: ApplyContext, (depot, change): (String, i32)) -> Result<u32, u32> {
        let blankets = self.0.entry(depot).or_default();
        *blankets = blankets.checked_add_signed(change).ok_or(*blankets)?;
        Ok(*blankets)
    }

    fn query(&self, depot: String) -> u32 {
        self.0.get(&depot).copied().unwrap_or_default()
    }

    fn snapshot(&self) -> impl Capture {
        let blankets = self.0.clone();
        move || encode(&blankets).expect("a map of numbers can be encoded")
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.0 = decode(state).map_err(RestoreError::new)?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let network = MemoryNetwork::new(1);
    // A storage says which server it is of. In memory it ends with the program: each run is of other servers.
    let member = |label, storage: MemoryStorage| {
        let transport = network.connect(storage.identity().clone());
        let transport = transport.expect("no two storages are of one server");
        Member::builder(Blankets::default(), transport, storage).label(label)
    };
    let mut founder = MemoryStorage::default();
    let cluster = Member::found(&mut founder).await?;
    let ada = member("ada", founder).start().await?;
    let bob = member("bob", MemoryStorage::default()).join(cluster, ada.id());
    let bob = bob.start().await?;
    let eve = member("eve", MemoryStorage::default()).join(cluster, bob.id());
    let eve = eve.start().await?;
    bob.joined().await?;
    eve.joined().await?;

    let brought = ada.propose(("school".into(), 40)).await?;
    let taken = bob.propose(("school".into(), -25)).await?;
    let too_many = eve.propose(("school".into(), -25)).await?;
    println!("ada brings 40: {brought:?}, bob takes 25: {taken:?}, eve takes 25: {too_many:?}");
    assert_eq!((brought, taken, too_many), (Ok(40), Ok(15), Err(15)));

    for member in [&ada, &bob, &eve] {
        let blankets = member.read("school".into()).await?;
        println!("{} answers that the school has {blankets}", member.label());
        assert_eq!(blankets, 15);
    }
    Ok(())
}
