//! Queues the transfers of leadership asked of the own core, which makes one at a time and names none.

use std::collections::VecDeque;

use super::asker::Asker;
use crate::consensus::TRANSFERS_WAITING_MAX;
use crate::ids::ServerId;

/// The transfers asked of the own core.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    under_way: Option<Asker>,
    waiting: VecDeque<(Asker, Option<ServerId>)>,
}

impl Transfers {
    /// Queues a transfer of this member.
    pub(super) fn ask(&mut self, asker: Asker, to: Option<ServerId>) {
        self.waiting.push_back((asker, to));
    }

    /// Queues a transfer of another member: at most [`TRANSFERS_WAITING_MAX`] wait, beside the one under way. Returns
    /// false, having refused it, when one of the same run of that member waits, or too many do. One of an earlier run
    /// gives way: whoever asked for it is gone.
    pub(super) fn ask_for_peer(
        &mut self,
        peer: ServerId,
        request: u64,
        to: Option<ServerId>,
    ) -> bool {
        let asker = Asker::Peer(peer, request);
        let mut peers = 0;
        for waiting in &mut self.waiting {
            match waiting.0 {
                Asker::Peer(other, earlier) if other == peer => {
                    let restarted = earlier >> 32 != request >> 32;
                    if restarted {
                        *waiting = (asker, to);
                    }
                    return restarted;
                }
                Asker::Peer(..) => peers += 1,
                _ => {}
            }
        }
        if peers >= TRANSFERS_WAITING_MAX {
            return false;
        }
        self.waiting.push_back((asker, to));
        true
    }

    /// The next transfer to give to the core, if none is under way.
    pub(super) fn begin(&mut self) -> Option<Option<ServerId>> {
        if self.under_way.is_some() {
            return None;
        }
        let (asker, to) = self.waiting.pop_front()?;
        self.under_way = Some(asker);
        Some(to)
    }

    /// The core has answered: whom.
    pub(super) fn answered(&mut self) -> Option<Asker> {
        self.under_way.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: ServerId = ServerId(7);
    const RUN: u64 = 1 << 32;

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

    #[test]
    fn one_transfer_of_a_peer_waits_beside_the_one_under_way() {
        let mut transfers = Transfers::default();

        let first = transfers.ask_for_peer(PEER, RUN + 1, None);
        transfers.begin();
        let second = transfers.ask_for_peer(PEER, RUN + 2, None);
        let third = transfers.ask_for_peer(PEER, RUN + 3, None);

        assert_eq!((first, second, third), (true, true, false));
    }

    #[test]
    fn a_transfer_of_an_earlier_run_gives_way() {
        let mut transfers = Transfers::default();
        transfers.ask_for_peer(PEER, RUN + 5, None);

        let taken = transfers.ask_for_peer(PEER, 2 * RUN + 1, Some(PEER));

        assert!(taken);
        assert_eq!(transfers.begin(), Some(Some(PEER)));
        assert_eq!(transfers.answered(), Some(Asker::Peer(PEER, 2 * RUN + 1)));
        assert_eq!(transfers.begin(), None);
    }

    #[test]
    fn the_peers_whose_transfers_wait_are_bounded() {
        let mut transfers = Transfers::default();

        let taken = (0..1000).filter(|peer| transfers.ask_for_peer(ServerId(*peer), RUN, None));

        assert_eq!(taken.count(), TRANSFERS_WAITING_MAX);
    }
}
