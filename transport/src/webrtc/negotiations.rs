//! Keeps all negotiations of a carrier: which signal belongs to which connection, whose offer counts when both ends
//! dial, and what strangers may cost.
//!
//! A signal of an unknown session begins a connection if it offers one; what of a session came before or comes after
//! its time is ignored, so that an offer that is replayed makes no second connection. One that two ends offer is
//! answered to both. When both ends dial, the offer of
//! the smaller id counts: the other end gives up its own, and answers by the connection that it has dialed. An offer
//! never ends a connection that is open: anybody may have made it up, and links decide when the new one has proven who
//! is there.

use std::collections::VecDeque;
use std::time::Duration;

use liferaft_platform::{SortedMap, SortedSet};

use super::by_hand::BY_HAND_MAX;
use super::limits::WebRtcLimits;
use super::negotiation::{ANYBODY, Action, MediumEvent, Negotiation, Step, Unreached, Ways};
use super::shunned::Shunned;
use super::strangers::Strangers;
use crate::ServerId;
use crate::signaling::{Body, Note, NoteKind, Signal, Way};

/// The most sessions that have ended and are remembered. The oldest is forgotten first.
const ENDED_MAX: usize = 1_024;

/// How long a connection has been open when it is certain that links have found the right peer at its other end: longer
/// than a handshake takes.
const PROVEN_AFTER: Duration = Duration::from_secs(6);

/// The negotiations of a carrier, by the numbers that it gives to its connections.
#[derive(Debug)]
pub(crate) struct Negotiations {
    local: Option<ServerId>,
    limits: WebRtcLimits,
    seats: SortedMap<u64, Seat>,
    /// Each has one connection, or one for each end that offers it: only the peer's own leads to it.
    sessions: SortedMap<(ServerId, u64), Vec<u64>>,
    deadlines: SortedSet<(Duration, u64)>,
    ended: VecDeque<(ServerId, u64)>,
    shunned: Shunned,
    strangers: Strangers,
    outputs: VecDeque<Output>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Seat {
    negotiation: Negotiation,
    /// When it has opened, and which way had led to that.
    opened: Option<(Duration, Option<Way>)>,
    deadline: Option<Duration>,
    /// This end has dialed, whosever offer it came to.
    is_dialed: bool,
    /// It was made by hand, and whoever dials the peer next has it.
    is_unclaimed: bool,
}

/// Whether an offer by hand was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Not,
    /// Its answer waits, on this connection.
    Waits(u64),
    Before,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The medium is to do this about a connection.
    Do { number: u64, action: Action },
    /// A signal is to be sent.
    Send {
        to: ServerId,
        ways: Ways,
        signal: Signal,
    },
}

impl Negotiations {
    pub(crate) fn new(limits: WebRtcLimits) -> Self {
        Self {
            local: None,
            limits,
            seats: SortedMap::new(),
            sessions: SortedMap::new(),
            deadlines: SortedSet::new(),
            ended: VecDeque::new(),
            shunned: Shunned::default(),
            strangers: Strangers::default(),
            outputs: VecDeque::new(),
            steps: Vec::new(),
        }
    }

    /// Takes the id of this server, without which it neither dials nor answers.
    pub(crate) fn introduce(&mut self, local: ServerId) {
        self.local = Some(local);
    }

    /// Begins to connect to a peer, in a session with a number drawn at random. Returns false if it cannot.
    pub(crate) fn dial(
        &mut self,
        number: u64,
        peer: ServerId,
        session: u64,
        now: Duration,
    ) -> bool {
        if self.local.is_none_or(|local| local == peer) {
            return false;
        }
        let shunned = self.shunned.ways_to(peer, now);
        let time_max = self.limits.opening_time_max;
        let negotiation =
            Negotiation::dial((peer, session), shunned, (now, time_max), &mut self.steps);
        self.sit(number, negotiation, true);
        true
    }

