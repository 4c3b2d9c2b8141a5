//! Reaches a cluster as a client of it: what the commands share that ask a running cluster.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use liferaft::driver::{Client, MembershipError, TransferLeadershipError};
use liferaft::kv::{Kv, KvError};
use liferaft::transport::websocket::{WebSocketCarrier, WebSocketConfig, contact_at};
use liferaft::{Endpoint, Identity, Invitation};

/// How a cluster is reached.
#[derive(Args, Clone, Debug)]
pub(crate) struct Access {
    /// An invitation to clients, or for an open cluster the address of any member, as `127.0.0.1:4000`
    #[arg(
        long,
        value_name = "ADDR",
        env = "LIFERAFT_AT",
        global = true,
        default_value = ""
    )]
    at: String,

    /// Each operation takes at most so long
    #[arg(long, value_name = "SECONDS", default_value_t = 10, global = true, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Access {
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Returns a client, which reaches the cluster with its first operation.
    pub(crate) async fn client(&self) -> anyhow::Result<Client<Kv>> {
        let timeout = Duration::from_secs(self.timeout);
        let invitation = tokio::time::timeout(timeout, self.invitation())
            .await
            .context("--at: nobody answers there")??;
        let identity = Identity::draw();
        let carrier = WebSocketCarrier::dial_only(WebSocketConfig::default());
        let end = Endpoint::new(identity.clone(), carrier);
        let client = Client::builder(identity, end, invitation);
        Ok(client.request_timeout(timeout).start()?)
    }

    async fn invitation(&self) -> anyhow::Result<Invitation> {
        if self.at.is_empty() {
            anyhow::bail!(
                "--at says where the cluster is: an invitation, or an address if it is open"
            );
        }
        let is_address = self.at.contains("://") && !self.at.starts_with("http")
            || self.at.parse::<std::net::SocketAddr>().is_ok()
            || self
                .at
                .rsplit_once(':')
                .is_some_and(|(host, port)| port.parse::<u16>().is_ok() && !host.contains(':'));
        if !is_address {
            // The error does not repeat it: it is a secret.
            return self.at.parse().context("--at");
        }
        let address = match self.at.contains("://") {
            true => self.at.clone(),
            false => format!("ws://{}", self.at),
        };
        let address = address
            .parse()
            .with_context(|| format!("--at {}", self.at))?;
        let contact = contact_at(WebSocketConfig::default(), &address).await;
        contact.context("--at")
    }
}

/// The answer is no: there is nothing of that name, or it is not as expected.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotFound {}

/// The answer is no.
const NO: u8 = 3;

/// It is not known whether it was done.
const UNKNOWN: u8 = 4;

/// Runs what a command asks in a runtime, and tells how it ended.
pub(crate) fn block_on(task: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(task);
            // Lookups of names may hang in a thread of their own.
            runtime.shutdown_background();
            ended
        });
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    if let Some(no) = error.downcast_ref::<NotFound>() {
        eprintln!("{no}");
        return ExitCode::from(NO);
    }
    eprintln!("error: {error:#}");
    let of_kv = error.downcast_ref().map(KvError::is_definite);
    let of_change = error.downcast_ref().map(MembershipError::is_definite);
    let of_transfer = error
        .downcast_ref()
        .map(TransferLeadershipError::is_definite);
    match of_kv.or(of_change).or(of_transfer) {
        Some(false) => ExitCode::from(UNKNOWN),
        Some(true) | None => ExitCode::FAILURE,
    }
}
