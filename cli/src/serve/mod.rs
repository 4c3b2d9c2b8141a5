//! Runs a signaling server, with the chat in a browser if the program was built with it.

use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use liferaft_signaling::{Config, Hub, Limits, Origins, Server};

use crate::failure::Misuse;
use crate::files;
use crate::keys::Keys;
use crate::member::{Signals, block_on};
use crate::site::site;

mod announce;

use self::announce::{Place, reachable};

/// An address that is nobody's (RFC 5737): the way to it is the way to others.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Run a signaling server: it introduces peers that then talk directly, and holds nothing that they share
///
/// Built with the chat (`cargo xtask serve`), it serves that too: each tab is a member. In a terminal keys are: s stops
/// signaling and starts it again, while those that are connected go on; q ends the server.
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

    /// Opens no browser. It opens one in a terminal alone, and without --json
    #[arg(long, env = "LIFERAFT_NO_OPEN")]
    no_open: bool,

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
    let mut config = options.config()?;
    let mut limits = Limits::default();
    limits.connections_max = files::accepted_max(files::raise_limit(), limits.connections_max);
    let site = site();
    let has_pages = site.is_some();
    if let Some(site) = site {
        config = config.with_site(site);
    }
    let server = Server::bind(options.listen, config.with_limits(limits)).await;
    let mut server = server.with_context(|| format!("cannot listen on {}", options.listen))?;
    if let Some(address) = options.monitor {
        let monitored = server.with_operators(address).await;
        server = monitored.with_context(|| format!("cannot listen on {address} for monitors"))?;
    }
    let place = Place {
        address: server.address().context("cannot tell where it listens")?,
        monitor: server.operator_address(),
        has_pages,
    };
    if options.json {
        crate::print(&place.to_json())?;
    } else {
        crate::print(&place.to_text(&interfaces()))?;
    }
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let is_for_people = is_terminal && !options.json && !options.until_eof;
    if is_for_people && has_pages && !options.no_open {
        open_browser(place.page_here());
    }
    let hub = server.hub().clone();
    let ends = async {
        tokio::select! {
            () = signals.next() => {}
            () = obey_keys(&hub, is_for_people) => {}
        }
    };
    server.serve(ends).await;
    Ok(())
}

/// Returns the addresses of this machine that others may reach. Without them others are told less: that is no reason
/// to end.
fn interfaces() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let interfaces = interfaces.into_iter();
    reachable(interfaces.map(|it| (it.name.clone(), it.ip())), outward())
}

/// Returns from which address this machine reaches others, by what it knows of its routes: nothing is sent.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Opens a page for whoever sits at this machine. Many machines have no browser.
fn open_browser(page: String) {
    // It waits to see whether one is started. The page is served meanwhile.
    thread::spawn(move || {
        if let Err(error) = open::that_detached(page) {
            tracing::debug!(%error, "no browser is opened");
        }
    });
}

/// Does what keys ask for, until one asks to end.
async fn obey_keys(hub: &Hub, is_terminal: bool) {
    const KEYS: &str = "s stops signaling, and starts it again   q ends\n";
    let mut keys = Keys::listen(is_terminal);
    if is_terminal {
        say(KEYS);
    }
    loop {
        match keys.next().await {
            's' => {
                let is_open = !hub.is_open();
                hub.set_open(is_open);
                say(if is_open {
                    "signaling goes on\n"
                } else {
                    "signaling is stopped: whoever is connected goes on\n"
                });
            }
            'q' => return,
            _ => {}
        }
    }
}

/// Tells whoever presses keys. A terminal that is gone ends the server by its signal.
fn say(line: &str) {
    let _unread = crate::print(line);
}
