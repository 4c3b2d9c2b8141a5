//! Says who has asked something of the core, which is told names alone: an answer goes to whoever asked.

use std::collections::VecDeque;

use super::lanes::LaneId;
use super::serving::Ticket;
use crate::ids::ServerId;

/// Who has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A caller of this member, by the number of its command or operation.
    Own(u64),
    /// An outbox of this member, by its lane and the number of its command there.
    Lane(LaneId, u64),
    /// A client.
    Client(Ticket),
    /// Another member that has forwarded commands, by their batch's place in this round.
    Batch(usize),
    /// Another member that wants an operation, by its number there.
    Peer(ServerId, u64),
    /// This member: its membership policy.
    Policy,
    /// This member, since another says something else of itself than the configuration does.
    Describing,
    /// This member, which is about to stop.
    Shutdown,
    /// This member, whose disk has no room but a reserve.
    NoRoom,
    /// This member, whose disk hangs.
    Stalled,
}

/// Names what is asked of the core in a row, so that who asked is found by the place in it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The name of the first one here.
    first: u64,
    /// `None` once it is answered.
    askers: VecDeque<Option<Asker>>,
}

impl Asked {
    /// Somebody asks: under this name.
    pub(super) fn name(&mut self, asker: Asker) -> u64 {
        self.askers.push_back(Some(asker));
        self.first + self.askers.len() as u64 - 1
    }

    /// The core has answered: whom. Each is answered once.
    pub(super) fn answered(&mut self, name: u64) -> Option<Asker> {
        let place = usize::try_from(name.checked_sub(self.first)?).ok()?;
        let asker = self.askers.get_mut(place)?.take();
        while let Some(None) = self.askers.front() {
            self.askers.pop_front();
            self.first += 1;
        }
        asker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_answered_once_in_any_order() {
        let mut asked = Asked::default();
        let names = [7, 8, 9].map(|number| asked.name(Asker::Own(number)));

        let answered = [names[1], names[0], names[1], names[0], names[2]];
        let answered = answered.map(|name| asked.answered(name));
        let next = asked.name(Asker::Policy);

        let [seven, eight, nine] = [7, 8, 9].map(|number| Some(Asker::Own(number)));
        assert_eq!(answered, [eight, seven, None, None, nine]);
        assert_eq!(asked.answered(next), Some(Asker::Policy));
        assert_eq!(asked.askers.len(), 0);
    }
}
