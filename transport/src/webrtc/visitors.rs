//! Keeps the visitors of a carrier: how many are received, and whose connection is which.
//!
//! A visitor is a client of PeerJS that has dialed this server by its id. It gets a connection on which it is told what
//! it takes to join, and nothing else. Visitors have few places, and those are theirs alone: whoever offers connections
//! without end keeps other visitors from being told, and no member from anything.

use std::collections::VecDeque;
use std::time::Duration;

use liferaft_platform::SortedMap;

use super::description::{CANDIDATES_MAX, Description};
use super::negotiation::Action;
use super::switchboard::Wish;
use crate::signaling::{Visit, VisitBody, Visitor};

/// The most visitors that are received within [`VISIT_TIME_MAX`], and so at once. Others are not answered.
pub(crate) const VISITORS_MAX: usize = 16;

/// How long a visit takes at most.
pub(crate) const VISIT_TIME_MAX: Duration = Duration::from_secs(5);

/// What a visitor is told.
pub(crate) const REFUSAL: &str = "this is a member of a liferaft cluster, which exchanges data with its members alone: to \
                                  join it, get an invitation from one of them, and run `liferaft node --join INVITATION`";

/// The visitors of a carrier, by the numbers of their connections.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    seats: SortedMap<u64, Seat>,
    /// When the last ones came, the earliest first.
    arrivals: VecDeque<Duration>,
}

#[derive(Debug)]
struct Seat {
    /// The number of the way by which it came.
    way: usize,
    visitor: Visitor,
    /// How many candidates were taken, after the offer.
    candidates: usize,
}

impl Visitors {
    /// Takes what has come of a visitor, and returns what is to be done. `admit` gives a number to its connection, if
    /// visitors are received.
    pub(crate) fn on_visit(
        &mut self,
        way: usize,
        visit: Visit,
        now: Duration,
        admit: impl FnOnce() -> Option<u64>,
    ) -> Option<Wish> {
        let Visit { visitor, body } = visit;
        let has_room = self.has_room(now);
        let mut seats = self.seats.iter_mut();
        let known = seats.find(|(_, seat)| seat.way == way && seat.visitor == visitor);
        match (body, known) {
            (VisitBody::Offer(offer, serialization), None) if has_room => {
                let number = admit()?;
                self.arrivals.push_back(now);
                let seat = Seat {
                    way,
                    visitor,
                    candidates: 0,
                };
                self.seats.insert(number, seat);
                Some(Wish::Receive {
                    number,
                    offer,
                    serialization,
                })
            }
            (VisitBody::Candidate(candidate), Some((number, seat)))
                if seat.candidates < CANDIDATES_MAX =>
            {
                seat.candidates += 1;
                Some(Wish::Do {
                    number: *number,
                    action: Action::AddCandidate(candidate),
                })
            }
            // Repeated, too much, or of no visitor that is there.
            _ => None,
        }
    }

    /// Returns the answer to a visitor, and the number of the way by which it goes.
    pub(crate) fn answer(&self, number: u64, own: Description) -> Option<(usize, Visit)> {
        let seat = self.seats.get(&number)?;
        let visitor = seat.visitor.clone();
        let body = VisitBody::Answer(own);
        Some((seat.way, Visit { visitor, body }))
    }

    /// Forgets a visitor whose connection has ended.
    pub(crate) fn remove(&mut self, number: u64) {
        self.seats.remove(&number);
    }

    fn has_room(&mut self, now: Duration) -> bool {
        let is_over = |at: &Duration| now >= at.saturating_add(VISIT_TIME_MAX);
        while self.arrivals.front().is_some_and(is_over) {
            self.arrivals.pop_front();
        }
        self.arrivals.len() < VISITORS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::Serialization;
    use crate::webrtc::description::tests::{candidate, description};

    const NOW: Duration = Duration::from_secs(100);

    fn visit(connection: u64, body: VisitBody) -> Visit {
        let visitor = Visitor::new("ada", &format!("dc_{connection}")).expect("names");
        Visit { visitor, body }
    }

    fn offer() -> VisitBody {
        VisitBody::Offer(description(1), Serialization::Json)
    }

    #[test]
    fn a_visitor_is_received_once_and_answered_where_it_came_from() {
        let mut visitors = Visitors::default();

        let wish = visitors.on_visit(3, visit(7, offer()), NOW, || Some(40));
        let again = visitors.on_visit(3, visit(7, offer()), NOW, || Some(41));

        assert!(matches!(wish, Some(Wish::Receive { number: 40, .. })));
        assert!(again.is_none());
        let answer = visitors.answer(40, description(2));
        let body = VisitBody::Answer(description(2));
        assert_eq!(answer, Some((3, visit(7, body))));
        assert_eq!(visitors.answer(41, description(2)), None);
    }

    #[test]
    fn candidates_are_taken_of_visitors_that_are_there_and_few() {
        let mut visitors = Visitors::default();
        let body = VisitBody::Candidate(candidate(1));

        let early = visitors.on_visit(0, visit(7, body.clone()), NOW, || Some(40));
        visitors.on_visit(0, visit(7, offer()), NOW, || Some(40));
        let taken = (0..100).filter(|_| {
            let wish = visitors.on_visit(0, visit(7, body.clone()), NOW, || None);
            matches!(wish, Some(Wish::Do { number: 40, .. }))
        });

        assert_eq!(taken.count(), CANDIDATES_MAX);
        assert!(early.is_none());
    }

    /// However soon each of them leaves.
    #[test]
    fn few_visitors_are_received_in_the_time_of_a_visit() {
        let mut visitors = Visitors::default();
        let mut receive = |number, now| {
            let wish = visitors.on_visit(0, visit(number, offer()), now, || Some(number));
            visitors.remove(number);
            wish.is_some()
        };

        let received = (0..1_000).filter(|number| receive(*number, NOW)).count();

        assert_eq!(received, VISITORS_MAX);
        assert!(receive(1_000, NOW + VISIT_TIME_MAX));
    }
}
