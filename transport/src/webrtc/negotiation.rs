//! Decides how two ends come to a connection: who offers, what is repeated, and when it is given up.
//!
//! It is the same natively and in browsers, and pure: signals of the peer, what the medium tells ([`MediumEvent`]) and
//! the time go in, and what the medium is to do ([`Action`]) and what the peer is to be sent come out. A
//! [`Negotiation`] is one connection; [`Negotiations`](super::negotiations::Negotiations) are all of a carrier.
//!
//! Whoever dials asks first, which costs neither end anything, and offers when the other one is ready: a browser makes
//! only about 500 connections in the life of a page, and none is made for a peer that is not there. Offers are repeated
//! until the connection is there, with all candidates that are known by then, and answered each time: whatever is lost
//! of an exchange is healed by that. A connection that is *disconnected* later gets one restart of ICE by the end that
//! has offered, and is given up if that does not help.

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use super::by_hand::BY_HAND_TIME_MAX;
use super::description::{CANDIDATES_MAX, Description, IceCandidate, Setup};
use crate::ServerId;
use crate::carrier::OpenFailure;
use crate::hosts::Fingerprint;
use crate::signaling::{Body, Session, Signal, Way};

/// How long an answer is waited for before what is unanswered is repeated. It doubles each time.
pub(crate) const REPEAT_AFTER: Duration = Duration::from_millis(250);

/// The longest time between two repeats.
pub(crate) const REPEAT_AFTER_MAX: Duration = Duration::from_secs(1);

/// How long a connection that is disconnected may take to come back.
pub(crate) const RESTART_TIME_MAX: Duration = Duration::from_secs(5);

/// For how long other ways come first, if what a signaling server has brought about came to nothing: one that swaps
/// descriptions must not win each time because it is quick.
pub(crate) const HEAD_START: Duration = Duration::from_secs(1);

/// How long connecting may take when an answer that people carry has come: the other end checks its addresses seldom
/// by then.
pub(crate) const BY_HAND_CONNECTING_TIME_MAX: Duration = Duration::from_secs(30);

/// Stands for the peer that an offer by hand is for, until it is answered. No key has this id.
pub(crate) const ANYBODY: ServerId = ServerId(0);

/// One connection, from when it is dialed or offered until it has ended.
#[derive(Debug)]
pub(crate) struct Negotiation {
    pub(crate) peer: ServerId,
    pub(crate) session: Session,
    role: Role,
    stage: Stage,
    /// It has been open.
    is_opened: bool,
    /// The medium says that nothing comes through.
    is_disconnected: bool,
    /// The way by which the peer has answered or offered.
    way: Option<Way>,
    /// The ways that others are preferred to, and of these the earlier ones to the later ones.
    shunned: Vec<Way>,
    own: Option<Description>,
    theirs: Option<Description>,
    /// The certificate that the other end has shown on the connection. No signal changes it.
    proven: Option<Fingerprint>,
    /// The peer's candidates that came before its answer, at most [`CANDIDATES_MAX`] by each way.
    early: Vec<(Way, IceCandidate)>,
    since: Duration,
    repeat: Option<Repeat>,
    over_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Offerer,
    Answerer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has said to be there.
    Asking,
    /// The medium makes this end's description.
    Describing,
    /// The offer is not answered.
    Offered,
    /// Both descriptions are there.
    Connecting,
    /// It is open, and nothing is waited for.
    Open,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: Duration,
    after: Duration,
}

/// What the medium is to do about a connection. What it tells of it comes back as a [`MediumEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make a connection, and describe this end in an offer.
    MakeOffer,
    /// Make a connection, in place of the one that there may be, and describe this end in an answer to this offer.
    TakeOffer(Description),
    /// Describe this end anew in an offer that restarts ICE.
    MakeRestart,
    /// Restart ICE by this offer, and describe this end in an answer.
    TakeRestart(Description),
    /// Connect to whoever has answered.
    TakeAnswer(Description),
    /// Try one more address of the other end.
    AddCandidate(IceCandidate),
    /// Close the connection, if there is one, and tell why.
    Close(Unreached),
}

