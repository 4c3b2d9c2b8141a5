//! Runs connections: does what the carrier orders, moves what waits, and ends them.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, select_biased};
use js_sys::{Array, Object, Reflect};
use liferaft_platform::{now, sleep_until};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    RtcConfiguration, RtcIceServer, RtcIceTransportPolicy, RtcPeerConnection,
    RtcPeerConnectionState,
};

use super::super::address::Target;
use super::super::channels::DatagramMode;
use super::super::description::{Description, IceCandidate};
use super::super::ice_servers::{IceServer, IceServers, IceTransportPolicy};
use super::super::negotiation::{Action, MediumEvent};
use super::listener::answer_of;
use super::peer::{Notice, Peer, Refusal};
use super::table::End;
use crate::carrier::{CarrierEvent, OpenFailure};

/// How long whoever knows the servers of STUN and TURN has to say them.
const ICE_SERVERS_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection that is to be run.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) end: End,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
}

/// What the carrier orders.
#[derive(Debug)]
pub(super) enum Order {
    /// Reach a listener, whose answer is known.
    Reach(Target),
    /// Do what a negotiation wants, and tell it what comes of it.
    Do(Action),
}

/// What connections are made with.
#[derive(Clone, Debug)]
struct Means {
    mode: DatagramMode,
    ice_servers: Option<IceServers>,
    policy: IceTransportPolicy,
}

/// Runs the connections of a carrier, for as long as there is the carrier.
pub(super) async fn run_all(
    mut tasks: mpsc::UnboundedReceiver<Task>,
    (mode, ice_servers, policy): (DatagramMode, Option<IceServers>, IceTransportPolicy),
) {
    let means = Means {
        mode,
        ice_servers,
        policy,
    };
    let mut certificate = None;
    while let Some(Task { end, orders }) = tasks.next().await {
        // Made once: it takes some time.
        if certificate.is_none() {
            match generate_certificate().await {
                Ok(made) => certificate = Some(made),
                Err(refusal) => tell_end(&end, false, &Ending::Refused(refusal)),
            }
        }
        if let Some(certificate) = certificate.clone() {
            let connection = Connection {
                end,
                certificate,
                means: means.clone(),
                peer: None,
                generation: 0,
                is_negotiated: false,
            };
            spawn_local(connection.run(orders));
        }
    }
}

async fn generate_certificate() -> Result<JsValue, Refusal> {
    let algorithm = Object::new();
    for (name, value) in [("name", "ECDSA"), ("namedCurve", "P-256")] {
        Reflect::set(&algorithm, &name.into(), &value.into())?;
    }
    let made = RtcPeerConnection::generate_certificate_with_object(&algorithm)?;
    Ok(JsFuture::from(made).await?)
}

/// Why a connection ended.
#[derive(Debug)]
enum Ending {
    ByUs,
    ByPeer,
    Silent,
    TooLong,
    /// What came is no packet.
    NoPacket(String),
    /// The browser has given it up.
    GivenUp,
    Refused(Refusal),
}

/// One connection.
struct Connection {
    end: End,
    certificate: JsValue,
    means: Means,
    /// The browser's connection that counts, and what it tells.
    peer: Option<(Peer, mpsc::UnboundedReceiver<Notice>)>,
    /// How many there were.
    generation: u64,
    is_negotiated: bool,
}

/// What a task waits for.
enum Cause {
    Order(Order),
    Notice(Notice),
    Port,
    Time,
    /// The carrier has gone.
    Gone,
}

