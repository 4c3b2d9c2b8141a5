//! An application as a newcomer writes it, by the README and the documentation alone.

#![cfg(test)]

mod bank;
mod errors;
mod kv;
mod udp;

use std::error::Error;

use liferaft::{ClusterId, Handle, Member, MemberBuilder, MemoryNetwork, ServerId, StateMachine};

type Outcome = Result<(), Box<dyn Error>>;

/// A cluster over one network in memory.
struct Site {
    cluster: ClusterId,
    network: MemoryNetwork,
}

impl Site {
    fn new() -> Self {
        Self {
            cluster: ClusterId::random(),
            network: MemoryNetwork::new(1),
        }
    }

    /// A member that was never there before.
    fn member<S: StateMachine + Default>(&self) -> MemberBuilder<S> {
        let transport = self.network.attach(ServerId::random());
        let transport = transport.expect("ids that are drawn differ");
        Member::builder(self.cluster, S::default(), transport)
    }

    /// Three voters, of whom the first leads.
    async fn three<S: StateMachine + Default>(&self) -> Result<[Handle<S>; 3], Box<dyn Error>> {
        let ada = self.member().first_server().start().await?;
        let bob = self.member().join(ada.id()).start().await?;
        let eve = self.member().join(bob.id()).start().await?;
        bob.joined().await?;
        eve.joined().await?;
        Ok([ada, bob, eve])
    }
}