/// What the medium tells of a connection. What it tells of one that it has closed or replaced must not come here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not each host tells all of it")]
pub(crate) enum MediumEvent {
    /// The description of this end is made, with the candidates that are known so far.
    Described(Description),
    /// Another candidate is known, after the description was made.
    Candidate(IceCandidate),
    /// All candidates are known.
    Gathered,
    /// The channels are open.
    Open,
    /// What was disconnected is connected again.
    Connected,
    /// Nothing comes through, which may pass.
    Disconnected,
    /// It has failed for good.
    Failed,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreached {
    #[error("nobody answers")]
    NobodyThere,
    #[error("the offer is not answered")]
    Unanswered,
    #[error("no path between the addresses of both ends was found in time")]
    Unconnected,
    #[error("no path between the addresses of both ends was found")]
    Failed,
    #[error("the connection was lost, and did not come back")]
    Lost,
    #[error("a connection was made by hand meanwhile")]
    MadeByHand,
}

impl Unreached {
    /// Returns true if nothing came from the peer.
    pub(crate) const fn is_silence(self) -> bool {
        matches!(self, Self::NobodyThere | Self::Unanswered)
    }
}

/// What comes of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Do(Action),
    Send(Ways, Signal),
}

/// The ways by which a signal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    All,
    One(Way),
}

impl Negotiation {
    /// Begins to reach a peer.
    pub(crate) fn dial(
        (peer, number): (ServerId, u64),
        shunned: Vec<Way>,
        (now, time_max): (Duration, Duration),
        steps: &mut Vec<Step>,
    ) -> Self {
        let session = Session { number, round: 0 };
        steps.push(Step::Send(Ways::All, Signal::new(session, Body::Ask)));
        Self {
            peer,
            session,
            role: Role::Offerer,
            stage: Stage::Asking,
            is_opened: false,
            is_disconnected: false,
            way: None,
            shunned,
            own: None,
            theirs: None,
            proven: None,
            early: Vec::new(),
            since: now,
            repeat: Some(Repeat::first(now)),
            over_at: Some(now.saturating_add(time_max)),
        }
    }

    /// Takes the first offer of a peer.
    pub(crate) fn answer(
        (peer, session): (ServerId, Session),
        (offer, way): (Description, Way),
        (now, time_max): (Duration, Duration),
        steps: &mut Vec<Step>,
    ) -> Self {
        steps.push(Step::Do(Action::TakeOffer(offer.clone())));
        Self {
            peer,
            session,
            role: Role::Answerer,
            stage: Stage::Describing,
            is_opened: false,
            is_disconnected: false,
            way: Some(way),
            shunned: Vec::new(),
            own: None,
            theirs: Some(offer),
            proven: None,
            early: Vec::new(),
            since: now,
            repeat: None,
            over_at: Some(now.saturating_add(time_max)),
        }
    }

    /// Makes an offer that people carry to whoever takes it.
    pub(crate) fn offer_by_hand(number: u64, now: Duration, steps: &mut Vec<Step>) -> Self {
        steps.push(Step::Do(Action::MakeOffer));
        let session = Session { number, round: 0 };
        Self::by_hand((ANYBODY, session), Role::Offerer, None, now)
    }

