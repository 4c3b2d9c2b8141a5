//! An application as a newcomer writes it, by the README and the documentation alone.

#![cfg(test)]

mod bank;
mod errors;
mod kv;
mod udp;

use std::error::Error;

use liferaft::{
    Handle, Member, MemberBuilder, MemoryNetwork, MemoryStorage, StateMachine, Storage,
};

type Outcome = Result<(), Box<dyn Error>>;

/// Members over one network in memory.
struct Site {
    network: MemoryNetwork,
}

impl Site {
    fn new() -> Self {
        Self {
            network: MemoryNetwork::new(1),
        }
    }

    /// A member over this storage.
    fn member_on<S: StateMachine + Default>(&self, storage: MemoryStorage) -> MemberBuilder<S> {
        let transport = self.network.attach(storage.identity().id());
        let transport = transport.expect("no two storages are of one server");
        Member::builder(S::default(), transport, storage)
    }

    /// A member that was never there before.
    fn member<S: StateMachine + Default>(&self) -> MemberBuilder<S> {
        self.member_on(MemoryStorage::default())
    }

    /// The first member of a cluster.
    async fn founder<S: StateMachine + Default>(&self) -> Result<MemberBuilder<S>, Box<dyn Error>> {
        let mut storage = MemoryStorage::default();
        Member::found(&mut storage).await?;
        Ok(self.member_on(storage))
    }

    /// Three voters, of whom the first leads.
    async fn three<S: StateMachine + Default>(&self) -> Result<[Handle<S>; 3], Box<dyn Error>> {
        let ada = self.founder().await?.start().await?;
        let bob = self.member().join(ada.cluster(), ada.id()).start().await?;
        let eve = self.member().join(ada.cluster(), bob.id()).start().await?;
        bob.joined().await?;
        eve.joined().await?;
        Ok([ada, bob, eve])
    }
}
