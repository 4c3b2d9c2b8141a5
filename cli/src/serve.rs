//! Runs a signaling server.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use liferaft_signaling::{Config, Limits, Origins, Server};
use serde_json::json;

use crate::failure::Misuse;
use crate::files;
use crate::member::{Signals, block_on};

/// Run a signaling server: it introduces peers that then talk directly, and holds nothing that they share
///
/// It speaks HTTP and WebSocket without TLS: over a network, put a proxy in front of it. docs/signaling.md says how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The address and port that it listens on: 0.0.0.0 or [::] for all interfaces, port 0 for any that is free
    #[arg(
        long,
        value_name = "ADDR",
        env = "LIFERAFT_LISTEN",
        default_value = "127.0.0.1:9000"
    )]
    listen: SocketAddr,

    /// The address and port at which monitors ask for /metrics and /healthz
    #[arg(long, value_name = "ADDR", env = "LIFERAFT_MONITOR")]
    monitor: Option<SocketAddr>,

    /// The key of the place for all, which PeerJS's clients name
    #[arg(
        long,
        value_name = "KEY",
        env = "LIFERAFT_PEERJS_KEY",
        default_value = "peerjs"
    )]
    peerjs_key: String,

    /// Lists the ids in the place for all to everybody. Those in a room are listed to whoever knows its number
    #[arg(long, env = "LIFERAFT_LIST_PEERS")]
    list_peers: bool,

    /// Lets pages of this origin use the server too, as `https://example.org`: several with commas between them, `*`
    /// for all. Pages of the server's own host always may
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "LIFERAFT_ALLOW_ORIGIN",
        value_delimiter = ','
    )]
    allow_origin: Vec<String>,

    /// Believes a proxy at this address whom it names in X-Forwarded-For: several with commas between them
    #[arg(
        long,
        value_name = "IP",
        env = "LIFERAFT_TRUST_PROXY",
        value_delimiter = ','
    )]
    trust_proxy: Vec<IpAddr>,

    /// Tells where it listens as a line of JSON
    #[arg(long, env = "LIFERAFT_JSON")]
    json: bool,

    /// Ends when its standard input does, as whoever started it
    #[arg(long, hide = true)]
    until_eof: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    block_on(serve(options))
}

impl Options {
    fn config(&self) -> anyhow::Result<Config> {
        let origins = match &*self.allow_origin {
            [] => Origins::Same,
            all if all.iter().any(|origin| origin == "*") => Origins::Any,
            listed => Origins::Listed(listed.to_vec()),
        };
        let config = Config::default()
            .with_key(&self.peerjs_key)
            .context(Misuse("--peerjs-key".to_owned()))?
            .with_origins(origins)
            .context(Misuse("--allow-origin".to_owned()))?
            .with_trusted_proxies(self.trust_proxy.clone());
        Ok(if self.list_peers {
            config.listed()
        } else {
            config
        })
    }
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let mut signals = Signals::listen(options.until_eof)?;
    let config = options.config()?;
    let mut limits = Limits::default();
    limits.connections_max = files::accepted_max(files::raise_limit(), limits.connections_max);
    let server = Server::bind(options.listen, config.with_limits(limits)).await;
    let mut server = server.with_context(|| format!("cannot listen on {}", options.listen))?;
    if let Some(address) = options.monitor {
        let monitored = server.with_operators(address).await;
        server = monitored.with_context(|| format!("cannot listen on {address} for monitors"))?;
    }
    let address = server.address().context("cannot tell where it listens")?;
    let monitor = server.operator_address();
    crate::print(&news(options, address, monitor))?;
    server.serve(signals.next()).await;
    Ok(())
}

fn news(options: &Options, address: SocketAddr, monitor: Option<SocketAddr>) -> String {
    let url = |address| format!("http://{address}");
    let (address, monitor) = (url(address), monitor.map(url));
    if options.json {
        let started = json!({ "news": "started", "address": address, "monitor": monitor });
        return format!("{started}\n");
    }
    let monitor = monitor.map(|monitor| format!("monitors at {monitor}\n"));
    format!("signaling at {address}\n{}", monitor.unwrap_or_default())
}
