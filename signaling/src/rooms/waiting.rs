//! Keeps messages for peers that are not there yet, within bounds, until they come or the messages expire.

use std::time::Duration;

use super::room::{Timer, Waiting};
use super::{ConnectionId, Rooms};
use crate::hosts::Host;
use crate::message;
use crate::names::{Key, PeerId};

/// What a message that waits costs besides its bytes, about.
const WAITING_OVERHEAD_BYTES: usize = 256;

impl Rooms {
    /// Keeps a message for a peer that is not there, or tells its sender that it is not delivered.
    pub(super) fn wait(
        &mut self,
        now: Duration,
        host: Host,
        key: Key,
        source: &PeerId,
        destination: &PeerId,
        text: String,
    ) {
        let bytes = text.len() + WAITING_OVERHEAD_BYTES;
        let has_room = self.figures.waiting_bytes + bytes <= self.limits.waiting_bytes_max;
        let room = self.rooms.get_mut(&key).expect("its sender is in it");
        let of_destination = room.waiting.entry(destination.clone()).or_default();
        // Whoever has taken the sender's id since may be another host.
        let known = of_destination.get(source).map(|waiting| waiting.host);
        let is_allowed = has_room
            && known.is_none_or(|known| known == host)
            && self.hosts.wait(host, bytes, &self.limits);
        if !is_allowed {
            if of_destination.is_empty() {
                room.waiting.remove(destination);
            }
            self.figures.expired += 1;
            self.tell_expired(now, key, destination, source);
            return;
        }
        self.figures.waiting_bytes += bytes;
        let waiting = of_destination.entry(source.clone()).or_insert_with(|| {
            let expires_at = now + self.limits.expire_timeout;
            let timer = Timer::Expiry(key, destination.clone(), source.clone());
            self.timers.insert((expires_at, timer));
            Waiting {
                messages: Vec::new(),
                bytes: 0,
                host,
                expires_at,
            }
        });
        waiting.messages.push(text);
        waiting.bytes += bytes;
    }

    pub(super) fn take_waiting(
        &mut self,
        key: Key,
        destination: &PeerId,
        source: &PeerId,
    ) -> Option<Waiting> {
        let room = self.rooms.get_mut(&key)?;
        let waiting = room.remove_waiting(destination, source)?;
        let timer = Timer::Expiry(key, destination.clone(), source.clone());
        self.timers.remove(&(waiting.expires_at, timer));
        self.hosts.waited(waiting.host, waiting.bytes);
        self.figures.waiting_bytes -= waiting.bytes;
        Some(waiting)
    }

    /// Tells a sender once that all of its messages for a destination are given up.
    pub(super) fn tell_expired(
        &mut self,
        now: Duration,
        key: Key,
        destination: &PeerId,
        source: &PeerId,
    ) {
        let room = self.rooms.get(&key);
        if let Some(sender) = room.and_then(|room| room.connection_of(source)) {
            let _unless_closed = self.send(now, sender, message::expire(destination, source));
        }
    }

    pub(super) fn deliver_waiting(
        &mut self,
        now: Duration,
        key: Key,
        id: &PeerId,
        connection: ConnectionId,
    ) {
        let room = self.rooms.get(&key);
        let sources = room.map(|room| room.sources_waiting_for(id));
        for source in sources.unwrap_or_default() {
            let waiting = self.take_waiting(key, id, &source);
            let mut messages = waiting.into_iter().flat_map(|waiting| waiting.messages);
            let is_cut = messages.any(|text| {
                let sent = self.send(now, connection, text);
                self.figures.relayed += u64::from(sent.is_ok());
                sent.is_err()
            });
            if is_cut {
                self.figures.expired += 1;
                self.tell_expired(now, key, id, &source);
            }
        }
    }
}