    /// Takes an offer that people have carried, whose answer they carry back.
    ///
    /// Minutes may pass until whoever has offered connects. Whoever is active in DTLS would give up before, so that is
    /// left to the other end: it begins when it has the answer.
    pub(crate) fn answer_by_hand(
        (peer, number): (ServerId, u64),
        mut offer: Description,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> Self {
        offer.setup = Setup::Active;
        steps.push(Step::Do(Action::TakeOffer(offer.clone())));
        let session = Session { number, round: 0 };
        Self::by_hand((peer, session), Role::Answerer, Some(offer), now)
    }

    fn by_hand(
        (peer, session): (ServerId, Session),
        role: Role,
        theirs: Option<Description>,
        now: Duration,
    ) -> Self {
        Self {
            peer,
            session,
            role,
            stage: Stage::Describing,
            is_opened: false,
            is_disconnected: false,
            way: Some(Way::Hand),
            shunned: Vec::new(),
            own: None,
            theirs,
            proven: None,
            early: Vec::new(),
            since: now,
            repeat: None,
            over_at: Some(now.saturating_add(BY_HAND_TIME_MAX)),
        }
    }

    /// Takes the answer to an offer by hand, of whoever has taken it. Returns false if it is answered already, or was
    /// not given out.
    pub(crate) fn take_answer_by_hand(
        &mut self,
        peer: ServerId,
        answer: Description,
        now: Duration,
        steps: &mut Vec<Step>,
    ) -> bool {
        let is_waiting = self.peer == ANYBODY && self.stage == Stage::Offered;
        if is_waiting {
            self.peer = peer;
            self.over_at = Some(now.saturating_add(BY_HAND_CONNECTING_TIME_MAX));
            self.on_answer(answer, Way::Hand, steps);
        }
        is_waiting
    }

    /// Returns the description that people carry, once it is made.
    pub(crate) fn own_by_hand(&self) -> Option<&Description> {
        self.own.as_ref().filter(|_| self.is_waiting_by_hand())
    }

    /// Returns true if people carry its signals, and it is not open yet.
    pub(crate) fn is_waiting_by_hand(&self) -> bool {
        self.way == Some(Way::Hand) && !self.is_opened
    }

    /// Returns true if this end has made the offer.
    pub(crate) fn is_offerer(&self) -> bool {
        self.role == Role::Offerer
    }

    /// Returns true if the peer's own offer may take its place: nothing of the peer's was taken yet.
    pub(crate) fn is_unanswered(&self) -> bool {
        let is_by_hand = self.way == Some(Way::Hand);
        self.role == Role::Offerer && !self.is_opened && !is_by_hand && self.theirs.is_none()
    }

    /// Returns true if it was offered and is not open yet.
    pub(crate) fn is_opening_for_peer(&self) -> bool {
        self.role == Role::Answerer && !self.is_opened
    }

    /// Returns true if this offer is the one that it answers, candidates aside.
    pub(crate) fn is_offered_by(&self, offer: &Description) -> bool {
        let mut theirs = self.theirs.iter();
        self.role == Role::Answerer && theirs.any(|theirs| theirs.is_of_same_end(offer))
    }

    /// Returns true if nobody has said to be there yet.
    pub(crate) fn is_asking(&self) -> bool {
        self.stage == Stage::Asking
    }

    /// Returns the way by which the peer has answered or offered.
    pub(crate) fn way(&self) -> Option<Way> {
        self.way
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        let repeat = self.repeat.map(|repeat| repeat.at);
        [repeat, self.over_at].into_iter().flatten().min()
    }

    /// Returns true if what comes by a way counts. Of the ways that have led nowhere, the one that did so longest ago
    /// has its time after all others, and those that did so since then after that: each has its turn, however quick
    /// they are.
    pub(crate) fn takes(&self, way: Way, now: Duration) -> bool {
        let place = self.shunned.iter().position(|shunned| *shunned == way);
        let head_starts = match place {
            None => return true,
            Some(0) => 1,
            Some(_) => 2,
        };
        let is_late = now >= self.since.saturating_add(head_starts * HEAD_START);
        self.way.map_or(is_late, |taken| taken == way)
    }

    /// Takes a signal of this session.
    pub(crate) fn on_signal(
        &mut self,
        (round, body): (u8, Body),
        way: Way,
        now: Duration,
        time_max: Duration,
        steps: &mut Vec<Step>,
    ) {
        if !self.takes(way, now) {
            return;
        }
        let is_of_round = round == self.session.round;
        match body {
            Body::Ready if self.stage == Stage::Asking && is_of_round => {
                self.way = Some(way);
                self.stage = Stage::Describing;
                self.repeat = None;
                steps.push(Step::Do(Action::MakeOffer));
            }
            Body::Answer(answer) if self.role == Role::Offerer && is_of_round => {
                self.on_answer(answer, way, steps);
                self.settle_if_connected();
            }
            Body::Offer(offer) if is_of_round && self.is_offered_by(&offer) => {
                self.merge(&offer, way, steps);
                if self.stage != Stage::Describing {
                    self.send_own(Ways::One(way), steps);
                }
            }
            Body::Offer(offer) if self.is_restart(round, &offer, way) => {
                self.session.round = round;
                self.way = Some(way);
                self.stage = Stage::Describing;
                self.theirs = Some(offer.clone());
                self.own = None;
                self.over_at = Some(now.saturating_add(time_max));
                steps.push(Step::Do(Action::TakeRestart(offer)));
            }
            Body::Candidate(candidate) if is_of_round => self.on_candidate(candidate, way, steps),
            // Late, repeated, or nothing that this end has asked for.
            _ => {}
        }
    }

    /// Takes what the medium tells.
    pub(crate) fn on_medium(&mut self, event: MediumEvent, now: Duration, steps: &mut Vec<Step>) {
        match event {
            MediumEvent::Described(own) if self.stage == Stage::Describing => {
                self.own = Some(own);
                self.stage = match self.role {
                    Role::Offerer => Stage::Offered,
                    Role::Answerer => Stage::Connecting,
                };
                if self.way == Some(Way::Hand) {
                    return;
                }
                if self.role == Role::Offerer {
                    self.repeat = Some(Repeat::first(now));
                }
                self.send_own(self.way.map_or(Ways::All, Ways::One), steps);
                self.settle_if_connected();
            }
            MediumEvent::Candidate(candidate) => {
                let is_new = self
                    .own
                    .as_mut()
                    .is_some_and(|own| own.add(candidate.clone()));
                if is_new && self.stage != Stage::Open && self.way != Some(Way::Hand) {
                    let ways = self.way.map_or(Ways::All, Ways::One);
                    let signal = Signal::new(self.session, Body::Candidate(candidate));
                    steps.push(Step::Send(ways, signal));
                }
            }
            MediumEvent::Open => {
                self.is_opened = true;
                self.proven = self.theirs.as_ref().map(|theirs| theirs.fingerprint);
                self.settle();
            }
            MediumEvent::Connected if self.is_opened => {
                self.is_disconnected = false;
                self.settle_if_connected();
            }
            MediumEvent::Disconnected if self.is_opened && !self.is_disconnected => {
                self.on_disconnected(now, steps);
            }
            // Whoever has offered has not got the answer yet, and checks nothing: it is tried again.
            MediumEvent::Failed | MediumEvent::Disconnected
                if self.is_waiting_by_hand() && self.role == Role::Answerer =>
            {
                let theirs = self.theirs.iter().flat_map(Description::candidates);
                let again = theirs.cloned().map(Action::AddCandidate);
                steps.extend(again.map(Step::Do));
            }
            MediumEvent::Failed => {
                let why = if self.is_opened {
                    Unreached::Lost
                } else {
                    Unreached::Failed
                };
                steps.push(Step::Do(Action::Close(why)));
            }
            MediumEvent::Described(_)
            | MediumEvent::Gathered
            | MediumEvent::Connected
            | MediumEvent::Disconnected => {}
        }
    }

    /// Does what is due.
    pub(crate) fn on_time(&mut self, now: Duration, steps: &mut Vec<Step>) {
        if self.over_at.is_some_and(|at| at <= now) {
            // It came back by itself, and nobody has answered the restart.
            if self.is_opened && !self.is_disconnected {
                return self.settle();
            }
            self.over_at = None;
            self.repeat = None;
            let why = match self.stage {
                _ if self.is_opened => Unreached::Lost,
                Stage::Asking => Unreached::NobodyThere,
                Stage::Describing | Stage::Offered if self.role == Role::Offerer => {
                    Unreached::Unanswered
                }
                _ => Unreached::Unconnected,
            };
            return steps.push(Step::Do(Action::Close(why)));
        }
        let Some(repeat) = self.repeat.as_mut().filter(|repeat| repeat.at <= now) else {
            return;
        };
        repeat.after = (2 * repeat.after).min(REPEAT_AFTER_MAX);
        repeat.at = now.saturating_add(repeat.after);
        if self.stage == Stage::Asking {
            self.ask(Ways::All, steps);
        } else {
            self.send_own(Ways::All, steps);
        }
    }

    /// Asks whether anybody is there.
    pub(crate) fn ask(&self, ways: Ways, steps: &mut Vec<Step>) {
        steps.push(Step::Send(ways, Signal::new(self.session, Body::Ask)));
    }

    /// Takes a candidate by the way that the peer's description has come by, or by members. Others may have made it up,
    /// and are not to take the room of those that are true.
    fn on_candidate(&mut self, candidate: IceCandidate, way: Way, steps: &mut Vec<Step>) {
        let Some(theirs) = &mut self.theirs else {
            let of_way = self.early.iter().filter(|(by, _)| *by == way);
            if of_way.count() < CANDIDATES_MAX {
                self.early.push((way, candidate));
            }
            return;
        };
        let counts = way == Way::Mesh || self.way == Some(way);
        if counts && theirs.add(candidate.clone()) {
            steps.push(Step::Do(Action::AddCandidate(candidate)));
        }
    }

    fn on_answer(&mut self, answer: Description, way: Way, steps: &mut Vec<Step>) {
        if self.is_opened && !self.may_restart(&answer, way) {
            return;
        }
        let is_known = |theirs: &Description| theirs.is_of_same_end(&answer);
        let is_made_up = self.is_proven_better(way) && !self.theirs.as_ref().is_some_and(is_known);
        if is_made_up {
            return self.restart(Some(way), steps);
        }
        if self.stage != Stage::Offered {
            return self.merge(&answer, way, steps);
        }
        self.way = Some(way);
        self.stage = Stage::Connecting;
        self.theirs = Some(answer.clone());
        steps.push(Step::Do(Action::TakeAnswer(answer)));
        for (way, candidate) in std::mem::take(&mut self.early) {
            self.on_candidate(candidate, way, steps);
        }
    }

    /// Takes the candidates of a description that is known otherwise.
    fn merge(&mut self, repeated: &Description, way: Way, steps: &mut Vec<Step>) {
        let theirs = self.theirs.as_ref();
        if !theirs.is_some_and(|theirs| theirs.is_of_same_end(repeated)) {
            return;
        }
        for candidate in repeated.candidates() {
            self.on_candidate(candidate.clone(), way, steps);
        }
    }

    /// Returns true if an offer restarts ICE on a connection that has need of it: one that works is not given up for
    /// what anybody may have made up.
    fn is_restart(&self, round: u8, offer: &Description, way: Way) -> bool {
        // Offers of earlier restarts may have been lost, and the connection have come back without them.
        let is_later = self.session.round < round;
        let is_needed = self.role == Role::Answerer && self.is_disconnected;
        is_needed
            && self.may_restart(offer, way)
            && (is_later || self.is_proven_better(way) && !self.is_offered_by(offer))
    }

    /// Returns true if a description may be of whoever the connection has proven to be at its other end. Members have
    /// proven who they are, so that a server is not heard after one.
    fn may_restart(&self, theirs: &Description, way: Way) -> bool {
        let is_after_member = self.way == Some(Way::Mesh) && way != Way::Mesh;
        self.proven == Some(theirs.fingerprint) && !is_after_member
    }

    /// Returns true if a restart was taken from a server, and this is what members say of the same connection.
    fn is_proven_better(&self, way: Way) -> bool {
        let is_of_server = matches!(self.way, Some(Way::Server(_)));
        let is_restarting = self.is_disconnected && self.stage == Stage::Connecting;
        self.is_opened && is_restarting && is_of_server && way == Way::Mesh
    }

    /// Waits for nothing more.
    fn settle(&mut self) {
        self.stage = Stage::Open;
        self.is_disconnected = false;
        self.repeat = None;
        self.over_at = None;
    }

    /// Ends a restart that both ends have taken part in. One that is not answered goes on for its time, though the
    /// connection has come back: the other end may have taken it, and then waits for this one.
    fn settle_if_connected(&mut self) {
        let is_half_way = matches!(self.stage, Stage::Describing | Stage::Offered);
        if self.is_opened && !self.is_disconnected && !is_half_way {
            self.settle();
        }
    }

    fn on_disconnected(&mut self, now: Duration, steps: &mut Vec<Step>) {
        self.is_disconnected = true;
        self.over_at = Some(now.saturating_add(RESTART_TIME_MAX));
        if self.stage != Stage::Open {
            return;
        }
        // The way that has led to it may be the connection's own link.
        self.way = None;
        if self.role == Role::Offerer {
            self.restart(None, steps);
        }
    }

    /// Offers to begin ICE anew, by all ways or to whoever has answered by this one.
    fn restart(&mut self, way: Option<Way>, steps: &mut Vec<Step>) {
        let Some(round) = self.session.round.checked_add(1) else {
            return steps.push(Step::Do(Action::Close(Unreached::Lost)));
        };
        self.session.round = round;
        self.stage = Stage::Describing;
        self.way = way;
        (self.own, self.theirs) = (None, None);
        self.early.clear();
        steps.push(Step::Do(Action::MakeRestart));
    }

    fn send_own(&self, ways: Ways, steps: &mut Vec<Step>) {
        let Some(own) = self.own.clone() else {
            return;
        };
        let body = match self.role {
            Role::Offerer => Body::Offer(own),
            Role::Answerer => Body::Answer(own),
        };
        steps.push(Step::Send(ways, Signal::new(self.session, body)));
    }
}

impl Repeat {
    fn first(now: Duration) -> Self {
        Self {
            at: now.saturating_add(REPEAT_AFTER),
            after: REPEAT_AFTER,
        }
    }
}

/// What links are told of it.
impl From<Unreached> for OpenFailure {
    fn from(why: Unreached) -> Self {
        match why.is_silence() {
            true => Self::TimedOut,
            false => Self::NotConnected(why.to_string()),
        }
    }
}
