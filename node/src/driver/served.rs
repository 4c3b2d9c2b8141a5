//! The operations that other members have asked of this one.
//!
//! A request may arrive more than once, and its answer may be lost. Each is begun once, and its answer is kept for a
//! while, so that a repeated request hears the same: a change that was made is not answered by *it is so already*, and
//! one of unknown outcome not by a refusal. Whoever hears that it is unknown, or refused for want of leadership, asks
//! anew under another number.

use crate::consensus::{ChangeError, TransferError};
use crate::ids::{Index, ServerId};
use crate::sorted::SortedMap;
use crate::wire::Content;

/// The most members whose requests are remembered.
const PEERS_MAX: usize = 256;

/// The most requests of one member that are remembered.
const REQUESTS_MAX: usize = 16;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Change(Result<Index, ChangeError>),
    Transfer(Result<ServerId, TransferError>),
}

/// The requests of others.
#[derive(Debug)]
pub(super) struct Served {
    peers: SortedMap<ServerId, Peer>,
}

/// What one member has asked in one of its runs.
#[derive(Debug, Default)]
struct Peer {
    run: u64,
    /// Requests up to here are forgotten: copies of them are late, and ignored.
    forgotten: u64,
    requests: SortedMap<u64, Option<Answer>>,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is to be begun.
    First,
    /// It was answered so.
    Answered(Answer),
    /// It is under way, or so late that nobody waits for it, or there are too many.
    Ignore,
}

impl Served {
    pub(super) fn new() -> Self {
        Self {
            peers: SortedMap::new(),
        }
    }

    /// A request has arrived.
    pub(super) fn begin(&mut self, from: ServerId, request: u64) -> Begin {
        if !self.peers.contains_key(&from) && !self.make_room() {
            return Begin::Ignore;
        }
        let run = request >> 32;
        let peer = self.peers.entry(from).or_insert(Peer {
            run,
            ..Peer::default()
        });
        if peer.run != run {
            *peer = Peer {
                run,
                ..Peer::default()
            };
        }
        if request <= peer.forgotten {
            return Begin::Ignore;
        }
        if let Some(known) = peer.requests.get(&request) {
            return known.clone().map_or(Begin::Ignore, Begin::Answered);
        }
        if peer.requests.len() >= REQUESTS_MAX {
            if peer.requests.values().next().is_some_and(Option::is_none) {
                return Begin::Ignore;
            }
            if let Some((oldest, _)) = peer.requests.pop_first() {
                peer.forgotten = oldest;
            }
        }
        peer.requests.insert(request, None);
        Begin::First
    }

    /// What a request was answered, if it was and that is still known.
    pub(super) fn answer(&self, from: ServerId, request: u64) -> Option<Answer> {
        self.peers.get(&from)?.requests.get(&request)?.clone()
    }

    /// Keeps the answer to a request.
    pub(super) fn finish(&mut self, from: ServerId, request: u64, answer: &Answer) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        if peer.run != request >> 32 {
            return;
        }
        if let Some(kept) = peer.requests.get_mut(&request) {
            *kept = Some(answer.clone());
        }
    }

    /// Forgets a member that waits for nothing, if there are too many. Whether there is room.
    fn make_room(&mut self) -> bool {
        if self.peers.len() < PEERS_MAX {
            return true;
        }
        let idle = |peer: &Peer| peer.requests.values().all(Option::is_some);
        let Some(id) = self
            .peers
            .iter()
            .find(|(_, peer)| idle(peer))
            .map(|(id, _)| *id)
        else {
            return false;
        };
        self.peers.remove(&id);
        true
    }
}

impl Answer {
    /// The answer as it is sent.
    pub(super) fn into_content(self, request: u64) -> Content {
        match self {
            Self::Change(result) => Content::ChangeReply { request, result },
            Self::Transfer(result) => Content::TransferReply { request, result },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: ServerId = ServerId(1);
    const DONE: Answer = Answer::Change(Ok(Index(5)));

    fn run(run: u64, request: u64) -> u64 {
        run << 32 | request
    }

    #[test]
    fn a_repeated_request_is_begun_once_and_hears_the_first_answer() {
        let mut served = Served::new();

        let first = served.begin(PEER, run(1, 1));
        let under_way = served.begin(PEER, run(1, 1));
        served.finish(PEER, run(1, 1), &DONE);
        let repeated = served.begin(PEER, run(1, 1));

        assert_eq!((first, under_way), (Begin::First, Begin::Ignore));
        assert_eq!(repeated, Begin::Answered(DONE));
    }

    #[test]
    fn a_request_that_found_no_leader_is_never_begun_again() {
        let mut served = Served::new();
        let refused = Answer::Change(Err(ChangeError::NotLeader { leader: None }));
        served.begin(PEER, run(1, 1));

        served.finish(PEER, run(1, 1), &refused);

        assert_eq!(served.begin(PEER, run(1, 1)), Begin::Answered(refused));
        assert_eq!(served.begin(PEER, run(1, 2)), Begin::First);
    }

    #[test]
    fn a_request_of_unknown_outcome_is_never_begun_again() {
        let mut served = Served::new();
        let unknown = Answer::Change(Err(ChangeError::Unknown { leader: None }));
        served.begin(PEER, run(1, 1));

        served.finish(PEER, run(1, 1), &unknown);

        assert_eq!(served.begin(PEER, run(1, 1)), Begin::Answered(unknown));
    }

    #[test]
    fn a_late_copy_of_a_forgotten_request_is_ignored() {
        let mut served = Served::new();
        for request in 1..=REQUESTS_MAX as u64 + 1 {
            served.begin(PEER, run(1, request));
            served.finish(PEER, run(1, request), &DONE);
        }

        assert_eq!(served.begin(PEER, run(1, 1)), Begin::Ignore);
        assert_eq!(served.begin(PEER, run(1, 2)), Begin::Answered(DONE));
    }

    #[test]
    fn a_member_that_started_again_is_heard_anew() {
        let mut served = Served::new();
        served.begin(PEER, run(9, 7));

        assert_eq!(served.begin(PEER, run(2, 1)), Begin::First);
    }

    #[test]
    fn requests_of_one_member_and_members_are_bounded() {
        let mut served = Served::new();
        for request in 1..=REQUESTS_MAX as u64 {
            assert_eq!(served.begin(PEER, run(1, request)), Begin::First);
        }
        for peer in 2..=PEERS_MAX as u128 {
            assert_eq!(served.begin(ServerId(peer), run(1, 1)), Begin::First);
        }

        assert_eq!(served.begin(PEER, run(1, 99)), Begin::Ignore);
        assert_eq!(served.begin(ServerId(9999), run(1, 1)), Begin::Ignore);
    }
}
