//! The ordered sessions of this member's outboxes, beside the plain session that serves all other callers.
//!
//! Each outbox has a lane. The member's loop sends what is in the lanes, to its own core or to the leader, and tells
//! each outbox what became of it.

mod lane;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use self::lane::Lane;
use super::asker::Asker;
use super::bounds::LANE_COMMANDS_MAX;
use super::task::Driver;
use crate::ids::Index;
use crate::sorted::SortedMap;
use crate::state_machine::StateMachine;
use crate::time::Instant;

/// The most outboxes of one member.
pub(super) const LANES_MAX: usize = 64;

/// The most events of a lane that its outbox has not taken: one for each command, and those of its session, of which
/// the next comes only after the outbox has acted upon the last.
pub(super) const LANE_EVENTS_MAX: usize = LANE_COMMANDS_MAX + 16;

/// Numbers of proposals and batches that belong to a lane have this bit, then the lane's number, then its own.
const LANE: u64 = 1 << 62;
const NUMBER_SHIFT: u32 = 40;
const NUMBERS_MAX: u64 = 1 << 22;
const OWN_MASK: u64 = (1 << NUMBER_SHIFT) - 1;

/// Names a lane of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(u64);

/// What an outbox asks of its lane.
#[derive(Debug)]
pub(super) enum LaneRequest<R> {
    /// A lane, for the session of this nonce. The answer is `None` if there are too many.
    Open {
        nonce: u128,
        events: mpsc::Sender<LaneEvent<R>>,
        opened: oneshot::Sender<Option<LaneId>>,
    },
    /// The session is to be opened, or found open, which also keeps it from expiring. Nothing is in the lane.
    Register { lane: LaneId },
    /// Commands of the session, as they are sent, numbered from `first` on and following those in the lane.
    Send {
        lane: LaneId,
        session: Index,
        first: u64,
        commands: Vec<Bytes>,
    },
}

/// What a lane tells its outbox, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LaneEvent<R> {
    /// The session is open.
    Registered { session: Index },
    /// The next command is done.
    Done { sequence: u64, reply: Option<R> },
    /// The session is gone, and the lane empty. Some of the commands up to `sent_through` may have reached a leader;
    /// none after it did.
    Expired {
        sent_through: u64,
        /// Whether it is certain that none of them has taken effect. None ever will, certain or not.
        proven: bool,
    },
}

/// The lanes of a member.
#[derive(Debug)]
pub(super) struct Lanes<R> {
    lanes: SortedMap<LaneId, Lane<R>>,
    last: u64,
    resend_after: Duration,
}

impl<R> Lanes<R> {
    /// None yet. A command is sent again when no answer has come for `resend_after`.
    pub(super) fn new(resend_after: Duration) -> Self {
        Self {
            lanes: SortedMap::new(),
            last: 0,
            resend_after,
        }
    }

