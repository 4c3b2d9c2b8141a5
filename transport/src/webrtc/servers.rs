//! Keeps the signaling servers of a carrier: its own, which hear of all whom it dials, and those that addresses name,
//! which hear of the peers that they were named for, and are given back some time after the last dial.
//!
//! Addresses come from others. Whoever makes them up learns by that whom they were made up for, and no more; and takes
//! no place for longer than its addresses are dialed.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use liferaft_platform::Address;
use liferaft_platform::SortedMap;

use super::address::address_of;
use super::reached::{SignalingMeter, SignalingStatus};
use crate::ServerId;
use crate::signaling::{Place, Signaling, SignalingEvent};

/// The most signaling servers that a carrier uses. Of those that were named for the peer that named most, the one that
/// was named the longest ago makes room for another.
pub(crate) const SERVERS_MAX: usize = 8;

/// How long a server is kept after the last dial that named it: longer than the longest time between two dials of one
/// who is not reached, lest each begin with connecting to the server.
pub(crate) const NAMED_FOR: Duration = Duration::from_secs(2 * 60);

/// How long a server is kept at least once it is named, which makes no room for others: dialing takes that long.
pub(crate) const NAMED_FOR_MIN: Duration = Duration::from_secs(5);

/// The most places whose numbers are remembered, the latest: more than are named in the time for which what led nowhere
/// is remembered, by number ([`Shunned`](super::shunned::Shunned)), of [`SERVERS_MAX`] in [`NAMED_FOR_MIN`].
const NUMBERS_MAX: usize = 1_024;

/// The signaling servers of a carrier. No number is given to two, and a server that comes back to its place has the one
/// that it had: it is no other.
#[derive(Default)]
pub(crate) struct Servers {
    servers: Vec<Server>,
    next: usize,
    /// The numbers of places, the latest last.
    numbers: VecDeque<(Place, usize)>,
    /// Where in the list the one is that is heard first.
    hears_next: usize,
    local: Option<ServerId>,
    meter: SignalingMeter,
}

struct Server {
    number: usize,
    /// Where it is, if it is one of PeerJS's protocol.
    place: Option<Place>,
    signaling: Box<dyn Signaling>,
    named: Option<Named>,
    is_reached: bool,
    /// Why it is not reached, as far as that is known.
    outage: Option<String>,
}

/// When a server that is not the carrier's own was named.
struct Named {
    since: Duration,
    /// The last time, for each peer whose address did.
    peers: SortedMap<ServerId, Duration>,
}

impl Servers {
    /// Takes the id of this server, and tells it to all.
    pub(crate) fn introduce(&mut self, local: ServerId) {
        self.local = Some(local);
        for server in &mut self.servers {
            server.signaling.introduce(local);
        }
    }

    /// Uses one more server as the carrier's own, once however often it is given. Returns false if there are too many.
    pub(crate) fn add(
        &mut self,
        place: Option<Place>,
        signaling: Box<dyn Signaling>,
        now: Duration,
    ) -> bool {
        let mut known = self.servers.iter().filter(|known| known.named.is_none());
        let is_known = place.is_some() && known.any(|known| known.place == place);
        is_known
            || self.make_room(now) && {
                self.push(place, signaling, None);
                true
            }
    }

    /// Uses the server that the address of a peer names, which is made if there is none at that place. Returns false
    /// if there are too many.
    pub(crate) fn name(
        &mut self,
        place: Place,
        peer: ServerId,
        now: Duration,
        make: impl FnOnce(Place) -> Box<dyn Signaling>,
    ) -> bool {
        let mut servers = self.servers.iter_mut();
        let known = servers.find(|server| server.place.as_ref() == Some(&place));
        if let Some(server) = known {
            if let Some(Named { peers, .. }) = &mut server.named {
                peers.insert(peer, now);
            }
            return true;
        }
        self.make_room(now) && {
            let (since, peers) = (now, SortedMap::from([(peer, now)]));
            let named = Named { since, peers };
            let signaling = make(place.clone());
            self.push(Some(place), signaling, Some(named));
            true
        }
    }

