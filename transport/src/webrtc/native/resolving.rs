//! Resolves the names of listeners that are dialed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::super::address::Target;
use crate::hosts::Fingerprint;

/// A name that is being resolved, for a connection, to whoever has a certificate.
pub(super) type Resolving =
    Pin<Box<dyn Future<Output = (u64, Fingerprint, io::Result<Vec<SocketAddr>>)> + Send>>;

/// Resolves the name of a target, in a time at most.
pub(super) async fn resolve(
    number: u64,
    target: Target,
    time_max: Duration,
) -> (u64, Fingerprint, io::Result<Vec<SocketAddr>>) {
    let resolved = timeout(time_max, lookup_host((&*target.host, target.port))).await;
    let resolved = resolved.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()));
    (number, target.fingerprint, resolved.map(Iterator::collect))
}
