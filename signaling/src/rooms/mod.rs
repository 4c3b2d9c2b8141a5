//! Decides everything that the server does, as a value: connections, messages and the time go in, actions come out.
//!
//! The protocol is that of PeerJS, with three differences that its clients do not notice: the id of a peer that was cut
//! off without a goodbye is kept for its token, a peer that does not read is disconnected, and everything has a bound.
//! A message of one peer for another goes out with its true source, at once or when the other comes, or comes back as
//! `EXPIRE`.
//!
//! A room is made by `/new`, and is founded by whoever claims it first. A room that is entered without having been made
//! here may be older than this server, so nobody founds in it.

mod action;
mod room;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

pub use self::action::{Action, Attach, Claim, Closing, ConnectionId, Ending, Refusal};
use self::room::{Founding, Peer, Room, Timer};
use crate::config::{Config, Limits};
use crate::figures::Figures;
use crate::hosts::{Host, Hosts, IDS_PER_CONNECTION};
use crate::message::{self, Incoming, Relayed};
use crate::names::{Channel, Key, PeerId, Token};
use crate::rate::Bucket;

/// A new room costs as much as this many requests.
const NEW_CHANNEL_COST: usize = 10;
/// Connections over the bound that are told so before they are closed.
const REFUSED_CONNECTIONS_MAX: usize = 64;
/// The most ids in a list. A room has fewer.
const LISTED_MAX: usize = 1024;
/// A timer that comes later than this says that this process was stopped, and not that the peers were silent.
const LATE_AFTER: Duration = Duration::from_secs(5);

/// The state of a server.
#[derive(Debug)]
pub struct Rooms {
    key: String,
    limits: Limits,
    rooms: BTreeMap<Key, Room>,
    connections: BTreeMap<ConnectionId, Connection>,
    hosts: Hosts,
    timers: BTreeSet<(Duration, Timer)>,
    /// Peers are not taken as silent since before this.
    awake_since: Duration,
    /// The operator has not stopped signaling.
    is_open: bool,
    actions: Vec<Action>,
    figures: Figures,
}

#[derive(Debug)]
struct Connection {
    host: Host,
    /// Whose it is. None before it is attached, and from when it is closed.
    place: Option<(Key, PeerId)>,
    is_closed: bool,
    outgoing_bytes: usize,
    messages: Bucket,
    garbage: u32,
}

