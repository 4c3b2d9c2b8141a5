//! Carries the messages of members that share a process, and gives each member its end.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use liferaft::configuration::Address;
use liferaft::identity::Identity;
use liferaft::transport::endpoint::Endpoint;
use liferaft::transport::memory::{Faults, MemoryNetwork, MemoryTransport, Probability};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};

use super::options::{Options, Transport};
use super::severable::{Knife, Severable};
use crate::files;

/// What carries the messages.
pub(super) enum Medium {
    /// The memory of this process.
    Memory {
        network: MemoryNetwork,
        /// Whether links prove nothing.
        unproven: bool,
    },
    /// WebSocket, over the loopback interface.
    WebSocket,
}

/// A member's end of it.
pub(super) struct End {
    pub(super) transport: EndTransport,
    /// Where others reach it; `None` where members find each other by their ids.
    pub(super) address: Option<Address>,
    /// Cuts it off.
    pub(super) knife: Knife,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each member")]
pub(super) enum EndTransport {
    Unproven(MemoryTransport),
    Proven(Endpoint),
}

/// Where a member listens: at a free port, where only this machine reaches it.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The files that a process has open beside those of its members.
const OWN_FILES: u64 = 64;

/// The files that a member has open beside its connections: of its storage, and the socket that it listens on.
const FILES_PER_MEMBER: u64 = 16;

impl Medium {
    /// One for as many members as are asked for.
    pub(super) fn new(options: &Options, seed: u64) -> anyhow::Result<Self> {
        let files = files::raise_limit();
        match options.transport() {
            Transport::Memory => {
                let network = MemoryNetwork::new(seed);
                let loss = Probability::percent(options.loss);
                network.set_faults(Faults::none().with_loss(loss));
                let unproven = options.unproven;
                Ok(Self::Memory { network, unproven })
            }
            Transport::WebSocket => {
                check_files(files_of(options.nodes as u64), files)?;
                Ok(Self::WebSocket)
            }
        }
    }

    /// Makes the end of a member.
    pub(super) async fn end(&self, identity: Identity) -> anyhow::Result<End> {
        match self {
            Self::Memory { network, unproven } => {
                let id = identity.id();
                let transport = if *unproven {
                    EndTransport::Unproven(network.attach(id)?)
                } else {
                    EndTransport::Proven(network.connect(identity)?)
                };
                let network = network.clone();
                let knife = Knife::new(move || {
                    network.kill(id);
                });
                let address = None;
                Ok(End {
                    transport,
                    address,
                    knife,
                })
            }
            Self::WebSocket => {
                let carrier = listen().await?;
                let address = carrier.local_address();
                let (carrier, knife) = Severable::new(carrier);
                let transport = EndTransport::Proven(Endpoint::new(identity, carrier));
                Ok(End {
                    transport,
                    address,
                    knife,
                })
            }
        }
    }
}

/// Listens at a free port of this machine.
pub(super) async fn listen() -> anyhow::Result<WebSocketCarrier> {
    let config = WebSocketConfig::default().on_this_machine();
    let carrier = WebSocketCarrier::listen(config, LOOPBACK).await;
    carrier.context("a member cannot listen")
}

/// How many files so many members may have open in one process. A link has two ends here; both members of a pair may
/// dial at the same moment, and one of the two connections is closed then, so there is room for half as many again.
const fn files_of(members: u64) -> u64 {
    let link_ends = members * members.saturating_sub(1);
    OWN_FILES + FILES_PER_MEMBER * members + link_ends * 3 / 2
}

/// Refuses members that need more files than this process may have open.
fn check_files(needed: u64, allowed: u64) -> anyhow::Result<()> {
    ensure!(
        allowed >= needed,
        "members that share a process over WebSocket have {needed} files open, and this system lets a process have \
         {allowed} (`ulimit -Hn`): fewer --nodes, or --processes"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_one_process_have_files_for_both_ends_of_a_link() {
        assert_eq!(files_of(1), 80);
        assert_eq!(files_of(41), 64 + 656 + 2460);
    }

    #[test]
    fn more_files_than_a_process_may_have_are_refused() {
        let refused = check_files(1_025, 1_024).expect_err("there is a limit");

        assert!(refused.to_string().contains("--nodes"), "{refused}");
    }
}
