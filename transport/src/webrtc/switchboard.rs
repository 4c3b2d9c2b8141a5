//! Connects negotiations and visitors with the ways by which signals travel: signaling servers, and members' links.
//!
//! It is the same natively and in browsers. A carrier gives it what it is told and asked for, polls it, and does its
//! [`Wish`]es.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use liferaft_platform::SortedMap;
use liferaft_platform::{Address, entropy_u64, now};

use super::by_hand::{Asked, ByHand, ByHandError, Desk, Reply, Request};
use super::description::Description;
use super::limits::WebRtcLimits;
use super::negotiation::{ANYBODY, Action, MediumEvent, Unreached, Ways};
use super::negotiations::{Negotiations, Output, Taken};
use super::places::{Claim, Gate};
use super::reached::SignalingMeter;
use super::servers::{SERVERS_MAX, Servers};
use super::visitors::Visitors;
use crate::ServerId;
use crate::alarm::Alarm;
use crate::carrier::OpenFailure;
use crate::signaling::{
    Note, NoteKind, Place, Serialization, Signal, Signaling, SignalingEvent, SignalingServer,
    TokenSource, Way,
};

/// The most signals of a server that are taken in between two other things.
const SIGNALS_IN_A_ROW_MAX: usize = 16;

/// What a carrier is to do.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Do this about a connection.
    Do { number: u64, action: Action },
    /// Have links carry a signal.
    Signal { to: ServerId, signal: Bytes },
    /// Answer a visitor's offer, and tell it what it takes to join.
    Receive {
        number: u64,
        offer: Description,
        serialization: Serialization,
    },
    /// Have links dial anew: a way is there that was not.
    Dial,
    /// Tell links who is said to be there.
    Present(Vec<(ServerId, Address)>),
}

/// Who is to be given a place among the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    Server(Claim),
    Visitor,
}

/// The negotiations of a carrier and their ways.
pub(crate) struct Switchboard {
    negotiations: Negotiations,
    visitors: Visitors,
    local: Option<ServerId>,
    servers: Servers,
    /// The connections with peers that were dialed by their ids, and where those are said to be registered.
    dialed: SortedMap<u64, (ServerId, Option<Place>)>,
    token_source: TokenSource,
    desk: Desk,
    wishes: VecDeque<Wish>,
    alarm: Alarm,
}

impl Switchboard {
    /// Registers at these servers, by tokens from that source if they come with none.
    pub(crate) fn new(
        limits: WebRtcLimits,
        servers: Vec<SignalingServer>,
        token_source: TokenSource,
    ) -> Self {
        let mut switchboard = Self {
            negotiations: Negotiations::new(limits),
            visitors: Visitors::default(),
            local: None,
            servers: Servers::default(),
            dialed: SortedMap::new(),
            token_source,
            desk: Desk::new(),
            wishes: VecDeque::new(),
            alarm: Alarm::default(),
        };
        for server in servers {
            let place = server.place().clone();
            let signaling = server.into_signaling(&switchboard.token_source);
            if !switchboard.add(Box::new(signaling), Some(place)) {
                tracing::warn!(SERVERS_MAX, "too many signaling servers");
            }
        }
        switchboard
    }

    /// Takes the id of this server, and tells it to all ways.
    pub(crate) fn introduce(&mut self, local: ServerId) {
        self.local = Some(local);
        self.desk.open();
        self.negotiations.introduce(local);
        self.servers.introduce(local);
    }

    /// Uses one more way as this end's own. Returns false if there are too many.
    pub(crate) fn add(&mut self, signaling: Box<dyn Signaling>, place: Option<Place>) -> bool {
        self.servers.add(place, signaling, now())
    }

    /// Returns what people ask by who carry signals.
    pub(crate) fn by_hand(&self) -> ByHand {
        self.desk.handle()
    }

    /// Returns what tells which signaling servers are reached.
    pub(crate) fn signaling(&self) -> SignalingMeter {
        self.servers.meter()
    }

    /// Returns the open connection with a server that was made by hand, once, to whoever dials that server.
    pub(crate) fn claim(&mut self, peer: ServerId) -> Option<u64> {
        self.negotiations.claim(peer)
    }

    /// Begins to connect to a server, which may be registered at this place. Returns false if it cannot.
    pub(crate) fn dial(&mut self, number: u64, peer: ServerId, place: Option<Place>) -> bool {
        if let Some(place) = &place {
            let make = |place| -> Box<dyn Signaling> {
                Box::new(SignalingServer::new(place).into_signaling(&self.token_source))
            };
            if !self.servers.name(place.clone(), peer, now(), make) {
                tracing::debug!(
                    SERVERS_MAX,
                    "a signaling server is not used: there are as many already"
                );
            }
        }
        let is_begun = self.negotiations.dial(number, peer, entropy_u64(), now());
        if is_begun {
            self.dialed.insert(number, (peer, place));
        }
        self.take_outputs();
        is_begun
    }