    /// Returns true if one more has a place, or another has made room for it.
    fn make_room(&mut self, now: Duration) -> bool {
        if self.servers.len() < SERVERS_MAX {
            return true;
        }
        let named = self.servers.iter().enumerate().filter_map(|(at, server)| {
            let named = server.named.as_ref()?;
            let is_new = now < named.since.saturating_add(NAMED_FOR_MIN);
            Some((Reverse(self.share(named)), is_new, named.last()?, at))
        });
        let given_back = named.min().filter(|(_, is_new, ..)| !is_new);
        given_back.map(|(.., at)| self.servers.remove(at)).is_some()
    }

    /// Returns how many servers are named for the same peer as one; of several peers, the one for which the fewest are,
    /// from whom others are not to take it by naming it too.
    fn share(&self, named: &Named) -> Option<usize> {
        let named_for = |peer: &ServerId| {
            let servers = self.servers.iter();
            let all = servers.filter_map(|server| server.named.as_ref());
            all.filter(|named| named.peers.contains_key(peer)).count()
        };
        named.peers.keys().map(named_for).min()
    }

    fn push(
        &mut self,
        place: Option<Place>,
        mut signaling: Box<dyn Signaling>,
        named: Option<Named>,
    ) {
        if let Some(local) = self.local {
            signaling.introduce(local);
        }
        let number = self.number_of(place.as_ref());
        self.servers.push(Server {
            number,
            place,
            signaling,
            named,
            is_reached: false,
            outage: None,
        });
        self.post();
    }

    /// Returns the number of a server at a place: the one that was there before, or a new one.
    fn number_of(&mut self, place: Option<&Place>) -> usize {
        let mut numbers = self.numbers.iter();
        let at = numbers.position(|(known, _)| Some(known) == place);
        let known = at.and_then(|at| self.numbers.remove(at));
        // An address may name the place of one that is added as the carrier's own later: they are two.
        let is_free = |number: &usize| self.servers.iter().all(|server| server.number != *number);
        let known = known.map(|(_, number)| number).filter(is_free);
        let number = known.unwrap_or(self.next);
        self.next = self.next.max(number + 1);
        if let Some(place) = place {
            if self.numbers.len() >= NUMBERS_MAX {
                self.numbers.pop_front();
            }
            self.numbers.push_back((place.clone(), number));
        }
        number
    }

    /// Returns those that hear of a peer.
    pub(crate) fn leading_to(
        &mut self,
        peer: ServerId,
    ) -> impl Iterator<Item = &mut Box<dyn Signaling>> {
        let servers = self.servers.iter_mut();
        let leading = servers.filter(move |server| server.leads_to(peer));
        leading.map(|server| &mut server.signaling)
    }