impl Rooms {
    /// Makes a server without connections.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let common = Room::new(Founding::Barred, None);
        Self {
            key: config.key().to_owned(),
            limits: config.limits.clone(),
            rooms: BTreeMap::from([(Key::Common, common)]),
            connections: BTreeMap::new(),
            hosts: Hosts::default(),
            timers: BTreeSet::new(),
            awake_since: Duration::ZERO,
            is_open: true,
            actions: Vec::new(),
            figures: Figures::default(),
        }
    }

    /// Takes what is to be done, in order. To be called after each of the others.
    pub fn actions(&mut self) -> Vec<Action> {
        mem::take(&mut self.actions)
    }

    /// Returns when [`Rooms::on_time`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Counts a request of a host.
    ///
    /// # Errors
    /// There were too many.
    pub fn request(&mut self, now: Duration, host: Host) -> Result<(), Refusal> {
        let is_allowed = self.hosts.request(now, host, &self.limits, 1);
        self.allowed(is_allowed, Refusal::TooMany)
    }

    /// Counts a request that was refused by its origin.
    pub(crate) const fn note_stranger(&mut self) {
        self.figures.strangers += 1;
    }

    /// Makes a room, in which the first to claim it founds.
    ///
    /// # Errors
    /// The host, or all together, made too many, or the room exists.
    pub fn make_channel(
        &mut self,
        now: Duration,
        host: Host,
        channel: Channel,
    ) -> Result<(), Refusal> {
        let is_allowed = self
            .hosts
            .request(now, host, &self.limits, NEW_CHANNEL_COST);
        self.allowed(is_allowed, Refusal::TooMany)?;
        let key = Key::Channel(channel);
        self.allowed(!self.rooms.contains_key(&key), Refusal::Exists)?;
        self.open_room(now, host, key, Founding::Open)?;
        self.figures.channels_made += 1;
        Ok(())
    }

    /// Decides whether a visit founds a cluster in a room. A visit that asks again with its nonce is told the same; a
    /// page that is loaded anew draws another nonce, so that it does not found twice.
    pub fn claim(&mut self, channel: Channel, nonce: &Token) -> Claim {
        let Some(room) = self.rooms.get_mut(&Key::Channel(channel)) else {
            return Claim::Refused;
        };
        match &room.founding {
            Founding::Open => {
                room.founding = Founding::Claimed(nonce.clone());
                self.figures.founders += 1;
                Claim::Founder
            }
            Founding::Claimed(by) if by == nonce => Claim::Founder,
            Founding::Claimed(_) | Founding::Barred => Claim::Refused,
        }
    }

    /// Returns the key of this text: the common place's, or that of a room, which need not exist.
    #[must_use]
    pub fn key_of(&self, text: &str) -> Option<Key> {
        if text == self.key {
            return Some(Key::Common);
        }
        text.parse().ok().map(Key::Channel)
    }

    /// Returns the ids of those that are connected: the first 1024. It is empty for a room that does not exist.
    #[must_use]
    pub fn peers(&self, key: Key) -> Vec<PeerId> {
        let room = self.rooms.get(&key);
        room.into_iter()
            .flat_map(|room| &room.peers)
            .filter(|(_, peer)| peer.connection.is_some())
            .map(|(id, _)| id.clone())
            .take(LISTED_MAX)
            .collect()
    }

    /// Takes a place for a connection.
    ///
    /// # Errors
    /// The host, or all together, have too many, or signaling is stopped.
    pub fn connect(
        &mut self,
        now: Duration,
        host: Host,
        connection: ConnectionId,
    ) -> Result<(), Refusal> {
        self.allowed(self.is_open, Refusal::Stopped)?;
        let has_room =
            self.connections.len() < self.limits.connections_max + REFUSED_CONNECTIONS_MAX;
        self.allowed(has_room, Refusal::Full)?;
        let is_allowed = self.hosts.connect(now, host, &self.limits);
        self.allowed(is_allowed, Refusal::TooMany)?;
        let entry = Connection {
            host,
            place: None,
            is_closed: false,
            outgoing_bytes: 0,
            messages: Bucket::default(),
            garbage: 0,
        };
        self.connections.insert(connection, entry);
        Ok(())
    }

    /// Gives a connection the id that it wants, or says why not and closes it.
    pub fn attach(&mut self, now: Duration, connection: ConnectionId, attach: Attach<'_>) {
        if let Err(why) = self.try_attach(now, connection, attach) {
            let _unless_closed = self.send(now, connection, why);
            self.close(now, connection, Closing::Refused);
        }
    }

    fn try_attach(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        attach: Attach<'_>,
    ) -> Result<(), String> {
        const INCOMPLETE: &str = "No id, token, or key supplied to websocket server";
        let given = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
        if !(given(attach.key) && given(attach.id) && given(attach.token)) {
            return Err(message::error(INCOMPLETE));
        }
        let key = attach.key.and_then(|key| self.key_of(key));
        let key = key.ok_or_else(|| message::error("Invalid key provided"))?;
        let id: Option<PeerId> = attach.id.and_then(|id| id.parse().ok());
        let id = id.ok_or_else(|| message::error("Invalid id provided"))?;
        let token: Option<Token> = attach.token.and_then(|token| token.parse().ok());
        let token = token.ok_or_else(|| message::error("Invalid token provided"))?;
        let Some(host) = self.connections.get(&connection).map(|it| it.host) else {
            return Ok(());
        };

        let known = self.rooms.get(&key).and_then(|room| room.peers.get(&id));
        if known.is_some_and(|peer| peer.token != token) {
            self.figures.ids_taken += 1;
            return Err(message::id_taken());
        }
        let replaced = known.and_then(|peer| peer.connection);
        if known.is_none() {
            self.check_room(now, host, key)?;
            self.check_ids(host)?;
        }
        match replaced {
            Some(replaced) => {
                if let Some(old) = self.connections.get_mut(&replaced) {
                    old.place = None;
                }
                self.close(now, replaced, Closing::Replaced);
            }
            // PeerJS opens a connection once: not the one that takes the place of another.
            None => {
                let _unless_closed = self.send(now, connection, message::open());
            }
        }
        self.enter(now, connection, host, (key, id), token);
        Ok(())
    }

    /// Opens the room if it is not there, and refuses what is over a bound.
    fn check_room(&mut self, now: Duration, host: Host, key: Key) -> Result<(), String> {
        if self.connections.len() > self.limits.connections_max {
            self.figures.refused += 1;
            return Err(message::error(
                "Server has reached its concurrent user limit",
            ));
        }
        if let Some(room) = self.rooms.get(&key) {
            let peers = room.peers.len();
            if key != Key::Common && peers >= self.limits.peers_per_channel_max {
                self.figures.refused += 1;
                return Err(message::error("The channel is full"));
            }
            return Ok(());
        }
        self.open_room(now, host, key, Founding::Barred)
            .map_err(|_| message::error("Too many channels"))
    }

    /// Takes a place for an id.
    fn check_ids(&mut self, host: Host) -> Result<(), String> {
        let ids_max = IDS_PER_CONNECTION * self.limits.connections_max;
        if self.figures.peers < ids_max && self.hosts.take_id(host, &self.limits) {
            self.figures.peers += 1;
            return Ok(());
        }
        self.figures.refused += 1;
        Err(message::error("Too many ids"))
    }

    fn enter(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        host: Host,
        (key, id): (Key, PeerId),
        token: Token,
    ) {
        let room = self.rooms.get_mut(&key).expect("the room was opened");
        if let Some(at) = room.forget_at.take() {
            self.timers.remove(&(at, Timer::Forgetting(key)));
        }
        let peer = room.peers.entry(id.clone()).or_insert_with(|| {
            let timer_at = now + self.limits.alive_timeout;
            let timer = Timer::Silence(key, id.clone());
            self.timers.insert((timer_at, timer));
            Peer {
                token,
                host,
                connection: None,
                heard_at: now,
                timer_at,
            }
        });
        peer.connection = Some(connection);
        peer.heard_at = now;
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.place = Some((key, id.clone()));
        }
        self.deliver_waiting(now, key, &id, connection);
    }

    /// Takes a text frame, and returns how long to wait before the next is read.
    pub fn frame(&mut self, now: Duration, connection: ConnectionId, text: &str) -> Duration {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return Duration::ZERO;
        };
        let host = entry.host;
        let by_messages = entry
            .messages
            .charge(now, self.limits.messages_per_connection, 1);
        let by_bytes = self.hosts.charge(now, host, text.len(), &self.limits);
        if let Some((key, id)) = entry.place.clone() {
            self.heard(now, key, &id);
            match Incoming::parse(text) {
                Ok(Incoming::Heartbeat | Incoming::Unknown) => {}
                Ok(Incoming::Leave) => self.close(now, connection, Closing::Left),
                Ok(Incoming::Relay(relayed)) => self.relay(now, host, key, &id, &relayed),
                Err(message::Garbage) => self.on_garbage(now, connection),
            }
        }
        by_messages.max(by_bytes)
    }

    /// Charges for what has come beside the text of a frame, such as the heads of empty ones, and returns how long to
    /// wait before the next is read.
    pub fn overhead(&mut self, now: Duration, connection: ConnectionId, bytes: usize) -> Duration {
        let Some(entry) = self.connections.get(&connection) else {
            return Duration::ZERO;
        };
        self.hosts.charge(now, entry.host, bytes, &self.limits)
    }

    /// Takes a binary frame: there are none in the protocol.
    pub fn binary_frame(&mut self, now: Duration, connection: ConnectionId) {
        self.figures.garbage += 1;
        self.close(now, connection, Closing::Binary);
    }

    /// Notes that a peer is alive, by a ping.
    pub fn ping(&mut self, now: Duration, connection: ConnectionId) -> Duration {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return Duration::ZERO;
        };
        let wait = entry
            .messages
            .charge(now, self.limits.messages_per_connection, 1);
        if let Some((key, id)) = entry.place.clone() {
            self.heard(now, key, &id);
        }
        wait
    }

    /// Notes that what an [`Action::Send`] said has left.
    pub fn sent(&mut self, connection: ConnectionId, bytes: usize) {
        if let Some(entry) = self.connections.get_mut(&connection) {
            // Nothing counts any more of a connection that was cut.
            let bytes = bytes.min(entry.outgoing_bytes);
            entry.outgoing_bytes -= bytes;
            self.figures.outgoing_bytes -= bytes;
        }
    }

    /// Takes note of the end of a connection. To be called once for each that [`Rooms::connect`] took.
    pub fn end(&mut self, now: Duration, connection: ConnectionId, ending: Ending) {
        self.detach(now, connection, ending);
        if let Some(entry) = self.connections.remove(&connection) {
            self.hosts.disconnect(entry.host);
            self.figures.outgoing_bytes -= entry.outgoing_bytes;
        }
    }

    /// Stops signaling, which closes all connections and takes no more, or starts it again. Rooms stay, and ids are
    /// kept for their tokens as if their connections had broken.
    pub fn set_open(&mut self, now: Duration, is_open: bool) {
        self.is_open = is_open;
        if !is_open {
            self.shut_down(now);
        }
    }

    /// Returns true if signaling is not stopped.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Closes all connections: the server ends.
    pub fn shut_down(&mut self, now: Duration) {
        let all: Vec<_> = self.connections.keys().copied().collect();
        for connection in all {
            self.close(now, connection, Closing::Shutdown);
        }
    }

    /// Does what is due. A call before the deadline does nothing.
    pub fn on_time(&mut self, now: Duration) {
        if self.deadline().is_some_and(|at| at + LATE_AFTER < now) {
            self.awake_since = now;
        }
        while let Some((at, timer)) = self.timers.pop_first() {
            if at > now {
                self.timers.insert((at, timer));
                return;
            }
            match timer {
                Timer::Silence(key, id) => self.on_silence(now, key, id),
                Timer::Expiry(key, destination, source) => {
                    if self.take_waiting(key, &destination, &source).is_some() {
                        self.figures.expired += 1;
                        self.tell_expired(now, key, &destination, &source);
                    }
                }
                Timer::Forgetting(key) => self.forget(key),
            }
        }
    }

    /// Returns the figures of this moment.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures {
            connections: self.connections.len(),
            channels: self.rooms.len() - 1,
            hosts: self.hosts.len(),
            ..self.figures
        }
    }

    fn allowed(&mut self, is_allowed: bool, refusal: Refusal) -> Result<(), Refusal> {
        if is_allowed {
            return Ok(());
        }
        self.figures.refused += 1;
        Err(refusal)
    }

    /// Opens a room, which is forgotten if nobody enters.
    fn open_room(
        &mut self,
        now: Duration,
        host: Host,
        key: Key,
        founding: Founding,
    ) -> Result<(), Refusal> {
        // The common place does not count.
        let has_room = self.rooms.len() <= self.limits.channels_max;
        self.allowed(has_room, Refusal::Full)?;
        let is_allowed = self.hosts.open_channel(host, &self.limits);
        self.allowed(is_allowed, Refusal::Rooms)?;
        self.rooms.insert(key, Room::new(founding, Some(host)));
        self.forget_when_empty(now, key);
        Ok(())
    }

    fn forget_when_empty(&mut self, now: Duration, key: Key) {
        if let Some(room) = self.rooms.get_mut(&key)
            && key != Key::Common
        {
            let at = now + self.limits.empty_channel_time;
            room.forget_at = Some(at);
            self.timers.insert((at, Timer::Forgetting(key)));
        }
    }

    fn forget(&mut self, key: Key) {
        let Some(room) = self.rooms.get(&key) else {
            return;
        };
        for (destination, source) in room.waiting_pairs() {
            self.take_waiting(key, &destination, &source);
        }
        let opener = self.rooms.remove(&key).and_then(|room| room.opener);
        if let Some(opener) = opener {
            self.hosts.close_channel(opener);
        }
    }

    fn heard(&mut self, now: Duration, key: Key, id: &PeerId) {
        let room = self.rooms.get_mut(&key);
        if let Some(peer) = room.and_then(|room| room.peers.get_mut(id)) {
            peer.heard_at = now;
        }
    }

    fn on_silence(&mut self, now: Duration, key: Key, id: PeerId) {
        let Some(peer) = self
            .rooms
            .get_mut(&key)
            .and_then(|room| room.peers.get_mut(&id))
        else {
            return;
        };
        let due = peer.heard_at.max(self.awake_since) + self.limits.alive_timeout;
        if due > now {
            peer.timer_at = due;
            self.timers.insert((due, Timer::Silence(key, id)));
            return;
        }
        self.figures.silent += 1;
        match peer.connection {
            Some(connection) => self.close(now, connection, Closing::Silent),
            None => self.free(now, key, &id),
        }
    }

    fn on_garbage(&mut self, now: Duration, connection: ConnectionId) {
        self.figures.garbage += 1;
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        entry.garbage += 1;
        if entry.garbage > self.limits.garbage_max {
            self.close(now, connection, Closing::Garbage);
        }
    }

    fn relay(
        &mut self,
        now: Duration,
        host: Host,
        key: Key,
        source: &PeerId,
        relayed: &Relayed<'_>,
    ) {
        let text = relayed.stamped(source);
        let destination = &relayed.destination;
        let room = self.rooms.get(&key);
        let unsent = match room.and_then(|room| room.connection_of(destination)) {
            Some(connection) => self.send(now, connection, text),
            None => Err(text),
        };
        match unsent {
            Ok(()) => self.figures.relayed += 1,
            Err(text) if relayed.waits() => self.wait(now, host, key, source, destination, text),
            Err(_) => {}
        }
    }

    /// Sends, or gives the text back. A connection that does not read is closed: this one where it is too far behind,
    /// and whichever is furthest behind where all together are.
    fn send(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        text: String,
    ) -> Result<(), String> {
        while self.figures.outgoing_bytes + text.len() > self.limits.outgoing_bytes_max {
            let open = self.connections.iter().filter(|(_, it)| !it.is_closed);
            let Some((slowest, _)) = open.max_by_key(|(_, it)| it.outgoing_bytes) else {
                return Err(text);
            };
            let slowest = *slowest;
            self.close(now, slowest, Closing::Slow);
        }
        let Some(entry) = self.connections.get_mut(&connection) else {
            return Err(text);
        };
        if entry.is_closed {
            return Err(text);
        }
        let bytes = entry.outgoing_bytes + text.len();
        if bytes > self.limits.outgoing_bytes_per_connection_max {
            self.close(now, connection, Closing::Slow);
            return Err(text);
        }
        entry.outgoing_bytes = bytes;
        self.figures.outgoing_bytes += text.len();
        self.actions.push(Action::Send { connection, text });
        Ok(())
    }

    fn close(&mut self, now: Duration, connection: ConnectionId, closing: Closing) {
        let Some(entry) = self.connections.get_mut(&connection) else {
            return;
        };
        if mem::replace(&mut entry.is_closed, true) {
            return;
        }
        if closing.is_cut() {
            // What it holds is dropped.
            self.figures.outgoing_bytes -= mem::take(&mut entry.outgoing_bytes);
        }
        self.figures.slow += u64::from(closing == Closing::Slow);
        // Whoever does not read, or was told that the server ends, comes back.
        let ending = match closing {
            Closing::Slow | Closing::Shutdown => Ending::Lost,
            _ => Ending::Goodbye,
        };
        self.detach(now, connection, ending);
        self.actions.push(Action::Close {
            connection,
            closing,
        });
    }

    fn detach(&mut self, now: Duration, connection: ConnectionId, ending: Ending) {
        let entry = self.connections.get_mut(&connection);
        let Some((key, id)) = entry.and_then(|entry| entry.place.take()) else {
            return;
        };
        match ending {
            Ending::Goodbye => self.free(now, key, &id),
            Ending::Lost => {
                let room = self.rooms.get_mut(&key);
                if let Some(peer) = room.and_then(|room| room.peers.get_mut(&id)) {
                    peer.connection = None;
                }
            }
        }
    }

    /// Gives up an id. The last one to go leaves the room to be forgotten.
    fn free(&mut self, now: Duration, key: Key, id: &PeerId) {
        let Some(room) = self.rooms.get_mut(&key) else {
            return;
        };
        if let Some(peer) = room.peers.remove(id) {
            let timer = Timer::Silence(key, id.clone());
            self.timers.remove(&(peer.timer_at, timer));
            self.hosts.free_id(peer.host);
            self.figures.peers -= 1;
        }
        if room.peers.is_empty() {
            self.forget_when_empty(now, key);
        }
    }
}
