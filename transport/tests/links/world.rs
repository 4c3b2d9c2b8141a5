//! Ends of links and the medium between them, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{Signer as _, SigningKey};
use liferaft_platform::{ClusterId, PublicKey, ServerId, Starts, Versions};
use liferaft_transport::access::{AccessTable, Role};
use liferaft_transport::carrier::{
    Address, Carrier, CarrierEvent, CarryError, Channel, DialError, Packet, Path,
};
use liferaft_transport::links::{
    Credentials, DownReason, LinkEvent, LinkLimits, LinkOutput, Links, Wanted,
};
use liferaft_transport::{DeliveryClass, SendError};

pub(crate) const DATAGRAM: DeliveryClass = DeliveryClass::Datagram;
pub(crate) const STREAM: DeliveryClass = DeliveryClass::Stream;

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How the medium behaves where the adversary leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Medium {
    pub(crate) scheme: &'static str,
    pub(crate) packet_bytes_max: usize,
    pub(crate) is_inside_process: bool,
    pub(crate) delay: Duration,
    /// How long a byte takes on the way out of an end, if that is slow.
    pub(crate) bytes_per_second: Option<u32>,
}

pub(crate) const SEALED: Medium = Medium {
    scheme: "test",
    packet_bytes_max: 1_200,
    is_inside_process: false,
    delay: ms(5),
    bytes_per_second: None,
};
pub(crate) const INSIDE: Medium = Medium {
    is_inside_process: true,
    ..SEALED
};

impl Carrier for Medium {
    fn scheme(&self) -> &str {
        self.scheme
    }

    fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    fn is_inside_process(&self) -> bool {
        self.is_inside_process
    }

    fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
        Err(DialError::BadAddress(address.clone()))
    }

    fn send(&mut self, _: &Path, _: Channel, _: Packet) -> Result<(), CarryError> {
        Err(CarryError::Closed)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
        Poll::Pending
    }
}

/// A packet between two ends, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// The carrier, by its place among those of each end.
    pub(crate) carrier: usize,
    pub(crate) from: u8,
    pub(crate) to: u8,
    pub(crate) bytes: Bytes,
}

/// Sees each packet, and says what arrives in its place.
pub(crate) type Adversary = Box<dyn FnMut(Flight) -> Vec<Flight>>;

pub(crate) fn nobody() -> Adversary {
    Box::new(|flight| vec![flight])
}

pub(crate) struct End {
    pub(crate) links: Links,
    pub(crate) events: Vec<LinkEvent>,
    /// The signals that its carrier was given, and whose they are.
    pub(crate) signals: Vec<(ServerId, Bytes)>,
    pub(crate) is_reading: bool,
    key: SigningKey,
    /// The carriers that it has, the one that it prefers first, by their places among those of the world.
    carriers: Vec<usize>,
    /// Nothing that is sent to it arrives, and nothing that it does is done.
    pub(crate) is_dead: bool,
    carrier_is_full: bool,
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) ends: Vec<End>,
    pub(crate) adversary: Adversary,
    /// All packets that were sent.
    pub(crate) seen: Vec<Flight>,
    media: Vec<Medium>,
    /// The ends that prefer the last of the carriers to the first.
    contrary: BTreeSet<u8>,
    limits: LinkLimits,
    access: AccessTable,
    /// What ends claim to be, if not members.
    claims: BTreeMap<u8, Role>,
    flying: BTreeMap<(Duration, usize), Flight>,
    idle_at: BTreeMap<u8, Duration>,
    flown: usize,
}

fn signing_key(end: u8) -> SigningKey {
    SigningKey::from_bytes(&[end + 1; 32])
}

pub(crate) fn key_of(end: u8) -> PublicKey {
    PublicKey(signing_key(end).verifying_key().to_bytes())
}

pub(crate) fn id_of(end: u8) -> ServerId {
    key_of(end).server_id()
}

/// The starts of a storage that was started so often.
pub(crate) fn started(often: u64) -> Starts {
    (1..=often).fold(Starts::default(), |starts, nonce| starts.next(nonce))
}

pub(crate) fn path_to(end: u8) -> Path {
    Path::new(&[end], &[])
}

pub(crate) fn address_of(end: u8) -> Address {
    format!("test:{end}").parse().expect("it is an address")
}