    /// Returns true if a server hears of a peer.
    pub(crate) fn leads_to(&self, number: usize, peer: ServerId) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|server| server.number == number && server.leads_to(peer))
    }

    /// Notes why a server is not reached; `None` once it is.
    pub(crate) fn note_outage(&mut self, number: usize, outage: Option<String>) {
        let mut servers = self.servers.iter_mut();
        if let Some(server) = servers.find(|server| server.number == number) {
            server.is_reached = outage.is_none();
            server.outage = outage;
            self.post();
        }
    }

    /// Returns what tells which servers are reached.
    pub(crate) fn meter(&self) -> SignalingMeter {
        self.meter.clone()
    }

    fn post(&self) {
        let servers = self.servers.iter().filter_map(|server| {
            let address = server.place.as_ref()?.to_string();
            let is_connected = server.is_reached;
            Some(SignalingStatus {
                address,
                is_connected,
            })
        });
        self.meter.post(servers.collect());
    }

    /// Returns a server that is not reached and why, if none is reached by which a peer is asked that is said to be
    /// registered there.
    pub(crate) fn outage(
        &self,
        peer: ServerId,
        registered: Option<&Place>,
    ) -> Option<(&Place, &str)> {
        let asked = self.servers.iter().filter(|server| match registered {
            Some(place) => server.place.as_ref() == Some(place),
            None => server.leads_to(peer),
        });
        let outages = asked.map(|server| server.place.as_ref().zip(server.outage.as_deref()));
        let outages: Option<Vec<_>> = outages.collect();
        outages?.first().copied()
    }

    /// Has all of them find out who else is there.
    pub(crate) fn look_around(&mut self) {
        for server in &mut self.servers {
            server.signaling.look_around();
        }
    }

    /// Returns where a server has said that another one is.
    pub(crate) fn address_at(&self, number: usize, peer: ServerId) -> Option<Address> {
        let mut servers = self.servers.iter();
        let server = servers.find(|server| server.number == number)?;
        match &server.place {
            Some(place) => place.address_of(peer).parse().ok(),
            None => Some(address_of(peer)),
        }
    }

    /// Returns the server of a number, unless it was given back.
    pub(crate) fn get(&mut self, number: usize) -> Option<&mut Box<dyn Signaling>> {
        let mut servers = self.servers.iter_mut();
        let server = servers.find(|server| server.number == number)?;
        Some(&mut server.signaling)
    }

    /// Returns what a server says next, and its number. Each has its turn, however much others say.
    pub(crate) fn next_event(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<(usize, SignalingEvent)> {
        for _ in 0..self.servers.len() {
            let at = self.hears_next % self.servers.len();
            self.hears_next = at + 1;
            let server = &mut self.servers[at];
            match server.signaling.poll(context) {
                Poll::Ready(Some(event)) => return Some((server.number, event)),
                Poll::Ready(None) => {
                    self.servers.remove(at);
                    self.post();
                    self.hears_next = at;
                    if self.servers.is_empty() {
                        return None;
                    }
                }
                Poll::Pending => {}
            }
        }
        None
    }

    /// Returns when the next one is to be given back.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let named = self
            .servers
            .iter()
            .filter_map(|server| server.named.as_ref());
        let last = named.filter_map(Named::last).min();
        last.map(|last| last.saturating_add(NAMED_FOR))
    }

    /// Gives back those that no dial has named for long enough, and forgets for whom others were.
    pub(crate) fn on_time(&mut self, now: Duration) {
        let is_recent = |at: Duration| now < at.saturating_add(NAMED_FOR);
        self.servers.retain_mut(|server| {
            server.named.as_mut().is_none_or(|Named { peers, .. }| {
                peers.retain(|_, at| is_recent(*at));
                !peers.is_empty()
            })
        });
        self.post();
    }

    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }
}

impl Server {
    fn leads_to(&self, peer: ServerId) -> bool {
        let named = self.named.as_ref();
        named.is_none_or(|named| named.peers.contains_key(&peer))
    }
}