impl Connection {
    /// Runs it to its end.
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let ending = self.serve(&mut orders).await;
        let is_open = self.is_open();
        // Closed before that is told.
        self.peer = None;
        tell_end(&self.end, is_open, &ending);
    }

    async fn serve(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Ending {
        let limits = self.end.limits;
        let mut alarm = pin!(sleep_until(now() + limits.opening_time_max).fuse());
        loop {
            match self.wait(orders, &mut alarm).await {
                Cause::Order(order) => {
                    // What a browser or whoever names servers never answers keeps nothing open.
                    let port = Arc::clone(&self.end.port);
                    let mut closed = pin!(port.closed().fuse());
                    let mut obeyed = pin!(self.obey(order).fuse());
                    select_biased! {
                        obeyed = obeyed => if let Err(refusal) = obeyed {
                            return refusal.into();
                        },
                        () = closed => return Ending::ByUs,
                    }
                }
                Cause::Notice(Notice::Open) => {
                    self.tell(MediumEvent::Open);
                    alarm.set(sleep_until(now() + limits.idle_time_max).fuse());
                }
                Cause::Notice(notice) => {
                    if let Some(ending) = self.take(notice) {
                        return ending;
                    }
                }
                Cause::Port => {}
                Cause::Time => {
                    // How long a negotiation may take it knows itself.
                    if !self.is_open() && !self.is_negotiated {
                        return Ending::TooLong;
                    }
                    // Links answer whoever means them, and keep those alive that are up: a peer that gets nothing has
                    // said nothing that means anything, and is not to keep a place by that.
                    if self.is_open() && !self.end.port.take_alive() {
                        return Ending::Silent;
                    }
                    alarm.set(sleep_until(now() + limits.idle_time_max).fuse());
                }
                Cause::Gone => return Ending::ByUs,
            }
            if let Some(ending) = self.flush() {
                return ending;
            }
        }
    }

    async fn wait(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        mut alarm: &mut (impl Future<Output = ()> + futures::future::FusedFuture + Unpin),
    ) -> Cause {
        let notice = async {
            match &mut self.peer {
                Some((_, notices)) => notices.select_next_some().await,
                None => pending().await,
            }
        };
        let mut notice = pin!(notice.fuse());
        let mut changed = pin!(self.end.port.changed().fuse());
        let mut order = orders.next();
        select_biased! {
            order = order => order.map_or(Cause::Gone, Cause::Order),
            notice = notice => Cause::Notice(notice),
            () = changed => Cause::Port,
            () = alarm => Cause::Time,
        }
    }

    /// Gives the browser what waits. Returns why the connection has ended, if it has.
    fn flush(&self) -> Option<Ending> {
        if let Some((peer, _)) = &self.peer {
            if let Err(refusal) = peer.flush() {
                return Some(refusal.into());
            }
            if self.end.port.take_description_wanted() {
                peer.find_out_pair();
            }
        }
        self.end.port.is_closed().then_some(Ending::ByUs)
    }

    async fn obey(&mut self, order: Order) -> Result<(), Refusal> {
        let action = match order {
            Order::Reach(listener) => {
                // It needs no help: its address is known.
                let peer = self.make_peer(configuration(&self.certificate))?;
                peer.offer(false).await?;
                let answer = answer_of(&listener);
                return peer.take_answer(&answer, listener.fingerprint).await;
            }
            Order::Do(action) => action,
        };
        self.is_negotiated = true;
        let own = match action {
            Action::MakeOffer => {
                let configuration = self.with_servers().await;
                self.make_peer(configuration)?.offer(false).await?
            }
            Action::TakeOffer(offer) => {
                let configuration = self.with_servers().await;
                let peer = self.make_peer(configuration)?;
                peer.take_offer(&offer.to_sdp(), offer.fingerprint).await?
            }
            Action::MakeRestart => {
                let configuration = self.with_servers().await;
                self.peer()?.configure(&configuration)?;
                self.peer()?.offer(true).await?
            }
            Action::TakeRestart(offer) => {
                let configuration = self.with_servers().await;
                let peer = self.peer()?;
                peer.configure(&configuration)?;
                peer.take_offer(&offer.to_sdp(), offer.fingerprint).await?
            }
            Action::TakeAnswer(answer) => {
                let peer = self.peer()?;
                return peer.take_answer(&answer.to_sdp(), answer.fingerprint).await;
            }
            Action::AddCandidate(candidate) => {
                let added = self.peer()?.add_candidate(&candidate.to_sdp()).await;
                if let Err(refusal) = added {
                    // Anybody can have made it up.
                    tracing::debug!(path = ?self.end.path, %refusal, "a candidate means nothing");
                }
                return Ok(());
            }
            // The carrier closes by the port.
            Action::Close(_) => return Ok(()),
        };
        let own = Description::from_sdp(&own).map_err(Refusal::of)?;
        self.tell(MediumEvent::Described(own));
        Ok(())
    }

    /// Makes a connection of the browser, in place of the one that there may be.
    fn make_peer(&mut self, configuration: RtcConfiguration) -> Result<&Peer, Refusal> {
        self.peer = None;
        self.generation += 1;
        let made = Peer::new(&configuration, self.means.mode, self.end.clone())?;
        Ok(&self.peer.insert(made).0)
    }

    /// Asks for servers of STUN and TURN, whose credentials expire.
    async fn with_servers(&self) -> RtcConfiguration {
        let configuration = configuration(&self.certificate);
        if self.means.policy == IceTransportPolicy::Relay {
            configuration.set_ice_transport_policy(RtcIceTransportPolicy::Relay);
        }
        let Some(servers) = &self.means.ice_servers else {
            return configuration;
        };
        let mut late = pin!(sleep_until(now() + ICE_SERVERS_TIME_MAX).fuse());
        let servers = select_biased! {
            servers = servers.ask().fuse() => servers,
            () = late => Vec::new(),
        };
        let servers: Array = servers.iter().map(ice_server).collect();
        configuration.set_ice_servers(&servers);
        configuration
    }

    fn peer(&self) -> Result<&Peer, Refusal> {
        let peer = self.peer.as_ref().map(|(peer, _)| peer);
        peer.ok_or_else(|| Refusal::of("there is no connection"))
    }

    fn is_open(&self) -> bool {
        self.peer.as_ref().is_some_and(|(peer, _)| peer.is_open())
    }

    fn tell(&self, event: MediumEvent) {
        if self.is_negotiated {
            self.end.tell_medium(self.generation, event);
        }
    }

    /// Takes what the browser tells. Returns why the connection has ended, if it has.
    fn take(&self, notice: Notice) -> Option<Ending> {
        use RtcPeerConnectionState::{Closed, Connected, Disconnected, Failed};
        match notice {
            Notice::Candidate(text) => {
                if let Some(candidate) = IceCandidate::from_sdp(&text) {
                    self.tell(MediumEvent::Candidate(candidate));
                }
            }
            Notice::Gathered => self.tell(MediumEvent::Gathered),
            Notice::State(Connected) => self.tell(MediumEvent::Connected),
            // Whether anybody is there, links find out themselves.
            Notice::State(Disconnected) => self.tell(MediumEvent::Disconnected),
            Notice::State(Failed) if self.is_negotiated => self.tell(MediumEvent::Failed),
            Notice::State(Failed | Closed) => return Some(Ending::GivenUp),
            Notice::Open | Notice::State(_) => {}
            Notice::Closed => return Some(Ending::ByPeer),
            Notice::Broken(what) => return Some(Ending::NoPacket(what)),
        }
        None
    }
}

