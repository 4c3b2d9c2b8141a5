//! Tells why a client reaches no leader: what each address that it tries answered last.
//!
//! Some causes pass, as a member that is being restarted, and are worth waiting for. Others last: who holds a token
//! that was revoked, or dials another cluster, is told so at once. A member that lags behind does not know a fresh
//! token yet, so that only a refusal that is proven, or was repeated for a while, counts as one that lasts. Addresses
//! where nobody answers put that off for a while, as a member that knows the token may come back there.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use liferaft_platform::Address;
use liferaft_transport::access::Refusal;
use liferaft_transport::handshake::{HandshakeError, Hint};
use liferaft_transport::links::{LinkError, Wanted};
use thiserror::Error;

use crate::ids::ServerId;
use crate::time::Instant;

/// For how long an address refuses before that counts as lasting, where nobody has proven to refuse: a member that lags
/// behind does not know a token that was just issued.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// For how long addresses where nobody answers keep a refusal from counting as lasting.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// The most reasons that the text of an error names, each with one or two addresses.
const REASONS_SHOWN_MAX: usize = 8;

/// Why a client reaches no leader, with the addresses that it has tried.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{cause}{}", List(.tried))]
pub struct Unreached {
    /// The cause, by all that is known.
    pub cause: UnreachedCause,
    /// Whether waiting does not help: calls end at once then, in place of at their deadline.
    pub is_lasting: bool,
    /// The addresses that are tried, each with what came of it last.
    pub tried: Vec<Tried>,
}

/// Why a client reaches no leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnreachedCause {
    /// No member is reached.
    #[error("no member of the cluster answers")]
    NoAnswer,
    /// Members are reached, and none of them knows a leader: no majority is there.
    #[error(
        "of the members {members} answer, and no leader is known since {} s: a majority of the voters must be there",
        leaderless_for.as_secs()
    )]
    NoLeader {
        /// How many members there is a link to.
        members: usize,
        /// For how long they have named no leader to this client, in whole seconds.
        leaderless_for: Duration,
    },
    /// Members are reached, and the leader that they name is not.
    #[error("server {leader} leads, and is not reached")]
    LeaderNotReached {
        /// The leader.
        leader: ServerId,
    },
    /// Another cluster is at the addresses, as whoever is there says without a proof.
    #[error("the members there belong to another cluster")]
    OtherCluster,
    /// This client and the members have no version of the protocol in common.
    #[error(
        "the members speak no version of the protocol that this client speaks: update the older side"
    )]
    NoCommonVersion,
    /// The members refuse the client: its token, or what it claims by it.
    #[error("no member gives the client a link: {0}")]
    Refused(Refusal),
}

/// An address that a client has tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The address.
    pub address: Address,
    /// What came of it last; `None`: nothing yet.
    pub error: Option<LinkError>,
    /// Whether it was dialed, or is being dialed. False where it is the turn of others at first.
    pub was_dialed: bool,
}

/// The addresses as the end of a sentence: those together of which the same came.
struct List<'a>(&'a [Tried]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dialed, waiting): (Vec<_>, Vec<_>) = self.0.iter().partition(|tried| tried.was_dialed);
        let mut reasons: Vec<(String, Vec<&Address>)> = Vec::new();
        for tried in dialed {
            let reason = tried.reason();
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, addresses)) => addresses.push(&tried.address),
                None => reasons.push((reason, vec![&tried.address])),
            }
        }
        for (place, (reason, addresses)) in reasons.iter().take(REASONS_SHOWN_MAX).enumerate() {
            let before = if place == 0 { "; tried " } else { ", " };
            write!(f, "{before}{}: {reason}", Few(addresses))?;
        }
        let others = reasons.iter().skip(REASONS_SHOWN_MAX);
        match others.map(|(_, addresses)| addresses.len()).sum() {
            0 => {}
            more => write!(f, " and {more} more")?,
        }
        let waiting: Vec<_> = waiting.iter().map(|tried| &tried.address).collect();
        match waiting.is_empty() {
            true => Ok(()),
            false => write!(f, "; not tried yet {}", Few(&waiting)),
        }
    }
}