impl Named {
    fn last(&self) -> Option<Duration> {
        self.peers.values().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::signaling::{Body, Session, Signal};

    const NOW: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    type Sent = Arc<Mutex<Vec<ServerId>>>;

    /// A server that says nothing, and whom it was given signals to. Nobody else has that once it is given back.
    struct Silent(Sent);

    impl Signaling for Silent {
        fn introduce(&mut self, _local: ServerId) {}

        fn send(&mut self, to: ServerId, _signal: &Signal) {
            self.0.lock().expect("one thread").push(to);
        }

        fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Option<SignalingEvent>> {
            Poll::Pending
        }
    }

    fn id(number: u128) -> ServerId {
        ServerId::from(number)
    }

    fn place(number: usize) -> Place {
        Place::read(&format!("ws://a{number}/room")).expect("it is one")
    }

    /// Has the address of a peer name a server. Returns what that was given, if it is new.
    fn name(servers: &mut Servers, at: usize, peer: u128, now: Duration) -> (bool, Sent) {
        let sent = Sent::default();
        let made = Silent(Arc::clone(&sent));
        let is_used = servers.name(place(at), id(peer), now, |_| Box::new(made));
        (is_used, sent)
    }

    fn send_to(servers: &mut Servers, peer: u128) {
        let session = Session {
            number: 7,
            round: 0,
        };
        let signal = Signal::new(session, Body::Ask);
        for signaling in servers.leading_to(id(peer)) {
            signaling.send(id(peer), &signal);
        }
    }

    fn heard(sent: &Sent) -> Vec<ServerId> {
        sent.lock().expect("one thread").clone()
    }

    #[test]
    fn a_server_hears_of_the_peers_alone_that_it_was_named_for() {
        let mut servers = Servers::default();
        let own = Sent::default();
        assert!(servers.add(None, Box::new(Silent(Arc::clone(&own))), NOW));
        let (_, of_two) = name(&mut servers, 2, 2, NOW);
        let (_, of_three) = name(&mut servers, 3, 3, NOW);

        for peer in [2, 3, 4] {
            send_to(&mut servers, peer);
        }

        assert_eq!(heard(&of_two), [id(2)]);
        assert_eq!(heard(&of_three), [id(3)]);
        assert_eq!(heard(&own), [2, 3, 4].map(id));
    }

    #[test]
    fn a_server_that_no_dial_names_any_more_is_given_back() {
        let mut servers = Servers::default();
        let own = Sent::default();
        assert!(servers.add(None, Box::new(Silent(Arc::clone(&own))), NOW));
        let (_, sent) = name(&mut servers, 2, 2, NOW);
        name(&mut servers, 2, 3, NOW + SECOND);

        servers.on_time(NOW + NAMED_FOR);
        send_to(&mut servers, 2);
        send_to(&mut servers, 3);
        let kept_until = servers.deadline();
        servers.on_time(NOW + SECOND + NAMED_FOR);

        assert_eq!(heard(&sent), [id(3)]);
        assert_eq!(kept_until, Some(NOW + SECOND + NAMED_FOR));
        assert_eq!((Arc::strong_count(&sent), servers.len()), (1, 1));
        assert_eq!(servers.deadline(), None);
    }

    #[test]
    fn servers_that_were_named_before_keep_no_other_out() {
        let mut servers = Servers::default();
        for at in 0..SERVERS_MAX {
            assert!(name(&mut servers, at, 2, NOW).0);
        }

        let (at_once, _) = name(&mut servers, SERVERS_MAX, 3, NOW + SECOND);
        name(&mut servers, 0, 2, NOW + 2 * SECOND);
        let (later, sent) = name(&mut servers, SERVERS_MAX, 3, NOW + NAMED_FOR_MIN);
        let own = Box::new(Silent(Sent::default()));
        let is_added = servers.add(None, own, NOW + NAMED_FOR_MIN);
        send_to(&mut servers, 3);

        assert_eq!([at_once, later, is_added], [false, true, true]);
        assert_eq!((heard(&sent).len(), servers.len()), (1, SERVERS_MAX));
        assert!(servers.leads_to(0, id(2)) && !servers.leads_to(1, id(2)));
    }
    #[test]
    fn servers_of_one_peer_that_is_dialed_on_leave_room_for_others() {
        let mut servers = Servers::default();
        name(&mut servers, 0, 2, NOW);
        for at in 1..SERVERS_MAX {
            assert!(name(&mut servers, at, 3, NOW + SECOND).0);
        }
        let mut now = NOW;

        let used = [(); 20].map(|()| {
            // Each of them is named again before it has its time, if it is there.
            now += SECOND;
            for at in 1..SERVERS_MAX {
                name(&mut servers, at, 3, now);
            }
            name(&mut servers, SERVERS_MAX, 4, now).0
        });

        assert_eq!(used[..5], [false; 5]);
        assert_eq!(used[5..], [true; 15]);
        assert!(servers.leads_to(0, id(2)), "it was named first");
    }

    /// Has the addresses of a peer name as many servers as are remembered but two, one after the other.
    fn name_others(servers: &mut Servers, first: usize, mut now: Duration) -> Duration {
        for at in first..first + NUMBERS_MAX - 2 {
            now += NAMED_FOR;
            servers.on_time(now);
            name(servers, at, 4, now);
        }
        now + NAMED_FOR
    }

    #[test]
    fn a_server_that_comes_back_to_its_place_has_its_number() {
        let mut servers = Servers::default();
        name(&mut servers, 1, 2, NOW);
        name(&mut servers, 2, 3, NOW);

        let now = name_others(&mut servers, 10, NOW);
        servers.on_time(now);
        name(&mut servers, 2, 3, now);
        name(&mut servers, 1, 2, now);
        let own = Box::new(Silent(Sent::default()));
        assert!(servers.add(Some(place(1)), own, now));

        let numbers = servers.servers.iter().map(|server| server.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 0, NUMBERS_MAX]);
        name_others(&mut servers, 10_000, now);
        assert_eq!(servers.numbers.len(), NUMBERS_MAX);
    }
}
