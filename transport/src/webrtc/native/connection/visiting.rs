//! Receives visitors: takes the channel that a client of PeerJS makes, says on it what it takes to join, and ends.
//!
//! What a visitor says is not listened to.

use str0m::Event;
use str0m::channel::ChannelId;

use super::super::super::visitors::REFUSAL;
use super::{Connection, Ending, Turn, Use, failed};
use crate::signaling::Serialization;

/// How far a visitor has come.
#[derive(Debug)]
pub(super) struct Reception {
    serialization: Serialization,
    /// The channel on which it was told, if it was.
    told: Option<ChannelId>,
}

impl Reception {
    pub(super) fn new(serialization: Serialization) -> Self {
        Self {
            serialization,
            told: None,
        }
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
