//! Asks whoever runs this end for its servers of STUN and TURN, and resolves their names.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::webrtc::ice_servers::{IceServers, NamedServer, User};

/// Servers by their addresses, and who uses TURN there.
pub(super) type Servers = Vec<(SocketAddr, Option<User>)>;

/// How long whoever is asked may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a name may take to be resolved. All are resolved at once.
const RESOLVING_TIME_MAX: Duration = Duration::from_secs(3);

/// The most addresses that are used of one name.
const ADDRESSES_MAX: usize = 2;

/// Returns the servers that there are: on this machine, if others are none of our business.
pub(in super::super) async fn ask(servers: IceServers, is_on_this_machine: bool) -> Servers {
    let Ok(answer) = timeout(ANSWER_TIME_MAX, servers.ask()).await else {
        tracing::warn!(
            ?ANSWER_TIME_MAX,
            "whoever knows the ICE servers does not answer"
        );
        return Servers::new();
    };
    let named = NamedServer::by_udp(&answer);
    let resolved = join_all(named.into_iter().map(resolve)).await;
    let mut servers = resolved.concat();
    servers.retain(|(address, _)| !is_on_this_machine || address.ip().is_loopback());
    servers
}

async fn resolve(server: NamedServer) -> Servers {
    let NamedServer { host, port, user } = server;
    let looked_up = timeout(RESOLVING_TIME_MAX, lookup_host((&*host, port))).await;
    match looked_up {
        Ok(Ok(addresses)) => addresses
            .take(ADDRESSES_MAX)
            .map(|address| (address, user.clone()))
            .collect(),
        Ok(Err(error)) => {
            tracing::warn!(host, %error, "the name of an ICE server is not resolved");
            Servers::new()
        }
        Err(_late) => {
            tracing::warn!(host, "the name of an ICE server is not resolved in time");
            Servers::new()
        }
    }
}
