//! Reaches a cluster as a client of it: what the commands share that ask a running cluster.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use liferaft::driver::Client;
use liferaft::kv::Kv;
use liferaft::transport::access::Permit;
use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig, contact_at};
use liferaft::{Endpoint, Identity, Invitation};
use tokio::runtime::Builder;

use crate::failure::{self, Misuse};
use crate::member::SECONDS_MAX;
use crate::members::Purpose;
use crate::runtime::run_in;

/// How a cluster is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct Access {
    /// An invitation to clients, or for an open cluster the address of any member, as `127.0.0.1:4000`
    #[arg(
        long,
        value_name = "ADDR",
        env = "LIFERAFT_AT",
        hide_env_values = true,
        global = true
    )]
    at: Option<String>,

    /// Each operation takes at most so long
    #[arg(
        long,
        value_name = "SECONDS",
        env = "LIFERAFT_TIMEOUT",
        default_value_t = 10,
        global = true,
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX),
    )]
    timeout: u64,

    /// Print JSON
    #[arg(long, env = "LIFERAFT_JSON", global = true)]
    json: bool,
}

impl Access {
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Returns a client, which reaches the cluster with its first operation.
    pub(crate) async fn client(&self) -> anyhow::Result<Client<Kv>> {
        let timeout = Duration::from_secs(self.timeout);
        let at = self.at.as_deref().ok_or_else(|| {
            Misuse(
                "--at says where the cluster is: an invitation to clients, or an address if it is open"
                    .to_owned(),
            )
        })?;
        connect(invitation_of("--at", at, timeout).await?, timeout)
    }
}

/// Reads an invitation that an option holds. An address stands for what an open cluster tells there, within a time.
pub(crate) async fn invitation_of(
    option: &str,
    text: &str,
    timeout: Duration,
) -> anyhow::Result<Invitation> {
    if text.starts_with("rtc:") || text.starts_with("rtc+") {
        let wrong = "an address of WebRTC does not say of which cluster: an invitation does, or the contact of a member";
        return Err(Misuse(format!("{option}: {wrong}")).into());
    }
    let Some(address) = address_of(text) else {
        if text.contains('.') && !text.contains('/') && !text.starts_with("liferaft:") {
            let wrong = "an address has a host and a port, as 127.0.0.1:4000";
            return Err(Misuse(format!("{option} {text}: {wrong}")).into());
        }
        // The error does not repeat it: it is a secret.
        return text.parse().with_context(|| {
            Misuse(match is_name(text) {
                true => format!(
                    "{option}: if it is a host, a port is missing, as in localhost:4000; if an invitation"
                ),
                false => option.to_owned(),
            })
        });
    };
    let address = address
        .parse()
        .with_context(|| Misuse(format!("{option} {text}")))?;
    let contact = contact_at(WebSocketConfig::default(), &address);
    let contact = tokio::time::timeout(timeout, contact).await;
    let contact = contact.with_context(|| format!("{option}: nobody answers there"))?;
    contact.with_context(|| option.to_owned())
}

/// Starts a client, which reaches the cluster with its first operation.
fn connect(invitation: Invitation, timeout: Duration) -> anyhow::Result<Client<Kv>> {
    let identity = Identity::draw();
    let rtc = WebRtcCarrier::dial_only(WebRtcConfig::default());
    let websocket = WebSocketCarrier::dial_only(WebSocketConfig::default());
    let end = Endpoint::new(identity.clone(), rtc).with_carrier(websocket);
    let client = Client::builder(identity, end, invitation);
    Ok(client.request_timeout(timeout).start()?)
}

/// How long a cluster is asked what an invitation is for.
const LOOK_TIME: Duration = Duration::from_secs(3);

/// Returns what an invitation lets clients do; `None` if it is for none, or nobody answers in time.
pub(crate) async fn purpose_of(invitation: Invitation) -> Option<Purpose> {
    let client = connect(invitation, LOOK_TIME).ok()?;
    let known = client.wait_for(|status| status.permit.is_some()).await;
    Some(match known.ok()?.permit? {
        Permit::Read => Purpose::Reader,
        Permit::Write => Purpose::Writer,
        Permit::Operate => Purpose::Operator,
    })
}

/// Reads an address, as people write one; `None` if it is none, but an invitation perhaps.
fn address_of(at: &str) -> Option<String> {
    if at.starts_with("ws://") || at.starts_with("wss://") {
        return Some(at.to_owned());
    }
    let (host, port) = at.rsplit_once(':')?;
    let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
    let is_address = is_host && port.parse::<u16>().is_ok();
    is_address.then(|| format!("ws://{at}"))
}

/// The most characters of a host's name without dots (RFC 1035). No invitation is as short.
const NAME_CHARS_MAX: usize = 63;

/// Returns true if this may be the name of a host.
fn is_name(at: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_CHARS_MAX).contains(&at.len()) && at.bytes().all(is_of_name)
}

/// Runs what a command asks in a runtime, and tells how it ended.
pub(crate) fn block_on(task: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match run_in(Builder::new_current_thread(), task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::tell(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_an_invitation() {
        for at in ["127.0.0.1:4000", "[::1]:4000", "van-1.example:4000"] {
            assert_eq!(address_of(at), Some(format!("ws://{at}")));
        }
        let whole = "wss://van-1.example/raft";
        assert_eq!(address_of(whole).as_deref(), Some(whole));
        for invitation in [
            "liferaft:AQBp",
            "AQBp",
            "https://example.org/join#AQBp",
            "",
            ":1",
        ] {
            assert_eq!(address_of(invitation), None, "{invitation}");
        }
    }
}
