//! Receives visitors: takes the channel that a client of PeerJS makes, says on it what it takes to join, and ends.
//!
//! What a visitor says is not listened to.

use str0m::Event;
use str0m::channel::ChannelId;

use super::super::super::visitors::REFUSAL;
use super::{Connection, Ending, Turn, Use, failed};
use crate::signaling::Serialization;

/// The most datagrams that are taken of a visitor. Being told takes some 20, and a few more for what it says
/// meanwhile.
const DATAGRAMS_MAX: usize = 256;

/// How far a visitor has come.
#[derive(Debug)]
pub(super) struct Reception {
    serialization: Serialization,
    datagrams: usize,
    /// The channel on which it was told, if it was.
    told: Option<ChannelId>,
}

impl Reception {
    pub(super) fn new(serialization: Serialization) -> Self {
        Self {
            serialization,
            datagrams: 0,
            told: None,
        }
    }

    /// Counts a datagram. Returns false if it is one too many.
    pub(super) fn takes_datagram(&mut self) -> bool {
        self.datagrams += 1;
        self.datagrams <= DATAGRAMS_MAX
    }
}

impl Connection {
    /// Tells a visitor on its first channel what it takes to join.
    pub(super) fn on_event_of_visitor(&mut self, event: &Event, turn: &mut Turn) {
        let Use::Visit(reception) = &mut self.used_for else {
            return;
        };
        match event {
            Event::ChannelOpen(id, _) if reception.told.is_none() => {
                reception.told = Some(*id);
                let (is_binary, message) = reception.serialization.write(REFUSAL);
                let written = self.rtc.channel(*id).map(|mut channel| {
                    let written = channel.write(is_binary, &message);
                    written.map_err(failed)
                });
                if let Some(Err(ending)) = written {
                    turn.end(ending);
                }
            }
            Event::ChannelOpen(..) => {
                turn.end(Ending::NoPacket("a visitor makes a second channel".into()));
            }
            Event::ChannelClose(_) | Event::Closed => turn.end(Ending::ByPeer),
            _ => {}
        }
    }

    /// Ends the visit when what the visitor was told has arrived.
    pub(super) fn see_off(&mut self, turn: &mut Turn) {
        let Use::Visit(Reception { told: Some(id), .. }) = self.used_for else {
            return;
        };
        let under_way = self.rtc.channel(id).map(|mut it| it.buffered_amount());
        if under_way.is_none_or(|bytes| bytes == 0) {
            turn.end(Ending::Refused);
        }
    }
}