fn configuration(certificate: &JsValue) -> RtcConfiguration {
    let configuration = RtcConfiguration::new();
    configuration.set_certificates(&Array::of1(certificate));
    configuration
}

fn ice_server(server: &IceServer) -> RtcIceServer {
    let made = RtcIceServer::new();
    let urls: Array = server.urls.iter().map(JsValue::from).collect();
    made.set_urls(&urls);
    if let Some(username) = &server.username {
        made.set_username(username);
    }
    if let Some(credential) = &server.credential {
        made.set_credential(credential);
    }
    made
}

fn tell_end(end: &End, is_open: bool, ending: &Ending) {
    let path = end.path;
    tracing::debug!(?path, %ending, is_open, "a connection has ended");
    let tally = end.meter.tally();
    match ending {
        Ending::ByUs => {}
        _ if !is_open => tally.unopened.add_one(),
        Ending::NoPacket(_) => tally.broken.add_one(),
        Ending::Silent => tally.silent.add_one(),
        _ => {}
    }
    end.tell(if is_open {
        CarrierEvent::Closed { path }
    } else {
        let why = ending.into();
        CarrierEvent::Unopened { path, why }
    });
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why a connection that was dialed is not opened.
impl From<&Ending> for OpenFailure {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::TooLong => Self::TimedOut,
            Ending::NoPacket(_) => Self::OtherProtocol(ending.to_string()),
            _ => Self::NotConnected(ending.to_string()),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByUs => f.write_str("closed by this end"),
            Self::ByPeer => f.write_str("closed by the other end"),
            Self::Silent => f.write_str("no packet came, or none was to be sent, for too long"),
            Self::TooLong => f.write_str("it took too long"),
            Self::NoPacket(what) => write!(f, "what came is no packet: {what}"),
            Self::GivenUp => f.write_str("the browser has given it up"),
            Self::Refused(refusal) => write!(f, "the browser refuses: {refusal}"),
        }
    }
}