pub(crate) fn wanted(end: u8) -> Wanted {
    Wanted {
        peer: id_of(end),
        keys: vec![key_of(end)],
        addresses: vec![address_of(end)],
    }
}

pub(crate) fn frame(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl World {
    pub(crate) fn of(ends: u8, medium: Medium) -> Self {
        Self::with_limits(ends, medium, LinkLimits::default())
    }

    pub(crate) fn with_limits(ends: u8, medium: Medium, limits: LinkLimits) -> Self {
        Self::over(ends, &[medium], limits)
    }

    /// Ends that have all of these carriers.
    pub(crate) fn over(ends: u8, media: &[Medium], limits: LinkLimits) -> Self {
        let access = AccessTable {
            members: (0..ends).map(id_of).collect(),
            ..AccessTable::default()
        };
        let mut world = Self {
            now: Duration::from_secs(1_000),
            ends: Vec::new(),
            adversary: nobody(),
            seen: Vec::new(),
            media: media.to_vec(),
            contrary: BTreeSet::new(),
            limits,
            access,
            claims: BTreeMap::new(),
            flying: BTreeMap::new(),
            idle_at: BTreeMap::new(),
            flown: 0,
        };
        world.ends = (0..ends).map(|end| world.start(end, started(1))).collect();
        world
    }

    fn start(&self, end: u8, starts: Starts) -> End {
        let credentials = Credentials {
            cluster: ClusterId(7),
            key: key_of(end),
            versions: Versions::only(1),
            starts,
            vouchers: Arc::new([]),
            role: self.claims.get(&end).copied().unwrap_or(Role::Member),
            token: None,
        };
        let mut seed = [end; 32];
        seed[..8].copy_from_slice(&starts.newest().nonce.to_be_bytes());
        seed[8..16].copy_from_slice(&self.seen.len().to_be_bytes());
        let mut carriers: Vec<usize> = (0..self.media.len()).collect();
        if self.contrary.contains(&end) {
            carriers.reverse();
        }
        let traits = carriers.iter().map(|place| (&self.media[*place]).into());
        let traits = traits.collect();
        End {
            links: Links::new(credentials, self.limits, traits, seed, self.now),
            events: Vec::new(),
            signals: Vec::new(),
            is_reading: true,
            key: signing_key(end),
            carriers,
            is_dead: false,
            carrier_is_full: false,
        }
    }

    /// Starts an end anew, as after a crash.
    pub(crate) fn restart(&mut self, end: u8, boot: u64) {
        self.restart_as(end, started(boot));
    }

    /// Starts an end anew that shows these starts.
    pub(crate) fn restart_as(&mut self, end: u8, starts: Starts) {
        self.ends[usize::from(end)] = self.start(end, starts);
    }

    pub(crate) fn end(&mut self, end: u8) -> &mut End {
        &mut self.ends[usize::from(end)]
    }

    /// Lets an end want links to others.
    pub(crate) fn want(&mut self, end: u8, others: &[u8]) {
        let wanted: Vec<Wanted> = others.iter().map(|other| wanted(*other)).collect();
        let now = self.now;
        let links = &mut self.end(end).links;
        links.set_time(now);
        links.want(&wanted);
    }

    /// Lets an end want links to others by all carriers.
    pub(crate) fn want_by_all(&mut self, end: u8, others: &[u8]) {
        let wanted = others.iter().map(|other| {
            let addresses = self.media.iter().map(|medium| {
                let address = format!("{}:{other}", medium.scheme);
                address.parse().expect("it is an address")
            });
            Wanted {
                addresses: addresses.collect(),
                ..wanted(*other)
            }
        });
        let wanted: Vec<_> = wanted.collect();
        let now = self.now;
        let links = &mut self.end(end).links;
        links.set_time(now);
        links.want(&wanted);
    }

    /// Lets an end want a link to another at these addresses.
    pub(crate) fn want_at(&mut self, end: u8, other: u8, addresses: &[&str]) {
        let addresses = addresses
            .iter()
            .map(|text| text.parse().expect("it is an address"));
        let wanted = Wanted {
            addresses: addresses.collect(),
            ..wanted(other)
        };
        let now = self.now;
        let links = &mut self.end(end).links;
        links.set_time(now);
        links.want(&[wanted]);
    }

    /// Two ends with a link that the first has dialed.
    pub(crate) fn linked(medium: Medium) -> Self {
        let mut world = Self::of(2, medium);
        world.want(0, &[1]);
        world.run_for(ms(200));
        assert!(world.is_up(0, 1) && world.is_up(1, 0), "the link is up");
        world.take_events();
        world
    }

    pub(crate) fn is_up(&self, end: u8, other: u8) -> bool {
        self.generation(end, other).is_some()
    }

    pub(crate) fn generation(&self, end: u8, other: u8) -> Option<u64> {
        self.ends[usize::from(end)]
            .links
            .link(id_of(other))
            .map(|link| link.generation)
    }

    pub(crate) fn send(
        &mut self,
        from: u8,
        to: u8,
        class: DeliveryClass,
        frame: &Bytes,
    ) -> Result<(), SendError> {
        let now = self.now;
        let links = &mut self.end(from).links;
        links.set_time(now);
        links.send(id_of(to), class, frame.clone().into())
    }

    /// Lets a peer have a link to nobody any more.
    pub(crate) fn dismiss(&mut self, end: u8) {
        self.access.members.remove(&id_of(end));
        self.access.dismissed.insert(id_of(end));
    }

    /// Lets an end be something else than a member, from its next link on.
    pub(crate) fn cast(&mut self, end: u8, role: Role) {
        self.access.is_open = true;
        self.access.members.remove(&id_of(end));
        self.claims.insert(end, role);
        self.restart(end, 2);
    }

    /// Lets an end be given its carriers in the opposite order, from its next start on.
    pub(crate) fn turn_preference(&mut self, end: u8) {
        self.contrary.insert(end);
        self.restart(end, 2);
    }

    /// Lets the carrier of an end send a signal to another end.
    pub(crate) fn signal(&mut self, from: u8, to: u8, text: &str) {
        let event = CarrierEvent::Signal {
            to: id_of(to),
            signal: frame(text),
        };
        let (now, access) = (self.now, self.access.clone());
        let links = &mut self.end(from).links;
        links.set_time(now);
        links.on_carrier_event(0, event, &access);
    }

    /// Lets the carrier of an end say that it reaches others again.
    pub(crate) fn ready(&mut self, end: u8) {
        let (now, access) = (self.now, self.access.clone());
        let links = &mut self.end(end).links;
        links.set_time(now);
        links.on_carrier_event(0, CarrierEvent::Ready, &access);
    }

    /// Takes the signals that the carrier of an end was given: whose they are, and what they say.
    pub(crate) fn signals(&mut self, end: u8) -> Vec<(ServerId, Bytes)> {
        std::mem::take(&mut self.end(end).signals)
    }

    /// Lets a packet arrive, whoever sent it.
    pub(crate) fn inject(&mut self, flight: Flight) {
        self.flown += 1;
        self.flying.insert((self.now, self.flown), flight);
    }

    /// Lets the carrier of an end be full, or say that it is not any more.
    pub(crate) fn set_full(&mut self, end: u8, is_full: bool) {
        self.end(end).carrier_is_full = is_full;
        if !is_full {
            let access = self.access.clone();
            let ends = u8::try_from(self.ends.len()).expect("there are few ends");
            for other in 0..ends {
                let event = CarrierEvent::Writable {
                    path: path_to(other),
                };
                self.end(end).links.on_carrier_event(0, event, &access);
            }
        }
    }

    /// Takes all events that the ends have read.
    pub(crate) fn take_events(&mut self) {
        self.ends.iter_mut().for_each(|end| end.events.clear());
    }

    /// Returns the frames that an end has read.
    pub(crate) fn frames(&self, end: u8) -> Vec<Bytes> {
        let events = self.ends[usize::from(end)].events.iter();
        events
            .filter_map(|event| match event {
                LinkEvent::Frame { frame, .. } => Some(frame.clone().into_bytes()),
                _ => None,
            })
            .collect()
    }

    /// Returns how many frames of more than so many bytes an end has read.
    pub(crate) fn frames_longer_than(&self, end: u8, bytes: usize) -> usize {
        let events = self.ends[usize::from(end)].events.iter();
        events
            .filter(|event| matches!(event, LinkEvent::Frame { frame, .. } if frame.len() > bytes))
            .count()
    }

    /// Returns how often links of an end came up, and why they went down.
    pub(crate) fn ups_and_downs(&self, end: u8) -> (usize, Vec<DownReason>) {
        let events = &self.ends[usize::from(end)].events;
        let ups = events
            .iter()
            .filter(|event| matches!(event, LinkEvent::Up(_)))
            .count();
        let downs = events.iter().filter_map(|event| match event {
            LinkEvent::Down { why, .. } => Some(*why),
            _ => None,
        });
        (ups, downs.collect())
    }

    /// Runs until nothing happens any more, for a time at most.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.act();
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let living = self.ends.iter().filter(|end| !end.is_dead);
            let deadline = living.filter_map(|end| end.links.deadline()).min();
            let Some(next) = arrival
                .into_iter()
                .chain(deadline)
                .min()
                .filter(|next| *next <= until)
            else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            self.arrive();
            for end in self.ends.iter_mut().filter(|end| !end.is_dead) {
                end.links.on_time(self.now);
            }
        }
    }

    fn arrive(&mut self) {
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= self.now
        {
            let Flight {
                carrier,
                from,
                to,
                bytes,
            } = entry.remove();
            let Some(end) = self
                .ends
                .get_mut(usize::from(to))
                .filter(|end| !end.is_dead)
            else {
                continue;
            };
            let (path, channel, packet) = (path_to(from), Channel::Datagram, bytes.into());
            let event = CarrierEvent::Packet {
                path,
                channel,
                packet,
            };
            let mut carriers = end.carriers.iter();
            let carrier = carriers.position(|own| *own == carrier);
            let carrier = carrier.expect("all ends have all carriers");
            end.links.set_time(self.now);
            end.links.on_carrier_event(carrier, event, &self.access);
        }
    }

    /// Does what the ends want, and lets those read that do.
    fn act(&mut self) {
        for number in 0..self.ends.len() {
            let mut sent = VecDeque::new();
            let end = &mut self.ends[number];
            if end.is_dead {
                continue;
            }
            loop {
                while let Some(output) = end.links.next_output() {
                    end.act(output, &mut sent);
                }
                if !end.is_reading {
                    break;
                }
                let Some(event) = end.links.next_event() else {
                    break;
                };
                end.events.push(event);
            }
            let from = u8::try_from(number).expect("there are few ends");
            let flights = sent.into_iter().map(|(carrier, to, bytes)| Flight {
                carrier,
                from,
                to,
                bytes,
            });
            flights.for_each(|flight| self.fly(flight));
        }
    }

    fn fly(&mut self, flight: Flight) {
        self.seen.push(flight.clone());
        let mut sent_at = self.now;
        let medium = self.media[flight.carrier];
        if let Some(rate) = medium.bytes_per_second {
            let idle_at = self.idle_at.entry(flight.from).or_default();
            let bytes = u32::try_from(flight.bytes.len()).expect("packets are short");
            *idle_at = (*idle_at).max(self.now) + bytes * (Duration::from_secs(1) / rate);
            sent_at = *idle_at;
        }
        for flight in (self.adversary)(flight) {
            self.flown += 1;
            self.flying
                .insert((sent_at + medium.delay, self.flown), flight);
        }
    }
}

impl End {
    fn act(&mut self, output: LinkOutput, sent: &mut VecDeque<(usize, u8, Bytes)>) {
        match output {
            LinkOutput::Dial {
                attempt, address, ..
            } => {
                let end = address.rest().parse().expect("it is the number of an end");
                self.links.on_dialed(attempt, Ok(path_to(end)));
            }
            LinkOutput::Send { route, cargo, .. } if self.carrier_is_full => {
                self.links.on_refused(route, cargo, CarryError::Full);
            }
            LinkOutput::Send { route, packet, .. } => {
                let to = route.path.as_bytes()[0];
                let carrier = self.carriers[route.carrier];
                sent.push_back((carrier, to, packet.into_bytes()));
            }
            LinkOutput::Signal { from, signal, .. } => self.signals.push((from, signal)),
            LinkOutput::Sign { attempt, bytes } => {
                let signature = self.key.sign(&bytes).to_bytes();
                self.links.on_signed(attempt, Some(&signature));
            }
            _ => {}
        }
    }
}