    /// Returns why a connection did not come about: if nobody has answered, and none of the signaling servers is
    /// reached by which the peer was asked, that is why.
    pub(crate) fn failure(&self, number: u64, why: Unreached) -> OpenFailure {
        let dialed = self.dialed.get(&number).filter(|_| why.is_silence());
        let outage = dialed.and_then(|(peer, place)| self.servers.outage(*peer, place.as_ref()));
        outage.map_or_else(
            || why.into(),
            |(server, why)| OpenFailure::NoSignaling {
                server: server.to_string(),
                why: why.to_owned(),
            },
        )
    }

    /// Takes a signal that the link with a server has brought, which may have passed it on. `admit` gives a number to a
    /// connection for a peer, if there is room.
    pub(crate) fn on_signal(
        &mut self,
        (from, by): (ServerId, ServerId),
        signal: &[u8],
        admit: impl FnOnce(Claim) -> Option<u64>,
    ) {
        if let Some(signal) = Signal::from_bytes(signal) {
            let claim = Claim::Peer(from, Gate::Mesh(by));
            self.negotiations
                .on_signal(from, Way::Mesh, signal, now(), || admit(claim));
            self.take_outputs();
        }
    }

    /// Finds out who else is there.
    pub(crate) fn look_around(&mut self) {
        self.servers.look_around();
    }

    /// Returns true if a text waits for whoever carries it, so that the addresses in it are to lead here.
    pub(crate) fn is_waiting_by_hand(&self) -> bool {
        self.negotiations.is_any_waiting_by_hand()
    }

    /// Returns whom a connection is with.
    pub(crate) fn peer(&self, number: u64) -> Option<ServerId> {
        self.negotiations.peer(number)
    }

    /// Takes what the medium tells of a connection.
    pub(crate) fn on_medium(&mut self, number: u64, event: MediumEvent) {
        let is_gathered = event == MediumEvent::Gathered;
        self.negotiations.on_medium(number, event, now());
        self.take_outputs();
        if is_gathered {
            self.finish_text(number);
        }
    }

    /// Sends a visitor the description of this end.
    pub(crate) fn answer_visitor(&mut self, number: u64, own: Description) {
        if let Some((server, answer)) = self.visitors.answer(number, own)
            && let Some(signaling) = self.servers.get(server)
        {
            signaling.answer(&answer);
        }
    }

    /// Forgets a connection that is closed.
    pub(crate) fn remove(&mut self, number: u64) {
        self.dialed.remove(&number);
        self.visitors.remove(number);
        self.negotiations.remove(number, now());
        let why = ByHandError::NotMade("it was closed".to_owned());
        self.desk.finish(number, &Err(why));
    }

    /// Returns true if it is to be polled, after it was given something.
    pub(crate) fn is_awake(&self) -> bool {
        !self.wishes.is_empty() || self.deadline() != self.alarm.rings_at()
    }