    /// Takes a signal. `admit` gives a number to the connection that an offer is for, if there is room for one.
    pub(crate) fn on_signal(
        &mut self,
        from: ServerId,
        way: Way,
        signal: Signal,
        now: Duration,
        admit: impl FnOnce() -> Option<u64>,
    ) {
        let is_other = |local: &ServerId| *local != from && from != ANYBODY;
        let Some(local) = self.local.filter(is_other) else {
            return;
        };
        let Signal { session, body } = signal;
        let key = (from, session.number);
        let seated = self.sessions.get(&key).cloned().unwrap_or_default();
        if !seated.is_empty() && !self.is_of_another_end(&seated, session.round, &body) {
            let time_max = self.limits.opening_time_max;
            for number in seated {
                let body = body.clone();
                self.with(number, |negotiation, steps| {
                    negotiation.on_signal((session.round, body), way, now, time_max, steps);
                });
            }
            return;
        }
        let has_ended = seated.is_empty() && self.ended.contains(&key);
        if has_ended || session.round > 0 {
            return;
        }
        let dialed = self.unanswered(from);
        let is_shunned = dialed
            .and_then(|number| self.seats.get(&number))
            .is_some_and(|seat| !seat.negotiation.takes(way, now));
        // The smaller id's offer counts.
        if is_shunned || dialed.is_some() && local < from {
            return;
        }
        let is_of_stranger = dialed.is_none() && matches!(way, Way::Server(_));
        let offers = matches!(body, Body::Offer(_));
        if is_of_stranger
            && (offers || body == Body::Ask)
            && !self.strangers.may_be_answered(from, offers, now)
        {
            return;
        }
        match body {
            Body::Ask => {
                let signal = Signal::new(session, Body::Ready);
                let ways = Ways::One(way);
                let to = from;
                self.outputs.push_back(Output::Send { to, ways, signal });
            }
            Body::Offer(offer) => {
                let number = match dialed {
                    Some(number) => {
                        self.rise(number);
                        Some(number)
                    }
                    None => admit(),
                };
                let Some(number) = number else {
                    return;
                };
                let times = (now, self.limits.opening_time_max);
                let negotiation =
                    Negotiation::answer((from, session), (offer, way), times, &mut self.steps);
                self.sit(number, negotiation, dialed.is_some());
            }
            Body::Ready | Body::Answer(_) | Body::Candidate(_) => {}
        }
    }

    /// Makes an offer that people carry.
    pub(crate) fn offer_by_hand(&mut self, number: u64, session: u64, now: Duration) {
        let negotiation = Negotiation::offer_by_hand(session, now, &mut self.steps);
        self.sit(number, negotiation, false);
    }

    /// Returns true if one more offer or answer by hand may wait.
    pub(crate) fn has_room_by_hand(&self) -> bool {
        let seats = self.seats.values();
        let waiting = seats.filter(|seat| seat.negotiation.is_waiting_by_hand());
        waiting.count() < BY_HAND_MAX
    }

    /// Returns true if an offer or answer by hand waits.
    pub(crate) fn is_any_waiting_by_hand(&self) -> bool {
        let mut seats = self.seats.values();
        seats.any(|seat| seat.negotiation.is_waiting_by_hand())
    }

    fn is_waiting_by_hand(&self, number: u64) -> bool {
        let seat = self.seats.get(&number);
        seat.is_some_and(|seat| seat.negotiation.is_waiting_by_hand())
    }

    /// Returns the connection of an offer by hand that was taken already.
    pub(crate) fn taken_by_hand(&self, offer: &Note) -> Taken {
        let key = (offer.from, offer.session);
        match self.sessions.get(&key) {
            Some(numbers) => {
                let mut numbers = numbers.iter().copied();
                let waiting = numbers.find(|number| self.is_waiting_by_hand(*number));
                waiting.map_or(Taken::Before, Taken::Waits)
            }
            None if self.ended.contains(&key) => Taken::Before,
            None => Taken::Not,
        }
    }