/// Some addresses: all of two, and of more the first one and how many there are.
struct Few<'a>(&'a [&'a Address]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            [one] => write!(f, "{one}"),
            [one, other] => write!(f, "{one} and {other}"),
            [first, others @ ..] => write!(f, "{first} and {} others", others.len()),
        }
    }
}

impl Tried {
    fn reason(&self) -> String {
        match &self.error {
            Some(error) => error.to_string(),
            None if self.was_dialed => "no answer yet".to_owned(),
            None => "not tried yet".to_owned(),
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.reason())
    }
}

/// What the addresses that a client tries have answered last.
#[derive(Debug, Default)]
pub(super) struct Failures {
    last: BTreeMap<(ServerId, Address), Failure>,
    /// Whether a link was up once: which address is dialed first after that depends on which one worked.
    was_linked: bool,
    /// Since when there is a link to a member, and no leader is known.
    leaderless_since: Option<Instant>,
}

#[derive(Debug)]
struct Failure {
    error: LinkError,
    verdict: Verdict,
    /// Since when each attempt has had this verdict; one of refusal stays where nothing is heard after it.
    since: Instant,
    /// When an attempt has had it last.
    latest: Instant,
}

/// What one failure tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It may pass.
    Passing,
    OtherCluster,
    NoCommonVersion,
    Refused {
        refusal: Refusal,
        is_proven: bool,
    },
}

/// What a client knows of those whom it reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// How many members there is a link to.
    pub(super) members: usize,
    /// The leader, as far as it is known.
    pub(super) leader: Option<ServerId>,
}

impl Failures {
    /// An attempt to reach a peer came to nothing.
    pub(super) fn on_failed(
        &mut self,
        peer: ServerId,
        address: Address,
        error: LinkError,
        now: Instant,
    ) {
        let verdict = Verdict::of(&error);
        let key = (peer, address);
        let earlier = self.last.get(&key);
        // Silence does not take back what was said.
        if verdict == Verdict::Passing && earlier.is_some_and(Failure::is_refusal) {
            return;
        }
        let earlier = earlier.filter(|earlier| earlier.verdict == verdict);
        let since = earlier.map_or(now, |earlier| earlier.since);
        let failure = Failure {
            error,
            verdict,
            since,
            latest: now,
        };
        self.last.insert(key, failure);
    }

    /// A link is up: what failed before tells nothing any more.
    pub(super) fn on_up(&mut self) {
        self.last.clear();
        self.was_linked = true;
    }

    /// Other peers are wanted, or at other addresses.
    pub(super) fn on_wanted(&mut self, wanted: &[Wanted]) {
        let is_wanted = |peer: &ServerId| wanted.iter().any(|wanted| wanted.peer == *peer);
        self.last.retain(|(peer, _), _| is_wanted(peer));
    }

    /// There is a link to the leader.
    pub(super) fn on_leader(&mut self) {
        self.leaderless_since = None;
    }