    /// Returns the next thing to do.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut admit: impl FnMut(Guest) -> Option<u64>,
    ) -> Poll<Wish> {
        let mut signals = 0;
        loop {
            if let Some(wish) = self.wishes.pop_front() {
                return Poll::Ready(wish);
            }
            if signals >= SIGNALS_IN_A_ROW_MAX {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Time first: a server that never ends what it says keeps nobody from being given up.
            if self.alarm.is_due(self.deadline(), context) {
                self.negotiations.on_time(now());
                self.servers.on_time(now());
                self.take_outputs();
                while let Some(number) = self.desk.due(now()) {
                    self.finish_text(number);
                }
            } else if let Some((server, event)) = self.servers.next_event(context) {
                signals += 1;
                self.on_event(server, event, &mut admit);
            } else if let Some(request) = self.desk.next_request(context) {
                signals += 1;
                self.on_request(request, &mut admit);
            } else {
                return Poll::Pending;
            }
        }
    }

    fn on_event(
        &mut self,
        server: usize,
        event: SignalingEvent,
        admit: &mut impl FnMut(Guest) -> Option<u64>,
    ) {
        let way = Way::Server(server);
        match event {
            SignalingEvent::Interrupted { why } => self.servers.note_outage(server, Some(why)),
            SignalingEvent::Ready => {
                self.servers.note_outage(server, None);
                let servers = &self.servers;
                self.negotiations
                    .on_way_ready(way, |peer| servers.leads_to(server, peer));
                self.wishes.push_back(Wish::Dial);
            }
            SignalingEvent::Signal { from, signal } => {
                let claim = Claim::Peer(from, Gate::Server(server));
                let admit = || admit(Guest::Server(claim));
                self.negotiations.on_signal(from, way, signal, now(), admit);
            }
            // Another way may reach it.
            SignalingEvent::Unreached { to } => {
                tracing::debug!(%to, "the signaling server does not reach it");
            }
            SignalingEvent::Present(present) => {
                let found = |peer| Some((peer, self.servers.address_at(server, peer)?));
                let found = present.into_iter().filter_map(found).collect();
                self.wishes.push_back(Wish::Present(found));
            }
            SignalingEvent::Visit(visit) => {
                let admit = || admit(Guest::Visitor);
                let wish = self.visitors.on_visit(server, visit, now(), admit);
                self.wishes.extend(wish);
            }
        }
        self.take_outputs();
    }

    fn on_request(
        &mut self,
        Request { asked, reply }: Request,
        admit: &mut impl FnMut(Guest) -> Option<u64>,
    ) {
        let taken = match asked {
            Asked::Offer => self.make_offer(admit).map(Some),
            Asked::Take(text) => self.take_text(&text, admit),
        };
        self.take_outputs();
        match taken {
            Ok(Some(number)) => self.draft(number, reply),
            // Whoever has asked may have gone.
            Ok(None) => drop(reply.send(Ok(None))),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn make_offer(
        &mut self,
        admit: &mut impl FnMut(Guest) -> Option<u64>,
    ) -> Result<u64, ByHandError> {
        let number = self.admit_by_hand(ANYBODY, admit)?;
        self.negotiations
            .offer_by_hand(number, entropy_u64(), now());
        Ok(number)
    }

    /// Takes a text. Returns the connection whose text is the answer, if it was an offer.
    fn take_text(
        &mut self,
        text: &str,
        admit: &mut impl FnMut(Guest) -> Option<u64>,
    ) -> Result<Option<u64>, ByHandError> {
        let note = Note::read(text)?;
        if note.from == ANYBODY || Some(note.from) == self.local {
            return Err(ByHandError::Own);
        }
        if note.kind == NoteKind::Answer {
            let is_taken = self.negotiations.take_answer_by_hand(note, now());
            return is_taken.then_some(None).ok_or(ByHandError::NoOffer);
        }
        match self.negotiations.taken_by_hand(&note) {
            Taken::Waits(number) => return Ok(Some(number)),
            Taken::Before => return Err(ByHandError::TakenBefore),
            Taken::Not => {}
        }
        let number = self.admit_by_hand(note.from, admit)?;
        self.negotiations.answer_by_hand(number, note, now());
        Ok(Some(number))
    }

    fn admit_by_hand(
        &self,
        peer: ServerId,
        admit: &mut impl FnMut(Guest) -> Option<u64>,
    ) -> Result<u64, ByHandError> {
        let has_room = self.negotiations.has_room_by_hand();
        let guest = Guest::Server(Claim::Peer(peer, Gate::Hand));
        let number = has_room.then(|| admit(guest)).flatten();
        number.ok_or(ByHandError::TooMany)
    }

    /// Gives out the text of a connection once that is made.
    fn draft(&mut self, number: u64, reply: Reply) {
        let is_made = !self.desk.is_drafting(number) && self.negotiations.note(number).is_some();
        self.desk.draft(number, reply, now());
        if is_made {
            self.finish_text(number);
        }
    }

    fn finish_text(&mut self, number: u64) {
        let note = self.negotiations.note(number);
        let text = note.and_then(|note| note.to_text());
        if text.is_none() && self.desk.is_drafting(number) {
            let action = Action::Close(Unreached::Unanswered);
            self.wishes.push_back(Wish::Do { number, action });
        }
        let why = || ByHandError::NotMade("it was not described in time".to_owned());
        self.desk.finish(number, &text.ok_or_else(why));
    }

    fn deadline(&self) -> Option<Duration> {
        let deadlines = [
            self.negotiations.deadline(),
            self.servers.deadline(),
            self.desk.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.negotiations.next_output() {
            match output {
                Output::Do { number, action } => {
                    self.wishes.push_back(Wish::Do { number, action });
                }
                Output::Send { to, ways, signal } => self.send(to, ways, &signal),
            }
        }
    }

    fn send(&mut self, to: ServerId, ways: Ways, signal: &Signal) {
        if matches!(ways, Ways::All | Ways::One(Way::Mesh)) {
            let signal = signal.to_bytes();
            self.wishes.push_back(Wish::Signal { to, signal });
        }
        match ways {
            Ways::All => {
                for signaling in self.servers.leading_to(to) {
                    signaling.send(to, signal);
                }
            }
            Ways::One(Way::Server(server)) => {
                if let Some(signaling) = self.servers.get(server) {
                    signaling.send(to, signal);
                }
            }
            Ways::One(Way::Mesh | Way::Hand) => {}
        }
    }
}

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard")
            .field("servers", &self.servers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::signaling::{Body, Session};

    /// A server that says the same without end, and what it was given to send.
    struct Endless(SignalingEvent, Arc<Mutex<Vec<Signal>>>);

    impl Signaling for Endless {
        fn introduce(&mut self, _local: ServerId) {}

        fn send(&mut self, _to: ServerId, signal: &Signal) {
            self.1.lock().expect("one thread").push(signal.clone());
        }

        fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Option<SignalingEvent>> {
            Poll::Ready(Some(self.0.clone()))
        }
    }

    fn ask(from: u128) -> SignalingEvent {
        let session = Session {
            number: 7,
            round: 0,
        };
        let from = ServerId::from(from);
        let signal = Signal::new(session, Body::Ask);
        SignalingEvent::Signal { from, signal }
    }

    fn switchboard(limits: WebRtcLimits) -> Switchboard {
        let secret = TokenSource {
            secret: zeroize::Zeroizing::new([7; 32]),
            is_kept: true,
        };
        let mut switchboard = Switchboard::new(limits, Vec::new(), secret);
        switchboard.introduce(ServerId::from(1));
        switchboard
    }

    #[test]
    fn a_server_is_blamed_only_if_no_other_could_have_asked() {
        let place = |text| Place::read(text).expect("it is one");
        let (a, b) = (place("ws://a/room"), place("ws://b/room"));
        let mut switchboard = switchboard(WebRtcLimits::default());
        let peer = ServerId::from(3);
        assert!(switchboard.dial(40, peer, Some(a.clone())));
        assert!(switchboard.dial(41, peer, Some(b)));
        assert!(switchboard.dial(42, peer, None));
        let failures = |switchboard: &Switchboard| {
            [40, 41, 42].map(|number| switchboard.failure(number, Unreached::NobodyThere))
        };
        let out = OpenFailure::NoSignaling {
            server: a.to_string(),
            why: "why".to_owned(),
        };

        let why = "why".to_owned();
        switchboard.on_event(0, SignalingEvent::Interrupted { why }, &mut |_| None);
        let one_is_out = failures(&switchboard);
        let why = "why".to_owned();
        switchboard.on_event(1, SignalingEvent::Interrupted { why }, &mut |_| None);
        let both_are_out = failures(&switchboard)[2].clone();
        switchboard.on_event(0, SignalingEvent::Ready, &mut |_| None);
        let it_is_back = failures(&switchboard)[0].clone();

        let silent = OpenFailure::TimedOut;
        assert_eq!(one_is_out, [out.clone(), silent.clone(), silent.clone()]);
        assert_eq!((both_are_out, it_is_back), (out, silent));
        let lost = switchboard.failure(41, Unreached::Lost);
        assert_eq!(lost, Unreached::Lost.into());
    }

    /// Of a server that came first, nothing else was heard, and nothing was given up in time.
    #[test]
    fn a_server_that_never_ends_keeps_nobody_from_being_heard() {
        let limits = WebRtcLimits {
            opening_time_max: Duration::ZERO,
            ..WebRtcLimits::default()
        };
        let mut switchboard = switchboard(limits);
        let sent = Arc::<Mutex<Vec<_>>>::default();
        let endless = Endless(SignalingEvent::Ready, Arc::default());
        assert!(switchboard.add(Box::new(endless), None));
        assert!(switchboard.add(Box::new(Endless(ask(2), Arc::clone(&sent))), None));
        assert!(switchboard.dial(40, ServerId::from(3), None));

        let mut is_given_up = false;
        let mut context = Context::from_waker(std::task::Waker::noop());
        for _ in 0..10 {
            if let Poll::Ready(Wish::Do { number: 40, .. }) =
                switchboard.poll(&mut context, |_| None)
            {
                is_given_up = true;
            }
        }

        assert!(is_given_up);
        let sent = sent.lock().expect("one thread");
        assert!(sent.iter().any(|signal| signal.body == Body::Ready));
    }
}
