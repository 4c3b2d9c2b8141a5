//! Who waits for the own core to hand leadership over. It makes one transfer at a time and names none.

use std::collections::VecDeque;

use crate::ids::ServerId;

/// Who asked for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A caller of this member, under this number.
    Own(u64),
    /// Another member, under this number.
    Peer(ServerId, u64),
    /// This member, which is about to stop.
    Shutdown,
}

/// The transfers asked of the own core, the first of them perhaps under way.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    asked: VecDeque<(Asker, Option<ServerId>)>,
    under_way: bool,
}

impl Transfers {
    pub(super) fn ask(&mut self, asker: Asker, to: Option<ServerId>) {
        self.asked.push_back((asker, to));
    }

    /// The next transfer to give to the core, if none is under way.
    pub(super) fn begin(&mut self) -> Option<Option<ServerId>> {
        if self.under_way {
            return None;
        }
        let (_, to) = *self.asked.front()?;
        self.under_way = true;
        Some(to)
    }

    /// The core has answered: whom.
    pub(super) fn answered(&mut self) -> Option<Asker> {
        if !std::mem::take(&mut self.under_way) {
            return None;
        }
        self.asked.pop_front().map(|(asker, _)| asker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_are_made_one_after_the_other_and_answered_to_those_who_asked() {
        let mut transfers = Transfers::default();
        transfers.ask(Asker::Own(1), None);
        transfers.ask(Asker::Shutdown, Some(ServerId(2)));

        assert_eq!(transfers.begin(), Some(None));
        assert_eq!(transfers.begin(), None);
        assert_eq!(transfers.answered(), Some(Asker::Own(1)));
        assert_eq!(transfers.begin(), Some(Some(ServerId(2))));
        assert_eq!(transfers.answered(), Some(Asker::Shutdown));
        assert_eq!(transfers.answered(), None);
    }
}