    /// Why there is no link to a leader, where links are wanted to these.
    pub(super) fn unreached(
        &mut self,
        wanted: &[Wanted],
        reached: Reached,
        now: Instant,
    ) -> Unreached {
        let is_lasting = reached.members == 0 && self.is_lasting(wanted, now);
        let since = match reached.members {
            0 => None,
            _ => Some(self.leaderless_since.unwrap_or(now)),
        };
        self.leaderless_since = since;
        let cause = match (since, reached.leader) {
            (None, _) => self.worst(),
            (Some(_), Some(leader)) => UnreachedCause::LeaderNotReached { leader },
            (Some(since), None) => UnreachedCause::NoLeader {
                members: reached.members,
                leaderless_for: Duration::from_secs(now.since(since).as_secs()),
            },
        };
        let mut tried: BTreeMap<&Address, Option<&Failure>> = BTreeMap::new();
        for address in wanted.iter().flat_map(|wanted| &wanted.addresses) {
            tried.insert(address, None);
        }
        let is_told = !tried.is_empty();
        for ((_, address), failure) in &self.last {
            // Carriers guess addresses from ids: that nobody is there says nothing beside those that somebody gave.
            if is_told && failure.verdict == Verdict::Passing && !tried.contains_key(address) {
                continue;
            }
            let known = tried.entry(address).or_default();
            if known.is_none_or(|known| known.verdict == Verdict::Passing) {
                *known = Some(failure);
            }
        }
        let dialed: Vec<_> = wanted.iter().filter_map(|peer| self.dialed(peer)).collect();
        let tried = tried.into_iter().map(|(address, failure)| Tried {
            address: address.clone(),
            error: failure.map(|failure| failure.error.clone()),
            was_dialed: self.was_linked || failure.is_some() || dialed.contains(&address),
        });
        // Members that are reached are not what is looked for.
        let tried = tried.filter(|tried| reached.members == 0 || tried.error.is_some());
        Unreached {
            cause,
            is_lasting,
            tried: tried.collect(),
        }
    }

    /// Returns the address of a peer that is being dialed for the first time: they are dialed in their order.
    fn dialed<'a>(&self, peer: &'a Wanted) -> Option<&'a Address> {
        let mut addresses = peer.addresses.iter();
        addresses.find(|address| !self.last.contains_key(&(peer.peer, (*address).clone())))
    }

    /// Returns true if waiting does not help: a member has proven to refuse, all peers say what lasts, or some refuse
    /// and of the others nothing was heard for a while.
    fn is_lasting(&self, wanted: &[Wanted], now: Instant) -> bool {
        let refusals = || self.last.values().filter(|failure| failure.is_refusal());
        let is_proven = |failure: &Failure| failure.is_proven();
        let is_unopposed =
            |failure: &Failure| failure.was_repeated() && now >= failure.since + SILENT_FOR;
        if refusals().any(is_proven) || refusals().any(is_unopposed) {
            return true;
        }
        let lasts = |peer: &Wanted| {
            let of_peer = || {
                let of_peer = self.last.iter().filter(|((id, _), _)| *id == peer.peer);
                of_peer.map(|(_, failure)| failure)
            };
            let is_tried = |address: &Address| {
                let key = (peer.peer, address.clone());
                self.last.contains_key(&key)
            };
            // Who refuses at one address does so at all; of another cluster some other address may not be.
            let refuses = |failure: &Failure| failure.is_refusal() && failure.lasts(now);
            peer.addresses.iter().all(is_tried)
                && of_peer().next().is_some()
                && (of_peer().any(refuses) || of_peer().all(|failure| failure.lasts(now)))
        };
        !wanted.is_empty() && wanted.iter().all(lasts)
    }

    /// The cause that tells most, of all failures.
    fn worst(&self) -> UnreachedCause {
        let verdicts = || self.last.values().map(|failure| failure.verdict);
        let refused = |is_meant: bool| {
            verdicts().find_map(|verdict| match verdict {
                Verdict::Refused { refusal, is_proven } if is_proven == is_meant => Some(refusal),
                _ => None,
            })
        };
        if let Some(refusal) = refused(true).or_else(|| refused(false)) {
            return UnreachedCause::Refused(refusal);
        }
        if verdicts().any(|verdict| verdict == Verdict::NoCommonVersion) {
            return UnreachedCause::NoCommonVersion;
        }
        if verdicts().any(|verdict| verdict == Verdict::OtherCluster) {
            return UnreachedCause::OtherCluster;
        }
        UnreachedCause::NoAnswer
    }
}

impl Failure {
    const fn is_refusal(&self) -> bool {
        matches!(self.verdict, Verdict::Refused { .. })
    }

    const fn is_proven(&self) -> bool {
        let Verdict::Refused { is_proven, .. } = self.verdict else {
            return false;
        };
        is_proven
    }

    fn was_repeated(&self) -> bool {
        self.latest >= self.since + REFUSED_FOR
    }

