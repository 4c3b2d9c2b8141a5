//! Carries the messages of members that share a process, and gives each member its end.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail, ensure};
use liferaft::configuration::Address;
use liferaft::identity::Identity;
use liferaft::transport::carrier::Carrier;
use liferaft::transport::endpoint::Endpoint;
use liferaft::transport::memory::{Faults, MemoryNetwork, MemoryTransport, Probability};
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig, WebRtcMeter};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig};
use serde::{Deserialize, Serialize};

use super::options::{Options, Transport};
use super::severable::{Knife, Severable, Taken};
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
    /// WebRTC, over the loopback interface.
    WebRtc,
}

/// A member's end of it.
pub(super) struct End {
    pub(super) transport: EndTransport,
    /// Where others reach it; `None` where members find each other by their ids.
    pub(super) address: Option<Address>,
    /// Severs it.
    pub(super) knife: Knife,
    /// Counts what is carried by UDP; `None` where nothing is.
    pub(super) meter: Option<Meter>,
}

/// Counts what UDP carries for a member, and what that takes by whatever way.
pub(super) struct Meter {
    webrtc: WebRtcMeter,
    taken: Taken,
}

/// What a member has taken, and by which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Carried {
    /// Datagrams of UDP that it has sent.
    pub(super) udp_datagrams: u64,
    /// Packets that it has taken, in which all frames are.
    packets: u64,
    /// Packets that data channels have brought, which have nothing but UDP beneath them.
    packets_of_channels: u64,
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

/// The files that a member has open beside its connections: of its storage, and the sockets that all of them share.
const FILES_PER_MEMBER: u64 = 32;

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
                let members = options.nodes as u64;
                check_files(files_of(members) + connections_of(members), files)?;
                Ok(Self::WebSocket)
            }
            Transport::WebRtc => {
                check_files(files_of(options.nodes as u64), files)?;
                Ok(Self::WebRtc)
            }
        }
    }

    /// One that processes share.
    pub(super) fn of_processes(transport: Transport) -> anyhow::Result<Self> {
        match transport {
            Transport::Memory => bail!("processes do not share their memory"),
            Transport::WebSocket => Ok(Self::WebSocket),
            Transport::WebRtc => Ok(Self::WebRtc),
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
                let knife = Knife::new(move |_| {
                    network.kill(id);
                });
                Ok(End {
                    transport,
                    address: None,
                    knife,
                    meter: None,
                })
            }
            Self::WebSocket => {
                let config = WebSocketConfig::default().on_this_machine();
                let carrier = WebSocketCarrier::listen(config, LOOPBACK).await;
                let carrier = carrier.context("a member cannot listen")?;
                let address = carrier.local_address();
                Ok(End::over(identity, carrier, address, None))
            }
            Self::WebRtc => {
                let config = WebRtcConfig::default().on_this_machine();
                let carrier = WebRtcCarrier::listen(config, LOOPBACK).await;
                let carrier = carrier.context("a member cannot listen")?;
                let (address, meter) = (carrier.local_address(), carrier.meter());
                Ok(End::over(identity, carrier, address, Some(meter)))
            }
        }
    }
}

impl End {
    /// One over a carrier that listens at this address, and has no other.
    fn over(
        identity: Identity,
        carrier: impl Carrier,
        address: Option<Address>,
        meter: Option<WebRtcMeter>,
    ) -> Self {
        let (carrier, knife) = Severable::new(carrier);
        let taken = carrier.taken();
        let meter = meter.map(|webrtc| Meter { webrtc, taken });
        Self {
            transport: EndTransport::Proven(Endpoint::new(identity, carrier)),
            address,
            knife,
            meter,
        }
    }
}

impl Meter {
    /// Returns the counts, of a member that has stopped.
    pub(super) fn read(&self) -> Carried {
        let counters = self.webrtc.read();
        Carried {
            udp_datagrams: counters.udp_sent,
            packets: self.taken.read(),
            packets_of_channels: counters.packets_received,
        }
    }
}

impl Carried {
    /// Returns what is wrong if a packet, and so a frame, has come to a member of several by another way than UDP.
    pub(super) fn fault(self) -> Option<String> {
        let Self {
            udp_datagrams,
            packets,
            packets_of_channels,
        } = self;
        if udp_datagrams == 0 || packets == 0 {
            return Some(format!(
                "a member has sent {udp_datagrams} datagrams of UDP and taken {packets} packets"
            ));
        }
        // What came by a connection that was closed before it was taken is brought alone.
        (packets > packets_of_channels).then(|| {
            format!("of the {packets} packets of a member {packets_of_channels} have come by UDP")
        })
    }
}

/// How many files so many members may have open in one process, without connections.
const fn files_of(members: u64) -> u64 {
    OWN_FILES + FILES_PER_MEMBER * members
}

/// How many connections of TCP so many members may have in one process. A link has two ends here; both members of a
/// pair may dial at the same moment, and one of the two connections is closed then, so there is room for half as many
/// again.
const fn connections_of(members: u64) -> u64 {
    let link_ends = members * members.saturating_sub(1);
    link_ends * 3 / 2
}

/// Refuses members that need more files than this process may have open.
fn check_files(needed: u64, allowed: u64) -> anyhow::Result<()> {
    ensure!(
        allowed >= needed,
        "members that share a process have {needed} files open over this --transport, and this system lets a process \
         have {allowed} (`ulimit -Hn`): fewer --nodes, or --processes"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_one_process_have_files_for_both_ends_of_a_link() {
        assert_eq!((files_of(1), connections_of(1)), (96, 0));
        assert_eq!((files_of(41), connections_of(41)), (64 + 1312, 2460));
    }

    #[test]
    fn one_packet_that_has_not_come_by_udp_is_noticed() {
        let carried = |udp_datagrams, packets, packets_of_channels| Carried {
            udp_datagrams,
            packets,
            packets_of_channels,
        };

        assert_eq!(carried(9, 1_000, 1_000).fault(), None);
        assert_eq!(carried(9, 1_000, 1_001).fault(), None);
        for wrong in [carried(9, 1_000, 999), carried(0, 9, 9), carried(9, 0, 0)] {
            assert!(wrong.fault().is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn more_files_than_a_process_may_have_are_refused() {
        let refused = check_files(1_025, 1_024).expect_err("there is a limit");

        assert!(refused.to_string().contains("--nodes"), "{refused}");
    }
}