    /// Takes an offer that people have carried.
    pub(crate) fn answer_by_hand(&mut self, number: u64, offer: Note, now: Duration) {
        let of = (offer.from, offer.session);
        let negotiation = Negotiation::answer_by_hand(of, offer.description, now, &mut self.steps);
        self.sit(number, negotiation, false);
    }

    /// Takes the answer to an offer by hand. Returns false if there is no such offer that waits.
    pub(crate) fn take_answer_by_hand(&mut self, answer: Note, now: Duration) -> bool {
        let Note { from, session, .. } = answer;
        // Nobody else offers in the name of nobody in particular, so that there is one.
        let offered = self.sessions.get(&(ANYBODY, session));
        let Some(number) = offered.and_then(|numbers| numbers.first()).copied() else {
            return false;
        };
        let mut is_taken = false;
        self.with(number, |negotiation, steps| {
            is_taken = negotiation.take_answer_by_hand(from, answer.description, now, steps);
        });
        if is_taken {
            self.sessions.remove(&(ANYBODY, session));
            let numbers = self.sessions.entry((from, session)).or_default();
            numbers.push(number);
        }
        is_taken
    }

    /// Returns what people are to carry of a connection, once it is known.
    pub(crate) fn note(&self, number: u64) -> Option<Note> {
        let Seat { negotiation, .. } = self.seats.get(&number)?;
        let kind = match negotiation.is_offerer() {
            true => NoteKind::Offer,
            false => NoteKind::Answer,
        };
        Some(Note {
            from: self.local?,
            session: negotiation.session.number,
            kind,
            description: negotiation.own_by_hand()?.clone(),
        })
    }

    /// Returns the open connection with a peer that was made by hand, once, to whoever dials that peer.
    pub(crate) fn claim(&mut self, peer: ServerId) -> Option<u64> {
        let numbers: Vec<u64> = self.of_peer(peer).map(|(number, _)| number).collect();
        let is_there = |number: &u64| {
            let seat = self.seats.get(number);
            seat.is_some_and(|seat| seat.is_unclaimed && seat.opened.is_some())
        };
        let number = numbers.into_iter().find(is_there)?;
        self.seats.get_mut(&number)?.is_unclaimed = false;
        Some(number)
    }

    /// Returns whom a connection is with.
    pub(crate) fn peer(&self, number: u64) -> Option<ServerId> {
        Some(self.seats.get(&number)?.negotiation.peer)
    }

    /// Takes what the medium tells of a connection.
    pub(crate) fn on_medium(&mut self, number: u64, event: MediumEvent, now: Duration) {
        if event == MediumEvent::Open
            && let Some(seat) = self.seats.get_mut(&number)
        {
            let way = seat.negotiation.way();
            seat.opened.get_or_insert((now, way));
            // Whoever asks for the peer in vain has this when it dials next.
            let peer = seat.negotiation.peer;
            let asking = match seat.is_unclaimed {
                true => self.unanswered(peer),
                false => None,
            };
            self.outputs.extend(asking.map(|number| Output::Do {
                number,
                action: Action::Close(Unreached::MadeByHand),
            }));
        }
        self.with(number, |negotiation, steps| {
            negotiation.on_medium(event, now, steps);
        });
    }

    /// A way carries signals again: who is being asked for, and may be there, is asked by it at once.
    pub(crate) fn on_way_ready(&mut self, way: Way, leads_to: impl Fn(ServerId) -> bool) {
        let asking = |(number, Seat { negotiation, .. }): (&u64, &Seat)| {
            let is_asked = negotiation.is_asking() && leads_to(negotiation.peer);
            is_asked.then_some(*number)
        };
        let asking: Vec<u64> = self.seats.iter().filter_map(asking).collect();
        for number in asking {
            self.with(number, |negotiation, steps| {
                negotiation.ask(Ways::One(way), steps);
            });
        }
    }