    fn lasts(&self, now: Instant) -> bool {
        match self.verdict {
            Verdict::Passing => false,
            Verdict::OtherCluster | Verdict::NoCommonVersion => true,
            Verdict::Refused { is_proven, .. } => is_proven || now >= self.since + REFUSED_FOR,
        }
    }
}

impl Verdict {
    const fn of(error: &LinkError) -> Self {
        let LinkError::Handshake(error) = error else {
            return Self::Passing;
        };
        match error {
            HandshakeError::TimedOut {
                hint: Some(Hint::OtherCluster),
            } => Self::OtherCluster,
            HandshakeError::TimedOut {
                hint: Some(Hint::UnknownVersion),
            }
            | HandshakeError::Rejected {
                refusal: Refusal::NoCommonVersion { .. },
                ..
            } => Self::NoCommonVersion,
            HandshakeError::Rejected { refusal, by } => match refusal {
                Refusal::Crowded | Refusal::WrongBinding => Self::Passing,
                refusal => Self::Refused {
                    refusal: *refusal,
                    is_proven: by.is_some(),
                },
            },
            _ => Self::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use liferaft_transport::carrier::OpenFailure;

    use super::*;

    const ADA: ServerId = ServerId(1);

    const NONE: Reached = Reached {
        members: 0,
        leader: None,
    };

    fn at(milliseconds: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(milliseconds))
    }

    fn address(text: &str) -> Address {
        text.parse().expect("it is an address")
    }

    fn wanted() -> [Wanted; 1] {
        [Wanted {
            peer: ADA,
            keys: Vec::new(),
            addresses: vec![address("ws://a:1"), address("ws://b:1")],
        }]
    }

    fn refused(refusal: Refusal) -> LinkError {
        HandshakeError::Rejected { refusal, by: None }.into()
    }

    fn foreign() -> LinkError {
        let hint = Some(Hint::OtherCluster);
        HandshakeError::TimedOut { hint }.into()
    }

    fn after(failures: &[(&str, LinkError, u64)], now: u64) -> Unreached {
        let mut all = Failures::default();
        for (text, error, when) in failures {
            all.on_failed(ADA, address(text), error.clone(), at(*when));
        }
        all.unreached(&wanted(), NONE, at(now))
    }

    #[test]
    fn each_address_is_named_with_its_last_failure() {
        let refused = LinkError::from(OpenFailure::ConnectionRefused);

        let unreached = after(&[("ws://a:1", refused, 1)], 2);

        assert_eq!(unreached.cause, UnreachedCause::NoAnswer);
        assert!(!unreached.is_lasting);
        assert_eq!(
            unreached.to_string(),
            "no member of the cluster answers; tried ws://a:1: the connection is refused, ws://b:1: no answer yet"
        );
    }

    #[test]
    fn a_guessed_address_is_not_named_beside_those_that_were_given() {
        let late = || LinkError::from(OpenFailure::TimedOut);
        let guessed = "rtc:00000000000000000000000000000001";

        let unreached = after(&[("ws://a:1", late(), 1), (guessed, late(), 1)], 2);

        assert_eq!(
            unreached.to_string(),
            "no member of the cluster answers; tried ws://a:1: nobody answers in time, ws://b:1: no answer yet"
        );
    }

    #[test]
    fn an_address_that_waits_for_its_turn_is_not_said_to_be_silent() {
        let unreached = after(&[], 2);

        assert_eq!(
            unreached.to_string(),
            "no member of the cluster answers; tried ws://a:1: no answer yet; not tried yet ws://b:1"
        );
    }

    #[test]
    fn addresses_of_which_the_same_came_are_told_together() {
        let tried = |text: &str, error: Option<LinkError>| Tried {
            address: address(text),
            was_dialed: error.is_some(),
            error,
        };
        let refused = || Some(LinkError::from(OpenFailure::ConnectionRefused));
        let late = Some(LinkError::from(OpenFailure::TimedOut));
        let unreached = Unreached {
            cause: UnreachedCause::NoAnswer,
            is_lasting: false,
            tried: vec![
                tried("ws://a:1", refused()),
                tried("ws://b:1", late),
                tried("ws://c:1", refused()),
                tried("ws://d:1", refused()),
                tried("ws://e:1", None),
                tried("ws://f:1", None),
            ],
        };

        assert_eq!(
            unreached.to_string(),
            "no member of the cluster answers; tried ws://a:1 and 2 others: the connection is refused, ws://b:1: nobody \
             answers in time; not tried yet ws://e:1 and ws://f:1"
        );
    }

    #[test]
    fn another_cluster_lasts_once_every_address_says_it() {
        let first = after(&[("ws://a:1", foreign(), 1)], 2);
        let both = after(&[("ws://a:1", foreign(), 1), ("ws://b:1", foreign(), 1)], 2);

        assert_eq!(first.cause, UnreachedCause::OtherCluster);
        assert_eq!((first.is_lasting, both.is_lasting), (false, true));
    }

    #[test]
    fn an_unproven_refusal_lasts_after_a_while_only() {
        let unknown = || refused(Refusal::TokenUnknown);
        let once = [("ws://a:1", unknown(), 1), ("ws://b:1", unknown(), 1)];

        assert!(!after(&once, 500).is_lasting);
        let later = after(&once, 1100);
        assert!(later.is_lasting);
        assert_eq!(later.cause, UnreachedCause::Refused(Refusal::TokenUnknown));
    }

    #[test]
    fn a_proven_refusal_lasts_at_once() {
        let by = Some(liferaft_platform::PublicKey([7; 32]));
        let refusal = Refusal::RoleNotGranted;
        let error = HandshakeError::Rejected { refusal, by }.into();

        assert!(after(&[("ws://a:1", error, 1)], 1).is_lasting);
    }

    #[test]
    fn an_address_without_an_answer_takes_no_refusal_back() {
        let silent = || LinkError::from(OpenFailure::TimedOut);
        let unknown = || refused(Refusal::TokenUnknown);
        let failures = [
            ("ws://a:1", unknown(), 1),
            ("ws://a:1", silent(), 700),
            ("ws://b:1", silent(), 900),
        ];

        let unreached = after(&failures, 1100);

        assert!(unreached.is_lasting);
        let cause = UnreachedCause::Refused(Refusal::TokenUnknown);
        assert_eq!(unreached.cause, cause);
    }

    #[test]
    fn members_that_are_silent_put_a_refusal_off_for_a_while() {
        let silent = || LinkError::from(OpenFailure::TimedOut);
        let unknown = || refused(Refusal::TokenUnknown);
        let bob = Wanted {
            peer: ServerId(2),
            keys: Vec::new(),
            addresses: vec![address("ws://c:1")],
        };
        let both = [&wanted()[..], &[bob]].concat();
        let mut failures = Failures::default();
        let mut fail = |peer: u128, text, error, milliseconds| {
            failures.on_failed(ServerId(peer), address(text), error, at(milliseconds));
            failures.unreached(&both, NONE, at(milliseconds)).is_lasting
        };

        let early = [
            fail(1, "ws://a:1", unknown(), 1),
            fail(1, "ws://b:1", silent(), 100),
            fail(2, "ws://c:1", silent(), 200),
            // It may be one that did not know the token yet, and is gone.
            fail(2, "ws://c:1", silent(), 5200),
        ];
        let again = fail(1, "ws://a:1", unknown(), 5300);

        assert_eq!((early, again), ([false; 4], true));
    }

    #[test]
    fn members_without_a_leader_tell_for_how_long() {
        let mut failures = Failures::default();
        let reached = Reached {
            members: 2,
            leader: None,
        };
        failures.unreached(&wanted(), reached, at(1000));

        let unreached = failures.unreached(&wanted(), reached, at(9500));

        assert_eq!(
            unreached.to_string(),
            "of the members 2 answer, and no leader is known since 8 s: a majority of the voters must be there"
        );
    }
}
