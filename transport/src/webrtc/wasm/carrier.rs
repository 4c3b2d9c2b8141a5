//! Carries the packets of links over the connections of a browser.

use std::collections::VecDeque;
use std::fmt;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use liferaft_platform::entropy_u128;
use wasm_bindgen_futures::spawn_local;
use zeroize::Zeroizing;

use super::super::address::{Dialed, SCHEME, SIGNALED_SCHEMES, address_of};
use super::super::by_hand::ByHand;
use super::super::config::WebRtcConfig;
use super::super::flow::UNACKNOWLEDGED_BYTES_MAX;
use super::super::limits::PACKET_BYTES_MAX;
use super::super::meter::WebRtcMeter;
use super::super::negotiation::Action;
use super::super::reached::SignalingMeter;
use super::super::switchboard::{Guest, Switchboard, Wish};
use super::Options;
use super::connection::{Order, run_all};
use super::table::{News, Table};
use crate::ServerId;
use crate::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, OpenFailure, Packet, Path,
};
use crate::signaling::{Signaling, TokenSource};

/// The most things that are done before others of this thread have their turn.
const BATCH: usize = 256;

/// A carrier over the data channels of a browser, which has them in pages and not in workers.
///
/// It dials native listeners by `rtc://host:port#sha256=FINGERPRINT`, and servers by their ids: `rtc:ID`, and
/// `rtc+ws://host:port/ROOM/ID` of those that are registered at a signaling server. Signals to these go through links
/// too, so that whoever has a link with a server, or with one that has, needs no signaling server. Dropping the carrier
/// closes all connections.
pub struct WebRtcCarrier {
    table: Table,
    switchboard: Switchboard,
    news: mpsc::UnboundedReceiver<News>,
    events: VecDeque<CarrierEvent>,
    waker: Option<Waker>,
}

impl WebRtcCarrier {
    /// Makes a carrier that dials, and that others dial by signals.
    #[must_use]
    pub fn dial_only(config: WebRtcConfig) -> Self {
        let WebRtcConfig {
            limits,
            datagram_mode,
            ice_servers,
            ice_transport_policy,
            servers,
            host: Options { token_secret },
        } = config;
        let (sender, news) = mpsc::unbounded();
        let (tasks, given) = mpsc::unbounded();
        let means = (datagram_mode, ice_servers, ice_transport_policy);
        spawn_local(run_all(given, means));
        Self {
            table: Table::new(limits, sender, tasks),
            switchboard: Switchboard::new(limits, servers, token_source(token_secret)),
            news,
            events: VecDeque::new(),
            waker: None,
        }
    }

    /// Sends and takes signals by one more way than links and signaling servers. Returns false if there are eight ways
    /// already.
    pub fn add_signaling(&mut self, signaling: impl Signaling) -> bool {
        self.switchboard.add(Box::new(signaling), None)
    }

    /// Returns what connects this carrier to others by texts that people carry.
    #[must_use]
    pub fn by_hand(&self) -> ByHand {
        self.switchboard.by_hand()
    }

    /// Returns what tells which signaling servers this carrier reaches.
    #[must_use]
    pub fn signaling(&self) -> SignalingMeter {
        self.switchboard.signaling()
    }

    /// Returns what reads the counters of this carrier, as long as one likes. Those of UDP stay zero: a browser does
    /// not show its datagrams.
    #[must_use]
    pub fn meter(&self) -> WebRtcMeter {
        self.table.meter.clone()
    }

    fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::Signal { to, signal } => {
                self.events.push_back(CarrierEvent::Signal { to, signal });
            }
            Wish::Present(servers) => self.events.push_back(CarrierEvent::Present { servers }),
            Wish::Dial => self.events.push_back(CarrierEvent::Ready),
            Wish::Do {
                number,
                action: Action::Close(why),
            } => {
                tracing::debug!(number, %why, "a connection is given up");
                let why = self.switchboard.failure(number, why);
                self.give_up(number, why);
            }
            Wish::Do { number, action } => self.order(number, Order::Do(action)),
            // Visitors get no number.
            Wish::Receive { number, .. } => self.switchboard.remove(number),
        }
    }

    fn order(&mut self, number: u64, order: Order) {
        if !self.table.order(number, order) {
            let why = "too many connections have come to nothing";
            self.give_up(number, OpenFailure::NotConnected(why.to_owned()));
        }
    }

    /// Closes the connections that have lost their places to others.
    fn evict(&mut self) {
        while let Some(number) = self.table.next_displaced() {
            let why = "others need its place";
            self.give_up(number, OpenFailure::NotConnected(why.to_owned()));
        }
    }

    /// Closes a connection that has come to nothing, and tells so.
    fn give_up(&mut self, number: u64, why: OpenFailure) {
        self.switchboard.remove(number);
        let Some(path) = self.table.path(number) else {
            return;
        };
        let is_open = self.table.is_open(number);
        if !is_open {
            self.table.meter.tally().unopened.add_one();
        }
        if self.table.close(number) {
            self.events.push_back(if is_open {
                CarrierEvent::Closed { path }
            } else {
                CarrierEvent::Unopened { path, why }
            });
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Carrier(event) => {
                let number = event.path().and_then(|path| self.table.number_of(path));
                let has_ended = matches!(
                    event,
                    CarrierEvent::Closed { .. } | CarrierEvent::Unopened { .. }
                );
                self.events.extend(self.table.take(event));
                if let Some(number) = number.filter(|_| has_ended) {
                    self.switchboard.remove(number);
                }
            }
            News::Medium {
                number,
                generation,
                event,
            } if self.table.is_current(number, generation) => {
                self.switchboard.on_medium(number, event);
            }
            News::Medium { .. } => {}
        }
    }

    /// Returns the path of an open connection with the server that is dialed, if one was made by hand.
    fn claim(&mut self, dialed: &Dialed) -> Option<Path> {
        let Dialed::Server(peer, _) = dialed else {
            return None;
        };
        let number = self.switchboard.claim(*peer)?;
        self.table.path(number)
    }

    /// Asks to be polled, after it was given something outside of [`poll`](Carrier::poll).
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Returns what tokens are made from: what was given, or what is drawn.
fn token_source(given: Option<Zeroizing<[u8; 32]>>) -> TokenSource {
    if let Some(secret) = given {
        let is_kept = true;
        return TokenSource { secret, is_kept };
    }
    let mut secret = Zeroizing::new([0; 32]);
    secret[..16].copy_from_slice(&entropy_u128().to_le_bytes());
    secret[16..].copy_from_slice(&entropy_u128().to_le_bytes());
    let is_kept = false;
    TokenSource { secret, is_kept }
}

impl Carrier for WebRtcCarrier {
    fn scheme(&self) -> &str {
        SCHEME
    }

    fn other_schemes(&self) -> &[&'static str] {
        &SIGNALED_SCHEMES
    }

    fn packet_bytes_max(&self) -> usize {
        PACKET_BYTES_MAX
    }

    fn stream_bytes_max(&self) -> usize {
        UNACKNOWLEDGED_BYTES_MAX
    }

    fn address_of(&self, server: ServerId) -> Option<Address> {
        Some(address_of(server))
    }

    fn introduce(&mut self, local: ServerId) {
        self.switchboard.introduce(local);
    }

    fn on_signal(&mut self, from: ServerId, by: ServerId, signal: Bytes) {
        let table = &mut self.table;
        let admit = |claim| table.admit(claim);
        self.switchboard.on_signal((from, by), &signal, admit);
        self.evict();
        self.wake();
    }

    fn look_around(&mut self) {
        self.switchboard.look_around();
        self.wake();
    }

    fn on_linked(&mut self, path: &Path) {
        self.table.on_linked(path);
    }

    fn describe(&self, path: &Path) -> Option<String> {
        self.table.describe(path)
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        let dialed = Dialed::read(address);
        let dialed = dialed.ok_or_else(|| DialError::BadAddress(address.clone()))?;
        if let Some(path) = self.claim(&dialed) {
            return Ok(path);
        }
        let (number, path) = self.table.dial().ok_or_else(|| DialError::TooMany {
            address: address.clone(),
            connections_max: self.table.limits.dialed_max,
        })?;
        match dialed {
            Dialed::Listener(listener) => self.order(number, Order::Reach(listener)),
            Dialed::Server(peer, place) => {
                if !self.switchboard.dial(number, peer, place) {
                    let why = "this end is that server, or does not know which one it is";
                    self.give_up(number, OpenFailure::NotConnected(why.to_owned()));
                }
            }
        }
        self.wake();
        Ok(path)
    }

    fn send(&mut self, path: &Path, channel: Channel, packet: Packet) -> Result<(), CarryError> {
        self.table.send(path, channel, packet)
    }

    fn close(&mut self, path: &Path) {
        if let Some(number) = self.table.number_of(path) {
            self.table.close(number);
            self.switchboard.remove(number);
            // Nobody is to be told of it any more.
            self.events.retain(|event| event.path() != Some(path));
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        self.waker = Some(context.waker().clone());
        for _ in 0..BATCH {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            match self.news.poll_next_unpin(context) {
                Poll::Ready(Some(news)) => {
                    self.take(news);
                    continue;
                }
                // The table has a sender as long as the carrier lives.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            let table = &mut self.table;
            let admit = |guest| match guest {
                Guest::Server(claim) => table.admit(claim),
                // A page makes about 500 connections in its life: none of them is for whoever may not join.
                Guest::Visitor => None,
            };
            let wish = self.switchboard.poll(context, admit);
            self.evict();
            match wish {
                Poll::Ready(wish) => self.grant(wish),
                Poll::Pending if self.events.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl fmt::Debug for WebRtcCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcCarrier").finish_non_exhaustive()
    }
}