    /// Forgets a connection that the carrier has closed, for whatever reason.
    pub(crate) fn remove(&mut self, number: u64, now: Duration) {
        let Some(seat) = self.rise(number) else {
            return;
        };
        let peer = seat.negotiation.peer;
        let is_proven = |(at, _)| now >= Duration::saturating_add(at, PROVEN_AFTER);
        let is_proven = seat.opened.is_some_and(is_proven);
        match seat.opened.map_or(seat.negotiation.way(), |(_, way)| way) {
            Some(way) if is_proven => self.shunned.remove(peer, way),
            // Whoever is not dialed may not even be there.
            Some(way @ Way::Server(_)) if seat.is_dialed => self.shunned.add(peer, way, now),
            _ => {}
        }
    }

    /// Returns when something is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Duration) {
        while let Some((at, number)) = self.deadlines.first().copied()
            && at <= now
        {
            self.with(number, |negotiation, steps| negotiation.on_time(now, steps));
        }
    }

    /// Returns the next thing to be done.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns true if a session is offered by another end than those that have offered it before: one of them has made
    /// it up, and the peer is not to be kept away by whoever was quicker.
    fn is_of_another_end(&self, seated: &[u64], round: u8, body: &Body) -> bool {
        let Body::Offer(offer) = body else {
            return false;
        };
        let is_other = |number: &u64| {
            let seat = self.seats.get(number);
            seat.is_some_and(|Seat { negotiation, .. }| {
                negotiation.is_opening_for_peer() && !negotiation.is_offered_by(offer)
            })
        };
        round == 0 && seated.iter().all(is_other)
    }

    /// Returns the connection that this end has dialed to a peer and that nothing came of yet.
    fn unanswered(&self, peer: ServerId) -> Option<u64> {
        let mut of_peer = self.of_peer(peer);
        let unanswered = of_peer.find(|(_, negotiation)| negotiation.is_unanswered());
        unanswered.map(|(number, _)| number)
    }

    fn of_peer(&self, peer: ServerId) -> impl Iterator<Item = (u64, &Negotiation)> {
        let sessions = self.sessions.range((peer, 0)..=(peer, u64::MAX));
        let numbers = sessions.flat_map(|(_, numbers)| numbers);
        numbers.filter_map(|number| Some((*number, &self.seats.get(number)?.negotiation)))
    }

    fn sit(&mut self, number: u64, negotiation: Negotiation, is_dialed: bool) {
        let session = (negotiation.peer, negotiation.session.number);
        self.sessions.entry(session).or_default().push(number);
        let seat = Seat {
            opened: None,
            deadline: None,
            is_dialed,
            is_unclaimed: negotiation.is_waiting_by_hand(),
            negotiation,
        };
        self.seats.insert(number, seat);
        self.with(number, |_, _| {});
    }

    /// Takes away the negotiation of a number. Its session does not come back.
    fn rise(&mut self, number: u64) -> Option<Seat> {
        let seat = self.seats.remove(&number)?;
        if let Some(at) = seat.deadline {
            self.deadlines.remove(&(at, number));
        }
        let Negotiation { peer, session, .. } = seat.negotiation;
        if let Some(numbers) = self.sessions.get_mut(&(peer, session.number)) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.sessions.remove(&(peer, session.number));
            }
        }
        self.ended.push_back((peer, session.number));
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
        Some(seat)
    }

    /// Lets something happen to a negotiation, and takes up what comes of it.
    fn with(&mut self, number: u64, change: impl FnOnce(&mut Negotiation, &mut Vec<Step>)) {
        let Some(seat) = self.seats.get_mut(&number) else {
            return;
        };
        change(&mut seat.negotiation, &mut self.steps);
        let deadline = seat.negotiation.deadline();
        if deadline != seat.deadline {
            if let Some(earlier) = seat.deadline {
                self.deadlines.remove(&(earlier, number));
            }
            self.deadlines.extend(deadline.map(|at| (at, number)));
            seat.deadline = deadline;
        }
        let to = seat.negotiation.peer;
        let outputs = self.steps.drain(..).map(|step| match step {
            Step::Do(action) => Output::Do { number, action },
            Step::Send(ways, signal) => Output::Send { to, ways, signal },
        });
        self.outputs.extend(outputs);
    }
}