    pub(super) fn resend_after(&mut self, interval: Duration) {
        self.resend_after = interval;
        for lane in self.lanes.values_mut() {
            lane.resend_after(interval);
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(super) fn due(&self) -> Instant {
        let dues = self.lanes.values().map(Lane::due);
        dues.min().unwrap_or(Instant::MAX)
    }

    /// Wakes what is to be sent again, and returns the nonces of lanes whose outboxes are gone; so are these lanes.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u128> {
        let mut gone = Vec::new();
        self.lanes.retain(|_, lane| {
            lane.expire(now);
            if lane.is_abandoned() {
                gone.push(lane.nonce());
            }
            !lane.is_abandoned()
        });
        gone
    }

    fn open(&mut self, nonce: u128, events: mpsc::Sender<LaneEvent<R>>) -> Option<LaneId> {
        // Another outbox of the same name is an earlier one over the same store, that is about to go.
        self.lanes.retain(|_, lane| lane.nonce() != nonce);
        if self.lanes.len() >= LANES_MAX || self.last + 1 >= NUMBERS_MAX {
            return None;
        }
        self.last += 1;
        let id = LaneId(self.last);
        self.lanes
            .insert(id, Lane::new(nonce, self.resend_after, events));
        Some(id)
    }

    /// Gives all that is unsent to this server's own core.
    pub(super) fn propose(&mut self, mut ask: impl FnMut(Asker, Bytes)) {
        for (id, lane) in &mut self.lanes {
            while let Some((own, command)) = lane.next_for_core() {
                ask(Asker::Lane(*id, own), command);
            }
        }
    }

    /// The core's answer to a proposal of a lane.
    pub(super) fn on_core_answer(&mut self, lane: LaneId, own: u64, taken: bool, now: Instant) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.on_core_answer(own, taken, now);
        }
    }

    /// The next batch for the leader, of about this many bytes, with its number. The caller says whether it was
    /// [`forwarded`](Self::forwarded).
    pub(super) fn next_batch(
        &mut self,
        now: Instant,
        bytes_max: usize,
    ) -> Option<(u64, Vec<Bytes>)> {
        self.lanes.iter_mut().find_map(|(id, lane)| {
            let (own, commands) = lane.next_batch(now, bytes_max)?;
            Some((join(*id, own), commands))
        })
    }

    /// Whether the transport took a batch.
    pub(super) fn forwarded(&mut self, request: u64, sent: bool, now: Instant) {
        if let Some((lane, own)) = split(request)
            && let Some(lane) = self.lanes.get_mut(&lane)
        {
            lane.forwarded(own, sent, now);
        }
    }

    /// The leader's answer to a batch: whether it was appended. Whether it is one of a lane.
    pub(super) fn on_forward_answer(&mut self, request: u64, taken: bool, now: Instant) -> bool {
        let Some((lane, own)) = split(request) else {
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.on_forward_answer(own, taken, now);
        }
        true
    }

    /// Another leader, or another term of it: what the last one took up may be lost.
    pub(super) fn reroute(&mut self) {
        for lane in self.lanes.values_mut() {
            lane.reroute();
        }
    }

    /// This member's applier has come to the registration of an ordered session.
    pub(super) fn on_registered(&mut self, nonce: u128, session: Index, at: Index) {
        if let Some(lane) = self.lanes.values_mut().find(|lane| lane.nonce() == nonce) {
            lane.on_registered(session, at);
        }
    }

    /// A snapshot took the place of a part of the log. It knows these sessions.
    pub(super) fn on_restored(&mut self, known: &[(u128, Option<Index>)]) {
        for (nonce, session) in known {
            if let Some(lane) = self.lanes.values_mut().find(|lane| lane.nonce() == *nonce) {
                lane.on_restored(*session);
            }
        }
    }

    /// The lane whose session this is.
    pub(super) fn of_session(&mut self, session: Index) -> Option<&mut Lane<R>> {
        self.lanes
            .values_mut()
            .find(|lane| lane.session() == Some(session))
    }
}

impl<S: StateMachine> Driver<S> {
    pub(super) fn take_lane_request(&mut self, request: LaneRequest<S::Reply>) {
        match request {
            LaneRequest::Open {
                nonce,
                events,
                opened,
            } => {
                let may_open = self.work.may_watch();
                let lane = may_open.then(|| self.lanes.open(nonce, events));
                let lane = lane.flatten();
                if lane.is_some() {
                    self.work.watch(nonce, true);
                }
                // An outbox that was dropped meanwhile leaves an abandoned lane behind.
                let _ = opened.send(lane);
            }
            LaneRequest::Register { lane } => {
                let last_index = self.raft.positions().last.index;
                if let Some(lane) = self.lanes.lanes.get_mut(&lane) {
                    lane.register(last_index);
                }
            }
            LaneRequest::Send {
                lane,
                session,
                first,
                commands,
            } => {
                if let Some(lane) = self.lanes.lanes.get_mut(&lane) {
                    lane.send(session, first, commands);
                }
            }
        }
    }

    pub(super) fn expire_lanes(&mut self, now: Instant) {
        for nonce in self.lanes.expire(now) {
            self.work.watch(nonce, false);
        }
    }
}

fn join(lane: LaneId, own: u64) -> u64 {
    LANE | lane.0 << NUMBER_SHIFT | (own & OWN_MASK)
}

/// The lane and its own number, if these are a lane's.
fn split(number: u64) -> Option<(LaneId, u64)> {
    (number & LANE != 0).then_some((LaneId((number & !LANE) >> NUMBER_SHIFT), number & OWN_MASK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_lanes_are_told_from_those_of_other_proposals() {
        let number = join(LaneId(NUMBERS_MAX - 1), OWN_MASK);

        assert_eq!(split(number), Some((LaneId(NUMBERS_MAX - 1), OWN_MASK)));
        assert_eq!(split(OWN_MASK), None);
        assert_eq!(number & 1 << 63, 0, "others' proposals have that bit");
    }

    #[test]
    fn lanes_are_bounded_and_those_without_an_outbox_leave() {
        let mut lanes = Lanes::<u64>::new(Duration::from_millis(100));
        let (events, outbox) = mpsc::channel(1);

        for nonce in 0..LANES_MAX as u128 {
            assert!(lanes.open(nonce, events.clone()).is_some());
        }
        let refused = lanes.open(77, events);
        drop(outbox);
        let gone = lanes.expire(Instant::ORIGIN);

        assert_eq!(refused, None);
        assert_eq!(gone.len(), LANES_MAX);
    }
}
